#!/bin/sh
# The benchmark: every set-up starts, is seen to speak TLS and completes operations, and a run that went wrong gives no figures.
# limit: 240
. "$(dirname "$0")/lib.sh"

# bench ARGUMENTS...: the shortest samples there are; stand-ins come first in the path.
bench() {
    run env PATH="$tmp/stand-ins:$PATH" BUILD="${build:-$BUILD}" "$PYTHON" "$TOP/tests/bench/run.py" -r 1 -t 0.05 -o "$tmp/figures" "$@"
}

# Nothing is left of the test before. Under a sanitizer the figures mean nothing, and every program would need its runtime.
ready() {
    build=
    rm -rf "${tmp:?}/stand-ins" "$tmp/figures"
    mkdir "$tmp/stand-ins"
    [ -z "$sanitizer" ] && return 0
    skip 'a sanitizer'
    return 1
}

# stand_in NAME <script: found before the program of that name.
stand_in() {
    cat >"$tmp/stand-ins/$1"
    chmod 755 "$tmp/stand-ins/$1"
}

# assert_measured SCENARIO SET-UP...: the table has the scenario, and a row with figures for each set-up.
assert_measured() {
    assertEquals "$err" 0 "$status"
    assertContains "$out" "$1  ("
    shift
    for kind in "$@"; do
        assertEquals "rows of $kind" 1 "$(echo "$out" | grep -cE "^  $kind +[0-9.]+ ")"
    done
}

# assert_refused REASON: no table, and why.
assert_refused() {
    assertEquals "$err" 1 "$status"
    assertEquals '' "$out"
    assertContains "$err" 'REFUSED, nothing is reported'
    assertContains "$err" "$1"
    assertFalse 'nothing is written' "[ -e '$tmp/figures/table.txt' ]"
}

own='plain native wrapsock wrapsock-client wrapsock-both'

test_bench_when_short_then_each_setup_is_measured() {
    ready || return 0
    # shellcheck disable=SC2086 # a list of names
    for scenario in 'redis GET 64 B P1' 'new connection, full' 'ping-pong 64 B, one core'; do
        begin_case "$scenario"
        bench -s 'redis connect pingpong' -m "^$scenario\$" -w "$own"
        assert_measured "$scenario" $own
        end_case
    done
    bench -s programs -m 'sessions in a file' -w 'native wrapsock-client'
    assert_measured 'a program for each connection, sessions in a file' native wrapsock-client
    assertTrue 'table.txt' "[ -s '$tmp/figures/table.txt' ]"
    assertTrue 'figures.json' "'$PYTHON' -m json.tool '$tmp/figures/figures.json' >'$tmp/json'"
}

test_bench_when_with_the_explicit_interface_then_measured() {
    ready || return 0
    bench -s api -m 'connection, full|ping-pong'
    assert_measured 'API new connection, full'
    assertContains "$out" 'API ping-pong 64 B, one core  ('
    for kind in native api api-client api-both; do
        assertEquals "rows of $kind" 2 "$(echo "$out" | grep -cE "^  $kind +[0-9.]+ ")"
    done
}

test_bench_when_behind_a_proxy_then_measured() {
    ready || return 0
    bench -s bulk -m 'server sends' -w 'native stunnel hitch haproxy nginx-stream'
    if echo "$out" | grep '^left out'; then
        skip 'not every proxy is installed'
    else
        assert_measured 'bulk, server sends' native stunnel hitch haproxy nginx-stream
    fi
}

test_bench_when_idle_or_small_then_measured() {
    ready || return 0
    bench -q -s 'start' -w 'plain wrapsock'
    assertEquals "$err" 0 "$status"
    assertContains "$out" 'start of true, 1000 rules'
    assertContains 'the targets are shown' "$out" 'start of a program that wraps nothing'
}

test_bench_when_one_small_cost_is_asked_for_then_it_alone_is_measured() {
    ready || return 0
    bench -q -s 'start call' -m '^read'
    assertEquals "$err" 0 "$status"
    assertContains "$out" 'read, unwrapped descriptor'
    assertNotContains "$out" 'connect, 1'
    assertNotContains "$out" 'start of true'
}

test_bench_when_many_or_curl_then_measured() {
    ready || return 0
    for scenario in 'redis, 10 connections' '64 threads, a connection each' 'curl 1 KiB'; do
        begin_case "$scenario"
        _at='wrapsock'
        [ "$scenario" = 'curl 1 KiB' ] && _at='wrapsock-client'
        bench -s 'scale threads curl' -m "^$scenario\$" -w 'plain native wrapsock wrapsock-client'
        assert_measured "$scenario" plain native $_at
        end_case
    done
}

test_bench_when_the_server_dies_under_load_then_refused() {
    ready || return 0
    # What the program would say of a good run, of a server that is gone.
    stand_in redis-benchmark <<-'END'
	#!/bin/sh
	while [ "$1" != -p ]; do shift; done
	redis-cli -p "$2" shutdown nosave
	echo '"SET","1000.00","0.1","0.1","0.1","0.1","0.1","0.1"'
	echo '"GET","1000.00","0.1","0.1","0.1","0.1","0.1","0.1"'
	END
    bench -s redis -m 'GET 64 B P1$' -w plain
    assert_refused 'redis plain: process'
    assertContains "$err" 'died'
}

test_bench_when_no_operation_completes_then_refused() {
    ready || return 0
    printf '#!/bin/sh\nexit 0\n' | stand_in redis-benchmark
    bench -s redis -m 'GET 64 B P1$' -w plain
    assert_refused 'no operation completed'
}

# A build with everything in its place but what is named.
build_without() {
    build=$tmp/without-$1
    mkdir -p "$build/prefix/bin"
    ln -sfn "$BUILD/bench" "$build/bench"
    ln -sfn "$PRELOAD" "$build/libwrapsock-preload.so"
    ln -sfn "$WRAPSOCK" "$build/prefix/bin/wrapsock"
}

test_bench_when_the_launcher_does_nothing_then_refused() {
    ready || return 0
    build_without launcher
    rm "$build/prefix/bin/wrapsock"
    # shellcheck disable=SC2016 # for the script
    printf '#!/bin/sh\nshift 3\nexec "$@"\n' >"$build/prefix/bin/wrapsock"
    chmod 755 "$build/prefix/bin/wrapsock"
    bench -s pingpong -w 'native wrapsock'
    assert_refused 'stream wrapsock: the verified handshake has nothing'
}

test_bench_when_the_client_is_not_wrapped_then_refused() {
    ready || return 0
    build_without preload
    ln -sfn "$BUILD/libwrapsock.so" "$build/libwrapsock-preload.so"
    bench -s pingpong -w 'native wrapsock-client'
    assert_refused "stream wrapsock-client: the client's verified handshake"
}

. "$SHUNIT2"
