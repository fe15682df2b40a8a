#!/bin/sh
# Programs in circumstances that others were not prepared for: without their root folder and their user, with an allocator that calls what we stand in
# front of, with libraries that do so before main, without descriptors 0 to 2, with a number closed where nobody sees it, with threads that fork.
# shellcheck disable=SC1090,SC1091,SC2086,SC2154
. "$(dirname "$0")/lib.sh"
. "$TOP/tests/ends.sh"

oneTimeSetUp() { start_peers echo; }

# The key is root's, and the folder is empty: what is needed has been loaded before.
testWithoutRootAndUser() {
    [ "$(id -u)" -eq 0 ] || { skip "only root can change its root"; return; }
    mkdir "$tmp/empty"
    begin_case client
    run timeout 30 $wrapped "$PROBES/caged" client "$(port tls13 echo)" "$tmp/empty"
    assertEquals "$err" "caged
echo: hello
end: 0" "$out"
    end_case
    begin_case server
    at=$(free_port) near=$(free_port)
    server_rule | write_policy "$tmp/server.conf"
    start server $launcher -p "$tmp/server.conf" -- "$PROBES/caged" server "$at" "$tmp/empty"
    wait_line "$tmp/server.out" caged
    start_wire caged "$near" "$at"
    run timeout 60 "$PYTHON" "$TOP/tests/peers/client_tls.py" "$near" tls13 "$certs/ca.pem" --count 3
    assertEquals "$out $(cat "$tmp/server.err")" '3 of 3' "$(printf '%s\n' "$out" | head -n 1)"
    assert_wire caged
    end_case
    clean_wires
}

# An allocator whose every call reads, as some do for their settings, and a constructor that runs before ours.
testEarlyCalls() {
    [ -z "$sanitizer" ] || { skip "the sanitizer has an allocator of its own"; return; }
    cat >"$tmp/early.c" <<-'END'
	#define _GNU_SOURCE
	#include <sys/socket.h>
	#include <errno.h>
	#include <stddef.h>
	#include <unistd.h>
	void *__libc_malloc(size_t);
	static __thread int inside;
	void *malloc(size_t n)
	{
	    char c;
	    int saved = errno;

	    if (!inside) {
	        inside = 1;
	        (void)!read(-1, &c, 1);
	        close(-1);
	        inside = 0;
	    }
	    errno = saved;
	    return __libc_malloc(n);
	}
	__attribute__((constructor)) static void early(void)
	{
	    char c;

	    if (recv(-1, &c, 1, 0) != -1 || errno != EBADF)
	        _exit(77);
	}
	END
    run ${CC:-cc} -shared -fPIC -o "$tmp/early.so" "$tmp/early.c"
    assertEquals "it is built: $err" 0 "$status"
    for order in "$tmp/early.so:$PRELOAD" "$PRELOAD:$tmp/early.so"; do
        begin_case "LD_PRELOAD=$order"
        run timeout 30 env LD_PRELOAD="$order" WRAPSOCK_POLICY="$POLICY" "$PROBES/dial" "$(port tls13 echo)" blocking
        assertEquals "$err" 'connect: ok' "$(printf '%s\n' "$out" | head -n 1)"
        assertEquals "$err" 0 "$status"
        end_case
    done
    clean_wires
}

# Its first socket is number 0.
testWithoutDescriptors() {
    timeout 30 "$PROBES/dial" "$(port plain echo)" blocking <&- >"$tmp/plain.out" 2>&1
    timeout 30 $wrapped "$PROBES/dial" "$(port tls13 echo)" blocking <&- >"$tmp/tls13.out" 2>"$tmp/tls13.err"
    assertEquals "$(cat "$tmp/tls13.err")" 0 $?
    assertEquals "$(cat "$tmp/tls13.err")" "$(cat "$tmp/plain.out")" "$(cat "$tmp/tls13.out")"
    clean_wires
}

testANumberThatIsAFileNow() {
    run timeout 30 $wrapped "$PROBES/reused" "$(port tls13 echo)" "$tmp/file"
    assertEquals "$err" "echo: hello
the same number: yes
getpeername: ENOTSOCK
close: 0" "$out"
    assertEquals "nobody else has written into it" 'words of ours' "$(cat "$tmp/file")"
    clean_wires
}

# barred WHEN CALLS LAST [LINES]: what the program says last, and how many lines the log has; it is over in time, whatever is forbidden.
barred() {
    begin_case "$1 $2"
    # shellcheck disable=SC2086
    run timeout -k 1 10 $wrapped "$PROBES/barred" "$(port tls13 echo)" $1 $2
    last=$(printf '%s\n' "$out" | tail -n 1)
    case "|$3|" in *"|$last|"*) last=expected ;; esac
    assertEquals "$1 $2, not $3: $err" expected "$last"
    assertEquals "$1 $2: $err" "${4:-0}" "$(printf '%s' "$err" | grep -c .)"
    end_case
}

# The sandbox of a program that reads and writes, and so need not allow what we do instead.
testASystemCallIsForbidden() {
    [ -z "$sanitizer" ] || { skip "the sanitizer's own calls would fail"; return; }
    for call in sendto recvfrom "poll ppoll"; do barred early "$call" "connect: EPERM" 1; done
    barred early getsockopt "connect: EACCES" 1
    barred early "mmap openat newfstatat getrandom fcntl ioctl setsockopt" "the same"
    barred late sendto "write: EPERM"
    barred late recvfrom "read: EPERM"
    barred late "poll ppoll" "read: EPERM|the same"	# an answer that is there already needs no wait
    barred late "mmap openat getsockopt fcntl ioctl shutdown close" "the same"
    clean_wires
}

# The sanitizer's own allocator may be locked in the child.
testForksOfAThreadedProgram() {
    [ -z "$sanitizer" ] || { skip "the sanitizer does not fork with threads"; return; }
    run timeout 100 $wrapped "$PROBES/crowded" "$(port tls13 echo)" 25
    assertEquals "$err" '25 of 25 children' "$out"
    clean_wires
}

. "$SHUNIT2"
