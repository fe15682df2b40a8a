/*
 * link.c - records to bytes and bytes to records, as fast as the slower side takes them.
 *
 * Our end of the pair always keeps one byte in its receive queue that has been processed: the kernel turns the close of an end with an unread
 * byte into ECONNRESET at the other one, behind all data, and the close of an empty one into an end of stream.  So the last byte of what is read is
 * peeked, and consumed when there is a next one.
 */
#include "link.h"

#include "records.h"

#include "log.h"

#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <linux/sock_diag.h>
#include <linux/sockios.h>
#include <netinet/in.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { CHUNK = 4 * RECORDS_PLAIN };	/* most that is moved at once where it surely fits */
enum { ROUNDS = 4 };			/* chunks in each direction before others have their turn */
enum { LINGER = 60 * 1000 };		/* a program that has left: milliseconds without any progress */
enum { FAREWELL = 2 * 1000 };		/* all it wrote has arrived: how long to wait for the peer's end */
enum { TICK = 50 };

struct link {
	struct link *next, **back;	/* of all */
	struct link *turn;		/* of the run queue */
	bool queued;
	uint64_t id;
	struct records *records;
	int epoll, wire, end;
	char who[sizeof ((struct relay_parcel *)NULL)->who];

	/* the wire towards the program */
	uint8_t *in;			/* ciphertext that has been taken and not opened */
	size_t in_len;
	uint8_t *plain;			/* opened, and refused by the end so far */
	size_t plain_off, plain_len;
	bool wire_readable, end_writable;
	bool ended;			/* nothing more comes from the wire */
	bool broken;			/* ... and it was no clean end */
	bool told;			/* the program knows of the end */
	bool deaf;			/* the program cannot read any more: what comes is dropped */
	bool ragged;

	/* the program towards the wire */
	uint8_t *out;			/* ciphertext, refused by the wire so far */
	size_t out_off, out_len;
	uint8_t *debt;			/* the next bytes of the program repeat these, which are under way already */
	size_t debt_off, debt_len;
	bool end_readable, wire_writable;
	bool finished;			/* the program will not write any more */
	bool said;			/* close_notify has been made */
	bool shut;			/* ... and is with the kernel, and FIN behind it */
	bool mute;			/* the wire cannot be written to any more */
	bool gone;			/* the program has closed its end */

	int64_t progress;		/* when a byte moved last */
	int64_t arrived;		/* when all was acknowledged, 0 = not yet */
};

static struct link *links, *first, **last = &first;
static size_t count, leaving;		/* leaving: of them, those whose program has gone */
static int64_t next_tick;

/* One thread, one link at a time: room for a chunk of both kinds. */
static uint8_t cipher[CHUNK + RECORDS_CIPHER], opened[CHUNK + 2 * RECORDS_CIPHER], plain[CHUNK + 1], sealed[CHUNK + 8 * RECORDS_OVERHEAD];

static int64_t
now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* ---- made and ended ---- */

static bool
keep(uint8_t **to, const uint8_t *from, size_t n)
{
	*to = NULL;
	if (n == 0)
		return true;
	*to = malloc(n);
	if (*to)
		memcpy(*to, from, n);
	return *to != NULL;
}

static void
drop(uint8_t **p, size_t n)
{
	if (*p)
		explicit_bzero(*p, n);
	free(*p);
	*p = NULL;
}

static void
forget(struct link *l)
{
	records_free(l->records);
	free(l->in);
	drop(&l->plain, l->plain_len);
	free(l->out);
	drop(&l->debt, l->debt_len);
	free(l);
}

static void
enqueue(struct link *l)
{
	if (l->queued)
		return;
	l->queued = true;
	l->turn = NULL;
	*last = l;
	last = &l->turn;
}

struct link *
link_next(void)
{
	struct link *l = first;

	if (!l)
		return NULL;
	first = l->turn;
	if (!first)
		last = &first;
	l->queued = false;
	return l;
}

bool
link_waiting(void)
{
	return first != NULL;
}

static void
unqueue(struct link *l)
{
	for (struct link **p = &first; l->queued && *p; p = &(*p)->turn)
		if (*p == l) {
			*p = l->turn;
			if (last == &l->turn)
				last = p;
			return;
		}
}

