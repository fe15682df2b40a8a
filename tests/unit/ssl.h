/*
 * ssl.h - what the tests of the explicit API share: assertions, certificates made on the spot, and a socket of ours with an OpenSSL peer at
 * the other end, both driven by hand in one thread.
 */
#ifndef TESTS_SSL_H
#define TESTS_SSL_H

#include "ran.h"
#include "wrapsock.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))
#define UNUSED __attribute__((unused))

/* ---- tests and assertions ---- */

struct test {
	const char *name;
	void (*run)(void);
};
#define TEST(function) { #function, function }

static unsigned passed, failed;
static const char *current = "";
static char label[160];		/* the row of a table that is being tried */
static _Atomic bool current_failed;

static void UNUSED
complain(int line, const char *what, long got)
{
	printf("FAIL %s%s%s: line %d: %s (%ld, errno %s, %d \"%s\")\n", current, *label ? ": " : "", label, line, what, got, strerrorname_np(errno),
	       wrapsock_err(NULL), wrapsock_errstr(NULL));
	current_failed = true;
}
#define CHECK(x) ((x) ? (void)0 : complain(__LINE__, #x, 0))
#define CHECK_IS(x, want)                                      \
	do {                                                   \
		long got_ = (long)(x);                         \
		if (got_ != (long)(want))                      \
			complain(__LINE__, #x " == " #want, got_); \
	} while (0)
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

static void UNUSED
must(bool ok, const char *what)
{
	if (ok)
		return;
	printf("%s: cannot go on: %s\n", current, what);
	ERR_print_errors_fp(stdout);
	fflush(stdout);
	_exit(2);
}

static int UNUSED
run_tests(const struct test *tests, size_t n, const char *only)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (size_t i = 0; i < n; i++) {
		if (only && !strstr(tests[i].name, only))
			continue;
		current = tests[i].name;
		label[0] = '\0';
		current_failed = false;
		tests[i].run();
		if (current_failed) {
			failed++;
		} else {
			passed++;
			test_ran(current);
		}
	}
	printf("%u passed, %u failed\n", passed, failed);
	return failed != 0;
}

static int64_t UNUSED
now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * INT64_C(1000) + t.tv_nsec / 1000000;
}

/* ---- certificates ---- */

static char dir[] = "/tmp/ssl_test.XXXXXX";

static const char * UNUSED
at(const char *name)
{
	static char paths[8][96];
	static int i;

	i = (i + 1) % 8;
	snprintf(paths[i], sizeof paths[i], "%s/%s", dir, name);
	return paths[i];
}

struct identity {
	EVP_PKEY *key;
	X509 *cert;
};

struct spec {
	const char *cn, *san;
	bool ca;
	const char *usage;		/* extended key usage, NULL = none */
	long from, to;			/* seconds from now; 0, 0 = valid */
	int rsa_bits;			/* 0 = P-256 */
};

static void UNUSED
add_extension(X509 *x, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX v3;
	X509_EXTENSION *e;

	X509V3_set_ctx(&v3, issuer, x, NULL, NULL, 0);
	e = X509V3_EXT_conf_nid(NULL, &v3, nid, value);
	must(e && X509_add_ext(x, e, -1), value);
	X509_EXTENSION_free(e);
}

/* Signed by issuer, or by itself. */
static struct identity UNUSED
make_identity(const struct spec *s, const struct identity *issuer)
{
	static long serial = 1000;
	struct identity id = { s->rsa_bits ? EVP_RSA_gen((unsigned)s->rsa_bits) : EVP_EC_gen("P-256"), X509_new() };
	const struct identity *by = issuer ? issuer : &id;
	X509 *x = id.cert;

	must(id.key && x, "a key");
	X509_set_version(x, X509_VERSION_3);
	ASN1_INTEGER_set(X509_get_serialNumber(x), serial++);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC, (const unsigned char *)s->cn, -1, -1, 0);
	X509_set_issuer_name(x, X509_get_subject_name(by->cert));
	X509_gmtime_adj(X509_getm_notBefore(x), s->from || s->to ? s->from : -3600);
	X509_gmtime_adj(X509_getm_notAfter(x), s->from || s->to ? s->to : 86400);
	X509_set_pubkey(x, id.key);
	add_extension(x, by->cert, NID_subject_key_identifier, "hash");
	if (issuer)
		add_extension(x, by->cert, NID_authority_key_identifier, "keyid");
	if (s->ca) {
		add_extension(x, by->cert, NID_basic_constraints, "critical,CA:TRUE");
		add_extension(x, by->cert, NID_key_usage, "critical,keyCertSign,cRLSign");
	}
	if (s->san)
		add_extension(x, by->cert, NID_subject_alt_name, s->san);
	if (s->usage)
		add_extension(x, by->cert, NID_ext_key_usage, s->usage);
	must(X509_sign(x, by->key, EVP_sha256()) > 0, "a signature");
	return id;
}

