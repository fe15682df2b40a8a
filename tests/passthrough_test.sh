#!/bin/sh
# What policy does not wrap is as if we were not there, and costs no OpenSSL.
# shellcheck disable=SC2086,SC2154,SC1090,SC1091
. "$(dirname "$0")/lib.sh"
. "$TOP/tests/ends.sh"

oneTimeSetUp() {
    start_peers echo sink mute
    write_policy <<-END
	[client elsewhere]
	match = 192.0.2.1:*
	ca_certs = @CERTS@/ca.pem
	[server elsewhere]
	match = 192.0.2.1:*
	certfile = @CERTS@/server.pem
	keyfile = @CERTS@/server.key
	END
}

# unchanged BEHAVIOUR PROBE ARGUMENTS...: under the launcher, to the same plain peer, the same output.
unchanged() {
    begin_case "$2 $*"
    to=$(port plain "$1") probe=$2
    shift 2
    run timeout 20 "$PROBES/$probe" "$to" "$@"
    expected="$status $out"
    # shellcheck disable=SC2086
    run timeout 20 $wrapped "$PROBES/$probe" "$to" "$@"
    assertEquals "$probe $*" "$expected" "$status $out"
    assertEquals "$probe $*" "" "$err"
    end_case
}

testProbes() {
    head -c 100000 /dev/urandom >"$tmp/file"
    unchanged echo flags
    unchanged echo vectors
    unchanged echo sendfiles "$tmp/file"
    unchanged sink halfclose 100000
    unchanged mute timeouts
    unchanged echo interrupted
    unchanged echo pipes
    unchanged echo duplex 2000
    unchanged echo dups
    unchanged echo ranges
    unchanged echo vforks
    unchanged echo forks split
    unchanged echo inherits exec
    for how in poll epoll-et; do unchanged echo echo_wait $how short 300000 20000 5000; done
    for how in poll spin again early; do unchanged echo connect_nonblocking $how; done
    for what in fdopen rights syscall dprintf zero; do unchanged echo escapes $what; done
}

testNoLibraryIsLoaded() {
    # shellcheck disable=SC2086
    run $wrapped cat /proc/self/maps
    assertContains "the preload object is there" "$out" libwrapsock-preload.so
    assertNotContains "$out" libssl
    assertNotContains "$out" libcrypto
    assertNotContains "$out" libwrapsock.so
}

testNoDescriptorIsKept() {
    run ls /proc/self/fd
    expected=$out
    # shellcheck disable=SC2086
    run $wrapped ls /proc/self/fd
    assertEquals "$expected" "$out"
}

# The recorder's judge is able to fail.
testThePlainWireIsNoticed() {
    near=$(free_port)
    start_wire plain "$near" "$(port plain echo)"
    # shellcheck disable=SC2086
    run $wrapped "$PROBES/dial" "$near" blocking
    assertEquals "connect: ok
send: 13
recv: 13" "$out"
    "$PYTHON" "$TOP/tests/peers/wire.py" check "$tmp/plain.wire" >/dev/null
    assertEquals 1 $?
    wire_text plain "$CANARY"
    assertEquals 0 $?
}

testAnActionOfPlain() {
    write_policy "$tmp/plain.conf" <<-END
	[client plain]
	match = *:$(port plain echo)
	action = plain
	[client all]
	match = *:*
	ca_certs = @CERTS@/ca.pem
	END
    for kind in plain tls13; do
        run $launcher -p "$tmp/plain.conf" "$PROBES/dial" "$(port $kind echo)" blocking
        assertEquals "$kind" "connect: ok
send: 13
recv: 13" "$out"
    done
    clean_wires
}

. "$SHUNIT2"
