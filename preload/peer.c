/* peer.c - the calls that make and name connections: where policy is asked. */
#include "cancel.h"
#include "sock.h"

#include "raw.h"

#include <sys/resource.h>
#include <sys/single_threaded.h>
#include <sys/syscall.h>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif

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

static bool
inet(const struct sockaddr *addr, socklen_t len)
{
	return addr && ((len >= sizeof(struct sockaddr_in) && addr->sa_family == AF_INET) ||
			(len >= 24 /* without scope: RFC 2133 */ && addr->sa_family == AF_INET6));
}

static int
option(int fd, int level, int name)
{
	int value = -1;
	socklen_t len = sizeof value;

	return real.getsockopt(fd, level, name, &value, &len) < 0 ? -1 : value;
}

static int
ask_protocol(int fd)
{
	int protocol = option(fd, SOL_SOCKET, SO_PROTOCOL);

	if (protocol < 0)
		return errno == ENOTSOCK || errno == EBADF ? 0 : -errno;
	return protocol == IPPROTO_TCP || protocol == IPPROTO_MPTCP;
}

static int
ask_tcp(int fd)
{
	int domain = option(fd, SOL_SOCKET, SO_DOMAIN), type;

	if (domain < 0)
		return errno == ENOTSOCK || errno == EBADF ? 0 : -errno;
	if (domain != AF_INET && domain != AF_INET6)
		return 0;
	type = option(fd, SOL_SOCKET, SO_TYPE);
	return type < 0 ? -errno : type == SOCK_STREAM ? ask_protocol(fd) : 0;
}

static int
cannot_ask(int fd, int error)
{
	log_line(LOG_LEVEL_WARN, "what descriptor %d is, or whose, cannot be asked: %s: refused with EACCES", fd, strerror(error));
	return -EACCES;
}

int
sock_tcp(int fd)
{
	int saved = errno, r = ask_tcp(fd);

	if (r < 0)
		r = cannot_ask(fd, -r);
	errno = saved;
	return r;
}

/* The table knows a socket since it was made: what was closed behind our back, and made anew there, is UDP or no INET socket. */
static int
still_tcp(int fd)
{
	int saved = errno, r = ask_protocol(fd);

	if (r < 0)
		r = cannot_ask(fd, -r);
	errno = saved;
	return r;
}

bool
sock_nonblocking(int fd)
{
	int flags = real.fcntl(fd, F_GETFL);

	return flags >= 0 && flags & O_NONBLOCK;
}

static void
inherit_timeout(struct conn *conn, int fd, int name)
{
	struct timeval tv = { 0 };
	socklen_t len = sizeof tv;

	if (real.getsockopt(fd, SOL_SOCKET, name, &tv, &len) == 0 && (tv.tv_sec || tv.tv_usec))
		core->conn_set_timeout(conn, name == SO_SNDTIMEO, tv.tv_sec * 1000 + (tv.tv_usec + 999) / 1000);
}

/* SO_RCVLOWAT counts ciphertext on the wire: it is kept here and leaves the wire at 1. */
static void
inherit_lowat(struct conn *conn, int fd)
{
	int lowat = option(fd, SOL_SOCKET, SO_RCVLOWAT), one = 1;

	if (lowat <= 1)
		return;
	core->conn_set_lowat(conn, lowat);
	real.setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &one, sizeof one);
}

/*
 * A record of its own for each small write, and Nagle holding the second for the peer's delayed ACK: 40 ms that plain TCP does not have, whose first
 * answers meet a peer in quick-ack mode.  So the wire starts without Nagle; what the program asks for later, it gets.
 */
static void
without_nagle(struct sock *s, int fd)
{
	int one = 1;

	s->nodelay = option(fd, IPPROTO_TCP, TCP_NODELAY) > 0;
	if (!s->nodelay)
		real.setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

uint64_t
sock_cookie(int fd)
{
	uint64_t cookie = 0;
	unsigned len = sizeof cookie;

	return raw_getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &len) < 0 ? 0 : cookie;
}

bool
sock_still(int fd, const struct sock *s)
{
	uint64_t cookie = 0;
	unsigned len = sizeof cookie;
	long r = raw_getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &len);

	return r < 0 ? r != -ENOTSOCK && r != -EBADF : cookie == s->cookie || !s->cookie;
}