/* The end of the pair tells the program how it ended. */
static void
link_end(struct link *l, bool reset)
{
	uint8_t bytes[256];

	if (!reset)
		while (recv(l->end, bytes, sizeof bytes, MSG_DONTWAIT) > 0)
			;
	/* the program's own copies of the wire may keep its file alive, and the registration with it */
	epoll_ctl(l->epoll, EPOLL_CTL_DEL, l->wire, NULL);
	epoll_ctl(l->epoll, EPOLL_CTL_DEL, l->end, NULL);
	close(l->end);
	close(l->wire);
	leaving -= l->gone;
	unqueue(l);
	*l->back = l->next;
	if (l->next)
		l->next->back = l->back;
	count--;
	forget(l);
}

static bool
watch(struct link *l, int fd, enum link_side side)
{
	struct epoll_event e = { .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.u64 = (uint64_t)(uintptr_t)l | side };

	return epoll_ctl(l->epoll, EPOLL_CTL_ADD, fd, &e) == 0;
}

struct link *
link_of(uint64_t data)
{
	return (struct link *)(uintptr_t)(data & ~(uint64_t)1);
}

enum link_side
link_side_of(uint64_t data)
{
	return (enum link_side)(data & 1);
}

static bool
unpack(struct link *l, const struct relay_parcel *p, size_t size)
{
	const uint8_t *at = (const uint8_t *)(p + 1);

	if (size < sizeof *p || size - sizeof *p != (uint64_t)p->partial + p->held + p->out + p->debt || p->partial > RECORDS_CIPHER)
		return false;
	l->records = records_new(&p->records);
	if (!l->records || !keep(&l->in, at, p->partial) || !keep(&l->plain, at + p->partial, p->held) ||
	    !keep(&l->out, at + p->partial + p->held, p->out) || !keep(&l->debt, at + p->partial + p->held + p->out, p->debt))
		return false;
	l->in_len = p->partial;
	l->plain_len = p->held;
	l->out_len = p->out;
	l->debt_len = p->debt;
	memcpy(l->who, p->who, sizeof l->who - 1);
	l->ended = p->flags & RELAY_ENDED;
	l->ragged = p->flags & RELAY_RAGGED;
	l->broken = p->flags & RELAY_CUT && !l->ragged;
	l->said = l->shut = l->finished = p->flags & RELAY_SHUT;
	return true;
}

struct link *
link_new(int epoll, uint64_t id, int wire, int end, const struct relay_parcel *parcel, size_t size)
{
	struct link *l = calloc(1, sizeof *l);

	if (!l)
		return NULL;
	l->id = id;
	l->epoll = epoll;
	l->wire = wire;
	l->end = end;
	l->progress = now_ms();
	l->wire_readable = l->wire_writable = l->end_readable = l->end_writable = true;
	if (!unpack(l, parcel, size) || !watch(l, wire, LINK_WIRE))
		goto err;
	if (!watch(l, end, LINK_END)) {
		epoll_ctl(epoll, EPOLL_CTL_DEL, wire, NULL);
		goto err;
	}
	l->next = links;
	l->back = &links;
	if (links)
		links->back = &l->next;
	links = l;
	count++;
	enqueue(l);
	return l;
err:
	forget(l);
	return NULL;
}

struct link *
link_find(uint64_t id)
{
	struct link *l = links;

	while (l && l->id != id)
		l = l->next;
	return l;
}

size_t
link_count(void)
{
	return count;
}

void
link_event(struct link *l, enum link_side side, uint32_t events)
{
	bool failed = events & (EPOLLERR | EPOLLHUP);

	if (side == LINK_WIRE) {
		l->wire_readable |= failed || events & (EPOLLIN | EPOLLRDHUP);
		l->wire_writable |= failed || events & EPOLLOUT;
	} else {
		l->end_readable |= failed || events & (EPOLLIN | EPOLLRDHUP);
		l->end_writable |= failed || events & EPOLLOUT;
		l->finished |= (events & (EPOLLRDHUP | EPOLLHUP)) != 0;
		if (events & EPOLLHUP && !l->gone) {
			l->gone = l->deaf = true;
			l->progress = now_ms();
			leaving++;
		}
	}
	enqueue(l);
}

/* ---- the wire towards the program ---- */

