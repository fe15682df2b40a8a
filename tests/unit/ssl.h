/*
 * ssl.h - what the tests of the explicit API share: assertions, certificates made on the spot, and a socket of ours with an OpenSSL peer at
 * the other end, both driven by hand in one thread.
 */
#ifndef TESTS_SSL_H
#define TESTS_SSL_H

#include "wrapsock.h"

#include "identity.h"
#include "ran.h"
#include "tcp.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

/* ---- tests and assertions ---- */

struct test {
	const char *name;
	void (*run)(void);
};
#define TEST(function) { #function, function }

static char label[160];		/* the row of a table that is being tried */

/* What the library says of the last failure, too. */
static UNUSED const char *
last_error(void)
{
	static _Thread_local char text[400];

	snprintf(text, sizeof text, "%s%s (errno %s, code %d \"%s\")", *label ? ", " : "", label, strerrorname_np(errno), wrapsock_err(NULL),
		 wrapsock_errstr(NULL));
	return text;
}

/* It fails with this code and errno, kept with obj. */
#define CHECK_FAILS(x, obj, code, error)                                                  \
	do {                                                                              \
		errno = 0;                                                                \
		long got_ = (long)(x);                                                    \
		int errno_ = errno;                                                       \
		if ((got_ != -1 && got_ != 0) || (int)wrapsock_err(obj) != (int)(code) || errno_ != (error)) { \
			printf("FAIL %s: %s: line %d: %s gave %ld, code %d, errno %s: %s\n", current, label, __LINE__, #x, got_, \
			       wrapsock_err(obj), strerrorname_np(errno_), wrapsock_errstr(obj)); \
			current_failed = true;                                            \
		}                                                                         \
	} while (0)

/* ---- certificates ---- */

/* ca signs server, client, other (another name), mid; mid signs leaf. stranger is nobody's. */
static struct identity ca, server, client, other, mid, leaf, stranger, expired;

static void UNUSED
make_files(void)
{
	const char *names = "DNS:server.test,DNS:localhost,IP:127.0.0.1,IP:::1";

	make_dir();
	ca = make_identity(&(struct spec){ .cn = "CA", .ca = true }, NULL);
	server = make_identity(&(struct spec){ .cn = "server", .san = names, .usage = "serverAuth" }, &ca);
	client = make_identity(&(struct spec){ .cn = "client", .usage = "clientAuth" }, &ca);
	other = make_identity(&(struct spec){ .cn = "server.test", .san = "DNS:other.test", .usage = "serverAuth" }, &ca);
	mid = make_identity(&(struct spec){ .cn = "intermediate", .ca = true }, &ca);
	leaf = make_identity(&(struct spec){ .cn = "leaf", .san = names }, &mid);
	stranger = make_identity(&(struct spec){ .cn = "stranger", .san = names }, NULL);
	expired = make_identity(&(struct spec){ .cn = "expired", .san = names, .from = -7200, .to = -3600 }, &ca);
	WRITE("ca.pem", CERTS, &ca);
	WRITE("server.pem", CERTS, &server);
	WRITE("server.key", KEY, &server);
	WRITE("server-both.pem", CERTS | KEY, &server);
	WRITE("client.pem", CERTS | KEY, &client);
	WRITE("other.pem", CERTS | KEY, &other);
	WRITE("chain.pem", CERTS, &leaf, &mid);
	WRITE("leaf.pem", CERTS, &leaf);
	WRITE("leaf.key", KEY, &leaf);
	WRITE("stranger.pem", CERTS | KEY, &stranger);
	WRITE("stranger.key", KEY, &stranger);
	WRITE("expired.pem", CERTS | KEY, &expired);
}

static void UNUSED
remove_files(void)
{
	struct identity *const ids[] = { &ca, &server, &client, &other, &mid, &leaf, &stranger, &expired };

	remove_dir();
	for (size_t i = 0; i < COUNT(ids); i++)
		identity_free(ids[i]);
}

/* ---- all of it ---- */

