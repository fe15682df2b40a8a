/*
 * fault_run.h - the conversation that has a fault in it: ours by the core or the explicit API, the peer plain OpenSSL, which has its turn
 * whenever we wait.
 */
#ifndef TESTS_FAULT_RUN_H
#define TESTS_FAULT_RUN_H

#include "ssl.h"

#include "config.h"
#include "conn.h"
#include "faults.h"

enum { REQUEST = 30040, REPLY = 40000, PATIENCE = 3000 };

enum face { CORE, API };

static const struct scenario {
	const char *name;
	enum face face;
	bool server, wait, resume;
	int version;
	const char *peer, *wanted;	/* of a peer that must be refused: its certificate (a server's; a client's), the name we want */
} scenarios[] = {
	{ "core-client-1.3", CORE, false, true, false, TLS1_3_VERSION, NULL, NULL },
	{ "core-server-1.3", CORE, true, true, false, TLS1_3_VERSION, NULL, NULL },
	{ "core-client-1.2", CORE, false, true, false, TLS1_2_VERSION, NULL, NULL },
	{ "core-server-1.2", CORE, true, true, false, TLS1_2_VERSION, NULL, NULL },
	{ "core-client-1.3-nonblocking", CORE, false, false, false, TLS1_3_VERSION, NULL, NULL },
	{ "core-server-1.3-nonblocking", CORE, true, false, false, TLS1_3_VERSION, NULL, NULL },
	{ "core-client-1.2-nonblocking", CORE, false, false, false, TLS1_2_VERSION, NULL, NULL },
	{ "core-server-1.2-nonblocking", CORE, true, false, false, TLS1_2_VERSION, NULL, NULL },
	{ "core-client-1.3-resumed", CORE, false, true, true, TLS1_3_VERSION, NULL, NULL },
	{ "core-client-1.2-resumed", CORE, false, true, true, TLS1_2_VERSION, NULL, NULL },
	{ "api-client-1.3", API, false, true, false, TLS1_3_VERSION, NULL, NULL },
	{ "api-server-1.3", API, true, true, false, TLS1_3_VERSION, NULL, NULL },
	{ "api-client-1.2", API, false, true, false, TLS1_2_VERSION, NULL, NULL },
	{ "api-server-1.2", API, true, true, false, TLS1_2_VERSION, NULL, NULL },
	{ "api-client-1.3-nonblocking", API, false, false, false, TLS1_3_VERSION, NULL, NULL },
	{ "api-server-1.3-nonblocking", API, true, false, false, TLS1_3_VERSION, NULL, NULL },
	{ "refuse-stranger-1.3", CORE, false, true, false, TLS1_3_VERSION, "stranger.pem", "server.test" },
	{ "refuse-name-1.3", CORE, false, true, false, TLS1_3_VERSION, "server-both.pem", "else.test" },
	{ "refuse-expired-1.2", CORE, false, true, false, TLS1_2_VERSION, "expired.pem", "server.test" },
	{ "refuse-stranger-client-1.2", CORE, true, true, false, TLS1_2_VERSION, "stranger.pem", NULL },
	{ "refuse-stranger-client-1.3", CORE, true, true, false, TLS1_3_VERSION, "stranger.pem", NULL },
	{ "refuse-no-client-1.3", CORE, true, true, false, TLS1_3_VERSION, "", NULL },
	{ "refuse-stranger-api-1.3", API, false, true, false, TLS1_3_VERSION, "stranger.pem", "server.test" },
	{ "refuse-name-api-1.3", API, false, true, false, TLS1_3_VERSION, "server-both.pem", "else.test" },
};

/* ---- what a run is, and what came of it ---- */

static struct run {
	const struct scenario *s;
	struct config *config;
	struct wrapsock_ctx *ctx;
	SSL_CTX *peer_ctx;

	int fd[2];
	struct conn *c;
	struct wrapsock_sock *sock;

	SSL *peer;
	bool shaken, peer_ended, peer_clean, peer_wrong;
	size_t peer_sent, peer_got;
	uint8_t wire[REQUEST * 2];
	size_t wire_len;

	size_t wrote, got;
	bool wrong, open, ended, hang, chatty;
	const char *step;	/* that failed, ... */
	int error;		/* ... and how: errno value; 0 = all went well */
	int soft;		/* errors after which the same call was made again */
	unsigned lines;
	char line[1500];
} run;

static char canary[17];
static uint8_t request[REQUEST], reply[REPLY];

static void
fill_with(uint8_t *p, size_t n, char mark)
{
	char word[24];

	for (size_t at = 0; at < n; at += strlen(word)) {
		snprintf(word, sizeof word, "%s%c%04zx", canary, mark, at & 0xffff);
		memcpy(p + at, word, strlen(word) < n - at ? strlen(word) : n - at);
	}
}

