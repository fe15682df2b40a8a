/*
 * ssl_sock_test.c - sockets of the explicit API against OpenSSL's. Rows of the contract are in the functions' names. limit: 900
 */
#include "ssl.h"

#include <netinet/tcp.h>
#include <pthread.h>
#include <dirent.h>
#include <signal.h>

static int
count_descriptors(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = 0;

	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

/* ---- a peer in a thread: accepts or connects, then echoes ---- */

struct echo {
	pthread_t thread;
	int listener, fd;
	SSL_CTX *x;
	struct sockaddr_in addr;
	bool silent;			/* accepts, and says nothing until the other side goes */
};

static void *
echo_run(void *arg)
{
	struct echo *e = arg;
	int fd = e->fd >= 0 ? e->fd : accept4(e->listener, NULL, NULL, SOCK_CLOEXEC);
	SSL *p = peer_new(e->x, fd, e->listener >= 0);
	char buf[16384];
	size_t n;

	if (e->silent)
		recv(fd, buf, 1, MSG_PEEK), poll(&(struct pollfd){ .fd = fd, .events = POLLRDHUP }, 1, 10000);
	else if (SSL_do_handshake(p) == 1)
		while (SSL_read_ex(p, buf, sizeof buf, &n) && SSL_write_ex(p, buf, n, &n))
			;
	SSL_shutdown(p);
	SSL_free(p);
	ERR_clear_error();
	close(fd);
	return NULL;
}

/* A server that takes one connection; or, with fd, a client on it. */
static void
echo_start(struct echo *e, int fd, bool silent)
{
	*e = (struct echo){ .fd = fd, .listener = -1, .silent = silent };
	e->x = peer_ctx(fd < 0, fd < 0 ? "server-both.pem" : NULL);
	if (fd < 0)
		e->listener = listen_tcp(&e->addr);
	must(pthread_create(&e->thread, NULL, echo_run, e) == 0, "a thread");
}

static void
echo_stop(struct echo *e)
{
	pthread_join(e->thread, NULL);
	SSL_CTX_free(e->x);
	if (e->listener >= 0)
		close(e->listener);
}

static int
connected_to(const struct echo *e)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	must(fd >= 0 && connect(fd, (const struct sockaddr *)&e->addr, sizeof e->addr) == 0, "connect");
	return fd;
}

static bool
echoes(struct wrapsock_sock *s, const char *text)
{
	char buf[64];
	size_t len = strlen(text);

	return wrapsock_sendall(s, text, len, 0) == (ssize_t)len && recv_all(s, buf, len) && memcmp(buf, text, len) == 0;
}

/* ---- wrapped ---- */

static void
row_1_4_12_13_15_wrap_when_connected_then_handshake_and_the_context_may_go(void)
{
	struct wrapsock_ctx *c = client_ctx();
	struct wrapsock_sock *s;
	struct echo e;
	int fd;

	CHECK_IS(wrapsock_init(), 0);
	echo_start(&e, -1, false);
	fd = connected_to(&e);
	s = wrapsock_wrap(c, fd, 0, "server.test");
	must(s != NULL, wrapsock_errstr(NULL));
	wrapsock_ctx_free(c);			/* the socket keeps it */
	CHECK(wrapsock_context(s) == c);
	CHECK_IS(wrapsock_fileno(s), fd);
	CHECK(wrapsock_version(s) && strcmp(wrapsock_version(s), "TLSv1.3") == 0);	/* the handshake is done */
	CHECK(echoes(s, "hello"));
	CHECK_IS(wrapsock_close(s), 0);
	CHECK(fcntl(fd, F_GETFD) >= 0);		/* not ours to close */
	close(fd);
	echo_stop(&e);

	echo_start(&e, -1, false);
	fd = connected_to(&e);
	c = client_ctx();
	s = wrapsock_wrap(c, fd, WRAPSOCK_OWN_FD, "server.test");
	must(s != NULL, wrapsock_errstr(NULL));
	CHECK_IS(wrapsock_close(s), 0);
	CHECK(fcntl(fd, F_GETFD) < 0 && errno == EBADF);
	wrapsock_ctx_free(c);
	echo_stop(&e);
}

static void
row_14_18_27_connect_when_called_then_tls_and_not_before(void)
{
	struct wrapsock_ctx *c = client_ctx(), *sc = server_ctx();
	struct wrapsock_sock *s;
	struct echo e;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), n = 0;
	socklen_t len = sizeof n;
	struct sockaddr_in nobody;
	char byte;

	s = wrapsock_wrap(c, fd, 0, "server.test");
	must(s != NULL, "wrap");
	CHECK(getsockopt(fd, SOL_SOCKET, SO_ERROR, &n, &len) == 0 && n == 0);
	CHECK_FAILS(wrapsock_recv(s, &byte, 1, 0), s, WRAPSOCK_E_STATE, ENOTCONN);
	CHECK_FAILS(wrapsock_send(s, "x", 1, 0), s, WRAPSOCK_E_STATE, ENOTCONN);
	CHECK_FAILS(wrapsock_do_handshake(s), s, WRAPSOCK_E_STATE, ENOTCONN);	/* row 84 */
	CHECK_FAILS(wrapsock_unwrap(s), s, WRAPSOCK_E_STATE, ENOTCONN);		/* row 101 */
	CHECK_FAILS(wrapsock_accept(s, NULL, NULL), s, WRAPSOCK_E_STATE, EINVAL);
	CHECK(!wrapsock_version(s) && wrapsock_cipher(s, NULL, NULL, NULL) == 0);
	close(listen_tcp(&nobody));
	CHECK_FAILS(wrapsock_connect(s, (struct sockaddr *)&nobody, sizeof nobody), s, WRAPSOCK_E_SYSCALL, ECONNREFUSED);
	echo_start(&e, -1, false);		/* and again */
	CHECK_IS(wrapsock_connect(s, (struct sockaddr *)&e.addr, sizeof e.addr), 0);
	CHECK(wrapsock_version(s) != NULL);
	CHECK_FAILS(wrapsock_connect(s, (struct sockaddr *)&e.addr, sizeof e.addr), s, WRAPSOCK_E_STATE, EISCONN);
	CHECK(echoes(s, "after connect"));
	wrapsock_close(s);
	close(fd);
	echo_stop(&e);

	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	s = wrapsock_wrap(sc, fd, WRAPSOCK_SERVER_SIDE | WRAPSOCK_OWN_FD, NULL);
	must(s != NULL, "wrap");
	CHECK_FAILS(wrapsock_connect(s, (struct sockaddr *)&nobody, sizeof nobody), s, WRAPSOCK_E_STATE, EINVAL);
	wrapsock_close(s);
	wrapsock_ctx_free(c);
	wrapsock_ctx_free(sc);
}

static void
row_27_80_connect_when_non_blocking_then_goes_on_with_do_handshake(void)
{
	struct wrapsock_ctx *c = client_ctx();
	struct wrapsock_sock *s;
	int64_t end = now_ms() + 10000;
	struct echo e;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), r;

	echo_start(&e, -1, false);
	s = wrapsock_wrap(c, fd, WRAPSOCK_NO_HANDSHAKE_ON_CONNECT | WRAPSOCK_OWN_FD, "server.test");
	must(s && wrapsock_set_timeout(s, 0) == 0, "wrap");
	r = wrapsock_connect(s, (struct sockaddr *)&e.addr, sizeof e.addr);
	CHECK(r == 0 || (wrapsock_err(s) == WRAPSOCK_E_WANT_WRITE && errno == EINPROGRESS));
	CHECK(!(fcntl(fd, F_GETFL) & O_NONBLOCK));	/* the flags are never touched */
	while ((r = wrapsock_do_handshake(s)) < 0 && now_ms() < end) {
		CHECK(wrapsock_err(s) == WRAPSOCK_E_WANT_READ || wrapsock_err(s) == WRAPSOCK_E_WANT_WRITE);
		CHECK_IS(errno, EAGAIN);
		CHECK_IS(wrapsock_poll_events(s), wrapsock_err(s) == WRAPSOCK_E_WANT_READ ? POLLIN : POLLOUT);
		poll(&(struct pollfd){ .fd = fd, .events = wrapsock_poll_events(s) }, 1, 1000);
	}
	CHECK_IS(r, 0);
	CHECK_IS(wrapsock_do_handshake(s), 0);		/* row 83 */
	CHECK_IS(wrapsock_set_timeout(s, -1), 0);
	CHECK(echoes(s, "after all"));
	wrapsock_close(s);
	echo_stop(&e);
	wrapsock_ctx_free(c);
}

/* A client of OpenSSL's in a thread, for each accept. */
static void
client_to(struct echo *e, const struct sockaddr_in *addr)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	must(connect(fd, (const struct sockaddr *)addr, sizeof *addr) == 0, "connect");
	echo_start(e, fd, false);
}

