/*
 * conn_test.c - the connection core over real sockets against a peer that is plain OpenSSL between two memory buffers.
 *
 * The peer is pumped by hand in the same thread, so that every byte's arrival is the test's choice; where something must wait it runs
 * in a thread.  What the kernel says of the descriptor is checked after every step. limit: 600
 */
#include "conn.h"
#include "share.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))
enum { PATIENCE_MS = 20000, BIG = 1 << 20 };

static unsigned passed, failed;
static char current[160];
static _Atomic bool current_failed;

static void
complain(int line, const char *what, long got)
{
	printf("FAIL %s: line %d: %s (%ld)\n", current, line, what, got);
	current_failed = true;
}
#define CHECK(x) ((x) ? (void)0 : complain(__LINE__, #x, 0))
#define CHECK_IS(x, want)                                      \
	do {                                                   \
		long got_ = (long)(x);                         \
		if (got_ != (long)(want))                      \
			complain(__LINE__, #x " == " #want, got_); \
	} while (0)

static void begin_case(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static void
begin_case(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(current, sizeof(current), fmt, ap);
	va_end(ap);
	current_failed = false;
}

static void
end_case(void)
{
	if (current_failed)
		failed++;
	else
		passed++;
}

static void
must(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "%s: cannot go on: %s\n", current, what);
	exit(2);
}

static int64_t
now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * INT64_C(1000) + t.tv_nsec / 1000000;
}

/* The stream that everybody sends: any offset's byte can be told. */
static uint8_t
byte_at(size_t offset)
{
	return (uint8_t)(offset * 131 + (offset >> 8) * 7 + (offset >> 16));
}

static uint8_t stream[8 * BIG];

static bool
is_stream(const uint8_t *p, size_t offset, size_t len)
{
	return memcmp(p, stream + offset, len) == 0;
}

/* ---- what the process lends to the core ---- */

static _Atomic int blocked;	/* threads that wait in the core */
static _Atomic int waits;	/* ... that have begun to */
static _Atomic int warnings;
static char last_warning[1500];

static int
host_poll(struct pollfd *p, nfds_t n, int timeout)
{
	int r;

	if (timeout == 0)
		return poll(p, n, 0);
	blocked++;
	waits++;
	r = poll(p, n, timeout);
	blocked--;
	return r;
}

static void
host_log(enum conn_log level, const char *line)
{
	if (level > CONN_LOG_WARN)
		return;
	snprintf(last_warning, sizeof(last_warning), "%s", line);
	warnings++;
}

static const struct conn_host host = { .poll = host_poll, .log = host_log };

static void
until_blocked(int threads)
{
	int64_t end = now_ms() + PATIENCE_MS;

	while (blocked < threads && now_ms() < end)
		sched_yield();
	must(blocked >= threads, "a thread that should wait does not");
}

/* ---- certificates and settings ---- */

static char dir[64] = "/tmp/conn_test.XXXXXX", cert_file[96], key_file[96];

static void
make_cert(void)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *x = X509_new();
	X509V3_CTX v3;
	X509_EXTENSION *ext;
	FILE *f;

	must(mkdtemp(dir) != NULL && key && x, "a key in a folder");
	snprintf(cert_file, sizeof(cert_file), "%s/cert.pem", dir);
	snprintf(key_file, sizeof(key_file), "%s/key.pem", dir);
	X509_set_version(x, X509_VERSION_3);
	ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC, (const unsigned char *)"conn_test", -1, -1, 0);
	X509_set_issuer_name(x, X509_get_subject_name(x));
	X509_gmtime_adj(X509_getm_notBefore(x), -3600);
	X509_gmtime_adj(X509_getm_notAfter(x), 86400);
	X509_set_pubkey(x, key);
	X509V3_set_ctx(&v3, x, x, NULL, NULL, 0);
	ext = X509V3_EXT_conf_nid(NULL, &v3, NID_subject_alt_name, "DNS:server.test,IP:127.0.0.1");
	must(ext && X509_add_ext(x, ext, -1) && X509_sign(x, key, EVP_sha256()) > 0, "a certificate");
	X509_EXTENSION_free(ext);
	must((f = fopen(cert_file, "w")) && PEM_write_X509(f, x) && fclose(f) == 0, cert_file);
	umask(077);
	must((f = fopen(key_file, "w")) && PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL) && fclose(f) == 0, key_file);
	X509_free(x);
	EVP_PKEY_free(key);
}

static void
remove_cert(void)
{
	unlink(cert_file);
	unlink(key_file);
	rmdir(dir);
}

/* How a case differs from the plainest one. */
struct variant {
	const char *name;
	enum config_role role;		/* ours */
	int version;
	bool local;			/* a socketpair instead of TCP over loopback */
};

static const struct variant variants[] = {
	{ "client TLS 1.3", CONFIG_CLIENT, TLS1_3_VERSION, false },
	{ "server TLS 1.3", CONFIG_SERVER, TLS1_3_VERSION, false },
	{ "client TLS 1.2", CONFIG_CLIENT, TLS1_2_VERSION, false },
	{ "server TLS 1.2", CONFIG_SERVER, TLS1_2_VERSION, false },
	{ "client TLS 1.3, socketpair", CONFIG_CLIENT, TLS1_3_VERSION, true },
	{ "server TLS 1.3, socketpair", CONFIG_SERVER, TLS1_3_VERSION, true },
};

struct extra {
	const char *key, *value;
};

static struct config *
make_config(const struct variant *v, const struct extra *extra)
{
	struct config *c = config_new(v->role);
	const char *version = v->version == TLS1_3_VERSION ? "TLSv1.3" : "TLSv1.2";
	char err[512] = "", warn[512] = "";
	int r = config_set(c, "maximum_version", version, err, sizeof(err));

	r |= config_set(c, "minimum_version", version, err, sizeof(err));
	if (v->role == CONFIG_CLIENT) {
		r |= config_set(c, "ca_certs", cert_file, err, sizeof(err));
	} else {
		r |= config_set(c, "certfile", cert_file, err, sizeof(err));
		r |= config_set(c, "keyfile", key_file, err, sizeof(err));
	}
	for (; extra && extra->key; extra++)
		r |= config_set(c, extra->key, extra->value, err, sizeof(err));
	config_set_place(c, "rule test (test.conf:1)");
	must(r == 0 && config_seal(c, err, sizeof(err), warn, sizeof(warn)) == 0, err);
	return c;
}

static SSL_CTX *
peer_context(bool server)
{
	SSL_CTX *x = SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());

	must(x != NULL, "SSL_CTX_new");
	if (server)
		must(SSL_CTX_use_certificate_file(x, cert_file, SSL_FILETYPE_PEM) == 1
			 && SSL_CTX_use_PrivateKey_file(x, key_file, SSL_FILETYPE_PEM) == 1, "the peer's certificate");
	SSL_CTX_set_mode(x, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	return x;
}

/* ---- a connection and its peer ---- */

struct pair {
	int fd, far;		/* ours; the peer's, -1 once it is closed */
	struct conn *c;
	struct config *config;
	SSL_CTX *ctx;
	SSL *ssl;		/* the peer's */
	BIO *in, *out;
	size_t sent, got;	/* plaintext of the peer, either way */
};

static void
tcp_pair(int fds[2])
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(a);
	int l = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

	must(l >= 0 && bind(l, (struct sockaddr *)&a, len) == 0 && listen(l, 1) == 0 && getsockname(l, (struct sockaddr *)&a, &len) == 0,
	     "listen");
	fds[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	must(fds[0] >= 0 && connect(fds[0], (struct sockaddr *)&a, len) == 0, "connect");
	fds[1] = accept4(l, NULL, NULL, SOCK_CLOEXEC);
	must(fds[1] >= 0, "accept");
	close(l);
	for (int i = 0; i < 2; i++)
		setsockopt(fds[i], IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

static void
pair_open(struct pair *p, const struct variant *v, const struct extra *extra, bool connected)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(4433) };
	bool server = v->role == CONFIG_CLIENT;		/* the peer is */
	int fds[2];

	memset(p, 0, sizeof(*p));
	if (v->local)
		must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0, "socketpair");
	else
		tcp_pair(fds);
	p->fd = fds[0];
	p->far = fds[1];
	fcntl(p->far, F_SETFL, O_NONBLOCK);
	p->config = make_config(v, extra);
	p->c = conn_new(p->config, (struct sockaddr *)&to, sizeof(to), connected, server ? "server.test" : NULL);
	p->ctx = peer_context(server);
	p->ssl = SSL_new(p->ctx);
	p->in = BIO_new(BIO_s_mem());
	p->out = BIO_new(BIO_s_mem());
	must(p->c && p->ssl && p->in && p->out, "memory");
	SSL_set_bio(p->ssl, p->in, p->out);
	if (server)
		SSL_set_accept_state(p->ssl);
	else
		SSL_set_connect_state(p->ssl);
}