static void
note_line(enum conn_log level, const char *line)
{
	bool was = faults_disarm();

	if (run.chatty)
		printf("log %d: %s\n", level, line);
	if (level <= CONN_LOG_WARN || strstr(line, "broke")) {
		run.lines++;
		snprintf(run.line, sizeof run.line, "%s", line);
	}
	faults_armed(was);
}

/* ---- the peer: has its turn whenever we wait ---- */

static long
tap(BIO *b, int oper, const char *argp, size_t len, int argi, long argl, int ret, size_t *processed)
{
	(void)b, (void)len, (void)argi, (void)argl;
	if (oper == (BIO_CB_READ | BIO_CB_RETURN) && ret > 0 && run.wire_len + *processed <= sizeof run.wire) {
		memcpy(run.wire + run.wire_len, argp, *processed);
		run.wire_len += *processed;
	}
	return ret;
}

static void
peer_reads(void)
{
	static uint8_t buf[16384];
	size_t n;

	while (SSL_read_ex(run.peer, buf, sizeof buf, &n)) {
		if (run.peer_got + n > REQUEST || memcmp(buf, request + run.peer_got, n) != 0)
			run.peer_wrong = true;
		run.peer_got += n;
	}
	n = (size_t)SSL_get_error(run.peer, 0);
	if (n == SSL_ERROR_WANT_READ || n == SSL_ERROR_WANT_WRITE)
		return;
	run.peer_ended = true;
	run.peer_clean = n == SSL_ERROR_ZERO_RETURN;
	if (run.peer_clean && run.peer_sent == REPLY)
		SSL_shutdown(run.peer);
	shutdown(run.fd[1], SHUT_WR);
}

static void
pump(void)
{
	bool was = faults_disarm();
	size_t n;

	ERR_clear_error();
	if (!run.peer_ended && !run.shaken) {
		int r = SSL_do_handshake(run.peer);

		run.shaken = r == 1;
		r = SSL_get_error(run.peer, r);
		if (!run.shaken && r != SSL_ERROR_WANT_READ && r != SSL_ERROR_WANT_WRITE) {
			run.peer_ended = true;
			shutdown(run.fd[1], SHUT_WR);
		}
	}
	while (run.shaken && run.peer_got && run.peer_sent < REPLY && SSL_write_ex(run.peer, reply + run.peer_sent, REPLY - run.peer_sent, &n))
		run.peer_sent += n;
	if (run.shaken && !run.peer_ended)
		peer_reads();
	ERR_clear_error();
	faults_armed(was);
}

/* The wait of the face that blocks. */
static int
waiting(struct pollfd *p, nfds_t n, int timeout)
{
	int64_t end = now_ms() + PATIENCE;
	int r;

	if (timeout == 0)
		return poll(p, n, 0);
	for (;;) {
		pump();
		r = poll(p, n, 0);
		if (r != 0)
			return r;
		pump();
		if (now_ms() > end) {
			run.hang = true;
			shutdown(run.fd[0], SHUT_RDWR);
		}
		if (timeout > 0)
			return poll(p, n, timeout > 20 ? 20 : timeout);
		poll(p, n, 1);
	}
}

/* ---- ours: results are counts or negated errno values ---- */

static long
api(long r)
{
	int e;

	if (r >= 0)
		return r;
	e = (int)wrapsock_err(run.sock);
	if (e == WRAPSOCK_E_WANT_READ || e == WRAPSOCK_E_WANT_WRITE)
		return -EAGAIN;
	return errno ? -errno : -EBADMSG;
}

static long
our_handshake(void)
{
	return run.c ? conn_handshake(run.c, run.fd[0], run.s->wait) : api(wrapsock_do_handshake(run.sock));
}

static long
our_send(const void *buf, size_t n)
{
	struct iovec v = { (void *)(uintptr_t)buf, n };

	return run.c ? conn_send(run.c, run.fd[0], &v, 1, 0) : api(wrapsock_send(run.sock, buf, n, 0));
}

static long
our_recv(void *buf, size_t n, int flags)
{
	struct iovec v = { buf, n };

	return run.c ? conn_recv(run.c, run.fd[0], &v, 1, flags) : api(wrapsock_recv(run.sock, buf, n, flags));
}

static bool
dead(void)
{
	return run.c ? conn_state(run.c) == CONN_DEAD : false;
}

static bool
failed_at(const char *step, long r)
{
	if (run.chatty)
		printf("%s: %s\n", step, strerrorname_np((int)-r));
	run.step = step;
	run.error = (int)-r;
	return false;
}

