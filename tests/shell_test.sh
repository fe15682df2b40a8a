#!/bin/sh
# Our scripts pass shellcheck. Test files take variables from lib.sh, which it cannot see.
. "$(dirname "$0")/lib.sh"

test_scripts_when_checked_then_clean() {
    for script in "$TOP"/tools/wrapsock "$TOP"/tools/*.sh "$TOP"/tests/run "$TOP"/tests/install-packages "$TOP"/tests/*.sh "$TOP"/.ci/run; do
        begin_case "${script#"$TOP"/}"
        faults=$(cd "$TOP" && shellcheck -e SC1090,SC1091,SC2154 "$script" 2>&1)
        assertEquals "$faults" 0 $?
        end_case
    done
}

. "$SHUNIT2"
