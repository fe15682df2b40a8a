#!/bin/sh
# A program under the preload object that uses the explicit API, too: it can ask about what was wrapped for it, and nothing is wrapped twice.
# shellcheck disable=SC2086,SC2153,SC2154,SC1090,SC1091
. "$(dirname "$0")/lib.sh"

oneTimeSetUp() {
    wrapped_port=$(free_port) plain_port=$(free_port)
    start peers "$PYTHON" "$TOP/tests/peers/echo_tls.py" "$certs" "tls13:echo:$wrapped_port" "tls13:echo:$plain_port"
    wait_listen "$wrapped_port" && wait_listen "$plain_port"
    near=$(free_port)
    start_wire wrapped "$near" "$wrapped_port"
    near_plain=$(free_port)
    start_wire own "$near_plain" "$plain_port"
    write_policy <<-END
	[client wrapped]
	match = 127.0.0.1:$near
	ca_certs = @CERTS@/ca.pem
	[client own]
	match = 127.0.0.1:$near_plain
	action = plain
	END
    cp "$LIBRARY" "$tmp/libwrapsock.so.1" # the same name, another file
}

seen='not ours: 104, EINVAL
wrap: send 5
wrap: recv 5 ping
asked about itself: not wrapped
not ours: 104, EINVAL
send 5
recv 5 ping
stranger: the version, no connection
wrap: code 104, and the cure
send 5
recv 5 ping
version TLSv1.3, cipher TLS_AES_256_GCM_SHA384, 256 bits, known 1, pending 0
validated 1, commonName = localhost
chain of 2, the descriptor it is, context none
send -1, recv -1
unwrap -1, code 104
closed, and still TLSv1.3
then: not wrapped'

test_program_when_it_asks_then_whichever_file_it_has_loaded() {
    for file in "$LIBRARY" "$tmp/libwrapsock.so.1"; do
        for when in early late; do
            begin_case "$file, $when"
            run $wrapped "$PROBES/asks" "$near" "$near_plain" "$certs/ca.pem" "$file" "$when"
            assertEquals "$err" 0 "$status"
            assertEquals "$seen" "$out"
        done
    done
    end_case
    assert_wire wrapped
    assert_wire own
}

# Linked, as most programs are: the library is there before the preload object looks for it.
test_program_when_it_is_linked_then_the_same() {
    run env LD_PRELOAD="${sanitizer:+$sanitizer }$PRELOAD $LIBRARY" WRAPSOCK_POLICY="$POLICY" \
        "$PROBES/asks" "$near" "$near_plain" "$certs/ca.pem" "$LIBRARY" early
    assertEquals "$err" 0 "$status"
    assertEquals "$seen" "$out"
}

test_program_when_there_is_no_preload_then_nothing_is_wrapped() {
    run "$PROBES/asks" "$near_plain" "$near_plain" "$certs/ca.pem" "$LIBRARY" early
    assertContains "$out" 'not ours: 104, EINVAL'
    assertContains "$out" 'stranger: EOPNOTSUPP'
    assertNotContains "$out" 'version TLS'
}

. "$SHUNIT2"
