/* opts.c - options, flags and questions about a descriptor. */
#include "fdlife.h"
#include "sock.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>

#ifndef SO_ZEROCOPY
#define SO_ZEROCOPY 60
#endif

static int
set_status(struct sock *s, int fd, long flags)
{
	int r = real.fcntl(fd, F_SETFL, flags);

	if (flags & O_ASYNC)
		s->edges = true;
	if (r == 0 && s->phase == SOCK_WRAPPED) {
		core->conn_set_blocking(s->conn, !(flags & O_NONBLOCK));
		watch_settle(s);
	}
	return r;
}

/*
 * The kernel's flag stays on: a descriptor that a new program is meant to have leaves us with the exec. In a vfork child, where
 * nothing is noted, now.
 */
static int
set_cloexec(struct sock *s, int fd, bool on)
{
	if (sock_foreign(s)) {
		if (on || !relayed_still_wire(s, fd))
			return on ? 0 : real.fcntl(fd, F_SETFD, 0);
		return relayed_take_foreign(s, fd, false) < 0 ? (int)answer(-EACCES) : 0;
	}
	fdtab_set_cloexec(fd, on);
	if (!on)
		fdtab_set_meant(fd);
	return 0;
}

static int
control(int fd, int cmd, long arg)
{
	HOLD s = fdtab_hold(fd);

	if (!s)
		return real.fcntl(fd, cmd, arg);
	switch (cmd) {
	case F_DUPFD:
	case F_DUPFD_CLOEXEC:
		return fdlife_dupfd(s, fd, (int)arg, cmd == F_DUPFD_CLOEXEC);
	case F_GETFD:
		if (s->phase == SOCK_WRAPPED && !sock_foreign(s))
			return fdtab_cloexec(fd) ? FD_CLOEXEC : 0;
		break;
	case F_SETFD:
		if (s->phase == SOCK_WRAPPED)
			return set_cloexec(s, fd, arg & FD_CLOEXEC);
		break;
	case F_SETFL:
		if (!sock_foreign(s))
			return set_status(s, fd, arg);
		break;
	default:
		break;
	}
	return real.fcntl(fd, cmd, arg);
}

EXPORT int
fcntl(int fd, int cmd, ...)
{
	va_list ap;
	long arg;

	va_start(ap, cmd);
	arg = va_arg(ap, long);
	va_end(ap);
	return fdtab_ours(fd) ? control(fd, cmd, arg) : real.fcntl(fd, cmd, arg);
}
ALSO(fcntl, __fcntl);

EXPORT int
fcntl64(int fd, int cmd, ...)
{
	va_list ap;
	long arg;

	va_start(ap, cmd);
	arg = va_arg(ap, long);
	va_end(ap);
	return fdtab_ours(fd) ? control(fd, cmd, arg) : real.fcntl64(fd, cmd, arg);
}

static int
device(struct sock *s, int fd, unsigned long request, void *arg)
{
	ssize_t n;
	int r;

	switch (request) {
	case FIONREAD:
		n = core->conn_arrived(s->conn, fd);
		sock_after(s, fd);
		if (n >= 0)
			*(int *)arg = (int)n;
		return (int)answer(n < 0 ? n : 0);
	case FIONBIO:
		r = real.ioctl(fd, request, arg);
		if (r == 0) {
			core->conn_set_blocking(s->conn, !*(int *)arg);
			watch_settle(s);
		}
		return r;
	case FIOASYNC:
		s->edges = true;
		return real.ioctl(fd, request, arg);
	case FIOCLEX:
	case FIONCLEX:
		return set_cloexec(s, fd, request == FIOCLEX);
	default:
		return real.ioctl(fd, request, arg);
	}
}

EXPORT int
ioctl(int fd, unsigned long request, ...)
{
	va_list ap;
	void *arg;

	va_start(ap, request);
	arg = va_arg(ap, void *);
	va_end(ap);
	if (!fdtab_ours(fd))
		return real.ioctl(fd, request, arg);
	HOLD s = fdtab_hold(fd);

	if (s && s->phase == SOCK_WRAPPED && (!sock_foreign(s) || request == FIONCLEX))
		return device(s, fd, request, arg);
	if (s && s->phase == SOCK_RELAYED && request == TIOCOUTQ && arg)
		return relayed_unsent(fd, arg);
	return real.ioctl(fd, request, arg);
}

static int
give(void *value, socklen_t *len, int number)
{
	if (!value || !len)
		return (int)answer(-EFAULT);
	if (*len > sizeof number)
		*len = sizeof number;
	memcpy(value, &number, *len);
	return 0;
}

/* SO_ERROR of a connecting client is the handshake's outcome, once, as a connect's is. */
static int
pending_error(struct sock *s, int fd)
{
	int error;

	if (core->conn_state(s->conn) <= CONN_HANDSHAKING)
		core->conn_handshake(s->conn, fd, false);
	error = core->conn_take_error(s->conn);
	sock_after(s, fd);
	return error;
}

