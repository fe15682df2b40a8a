#!/bin/sh
# The explicit API, statement by statement: every row of tests/surface.tsv names a test that exists, and that has passed.
. "$(dirname "$0")/lib.sh"

ROWS=136
TABLE=$TOP/tests/surface.tsv

rows() { grep -v '^#' "$TABLE"; }
pitfalls() { grep -v '^#' "$TOP/tests/pitfalls.tsv"; }

# strangers <table: what it names and nobody has.
strangers() {
    while IFS="$(printf '\t')" read -r row file name _; do
        grep -qsE "^$name\(" "$TOP/tests/$file" || echo "$row: tests/$file has no $name"
    done
}

test_rows_when_counted_then_each_is_there_once() {
    assertEquals "$(seq "$ROWS")" "$(rows | cut -f 1)"
    short=$(rows | awk -F '\t' 'NF != 4 || $2 == "" || $3 == "" || $4 == "" { print $1 }')
    assertNull "rows without a test: $short" "$short"
}

test_rows_when_they_name_a_test_then_it_exists() {
    assertNull "$(rows | strangers)"
}

test_pitfalls_when_they_name_a_test_then_it_exists() {
    assertEquals "$(seq 32 | sed 's/^/S/')" "$(pitfalls | cut -f 1 | uniq)"
    assertNull "$(pitfalls | strangers)"
}

# The promises of wrapsock(7), "file:test" each.
promises() { grep -oE '[a-z_/]+_test\.(sh|c):[A-Za-z0-9_]+' "$TOP/lib/wrapsock.7" | sort -u | sed 's/^\(.*\):\(.*\)$/wrapsock.7	\1	\2/'; }

test_promises_when_they_name_a_test_then_it_exists() {
    assertTrue "promises: $(promises | wc -l)" "[ $(promises | wc -l) -ge 25 ]"
    assertNull "$(promises | strangers)"
    unproven=$(sed -n '/^.Ss What is promised/,/^.El/p' "$TOP/lib/wrapsock.7" | awk '/^\.It/ { if (open) print before; open = 1; before = NR } /^\.Pq Li .*_test/ { open = 0 } END { if (open) print before }')
    assertNull "promises without a test, by line: $unproven" "$unproven"
}

# tests/run collects the names of the tests that pass; this file is the last one that it runs.
test_rows_when_the_suite_has_run_then_their_tests_have_passed() {
    if [ -z "${TESTS_WHOLE:-}" ]; then
        skip "only part of the suite runs"
        return
    fi
    missing=$(rows | while IFS="$(printf '\t')" read -r row file name _; do
        grep -qsx "$name" "$TESTS_RAN" || echo "row $row: $name of tests/$file did not pass"
    done)
    assertNull "$missing" "$missing"
}

. "$SHUNIT2"
