/* sock_connect.c - TCP's part: connect and accept, each within one deadline and without touching the descriptor's flags. */
#include "sock.h"

#include "raw.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>

enum { ACCEPTED_HANDSHAKE_MS = 30000 };

static int64_t
now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static int64_t
deadline_in(int ms)
{
	return ms < 0 ? INT64_MAX : now() + ms;
}

static int
left_until(int64_t deadline)
{
	int64_t left = deadline == INT64_MAX ? -1 : deadline - now();

	return deadline != INT64_MAX && left < 0 ? 0 : left > INT_MAX ? INT_MAX : (int)left;
}

/* 1 = ready, 0 = deadline passed, or -errno. Signals do not shorten it. */
static int
wait_for(int fd, short events, int64_t deadline)
{
	int saved = errno;

	for (;;) {
		struct pollfd p = { .fd = fd, .events = events };
		int r = poll(&p, 1, left_until(deadline));

		if (r > 0 && p.revents & POLLNVAL)
			r = -EBADF;
		else if (r < 0 && errno == EINTR)
			continue;
		else if (r < 0)
			r = -errno;
		errno = saved;
		return r;
	}
}

/* A blocking descriptor must not block longer than we are asked to: the kernel has a timeout for that, which is given back. */
static void
swap_timeout(int fd, int name, struct timeval *tv)
{
	struct timeval old = { 0, 0 };
	unsigned len = sizeof old;

	raw_getsockopt(fd, SOL_SOCKET, name, &old, &len);
	raw_syscall(SYS_setsockopt, fd, SOL_SOCKET, name, (long)tv, sizeof *tv, 0);
	*tv = old;
}

/* 0, -EINPROGRESS, or the failure. */
static int
connect_once(int fd, const struct sockaddr *addr, socklen_t len, int timeout)
{
	struct timeval tv = { timeout / 1000, timeout % 1000 * 1000 };
	int r;

	if (timeout == 0)
		tv.tv_usec = 1;
	if (timeout >= 0)
		swap_timeout(fd, SO_SNDTIMEO, &tv);
	r = (int)raw_syscall(SYS_connect, fd, (long)addr, len, 0, 0, 0);
	if (timeout >= 0)
		swap_timeout(fd, SO_SNDTIMEO, &tv);
	return r == -EINTR || r == -EALREADY || r == -EAGAIN ? -EINPROGRESS : r;
}

static int
tcp_connect(int fd, const struct sockaddr *addr, socklen_t len, int timeout, int64_t deadline)
{
	int r = connect_once(fd, addr, len, timeout), error = 0;
	unsigned size = sizeof error;

	if (r != -EINPROGRESS || timeout == 0)
		return r;
	r = wait_for(fd, POLLOUT, deadline);
	if (r <= 0)
		return r ? r : -ETIMEDOUT;
	raw_getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
	return -error;
}

/* The connection exists before TCP does: nobody finds a connected socket without one. */
static int
connect_within(struct wrapsock_sock *s, const struct sockaddr *addr, socklen_t len, int timeout)
{
	int64_t deadline = deadline_in(timeout);
	int r;

	if (sock_attach(s, addr, len, false) < 0)
		return -1;
	r = tcp_connect(s->fd, addr, len, timeout, deadline);
	if (r == -EINPROGRESS)
		return error_set(s, WRAPSOCK_E_WANT_WRITE, EINPROGRESS, "connecting: go on with do_handshake when the descriptor is writable");
	if (r < 0) {
		if (s->state != SOCK_TLS)
			return sock_usable(s, "connect");
		sock_detach(s);
		if (r == -ETIMEDOUT && timeout > 0 && left_until(deadline) == 0)
			return error_set(s, WRAPSOCK_E_TIMEOUT, ETIMEDOUT, "not connected within the timeout of %d ms", timeout);
		return error_set(s, WRAPSOCK_E_SYSCALL, -r, "connect: %s", strerror(-r));
	}
	if (s->flags & WRAPSOCK_NO_HANDSHAKE_ON_CONNECT)
		return 0;
	sock_apply_timeout(s, timeout < 0 ? -1 : left_until(deadline) > 0 ? left_until(deadline) : 1);
	r = sock_handshake(s);
	sock_apply_timeout(s, s->timeout);
	return r;
}

int
wrapsock_connect(struct wrapsock_sock *s, const struct sockaddr *addr, socklen_t len)
{
	SOCK_CALL(s);

	if (s->flags & WRAPSOCK_SERVER_SIDE)
		return error_set(s, WRAPSOCK_E_STATE, EINVAL, "connect: the socket is a server's");
	if (s->state == SOCK_TLS)
		return error_set(s, WRAPSOCK_E_STATE, EISCONN, "connect: the socket is connected already");
	if (s->state != SOCK_UNCONNECTED)
		return sock_usable(s, "connect");
	if (!addr)
		return error_set(s, WRAPSOCK_E_INVALID, EINVAL, "an address must be given");
	if (s->timeout == 0 && !(s->flags & WRAPSOCK_NO_HANDSHAKE_ON_CONNECT))
		return error_set(s, WRAPSOCK_E_INVALID, EINVAL, "a timeout of 0 wants WRAPSOCK_NO_HANDSHAKE_ON_CONNECT");
	return connect_within(s, addr, len, s->timeout);
}

