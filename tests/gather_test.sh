#!/bin/sh
# What a program sends in parts goes out together where plain TCP would send it together, and in few records where it is one call.
# limit: 60
# shellcheck disable=SC2154
. "$(dirname "$0")/lib.sh"
. "$TOP/tests/ends.sh"

oneTimeSetUp() {
    start_peers echo
    head -c 200000 /dev/urandom >"$tmp/file"
}

testPackets() {
    for way in nothing more cork writev; do same echo gathers "$tmp/file" $way; done
    clean_wires
}

# assert_records WAY LENGTH...: the records of application data with which a client sent so; TLS 1.2's have 24 bytes more than the plaintext.
assert_records() {
    begin_case "$*"
    _way=$1
    shift
    # shellcheck disable=SC2086
    run timeout -k 1 20 $wrapped "$PROBES/gathers" "$(port tls12 echo)" "$tmp/file" "$_way"
    assertEquals "$err" 0 "$status"
    assertEquals "38 $*" "$("$PYTHON" "$TOP/tests/peers/wire.py" sizes "$tmp/echo-tls12.wire" | tail -n 1)"
    end_case
}

testRecords() {
    assert_records writev 1024
    assert_records more 124 124 124 124 124 124 124 124 124 124
    assert_records cork-file 124 924
    assert_records file 16408 16408 16408 872
}

. "$SHUNIT2"
