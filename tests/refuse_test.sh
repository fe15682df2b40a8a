#!/bin/sh
# Ways out for a wrapped descriptor that would put clear text on the wire: refused with an errno and one line, or taken through TLS.
# shellcheck disable=SC2086,SC2154,SC1090,SC1091
. "$(dirname "$0")/lib.sh"
. "$TOP/tests/ends.sh"

# shellcheck disable=SC2034 # start_peers writes it into each rule
policy_option='route = inline' # nothing leaves the process
oneTimeSetUp() { start_peers echo; }

# refused MODE LINES EXPECTED: the first part of the probe's output; the connection works on.
refused() {
    for kind in tls12 tls13; do
        begin_case "$1 $kind"
        # shellcheck disable=SC2086
        run timeout 20 $wrapped "$PROBES/escapes" "$(port $kind echo)" "$1"
        assertEquals "$1 over $kind" "$3
echo: after
end: 0" "$out"
        assertEquals "$1 over $kind: lines in the log: $err" "$2" "$(printf '%s' "$err" | grep -c '^wrapsock: ')"
        end_case
    done
    clean_wires
}

testOntoTheStandardDescriptors() {
    refused zero 3 "dup2 onto 0: EACCES
dup2 onto 1: EACCES
dup2 onto 2: EACCES"
}

testPassedOverAUnixSocket() {
    refused rights 1 "SCM_RIGHTS: EACCES
nothing passed: EAGAIN"
}

testSpawnedOntoStandardOutput() { refused spawn 1 "posix_spawn: EACCES"; }

testSpawnActionsRecordedBefore() {
    for kind in tls12 tls13; do
        run timeout 20 $wrapped "$PROBES/spawned" "$(port $kind echo)" "$tmp/spawned-$kind"
        assertEquals "over $kind" "dup2: EACCES
dup2 twice: EACCES
dup2 onto itself: EACCES
open, dup2: ok
open, closefrom: ok
recorded when connected: EACCES
echo: after
end: 0" "$out"
        assertEquals "lines in the log: $err" 4 "$(printf '%s' "$err" | grep -c '^wrapsock: .*EACCES.*route = inline')"
        assertEquals "in clear
in clear" "$(cat "$tmp/spawned-$kind")"
    done
    clean_wires
}

testIoUring() { refused uring 0 "io_uring_setup: ENOSYS"; }
testFastOpen() { refused fastopen 0 "TCP_FASTOPEN_CONNECT: ENOPROTOOPT"; }
# What TCP has beside a stream of bytes, by both routes.
testExtras() {
    client_rule 'route = relay' | write_policy "$tmp/relay.conf"
    for file in "$POLICY" "$tmp/relay.conf"; do
        for kind in tls12 tls13; do
            begin_case "${file##*/} $kind"
            run timeout 20 $launcher -p "$file" "$PROBES/extras" "$(port $kind echo)"
            assertEquals "$err" "TCP_FASTOPEN_CONNECT: ENOPROTOOPT
SO_ZEROCOPY: EOPNOTSUPP
sendto, MSG_FASTOPEN: EOPNOTSUPP
sendmsg, MSG_FASTOPEN: EOPNOTSUPP
sendmmsg, MSG_FASTOPEN: EOPNOTSUPP
echo: connected
SO_ZEROCOPY: EOPNOTSUPP
MSG_ZEROCOPY: 5
MSG_ERRQUEUE: EAGAIN
send, MSG_OOB: EOPNOTSUPP
sendmsg, MSG_OOB: EOPNOTSUPP
sendmmsg, MSG_OOB: EOPNOTSUPP
sendmsg with an address: 6
recv, MSG_OOB: EINVAL
echo: after
end: 0" "$out"
            end_case
        done
    done
    clean_wires
}

# A server that has asked its listener for it is told that the kernel cannot, and copies.
testAListenersZeroCopy() {
    write_policy "$tmp/zero.conf" <<-END
	[server all]
	match = *:*
	certfile = @CERTS@/server.pem
	keyfile = @CERTS@/server.key
	END
    at=$(free_port) near=$(free_port)
    start zero $launcher -p "$tmp/zero.conf" "$PYTHON" -c 'import errno, socket, sys
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
listener.setsockopt(socket.SOL_SOCKET, 60, 1)
conn = listener.accept()[0]
data = conn.recv(100000)
while data:
    try:
        conn.send(data, 0x4000000)
        print("sent", flush=True)
    except OSError as error:
        print(errno.errorcode[error.errno], flush=True)
    conn.sendall(data)
    data = conn.recv(100000)' "$at"
    wait_listen "$at"
    start_wire zero-wire "$near" "$at"
    run timeout 20 "$PYTHON" "$TOP/tests/peers/client_tls.py" "$near" tls13 "$certs/ca.pem"
    assertEquals "$(cat "$tmp/zero.err")" "1 of 1" "$out"
    assertEquals ENOBUFS "$(sort -u "$tmp/zero.out")"
    assert_wire zero-wire
}

testSystemCallsByNumber() { same echo escapes syscall && clean_wires; }

testPolicySaysRefuse() {
    write_policy "$tmp/refuse.conf" <<-END
	[client all]
	match = *:*
	action = refuse
	END
    for mode in blocking nonblocking; do
        run $launcher -p "$tmp/refuse.conf" "$PROBES/dial" "$(port plain echo)" $mode
        assertEquals "connect: EACCES" "$(printf '%s\n' "$out" | head -n 1)"
        assertContains "$err" "action = refuse"
    done
}

testUnmatchedIsRefused() {
    write_policy "$tmp/unmatched.conf" <<-END
	[defaults]
	unmatched = refuse
	[client other]
	match = 192.0.2.1:1
	ca_certs = @CERTS@/ca.pem
	END
    run $launcher -p "$tmp/unmatched.conf" "$PROBES/dial" "$(port plain echo)" blocking
    assertEquals "connect: EACCES" "$(printf '%s\n' "$out" | head -n 1)"
}

testAcceptIsRefused() {
    port=$(free_port)
    write_policy "$tmp/server.conf" <<-END
	[server all]
	match = *:*
	action = refuse
	END
    start server $launcher -p "$tmp/server.conf" "$PROBES/server" "$port" block
    wait_listen "$port"
    run "$PYTHON" "$TOP/tests/peers/client_tls.py" "$port" plain none
    assertEquals "0 of 1" "$(printf '%s\n' "$out" | head -n 1)"
    wait_line "$tmp/server.out" "accept: EACCES"
    assertEquals "accept fails" 0 $?
}

# What lands on 0 to 2 would be written by stdio, past every wrapper.
testConnectedOnStandardOutput() {
    run timeout 20 $wrapped "$PROBES/standard" connect "$(port tls13 echo)"
    assertContains "$err" EACCES
    assertContains "$err" "0 to 2"
    clean_wires
}

testAcceptedAsStandardOutput() {
    port=$(free_port) near=$(free_port)
    server_rule | write_policy "$tmp/standard.conf"
    start standard $launcher -p "$tmp/standard.conf" "$PROBES/standard" accept "$port"
    wait_listen "$port"
    start_wire standard "$near" "$port"
    run "$PYTHON" "$TOP/tests/peers/client_tls.py" "$near" plain none
    assertEquals "0 of 1" "$(printf '%s\n' "$out" | head -n 1)"
    wait_line "$tmp/standard.err" "above 2"
    assertEquals "the number given" 0 $?
    assertNotContains "$out" SECRET
}

. "$SHUNIT2"
