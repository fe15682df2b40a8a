#!/bin/sh
# Descriptor numbers that change their meaning behind the library's back, under limits that were lowered, and beyond its table.
# shellcheck disable=SC2086,SC2154,SC1090,SC1091
. "$(dirname "$0")/lib.sh"
. "$TOP/tests/ends.sh"

oneTimeSetUp() { start_peers echo; }

test_number_when_it_is_another_file_then_neither_gets_the_others_bytes() {
    same echo calls_reused write read stream replaced shutdown close exit
    clean_wires
}

# The connection has died with the record that the file's bytes were in.
test_connection_when_one_of_its_numbers_is_a_file_then_the_other_is_cut() {
    for kind in tls12 tls13; do
        run timeout 20 $wrapped "$PROBES/calls_reused" "$(port $kind echo)" twin
        assertEquals "$kind: $err" "twin: a file 9 9 <file text> refused refused" "$out"
    done
    clean_wires
}

test_socket_when_connected_behind_our_back_then_wrapped() {
    same echo calls_reused late
    clean_wires
}

test_limit_when_lowered_below_a_connection_then_it_works_on() {
    same echo calls_reused limit
    clean_wires
}

# An object of which the table has 64 places.
test_number_when_beyond_the_table_then_refused_and_closed() {
    for kind in tls12 tls13; do
        begin_case "$kind"
        run env LD_PRELOAD="$sanitizer $BUILD/small/libwrapsock-preload.so" WRAPSOCK_POLICY="$POLICY" timeout 60 "$PROBES/calls_reused" "$(port $kind echo)" \
            beyond.dup2 beyond.dup3 beyond.F_DUPFD beyond.dup beyond.planned beyond.connect beyond.pidfd_getfd
        assertEquals "$kind: $err" "beyond.dup2: EMFILE closed works on
beyond.dup3: EMFILE closed works on
beyond.F_DUPFD: EMFILE closed works on
beyond.dup: EMFILE works on
beyond.planned: EMFILE closed works on
beyond.connect: beyond EMFILE closed works on
beyond.pidfd_getfd: EACCES works on" "$out"
        assertContains "$err" "beyond the table of 64"
        end_case
    done
    clean_wires
}

. "$SHUNIT2"
