#!/bin/sh
# Peers and policies that are not in order: connections fail with the errno that fits, one line says why, and nothing goes out in clear.
# shellcheck disable=SC1090,SC1091
. "$(dirname "$0")/lib.sh"
. "$TOP/tests/ends.sh"

# Each of these servers stands behind a recorder of its own: NAME KIND:BEHAVIOUR [CERTIFICATE].
servers='good tls13:echo
wrongname tls13:echo:wrong-name
expired tls13:echo:expired
notyet tls12:echo:not-yet
selfsigned tls13:echo:self-signed
unknownca tls12:echo:other-server
nointermediate tls13:echo:leaf
wrongpurpose tls13:echo:client
chain tls12:echo:chain
mutual12 mtls12:echo
mutual13 mtls13:echo
abrupt13 mtls13:abrupt
old tls12:echo
weak weak12:echo
plainecho plain:echo
plaingreet plain:greet
garbage plain:garbage
silent plain:silent'

oneTimeSetUp() {
    specs='' listen=''
    while read -r name spec; do
        far=$(free_port)
        kind=${spec%%:*} rest=${spec#*:}
        specs="$specs $kind:${rest%%:*}:$far"
        case $rest in *:*) specs="$specs:${rest#*:}" ;; esac
        listen="$listen $far"
        eval "far_$name=$far near_$name=$(free_port)"
    done <<-END
	$servers
	END
    # shellcheck disable=SC2086 # a list
    start peers "$PYTHON" "$TOP/tests/peers/echo_tls.py" "$certs" $specs
    for far in $listen; do wait_listen "$far"; done
    while read -r name spec; do eval "start_wire $name \$near_$name \$far_$name"; done <<-END
	$servers
	END
}

client_policy() { client_rule 'handshake_timeout = 5s' "$@" | write_policy; } # [LINE...]

# only_line ERRNO: what was logged is one line that names the rule and what the program got.
only_line() {
    assertEquals "one line: $err" 1 "$(printf '%s\n' "$err" | grep -c .)"
    assertContains "the line names the errno" "$err" "$1"
    assertContains "the line names the rule" "$err" "rule all"
}

nothing_in_clear() {
    wire_text "$1" "$CANARY"
    assertNotEquals "clear text on the wire of $1" 0 $?
}

# fails NAME ERRNO [WORDS]: connect fails so, blocking and not, and so does what the program tries behind it.
fails() {
    to=''
    eval "to=\$near_$1"
    for mode in blocking nonblocking; do
        begin_case "$1 $mode"
        # shellcheck disable=SC2086
        run timeout -k 1 20 $wrapped "$PROBES/dial" "$to" $mode
        assertEquals "$1 $mode" "connect: $2" "$(printf '%s\n' "$out" | head -n 1)"
        assertNotContains "$1 $mode: $out" "$out" "send: 13"
        only_line "$2"
        [ -z "${3:-}" ] || assertContains "$1 $mode" "$err" "$3"
        nothing_in_clear "$1"
        end_case
    done
}

works() {
    to=''
    eval "to=\$near_$1"
    # shellcheck disable=SC2086
    run timeout -k 1 20 $wrapped "$PROBES/dial" "$to" blocking
    assertEquals "$1" "connect: ok
send: 13
recv: 13" "$out"
    assertEquals "$1" "" "$err"
    assert_wire "$1"
}

testCertificates() {
    client_policy
    works good
    works chain
    fails wrongname EKEYREJECTED wrong.example
    fails expired EKEYEXPIRED
    fails notyet EKEYEXPIRED
    fails selfsigned EKEYREJECTED
    fails unknownca EKEYREJECTED
    fails nointermediate EKEYREJECTED
    fails wrongpurpose EKEYREJECTED
    for name in wrongname expired notyet selfsigned unknownca nointermediate wrongpurpose; do assert_wire $name; done
}

testClientCertificates() {
    client_policy
    fails mutual12 EPROTO
    # TLS 1.3: the server refuses behind the client's Finished, so the first read tells.
    # shellcheck disable=SC2154
    for mode in blocking nonblocking; do
        # shellcheck disable=SC2086
        run timeout 20 $wrapped "$PROBES/dial" "$near_mutual13" $mode
        assertEquals "connect: ok
send: 13
recv: EPROTO" "$out"
        only_line EPROTO
    done
    # ... or the first write that meets the peer's reset. The recorder would pass on no reset.
    # shellcheck disable=SC2086,SC2154
    run timeout 20 $wrapped "$PROBES/reset_write" "$far_abrupt13"
    assertEquals "reset: yes
write: EPROTO
write: EPROTO
read: EPROTO" "$out"
    only_line EPROTO
    assertContains "$err" "cure: certfile"
    client_policy "certfile = @CERTS@/client.pem" "keyfile = @CERTS@/client.key"
    works mutual12
    works mutual13
    for name in mutual12 mutual13; do assert_wire $name; done
}

