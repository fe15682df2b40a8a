/*
 * conn_read.c - ciphertext in, plaintext out, and the rule that keeps the kernel the truth.
 *
 * No more ciphertext is taken than what the caller can hold as plaintext, so nothing is left over in memory, and an incomplete record
 * may wait here because the kernel will signal its rest.  Only a record that is larger than the caller's room is decrypted ahead;
 * then its last ciphertext byte is peeked, not taken, and the socket stays readable until the plaintext is drained.
 */
#include "conn_impl.h"

#include "raw.h"

#include <sys/ioctl.h>

#include <netinet/in.h>
#include <netinet/tcp.h>

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { ANSWERS_MOST = 16384 };
enum { NO_WAIT = 5 };			/* microseconds in which poll returns without a change of threads */

size_t
conn_ready_bytes(const struct conn *c)
{
	return c->held_len - c->held_off + (c->tls ? engine_pending(c->tls) : 0);
}

static void
end_of_stream(struct conn *c, int fd, bool clean)
{
	c->eof = true;
	c->cut = !clean;
	if (!c->alone)
		raw_shutdown(fd, SHUT_RD);	/* an edge for those who wait, and readable for ever */
}

/* The kernel has no more: the peer's end without a farewell, or a process that shares the socket has shut its reading side. */
static void
kernel_ended(struct conn *c, int fd)
{
	uint8_t state = 0;
	unsigned len = sizeof state;

	if (raw_getsockopt(fd, IPPROTO_TCP, TCP_INFO, &state, &len) == 0 && (state == TCP_ESTABLISHED || state == TCP_FIN_WAIT1 || state == TCP_FIN_WAIT2))
		c->shut_read = true;
	end_of_stream(c, fd, false);
}

/* An idle connection keeps no buffer. */
static void
drop_empty(struct conn *c)
{
	if (!c->held || c->held_off < c->held_len)
		return;
	explicit_bzero(c->held, c->held_cap);
	free(c->held);
	c->held = NULL;
	c->held_off = c->held_len = c->held_cap = 0;
}

static size_t
take_held(struct conn *c, void *buf, size_t len, bool peek)
{
	size_t n = c->held_len - c->held_off;

	if (n > len)
		n = len;
	if (!n)
		return 0;
	memcpy(buf, c->held + c->held_off, n);
	if (peek)
		return n;
	c->held_off += n;
	drop_empty(c);
	return n;
}

/* One engine_recv and what follows from its answer: DONE with *n, WANT_READ, or CLOSED for every kind of end. */
static enum engine_result
decrypt(struct conn *c, int fd, void *buf, size_t len, size_t *n)
{
	size_t before = c->wire.out_len;
	enum engine_result r = engine_recv(c->tls, buf, len, n);

	if (c->seen && r != ENGINE_DONE)
		conn_take_seen(c, fd, r == ENGINE_WANT_READ);
	if (r == ENGINE_CLOSED) {
		end_of_stream(c, fd, true);
	} else if (r != ENGINE_DONE && r != ENGINE_WANT_READ) {
		conn_fail_tls(c, fd, r);
		return ENGINE_CLOSED;
	}
	if (c->wire.out_len > before) {		/* the answer to a key update */
		if (!share_take(&c->share, WRITING)) {
			c->wire.out_len = before;
		} else {
			c->answers = before ? c->answers + (c->wire.out_len - before) : c->wire.out_len;
			conn_note_record(c, 0);
			conn_flush(c, fd);	/* if that fails, what has arrived comes first; the next write meets it again */
			if (c->wire.out_len > c->out_off && c->answers > ANSWERS_MOST)
				conn_fail(c, fd, EPROTO, "the peer asks (key updates, renegotiations) and does not read the answers");
		}
	}
	return c->error ? ENGINE_CLOSED : r;
}

/* The caller's room, taken vector by vector. */
struct reading {
	size_t more;		/* room in the vectors behind the present one */
	int full;		/* the kernel gave all that it was asked for: there may be more */
};