static void
far_close(struct pair *p)
{
	if (p->far >= 0)
		close(p->far);
	p->far = -1;
}

static void
pair_end(struct pair *p)
{
	conn_free(p->c);
	config_free(p->config);
	SSL_free(p->ssl);
	SSL_CTX_free(p->ctx);
	close(p->fd);
	far_close(p);
}

static int
queued(int fd)
{
	int n = 0;

	ioctl(fd, FIONREAD, &n);
	return n;
}

static short
kernel_says(int fd, short events)
{
	struct pollfd p = { .fd = fd, .events = events };

	return poll(&p, 1, 0) > 0 ? p.revents : 0;
}

static bool
readable(const struct pair *p)
{
	return kernel_says(p->fd, POLLIN) & POLLIN;
}

/* Raw bytes from the peer's end; they have arrived on return. */
static void
wire_put(struct pair *p, const void *bytes, size_t len)
{
	int64_t end = now_ms() + PATIENCE_MS;
	int before = queued(p->fd);

	must(send(p->far, bytes, len, MSG_NOSIGNAL) == (ssize_t)len, "the peer's send");
	while (queued(p->fd) < before + (int)len && now_ms() < end)
		sched_yield();
	must(queued(p->fd) == before + (int)len, "bytes do not arrive");
}

/* The FIN, too. */
static void
wire_fin(struct pair *p)
{
	struct pollfd f = { .fd = p->fd, .events = POLLRDHUP };

	shutdown(p->far, SHUT_WR);
	must(poll(&f, 1, PATIENCE_MS) == 1, "the FIN does not arrive");
}

/* Ciphertext that the peer wants to send, at most `most` bytes. */
static size_t
peer_flush(struct pair *p, size_t most)
{
	char *bytes;
	size_t n = (size_t)BIO_get_mem_data(p->out, &bytes);
	char *copy;

	if (n > most)
		n = most;
	if (!n)
		return 0;
	copy = malloc(n);
	BIO_read(p->out, copy, (int)n);
	wire_put(p, copy, n);
	free(copy);
	return n;
}

/* Ciphertext that has come for the peer, at most `most` bytes; 0 = nothing there, -1 = end or error. */
static ssize_t
peer_take(struct pair *p, size_t most)
{
	static _Thread_local char buf[65536];
	ssize_t n = recv(p->far, buf, most < sizeof(buf) ? most : sizeof(buf), MSG_DONTWAIT);

	if (n > 0)
		BIO_write(p->in, buf, (int)n);
	return n > 0 ? n : n < 0 && errno == EAGAIN ? 0 : -1;
}

/* The peer says len more bytes of the stream, in records of at most `record`; they wait in its buffer. */
static void
peer_say(struct pair *p, size_t len, size_t record)
{
	while (len) {
		size_t n = len < record ? len : record, done = 0;

		must(SSL_write_ex(p->ssl, stream + p->sent, n, &done) && done, "SSL_write");
		p->sent += done;
		len -= done;
	}
}

static void
peer_tell(struct pair *p, size_t len, size_t record)
{
	peer_say(p, len, record);
	peer_flush(p, SIZE_MAX);
}

/* To somebody who reads at the same time: whether it has arrived cannot be seen. */
static void
peer_pour(struct pair *p, size_t piece)
{
	static char buf[4096];

	while (BIO_ctrl_pending(p->out)) {
		long n = BIO_read(p->out, buf, (int)piece);

		must(send(p->far, buf, (size_t)n, MSG_NOSIGNAL) == n, "the peer's send");
	}
}

/* What the peer can decrypt of what has arrived; all of it must be the stream. -1 behind that = clean end, -2 = failure. */
static long
peer_hear(struct pair *p)
{
	static _Thread_local uint8_t buf[65536];
	size_t n;

	for (;;) {
		if (SSL_read_ex(p->ssl, buf, sizeof(buf), &n)) {
			CHECK(is_stream(buf, p->got, n));
			p->got += n;
			continue;
		}
		switch (SSL_get_error(p->ssl, 0)) {
		case SSL_ERROR_WANT_READ:
			if (peer_take(p, SIZE_MAX) > 0)
				continue;
			return 0;
		case SSL_ERROR_ZERO_RETURN:
			return -1;
		default:
			return -2;
		}
	}
}

static void
peer_hear_up_to(struct pair *p, size_t total)
{
	int64_t end = now_ms() + PATIENCE_MS;

	while (p->got < total && peer_hear(p) == 0 && now_ms() < end) {
		struct pollfd f = { .fd = p->far, .events = POLLIN };

		poll(&f, 1, 10);
	}
	CHECK_IS(p->got, total);
}

/* step: most bytes that travel at a time, either way. */
static void
shake_hands(struct pair *p, size_t step)
{
	int64_t end = now_ms() + PATIENCE_MS;
	int ours = -EAGAIN, theirs = 0;

	while ((ours < 0 || !theirs) && now_ms() < end) {
		if (ours < 0)
			ours = conn_handshake(p->c, p->fd, false);
		must(ours == 0 || ours == -EAGAIN, last_warning);
		peer_take(p, step);
		theirs = SSL_do_handshake(p->ssl) == 1;
		peer_flush(p, step);
	}
	must(ours == 0 && theirs, "the handshake does not end");
	while (peer_flush(p, step))
		if (step != SIZE_MAX)
			conn_recv(p->c, p->fd, &(struct iovec){ &end, sizeof(end) }, 1, 0);
}

static void
pair_up(struct pair *p, const struct variant *v, const struct extra *extra)
{
	pair_open(p, v, extra, true);
	shake_hands(p, SIZE_MAX);
}

static ssize_t
recv_some(struct pair *p, void *buf, size_t len, int flags)
{
	return conn_recv(p->c, p->fd, &(struct iovec){ buf, len }, 1, flags);
}

static ssize_t
send_some(struct pair *p, size_t offset, size_t len, int flags)
{
	return conn_send(p->c, p->fd, &(struct iovec){ stream + offset, len }, 1, flags);
}

/* Nothing but tickets can be there: after it nothing is. */
static void
swallow_tickets(struct pair *p)
{
	char c;

	CHECK_IS(recv_some(p, &c, 1, 0), -EAGAIN);
	CHECK(!readable(p));
}

/* ---- reading ---- */

static uint8_t buffer[4 * BIG];

static const struct {
	const char *name;
	size_t total, record;
} loads[] = {
	{ "one byte", 1, 1 },
	{ "one record", 300, 300 },
	{ "small records", 2000, 40 },
	{ "a full record", 16384, 16384 },
	{ "two full records and a byte", 32769, 16384 },
	{ "odd records", 70000, 7777 },
};

static const size_t sizes[] = { 1, 5, 100, 16384, 20000 };

/* After every read: what is left is announced by the kernel, and only that; a short count means that nothing is left. */
static void
read_all(struct pair *p, size_t size, size_t total)
{
	size_t got = 0;

	while (got < total) {
		ssize_t n = recv_some(p, buffer, size, 0);

		if (n <= 0) {
			CHECK_IS(n, 1);
			return;
		}
		CHECK(is_stream(buffer, p->sent - total + got, (size_t)n));
		got += (size_t)n;
		if ((size_t)n < size)
			CHECK_IS(got, total);
		if (readable(p) != (got < total)) {
			complain(__LINE__, "the kernel's word is false", (long)got);
			return;
		}
	}
	CHECK_IS(recv_some(p, buffer, size, 0), -EAGAIN);
	CHECK(!readable(p));
}

static void
reading(const struct variant *v)
{
	struct pair p;

	pair_up(&p, v, NULL);
	for (size_t i = 0; i < COUNT(loads); i++) {
		for (size_t j = 0; j < COUNT(sizes); j++) {
			begin_case("reading, %s: %s by %zu", v->name, loads[i].name, sizes[j]);
			peer_tell(&p, loads[i].total, loads[i].record);
			read_all(&p, sizes[j], loads[i].total);
			end_case();
		}
	}
	pair_end(&p);
}

/* Vectors of odd lengths, empty ones among them. */
static void
scattering(const struct variant *v)
{
	static const size_t cuts[] = { 3, 0, 1, 16380, 0, 4, 12000, 50000 };
	struct iovec iov[COUNT(cuts)];
	uint8_t *at = buffer;
	struct pair p;

	begin_case("scattering, %s", v->name);
	pair_up(&p, v, NULL);
	for (size_t i = 0; i < COUNT(cuts); i++) {
		iov[i] = (struct iovec){ at, cuts[i] };
		at += cuts[i];
	}
	for (size_t i = 0; i < COUNT(loads); i++) {
		peer_tell(&p, loads[i].total, loads[i].record);
		CHECK_IS(conn_recv(p.c, p.fd, iov, COUNT(cuts), 0), loads[i].total);
		CHECK(is_stream(buffer, p.sent - loads[i].total, loads[i].total));
		CHECK(!readable(&p));
	}
	peer_tell(&p, 100000, 16384);
	CHECK_IS(conn_recv(p.c, p.fd, iov, COUNT(cuts), 0), at - buffer);
	CHECK(readable(&p));
	CHECK_IS(recv_some(&p, buffer, BIG, 0), 100000 - (at - buffer));
	CHECK(!readable(&p));
	pair_end(&p);
	end_case();
}

