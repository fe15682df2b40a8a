# Sourced first by every tests/*_test.sh; each ends with `. "$SHUNIT2"`. Gives a scratch directory ($tmp), throw-away certificates
# ($certs), servers that are stopped whatever happens, waiting for conditions, the launcher, and a recorder on the wire.
# shellcheck shell=sh disable=SC2034,SC2154 # variables are for the test files, and shunit2's own

TOP=$(cd "$(dirname "$0")/.." && pwd -P)
BUILD=${BUILD:-build}
case $BUILD in /*) ;; *) BUILD=$TOP/$BUILD ;; esac
SHUNIT2=${SHUNIT2:-/usr/share/shunit2/shunit2}
SHUNIT_COLOR=none
PYTHON=/usr/bin/python3
PRELOAD=$BUILD/libwrapsock-preload.so
LIBRARY=$BUILD/libwrapsock.so
PROBES=$BUILD/probes
case $BUILD in
"$TOP/build") # the checkout itself
    WRAPSOCK=$TOP/tools/wrapsock WRAPSOCKCTL=$BUILD/wrapsockctl
    ;;
*) # a variant is tested as it would be installed
    WRAPSOCK=$BUILD/prefix/bin/wrapsock WRAPSOCKCTL=$BUILD/prefix/bin/wrapsockctl
    PRELOAD=$BUILD/prefix/lib/libwrapsock-preload.so LIBRARY=$BUILD/prefix/lib/libwrapsock.so
    ;;
esac

# Where the variant is a sanitizer's, its runtime must be first in every process that gets the preload object.
sanitizer=
case $BUILD in
*/asan)
    sanitizer=$(${CC:-gcc} -print-file-name=libasan.so)
    export ASAN_OPTIONS="detect_leaks=0:${ASAN_OPTIONS:-}" UBSAN_OPTIONS="print_stacktrace=1:${UBSAN_OPTIONS:-}"
    ;;
esac

unset LD_PRELOAD WRAPSOCK_POLICY WRAPSOCK_LOG WRAPSOCK_LOG_FILE XDG_CONFIG_HOME
unset http_proxy https_proxy HTTP_PROXY HTTPS_PROXY no_proxy NO_PROXY all_proxy ALL_PROXY
export LC_ALL=C.UTF-8

tmp=$(mktemp -d "${TMPDIR:-/tmp}/wrapsock-test.XXXXXX") || exit 1
certs=${TESTS_CERTS:-$tmp/certs}
POLICY=$tmp/policy.conf
trap 'stop_all; rm -rf "$tmp"' EXIT # until shunit2 sets its own, which calls oneTimeTearDown

# --- waiting ---

poll=0.02

# wait_for [-t SECONDS] COMMAND...: until COMMAND succeeds; 1 after SECONDS (10).
wait_for() {
    if [ "$1" = -t ]; then
        _until=$2
        shift 2
    else
        _until=10
    fi
    _until=$(($(date +%s) + _until))
    while ! "$@"; do
        if [ "$(date +%s)" -gt "$_until" ]; then return 1; fi
        sleep "$poll"
    done
}

listening() {
    grep -qs "^ *[0-9]*: [0-9A-F]*:$(printf %04X "$1") [0-9A-F]*:0000 0A" /proc/net/tcp /proc/net/tcp6
}

# wait_listen PORT [SECONDS]: until somebody listens there.
wait_listen() { wait_for -t "${2:-10}" listening "$1"; }

file_contains() { grep -qs -e "$2" "$1"; }

# wait_line FILE PATTERN: until a line of FILE matches.
wait_line() { wait_for file_contains "$1" "$2"; }

