/*
 * fault_test.c - one call fails: every system call of the core and the explicit API with each of its errors and cut short, every
 * allocation of ours and of OpenSSL's.  A short scenario for each face, role, version and mode is run once for each fault.
 * Whatever fails: the program gets an error that fits or does not notice, nothing hangs, nothing leaks, the connection that is dead
 * stays so and is told of in one line, the peer gets a prefix of what was written and takes no cut stream for a whole one, and
 * nothing is on the wire but TLS.
 *
 * FAULTS=all runs all of them, else a sample by SEED (1); FAULTS='SCENARIO:KIND:AT:ERROR' runs one, and says what it did. limit:
 * 3000
 */
#include "ssl.h"

#include "config.h"
#include "conn.h"
#include "faults.h"

#include <sys/ioctl.h>
#include <sys/wait.h>

#include <dirent.h>
#include <netinet/tcp.h>

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

/* ---- what must hold ---- */

static unsigned descriptors(void);

static void
drain_wire(void)
{
	ssize_t n;

	while (run.wire_len < sizeof run.wire && (n = recv(run.fd[1], run.wire + run.wire_len, sizeof run.wire - run.wire_len, MSG_DONTWAIT)) > 0)
		run.wire_len += (size_t)n;
}

/* A connection that failed does so for ever, whatever it is asked. */
static bool
sticky(void)
{
	uint8_t byte;

	return !run.c || conn_state(run.c) != CONN_DEAD
		|| (our_recv(&byte, 1, MSG_DONTWAIT) == -conn_error(run.c) && our_send("x", 1) == -conn_error(run.c));
}

static bool
among(int error, const int *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (list[i] == error)
			return true;
	return false;
}

/* Is the errno what somebody who looks for the cause would want to see? Behind a failure that a read has told, shutdown is TCP's. */
static bool
sensible(void)
{
	static const int wire[] = { ECONNRESET, EPIPE, ENOTCONN, EPROTO, EIO, ENOMEM, ENOBUFS };

	if (!run.error || run.s->peer || (run.error == ENOTCONN && strcmp(run.step, "shutdown") == 0))
		return true;
	if (faults.kind == OPENSSL)		/* it does not always say why it gave up, or says that a certificate is no good */
		return run.error == ENOMEM || run.error == EPROTO || run.error == EKEYREJECTED || run.error == EKEYEXPIRED;
	if (faults.kind == OURS)
		return run.error == ENOMEM;
	if (run.soft == faults.error && among(run.error, wire, COUNT(wire)))
		return true;
	if (faults.error == ENOMEM)		/* EIO: what had been looked at could not be taken */
		return run.error == ENOMEM || run.error == EIO;
	if (faults.error == EMFILE)
		return run.error == EMFILE || run.error == ENOMEM;
	return run.error == faults.error || among(run.error, wire, COUNT(wire));
}

static const char *
verdict(void)
{
	bool all_well = !run.error && run.ended;

	if (run.hang || run.error == ETIMEDOUT)
		return "hangs";
	if (run.s->peer && (run.open || run.got || run.wrote))
		return "a peer that must be refused is accepted";
	if (memmem(run.wire, run.wire_len, canary, strlen(canary)) || !is_tls(run.wire, run.wire_len))
		return "clear text on the wire";
	if (run.peer_wrong)
		return "the peer read what was not written";
	if (run.wrong)
		return "we read what was not written";
	if (all_well && (run.peer_got != REQUEST || run.got != REPLY))
		return "bytes are lost";
	if (run.peer_clean && run.peer_got < run.wrote)
		return "the peer takes a part for the whole";
	if (!sensible())
		return "the errno does not fit";
	if (run.c && dead() && run.lines != 1)
		return "a dead connection is one line in the log";
	if (!dead() && run.lines)
		return "a line for a connection that lives";
	if (!sticky())
		return "a failed connection lives again";
	return NULL;
}

static void
open_wire(void)
{
	tcp_pair(run.fd);
	for (int i = 0; i < 2; i++)
		must(setsockopt(run.fd[i], IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int)) == 0, "TCP_NODELAY");
	set_nonblocking(run.fd[1], true);
	if (!run.s->wait)
		set_nonblocking(run.fd[0], true);
	run.peer = peer_new(run.peer_ctx, run.fd[1], !run.s->server);
	BIO_set_callback_ex(SSL_get_rbio(run.peer), tap);
}

