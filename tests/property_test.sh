#!/bin/sh
# Random sequences of descriptor operations under every route, a few hundred and always the same; `make property` sets N and SEED.
# shellcheck disable=SC1090,SC1091
. "$(dirname "$0")/lib.sh"

# All that goes over TLS goes to this address; a recorder between the ends would change what they see.
WIRE=127.0.0.1
recorder() {
    [ -n "${TESTS_IN_NAMESPACE:-}" ] || { echo "no recorder: needs root, and loopback to itself"; return; }
    start_sniffer "$1" $WIRE
}
recorded() {
    [ -n "${TESTS_IN_NAMESPACE:-}" ] || return
    stop "$1"
    assert_wire "$1"
}

compare() {
    SANITIZER_RUNTIME=$sanitizer "$PYTHON" -B "$TOP/tests/property/property.py" "$BUILD/property/worker" "$PRELOAD" "$certs" "$@" >"$tmp/report" 2>&1
    status=$?
}

testSequences() {
    recorder sequences
    compare --seed "${SEED:-1}" --count "${N:-240}" --jobs 8
    assertEquals "$(cat "$tmp/report")" 0 $status
    grep -E '^(seeds|unsteady)' "$tmp/report"
    recorded sequences
}

# Faults that sequences have found, each as few operations as show it.
testFound() {
    recorder found
    compare --script "$TOP"/tests/property/found/*
    assertEquals "$(cat "$tmp/report")" 0 $status
    recorded found
}

# The comparison finds what differs, and says which operation it was: here one that the contract refuses, judged as if it did not.
testADifferenceIsFound() {
    cat >"$tmp/script" <<-'END'
	B listen s0
	A socket s0
	A& connect s0 @s0
	B accept s0 s1
	B& poll 3000 s1:out
	A join
	B join
	A send s0 100 send 0 OFFSET
	A pass s0 s1
	B recv s1 200 recv
	END
    compare --script "$tmp/script"
    assertEquals "$(cat "$tmp/report")" 0 $status
    compare --as-tcp pass --script "$tmp/script"
    assertEquals "$(cat "$tmp/report")" 1 $status
    assertContains "$(cat "$tmp/report")" "<> TLS: EACCES"
}

. "$SHUNIT2"