static void
row_16_17_accept_when_a_client_comes_then_wrapped_like_the_listener(void)
{
	static const unsigned flags[] = { 0, WRAPSOCK_NO_HANDSHAKE_ON_CONNECT, WRAPSOCK_REPORT_RAGGED_EOFS,
					  WRAPSOCK_NO_HANDSHAKE_ON_CONNECT | WRAPSOCK_REPORT_RAGGED_EOFS };

	for (size_t i = 0; i < COUNT(flags); i++) {
		struct wrapsock_ctx *c = server_ctx();
		struct sockaddr_in addr, from, real;
		socklen_t len = sizeof from, rlen = sizeof real;
		int l = listen_tcp(&addr), fd;
		struct wrapsock_sock *listener = wrapsock_wrap(c, l, WRAPSOCK_SERVER_SIDE | flags[i], NULL), *s;
		struct echo e;
		char buf[8];
		ssize_t n;

		snprintf(label, sizeof label, "flags %#x", flags[i]);
		must(listener != NULL, "listener");
		wrapsock_ctx_free(c);
		client_to(&e, &addr);
		s = wrapsock_accept(listener, (struct sockaddr *)&from, &len);
		must(s != NULL, wrapsock_errstr(listener));
		fd = wrapsock_fileno(s);
		CHECK(getpeername(fd, (struct sockaddr *)&real, &rlen) == 0 && real.sin_port == from.sin_port);	/* row 108 */
		CHECK(wrapsock_context(s) == wrapsock_context(listener));
		CHECK((wrapsock_version(s) == NULL) == !!(flags[i] & WRAPSOCK_NO_HANDSHAKE_ON_CONNECT));
		CHECK(fcntl(fd, F_GETFD) & FD_CLOEXEC);
		CHECK(echoes(s, "served"));
		shutdown(e.fd, SHUT_WR);	/* cut: no close_notify */
		n = wrapsock_recv(s, buf, sizeof buf, 0);
		CHECK_IS(n, flags[i] & WRAPSOCK_REPORT_RAGGED_EOFS ? -1 : 0);
		CHECK_IS(wrapsock_err(s), WRAPSOCK_E_EOF);
		wrapsock_close(s);
		CHECK(fcntl(fd, F_GETFD) < 0);	/* it owned its descriptor */
		CHECK_FAILS(wrapsock_send(listener, "x", 1, 0), listener, WRAPSOCK_E_STATE, ENOTCONN);
		CHECK_FAILS(wrapsock_do_handshake(listener), listener, WRAPSOCK_E_STATE, ENOTCONN);
		echo_stop(&e);
		wrapsock_close(listener);
		close(l);
	}
}

static void
row_16_132_accept_when_a_handshake_fails_then_the_listener_serves_on(void)
{
	struct wrapsock_ctx *c = server_ctx();
	struct sockaddr_in addr;
	int l = listen_tcp(&addr), before, fd;
	struct wrapsock_sock *listener = wrapsock_wrap(c, l, WRAPSOCK_SERVER_SIDE, NULL), *s;
	struct echo e;

	before = count_descriptors();
	fd = socket(AF_INET, SOCK_STREAM, 0);
	must(connect(fd, (struct sockaddr *)&addr, sizeof addr) == 0 && send(fd, "GET / HTTP/1.0\r\n\r\n", 18, 0) == 18, "a stranger");
	CHECK_FAILS(wrapsock_accept(listener, NULL, NULL), listener, WRAPSOCK_E_SSL, EPROTO);
	CHECK_IS(wrapsock_err(NULL), WRAPSOCK_E_SSL);
	close(fd);
	fd = socket(AF_INET, SOCK_STREAM, 0);
	must(connect(fd, (struct sockaddr *)&addr, sizeof addr) == 0, "one who goes");
	close(fd);
	CHECK_FAILS(wrapsock_accept(listener, NULL, NULL), listener, WRAPSOCK_E_EOF, ECONNRESET);
	CHECK_IS(count_descriptors(), before);	/* row 7 */
	client_to(&e, &addr);
	s = wrapsock_accept(listener, NULL, NULL);
	CHECK(s && echoes(s, "good"));
	wrapsock_close(s);
	echo_stop(&e);
	wrapsock_close(listener);
	close(l);
	wrapsock_ctx_free(c);
}

static void
row_5_6_7_28_S8_wrap_when_it_fails_then_nothing_leaks_and_the_code_says_why(void)
{
	struct wrapsock_ctx *c = client_ctx(), *sc = server_ctx();
	int before, fd[2], file, l, udp;
	struct sockaddr_in addr;

	CHECK_FAILS(wrapsock_wrap(c, -1, 0, "server.test"), NULL, WRAPSOCK_E_SYSCALL, EBADF);
	before = count_descriptors();
	for (int i = 0; i < 20; i++) {
		file = open("/dev/null", O_RDWR);
		CHECK_FAILS(wrapsock_wrap(c, file, WRAPSOCK_OWN_FD, "server.test"), NULL, WRAPSOCK_E_SYSCALL, ENOTSOCK);
		CHECK_IS(close(file), 0);
		udp = socket(AF_INET, SOCK_DGRAM, 0);
		CHECK_FAILS(wrapsock_wrap(c, udp, WRAPSOCK_OWN_FD, "server.test"), NULL, WRAPSOCK_E_INVALID, EINVAL);
		CHECK_IS(close(udp), 0);
		l = listen_tcp(&addr);
		CHECK_FAILS(wrapsock_wrap(c, l, 0, "server.test"), NULL, WRAPSOCK_E_INVALID, EINVAL);
		close(l);
		tcp_pair(fd);
		set_nonblocking(fd[0], true);
		CHECK_FAILS(wrapsock_wrap(c, fd[0], WRAPSOCK_OWN_FD, "server.test"), NULL, WRAPSOCK_E_INVALID, EINVAL);	/* row 28 */
		set_nonblocking(fd[0], false);
		/* TLS fails */
		must(send(fd[1], "HTTP/1.1 400 Bad Request\r\n\r\n", 28, 0) == 28, "send");
		CHECK_FAILS(wrapsock_wrap(c, fd[0], WRAPSOCK_OWN_FD, "server.test"), NULL, WRAPSOCK_E_SSL, EPROTO);
		CHECK(strstr(wrapsock_errstr(NULL), "HTTP") != NULL && *wrapsock_err_reason(NULL));
		CHECK_IS(wrapsock_err(c), WRAPSOCK_E_SSL);
		CHECK_IS(close(fd[0]), 0);	/* it is still the caller's */
		close(fd[1]);
		/* the network fails */
		tcp_pair(fd);
		setsockopt(fd[1], SOL_SOCKET, SO_LINGER, &(struct linger){ 1, 0 }, sizeof(struct linger));
		close(fd[1]);
		CHECK_FAILS(wrapsock_wrap(c, fd[0], 0, "server.test"), NULL,
			    wrapsock_err(NULL), errno);		/* which of the two depends on the moment */
		CHECK(wrapsock_err(NULL) == WRAPSOCK_E_SYSCALL || wrapsock_err(NULL) == WRAPSOCK_E_STATE);
		CHECK(errno == ECONNRESET || errno == EPIPE || errno == ENOTCONN);
		close(fd[0]);
		/* the peer closes in the handshake */
		tcp_pair(fd);
		close(fd[1]);
		CHECK(!wrapsock_wrap(c, fd[0], 0, "server.test") && (wrapsock_err(NULL) == WRAPSOCK_E_EOF || wrapsock_err(NULL) == WRAPSOCK_E_SYSCALL));
		close(fd[0]);
		/* data in clear before TLS, from a peer that is gone (CVE-2023-40217) */
		tcp_pair(fd);
		must(send(fd[1], "evil", 4, 0) == 4, "send");
		setsockopt(fd[1], SOL_SOCKET, SO_LINGER, &(struct linger){ 1, 0 }, sizeof(struct linger));
		close(fd[1]);
		CHECK(!wrapsock_wrap(sc, fd[0], WRAPSOCK_SERVER_SIDE, NULL) && wrapsock_err(NULL) != WRAPSOCK_OK);
		close(fd[0]);
	}
	CHECK_IS(count_descriptors(), before);
	wrapsock_ctx_free(c);
	wrapsock_ctx_free(sc);
}

/* ---- who the peer is ---- */

static void
row_47_49_123_134_S1_S5_S12_S26_S28_client_when_the_certificate_is_wrong_then_refused(void)
{
	static const struct {
		const char *pem, *name;
		int error;
		long verify;
	} rows[] = {
		{ "server-both.pem", "server.test", 0, 0 }, { "server-both.pem", "localhost", 0, 0 }, { "server-both.pem", "127.0.0.1", 0, 0 },
		{ "server-both.pem", "[::1]", 0, 0 }, { "server-both.pem", "SERVER.TEST", 0, 0 },
		{ "server-both.pem", "other.test", EKEYREJECTED, X509_V_ERR_HOSTNAME_MISMATCH },
		{ "server-both.pem", "127.0.0.2", EKEYREJECTED, X509_V_ERR_IP_ADDRESS_MISMATCH },
		{ "other.pem", "server.test", EKEYREJECTED, X509_V_ERR_HOSTNAME_MISMATCH },	/* its CN would fit */
		{ "stranger.pem", "server.test", EKEYREJECTED, X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT },
		{ "expired.pem", "server.test", EKEYEXPIRED, X509_V_ERR_CERT_HAS_EXPIRED },
		{ "client.pem", "server.test", EKEYREJECTED, X509_V_ERR_INVALID_PURPOSE },
	};

	for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++)
		for (size_t i = 0; i < COUNT(rows); i++) {
			struct wrapsock_ctx *c = client_ctx();
			SSL_CTX *x = peer_ctx(true, rows[i].pem);
			const char *text;
			struct duo d;
			int r;

			SSL_CTX_set_max_proto_version(x, version);
			snprintf(label, sizeof label, "%s as %s, %x", rows[i].pem, rows[i].name, version);
			r = duo_open(&d, c, 0, rows[i].name, x);
			if (rows[i].error) {
				CHECK_IS(r, -1);
				CHECK_IS(errno, rows[i].error);
				CHECK_IS(wrapsock_err(d.s), WRAPSOCK_E_CERT_VERIFY);
				CHECK_IS(wrapsock_err_verify(d.s, &text), rows[i].verify);
				CHECK(*text && strcmp(wrapsock_err_reason(d.s), "CERTIFICATE_VERIFY_FAILED") == 0);
				CHECK(strstr(wrapsock_errstr(d.s), rows[i].name) != NULL);
				CHECK_FAILS(wrapsock_do_handshake(d.s), d.s, WRAPSOCK_E_CERT_VERIFY, rows[i].error);	/* row 82: final */
				CHECK_FAILS(wrapsock_send(d.s, "SECRET", 6, 0), d.s, WRAPSOCK_E_CERT_VERIFY, rows[i].error);
				CHECK_IS(wrapsock_err_verify(d.s, NULL), rows[i].verify);
			} else {
				struct wrapsock_cert *cert = wrapsock_getpeercert(d.s);

				CHECK_IS(r, 0);
				CHECK(cert && wrapsock_cert_validated(cert));
				wrapsock_cert_free(cert);
				CHECK(talks(&d));
			}
			duo_close(&d);
			SSL_CTX_free(x);
			wrapsock_ctx_free(c);
		}
}

