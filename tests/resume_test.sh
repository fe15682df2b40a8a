#!/bin/sh
# A program that connects again resumes, in one process and across them, with servers of three libraries, and never where it should verify anew.
# shellcheck disable=SC1090,SC1091,SC2154,SC2086
. "$(dirname "$0")/lib.sh"

# peer KIND VERSION: a server whose certificate names localhost and 127.0.0.1, behind a recorder on port $_port; recorded says what that saw.
peer() {
    _far=$(free_port)
    native "$1" "$2" "$_far"
    start_wire "wire$_port" "$_port" "$_far"
}
recorded() { assert_wire "wire$_port"; }

native() { # KIND VERSION PORT
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
	server { listen 127.0.0.1:$3 ssl; ssl_certificate $_cert; ssl_certificate_key $_key; ssl_protocols $_v; location /hello { return 200 hello; } } }
	END
        start "peer$3" nginx -p "$tmp/nginx$3" -c "$tmp/nginx$3.conf" -e stderr
        ;;
    esac
    wait_listen "$3"
}

client_policy() { client_rule | write_policy; }

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
            peer $kind $version
            handshakes 'full resumed resumed ' "$_port" 3
            recorded
            end_case
        done
    done
}

# Sessions are the process's: another begins anew, and OP_NO_TICKET and session_cache = none keep none.
testNoTicket() {
    _port=$(free_port)
    peer openssl tls1_3
    client_policy
    handshakes 'full ' "$_port" 1
    handshakes 'full resumed ' "$_port" 2
    echo 'options = OP_NO_TICKET' >>"$POLICY"
    handshakes 'full full ' "$_port" 2
    client_policy
    echo 'session_cache = none' >>"$POLICY"
    handshakes 'full full ' "$_port" 2
    recorded
}

# --- across processes ---

file_policy() { # [LINE...]: of the rule
    mkdir -p "$tmp/runtime"
    chmod 700 "$tmp/runtime"
    export XDG_RUNTIME_DIR="$tmp/runtime"
    sessions=$tmp/runtime/wrapsock/sessions
    client_policy
    printf '%s\n' 'session_cache = file' "$@" >>"$POLICY"
}

# Each with an empty file.
begin_file_case() {
    begin_case "$1"
    rm -rf "$tmp/runtime"
    shift
    file_policy "$@"
}

