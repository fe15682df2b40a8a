/*
 * conn_pair.h - a connection of the core's over a real socket, and its peer: plain OpenSSL between two memory buffers.
 *
 * The peer is pumped by hand in the same thread, so that every byte's arrival is the test's choice; where something must wait it runs
 * in a thread.  What the kernel says of the descriptor is checked after every step.
 */
#ifndef TESTS_CONN_PAIR_H
#define TESTS_CONN_PAIR_H

#include "conn.h"

#include "identity.h"
#include "stream.h"
#include "tcp.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>

#include <openssl/ssl.h>

enum { PATIENCE_MS = 20000, BIG = 1 << 20 };

static uint8_t UNUSED buffer[4 * BIG];

/* ---- what the process lends to the core ---- */

static _Atomic int blocked;	/* threads that wait in the core */
static _Atomic int waits;	/* ... that have begun to */
static _Atomic int warnings;
static char last_warning[1500];

static int UNUSED
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

static void UNUSED
host_log(enum conn_log level, const char *line)
{
	if (level > CONN_LOG_WARN)
		return;
	snprintf(last_warning, sizeof(last_warning), "%s", line);
	warnings++;
}

static const struct conn_host host = { .poll = host_poll, .log = host_log };

static void UNUSED
until_blocked(int threads)
{
	int64_t end = now_ms() + PATIENCE_MS;

	while (blocked < threads && now_ms() < end)
		sched_yield();
	must(blocked >= threads, "a thread that should wait does not");
}

/* ---- settings ---- */

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

static UNUSED struct config *
make_config(const struct variant *v, const struct extra *extra)
{
	struct config *c = config_new(v->role);
	const char *version = v->version == TLS1_3_VERSION ? "TLSv1.3" : "TLSv1.2";
	char err[512] = "", warn[512] = "";
	int r = config_set(c, "maximum_version", version, err, sizeof(err));

	r |= config_set(c, "minimum_version", version, err, sizeof(err));
	if (v->role == CONFIG_CLIENT) {
		r |= config_set(c, "ca_certs", at("self.pem"), err, sizeof(err));
	} else {
		r |= config_set(c, "certfile", at("self.pem"), err, sizeof(err));
		r |= config_set(c, "keyfile", at("self.pem"), err, sizeof(err));
	}
	for (; extra && extra->key; extra++)
		r |= config_set(c, extra->key, extra->value, err, sizeof(err));
	config_set_place(c, "rule test (test.conf:1)");
	must(r == 0 && config_seal(c, err, sizeof(err), warn, sizeof(warn)) == 0, err);
	return c;
}

static UNUSED SSL_CTX *
peer_context(bool server)
{
	SSL_CTX *x = SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());

	must(x != NULL, "SSL_CTX_new");
	if (server)
		must(SSL_CTX_use_certificate_file(x, at("self.pem"), SSL_FILETYPE_PEM) == 1
			 && SSL_CTX_use_PrivateKey_file(x, at("self.pem"), SSL_FILETYPE_PEM) == 1, "the peer's certificate");
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

static void UNUSED
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
	for (int i = 0; i < 2 && !v->local; i++)
		setsockopt(fds[i], IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int));
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

static void UNUSED
far_close(struct pair *p)
{
	if (p->far >= 0)
		close(p->far);
	p->far = -1;
}

static void UNUSED
pair_end(struct pair *p)
{
	conn_free(p->c);
	config_free(p->config);
	SSL_free(p->ssl);
	SSL_CTX_free(p->ctx);
	close(p->fd);
	far_close(p);
}

static int UNUSED
queued(int fd)
{
	int n = 0;

	ioctl(fd, FIONREAD, &n);
	return n;
}

static short UNUSED
kernel_says(int fd, short events)
{
	struct pollfd p = { .fd = fd, .events = events };

	return poll(&p, 1, 0) > 0 ? p.revents : 0;
}

static bool UNUSED
readable(const struct pair *p)
{
	return kernel_says(p->fd, POLLIN) & POLLIN;
}