/* ---- listeners ---- */

/* Somebody was there a moment ago; another thread may have taken it. */
static int
accept_now(struct wrapsock_sock *s, struct sockaddr *addr, socklen_t *len)
{
	struct timeval tv = { 0, 1 };
	int fd;

	pthread_mutex_lock(&s->object.lock);
	swap_timeout(s->fd, SO_RCVTIMEO, &tv);
	fd = (int)raw_syscall(SYS_accept4, s->fd, (long)addr, (long)len, SOCK_CLOEXEC, 0, 0);
	swap_timeout(s->fd, SO_RCVTIMEO, &tv);
	pthread_mutex_unlock(&s->object.lock);
	return fd;
}

/* A descriptor, or the failure. What has gone wrong with one connection before it was accepted is no failure of the listener. */
static int
tcp_accept(struct wrapsock_sock *s, struct sockaddr_storage *peer, socklen_t *len, int64_t deadline)
{
	for (;;) {
		int fd = wait_for(s->fd, POLLIN, deadline);

		if (s->state != SOCK_LISTENER)
			return -EBADF;
		if (fd <= 0)
			return fd ? fd : -EAGAIN;
		*len = sizeof *peer;
		fd = accept_now(s, (struct sockaddr *)peer, len);
		if (fd != -EAGAIN && fd != -EINTR && fd != -ECONNABORTED)
			return fd;
	}
}

static struct wrapsock_sock *
fail_accept(struct wrapsock_sock *listener)
{
	error_move(NULL, listener);
	return NULL;
}

/* It owns its descriptor from the first. */
static struct wrapsock_sock *
accepted(struct wrapsock_sock *listener, int fd, const struct sockaddr_storage *peer, socklen_t len, int64_t deadline)
{
	struct wrapsock_sock *s = sock_new(listener->ctx, listener->config, fd, listener->flags | WRAPSOCK_OWN_FD);
	int ms = listener->timeout;

	if (!s) {
		raw_syscall(SYS_close, fd, 0, 0, 0, 0, 0);
		error_nomem(listener);
		return fail_accept(listener);
	}
	s->timeout = ms;
	if (sock_attach(s, (const struct sockaddr *)peer, len, true) == 0) {
		if (s->flags & WRAPSOCK_NO_HANDSHAKE_ON_CONNECT)
			return s;
		s->timeout = ms < 0 ? ACCEPTED_HANDSHAKE_MS : left_until(deadline) > 0 ? left_until(deadline) : 1;
		sock_apply_timeout(s, s->timeout);
		if (sock_handshake(s) == 0) {
			s->timeout = ms;
			sock_apply_timeout(s, ms);
			return s;
		}
	}
	error_move(listener, s);
	sock_fork_remove(s);
	sock_put(s);
	return fail_accept(listener);
}

struct wrapsock_sock *
wrapsock_accept(struct wrapsock_sock *s, struct sockaddr *addr, socklen_t *len)
{
	struct sockaddr_storage peer = { 0 };
	socklen_t peerlen;
	int64_t deadline;
	int fd;

	error_clear(NULL);
	SOCK_CALL(s);
	if (s->state != SOCK_LISTENER) {
		if (s->state == SOCK_TLS || sock_usable(s, "accept") == 0 || s->state == SOCK_UNCONNECTED)
			error_set(s, WRAPSOCK_E_STATE, EINVAL, "accept: the socket is no listener");
		return fail_accept(s);
	}
	if (s->timeout == 0 && !(s->flags & WRAPSOCK_NO_HANDSHAKE_ON_CONNECT)) {
		error_set(s, WRAPSOCK_E_INVALID, EINVAL, "a timeout of 0 wants WRAPSOCK_NO_HANDSHAKE_ON_CONNECT");
		return fail_accept(s);
	}
	deadline = deadline_in(s->timeout);
	fd = tcp_accept(s, &peer, &peerlen, deadline);
	if (fd >= 0) {
		if (addr && len) {
			memcpy(addr, &peer, *len < peerlen ? *len : peerlen);
			*len = peerlen;
		}
		return accepted(s, fd, &peer, peerlen, deadline);
	}
	if (s->state == SOCK_CLOSED)
		sock_usable(s, "accept");
	else if (fd == -EAGAIN && s->timeout == 0)
		error_set(s, WRAPSOCK_E_WANT_READ, EAGAIN, "nobody connects: call again when the descriptor is readable");
	else if (fd == -EAGAIN)
		error_set(s, WRAPSOCK_E_TIMEOUT, ETIMEDOUT, "nobody connected within the timeout of %d ms", s->timeout);
	else
		error_set(s, WRAPSOCK_E_SYSCALL, -fd, "accept: %s", strerror(-fd));
	return fail_accept(s);
}
