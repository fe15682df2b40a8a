#!/bin/sh
# Descriptors that leave the hands of the library, and the relay that keeps their connections: programs see what they see over TCP.
# limit: 400
# shellcheck disable=SC1090,SC1091
. "$(dirname "$0")/lib.sh"
. "$TOP/tests/ends.sh"

oneTimeSetUp() { start_peers echo sink cut greet mute; }

# relay_pids: the helpers of this run's programs.
relay_pids() { pgrep -f "^wrapsock-relay for ($1)" 2>/dev/null; }

testStandardDescriptors() {
    same echo leaves zero
    same echo leaves one
    clean_wires
}

testStreams() {
    same echo leaves stream
    same echo leaves early
    clean_wires
}

testNewPrograms() {
    same echo leaves exec
    same echo leaves meant
    same echo leaves spawn
    same echo leaves vfork
    clean_wires
}

testPassed() { same echo leaves pass && clean_wires; }

testWhatTheProgramIsTold() {
    same echo leaves names
    same echo leaves children
    same echo leaves epoll
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
        case $kind in
        plain) run timeout 20 "$PROBES/leaves" "$_p" last ;;
        # shellcheck disable=SC2086
        *) run timeout 20 $wrapped "$PROBES/leaves" "$_p" last ;;
        esac
        wait $pid
        assertEquals "$kind: $err" "150000 bytes, end" "$(cat "$tmp/collected")"
    done
}
# shellcheck disable=SC2016
collect='
import socket, ssl, sys, time
l = socket.create_server(("127.0.0.1", int(sys.argv[1])))
c, _ = l.accept()
if sys.argv[2]:
    ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ctx.load_cert_chain(sys.argv[2] + "/server.pem", sys.argv[2] + "/server.key")
    c = ctx.wrap_socket(c, server_side=True, suppress_ragged_eofs=False)
time.sleep(0.3)
n = 0
try:
    while d := c.recv(65536):
        n += len(d)
    print(n, "bytes, end")
except OSError as e:
    print(n, "bytes,", e)
'

# route = relay: the probes of the other families, over a pair from the start.
testEveryConnection() {
    write_policy <<-END
	[client all]
	match = *:*
	ca_certs = @CERTS@/ca.pem
	route = relay
	END
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
    for how in child-exits child-closes parent-closes; do same echo forks "$how"; done
    for how in poll select epoll early again spin; do same echo connect_nonblocking "$how"; done
    clean_wires
}

. "$SHUNIT2"
