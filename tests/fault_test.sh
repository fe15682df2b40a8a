#!/bin/sh
# limit: 3000
# One system call or allocation of ours fails, in whole programs under the preload: tests/faults/sweep.py plays a short scenario of each route, role and
# TLS version for each fault, and judges what the program says, the log, and the wires. Here those faults that have found something before and the
# allocations of a scenario, with SHARE=0.05 a sample by SEED, too; `make faults` tries all of them.
# shellcheck disable=SC1090,SC1091,SC2086,SC2154
. "$(dirname "$0")/lib.sh"

# A tracer is needed, and a filter that calls it.
traced() { "$BUILD/faults/inject" count true >/dev/null 2>&1; }

# Sanitizers say more than a fault may cost, and take their time: theirs is the unit test.
testEachCallFails() {
    [ -z "$sanitizer" ] || { skip "a sanitizer's own calls would fail"; return; }
    [ ! -e "$BUILD/lib/log.gcno" ] || { skip "the counters of a coverage build allocate, too"; return; }
    traced || { skip "no process may be traced here"; return; }
    mkdir "$tmp/faults"
    share=${SHARE:-0}
    [ "${FAULTS:-}" != all ] || share=1
    timeout 2900 "$PYTHON" "$TOP/tests/faults/sweep.py" "$BUILD" "$certs" "$tmp/faults" --share $share --jobs 6 \
        ${SEED:+--seed "$SEED"} ${SCENARIO:+--scenario "$SCENARIO"} >"$tmp/sweep" 2>&1
    status=$?
    cat "$tmp/sweep"
    assertEquals "faults that were met badly: $(grep -c ^FAIL "$tmp/sweep")" 0 $status
}

. "$SHUNIT2"
