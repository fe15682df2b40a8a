#!/bin/sh
# Descriptors that leave the hands of the library, and the relay that keeps their connections: programs see what they see over TCP.
# limit: 400
# shellcheck disable=SC1090,SC1091
. "$(dirname "$0")/lib.sh"
. "$TOP/tests/ends.sh"

oneTimeSetUp() { start_peers echo sink cut greet mute; }

testStandardDescriptors() {
    same echo leaves zero
    same echo leaves one
    clean_wires
}

testStreams() {
    same echo leaves stream
    same echo leaves streams
    same echo leaves early
    clean_wires
}

testNewPrograms() {
    same echo leaves exec
    same echo leaves meant
    same echo leaves spawn
    same echo leaves system
    same echo leaves popen
    for how in vfork vfork-dup vfork-flag vfork-ioctl; do same echo leaves "$how"; done
    clean_wires
}

testPassed() { same echo leaves pass && clean_wires; }

# A thread waits in a call for the connection while another hands it over: its call goes on where the connection is.
testAnotherThreadWaits() {
    for how in dup stream pass; do same echo handed read "$how"; done
    for what in late waitall peek write poll select handler; do same echo handed "$what" dup; done
    clean_wires
}

testWhatTheProgramIsTold() {
    same echo leaves names
    same echo leaves children
    same echo leaves epoll
    clean_wires
}

testWhatAnotherProcessIsTold() {
    same echo leaves exec-asks
    same echo leaves pass-asks
    clean_wires
}

testOptions() {
    for kind in tls12 tls13; do
        # shellcheck disable=SC2086
        run timeout 20 $wrapped "$PROBES/leaves" "$(port $kind echo)" options
        assertEquals "$kind" "nodelay: 0
nodelay is 1
keepalive: 0
keepidle: 0
keepidle is 33
keepalive is 1
TCP_INFO: state 1
linger: 0
waiting 5, unsent 0
MSG_OOB: refused
connect again: EISCONN" "$out"
    done
}

# The number is above a limit that was lowered: it cannot become the relay's end, and must not stay a wire to write to.
testANumberThatStays() {
    # shellcheck disable=SC2086
    run timeout 20 $wrapped "$PYTHON" -c '
import errno, fcntl, os, resource, socket, sys
wire = fcntl.fcntl(socket.create_connection(("127.0.0.1", int(sys.argv[1]))).detach(), fcntl.F_DUPFD, 60)
resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))
for step in lambda: os.dup2(wire, 0), lambda: os.write(wire, b"secret words"):
    try:
        print(step())
    except OSError as error:
        print(errno.errorcode[error.errno])' "$(port tls13 echo)"
    # A reset, where the peer has answered the cut by now.
    assertTrue "$err: $out" "[ '$out' = 'EACCES
EPIPE' ] || [ '$out' = 'EACCES
ECONNRESET' ]"
    assertContains "$err" "wrapped descriptor 60 is cut: its number cannot be given to the relay's end"
    clean_wires
}

# The peer's cut is a reset, not an end.
testCut() {
    for kind in tls12 tls13; do
        # shellcheck disable=SC2086
        run timeout 20 $wrapped "$PROBES/leaves" "$(port $kind cut)" reset
        assertEquals "$kind" "first: once
then: ECONNRESET" "$out"
    done
}

# _exit behind the last write: all of it arrives, with close_notify.
testLastWrite() {
    for kind in plain tls12 tls13; do
        _p=$(free_port)
        case $kind in
        plain) "$PYTHON" -c "$collect" "$_p" "" >"$tmp/collected" & ;;
        *) "$PYTHON" -c "$collect" "$_p" "$certs" >"$tmp/collected" & ;;
        esac
        pid=$!
        wait_listen "$_p"
        # shellcheck disable=SC2086
        case $kind in
        plain) run timeout 20 "$PROBES/leaves" "$_p" last ;;
        *) run timeout 20 $wrapped "$PROBES/leaves" "$_p" last ;;
        esac
        wait $pid
        assertEquals "$kind: $err" "150000 bytes, end" "$(cat "$tmp/collected")"
    done
}
# shellcheck disable=SC2016
collect='
import socket, ssl, sys, time
l = socket.socket()
l.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
if len(sys.argv) > 3:
    l.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
l.bind(("127.0.0.1", int(sys.argv[1])))
l.listen()
c, _ = l.accept()
if sys.argv[2]:
    ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ctx.load_cert_chain(sys.argv[2] + "/server.pem", sys.argv[2] + "/server.key")
    c = ctx.wrap_socket(c, server_side=True, suppress_ragged_eofs=False)
time.sleep(float(sys.argv[3]) if len(sys.argv) > 3 else 0.3)
n = 0
try:
    while d := c.recv(65536):
        n += len(d)
    print(n, "bytes, end")
except OSError as e:
    print(n, "bytes,", e)
'

