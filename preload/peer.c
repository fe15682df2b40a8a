/* peer.c - the calls that make and name connections: where policy is asked. */
#include "cancel.h"
#include "sock.h"

#include "raw.h"

#include <sys/single_threaded.h>

#include <netinet/in.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* Ports that this process listens on, for the connect that could never succeed. */
#define PORTS 64
static _Atomic uint32_t listening[PORTS];	/* pid in the high half would not fit: the pid's low bits and the port */

static uint32_t
port_key(const struct sockaddr *addr)
{
	uint16_t port = addr->sa_family == AF_INET ? ((const struct sockaddr_in *)(const void *)addr)->sin_port :
						      ((const struct sockaddr_in6 *)(const void *)addr)->sin6_port;

	return (uint32_t)getpid() << 16 | ntohs(port);
}

EXPORT int
socket(int domain, int type, int protocol)
{
	int fd = real.socket(domain, type, protocol);
	bool tcp = (domain == AF_INET || domain == AF_INET6) && (type & 0xf) == SOCK_STREAM &&
		   (protocol == 0 || protocol == IPPROTO_TCP || protocol == IPPROTO_MPTCP);

	if (fd < 0)
		return fd;
	fdtab_forget(fd);
	if (tcp && decide_clients()) {
		struct sock *s = sock_new(domain);

		if (s && fdtab_bind(fd, s, type & SOCK_CLOEXEC)) {
			s->client = true;
			s->edges = false;
		}
		fdtab_put(s);
	}
	return fd;
}

EXPORT int
socketpair(int domain, int type, int protocol, int pair[2])
{
	int r = real.socketpair(domain, type, protocol, pair);

	for (int i = 0; i < 2 && r == 0; i++)
		fdtab_forget(pair[i]);
	return r;
}

/* The kernel takes a failed attempt back at the next connect; it does so for TCP's own failures alone. */
static bool
taken_back(int fd, const struct sockaddr *addr, socklen_t len)
{
	int saved = errno;
	bool yes = real.connect(fd, addr, len) < 0 && (errno == ECONNABORTED || errno == ECONNREFUSED);

	errno = saved;
	return yes;
}

/* Done by another thread, which has handed it over since, it is done. */
static int
handshake(struct sock *s, int fd, bool wait)
{
	int r = core->conn_handshake(s->conn, fd, wait);

	return r == -EIO && sock_turned_away(s) ? 0 : r;
}

/* The first outcome of a non-blocking connect is told as 0 or the error, later ones as EISCONN. */
static int
connect_again(struct sock *s, int fd, const struct sockaddr *addr, socklen_t len)
{
	int r = handshake(s, fd, !sock_nonblocking(fd));

	sock_after(s, fd);
	if (r == -EAGAIN)
		return -EALREADY;
	if (r < 0) {
		bool told = !core->conn_take_error(s->conn);

		if (core->conn_state(s->conn) != CONN_DEAD || !taken_back(fd, addr, len))
			return r;
		sock_revert(s);
		return told ? -ECONNABORTED : r;
	}
	return atomic_exchange(&s->told, true) ? -EISCONN : 0;
}

static bool
to_itself(const struct sockaddr *addr)
{
	bool loopback = addr->sa_family == AF_INET ?
				(ntohl(((const struct sockaddr_in *)(const void *)addr)->sin_addr.s_addr) >> 24) == 127 :
				IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)(const void *)addr)->sin6_addr);

	if (!loopback || !__libc_single_threaded)
		return false;
	for (int i = 0; i < PORTS; i++)
		if (listening[i] && listening[i] == port_key(addr))
			return true;
	return false;
}

static void
settle(struct sock **s)
{
	watch_settle(*s);
}

/* Cancelled in connect, it is what it was at that moment: TCP or the handshake can be brought to its end by another thread. */
static int
start_client(struct sock *s, int fd, const struct sockaddr *addr, socklen_t len, struct conn *conn, enum route route)
{
	bool nonblocking = sock_nonblocking(fd), cloexec = real.fcntl(fd, F_GETFD) & FD_CLOEXEC;
	int saved = errno, r = sock_adopt(fd, s, conn, route, cloexec);

	if (r < 0) {
		s->phase = SOCK_PLANNED;
		s->conn = NULL;
		core->conn_free(conn);
		sock_close(fd);
		return r;
	}
	__attribute__((cleanup(settle), unused)) struct sock *settled = s;

	if (real.connect(fd, addr, len) < 0 && errno != EINPROGRESS) {
		r = -errno;
		if (r != -EINTR)
			sock_revert(s);
		errno = saved;
		return r;
	}
	errno = saved;
	if (nonblocking)		/* never an outcome at once, as TCP has none: programs need not expect one */
		return -EINPROGRESS;
	if (!core->conn_on_connect(conn) && !s->escaped && route != ROUTE_RELAY) {	/* the handshake comes with the first byte */
		s->told = true;
		return 0;
	}
	r = handshake(s, fd, true);
	if (r < 0)
		return r == -EAGAIN ? -ETIMEDOUT : r;
	s->told = true;
	if (s->escaped || route == ROUTE_RELAY)
		r = relayed_take(s, fd);
	if (r < 0)
		raw_shutdown(fd, SHUT_RDWR);	/* stdio may have it already */
	return r;
}

