/*
 * ssl_wrap_test.c - sockets of the explicit API: how they come to be, and handshakes at any pace. Rows of the contract are in the
 * functions' names.
 */
#include "ssl.h"

#include <dirent.h>
#include <pthread.h>

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

static const struct test tests[] = {
	TEST(row_1_4_12_13_15_wrap_when_connected_then_handshake_and_the_context_may_go),
	TEST(row_14_18_27_connect_when_called_then_tls_and_not_before),
	TEST(row_27_80_connect_when_non_blocking_then_goes_on_with_do_handshake),
	TEST(row_16_17_accept_when_a_client_comes_then_wrapped_like_the_listener),
	TEST(row_16_132_accept_when_a_handshake_fails_then_the_listener_serves_on),
	TEST(row_5_6_7_28_S8_wrap_when_it_fails_then_nothing_leaks_and_the_code_says_why),
	TEST(row_80_81_handshake_when_the_peer_is_slow_then_the_loop_completes),
};

int
main(int argc, char **argv)
{
	return run_tests(tests, COUNT(tests), argc, argv);
}