# One for all that a process forks, in a session of its own, with nothing but the connections, nobody's child, and gone when they are.
testTheProcess() {
    if [ "$(id -u)" -ne 0 ]; then
        skip "another process's descriptors are shown to root alone"
        return
    fi
    # shellcheck disable=SC2086
    run timeout 40 $wrapped "$PYTHON" "$TOP/tests/peers/relays.py" "$(port tls13 echo)"
    assertEquals "$err" "relays: 1
session of its own: True
parent: another
files: /dev/null anon_inode socket
sockets: 7
children: [0, 0, 0]
no other child
ends: True" "$out"
}

# A few hundred connections stand for the thousands that a relay can hold.
testManyConnections() {
    if [ "$(id -u)" -ne 0 ]; then
        skip "another process's descriptors are shown to root alone"
        return
    fi
    if [ -n "$sanitizer" ]; then
        skip "a sanitizer's memory is another matter"
        return
    fi
    client_rule 'route = relay' | write_policy "$tmp/relay.conf"
    # shellcheck disable=SC2086
    run timeout 50 $launcher -p "$tmp/relay.conf" -- "$PYTHON" "$TOP/tests/peers/relays.py" "$(port tls13 echo)" 100
    assertEquals "$err" "relays: 1
descriptors for each: 2.0
at most 40 KiB for each" "$out"
}

# Keys go to a relay of one's own user: another one after rights were given up.
testAnotherUser() {
    if [ "$(id -u)" -ne 0 ]; then
        skip "only root can become another user"
        return
    fi
    unprivileged_reads "$PRELOAD" || { skip "no other user can read $PRELOAD"; return; }
    # shellcheck disable=SC2086
    run timeout 20 $wrapped "$PYTHON" -c '
import os, socket, sys
first, second = (socket.create_connection(("127.0.0.1", int(sys.argv[1]))) for _ in range(2))
os.dup2(first.fileno(), 0)
os.setgid(65534), os.setuid(65534)
ours, theirs = socket.socketpair()
socket.send_fds(ours, [b"x"], [second.fileno()])
passed = socket.socket(fileno=socket.recv_fds(theirs, 1, 1)[1][0])
for fd in 0, passed.fileno():
    os.write(fd, b"hello")
    print(os.read(fd, 5).decode(), flush=True)
print(passed.getpeername()[0])' "$(port tls13 echo)"
    assertEquals "$err" "hello
hello
127.0.0.1" "$out"
}

# With process 1 ends its namespace, the relay too: it waits until the peer has everything.
testProcessOne() {
    if ! unshare -p -f true 2>/dev/null; then
        skip "no namespace of processes can be made"
        return
    fi
    _p=$(free_port)
    "$PYTHON" -c "$collect" "$_p" "$certs" 1.5 >"$tmp/collected" &
    pid=$!
    wait_listen "$_p"
    # shellcheck disable=SC2086
    run timeout 20 unshare -p -f $wrapped "$PROBES/leaves" "$_p" last
    wait $pid
    assertEquals "$err" "150000 bytes, end" "$(cat "$tmp/collected")"
}

# Whoever started a subreaper may end all that it leaves behind: its exit waits as that of process 1 does.
testSubreaperEnds() {
    _p=$(free_port)
    "$PYTHON" -c "$collect" "$_p" "$certs" 1.5 >"$tmp/collected" &
    pid=$!
    wait_listen "$_p"
    # shellcheck disable=SC2086
    run timeout 20 "$PYTHON" -c '
import ctypes, os, signal, subprocess, sys
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER
print(subprocess.run(sys.argv[1:]).returncode)
left = open("/proc/self/task/%d/children" % os.getpid()).read().split()
print([open("/proc/%s/comm" % child).read().strip() for child in left])
for child in left:
    os.kill(int(child), signal.SIGKILL)' $wrapped "$PYTHON" -c '
import ctypes, os, socket, sys
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)
s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
os.dup2(s.fileno(), 0)
os.write(0, bytes(4000000))
os._exit(0)' "$_p"
    wait $pid
    assertEquals "$err" "0
['wrapsock-relay']" "$out"
    assertEquals "all of it" 4000000 "$(cut -d' ' -f1 "$tmp/collected")"
}

# A subreaper gets the relay as it gets every orphan: it may wait for it, and need not.
testSubreaper() {
    # shellcheck disable=SC2086
    run timeout 20 $wrapped "$PYTHON" -c '
import ctypes, os, signal, socket, sys
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER
s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
os.dup2(s.fileno(), 0)
s.close()
os.write(0, b"hello")
print(os.read(0, 5).decode())
children = open("/proc/self/task/%d/children" % os.getpid()).read().split()
print([open("/proc/%s/comm" % child).read().strip() for child in children])
print(os.waitpid(-1, os.WNOHANG))
os.close(0)
print(signal.sigwait({signal.SIGCHLD}) == signal.SIGCHLD)
pid, status = os.wait()
print([str(pid)] == children, status)' "$(port tls13 echo)"
    assertEquals "$err" "hello
['wrapsock-relay']
(0, 0)
True
True 0" "$out"
    clean_wires
}

