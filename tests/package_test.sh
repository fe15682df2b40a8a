#!/bin/sh
# What others build on: the installed tree, pkg-config, the header in C and C++, and an interface that does not change unnoticed.
. "$(dirname "$0")/lib.sh"

PREFIX=$tmp/usr
CC=${CC:-gcc}

oneTimeSetUp() {
    if [ -n "$sanitizer" ]; then return; fi
    make --no-print-directory -s -C "$TOP" BUILD="$BUILD" PREFIX="$PREFIX" DESTDIR= install >"$tmp/install" 2>&1 ||
        { cat "$tmp/install"; return 1; }
    export PKG_CONFIG_PATH="$PREFIX/lib/pkgconfig" LD_LIBRARY_PATH="$PREFIX/lib"
}

not_for_sanitizers() {
    [ -n "$sanitizer" ] || return 1
    skip 'a sanitizer is not what is installed'
}

words() { pkg-config --cflags --libs wrapsock; }

test_package_when_asked_then_tells_the_version_and_the_way() {
    not_for_sanitizers && return
    assertEquals "$("$WRAPSOCK" --version | sed 's/.* //')" "$(pkg-config --modversion wrapsock)"
    assertEquals "$PREFIX/include" "$(pkg-config --variable=includedir wrapsock)"
    assertContains "$(words)" -lwrapsock
}

# Rows 1, 2 and 129: nothing but the header and one library, no call before the first.
test_program_when_built_by_pkg_config_then_it_runs() {
    not_for_sanitizers && return
    cat >"$tmp/has.c" <<-'END'
	#include <wrapsock.h>
	#include <stdio.h>
	int main(void)
	{
		printf("%s %d\n", wrapsock_openssl_version(), wrapsock_has("TLS"));
		return wrapsock_has("TLS") != 1;
	}
	END
    # shellcheck disable=SC2046 # words
    run $CC -Wall -Wextra -Werror -o "$tmp/has" "$tmp/has.c" $(words)
    assertEquals "$err" 0 "$status"
    run "$tmp/has"
    assertEquals "$err" 0 "$status"
    assertContains "$out" 'OpenSSL 3.'
    assertContains "$(readelf -d "$tmp/has")" '[libwrapsock.so.1]'
}

# Row S3: -1 that nobody looks at is a connection to anybody: each call that decides says so to the compiler.
test_verdict_when_nobody_looks_then_the_compiler_does() {
    not_for_sanitizers && return
    {
        printf '#include <wrapsock.h>\nvoid all(struct wrapsock_sock *s, struct wrapsock_ctx *c, char *buf);\n'
        printf 'void all(struct wrapsock_sock *s, struct wrapsock_ctx *c, char *buf)\n{\n'
        cat <<-'END'
		wrapsock_wrap(c, 3, 0, "a.test");
		wrapsock_wrap_socket(3, 0);
		wrapsock_connect(s, 0, 0);
		wrapsock_do_handshake(s);
		wrapsock_accept(s, 0, 0);
		wrapsock_unwrap(s);
		wrapsock_recv(s, buf, 1, 0);
		wrapsock_send(s, buf, 1, 0);
		wrapsock_sendall(s, buf, 1, 0);
		wrapsock_getpeercert(s);
		wrapsock_ctx_new(0);
		wrapsock_ctx_set_verify_mode(c, 2);
		wrapsock_ctx_set_check_hostname(c, 1);
		wrapsock_ctx_load_verify_locations(c, buf, buf);
		wrapsock_ctx_load_cert_chain(c, buf, buf);
		wrapsock_ctx_set_ciphers(c, buf);
		wrapsock_ctx_set_ciphersuites(c, buf);
		}
		END
    } >"$tmp/ignored.c"
    # shellcheck disable=SC2046 # words
    run $CC -Wall -c -o "$tmp/ignored.o" "$tmp/ignored.c" $(words)
    assertEquals "$err" 0 "$status"
    assertEquals "$err" 17 "$(echo "$err" | grep -c 'warn_unused_result')"
}

