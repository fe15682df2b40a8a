#!/bin/sh
# What one server process gave, another takes: prefork workers by themselves, and whoever shares a file of ticket_keys, as it is now.
# shellcheck disable=SC1090,SC1091,SC2154
. "$(dirname "$0")/lib.sh"

# serve PORT [alone]: a line, and an answer; each connection in a process of its own that is forked before it is accepted, unless alone.
serve='import os, socket, sys
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
while True:
    if len(sys.argv) > 2 or os.fork() == 0:
        wire = listener.accept()[0]
        with wire, wire.makefile("rb") as lines:
            if lines.readline():
                wire.sendall(b"answer from %d\n" % os.getpid())
        if len(sys.argv) > 2:
            continue
        os._exit(0)
    os.wait()
'

server_policy() { server_rule "$@" | write_policy; } # [LINE...]: of the rule

# start_server NAME [alone]: its port is in $port, behind a recorder.
start_server() {
    _server=$1 _far=$(free_port) port=$(free_port)
    shift
    # shellcheck disable=SC2086 # a command
    start "$_server" $wrapped "$PYTHON" -c "$serve" "$_far" "$@"
    wait_listen "$_far"
    start_wire "$_server-wire" "$port" "$_far"
}

# talk VERSION PORT OPTION...: how the connection came to be, and who answered.
talk() {
    _version=$1 _to=$2
    shift 2
    echo hello >"$tmp/hello"
    timeout 20 openssl s_client -connect "127.0.0.1:$_to" -CAfile "$certs/ca.pem" -"$_version" -ign_eof "$@" <"$tmp/hello" >"$tmp/talk.out" 2>&1
    how=$(sed -n 's/^\(New\|Reused\), .*/\1/p' "$tmp/talk.out" | head -n 1)
    who=$(sed -n 's/^answer from //p' "$tmp/talk.out")
    assertNotNull "$(cat "$tmp/talk.out")" "$who"
}

keys() { # COUNT: fresh ones
    for _i in $(seq "$1"); do openssl rand -base64 80 | tr -d '\n' && echo; done
}

testWorkers() {
    server_policy
    for version in tls1_2 tls1_3; do
        begin_case "$version"
        start_server "workers-$version"
        talk $version "$port" -sess_out "$tmp/session"
        assertEquals New "$how"
        first=$who
        talk $version "$port" -sess_in "$tmp/session"
        assertEquals 'another worker' Reused "$how"
        assertNotEquals "$first" "$who"
        assert_wire "workers-$version-wire"
        end_case
    done
}

testServers() {
    (umask 077 && keys 3 >"$tmp/keys")
    for version in tls1_2 tls1_3; do
        for shared in no yes; do
            begin_case "$version $shared"
            if [ $shared = yes ]; then server_policy "ticket_keys = $tmp/keys"; else server_policy; fi
            start_server "one-$version-$shared" && one=$port
            start_server "two-$version-$shared" && two=$port
            talk $version "$one" -sess_out "$tmp/session"
            assertEquals New "$how"
            cp "$tmp/session" "$tmp/session2" # in TLS 1.2 there is no new one
            talk $version "$two" -sess_in "$tmp/session" -sess_out "$tmp/session2"
            if [ $shared = yes ]; then assertEquals Reused "$how"; else assertEquals New "$how"; fi
            talk $version "$one" -sess_in "$tmp/session2"
            if [ $shared = yes ]; then assertEquals Reused "$how"; else assertEquals New "$how"; fi
            assert_wire "one-$version-$shared-wire" && assert_wire "two-$version-$shared-wire"
            assertNull "$(cat "$tmp/one-$version-$shared.err" "$tmp/two-$version-$shared.err")"
            stop "one-$version-$shared" && stop "two-$version-$shared"
            end_case
        done
    done
}

comes_as() { # HOW: with the first session
    talk tls1_2 "$port" -sess_in "$tmp/session"
    [ "$how" = "$1" ]
}

# The file counts as it is; a broken one leaves the last good one in force, and says so once.
testKeysThatChange() {
    (umask 077 && keys 3 >"$tmp/keys" && keys 3 >"$tmp/others")
    server_policy "ticket_keys = $tmp/keys"
    start_server changing alone
    talk tls1_2 "$port" -sess_out "$tmp/session"
    assertTrue 'nothing has changed' 'comes_as Reused'
    (umask 077 && { cat "$tmp/keys" && keys 1; } >"$tmp/keys.new" && cp "$tmp/keys" "$tmp/first" && mv "$tmp/keys.new" "$tmp/keys")
    wait_for second_has_passed "$(date +%s)" # a look at files is good for that long
    assertTrue 'a key was appended: the old ticket is still good' 'comes_as Reused'
    cp "$tmp/others" "$tmp/keys.new" && mv "$tmp/keys.new" "$tmp/keys"
    wait_for comes_as New
    assertEquals 'other keys' 0 $?
    cp "$tmp/first" "$tmp/keys.new" && mv "$tmp/keys.new" "$tmp/keys"
    wait_for comes_as Reused
    assertEquals 'the first ones again' 0 $?
    echo 'no key' >"$tmp/keys.new" && chmod 600 "$tmp/keys.new" && mv "$tmp/keys.new" "$tmp/keys"
    wait_for said_broken
    assertEquals 'a broken file is told of' 0 $?
    assertTrue 'and the keys before stay in force' 'comes_as Reused'
    said_broken && said_broken
    assertEquals "$(cat "$tmp/changing.err")" 1 "$(grep -c . "$tmp/changing.err")"
    assertContains "$(cat "$tmp/changing.err")" 'line 1 is no base64, expected the base64 of 48 or 80 bytes'
    assert_wire changing-wire
}

second_has_passed() { [ "$(date +%s)" -gt $(($1 + 1)) ]; }

said_broken() { comes_as Reused && file_contains "$tmp/changing.err" 'the changed files are not used, those before stay in force: ticket_keys .*/keys: '; }

testFileThatIsNotInOrder() {
    (umask 077 && keys 3 >"$tmp/keys")
    server_policy "ticket_keys = $tmp/keys"
    run "$WRAPSOCKCTL" check "$POLICY"
    assertEquals 0: "$status:$err"
    chmod 640 "$tmp/keys"
    run "$WRAPSOCKCTL" check "$POLICY"
    assertEquals "$err" 0 "$status"
    assertContains "$err" ":5:15: warning: ticket_keys $tmp/keys: a secret that group or others can read"
    echo 'strict_keys = yes' >>"$POLICY"
    run "$WRAPSOCKCTL" check "$POLICY"
    assertEquals 1 "$status"
    assertContains "$err" ":5:15: ticket_keys $tmp/keys: readable by group or others (mode 640), which strict_keys forbids"
    rm "$tmp/keys"
    run "$WRAPSOCKCTL" check "$POLICY"
    assertEquals 1 "$status"
    assertContains "$err" ":5:15: ticket_keys $tmp/keys: No such file"
    (umask 077 && keys 3 | tail -c 100 >"$tmp/keys")
    run "$WRAPSOCKCTL" check "$POLICY"
    assertEquals 1 "$status"
    assertContains "$err" ":5:15: ticket_keys $tmp/keys: line 1 "
    # Its own rule is void, and nothing else.
    port=$(free_port)
    # shellcheck disable=SC2086
    run timeout 20 $launcher -p "$POLICY" -- "$PYTHON" -c 'pass'
    assertEquals "$err" 125 "$status"
}

. "$SHUNIT2"