/* libc's streams over 0 to 2 read and write past us. */
static bool
on_standard(int fd, const struct sock *s)
{
	for (int n = 0; n <= 2 && s; n++) {
		HOLD other = fdtab_hold(n);

		if (other == s)
			return true;
	}
	return fd <= 2;
}

static int
refuse_standard(struct conn *conn)
{
	core->conn_free(conn);
	log_line(LOG_LEVEL_WARN, "a connection that policy wraps cannot be one of descriptors 0 to 2, or a stream, which stdio uses, with route = "
				 "inline or while it does not wait in connect: EACCES");
	return (int)answer(-EACCES);
}

EXPORT int
connect(int fd, const struct sockaddr *addr, socklen_t len)
{
	HOLD s = fdtab_hold(fd);
	enum route route;
	struct conn *conn;
	bool escapes, waits;
	int r;

	if (s && s->phase == SOCK_RELAYED)
		return (int)answer(atomic_exchange(&s->told, true) ? -EISCONN : 0);
	if (s && s->phase == SOCK_WRAPPED) {
		REFUSE_FOREIGN(s);
		return (int)answer(addr && addr->sa_family == AF_UNSPEC ? -EOPNOTSUPP : connect_again(s, fd, addr, len));
	}
	r = !decide_clients() || !sock_inet(addr, len) ? 0 : s ? sock_still_tcp(fd) : sock_tcp(fd);
	if (r < 0)
		return (int)answer(r);
	if (r == 0)
		return real.connect(fd, addr, len);
	r = decide(CONFIG_CLIENT, addr, len, addr, false, &conn, &route);
	if (r < 0)
		return (int)answer(r);
	if (r == 0) {
		if (s && !sock_foreign(s))
			fdtab_forget(fd);
		return real.connect(fd, addr, len);
	}
	escapes = on_standard(fd, s) || (s && s->escaped);
	waits = core->conn_on_connect(conn) || escapes || route == ROUTE_RELAY;
	if (waits && !sock_nonblocking(fd) && to_itself(addr)) {
		core->conn_free(conn);
		log_line(LOG_LEVEL_WARN, "a single-threaded process connects to its own listener and would wait for itself: EDEADLK");
		return (int)answer(-EDEADLK);
	}
	if (escapes && (route == ROUTE_INLINE || sock_nonblocking(fd)))
		return refuse_standard(conn);
	if (!s)
		s = sock_new(addr->sa_family);
	if (!s) {
		core->conn_free(conn);
		return (int)answer(-ENOMEM);
	}
	s->client = true;
	s->escaped = escapes;
	return (int)answer(start_client(s, fd, addr, len, conn, route));
}
ALSO(connect, __connect);

static void
note_listener(int fd, const struct sockaddr *addr, socklen_t len)
{
	uint32_t key = port_key(addr);

	decide_load_server(addr, len);
	for (int i = 0; i < PORTS; i++) {
		uint32_t none = 0;

		if (listening[i] == key || atomic_compare_exchange_strong(&listening[i], &none, key))
			break;
	}
	(void)fd;
}

EXPORT int
bind(int fd, const struct sockaddr *addr, socklen_t len)
{
	int r = real.bind(fd, addr, len), saved = errno;

	if (r == 0 && decide_servers() && sock_inet(addr, len) && (port_key(addr) & 0xffff) && sock_tcp(fd) > 0)
		decide_load_server(addr, len);
	errno = saved;
	return r;
}

EXPORT int
listen(int fd, int backlog)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof ss;
	int r = real.listen(fd, backlog), saved = errno;
	HOLD s = fdtab_hold(fd);

	if (r < 0)
		return r;
	if (s && s->phase == SOCK_PLANNED && !sock_foreign(s))
		fdtab_forget(fd);
	if ((decide_servers() || decide_clients()) && real.getsockname(fd, (struct sockaddr *)&ss, &len) == 0 &&
	    sock_inet((struct sockaddr *)&ss, len) && sock_tcp(fd) > 0)
		note_listener(fd, (struct sockaddr *)&ss, len);
	errno = saved;
	return r;
}

static int
give_back(int fd, int error)
{
	real.shutdown(fd, SHUT_RDWR);
	sock_close(fd);
	return (int)answer(error);
}

/* A thread cancelled in accept's handshake: nobody knows the descriptor. */
static void
unknown(int *fd)
{
	if (*fd < 0)
		return;
	fdtab_forget(*fd);
	give_back(*fd, 0);
}