static void
row_9_47_86_94_D1_D5_client_when_told_not_to_verify_then_the_certificate_is_not_validated(void)
{
	for (int how = 0; how < 3; how++) {
		struct wrapsock_ctx *c = client_ctx();
		SSL_CTX *x = peer_ctx(true, how == 2 ? "other.pem" : "stranger.pem");
		struct wrapsock_cert *cert;
		struct wrapsock_der *chain;
		unsigned char *der, *want = NULL;
		const struct wrapsock_name *names;
		size_t len;
		struct duo d;
		int n;

		snprintf(label, sizeof label, "%s", how == 0 ? "insecure_no_verify" : how == 1 ? "... and a name" : "insecure_no_hostname");
		CHECK_IS(how == 2 ? wrapsock_ctx_insecure_no_hostname(c) : wrapsock_ctx_insecure_no_verify(c), 0);
		CHECK_IS(duo_open(&d, c, 0, how == 1 ? "elsewhere.test" : NULL, x), 0);
		cert = wrapsock_getpeercert(d.s);
		CHECK(cert && wrapsock_cert_validated(cert) == (how == 2));
		CHECK((wrapsock_cert_subject(cert, &names) == 0) == (how != 2));
		CHECK((wrapsock_cert_not_after(cert) == NULL) == (how != 2));
		wrapsock_cert_free(cert);
		CHECK_IS(wrapsock_getpeercert_der(d.s, &der, &len), 1);
		n = i2d_X509(how == 2 ? other.cert : stranger.cert, &want);
		CHECK(n > 0 && len == (size_t)n && memcmp(der, want, len) == 0);
		wrapsock_free(der);
		CHECK_IS(wrapsock_get_verified_chain(d.s, &chain), how == 2 ? 2 : 0);
		wrapsock_free(chain);
		CHECK_IS(wrapsock_get_unverified_chain(d.s, &chain), 1);
		CHECK(chain && chain[0].len == (size_t)n && memcmp(chain[0].der, want, (size_t)n) == 0);
		wrapsock_free(chain);
		OPENSSL_free(want);
		CHECK(talks(&d));
		duo_close(&d);
		SSL_CTX_free(x);
		wrapsock_ctx_free(c);
	}
}

static void
row_48_49_52_85_135_S12_server_when_it_asks_for_certificates_then_by_mode(void)
{
	static const struct {
		int mode;
		const char *pem;
		bool accepted;
		int error;
	} rows[] = {
		{ WRAPSOCK_CERT_NONE, NULL, true, 0 }, { WRAPSOCK_CERT_NONE, "client.pem", true, 0 }, { WRAPSOCK_CERT_OPTIONAL, NULL, true, 0 },
		{ WRAPSOCK_CERT_OPTIONAL, "client.pem", true, 0 }, { WRAPSOCK_CERT_OPTIONAL, "stranger.pem", false, EKEYREJECTED },
		{ WRAPSOCK_CERT_OPTIONAL, "expired.pem", false, 0 }, { WRAPSOCK_CERT_REQUIRED, NULL, false, EKEYREJECTED },
		{ WRAPSOCK_CERT_REQUIRED, "client.pem", true, 0 }, { WRAPSOCK_CERT_REQUIRED, "stranger.pem", false, EKEYREJECTED },
		{ WRAPSOCK_CERT_REQUIRED, "server-both.pem", false, EKEYREJECTED },	/* for servers only */
	};

	for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++)
		for (size_t i = 0; i < COUNT(rows); i++) {
			struct wrapsock_ctx *c = server_ctx();
			SSL_CTX *x = peer_ctx(false, rows[i].pem);
			struct wrapsock_cert *cert;
			struct wrapsock_der *chain;
			struct duo d;
			int r;

			snprintf(label, sizeof label, "mode %d, %s, %x", rows[i].mode, rows[i].pem ? rows[i].pem : "no certificate", version);
			SSL_CTX_set_max_proto_version(x, version);
			CHECK_IS(wrapsock_ctx_load_verify_locations(c, at("ca.pem"), NULL), 0);
			CHECK_IS(wrapsock_ctx_set_verify_mode(c, rows[i].mode), 0);
			r = duo_open(&d, c, WRAPSOCK_SERVER_SIDE, NULL, x);
			CHECK_IS(r, rows[i].accepted ? 0 : -1);
			if (!rows[i].accepted) {
				CHECK_IS(wrapsock_err(d.s), WRAPSOCK_E_CERT_VERIFY);
				CHECK(!rows[i].error || errno == rows[i].error);
				if (version == TLS1_3_VERSION && d.p) {		/* row 52: the client learns of it when it reads */
					char byte;

					CHECK(SSL_is_init_finished(d.p));
					set_nonblocking(d.fd[1], false);
					CHECK(SSL_read(d.p, &byte, 1) <= 0 && SSL_get_error(d.p, -1) == SSL_ERROR_SSL);
					ERR_clear_error();
				}
			} else {
				cert = wrapsock_getpeercert(d.s);
				CHECK_IS(wrapsock_err(d.s), WRAPSOCK_OK);
				CHECK((cert != NULL) == (rows[i].pem && rows[i].mode != WRAPSOCK_CERT_NONE));
				CHECK(!cert || wrapsock_cert_validated(cert));
				wrapsock_cert_free(cert);
				CHECK_IS(wrapsock_get_verified_chain(d.s, &chain), cert ? 2 : 0);
				wrapsock_free(chain);
				CHECK_IS(wrapsock_get_unverified_chain(d.s, &chain), cert ? 1 : 0);
				wrapsock_free(chain);
				CHECK(talks(&d));
			}
			duo_close(&d);
			SSL_CTX_free(x);
			wrapsock_ctx_free(c);
		}
}

static void
row_95_97_peer_when_the_handshake_is_not_done_then_nothing_is_known(void)
{
	struct wrapsock_ctx *c = client_ctx();
	const char *name = "x", *protocol = "x";
	struct wrapsock_der *chain;
	unsigned char *der;
	size_t len;
	int fd[2], bits = 1;
	struct wrapsock_sock *s;

	tcp_pair(fd);
	s = wrapsock_wrap(c, fd[0], WRAPSOCK_NO_HANDSHAKE_ON_CONNECT, "server.test");
	must(s && wrapsock_set_timeout(s, 0) == 0, "wrap");
	CHECK_FAILS(wrapsock_getpeercert(s), s, WRAPSOCK_E_STATE, ENOTCONN);
	CHECK_FAILS(wrapsock_getpeercert_der(s, &der, &len), s, WRAPSOCK_E_STATE, ENOTCONN);
	CHECK_FAILS(wrapsock_get_verified_chain(s, &chain), s, WRAPSOCK_E_STATE, ENOTCONN);
	CHECK_IS(wrapsock_cipher(s, &name, &protocol, &bits), 0);
	CHECK(!name && !protocol && bits == 0 && !wrapsock_version(s) && !wrapsock_selected_alpn_protocol(s));
	CHECK_FAILS(wrapsock_do_handshake(s), s, WRAPSOCK_E_WANT_READ, EAGAIN);
	CHECK(!wrapsock_version(s));
	CHECK_FAILS(wrapsock_unwrap(s), s, WRAPSOCK_E_STATE, ENOTCONN);
	wrapsock_close(s);
	close(fd[0]);
	close(fd[1]);
	wrapsock_ctx_free(c);
}

