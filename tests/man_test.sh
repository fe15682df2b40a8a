#!/bin/sh
# The manual pages are there, and mandoc finds no fault with them.
. "$(dirname "$0")/lib.sh"

test_pages_when_linted_then_clean() {
    for page in "$TOP"/policy/*.[1-9] "$TOP"/lib/*.[1-9] "$TOP"/preload/*.[1-9] "$TOP"/tools/*.[1-9]; do
        [ -e "$page" ] || continue
        begin_case "${page##*/}"
        # Our own pages refer to each other before they are installed.
        faults=$(mandoc -Tlint "$page" 2>/dev/null | grep -v 'referenced manual not found')
        assertNull "$faults" "$faults"
        end_case
    done
}

test_pages_when_installed_then_each_name_is_there() {
    for page in wrapsock.1 wrapsockctl.1 wrapsock-policy.5 wrapsock.7; do
        begin_case "$page"
        assertTrue "no $page" "ls $TOP/*/$page >/dev/null 2>&1"
        end_case
    done
}

. "$SHUNIT2"