# Row S23: whoever runs a set-uid program does not choose whom it trusts. The same program without the bit shows that it would have.
test_authorities_when_a_set_uid_program_is_told_then_it_does_not_listen() {
    not_for_sanitizers && return
    [ -n "$unprivileged" ] || { skip 'needs root'; return; }
    ! findmnt -n -o OPTIONS -T "$tmp" | grep -q nosuid || { skip 'no set-uid programs here'; return; }
    cat >"$tmp/trusting.c" <<-'END'
	#include <wrapsock.h>
	#include <arpa/inet.h>
	#include <stdio.h>
	#include <stdlib.h>
	int main(int argc, char **argv)
	{
		struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(argv[argc - 1])) };
		struct wrapsock_ctx *ctx = wrapsock_ctx_default_client();
		int fd = socket(AF_INET, SOCK_STREAM, 0);
		struct wrapsock_sock *s;
		to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		if (!ctx || connect(fd, (struct sockaddr *)&to, sizeof to) != 0)
			return 2;
		s = wrapsock_wrap(ctx, fd, 0, "localhost");
		puts(s ? "trusted" : wrapsock_err_reason(ctx));
		return 0;
	}
	END
    run $CC -Wall -Wextra -Werror -o "$tmp/trusting" "$tmp/trusting.c" -I"$PREFIX/include" -L"$PREFIX/lib" -lwrapsock -Wl,-rpath,"$PREFIX/lib"
    assertEquals "$err" 0 "$status"
    chmod -R a+rX "$PREFIX" "$tmp/trusting"
    cp "$certs/ca.pem" "$tmp/ca.pem" && chmod 644 "$tmp/ca.pem"
    unprivileged_reads "$tmp/trusting" "$PREFIX/lib/libwrapsock.so" "$tmp/ca.pem" || { skip 'a user without rights reads nothing here'; return; }
    port=$(free_port)
    start authority openssl s_server -quiet -accept "$port" -cert "$certs/server.pem" -key "$certs/server.key"
    wait_listen "$port"
    # shellcheck disable=SC2086 # a command in front of another
    run env SSL_CERT_FILE="$tmp/ca.pem" SSL_CERT_DIR="$tmp" $unprivileged "$tmp/trusting" "$port"
    assertEquals "$err" trusted "$out"
    chmod 4755 "$tmp/trusting"
    # shellcheck disable=SC2086
    run env SSL_CERT_FILE="$tmp/ca.pem" SSL_CERT_DIR="$tmp" $unprivileged "$tmp/trusting" "$port"
    assertEquals "$err" CERTIFICATE_VERIFY_FAILED "$out"
}

