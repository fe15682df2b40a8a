/*
 * relay_rig.h - the relay process, driven directly: connections are handed to it as record state; the peers are record engines over TCP.
 */
#ifndef TESTS_RELAY_RIG_H
#define TESTS_RELAY_RIG_H

#include "records_impl.h"
#include "relay.h"

#include "tcp.h"

#include <sys/resource.h>
#include <sys/un.h>

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>

#define MEGABYTE ((size_t)1 << 20)

/* ---- the relay ---- */

static char program[PATH_MAX];
static struct sockaddr_un address = { .sun_family = AF_UNIX };
static socklen_t address_len;
static pid_t relay;

static void UNUSED
relay_start(void)
{
	static int times;
	int n = snprintf(address.sun_path + 1, sizeof address.sun_path - 1, "relay_rig-%d-%d", (int)getpid(), times++);
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	address_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n);
	must(fd >= 0 && bind(fd, (struct sockaddr *)&address, address_len) == 0 && listen(fd, 64) == 0, "the relay's address");
	relay = fork();
	must(relay >= 0, "fork");
	if (relay == 0) {
		dup2(fd, RELAY_LISTENER);
		close_range(RELAY_LISTENER + 1, ~0u, 0);
		execl(program, "wrapsock-relay", "for relay_rig", (char *)NULL);
		_exit(127);
	}
	close(fd);
}

/* It ends by itself once it has nothing to do. */
static void UNUSED
relay_ends(void)
{
	int status = -1;
	int64_t until = now_ms() + 8000;
	pid_t r;

	while ((r = waitpid(relay, &status, WNOHANG)) == 0 && now_ms() < until)
		poll(NULL, 0, 20);
	CHECK(r == relay && WIFEXITED(status) && WEXITSTATUS(status) == 0);
	if (r == 0) {
		kill(relay, SIGKILL);
		waitpid(relay, NULL, 0);
	}
}

static int UNUSED
relay_ask(const struct relay_head *head, const void *body, const int passed_fds[2], void *answer, size_t room)
{
	union {
		char bytes[CMSG_SPACE(2 * sizeof(int))];
		struct cmsghdr align;
	} control = { { 0 } };
	struct iovec iov[] = { { (void *)(uintptr_t)head, sizeof *head }, { (void *)(uintptr_t)body, head->length } };
	struct msghdr m = { .msg_iov = iov, .msg_iovlen = 2 };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	struct relay_answer a = { .error = -1 };
	ssize_t n;

	must(fd >= 0, "socket");
	if (connect(fd, (struct sockaddr *)&address, address_len) < 0) {	/* it ended for want of work */
		must(waitpid(relay, NULL, 0) == relay, "the relay's end");
		relay_start();
		must(connect(fd, (struct sockaddr *)&address, address_len) == 0, "connect to the relay");
	}
	if (passed_fds) {
		struct cmsghdr *c;

		m.msg_control = control.bytes;
		m.msg_controllen = sizeof control.bytes;
		c = CMSG_FIRSTHDR(&m);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(2 * sizeof(int));
		memcpy(CMSG_DATA(c), passed_fds, 2 * sizeof(int));
	}
	n = sendmsg(fd, &m, MSG_NOSIGNAL);
	for (size_t at = n > 0 ? (size_t)n - sizeof *head : head->length; at < head->length; at += (size_t)n)
		if ((n = send(fd, (const char *)body + at, head->length - at, MSG_NOSIGNAL)) <= 0)
			break;
	if (recv(fd, &a, sizeof a, MSG_WAITALL) != sizeof a)
		a.error = -1;
	if (a.error == 0 && a.length && a.length <= room)
		CHECK(recv(fd, answer, a.length, MSG_WAITALL) == (ssize_t)a.length);
	close(fd);
	return a.error;
}

/* ---- a connection: the program's end, and the peer with its keys ---- */

struct rig {
	int end, peer;
	uint64_t id;
	struct records *keys;		/* the peer's */
	struct records *mine;		/* what the relay's would be, for what is prepared before */
	uint8_t *in;			/* of the peer: ciphertext */
	size_t in_len;
	bool closed, fin;		/* close_notify, and the end of TCP's stream */
};

static struct engine_records UNUSED
state_for(int version)
{
	struct engine_records s = { .version = version, .aead = ENGINE_GCM, .tag_len = 16 };

	for (int d = 0; d < 2; d++) {
		memset(s.dir[d].secret, 40 + d, 32);
		memset(s.dir[d].key, 50 + d, 16);
		memset(s.dir[d].iv, 60 + d, 12);
		s.dir[d].secret_len = version == 0x0304 ? 32 : 0;
		s.dir[d].key_len = 16;
		s.dir[d].iv_len = version == 0x0304 ? 12 : 4;
	}
	return s;
}

