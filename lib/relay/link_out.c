/*
 * link_out.c - the program towards the wire: bytes sealed as fast as the wire takes the records.
 *
 * The last byte of what is read from the end is peeked, and consumed when there is a next one: the end's queue is never empty.  Little
 * is peeked altogether, behind what was, and some of that is consumed at once.
 */
#include "link_impl.h"

#include "log.h"

#include <sys/ioctl.h>
#include <sys/socket.h>

#include <linux/sock_diag.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { PEEKS = 4, KEPT = 1024 };	/* messages and bytes that may stay in the end's queue, which pins a buffer for each */

/* One thread, one link at a time: room for a chunk. */
static uint8_t scrap[LINK_LITTLE], plain[LINK_CHUNK + 1], sealed[LINK_CHUNK + 8 * RECORDS_OVERHEAD];

/* What the peer sent before is still to be read, and then the end: shut, the wire gives that whatever the refusal was. */
static void
wire_refuses(struct link *l)
{
	shutdown(l->wire, SHUT_RDWR);
	l->mute = true;
	l->broken |= !l->ended;
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
		l->progress = link_now();
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
	if (!link_keep(&l->out, sealed + done, n - done)) {
		link_no_memory(l);
		return;
	}
	l->out_len = n - done;
}

/* As for the other direction: a chunk if the wire surely takes it, else a record. */
static size_t
outgoing_quantum(const struct link *l)
{
	uint32_t memory[SK_MEMINFO_VARS] = { 0 };
	socklen_t len = sizeof memory;

	if (getsockopt(l->wire, SOL_SOCKET, SO_MEMINFO, memory, &len) < 0)
		return RECORDS_PLAIN;
	return memory[SK_MEMINFO_SNDBUF] >= memory[SK_MEMINFO_WMEM_QUEUED] + 2 * LINK_CHUNK ? LINK_CHUNK : RECORDS_PLAIN;
}

static ssize_t
take(int fd, uint8_t *to, size_t n, int flags)
{
	ssize_t r;

	do
		r = recv(fd, to, n, MSG_DONTWAIT | flags);
	while (r < 0 && errno == EINTR);
	return r;
}

/* What has been processed leaves the queue, but for its last byte. False = the connection is cut. */
static bool
consume(struct link *l)
{
	while (l->kept > 1) {
		ssize_t r = take(l->end, scrap, l->kept - 1 < sizeof scrap ? l->kept - 1 : sizeof scrap, 0);

		if (r <= 0) {
			link_end_fails(l);
			return false;
		}
		l->kept -= (size_t)r;
		explicit_bzero(scrap, (size_t)r);
	}
	l->peeks = 0;
	return true;
}

/* At most that much, without a question how much there is: as fetch. */
static size_t
peek(struct link *l)
{
	ssize_t r = take(l->end, plain + 1, LINK_LITTLE, MSG_PEEK);

	if (r < 0 && errno == ECONNRESET) {		/* said once, before what is in the queue */
		l->reset = true;
		r = take(l->end, plain + 1, LINK_LITTLE, MSG_PEEK);
	}
	l->end_readable = l->much = r == LINK_LITTLE;		/* what comes behind a short count is told of */
	if (r < 0 && errno != EAGAIN)
		link_end_fails(l);
	if (r <= 0)
		return 0;
	l->kept += (size_t)r;
	if (++l->peeks == PEEKS || l->kept > KEPT)
		consume(l);
	return (size_t)r;
}

/* New bytes of the program, from plain[1] on: all but the last are consumed, that one is peeked. How many, 0 = there are none. */
static size_t
fetch(struct link *l)
{
	size_t most;
	int queued = 0;
	ssize_t r = 0;

	if (!l->much && !l->finished)
		return peek(l);
	if (!consume(l))
		return 0;
	if (ioctl(l->end, FIONREAD, &queued) == 0 && queued <= 1) {
		l->end_readable = l->much = false;
		return 0;
	}
	most = queued > 1 ? (size_t)queued - 1 : 0;
	l->much = most > LINK_LITTLE;
	if (l->much) {
		size_t quantum = outgoing_quantum(l);

		most = most < quantum ? most : quantum;
	}
	if (most)
		r = take(l->end, plain, most, 0);	/* the byte processed before, and all new ones but the last */
	l->end_readable = r > 0 && r < queued - 1;		/* what has come since is told of */
	if (r > 0 && take(l->end, plain + r, 1, MSG_PEEK) == 1)
		return (size_t)r;
	link_end_fails(l);		/* they are there, and nobody else reads */
	return 0;
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
		link_wire_ends(l, false);
		return n;
	}
	l->debt_off += len;
	if (l->debt_off == l->debt_len) {
		link_drop(&l->debt, l->debt_len);
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
			link_tls_fails(l);
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
	size_t n;

	if (l->unread && !l->said) {
		l->said = l->shut = l->cutting = true;
		return;
	}
	n = l->said ? 0 : records_alert(l->records, sealed);
	l->said = true;
	if (n)
		transmit_sealed(l, n);
	if (l->out_len == 0 && !l->mute) {
		shutdown(l->wire, SHUT_WR);
		l->shut = true;
		l->cutting = l->unread;
	}
}

bool
link_outgoing(struct link *l)
{
	size_t n, again;

	if (!transmit_rest(l))
		return false;
	if (l->mute || l->shut)
		return false;
	if (l->end_readable && (n = fetch(l)) > 0) {
		l->progress = link_now();
		l->answered |= l->ended;
		again = repeated(l, plain + 1, n);
		if (again < n)
			seal(l, plain + 1 + again, n - again);
		explicit_bzero(plain, n + 1);
		return !l->mute && (l->end_readable || l->finished);
	}
	if (l->finished && !l->end_readable)
		say_goodbye(l);
	return false;
}
