#!/bin/sh
# A table of certificates that are in order or not (tests/certs/cases): our verdict and our line, beside what openssl and GnuTLS say; some of
# them end to end, as client and as server; lists of revocation that change while a program runs.
# shellcheck disable=SC1090,SC1091,SC2034,SC2086,SC2154
. "$(dirname "$0")/lib.sh"
. "$TOP/tests/ends.sh"

made=$tmp/made

oneTimeSetUp() {
    mkdir "$made"
    timeout 200 "$PYTHON" "$TOP/tests/certs/check.py" "$TOP/tests/certs/cases" "$made" "$BUILD/certs/judge" >"$tmp/verdicts" 2>"$tmp/check.log"
    checked=$?
}

testTable() {
    assertEquals "check.py: $(tail -n 5 "$tmp/check.log")" 0 "$checked"
    rows=$(grep -c '^[a-z]' "$TOP/tests/certs/cases")
    assertEquals "rows judged" "$rows" "$(grep -c . "$tmp/verdicts")"
    while read -r verdict name; do
        begin_case "$name"
        assertEquals "$name" ok "$verdict"
        end_case
    done <"$tmp/verdicts"
}

policy_of() { # client|server NAME
    {
        printf '[%s all]\nmatch = *:*\n' "$1"
        cat "$made/$2.policy"
    } | write_policy
}

# dials NAME RESULT [WORDS]: a wrapped client, blocking and not, under the policy of that row, to the server behind $near.
dials() {
    policy_of client "$1"
    for mode in blocking nonblocking; do
        begin_case "$1 $mode"
        run timeout -k 1 20 $wrapped "$PROBES/dial" "$near" $mode
        assertEquals "$1 $mode: $err" "connect: $2" "$(printf '%s\n' "$out" | head -n 1)"
        if [ "$2" = ok ]; then
            assertEquals "$1 $mode" "" "$err"
        else
            assertEquals "one line: $err" 1 "$(printf '%s\n' "$err" | grep -c .)"
            assertContains "$1 $mode" "$err" "the program got $2"
            [ -z "${3:-}" ] || assertContains "$1 $mode" "$err" "$3"
            wire_text "$1" "$CANARY"
            assertNotEquals "clear text on the wire of $1" 0 $?
        fi
        end_case
    done
    assert_wire "$1"
}

samples='wildcard ok
nul-in-name EKEYREJECTED offers server.test\x00.evil.test;
newline-in-common-name EKEYREJECTED certificate of CN=a\
intermediate-expired EKEYEXPIRED at depth 1
crl-clean ok
crl-revoked EKEYREVOKED certificate is revoked
pin-root ok
pin-other EKEYREJECTED cure: pin
pin-alone-other EKEYREJECTED expected pin = sha256:
allow-of-a-client-other EKEYREJECTED cure: allow'

testClients() {
    specs='' listen=''
    while read -r name result words; do
        far=$(free_port)
        specs="$specs tls13:echo:$far:$name" listen="$listen $name:$far"
    done <<-END
	$samples
	END
    start peers "$PYTHON" "$TOP/tests/peers/echo_tls.py" "$made" $specs
    while read -r name result words; do
        far=${listen##* "$name":} far=${far%% *} near=$(free_port)
        wait_listen "$far"
        start_wire "$name" "$near" "$far"
        dials "$name" "$result" "$words"
        stop "$name"
    done <<-END
	$samples
	END
}

clients() { run timeout 30 "$PYTHON" "$TOP/tests/peers/client_tls.py" "$@"; }

start_server() { # NAME
    server_at=$(free_port) near=$(free_port)
    start server $wrapped "$PROBES/server" "$server_at" block
    wait_listen "$server_at"
    start_wire "$1" "$near" "$server_at"
}

testServers() {
    while read -r name result words; do
        begin_case "$name"
        policy_of server "$name"
        start_server "$name"
        clients "$near" tls13 "$made/us.trust.pem" --cert "$made/$name.pem"
        if [ "$result" = ok ]; then
            assertEquals "$name" "1 of 1" "$out"
            assertEquals "" "$(cat "$tmp/server.err")"
        else
            assertEquals "$name" "0 of 1" "$(printf '%s\n' "$out" | head -n 1)"
            wait_line "$tmp/server.out" "read: $result"
            assertEquals "the server got $(cat "$tmp/server.out")" 0 $?
            assertContains "$(cat "$tmp/server.err")" "$words"
        fi
        assert_wire "$name"
        stop "$name" && stop server
        end_case
    done <<-'END'
	allow-uri ok
	allow-uri-other EKEYREJECTED cure: allow
	pin-of-another-client EKEYREJECTED cure: pin
	END
}

# A list that changes counts for the next connection; a broken one leaves the last good one in force.
testListsThatChange() {
    policy_of server crl-client-revoked
    list=$made/crl-client-revoked.crl
    cp "$list" "$tmp/revoked.crl"
    cp "$made/crl-client-revoked.clean.crl" "$list"
    start_server changing
    clients "$near" tls13 "$made/us.trust.pem" --cert "$made/crl-client-revoked.pem"
    assertEquals "not on the list" "1 of 1" "$out"
    cp "$tmp/revoked.crl" "$list.new" && mv "$list.new" "$list"
    wait_for refused_now
    assertEquals "on the list" 0 $?
    assertContains "$(cat "$tmp/server.err")" EKEYREVOKED
    echo "no list" >"$list.new" && mv "$list.new" "$list"
    wait_for said_broken
    assertEquals "the broken list is told of" 0 $?
    assertTrue "and the one before stays in force" refused_now
    assert_wire changing
}

# Authorities and lists by their hashed names; one that is not there yet is looked for again.
testListsOfAFolder() {
    folder=$tmp/folder case=crl-revoked
    mkdir "$folder"
    cp "$made/$case.trust.pem" "$folder/ca.pem"
    openssl rehash "$folder" 2>/dev/null
    judged_by_folder EKEYREJECTED "there is no CRL of the certificate's issuer"
    cp "$made/$case.clean.crl" "$folder/list.pem"
    openssl rehash "$folder" 2>/dev/null
    judged_by_folder ok ''
    cp "$made/$case.crl" "$folder/list.pem"
    judged_by_folder EKEYREVOKED 'certificate is revoked'
}

judged_by_folder() { # ERRNO WORDS
    answer=$(printf '%s\tclient\tserver.test\tca_certs=\tcapath=%s\tcrl_check=chain\n' "$case" "$folder" | "$BUILD/certs/judge" "$made")
    assertEquals "$1: $answer" 2 "$(printf '%s\n' "$answer" | cut -f 3 | grep -c "^$1\$")"
    assertContains "$answer" "$2"
}

refused_now() {
    clients "$near" tls13 "$made/us.trust.pem" --cert "$made/crl-client-revoked.pem"
    [ "$(printf '%s\n' "$out" | head -n 1)" = "0 of 1" ]
}

said_broken() { refused_now && file_contains "$tmp/server.err" 'crlfile .*not used\|not used.*crlfile'; }

. "$SHUNIT2"
