/* conn_handshake.c - from a TCP connection that may not be established yet to an open one. */
#include "conn_impl.h"

#include "raw.h"
#include "stack.h"

#include <errno.h>
#include <limits.h>

/* 0 = established, -EAGAIN, or what SO_ERROR says. */
static int
tcp_connected(struct conn *c, int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLOUT };
	int error = 0;
	unsigned len = sizeof error;

	c->want = POLLOUT;
	if (conn_the_host->poll(&p, 1, 0) <= 0)
		return -EAGAIN;
	if (raw_getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
		return conn_fail(c, fd, ENOTCONN, "the socket's state cannot be asked");
	if (!error && p.revents & POLLHUP)
		error = ENOTCONN;
	if (error) {
		c->error = error;	/* TCP's own failure, not ours: no log line, the kernel's answer */
		c->state = CONN_DEAD;
		c->deadline = INT64_MAX;
		return -error;
	}
	c->state = CONN_HANDSHAKING;
	return 0;
}

static void
say_open(struct conn *c)
{
	struct engine_info i = engine_info(c->tls);
	char subject[256] = "", names[300] = "";

	engine_peer_names(c->tls, subject, sizeof subject, names, sizeof names);
	conn_say(CONN_LOG_INFO, "%s: %s %s: %s, %s, peer %s%s%s%s, %s, %lld ms", c->peer,
		 c->config->role == CONFIG_CLIENT ? "client" : "server", c->config->place ? c->config->place : "connection",
		 i.version ? i.version : "?", i.cipher ? i.cipher : "?", i.peer_cert ? "" : "without certificate", names,
		 i.peer_cert && !i.validated ? " (not verified)" : "", "", i.resumed ? "resumed" : "full handshake",
		 (long long)(conn_now() - c->started));
}

static int
finished(struct conn *c)
{
	c->deadline = INT64_MAX;
	c->fresh = c->config->role == CONFIG_CLIENT;
	c->overhead = engine_overhead(c->tls);
	c->state = CONN_OPEN;
	if (!c->alone)
		say_open(c);
	return 0;
}

/* The engine's flight must be in the kernel before the peer can answer it. Where it cannot be, the peer's last words may be there. */
static int
flush_flight(struct conn *c, int fd)
{
	int r = conn_flush(c, fd);

	if (r == -EAGAIN)
		c->want = POLLOUT;
	return r;
}

/* A client that comes and goes without a word is a health check, not a failure. */
static int
peer_left(struct conn *c, int fd)
{
	c->cut = true;
	if (c->config->role == CONFIG_SERVER && !c->heard && !c->wire.in_len && !c->alone)
		return conn_broke(c, fd, ECONNRESET);
	return conn_fail(c, fd, ECONNRESET, "the peer closed the connection during the TLS handshake");
}

static int
broken(struct conn *c, int fd, int error)
{
	return conn_fail(c, fd, error, "the connection broke during the TLS handshake");
}

struct step {
	struct engine *tls;
	enum engine_result result;
};

static void
step(void *arg)
{
	struct step *s = arg;

	s->result = engine_handshake(s->tls);
}

/* Of what has been looked at, that which the handshake did not need stays in the kernel. */
static enum engine_result
handshake(struct conn *c, int fd)
{
	struct step s = { c->tls, ENGINE_DONE };

	stack_run(step, &s);
	conn_say_warning(c);
	if (c->seen)
		conn_take_seen(c, fd, s.result != ENGINE_DONE);
	return s.result;
}

static int
advance(struct conn *c, int fd, bool waits)
{
	for (;;) {
		enum engine_result result = handshake(c, fd);
		bool flight = c->wire.out_len > c->out_off;
		int r, unsent;

		if (c->error)
			return -c->error;
		if (result != ENGINE_DONE && result != ENGINE_WANT_READ)
			return conn_fail_tls(c, fd, result);
		r = flush_flight(c, fd);
		if (r == -EAGAIN)
			return r;
		if (result == ENGINE_DONE)
			return r < 0 ? broken(c, fd, -r) : finished(c);
		unsent = r;
		c->want = POLLIN;
		if (flight && r == 0 && waits)		/* the answer is not there yet */
			return -EAGAIN;
		r = conn_fill(c, fd, 0);
		if (r == 0)
			r = -EAGAIN;
		if (r == -EAGAIN && unsent < 0)		/* no last words, and the peer would wait for us as we for him */
			r = unsent;
		if (r == -EPIPE)
			return peer_left(c, fd);
		if (r < 0)
			return r == -EAGAIN ? r : broken(c, fd, -r);
		c->heard = true;
	}
}

int
conn_handshake_step(struct conn *c, int fd, bool waits)
{
	int r;

	if (c->error)
		return -c->error;
	if (c->state == CONN_OPEN)
		return 0;
	if (conn_now() >= c->deadline)
		return conn_fail(c, fd, ETIMEDOUT, "%s: TLS handshake not finished within handshake_timeout of %ld ms",
				 c->config->role == CONFIG_CLIENT ? "client" : "server", c->config->handshake_timeout_ms);
	if (conn_claim(c, READING) < 0 || conn_claim(c, WRITING) < 0)
		return -EIO;
	if (c->state == CONN_CONNECTING && (r = tcp_connected(c, fd)) < 0)
		return r;
	if (!conn_in_begin(c))
		return conn_fail(c, fd, ENOMEM, "no memory for the TLS handshake");
	r = advance(c, fd, waits);
	return conn_in_end(c, fd) < 0 && r >= 0 ? -ENOMEM : r;
}

int
conn_handshake_locked(struct conn *c, int fd, bool wait, int64_t deadline)
{
	for (;;) {
		int r = conn_handshake_step(c, fd, wait);

		if (r != -EAGAIN || !wait)
			return r;
		r = conn_wait(c, fd, c->want, deadline < c->deadline ? deadline : c->deadline);
		if (r == -EINTR || r == -EBADF)
			return r;
		if (r < 0 && r != -ENOMEM)	/* who cannot wait, as under a filter that forbids it, would spin */
			return broken(c, fd, -r);
		if (r == 0 && conn_now() >= deadline)
			return -EAGAIN;
	}
}

int
conn_handshake(struct conn *c, int fd, bool wait)
{
	int r;

	if (wait)
		pthread_testcancel();
	CONN_LOCKED(c, -EAGAIN);
	r = conn_handshake_locked(c, fd, wait, c->alone ? conn_later(c->rcvtimeo) : INT64_MAX);
	if (wait && r < 0 && c->error)
		c->error_taken = true;
	return r;
}