/* FIONREAD counts what has arrived, and asking changes nothing that a poll can see. */
static void
counting(const struct variant *v)
{
	struct pair p;

	pair_up(&p, v, NULL);
	for (size_t i = 0; i < COUNT(loads); i++) {
		size_t total = loads[i].total, first = total / 3;

		begin_case("counting, %s: %s", v->name, loads[i].name);
		CHECK_IS(conn_arrived(p.c, p.fd), 0);
		CHECK(!readable(&p));
		peer_tell(&p, total, loads[i].record);
		for (int twice = 0; twice < 2; twice++) {
			CHECK_IS(conn_arrived(p.c, p.fd), total);
			CHECK(readable(&p));
		}
		if (first) {
			CHECK_IS(recv_some(&p, buffer, first, 0), first);
			CHECK_IS(conn_arrived(p.c, p.fd), total - first);
			CHECK(readable(&p));
		}
		peer_tell(&p, 50, 50);
		CHECK_IS(conn_arrived(p.c, p.fd), total - first + 50);
		CHECK_IS(recv_some(&p, buffer, BIG, 0), total - first + 50);
		CHECK(is_stream(buffer, p.sent - (total - first + 50), total - first + 50));
		CHECK_IS(conn_arrived(p.c, p.fd), 0);
		CHECK(!readable(&p));
		end_case();
	}
	pair_end(&p);
}

static void
peeking(const struct variant *v)
{
	struct iovec two[] = { { buffer, 40 }, { buffer + 40, 100000 } };
	struct pair p;

	begin_case("peeking, %s", v->name);
	pair_up(&p, v, NULL);
	CHECK_IS(recv_some(&p, buffer, 10, MSG_PEEK), -EAGAIN);
	CHECK(!readable(&p));
	peer_tell(&p, 30000, 10000);
	for (int again = 0; again < 2; again++) {
		CHECK_IS(recv_some(&p, buffer, 10, MSG_PEEK), 10);
		CHECK(is_stream(buffer, 0, 10));
		CHECK_IS(conn_recv(p.c, p.fd, two, 2, MSG_PEEK), 30000);
		CHECK(is_stream(buffer, 0, 30000));
		CHECK(readable(&p));
	}
	CHECK_IS(recv_some(&p, buffer, 29000, 0), 29000);
	CHECK_IS(recv_some(&p, buffer, 29000, MSG_PEEK), 1000);
	CHECK(is_stream(buffer, 29000, 1000));
	CHECK(readable(&p));
	CHECK_IS(recv_some(&p, buffer, 1000, 0), 1000);
	CHECK(is_stream(buffer, 29000, 1000));
	CHECK(!readable(&p));
	CHECK_IS(recv_some(&p, buffer, 1, MSG_PEEK), -EAGAIN);
	pair_end(&p);
	end_case();
}

static void
flagging(const struct variant *v)
{
	struct pair p;

	begin_case("flags, %s", v->name);
	pair_up(&p, v, NULL);
	swallow_tickets(&p);
	conn_set_blocking(p.c, true);
	CHECK_IS(recv_some(&p, buffer, 10, MSG_DONTWAIT), -EAGAIN);
	CHECK_IS(recv_some(&p, buffer, 10, MSG_OOB), -EINVAL);
	CHECK_IS(send_some(&p, 0, 10, MSG_OOB), -EOPNOTSUPP);
	CHECK_IS(recv_some(&p, buffer, 0, MSG_DONTWAIT), -EAGAIN);	/* as Linux: recv of nothing waits for something */
	CHECK_IS(send_some(&p, 0, 0, 0), 0);
	conn_set_timeout(p.c, false, 30);
	CHECK_IS(recv_some(&p, buffer, 0, 0), 0);			/* once */
	CHECK_IS(recv_some(&p, buffer, 10, 0), -EAGAIN);
	peer_tell(&p, 100, 30);
	CHECK_IS(recv_some(&p, buffer, 200, MSG_WAITALL), 100);
	CHECK(is_stream(buffer, 0, 100));
	peer_tell(&p, 40000, 16384);
	CHECK_IS(recv_some(&p, buffer, 40000, MSG_WAITALL), 40000);
	CHECK(is_stream(buffer, 100, 40000));
	peer_tell(&p, 50000, 9999);
	CHECK_IS(recv_some(&p, NULL, 100, MSG_TRUNC), 100);
	CHECK(readable(&p));
	CHECK_IS(recv_some(&p, buffer, 1, 0), 1);
	CHECK(is_stream(buffer, 40200, 1));
	CHECK_IS(recv_some(&p, NULL, 2 * BIG, MSG_TRUNC), 49899);
	CHECK(!readable(&p));
	conn_set_lowat(p.c, 50);
	CHECK_IS(conn_lowat(p.c), 50);
	peer_tell(&p, 30, 30);
	CHECK_IS(recv_some(&p, buffer, 100, 0), 30);	/* what there was when SO_RCVTIMEO passed */
	peer_tell(&p, 60, 30);
	CHECK_IS(recv_some(&p, buffer, 55, 0), 55);
	CHECK_IS(recv_some(&p, buffer, 55, MSG_PEEK | MSG_WAITALL), 5);
	CHECK(readable(&p));
	pair_end(&p);
	end_case();
}

/* Tickets make the kernel readable and are nothing to the program. */
static void
tickets(void)
{
	struct pair p;

	begin_case("tickets alone");
	pair_up(&p, &variants[0], NULL);
	CHECK(readable(&p));
	CHECK_IS(recv_some(&p, buffer, 100, 0), -EAGAIN);
	CHECK(!readable(&p));
	end_case();

	begin_case("tickets, asked by FIONREAD");
	must(SSL_new_session_ticket(p.ssl) == 1 && SSL_do_handshake(p.ssl) == 1, "another ticket");
	peer_flush(&p, SIZE_MAX);
	CHECK(readable(&p));
	CHECK_IS(conn_arrived(p.c, p.fd), 0);
	CHECK(!readable(&p));
	end_case();

	begin_case("tickets before data, by a byte");
	must(SSL_new_session_ticket(p.ssl) == 1 && SSL_do_handshake(p.ssl) == 1, "another ticket");
	peer_tell(&p, 10, 10);
	for (int i = 0; i < 10; i++)
		CHECK_IS(recv_some(&p, buffer + i, 1, 0), 1);
	CHECK(is_stream(buffer, 0, 10));
	CHECK(!readable(&p));
	end_case();

	begin_case("tickets, polled in blocking mode");
	conn_set_blocking(p.c, true);
	must(SSL_new_session_ticket(p.ssl) == 1 && SSL_do_handshake(p.ssl) == 1, "another ticket");
	peer_flush(&p, SIZE_MAX);
	CHECK_IS(conn_tells(p.c, p.fd, POLLIN | POLLOUT, POLLIN | POLLOUT), POLLOUT);
	CHECK(!readable(&p));
	peer_tell(&p, 10, 10);
	CHECK_IS(conn_tells(p.c, p.fd, POLLIN, POLLIN), POLLIN);
	CHECK(readable(&p));
	CHECK_IS(recv_some(&p, buffer, 100, 0), 10);
	pair_end(&p);
	end_case();
}

/* The record arrives in two parts, cut everywhere. */
static void
cutting(const struct variant *v)
{
	static const size_t rooms[] = { 1, 100, 16384 };
	struct pair p;

	pair_up(&p, v, NULL);
	swallow_tickets(&p);
	for (size_t i = 0; i < COUNT(rooms); i++) {
		size_t size = 330;

		begin_case("cut records, %s: by %zu", v->name, rooms[i]);
		for (size_t at = 1; at < size && !current_failed; at++) {
			peer_say(&p, 300, 300);
			size = (size_t)BIO_ctrl_pending(p.out);
			peer_flush(&p, at);
			if (at % 3 == 0)
				CHECK_IS(conn_arrived(p.c, p.fd), 0);
			else
				CHECK_IS(recv_some(&p, buffer, rooms[i], 0), -EAGAIN);
			CHECK(!readable(&p));
			peer_flush(&p, SIZE_MAX);
			CHECK(readable(&p));
			if (at % 2)
				CHECK_IS(conn_arrived(p.c, p.fd), 300);
			read_all(&p, rooms[i], 300);
		}
		end_case();
	}
	pair_end(&p);
}

