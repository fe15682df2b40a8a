/* conn_leave.c - a connection packed for wrapsock-relay: from then on it is dead here, and alive there. */
#include "conn_impl.h"

#include "raw.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * Another process's half of the state would be lost.  Threads that wait here hold nothing: theirs is what the parcel has, and their calls
 * end with EIO or a short count.  But one that waits to say goodbye is past what the parcel can tell.
 */
static int
alone(struct conn *c, bool waited)
{
	if ((c->notified && !c->shut_write) || (!waited && (c->waiters || c->sending)))
		return -EBUSY;
	if (!share_mine(&c->share, READING) || !share_mine(&c->share, WRITING))
		return -EIO;
	return share_take(&c->share, READING) && share_take(&c->share, WRITING) ? 0 : -EIO;
}

static uint8_t *
append(uint8_t *at, const uint8_t *bytes, size_t n)
{
	if (n)
		memcpy(at, bytes, n);
	return at + n;
}

static struct relay_parcel *
pack(const struct conn *c, const struct engine_records *state, size_t *size)
{
	size_t held = c->held_len - c->held_off, out = c->shut_write ? 0 : c->wire.out_len - c->out_off;
	struct relay_parcel *p;
	uint8_t *at;

	*size = sizeof *p + c->left_len + held + out + c->debt_len;
	p = *size <= RELAY_LONGEST ? calloc(1, *size) : NULL;
	if (!p)
		return NULL;
	p->records = *state;
	p->flags = (c->eof ? RELAY_ENDED : 0) | (c->cut ? RELAY_CUT : 0) | (c->shut_write ? RELAY_SHUT : 0) |
		   (c->config->suppress_ragged_eofs || c->shut_read ? RELAY_RAGGED : 0);	/* a wire shut for reading ends where we stop */
	p->partial = (uint32_t)c->left_len;
	p->held = (uint32_t)held;
	p->out = (uint32_t)out;
	p->debt = (uint32_t)c->debt_len;
	snprintf(p->who, sizeof p->who, "%s: %s", c->peer, c->config->place ? c->config->place : "connection");
	at = append((uint8_t *)(p + 1), c->left, c->left_len);
	at = append(at, c->held + c->held_off, held);
	at = append(at, c->wire.out + c->out_off, out);
	append(at, c->debt, c->debt_len);
	return p;
}

/* Here it is over; the wire lives on. */
static void
leave(struct conn *c)
{
	share_give(&c->share);
	c->error = EIO;
	c->error_taken = true;
	c->state = CONN_DEAD;
	c->deadline = INT64_MAX;
	engine_free(c->tls);
	c->tls = NULL;
	if (c->held)
		explicit_bzero(c->held, c->held_cap);
	free(c->held);
	c->held = NULL;
	c->held_off = c->held_len = c->held_cap = 0;
	c->pending = 0;
	free(c->wire.out);
	c->wire.out = NULL;
	c->wire.out_len = c->wire.out_cap = c->out_off = 0;
	if (c->debt)
		explicit_bzero(c->debt, c->debt_len);
	c->debt_len = c->debt_sent = 0;
}

int
conn_leave(struct conn *c, int fd, bool waited, struct conn_parcel *parcel)
{
	struct engine_records state;
	int r;

	memset(parcel, 0, sizeof *parcel);
	CONN_LOCKED(c, -EAGAIN);
	r = conn_handshake_locked(c, fd, true, INT64_MAX);
	if (r == 0)
		r = alone(c, waited);
	if (r == 0)
		r = conn_gather(c, fd);
	if (r < 0)
		return r;
	if (engine_export_records(c->tls, &state) < 0)
		return -EOPNOTSUPP;
	parcel->bytes = pack(c, &state, &parcel->size);
	explicit_bzero(&state, sizeof state);
	if (!parcel->bytes)
		return conn_fail(c, fd, ENOMEM, "no memory to hand the connection over");
	parcel->shut_read = c->shut_read;
	parcel->shut_write = c->shut_write;
	leave(c);
	return 0;
}

void
conn_parcel_free(struct conn_parcel *parcel)
{
	if (parcel->bytes)
		explicit_bzero(parcel->bytes, parcel->size);
	free(parcel->bytes);
	parcel->bytes = NULL;
}
