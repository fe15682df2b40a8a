/* conn_close.c - the farewell: close, shutdown, and an end that the program does not see. */
#include "conn_impl.h"

#include "raw.h"

#include <sys/ioctl.h>

#include <errno.h>

/*
 * Unread bytes would turn our FIN into RST, which makes the peer's kernel drop what we sent last.  So take what is there, but stop at
 * application data, where plain TCP resets too.
 */
static void
drain(struct conn *c, int fd)
{
	size_t most = 256 * 1024;
	int some = 1;

	if (raw_ioctl(fd, FIONREAD, &some) == 0 && some == 0)
		return;
	while (most > POOL_SIZE && !conn_ready_bytes(c) && !c->eof && !c->error) {
		if (conn_ahead(c, fd, 1) <= 0)
			return;
		most -= POOL_SIZE;
	}
}

static void
say_goodbye(struct conn *c, int fd)
{
	if (c->state != CONN_OPEN)
		return;
	if (share_take(&c->share, READING))
		drain(c, fd);
	if (conn_ready_bytes(c))	/* the kernel resets, as it does for plain TCP: no farewell before that */
		return;
	if (share_take(&c->share, WRITING) && !c->shut_write)
		conn_notify(c, fd);
}

void
conn_finish(struct conn *c, int fd)
{
	if (!conn_trylock(c))
		return;
	say_goodbye(c, fd);
	conn_unlock(c);
}

void
conn_close(struct conn *c, int fd, bool last)
{
	bool locked = conn_lock(c);

	c->closed = true;
	if (!locked)			/* the call that was interrupted finds it */
		return;
	if (last)
		say_goodbye(c, fd);
	conn_say_warning(c);
	if (last && c->waiters && c->tls)
		raw_shutdown(fd, SHUT_RDWR);	/* wakes them; each finds `closed` */
	pthread_cond_broadcast(&c->sent);
	conn_unlock(c);
}

/* Our farewell, as far as the kernel takes it. */
static int
say_end(struct conn *c, int fd)
{
	int r = conn_claim(c, WRITING);

	if (r == 0 && c->state == CONN_OPEN)
		r = conn_notify(c, fd);
	while (r == -EAGAIN && c->blocking && (r = conn_wait(c, fd, POLLOUT, conn_now() + 5000)) > 0)
		r = conn_notify(c, fd);
	return r;
}

/* The wire is shut down already, as after a reset. */
static int
shut_dead(const struct conn *c)
{
	return c->error == EIO ? -EIO : -ENOTCONN;
}

static int
shut(struct conn *c, int fd, int how)
{
	bool first = how != SHUT_RD && !c->shut_write;
	int r = 0, wire = how;

	CONN_LOCKED(c, -EAGAIN);
	if (c->state == CONN_CONNECTING || c->state == CONN_HANDSHAKING)
		r = conn_handshake_locked(c, fd, c->blocking, c->alone ? conn_later(c->rcvtimeo) : INT64_MAX);
	if (c->error)
		return shut_dead(c);
	if (r < 0 && how != SHUT_WR)
		wire = how == SHUT_RD ? -1 : SHUT_WR;		/* a handshake still has to be read */
	if (how != SHUT_WR)
		c->shut_read = true;
	if (first) {
		r = say_end(c, fd);
		c->shut_write = true;
		if (c->error)
			return r == -c->error ? r : shut_dead(c);
	}
	if (wire >= 0) {
		wire = raw_shutdown(fd, wire);
		if (!first)
			return wire;
		if (r < 0 && r != -EAGAIN && r != -EIO)		/* of a connection that is gone the kernel says ENOTCONN here */
			return wire < 0 ? wire : r;
	}
	return r == -EAGAIN || r > 0 ? 0 : r;
}

/* It may wait for the handshake or for room, yet shutdown is no cancellation point. */
int
conn_shutdown(struct conn *c, int fd, int how)
{
	int r, cancel;

	if (how != SHUT_RD && how != SHUT_WR && how != SHUT_RDWR)
		return -EINVAL;
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
	r = shut(c, fd, how);
	pthread_setcancelstate(cancel, NULL);
	return r;
}
