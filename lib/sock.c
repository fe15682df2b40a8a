/* sock.c - a socket's life: wrapped, shaken hands, unwrapped, closed. */
#include "sock.h"

#include "raw.h"
#include "text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

/* ---- held ---- */

void
sock_hold(struct wrapsock_sock *s)
{
	atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
}

void
sock_put(struct wrapsock_sock *s)
{
	int saved = errno;

	if (atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) > 1)
		return;
	if (s->put)
		s->put(s->held);
	else
		conn_free(s->conn);
	if (s->flags & WRAPSOCK_OWN_FD)
		close(s->fd);
	config_free(s->config);
	wrapsock_ctx_free(s->ctx);
	free(s->name);
	object_end(&s->object);
	free(s);
	errno = saved;
}

struct wrapsock_sock *
sock_new(struct wrapsock_ctx *ctx, struct config *config, int fd, unsigned flags)
{
	struct wrapsock_sock *s = calloc(1, sizeof *s);

	if (!s)
		return NULL;
	object_init(&s->object, OBJECT_SOCK);
	atomic_init(&s->refs, 1);
	atomic_init(&s->want, POLLIN);
	s->ctx = ctx ? ctx_ref(ctx) : NULL;
	s->config = config ? config_ref(config) : NULL;
	s->core = &wrapsock_core_1;
	s->fd = fd;
	s->flags = flags;
	s->timeout = -1;
	return s;
}

int
sock_attach(struct wrapsock_sock *s, const struct sockaddr *peer, socklen_t len, bool connected)
{
	s->conn = conn_new(s->config, peer, len, connected, s->name);
	if (!s->conn)
		return error_nomem(s);
	conn_stand_alone(s->conn);
	sock_apply_timeout(s, s->timeout);
	sock_fork_add(s);
	s->state = SOCK_TLS;
	return 0;
}

void
sock_detach(struct wrapsock_sock *s)
{
	sock_fork_remove(s);
	conn_free(s->conn);
	s->conn = NULL;
	s->state = SOCK_UNCONNECTED;
}

void
sock_apply_timeout(struct wrapsock_sock *s, int ms)
{
	conn_set_blocking(s->conn, ms != 0);
	conn_set_timeout(s->conn, false, ms > 0 ? ms : 0);
	conn_set_timeout(s->conn, true, ms > 0 ? ms : 0);
}

int
wrapsock_set_timeout(struct wrapsock_sock *s, int ms)
{
	SOCK_CALL(s);

	if (ms < -1)
		return error_set(s, WRAPSOCK_E_INVALID, EINVAL, "a timeout of %d ms, expected -1, 0 or more", ms);
	if (s->state == SOCK_BORROWED || s->state == SOCK_PLAIN)
		return sock_usable(s, "set_timeout");
	s->timeout = ms;
	if (s->conn)
		sock_apply_timeout(s, ms);
	return 0;
}

/* ---- failures ---- */

int
sock_usable(struct wrapsock_sock *s, const char *what)
{
	switch ((enum sock_state)s->state) {
	case SOCK_TLS:
		return 0;
	case SOCK_UNCONNECTED:
		return error_set(s, WRAPSOCK_E_STATE, ENOTCONN, "%s: the socket is not connected", what);
	case SOCK_LISTENER:
		return error_set(s, WRAPSOCK_E_STATE, ENOTCONN, "%s: the socket is a listener", what);
	case SOCK_PLAIN:
		return error_set(s, WRAPSOCK_E_STATE, EINVAL, "%s: the socket has been unwrapped: use its descriptor", what);
	case SOCK_BORROWED:
		return error_set(s, WRAPSOCK_E_STATE, EINVAL, "%s: the connection belongs to the program's descriptor: use that", what);
	case SOCK_CLOSED:
		break;
	}
	return error_set(s, WRAPSOCK_E_STATE, EBADF, "%s: the socket has been closed", what);
}

static int
fail_waiting(struct wrapsock_sock *s, short events)
{
	short want = conn_wants(s->conn, events);

	if (s->timeout)
		return error_set(s, WRAPSOCK_E_TIMEOUT, ETIMEDOUT, "not done within the timeout of %d ms", s->timeout);
	s->want = want;
	return error_set(s, want & POLLOUT ? WRAPSOCK_E_WANT_WRITE : WRAPSOCK_E_WANT_READ, EAGAIN, "call again when the descriptor is %s",
			 want & POLLOUT ? "writable" : "readable");
}