# The new program has none of us in it: as well it could be static.
testNotWrapped() {
    client_rule 'follow_exec = no' | write_policy
    # shellcheck disable=SC2086
    run timeout 20 env -u LD_PRELOAD $wrapped "$PYTHON" -c '
import os, socket, sys
s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
os.dup2(s.fileno(), 0)
del os.environ["LD_PRELOAD"]
os.execv("/usr/bin/head", ["head", "-c", "11"])' "$(port tls13 greet)"
    assertEquals "$err" "220 welcome" "$out"
    clean_wires
}

# A wrapped super-server gives its connections to a static program, as 0 and 1 and with nothing in the environment.
testStatic() {
    if ! "${CC:-gcc}" -static -std=gnu11 -D_GNU_SOURCE -o "$tmp/bare" "$TOP/tests/probes/bare.c" 2>"$tmp/bare.err"; then
        skip "nothing can be linked statically: $(head -n 1 "$tmp/bare.err")"
        return
    fi
    _p=$(free_port) _near=$(free_port)
    server_rule | write_policy "$tmp/server.conf"
    # shellcheck disable=SC2086
    start super $launcher -p "$tmp/server.conf" -- "$PYTHON" -c '
import os, signal, socket, sys
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
l = socket.create_server(("127.0.0.1", int(sys.argv[1])))
while True:
    c, _ = l.accept()
    if os.fork() == 0:
        os.dup2(c.fileno(), 0), os.dup2(c.fileno(), 1)
        c.close(), l.close()
        os.execve(sys.argv[2], ["bare"], {})
    c.close()' "$_p" "$tmp/bare"
    wait_listen "$_p"
    start_wire super-wire "$_near" "$_p"
    for kind in tls12 tls13; do
        for arguments in "--count 3 --size 1" "--count 4 --size 300000 --together 2"; do
            # shellcheck disable=SC2086
            run timeout 30 "$PYTHON" "$TOP/tests/peers/client_tls.py" "$_near" $kind "$certs/ca.pem" $arguments
            wanted=${arguments#--count }
            assertEquals "$kind $arguments" "${wanted%% *} of ${wanted%% *}" "$out"
        done
    done
    assertEquals "a Unix socket is what it sees" 14 "$(grep -c '^peer: AF_UNIX$' "$tmp/super.err")"
    assertContains "the log says that it is not wrapped" "$(cat "$tmp/super.err")" "bare is static: it runs without wrapsock"
    assert_wire super-wire
}

# A super-server that knows nothing of us gives a connection to a wrapped program, as 0 and 1.
testInherited() {
    _p=$(free_port) _near=$(free_port)
    server_rule | write_policy "$tmp/server.conf"
    # shellcheck disable=SC2086
    start inetd "$PYTHON" -c '
import socket, subprocess, sys
l = socket.create_server(("127.0.0.1", int(sys.argv[1])))
while True:
    c, _ = l.accept()
    subprocess.Popen(sys.argv[2:], stdin=c, stdout=c)
    c.close()' "$_p" $launcher -p "$tmp/server.conf" -- cat
    wait_listen "$_p"
    start_wire inherited "$_near" "$_p"
    run timeout 20 "$PYTHON" -c '
import socket, ssl, sys
ctx = ssl.create_default_context(cafile=sys.argv[2])
c = ctx.wrap_socket(socket.create_connection(("127.0.0.1", int(sys.argv[1]))), server_hostname="localhost", suppress_ragged_eofs=False)
c.sendall(b"through cat" * 1000)
n = 0
while n < 11000:
    n += len(c.recv(4096))
c.unwrap().close()
print(n)' "$_near" "$certs/ca.pem"
    assertEquals "$err" 11000 "$out"
    assert_wire inherited
}

# route = relay: the probes of the other families, over a pair from the start.
testEveryConnection() {
    client_rule 'route = relay' | write_policy
    same echo echo_blocking 300000 100000 16383 4608
    same echo echo_blocking 14000 7 100
    for how in poll select epoll epoll-et epoll-oneshot; do same echo echo_wait "$how" eagain 300000 100000 16384; done
    same echo echo_wait epoll-et short 200000 100000 5000
    for size in 0 16385 500000; do same sink halfclose "$size"; done
    same greet greeted blocking
    same greet greeted poll
    same mute timeouts
    same echo vectors
    same echo duplex 20000
    same echo writers
    same echo woken shutdown
    same echo forks split
    same echo forks turns
    for how in child-exits child-closes parent-closes; do same echo forks "$how"; done
    for how in poll select epoll early again spin; do same echo connect_nonblocking "$how"; done
    clean_wires
}

. "$SHUNIT2"