static void
row_124_125_126_chain_when_the_root_is_known_then_the_peer_supplies_the_rest(void)
{
	struct identity twin = make_identity(&(struct spec){ .cn = "CA", .ca = true }, NULL);	/* the root's name, another key */
	static const char *const orders[] = { "twin-first.pem", "twin-last.pem" };
	SSL_CTX *x = peer_ctx(false, NULL), *y;
	struct wrapsock_ctx *c;
	struct wrapsock_der *chain;
	struct duo d;

	WRITE("chain-both.pem", CERTS | KEY, &leaf, &mid);
	WRITE("leaf-both.pem", CERTS | KEY, &leaf);
	WRITE("twin-first.pem", CERTS, &twin, &ca);
	WRITE("twin-last.pem", CERTS, &ca, &twin);
	/* our server sends the file's order, and the peer has the root alone */
	c = wrapsock_ctx_default_server(at("chain-both.pem"), NULL);
	SSL_CTX_load_verify_file(x, at("ca.pem"));
	SSL_CTX_set_verify(x, SSL_VERIFY_PEER, NULL);
	CHECK_IS(duo_open(&d, c, WRAPSOCK_SERVER_SIDE, NULL, x), 0);
	CHECK(d.p && SSL_get_verify_result(d.p) == X509_V_OK && sk_X509_num(SSL_get_peer_cert_chain(d.p)) == 2);
	CHECK(d.p && X509_cmp(sk_X509_value(SSL_get_peer_cert_chain(d.p), 1), mid.cert) == 0);
	duo_close(&d);
	wrapsock_ctx_free(c);
	/* our client builds the chain, whichever of the roots of one name comes first */
	for (size_t i = 0; i < COUNT(orders); i++) {
		snprintf(label, sizeof label, "%s", orders[i]);
		y = peer_ctx(true, "chain-both.pem");
		c = wrapsock_ctx_new(WRAPSOCK_PROTOCOL_TLS_CLIENT);
		CHECK_IS(wrapsock_ctx_load_verify_locations(c, at(orders[i]), NULL), 0);
		CHECK_IS(wrapsock_ctx_ca_count(c), 2);
		CHECK_IS(duo_open(&d, c, 0, "server.test", y), 0);
		CHECK_IS(wrapsock_get_verified_chain(d.s, &chain), 3);
		wrapsock_free(chain);
		duo_close(&d);
		wrapsock_ctx_free(c);
		SSL_CTX_free(y);
	}
	label[0] = '\0';
	/* without the intermediate it is unable to get an issuer */
	y = peer_ctx(true, "leaf-both.pem");
	c = client_ctx();
	CHECK_IS(duo_open(&d, c, 0, "server.test", y), -1);
	CHECK(wrapsock_err_verify(d.s, NULL) == 20 || wrapsock_err_verify(d.s, NULL) == 21);
	duo_close(&d);
	wrapsock_ctx_free(c);
	SSL_CTX_free(y);
	SSL_CTX_free(x);
	EVP_PKEY_free(twin.key);
	X509_free(twin.cert);
}

static void
row_128_self_signed_when_it_is_its_own_root_then_accepted(void)
{
	struct wrapsock_ctx *c = wrapsock_ctx_new(WRAPSOCK_PROTOCOL_TLS_CLIENT);
	struct duo d;
	SSL_CTX *x;

	snprintf(label, sizeof label, "openssl req -new -x509 -days 365 -nodes -out cert.pem -keyout cert.pem");
	{
		char command[400];

		snprintf(command, sizeof command, "openssl req -new -x509 -days 365 -nodes -subj /CN=server.test -addext subjectAltName=DNS:server.test "
			 "-out %s -keyout %s 2>/dev/null && cat %s >>%s", at("made.pem"), at("made.key"), at("made.key"), at("made.pem"));
		must(system(command) == 0, command);
	}
	x = peer_ctx(true, "made.pem");
	CHECK_IS(wrapsock_ctx_load_verify_locations(c, at("made.pem"), NULL), 0);
	CHECK_IS(duo_open(&d, c, 0, "server.test", x), 0);
	CHECK(talks(&d));
	duo_close(&d);
	SSL_CTX_free(x);
	wrapsock_ctx_free(c);
}

static void
N3_common_name_when_switched_on_then_a_certificate_without_names_matches(void)
{
	struct identity nameless = make_identity(&(struct spec){ .cn = "server.test" }, &ca);

	WRITE("nameless.pem", CERTS | KEY, &nameless);
	for (int on = 0; on < 2; on++) {
		struct wrapsock_ctx *c = client_ctx();
		SSL_CTX *x = peer_ctx(true, "nameless.pem");
		struct duo d;

		CHECK_IS(wrapsock_ctx_set_hostname_checks_common_name(c, on), 0);
		CHECK_IS(duo_open(&d, c, 0, "server.test", x), on ? 0 : -1);	/* S27 */
		duo_close(&d);
		SSL_CTX_free(x);
		wrapsock_ctx_free(c);
	}
	EVP_PKEY_free(nameless.key);
	X509_free(nameless.cert);
}

static void
N24_alpn_when_both_offer_then_the_server_chooses(void)
{
	const char *const ours[] = { "h2", "http/1.1" };
	struct wrapsock_ctx *c = server_ctx();
	SSL_CTX *x = peer_ctx(false, NULL);
	struct duo d;

	CHECK_IS(wrapsock_ctx_set_alpn_protocols(c, ours, 2), 0);
	SSL_CTX_set_alpn_protos(x, (const unsigned char *)"\x08http/1.1\x02h2", 12);
	CHECK_IS(duo_open(&d, c, WRAPSOCK_SERVER_SIDE, NULL, x), 0);
	CHECK(wrapsock_selected_alpn_protocol(d.s) && strcmp(wrapsock_selected_alpn_protocol(d.s), "h2") == 0);
	duo_close(&d);
	SSL_CTX_free(x);
	wrapsock_ctx_free(c);
}

/* ---- data ---- */

static void
row_76_77_105_107_109_data_when_flags_or_lengths_are_odd_then_as_documented(void)
{
	struct duo d;
	char buf[16];
	size_t n;

	duo_plain(&d, false, 0);
	CHECK_FAILS(wrapsock_recv(d.s, buf, 1, MSG_PEEK), d.s, WRAPSOCK_E_INVALID, EINVAL);
	CHECK_FAILS(wrapsock_recv(d.s, buf, 1, MSG_DONTWAIT), d.s, WRAPSOCK_E_INVALID, EINVAL);
	CHECK_FAILS(wrapsock_send(d.s, "x", 1, MSG_NOSIGNAL), d.s, WRAPSOCK_E_INVALID, EINVAL);
	CHECK_FAILS(wrapsock_sendall(d.s, "x", 1, MSG_MORE), d.s, WRAPSOCK_E_INVALID, EINVAL);
	CHECK_FAILS(wrapsock_send(d.s, NULL, 1, 0), d.s, WRAPSOCK_E_INVALID, EINVAL);
	CHECK_IS(wrapsock_recv(d.s, buf, 0, 0), 0);
	CHECK_IS(wrapsock_err(d.s), WRAPSOCK_OK);
	CHECK_IS(wrapsock_send(d.s, "", 0, 0), 0);
	CHECK_FAILS(wrapsock_recv(d.s, buf, 1, 0), d.s, WRAPSOCK_E_WANT_READ, EAGAIN);
	CHECK_IS(wrapsock_poll_events(d.s), POLLIN);
	CHECK(talks(&d));
	SSL_shutdown(d.p);
	n = 0;
	while (wrapsock_poll_events(d.s) && n++ < 1000 && wrapsock_recv(d.s, buf, 1, 0) < 0)
		poll(&(struct pollfd){ .fd = d.fd[0], .events = POLLIN }, 1, 10);
	CHECK_IS(wrapsock_recv(d.s, buf, 1, 0), 0);
	CHECK_IS(wrapsock_err(d.s), WRAPSOCK_E_ZERO_RETURN);
	CHECK_IS(wrapsock_recv(d.s, buf, 1, 0), 0);
	CHECK_IS(wrapsock_poll_events(d.s), 0);
	CHECK_IS(wrapsock_send(d.s, "still", 5, 0), 5);		/* half-closed: ours is open */
	CHECK(peer_read(&d, buf, 5));
	duo_close(&d);
}

static uint8_t stream[1 << 20];

static void
row_3_81_106_N15_records_when_of_any_size_then_pending_means_readable(void)
{
	static const size_t records[] = { 1, 2, 100, 16383, 16384, 16385, 40000 }, rooms[] = { 1, 7, 1000, 16384, 65536 };
	static uint8_t buf[65536];

	for (int as_server = 0; as_server < 2; as_server++)
		for (size_t i = 0; i < COUNT(records); i++)
			for (size_t k = 0; k < COUNT(rooms); k++) {
				struct duo d;
				size_t sent = 0, got = 0, n;
				int64_t end = now_ms() + 10000;

				if (rooms[k] == 1 && records[i] > 20000)
					continue;
				snprintf(label, sizeof label, "%s, %zu bytes, room %zu", as_server ? "server" : "client", records[i], rooms[k]);
				duo_plain(&d, as_server, 0);
				while (got < records[i] && now_ms() < end) {
					ssize_t r;

					if (sent < records[i] && SSL_write_ex(d.p, stream + sent, records[i] - sent, &n))
						sent += n;
					ERR_clear_error();
					r = wrapsock_recv(d.s, buf, rooms[k], 0);
					if (r > 0) {
						CHECK(memcmp(buf, stream + got, (size_t)r) == 0);
						got += (size_t)r;
					}
					if (wrapsock_pending(d.s)) {
						CHECK(poll(&(struct pollfd){ .fd = d.fd[0], .events = POLLIN }, 1, 0) == 1);
						CHECK_IS(wrapsock_poll_events(d.s), 0);
					}
				}
				CHECK_IS(got, records[i]);
				CHECK_IS(wrapsock_pending(d.s), 0);
				duo_close(&d);
			}
}