/* Fill buf from what is decrypted and from the wire until it is full or the kernel came up short. Counts into *done. */
static int
read_some(struct conn *c, int fd, uint8_t *buf, size_t len, struct reading *at, size_t *done)
{
	for (;;) {
		size_t n = take_held(c, buf + *done, len - *done, false);
		enum engine_result r;

		*done += n;
		if (n && *done < len)
			conn_settle(c, fd);
		if (*done == len)
			break;
		if (c->eof || c->error)
			break;
		r = decrypt(c, fd, buf + *done, len - *done, &n);
		if (r == ENGINE_DONE) {
			*done += n;
			continue;
		}
		if (r == ENGINE_CLOSED)
			break;
		conn_settle(c, fd);
		if (at->full != 1)
			break;
		at->full = conn_fill(c, fd, len - *done + at->more);
		if (at->full == -EPIPE) {
			kernel_ended(c, fd);
			break;
		}
		if (at->full == -EAGAIN)
			break;
		if (at->full < 0 && c->shut_read && c->shut_write) {	/* the peer's close_notify met a socket that is shut both ways */
			c->eof = true;
			break;
		}
		if (at->full < 0)
			return conn_broke(c, fd, -at->full);	/* the kernel says it once: remember it behind what is delivered */
	}
	conn_settle(c, fd);
	return 0;
}

static bool
held_room(struct conn *c, size_t more)
{
	size_t cap = c->held_len + more;
	uint8_t *p;

	if (cap <= c->held_cap)
		return true;
	p = malloc(cap);
	if (!p)
		return false;
	if (c->held) {		/* realloc would leave what was decrypted where it was */
		memcpy(p, c->held, c->held_len);
		explicit_bzero(c->held, c->held_len);
	}
	free(c->held);
	c->held = p;
	c->held_cap = cap;
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
		r = decrypt(c, fd, c->held + c->held_len, RECORD_PLAIN, &n);
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
		kernel_ended(c, fd);
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
		kernel_ended(c, fd);
	else if (r < 0 && r != -EAGAIN)
		return conn_broke(c, fd, -r);
	if (r < 0)
		return 0;
	return hold(c, fd) == ENGINE_CLOSED ? -EPIPE : 1;
}

static int
ahead(struct conn *c, int fd, size_t enough)
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
conn_ahead(struct conn *c, int fd)
{
	int r;

	if (!conn_in_begin(c))
		return conn_fail(c, fd, ENOMEM, "no memory to read");
	r = ahead(c, fd, SIZE_MAX);
	drop_empty(c);
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
	drop_empty(c);
	r = conn_in_end(c, fd);
	conn_take_owed(c, fd);
	return r < 0 ? r : c->error ? -c->error : 0;
}

ssize_t
conn_arrived(struct conn *c, int fd)
{
	ssize_t n = 0;

	if (!conn_lock(c))
		return 0;
	if (c->state <= CONN_HANDSHAKING)
		conn_handshake_step(c, fd, false);
	if (c->state == CONN_OPEN && !c->eof && conn_claim(c, READING) == 0)
		conn_ahead(c, fd);
	n = (ssize_t)conn_ready_bytes(c);
	conn_unlock(c);
	return n > INT_MAX ? INT_MAX : n;
}

/* What recv says when no byte is to be had: 0 at the end, or a negated errno. */
static ssize_t
nothing(struct conn *c)
{
	if (c->error)
		return -c->error;
	if (c->cut && !c->config->suppress_ragged_eofs && !c->shut_read)
		return -ECONNRESET;
	return c->eof || c->shut_read ? 0 : -EAGAIN;
}

static int
read_round(struct conn *c, int fd, const struct iovec *iov, int iovcnt, bool peek, size_t skip, size_t *done)
{
	struct reading at = { 0, 1 };
	int r = 0;

	if (!conn_in_begin(c))
		return conn_fail(c, fd, ENOMEM, "no memory to read");
	for (int i = 0; i < iovcnt; i++)
		at.more += iov[i].iov_len;
	if (peek) {
		ahead(c, fd, at.more);
		drop_empty(c);
	}
	for (int i = 0; i < iovcnt && r == 0; i++) {
		uint8_t *base = iov[i].iov_base;
		size_t len = iov[i].iov_len, n = 0;

		at.more -= len;
		if (skip >= len) {
			skip -= len;
			continue;
		}
		if (peek) {
			size_t off = c->held_off;

			c->held_off += *done;
			n = take_held(c, base, len, true);
			c->held_off = off;
		} else {
			r = read_some(c, fd, base + skip, len - skip, &at, &n);
		}
		*done += n;
		if (n < len - skip)
			break;
		skip = 0;
	}
	return conn_in_end(c, fd) < 0 && r == 0 ? -ENOMEM : r;
}

static int64_t
now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

