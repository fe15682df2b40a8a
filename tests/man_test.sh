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

# Every function of the header has a page, and no page has a function that the header lacks.
in_the_header() { tr '\n' ' ' <"$TOP/lib/wrapsock.h" | sed 's|/\*[^*]*\*\+\([^/*][^*]*\*\+\)*/||g' | grep -o 'wrapsock_[A-Za-z0-9_]* *(' | tr -d ' (' | sort -u; }
in_the_pages() {
    for page in "$TOP"/lib/wrapsock_*.3; do
        sed -n '/^\.Sh NAME/,/^\.Nd/s/^\.Nm \([^ ]*\).*/\1/p' "$page"
    done | sort -u
}

test_functions_when_public_then_in_a_page() {
    in_the_header >"$tmp/header"
    in_the_pages >"$tmp/pages"
    assertNotEquals 0 "$(grep -c . "$tmp/header")"
    assertEquals 'without a page' '' "$(comm -23 "$tmp/header" "$tmp/pages" | tr '\n' ' ')"
    assertEquals 'in no header' '' "$(comm -13 "$tmp/header" "$tmp/pages" | tr '\n' ' ')"
}

test_functions_when_named_then_declared_in_the_synopsis() {
    for page in "$TOP"/lib/wrapsock_*.3; do
        begin_case "${page##*/}"
        sed -n '/^\.Sh NAME/,/^\.Nd/s/^\.Nm \([^ ]*\).*/\1/p' "$page" | sort >"$tmp/named"
        sed -n '/^\.Sh SYNOPSIS/,/^\.Sh DESCRIPTION/s/^\.F[no] \([^ ]*\).*/\1/p' "$page" | sort >"$tmp/declared"
        assertEquals "$(cat "$tmp/named")" "$(cat "$tmp/declared")"
        end_case
    done
}

. "$SHUNIT2"
