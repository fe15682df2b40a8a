/*
 * conn_read.c - ciphertext in, plaintext out, and the rule that keeps the kernel the truth.
 *
 * No more ciphertext is taken than what the caller can hold as plaintext, so nothing is left over in memory, and an incomplete record
 * may wait here because the kernel will signal its rest.  Only a record that is larger than the caller's room is decrypted ahead;
 * then its last ciphertext byte is peeked, not taken, and the socket stays readable until the plaintext is drained.
 */
#include "conn_impl.h"

#include "raw.h"

#include <netinet/in.h>
#include <netinet/tcp.h>

#include <errno.h>
#include <poll.h>
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

void
conn_kernel_ended(struct conn *c, int fd)
{
	uint8_t state = 0;
	unsigned len = sizeof state;

	if (raw_getsockopt(fd, IPPROTO_TCP, TCP_INFO, &state, &len) == 0)
		c->shut_read |= state == TCP_ESTABLISHED || state == TCP_FIN_WAIT1 || state == TCP_FIN_WAIT2;
	end_of_stream(c, fd, false);
}

void
conn_drop_empty(struct conn *c)
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
	conn_drop_empty(c);
	return n;
}

enum engine_result
conn_decrypt(struct conn *c, int fd, void *buf, size_t len, size_t *n)
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
	bool brief;		/* CONN_BRIEF: behind the first record, what has no room can be left alone */
};

/* The header of the next record is here, and says that the room is too small for it. */
static bool
too_large(const struct conn *c, size_t room)
{
	size_t size = conn_record_size(&c->wire);

	return size > RECORD_HEADER + room + c->overhead && size <= RECORD_HEADER + RECORD_CIPHER;
}

/*
 * The kernel can tell the program of the peer's end, or of a failure, while data are unread. Then a program may take a short read for the
 * last one, edges or not.
 */
static bool
ending(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLRDHUP };
	struct timespec at_once = { 0, 0 };

	return raw_syscall(SYS_ppoll, (long)&p, 1, (long)&at_once, 0, 0, 0) != 0;
}

/* The next record is here and has no room: may it wait for the next read? */
static bool
can_leave(const struct conn *c, int fd, size_t room, struct reading *at)
{
	if (!at->brief || !too_large(c, room))
		return false;
	at->brief = !ending(fd);
	return at->brief;
}

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
		r = conn_decrypt(c, fd, buf + *done, len - *done, &n);
		if (r == ENGINE_DONE) {
			*done += n;
			continue;
		}
		if (r == ENGINE_CLOSED)
			break;
		conn_settle(c, fd);
		if (at->full != 1 || (*done && can_leave(c, fd, len - *done + at->more, at)))
			break;
		at->full = conn_fill(c, fd, len - *done + at->more);
		if (at->full == -EPIPE) {
			conn_kernel_ended(c, fd);
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
read_round(struct conn *c, int fd, const struct iovec *iov, int iovcnt, int flags, size_t skip, size_t *done)
{
	struct reading at = { 0, 1, flags & CONN_BRIEF };
	bool peek = flags & MSG_PEEK;
	int r = 0;

	if (!conn_in_begin(c))
		return conn_fail(c, fd, ENOMEM, "no memory to read");
	for (int i = 0; i < iovcnt; i++)
		at.more += iov[i].iov_len;
	if (peek) {
		conn_open_ahead(c, fd, at.more);
		conn_drop_empty(c);
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
	if (least > 1)
		flags &= ~CONN_BRIEF;
	if (wait && !peek && (r = wait_first(c, fd, deadline)) <= 0)
		return r ? r : -EAGAIN;
	for (;;) {
		size_t n = 0;

		r = conn_claim(c, READING);
		if (r == 0)
			r = read_round(c, fd, iov, iovcnt, flags, peek ? 0 : got, &n);
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
