#!/bin/sh
# Processes: a connection outlives children that close, exit or exec, and each direction may belong to another process.
# shellcheck disable=SC1090,SC1091
. "$(dirname "$0")/lib.sh"
. "$TOP/tests/ends.sh"

oneTimeSetUp() { start_peers echo; }

testOneReadsAnotherWrites() { same echo forks split && clean_wires; }

testWaitingIsNotReading() { same echo forks watched && clean_wires; }

testAChildsEndIsNotTheConnections() {
    for how in child-exits child-closes parent-closes; do same echo forks $how; done
    clean_wires
}

testWhatMakesAProcess() {
    for how in _Fork daemon daemon-null double forkpty shells; do same echo children $how; done
    clean_wires
}

# The sanitizer's own allocator may be locked in the child.
testAThreadedProcessForks() {
    [ -z "$sanitizer" ] || { skip "the sanitizer does not fork with threads"; return; }
    same echo children threaded
    clean_wires
}

# TLS 1.2 shows the kind of a record: 21 is an alert, close_notify.
last_record() { # the newest connection's, of the client
    # shellcheck disable=SC2012
    "$PYTHON" -c 'import sys
data = open(sys.argv[1], "rb").read()
while data:
    kind, data = data[0], data[5 + int.from_bytes(data[3:5], "big"):]
print(kind)' "$(ls "$tmp/echo-tls12.wire"/*-c2s.bytes | tail -n 1)"
}

testAForkThatFails() {
    same echo fork_fails
    clean_wires
    assertEquals 21 "$(last_record)"
}

testVfork() {
    run "$PROBES/vforks" "$(port plain echo)"
    expected=$out
    for kind in tls12 tls13; do
        # shellcheck disable=SC2086
        run timeout 20 $wrapped "$PROBES/vforks" "$(port $kind echo)"
        assertEquals "$kind" "$expected" "$out"
        assertEquals "$kind: $err" "" "$(printf '%s\n' "$err" | grep -v 'is closed in the new program')"
    done
    clean_wires
}

# What the child's number becomes is nothing to the parent's connection.
testAChildsNumberIsReused() { same echo vforks reused && clean_wires; }

# The parent, and a grandchild before it, write as before: the answer is the child's alone.
testAChildInOurMemory() {
    if [ -n "$sanitizer" ]; then
        skip "the sanitizer's runtime cannot be used by two processes at once"
        return
    fi
    for kind in tls12 tls13; do
        # shellcheck disable=SC2086
        run timeout 20 $wrapped "$PROBES/vforks" "$(port $kind echo)" inside
        assertEquals "$kind: $err" "echo: before
vfork: EIO
echo: vfork
bare clone: EIO
echo: bare clone
clone: EIO
echo: clone
end: 0" "$out"
    done
    clean_wires
}

# Without the relay: EIO and one line that names it, and nothing that the peer could not decrypt.
testTwoProcessesOnOneDirection() {
    for kind in tls12 tls13; do
        # shellcheck disable=SC2086
        run timeout 20 $wrapped "$PROBES/forks" "$(port $kind echo)" both
        assertEquals "$kind" "echo: before
echo: from the child
child: well
parent write: EIO
parent read: EIO" "$out"
        assertContains "$kind" "$err" "route = relay"
        assertEquals "$kind: one line: $err" 1 "$(printf '%s\n' "$err" | wc -l)"
    done
    clean_wires
}

testNewProgramsFindItClosed() {
    for how in exec system popen; do
        begin_case "$how"
        run "$PROBES/inherits" "$(port plain echo)" "$how"
        assertContains "plain: $out" "$out" "write: 13"
        for kind in tls12 tls13; do
            # shellcheck disable=SC2086
            run timeout 20 $wrapped "$PROBES/inherits" "$(port $kind echo)" "$how"
            assertEquals "$kind" "echo: before
inherited: EBADF
write: EBADF
child: 0
echo: after
end: 0" "$out"
            assertContains "$err" "is closed in the new program"
        done
        end_case
    done
    clean_wires
}

# The new program has not got it, and nobody else: the peer is told.
testExecEndsAConnection() {
    for how in path search forked; do
        same echo replaced $how
        wait_for is_last 21
        assertEquals "$how" 21 "$(last_record)"
    done
    clean_wires
}
is_last() { [ "$(last_record)" = "$1" ]; }

testAnExecThatFails() {
    same echo replaced missing
    printf '\177ELF no program' >"$tmp/no-program"
    chmod +x "$tmp/no-program"
    for kind in tls12 tls13; do
        # shellcheck disable=SC2086
        run timeout 20 $wrapped "$PROBES/replaced" "$(port $kind echo)" no-program "$tmp/no-program"
        assertEquals "$kind" "echo: before
execv: ENOEXEC
write: EPIPE" "$out"
        assertContains "$kind" "$err" "exec failed (Exec format error): 1 wrapped descriptors that it was to close are shut for writing"
    done
    clean_wires
}

. "$SHUNIT2"