testVersionsAndCiphers() {
    client_policy "minimum_version = TLSv1.3"
    fails old EPROTO
    client_policy "maximum_version = TLSv1.2"
    fails good EPROTO
    client_policy "maximum_version = TLSv1.2" "ciphers = ECDHE-ECDSA-CHACHA20-POLY1305"
    fails weak EPROTO
    for name in old weak; do assert_wire $name; done
}

testPeersWithoutTls() {
    client_policy
    fails plainecho EPROTO
    fails plaingreet EPROTO
    fails garbage EPROTO
}

testASilentPeer() {
    client_policy "handshake_timeout = 300ms"
    sed -i '/= 5s/d' "$POLICY"
    fails silent ETIMEDOUT handshake_timeout
}

# The stream breaks at sampled bytes of the server's flight: prompt failure, no hang, no clear text.
testCutHandshakes() {
    client_policy
    for at in 1 5 6 128 140 600; do
        near=$(free_port)
        # shellcheck disable=SC2154
        start_wire "cut$at" "$near" "$far_good" --cut-server $at
        for mode in blocking nonblocking; do
            begin_case "cut at $at $mode"
            # shellcheck disable=SC2086
            run timeout -k 1 20 $wrapped "$PROBES/dial" "$near" $mode
            assertEquals "cut at $at, $mode" "connect: ECONNRESET" "$(printf '%s\n' "$out" | head -n 1)"
            only_line ECONNRESET
            end_case
        done
        assert_wire "cut$at"
        stop "cut$at"
    done
    assertTrue 0
}

# --- servers ---

server_policy() { server_rule 'handshake_timeout = 400ms' "$@" | write_policy; } # [LINE...]

start_server() {
    server_at=$(free_port) server_near=$(free_port)
    # shellcheck disable=SC2086
    start server $wrapped "$PROBES/server" "$server_at" block
    wait_listen "$server_at"
    start_wire server-wire "$server_near" "$server_at"
}

clients() { run timeout 30 "$PYTHON" "$TOP/tests/peers/client_tls.py" "$@"; }

# The server's next word, and one line about it.
server_says() {
    wait_line "$tmp/server.out" "$1"
    assertEquals "the server says $1, not $(cat "$tmp/server.out")" 0 $?
    err=$(cat "$tmp/server.err")
    only_line "${1#*: }"
}

testServerMeetsPlainText() {
    server_policy
    start_server
    run "$PYTHON" -c 'import socket, sys
conn = socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=10)
conn.sendall(b"GET / HTTP/1.0\r\n\r\n")
print(b"HTTP" in conn.recv(1000))' "$server_at"
    assertEquals "no answer in clear" False "$out"
    server_says "read: EPROTO"
    clients "$server_near" tls13 "$certs/ca.pem"
    assertEquals "1 of 1" "$out"
    assert_wire server-wire
}

testServerMeetsSilence() {
    server_policy
    start_server
    start silent "$PYTHON" -c 'import socket, sys; socket.create_connection(("127.0.0.1", int(sys.argv[1]))).recv(1)' "$server_at"
    server_says "read: ETIMEDOUT"
    clients "$server_near" tls12 "$certs/ca.pem"
    assertEquals "1 of 1" "$out"
    assert_wire server-wire
}

testServerMeetsACutHandshake() {
    server_policy
    start_server
    for at in 1 5 100; do
        start_wire "ccut$at" "$(free_port | tee "$tmp/port")" "$server_at" --cut-client $at
        clients "$(cat "$tmp/port")" tls13 "$certs/ca.pem"
        assertEquals "cut at $at" "0 of 1" "$(printf '%s\n' "$out" | head -n 1)"
        assert_wire "ccut$at"
    done
    clients "$server_near" tls13 "$certs/ca.pem"
    assertEquals "1 of 1" "$out"
    assert_wire server-wire
}

