#!/bin/sh
# What wrapsock is for, in a minute: a Redis server and a Redis client that speak plain TCP, TLS between them, and what happens when
# somebody else answers. Everything is made in a scratch folder and removed again; the ports are free ones.
set -eu

top=$(cd "${0%/*}/.." && pwd -P)
scratch=$(mktemp -d "${TMPDIR:-/tmp}/wrapsock-demo.XXXXXX")
servers=
finish() {
    # shellcheck disable=SC2086 # numbers
    if [ -n "$servers" ]; then kill $servers; fi
    rm -rf "$scratch"
}
trap finish EXIT
trap 'exit 130' INT TERM
cd "$scratch"

title() { printf '\n== %s\n' "$1"; }
show() {
    printf '$ %s\n' "$*"
    "$@"
}

# The kernel knows which ports are free: a listener is only believed when it answers.
answers() { grep -qs "^ *[0-9]*: [0-9A-F]*:$(printf %04X "$1") [0-9A-F]*:0000 0A" /proc/net/tcp; }
free_port() {
    port=$((20000 + ($$ * 7 + ${1:-0}) % 12000))
    while answers "$port"; do port=$((port + 1)); done
    echo "$port"
}
await() {
    tries=0
    while ! answers "$1"; do
        tries=$((tries + 1))
        if [ "$tries" -gt 200 ]; then
            cat ./*.log >&2
            exit 1
        fi
        sleep 0.05
    done
}

title "A throw-away certificate authority, a certificate for localhost, and one for somebody else"
certificate() { # file, name
    openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$2" -keyout "$1.key" 2>/dev/null |
        openssl x509 -req -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile names -out "$1.pem" 2>/dev/null
}
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj "/CN=demo CA" -keyout ca.key -out ca.pem 2>/dev/null
printf 'subjectAltName=DNS:localhost\n' >names
certificate server localhost
printf 'subjectAltName=DNS:mallory.example\n' >names
certificate mallory mallory.example
chmod 600 ./*.key
ls -- *.pem *.key

good=$(free_port 0)
bad=$(free_port 5000)
title "One policy for both ends"
umask 077
tee policy.conf <<END
[defaults]
unmatched      = plain
ca_certs       = ca.pem

[client cache]
match          = localhost:$good, localhost:$bad

[server redis]
match          = *:$good
certfile       = server.pem
keyfile        = server.key

[server mallory]
match          = *:$bad
certfile       = mallory.pem
keyfile        = mallory.key
END
export WRAPSOCK_POLICY="$scratch/policy.conf"
PATH=$top/tools:$PATH
show "$top/build/wrapsockctl" check

title "An unmodified server that speaks plain TCP, under wrapsock"
serve() { # port, log
    printf '$ wrapsock redis-server --port %s &\n' "$1"
    wrapsock redis-server --port "$1" --bind 127.0.0.1 --save '' --dir "$scratch" >"$2.log" 2>&1 &
    servers="$servers $!"
    await "$1"
}
serve "$good" good

title "An unmodified client, under wrapsock: -v tells what was agreed on"
show wrapsock -v redis-cli -h localhost -p "$good" SET greeting "hello, TLS"
show wrapsock redis-cli -h localhost -p "$good" GET greeting

title "Is that really TLS? openssl verifies the port"
printf '$ openssl s_client -connect localhost:%s -verify_return_error -verify_hostname localhost -CAfile ca.pem\n' "$good"
openssl s_client -connect "127.0.0.1:$good" -servername localhost -verify_return_error -verify_hostname localhost -CAfile ca.pem \
    </dev/null 2>/dev/null >s_client.log
grep -E '^(New,|Verification|Verified|Verify return|    Protocol|subject=)' s_client.log | sort -u

title "Somebody else answers: a valid certificate, but another name. First our line, then the client's own message"
serve "$bad" mallory
if show wrapsock redis-cli -h localhost -p "$bad" GET greeting; then
    echo "the wrong name was accepted" >&2
    exit 1
fi

title "Done: everything is removed again"
