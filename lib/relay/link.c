/*
 * link.c - a connection's life in the relay: taken, run in turns, ended in the way that the program is to see.
 *
 * Our end of the pair always keeps one byte in its receive queue that has been processed: the kernel turns the close of an end with
 * an unread byte into ECONNRESET at the other one, behind all data, and the close of an empty one into an end of stream.
 */
#include "link_impl.h"

#include "log.h"

#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { ROUNDS = 4 };			/* chunks in each direction before others have their turn */
enum { FAREWELL = 2 * 1000 };		/* all it wrote has arrived: how long to wait for the peer's end */
enum { TICK = 50 };

static struct link *links, *first, **last = &first;
static size_t count, leaving;		/* leaving: of them, those whose program has gone */
static int64_t next_tick;

int64_t
link_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* ---- made and ended ---- */

bool
link_keep(uint8_t **to, const uint8_t *from, size_t n)
{
	*to = NULL;
	if (n == 0)
		return true;
	*to = malloc(n);
	if (*to)
		memcpy(*to, from, n);
	return *to != NULL;
}

void
link_drop(uint8_t **p, size_t n)
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
	link_drop(&l->plain, l->plain_len);
	free(l->out);
	link_drop(&l->debt, l->debt_len);
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
watch(struct link *l, int op, int fd, enum link_side side, uint32_t more)
{
	struct epoll_event e = { .events = EPOLLIN | EPOLLRDHUP | EPOLLET | more, .data.u64 = (uint64_t)(uintptr_t)l | side };

	return epoll_ctl(l->epoll, op, fd, &e) == 0;
}

