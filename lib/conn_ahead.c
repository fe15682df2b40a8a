/*
 * conn_ahead.c - plaintext before the program asks for it: for readiness, MSG_PEEK, a farewell, and what leaves this process.
 *
 * It goes to `held`, and the last ciphertext byte of it stays in the kernel as long as some of it waits there.
 */
#include "conn_impl.h"

#include "raw.h"

#include <sys/ioctl.h>

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

enum { AHEAD = 256 * 1024 };	/* plaintext that asking how much has arrived may bring here; the kernel keeps the rest, and the peer waits */

/* Each byte is moved a few times at most, however much of it comes and goes. */
static bool
held_room(struct conn *c, size_t more)
{
	size_t some = c->held_len - c->held_off, cap = c->held_cap + c->held_cap / 2;
	uint8_t *p = c->held;

	if (c->held_len + more <= c->held_cap)
		return true;
	if (some + more > c->held_cap / 2) {
		if (cap < some + more)
			cap = some + more;
		p = malloc(cap);	/* realloc would leave what was decrypted where it was */
		if (!p)
			return false;
	}
	if (some)
		memmove(p, c->held + c->held_off, some);
	if (p == c->held) {
		explicit_bzero(p + some, c->held_len - some);
	} else {
		if (c->held)
			explicit_bzero(c->held, c->held_len);
		free(c->held);
		c->held = p;
		c->held_cap = cap;
	}
	c->held_off = 0;
	c->held_len = some;
	return true;
}

/* Everything that the engine has decrypted or can decrypt from wire.in goes to held. */
static enum engine_result
hold(struct conn *c, int fd)
{
	for (;;) {
		size_t n = 0;
		enum engine_result r;

		if (!held_room(c, RECORD_PLAIN)) {
			conn_fail(c, fd, ENOMEM, "no memory for data that has arrived");
			return ENGINE_CLOSED;
		}
		r = conn_decrypt(c, fd, c->held + c->held_len, RECORD_PLAIN, &n);
		if (r != ENGINE_DONE)
			return r;
		c->held_len += n;
	}
}

/* Is the next record wholly in the kernel, behind what we hold of it and behind an owed byte? *some: bytes there. */
static bool
whole_record_waits(struct conn *c, int fd, int *some)
{
	struct engine_wire *w = &c->wire;
	size_t have, size, skip = c->owed;
	uint8_t head[1 + RECORD_HEADER];
	long n;

	*some = 0;
	if (raw_ioctl(fd, FIONREAD, some) < 0 || (size_t)*some <= skip)
		return false;
	conn_compact(w);
	have = w->in_len;
	size = conn_record_size(w);
	if (!size) {
		uint8_t first[RECORD_HEADER];

		n = raw_recv(fd, head, skip + RECORD_HEADER - have, MSG_DONTWAIT | MSG_PEEK);
		if (n < (long)(skip + RECORD_HEADER - have))
			return false;
		memcpy(first, w->in, have);
		memcpy(first + have, head + skip, RECORD_HEADER - have);
		size = RECORD_HEADER + ((size_t)first[3] << 8 | first[4]);
	}
	return have + (size_t)*some - skip >= size;
}

/* Take what is there of the next record but for its last byte, which is peeked. Of what is no record, no more than shows it. */
static int
fill_record(struct conn *c, int fd)
{
	size_t size;
	int r;

	do {
		r = conn_fill(c, fd, 0);
		size = conn_record_size(&c->wire);
	} while (r == 1 && !c->owed && (!size || (size <= RECORD_HEADER + RECORD_CIPHER && size > c->wire.in_len)));
	return r;
}

/* Take and decrypt the record that waits, but for its last byte. */
static int
open_record(struct conn *c, int fd)
{
	int r = conn_take_owed(c, fd);

	if (r == 0)
		r = fill_record(c, fd);
	if (r < 0)
		return r;
	return hold(c, fd) == ENGINE_CLOSED ? -EPIPE : 1;
}

