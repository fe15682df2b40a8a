#!/bin/sh
# Mixed load: exchanges of all sizes, resumed, half-closed, broken off, reset, from forked and executed programs, inline and by the relay, beside
# connections that are held. Every byte is accounted for by hash, a part of the wire is recorded and judged, memory and descriptors stay flat.
# SOAK_SECONDS, CONNECTIONS: more of it (make soak).
# shellcheck disable=SC1090,SC1091,SC2086,SC2154
. "$(dirname "$0")/lib.sh"

# shellcheck disable=SC3045 # dash and bash know -n
ulimit -n 8192 2>/dev/null

testSoak() {
    [ -z "$sanitizer" ] || { skip "a sanitizer keeps what is freed, and memory is not flat"; return; }
    inline=$(free_port) relayed=$(free_port) near=$(free_port)
    write_policy <<-END
	[server relayed]
	match = *:$relayed
	route = relay
	certfile = @CERTS@/server.pem
	keyfile = @CERTS@/server.key
	[server inline]
	match = *:$inline
	certfile = @CERTS@/server.pem
	keyfile = @CERTS@/server.key
	[client relayed]
	match = *:$relayed
	route = relay
	ca_certs = @CERTS@/ca.pem
	[client inline]
	match = *:$inline, *:$near
	ca_certs = @CERTS@/ca.pem
	END
    mkdir "$tmp/soak"
    seconds=${SOAK_SECONDS:-14}
    timeout $((seconds + 120)) "$PYTHON" "$TOP/tests/peers/soak.py" "$PROBES/mix" "$TOP/tests/peers/wire.py" "$seconds" \
        "${CONNECTIONS:-60}" "${PAUSE:-10000}" "$tmp/soak" "$inline" "$relayed" "$near" -- $wrapped >"$tmp/report" 2>&1
    assertEquals "$(cat "$tmp/report")" 0 $?
    assertEquals "it has been judged" soaked "$(tail -n 1 "$tmp/report")"
    cat "$tmp/report"
}

. "$SHUNIT2"