static void
row_107_N13_timeouts_when_they_pass_then_in_all_per_call(void)
{
	static char big[4 << 20];
	struct duo d;
	char buf[8];
	int64_t began;
	struct sockaddr_in addr;
	int l, fd[2];
	struct wrapsock_ctx *c = client_ctx(), *sc = server_ctx();
	struct wrapsock_sock *s;
#define TAKES(call, obj, code)                                              \
	do {                                                                \
		began = now_ms();                                           \
		CHECK_FAILS(call, obj, code, ETIMEDOUT);                    \
		CHECK(now_ms() - began >= 95 && now_ms() - began < 5000);   \
	} while (0)

	duo_plain(&d, false, 0);
	CHECK_FAILS(wrapsock_set_timeout(d.s, -2), d.s, WRAPSOCK_E_INVALID, EINVAL);
	CHECK_IS(wrapsock_set_timeout(d.s, 100), 0);
	TAKES(wrapsock_recv(d.s, buf, 8, 0), d.s, WRAPSOCK_E_TIMEOUT);
	setsockopt(d.fd[0], SOL_SOCKET, SO_SNDBUF, &(int){ 16384 }, sizeof(int));
	setsockopt(d.fd[1], SOL_SOCKET, SO_RCVBUF, &(int){ 16384 }, sizeof(int));
	TAKES(wrapsock_sendall(d.s, big, sizeof big, 0), d.s, WRAPSOCK_E_TIMEOUT);
	duo_close(&d);
	duo_plain(&d, false, 0);
	CHECK_IS(wrapsock_set_timeout(d.s, 100), 0);
	TAKES(wrapsock_unwrap(d.s), d.s, WRAPSOCK_E_TIMEOUT);	/* row 102 */
	CHECK_IS(wrapsock_set_timeout(d.s, 0), 0);
	CHECK_FAILS(wrapsock_unwrap(d.s), d.s, WRAPSOCK_E_WANT_READ, EAGAIN);
	duo_close(&d);
	/* the handshake, and its one inside accept */
	tcp_pair(fd);
	s = wrapsock_wrap(c, fd[0], WRAPSOCK_NO_HANDSHAKE_ON_CONNECT, "server.test");
	must(s && wrapsock_set_timeout(s, 100) == 0, "wrap");
	TAKES(wrapsock_do_handshake(s), s, WRAPSOCK_E_TIMEOUT);
	TAKES(wrapsock_send(s, "x", 1, 0), s, WRAPSOCK_E_TIMEOUT);
	wrapsock_close(s);
	setsockopt(fd[0], SOL_SOCKET, SO_RCVTIMEO, &(struct timeval){ 0, 100000 }, sizeof(struct timeval));
	close(fd[1]);
	close(fd[0]);
	tcp_pair(fd);
	setsockopt(fd[0], SOL_SOCKET, SO_RCVTIMEO, &(struct timeval){ 0, 100000 }, sizeof(struct timeval));
	TAKES(wrapsock_wrap(c, fd[0], 0, "server.test"), NULL, WRAPSOCK_E_TIMEOUT);
	close(fd[1]);
	close(fd[0]);
	l = listen_tcp(&addr);
	s = wrapsock_wrap(sc, l, WRAPSOCK_SERVER_SIDE, NULL);
	must(s && wrapsock_set_timeout(s, 100) == 0, "listener");
	TAKES(wrapsock_accept(s, NULL, NULL), s, WRAPSOCK_E_TIMEOUT);
	fd[0] = socket(AF_INET, SOCK_STREAM, 0);
	must(connect(fd[0], (struct sockaddr *)&addr, sizeof addr) == 0, "a silent client");
	TAKES(wrapsock_accept(s, NULL, NULL), s, WRAPSOCK_E_TIMEOUT);	/* S29 */
	CHECK_IS(wrapsock_set_timeout(s, 0), 0);
	CHECK_FAILS(wrapsock_accept(s, NULL, NULL), s, WRAPSOCK_E_INVALID, EINVAL);
	wrapsock_close(s);
	close(fd[0]);
	set_nonblocking(l, true);
	s = wrapsock_wrap(sc, l, WRAPSOCK_SERVER_SIDE | WRAPSOCK_NO_HANDSHAKE_ON_CONNECT | WRAPSOCK_OWN_FD, NULL);
	must(s != NULL, "listener");
	CHECK_FAILS(wrapsock_accept(s, NULL, NULL), s, WRAPSOCK_E_WANT_READ, EAGAIN);
	CHECK_IS(wrapsock_poll_events(s), POLLIN);
	wrapsock_close(s);
	/* connect: a listener whose queue is full answers nobody */
	l = socket(AF_INET, SOCK_STREAM, 0);
	addr.sin_port = 0;
	must(bind(l, (struct sockaddr *)&addr, sizeof addr) == 0 && listen(l, 0) == 0, "a full listener");
	getsockname(l, (struct sockaddr *)&addr, &(socklen_t){ sizeof addr });
	for (int i = 0; i < 2; i++) {
		fd[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		connect(fd[i], (struct sockaddr *)&addr, sizeof addr);
	}
	s = wrapsock_wrap(c, socket(AF_INET, SOCK_STREAM, 0), WRAPSOCK_OWN_FD, "server.test");
	must(s && wrapsock_set_timeout(s, 100) == 0, "wrap");
	TAKES(wrapsock_connect(s, (struct sockaddr *)&addr, sizeof addr), s, WRAPSOCK_E_TIMEOUT);
	{
		struct timeval tv;

		CHECK(getsockopt(wrapsock_fileno(s), SOL_SOCKET, SO_SNDTIMEO, &tv, &(socklen_t){ sizeof tv }) == 0 && !tv.tv_sec && !tv.tv_usec);
	}
	wrapsock_close(s);
	close(fd[0]);
	close(fd[1]);
	close(l);
	wrapsock_ctx_free(c);
	wrapsock_ctx_free(sc);
}

static void
N38_sendfile_when_of_a_file_then_its_bytes_from_the_offset(void)
{
	static uint8_t got[100000];
	char path[96];
	struct duo d;
	off_t offset = 1000;
	size_t sent = 0, read = 0, n;
	int file, pipes[2];

	snprintf(path, sizeof path, "%s", at("data"));
	file = open(path, O_RDWR | O_CREAT, 0600);
	must(file >= 0 && write(file, stream, 100000) == 100000 && lseek(file, 0, SEEK_SET) == 0 && pipe(pipes) == 0, path);
	duo_plain(&d, false, 0);
	while (sent < 99000) {
		ssize_t r = wrapsock_sendfile(d.s, file, &offset, 200000);

		if (r > 0)
			sent += (size_t)r;
		else
			must(wrapsock_err(d.s) == WRAPSOCK_E_WANT_WRITE, "sendfile");
		while (SSL_read_ex(d.p, got + read, sizeof got - read, &n))
			read += n;
		ERR_clear_error();
	}
	while (read < sent && SSL_read_ex(d.p, got + read, sizeof got - read, &n))
		read += n;
	ERR_clear_error();
	CHECK(read == 99000 && memcmp(got, stream + 1000, 99000) == 0);
	CHECK_IS(offset, 100000);
	CHECK_IS(lseek(file, 0, SEEK_CUR), 0);
	CHECK_IS(wrapsock_sendfile(d.s, file, &offset, 10), 0);		/* the end */
	CHECK_IS(wrapsock_sendfile(d.s, file, NULL, 10), 10);
	CHECK_IS(lseek(file, 0, SEEK_CUR), 10);
	CHECK(peer_read(&d, got, 10) && memcmp(got, stream, 10) == 0);
	CHECK_FAILS(wrapsock_sendfile(d.s, pipes[0], NULL, 10), d.s, WRAPSOCK_E_SYSCALL, ESPIPE);
	CHECK_FAILS(wrapsock_sendfile(d.s, -1, &(off_t){ 0 }, 10), d.s, WRAPSOCK_E_SYSCALL, EBADF);
	duo_close(&d);
	close(file);
	close(pipes[0]);
	close(pipes[1]);
}

/* ---- ends ---- */

static void
row_29_30_109_S10_S11_stream_when_it_is_cut_then_by_the_flag_and_for_ever(void)
{
	for (int report = 0; report < 2; report++)
		for (int as_server = 0; as_server < 2; as_server++)
			for (int where = 0; where < 3; where++) {
				struct duo d;
				char buf[16];
				size_t n;

				snprintf(label, sizeof label, "%s, %s, %s", report ? "report" : "suppress", as_server ? "server" : "client",
					 where == 0 ? "after the handshake" : where == 1 ? "after a record" : "in a record");
				duo_plain(&d, as_server, report ? WRAPSOCK_REPORT_RAGGED_EOFS : 0);
				CHECK(talks(&d));
				if (where == 1)
					CHECK(SSL_write_ex(d.p, "tail", 4, &n));
				if (where == 2)
					CHECK_IS(send(d.fd[1], "\x17\x03\x03\x00\x40half", 9, 0), 9);
				shutdown(d.fd[1], SHUT_WR);
				CHECK_IS(wrapsock_set_timeout(d.s, 5000), 0);
				if (where == 1)
					CHECK(recv_all(d.s, buf, 4) && memcmp(buf, "tail", 4) == 0);
				for (int again = 0; again < 3; again++) {
					errno = 0;
					CHECK_IS(wrapsock_recv(d.s, buf, sizeof buf, 0), report ? -1 : 0);
					CHECK_IS(errno, report ? ECONNRESET : 0);
					CHECK_IS(wrapsock_err(d.s), WRAPSOCK_E_EOF);
				}
				duo_close(&d);
			}
}

static void
row_104_D7_close_when_called_then_one_close_notify(void)
{
	for (int as_server = 0; as_server < 2; as_server++) {
		struct duo d;
		char buf[8];

		duo_plain(&d, as_server, 0);
		CHECK(talks(&d));
		wrapsock_close(d.s);
		d.s = NULL;
		set_nonblocking(d.fd[1], false);
		shutdown(d.fd[0], SHUT_WR);
		CHECK_IS(SSL_read(d.p, buf, sizeof buf), 0);
		CHECK_IS(SSL_get_shutdown(d.p), SSL_RECEIVED_SHUTDOWN);
		CHECK_IS(recv(d.fd[1], buf, sizeof buf, 0), 0);		/* and nothing behind it */
		duo_close(&d);
	}
	CHECK_IS(wrapsock_close(NULL), 0);
}

static void
row_98_99_101_unwrap_when_both_close_then_plain_to_the_byte(void)
{
	for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++)
		for (int as_server = 0; as_server < 2; as_server++)
			for (int first = 0; first < 2; first++) {
				struct duo d;
				struct wrapsock_ctx *c = as_server ? server_ctx() : client_ctx();
				SSL_CTX *x = peer_ctx(!as_server, as_server ? NULL : "server-both.pem");
				char buf[64];
				int64_t end = now_ms() + 5000;
				int r;

				snprintf(label, sizeof label, "%x, %s, %s closes first", version, as_server ? "server" : "client", first ? "peer" : "ours");
				SSL_CTX_set_max_proto_version(x, version);
				must(duo_open(&d, c, (as_server ? WRAPSOCK_SERVER_SIDE : 0) | WRAPSOCK_OWN_FD, as_server ? NULL : "server.test", x) == 0, "open");
				CHECK(talks(&d));
				if (first) {	/* the peer's goodbye and what it says in clear behind it, in one piece */
					SSL_shutdown(d.p);
					CHECK_IS(send(d.fd[1], "plain from the peer", 19, 0), 19);
				} else {
					CHECK_FAILS(wrapsock_unwrap(d.s), d.s, WRAPSOCK_E_WANT_READ, EAGAIN);
					CHECK_IS(wrapsock_poll_events(d.s), POLLIN);
					while (SSL_read(d.p, buf, sizeof buf) <= 0 && !(SSL_get_shutdown(d.p) & SSL_RECEIVED_SHUTDOWN) && now_ms() < end)
						;
					ERR_clear_error();
					SSL_shutdown(d.p);
					CHECK_IS(send(d.fd[1], "plain from the peer", 19, 0), 19);
				}
				while ((r = wrapsock_unwrap(d.s)) < 0 && wrapsock_err(d.s) == WRAPSOCK_E_WANT_READ && now_ms() < end)
					poll(&(struct pollfd){ .fd = d.fd[0], .events = POLLIN }, 1, 10);
				CHECK_IS(r, d.fd[0]);
				set_nonblocking(d.fd[0], false);
				CHECK_IS(recv(d.fd[0], buf, 19, MSG_WAITALL), 19);
				CHECK(memcmp(buf, "plain from the peer", 19) == 0);
				CHECK_IS(recv(d.fd[0], buf, 1, MSG_DONTWAIT), -1);	/* open, and nothing more */
				CHECK_IS(errno, EAGAIN);
				CHECK_IS(send(d.fd[0], "plain from us", 13, 0), 13);
				if (first) {
					while (SSL_read(d.p, buf, sizeof buf) <= 0 && !(SSL_get_shutdown(d.p) & SSL_RECEIVED_SHUTDOWN) && now_ms() < end)
						;
					ERR_clear_error();
				}
				set_nonblocking(d.fd[1], false);
				CHECK_IS(recv(d.fd[1], buf, 13, MSG_WAITALL), 13);
				CHECK(memcmp(buf, "plain from us", 13) == 0);
				/* the handle is dead, the descriptor the caller's */
				CHECK_FAILS(wrapsock_send(d.s, "x", 1, 0), d.s, WRAPSOCK_E_STATE, EINVAL);
				CHECK_FAILS(wrapsock_recv(d.s, buf, 1, 0), d.s, WRAPSOCK_E_STATE, EINVAL);
				CHECK_FAILS(wrapsock_unwrap(d.s), d.s, WRAPSOCK_E_STATE, EINVAL);
				CHECK_FAILS(wrapsock_fileno(d.s), d.s, WRAPSOCK_E_STATE, EINVAL);
				CHECK_IS(wrapsock_close(d.s), 0);
				d.s = NULL;
				CHECK(fcntl(d.fd[0], F_GETFD) >= 0);
				/* and TLS again on the same descriptor */
				SSL_free(d.p);
				d.p = peer_new(x, d.fd[1], !as_server);
				set_nonblocking(d.fd[0], true);
				set_nonblocking(d.fd[1], true);
				d.s = wrapsock_wrap(c, d.fd[0], (as_server ? WRAPSOCK_SERVER_SIDE : 0) | WRAPSOCK_NO_HANDSHAKE_ON_CONNECT, as_server ? NULL : "server.test");
				CHECK(d.s && pump_handshake(&d) == 0 && talks(&d));
				duo_close(&d);
				SSL_CTX_free(x);
				wrapsock_ctx_free(c);
			}
}

