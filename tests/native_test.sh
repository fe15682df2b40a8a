#!/bin/sh
# Wrapped clients of servers that are others' own TLS, OpenSSL's and GnuTLS's, with certificates on one side and on both.
# shellcheck disable=SC2086,SC2154,SC1090,SC1091
. "$(dirname "$0")/lib.sh"

client_policy() { # FILE CA [LINE...]
    _policy=$1 _ca=$2
    shift 2
    write_policy "$tmp/$_policy.conf" <<-END
	[client all]
	match = *:*
	ca_certs = @CERTS@/$_ca.pem
	$(printf '%s\n' "$@")
	END
}

# s_server sends back each line reversed, gnutls-serv as it is.
start_openssl() { # NAME PORT VERSION [CA]
    start "$1" openssl s_server -accept "$2" -tls1_${3#1.} -cert "$certs/server.pem" -key "$certs/server.key" -rev \
        ${4:+-Verify 1 -verify_return_error -CAfile "$4"}
}
start_gnutls() { # NAME PORT VERSION [CA]
    start "$1" gnutls-serv --echo --port "$2" --priority "NORMAL:-VERS-ALL:+VERS-TLS$3" --x509certfile "$certs/server.pem" \
        --x509keyfile "$certs/server.key" ${4:+--require-client-cert --verify-client-cert --x509cafile "$4"}
}

oneTimeSetUp() {
    client_policy bare ca
    client_policy own ca "certfile = @CERTS@/client.pem" "keyfile = @CERTS@/client.key"
    client_policy foreign ca "certfile = @CERTS@/other-client.pem" "keyfile = @CERTS@/other-client.key"
    client_policy distrusting other-ca "certfile = @CERTS@/client.pem" "keyfile = @CERTS@/client.key"
}

# serve TOOL VERSION [CA]: a server behind a recorder; the clients find it at $near.
serve() {
    name=$1-$2${3:+-mutual} far=$(free_port) near=$(free_port)
    start_$1 "$name" "$far" "$2" ${3:+"$3"}
    wait_listen "$far"
    start_wire "$name-wire" "$near" "$far"
}

dials() { run timeout -k 1 20 $launcher -p "$tmp/$1.conf" -- "$PROBES/dial" "$near" "$2"; }

# welcome TOOL POLICY: the probe, waiting and not, and nc; the certificate that the server shows is judged, too.
welcome() {
    for mode in blocking nonblocking; do
        dials "$2" $mode
        assertEquals "$name, $mode: $err" "connect: ok
send: 13
recv: 13" "$out"
    done
    printf 'secret words\n' >"$tmp/says"
    timeout -k 1 20 $launcher -p "$tmp/$2.conf" -- nc.openbsd -N 127.0.0.1 "$near" <"$tmp/says" >"$tmp/out" 2>"$tmp/err"
    case $1 in openssl) answer='sdrow terces' ;; *) answer='secret words' ;; esac
    assertEquals "$name, nc: $(cat "$tmp/err")" "$answer" "$(cat "$tmp/out")"
    dials distrusting blocking
    assertEquals "$name, of another authority: $err" "connect: EKEYREJECTED" "$(printf '%s\n' "$out" | head -n 1)"
}

# unwelcome VERSION POLICY: refused, in TLS 1.3 behind the handshake. It only reads: a write that the server does not read any more would be
# answered with a reset, and that may overtake the alert.
unwelcome() {
    run timeout -k 1 20 $launcher -p "$tmp/$2.conf" -- "$PROBES/greeted" "$near" blocking
    case $1 in 1.2) call='connect' ;; *) call='read' ;; esac
    assertEquals "$name, $2: $err" "$call: EPROTO" "$out"
    assertContains "$name, $2" "$err" "peer sent alert"
}

serves() { # TOOL
    for version in 1.2 1.3; do
        begin_case "$1 $version"
        serve "$1" $version
        welcome "$1" bare
        assert_wire "$name-wire"
        begin_case "$1 $version, both with certificates"
        serve "$1" $version "$certs/ca.pem"
        welcome "$1" own
        unwelcome $version bare
        unwelcome $version foreign
        assert_wire "$name-wire"
        end_case
    done
}

testOpenssl() { serves openssl; }

testGnutls() {
    command -v gnutls-serv >/dev/null || { skip "no gnutls-serv"; return; }
    serves gnutls
}

. "$SHUNIT2"
