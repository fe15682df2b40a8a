#!/bin/sh
# Each cause and errno of lib/errmap.c stands in wrapsock(7), and nothing else does.
. "$(dirname "$0")/lib.sh"

# "EPROTO the cause", a line a row
in_the_code() { sed -n '/errmap_table\[\] = {/,/^};/s/^	{ "\(.*\)", \(E[A-Z]*\) },$/\2 \1/p' "$TOP/lib/errmap.c"; }
in_the_page() {
    awk '/^\.Sh/ { on = 0 } /^\.Ss Errors$/ { on = 1 }
        row != "" && /^\./ { print row; row = "" }
        on && /^\.It Bq Er / { row = $4; next }
        row != "" { row = row " " $0 }' "$TOP/lib/wrapsock.7"
}

testEachRowIsInThePage() {
    in_the_code >"$tmp/code"
    in_the_page >"$tmp/page"
    assertEquals 'rows read' "$(grep -c '^	{ "' "$TOP/lib/errmap.c")" "$(grep -c . "$tmp/code")"
    assertNotEquals 0 "$(grep -c . "$tmp/code")"
    while read -r error cause; do
        begin_case "$error: $cause"
        grep -Fqx -e "$error $cause" "$tmp/page"
        assertEquals 'in the page' 0 $?
    done <"$tmp/code"
    end_case
}

testThePageHasNoOther() {
    in_the_code >"$tmp/code"
    in_the_page >"$tmp/page"
    assertEquals '' "$(grep -Fvx -f "$tmp/code" "$tmp/page")"
    assertEquals "$(grep -c . "$tmp/code")" "$(grep -c . "$tmp/page")"
}

# The page as it is read, not as it is written.
testTheReaderSeesIt() {
    command -v mandoc >/dev/null || { skip 'no mandoc'; return; }
    mandoc -Tutf8 -O width=200 "$TOP/lib/wrapsock.7" | sed 's/.\x08//g' >"$tmp/text"
    in_the_code | while read -r error cause; do
        tr -s ' \n' ' ' <"$tmp/text" | grep -Fq -e "[$error] $cause" || echo "$error $cause"
    done >"$tmp/missing"
    assertEquals '' "$(cat "$tmp/missing")"
}

. "$SHUNIT2"
