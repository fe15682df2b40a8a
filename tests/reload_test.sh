#!/bin/sh
# Policy, certificates, keys, authorities and revocation lists are replaced while connections come and go: written in place, renamed over, removed,
# half-written, key and certificate apart for a moment. Nothing fails that would not have failed anyway, old connections do not notice, new ones
# soon have the new files, what is broken changes nothing and is told of once. Then some hundred reloads, which leave nothing behind.
# ROUNDS, RATE: more of it (make reload).
# shellcheck disable=SC1090,SC1091,SC2086,SC2154
. "$(dirname "$0")/lib.sh"

live=$tmp/live
from=$tmp/from

_revocations() {
    cp "$certs"/*.pem "$certs"/*.key "$certs"/ca.conf "$certs"/index.txt* "$certs"/serial "$from" && cd "$from" &&
        openssl ca -config ca.conf -gencrl -crldays 30 -keyfile ca.key -cert ca.pem -out clean.crl 2>log &&
        openssl ca -config ca.conf -revoke client.pem -keyfile ca.key -cert ca.pem 2>>log &&
        openssl ca -config ca.conf -gencrl -crldays 30 -keyfile ca.key -cert ca.pem -out revoked.crl 2>>log
}

oneTimeSetUp() {
    mkdir "$live" "$from"
    (_revocations) || cat "$from/log"
    cp "$from/server.pem" "$live/web.pem" && cp "$from/server.key" "$live/web.key"
    cp "$from/ca.pem" "$live/roots.pem" && cp "$from/ca.pem" "$live/clients.pem" && cp "$from/clean.crl" "$live/crl.pem"
    sed "s|@LIVE@|$live|g" >"$from/policy" <<-'END'
	[server web]
	match = *:*
	certfile = @LIVE@/web.pem
	keyfile = @LIVE@/web.key
	cert_reqs = optional
	ca_certs = @LIVE@/clients.pem
	crlfile = @LIVE@/crl.pem
	crl_check = leaf
	[client out]
	match = *:*
	ca_certs = @LIVE@/roots.pem
	END
    (umask 077 && cp "$from/policy" "$live/policy.conf")
}

# begin NAME COMMAND...: wrapped, with a log of its own.
begin() {
    _log=$live/$1.log
    _as=$1
    shift
    start "$_as" env WRAPSOCK_LOG_FILE="$_log" $launcher -p "$live/policy.conf" -- "$@"
}

testUnderLoad() {
    ports=
    for shape in thread prefork epoll-et; do # few processes, so that each has visitors in every step
        _p=$(free_port)
        begin "$shape" "$PROBES/server" "$_p" "$shape"
        wait_listen "$_p"
        ports="$ports $_p"
    done
    out_port=$(free_port)
    start drive timeout 3500 "$PYTHON" "$TOP/tests/peers/reload.py" drive "$live" "$from" "${ROUNDS:-1}" "${RATE:-85}" "$out_port" $ports
    wait_listen "$out_port"
    begin dial "$PYTHON" "$TOP/tests/peers/reload.py" dial "$out_port" 15
    ln -s "$tmp/dial.out" "$live/dial.out"
    wait_for -t 3500 file_contains "$tmp/drive.out" ' connections$'
    assertEquals "it comes to its end: $(cat "$tmp/drive.out" "$tmp/drive.err" "$tmp/dial.err")" 0 $?
    while IFS=: read -r step verdict; do
        case $step in *connections) continue ;; esac
        begin_case "$step"
        assertEquals "$step" ' ok' "$verdict"
        end_case
    done <"$tmp/drive.out"
}

testNothingIsLeftBehind() {
    out_port=$(free_port)
    start peer "$PYTHON" "$TOP/tests/peers/echo_tls.py" "$certs" "tls13:echo:$out_port"
    wait_listen "$out_port"
    mkdir "$tmp/many"
    cp "$certs/ca.pem" "$tmp/many/roots.pem"
    printf '[client out]\nmatch = *:*\nca_certs = %s/many/roots.pem\n' "$tmp" | write_policy "$tmp/many/policy.conf"
    run timeout 120 env WRAPSOCK_LOG=info WRAPSOCK_LOG_FILE="$tmp/many/log" $launcher -p "$tmp/many/policy.conf" -- "$PROBES/reloads" "$out_port" "$tmp/many" 600
    assertEquals "it works: $err" 0 "$status"
    last=$(printf '%s\n' "$out" | tail -n 1)
    grown=$(printf '%s\n' "$last" | sed -n 's/^600 connections, \(-*[0-9]*\) kB more, 0 descriptors more$/\1/p')
    assertNotNull "$last" "$grown"
    # A sanitizer keeps what is freed.
    [ -n "$sanitizer" ] || assertTrue "300 reloads: $grown kB more" "[ ${grown:-9999} -lt 400 ]"
    assertTrue "they happened: $(grep -c 'used from now on\|are from now on\|is from now on' "$tmp/many/log")" \
        "[ $(grep -c 'used from now on\|are from now on\|is from now on' "$tmp/many/log") -gt 300 ]"
}

. "$SHUNIT2"