static int
start_server(int fd, int domain, struct conn *conn, enum route route, int flags)
{
	HOLD s = sock_new(domain);
	int r = s ? 0 : -ENOMEM;

	if (r == 0) {
		s->edges = false;
		r = sock_adopt(fd, s, conn, route, flags & SOCK_CLOEXEC);
	} else {
		core->conn_free(conn);
	}
	if (r == 0 && core->conn_on_connect(conn)) {
		__attribute__((cleanup(unknown))) int cancelled = fd;

		r = core->conn_handshake(conn, fd, true);
		cancelled = -1;
		if (r < 0)
			fdtab_forget(fd);
	}
	if (r == 0)
		sock_after(s, fd);
	return r < 0 ? give_back(fd, r) : fd;
}

static int
accepted(int fd, const struct sockaddr *peer, socklen_t plen, int flags)
{
	struct sockaddr_storage local;
	socklen_t len = sizeof local;
	int saved = errno, r;
	enum route route;
	struct conn *conn;

	fdtab_forget(fd);
	r = sock_inet(peer, plen) ? sock_tcp(fd) : 0;
	if (r <= 0)
		;
	else if (real.getsockname(fd, (struct sockaddr *)&local, &len) < 0)
		r = -errno;
	else
		r = decide(CONFIG_SERVER, (struct sockaddr *)&local, len, peer, true, &conn, &route);
	if (r < 0)
		return give_back(fd, r);
	if (r == 0) {
		if (!(flags & SOCK_CLOEXEC))
			real.fcntl(fd, F_SETFD, 0);
		errno = saved;
		return fd;
	}
	if (fd <= 2) {			/* the lowest free number, after a close: stdio must not have it */
		int higher = real.fcntl(fd, F_DUPFD_CLOEXEC, 3);

		sock_close(fd);
		if (higher < 0) {
			core->conn_free(conn);
			return (int)answer(-EMFILE);
		}
		fd = higher;
	}
	errno = saved;
	return start_server(fd, local.ss_family, conn, route, flags);
}

EXPORT int
accept4(int listener, struct sockaddr *addr, socklen_t *addrlen, int flags)
{
	struct sockaddr_storage peer;
	socklen_t len = sizeof peer;
	int fd;

	if (!decide_servers()) {
		fd = real.accept4(listener, addr, addrlen, flags);
		if (fd >= 0)
			fdtab_forget(fd);
		return fd;
	}
	if (addr && !addrlen)
		return (int)answer(-EFAULT);
	fd = real.accept4(listener, (struct sockaddr *)&peer, &len, flags | SOCK_CLOEXEC);
	if (fd < 0)
		return fd;
	if (addr && addrlen) {
		memcpy(addr, &peer, *addrlen < len ? *addrlen : len);
		*addrlen = len;
	}
	return accepted(fd, (struct sockaddr *)&peer, len, flags);
}

EXPORT int
accept(int listener, struct sockaddr *addr, socklen_t *addrlen)
{
	return accept4(listener, addr, addrlen, 0);
}

EXPORT int
shutdown(int fd, int how)
{
	if (!fdtab_ours(fd))
		return real.shutdown(fd, how);
	HOLD s = fdtab_hold(fd);
	int r;

	if (s && s->phase == SOCK_RELAYED)
		return relayed_over(fd) ? (int)answer(-ENOTCONN) : real.shutdown(fd, how);
	if (!s || s->phase != SOCK_WRAPPED)
		return real.shutdown(fd, how);
	REFUSE_FOREIGN(s);
	if (!sock_still(fd, s)) {	/* another socket's number by now */
		fdtab_forget(fd);
		return real.shutdown(fd, how);
	}
	r = core->conn_shutdown(s->conn, fd, how);
	if (r == -EIO && sock_turned_away(s))
		return real.shutdown(fd, how);
	sock_after(s, fd);
	return (int)answer(r);
}

/* A client is connected once its handshake is. */
EXPORT int
getpeername(int fd, struct sockaddr *restrict addr, socklen_t *restrict len)
{
	if (!fdtab_ours(fd))
		return real.getpeername(fd, addr, len);
	HOLD s = fdtab_hold(fd);

	if (s && s->phase == SOCK_WRAPPED && s->client && !s->told && !sock_foreign(s)) {
		if (core->conn_state(s->conn) <= CONN_HANDSHAKING) {
			core->conn_handshake(s->conn, fd, false);
			sock_after(s, fd);
		}
		if (core->conn_state(s->conn) <= CONN_HANDSHAKING)
			return (int)answer(-ENOTCONN);
	}
	return s && s->phase == SOCK_RELAYED ? relayed_name(fd, true, addr, len) : real.getpeername(fd, addr, len);
}

EXPORT int
getsockname(int fd, struct sockaddr *restrict addr, socklen_t *restrict len)
{
	return relayed(fd) ? relayed_name(fd, false, addr, len) : real.getsockname(fd, addr, len);
}

