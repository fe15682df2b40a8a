#!/bin/sh
# Real programs, a sample of every class; tests/matrix_run walks all of them.
# limit: 180
# shellcheck disable=SC2086,SC1090,SC1091,SC2013,SC2154
. "$(dirname "$0")/lib.sh"

# runnable ROW...: those that can be run here. Foreign programs do not all start, or end in time, under a sanitizer's runtime, with nothing of ours
# loaded: curl 7.88 waits for itself.
runnable() {
    rows=''
    for row in "$@"; do
        case $sanitizer:$row in
        :* | *:redis | *:nc-openbsd*) rows="$rows $row" ;;
        *) echo "SKIP: $row: not every program runs under the sanitizer's runtime" ;;
        esac
    done
}

# One line a run: ROW RUN PASS|FAIL|SKIP REASON. A row whose packages are missing is skipped.
walk() {
    runnable "$@"
    [ -n "$rows" ] || return 0
    # shellcheck disable=SC2086 # a list
    BUILD=$BUILD TESTS_CERTS=$certs MATRIX_WRAPSOCK="${sanitizer:+env LD_PRELOAD=$sanitizer }$WRAPSOCK" \
        "$TOP/tests/matrix_run" -v $rows >"$tmp/walk.out" 2>"$tmp/walk.err" </dev/null
    grep -aE '^[^ ]+ (both|both-1.2|server|client) (PASS|FAIL|SKIP)' "$tmp/walk.out" >"$tmp/verdicts"
    while read -r row kind verdict reason; do
        if [ "$verdict" = SKIP ]; then
            echo "SKIP: $row $kind: $reason"
        else
            begin_case "$row $kind"
            assertEquals "$row $kind: $reason" PASS "$verdict"
            end_case
        fi
    done <"$tmp/verdicts"
    assertTrue 'the walk came to its end' "grep -aq ' passed, ' '$tmp/walk.out'"
    grep -aq ' FAIL ' "$tmp/verdicts" && grep -a '^    ' "$tmp/walk.out"
    return 0
}

testPackagesAreListed() {
    for package in $(sed -n 's/^packages //p' "$TOP"/tests/matrix/*); do
        grep -q "^matrix	$package\>" "$TOP/tests/matrix-packages" || fail "tests/matrix-packages lacks $package"
    done
}

testBlocking() { walk nc-openbsd nc-openbsd-recv; }

testEventLoopsAndThreads() { walk redis c-curl c-curlZ py-http; }

testEdgeTriggeredAndZeroCopy() { walk nginx; }

testProcessPerConnection() { walk mini-httpd dnsmasq; }

testRefusedUntilHandedOver() { walk busybox-httpd busybox-wget; }

testGo() { walk c-hey; }

. "$SHUNIT2"