testProcesses() {
    for kind in openssl gnutls nginx; do
        for version in tls1_2 tls1_3; do
            begin_file_case "$kind $version"
            _port=$(free_port)
            peer $kind $version
            handshakes 'full ' "$_port" 1
            handshakes 'resumed ' "$_port" 1
            handshakes 'resumed resumed ' "$_port" 2
            assertEquals "only its owner's" '600 700' "$(stat -c %a "$sessions" "${sessions%/*}" | tr '\n' ' ' | sed 's/ $//')"
            recorded
            end_case
        done
    done
    unset XDG_RUNTIME_DIR
}

testCurl() {
    usable curl --version || { skip "curl hangs with nothing but the sanitizer in it"; return; }
    file_policy
    _port=$(free_port)
    peer nginx tls1_3
    for _time in 1 2 3 4; do
        run timeout 20 $launcher -v -p "$POLICY" -- curl -s -S -H "X-Canary: $CANARY" "http://localhost:$_port/hello"
        assertEquals "$err" "0:hello" "$status:$out"
        printf '%s\n' "$err" >>"$tmp/curl.log"
    done
    assertEquals "$(cat "$tmp/curl.log")" '1 3' "$(grep -c 'full handshake' "$tmp/curl.log") $(grep -c resumed "$tmp/curl.log")"
    recorded
    unset XDG_RUNTIME_DIR
}

# What is not ours alone, or damaged, is not used: one line, and the connection is made all the same.
testFilesNotUsed() {
    _port=$(free_port)
    peer openssl tls1_3
    for fault in mode folder link garbage cut gone; do
        begin_file_case "$fault"
        handshakes 'full ' "$_port" 1
        handshakes 'resumed ' "$_port" 1
        case $fault in
        mode) chmod 644 "$sessions" && says='mode 644' ;;
        folder) chmod 770 "$tmp/runtime/wrapsock" && says='mode 770' ;;
        link) mv "$sessions" "$tmp/elsewhere" && ln -s "$tmp/elsewhere" "$sessions" && says='is a symbolic link' ;;
        garbage) head -c 2097152 /dev/urandom >"$sessions" && says='damaged' ;;
        cut) truncate -s $(($(stat -c %s "$sessions") - 8000)) "$sessions" && says='damaged' ;;
        gone) rm -rf "$tmp/runtime" && says='runtime: No such file' ;;
        esac
        run timeout 20 $launcher -p "$POLICY" -- "$PROBES/again" "$_port" 2
        assertEquals "$err" '0:answered: yes
answered: yes' "$status:$out"
        assertEquals "$err" 1 "$(printf '%s\n' "$err" | wc -l)"
        assertContains "$err" 'wrapsock: warn: 127.0.0.1:'
        assertContains "$err" 'session_cache = file: '
        assertContains "$err" "$says"
        end_case
    done
    recorded
    unset XDG_RUNTIME_DIR
}

# A folder that cannot be had is said when the rule is read, and by check.
testNoFolder() {
    if [ -z "$unprivileged" ] || [ -n "$sanitizer" ]; then skip "needs root, and a build without sanitizer"; return; fi
    mkdir -m 755 "$tmp/there"
    cp -L "$WRAPSOCKCTL" "$LIBRARY" "$certs/ca.pem" "$tmp/there"
    unprivileged_reads "$tmp/there/ca.pem"
    printf '[client all]\nmatch = *:*\nca_certs = %s\nsession_cache = file\n' "$tmp/there/ca.pem" | write_policy "$tmp/own.conf"
    chown 54321 "$tmp/own.conf"
    run $unprivileged "$tmp/there/wrapsockctl" check "$tmp/own.conf"
    assertEquals "$err" 0 "$status"
    assertContains "$err" 'own.conf:4:17: warning: session_cache file: XDG_RUNTIME_DIR is not set, and /run/user/54321: No such file'
}

# A peer that would be refused now does not get in with what it was given before.
testVerifiedAnew() {
    _port=$(free_port)
    peer openssl tls1_3
    mkdir "$tmp/ca"
    cp "$certs/ca.conf" "$certs/index.txt" "$certs/index.txt.attr" "$tmp/ca"
    lists() { (cd "$tmp/ca" && openssl ca -config ca.conf -keyfile "$certs/ca.key" -cert "$certs/ca.pem" "$@" 2>/dev/null); }
    lists -gencrl -crldays 10 -out "$tmp/list.pem"
    for change in pin allow crl other-ca name; do
        begin_file_case "$change" "crlfile = $tmp/list.pem"
        handshakes 'full ' "$_port" 1
        handshakes 'resumed ' "$_port" 1
        case $change in
        pin) echo 'pin = sha256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=' >>"$POLICY" && says='no certificate of the chain has a pinned key' ;;
        allow) echo 'allow = cn=nobody' >>"$POLICY" && says='none of the allowed identities' ;;
        other-ca) sed -i 's|/ca.pem|/other-ca.pem|' "$POLICY" && says='EKEYREJECTED' ;;
        name) echo 'server_hostname = else.example' >>"$POLICY" && says='else.example' ;;
        crl)
            cp "$tmp/list.pem" "$tmp/clean.pem"
            lists -revoke "$certs/server.pem"
            lists -gencrl -crldays 10 -out "$tmp/list.new" && mv "$tmp/list.new" "$tmp/list.pem"
            says='EKEYREVOKED'
            ;;
        esac
        run timeout 20 $launcher -p "$POLICY" -- "$PROBES/again" "$_port" 1
        assertNotEquals "$err" 0 "$status"
        assertContains "$err" "$says"
        if [ "$change" = crl ]; then mv "$tmp/clean.pem" "$tmp/list.pem"; fi
        end_case
    done
    recorded
    unset XDG_RUNTIME_DIR
}

. "$SHUNIT2"
