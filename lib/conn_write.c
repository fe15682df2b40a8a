/*
 * conn_write.c - plaintext in, several records in one send, and an honest account of what the kernel has.
 *
 * When the kernel takes part of a record, the records already encrypted must go out as they are.  Their plaintext is the debt: kept, not
 * reported, and counted off against what the program writes next.  Different bytes there fail the connection.
 */
#include "conn_impl.h"

#include "errmap.h"
#include "raw.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

enum {
	LONG = RECORD_PLAIN / 2,	/* a record of so much costs less than a copy to fill it */
	REST = RECORD_PLAIN / 2		/* what rides along with a full batch: the borrowed buffer has room for a record more */
};

void
conn_note_record(struct conn *c, size_t plain)
{
	struct sent_record *last = c->nrecords ? &c->records[c->nrecords - 1] : NULL;

	if (last && (!plain || c->nrecords == sizeof c->records / sizeof *c->records)) {
		last->end = (uint32_t)c->wire.out_len;	/* rides along with the one before */
		last->plain += (uint32_t)plain;
		return;
	}
	c->records[c->nrecords++] = (struct sent_record){ (uint32_t)c->wire.out_len, (uint32_t)plain };
}

/* Plaintext whose records are wholly in the kernel moves from owed to sent. */
static void
account(struct conn *c)
{
	size_t whole = 0;

	while (whole < c->nrecords && c->records[whole].end <= c->out_off)
		c->debt_sent += c->records[whole++].plain;
	c->nrecords -= whole;
	memmove(c->records, c->records + whole, c->nrecords * sizeof *c->records);
}

static void
give_back(struct engine_wire *w)
{
	if (w->out_cap == POOL_SIZE)
		pool_put(w->out);
	else
		free(w->out);		/* grown by the engine, or what was kept of one */
	w->out = NULL;
	w->out_len = w->out_cap = 0;
}

/* The kernel may take its time: what waits for it keeps no more memory than it needs. */
static void
keep_rest(struct conn *c)
{
	size_t n = c->wire.out_len - c->out_off;
	uint8_t *rest = n < c->wire.out_cap / 2 ? malloc(n) : NULL;

	if (!rest)
		return;
	memcpy(rest, c->wire.out + c->out_off, n);
	give_back(&c->wire);
	c->wire.out = rest;
	c->wire.out_len = c->wire.out_cap = n;
	for (size_t i = 0; i < c->nrecords; i++)
		c->records[i].end -= (uint32_t)c->out_off;
	c->out_off = 0;
}

int
conn_flush(struct conn *c, int fd)
{
	while (c->out_off < c->wire.out_len) {
		long n = raw_send(fd, c->wire.out + c->out_off, c->wire.out_len - c->out_off,
				  MSG_DONTWAIT | MSG_NOSIGNAL | c->more);

		if (n == -EINTR)
			continue;
		if (n == -EAGAIN) {
			c->pressured = true;
			account(c);
			keep_rest(c);
			return -EAGAIN;
		}
		if (n < 0)
			return (int)n;
		c->out_off += (size_t)n;
	}
	account(c);
	c->out_off = 0;
	give_back(&c->wire);
	return 0;
}

int
conn_notify(struct conn *c, int fd)
{
	int r = conn_flush(c, fd);
	enum engine_result said;

	if (r == 0 && !c->notified) {
		c->notified = true;
		said = engine_close_notify(c->tls);
		if (said != ENGINE_DONE && said != ENGINE_DEAD)		/* a peer that waits for it must see that it does not come */
			return conn_fail(c, fd, errmap_engine(said, ENGINE_VERIFY_REJECTED), "close_notify cannot be made");
		conn_note_record(c, 0);
		r = conn_flush(c, fd);
	}
	return r;
}

/* The kernel takes no more. A peer that refuses us says why in an alert, which its reset has overtaken: it is in the kernel still. */
static int
lost(struct conn *c, int fd, int error)
{
	if (!c->eof && !c->error && share_take(&c->share, READING))
		conn_ahead(c, fd, SIZE_MAX);
	if (c->error)
		return -c->error;
	if (error != EPIPE)
		return conn_broke(c, fd, error);
	c->shut_write = true;		/* for good: what is encrypted already must not go out before a retry of the same bytes */
	return -EPIPE;
}

/* A cursor over the caller's vectors. */
struct cursor {
	const struct iovec *iov;
	int n;
	size_t off;
};