/* One run with the fault that is planned: NULL, or what is wrong with it. */
static const char *
go(void)
{
	struct run fresh = { .s = run.s, .config = run.config, .ctx = run.ctx, .peer_ctx = run.peer_ctx, .chatty = run.chatty };
	const char *wrong;

	memcpy(&run, &fresh, offsetof(struct run, wire));
	memcpy((char *)&run + offsetof(struct run, wire_len), (char *)&fresh + offsetof(struct run, wire_len), sizeof run - offsetof(struct run, wire_len));
	open_wire();
	we_speak();
	for (int i = 0; i < 3; i++)
		pump();
	wrong = verdict();
	faults_arm();
	if (run.c)
		conn_close(run.c, run.fd[0], true);
	if (run.sock)
		wrapsock_close(run.sock);
	faults_disarm();
	conn_free(run.c);
	shutdown(run.fd[0], SHUT_WR);
	for (int i = 0; i < 3; i++)
		pump();
	drain_wire();
	if (!wrong)
		wrong = (run.c = NULL, run.sock = NULL, run.lines = 0, verdict());
	SSL_free(run.peer);
	ERR_clear_error();
	close(run.fd[0]);
	close(run.fd[1]);
	return wrong;
}

static unsigned
descriptors(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned n = 0;

	while (d && readdir(d))
		n++;
	closedir(d);
	return n;
}

static const char *
kind_name(int kind)
{
	return kind == OURS ? "malloc" : kind == OPENSSL ? "OPENSSL_malloc" : kinds[kind].name;
}

static void
tell(const char *what)
{
	const char *kind = kind_name(faults.kind);
	const char *error = faults.kind >= KINDS ? "NULL" : faults.error == SHORT ? "SHORT" : strerrorname_np(faults.error);

	printf("FAIL %s:%s:%u:%s: %s; %s: %s; wrote %zu, peer got %zu%s, peer sent %zu, got %zu; %u lines: %s\n", run.s->name, kind, faults.at, error,
	       what, run.step ? run.step : "all", run.error ? strerrorname_np(run.error) : "well", run.wrote, run.peer_got,
	       run.peer_clean ? " (clean)" : "", run.peer_sent, run.got, run.lines, run.line);
	current_failed = true;
}

/* A cache grows once, a leak each time. */
static bool
leaks(void)
{
	long alive = faults.alive, grown = 0;
	unsigned open = descriptors();

	for (int i = 0; i < 4; i++) {
		faults_plan(faults.kind, faults.at, faults.error);
		go();
		grown += faults.alive > alive;
		alive = faults.alive;
	}
	return grown == 4 || descriptors() > open + 3;
}

static unsigned runs, hits;

static void
inject(int kind, unsigned at_call, int error)
{
	long alive = faults.alive;
	unsigned open = descriptors();
	const char *wrong;

	faults_plan(kind, at_call, error);
	wrong = go();
	runs++;
	hits += faults.hit;
	if (wrong)
		tell(wrong);
	else if ((faults.alive > alive || descriptors() > open) && leaks())
		tell("leaks");
}

static bool whole;		/* no sample */
static unsigned long seed;

static bool
chosen(unsigned one_in)
{
	seed = seed * 6364136223846793005ul + 1442695040888963407ul;
	return whole || (seed >> 33) % one_in == 0;
}

/* What has found something before is never left out. */
static bool
telling(int kind, int error)
{
	return (kinds[kind].number == SYS_sendto && (error == ENOMEM || error == EPIPE)) || (kinds[kind].number == SYS_recvfrom && error == ENOMEM);
}

static struct config *
make_config(const struct scenario *s)
{
	struct config *c = config_new(s->server ? CONFIG_SERVER : CONFIG_CLIENT);
	const char *version = s->version == TLS1_3_VERSION ? "TLSv1.3" : "TLSv1.2";
	char err[512] = "", warn[512] = "";
	int r = config_set(c, "minimum_version", version, err, sizeof err) | config_set(c, "maximum_version", version, err, sizeof err);

	if (s->server)
		r |= config_set(c, "certfile", at("server-both.pem"), err, sizeof err);
	if (!s->server || s->peer)
		r |= config_set(c, "ca_certs", at("ca.pem"), err, sizeof err) | config_set(c, "cert_reqs", "required", err, sizeof err);
	if (!s->server && !s->resume)
		r |= config_set(c, "options", "OP_NO_TICKET", err, sizeof err);
	r |= config_set(c, "handshake_timeout", "1000", err, sizeof err);
	config_set_place(c, "rule fault (test.conf:1)");
	must(r == 0 && config_seal(c, err, sizeof err, warn, sizeof warn) == 0, err);
	return c;
}

static void
set_up(const struct scenario *s)
{
	run.s = s;
	run.config = make_config(s);
	run.ctx = s->server ? server_ctx() : client_ctx();
	run.peer_ctx = peer_ctx(!s->server, s->peer && *s->peer ? s->peer : s->server ? NULL : "server-both.pem");
	SSL_CTX_set_session_cache_mode(run.peer_ctx, SSL_SESS_CACHE_OFF);
	must(s->server || wrapsock_ctx_set_options(run.ctx, wrapsock_ctx_options(run.ctx) | WRAPSOCK_OP_NO_TICKET) == 0, "no tickets");
	must(wrapsock_ctx_set_version_range(run.ctx, s->version, s->version) == 0, "a version");
	SSL_CTX_set_min_proto_version(run.peer_ctx, s->version);
	SSL_CTX_set_max_proto_version(run.peer_ctx, s->version);
	for (int i = 0; i < 3; i++) {		/* caches, sessions */
		const char *wrong = (faults_plan(-1, 0, 0), go());

		must(!wrong && !run.error == !s->peer, wrong ? wrong : run.step ? run.step : "accepted");
	}
}