/* What goes wrong with the wire reaches the program as a reset, behind what it has not read yet. */
static void
wire_ends(struct link *l, bool clean)
{
	l->ended = true;
	l->broken |= !clean;
	free(l->in);
	l->in = NULL;
	l->in_len = 0;
}

static void
tls_fails(struct link *l)
{
	uint8_t alert[RECORDS_OVERHEAD];
	size_t n = records_alert(l->records, alert);

	log_line(LOG_LEVEL_WARN, "%s: %s; the program got ECONNRESET", l->who, records_reason(l->records));
	if (n && l->out_off == l->out_len && !l->shut)
		send(l->wire, alert, n, MSG_DONTWAIT | MSG_NOSIGNAL);
	l->mute = true;
	wire_ends(l, false);
}

/* Deliver n bytes; how many the end took. */
static size_t
deliver(struct link *l, const uint8_t *bytes, size_t n)
{
	size_t done = 0;

	while (done < n && !l->deaf) {
		ssize_t r = send(l->end, bytes + done, n - done, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0 && errno == EAGAIN) {
			l->end_writable = false;
			return done;
		}
		if (r < 0)
			l->deaf = true;		/* it has shut down reading, or closed */
		else
			done += (size_t)r;
	}
	return l->deaf ? n : done;
}

/* True = nothing that was opened waits any more. */
static bool
deliver_rest(struct link *l)
{
	size_t n;

	if (l->plain_off == l->plain_len)
		return true;
	if (!l->end_writable && !l->deaf)
		return false;
	n = deliver(l, l->plain + l->plain_off, l->plain_len - l->plain_off);
	if (n)
		l->progress = now_ms();
	l->plain_off += n;
	if (l->plain_off < l->plain_len)
		return false;
	drop(&l->plain, l->plain_len);
	l->plain_off = l->plain_len = 0;
	return true;
}

/* A whole chunk if the end surely takes it; else to the end of one record, which is what memory may have to hold. */
static size_t
incoming_quantum(const struct link *l, size_t have)
{
	size_t record = records_size(l->in, have);
	int used = 0, size = 0;
	socklen_t len = sizeof size;

	if (l->deaf)
		return CHUNK;
	if (ioctl(l->end, SIOCOUTQ, &used) == 0 && getsockopt(l->end, SOL_SOCKET, SO_SNDBUF, &size, &len) == 0 && size - used >= 2 * CHUNK)
		return CHUNK;
	return record > have ? record - have : RECORDS_CIPHER;
}

/* Open all whole records of the n bytes in `cipher`: the plaintext's length; *used: how much of the n that was. */
static size_t
open_records(struct link *l, size_t n, size_t *used)
{
	size_t total = 0;

	*used = 0;
	while (*used < n && !l->ended && total + RECORDS_CIPHER <= sizeof opened) {
		size_t size, len;
		enum records_result r = records_open(l->records, cipher + *used, n - *used, &size, opened + total, &len);

		*used += size;
		if (r == RECORDS_WANT)
			return total;
		if (r == RECORDS_DATA)
			total += len;
		else if (r == RECORDS_CLOSED)
			wire_ends(l, true);
		else if (r == RECORDS_FAILED)
			tls_fails(l);
	}
	return total;
}

static bool
no_memory(struct link *l)
{
	log_line(LOG_LEVEL_ERROR, "%s: out of memory; the connection is cut", l->who);
	l->mute = true;
	wire_ends(l, false);
	return false;
}

/* Take a chunk from the wire. True = worth another try. */
static bool
incoming(struct link *l)
{
	size_t have = l->in_len, used, n, done;
	ssize_t r = 0;

	if (!deliver_rest(l) || l->ended)
		return false;
	if (have)
		memcpy(cipher, l->in, have);
	if (l->wire_readable) {
		do
			r = recv(l->wire, cipher + have, incoming_quantum(l, have), MSG_DONTWAIT);
		while (r < 0 && errno == EINTR);
		if (r < 0 && errno == EAGAIN)
			l->wire_readable = false;
		else if (r < 0)
			wire_ends(l, false);
		else if (r == 0)
			wire_ends(l, l->ragged);
		else
			have += (size_t)r;
	}
	if (l->ended || r <= 0)
		return false;
	l->progress = now_ms();
	n = open_records(l, have, &used);
	done = deliver(l, opened, n);
	free(l->in);
	l->in = NULL;
	l->in_len = l->ended ? 0 : have - used;
	if (!keep(&l->in, cipher + used, l->in_len) || !keep(&l->plain, opened + done, n - done))
		return no_memory(l);
	l->plain_len = n - done;
	explicit_bzero(opened, n);
	/* a program that has left has no use for data: what else comes is answered by the kernel, with a reset */
	if (n && l->gone && l->shut)
		wire_ends(l, false);
	return true;
}

