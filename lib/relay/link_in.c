/* link_in.c - the wire towards the program: records opened as fast as the end takes their bytes. */
#include "link_impl.h"

#include <sys/ioctl.h>
#include <sys/socket.h>

#include <linux/sockios.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* One thread, one link at a time: room for a chunk. */
static uint8_t cipher[LINK_CHUNK + RECORDS_CIPHER], opened[LINK_CHUNK + 2 * RECORDS_CIPHER];

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
			link_await_room(l);
			return done;
		}
		if (r < 0 && errno != EPIPE && errno != ECONNRESET)
			link_end_fails(l);
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
		l->progress = link_now();
	l->plain_off += n;
	if (l->plain_off < l->plain_len)
		return false;
	link_drop(&l->plain, l->plain_len);
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
		return LINK_CHUNK;
	if (ioctl(l->end, SIOCOUTQ, &used) == 0 && getsockopt(l->end, SOL_SOCKET, SO_SNDBUF, &size, &len) == 0 && size - used >= 2 * LINK_CHUNK)
		return LINK_CHUNK;
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
			link_wire_ends(l, true);
		else if (r == RECORDS_FAILED)
			link_tls_fails(l);
	}
	return total;
}

/* Take a chunk from the wire. True = worth another try. */
bool
link_incoming(struct link *l)
{
	size_t have = l->in_len, ask = 0, used, n, done;
	ssize_t r = 0;

	if (!deliver_rest(l) || l->ended)
		return false;
	if (have)
		memcpy(cipher, l->in, have);
	if (l->wire_readable) {
		ask = l->bulk ? incoming_quantum(l, have) : LINK_LITTLE;
		do
			r = recv(l->wire, cipher + have, ask, MSG_DONTWAIT);
		while (r < 0 && errno == EINTR);
		l->bulk = r == (ssize_t)ask;
		if (r < 0 && errno == EAGAIN)
			l->wire_readable = false;
		else if (r < 0)
			link_wire_ends(l, false);
		else if (r == 0)
			link_wire_ends(l, l->ragged);
		else
			have += (size_t)r;
	}
	if (l->ended || r <= 0)
		return false;
	l->progress = link_now();
	l->wire_readable = l->bulk || l->wire_hung;	/* what comes behind a short count is told of */
	n = open_records(l, have, &used);
	done = deliver(l, opened, n);
	free(l->in);
	l->in = NULL;
	l->in_len = l->ended ? 0 : have - used;
	if (!link_keep(&l->in, cipher + used, l->in_len) || !link_keep(&l->plain, opened + done, n - done))
		return link_no_memory(l);
	l->plain_len = n - done;
	explicit_bzero(opened, n);
	l->wire_readable |= l->in_len > 0;	/* or an urgent mark of TCP's has cut the record */
	if (n && l->gone) {		/* a program that has left has no use for data */
		l->unread = true;
		l->cutting |= l->shut;
	}
	return l->wire_readable;
}
