#!/bin/sh
# Programs that a wrapped program starts: they are wrapped as it is, whatever became of the environment, as follow_exec says.
# shellcheck disable=SC2086,SC2154,SC1090,SC1091
. "$(dirname "$0")/lib.sh"
. "$TOP/tests/ends.sh"

oneTimeSetUp() { start_peers echo; }

# With the environment goes the sanitizer's runtime, which must come first.
sanitized() { [ -n "$sanitizer" ] && skip "the sanitizer's runtime would have to survive in the environment"; }

testAWipedEnvironment() {
    if sanitized; then return; fi
    for how in execve no-environment execle execvpe fexecve execveat execv execvp execl execlp spawn spawnp vfork system popen; do
        same echo follows "$how"
    done
    for how in execve spawn system; do same echo follows "$how" again; done
    clean_wires
}

# follow WORD: a policy that says so.
follow() { client_rule "follow_exec = $1" | write_policy "$tmp/follow.conf"; }

testRefused() {
    follow refuse
    for how in execve execlp fexecve spawn system popen; do
        begin_case "$how"
        run timeout 20 $launcher -p "$tmp/follow.conf" "$PROBES/follows" "$(port tls13 echo)" "$how"
        assertEquals "$how: EACCES" "$(echo "$out" | sed 's/^.*: /'"$how"': /')"
        assertContains "$how" "$err" "follow_exec = refuse"
        end_case
    done
}

# As it was given: what the program does there is nothing to us.
testNotFollowed() {
    if sanitized; then return; fi
    follow no
    for how in execve spawn system; do
        begin_case "$how"
        run timeout 20 $launcher -p "$tmp/follow.conf" "$PROBES/follows" "$(port plain echo)" "$how"
        assertContains "$how over a plain wire" "$out" "echo: from the child"
        assertEquals "$how" "" "$err"
        end_case
    done
}

. "$SHUNIT2"