/* The connection is dead, and said why. */
static int
fail_dead(struct wrapsock_sock *s, const struct conn_failure *why)
{
	static const enum wrapsock_err codes[] = {
		[ENGINE_VERIFY] = WRAPSOCK_E_CERT_VERIFY,
		[ENGINE_PROTOCOL] = WRAPSOCK_E_SSL,
		[ENGINE_NOMEM] = WRAPSOCK_E_NOMEM,
		[ENGINE_DEAD] = WRAPSOCK_E_UNSUPPORTED,
	};
	struct failure f = { .code = WRAPSOCK_E_SYSCALL, .verify = why->verify, .verify_text = why->verify_text };

	if (why->result != ENGINE_DONE)
		f.code = codes[why->result];
	else if (why->error == ENOMEM)
		f.code = WRAPSOCK_E_NOMEM;
	else if (why->cut)
		f.code = WRAPSOCK_E_EOF;
	snprintf(f.text, sizeof f.text, "%s", why->text ? why->text : strerror(why->error));
	snprintf(f.reason, sizeof f.reason, "%s", why->reason ? why->reason : "");
	return error_put(s, &f, why->error);
}

int
sock_fail(struct wrapsock_sock *s, int r, short events)
{
	struct conn_failure why = conn_failure(s->conn);

	if (s->state != SOCK_TLS)
		return sock_usable(s, "the call was interrupted");
	if (r == -EAGAIN)
		return fail_waiting(s, events);
	if (why.error && why.error == -r)
		return fail_dead(s, &why);
	if (r == -EINVAL)
		return error_set(s, WRAPSOCK_E_INVALID, EINVAL, "an argument is out of its range");
	if (r == -ECONNRESET && why.cut)
		return error_set(s, WRAPSOCK_E_EOF, ECONNRESET, "the stream was cut: the peer closed it without a closing handshake");
	if (s->shut && (r == -EPIPE || r == -ENOTCONN))
		return error_set(s, WRAPSOCK_E_STATE, -r, "the socket has been shut down");
	return error_set(s, WRAPSOCK_E_SYSCALL, -r, "%s", strerror(-r));
}

/* ---- handshake ---- */

int
sock_handshake(struct wrapsock_sock *s)
{
	int r = conn_handshake(s->conn, s->fd, s->timeout != 0);

	if (r < 0)
		return sock_fail(s, r, POLLIN);
	s->want = POLLIN;
	return 0;
}

int
wrapsock_do_handshake(struct wrapsock_sock *s)
{
	SOCK_CALL(s);

	return sock_usable(s, "do_handshake") < 0 ? -1 : sock_handshake(s);
}

/* ---- the end ---- */

int
wrapsock_unwrap(struct wrapsock_sock *s)
{
	int r;

	SOCK_CALL(s);
	if (sock_usable(s, "unwrap") < 0)
		return -1;
	r = conn_unwrap(s->conn, s->fd);
	if (r == -EBUSY)
		return error_set(s, WRAPSOCK_E_DATA_PENDING, EBUSY, "the peer's data must be received before the socket can be unwrapped");
	if (r == -ENOTCONN && conn_state(s->conn) <= CONN_HANDSHAKING)
		return error_set(s, WRAPSOCK_E_STATE, ENOTCONN, "unwrap: the handshake is not done");
	if (r < 0)
		return sock_fail(s, r, POLLIN);
	sock_fork_remove(s);
	s->flags &= ~(unsigned)WRAPSOCK_OWN_FD;
	s->state = SOCK_PLAIN;
	return s->fd;
}

int
wrapsock_shutdown(struct wrapsock_sock *s, int how)
{
	int r;

	SOCK_CALL(s);
	if (sock_usable(s, "shutdown") < 0)
		return -1;
	if (how != SHUT_RD && how != SHUT_WR && how != SHUT_RDWR)
		return error_set(s, WRAPSOCK_E_INVALID, EINVAL, "%d is no way to shut down, expected SHUT_RD, SHUT_WR or SHUT_RDWR", how);
	r = conn_shutdown(s->conn, s->fd, how);
	if (how != SHUT_RD)
		s->shut = true;
	return r < 0 ? sock_fail(s, r, POLLOUT) : 0;
}

int
wrapsock_close(struct wrapsock_sock *s)
{
	int saved = errno, state;

	if (!s)
		return 0;
	state = atomic_exchange(&s->state, SOCK_CLOSED);
	sock_fork_remove(s);
	if (state == SOCK_TLS) {
		conn_close(s->conn, s->fd, conn_last(s->conn));
	} else if (state == SOCK_LISTENER && s->refs > 1) {
		raw_shutdown(s->fd, SHUT_RDWR);		/* wakes those who accept */
	}
	sock_put(s);
	errno = saved;
	return 0;
}

int
wrapsock_fileno(const struct wrapsock_sock *s)
{
	if (s->state != SOCK_PLAIN && s->state != SOCK_CLOSED)
		return s->fd;
	return error_set(s, WRAPSOCK_E_STATE, EINVAL, "fileno: the socket has been unwrapped");
}

struct wrapsock_ctx *
wrapsock_context(const struct wrapsock_sock *s)
{
	return s->ctx;
}
