#!/bin/sh
# A connection that a program is started with is met at its start, whatever its number and however many others are open.
# limit: 90
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/ends.sh"

oneTimeSetUp() {
    start_peers echo
}

# The parent, unwrapped, connects, and gives the connection to a wrapped program as number N, with others open from FIRST to LAST.
parent='
import os, socket, subprocess, sys
port, number, first, last = map(int, sys.argv[1:5])
c = socket.create_connection(("127.0.0.1", port))
null = os.open("/dev/null", os.O_RDONLY)
for n in range(first, last):
    if n not in (c.fileno(), null):
        os.dup2(null, n, inheritable=True)
if c.fileno() == number:
    os.set_inheritable(number, True)
else:
    os.dup2(c.fileno(), number, inheritable=True)
    c.close()
sys.exit(subprocess.run(sys.argv[5:], close_fds=False).returncode)'
child='
import socket, sys
c = socket.socket(fileno=int(sys.argv[1]))
c.sendall(b"through the number")
print(c.recv(100).decode())'

# case NUMBER FIRST LAST
inherited_as() {
    begin_case "$*"
    # shellcheck disable=SC2086 # a command with arguments
    run timeout 20 "$PYTHON" -c "$parent" "$(port tls13 echo)" "$@" $launcher -p "$POLICY" -- "$PYTHON" -c "$child" "$1"
    assertEquals "$err" 'through the number' "$out"
    assertEquals "$err" 0 "$status"
    end_case
}

testNumbers() {
    # shellcheck disable=SC3045 # every sh here has it
    if [ "$(ulimit -n)" -lt 1200 ]; then
        # shellcheck disable=SC3045
        ulimit -n 1200 2>/dev/null || { skip 'fewer than 1200 descriptors are allowed' && return; }
    fi
    for number in 3 63 64 127 255 256 700 1100; do inherited_as "$number" 0 0; done
    inherited_as 20 3 20     # most below it are open
    inherited_as 128 10 128  # ... up to where the kernel's table would end
    inherited_as 511 64 511
    clean_wires
}

. "$SHUNIT2"
