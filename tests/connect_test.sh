#!/bin/sh
# connect: waiting or not, and every way in which a program may learn the outcome.
# shellcheck disable=SC2086,SC2154,SC1090,SC1091
. "$(dirname "$0")/lib.sh"
. "$TOP/tests/ends.sh"

oneTimeSetUp() { start_peers echo greet; }

testNonblocking() {
    for how in poll select epoll early again spin; do same echo connect_nonblocking "$how"; done
    clean_wires
}

testRefused() {
    closed=$(free_port)
    same echo connect_nonblocking poll "$closed"
    same echo dial_refused "$closed"
    clean_wires
}

# Readiness of a connect that fails: TCP's failure is the same over TLS, and TLS's failure looks like TCP's.
testReadinessOfAFailure() {
    closed=$(free_port)
    for how in poll select epoll early edge recv; do
        begin_case "$how"
        run timeout -k 1 20 "$PROBES/failed_wait" "$closed" $how
        plain=$out
        run timeout -k 1 20 $wrapped "$PROBES/failed_wait" "$closed" $how
        assertEquals "refused, $how" "$plain" "$out"
        run timeout -k 1 20 $wrapped "$PROBES/failed_wait" "$(port plain greet)" $how
        # what is asked behind it depends on whether the peer has answered our end with a reset
        assertEquals "no TLS, $how" "$(printf '%s\n' "$plain" | sed '/^asked/d; s/ECONNREFUSED/EPROTO/')" "$(printf '%s\n' "$out" | sed /^asked/d)"
        end_case
    done
}

testRefusedThenAccepted() {
    same echo connect_nonblocking retry "$(free_port)"
    clean_wires
}

testByName() {
    for kind in tls12 tls13; do
        # shellcheck disable=SC2086
        run $wrapped "$PROBES/dial" "$(port $kind echo)" blocking localhost
        assertEquals "connect: ok
send: 13
recv: 13" "$out"
    done
    clean_wires
}

# The certificate has no address: only the name will do.
testByNameInTheBackground() {
    far=$(free_port)
    start named "$PYTHON" "$TOP/tests/peers/echo_tls.py" "$certs" "tls13:echo:$far:name-only"
    wait_listen "$far"
    for how in wait suspend poll; do
        run timeout 20 $wrapped "$PROBES/resolved" "$far" localhost $how
        assertEquals "$how: $err" "connect: 0
echo: hello
end: 0" "$out"
    done
}

testLazyHandshake() {
    client_rule 'do_handshake_on_connect = no' | write_policy "$tmp/lazy.conf"
    for mode in blocking nonblocking; do
        run $launcher -p "$tmp/lazy.conf" "$PROBES/dial" "$(port tls13 echo)" "$mode"
        assertEquals "connect: ok
send: 13
recv: 13" "$out"
    done
    clean_wires
}

testToItself() {
    port=$(free_port)
    run timeout 20 "$PROBES/itself" "$port"
    plain=$out
    # shellcheck disable=SC2086
    run timeout 20 $wrapped "$PROBES/itself" "$port"
    assertContains "$out" "connect: EDEADLK"
    assertContains "$err" "EDEADLK"
    assertEquals "one line: $err" 1 "$(printf '%s\n' "$err" | wc -l)"
    # a connect that makes no handshake waits for nobody
    client_rule 'do_handshake_on_connect = no' | write_policy "$tmp/late.conf"
    run launch -p "$tmp/late.conf" -- "$PROBES/itself" "$port"
    assertEquals "$plain" "$out"
}

. "$SHUNIT2"
