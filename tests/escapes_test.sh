#!/bin/sh
# The escape audit: every function of libc and every system call has been decided (tests/escapes.tsv, escapes_none.list), and does what its row says.
# shellcheck disable=SC2046,SC2086,SC1090,SC1091
. "$(dirname "$0")/lib.sh"
. "$TOP/tests/ends.sh"

TABLE=$TOP/tests/escapes.tsv
NONE=$TOP/tests/escapes_none.list
FILES='bytes descriptors libc numbers streams'

rows() { grep -v '^#' "$TABLE"; }
none() { grep -v '^#' "$NONE" | tr ' ' '\n' | grep . | sort; }
decided() { { rows | cut -f 1 | grep -v '(' && none; } | sort -u; }

# symbols [PRIVATE]: what libc exports as functions; or those that have no other version than GLIBC_PRIVATE.
symbols() {
    libc=$(ldd "$(command -v env)" | awk '$1 == "libc.so.6" { print $3 }')
    readelf --dyn-syms -W "$libc" | awk -v private="${1:-}" '$4 ~ /^I?FUNC$/ && $7 != "UND" {
        split($8, name, "@+")
        if (!private || name[2] == "GLIBC_PRIVATE") seen[name[1]] = 1
        if (private && name[2] != "GLIBC_PRIVATE") public[name[1]] = 1
    }
    END { for (n in seen) if (!(n in public)) print n }' | sort
}

oneTimeSetUp() { start_peers echo; }

test_libc_when_it_has_a_function_then_it_is_decided() {
    symbols >"$tmp/symbols"
    assertTrue "libc was read" "[ $(wc -l <"$tmp/symbols") -gt 1500 ]"
    decided >"$tmp/decided"
    unknown=$(comm -23 "$tmp/symbols" "$tmp/decided" | tr '\n' ' ')
    assertNull "decide: can they move bytes of a socket? $unknown" "$unknown"
}

test_kernel_when_it_has_a_system_call_then_it_is_decided() {
    echo '#include <sys/syscall.h>' | ${CC:-gcc} -E -dM - | sed -n 's/^#define \(SYS_[a-z_0-9]*\) .*/\1/p' | sort >"$tmp/numbers"
    assertTrue "the numbers were read" "[ $(wc -l <"$tmp/numbers") -gt 250 ]"
    decided >"$tmp/decided"
    unknown=$(comm -23 "$tmp/numbers" "$tmp/decided" | tr '\n' ' ')
    assertNull "decide: can they move bytes of a socket? $unknown" "$unknown"
}

test_rows_when_read_then_whole_and_once() {
    assertNull "$(rows | awk -F '\t' 'NF != 5 || $2 !~ /^(wrapped|relayed|refused|cannot|past)$/ || $3 == "" || $5 == "" ||
        $4 !~ (":" ($2 == "cannot" ? "|^-$" : "")) || ($2 == "refused") != ($3 != "-")')"
    assertNull "$({ rows | cut -f 1 && none; } | sort | uniq -d)"
}

# Nothing is linked to them but libc's own objects: no program gets at them by their names.
test_private_names_when_read_then_libc_has_no_public_version_of_them() {
    symbols PRIVATE >"$tmp/private"
    symbols >"$tmp/symbols"
    sed -n '/^# names that only libc/,/^$/p' "$NONE" | grep -v '^#' | tr ' ' '\n' | grep . | sort | comm -12 - "$tmp/symbols" >"$tmp/said"
    assertNull "$(comm -23 "$tmp/said" "$tmp/private")"
}

test_probes_when_listed_then_each_case_has_its_row() {
    rows | cut -f 4 | grep -vx -e - | sort -u >"$tmp/named"
    for file in $FILES past; do "$PROBES/calls_$file" list | sed "s/^/$file:/"; done | sort >"$tmp/cases"
    assertNull "rows without a probe: $(comm -23 "$tmp/named" "$tmp/cases" | tr '\n' ' ')" "$(comm -23 "$tmp/named" "$tmp/cases")"
    assertNull "probes without a row: $(comm -13 "$tmp/named" "$tmp/cases" | tr '\n' ' ')" "$(comm -13 "$tmp/named" "$tmp/cases")"
}

