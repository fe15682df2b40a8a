#!/bin/sh
# Signal handlers that use wrapped connections: where their thread is within one, they are told to come again, and nothing waits for itself.
# shellcheck disable=SC1090,SC1091,SC2154,SC2086
. "$(dirname "$0")/lib.sh"
. "$TOP/tests/ends.sh"

oneTimeSetUp() { start_peers echo; }

testWithinACall() {
    for kind in tls12 tls13; do
        begin_case "$kind"
        run timeout 60 $wrapped "$PROBES/handlers" "$(port $kind echo)" within
        assertEquals "$kind: $err" "echo: one
echo: other
refused within another call, and nothing else was disturbed" "$out"
        end_case
    done
    clean_wires
}

testASendWithinASend() {
    for kind in tls12 tls13; do
        begin_case "$kind"
        run timeout 60 $wrapped "$PROBES/handlers" "$(port $kind echo)" sending
        assertEquals "$kind: $err" "echo: one
send within a send: EAGAIN
came back: the same" "$out"
        end_case
    done
    clean_wires
}

. "$SHUNIT2"
