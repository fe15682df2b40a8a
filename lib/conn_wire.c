/* conn_wire.c - ciphertext from the kernel: how much of it leaves it, and when. conn_read.c has the rule. */
#include "conn_impl.h"

#include "raw.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { FLIGHT = 8192 };		/* ciphertext looked at where several records of no data come at a time: most handshakes, and tickets */

bool
conn_in_begin(struct conn *c)
{
	uint8_t *buf = pool_get();

	if (!buf)
		return false;
	if (c->left_len)
		memcpy(buf, c->left, c->left_len);
	c->wire.in = buf;
	c->wire.in_off = 0;
	c->wire.in_len = c->left_len;
	return true;
}

/*
 * What was seen leaves the kernel: all of it, or as far as it was opened; but for one byte that keeps the socket readable as long as data
 * of it waits here.
 */
int
conn_take_seen(struct conn *c, int fd, bool all)
{
	struct engine_wire *w = &c->wire;
	uint8_t *buf = (uint8_t *)(uintptr_t)w->in;
	size_t closed = all ? 0 : w->in_len - w->in_off, keep = closed < c->seen ? closed : c->seen, n = c->seen - keep;
	long taken;

	c->owed = n && conn_ready_bytes(c);
	n -= c->owed;
	taken = n ? raw_recv(fd, buf + w->in_len - c->seen, n, MSG_DONTWAIT | MSG_TRUNC) : 0;
	w->in_len -= keep;
	c->seen = 0;
	return taken == (long)n ? 0 : conn_fail(c, fd, EIO, "data that had arrived is gone: somebody else reads from the socket");
}

int
conn_in_end(struct conn *c, int fd)
{
	uint8_t *buf = (uint8_t *)(uintptr_t)c->wire.in;
	int r = c->seen ? conn_take_seen(c, fd, false) : 0;
	size_t n;

	c->pending = conn_ready_bytes(c);
	n = c->wire.in_len - c->wire.in_off;
	free(c->left);
	c->left = NULL;
	c->left_len = 0;
	if (n && c->state != CONN_DEAD) {
		c->left = malloc(n);
		if (c->left) {
			memcpy(c->left, buf + c->wire.in_off, n);
			c->left_len = n;
		} else {
			r = conn_fail(c, fd, ENOMEM, "no memory for an incomplete record");
		}
	}
	c->wire.in = NULL;
	c->wire.in_off = c->wire.in_len = 0;
	pool_put(buf);
	return r;
}

/* Bytes of the record that begins at in_off, header included; 0 = header incomplete. */
size_t
conn_record_size(const struct engine_wire *w)
{
	const uint8_t *p = w->in + w->in_off;

	return w->in_len - w->in_off < RECORD_HEADER ? 0 : RECORD_HEADER + ((size_t)p[3] << 8 | p[4]);
}

static void
compact(struct engine_wire *w)
{
	uint8_t *buf = (uint8_t *)(uintptr_t)w->in;

	if (!w->in_off)
		return;
	memmove(buf, buf + w->in_off, w->in_len - w->in_off);
	w->in_len -= w->in_off;
	w->in_off = 0;
}

/* Ciphertext of this length holds no more data than that, however it is cut into records. */
static size_t
ciphertext(const struct conn *c, size_t room)
{
	return room + (room + RECORD_PLAIN - 1) / RECORD_PLAIN * (RECORD_HEADER + c->overhead);
}

/* 1 = all of want, 0 = less, or -EAGAIN, -EPIPE at the end of stream, or the kernel's error. */
static int
take(struct conn *c, int fd, size_t want, int flags)
{
	struct engine_wire *w = &c->wire;
	uint8_t *buf = (uint8_t *)(uintptr_t)w->in;
	long n;

	do
		n = raw_recv(fd, buf + w->in_len, want, MSG_DONTWAIT | flags);
	while (n == -EINTR);
	if (n == 0)
		return -EPIPE;
	if (n < 0)
		return (int)n;
	w->in_len += (size_t)n;
	return (size_t)n == want;
}

/* See what is there. It leaves the kernel when it has been opened. */
static int
look(struct conn *c, int fd, size_t most)
{
	size_t have = c->wire.in_len;
	int r = take(c, fd, most, MSG_PEEK);

	c->seen = c->wire.in_len - have;
	return r;
}

/*
 * The least that is needed, and what comes behind it for a caller with room for it.  Behind a close_notify the peer may go on in plain, for
 * callers that know of TLS: they only look.
 */
static int
take_most(struct conn *c, int fd, size_t least, size_t room)
{
	size_t most = ciphertext(c, room), have = c->wire.in_len;

	if (most <= have + least)
		return take(c, fd, least, 0);
	return c->alone ? look(c, fd, most - have) : take(c, fd, most - have, 0);
}

int
conn_look(struct conn *c, int fd, size_t most)
{
	struct engine_wire *w = &c->wire;
	size_t owed = c->owed;
	int r;

	compact(w);
	if (owed && !w->in_len)
		w->in_off = w->in_len = 1;	/* it was opened */
	w->in_len -= owed;			/* and comes once more, before the rest */
	r = look(c, fd, owed + most);
	if (c->seen > owed) {
		c->owed = false;
		return r;
	}
	w->in_len += owed - c->seen;
	c->seen = 0;
	return r < 0 ? r : -EAGAIN;
}

int
conn_fill(struct conn *c, int fd, size_t room)
{
	struct engine_wire *w = &c->wire;
	size_t have, size, rest;
	int r;

	compact(w);
	if (c->state != CONN_OPEN) {
		r = look(c, fd, FLIGHT);
		return r == 0 ? 1 : r;
	}
	have = w->in_len;
	size = conn_record_size(w);
	if (room > 64 * 1024)
		room = 64 * 1024;
	if (c->fresh && room && room < FLIGHT)
		return look(c, fd, FLIGHT);
	if (!size)
		return take_most(c, fd, RECORD_HEADER - have, room);
	if (size > RECORD_HEADER + RECORD_CIPHER)
		return take(c, fd, 1, 0);	/* no TLS: the engine says so */
	if (size <= have)
		return 1;
	rest = size - have;
	if (size - RECORD_HEADER <= room + c->overhead)
		return take_most(c, fd, rest, room);
	if (rest > 1)
		return take(c, fd, rest - 1, 0);
	r = take(c, fd, 1, MSG_PEEK);
	c->owed = r == 1;
	return r;
}

/* The byte that was looked at, and must come: without it what follows is no record. 0, or the connection has failed. */
int
conn_take_owed(struct conn *c, int fd)
{
	uint8_t byte;
	long n;

	if (!c->owed)
		return 0;
	do
		n = raw_recv(fd, &byte, 1, MSG_DONTWAIT);
	while (n == -EINTR);
	c->owed = false;
	if (n == 1)
		return 0;
	return conn_broke(c, fd, n == 0 ? ECONNRESET : n == -EAGAIN ? EIO : (int)-n);
}

void
conn_settle(struct conn *c, int fd)
{
	if (!conn_ready_bytes(c))
		conn_take_owed(c, fd);
}