test_examples_when_installed_then_they_build() {
    not_for_sanitizers && return
    cp -r "$PREFIX/share/doc/wrapsock/examples" "$tmp/examples"
    run make --no-print-directory -C "$tmp/examples" CC="$CC" CFLAGS='-O2 -Wall -Wextra -Werror'
    assertEquals "$err" 0 "$status"
    for source in "$TOP"/lib/examples/*.c; do
        name=$(basename "$source" .c)
        begin_case "$name"
        run "$tmp/examples/$name"
        assertContains "$err" "usage: $name"
        end_case
    done
}

test_header_when_included_alone_then_clean() {
    echo '#include <wrapsock.h>' >"$tmp/alone.c"
    cp "$tmp/alone.c" "$tmp/alone.cc"
    for compiler in "gcc -std=c99" "gcc -std=c11" "gcc -std=gnu2x" "clang -std=c99" "g++ -std=c++98 -Wno-variadic-macros -Wno-long-long" "g++ -std=c++11" \
        "g++ -std=c++20" "clang++ -std=c++17"; do
        command -v "${compiler%% *}" >/dev/null || continue
        begin_case "$compiler"
        case $compiler in *++*) source=$tmp/alone.cc ;; *) source=$tmp/alone.c ;; esac
        # shellcheck disable=SC2086 # words
        run $compiler -Wall -Wextra -Wpedantic -Wshadow -Werror -I "$TOP/lib" -fsyntax-only "$source"
        assertEquals "$err" 0 "$status"
        end_case
    done
}

test_program_when_in_cpp_then_it_talks() {
    not_for_sanitizers && return
    cat >"$tmp/client.cc" <<-'END'
	#include <wrapsock.h>
	#include <sys/socket.h>
	#include <netinet/in.h>
	#include <cstdio>
	#include <cstdlib>
	#include <memory>
	#include <string>

	int main(int, char **argv)
	{
		std::unique_ptr<wrapsock_ctx, void (*)(wrapsock_ctx *)> ctx(wrapsock_ctx_new(WRAPSOCK_PROTOCOL_TLS_CLIENT), wrapsock_ctx_free);
		wrapsock_options options = WRAPSOCK_OPTIONS_INIT;
		sockaddr_in to = {};
		const std::string word = "a word";
		char back[6];

		to.sin_family = AF_INET;
		to.sin_port = htons(std::atoi(argv[1]));
		to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		options.ca_certs = argv[2];
		options.server_hostname = "localhost";
		options.flags = WRAPSOCK_OWN_FD;
		wrapsock_sock *sock = wrapsock_wrap_socket(socket(AF_INET, SOCK_STREAM, 0), &options);
		if (!ctx || !sock || wrapsock_connect(sock, reinterpret_cast<sockaddr *>(&to), sizeof to) < 0) {
			std::puts(wrapsock_errstr(sock));
			return 1;
		}
		if (wrapsock_sendall(sock, word.data(), word.size(), 0) < 0 || wrapsock_recv(sock, back, sizeof back, 0) != 6)
			return 1;
		std::printf("%.6s\n", back);
		return wrapsock_close(sock);
	}
	END
    # shellcheck disable=SC2046 # words
    run g++ -std=c++11 -Wall -Wextra -Wpedantic -Werror -o "$tmp/client" "$tmp/client.cc" $(words)
    assertEquals "$err" 0 "$status"
    port=$(free_port)
    start echo "$PYTHON" "$TOP/tests/peers/echo_tls.py" "$certs" "tls:echo:$port:server"
    wait_listen "$port"
    run "$tmp/client" "$port" "$certs/ca.pem"
    assertEquals "$out$err" 'a word' "$out"
    assertEquals 0 "$status"
}

# What the header declares is exported, and nothing else is, but for the table that the preload object asks for.
test_library_when_listed_then_as_the_header() {
    tr '\n' ' ' <"$TOP/lib/wrapsock.h" | sed 's|/\*[^*]*\*\+\([^/*][^*]*\*\+\)*/||g' | grep -o 'wrapsock_[A-Za-z0-9_]* *(' | tr -d ' (' | sort -u >"$tmp/declared"
    nm -D --defined-only "$LIBRARY" | sed -n 's/.* [TD] \(wrapsock_[A-Za-z0-9_]*\).*/\1/p' | grep -v '^wrapsock_core_' | sort -u >"$tmp/exported"
    assertNotEquals 0 "$(grep -c . "$tmp/declared")"
    assertEquals 'declared only' '' "$(comm -23 "$tmp/declared" "$tmp/exported" | tr '\n' ' ')"
    assertEquals 'exported only' '' "$(comm -13 "$tmp/declared" "$tmp/exported" | tr '\n' ' ')"
}

abi() { make --no-print-directory -C "$TOP" BUILD="$BUILD" ABI="$1" ABI_NOW="$tmp/now.abi" abi >"$tmp/abi.out" 2>&1; }

test_interface_when_compared_then_as_recorded() {
    not_for_sanitizers && return
    command -v abidw >/dev/null || { skip 'no abidw: package abigail-tools'; return; }
    readelf -SW "$LIBRARY" | grep -q '\.debug_info' || { skip 'the library was built without -g'; return; }
    abi "$TOP/lib/libwrapsock.abi"
    assertEquals "$(tail -n 20 "$tmp/abi.out")" 0 $?
    # It must be able to fail: a function that went, a struct that was another size, a constant with another value.
    for change in "s/wrapsock_has/wrapsock_had/" "s/\(name='wrapsock_options' size-in-bits='\)512/\1448/" "s/\(WRAPSOCK_E_EOF' value='\)8/\19/"; do
        begin_case "$change"
        sed "$change" "$TOP/lib/libwrapsock.abi" >"$tmp/other.abi"
        assertFalse 'nothing to change' "cmp -s '$TOP/lib/libwrapsock.abi' '$tmp/other.abi'"
        abi "$tmp/other.abi"
        assertNotEquals 'not noticed' 0 $?
        assertContains "$(cat "$tmp/abi.out")" 'changes summary'
        end_case
    done
}

. "$SHUNIT2"