/* An exec that we do not see must not take the wire along; the program keeps its own flag. */
static void
shield(int fd, struct sock *s, void *of)
{
	if (s != of)
		return;
	fdtab_set_cloexec(fd, real.fcntl(fd, F_GETFD) & FD_CLOEXEC);
	real.fcntl(fd, F_SETFD, FD_CLOEXEC);
}

static void
unshield(int fd, struct sock *s, void *of)
{
	if (s == of && !fdtab_cloexec(fd))
		real.fcntl(fd, F_SETFD, 0);
}

int
sock_adopt(int fd, struct sock *s, struct conn *conn, enum route route, bool cloexec)
{
	int saved = errno;

	core->conn_set_blocking(conn, !sock_nonblocking(fd));
	inherit_timeout(conn, fd, SO_RCVTIMEO);
	inherit_timeout(conn, fd, SO_SNDTIMEO);
	inherit_lowat(conn, fd);
	without_nagle(s, fd);
	s->cookie = sock_cookie(fd);
	s->conn = conn;
	s->route = route;
	s->phase = SOCK_WRAPPED;
	if (fdtab_ours(fd)) {
		if (s->refs > 2)	/* another number: it was doubled before it was wrapped */
			fdtab_each(shield, s);
		else
			shield(fd, s, s);
		errno = saved;
		return 0;
	}
	real.fcntl(fd, F_SETFD, FD_CLOEXEC);
	errno = saved;
	if (fdtab_bind(fd, s, cloexec))
		return 0;
	log_line(LOG_LEVEL_ERROR, "descriptor %d is beyond the table of %u: refused with EMFILE", fd, fdtab_size);
	return -EMFILE;
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

		if (s && fdtab_bind(fd, s, type & SOCK_CLOEXEC))
			s->client = true;
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

static bool
adopt_late(struct sock *s, int fd, const struct sockaddr_storage *peer, socklen_t len)
{
	enum route route;
	struct conn *conn;
	int r = decide(CONFIG_CLIENT, (const void *)peer, len, (const void *)peer, true, &conn, &route);

	if (r == 0)
		fdtab_forget(fd);
	else if (r < 0)
		real.shutdown(fd, SHUT_RDWR);
	else
		sock_adopt(fd, s, conn, route, false);	/* it has its slot */
	return r > 0;
}

/* By io_uring, or by another process that has the same socket: its first word here, if it is TLS, begins a handshake. */
bool
sock_late(struct sock *s, int fd)
{
	struct sockaddr_storage peer;
	unsigned len = sizeof peer;
	int saved = errno;
	UNCANCELLED;

	if (raw_getpeername(fd, &peer, &len) < 0 || !inet((struct sockaddr *)&peer, len) || sock_foreign(s))
		return false;
	while (atomic_exchange(&s->leaving, true))
		sched_yield();		/* another thread has met it, too */
	if (s->phase == SOCK_PLANNED && adopt_late(s, fd, &peer, len))
		s->client = true;
	s->leaving = false;
	errno = saved;
	return s->phase == SOCK_WRAPPED;
}

/* TCP said no: the socket is as before and may be tried again. */
static void
revert(struct sock *s)
{
	struct conn *conn = s->conn;
	int saved = errno;

	fdtab_each(unshield, s);
	s->phase = SOCK_PLANNED;
	s->conn = NULL;
	epoll_settle(s);
	core->conn_free(conn);
	errno = saved;
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

/* The first outcome of a non-blocking connect is told as 0 or the error, later ones as EISCONN. */
static int
connect_again(struct sock *s, int fd, const struct sockaddr *addr, socklen_t len)
{
	int r = core->conn_handshake(s->conn, fd, !sock_nonblocking(fd));

	sock_after(s, fd);
	if (r == -EAGAIN)
		return -EALREADY;
	if (r < 0) {
		bool told = !core->conn_take_error(s->conn);

		if (core->conn_state(s->conn) != CONN_DEAD || !taken_back(fd, addr, len))
			return r;
		revert(s);
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
	epoll_settle(*s);
}

static void
close_now(int fd)
{
	UNCANCELLED;

	real.close(fd);
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
		close_now(fd);
		return r;
	}
	__attribute__((cleanup(settle), unused)) struct sock *settled = s;

	if (real.connect(fd, addr, len) < 0 && errno != EINPROGRESS) {
		r = -errno;
		if (r != -EINTR)
			revert(s);
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
	r = core->conn_handshake(conn, fd, true);
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
	r = !decide_clients() || !inet(addr, len) ? 0 : s ? still_tcp(fd) : sock_tcp(fd);
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

	if (r == 0 && decide_servers() && inet(addr, len) && (port_key(addr) & 0xffff) && sock_tcp(fd) > 0)
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
	if ((decide_servers() || decide_clients()) && real.getsockname(fd, (struct sockaddr *)&ss, &len) == 0 && inet((struct sockaddr *)&ss, len) && sock_tcp(fd) > 0)
		note_listener(fd, (struct sockaddr *)&ss, len);
	errno = saved;
	return r;
}

static int
give_back(int fd, int error)
{
	real.shutdown(fd, SHUT_RDWR);
	close_now(fd);
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

	if (r == 0)
		r = sock_adopt(fd, s, conn, route, flags & SOCK_CLOEXEC);
	else
		core->conn_free(conn);
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
	r = inet(peer, plen) ? sock_tcp(fd) : 0;
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

		close_now(fd);
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

enum { START = 64, FEW = 256 };		/* the kernel's table has room for so many descriptors at first; and what poll is asked about */

struct twin {
	uint64_t cookie;
	int fd;
};

static void
find_twin(int fd, struct sock *s, void *arg)
{
	struct twin *t = arg;

	if (s->phase == SOCK_WRAPPED && t->cookie && s->cookie == t->cookie)
		t->fd = fd;
}

/* Another number of a connection that has been met: inetd gives the same one as 0, 1 and 2. */
static bool
inherited_again(int fd)
{
	struct twin t = { sock_cookie(fd), -1 };

	fdtab_each(find_twin, &t);
	HOLD s = fdtab_hold(t.fd);

	if (!s || !fdtab_bind(fd, s, real.fcntl(fd, F_GETFD) & FD_CLOEXEC))
		return false;
	real.fcntl(fd, F_SETFD, FD_CLOEXEC);
	return true;
}

/* Would policy leave it as it is, in either role? */
static bool
left_plain(int fd)
{
	struct sockaddr_storage peer, local;
	socklen_t plen = sizeof peer, llen = sizeof local;
	int rule;

	return !sock_tcp(fd) || real.getpeername(fd, (struct sockaddr *)&peer, &plen) < 0 || real.getsockname(fd, (struct sockaddr *)&local, &llen) < 0 ||
	       (decide_ask(CONFIG_SERVER, (struct sockaddr *)&local, llen, &rule) == 0 &&
		decide_ask(CONFIG_CLIENT, (struct sockaddr *)&peer, plen, &rule) == 0);
}

static bool
may_have(int fd)
{
	if (relayed_recognise(fd) || !(decide_clients() || decide_servers()))
		return true;
	if (!sock_tcp(fd) || !inherited_again(fd))
		return left_plain(fd);
	HOLD s = fdtab_hold(fd);

	return fd > 2 || relayed_take(s, fd) == 0;
}

/* Another number, from any process's table: of a connection of ours, or the wire of somebody else's. */
EXPORT int
pidfd_getfd(int pidfd, int theirs, unsigned flags)
{
	int fd = real.pidfd_getfd(pidfd, theirs, flags), saved = errno;

	if (fd < 0)
		return fd;
	fdtab_forget(fd);
	if (!may_have(fd)) {
		log_line(LOG_LEVEL_WARN, "a connection that policy wraps, taken from another process, is refused with EACCES");
		fdtab_forget(fd);
		close_now(fd);
		return (int)answer(-EACCES);
	}
	errno = saved;
	return fd;
}

/* 0 = plain, else the sock is bound or the wire is shut down. */
static void
inherit(int fd, const struct sockaddr *local, socklen_t llen, const struct sockaddr *peer, socklen_t plen)
{
	struct conn *conn;
	enum route route;
	int r = decide(CONFIG_SERVER, local, llen, peer, true, &conn, &route);
	HOLD s = NULL;

	if (r == 0)
		r = decide(CONFIG_CLIENT, peer, plen, peer, true, &conn, &route);
	if (r == 0)
		return;
	if (r > 0 && (s = sock_new(local->sa_family)) && sock_adopt(fd, s, conn, route, real.fcntl(fd, F_GETFD) & FD_CLOEXEC) == 0)
		return;
	if (r > 0 && !s)
		core->conn_free(conn);
	real.shutdown(fd, SHUT_RDWR);
}

/* What stdio already holds, it would read and write past us: the relay takes it, its handshake done first. */
static void
free_standard(void)
{
	for (int fd = 0; fd <= 2; fd++) {
		HOLD s = fdtab_hold_wrapped(fd);

		if (!s || relayed_take(s, fd) == 0)
			continue;
		log_line(LOG_LEVEL_WARN, "descriptor %d is a connection that policy wraps, and stdio would use it in clear: it is shut down", fd);
		real.shutdown(fd, SHUT_RDWR);
	}
}

static void
inherited(int fd)
{
	struct sockaddr_storage peer, local;
	socklen_t plen = sizeof peer, llen = sizeof local;
	int tcp;

	if (relayed_recognise(fd) || !(decide_clients() || decide_servers()))
		return;
	tcp = sock_tcp(fd);
	if (tcp == 0 || (tcp > 0 && inherited_again(fd)))
		return;
	if (tcp > 0 && real.getpeername(fd, (struct sockaddr *)&peer, &plen) == 0 && real.getsockname(fd, (struct sockaddr *)&local, &llen) == 0) {
		inherit(fd, (struct sockaddr *)&local, llen, (struct sockaddr *)&peer, plen);
		return;
	}
	if (tcp > 0 && errno == ENOTCONN)
		return;
	if (tcp > 0)
		cannot_ask(fd, errno);
	real.shutdown(fd, SHUT_RDWR);
}

/*
 * Does the kernel's table of descriptors end here, or before?  select ignores numbers beyond it (select(2), BUGS); those in it must be open.
 * A kernel that does not ignore them says no.
 */
static bool
table_ends(int size)
{
	struct timeval now = { 0, 0 };
	fd_set beyond;

	FD_ZERO(&beyond);
	FD_SET(size, &beyond);
	return real.select(size + 1, NULL, NULL, &beyond, &now) == 0 && real.fcntl(size, F_GETFD) < 0;
}

/* /proc takes 50 us to make the folder: the usual program has few descriptors and can do without. */
static bool
inherited_few(void)
{
	struct pollfd open[FEW];
	int n = START;

	while (!table_ends(n))
		if ((n *= 2) > FEW)
			return false;
	for (int fd = 0; fd < n; fd++)
		open[fd] = (struct pollfd){ .fd = fd };
	if (real.poll(open, (nfds_t)n, 0) < 0)
		return false;
	for (int fd = 0; fd < n; fd++)
		if (!(open[fd].revents & POLLNVAL))
			inherited(fd);
	return true;
}

/* glibc's readdir would allocate; a program's start is no place for that. */
struct entry {
	uint64_t inode, offset;
	uint16_t size;
	uint8_t type;
	char name[];
};

static bool
inherited_any(void)
{
	_Alignas(struct entry) char buf[2048];
	long dir = raw_syscall(SYS_openat, AT_FDCWD, (long)"/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0, 0, 0), n;

	if (dir < 0)
		return false;
	while ((n = raw_syscall(SYS_getdents64, dir, (long)buf, sizeof buf, 0, 0, 0)) > 0)
		for (long at = 0; at < n;) {
			const struct entry *e = (const void *)(buf + at);
			int fd = e->name[0] == '.' ? -1 : atoi(e->name);

			if (fd >= 0 && fd != dir)
				inherited(fd);
			at += e->size;
		}
	raw_syscall(SYS_close, dir, 0, 0, 0, 0, 0);
	return n == 0;
}

/* No /proc, or it does not answer. */
static void
inherited_all(void)
{
	struct rlimit files = { 1024, 1024 };

	getrlimit(RLIMIT_NOFILE, &files);
	for (rlim_t fd = 0; fd < files.rlim_cur && fd < fdtab_size; fd++)
		inherited((int)fd);
}

void
sock_inherited(void)
{
	if (!inherited_few() && !inherited_any())
		inherited_all();
	free_standard();
}