static void
row_100_102_S22_unwrap_when_data_waits_then_pending_and_nothing_is_lost(void)
{
	for (int step = 0; step < 2; step++) {
		struct duo d;
		char buf[16];
		size_t n;
		int64_t end = now_ms() + 5000;
		int r;

		snprintf(label, sizeof label, "%s", step ? "data behind our goodbye" : "data before it");
		duo_plain(&d, false, 0);
		if (step)
			CHECK_FAILS(wrapsock_unwrap(d.s), d.s, WRAPSOCK_E_WANT_READ, EAGAIN);
		CHECK(SSL_write_ex(d.p, "unread", 6, &n));
		poll(&(struct pollfd){ .fd = d.fd[0], .events = POLLIN }, 1, 1000);
		do
			r = wrapsock_unwrap(d.s);
		while (r < 0 && wrapsock_err(d.s) == WRAPSOCK_E_WANT_READ && now_ms() < end);
		CHECK(r == -1 && wrapsock_err(d.s) == WRAPSOCK_E_DATA_PENDING && errno == EBUSY);
		CHECK_FAILS(wrapsock_unwrap(d.s), d.s, WRAPSOCK_E_DATA_PENDING, EBUSY);
		CHECK(wrapsock_recv(d.s, buf, sizeof buf, 0) == 6 && memcmp(buf, "unread", 6) == 0);
		SSL_shutdown(d.p);
		CHECK_IS(send(d.fd[1], "x", 1, 0), 1);
		while ((r = wrapsock_unwrap(d.s)) < 0 && wrapsock_err(d.s) == WRAPSOCK_E_WANT_READ && now_ms() < end)
			;
		CHECK_IS(r, d.fd[0]);
		CHECK(recv(d.fd[0], buf, 2, 0) == 1 && *buf == 'x');
		duo_close(&d);
	}
	{	/* the peer goes without a goodbye */
		struct duo d;

		duo_plain(&d, false, 0);
		shutdown(d.fd[1], SHUT_WR);
		CHECK_IS(wrapsock_set_timeout(d.s, 2000), 0);
		CHECK_FAILS(wrapsock_unwrap(d.s), d.s, WRAPSOCK_E_EOF, ECONNRESET);
		CHECK_FAILS(wrapsock_send(d.s, "SECRET", 6, 0), d.s, WRAPSOCK_E_EOF, ECONNRESET);
		duo_close(&d);
	}
}

/* ---- never in clear ---- */

/* The peer's part of a handshake with one of ours, as bytes; TLS itself is over at *done. */
static size_t
record_peer(bool as_server, uint8_t *bytes, size_t size)
{
	struct duo d = { { -1, -1 }, NULL, NULL };
	struct wrapsock_ctx *c = as_server ? server_ctx() : client_ctx();
	SSL_CTX *x = peer_ctx(!as_server, as_server ? NULL : "server-both.pem");
	int64_t end = now_ms() + 5000;
	size_t len = 0;
	BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
	char buf[4096];
	ssize_t n;

	tcp_pair(d.fd);
	set_nonblocking(d.fd[0], true);
	d.s = wrapsock_wrap(c, d.fd[0], WRAPSOCK_NO_HANDSHAKE_ON_CONNECT | (as_server ? WRAPSOCK_SERVER_SIDE : 0), as_server ? NULL : "server.test");
	d.p = SSL_new(x);
	SSL_set_bio(d.p, in, out);
	as_server ? SSL_set_connect_state(d.p) : SSL_set_accept_state(d.p);
	while (wrapsock_do_handshake(d.s) < 0 && now_ms() < end) {
		while ((n = recv(d.fd[1], buf, sizeof buf, MSG_DONTWAIT)) > 0)
			BIO_write(in, buf, (int)n);
		SSL_do_handshake(d.p);
		ERR_clear_error();
		while ((n = BIO_read(out, buf, sizeof buf)) > 0) {
			must(len + (size_t)n <= size && send(d.fd[1], buf, (size_t)n, 0) == n, "send");
			memcpy(bytes + len, buf, (size_t)n);
			len += (size_t)n;
		}
	}
	duo_close(&d);
	SSL_CTX_free(x);
	wrapsock_ctx_free(c);
	return len;
}