# A port that nobody uses: none that the kernel could give to a client meanwhile, and none twice.
free_port() {
    "$PYTHON" -c 'import random, socket, sys
with open("/proc/sys/net/ipv4/ip_local_port_range") as f, open(sys.argv[1], "a+") as given:
    given.seek(0)
    ports = set(range(8000, max(int(f.read().split()[0]), 12000))) - {int(line) for line in given}
    for port in random.sample(sorted(ports), len(ports)):
        with socket.socket(socket.AF_INET6) as s:
            s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            try:
                s.bind(("::", port))
            except OSError:
                continue
        print(port, file=given)
        print(port)
        break' "$tmp/ports"
}

# --- processes ---

scope='file'
started_file=
started_test=

# start NAME COMMAND...: in a session of its own, until the test (or, in oneTimeSetUp, the file) ends. $pid is its number; its output
# goes to $tmp/NAME.out and $tmp/NAME.err.
start() {
    _name=$1
    shift
    setsid "$@" >"$tmp/$_name.out" 2>"$tmp/$_name.err" </dev/null &
    pid=$!
    echo "$pid" >"$tmp/$_name.pid"
    if [ "$scope" = test ]; then started_test="$pid $started_test"; else started_file="$pid $started_file"; fi
}

exited() { # PID; a child that nobody has waited for yet is gone, too
    case $(sed -n 's/^State:[^A-Z]*\(.\).*/\1/p' "/proc/$1/status" 2>/dev/null) in '' | Z) return 0 ;; *) return 1 ;; esac
}

stop_pid() {
    if kill -s TERM -- "-$1" 2>/dev/null; then wait_for -t 3 exited "$1"; fi
    kill -s KILL -- "-$1" 2>/dev/null
    wait "$1" 2>/dev/null
}

# stop NAME: what start began.
stop() { stop_pid "$(cat "$tmp/$1.pid")"; }

stop_all() {
    for _pid in $started_test $started_file; do stop_pid "$_pid"; done
    started_test='' started_file=''
}

