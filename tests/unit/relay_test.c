/*
 * relay_test.c - the relay process, driven directly: connections are handed to it as record state; the peers are record engines over TCP.
 */
#include "records_impl.h"
#include "relay.h"

#include "check.h"

#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <netinet/in.h>
#include <netinet/tcp.h>

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#define MEGABYTE ((size_t)1 << 20)

/* ---- the relay ---- */

static char program[PATH_MAX];
static struct sockaddr_un address = { .sun_family = AF_UNIX };
static socklen_t address_len;
static pid_t relay;

static void
relay_start(void)
{
	static int times;
	int n = snprintf(address.sun_path + 1, sizeof address.sun_path - 1, "relay_test-%d-%d", (int)getpid(), times++);
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	address_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n);
	must(fd >= 0 && bind(fd, (struct sockaddr *)&address, address_len) == 0 && listen(fd, 64) == 0, "the relay's address");
	relay = fork();
	must(relay >= 0, "fork");
	if (relay == 0) {
		dup2(fd, RELAY_LISTENER);
		close_range(RELAY_LISTENER + 1, ~0u, 0);
		execl(program, "wrapsock-relay", "for relay_test", (char *)NULL);
		_exit(127);
	}
	close(fd);
}

/* It ends by itself once it has nothing to do. */
static void
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

static int
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

static struct engine_records
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

static void
tcp_pair(int fd[2])
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof a;
	int l = socket(AF_INET, SOCK_STREAM, 0);

	must(l >= 0 && bind(l, (struct sockaddr *)&a, len) == 0 && listen(l, 1) == 0 && getsockname(l, (struct sockaddr *)&a, &len) == 0, "listen");
	fd[0] = socket(AF_INET, SOCK_STREAM, 0);
	must(fd[0] >= 0 && connect(fd[0], (struct sockaddr *)&a, len) == 0, "connect");
	fd[1] = accept(l, NULL, NULL);
	must(fd[1] >= 0, "accept");
	close(l);
}

struct extra {
	uint32_t flags;
	const void *partial, *held, *out, *debt;
	size_t partial_len, held_len, out_len, debt_len;
	bool early;			/* the program writes and closes before the relay has its end */
};

static void
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