/* Everything that could put a byte on the wire. */
static void
try_everything(struct wrapsock_sock *s)
{
	char buf[64];
	int file = open("/proc/self/exe", O_RDONLY);

	CHECK_IS(wrapsock_send(s, "SECRET", 6, 0), -1);
	CHECK_IS(wrapsock_sendall(s, "SECRET", 6, 0), -1);
	CHECK_IS(wrapsock_sendfile(s, file, &(off_t){ 0 }, 100), -1);
	CHECK(wrapsock_recv(s, buf, sizeof buf, 0) <= 0);
	CHECK_IS(wrapsock_do_handshake(s), -1);
	CHECK_IS(wrapsock_unwrap(s), -1);
	wrapsock_shutdown(s, SHUT_WR);
	CHECK_IS(wrapsock_send(s, "SECRET", 6, 0), -1);
	CHECK_IS(wrapsock_connect(s, (struct sockaddr *)&(struct sockaddr_in){ .sin_family = AF_INET }, sizeof(struct sockaddr_in)), -1);
	close(file);
}

/* What the other end has of ours, to the end: TLS records, and no word of ours. */
static void
check_wire(int fd)
{
	static uint8_t all[200000];
	size_t len = 0;
	ssize_t n;

	while ((n = recv(fd, all + len, sizeof all - len, MSG_DONTWAIT)) > 0)
		len += (size_t)n;
	CHECK(is_tls(all, len));
	CHECK(!memmem(all, len, "SECRET", 6));
	CHECK(!memmem(all, len, "ELF", 3));
}

static void
row_3_31_32_82_D3_S9_handshake_when_it_breaks_anywhere_then_nothing_in_clear(void)
{
	static uint8_t bytes[65536];

	for (int as_server = 0; as_server < 2; as_server++) {
		size_t len = record_peer(as_server, bytes, sizeof bytes);

		CHECK(len > 300);
		for (int how = 0; how < 3; how++)
			for (size_t cut = 0; cut < len; cut += cut < 20 ? 1 : len / 23) {
				struct wrapsock_ctx *c = as_server ? server_ctx() : client_ctx();
				enum wrapsock_err code;
				struct wrapsock_sock *s;
				int fd[2], error;

				snprintf(label, sizeof label, "%s, %s behind byte %zu of %zu", as_server ? "server" : "client",
					 how == 0 ? "end" : how == 1 ? "rubbish" : "alert", cut, len);
				tcp_pair(fd);
				s = wrapsock_wrap(c, fd[0], WRAPSOCK_NO_HANDSHAKE_ON_CONNECT | (as_server ? WRAPSOCK_SERVER_SIDE : 0),
						  as_server ? NULL : "server.test");
				must(s && wrapsock_set_timeout(s, 3000) == 0, "wrap");
				must(cut == 0 || send(fd[1], bytes, cut, 0) == (ssize_t)cut, "send");
				if (how == 1)
					for (int i = 0; i < 400; i++)
						must(send(fd[1], "rubbish that is no TLS record, for longer than a record can be\n", 63, MSG_NOSIGNAL) == 63, "send");
				if (how == 2)
					must(send(fd[1], "\x15\x03\x03\x00\x02\x02\x28", 7, 0) == 7, "an alert");
				shutdown(fd[1], SHUT_WR);
				CHECK_IS(wrapsock_do_handshake(s), -1);
				error = errno;
				code = wrapsock_err(s);
				CHECK(code == WRAPSOCK_E_SSL || code == WRAPSOCK_E_EOF || code == WRAPSOCK_E_CERT_VERIFY);
				CHECK_FAILS(wrapsock_do_handshake(s), s, code, error);	/* final */
				try_everything(s);
				check_wire(fd[1]);
				wrapsock_close(s);
				check_wire(fd[1]);
				close(fd[0]);
				close(fd[1]);
				wrapsock_ctx_free(c);
			}
	}
}

static void
row_3_S9_connection_when_it_is_over_then_nothing_in_clear(void)
{
	static const char *const ways[] = { "shutdown for writing", "shutdown for reading", "both", "cut", "rubbish", "close_notify and FIN" };

	for (size_t way = 0; way < COUNT(ways); way++)
		for (int as_server = 0; as_server < 2; as_server++) {
			struct duo d;
			char buf[16];

			snprintf(label, sizeof label, "%s, %s", ways[way], as_server ? "server" : "client");
			duo_plain(&d, as_server, 0);
			CHECK(talks(&d));
			CHECK_IS(wrapsock_set_timeout(d.s, 2000), 0);
			if (way < 3) {
				CHECK_IS(wrapsock_shutdown(d.s, way == 0 ? SHUT_WR : way == 1 ? SHUT_RD : SHUT_RDWR), 0);
				if (way != 1)
					CHECK_FAILS(wrapsock_send(d.s, "SECRET", 6, 0), d.s, WRAPSOCK_E_STATE, EPIPE);
				else
					CHECK_IS(wrapsock_send(d.s, "SECRET", 6, 0), 6);
				CHECK(way == 0 || wrapsock_recv(d.s, buf, 1, 0) == 0);
			} else {
				if (way == 4)
					CHECK_IS(send(d.fd[1], "rubbish rubbish", 15, 0), 15);
				if (way == 5)
					SSL_shutdown(d.p);
				shutdown(d.fd[1], SHUT_WR);
				CHECK_IS(wrapsock_recv(d.s, buf, 1, 0), way == 4 ? -1 : 0);
				CHECK_IS(wrapsock_send(d.s, "SECRET", 6, 0), way == 4 ? -1 : 6);
			}
			check_wire(d.fd[1]);
			wrapsock_close(d.s);
			d.s = NULL;
			check_wire(d.fd[1]);
			duo_close(&d);
		}
	CHECK_FAILS(wrapsock_ctx_new(-1), NULL, WRAPSOCK_E_INVALID, EINVAL);
}

/* ---- the seed's retry loop against slow peers ---- */

struct trickle {
	pthread_t thread;
	int a, b;
};

/* One byte a millisecond in both directions. */
static void *
trickle_run(void *arg)
{
	struct trickle *t = arg;
	struct pollfd p[2] = { { .fd = t->a, .events = POLLIN }, { .fd = t->b, .events = POLLIN } };
	char byte;

	while (poll(p, 2, 5000) > 0) {
		for (int i = 0; i < 2; i++)
			if (p[i].revents && (recv(p[i].fd, &byte, 1, 0) != 1 || send(p[1 - i].fd, &byte, 1, MSG_NOSIGNAL) != 1))
				goto out;
		usleep(300);
	}
out:
	close(t->a);
	close(t->b);
	return NULL;
}