# cases FILE [ANSWER]: the cases of one probe; those whose answer is TCP's.
cases() {
    rows | awk -F '\t' -v file="$1" -v as_tcp="${2:-}" '{ split($4, at, ":") } at[1] == file && (!as_tcp || $3 == "-") && !seen[at[2]]++ { print at[2] }'
}

# ask KIND: every case of every probe, over it; a line each, FILE:CASE: ANSWER.
ask() {
    for file in $FILES; do
        case $1 in
        plain) timeout -k 1 150 "$PROBES/calls_$file" "$(port plain echo)" $(cases $file -) ;;
        *) timeout -k 1 150 $wrapped "$PROBES/calls_$file" "$(port $1 echo)" $(cases $file) ;;
        esac 2>"$tmp/calls_$file-$1.err" | sed "s/^/$file:/"
    done >"$tmp/$1.answers"
}

# Table and answers in, complaints out: what should be as over TCP is, what is refused is with its errno, and the connection works on.
# shellcheck disable=SC2016 # awk has variables, too
judge='
FILENAME == plain { at = index($0, ": "); tcp[substr($0, 1, at - 1)] = substr($0, at + 2); next }
FILENAME == tls { at = index($0, ": "); got[substr($0, 1, at - 1)] = substr($0, at + 2); next }
/^#/ || $2 == "past" || $4 == "-" { next }
{
    want = $3 == "-" ? tcp[$4] : $3
    answer = got[$4]
    if ($3 == "-" && (!($4 in tcp) || answer != want))
        print $1 ": over TCP \"" want "\", over TLS \"" answer "\""
    if ($3 != "-" && (substr(answer, 1, length(want)) != want || answer !~ / works on$/))
        print $1 ": wanted \"" want "\", and that it works on; got \"" answer "\""
}'

test_rows_when_their_probes_run_then_they_are_true() {
    if [ -n "$sanitizer" ]; then
        skip "the sanitizer's runtime stands before most of these functions, and cannot be used by a child in its parent's memory"
        return
    fi
    PLAIN=$(port plain echo)
    export PLAIN
    for kind in plain tls12 tls13; do ask $kind & asked="${asked:-} $!"; done
    wait $asked
    for kind in tls12 tls13; do
        false_rows=$(awk -F '\t' -v plain="$tmp/plain.answers" -v tls="$tmp/$kind.answers" "$judge" "$tmp/plain.answers" "$tmp/$kind.answers" "$TABLE")
        assertNull "$kind: $false_rows" "$false_rows"
    done
    assertTrue "all have answered" "[ $(wc -l <"$tmp/tls13.answers") -gt 250 ]"
    clean_wires
}

# What the manual says of them is what happens; and the recorder notices.
test_what_goes_past_when_it_runs_then_in_clear_as_the_manual_says() {
    if [ -n "$sanitizer" ]; then
        skip "the sanitizer's runtime cannot be loaded twice"
        return
    fi
    for case in raw dlsym dlmopen sunrpc; do
        begin_case "past:$case"
        near=$(free_port) PLAIN=$(free_port) wire=tls
        export PLAIN
        start_wire past-$case-tls "$near" "$_far_tls13_echo"
        start_wire past-$case-plain "$PLAIN" "$_far_plain_echo"
        [ $case != sunrpc ] || wire=plain
        run timeout -k 1 20 $wrapped "$PROBES/calls_past" "$near" $case
        assertContains "$case: $out" "$out" "$case: 12"
        wait_for wire_text past-$case-$wire "secret words"
        assertEquals "$case: seen in clear" 0 $?
        end_case
    done
}

. "$SHUNIT2"