static void
by_single_bytes(const struct variant *v)
{
	struct pair p;

	begin_case("byte by byte, %s", v->name);
	pair_open(&p, v, NULL, true);
	shake_hands(&p, 1);
	CHECK_IS(conn_state(p.c), CONN_OPEN);
	peer_say(&p, 400, 200);
	while (BIO_ctrl_pending(p.out)) {
		peer_flush(&p, 1);
		CHECK(readable(&p));
		if (BIO_ctrl_pending(p.out) && conn_arrived(p.c, p.fd) == 0)
			CHECK(!readable(&p));
	}
	CHECK_IS(recv_some(&p, buffer, 1000, 0), 400);
	CHECK(is_stream(buffer, 0, 400));
	CHECK(!readable(&p));
	CHECK_IS(send_some(&p, 0, 1000, 0), 1000);
	peer_hear_up_to(&p, 1000);
	pair_end(&p);
	end_case();
}

/* ---- ends ---- */

static const struct extra ragged[] = { { "suppress_ragged_eofs", "yes" }, { NULL, NULL } };

static void
clean_end(const struct variant *v, size_t room)
{
	struct pair p;

	begin_case("close_notify, %s: by %zu", v->name, room);
	pair_up(&p, v, NULL);
	peer_say(&p, 10, 10);
	SSL_shutdown(p.ssl);
	peer_flush(&p, SIZE_MAX);
	for (size_t got = 0; got < 10;) {
		ssize_t n = recv_some(&p, buffer, room, 0);

		must(n > 0, "no data");
		got += (size_t)n;
		CHECK(readable(&p));
	}
	for (int again = 0; again < 2; again++) {
		CHECK_IS(recv_some(&p, buffer, room, 0), 0);
		CHECK(readable(&p));
	}
	CHECK_IS(recv_some(&p, buffer, room, MSG_PEEK), 0);
	CHECK_IS(conn_error(p.c), 0);
	CHECK_IS(send_some(&p, 0, 5000, 0), 5000);	/* half closed: the other half goes on */
	peer_take(&p, SIZE_MAX);
	peer_hear(&p);
	CHECK_IS(p.got, 5000);
	pair_end(&p);
	end_case();
}

static void
cut_end(const struct variant *v, const struct extra *extra, int want)
{
	struct pair p;

	begin_case("FIN without close_notify, %s%s", v->name, extra ? ", suppressed" : "");
	pair_up(&p, v, extra);
	peer_tell(&p, 100, 100);
	wire_fin(&p);
	CHECK_IS(recv_some(&p, buffer, 50, 0), 50);
	CHECK(readable(&p));
	CHECK_IS(recv_some(&p, buffer, 50, 0), 50);
	for (int again = 0; again < 2; again++) {
		CHECK(readable(&p));
		CHECK_IS(recv_some(&p, buffer, 50, 0), want);
	}
	CHECK_IS(conn_arrived(p.c, p.fd), 0);
	pair_end(&p);
	end_case();
}

/* The end comes inside of a record, wherever. */
static void
cut_record(const struct variant *v, bool ask, bool blocking)
{
	static const size_t rooms[] = { 1, 100, 16384 };
	size_t size = 330;

	begin_case("FIN inside a record, %s%s%s", v->name, ask ? ", FIONREAD" : "", blocking ? ", blocking" : "");
	for (size_t at = 1; at < size && !current_failed; at = at < 8 || at + 12 > size ? at + 1 : at + 29) {
		struct pair p;
		ssize_t n = -EAGAIN;

		pair_up(&p, v, NULL);
		peer_say(&p, 300, 300);
		size = (size_t)BIO_ctrl_pending(p.out);
		peer_flush(&p, at);
		wire_fin(&p);
		conn_set_blocking(p.c, blocking);
		if (ask)
			CHECK_IS(conn_arrived(p.c, p.fd), 0);
		for (int tries = 0; tries < 3 && n == -EAGAIN; tries++)
			n = recv_some(&p, buffer, rooms[at % 3], 0);
		CHECK_IS(n, -ECONNRESET);
		CHECK(readable(&p));
		pair_end(&p);
	}
	end_case();
}

static void
half_close(const struct variant *v)
{
	struct pair p;

	begin_case("half close, %s", v->name);
	pair_up(&p, v, NULL);
	CHECK_IS(send_some(&p, 0, 3000, 0), 3000);
	CHECK_IS(conn_shutdown(p.c, p.fd, 7), -EINVAL);
	CHECK_IS(conn_shutdown(p.c, p.fd, SHUT_WR), 0);
	CHECK_IS(conn_shutdown(p.c, p.fd, SHUT_WR), 0);
	CHECK_IS(send_some(&p, 0, 10, 0), -EPIPE);
	peer_hear_up_to(&p, 3000);
	CHECK_IS(peer_hear(&p), -1);
	peer_tell(&p, 40000, 16384);
	CHECK_IS(recv_some(&p, buffer, BIG, 0), 40000);
	CHECK(is_stream(buffer, 0, 40000));
	SSL_shutdown(p.ssl);
	peer_flush(&p, SIZE_MAX);
	CHECK_IS(recv_some(&p, buffer, BIG, 0), 0);
	CHECK(readable(&p));
	pair_end(&p);
	end_case();
}

/* The peer's last data must survive our close with unread tickets in the kernel; and it hears our goodbye. */
static void
closing(const struct variant *v)
{
	struct pair p;

	begin_case("close, %s", v->name);
	pair_up(&p, v, NULL);
	CHECK_IS(send_some(&p, 0, 20000, 0), 20000);
	conn_close(p.c, p.fd, true);
	close(p.fd);
	p.fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	peer_hear_up_to(&p, 20000);
	CHECK_IS(peer_hear(&p), -1);
	pair_end(&p);
	end_case();
}

/* ---- failures ---- */