static void
row_80_81_handshake_when_the_peer_is_slow_then_the_loop_completes(void)
{
	char san[9000] = "DNS:server.test";
	struct identity big;
	struct wrapsock_ctx *c;
	SSL_CTX *x = peer_ctx(false, NULL);
	struct trickle t;
	struct wrapsock_sock *s;
	pthread_t thread;
	struct echo e = { .listener = -1, .x = x };
	int ours[2], theirs[2], wants[2] = { 0, 0 }, small = 1;

	for (int i = 0; i < 300; i++)
		snprintf(san + strlen(san), sizeof san - strlen(san), ",DNS:name-number-%d.test", i);
	big = make_identity(&(struct spec){ .cn = "big", .san = san }, &ca);
	WRITE("big.pem", CERTS | KEY, &big);
	c = wrapsock_ctx_default_server(at("big.pem"), NULL);
	must(c && socketpair(AF_UNIX, SOCK_STREAM, 0, ours) == 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, theirs) == 0, "pairs");
	setsockopt(ours[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
	t = (struct trickle){ .a = ours[1], .b = theirs[1] };
	e.fd = theirs[0];
	must(pthread_create(&t.thread, NULL, trickle_run, &t) == 0 && pthread_create(&thread, NULL, echo_run, &e) == 0, "threads");
	set_nonblocking(ours[0], true);
	s = wrapsock_wrap(c, ours[0], WRAPSOCK_SERVER_SIDE | WRAPSOCK_NO_HANDSHAKE_ON_CONNECT, NULL);
	must(s != NULL, wrapsock_errstr(NULL));
	/* while True: try: s.do_handshake(); break; except SSLError: select on what it wants */
	for (;;) {
		if (wrapsock_do_handshake(s) == 0)
			break;
		if (wrapsock_err(s) == WRAPSOCK_E_WANT_READ) {
			wants[0]++;
			poll(&(struct pollfd){ .fd = ours[0], .events = POLLIN }, 1, -1);
		} else if (wrapsock_err(s) == WRAPSOCK_E_WANT_WRITE) {
			wants[1]++;
			poll(&(struct pollfd){ .fd = ours[0], .events = POLLOUT }, 1, -1);
		} else {
			CHECK_IS(wrapsock_err(s), WRAPSOCK_OK);
			break;
		}
	}
	CHECK(wants[0] > 0 && wants[1] > 0);
	CHECK(wrapsock_version(s) != NULL);
	CHECK_IS(wrapsock_set_timeout(s, 20000), 0);
	CHECK(echoes(s, "slowly"));
	wrapsock_close(s);
	shutdown(ours[0], SHUT_RDWR);
	pthread_join(t.thread, NULL);
	pthread_join(thread, NULL);
	close(ours[0]);
	SSL_CTX_free(x);
	wrapsock_ctx_free(c);
	EVP_PKEY_free(big.key);
	X509_free(big.cert);
}

/* ---- sessions ---- */

static int
keep_session(SSL *p, SSL_SESSION *session)
{
	SSL_SESSION **to = SSL_get_app_data(p);

	SSL_SESSION_free(*to);
	*to = session;
	return 1;
}

static void
N28_N29_S13_tickets_when_data_has_gone_then_a_session_resumes_in_its_own_context(void)
{
	for (int tickets = 0; tickets < 4; tickets++) {
		struct wrapsock_ctx *c = server_ctx(), *strict = server_ctx();
		SSL_CTX *x = peer_ctx(false, NULL);
		SSL_SESSION *session = NULL;
		struct duo d;
		char buf[8];
		size_t n;

		snprintf(label, sizeof label, "%d tickets", tickets);
		CHECK_IS(wrapsock_ctx_set_num_tickets(c, (unsigned)tickets), 0);
		SSL_CTX_set_session_cache_mode(x, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
		SSL_CTX_sess_set_new_cb(x, keep_session);
		for (int i = 0; i < 2; i++) {
			d = (struct duo){ { -1, -1 }, NULL, NULL };
			tcp_pair(d.fd);
			set_nonblocking(d.fd[0], true);
			set_nonblocking(d.fd[1], true);
			d.s = wrapsock_wrap(c, d.fd[0], WRAPSOCK_SERVER_SIDE | WRAPSOCK_NO_HANDSHAKE_ON_CONNECT, NULL);
			d.p = peer_new(x, d.fd[1], false);
			SSL_set_app_data(d.p, &session);
			if (session)
				SSL_set_session(d.p, session);
			CHECK_IS(pump_handshake(&d), 0);
			CHECK_IS(wrapsock_session_reused(d.s), i && tickets);
			SSL_read_ex(d.p, buf, sizeof buf, &n);
			ERR_clear_error();
			CHECK(i || !session);		/* none before data (5.8) */
			CHECK(talks(&d));
			CHECK(i || (session != NULL) == (tickets > 0));
			duo_close(&d);
		}
		/* the session is worth nothing in a context that wants a certificate */
		CHECK_IS(wrapsock_ctx_load_verify_locations(strict, at("ca.pem"), NULL), 0);
		CHECK_IS(wrapsock_ctx_set_verify_mode(strict, WRAPSOCK_CERT_REQUIRED), 0);
		tcp_pair(d.fd);
		set_nonblocking(d.fd[0], true);
		set_nonblocking(d.fd[1], true);
		d.s = wrapsock_wrap(strict, d.fd[0], WRAPSOCK_SERVER_SIDE | WRAPSOCK_NO_HANDSHAKE_ON_CONNECT, NULL);
		d.p = peer_new(x, d.fd[1], false);
		SSL_set_app_data(d.p, &session);
		if (session)
			SSL_set_session(d.p, session);
		CHECK_IS(pump_handshake(&d), -1);
		CHECK_IS(wrapsock_err(d.s), WRAPSOCK_E_CERT_VERIFY);
		duo_close(&d);
		SSL_SESSION_free(session);
		SSL_CTX_free(x);
		wrapsock_ctx_free(c);
		wrapsock_ctx_free(strict);
	}
}

static void
row_6_S32_failures_when_connections_alternate_then_each_has_its_own(void)
{
	struct duo good, bad;
	SSL_CTX *x = peer_ctx(true, "stranger.pem");
	struct wrapsock_ctx *c = client_ctx();

	duo_plain(&good, false, 0);
	for (int i = 0; i < 5; i++) {
		CHECK_IS(duo_open(&bad, c, 0, "server.test", x), -1);
		CHECK(talks(&good));
		CHECK_IS(wrapsock_err(good.s), WRAPSOCK_OK);
		CHECK_FAILS(wrapsock_send(bad.s, "x", 1, 0), bad.s, WRAPSOCK_E_CERT_VERIFY, EKEYREJECTED);
		CHECK(talks(&good));
		CHECK_IS(wrapsock_err(bad.s), WRAPSOCK_E_CERT_VERIFY);		/* what any thread left there */
		ERR_raise(ERR_LIB_USER, 1);		/* the program's own entry neither matters nor is lost */
		CHECK(talks(&good));
		CHECK_IS(ERR_GET_LIB(ERR_peek_error()), 0);
		ERR_clear_error();
		duo_close(&bad);
	}
	duo_close(&good);
	SSL_CTX_free(x);
	wrapsock_ctx_free(c);
}

/* 5.8: a client that writes and closes without reading. */
static void
N29_tickets_when_a_client_only_writes_then_no_byte_is_lost(void)
{
	static uint8_t got[60000];

	for (int i = 0; i < 40; i++) {
		struct duo d;
		size_t sent = 0, read = 0, n;
		int64_t end = now_ms() + 5000;
		ssize_t r = 1;

		duo_plain(&d, true, 0);
		CHECK_IS(wrapsock_set_timeout(d.s, 3000), 0);
		while (sent < sizeof got && now_ms() < end) {
			if (SSL_write_ex(d.p, stream + sent, sizeof got - sent, &n))
				sent += n;
			else
				break;		/* the rest after our first read */
		}
		ERR_clear_error();
		SSL_shutdown(d.p);
		SSL_free(d.p);
		d.p = NULL;
		close(d.fd[1]);
		d.fd[1] = -1;
		usleep(1000);
		while (read < sent && (r = wrapsock_recv(d.s, got + read, sizeof got - read, 0)) > 0)
			read += (size_t)r;
		CHECK_IS(read, sent);
		CHECK(memcmp(got, stream, read) == 0 && read > 0);
		duo_close(&d);
	}
}

static const struct test tests[] = {
	TEST(row_1_4_12_13_15_wrap_when_connected_then_handshake_and_the_context_may_go),
	TEST(row_14_18_27_connect_when_called_then_tls_and_not_before),
	TEST(row_27_80_connect_when_non_blocking_then_goes_on_with_do_handshake),
	TEST(row_16_17_accept_when_a_client_comes_then_wrapped_like_the_listener),
	TEST(row_16_132_accept_when_a_handshake_fails_then_the_listener_serves_on),
	TEST(row_5_6_7_28_S8_wrap_when_it_fails_then_nothing_leaks_and_the_code_says_why),
	TEST(row_47_49_123_134_S1_S5_S12_S26_S28_client_when_the_certificate_is_wrong_then_refused),
	TEST(row_9_47_86_94_D1_D5_client_when_told_not_to_verify_then_the_certificate_is_not_validated),
	TEST(row_48_49_52_85_135_S12_server_when_it_asks_for_certificates_then_by_mode),
	TEST(row_95_97_peer_when_the_handshake_is_not_done_then_nothing_is_known),
	TEST(row_124_125_126_chain_when_the_root_is_known_then_the_peer_supplies_the_rest),
	TEST(row_128_self_signed_when_it_is_its_own_root_then_accepted),
	TEST(N3_common_name_when_switched_on_then_a_certificate_without_names_matches),
	TEST(N24_alpn_when_both_offer_then_the_server_chooses),
	TEST(row_76_77_105_107_109_data_when_flags_or_lengths_are_odd_then_as_documented),
	TEST(row_3_81_106_N15_records_when_of_any_size_then_pending_means_readable),
	TEST(row_107_N13_timeouts_when_they_pass_then_in_all_per_call),
	TEST(N38_sendfile_when_of_a_file_then_its_bytes_from_the_offset),
	TEST(row_29_30_109_S10_S11_stream_when_it_is_cut_then_by_the_flag_and_for_ever),
	TEST(row_104_D7_close_when_called_then_one_close_notify),
	TEST(row_98_99_101_unwrap_when_both_close_then_plain_to_the_byte),
	TEST(row_100_102_S22_unwrap_when_data_waits_then_pending_and_nothing_is_lost),
	TEST(row_3_31_32_82_D3_S9_handshake_when_it_breaks_anywhere_then_nothing_in_clear),
	TEST(row_3_S9_connection_when_it_is_over_then_nothing_in_clear),
	TEST(row_80_81_handshake_when_the_peer_is_slow_then_the_loop_completes),
	TEST(N28_N29_S13_tickets_when_data_has_gone_then_a_session_resumes_in_its_own_context),
	TEST(row_6_S32_failures_when_connections_alternate_then_each_has_its_own),
	TEST(N29_tickets_when_a_client_only_writes_then_no_byte_is_lost),
};

int
main(int argc, char **argv)
{
	int r;

	signal(SIGPIPE, SIG_IGN);	/* OpenSSL's own sockets raise it */
	for (size_t i = 0; i < sizeof stream; i++)
		stream[i] = (uint8_t)(i * 131 + (i >> 8) * 7);
	make_files();
	r = run_tests(tests, COUNT(tests), argc > 1 ? argv[1] : NULL);
	remove_files();
	return r;
}
