#!/bin/sh
# What is left of a connection that is over: no secret of it, none that follows from one, and no word that was said, in the memory of the process, in the
# relay's, in logs of any level. Keys of rules are there once, as numbers, until the rule has another one; contexts that are freed leave none. Core dumps,
# SSLKEYLOGFILE, an environment that must not be trusted, modes of files.
# shellcheck disable=SC1090,SC1091,SC2086,SC2154
. "$(dirname "$0")/lib.sh"

core="$PYTHON $TOP/tests/peers/core.py"
live=$tmp/live

# A sanitizer keeps what has been freed, and frees by its own means.
blind() {
    [ -n "$sanitizer" ] || return 1
    skip "the sanitizer keeps freed memory"
}

# needles NAME OPTION...: what must not be found, in $tmp/NAME
needles() {
    _needles=$1
    shift
    $core needles "$tmp/$_needles" "$@" >"$tmp/needles.count"
}

# found PID NEEDLES: into $found
found() {
    found=$($core scan "$1" "$tmp/$2" 2>&1)
}

# A changed file is looked at once it has been left alone for a second.
settled() { [ $(($(date +%s) - $(stat -c %Z "$1"))) -ge 3 ]; }

forgotten() { found "$1" "$2" && [ "$found" = clean ]; }

# OpenSSL's peer has said goodbye before our process has closed; and a number in a register or on a stack goes with the next call.
assert_forgotten() { # WHAT PID NEEDLES
    wait_for -t 3 forgotten "$2" "$3"
    assertEquals "$1: $found" clean "$found"
}

client_policy() { client_rule 'certfile = @CERTS@/client.pem' 'keyfile = @CERTS@/client.key' "$1" | write_policy; } # LINES

start_peer() {
    peer=$(free_port)
    rm -f "$tmp/keylog" "$tmp/said"
    start peer $core serve "$peer" "$certs" "$tmp/keylog" "$tmp/said"
    wait_listen "$peer"
}

client_forgets() { # ROUTE
    begin_case "client, route = $1"
    start_peer
    client_policy "route = $1"
    start "client" env WRAPSOCK_LOG=debug $wrapped "$PROBES/forgets" client "$peer"
    wait_line "$tmp/client.out" '^done'
    assertEquals "it works: $(cat "$tmp/client.out" "$tmp/client.err" "$tmp/peer.err")" 0 $?
    needles secrets --keylog "$tmp/keylog" --said "$tmp/said"
    assertEquals 'secrets, keys of two, and a word' '10 needles' "$(cat "$tmp/needles.count")"
    assert_forgotten "the client" "$pid" secrets
    logs_are_clean "$tmp/client.err"
    stop peer
    end_case
}

logs_are_clean() { # FILE
    assertTrue "the log has lines" "[ -s $1 ]"
    needles everything --keylog "$tmp/keylog" --said "$tmp/said" --key "$certs/client.key"
    assertEquals "the log" clean "$($core grep "$tmp/everything" "$1")"
}

testClient() {
    blind && return
    for route in inline relay; do client_forgets "$route"; done
}

testServer() {
    blind && return
    for kind in tls12 tls13; do
        for route in inline relay; do
            begin_case "server, $kind, route = $route"
            rm -f "$tmp/keylog" "$tmp/said"
            server_rule "route = $route" | write_policy
            at=$(free_port) near=$(free_port)
            start server env WRAPSOCK_LOG=debug $wrapped "$PROBES/forgets" server "$at" 1
            server=$pid
            wait_listen "$at"
            start_wire "$kind-$route" "$near" "$at"
            run $core dial "$near" "$kind" "$certs" "$tmp/keylog" "$tmp/said"
            assertEquals "it works: $err" 0 "$status"
            wait_line "$tmp/server.out" '^done'
            needles secrets --keylog "$tmp/keylog" --said "$tmp/said" --hello "$tmp/$kind-$route.wire/0000-s2c.bytes"
            assertTrue "there is something to look for" "[ $(grep -c . "$tmp/secrets") -ge 4 ]"
            assert_forgotten "the server" "$server" secrets
            logs_are_clean "$tmp/server.err"
            stop server
            end_case
        done
    done
}

