#!/bin/sh
# limit: 200
# shellcheck disable=SC2094 # it waits for what the other end writes
# The explicit API, by its examples, and other people's TLS: OpenSSL's and GnuTLS's tools, nginx, curl. (Python's: examples_test.sh.)
. "$(dirname "$0")/lib.sh"

EXAMPLES=$BUILD/examples

versions='1.2 1.3'

oneTimeSetUp() {
    echo_port=$(free_port)
    start echo "$EXAMPLES/server_threads" "$echo_port" "$certs/server.pem" "$certs/server.key"
    wait_listen "$echo_port"
    mkdir -p "$tmp/www"
    echo 'hello from the server' >"$tmp/www/index.html"
}

# serve KIND VERSION PORT: an HTTPS server of somebody else's.
serve() {
    case $1 in
    openssl) start "$1" openssl s_server -www "-tls1_${2#1.}" -accept "$3" -cert "$certs/server.pem" -key "$certs/server.key" ;;
    gnutls) start "$1" gnutls-serv --http -p "$3" --x509certfile "$certs/server.pem" --x509keyfile "$certs/server.key" \
        --priority "NORMAL:-VERS-ALL:+VERS-TLS$2" ;;
    nginx)
        cat >"$tmp/nginx.conf" <<-END
	daemon off; master_process off; pid $tmp/nginx.pid; error_log stderr; events { }
	http { access_log off; client_body_temp_path $tmp/a; proxy_temp_path $tmp/b; fastcgi_temp_path $tmp/c; uwsgi_temp_path $tmp/d; scgi_temp_path $tmp/e;
	server { listen $3 ssl; listen [::]:$3 ssl; ssl_certificate $certs/server.pem; ssl_certificate_key $certs/server.key; ssl_protocols TLSv$2; root $tmp/www; } }
	END
        start "$1" nginx -c "$tmp/nginx.conf" -e stderr
        ;;
    esac
    wait_listen "$3"
}

test_client_when_the_server_is_anothers_then_certificate_and_answer() {
    for kind in openssl gnutls nginx; do
        case $kind in openssl) program=openssl word='Ciphers supported' ;; gnutls) program=gnutls-serv word='GnuTLS' ;; *) program=nginx word='hello from the server' ;; esac
        command -v "$program" >/dev/null || { skip "no $program"; continue; }
        for version in $versions; do
            begin_case "$kind, TLS $version"
            port=$(free_port) wire=$(free_port)
            serve "$kind" "$version" "$port"
            start_wire "$kind$version" "$wire" "$port"
            run "$EXAMPLES/client" localhost "$wire" "$certs/ca.pem"
            assertContains "$out$err" "'commonName', 'localhost'"
            assertContains "$out$err" "$word"
            assert_wire "$kind$version"
            stop "$kind"
        done
    done
    end_case
}

test_server_when_the_client_is_openssls_then_echoed() {
    for version in $versions; do
        begin_case "TLS $version"
        { printf 'a line for the echo\n' && wait_line "$tmp/s_client.out" 'a line'; } |
            timeout 20 openssl s_client -quiet "-tls1_${version#1.}" -verify_return_error -CAfile "$certs/ca.pem" -servername localhost \
                -verify_hostname localhost -connect "localhost:$echo_port" >"$tmp/s_client.out" 2>"$tmp/s_client.err"
        assertEquals "$(cat "$tmp/s_client.err")" 'a line for the echo' "$(cat "$tmp/s_client.out")"
        rm -f "$tmp/s_client.out"
    done
    end_case
}

test_server_when_the_client_is_gnutls_then_echoed() {
    command -v gnutls-cli >/dev/null || { skip "no gnutls-cli"; return; }
    for version in $versions; do
        begin_case "TLS $version"
        { printf 'a line for the echo\n' && wait_line "$tmp/gnutls.out" 'a line'; } |
            timeout 20 gnutls-cli --priority "NORMAL:-VERS-ALL:+VERS-TLS$version" --x509cafile "$certs/ca.pem" \
                --sni-hostname localhost --verify-hostname localhost -p "$echo_port" localhost >"$tmp/gnutls.out" 2>"$tmp/gnutls.err"
        assertContains "$(cat "$tmp/gnutls.out" "$tmp/gnutls.err")" 'a line for the echo'
        rm -f "$tmp/gnutls.out"
    done
    end_case
}

test_server_when_the_client_is_curl_then_its_request_comes_back() {
    command -v curl >/dev/null || { skip "no curl"; return; }
    usable curl --version || { skip "curl does not run with the sanitizer's runtime"; return; }
    for version in $versions; do
        begin_case "TLS $version"
        # The echo does not end by itself.
        run curl -sS --http0.9 --max-time 2 "--tlsv$version" --tls-max "$version" --cacert "$certs/ca.pem" "https://localhost:$echo_port/some/path"
        assertContains "$err" 'timed out'
        assertContains "$out" 'GET /some/path HTTP/1.1'
    done
    end_case
    run curl -sS --http0.9 --max-time 5 --cacert "$certs/other-ca.pem" "https://localhost:$echo_port/"
    assertEquals "$err" 60 "$status"
}

. "$SHUNIT2"