/* Up to len bytes in one piece: in place where one vector has them or is long enough for a record, else gathered into scratch. */
static const uint8_t *
piece(struct cursor *at, size_t *len, uint8_t *scratch)
{
	size_t got = 0, here;

	while (at->n && at->off == at->iov->iov_len) {
		at->iov++;
		at->n--;
		at->off = 0;
	}
	here = at->n ? at->iov->iov_len - at->off : 0;
	if (here >= *len || here >= LONG) {
		const uint8_t *p = (const uint8_t *)at->iov->iov_base + at->off;

		*len = here < *len ? here : *len;
		at->off += *len;
		return p;
	}
	while (at->n && got < *len) {
		size_t part = at->iov->iov_len - at->off;

		if (part > *len - got)
			part = *len - got;
		memcpy(scratch + got, (const uint8_t *)at->iov->iov_base + at->off, part);
		got += part;
		at->off += part;
		if (at->off == at->iov->iov_len) {
			at->iov++;
			at->n--;
			at->off = 0;
		}
	}
	*len = got;
	return scratch;
}

static struct cursor
cursor_at(const struct iovec *iov, int iovcnt, size_t skip)
{
	struct cursor at = { iov, iovcnt, 0 };

	while (at.n && skip >= at.iov->iov_len) {
		skip -= at.iov->iov_len;
		at.iov++;
		at.n--;
	}
	at.off = at.n ? skip : 0;
	return at;
}

/* As much of len as one send is to carry. */
static size_t
batch(struct conn *c, int fd, size_t len)
{
	if (len <= RECORD_PLAIN)
		return len;
	if (!c->batch) {
		int sndbuf = 0;
		unsigned size = sizeof sndbuf;

		raw_getsockopt(fd, SOL_SOCKET, SO_SNDBUF, &sndbuf, &size);
		c->batch = sndbuf / 3 > RECORD_PLAIN ? (size_t)sndbuf / 3 : RECORD_PLAIN;
		if (c->batch > BATCH_RECORDS * RECORD_PLAIN)
			c->batch = BATCH_RECORDS * RECORD_PLAIN;
	}
	return len <= c->batch + (c->batch == BATCH_RECORDS * RECORD_PLAIN ? REST : 0) ? len : c->batch;
}

static int
encrypt(struct conn *c, int fd, struct cursor at, size_t len)
{
	uint8_t *scratch = pool_get();
	size_t gathered = 0;
	int r = scratch ? 0 : conn_fail(c, fd, ENOMEM, "no memory to write");

	if (!c->wire.out && (c->wire.out = pool_get()))
		c->wire.out_cap = POOL_SIZE;
	while (len && r == 0) {
		size_t n = len < RECORD_PLAIN ? len : RECORD_PLAIN;
		const uint8_t *p = piece(&at, &n, scratch);
		enum engine_result result = engine_send(c->tls, p, n);

		if (p == scratch && n > gathered)
			gathered = n;
		if (result != ENGINE_DONE)
			r = conn_fail_tls(c, fd, result);
		conn_note_record(c, n);
		len -= n;
	}
	if (gathered)
		explicit_bzero(scratch, gathered);
	pool_put(scratch);
	return r;
}

/* Keep what the program must write again: the batch from its first unreported byte. */
static int
owe(struct conn *c, int fd, struct cursor at, size_t len)
{
	uint8_t *p = malloc(len);
	size_t off = 0;

	if (!p)
		return conn_fail(c, fd, ENOMEM, "no memory for data that the kernel refused");
	while (off < len) {
		size_t n = len - off;
		const uint8_t *from = piece(&at, &n, p + off);

		if (from != p + off)
			memcpy(p + off, from, n);
		off += n;
	}
	c->debt = p;
	c->debt_len = len;
	return 0;
}

/* The program's next bytes must be those that are owed. */
static bool
same(const struct conn *c, struct cursor at, size_t total)
{
	size_t off = 0, len = total < c->debt_len ? total : c->debt_len;

	while (off < len) {
		size_t n = at.iov->iov_len - at.off;

		if (n > len - off)
			n = len - off;
		if (memcmp(c->debt + off, (const uint8_t *)at.iov->iov_base + at.off, n))
			return false;
		off += n;
		at.iov++;
		at.off = 0;
	}
	return true;
}

/* Report at most total of what has reached the kernel; forget it. */
static size_t
pay(struct conn *c, size_t total)
{
	size_t n = c->debt_sent < total ? c->debt_sent : total;

	c->debt_sent -= n;
	c->debt_len -= n;
	if (c->debt && n) {
		memmove(c->debt, c->debt + n, c->debt_len);
		explicit_bzero(c->debt + c->debt_len, n);
	}
	if (c->debt_len)
		return n;
	free(c->debt);
	c->debt = NULL;
	return n;
}

static bool
kernel_refuses(struct conn *c, int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLOUT };

	if (conn_the_host->poll(&p, 1, 0) != 0)
		return false;
	c->pressured = true;
	return true;
}

