#!/bin/sh
# The arrows between the rooms: who may include what.
. "$(dirname "$0")/lib.sh"

# includes PATTERN FILE...: "file: header" of every #include whose header matches.
includes() {
    _pattern=$1
    shift
    for _source in "$@"; do
        [ -e "$_source" ] || continue
        sed -n "s/^[ \t]*#[ \t]*include[ \t]*\([<\"][^>\"]*\)[>\"].*/\1/p" "$_source" | grep -E -- "$_pattern" | sed "s|^|${_source#"$TOP"/}: |"
    done
}

# own ROOM: a pattern for the quoted names of the room's own headers.
own() {
    (cd "$TOP/$1" && ls ./*.h ./*.def 2>/dev/null) | sed 's|^\./||; s|\.|\\.|g' | tr '\n' '|' | sed 's/|$//; s/.*/^"(&)$/'
}

test_policy_when_it_includes_then_only_its_own() {
    strangers=$(includes '^"' "$TOP"/policy/*.[ch] | grep -vE ": $(own policy | sed 's/^^//')")
    assertNull "$strangers" "$strangers"
}

test_lib_when_it_includes_then_only_its_own() {
    strangers=$(includes '^"' "$TOP"/lib/*.[ch] "$TOP"/lib/relay/*.[ch] | grep -vE ": $(own lib | sed 's/^^//')" |
        grep -vE "^lib/relay/.*: $(own lib/relay | sed 's/^^//')")
    assertNull "$strangers" "$strangers"
}

test_preload_when_it_looks_outside_then_policy_and_the_core_only() {
    strangers=$(includes '^"' "$TOP"/preload/*.[ch] | grep -vE ": $(own preload | sed 's/^^//')" |
        grep -vE ': "(policy|core|log|stack|raw|relay)\.h$')
    assertNull "$strangers" "$strangers"
}

test_tools_when_they_look_outside_then_contracts_only() {
    strangers=$(includes '^"' "$TOP"/tools/*.[ch] | grep -vE ": $(own tools | sed 's/^^//')" | grep -vE ': "(policy|core|wrapsock)\.h$')
    assertNull "$strangers" "$strangers"
}

test_openssl_when_included_then_behind_the_engine() {
    strangers=$(includes '^<openssl/' "$TOP"/policy/*.[ch] "$TOP"/lib/*.[ch] "$TOP"/lib/relay/*.[ch] "$TOP"/preload/*.[ch] "$TOP"/tools/*.[ch] |
        grep -vE '^lib/engine_openssl[a-z_]*\.[ch]: ')
    assertNull "$strangers" "$strangers"
    assertNotNull "the engine includes OpenSSL" "$(includes '^<openssl/' "$TOP"/lib/engine_openssl*.c)"
}

test_top_when_listed_then_as_agreed() {
    listed=$(cd "$TOP" && git ls-files 2>/dev/null | sed 's|/.*||' | sort -u | grep -vE '^\.|^(LICENSE|Makefile|README\.md|lib|policy|preload|tests|tools)$')
    assertNull "$listed" "$listed"
}

. "$SHUNIT2"