/* What main does; its argument is a part of the names of those wanted. */
static int UNUSED
run_tests(const struct test *tests, size_t n, int argc, char **argv)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	signal(SIGPIPE, SIG_IGN);	/* OpenSSL's own sockets raise it */
	more = last_error;
	make_files();
	for (size_t i = 0; i < n; i++) {
		if (argc > 1 && !strstr(tests[i].name, argv[1]))
			continue;
		begin_case("%s", tests[i].name);
		label[0] = '\0';
		tests[i].run();
		end_case();
		if (!current_failed)
			test_ran(current);
	}
	remove_files();
	return summary();
}

/* ---- contexts of ours ---- */

static UNUSED struct wrapsock_ctx *
ctx_new(int protocol)
{
	struct wrapsock_ctx *c = wrapsock_ctx_new(protocol);

	must(c != NULL, wrapsock_errstr(NULL));
	return c;
}


static UNUSED struct wrapsock_ctx *
client_ctx(void)
{
	struct wrapsock_ctx *c = wrapsock_ctx_new(WRAPSOCK_PROTOCOL_TLS_CLIENT);

	must(c && wrapsock_ctx_load_verify_locations(c, at("ca.pem"), NULL) == 0, "a client's context");
	return c;
}

static UNUSED struct wrapsock_ctx *
server_ctx(void)
{
	struct wrapsock_ctx *c = wrapsock_ctx_default_server(at("server.pem"), at("server.key"));

	must(c != NULL, "a server's context");
	return c;
}

/* ---- the peer: plain OpenSSL ---- */