# The key that a rule has is found, which shows that one would be; the one before it, and what the file said, are not.
testKeyOfBefore() {
    blind && return
    mkdir "$live"
    cp "$certs/server.pem" "$certs/server.key" "$live"
    write_policy <<-END
	[server all]
	match = *:*
	certfile = $live/server.pem
	keyfile = $live/server.key
	END
    at=$(free_port)
    start server $wrapped "$PROBES/forgets" server "$at" 2
    server=$pid
    wait_listen "$at"
    run $core dial "$at" tls13 "$certs" "$tmp/keylog" "$tmp/said"
    wait_line "$tmp/server.out" '^one'
    needles before --key "$certs/server.key"
    needles after --key "$certs/chain.key"
    found "$server" before
    assertContains "the key in use can be found" "$found" 'private key'
    assertNotContains "the file's text cannot" "$found" PEM
    cp "$certs/chain.key" "$live/new" && mv "$live/new" "$live/server.key"
    cp "$certs/chain.pem" "$live/new" && mv "$live/new" "$live/server.pem"
    wait_for settled "$live/server.pem"
    run $core dial "$at" tls13 "$certs" "$tmp/keylog" "$tmp/said"
    assertEquals "it works: $err" 0 "$status"
    wait_line "$tmp/server.out" '^done'
    assert_forgotten "the key of before" "$server" before
    found "$server" after
    assertContains "the new key" "$found" 'private key'
}

testExplicitApi() {
    blind && return
    start_peer
    start api "$PYTHON" "$TOP/tests/peers/api_forgets.py" "$LIBRARY" "$peer" "$certs"
    wait_line "$tmp/api.out" '^done'
    assertEquals "it works: $(cat "$tmp/api.err" "$tmp/peer.err")" 0 $?
    needles everything --keylog "$tmp/keylog" --said "$tmp/said" --key "$certs/client.key"
    assert_forgotten "a context that is gone" "$pid" everything
}

relay_of() { # the relay of this test: its environment names our policy
    for _p in $(ps -C wrapsock-relay -o pid=); do
        if tr '\0' '\n' <"/proc/$_p/environ" 2>/dev/null | grep -q "$tmp/"; then echo "$_p"; fi
    done
}

# One connection is over, another one keeps the relay alive, and shows that its secrets would be found.
testRelay() {
    blind && return
    [ "$(id -u)" -eq 0 ] || { skip "the relay cannot be looked into but by root"; return; }
    start_peer
    client_policy 'route = relay'
    start keeper env WRAPSOCK_LOG=debug WRAPSOCK_LOG_FILE="$tmp/relay.log" $wrapped "$PROBES/forgets" keep "$peer"
    wait_line "$tmp/keeper.out" '^done'
    assertEquals "it works: $(cat "$tmp/keeper.out" "$tmp/peer.err")" 0 $?
    relay=$(relay_of)
    assertNotNull "there is a relay" "$relay"
    sed -n '/^#/d;p' "$tmp/keylog" >"$tmp/lines"
    sed -n 1,5p "$tmp/lines" >"$tmp/first" && sed -n '6,$p' "$tmp/lines" >"$tmp/second"
    sed -n 1p "$tmp/said" >"$tmp/first-word"
    needles over --keylog "$tmp/first" --said "$tmp/first-word" --key "$certs/client.key"
    needles over-but-key --keylog "$tmp/first" --said "$tmp/first-word"
    needles open --keylog "$tmp/second"
    assert_forgotten "the relay" "$relay" over
    assert_forgotten "the program" "$(cat "$tmp/keeper.pid")" over-but-key
    found "$relay" open
    assertContains "secrets of the open one can be found" "$found" TRAFFIC_SECRET
    needles both --keylog "$tmp/keylog" --said "$tmp/said" --key "$certs/client.key"
    assertEquals "the log" clean "$($core grep "$tmp/both" "$tmp/relay.log")"
}

testCoreDumps() {
    for word in yes no; do
        begin_case "core_dumps = $word"
        server_rule "core_dumps = $word" | write_policy
        at=$(free_port)
        start server $wrapped "$PROBES/forgets" server "$at" 2
        wait_listen "$at"
        for _ in 1 2; do $core dial "$at" tls13 "$certs" "$tmp/keylog" "$tmp/said"; done
        wait_line "$tmp/server.out" '^done'
        assertContains "$(cat "$tmp/server.out")" "dumpable: $([ "$word" = yes ] && echo 1 || echo 0)"
        stop server
        end_case
    done
}

testNoKeyLog() {
    start_peer
    client_policy
    start client env SSLKEYLOGFILE="$tmp/not-this" $wrapped "$PROBES/forgets" client "$peer"
    wait_line "$tmp/client.out" '^done'
    assertEquals "it works" 0 $?
    assertFalse "SSLKEYLOGFILE is nobody's order to us" "[ -e $tmp/not-this ]"
    stop peer
    [ -z "$sanitizer" ] || { skip "the sanitizer's runtime is not loaded in Python"; return; }
    start_peer
    start api env SSLKEYLOGFILE="$tmp/not-this" "$PYTHON" "$TOP/tests/peers/api_forgets.py" "$LIBRARY" "$peer" "$certs"
    wait_line "$tmp/api.out" '^done'
    assertEquals "it works" 0 $?
    assertFalse "SSLKEYLOGFILE is nobody's order to us" "[ -e $tmp/not-this ]"
}

