#!/bin/sh
# What the two objects show to the world: the names of their lists, and no needs but libc's.
. "$(dirname "$0")/lib.sh"

exported() { nm -D --defined-only "$1" | awk '$2 != "A" { sub(/@.*/, "", $3); print $3 }' | sort -u; }
needed() { readelf -d "$1" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p'; }

oneTimeSetUp() {
    sed -n 's/^CALL(\([A-Za-z0-9_]*\),.*/\1/p' "$TOP/preload/calls.def" | sort -u >"$tmp/calls"
    grep '^[a-z]' "$TOP/lib/symbols.list" | sort -u >"$tmp/symbols"
}

test_preload_when_listed_then_equals_calls_def() {
    exported "$PRELOAD" | diff "$tmp/calls" - >"$tmp/difference"
    assertEquals "$(cat "$tmp/difference")" 0 $?
    assertTrue "calls.def names calls" "[ $(wc -l <"$tmp/calls") -gt 60 ]"
}

test_preload_when_versions_are_read_then_none() {
    assertNull "a named version node stops the interposition" "$(nm -D --defined-only "$PRELOAD" | grep '@')"
}

test_library_when_listed_then_equals_symbols_list() {
    exported "$LIBRARY" | diff "$tmp/symbols" - >"$tmp/difference"
    assertEquals "$(cat "$tmp/difference")" 0 $?
}

# Row 79: an encrypted stream has neither addresses nor messages.
test_library_when_listed_then_no_call_with_an_address_or_a_message() {
    assertNull "$(exported "$LIBRARY" | grep -E '^wrapsock_(sendto|recvfrom|sendmsg|recvmsg|recv_into|read|write)$')"
    assertTrue 'recv is there' "exported '$LIBRARY' | grep -qx wrapsock_recv"
}

# libgcc_s is fetched when a thread is cancelled, not loaded with us; everything is linked with the C library's loader.
test_preload_when_loaded_then_brings_nothing_along() {
    if [ -n "$sanitizer" ]; then
        skip "a sanitizer's runtime comes along"
        return
    fi
    strangers=$(needed "$PRELOAD" | grep -vE '^(libc\.so\.6|ld-linux.*)$')
    assertNull "$strangers" "$strangers"
}

test_library_when_named_then_by_its_interface() {
    assertEquals libwrapsock.so.1 "$(readelf -d "$LIBRARY" | sed -n 's/.*(SONAME).*\[\(.*\)\]/\1/p')"
    assertTrue "the link for that name" "[ -e ${LIBRARY%/*}/libwrapsock.so.1 ]"
}

# Hardening that a changed Makefile could lose without anybody noticing.
test_objects_when_inspected_then_hardened() {
    for object in "$PRELOAD" "$LIBRARY"; do
        begin_case "${object##*/}"
        assertContains "$(readelf -lW "$object")" GNU_RELRO
        assertContains "$(readelf -dW "$object")" BIND_NOW
        assertContains "$(readelf -dW "$object")" NODELETE
        assertNull "no executable stack" "$(readelf -lW "$object" | grep 'GNU_STACK.*E ')"
        end_case
    done
}

. "$SHUNIT2"