static UNUSED SSL_CTX *
peer_ctx(bool as_server, const char *pem)
{
	SSL_CTX *x = SSL_CTX_new(as_server ? TLS_server_method() : TLS_client_method());

	must(x != NULL, "SSL_CTX_new");
	SSL_CTX_set_security_level(x, 0);
	SSL_CTX_set_min_proto_version(x, 0);
	if (pem)
		must(SSL_CTX_use_certificate_chain_file(x, at(pem)) == 1 && SSL_CTX_use_PrivateKey_file(x, at(pem), SSL_FILETYPE_PEM) == 1, pem);
	SSL_CTX_set_mode(x, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	return x;
}

static void UNUSED
set_nonblocking(int fd, bool on)
{
	int flags = fcntl(fd, F_GETFL);

	must(fcntl(fd, F_SETFL, on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK) == 0, "fcntl");
}

/* Ours and its peer. */
struct duo {
	int fd[2];			/* ours, the peer's */
	struct wrapsock_sock *s;
	SSL *p;
};

static UNUSED SSL *
peer_new(SSL_CTX *x, int fd, bool as_server)
{
	SSL *p = SSL_new(x);

	must(p && SSL_set_fd(p, fd), "SSL_new");
	if (as_server)
		SSL_set_accept_state(p);
	else
		SSL_set_connect_state(p);
	return p;
}

/* Both sides in turn until both are done, or ours has failed: ours' last answer. */
static int UNUSED
pump_handshake(struct duo *d)
{
	int64_t end = now_ms() + 10000;
	bool peer_done = false;
	int r = -1;

	while (now_ms() < end) {
		r = wrapsock_do_handshake(d->s);
		if (r < 0 && wrapsock_err(d->s) != WRAPSOCK_E_WANT_READ && wrapsock_err(d->s) != WRAPSOCK_E_WANT_WRITE)
			return r;
		if (!peer_done) {
			int pr = SSL_do_handshake(d->p);

			peer_done = pr == 1 || (SSL_get_error(d->p, pr) != SSL_ERROR_WANT_READ && SSL_get_error(d->p, pr) != SSL_ERROR_WANT_WRITE);
			ERR_clear_error();
		}
		if (r == 0 && peer_done)
			return 0;
		if (r < 0)
			poll(&(struct pollfd){ .fd = d->fd[0], .events = wrapsock_poll_events(d->s) }, 1, 5);
	}
	complain_of(__LINE__, "the handshake does not end", r);
	return r;
}

static void UNUSED
duo_close(struct duo *d)
{
	wrapsock_close(d->s);
	if (d->p)
		SSL_set_shutdown(d->p, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);	/* or its session would not be resumed */
	SSL_free(d->p);
	if (d->fd[0] >= 0)
		close(d->fd[0]);
	if (d->fd[1] >= 0)
		close(d->fd[1]);
	*d = (struct duo){ { -1, -1 }, NULL, NULL };
}

/* Handshake between ours and a peer; non-blocking both. 0, or ours' failure: the handle is there anyway. */
static int UNUSED
duo_open(struct duo *d, struct wrapsock_ctx *ctx, unsigned flags, const char *name, SSL_CTX *x)
{
	*d = (struct duo){ { -1, -1 }, NULL, NULL };
	tcp_pair(d->fd);
	set_nonblocking(d->fd[0], true);
	set_nonblocking(d->fd[1], true);
	d->s = wrapsock_wrap(ctx, d->fd[0], flags | WRAPSOCK_NO_HANDSHAKE_ON_CONNECT, name);
	if (!d->s)
		return -1;
	d->p = peer_new(x, d->fd[1], !(flags & WRAPSOCK_SERVER_SIDE));
	return pump_handshake(d);
}

/* The plainest: our client to a peer that is a server, or the reverse. */
static void UNUSED
duo_plain(struct duo *d, bool as_server, unsigned flags)
{
	struct wrapsock_ctx *ctx = as_server ? server_ctx() : client_ctx();
	SSL_CTX *x = peer_ctx(!as_server, as_server ? NULL : "server-both.pem");

	must(duo_open(d, ctx, flags | (as_server ? WRAPSOCK_SERVER_SIDE : 0), as_server ? NULL : "server.test", x) == 0, "a connection");
	wrapsock_ctx_free(ctx);
	SSL_CTX_free(x);
}

/* Exactly len bytes from the peer's side. */
static bool UNUSED
peer_read(struct duo *d, void *buf, size_t len)
{
	int64_t end = now_ms() + 10000;
	size_t got = 0, n;

	while (got < len && now_ms() < end) {
		if (SSL_read_ex(d->p, (char *)buf + got, len - got, &n))
			got += n;
		else
			poll(&(struct pollfd){ .fd = d->fd[1], .events = POLLIN }, 1, 5);
		ERR_clear_error();
	}
	return got == len;
}

/* recv of exactly len bytes, whatever the timeout is. */
static bool UNUSED
recv_all(struct wrapsock_sock *s, void *buf, size_t len)
{
	int64_t end = now_ms() + 10000;
	size_t got = 0;

	while (got < len && now_ms() < end) {
		ssize_t n = wrapsock_recv(s, (char *)buf + got, len - got, 0);

		if (n == 0 || (n < 0 && wrapsock_err(s) != WRAPSOCK_E_WANT_READ && wrapsock_err(s) != WRAPSOCK_E_WANT_WRITE))
			return false;
		if (n > 0)
			got += (size_t)n;
		else
			poll(&(struct pollfd){ .fd = wrapsock_fileno(s), .events = POLLIN }, 1, 5);
	}
	return got == len;
}

/* Does data go both ways? */
static bool UNUSED
talks(struct duo *d)
{
	char buf[8];
	size_t n;

	return wrapsock_send(d->s, "ping", 4, 0) == 4 && peer_read(d, buf, 4) && memcmp(buf, "ping", 4) == 0
		&& SSL_write_ex(d->p, "pong", 4, &n) && recv_all(d->s, buf, 4) && memcmp(buf, "pong", 4) == 0;
}

/* Is it nothing but whole TLS records, the last one perhaps cut? */
static bool UNUSED
is_tls(const unsigned char *p, size_t len)
{
	while (len >= 5) {
		size_t n = 5 + ((size_t)p[3] << 8 | p[4]);

		if (p[0] < 20 || p[0] > 23 || p[1] != 3 || n > 5 + 16384 + 2048)
			return false;
		if (n > len)
			return true;
		p += n;
		len -= n;
	}
	return len == 0 || (p[0] >= 20 && p[0] <= 23);
}

#endif
