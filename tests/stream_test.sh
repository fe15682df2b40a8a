#!/bin/sh
# Reading and writing: every size, every call, every flag gives over TLS what it gives over TCP.
# shellcheck disable=SC2086,SC2154,SC1090,SC1091
. "$(dirname "$0")/lib.sh"
. "$TOP/tests/ends.sh"

oneTimeSetUp() { start_peers echo sink greet mute cut; }

testSizes() {
    for size in 1 5 1000 16384 16385 100000 1000000; do
        same echo echo_blocking "$size" 65536 65536
    done
    same echo echo_blocking 14000 7 100
    same echo echo_blocking 20000 1000 1
    same echo echo_blocking 300000 100000 16383 4608
    clean_wires
}

testFlags() { same echo flags && clean_wires; }
testVectors() { same echo vectors && clean_wires; }

testSendfile() {
    head -c 400000 /dev/urandom >"$tmp/file"
    same echo sendfiles "$tmp/file"
    clean_wires
}

testHalfClose() {
    for size in 0 1 16385 500000; do same sink halfclose "$size"; done
    clean_wires
}

testTheServerSpeaksFirst() {
    same greet greeted blocking
    same greet greeted poll
    clean_wires
}

testTimeouts() { same mute timeouts && clean_wires; }
testSignals() { same echo interrupted && clean_wires; }
testPipes() { same echo pipes && clean_wires; }

testThreads() {
    same echo duplex 20000
    same echo writers
    same echo woken shutdown
    clean_wires
}

testCloseWakesAWaitingThread() {
    for kind in tls12 tls13; do
        # shellcheck disable=SC2086
        run timeout -k 1 20 $wrapped "$PROBES/woken" "$(port $kind echo)" close
        assertEquals "$kind" "echo: hello
close: 0
read: EBADF" "$out"
    done
}

testACutStreamIsNoEnd() {
    for kind in tls12 tls13; do
        # shellcheck disable=SC2086
        run timeout -k 1 20 $wrapped "$PROBES/echo_blocking" "$(port $kind cut)" 10 10 10
        assertEquals "$kind: $out" "end: ECONNRESET" "$(printf '%s\n' "$out" | sed -n '$p')"
    done
    clean_wires
}

testACutStreamIsAnEndWherePolicySaysSo() {
    client_rule 'suppress_ragged_eofs = yes' | write_policy "$tmp/ragged.conf"
    run timeout -k 1 20 $launcher -p "$tmp/ragged.conf" "$PROBES/echo_blocking" "$(port tls13 cut)" 10 10 10
    assertEquals "$out" "end: 0" "$(printf '%s\n' "$out" | sed -n '$p')"
}

. "$SHUNIT2"
