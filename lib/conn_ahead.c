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

/* A look at what there is: 1 = something came, and *more may have, 0 = nothing did. */
static int
open_seen(struct conn *c, int fd, size_t most, bool *more)
{
	int r = conn_look(c, fd, most);

	*more = r == 1;
	if (r == -EPIPE && !conn_ready_bytes(c))
		conn_kernel_ended(c, fd);
	else if (r < 0 && r != -EAGAIN && r != -EPIPE)
		return conn_broke(c, fd, -r);
	if (r < 0)
		return 0;
	return hold(c, fd) == ENGINE_CLOSED ? -EPIPE : 1;
}

int
conn_open_ahead(struct conn *c, int fd, size_t enough)
{
	size_t most = enough > RECORD_PLAIN ? POOL_SIZE - RECORD_HEADER - RECORD_CIPHER - 1 : RECORD_HEADER + RECORD_CIPHER;
	bool more = true;
	int opened = 0, r;

	if (engine_pending(c->tls) && hold(c, fd) == ENGINE_CLOSED)
		return -EPIPE;
	while (more && !c->eof && !c->error && c->held_len - c->held_off < enough) {
		r = open_seen(c, fd, most, &more);
		conn_settle(c, fd);	/* also behind a close_notify: an owed byte left there would turn our FIN into RST */
		if (r < 0)
			return r;
		opened |= r;
	}
	return opened;
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