struct extra {
	uint32_t flags;
	const void *partial, *held, *out, *debt;
	size_t partial_len, held_len, out_len, debt_len;
	bool early;			/* the program writes and closes before the relay has its end */
};

static void UNUSED
hand_over(struct rig *r, const struct engine_records *state, int wire, const struct extra *x)
{
	size_t size = sizeof(struct relay_parcel) + x->partial_len + x->held_len + x->out_len + x->debt_len;
	struct relay_head head = { .magic = RELAY_MAGIC, .kind = RELAY_TAKE, .length = (uint32_t)size, .id = r->id };
	struct relay_parcel *p = calloc(1, size);
	uint8_t *at = (uint8_t *)(p + 1);
	int pair[2];

	must(p && socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0, "a pair");
	p->records = *state;
	p->flags = x->flags;
	p->partial = (uint32_t)x->partial_len;
	p->held = (uint32_t)x->held_len;
	p->out = (uint32_t)x->out_len;
	p->debt = (uint32_t)x->debt_len;
	snprintf(p->who, sizeof p->who, "%s", current);
	memcpy(at, x->partial ? x->partial : "", x->partial_len);
	memcpy(at + x->partial_len, x->held ? x->held : "", x->held_len);
	memcpy(at + x->partial_len + x->held_len, x->out ? x->out : "", x->out_len);
	memcpy(at + x->partial_len + x->held_len + x->out_len, x->debt ? x->debt : "", x->debt_len);
	must(write(pair[0], "", 1) == 1, "the byte that stays");
	r->end = pair[0];
	if (x->early) {
		CHECK(write(r->end, "early", 5) == 5);
		close(r->end);
		r->end = -1;
	}
	CHECK(relay_ask(&head, p, (int[2]){ wire, pair[1] }, NULL, 0) == 0);
	close(wire);
	close(pair[1]);
	free(p);
}

static struct rig UNUSED
rig_open_with(const struct extra *x, int wire[2], struct engine_records *state)
{
	static uint64_t ids;
	struct engine_records theirs = *state;
	struct rig r = { .id = ++ids, .peer = wire[1], .in = malloc(MEGABYTE) };

	theirs.dir[0] = state->dir[1];
	theirs.dir[1] = state->dir[0];
	r.keys = records_new(&theirs);
	must(r.keys && r.in, "the peer's keys");
	hand_over(&r, state, wire[0], x);
	fcntl(r.peer, F_SETFL, O_NONBLOCK);
	if (r.end >= 0)
		fcntl(r.end, F_SETFL, O_NONBLOCK);
	return r;
}

static struct rig UNUSED
rig_open(int version, const struct extra *x)
{
	struct engine_records state = state_for(version);
	int wire[2];

	tcp_pair(wire);
	return rig_open_with(x, wire, &state);
}

static const struct extra plain_hand_over;

static void UNUSED
rig_close(struct rig *r)
{
	if (r->end >= 0)
		close(r->end);
	if (r->peer >= 0)
		close(r->peer);
	records_free(r->keys);
	free(r->in);
}

static bool UNUSED
ready(int fd, short events)
{
	struct pollfd p = { .fd = fd, .events = events };

	return poll(&p, 1, 5000) > 0;
}

/* What the peer hears: bytes, 0 = an end (r->closed, r->fin), -1 = nothing within the time, or a reset. */
static ssize_t UNUSED
peer_hears(struct rig *r, uint8_t *buf)
{
	for (;;) {
		size_t used, n;
		enum records_result result = records_open(r->keys, r->in, r->in_len, &used, buf, &n);
		ssize_t got;

		memmove(r->in, r->in + used, r->in_len - used);
		r->in_len -= used;
		if (result == RECORDS_DATA && n)
			return (ssize_t)n;
		if (result == RECORDS_CLOSED) {
			r->closed = true;
			continue;
		}
		if (result == RECORDS_FAILED)
			return -1;
		if (result != RECORDS_WANT)
			continue;
		if (!ready(r->peer, POLLIN))
			return -1;
		got = recv(r->peer, r->in + r->in_len, MEGABYTE / 2, 0);
		if (got == 0)
			r->fin = true;
		if (got <= 0)
			return got;
		r->in_len += (size_t)got;
	}
}

