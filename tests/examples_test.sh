#!/bin/sh
# limit: 240
# The programs of lib/examples, against native peers and against each other.
. "$(dirname "$0")/lib.sh"

EXAMPLES=$BUILD/examples

# serve_https PORT CERTIFICATE: Python's own HTTPS server of $tmp/www.
serve_https() {
    mkdir -p "$tmp/www"
    echo 'hello from the server' >"$tmp/www/index.html"
    start https "$PYTHON" -c 'import http.server, socket, ssl, sys
class Server(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6
port, certificate, folder = sys.argv[1:]
handler = lambda *a: http.server.SimpleHTTPRequestHandler(*a, directory=folder)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(certificate + ".pem", certificate + ".key")
server = Server(("::", int(port)), handler)
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()' "$1" "$certs/$2" "$tmp/www"
    wait_listen "$1"
}

# serve NAME PORT: one of our echo servers.
serve() {
    start "$1" "$EXAMPLES/$1" "$2" "$certs/server.pem" "$certs/server.key"
    wait_listen "$2"
}

# Row 130: the client of Python's manual.
test_client_when_it_asks_then_certificate_and_answer() {
    port=$(free_port) wire=$(free_port)
    serve_https "$port" server
    start_wire client "$wire" "$port"
    run "$EXAMPLES/client" localhost "$wire" "$certs/ca.pem"
    assertEquals "$err" 0 "$status"
    assertContains "$out" "', $wire)"
    assertContains "$out" "'subject': (('commonName', 'localhost'))"
    assertContains "$out" "'subjectAltName': (('DNS', 'localhost'), ('DNS', '*.test'), ('IP Address', '127.0.0.1'), ('IP Address', '0:0:0:0:0:0:0:1'))"
    assertContains "$out" 'hello from the server'
    assert_wire client
    assertFalse 'the request went out in clear' 'wire_text client "GET /"'
}

test_client_when_the_server_is_another_then_it_says_nothing() {
    for case in 'other-server certificate' 'wrong-name name' 'expired expired'; do
        begin_case "${case% *}"
        port=$(free_port) wire=$(free_port)
        serve_https "$port" "${case% *}"
        start_wire "${case% *}" "$wire" "$port"
        run "$EXAMPLES/client" localhost "$wire" "$certs/ca.pem"
        assertEquals 1 "$status"
        assertContains "$err" "${case#* }"
        assertEquals '' "$out"
        assert_wire "${case% *}"
        assertFalse 'the request went out in clear' "wire_text '${case% *}' 'GET /'"
        stop https
    done
    end_case
}

# Row 131: a context, a bundle, HEAD.
test_context_client_when_it_asks_then_the_head() {
    port=$(free_port)
    serve_https "$port" server
    run "$EXAMPLES/context_client" localhost "$port" "$certs/ca.pem"
    assertEquals "$err" 0 "$status"
    assertContains "$out" "'HTTP/1.0 200 OK'"
    assertContains "$out" "'Content-Length: 22'"
    assertContains "$out" "'notAfter': '"
    run "$EXAMPLES/context_client" localhost "$port" "$tmp/no-bundle.crt"
    assertEquals 1 "$status"
    assertContains "$err" 'No such file or directory'
    assertContains "$err" "$tmp/no-bundle.crt"
}

# Row 132 and 133: what comes goes back; who does not speak TLS, or says nothing, disturbs nobody.
test_server_threads_when_many_ask_then_each_gets_its_own() {
    port=$(free_port) wire=$(free_port)
    serve server_threads "$port"
    start silent "$PYTHON" -c 'import socket, sys
open_ = [socket.create_connection(("localhost", int(sys.argv[1]))) for _ in range(10)]
open_[0].sendall(b"GET / HTTP/1.0\r\n\r\n")
print("open", flush=True)
sys.stdin.read()
import time
time.sleep(60)' "$port"
    wait_line "$tmp/silent.out" open
    run "$PYTHON" "$TOP/tests/peers/client_tls.py" "$port" tls "$certs/ca.pem" --count 64 --together 64
    assertEquals "$out$err" 0 "$status"
    run "$PYTHON" "$TOP/tests/peers/client_tls.py" "$port" tls12 "$certs/ca.pem" --count 2 --size 300000
    assertEquals "$out$err" 0 "$status"
    start_wire threads "$wire" "$port"
    run "$PYTHON" "$TOP/tests/peers/client_tls.py" "$wire" tls13 "$certs/ca.pem"
    assertEquals "$out$err" 0 "$status"
    assert_wire threads
}

# Row 133: 500 clients open at once, in one thread, among some that never say a word.
test_server_events_when_500_are_open_then_all_are_served() {
    port=$(free_port)
    serve server_events "$port"
    run "$PYTHON" -c 'import socket, ssl, sys
port, ca = int(sys.argv[1]), sys.argv[2]
context = ssl.create_default_context(cafile=ca)
silent, clients = [], []
for i in range(500):
    if i % 25 == 0:
        silent.append(socket.create_connection(("localhost", port)))
    clients.append(context.wrap_socket(socket.create_connection(("localhost", port)), server_hostname="localhost"))
for turn in range(2):
    for i, client in enumerate(clients):
        client.sendall(b"%d of turn %d;" % (i, turn) * (i % 50 + 1))
    for i, client in enumerate(clients):
        expected = b"%d of turn %d;" % (i, turn) * (i % 50 + 1)
        got = b""
        while len(got) < len(expected):
            data = client.recv(65536)
            assert data, "client %d lost its server" % i
            got += data
        assert got == expected, "client %d got what it had not sent" % i
for client in clients:
    client.close()
print("served", len(clients))' "$port" "$certs/ca.pem"
    assertEquals "$err" 'served 500' "$out"
    threads=$(sed -n 's/^Threads:[^0-9]*//p' "/proc/$(cat "$tmp/server_events.pid")/status")
    assertEquals 1 "$threads"
    wait_for no_clients_left "$(cat "$tmp/server_events.pid")"
    assertEquals 'descriptors are left' 0 $?
    run "$PYTHON" "$TOP/tests/peers/client_tls.py" "$port" tls13 "$certs/ca.pem" --size 1000000
    assertEquals "$out$err" 0 "$status"
}

# Its sockets are the listener alone.
no_clients_left() { [ "$(find "/proc/$1/fd" -lname 'socket:*' | wc -l)" -le 1 ]; }

# Row 81: whatever the pieces in which the bytes arrive.
test_handshake_when_the_wire_is_slow_then_it_polls_to_the_end() {
    for chunk in 1 100000; do
        begin_case "$chunk bytes at a time"
        port=$(free_port) wire=$(free_port)
        serve_https "$port" server
        start_wire "slow$chunk" "$wire" "$port" --chunk "$chunk"
        run "$EXAMPLES/handshake" localhost "$wire" "$certs/ca.pem"
        assertEquals "$err" 0 "$status"
        assertContains "$err" TLSv1.3
        assertContains "$out" 'hello from the server'
        assert_wire "slow$chunk"
        stop https
    done
    end_case
}

# Row 98: in clear, under TLS, in clear again, not a byte lost.
test_starttls_when_tls_comes_and_goes_then_only_the_middle_is_secret() {
    port=$(free_port) wire=$(free_port)
    start server "$EXAMPLES/starttls" server "$port" "$certs/server.pem" "$certs/server.key"
    wait_listen "$port"
    start_wire starttls "$wire" "$port"
    run "$EXAMPLES/starttls" client localhost "$wire" "$certs/ca.pem"
    assertEquals "$err" 0 "$status"
    assertEquals 'plain go ahead
TLS   your secret is safe
plain goodbye in clear' "$out"
    wait_line "$tmp/server.out" 'hello in clear'
    assertEquals 'plain STARTTLS
TLS   a secret
plain hello in clear' "$(cat "$tmp/server.out")"
    assertTrue 'the beginning is in clear' 'wire_text starttls STARTTLS'
    assertTrue 'the end is in clear' 'wire_text starttls "goodbye in clear"'
    assertFalse 'the secret is in clear' 'wire_text starttls secret'
}

# Rows 41 to 44: over both families, verified only where authorities are named.
test_server_certificate_when_fetched_then_the_servers_own() {
    port=$(free_port)
    serve_https "$port" server
    openssl x509 -in "$certs/server.pem" >"$tmp/expected.pem"
    for host in localhost 127.0.0.1 ::1; do
        for ca in '' "$certs/ca.pem"; do
            begin_case "$host ${ca:+verified}"
            run "$EXAMPLES/server_certificate" "$host" "$port" ${ca:+"$ca"}
            assertEquals "$err" 0 "$status"
            assertEquals "$(cat "$tmp/expected.pem")" "$out"
        done
    done
    end_case
    run "$EXAMPLES/server_certificate" localhost "$port" "$certs/other-ca.pem"
    assertEquals 1 "$status"
    assertContains "$err" certificate
    assertEquals '' "$out"
    run "$EXAMPLES/server_certificate" localhost "$port" "$tmp/no-bundle.crt"
    assertEquals 1 "$status"
    assertContains "$err" 'No such file'
}

test_server_certificate_when_the_name_is_wrong_then_only_unverified() {
    port=$(free_port)
    serve_https "$port" wrong-name
    run "$EXAMPLES/server_certificate" localhost "$port"
    assertEquals "$err" 0 "$status"
    assertEquals "$(openssl x509 -in "$certs/wrong-name.pem")" "$out"
    run "$EXAMPLES/server_certificate" localhost "$port" "$certs/ca.pem"
    assertEquals 1 "$status"
    assertContains "$err" name
}

# Row 43 with D1: the name is sent, so that a server of several names shows the right certificate.
test_server_certificate_when_the_server_has_two_then_that_of_the_name() {
    port=$(free_port)
    start two openssl s_server -accept "$port" -cert "$certs/wrong-name.pem" -key "$certs/wrong-name.key" -servername localhost \
        -cert2 "$certs/server.pem" -key2 "$certs/server.key" -quiet
    wait_listen "$port"
    run "$EXAMPLES/server_certificate" localhost "$port"
    assertEquals "$err" 0 "$status"
    assertEquals "$(openssl x509 -in "$certs/server.pem")" "$out"
}

test_server_certificate_when_nobody_answers_then_why() {
    run "$EXAMPLES/server_certificate" localhost "$(free_port)"
    assertEquals 1 "$status"
    assertContains "$err" 'refused'
    run "$EXAMPLES/server_certificate" no-such-host.invalid 443
    assertEquals 1 "$status"
    assertContains "$err" 'resolved'
    run "$EXAMPLES/server_certificate" localhost no-such-port
    assertEquals 1 "$status"
    assertContains "$err" 'port'
}

. "$SHUNIT2"