# Linked to the object, for the loader does not preload it there: a program that runs with the rights of its owner.
testRaisedRights() {
    [ -z "$sanitizer" ] || { skip "the sanitizer's runtime is not loaded there"; return; }
    [ "$(id -u)" -eq 0 ] || { skip "only root can make a program that runs as root"; return; }
    mkdir -m 755 "$tmp/raised" && chmod 711 "$tmp"
    cp "$PRELOAD" "$LIBRARY" "$(dirname "$LIBRARY")/wrapsock-relay" "$tmp/raised"
    cp "$PRELOAD" "$tmp/raised/$(readelf -d "$PRELOAD" | sed -n 's/.*soname: \[\(.*\)\]/\1/p')"
    run ${CC:-cc} -o "$tmp/raised/dial" -I "$TOP/tests/probes" -D_GNU_SOURCE "$TOP/tests/probes/dial.c" -Wl,--no-as-needed \
        "$tmp/raised/libwrapsock-preload.so" -Wl,-rpath,"$tmp/raised"
    assertEquals "it is built: $err" 0 "$status"
    chmod 755 "$tmp/raised"/*
    at=$(free_port)
    start plain "$PYTHON" "$TOP/tests/peers/echo_tls.py" "$certs" "plain:echo:$at"
    wait_listen "$at"
    printf '[client all]\nmatch = *:*\naction = plain\n' >"$tmp/raised/weak.conf"
    chown 54321 "$tmp/raised/weak.conf"
    mkdir -m 777 "$tmp/raised/logs"
    for mode in 755 4755; do
        begin_case "mode $mode"
        chmod $mode "$tmp/raised/dial"
        run timeout 20 env WRAPSOCK_POLICY="$tmp/raised/weak.conf" WRAPSOCK_LOG=debug WRAPSOCK_LOG_FILE="$tmp/raised/logs/$mode" \
            XDG_CONFIG_HOME="$tmp/raised" SSLKEYLOGFILE="$tmp/raised/logs/keys" $unprivileged "$tmp/raised/dial" "$at" blocking
        if [ $mode = 755 ]; then
            assertEquals "the environment counts: $err" 'connect: ok' "$(printf '%s\n' "$out" | head -n 1)"
        else
            assertEquals "the environment does not count" 'connect: EACCES' "$(printf '%s\n' "$out" | head -n 1)"
            assertContains "$err" 'no policy'
            assertEquals "no file is written" '' "$(find "$tmp/raised/logs" -name "$mode" -o -name keys)"
        fi
        end_case
    done
}

testModeOfTheLog() {
    write_policy <<-END
	[client all]
	match = *:*
	action = refuse
	END
    (umask 0 && WRAPSOCK_LOG_FILE=$tmp/fresh.log $wrapped "$PROBES/dial" 1 blocking >/dev/null 2>&1)
    assertEquals "the log is its owner's" 600 "$(stat -c %a "$tmp/fresh.log")"
}

# Without the launcher, which looks at the files, too.
by_hand="env LD_PRELOAD=$sanitizer:$PRELOAD WRAPSOCK_POLICY=$POLICY"

testKeyThatOthersCanRead() {
    at=$(free_port)
    start peer "$PYTHON" "$TOP/tests/peers/echo_tls.py" "$certs" "tls13:echo:$at"
    wait_listen "$at"
    cp "$certs/client.key" "$tmp/open.key" && chmod 640 "$tmp/open.key"
    for strict in no yes; do
        begin_case "strict_keys = $strict"
        client_rule 'certfile = @CERTS@/client.pem' "keyfile = $tmp/open.key" "strict_keys = $strict" | write_policy
        start client $by_hand "$PYTHON" "$TOP/tests/peers/reload.py" dial "$at" 20
        wait_for many_lines "$tmp/client.out"
        assertEquals "$(cat "$tmp/client.out")" "$([ $strict = no ] && echo ok || echo EACCES)" "$(cut -d ' ' -f 3 <"$tmp/client.out" | sort -u)"
        if [ $strict = no ]; then
            assertEquals "told once: $(cat "$tmp/client.err")" 1 "$(grep -c 'warn: .*open.key: .* 600' "$tmp/client.err")"
        else
            assertEquals "told once: $(cat "$tmp/client.err")" 1 "$(grep -c 'error: .*refuses its sockets.*open.key: .* 600' "$tmp/client.err")"
            chmod 600 "$tmp/open.key"
            wait_line "$tmp/client.out" ' ok$'
            assertEquals "with mode 600" 0 $?
            assertContains "$(cat "$tmp/client.err")" 'can be used again'
        fi
        stop client
        end_case
    done
}

many_lines() { [ "$(grep -c . "$1")" -gt 20 ]; }

. "$SHUNIT2"
