#!/bin/sh
# accept: servers in the shapes that servers have, with clients that have TLS of their own and with wrapped ones.
# shellcheck disable=SC1090,SC1091
. "$(dirname "$0")/lib.sh"
. "$TOP/tests/ends.sh"

server_policy() { { client_rule && server_rule "$@"; } | write_policy; } # [LINE...]

oneTimeSetUp() { server_policy; }

# start_server MODE [COUNT]: in plain TCP on $plain, wrapped on $far behind a recorder on $near.
start_server() {
    plain=$(free_port) far=$(free_port) near=$(free_port)
    start "plain-$1" "$PROBES/server" "$plain" "$@"
    # shellcheck disable=SC2086
    start "wrapped-$1" $wrapped "$PROBES/server" "$far" "$@"
    wait_listen "$plain"
    wait_listen "$far"
    start_wire "wire-$1" "$near" "$far"
}

clients() { run timeout 30 "$PYTHON" "$TOP/tests/peers/client_tls.py" "$@"; }

# One server mode: clients one by one, then several at once where it can have them.
serves() {
    start_server "$1"
    together=$2
    for arguments in "--count 3 --size 1" "--count 1 --size 1000000" "--count $((together * 3)) --size 16385 --together $together"; do
        for kind in tls12 tls13; do
            begin_case "$1 $kind $arguments"
            # shellcheck disable=SC2086
            clients "$near" $kind "$certs/ca.pem" $arguments
            wanted=${arguments#--count }
            assertEquals "$1, $kind, $arguments" "${wanted%% *} of ${wanted%% *}" "$out"
            end_case
        done
    done
    assertEquals "the server has nothing to say" "" "$(cat "$tmp/wrapped-$1.out" "$tmp/wrapped-$1.err")"
    assert_wire "wire-$1"
}

testBlocking() { serves block 1; }
testThreads() { serves thread 8; }
testPoll() { serves poll 8; }
testEpoll() { serves epoll 8; }
testEpollEdge() { serves epoll-et 8; }
testEpollOneShot() { serves epoll-oneshot 8; }
testPrefork() { serves prefork 3; }
testAcceptThenFork() { serves accept-fork 4; }

# A peer that says nothing must not keep others from being served.
testASilentPeerStopsNobody() {
    for mode in poll epoll-et thread; do
        start_server $mode
        start silent "$PYTHON" -c 'import socket, sys
held = [socket.create_connection(("127.0.0.1", int(sys.argv[1]))) for _ in range(3)]
print("there", flush=True)
held[0].recv(1)' "$far"
        wait_line "$tmp/silent.out" there
        clients "$near" tls13 "$certs/ca.pem" --count 3
        assertEquals "$mode" "3 of 3" "$out"
        assert_wire "wire-$mode"
        stop silent
        stop "wire-$mode"
    done
    assertTrue 0
}

# A wrapped client that drives the same server: both ends are ours.
testBothEndsWrapped() {
    start_server epoll-et
    for probe in "echo_blocking 100000 5000 5000" "echo_wait poll eagain 300000 20000 5000" "echo_wait epoll-et short 300000 20000 5000" \
        "duplex 2000" "flags"; do
        name=${probe%% *}
        arguments=${probe#"$name"}
        # shellcheck disable=SC2086
        run timeout 20 "$PROBES/$name" "$plain" $arguments
        expected=$out
        # shellcheck disable=SC2086
        run timeout 20 $wrapped "$PROBES/$name" "$near" $arguments
        assertEquals "$probe" "$expected" "$out"
    done
    assert_wire wire-epoll-et
}

testOpensslClient() {
    start_server thread
    for version in tls1_2 tls1_3; do
        printf 'hello\nbye\n' >"$tmp/says"
        timeout 20 openssl s_client -quiet -$version -verify_return_error -CAfile "$certs/ca.pem" -servername localhost \
            -connect "127.0.0.1:$near" <"$tmp/says" >"$tmp/out" 2>"$tmp/err"
        assertEquals "$version" "hello
bye" "$(cat "$tmp/out")"
    done
    assert_wire wire-thread
}

testGnutlsClient() {
    command -v gnutls-cli >/dev/null || { skip "no gnutls-cli"; return; }
    start_server thread
    for version in 1.2 1.3; do
        printf 'hello\nbye\n' | timeout 20 gnutls-cli --priority "NORMAL:-VERS-ALL:+VERS-TLS$version" --x509cafile "$certs/ca.pem" \
            --verify-hostname localhost -p "$near" 127.0.0.1 >"$tmp/out" 2>"$tmp/err"
        assertEquals "$version: $(cat "$tmp/out")" 1 "$(grep -c '^bye$' "$tmp/out")"
    done
    assert_wire wire-thread
}

testHandshakeInsideAccept() {
    server_policy "do_handshake_on_connect = yes"
    start_server block
    clients "$near" tls13 "$certs/ca.pem" --count 2
    assertEquals "2 of 2" "$out"
    server_policy
}

. "$SHUNIT2"
