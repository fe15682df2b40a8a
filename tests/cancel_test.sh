#!/bin/sh
# Threads that are cancelled inside our calls: what they held is given back, and the connection is what it was.
# shellcheck disable=SC1090,SC1091,SC2154,SC2086
. "$(dirname "$0")/lib.sh"
. "$TOP/tests/ends.sh"

oneTimeSetUp() { start_peers echo silent; }

# AddressSanitizer takes the stack of a cancelled thread for damaged, in clear as well.
sanitized() { [ -n "$sanitizer" ] && skip "the sanitizer does not follow a cancelled thread"; }

testWhileItWaits() {
    if sanitized; then return; fi
    for call in read peek trunc poll select epoll write waiter accept; do same echo cancelled $call; done
}

testWithoutAWait() {
    if sanitized; then return; fi
    for call in pending disabled questions close; do same echo cancelled $call; done
}

testNothingIsLeftBehind() {
    same echo cancelled many
    clean_wires
}

# A peer that never answers the handshake, on either side.
testHandshake() {
    if sanitized; then return; fi
    run timeout 20 $wrapped "$PROBES/cancelled" "$(port tls13 silent)" connect
    assertEquals "connect: cancelled
send: EAGAIN
connect: EALREADY
close: 0" "$out"
    server_rule | write_policy "$tmp/server.conf"
    run timeout 20 $launcher -p "$tmp/server.conf" "$PROBES/cancelled" 0 server
    assertEquals "read: cancelled
poll: cancelled
send: EAGAIN
in clear: 0
read: ECONNRESET" "$out"
    echo "do_handshake_on_connect = yes" >>"$tmp/server.conf"
    run timeout 20 $launcher -p "$tmp/server.conf" "$PROBES/cancelled" 0 inside
    assertEquals "accept: cancelled
next descriptor: the next" "$out"
}

. "$SHUNIT2"
