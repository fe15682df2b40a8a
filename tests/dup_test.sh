#!/bin/sh
# Numbers doubled, flagged and closed: a connection has as many names as the program gives it.
# shellcheck disable=SC1090,SC1091
. "$(dirname "$0")/lib.sh"
. "$TOP/tests/ends.sh"

oneTimeSetUp() { start_peers echo; }

testDups() { same echo dups && clean_wires; }
testBeforeTheConnection() { same echo planned && clean_wires; }
testHighNumbers() { same echo high && clean_wires; }
testRanges() { same echo ranges && clean_wires; }

# Every number of the wire is close-on-exec in the kernel, also those that were there before it was wrapped.
testTheKernelsFlag() {
    for kind in tls12 tls13; do
        # shellcheck disable=SC2086
        run timeout 20 $wrapped "$PROBES/inherits" "$(port $kind echo)" unseen
        assertEquals "$kind" "kernel's flags: close-on-exec close-on-exec close-on-exec
the program's: 0 0 0" "$out"
    done
}

. "$SHUNIT2"