static struct rig
rig_open_with(int version, const struct extra *x, int wire[2], struct engine_records *state)
{
	static uint64_t ids;
	struct engine_records theirs = *state;
	struct rig r = { .id = ++ids, .peer = wire[1], .in = malloc(MEGABYTE) };

	(void)version;
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

static struct rig
rig_open(int version, const struct extra *x)
{
	struct engine_records state = state_for(version);
	int wire[2];

	tcp_pair(wire);
	return rig_open_with(version, x, wire, &state);
}

static const struct extra plain_hand_over;

static void
rig_close(struct rig *r)
{
	if (r->end >= 0)
		close(r->end);
	if (r->peer >= 0)
		close(r->peer);
	records_free(r->keys);
	free(r->in);
}

static bool
ready(int fd, short events)
{
	struct pollfd p = { .fd = fd, .events = events };

	return poll(&p, 1, 5000) > 0;
}

/* What the peer hears: bytes, 0 = an end (r->closed, r->fin), -1 = nothing within the time, or a reset. */
static ssize_t
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

static bool
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

static void
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

static void
peer_parts(struct rig *r)
{
	uint8_t out[RECORDS_OVERHEAD];

	CHECK(send_all(r->peer, out, records_alert(r->keys, out)));
}

/* Reads n bytes of the program's stream: how many came, then *end: 0, or an errno value. */
static size_t
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

static void
expect_end(struct rig *r, int error)
{
	uint8_t byte;
	int end;

	CHECK(program_reads(r, &byte, 1, &end) == 0 && end == error);
}

static uint8_t *
noise(size_t n)
{
	uint8_t *p = malloc(n);

	must(p != NULL, "memory");
	for (size_t i = 0; i < n; i++)
		p[i] = (uint8_t)(i * 31 + (i >> 8) * 7 + (i >> 16));
	return p;
}

/* The peer hears these n bytes, and nothing else. */
static void
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

static void
expect_read(struct rig *r, const uint8_t *bytes, size_t n)
{
	uint8_t *buf = malloc(n);
	int end;

	must(buf != NULL, "memory");
	CHECK(program_reads(r, buf, n, &end) == n && memcmp(buf, bytes, n) == 0);
	free(buf);
}

/* ---- cases ---- */

static void
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

static void
both_versions(void)
{
	chat(0x0303);
	chat(0x0304);
}

/* A child plays the peer that sends all, or the program that does, so that both directions are full at once. */
static void
full_duplex(void)
{
	size_t size = 24 * MEGABYTE;
	uint8_t *bytes = noise(size);
	struct rig r = rig_open(0x0304, &plain_hand_over);
	pid_t speaker = fork(), peer_speaker;

	if (speaker == 0)
		_exit(!(send_all(r.end, bytes, size) && shutdown(r.end, SHUT_WR) == 0));
	peer_speaker = fork();
	if (peer_speaker == 0) {
		peer_says(&r, bytes, size);
		peer_parts(&r);
		_exit(current_failed);
	}
	if (fork() == 0) {
		expect_heard(&r, bytes, size);
		CHECK(peer_hears(&r, r.in + MEGABYTE / 2) == 0 && r.closed);
		_exit(current_failed);
	}
	expect_read(&r, bytes, size);
	expect_end(&r, 0);
	for (int status, i = 0; i < 3; i++) {
		pid_t pid = waitpid(0, &status, 0);

		CHECK(pid > 0 && pid != relay && status == 0);
	}
	rig_close(&r);
	free(bytes);
}

static void
program_leaves_after_last_write(void)
{
	uint8_t *bytes = noise(MEGABYTE);
	struct rig r = rig_open(0x0304, &plain_hand_over);
	size_t n = 0;
	ssize_t k;

	while ((k = send(r.end, bytes + n, MEGABYTE - n, MSG_NOSIGNAL)) > 0 || (n < MEGABYTE && ready(r.end, POLLOUT)))
		n += k > 0 ? (size_t)k : 0;
	close(r.end);
	r.end = -1;
	poll(NULL, 0, 200);		/* the peer is slow to begin */
	expect_heard(&r, bytes, n);
	CHECK(peer_hears(&r, r.in + MEGABYTE / 2) == 0 && r.closed && r.fin);
	rig_close(&r);
	free(bytes);
}

static void
program_leaves_before_the_relay_comes(void)
{
	struct rig r = rig_open(0x0304, &(struct extra){ .early = true });

	expect_heard(&r, (const uint8_t *)"early", 5);
	CHECK(peer_hears(&r, r.in + MEGABYTE / 2) == 0 && r.closed && r.fin);
	rig_close(&r);
}

static void
peer_leaves_after_last_write(void)
{
	uint8_t *bytes = noise(MEGABYTE / 8);
	struct rig r = rig_open(0x0304, &plain_hand_over);

	peer_says(&r, bytes, MEGABYTE / 8);
	peer_parts(&r);
	close(r.peer);
	r.peer = -1;
	poll(NULL, 0, 200);
	expect_read(&r, bytes, MEGABYTE / 8);
	expect_end(&r, 0);
	rig_close(&r);
	free(bytes);
}

static void
cut(uint32_t flags, int end)
{
	struct rig r = rig_open(0x0304, &(struct extra){ .flags = flags });

	peer_says(&r, "before the cut", 14);
	close(r.peer);
	r.peer = -1;
	poll(NULL, 0, 100);
	expect_read(&r, (const uint8_t *)"before the cut", 14);
	expect_end(&r, end);
	rig_close(&r);
}

static void
cut_streams(void)
{
	cut(0, ECONNRESET);
	cut(RELAY_RAGGED, 0);
}

static void
peer_resets(void)
{
	struct rig r = rig_open(0x0304, &plain_hand_over);
	struct linger hard = { 1, 0 };
	int error = 0;

	CHECK(send_all(r.end, (const uint8_t *)"unread", 6));
	CHECK(ready(r.peer, POLLIN));
	setsockopt(r.peer, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
	close(r.peer);
	r.peer = -1;
	CHECK(ready(r.end, POLLHUP));
	expect_end(&r, ECONNRESET);
	expect_end(&r, 0);		/* told once, as TCP does */
	CHECK(send(r.end, "x", 1, MSG_NOSIGNAL) < 0 && (error = errno) == EPIPE);
	rig_close(&r);
}

static void
half_closed_by_program(void)
{
	uint8_t *bytes = noise(MEGABYTE / 2);
	struct rig r = rig_open(0x0303, &plain_hand_over);

	CHECK(send_all(r.end, (const uint8_t *)"request", 7) && shutdown(r.end, SHUT_WR) == 0);
	expect_heard(&r, (const uint8_t *)"request", 7);
	CHECK(peer_hears(&r, r.in + MEGABYTE / 2) == 0 && r.closed && r.fin);
	if (fork() == 0) {
		peer_says(&r, bytes, MEGABYTE / 2);
		peer_parts(&r);
		_exit(current_failed);
	}
	close(r.peer);
	r.peer = -1;
	expect_read(&r, bytes, MEGABYTE / 2);
	expect_end(&r, 0);
	CHECK(waitpid(0, NULL, 0) > 0);
	rig_close(&r);
	free(bytes);
}

static void
half_closed_by_peer(void)
{
	struct rig r = rig_open(0x0304, &plain_hand_over);

	peer_says(&r, "last", 4);
	peer_parts(&r);
	shutdown(r.peer, SHUT_WR);
	expect_read(&r, (const uint8_t *)"last", 4);
	expect_end(&r, 0);
	for (int i = 0; i < 3; i++) {
		CHECK(send_all(r.end, (const uint8_t *)"still", 5));
		expect_heard(&r, (const uint8_t *)"still", 5);
	}
	close(r.end);
	r.end = -1;
	CHECK(peer_hears(&r, r.in + MEGABYTE / 2) == 0 && r.closed && r.fin);
	rig_close(&r);
}

static void
bad_record(void)
{
	struct rig r = rig_open(0x0304, &plain_hand_over);
	uint8_t out[RECORDS_OVERHEAD + 8], buf[RECORDS_CIPHER];
	size_t n;

	peer_says(&r, "good", 4);
	n = records_seal(r.keys, (const uint8_t *)"bad", 3, out);
	out[n - 1] ^= 1;
	CHECK(send_all(r.peer, out, n));
	expect_read(&r, (const uint8_t *)"good", 4);
	expect_end(&r, ECONNRESET);
	CHECK(peer_hears(&r, buf) == -1 && *records_reason(r.keys));	/* its alert */
	rig_close(&r);
}

static void
key_updates(void)
{
	struct rig r = rig_open(0x0304, &plain_hand_over);
	uint8_t out[RECORDS_OVERHEAD];

	for (int i = 0; i < 4; i++) {
		CHECK(send_all(r.peer, out, records_update(r.keys, i & 1, out)));
		peer_says(&r, "new keys", 8);
		expect_read(&r, (const uint8_t *)"new keys", 8);
		CHECK(send_all(r.end, (const uint8_t *)"answer", 6));
		expect_heard(&r, (const uint8_t *)"answer", 6);
	}
	rig_close(&r);
}

/* Everything that can be under way when a connection is handed over. */
static void
under_way(void)
{
	struct engine_records state = state_for(0x0304), later = state, theirs = state;
	struct records *before = records_new(&state), *from;
	uint8_t out[3 * RECORDS_OVERHEAD], in[3 * RECORDS_OVERHEAD];
	size_t out_len, in_len;
	int wire[2];
	struct rig r;

	theirs.dir[0] = state.dir[1];
	theirs.dir[1] = state.dir[0];
	from = records_new(&theirs);
	must(before && from, "records_new");
	tcp_pair(wire);
	out_len = records_seal(before, (const uint8_t *)"owed to the wire", 16, out);
	in_len = records_seal(from, (const uint8_t *)"in two parts", 12, in);
	later.dir[1].sequence = 1;
	CHECK(send_all(wire[0], out, 7) && send_all(wire[1], in + 9, in_len - 9));
	r = rig_open_with(0x0304, &(struct extra){ .partial = in, .partial_len = 9, .held = "held, ", .held_len = 6, .out = out + 7,
						   .out_len = out_len - 7, .debt = "to the wire", .debt_len = 11 }, wire, &later);
	records_free(r.keys);
	r.keys = from;			/* it has sent one record, and has heard none */
	expect_read(&r, (const uint8_t *)"held, in two parts", 18);
	expect_heard(&r, (const uint8_t *)"owed to the wire", 16);
	CHECK(send_all(r.end, (const uint8_t *)"to the", 6) && send_all(r.end, (const uint8_t *)" wire, and more", 15));
	expect_heard(&r, (const uint8_t *)", and more", 10);
	rig_close(&r);
	records_free(before);
}

static void
other_bytes_than_owed(void)
{
	struct rig r = rig_open(0x0304, &(struct extra){ .debt = "these", .debt_len = 5 });

	CHECK(send_all(r.end, (const uint8_t *)"those", 5));
	expect_end(&r, ECONNRESET);
	rig_close(&r);
}

static void
ends_known_before(void)
{
	struct rig r = rig_open(0x0304, &(struct extra){ .flags = RELAY_ENDED, .held = "rest", .held_len = 4 });

	expect_read(&r, (const uint8_t *)"rest", 4);
	expect_end(&r, 0);
	rig_close(&r);
	r = rig_open(0x0304, &(struct extra){ .flags = RELAY_ENDED | RELAY_CUT });
	expect_end(&r, ECONNRESET);
	rig_close(&r);
}

/* Neither side reads: both are stopped, and nothing is lost. */
static size_t
fill(int fd, const uint8_t *bytes, size_t most)
{
	size_t n = 0;
	struct pollfd p = { .fd = fd, .events = POLLOUT };

	while (n < most && poll(&p, 1, 300) > 0) {
		ssize_t k = send(fd, bytes + n, most - n, MSG_NOSIGNAL);

		if (k > 0)
			n += (size_t)k;
	}
	return n;
}

static void
back_pressure(void)
{
	size_t most = 64 * MEGABYTE, sealed_len = 0, n, taken, plain_len = 0;
	uint8_t *bytes = noise(most), *sealed = malloc(most + most / 8);
	struct rig r = rig_open(0x0304, &plain_hand_over);

	must(sealed != NULL, "memory");
	n = fill(r.end, bytes, most);
	CHECK(n > 0 && n < most);
	while (plain_len + RECORDS_PLAIN <= most / 2) {
		sealed_len += records_seal(r.keys, bytes + plain_len, RECORDS_PLAIN, sealed + sealed_len);
		plain_len += RECORDS_PLAIN;
	}
	taken = fill(r.peer, sealed, sealed_len);
	CHECK(taken > 0 && taken < sealed_len);
	if (fork() == 0) {
		expect_heard(&r, bytes, n);
		_exit(current_failed);
	}
	expect_read(&r, bytes, taken / (RECORDS_PLAIN + 22) * RECORDS_PLAIN);
	for (int status = 1; waitpid(0, &status, 0) > 0;) {
		CHECK(status == 0);
		break;
	}
	rig_close(&r);
	free(bytes);
	free(sealed);
}

static int
option(const struct rig *r, struct relay_option *o)
{
	struct relay_head head = { .magic = RELAY_MAGIC, .kind = RELAY_OPTION, .length = sizeof *o, .id = r->id };
	struct relay_option asked = *o;

	return relay_ask(&head, &asked, NULL, o->value, sizeof o->value);
}

static void
options(void)
{
	struct rig r = rig_open(0x0304, &plain_hand_over);
	struct relay_option o = { .kind = RELAY_SET, .level = IPPROTO_TCP, .name = TCP_KEEPIDLE, .length = sizeof(int) };
	int value = 77;

	memcpy(o.value, &value, sizeof value);
	CHECK(option(&r, &o) == 0);
	o.kind = RELAY_GET;
	memset(o.value, 0, sizeof o.value);
	CHECK(option(&r, &o) == 0 && memcmp(o.value, &value, sizeof value) == 0);
	o.kind = RELAY_UNSENT;
	CHECK(send_all(r.end, (const uint8_t *)"x", 1));
	expect_heard(&r, (const uint8_t *)"x", 1);
	memset(o.value, 1, sizeof value);
	CHECK(option(&r, &o) == 0 && memcmp(o.value, "\0\0\0\0", 4) == 0);
	o.length = sizeof o.value + 1;
	CHECK(option(&r, &o) == EINVAL);
	r.id += 1000;
	CHECK(option(&r, &o) == ENOTCONN);
	rig_close(&r);
}

static void
drain(void)
{
	struct relay_head head = { .magic = RELAY_MAGIC, .kind = RELAY_DRAIN };
	struct rig r = rig_open(0x0304, &plain_hand_over);
	int64_t began = now_ms();

	CHECK(relay_ask(&head, "", NULL, NULL, 0) == 0);	/* its program is there: not waited for */
	CHECK(send_all(r.end, (const uint8_t *)"x", 1));
	close(r.end);
	r.end = -1;
	CHECK(relay_ask(&head, "", NULL, NULL, 0) == 0 && now_ms() - began < 2000);
	expect_heard(&r, (const uint8_t *)"x", 1);
	rig_close(&r);
}

static void
strangers(void)
{
	struct relay_head wrong = { .magic = RELAY_MAGIC + 1, .kind = RELAY_DRAIN };
	struct relay_head empty = { .magic = RELAY_MAGIC, .kind = RELAY_TAKE };
	int status;

	CHECK(relay_ask(&wrong, "", NULL, NULL, 0) == -1);
	CHECK(relay_ask(&empty, "", NULL, NULL, 0) == EINVAL);
	if (getuid() != 0)
		return;
	if (fork() == 0) {
		struct relay_head head = { .magic = RELAY_MAGIC, .kind = RELAY_DRAIN };

		_exit(setuid(65534) == 0 && relay_ask(&head, "", NULL, NULL, 0) == -1 ? 0 : 1);
	}
	/* ... but it runs as root here, and so must be told apart by user */
	CHECK(waitpid(0, &status, 0) > 0 && status == 0);
}

static long
resident(pid_t pid)
{
	char path[64], line[200];
	long kib = 0;
	FILE *f;

	snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
	f = fopen(path, "r");
	while (f && fgets(line, sizeof line, f))
		if (sscanf(line, "VmRSS: %ld", &kib) == 1)
			break;
	if (f)
		fclose(f);
	return kib;
}

static int
descriptors(pid_t pid)
{
	char path[64];
	DIR *d;
	int n = 0;

	snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
	d = opendir(path);
	while (d && readdir(d))
		n++;
	if (d)
		closedir(d);
	return n;
}

/* Many at once, each stopped in both directions: what the relay may need for them is bounded. */
static void
many(void)
{
	enum { MANY = 200 };
	static struct rig rigs[MANY];
	uint8_t *bytes = noise(MEGABYTE), out[RECORDS_PLAIN + RECORDS_OVERHEAD];
	long before = resident(relay);
	int before_fds = descriptors(relay), small = 8192;

	for (int i = 0; i < MANY; i++) {
		rigs[i] = rig_open(0x0304, &plain_hand_over);
		setsockopt(rigs[i].peer, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
	}
	for (int i = 0; i < MANY; i++) {
		struct pollfd p = { .fd = rigs[i].end, .events = POLLOUT };

		while (poll(&p, 1, 2) > 0 && send(rigs[i].end, bytes, MEGABYTE, MSG_NOSIGNAL) > 0)
			;
		p.fd = rigs[i].peer;
		for (int k = 0; k < 40 && poll(&p, 1, 2) > 0; k++)
			if (send(rigs[i].peer, out, records_seal(rigs[i].keys, bytes, RECORDS_PLAIN, out), MSG_NOSIGNAL) <= 0)
				break;
	}
	CHECK(!before || descriptors(relay) <= before_fds + 2 * MANY + 2);
	printf("memory of a stopped connection: %ld KiB\n", (resident(relay) - before) / MANY);
#if !defined __SANITIZE_ADDRESS__ && !defined __SANITIZE_THREAD__	/* they keep more of all memory */
	CHECK((resident(relay) - before) / MANY <= 40);
#endif
	for (int i = 0; i < MANY; i++)
		rig_close(&rigs[i]);
	free(bytes);
}

static void
hardened(void)
{
	char path[64], line[300] = "";
	bool no_new_privs = false;
	FILE *f;

	snprintf(path, sizeof path, "/proc/%d/status", (int)relay);
	f = fopen(path, "r");
	while (f && fgets(line, sizeof line, f))
		no_new_privs |= strcmp(line, "NoNewPrivs:\t1\n") == 0;
	CHECK(f && no_new_privs);
	if (f)
		fclose(f);
	snprintf(path, sizeof path, "/proc/%d/limits", (int)relay);
	f = fopen(path, "r");
	while (f && fgets(line, sizeof line, f))
		if (strncmp(line, "Max core", 8) == 0)
			break;
	CHECK(f && strstr(line, " 0  "));
	if (f)
		fclose(f);
	kill(relay, SIGTERM);		/* meant for the program */
	kill(relay, SIGHUP);
	chat(0x0304);
}

static const struct {
	const char *name;
	void (*run)(void);
} cases[] = {
	{ "both versions", both_versions },
	{ "full duplex", full_duplex },
	{ "the program leaves after its last write", program_leaves_after_last_write },
	{ "the program leaves before the relay comes", program_leaves_before_the_relay_comes },
	{ "the peer leaves after its last write", peer_leaves_after_last_write },
	{ "cut streams", cut_streams },
	{ "the peer resets", peer_resets },
	{ "half closed by the program", half_closed_by_program },
	{ "half closed by the peer", half_closed_by_peer },
	{ "a bad record", bad_record },
	{ "key updates", key_updates },
	{ "under way when handed over", under_way },
	{ "other bytes than those owed", other_bytes_than_owed },
	{ "ends known before", ends_known_before },
	{ "back-pressure", back_pressure },
	{ "options", options },
	{ "drain", drain },
	{ "strangers", strangers },
	{ "many", many },
	{ "hardened", hardened },
};

int
main(int argc, char **argv)
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
	signal(SIGPIPE, SIG_IGN);
	relay_start();
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
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