/*
 * An answer is rarely there at once: a caller who came too early last time waits first, which is one question less to the kernel.  If
 * that wait was none, he does not the next time.
 */
static int
wait_first(struct conn *c, int fd, int64_t deadline)
{
	int64_t began;
	int r;

	if (!c->dry || c->state != CONN_OPEN || c->eof || c->shut_read || conn_ready_bytes(c))
		return 1;
	began = now_us();
	r = conn_wait(c, fd, POLLIN, deadline);
	c->dry = now_us() - began > NO_WAIT;
	return r;
}

static ssize_t
read_locked(struct conn *c, int fd, const struct iovec *iov, int iovcnt, size_t total, int flags)
{
	bool wait = c->blocking && !(flags & MSG_DONTWAIT), peek = flags & MSG_PEEK;
	int64_t deadline = conn_later(c->rcvtimeo);
	__attribute__((cleanup(conn_arrivals_end))) int arrivals = -1;	/* of a peek that waits for more */
	size_t got = 0, least = flags & MSG_WAITALL ? total : (size_t)c->lowat < total ? (size_t)c->lowat : total;
	ssize_t r = conn_handshake_locked(c, fd, wait, deadline);

	if (r < 0 && !conn_ready_bytes(c))
		return r;
	if (wait && !peek && (r = wait_first(c, fd, deadline)) <= 0)
		return r ? r : -EAGAIN;
	for (;;) {
		size_t n = 0;

		r = conn_claim(c, READING);
		if (r == 0)
			r = read_round(c, fd, iov, iovcnt, peek, peek ? 0 : got, &n);
		got = peek ? n : got + n;
		if (r < 0 && !got)
			return r;
		if (got >= least || r < 0)
			return (ssize_t)got;
		r = nothing(c);
		if (r != -EAGAIN || !wait)
			return got ? (ssize_t)got : r;
		c->dry = true;
		r = peek && got ? conn_wait_arrival(c, fd, &arrivals, deadline, &wait) : conn_wait(c, fd, POLLIN, deadline);
		if (r <= 0)
			return got ? (ssize_t)got : r ? r : -EAGAIN;
	}
}

static void
wipe_room(void **buf)
{
	if (*buf)
		explicit_bzero(*buf, POOL_SIZE);
	pool_put(*buf);
}

/* MSG_TRUNC on a stream discards: read into a borrowed buffer instead of the caller's. */
static ssize_t
discard(struct conn *c, int fd, size_t total, int flags)
{
	__attribute__((cleanup(wipe_room))) void *buf = pool_get();
	struct iovec iov = { buf, total < POOL_SIZE ? total : POOL_SIZE };
	size_t done = 0;
	ssize_t r = 0;

	if (!buf)
		return -ENOMEM;
	while (done < total) {
		iov.iov_len = total - done < POOL_SIZE ? total - done : POOL_SIZE;
		r = read_locked(c, fd, &iov, 1, iov.iov_len, done && !(flags & MSG_WAITALL) ? flags | MSG_DONTWAIT : flags);
		if (r <= 0)
			break;
		done += (size_t)r;
		if ((size_t)r < iov.iov_len)
			break;
	}
	return done ? (ssize_t)done : r;
}

/* recv of no bytes waits once as one of many does, and takes nothing: Linux. */
static ssize_t
await(struct conn *c, int fd, int flags)
{
	uint8_t byte;
	ssize_t r = read_locked(c, fd, &(struct iovec){ &byte, 1 }, 1, 1, flags | MSG_PEEK);

	return r > 0 || (r == -EAGAIN && c->blocking && !(flags & MSG_DONTWAIT)) ? 0 : r;
}

ssize_t
conn_recv(struct conn *c, int fd, const struct iovec *iov, int iovcnt, int flags)
{
	size_t total = 0;
	ssize_t r;

	for (int i = 0; i < iovcnt; i++)
		total += iov[i].iov_len;
	if (flags & MSG_OOB)
		return -EINVAL;
	pthread_testcancel();
	CONN_LOCKED(c, -EAGAIN);
	conn_refresh(c, fd);
	if (!total)
		r = await(c, fd, flags);
	else if (flags & MSG_TRUNC)
		r = discard(c, fd, total, flags);
	else
		r = read_locked(c, fd, iov, iovcnt, total, flags);
	if (r >= 0 && total)
		c->fresh = false;
	if (r < 0 && c->error)
		c->error_taken = true;
	return r;
}
