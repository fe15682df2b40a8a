#!/bin/sh
# wrapsockctl: check, print, explain and doctor.
. "$(dirname "$0")/lib.sh"

ctl() {
    if [ -n "$sanitizer" ]; then LD_PRELOAD=$sanitizer "$WRAPSOCKCTL" "$@"; else "$WRAPSOCKCTL" "$@"; fi
}

oneTimeSetUp() {
    write_policy <<'END'
[defaults]
ca_certs = @CERTS@/ca.pem

[client cache]
match = localhost:6379, 10.1.0.0/16:*
program = redis-cli
server_hostname = localhost

[client dns]
match = *:53
action = plain

[client no]
match = *:25
action = refuse

[client names]
match = *.test:7000
ciphers = ECDHE+AESGCM

[server web]
match = *:8443
certfile = @CERTS@/server.pem
keyfile = @CERTS@/server.key
END
}

test_usage_when_wrong_then_2() {
    for arguments in '' bogus --bogus '-p' 'check a b' 'print a' explain 'explain client' 'explain both localhost:1' 'explain client localhost' \
        'explain client localhost:x' 'explain client localhost:70000' 'explain client :1' doctor; do
        begin_case "wrapsockctl $arguments"
        # shellcheck disable=SC2086 # words
        run ctl $arguments
        assertEquals "$err" 2 "$status"
        assertContains "$err" "usage: wrapsockctl"
        assertNull "$out"
        end_case
    done
    run ctl --help
    assertEquals "0:" "$status:$err"
    assertContains "$out" "explain"
    run ctl check --help
    assertEquals "0:" "$status:$err"
    run ctl --version
    assertContains "$out" "wrapsock 0."
}

test_check_when_in_order_then_0() {
    for arguments in "check $POLICY" "-p $POLICY check" "check -p $POLICY" "check --policy=$POLICY"; do
        begin_case "$arguments"
        # shellcheck disable=SC2086 # words
        run ctl $arguments
        assertEquals "$err" "0:" "$status:$err"
        assertContains "$out" "in order, 5 rules"
        end_case
    done
    begin_case "the environment"
    WRAPSOCK_POLICY=$POLICY run ctl check
    assertEquals "$err" 0 "$status"
    end_case
}

# check_server LINE COLUMN WORDS <settings: of a server rule; a fault at that place, saying so.
check_server() {
    { printf '[server s]\nmatch = *:1\n' && cat; } | write_policy "$tmp/server.conf"
    run ctl check "$tmp/server.conf"
    assertEquals "$err" 1 "$status"
    assertContains "$err" "$tmp/server.conf:$1:$2: "
    assertContains "$err" "$3"
    assertEquals "one line: $err" 1 "$(printf '%s\n' "$err" | grep -vc 'warning: ')"
}

test_check_when_a_file_is_wrong_then_1_and_its_place() {
    begin_case "certificate missing"
    printf 'certfile = /nosuch.pem\n' | check_server 3 12 "/nosuch.pem: No such file"
    begin_case "key missing"
    printf 'certfile = @CERTS@/server.pem\nkeyfile = /nosuch.key\n' | check_server 4 11 "/nosuch.key: No such file"
    begin_case "another certificate's key"
    printf 'certfile = @CERTS@/server.pem\nkeyfile = @CERTS@/client.key\n' | check_server 4 11 "client.key"
    begin_case "a certificate for a key"
    printf 'certfile = @CERTS@/server.pem\nkeyfile = @CERTS@/client.pem\n' | check_server 4 11 "client.pem"
    begin_case "no certificate in the file"
    printf 'certfile = /etc/passwd\n' | check_server 3 12 "/etc/passwd"
    begin_case "a folder"
    printf 'certfile = @CERTS@\n' | check_server 3 12 "$certs"
    begin_case "CA missing"
    printf 'certfile = @CERTS@/server.pem\nkeyfile = @CERTS@/server.key\ncert_reqs = required\nca_certs = /nosuch.ca\n' |
        check_server 6 12 "/nosuch.ca: No such file"
    begin_case "encrypted key without password_file"
    printf 'certfile = @CERTS@/server.pem\nkeyfile = @CERTS@/encrypted.key\n' | check_server 4 11 "password_file"
    begin_case "a cipher that nobody knows"
    printf 'certfile = @CERTS@/server.pem\nkeyfile = @CERTS@/server.key\nciphers = NOSUCH\n' | check_server 5 11 "NOSUCH"
    end_case
    begin_case "encrypted key with password_file"
    printf '[server s]\nmatch = *:1\ncertfile = @CERTS@/server.pem\nkeyfile = @CERTS@/encrypted.key\npassword_file = @CERTS@/password\n' |
        write_policy "$tmp/server.conf"
    run ctl check "$tmp/server.conf"
    assertEquals "$err" 0 "$status"
    end_case
}

test_check_when_two_rules_are_wrong_then_two_lines() {
    write_policy "$tmp/two.conf" <<'END'
[server a]
match = *:1
certfile = /nosuch/a.pem
[client b]
match = *:2
ca_certs = /nosuch/b.pem
END
    run ctl check "$tmp/two.conf"
    assertEquals "$err" 1 "$status"
    assertContains "$err" "two.conf:3:12: "
    assertContains "$err" "two.conf:6:12: "
}

test_check_when_the_text_is_wrong_then_1_with_place() {
    printf '[client a]\nmatch = *:1\n\nbogus = 1\n' | write_policy "$tmp/text.conf"
    run ctl check "$tmp/text.conf"
    assertEquals "$err" 1 "$status"
    assertContains "$err" "$tmp/text.conf:4:1: "
    run ctl check "$tmp/nosuch.conf"
    assertEquals "$err" 1 "$status"
}

