#!/bin/sh
# A thousand connections that say nothing, or break off in the middle of a hello, and three thousand that say nothing behind it: a wrapped server of
# every shape goes on serving, keeps little memory for them, lets them go when handshake_timeout is over, and does not fill its log.
# shellcheck disable=SC1090,SC1091,SC2086,SC2154
. "$(dirname "$0")/lib.sh"

CROWD=1000
HALF_OPEN=3000

# One end of three thousand connections, and some for those who serve.
# shellcheck disable=SC3045 # dash and bash know -n
ulimit -n 4096 2>/dev/null
few=
# shellcheck disable=SC3045
[ "$(ulimit -n)" -ge 3200 ] || few=yes

begin() { # SHAPE TIMEOUT KIND COUNT
    server_rule "handshake_timeout = $2" | write_policy
    at=$(free_port) near=$(free_port)
    start server $wrapped "$PYTHON" "$TOP/tests/peers/crowd.py" serve "$1" "$at"
    server=$pid
    wait_listen "$at"
    start_wire "$1-$3" "$near" "$at"
    served 1
    quiet=$(resident)
    mkfifo "$tmp/dismissal"
    # shellcheck disable=SC2016
    start crowd sh -c 'exec "$@" <"$0"' "$tmp/dismissal" "$PYTHON" "$TOP/tests/peers/crowd.py" "$3" "$at" "$4"
    exec 9>"$tmp/dismissal"
    wait_for -t 60 file_contains "$tmp/crowd.out" there
    assertEquals "the crowd is there: $(cat "$tmp/crowd.err")" 0 $?
}

served() { # COUNT
    run timeout 60 "$PYTHON" "$TOP/tests/peers/client_tls.py" "$near" tls13 "$certs/ca.pem" --count "$1"
    assertEquals "those who speak are served: $out" "$1 of $1" "$(printf '%s\n' "$out" | head -n 1)"
}

resident() { sed -n 's/^VmRSS:[^0-9]*\([0-9]*\) kB/\1/p' "/proc/$server/status"; }

descriptors() { find "/proc/$server/fd" -mindepth 1 2>/dev/null | wc -l; }

gone() { [ "$(descriptors)" -lt 100 ]; }

# The next event tells of what happened in the second before.
told() {
    served 1
    file_contains "$tmp/server.err" 'similar suppressed'
}

# dismissed SHAPE KIND COUNT: what the server has said to all of them is TLS.
dismissed() {
    exec 9>&-
    wait_line "$tmp/crowd.out" 'in order'
    assertEquals "$3 of $3 in order" "$(tail -n 1 "$tmp/crowd.out")"
    rm "$tmp/dismissal"
    assert_wire "$1-$2"
}

few_lines() {
    assertTrue "lines in the log: $(grep -c . "$tmp/server.err")" "[ $(grep -c . "$tmp/server.err") -lt 100 ]"
}

testEventLoop() {
    [ -z "$few" ] || { skip "too few descriptors"; return; }
    begin loop 3s silent $CROWD
    served 10
    grown=$(($(resident) - quiet))
    # A sanitizer's own memory is another matter.
    [ -n "$sanitizer" ] || assertTrue "$grown kB for $CROWD connections that say nothing" "[ $grown -lt 60000 ]"
    wait_for -t 20 gone
    assertEquals "they are let go: $(descriptors) descriptors" 0 $?
    wait_for told
    assertEquals "those who were not told of one by one are counted" 0 $?
    dismissed loop silent $CROWD
    few_lines
}

# Each has cost a signature, and OpenSSL keeps the state of its handshake.
testHalfOpen() {
    [ -z "$few" ] || { skip "too few descriptors"; return; }
    begin loop 20s halfopen $HALF_OPEN
    served 10
    grown=$(($(resident) - quiet))
    echo "$((grown / (HALF_OPEN / 1000))) bytes for each connection that is half open"
    [ -n "$sanitizer" ] || assertTrue "$grown kB for $HALF_OPEN connections that are half open" "[ $grown -lt $((HALF_OPEN * 100)) ]"
    dismissed loop halfopen $HALF_OPEN
    wait_for -t 20 gone
    assertEquals "they are let go: $(descriptors) descriptors" 0 $?
    served 1
    few_lines
}

testThreads() {
    [ -z "$few" ] || { skip "too few descriptors"; return; }
    begin threads 3s silent $CROWD
    served 10
    wait_for -t 20 gone
    assertEquals "they are let go: $(descriptors) descriptors" 0 $?
    served 2
    dismissed threads silent $CROWD
    few_lines
}

# Each holds up one of the 32 processes for as long as the handshake may take, as a peer of plain TCP would for ever.
testPrefork() {
    begin prefork 200ms silent $CROWD
    served 3
    kill -0 "$server"
    assertEquals "the server lives" 0 $?
    dismissed prefork silent $CROWD
}

. "$SHUNIT2"