# run COMMAND...: sets $status, $out and $err; a program gets 60 seconds, functions of this file (wrapped, launch) none of their own.
run() {
    case $(command -v "$1") in
    /*) timeout -k 5 60 "$@" >"$tmp/out" 2>"$tmp/err" </dev/null ;;
    *) "$@" >"$tmp/out" 2>"$tmp/err" </dev/null ;;
    esac
    status=$?
    out=$(cat "$tmp/out") err=$(cat "$tmp/err")
}

# --- wrapsock ---

# write_policy [FILE] <text: the policy that `wrapped` uses, or FILE. Begin with rules; @CERTS@ stands for the folder of certificates.
write_policy() {
    _file=${1:-$POLICY}
    rm -f "$_file"
    (umask 077 && sed "s|@CERTS@|$certs|g" >"$_file")
}

# The rule for every connection of a role, for write_policy: client_rule [LINE...], server_rule [LINE...].
client_rule() { printf '%s\n' '[client all]' 'match = *:*' 'ca_certs = @CERTS@/ca.pem' "$@"; }
server_rule() { printf '%s\n' '[server all]' 'match = *:*' 'certfile = @CERTS@/server.pem' 'keyfile = @CERTS@/server.key' "$@"; }

# launch ARGUMENTS...: the launcher.
launch() {
    if [ -n "$sanitizer" ]; then LD_PRELOAD=$sanitizer "$WRAPSOCK" "$@"; else "$WRAPSOCK" "$@"; fi
}

# wrapped COMMAND...: under the launcher, with the policy of write_policy.
wrapped() { launch -p "$POLICY" -- "$@"; }

# usable COMMAND...: does it end well within 5 seconds with nothing but the sanitizer's runtime in it? Some programs hang with that
# alone (Debian's curl in setlocale) and have to be skipped in such a variant.
usable() { [ -z "$sanitizer" ] || LD_PRELOAD=$sanitizer timeout 5 "$@" >/dev/null 2>&1 </dev/null; }

# Like `wrapped`, for `start` and `run`, which want a command: start NAME $wrapped COMMAND...
# shellcheck disable=SC2089
launcher=$WRAPSOCK
[ -z "$sanitizer" ] || launcher="env LD_PRELOAD=$sanitizer $WRAPSOCK"
wrapped="$launcher -p $POLICY --"

# --- another user ---

# A command in front of others: as root, a user that owns nothing, so that permissions count for it, too; else nothing.
unprivileged=
[ "$(id -u)" -ne 0 ] || unprivileged='setpriv --reuid=54321 --regid=54321 --clear-groups'

# unprivileged_reads FILE...: can it read them? It may pass through $tmp from now on.
unprivileged_reads() {
    chmod 711 "$tmp"
    for _file in "$@"; do $unprivileged test -r "$_file" || return 1; done
}

# --- the wire ---

# start_wire NAME FROM TO [OPTION...]: a recorder that listens on port FROM and passes all to port TO (tests/peers/wire.py).
start_wire() {
    _wire=$1 _from=$2 _to=$3
    shift 3
    mkdir -p "$tmp/$_wire.wire"
    start "$_wire" "$PYTHON" "$TOP/tests/peers/wire.py" record "$_from" "$_to" "$tmp/$_wire.wire" "$@"
    wait_listen "$_from"
}

# start_sniffer NAME ADDRESS: the same of all connections to ADDRESS, without a hop; wants root. To be stopped before it is asked.
start_sniffer() {
    mkdir -p "$tmp/$1.wire"
    start "$1" "$PYTHON" "$TOP/tests/peers/wire.py" sniff "$2" "$tmp/$1.wire"
    wait_line "$tmp/$1.out" sniffing
}

# What is in the application data of probes and peers, another in each file, and nowhere else.
CANARY=$(od -An -N6 -tx1 /dev/urandom | tr -d ' \n')
export CANARY

# assert_wire NAME: something was recorded, and all of it was TLS records in both directions, with nothing in them that could be read.
assert_wire() {
    _verdict=$("$PYTHON" "$TOP/tests/peers/wire.py" check "$tmp/$1.wire" "$CANARY" 2>&1)
    assertEquals "the wire of $1: $_verdict" 0 $?
}

# wire_text NAME PATTERN: does the recorded wire carry this text in clear?
wire_text() { cat "$tmp/$1.wire"/*.bytes 2>/dev/null | grep -aq -e "$2"; }

# start_bridge NAME listen|connect FROM TO [OPTION...]: between plain and TLS (tests/peers/tls_bridge.py).
start_bridge() {
    _bridge=$1 _mode=$2 _from=$3 _to=$4
    shift 4
    start "$_bridge" "$PYTHON" "$TOP/tests/peers/tls_bridge.py" "$_mode" "$_from" "$_to" "$@"
    wait_listen "$_from"
}

# --- certificates, made once a run, EC keys because they are quick ---

_issue() { # NAME ISSUER COMMON-NAME EXTENSIONS [START END], in $certs; an ISSUER of its own name signs itself
    openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$3" -keyout "$1.key" -out "$1.csr" 2>>log || return 1
    printf '%s\n' "$4" >"$1.ext"
    if [ "$1" = "$2" ]; then _by="-selfsign -keyfile $1.key"; else _by="-cert $2.pem -keyfile $2.key"; fi
    if [ -n "${5:-}" ]; then _dates="-startdate $5 -enddate $6"; else _dates="-days 3650"; fi
    # shellcheck disable=SC2086 # lists of options
    openssl ca -batch -notext -config ca.conf -rand_serial $_by $_dates -extfile "$1.ext" -in "$1.csr" -out "$1.pem" 2>>log || return 1
    chmod 600 "$1.key"
}

_make_certs() {
    : >log && : >index.txt && echo 'unique_subject = no' >index.txt.attr
    cat >ca.conf <<-'END'
	[ca]
	default_ca = this
	[this]
	database = index.txt
	serial = serial
	new_certs_dir = .
	default_md = sha256
	policy = any
	copy_extensions = none
	[any]
	commonName = supplied
	END
    _authority='basicConstraints=critical,CA:TRUE
keyUsage=critical,keyCertSign,cRLSign
subjectKeyIdentifier=hash'
    _ids='authorityKeyIdentifier=keyid
subjectKeyIdentifier=hash'
    _server="$_ids
extendedKeyUsage=serverAuth
subjectAltName"
    _names="$_server=DNS:localhost,DNS:*.test,IP:127.0.0.1,IP:::1"

    _issue ca ca 'test CA' "$_authority" &&
        _issue other-ca other-ca 'other CA' "$_authority" &&
        _issue server ca localhost "$_names" &&
        _issue client ca 'test client' "$_ids
extendedKeyUsage=clientAuth" &&
        _issue other-server other-ca localhost "$_names" &&
        _issue other-client other-ca 'other client' "$_ids
extendedKeyUsage=clientAuth" &&
        _issue wrong-name ca wrong.example "$_server=DNS:wrong.example" &&
        _issue name-only ca localhost "$_server=DNS:localhost" &&
        _issue expired ca localhost "$_names" 20200101000000Z 20210101000000Z &&
        _issue not-yet ca localhost "$_names" 20990101000000Z 20991231000000Z &&
        _issue self-signed self-signed localhost "subjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1" &&
        _issue intermediate ca 'test intermediate' "$_authority" &&
        _issue leaf intermediate localhost "$_names" &&
        cat leaf.pem intermediate.pem >chain.pem && cp leaf.key chain.key &&
        cat server.pem server.key >server-both.pem &&
        echo 'secret word' >password && chmod 600 password server-both.pem &&
        openssl pkey -in server.key -aes256 -passout file:password -out encrypted.key && chmod 600 encrypted.key &&
        cp server.pem encrypted.pem && : >complete
}
if [ ! -e "$certs/complete" ]; then
    mkdir -p "$certs"
    if ! (cd "$certs" && _make_certs); then
        cat "$certs/log" >&2
        exit 1
    fi
fi

# --- counting ---

skipped=0 cases_passed=0 cases_failed=0 case_name=

# skip REASON; return: this test cannot run here.
skip() {
    skipped=$((skipped + 1))
    echo "SKIP: ${_shunit_test_:-all}: $*"
}

# begin_case NAME ... end_case: one row of a table, counted by itself.
begin_case() {
    end_case
    case_name=$1 _asserts=$__shunit_assertsFailed
}
end_case() {
    [ -n "$case_name" ] || return 0
    if [ "$__shunit_assertsFailed" -eq "$_asserts" ]; then
        cases_passed=$((cases_passed + 1))
    else
        cases_failed=$((cases_failed + 1))
        echo "failed case: $case_name"
    fi
    case_name=
}

setUp() { scope='test'; }

tearDown() {
    end_case
    # Its name, for tests/surface_test.sh.
    if [ "${__shunit_testSuccess:-0}" -eq 0 ] && [ -n "${TESTS_RAN:-}" ] && [ -n "${_shunit_test_:-}" ]; then echo "$_shunit_test_" >>"$TESTS_RAN"; fi
    for _pid in $started_test; do stop_pid "$_pid"; done
    started_test=''
    if [ "${__shunit_testSuccess:-0}" -ne 0 ]; then
        for _log in "$tmp"/*.err "$tmp/err"; do
            if [ -s "$_log" ]; then echo "--- ${_log##*/}" && tail -n 15 "$_log"; fi
        done
    fi
}

oneTimeTearDown() {
    [ -n "$tmp" ] || return 0
    stop_all
    rm -rf "$tmp"
    tmp=
    # Called from shunit2's exit trap: the file did not come to its end.
    [ "${__shunit_clean:-0}" -ne 0 ] || __shunit_testsFailed=$((__shunit_testsFailed + 1))
    _failures=$((__shunit_testsFailed + cases_failed))
    echo "$((__shunit_testsPassed - skipped + cases_passed)) passed, $_failures failed"
}