test_check_when_a_key_is_open_then_warned() {
    cp "$certs/server.key" "$tmp/open.key"
    chmod 644 "$tmp/open.key"
    printf '[server s]\nmatch = *:1\ncertfile = @CERTS@/server.pem\nkeyfile = %s\n' "$tmp/open.key" | write_policy "$tmp/open.conf"
    run ctl check "$tmp/open.conf"
    assertEquals "$err" 0 "$status"
    assertContains "$err" "open.conf:4:11: warning: "
    echo 'strict_keys = yes' >>"$tmp/open.conf"
    run ctl check "$tmp/open.conf"
    assertEquals "$err" 1 "$status"
}

test_print_when_printed_twice_then_the_same() {
    run ctl -p "$POLICY" print
    assertEquals "$err" "0:" "$status:$err"
    assertContains "$out" "cert_reqs = required"
    printf '%s\n' "$out" | write_policy "$tmp/printed.conf"
    first=$out
    run ctl -p "$tmp/printed.conf" print
    assertEquals "$first" "$out"
    # A disk that is full is no success.
    if [ -w /dev/full ]; then
        ctl -p "$POLICY" print >/dev/full 2>"$tmp/err"
        assertEquals 1 $?
    fi
}

# explained WORDS ARGUMENTS...: the first line says so.
explained() {
    _words=$1
    shift
    run ctl -p "$POLICY" explain "$@"
    assertEquals "$err" "0:" "$status:$err"
    assertContains "$out" "$_words"
}

test_explain_when_asked_then_the_rule_that_decides() {
    begin_case "by address and program"
    explained "client 10.1.2.3:99: wrapped, rule cache ($POLICY:4)" --program redis-cli client 10.1.2.3:99
    assertContains "$out" "server_hostname = localhost"
    assertContains "$out" "ca_certs = $certs/ca.pem"
    begin_case "another program"
    explained "client 10.1.2.3:99: plain, no rule matches" --program curl client 10.1.2.3:99
    assertContains "$out" "[client cache] no: its program does not fit"
    begin_case "no program named"
    explained "no program was named" client 10.1.2.3:99
    begin_case "an action"
    explained "client 192.0.2.1:53: plain, rule dns ($POLICY:9)" client 192.0.2.1:53
    explained "client 192.0.2.1:25: refused, rule no ($POLICY:13)" client 192.0.2.1:25
    begin_case "a name in match, an address asked"
    explained "refused, because it cannot be known" client 192.0.2.1:7000
    begin_case "a name that does not resolve here"
    explained "(0.0.0.0): wrapped, rule names" client nosuch.test:7000
    assertContains "$out" "ciphers = ECDHE+AESGCM"
    begin_case "IPv6"
    explained "plain, rule dns" client '[2001:db8::1]:53'
    begin_case "localhost"
    explained ": wrapped, rule cache" --program redis-cli client localhost:6379
    begin_case "server"
    explained "server 127.0.0.1:8443: wrapped, rule web" server 127.0.0.1:8443
    explained "server 127.0.0.1:53: plain, no rule matches" server 127.0.0.1:53
    end_case
}

test_doctor_when_fine_then_says_what_would_be_used() {
    printf '#!/usr/bin/env sh\n:\n' >"$tmp/script"
    chmod 755 "$tmp/script"
    run ctl -p "$POLICY" doctor "$tmp/script"
    assertEquals "$err" "0:" "$status:$err"
    assertContains "$out" "runs: $tmp/script"
    assertContains "$out" "by:   /usr/bin/env"
    assertContains "$out" "protected: yes"
    assertContains "$out" "preloads: "
    assertContains "$out" "TLS: OpenSSL 3"
    assertContains "$out" "rule: [server web] line 21"
    assertNotContains "$out" "[client cache]"
}

test_doctor_when_something_goes_past_us_then_notes_it() {
    cat >"$tmp/past.c" <<-'END'
	#define _GNU_SOURCE
	#include <dlfcn.h>
	#include <netdb.h>
	int main(int argc, char **argv) { return rcmd(argv, (unsigned short)argc, "", "", "", 0) + !dlmopen(LM_ID_NEWLM, argv[0], 1); }
	END
    gcc -o "$tmp/past" "$tmp/past.c"
    run ctl -p "$POLICY" doctor "$tmp/past"
    assertContains "$out" "protected: yes"
    assertContains "$out" "note: $tmp/past can load a second C library"
    assertContains "$out" "(it calls rcmd)"
    assertNotContains "$out" "(it calls rexec)"
}

test_doctor_when_not_then_says_why() {
    begin_case "static"
    echo 'int main(void) { return 0; }' >"$tmp/null.c"
    gcc -static -o "$tmp/static" "$tmp/null.c"
    run ctl -p "$POLICY" doctor "$tmp/static"
    assertEquals "$err" 1 "$status"
    assertContains "$out" "protected: no, static"
    begin_case "not found"
    run ctl -p "$POLICY" doctor no-such-command
    assertEquals "$err" 1 "$status"
    assertContains "$out" "not found"
    begin_case "a rule's file is missing"
    printf '[server a]\nmatch = *:1\ncertfile = /nosuch.pem\n' | write_policy "$tmp/doctor.conf"
    run ctl -p "$tmp/doctor.conf" doctor true
    assertEquals "$err" 1 "$status"
    assertContains "$err" "doctor.conf:3:12: "
    end_case
}

. "$SHUNIT2"
