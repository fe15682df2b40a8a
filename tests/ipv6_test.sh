#!/bin/sh
# IPv6 in both roles: rules by address, v4-mapped addresses on either side, and an address as the name that the certificate must bear.
# shellcheck disable=SC2086,SC2154,SC1090,SC1091
. "$(dirname "$0")/lib.sh"

oneTimeSetUp() {
    specs='' listen=''
    for kind in tls12 tls13; do
        for certificate in server name-only; do
            far=$(free_port)
            specs="$specs $kind:echo:$far:$certificate" listen="$listen $far"
            eval "far_${kind}_${certificate%-*}=$far near_${kind}_${certificate%-*}=$(free_port)"
        done
    done
    start peers "$PYTHON" "$TOP/tests/peers/echo_tls.py" "$certs" $specs
    for far in $listen; do wait_listen "$far"; done
    for kind in tls12 tls13; do
        for certificate in server name; do eval "start_wire $certificate-$kind \$near_${kind}_$certificate \$far_${kind}_$certificate"; done
    done
}

# What no rule matches is refused: a rule that should match and does not shows.
client_policy() { # HOST
    write_policy <<-END
	[defaults]
	unmatched = refuse
	[client there]
	match = $1:*
	ca_certs = @CERTS@/ca.pem
	END
}

dials() { # CERTIFICATE ADDRESS EXPECTED
    for kind in tls12 tls13; do
        for mode in blocking nonblocking; do
            begin_case "$host, $2, $kind, $mode: $3"
            eval "near=\$near_${kind}_$1"
            run timeout -k 1 20 $wrapped "$PROBES/dial" "$near" $mode "$2"
            assertEquals "$case_name: $err" "connect: $3" "$(printf '%s\n' "$out" | head -n 1)"
            if [ "$3" = ok ]; then
                assertEquals "$case_name" "recv: 13" "$(printf '%s\n' "$out" | tail -n 1)"
            else
                assertNotContains "$case_name" "$out" "send: 13"
            fi
            end_case
        done
    done
}

testAClient() {
    for host in '[::1]' '[::/64]'; do
        client_policy "$host"
        dials server ::1 ok
    done
    for host in '[::ffff:127.0.0.1]' 127.0.0.1; do
        client_policy "$host"
        dials server ::ffff:127.0.0.1 ok
        dials server 127.0.0.1 ok
    done
    client_policy '[::2]'
    dials server ::1 EACCES
    for kind in tls12 tls13; do assert_wire server-$kind; done
}

# The same names but no addresses: nothing vouches for ::1.
testAnAddressIsAName() {
    host='[::1]'
    client_policy "$host"
    dials name ::1 EKEYREJECTED
    assertContains "$err" "expected name ::1"
    for kind in tls12 tls13; do assert_wire name-$kind; done
}

# nc listens on ADDRESS under a rule for HOST; a native client that verifies it says a line.
serves() { # MATCH ADDRESS CLIENT-ADDRESS
    write_policy <<-END
	[defaults]
	unmatched = refuse
	[server here]
	match = $1:*
	certfile = @CERTS@/server.pem
	keyfile = @CERTS@/server.key
	END
    printf 'secret words\n' >"$tmp/says"
    for version in 1_2 1_3; do
        begin_case "rule $1, listens on $2, TLS $version"
        far=$(free_port) near=$(free_port) name=server-$version-$near
        start "$name" $wrapped nc.openbsd -l -d "$2" "$far"
        wait_listen "$far"
        start_wire "$name-wire" "$near" "$far" --host "$3"
        timeout -k 1 20 openssl s_client -quiet -no_ign_eof -tls$version -verify_return_error -CAfile "$certs/ca.pem" -verify_ip ::1 \
            -connect "[::1]:$near" <"$tmp/says" >"$tmp/out" 2>"$tmp/err"
        wait_line "$tmp/$name.out" "^secret words$"
        assertEquals "$case_name: $(cat "$tmp/err" "$tmp/$name.err")" "secret words" "$(cat "$tmp/$name.out")"
        assert_wire "$name-wire"
        end_case
    done
}

testAServer() {
    serves '[::1]' ::1 ::1
    serves '[::ffff:127.0.0.1]' 127.0.0.1 127.0.0.1
    serves 127.0.0.1 ::ffff:127.0.0.1 127.0.0.1
}

# With the relay it is still a socket of IPv6.
testARelayedServer() {
    write_policy <<-END
	[server here]
	match = [::1]:*
	route = relay
	certfile = @CERTS@/server.pem
	keyfile = @CERTS@/server.key
	END
    far=$(free_port)
    start relayed $wrapped "$PYTHON" -u -c '
import socket, sys
listener = socket.create_server(("::1", int(sys.argv[1])), family=socket.AF_INET6)
s, peer = listener.accept()
print(s.recv(100).decode().strip())
print(s.getsockopt(socket.SOL_SOCKET, socket.SO_DOMAIN) == socket.AF_INET6, s.getpeername() == peer, s.getsockname()[:2])' "$far"
    wait_listen "$far"
    printf 'secret words\n' | timeout -k 1 20 openssl s_client -quiet -CAfile "$certs/ca.pem" -verify_return_error -verify_ip ::1 \
        -connect "[::1]:$far" >"$tmp/out" 2>"$tmp/err"
    wait_line "$tmp/relayed.out" "^True"
    assertEquals "$(cat "$tmp/relayed.err")" "secret words
True True ('::1', $far)" "$(cat "$tmp/relayed.out")"
}

. "$SHUNIT2"