/* Raw bytes from the peer's end; they have arrived on return. */
static void UNUSED
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
static void UNUSED
wire_fin(struct pair *p)
{
	struct pollfd f = { .fd = p->fd, .events = POLLRDHUP };

	shutdown(p->far, SHUT_WR);
	must(poll(&f, 1, PATIENCE_MS) == 1, "the FIN does not arrive");
}

/* Ciphertext that the peer wants to send, at most `most` bytes. */
static size_t UNUSED
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
static ssize_t UNUSED
peer_take(struct pair *p, size_t most)
{
	static _Thread_local char buf[65536];
	ssize_t n = recv(p->far, buf, most < sizeof(buf) ? most : sizeof(buf), MSG_DONTWAIT);

	if (n > 0)
		BIO_write(p->in, buf, (int)n);
	return n > 0 ? n : n < 0 && errno == EAGAIN ? 0 : -1;
}

/* The peer says len more bytes of the stream, in records of at most `record`; they wait in its buffer. */
static void UNUSED
peer_say(struct pair *p, size_t len, size_t record)
{
	while (len) {
		size_t n = len < record ? len : record, done = 0;

		must(SSL_write_ex(p->ssl, stream + p->sent, n, &done) && done, "SSL_write");
		p->sent += done;
		len -= done;
	}
}

static void UNUSED
peer_tell(struct pair *p, size_t len, size_t record)
{
	peer_say(p, len, record);
	peer_flush(p, SIZE_MAX);
}

/* To somebody who reads at the same time: whether it has arrived cannot be seen. */
static void UNUSED
peer_pour(struct pair *p, size_t piece)
{
	static char buf[4096];

	while (BIO_ctrl_pending(p->out)) {
		long n = BIO_read(p->out, buf, (int)piece);

		must(send(p->far, buf, (size_t)n, MSG_NOSIGNAL) == n, "the peer's send");
	}
}

/* What the peer can decrypt of what has arrived; all of it must be the stream. -1 behind that = clean end, -2 = failure. */
static long UNUSED
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

static void UNUSED
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
static void UNUSED
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

static void UNUSED
pair_up(struct pair *p, const struct variant *v, const struct extra *extra)
{
	pair_open(p, v, extra, true);
	shake_hands(p, SIZE_MAX);
}

static ssize_t UNUSED
recv_some(struct pair *p, void *buf, size_t len, int flags)
{
	return conn_recv(p->c, p->fd, &(struct iovec){ buf, len }, 1, flags);
}

static ssize_t UNUSED
send_some(struct pair *p, size_t offset, size_t len, int flags)
{
	return conn_send(p->c, p->fd, &(struct iovec){ stream + offset, len }, 1, flags);
}

/* Nothing but tickets can be there: after it nothing is. */
static void UNUSED
swallow_tickets(struct pair *p)
{
	char c;

	CHECK_IS(recv_some(p, &c, 1, 0), -EAGAIN);
	CHECK(!readable(p));
}

/* Not the peer's receive buffer: with a window below loopback's segments TCP's own timers would set the pace. */
static void UNUSED
small_buffers(struct pair *p)
{
	int size = 2304;

	setsockopt(p->fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
}

/* Fill it until a record is owed. */
static void UNUSED
run_into_debt(struct pair *p, size_t *done)
{
	ssize_t n;

	small_buffers(p);
	*done = 0;
	while ((n = send_some(p, *done, 100000, 0)) == 100000)
		*done += (size_t)n;
	*done += n > 0 ? (size_t)n : 0;
}

static void UNUSED
peer_sleep(struct pair *p, short events)
{
	struct pollfd f = { .fd = p->far, .events = events };

	poll(&f, 1, PATIENCE_MS);
}

/* ---- all ---- */

static void UNUSED
tests_begin(void)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	signal(SIGPIPE, SIG_IGN);
	stream_fill();
	conn_host(&host);
	make_self("DNS:server.test,IP:127.0.0.1");
}

static int UNUSED
tests_end(void)
{
	remove_dir();
	return summary();
}

#endif