/* No whole record waited: bytes of an incomplete one may wait here. Its rest may have come meanwhile; or it is none; or the end. */
static int
take_rest(struct conn *c, int fd)
{
	int r = fill_record(c, fd);

	if (c->wire.in_len && hold(c, fd) == ENGINE_CLOSED)
		return -EPIPE;
	conn_settle(c, fd);
	if (r == -EPIPE)
		conn_kernel_ended(c, fd);
	else if (r < 0 && r != -EAGAIN)
		return conn_broke(c, fd, -r);
	return 0;
}

/* Nothing waits here: a look at what there is. *all: it was all. */
static int
open_seen(struct conn *c, int fd, bool *all)
{
	int r = conn_look(c, fd);

	*all = r != 1;
	if (r == -EPIPE)
		conn_kernel_ended(c, fd);
	else if (r < 0 && r != -EAGAIN)
		return conn_broke(c, fd, -r);
	if (r < 0)
		return 0;
	return hold(c, fd) == ENGINE_CLOSED ? -EPIPE : 1;
}

int
conn_open_ahead(struct conn *c, int fd, size_t enough)
{
	int some, opened = 0, r;
	bool all;

	if (engine_pending(c->tls) && hold(c, fd) == ENGINE_CLOSED)
		return -EPIPE;
	if (!c->owed && !conn_ready_bytes(c) && !c->eof && !c->error) {
		opened = open_seen(c, fd, &all);
		if (all || opened < 0)
			return opened;
	}
	while (!c->eof && !c->error && c->held_len - c->held_off < enough && whole_record_waits(c, fd, &some)) {
		r = open_record(c, fd);
		conn_settle(c, fd);	/* also behind a close_notify: an owed byte left there would turn our FIN into RST */
		if (r < 0)
			return r;
		opened = 1;
	}
	if (conn_ready_bytes(c) || c->eof || c->error)
		return opened;
	r = take_rest(c, fd);
	return r < 0 ? r : opened;
}

int
conn_ahead(struct conn *c, int fd, size_t enough)
{
	int r;

	if (!conn_in_begin(c))
		return conn_fail(c, fd, ENOMEM, "no memory to read");
	r = conn_open_ahead(c, fd, enough);
	conn_drop_empty(c);
	return conn_in_end(c, fd) < 0 ? -ENOMEM : r;
}

int
conn_gather(struct conn *c, int fd)
{
	int r;

	if (!conn_in_begin(c))
		return -ENOMEM;
	if (engine_pending(c->tls))
		hold(c, fd);
	conn_drop_empty(c);
	r = conn_in_end(c, fd);
	conn_take_owed(c, fd);
	return r < 0 ? r : c->error ? -c->error : 0;
}

/* Plaintext of the records that wait in the kernel, were they all as large as records can be: not less than they hold. */
static size_t
waiting(const struct conn *c, int fd)
{
	size_t bytes = c->left_len, frames;
	int some = 0;

	if (raw_ioctl(fd, FIONREAD, &some) == 0 && some > c->owed)
		bytes += (size_t)some - c->owed;
	frames = (bytes / (RECORD_HEADER + RECORD_PLAIN + c->overhead) + 1) * (RECORD_HEADER + c->overhead);
	return bytes > frames ? bytes - frames : bytes > 0;
}

ssize_t
conn_arrived(struct conn *c, int fd)
{
	size_t n = 0;

	if (!conn_lock(c))
		return 0;
	if (c->state <= CONN_HANDSHAKING)
		conn_handshake_step(c, fd, false);
	if (c->state == CONN_OPEN && !c->eof && conn_claim(c, READING) == 0)
		conn_ahead(c, fd, AHEAD);
	n = conn_ready_bytes(c);
	if (n >= AHEAD)		/* to say less than has arrived would stop those who wait for an edge behind it */
		n += waiting(c, fd);
	conn_unlock(c);
	return n > INT_MAX ? INT_MAX : (ssize_t)n;
}