testServerDemandsACertificate() {
    server_policy "cert_reqs = required" "ca_certs = @CERTS@/ca.pem"
    for kind in tls12 tls13; do
        start_server
        clients "$server_near" $kind "$certs/ca.pem" --cert "$certs/client.pem"
        assertEquals "$kind, its own" "1 of 1" "$out"
        assertEquals "" "$(cat "$tmp/server.err")"
        clients "$server_near" $kind "$certs/ca.pem"
        assertEquals "$kind, none" "0 of 1" "$(printf '%s\n' "$out" | head -n 1)"
        server_says "read: EKEYREJECTED"
        assert_wire server-wire
        stop server-wire
        stop server
        start_server
        clients "$server_near" $kind "$certs/ca.pem" --cert "$certs/other-client.pem"
        assertEquals "$kind, another's" "0 of 1" "$(printf '%s\n' "$out" | head -n 1)"
        server_says "read: EKEYREJECTED"
        assert_wire server-wire
        stop server-wire
        stop server
    done
    assertTrue 0
}

testServerWithoutItsKey() {
    server_policy
    sed -i 's/server.key/none.key/' "$POLICY"
    server_at=$(free_port)
    # By hand: the launcher would refuse at once.
    start server env LD_PRELOAD="${sanitizer:+$sanitizer:}$PRELOAD" WRAPSOCK_POLICY="$POLICY" "$PROBES/server" "$server_at" block
    wait_listen "$server_at"
    clients "$server_at" tls13 "$certs/ca.pem"
    assertEquals "0 of 1" "$(printf '%s\n' "$out" | head -n 1)"
    wait_line "$tmp/server.out" "accept: EACCES"
    assertEquals 0 $?
    assertContains "$(cat "$tmp/server.err")" none.key
}

# --- words in clear between the records, and records where there should be none ---

# What was said before them may still be answered, or not: the connection is dead as soon as they have been seen.
testServerMeetsInjectedWords() {
    server_policy
    for kind in tls12 tls13; do
        for place in first middle behind later; do
            begin_case "$kind $place"
            server_at=$(free_port) says='read: EPROTO' hears='0 bytes of application data'
            [ $place != later ] || says='(read|write): EPROTO' hears='(0|13) bytes of application data'
            # shellcheck disable=SC2086
            start server $wrapped "$PROBES/server" "$server_at" block
            wait_listen "$server_at"
            run timeout 20 "$PYTHON" "$TOP/tests/peers/injector.py" visit "$server_at" $kind "$certs" $place
            assertEquals "$kind $place: $out $err" 1 "$(printf '%s\n' "$out" | grep -Ecx "$hears")"
            wait_line "$tmp/server.out" "EPROTO"
            assertEquals "$kind $place: $(cat "$tmp/server.out")" 1 "$(grep -Ecx "$says" "$tmp/server.out")"
            err=$(cat "$tmp/server.err")
            only_line EPROTO
            stop server
            end_case
        done
    done
    assertTrue 0
}

testClientMeetsInjectedWords() {
    client_policy
    for kind in tls12 tls13; do
        for place in first middle behind; do
            begin_case "$kind $place"
            at=$(free_port)
            start injector "$PYTHON" "$TOP/tests/peers/injector.py" serve "$at" $kind "$certs" $place
            wait_line "$tmp/injector.out" listening
            # shellcheck disable=SC2086
            run timeout -k 1 20 $wrapped "$PROBES/dial" "$at" blocking
            if [ $place = behind ]; then
                assertEquals "connect: ok
send: 13
recv: EPROTO" "$out"
                heard=13
            else
                assertEquals "connect: EPROTO" "$(printf '%s\n' "$out" | head -n 1)"
                heard=0
            fi
            only_line EPROTO
            wait_line "$tmp/injector.out" 'application data'
            assertEquals "$kind $place" "listening
$heard bytes of application data" "$(cat "$tmp/injector.out")"
            end_case
        done
    done
    assertTrue 0
}

# Policy leaves it plain: what a TLS client says there is the program's to judge, and what it answers is in clear.
testTlsMeetsAPlainSocket() {
    server_policy
    plain_at=$(free_port)
    sed -i "s/^match = .*/match = *:1/" "$POLICY"
    # shellcheck disable=SC2086
    start plain $wrapped "$PROBES/server" "$plain_at" block
    wait_listen "$plain_at"
    run "$PYTHON" -c 'import socket, ssl, sys
outgoing = ssl.MemoryBIO()
try:
    ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="localhost").do_handshake()
except ssl.SSLWantReadError:
    pass