/* ---- the program towards the wire ---- */

static void
wire_refuses(struct link *l)
{
	l->mute = true;		/* what the peer sent before is still to be read */
	l->broken = true;
	free(l->out);
	l->out = NULL;
	l->out_off = l->out_len = 0;
}

/* How much of it the kernel took. */
static size_t
transmit(struct link *l, const uint8_t *bytes, size_t n)
{
	size_t done = 0;

	while (done < n && !l->mute) {
		ssize_t r = send(l->wire, bytes + done, n - done, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0 && errno == EAGAIN) {
			l->wire_writable = false;
			break;
		}
		if (r < 0)
			wire_refuses(l);
		else
			done += (size_t)r;
	}
	if (done)
		l->progress = now_ms();
	return l->mute ? n : done;
}

static bool
transmit_rest(struct link *l)
{
	if (l->out_off == l->out_len)
		return true;
	if (!l->wire_writable)
		return false;
	l->out_off += transmit(l, l->out + l->out_off, l->out_len - l->out_off);
	if (l->out && l->out_off < l->out_len)
		return false;
	free(l->out);
	l->out = NULL;
	l->out_off = l->out_len = 0;
	return true;
}

/* n bytes of `sealed` for the wire; what it refuses waits. */
static void
transmit_sealed(struct link *l, size_t n)
{
	size_t done = transmit(l, sealed, n);

	if (done == n)
		return;
	if (!keep(&l->out, sealed + done, n - done)) {
		no_memory(l);
		return;
	}
	l->out_len = n - done;
}

/* The same for the wire. */
static size_t
outgoing_quantum(const struct link *l)
{
	uint32_t memory[SK_MEMINFO_VARS] = { 0 };
	socklen_t len = sizeof memory;

	if (getsockopt(l->wire, SOL_SOCKET, SO_MEMINFO, memory, &len) < 0)
		return RECORDS_PLAIN;
	return memory[SK_MEMINFO_SNDBUF] >= memory[SK_MEMINFO_WMEM_QUEUED] + 2 * CHUNK ? CHUNK : RECORDS_PLAIN;
}

/* New bytes of the program, from plain[1] on: all but the last are consumed, that one is peeked. How many, 0 = there are none. */
static size_t
fetch(struct link *l)
{
	size_t most = outgoing_quantum(l);
	int queued = 0;
	ssize_t r;

	if (ioctl(l->end, FIONREAD, &queued) < 0 || queued <= 1)
		return 0;
	if (most > (size_t)queued - 1)
		most = (size_t)queued - 1;
	do
		r = recv(l->end, plain, most, MSG_DONTWAIT);	/* the byte processed before, and all new ones but the last */
	while (r < 0 && errno == EINTR);
	if (r <= 0)
		return 0;
	recv(l->end, plain + r, 1, MSG_DONTWAIT | MSG_PEEK);	/* it is there: nobody else reads */
	return (size_t)r;
}

/* What the program writes again because it was told that it was not written: the same bytes, or the connection fails. */
static size_t
repeated(struct link *l, const uint8_t *bytes, size_t n)
{
	size_t left = l->debt_len - l->debt_off, len = n < left ? n : left;

	if (len == 0)
		return 0;
	if (memcmp(l->debt + l->debt_off, bytes, len) != 0) {
		log_line(LOG_LEVEL_WARN, "%s: the program wrote other bytes than those it was told to write again; it got ECONNRESET", l->who);
		l->mute = true;
		wire_ends(l, false);
		return n;
	}
	l->debt_off += len;
	if (l->debt_off == l->debt_len) {
		drop(&l->debt, l->debt_len);
		l->debt_off = l->debt_len = 0;
	}
	return len;
}

