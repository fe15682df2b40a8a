/* conn_alone.c - what only a caller who knows of TLS asks for: why it failed, what is pending, and the way back to plain. */
#include "conn_impl.h"

#include <errno.h>

void
conn_stand_alone(struct conn *c)
{
	c->alone = true;
}

struct conn_failure
conn_failure(struct conn *c)
{
	CONN_LOCKED(c, (struct conn_failure){ .error = EAGAIN });

	return (struct conn_failure){
		.error = c->error,
		.result = c->result,
		.cut = c->cut,
		.text = c->why,
		.reason = c->result != ENGINE_DONE ? engine_reason(c->tls) : NULL,
		.verify = c->result == ENGINE_VERIFY ? engine_verify_code(c->tls) : 0,
		.verify_text = c->result == ENGINE_VERIFY ? engine_verify_text(engine_verify_code(c->tls)) : NULL,
	};
}

size_t
conn_pending(struct conn *c)
{
	return c->pending;
}

bool
conn_ended(struct conn *c, bool *cut)
{
	*cut = false;
	CONN_LOCKED(c, false);
	*cut = c->cut;
	return c->eof;
}

static int
want(struct conn *c, short events)
{
	c->want = events;
	return -EAGAIN;
}

/* The peer's data is looked for before our goodbye goes out, and again while its goodbye is awaited. */
static int
unwrap_step(struct conn *c, int fd)
{
	int r;

	if (c->error)
		return -c->error;
	if (conn_claim(c, READING) < 0 || conn_claim(c, WRITING) < 0)
		return -EIO;
	if (!c->eof)
		conn_ahead(c, fd, 1);
	if (conn_ready_bytes(c))
		return -EBUSY;
	if (c->error)
		return -c->error;
	if (c->cut)
		return conn_fail(c, fd, ECONNRESET, "the peer closed the connection without a closing handshake");
	r = conn_notify(c, fd);
	if (r < 0)
		return r == -EAGAIN ? want(c, POLLOUT) : r;
	if (!c->eof)
		return want(c, POLLIN);
	conn_settle(c, fd);
	c->error = ENOTCONN;		/* not a failure, but nothing may use it any more */
	c->state = CONN_DEAD;
	return 0;
}

int
conn_unwrap(struct conn *c, int fd)
{
	int64_t deadline = conn_later(c->rcvtimeo);
	int r;

	CONN_LOCKED(c, -EAGAIN);
	if (c->state != CONN_OPEN || c->shut_read || c->shut_write)
		return c->error ? -c->error : -ENOTCONN;
	c->unwrapping = true;
	while ((r = unwrap_step(c, fd)) == -EAGAIN && c->blocking) {
		r = conn_wait(c, fd, c->want, deadline);
		if (r <= 0)
			break;
	}
	c->unwrapping = r == 0 || r == -EAGAIN;
	return r == 0 && c->state != CONN_DEAD ? -EAGAIN : r;
}