/* New data, nothing owed: counts into *done what the kernel has. -EAGAIN = the kernel refused. */
static int
write_batch(struct conn *c, int fd, struct cursor at, size_t len, bool wait, size_t *done)
{
	int r;

	if (!wait && (c->pressured || len > RECORD_PLAIN) && kernel_refuses(c, fd))
		return -EAGAIN;
	c->debt_sent = 0;
	r = encrypt(c, fd, at, len);
	if (r == 0)
		r = conn_flush(c, fd);
	*done = c->debt_sent;
	c->debt_sent = 0;
	if (r == -EAGAIN && *done < len) {
		struct cursor rest = at;
		size_t skip = *done;

		while (skip && skip >= rest.iov->iov_len - rest.off) {
			skip -= rest.iov->iov_len - rest.off;
			rest.iov++;
			rest.n--;
			rest.off = 0;
		}
		rest.off += skip;
		if (owe(c, fd, rest, len - *done) < 0)
			return -ENOMEM;
	}
	return r;
}

static int
repay(struct conn *c, int fd, struct cursor at, size_t total, size_t *done)
{
	int r;

	if (!same(c, at, total))
		return conn_fail(c, fd, EIO, "the program wrote other bytes than those it was told to write again");
	r = conn_flush(c, fd);
	*done = pay(c, total);
	return r;
}

/* Why nothing more can be written: behind our own end the kernel knows whether the peer has reset since. */
static ssize_t
refused(struct conn *c, int fd)
{
	long r = c->error ? -c->error : raw_send(fd, NULL, 0, MSG_DONTWAIT | MSG_NOSIGNAL);

	return r < 0 ? r : -EPIPE;
}

static ssize_t
write_locked(struct conn *c, int fd, const struct iovec *iov, int iovcnt, size_t total, bool wait, int64_t deadline)
{
	size_t done = 0;
	int r = 0;

	while (done < total) {
		struct cursor at = cursor_at(iov, iovcnt, done);
		size_t n = 0, len = total - done;

		if (c->error || c->shut_write)
			return done ? (ssize_t)done : refused(c, fd);
		if (conn_claim(c, WRITING) < 0)
			return done ? (ssize_t)done : -EIO;
		if (c->debt_len)
			r = repay(c, fd, at, len, &n);
		else if ((r = conn_flush(c, fd)) == 0)
			r = write_batch(c, fd, at, batch(c, fd, len), wait, &n);
		done += n;
		if (r == 0)
			continue;
		if (r != -EAGAIN)
			r = lost(c, fd, -r);
		if (r != -EAGAIN || !wait)
			break;
		r = conn_wait(c, fd, POLLOUT, deadline);
		if (r <= 0) {
			r = r ? r : -EAGAIN;
			break;
		}
	}
	return done ? (ssize_t)done : r;
}

struct writing {
	struct conn *conn;
	bool returned;		/* false: the thread is being cancelled */
};

/* Nobody will write it again. Its records have begun on the wire and go out before anything else. */
static void
forgive(struct conn *c)
{
	if (!c->debt)
		return;
	for (size_t i = 0; i < c->nrecords; i++)
		c->records[i].plain = 0;
	explicit_bzero(c->debt, c->debt_len);
	free(c->debt);
	c->debt = NULL;
	c->debt_len = c->debt_sent = 0;
}

static void
written(struct writing *w)
{
	if (!w->returned)
		forgive(w->conn);
	w->conn->sending = false;
	w->conn->more = 0;
	pthread_cond_broadcast(&w->conn->sent);
}

/*
 * One logical send at a time, or two threads' records would mix within one write. A signal handler that has interrupted its
 * thread's own send, which waits, is not made to wait for that.
 */
static bool
enter(struct conn *c, bool wait, int64_t deadline)
{
	if (c->sending && pthread_equal(c->sender, pthread_self()))
		return false;
	while (c->sending && !c->closed && wait)
		wait = conn_wait_sent(c, deadline);
	if (c->sending || c->closed)
		return false;
	c->sending = true;
	c->sender = pthread_self();
	return true;
}

ssize_t
conn_send(struct conn *c, int fd, const struct iovec *iov, int iovcnt, int flags)
{
	int64_t deadline;
	size_t total = 0;
	ssize_t r;
	bool wait;

	for (int i = 0; i < iovcnt; i++)
		total += iov[i].iov_len;
	if (total > SSIZE_MAX)
		return -EINVAL;
	if (flags & MSG_OOB)
		return -EOPNOTSUPP;
	pthread_testcancel();
	CONN_LOCKED(c, -EAGAIN);
	conn_refresh(c, fd);
	wait = c->blocking && !(flags & MSG_DONTWAIT);
	deadline = conn_later(c->sndtimeo);
	if (!enter(c, wait, deadline))
		return c->closed ? -EBADF : -EAGAIN;
	__attribute__((cleanup(written))) struct writing w = { c, false };
	c->more = flags & MSG_MORE;
	r = conn_handshake_locked(w.conn, fd, wait, deadline);
	if (r == 0)
		r = total ? write_locked(c, fd, iov, iovcnt, total, wait, deadline) : raw_send(fd, NULL, 0, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (r < 0 && c->error)
		c->error_taken = true;
	w.returned = true;
	return r;
}
