/*
 * fault_test.c - one call fails: every system call of the core and the explicit API with each of its errors and cut short, every
 * allocation of ours and of OpenSSL's.  A short scenario for each face, role, version and mode is run once for each fault.
 * Whatever fails: the program gets an error that fits or does not notice, nothing hangs, nothing leaks, the connection that is dead
 * stays so and is told of in one line, the peer gets a prefix of what was written and takes no cut stream for a whole one, and
 * nothing is on the wire but TLS.
 * limit: 3000
 *
 * FAULTS=all runs all of them, else a sample by SEED (1); FAULTS='SCENARIO:KIND:AT:ERROR' runs one, and says what it did.
 */
#include "fault_run.h"

#include <dirent.h>
#include <netinet/tcp.h>

/* ---- what must hold ---- */

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