/* As programs do: again behind EAGAIN and EINTR, and twice behind what may pass. */
#define TRY(step, r, call)                                                                        \
	do {                                                                                      \
		int64_t end_ = now_ms() + PATIENCE;                                               \
		int soft_ = 0;                                                                    \
		for (;;) {                                                                        \
			errno = 0;                                                                \
			faults_arm();                                                             \
			r = (call);                                                               \
			faults_disarm();                                                          \
			if (r >= 0)                                                               \
				break;                                                            \
			if (r == -EAGAIN || r == -EINTR) {                                        \
				pump();                                                           \
				poll(&(struct pollfd){ .fd = run.fd[0], .events = POLLIN }, 1, 1); \
				run.hang |= now_ms() > end_;                                      \
			} else if (!dead() && soft_++ < 2) {                                      \
				run.soft = (int)-r;                                               \
			} else {                                                                  \
				break;                                                            \
			}                                                                         \
			if (run.hang)                                                             \
				break;                                                            \
		}                                                                                 \
		if (r < 0)                                                                        \
			return failed_at(step, r);                                                \
	} while (0)

static bool
we_write(void)
{
	size_t n = 40;
	long r;

	while (run.wrote < REQUEST) {
		TRY("send", r, our_send(request + run.wrote, n));
		run.wrote += (size_t)r;
		n = REQUEST - run.wrote;
		pump();
	}
	return true;
}

static bool
take(const uint8_t *buf, size_t n, bool peek)
{
	if (run.got + n > REPLY || memcmp(buf, reply + run.got, n) != 0)
		run.wrong = true;
	if (!peek)
		run.got += n;
	return true;
}

static bool
we_read(void)
{
	static const size_t rooms[] = { 10, 700, 5000, 20000 };
	static uint8_t buf[20000];
	unsigned i = 0;
	long r;

	if (run.c)
		TRY("FIONREAD", r, conn_arrived(run.c, run.fd[0]));
	while (run.got < REPLY) {
		size_t room = rooms[i++ % COUNT(rooms)];

		pump();
		if (run.c && i % 3 == 1) {
			TRY("peek", r, our_recv(buf, room, MSG_PEEK | (run.s->wait && room < REPLY - run.got ? MSG_WAITALL : 0)));
			take(buf, (size_t)r, true);
		}
		TRY("recv", r, our_recv(buf, room, 0));
		if (r == 0)
			return failed_at("recv: end", -ENODATA);
		take(buf, (size_t)r, false);
	}
	return true;
}

static bool
we_ask(void)
{
	struct wrapsock_cert *cert;
	struct wrapsock_der *list = NULL;
	unsigned char *der;
	size_t len;
	long r;

	if (!run.sock || run.s->server)
		return true;
	errno = 0;
	faults_arm();
	cert = wrapsock_getpeercert(run.sock);
	faults_disarm();
	if (!cert)
		return failed_at("getpeercert", api(-1));
	wrapsock_cert_free(cert);
	TRY("getpeercert_der", r, api(wrapsock_getpeercert_der(run.sock, &der, &len)));
	wrapsock_free(der);
	TRY("get_verified_chain", r, api(wrapsock_get_verified_chain(run.sock, &list)));
	wrapsock_free(list);
	return true;
}

static bool
we_end(void)
{
	uint8_t byte;
	long r;

	if (run.c) {
		TRY("shutdown", r, conn_shutdown(run.c, run.fd[0], SHUT_WR));
		pump();
		TRY("the end", r, our_recv(&byte, 1, 0));
		run.wrong |= r != 0;
	} else {
		TRY("unwrap", r, api(wrapsock_unwrap(run.sock)));
	}
	run.ended = true;
	return true;
}

static bool
we_begin(void)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(4433), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	const char *name = run.s->server ? NULL : run.s->wanted ? run.s->wanted : "server.test";

	faults_arm();
	errno = 0;
	if (run.s->face == CORE) {
		run.c = conn_new(run.config, (struct sockaddr *)&to, sizeof to, true, name);
		if (!run.c)
			errno = ENOMEM;
	} else {
		run.sock = wrapsock_wrap(run.ctx, run.fd[0], (run.s->server ? WRAPSOCK_SERVER_SIDE : 0) | WRAPSOCK_NO_HANDSHAKE_ON_CONNECT, name);
	}
	faults_disarm();
	if (!run.c && !run.sock)
		return failed_at("new", errno ? -errno : -EBADMSG);
	if (run.c)
		conn_set_blocking(run.c, run.s->wait);
	return true;
}

static bool
we_speak(void)
{
	long r;

	if (!we_begin())
		return false;
	TRY("handshake", r, our_handshake());
	run.open = true;
	return we_write() && we_read() && we_ask() && we_end();
}

#endif