static void
put_conn(void *held)
{
	fdtab_put(held);
}

/* The explicit API asks about a connection of ours; it may come from another file than the one we loaded. */
static int
give_conn(int fd, void *value, socklen_t *len)
{
	struct core_conn *c = value;

	if (*len != sizeof *c || c->abi != CORE_ABI || c->size != sizeof *core) {
		if (*len >= sizeof c->abi)
			*len = sizeof c->abi, c->abi = CORE_ABI;
		return 0;
	}
	c->held = fdtab_hold_wrapped(fd);
	if (!c->held)
		return (int)answer(-ENOTCONN);
	c->core = core;
	c->conn = ((struct sock *)c->held)->conn;
	c->put = put_conn;
	return 0;
}

EXPORT int
getsockopt(int fd, int level, int name, void *restrict value, socklen_t *restrict len)
{
	if (!fdtab_ours(fd))
		return real.getsockopt(fd, level, name, value, len);
	HOLD s = fdtab_hold(fd);
	int error;

	if (s && s->phase == SOCK_RELAYED && relayed_getsockopt(s, fd, level, name, value, len, &error))
		return error;
	if (!s || s->phase != SOCK_WRAPPED || sock_foreign(s) || (level != SOL_SOCKET && level != IPPROTO_TCP && level != CORE_SOL))
		return real.getsockopt(fd, level, name, value, len);
	if (level == CORE_SOL)
		return name == CORE_SO_CONN ? give_conn(fd, value, len) : (int)answer(-ENOPROTOOPT);
	if (level == IPPROTO_TCP)
		return name == TCP_NODELAY ? give(value, len, s->nodelay) :
		       name == TCP_ZEROCOPY_RECEIVE ? (int)answer(-EOPNOTSUPP) :	/* would take the records from the wire */
						      real.getsockopt(fd, level, name, value, len);
	if (name == SO_RCVLOWAT)
		return give(value, len, core->conn_lowat(s->conn));
	if (name == SO_ERROR && ((error = pending_error(s, fd)) || core->conn_state(s->conn) == CONN_DEAD))
		return give(value, len, error);		/* what becomes of a dead one's wire is no news */
	return real.getsockopt(fd, level, name, value, len);
}

static int
set_timeout(struct sock *s, int fd, int name, const void *value, socklen_t len)
{
	int r = real.setsockopt(fd, SOL_SOCKET, name, value, len);
	struct timeval tv;

	if (r == 0 && len >= sizeof tv) {
		memcpy(&tv, value, sizeof tv);
		core->conn_set_timeout(s->conn, name == SO_SNDTIMEO, tv.tv_sec * 1000 + (tv.tv_usec + 999) / 1000);
	}
	return r;
}

static int
set_lowat(struct sock *s, const void *value, socklen_t len)
{
	int bytes;

	if (len < sizeof bytes)
		return (int)answer(-EINVAL);
	memcpy(&bytes, value, sizeof bytes);
	core->conn_set_lowat(s->conn, bytes < 0 ? INT32_MAX : bytes);
	return 0;
}

static int
set_nodelay(struct sock *s, int fd, const void *value, socklen_t len)
{
	int r = real.setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, value, len), on;

	if (r == 0) {
		memcpy(&on, value, sizeof on);
		s->nodelay = on != 0;
	}
	return r;
}

EXPORT int
setsockopt(int fd, int level, int name, const void *value, socklen_t len)
{
	if (!fdtab_ours(fd))
		return real.setsockopt(fd, level, name, value, len);
	HOLD s = fdtab_hold(fd);
	int r;

	if (!s || sock_foreign(s))
		return real.setsockopt(fd, level, name, value, len);
	if (level == IPPROTO_TCP && name == TCP_FASTOPEN_CONNECT)
		return (int)answer(-ENOPROTOOPT);	/* the first bytes would ride on the SYN: programs fall back */
	if (s->phase == SOCK_RELAYED && relayed_setsockopt(fd, level, name, value, len, &r))
		return r;
	if (level == SOL_SOCKET && (name == SO_ZEROCOPY || name == SO_PEEK_OFF))
		return (int)answer(-EOPNOTSUPP);	/* it would outlast the connect */
	if (s->phase != SOCK_WRAPPED)
		return real.setsockopt(fd, level, name, value, len);
	if (level == IPPROTO_TCP && name == TCP_NODELAY)
		return set_nodelay(s, fd, value, len);
	if (level == IPPROTO_TCP && (name == TCP_ULP || name == TCP_REPAIR))
		return (int)answer(-EOPNOTSUPP);
	if (level == SOL_SOCKET && (name == SO_RCVTIMEO || name == SO_SNDTIMEO))
		return set_timeout(s, fd, name, value, len);
	if (level == SOL_SOCKET && name == SO_RCVLOWAT)
		return set_lowat(s, value, len);
	return real.setsockopt(fd, level, name, value, len);
}