static bool UNUSED
send_all(int fd, const uint8_t *p, size_t n)
{
	while (n > 0) {
		ssize_t r = send(fd, p, n, MSG_NOSIGNAL);

		if (r < 0 && errno == EAGAIN && ready(fd, POLLOUT))
			continue;
		if (r <= 0)
			return false;
		p += r;
		n -= (size_t)r;
	}
	return true;
}

static void UNUSED
peer_says(struct rig *r, const void *bytes, size_t n)
{
	const uint8_t *p = bytes;
	uint8_t out[RECORDS_PLAIN + RECORDS_OVERHEAD];

	while (n > 0) {
		size_t len = n < RECORDS_PLAIN ? n : RECORDS_PLAIN, size = records_seal(r->keys, p, len, out);

		CHECK(send_all(r->peer, out, size));
		p += len;
		n -= len;
	}
}

static void UNUSED
peer_parts(struct rig *r)
{
	uint8_t out[RECORDS_OVERHEAD];

	CHECK(send_all(r->peer, out, records_alert(r->keys, out)));
}

/* Reads n bytes of the program's stream: how many came, then *end: 0, or an errno value. */
static size_t UNUSED
program_reads(struct rig *r, uint8_t *buf, size_t n, int *end)
{
	size_t got = 0;

	*end = -1;
	while (got < n) {
		ssize_t k = ready(r->end, POLLIN) ? recv(r->end, buf + got, n - got, 0) : -1;

		if (k <= 0) {
			*end = k < 0 ? errno : 0;
			break;
		}
		got += (size_t)k;
	}
	return got;
}

static void UNUSED
expect_end(struct rig *r, int error)
{
	uint8_t byte;
	int end;

	CHECK(program_reads(r, &byte, 1, &end) == 0 && end == error);
}

static UNUSED uint8_t *
noise(size_t n)
{
	uint8_t *p = malloc(n);

	must(p != NULL, "memory");
	for (size_t i = 0; i < n; i++)
		p[i] = (uint8_t)(i * 31 + (i >> 8) * 7 + (i >> 16));
	return p;
}

/* The peer hears these n bytes, and nothing else. */
static void UNUSED
expect_heard(struct rig *r, const uint8_t *bytes, size_t n)
{
	uint8_t buf[RECORDS_CIPHER];
	size_t at = 0;

	while (at < n) {
		ssize_t k = peer_hears(r, buf);

		if (k <= 0 || (size_t)k > n - at || memcmp(buf, bytes + at, (size_t)k) != 0) {
			CHECK(!"the peer heard something else");
			return;
		}
		at += (size_t)k;
	}
}

static void UNUSED
expect_read(struct rig *r, const uint8_t *bytes, size_t n)
{
	uint8_t *buf = malloc(n);
	int end;

	must(buf != NULL, "memory");
	CHECK(program_reads(r, buf, n, &end) == n && memcmp(buf, bytes, n) == 0);
	free(buf);
}

static void UNUSED
chat(int version)
{
	struct rig r = rig_open(version, &plain_hand_over);

	for (int i = 0; i < 20; i++) {
		CHECK(send_all(r.end, (const uint8_t *)"to the peer", 11));
		expect_heard(&r, (const uint8_t *)"to the peer", 11);
		peer_says(&r, "to the program", 14);
		expect_read(&r, (const uint8_t *)"to the program", 14);
	}
	close(r.end);
	r.end = -1;
	expect_heard(&r, NULL, 0);
	CHECK(peer_hears(&r, r.in + MEGABYTE / 2) == 0 && r.closed && r.fin);
	rig_close(&r);
}

/* ---- all ---- */

struct relay_case {
	const char *name;
	void (*run)(void);
};

/* What main does; its argument is a part of the names of those wanted. */
static int
relay_cases(const struct relay_case *cases, size_t n, int argc, char **argv)
{
	char *slash;
	struct rlimit files;
	int64_t began;

	if (!realpath(argv[0], program) || !(slash = strrchr(program, '/')))
		return 1;
	*slash = '\0';
	slash = strrchr(program, '/');
	must(slash != NULL, "the folder above");
	strcpy(slash + 1, "wrapsock-relay");
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	setvbuf(stdout, NULL, _IOLBF, 0);	/* children tell of failures, too */
	signal(SIGPIPE, SIG_IGN);
	relay_start();
	for (size_t i = 0; i < n; i++) {
		if (argc > 1 && !strstr(cases[i].name, argv[1]))
			continue;
		begin_case("%s", cases[i].name);
		began = now_ms();
		cases[i].run();
		if (getenv("TIMES"))
			printf("%5d ms  %s\n", (int)(now_ms() - began), current);
		end_case();
	}
	begin_case("it ends by itself");
	relay_ends();
	end_case();
	return summary();
}

#endif
