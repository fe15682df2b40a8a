#!/bin/sh
# Handshakes that break at each of their bytes: the program gets an errno, the log a line, the wire nothing in clear; the next one works.
# shellcheck disable=SC2016,SC2086,SC2154,SC1090,SC1091
. "$(dirname "$0")/lib.sh"

oneTimeSetUp() { { client_rule && server_rule; } | write_policy; }

# sweep ROLE VERSION: in the background; verdict of the same says what came of it.
sweep() {
    port=$(free_port)
    start "$1-$2" sh -c '"$@"; echo "status $?"' - timeout -k 5 100 "$PYTHON" "$TOP/tests/peers/cutter.py" "$port" "$2" "$certs" "$1" \
        $wrapped "$PROBES/cut" "$1" "$port"
}
verdict() {
    begin_case "$1 $2"
    wait_for -t 110 file_contains "$tmp/$1-$2.out" '^status '
    out=$(head -n 30 "$tmp/$1-$2.out")
    assertEquals "$1, TLS $2: $out $(cat "$tmp/$1-$2.err")" "status 0" "$(tail -n 1 "$tmp/$1-$2.out")"
    end_case
}

# At the same time, for there is much waiting in it.
testCuts() {
    for role in connect accept; do for version in 1.2 1.3; do sweep $role $version; done; done
    for role in connect accept; do for version in 1.2 1.3; do verdict $role $version; done; done
}

. "$SHUNIT2"