static void
tear_down(void)
{
	config_free(run.config);
	wrapsock_ctx_free(run.ctx);
	SSL_CTX_free(run.peer_ctx);
}

static void
try_scenario(const struct scenario *s)
{
	unsigned counts[ALL_KINDS];
	int64_t began = now_ms();

	begin_case("%s", s->name);
	runs = hits = 0;
	set_up(s);
	memcpy(counts, faults.seen, sizeof counts);
	for (int k = 0; k < KINDS; k++)
		for (unsigned n = 1; n <= counts[k]; n++)
			for (int e = 0; e < 8 && kinds[k].errors[e]; e++)
				if (telling(k, kinds[k].errors[e]) || chosen(n <= 2 ? 8 : 30))
					inject(k, n, kinds[k].errors[e]);
	for (int k = KINDS; k < ALL_KINDS; k++)
		for (unsigned n = 1; n <= counts[k]; n++)
			if (k == OURS || (strcmp(s->name, "refuse-name-1.3") == 0 && n + 130 > counts[k]) || chosen(200))	/* the name's copy */
				inject(k, n, 0);
	tear_down();
	printf("%s: %u allocations of ours, %u of OpenSSL's; %u runs, %u met their fault, %lld ms\n", s->name, counts[OURS], counts[OPENSSL], runs, hits,
	       (long long)(now_ms() - began));
	CHECK(hits > 0);
	end_case();
}

/* SCENARIO:KIND:AT:ERROR */
static void
try_one(const char *what)
{
	char name[64], kind[32], error[32];
	unsigned call;
	int k = 0, e = 0;

	must(sscanf(what, "%63[^:]:%31[^:]:%u:%31s", name, kind, &call, error) == 4, what);
	for (size_t i = 0; i < COUNT(scenarios); i++) {
		if (strcmp(scenarios[i].name, name) != 0)
			continue;
		while (k < ALL_KINDS && strcmp(kind_name(k), kind) != 0)
			k++;
		while (k < KINDS && e < 8 && kinds[k].errors[e] && strcmp(kinds[k].errors[e] == SHORT ? "SHORT" : strerrorname_np(kinds[k].errors[e]), error) != 0)
			e++;
		set_up(&scenarios[i]);
		run.chatty = true;
		inject(k, call, k < KINDS ? kinds[k].errors[e] : 0);
		printf("%s: %s\n", run.step ? run.step : "all", run.error ? strerrorname_np(run.error) : "well");
		tear_down();
		return;
	}
}

static int
sweep(const char *only)
{
	static const struct conn_host host = { .poll = waiting, .log = note_line };
	const char *mode = getenv("FAULTS");

	setvbuf(stdout, NULL, _IOLBF, 0);
#ifdef __SANITIZE_THREAD__
	printf("SKIP: the thread sanitizer's own calls would fail\n1 passed, 0 failed\n");
	return 0;
#endif
	if (!faults_trap()) {
		printf("SKIP: no seccomp filter: %s\n1 passed, 0 failed\n", strerror(errno));
		return 0;
	}
	conn_host(&host);
	whole = mode && strcmp(mode, "all") == 0;
	seed = getenv("SEED") ? strtoul(getenv("SEED"), NULL, 0) : 1;
	if (mode && !whole) {
		try_one(mode);
		return current_failed;
	}
	printf("SEED=%lu%s\n", seed, whole ? ", all of it" : "");
	for (size_t i = 0; i < COUNT(scenarios); i++)
		if (!only || strstr(scenarios[i].name, only))
			try_scenario(&scenarios[i]);
	return summary();
}

int
main(int argc, char **argv)
{
	pid_t child;
	int status = 1;

	signal(SIGPIPE, SIG_IGN);
	must(faults_allocations(), "OpenSSL's allocator");
	snprintf(canary, sizeof canary, "%08lx%08lx", (unsigned long)time(NULL), (unsigned long)getpid() * 2654435761ul & 0xffffffff);
	fill_with(request, sizeof request, '>');
	fill_with(reply, sizeof reply, '<');
	make_files();
	fflush(stdout);
	child = fork();
	if (child == 0) {
		status = sweep(argc > 1 ? argv[1] : NULL);
		fflush(stdout);
		_exit(status);		/* blocks are counted here: a sanitizer's own check would hang in the filter */
	}
	must(child > 0 && waitpid(child, &status, 0) == child, "fork");
	remove_files();
	if (WIFSIGNALED(status))
		printf("died of signal %d\n", WTERMSIG(status));
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
