#!/bin/sh
# A program that connects again resumes, with servers of three libraries and with our own, and never where it should verify anew.
# shellcheck disable=SC1090,SC1091,SC2154
. "$(dirname "$0")/lib.sh"

# peer KIND VERSION PORT: a server whose certificate names localhost and 127.0.0.1.
peer() {
    _cert=$certs/server.pem _key=$certs/server.key
    case $1 in
    openssl)
        start "peer$3" openssl s_server -accept "$3" -cert "$_cert" -key "$_key" -www -"$2" -naccept 100
        ;;
    gnutls)
        _v=VERS-TLS1.3
        if [ "$2" = tls1_2 ]; then _v=VERS-TLS1.2; fi
        start "peer$3" gnutls-serv --http -p "$3" --x509certfile "$_cert" --x509keyfile "$_key" --priority "NORMAL:-VERS-ALL:+$_v"
        ;;
    nginx)
        _v=TLSv1.3
        if [ "$2" = tls1_2 ]; then _v=TLSv1.2; fi
        mkdir -p "$tmp/nginx$3"
        cat >"$tmp/nginx$3.conf" <<-END
	daemon off; worker_processes 2; pid $tmp/nginx$3/pid; error_log stderr; events { }
	http { access_log off; client_body_temp_path $tmp/nginx$3/a; proxy_temp_path $tmp/nginx$3/b; fastcgi_temp_path $tmp/nginx$3/c;
	uwsgi_temp_path $tmp/nginx$3/d; scgi_temp_path $tmp/nginx$3/e; ssl_session_cache shared:s:1m;
	server { listen 127.0.0.1:$3 ssl; ssl_certificate $_cert; ssl_certificate_key $_key; ssl_protocols $_v; root $tmp/nginx$3; } }
	END
        start "peer$3" nginx -p "$tmp/nginx$3" -c "$tmp/nginx$3.conf" -e stderr
        ;;
    esac
    wait_listen "$3"
}

client_policy() {
    write_policy <<-END
	[client all]
	match = *:*
	ca_certs = @CERTS@/ca.pem
	END
}

# handshakes EXPECTED PORT COUNT: how each connection of one process came to be.
handshakes() {
    # shellcheck disable=SC2086
    run timeout 20 $launcher -v -p "$POLICY" -- "$PROBES/again" "$2" "$3"
    assertEquals "$err" 0 "$status"
    assertEquals "$err" "$1" "$(printf '%s\n' "$err" | sed -n 's/.*\(full\) handshake, .*/\1/p; s/.*\(resumed\), .*/\1/p' | tr '\n' ' ')"
}

testPeers() {
    client_policy
    for kind in openssl gnutls nginx; do
        for version in tls1_2 tls1_3; do
            begin_case "$kind $version"
            _port=$(free_port)
            peer $kind $version "$_port"
            handshakes 'full resumed resumed ' "$_port" 3
            end_case
        done
    done
}

# Sessions are the process's: another begins anew, and OP_NO_TICKET keeps none.
testNoTicket() {
    _port=$(free_port)
    peer openssl tls1_3 "$_port"
    client_policy
    handshakes 'full ' "$_port" 1
    handshakes 'full resumed ' "$_port" 2
    echo 'options = OP_NO_TICKET' >>"$POLICY"
    handshakes 'full full ' "$_port" 2
}

. "$SHUNIT2"