hello = outgoing.read()
with socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=10) as conn:
    conn.sendall(hello)
    back = b""
    while len(back) < len(hello):
        back += conn.recv(65536)
    print(hello == back)' "$plain_at"
    assertEquals "$err" True "$out"
    assertEquals "" "$(cat "$tmp/plain.err")"
    clients "$plain_at" tls13 "$certs/ca.pem"
    assertEquals "0 of 1" "$(printf '%s\n' "$out" | head -n 1)"
}

# --- policies and objects that are not in order, preloaded by hand ---

# by_hand PRELOAD POLICY ERRNO WORDS: a connect to a plain server fails so, and it saw nothing. $as may stand in front of the command.
as=''
by_hand() {
    begin_case "$4"
    for mode in blocking nonblocking; do
        # shellcheck disable=SC2086,SC2154
        run timeout 20 $as env LD_PRELOAD="${sanitizer:+$sanitizer:}$1" WRAPSOCK_POLICY="$2" "$PROBES/dial" "$near_plainecho" $mode
        assertEquals "$4, $mode" "connect: $3" "$(printf '%s\n' "$out" | head -n 1)"
        assertNotContains "$4, $mode: $out" "$out" "send: 13"
        assertContains "$4, $mode" "$err" "$4"
        assertEquals "$4, $mode: one line of cause: $err" 1 "$(printf '%s\n' "$err" | grep -c '^wrapsock: error: ')"
    done
    nothing_in_clear plainecho
    end_case
}

testPolicies() {
    client_policy
    by_hand "$PRELOAD" "$tmp/none.conf" EACCES "none.conf"
    by_hand "$PRELOAD" "$tmp" EACCES "$tmp"
    cp "$POLICY" "$tmp/open.conf"
    chmod 660 "$tmp/open.conf"
    by_hand "$PRELOAD" "$tmp/open.conf" EACCES "open.conf"
    chmod 606 "$tmp/open.conf"
    by_hand "$PRELOAD" "$tmp/open.conf" EACCES "open.conf"
    { cat "$POLICY" && echo "colour = blue"; } | write_policy "$tmp/wrong.conf"
    by_hand "$PRELOAD" "$tmp/wrong.conf" EACCES "wrong.conf:"
    printf '[client all\n' | write_policy "$tmp/wrong.conf"
    by_hand "$PRELOAD" "$tmp/wrong.conf" EACCES "wrong.conf:1:"
    : | write_policy "$tmp/empty.conf"
}

# A program that may not read it connects nowhere, also where root runs the tests.
testAnUnreadablePolicy() {
    client_policy
    there=$tmp/there
    mkdir "$there"
    cp "$PRELOAD" "$LIBRARY" "$PROBES/dial" "$certs/ca.pem" "$there/"
    sed "s|$certs/||" "$POLICY" >"$there/closed.conf"
    chmod -R a+rX,go-w "$there"
    unprivileged_reads "$there/closed.conf" "$there/dial" || { skip "no other user can read $there"; return; }
    probes=$PROBES PROBES=$there
    # It is nothing else that refuses.
    # shellcheck disable=SC2086,SC2154
    run timeout 20 $unprivileged env LD_PRELOAD="${sanitizer:+$sanitizer:}$there/libwrapsock-preload.so" WRAPSOCK_POLICY="$there/closed.conf" \
        "$there/dial" "$near_good" blocking
    assertEquals "$err" "connect: ok
send: 13
recv: 13" "$out"
    assert_wire good
    chmod 000 "$there/closed.conf"
    as=$unprivileged
    by_hand "$there/libwrapsock-preload.so" "$there/closed.conf" EACCES "closed.conf"
    as='' PROBES=$probes
}

testACaFileThatIsMissing() {
    client_policy
    sed -i 's/ca.pem/none.pem/' "$POLICY"
    by_hand "$PRELOAD" "$POLICY" EACCES "none.pem"
}

testTheLibrary() {
    client_policy
    mkdir "$tmp/objects"
    cp "$PRELOAD" "$tmp/objects/"
    by_hand "$tmp/objects/libwrapsock-preload.so" "$POLICY" ELIBACC "libwrapsock.so"
    # Another library under its name.
    cp "$(ldd "$LIBRARY" | sed -n 's/.*=> \(.*libcrypto[^ ]*\).*/\1/p')" "$tmp/objects/libwrapsock.so"
    by_hand "$tmp/objects/libwrapsock-preload.so" "$POLICY" ELIBACC "another version"
}

. "$SHUNIT2"