/* A Unix socket tells of room with every read of the other end, so it is asked to when there was none. */
void
link_await_room(struct link *l)
{
	l->end_writable = !watch(l, EPOLL_CTL_MOD, l->end, LINK_END, EPOLLOUT);
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
	if (!l->records || !link_keep(&l->in, at, p->partial) || !link_keep(&l->plain, at + p->partial, p->held) ||
	    !link_keep(&l->out, at + p->partial + p->held, p->out) || !link_keep(&l->debt, at + p->partial + p->held + p->out, p->debt))
		return false;
	l->in_len = p->partial;
	l->plain_len = p->held;
	l->out_len = p->out;
	l->debt_len = p->debt;
	memcpy(l->who, p->who, sizeof l->who - 1);
	l->ended = p->flags & RELAY_ENDED;
	l->ragged = p->flags & RELAY_RAGGED;
	l->nodelay = (p->flags & RELAY_NODELAY) != 0;
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
	l->progress = link_now();
	l->wire_readable = l->wire_writable = l->end_readable = l->end_writable = true;
	l->kept = 1;
	if (setsockopt(end, SOL_SOCKET, SO_PEEK_OFF, &(int){ 1 }, sizeof(int)) < 0 || !unpack(l, parcel, size) ||
	    !watch(l, EPOLL_CTL_ADD, wire, LINK_WIRE, EPOLLOUT))
		goto err;
	if (!watch(l, EPOLL_CTL_ADD, end, LINK_END, 0)) {
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

/* A pair's end that was closed with bytes in its queue has told ours so. */
static bool
unread(const struct link *l)
{
	int error = 0;
	socklen_t len = sizeof error;

	return l->reset || l->plain_off < l->plain_len || (getsockopt(l->end, SOL_SOCKET, SO_ERROR, &error, &len) == 0 && error == ECONNRESET);
}

void
link_event(struct link *l, enum link_side side, uint32_t events)
{
	bool failed = events & (EPOLLERR | EPOLLHUP);

	if (side == LINK_WIRE) {
		l->wire_readable |= failed || events & (EPOLLIN | EPOLLRDHUP);
		l->wire_writable |= failed || events & EPOLLOUT;
		l->wire_hung |= failed || events & EPOLLRDHUP;
		l->mute |= failed && l->answered;	/* a reset, of which no read would tell */
	} else {
		l->end_readable |= failed || events & (EPOLLIN | EPOLLRDHUP);
		if (!l->end_writable && events & EPOLLOUT)
			watch(l, EPOLL_CTL_MOD, l->end, LINK_END, 0);
		l->end_writable |= failed || events & EPOLLOUT;
		l->finished |= (events & (EPOLLRDHUP | EPOLLHUP)) != 0;
		if (events & EPOLLHUP && !l->gone) {
			l->gone = l->deaf = true;
			l->unread = unread(l);
			l->cutting = l->unread && l->shut;
			l->progress = link_now();
			leaving++;
		}
	}
	enqueue(l);
}

/* ---- ends ---- */

/* What goes wrong with the wire reaches the program as a reset, behind what it has not read yet. */
void
link_wire_ends(struct link *l, bool clean)
{
	l->ended = true;
	l->broken |= !clean;
	free(l->in);
	l->in = NULL;
	l->in_len = 0;
}

void
link_tls_fails(struct link *l)
{
	uint8_t alert[RECORDS_OVERHEAD];
	size_t n = records_alert(l->records, alert);

	log_line(LOG_LEVEL_WARN, "%s: %s; the program got ECONNRESET", l->who, records_reason(l->records));
	if (n && l->out_off == l->out_len && !l->shut)
		send(l->wire, alert, n, MSG_DONTWAIT | MSG_NOSIGNAL);
	l->mute = true;
	link_wire_ends(l, false);
}

bool
link_no_memory(struct link *l)
{
	log_line(LOG_LEVEL_ERROR, "%s: out of memory; the connection is cut", l->who);
	l->mute = true;
	link_wire_ends(l, false);
	return false;
}

void
link_end_fails(struct link *l)
{
	log_line(LOG_LEVEL_WARN, "%s: the program's end: %s; the connection is cut", l->who, strerror(errno));
	l->mute = true;
	link_wire_ends(l, false);
}

/* ---- both ---- */

static bool
acknowledged(const struct link *l)
{
	int unsent = 0;

	return l->mute || (l->shut && ioctl(l->wire, SIOCOUTQ, &unsent) == 0 && unsent == 0);
}

/* What the wire's queue holds is dropped, and the peer learns by a reset that it is. */
static void
reset_wire(struct link *l)
{
	struct linger hard = { 1, 0 };

	setsockopt(l->wire, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
	link_end(l, true);
}

/* Is it over? Then the link is freed. */
static bool
over(struct link *l)
{
	bool read = l->ended && (l->plain_off == l->plain_len || l->deaf), written = l->shut || l->mute;

	if (l->cutting) {
		if (!acknowledged(l))
			return false;
		reset_wire(l);
		return true;
	}
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
		more = link_incoming(l);
		more |= link_outgoing(l);
	}
	if (!over(l) && more)
		enqueue(l);
}

/* A program that has left: its last bytes have the time that the kernel's own buffer would give them. */
static void
lingers(struct link *l, int64_t now)
{
	if (l->cutting && (acknowledged(l) || now - l->progress >= FAREWELL)) {
		reset_wire(l);
		return;
	}
	if (!l->arrived && !l->cutting && acknowledged(l))
		l->arrived = now;
	if (l->arrived ? now - l->arrived < FAREWELL : now - l->progress < RELAY_LINGER * 1000)
		return;
	if (!l->arrived) {
		log_line(LOG_LEVEL_WARN, "%s: the program has left and its last bytes were not taken for %d s: dropped", l->who, RELAY_LINGER);
		reset_wire(l);
		return;
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
		if (l->finished && !acknowledged(l))
			return false;
	return true;
}

/* The wire never waits for more, as each write is a record; the program's wish is remembered for who asks. */
static int
nodelay(struct link *l, struct relay_option *o)
{
	if (o->kind == RELAY_SET) {
		if (o->length < sizeof l->nodelay)
			return EINVAL;
		memcpy(&l->nodelay, o->value, sizeof l->nodelay);
		l->nodelay = l->nodelay != 0;
		return 0;
	}
	if (o->length > sizeof l->nodelay)
		o->length = sizeof l->nodelay;
	memcpy(o->value, &l->nodelay, o->length);
	return 0;
}

int
link_option(struct link *l, struct relay_option *o)
{
	socklen_t len = o->length;
	int unsent = 0, queued = 1;

	if (o->length > sizeof o->value)
		return EINVAL;
	if (o->kind != RELAY_UNSENT && o->level == IPPROTO_TCP && o->name == TCP_NODELAY)
		return nodelay(l, o);
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
		unsent += (int)(l->out_len - l->out_off) + queued - (int)l->kept;
		memcpy(o->value, &unsent, sizeof unsent);
		o->length = sizeof unsent;
		return 0;
	default:
		return EINVAL;
	}
}