static const struct {
	const char *name, *bytes;
	size_t len;
} garbage[] = {
	{ "HTTP", "HTTP/1.0 400 Bad Request\r\n\r\n", 28 },
	{ "a request", "GET / HTTP/1.0\r\nHost: localhost\r\nAccept: */*\r\n\r\n", 49 },
	{ "zeros", "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 16 },
	{ "ones", "\377\377\377\377\377\377\377\377\377\377", 10 },
	{ "a long record", "\27\3\3\377\377abcdefgh", 13 },
	{ "a false record", "\27\3\3\0\40abcdefghabcdefghabcdefghabcdefgh", 37 },
	{ "an alert", "\25\3\3\0\2\2\50", 7 },
	{ "SSLv2", "\200\56\1\0\2\0\25\0\0\0\20abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz", 63 },
};

static void
check_dead(struct pair *p, int error)
{
	CHECK_IS(conn_state(p->c), CONN_DEAD);
	CHECK_IS(conn_error(p->c), error);
	CHECK(kernel_says(p->fd, POLLIN | POLLOUT) & POLLIN);
	CHECK_IS(recv_some(p, buffer, 10, 0), -error);
	CHECK_IS(send_some(p, 0, 10, 0), -error);
	CHECK_IS(conn_handshake(p->c, p->fd, false), -error);
	CHECK_IS(conn_tells(p->c, p->fd, POLLIN, POLLIN), POLLIN);
	CHECK_IS(conn_take_error(p->c), 0);	/* told, as a socket's is */
	CHECK_IS(conn_error(p->c), error);
	CHECK(!conn_unsteady(p->c));
	CHECK_IS(conn_deadline(p->c), INT64_MAX);
}

static void
garbled_handshake(const struct variant *v, size_t i)
{
	struct pair p;
	int r = -EAGAIN, before = warnings;

	begin_case("garbage instead of a handshake, %s: %s", v->name, garbage[i].name);
	pair_open(&p, v, NULL, true);
	conn_handshake(p.c, p.fd, false);
	wire_put(&p, garbage[i].bytes, garbage[i].len);
	for (int tries = 0; tries < 3 && r == -EAGAIN; tries++)
		r = conn_handshake(p.c, p.fd, false);
	CHECK_IS(r, -EPROTO);
	CHECK_IS(warnings, before + 1);
	CHECK(strstr(last_warning, "EPROTO") && strstr(last_warning, "test.conf:1"));
	check_dead(&p, EPROTO);
	pair_end(&p);
	end_case();
}

enum how { BY_READING, BY_COUNTING, BY_POLLING, BY_PEEKING, WAYS };

static void
garbled_stream(const struct variant *v, size_t i, enum how how)
{
	static const char *const ways[] = { "read", "counted", "polled", "peeked" };
	struct pair p;

	begin_case("garbage behind data, %s: %s, %s", v->name, garbage[i].name, ways[how]);
	pair_up(&p, v, NULL);
	peer_tell(&p, 100, 100);
	wire_put(&p, garbage[i].bytes, garbage[i].len);
	conn_set_blocking(p.c, how == BY_POLLING);
	if (how == BY_COUNTING)
		CHECK_IS(conn_arrived(p.c, p.fd), 100);
	if (how == BY_POLLING)
		CHECK(conn_tells(p.c, p.fd, POLLIN, POLLIN) & POLLIN);
	if (how == BY_PEEKING)
		CHECK_IS(recv_some(&p, buffer, 1000, MSG_PEEK), 100);
	CHECK_IS(recv_some(&p, buffer, 100, MSG_DONTWAIT), 100);
	CHECK(is_stream(buffer, 0, 100));
	CHECK(readable(&p));
	if (how == BY_COUNTING)
		CHECK_IS(conn_arrived(p.c, p.fd), 0);
	if (how == BY_POLLING)
		CHECK(conn_tells(p.c, p.fd, POLLIN, POLLIN) & POLLIN);
	CHECK_IS(recv_some(&p, buffer, 100, MSG_DONTWAIT), -EPROTO);
	check_dead(&p, EPROTO);
	pair_end(&p);
	end_case();
}

/* A length beyond any record's, and a peer that goes on and on. */
static void
flood(const struct variant *v)
{
	static const uint8_t head[] = { 23, 3, 3, 255, 255 };
	struct pair p;

	begin_case("a flood without records, %s", v->name);
	pair_up(&p, v, NULL);
	memset(buffer, 'x', 60000);
	memcpy(buffer, head, sizeof(head));
	wire_put(&p, buffer, 60000);
	CHECK_IS(conn_arrived(p.c, p.fd), 0);
	check_dead(&p, EPROTO);
	pair_end(&p);
	end_case();
}

static void
late_handshake(const struct variant *v, bool wait)
{
	static const struct extra soon[] = { { "handshake_timeout", "60" }, { NULL, NULL } };
	int64_t began = now_ms();
	struct pair p;

	begin_case("handshake_timeout, %s%s", v->name, wait ? ", blocking" : "");
	pair_open(&p, v, soon, true);
	CHECK(conn_deadline(p.c) >= began + 60 && conn_deadline(p.c) <= now_ms() + 60);
	conn_set_blocking(p.c, wait);
	if (wait) {
		CHECK_IS(conn_handshake(p.c, p.fd, true), -ETIMEDOUT);
	} else {
		struct pollfd f = { .fd = -1 };

		CHECK_IS(conn_handshake(p.c, p.fd, false), -EAGAIN);
		conn_expire(p.c, p.fd);
		CHECK_IS(conn_error(p.c), 0);
		while (now_ms() < began + 60 || now_ms() < conn_deadline(p.c))
			if (conn_deadline(p.c) == INT64_MAX)
				break;
			else
				poll(&f, 1, (int)(conn_deadline(p.c) - now_ms()));
		conn_expire(p.c, p.fd);
	}
	CHECK(now_ms() >= began + 60);
	check_dead(&p, ETIMEDOUT);
	pair_end(&p);
	end_case();
}

static void
left_handshake(const struct variant *v, bool spoke, int level)
{
	struct pair p;
	int before = warnings, r = -EAGAIN;

	begin_case("the peer leaves the handshake, %s%s", v->name, spoke ? ", inside" : "");
	pair_open(&p, v, NULL, true);
	conn_handshake(p.c, p.fd, false);
	if (spoke)
		wire_put(&p, "\26\3\1\0\144\1\0", 7);
	wire_fin(&p);
	for (int tries = 0; tries < 3 && r == -EAGAIN; tries++)
		r = conn_handshake(p.c, p.fd, false);
	CHECK_IS(r, -ECONNRESET);
	CHECK_IS(warnings - before, level);
	check_dead(&p, ECONNRESET);
	pair_end(&p);
	end_case();
}

/* What the kernel says once must stay said: the reset behind delivered data. */
static void
reset(const struct variant *v, const struct extra *extra)
{
	struct linger hard = { 1, 0 };
	struct pollfd f;
	struct pair p;

	begin_case("a reset, %s%s", v->name, extra ? ", ragged ends suppressed" : "");
	pair_up(&p, v, extra);
	peer_tell(&p, 100, 100);
	setsockopt(p.far, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
	far_close(&p);
	f = (struct pollfd){ .fd = p.fd, .events = 0 };
	must(poll(&f, 1, PATIENCE_MS) == 1, "the reset does not arrive");
	if (recv_some(&p, buffer, 1000, 0) != -ECONNRESET)
		CHECK_IS(recv_some(&p, buffer, 1000, 0), -ECONNRESET);
	CHECK_IS(recv_some(&p, buffer, 1000, 0), -ECONNRESET);
	CHECK(readable(&p));
	pair_end(&p);
	end_case();
}

/* ---- writing ---- */

/* Not the peer's receive buffer: with a window below loopback's segments TCP's own timers would set the pace. */
static void
small_buffers(struct pair *p)
{
	int size = 2304;

	setsockopt(p->fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
}

struct writer_case {
	const char *name;
	size_t chunk;		/* 0 = anything */
	int vectors;
	bool shorter, longer;
};

static const struct writer_case writer_cases[] = {
	{ "the same again", 20000, 1, false, false },
	{ "small", 700, 1, false, false },
	{ "longer", 30000, 1, false, true },
	{ "shorter", 30000, 1, true, false },
	{ "cut anyhow", 0, 1, true, true },
	{ "vectors cut anyhow", 0, 7, true, true },
};

static unsigned dice = 1;

static size_t
roll(size_t below)
{
	dice = dice * 1103515245 + 12345;
	return (dice >> 8) % below;
}

/* What the program writes next: the stream from `done`, in a length and cut of the case's choice. */
static ssize_t
write_next(struct pair *p, const struct writer_case *w, size_t done, size_t total, bool again, size_t *len)
{
	struct iovec iov[8];
	size_t left = total - done, at = done;
	int n = 0;

	*len = w->chunk ? w->chunk : 1 + roll(50000);
	if (again && w->chunk && w->longer)
		*len += roll(20000);
	if (again && w->chunk && w->shorter)
		*len = 1 + roll(*len);
	if (*len > left)
		*len = left;
	for (left = *len; n < w->vectors - 1 && left; n++) {
		iov[n] = (struct iovec){ stream + at, roll(left + 1) };
		at += iov[n].iov_len;
		left -= iov[n].iov_len;
	}
	iov[n++] = (struct iovec){ stream + at, left };
	return conn_send(p->c, p->fd, iov, n, 0);
}

/* A program that waits for edges alone, and a peer that reads now and then: every byte arrives once, and nobody waits for ever. */
static void
writing(const struct variant *v, const struct writer_case *w)
{
	struct epoll_event ev = { .events = EPOLLOUT | EPOLLET };
	size_t done = 0, total = 600000, len;
	int ep = epoll_create1(EPOLL_CLOEXEC);
	bool again = false;
	struct pair p;

	begin_case("writing, %s: %s", v->name, w->name);
	pair_up(&p, v, NULL);
	small_buffers(&p);
	must(epoll_ctl(ep, EPOLL_CTL_ADD, p.fd, &ev) == 0, "epoll");
	while (done < total && !current_failed) {
		ssize_t n;

		while (epoll_wait(ep, &ev, 1, 0) > 0)
			;
		n = write_next(&p, w, done, total, again, &len);
		CHECK(n > 0 || n == -EAGAIN);
		done += n > 0 ? (size_t)n : 0;
		again = n < (ssize_t)len;
		CHECK(p.got <= done + 200000);
		if (!again)
			continue;
		peer_hear(&p);
		CHECK(p.got >= done || !v->local);
		for (int64_t end = now_ms() + PATIENCE_MS; epoll_wait(ep, &ev, 1, 10) < 1; peer_hear(&p))
			must(now_ms() < end, "no edge after a refusal");
	}
	peer_hear_up_to(&p, total);
	CHECK(conn_shutdown(p.c, p.fd, SHUT_WR) == 0);
	close(ep);
	pair_end(&p);
	end_case();
}

/* What was reported is in the kernel: the peer gets it although nobody calls us any more. */
static void
honest_counts(const struct variant *v)
{
	static const struct writer_case any = { "any", 0, 3, true, true };
	struct pair p;

	begin_case("honest counts, %s", v->name);
	for (int round = 0; round < 20; round++) {
		size_t done = 0, len;
		ssize_t n;

		pair_up(&p, v, NULL);
		small_buffers(&p);
		while ((n = write_next(&p, &any, done, 4 * BIG, false, &len)) > 0)
			done += (size_t)n;
		CHECK_IS(n, -EAGAIN);
		peer_hear_up_to(&p, p.got > done ? p.got : done);
		pair_end(&p);
	}
	end_case();
}

/* Fill it until a record is owed. */
static void
run_into_debt(struct pair *p, size_t *done)
{
	ssize_t n;

	small_buffers(p);
	*done = 0;
	while ((n = send_some(p, *done, 100000, 0)) == 100000)
		*done += (size_t)n;
	*done += n > 0 ? (size_t)n : 0;
}

static void
changed_bytes(const struct variant *v)
{
	struct pair p;
	size_t done;
	int before = warnings;

	begin_case("other bytes at the retry, %s", v->name);
	pair_up(&p, v, NULL);
	run_into_debt(&p, &done);
	CHECK_IS(send_some(&p, done + 1, 5000, 0), -EIO);
	CHECK_IS(warnings, before + 1);
	CHECK(strstr(last_warning, "EIO"));
	CHECK_IS(conn_error(p.c), EIO);
	CHECK_IS(recv_some(&p, buffer, 10, 0), -EIO);
	CHECK_IS(send_some(&p, done, 5000, 0), -EIO);
	CHECK(readable(&p));
	pair_end(&p);
	end_case();
}

/* ---- with threads ---- */

struct helper {
	struct pair *p;
	size_t total, offset;
	bool echo;
	ssize_t result;
	pthread_t thread;
};

static void
peer_sleep(struct pair *p, short events)
{
	struct pollfd f = { .fd = p->far, .events = events };

	poll(&f, 1, PATIENCE_MS);
}

/* The peer reads the stream to total, and says it back if it echoes. */
static void *
peer_thread(void *arg)
{
	struct helper *h = arg;
	struct pair *p = h->p;
	char *bytes;

	while (p->got < h->total || BIO_ctrl_pending(p->out)) {
		long n;

		if (p->got < h->total && peer_hear(p) < 0)
			break;
		if (h->echo && p->sent < p->got)
			peer_say(p, p->got - p->sent, 16384);
		n = BIO_get_mem_data(p->out, &bytes);
		if (n)
			n = send(p->far, bytes, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n > 0)
			BIO_read(p->out, buffer + 2 * BIG, (int)(n < BIG ? n : BIG));
		else if (p->got < h->total || BIO_ctrl_pending(p->out))
			peer_sleep(p, BIO_ctrl_pending(p->out) ? POLLIN | POLLOUT : POLLIN);
	}
	return NULL;
}

static void *
reader_thread(void *arg)
{
	struct helper *h = arg;
	uint8_t *buf = malloc(BIG);
	size_t got = 0;

	while (got < h->total) {
		ssize_t n = recv_some(h->p, buf, 1 + got % 3000, 0);

		h->result = n;
		if (n <= 0)
			break;
		CHECK(is_stream(buf, got, (size_t)n));
		got += (size_t)n;
	}
	if (got == h->total)
		h->result = (ssize_t)got;
	free(buf);
	return NULL;
}

static void *
writer_thread(void *arg)
{
	struct helper *h = arg;

	h->result = send_some(h->p, h->offset, h->total, 0);
	return NULL;
}

static void
helper_start(struct helper *h, void *(*run)(void *))
{
	must(pthread_create(&h->thread, NULL, run, h) == 0, "a thread");
}

static void
helper_join(struct helper *h)
{
	must(pthread_join(h->thread, NULL) == 0, "join");
}

static void
two_threads(const struct variant *v)
{
	enum { MESSAGES = 20000, SIZE = 64 };
	struct pair p;
	struct helper peer = { .p = &p, .total = MESSAGES * SIZE, .echo = true }, reader = { .p = &p, .total = MESSAGES * SIZE };

	begin_case("one reads, one writes, %s", v->name);
	pair_up(&p, v, NULL);
	conn_set_blocking(p.c, true);
	helper_start(&reader, reader_thread);
	until_blocked(1);
	helper_start(&peer, peer_thread);
	for (size_t i = 0; i < MESSAGES && !current_failed; i++)
		CHECK_IS(send_some(&p, i * SIZE, SIZE, 0), SIZE);
	helper_join(&reader);
	helper_join(&peer);
	CHECK_IS(reader.result, MESSAGES * SIZE);
	pair_end(&p);
	end_case();
}

static void
blocking_send(const struct variant *v)
{
	struct pair p;
	size_t total = v->local ? 300000 : 3000000, done = total;
	struct helper peer = { .p = &p, .total = total };
	ssize_t n;

	begin_case("a blocking send is full, %s", v->name);
	pair_up(&p, v, NULL);
	small_buffers(&p);
	conn_set_blocking(p.c, true);
	helper_start(&peer, peer_thread);
	CHECK_IS(send_some(&p, 0, total, 0), total);
	helper_join(&peer);
	CHECK_IS(p.got, total);
	end_case();

	begin_case("a blocking send with SO_SNDTIMEO, %s", v->name);
	conn_set_timeout(p.c, true, 40);
	while ((n = send_some(&p, done, 200000, 0)) > 0)
		done += (size_t)n;
	CHECK_IS(n, -EAGAIN);
	peer_hear_up_to(&p, p.got > done ? p.got : done);
	while ((n = send_some(&p, done, 100, 0)) == -EAGAIN && peer_hear(&p) == 0)	/* what is owed goes first */
		;
	CHECK(n > 0);
	pair_end(&p);
	end_case();
}

/* shutdown behind what is owed: all that was reported, then the goodbye. */
static void
shutdown_in_debt(const struct variant *v)
{
	struct pair p;
	struct helper peer = { .p = &p, .total = SIZE_MAX };
	size_t done;

	begin_case("a blocking shutdown with a record owed, %s", v->name);
	pair_up(&p, v, NULL);
	run_into_debt(&p, &done);
	conn_set_blocking(p.c, true);
	helper_start(&peer, peer_thread);
	CHECK_IS(conn_shutdown(p.c, p.fd, SHUT_WR), 0);
	helper_join(&peer);
	CHECK(p.got >= done);
	CHECK_IS(SSL_get_shutdown(p.ssl) & SSL_RECEIVED_SHUTDOWN, SSL_RECEIVED_SHUTDOWN);
	pair_end(&p);
	end_case();
}

static void
blocking_handshake(const struct variant *v)
{
	struct pair p;
	struct helper peer = { .p = &p, .total = 1000, .echo = true };

	begin_case("a blocking handshake at the first write, %s", v->name);
	pair_open(&p, v, NULL, true);
	conn_set_blocking(p.c, true);
	SSL_do_handshake(p.ssl);
	helper_start(&peer, peer_thread);
	CHECK_IS(send_some(&p, 0, 1000, 0), 1000);
	CHECK_IS(recv_some(&p, buffer, 1000, MSG_WAITALL), 1000);
	CHECK(is_stream(buffer, 0, 1000));
	helper_join(&peer);
	CHECK(conn_info(p.c).version != NULL);
	pair_end(&p);
	end_case();
}

static void
closed_under(const struct variant *v, bool writer)
{
	struct pair p;
	struct helper h = { .p = &p, .total = writer ? 4 * BIG : 100 };

	begin_case("closed while a thread %s, %s", writer ? "writes" : "reads", v->name);
	pair_up(&p, v, NULL);
	if (writer)
		small_buffers(&p);
	conn_set_blocking(p.c, true);
	helper_start(&h, writer ? writer_thread : reader_thread);
	until_blocked(1);
	conn_close(p.c, p.fd, true);
	helper_join(&h);
	CHECK(h.result == -EBADF || (writer && h.result > 0 && h.result < 4 * BIG));
	pair_end(&p);
	end_case();
}

static void
on_signal(int sig)
{
	(void)sig;
}

static void
interrupted(int flags)
{
	struct sigaction sa = { .sa_handler = on_signal, .sa_flags = flags }, before;
	struct pair p;
	struct helper h = { .p = &p, .total = 100 };

	begin_case("a signal while a thread reads, %s", flags ? "SA_RESTART" : "no SA_RESTART");
	pair_up(&p, &variants[1], NULL);
	conn_set_blocking(p.c, true);
	sigaction(SIGUSR1, &sa, &before);
	helper_start(&h, reader_thread);
	until_blocked(1);
	pthread_kill(h.thread, SIGUSR1);
	if (flags) {
		peer_say(&p, 100, 100);
		peer_pour(&p, 4096);
	}
	helper_join(&h);
	CHECK_IS(h.result, flags ? 100 : -EINTR);
	sigaction(SIGUSR1, &before, NULL);
	pair_end(&p);
	end_case();
}

/* MSG_PEEK | MSG_WAITALL waits for more, and for no more than there will be. */
static void *
peek_thread(void *arg)
{
	struct helper *h = arg;
	uint8_t buf[1000];

	h->result = recv_some(h->p, buf, h->total, MSG_PEEK | MSG_WAITALL);
	return NULL;
}

static void
patient_peek(size_t rest, ssize_t want)
{
	struct pair p;
	struct helper h = { .p = &p, .total = 1000 };
	int before;

	begin_case("a peek that waits, %zu more bytes", rest);
	pair_up(&p, &variants[1], NULL);
	conn_set_blocking(p.c, true);
	peer_tell(&p, 100, 100);
	before = waits;
	helper_start(&h, peek_thread);
	until_blocked(1);
	poll(NULL, 0, 100);
	CHECK_IS(waits, before + 1);	/* it sleeps until something happens */
	if (rest)
		peer_say(&p, rest, 100);
	else
		SSL_shutdown(p.ssl);
	peer_pour(&p, 1);
	if (!rest)
		shutdown(p.far, SHUT_WR);
	helper_join(&h);
	CHECK_IS(h.result, want);
	CHECK_IS(recv_some(&p, buffer, 1000, 0), want);
	pair_end(&p);
	end_case();
}

/* ---- key updates ---- */

static void
key_update(int type, bool ask)
{
	struct pair p;

	begin_case("key update, type %d%s", type, ask ? ", asked by FIONREAD" : "");
	pair_up(&p, &variants[0], NULL);
	for (int round = 0; round < 3; round++) {
		must(SSL_key_update(p.ssl, type) == 1 && SSL_do_handshake(p.ssl) == 1, "SSL_key_update");
		peer_flush(&p, SIZE_MAX);
		CHECK(readable(&p));
		if (ask)
			CHECK_IS(conn_arrived(p.c, p.fd), 0);
		else
			CHECK_IS(recv_some(&p, buffer, 100, 0), -EAGAIN);
		CHECK(!readable(&p));
		peer_tell(&p, 1000, 300);
		CHECK_IS(recv_some(&p, buffer, 7, 0), 7);
		CHECK_IS(recv_some(&p, buffer, 2000, 0), 993);
		CHECK(is_stream(buffer, p.sent - 993, 993));
		CHECK_IS(send_some(&p, p.got, 5000, 0), 5000);
		peer_hear_up_to(&p, p.got + 5000);
	}
	pair_end(&p);
	end_case();
}

/* The answer to a key update is behind the records that the kernel refused. */
static void
key_update_in_debt(void)
{
	struct pair p;
	size_t done;

	begin_case("key update with a record owed");
	pair_up(&p, &variants[4], NULL);
	swallow_tickets(&p);
	run_into_debt(&p, &done);
	must(SSL_key_update(p.ssl, SSL_KEY_UPDATE_REQUESTED) == 1 && SSL_do_handshake(p.ssl) == 1, "SSL_key_update");
	peer_flush(&p, SIZE_MAX);
	CHECK_IS(recv_some(&p, buffer, 100, 0), -EAGAIN);
	for (int64_t end = now_ms() + PATIENCE_MS; done < BIG && now_ms() < end && !current_failed;) {
		ssize_t n = send_some(&p, done, BIG - done, 0);

		CHECK(n > 0 || n == -EAGAIN);
		done += n > 0 ? (size_t)n : 0;
		peer_hear(&p);
	}
	peer_hear_up_to(&p, BIG);
	pair_end(&p);
	end_case();
}

/* ---- readiness, exhaustively ---- */

static const short interests[] = { POLLIN, POLLOUT, POLLPRI, POLLRDNORM, POLLWRNORM, POLLRDBAND, POLLRDHUP };
static const short answers[] = { POLLIN, POLLOUT, POLLPRI, POLLRDNORM, POLLERR, POLLHUP, POLLRDHUP };

static short
subset(const short *all, unsigned bits)
{
	short s = 0;

	for (unsigned i = 0; i < 7; i++)
		if (bits & 1u << i)
			s |= all[i];
	return s;
}

static const struct ready_case {
	const char *name;
	int variant;
	bool connected, step, open, blocking, data, dead;
	short wants;		/* 0 = what the program wants */
	bool unsteady, strikes, told;
} ready_cases[] = {
	{ "connecting client", 0, false, false, false, false, false, false, POLLOUT, true, false, false },
	{ "connecting client, blocking", 0, false, false, false, true, false, false, POLLOUT, true, false, false },
	{ "fresh client", 0, true, false, false, false, false, false, POLLOUT, true, false, false },
	{ "client that has spoken", 0, true, true, false, false, false, false, POLLIN, true, false, false },
	{ "fresh server", 1, true, false, false, false, false, false, POLLIN, true, false, false },
	{ "server that has looked", 1, true, true, false, true, false, false, POLLIN, true, false, false },
	{ "open", 1, true, false, true, false, false, false, 0, false, false, false },
	{ "open with data", 1, true, false, true, false, true, false, 0, false, false, false },
	{ "open, blocking", 1, true, false, true, true, false, false, 0, true, true, false },
	{ "open, blocking, with data", 1, true, false, true, true, true, false, 0, true, false, false },
	{ "dead", 1, true, false, false, false, false, true, 0, true, false, false },
	{ "dead, blocking", 1, true, false, false, true, false, true, 0, true, false, false },
	{ "dead, and it is known", 1, true, false, false, false, false, true, 0, false, false, true },
};

static short
expected(const struct ready_case *k, short revents)
{
	if (k->wants)
		return 0;	/* the peer is silent */
	if (k->strikes && !(revents & (POLLHUP | POLLERR)))
		return revents & ~(POLLIN | POLLRDNORM | POLLRDBAND | POLLPRI);
	return k->dead && !k->told && revents ? revents | POLLERR : revents;
}

static void
check_ready(struct pair *p, const struct ready_case *k)
{
	for (unsigned i = 0; i < 128; i++) {
		short events = subset(interests, i);

		CHECK_IS(conn_wants(p->c, events), k->wants ? k->wants : events);
	}
	CHECK_IS(conn_unsteady(p->c), k->unsteady);
	for (unsigned i = 0; i < 128; i++) {
		short revents = subset(answers, i);

		if (!k->connected || (k->wants == POLLOUT && !k->step))
			continue;	/* asking would take the step */
		CHECK_IS(conn_tells(p->c, p->fd, POLLIN | POLLOUT, revents), expected(k, revents));
	}
}

static void
readiness(const struct ready_case *k)
{
	struct pair p;

	begin_case("readiness: %s", k->name);
	pair_open(&p, &variants[k->variant], NULL, k->connected);
	if (k->step)
		CHECK_IS(conn_handshake(p.c, p.fd, false), -EAGAIN);
	if (k->open)
		shake_hands(&p, SIZE_MAX);
	if (k->data)
		peer_tell(&p, 50000, 16384);
	if (k->dead) {
		wire_put(&p, "no TLS at all", 13);
		CHECK_IS(conn_handshake(p.c, p.fd, false), -EPROTO);
		if (k->told)
			CHECK_IS(conn_take_error(p.c), EPROTO);
	}
	conn_set_blocking(p.c, k->blocking);
	check_ready(&p, k);
	CHECK_IS(conn_tells(p.c, p.fd, POLLIN | POLLOUT, 0), 0);
	pair_end(&p);
	end_case();
}

/* The handshake driven by nothing but the two functions, as poll does it. */
static void
polled_handshake(const struct variant *v, bool connected)
{
	int64_t end = now_ms() + PATIENCE_MS;
	short told = 0;
	struct pair p;

	begin_case("a handshake by readiness alone, %s%s", v->name, connected ? "" : ", from connect");
	pair_open(&p, v, NULL, connected);
	while (!told && now_ms() < end) {
		short events = conn_wants(p.c, POLLOUT), got = kernel_says(p.fd, events);

		if (got)
			told = conn_tells(p.c, p.fd, POLLOUT, got);
		peer_take(&p, SIZE_MAX);
		SSL_do_handshake(p.ssl);
		peer_flush(&p, SIZE_MAX);
	}
	CHECK_IS(told, POLLOUT);
	CHECK_IS(conn_state(p.c), CONN_OPEN);
	CHECK_IS(conn_deadline(p.c), INT64_MAX);
	pair_end(&p);
	end_case();
}

static void
refused_connect(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(a);
	int l = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), r;
	struct config *config = make_config(&variants[0], NULL);
	struct pollfd f = { .fd = fd, .events = POLLOUT };
	struct conn *c;
	int before = warnings;

	begin_case("a refused connect");
	must(bind(l, (struct sockaddr *)&a, len) == 0 && getsockname(l, (struct sockaddr *)&a, &len) == 0, "bind");	/* nobody listens */
	c = conn_new(config, (struct sockaddr *)&a, len, false, "server.test");
	CHECK_IS(conn_state(c), CONN_CONNECTING);
	r = connect(fd, (struct sockaddr *)&a, len);
	must(r < 0 && (errno == EINPROGRESS || errno == ECONNREFUSED), "connect");
	if (errno == EINPROGRESS) {
		must(poll(&f, 1, PATIENCE_MS) == 1, "no answer");
		CHECK_IS(conn_handshake(c, fd, false), -ECONNREFUSED);
		CHECK_IS(conn_take_error(c), ECONNREFUSED);
	}
	CHECK_IS(warnings, before);
	conn_free(c);
	config_free(config);
	close(fd);
	close(l);
	end_case();
}

/* ---- fork ---- */

static pid_t
fork_conn(struct pair *p)
{
	pid_t pid;

	fflush(stdout);
	conn_fork_prepare(p->c);
	pid = fork();
	must(pid >= 0, "fork");
	if (pid == 0) {
		alarm(20);
		conn_fork_child(p->c);
	}
	return pid;
}

static int
child_status(pid_t pid)
{
	int status = 0;

	must(waitpid(pid, &status, 0) == pid, "waitpid");
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

static void
split_fork(const struct variant *v)
{
	struct pair p;
	pid_t pid;

	begin_case("the child reads, the parent writes, %s", v->name);
	pair_up(&p, v, NULL);
	peer_tell(&p, 1000, 1000);
	CHECK_IS(recv_some(&p, buffer, 100, 0), 100);		/* 900 bytes are held when it forks */
	pid = fork_conn(&p);
	if (pid == 0) {
		conn_set_blocking(p.c, true);
		_exit(recv_some(&p, buffer, 30900, MSG_WAITALL) == 30900 && is_stream(buffer, 100, 30900) ? 0 : 1);
	}
	CHECK_IS(send_some(&p, 0, 20000, 0), 20000);
	peer_hear_up_to(&p, 20000);
	CHECK(!conn_last(p.c));
	peer_say(&p, 30000, 16384);
	peer_pour(&p, 4096);
	CHECK_IS(child_status(pid), 0);
	CHECK_IS(send_some(&p, 20000, 5000, 0), 5000);
	peer_hear_up_to(&p, 25000);
	CHECK(conn_last(p.c));
	CHECK_IS(recv_some(&p, buffer, 10, 0), -EIO);
	pair_end(&p);
	end_case();
}

static void
quarrel(const struct variant *v, bool reading_too)
{
	struct pair p;
	int before = warnings;
	pid_t pid;

	begin_case("both processes %s, %s", reading_too ? "read" : "write", v->name);
	pair_up(&p, v, NULL);
	peer_tell(&p, 1000, 100);
	pid = fork_conn(&p);
	if (pid == 0)
		_exit((reading_too ? recv_some(&p, buffer, 100, 0) : send_some(&p, 0, 100, 0)) == 100 ? 0 : 1);
	CHECK_IS(child_status(pid), 0);
	if (reading_too) {
		CHECK_IS(recv_some(&p, buffer, 100, 0), -EIO);
	} else {
		CHECK_IS(send_some(&p, 100, 100, 0), -EIO);
		peer_hear_up_to(&p, 100);
	}
	CHECK_IS(warnings, before + 1);
	CHECK(strstr(last_warning, "two processes") && strstr(last_warning, "route = relay"));
	CHECK_IS(conn_error(p.c), EIO);
	pair_end(&p);
	end_case();
}

/* accept, fork, the child serves: the parent only closes, and the child says goodbye. */
static void
serving_child(const struct variant *v, bool handshaking)
{
	struct pair p;
	pid_t pid;

	begin_case("the child serves%s, %s", handshaking ? " from the handshake on" : "", v->name);
	pair_open(&p, v, NULL, true);
	if (!handshaking)
		shake_hands(&p, SIZE_MAX);
	pid = fork_conn(&p);
	if (pid == 0) {
		struct iovec iov = { stream, 5000 };

		conn_set_blocking(p.c, true);
		close(p.far);
		if (conn_send(p.c, p.fd, &iov, 1, 0) != 5000)
			_exit(1);
		while (getppid() != 1 && !conn_last(p.c))
			sched_yield();
		conn_close(p.c, p.fd, true);
		_exit(0);
	}
	conn_close(p.c, p.fd, conn_last(p.c));
	close(p.fd);
	p.fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	for (int64_t end = now_ms() + PATIENCE_MS; handshaking && SSL_do_handshake(p.ssl) != 1 && now_ms() < end;) {
		char *bytes;
		long n = BIO_get_mem_data(p.out, &bytes);

		if (n)
			must(send(p.far, bytes, (size_t)n, MSG_NOSIGNAL) == n && BIO_reset(p.out) == 1, "the peer's send");
		peer_sleep(&p, POLLIN);
		peer_take(&p, SIZE_MAX);
	}
	if (handshaking) {		/* a server's tickets: a client that had only to send may be gone by now */
		char *bytes;
		long n = BIO_get_mem_data(p.out, &bytes);

		must(send(p.far, bytes, (size_t)n, MSG_NOSIGNAL) == n || errno == EPIPE || errno == ECONNRESET, "the peer's send");
	}
	peer_hear_up_to(&p, 5000);
	CHECK_IS(child_status(pid), 0);
	CHECK_IS(peer_hear(&p), -1);
	pair_end(&p);
	end_case();
}

/* A key update that the child reads is not answered with keys that the parent uses. */
static void
key_update_in_child(void)
{
	struct pair p;
	pid_t pid;

	begin_case("a key update read by the child while the parent writes");
	pair_up(&p, &variants[0], NULL);
	swallow_tickets(&p);
	pid = fork_conn(&p);
	CHECK(pid == 0 || send_some(&p, 0, 100, 0) == 100);
	if (pid == 0) {
		conn_set_blocking(p.c, true);
		_exit(recv_some(&p, buffer, 1000, MSG_WAITALL) == 1000 && is_stream(buffer, 0, 1000) ? 0 : 1);
	}
	peer_hear_up_to(&p, 100);
	must(SSL_key_update(p.ssl, SSL_KEY_UPDATE_REQUESTED) == 1 && SSL_do_handshake(p.ssl) == 1, "SSL_key_update");
	peer_say(&p, 1000, 1000);
	peer_pour(&p, 4096);
	CHECK_IS(child_status(pid), 0);
	CHECK_IS(send_some(&p, 100, 5000, 0), 5000);
	peer_hear_up_to(&p, 5100);
	pair_end(&p);
	end_case();
}

/* ---- all ---- */

static void
run_reading(void)
{
	for (size_t i = 0; i < COUNT(variants); i++) {
		reading(&variants[i]);
		scattering(&variants[i]);
		counting(&variants[i]);
		peeking(&variants[i]);
		flagging(&variants[i]);
		cutting(&variants[i]);
		by_single_bytes(&variants[i]);
	}
	tickets();
}

static void
run_ends(const struct variant *v)
{
	clean_end(v, 1);
	clean_end(v, 100);
	cut_end(v, NULL, -ECONNRESET);
	cut_end(v, ragged, 0);
	cut_record(v, false, false);
	cut_record(v, true, false);
	cut_record(v, false, true);
	half_close(v);
	closing(v);
	for (size_t i = 0; i < COUNT(garbage); i++) {
		garbled_handshake(v, i);
		for (enum how how = BY_READING; how < WAYS; how++)
			garbled_stream(v, i, how);
	}
	flood(v);
	late_handshake(v, false);
	late_handshake(v, true);
	left_handshake(v, false, v->role == CONFIG_CLIENT);
	left_handshake(v, true, 1);
	if (v->local)
		return;
	reset(v, NULL);
	reset(v, ragged);
}

static void
run_writing(const struct variant *v)
{
	for (size_t i = 0; i < COUNT(writer_cases); i++)
		writing(v, &writer_cases[i]);
	honest_counts(v);
	if (v->local)
		changed_bytes(v);
	blocking_send(v);
	shutdown_in_debt(v);
	blocking_handshake(v);
}

static void
run_sharing(const struct variant *v)
{
	two_threads(v);
	closed_under(v, false);
	closed_under(v, true);
	split_fork(v);
	quarrel(v, false);
	quarrel(v, true);
	serving_child(v, false);
	serving_child(v, true);
	polled_handshake(v, true);
	polled_handshake(v, false);
}

int
main(void)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	signal(SIGPIPE, SIG_IGN);
	for (size_t i = 0; i < sizeof(stream); i++)
		stream[i] = byte_at(i);
	conn_host(&host);
	make_cert();
	run_reading();
	for (size_t i = 0; i < COUNT(variants); i++) {
		run_ends(&variants[i]);
		run_writing(&variants[i]);
		run_sharing(&variants[i]);
	}
	interrupted(0);
#ifndef __SANITIZE_THREAD__	/* it delivers signals in a way of its own: without SA_RESTART */
	interrupted(SA_RESTART);
#endif
	patient_peek(900, 1000);
	patient_peek(0, 100);
	for (int ask = 0; ask < 2; ask++) {
		key_update(SSL_KEY_UPDATE_NOT_REQUESTED, ask);
		key_update(SSL_KEY_UPDATE_REQUESTED, ask);
	}
	key_update_in_debt();
	key_update_in_child();
	for (size_t i = 0; i < COUNT(ready_cases); i++)
		readiness(&ready_cases[i]);
	refused_connect();
	remove_cert();
	printf("%u passed, %u failed\n", passed, failed);
	return failed != 0;
}
