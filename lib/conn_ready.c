/*
 * conn_ready.c - readiness: what to wait for on the wire, and what its answer means to the program.
 *
 * Open, in non-blocking mode and behind the server's tickets a connection needs nothing of this: the kernel's answer is the truth.
 */
#include "conn_impl.h"

#define IN_EVENTS (POLLIN | POLLRDNORM | POLLRDBAND | POLLPRI)

short
conn_wants(const struct conn *c, short events)
{
	if (c->state <= CONN_HANDSHAKING || c->unwrapping)
		return c->want;
	return events;
}

/* The kernel says POLLERR until the error has been asked for; it does not know of ours. */
static bool
untold(const struct conn *c)
{
	return c->error && !c->error_taken;
}

bool
conn_unsteady(const struct conn *c)
{
	if (c->state == CONN_DEAD)
		return untold(c);
	return c->state <= CONN_HANDSHAKING || ((c->blocking || c->fresh) && c->state == CONN_OPEN);
}

/* Waiting is not reading: while another process may be the one that reads, records stay where they are. */
static bool
may_look(struct conn *c)
{
	if (!share_owned(&c->share, READING) && !(share_mine(&c->share, READING) && share_last(&c->share)))
		return false;
	return share_take(&c->share, READING);
}

/*
 * In blocking mode a readable wire must mean that recv would not block: open a record and look. Some do not expect EAGAIN at first,
 * either.
 */
static short
confirm_readable(struct conn *c, int fd, short revents)
{
	if (!(revents & IN_EVENTS) || revents & (POLLHUP | POLLERR))
		return revents;
	if (!may_look(c))
		return revents;
	if (!conn_ready_bytes(c) && !c->eof)
		conn_ahead(c, fd, 1);
	return conn_ready_bytes(c) || c->eof || c->error ? revents : (short)(revents & ~IN_EVENTS);
}

short
conn_tells(struct conn *c, int fd, short events, short revents)
{
	short answer = 0;

	if (!revents)
		return 0;
	if (!conn_lock(c))
		return revents;
	if (c->state <= CONN_HANDSHAKING) {
		struct pollfd p = { .fd = fd, .events = events };

		conn_handshake_step(c, fd, false);
		revents = 0;
		if (c->state > CONN_HANDSHAKING && conn_the_host->poll(&p, 1, 0) > 0)
			revents = p.revents;
	}
	if (revents && untold(c))
		revents |= POLLERR;
	if (c->state == CONN_OPEN && (c->blocking || c->fresh))
		answer = confirm_readable(c, fd, revents);
	else if (c->state > CONN_HANDSHAKING)
		answer = revents;
	conn_unlock(c);
	return answer;
}