enum { CERTS = 1, KEY = 2, APPEND = 4 };

static void UNUSED
write_text(const char *name, const char *text)
{
	FILE *f = fopen(at(name), "w");

	must(f && fputs(text, f) >= 0 && fclose(f) == 0, name);
}

/* PEM of certificates, and of the first one's key. */
static void UNUSED
write_pem(const char *name, int what, size_t n, const struct identity *const *ids)
{
	FILE *f = fopen(at(name), what & APPEND ? "a" : "w");

	must(f != NULL, name);
	chmod(at(name), 0600);
	for (size_t i = 0; i < n && what & CERTS; i++)
		must(PEM_write_X509(f, ids[i]->cert), name);
	if (what & KEY)
		must(PEM_write_PrivateKey(f, ids[0]->key, NULL, NULL, 0, NULL, NULL), name);
	must(fclose(f) == 0, name);
}
#define WRITE(name, what, ...) \
	write_pem(name, what, sizeof((const struct identity *[]){ __VA_ARGS__ }) / sizeof(void *), (const struct identity *[]){ __VA_ARGS__ })

/* ca signs server, client, other (another name), mid; mid signs leaf. stranger is nobody's. */
static struct identity ca, server, client, other, mid, leaf, stranger, expired;

static void UNUSED
make_files(void)
{
	const char *names = "DNS:server.test,DNS:localhost,IP:127.0.0.1,IP:::1";

	must(mkdtemp(dir) != NULL, dir);
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
	char command[64];
	const struct identity *const ids[] = { &ca, &server, &client, &other, &mid, &leaf, &stranger, &expired };

	snprintf(command, sizeof command, "rm -rf %s", dir);
	must(system(command) == 0, command);
	for (size_t i = 0; i < COUNT(ids); i++) {
		EVP_PKEY_free(ids[i]->key);
		X509_free(ids[i]->cert);
	}
}

/* ---- contexts of ours ---- */

static struct wrapsock_ctx * UNUSED
client_ctx(void)
{
	struct wrapsock_ctx *c = wrapsock_ctx_new(WRAPSOCK_PROTOCOL_TLS_CLIENT);

	must(c && wrapsock_ctx_load_verify_locations(c, at("ca.pem"), NULL) == 0, "a client's context");
	return c;
}

static struct wrapsock_ctx * UNUSED
server_ctx(void)
{
	struct wrapsock_ctx *c = wrapsock_ctx_default_server(at("server.pem"), at("server.key"));

	must(c != NULL, "a server's context");
	return c;
}

/* ---- the peer: plain OpenSSL ---- */

static SSL_CTX * UNUSED
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

static int UNUSED
listen_tcp(struct sockaddr_in *addr)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	socklen_t len = sizeof *addr;

	*addr = (struct sockaddr_in){ .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	must(fd >= 0 && bind(fd, (struct sockaddr *)addr, sizeof *addr) == 0 && listen(fd, 512) == 0
	     && getsockname(fd, (struct sockaddr *)addr, &len) == 0, "a listener");
	return fd;
}

/* fd[0] connected to fd[1], by TCP over loopback. */
static void UNUSED
tcp_pair(int fd[2])
{
	struct sockaddr_in addr;
	int l = listen_tcp(&addr);

	fd[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	must(fd[0] >= 0 && connect(fd[0], (struct sockaddr *)&addr, sizeof addr) == 0, "connect");
	fd[1] = accept4(l, NULL, NULL, SOCK_CLOEXEC);
	must(fd[1] >= 0, "accept");
	close(l);
}

/* Ours and its peer. */
struct duo {
	int fd[2];			/* ours, the peer's */
	struct wrapsock_sock *s;
	SSL *p;
};

static SSL * UNUSED
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
	complain(__LINE__, "the handshake does not end", r);
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
