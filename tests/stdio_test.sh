#!/bin/sh
# libc's streams: refused over a socket that is to stay inline; dprintf goes through.
# shellcheck disable=SC1090,SC1091
. "$(dirname "$0")/lib.sh"
. "$TOP/tests/ends.sh"

# shellcheck disable=SC2034 # start_peers writes it into each rule
policy_option='route = inline'
oneTimeSetUp() { start_peers echo; }

testDprintf() { same echo escapes dprintf && clean_wires; }

testFdopen() {
    for kind in tls12 tls13; do
        # shellcheck disable=SC2086
        run timeout 20 $wrapped "$PROBES/escapes" "$(port $kind echo)" fdopen
        assertEquals "$kind" "fdopen: EACCES
echo: after
end: 0" "$out"
        assertContains "$kind" "$err" "route = inline"
        assertEquals "$kind: one line: $err" 1 "$(printf '%s\n' "$err" | wc -l)"
    done
    clean_wires
}

. "$SHUNIT2"