static void
seal(struct link *l, const uint8_t *bytes, size_t n)
{
	size_t total = 0;

	while (n > 0) {
		size_t len = n < RECORDS_PLAIN ? n : RECORDS_PLAIN, size = records_seal(l->records, bytes, len, sealed + total);

		if (size == 0) {
			tls_fails(l);
			return;
		}
		total += size;
		bytes += len;
		n -= len;
	}
	transmit_sealed(l, total);
}

/* The program writes no more, and all of it has gone: say so. */
static void
say_goodbye(struct link *l)
{
	size_t n = l->said ? 0 : records_alert(l->records, sealed);

	l->said = true;
	if (n)
		transmit_sealed(l, n);
	if (l->out_len == 0 && !l->mute) {
		shutdown(l->wire, SHUT_WR);
		l->shut = true;
	}
}

static bool
outgoing(struct link *l)
{
	size_t n, again;

	if (!transmit_rest(l))
		return false;
	if (l->mute || l->shut)
		return false;
	if (l->end_readable && (n = fetch(l)) > 0) {
		l->progress = now_ms();
		again = repeated(l, plain + 1, n);
		if (again < n)
			seal(l, plain + 1 + again, n - again);
		explicit_bzero(plain, n + 1);
		return !l->mute;
	}
	l->end_readable = false;
	if (l->finished)
		say_goodbye(l);
	return false;
}

/* ---- both ---- */

/* Is it over? Then the link is freed. */
static bool
over(struct link *l)
{
	bool read = l->ended && (l->plain_off == l->plain_len || l->deaf), written = l->shut || l->mute;

	if (read && l->broken && (written || (!l->gone && l->out_len == 0))) {
		link_end(l, true);
		return true;
	}
	if (read && !l->told && !l->broken) {
		shutdown(l->end, SHUT_WR);
		l->told = true;
	}
	if (l->told && written) {
		link_end(l, false);
		return true;
	}
	return false;
}

void
link_run(struct link *l)
{
	bool more = true;

	for (int i = 0; i < ROUNDS && more; i++) {
		more = incoming(l);
		more |= outgoing(l);
	}
	if (!over(l) && more)
		enqueue(l);
}

static bool
acknowledged(const struct link *l)
{
	int unsent = 0;

	return l->mute || (l->shut && ioctl(l->wire, SIOCOUTQ, &unsent) == 0 && unsent == 0);
}

/* A program that has left: its last bytes have the time that the kernel's own buffer would give them. */
static void
lingers(struct link *l, int64_t now)
{
	struct linger hard = { 1, 0 };

	if (!l->arrived && acknowledged(l))
		l->arrived = now;
	if (l->arrived ? now - l->arrived < FAREWELL : now - l->progress < LINGER)
		return;
	if (!l->arrived) {
		log_line(LOG_LEVEL_WARN, "%s: the program has left and its last bytes were not taken for %d s: dropped", l->who, LINGER / 1000);
		setsockopt(l->wire, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
	}
	link_end(l, true);
}

int
link_tick(int64_t now)
{
	if (leaving == 0)
		return -1;
	if (now < next_tick)
		return (int)(next_tick - now);
	for (struct link *l = links, *next; l; l = next) {
		next = l->next;
		if (l->gone)
			lingers(l, now);
	}
	next_tick = now + TICK;
	return leaving ? TICK : -1;
}

bool
link_drained(void)
{
	for (const struct link *l = links; l; l = l->next)
		if (l->gone && !l->arrived && !l->mute)
			return false;
	return true;
}

int
link_option(struct link *l, struct relay_option *o)
{
	socklen_t len = o->length;
	int unsent = 0, queued = 1;

	if (o->length > sizeof o->value)
		return EINVAL;
	switch (o->kind) {
	case RELAY_SET:
		return setsockopt(l->wire, o->level, o->name, o->value, len) < 0 ? errno : 0;
	case RELAY_GET:
		if (getsockopt(l->wire, o->level, o->name, o->value, &len) < 0)
			return errno;
		o->length = len;
		return 0;
	case RELAY_UNSENT:
		if (ioctl(l->wire, SIOCOUTQ, &unsent) < 0 || ioctl(l->end, FIONREAD, &queued) < 0)
			return errno;
		unsent += (int)(l->out_len - l->out_off) + queued - 1;
		memcpy(o->value, &unsent, sizeof unsent);
		o->length = sizeof unsent;
		return 0;
	default:
		return EINVAL;
	}
}
