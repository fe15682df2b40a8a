/* sock.c - what the kernel says of a socket, and the turn from a plain one to one of ours and back. */
#include "cancel.h"
#include "sock.h"

#include "raw.h"

#include <linux/futex.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#include <limits.h>
#include <stdatomic.h>
#include <string.h>

bool
sock_inet(const struct sockaddr *addr, socklen_t len)
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

int
sock_cannot_ask(int fd, int error)
{
	log_line(LOG_LEVEL_WARN, "what descriptor %d is, or whose, cannot be asked: %s: refused with EACCES", fd, strerror(error));
	return -EACCES;
}

int
sock_tcp(int fd)
{
	int saved = errno, r = ask_tcp(fd);

	if (r < 0)
		r = sock_cannot_ask(fd, -r);
	errno = saved;
	return r;
}

/* The table knows a socket since it was made: what was closed behind our back, and made anew there, is UDP or no INET socket. */
int
sock_still_tcp(int fd)
{
	int saved = errno, r = ask_protocol(fd);

	if (r < 0)
		r = sock_cannot_ask(fd, -r);
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
 * A record of its own for each small write, and Nagle holding the second for the peer's delayed ACK: 40 ms that plain TCP does not
 * have, whose first answers meet a peer in quick-ack mode.  So the wire starts without Nagle; what the program asks for later, it
 * gets.
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

/* ---- turns ---- */

static int
this_thread(void)
{
	return (int)raw_syscall(SYS_gettid, 0, 0, 0, 0, 0, 0);
}

/* Until nobody turns it; false = this thread does. */
static bool
await_turner(struct sock *s)
{
	int who;

	while ((who = s->turner) != 0) {
		if (who == this_thread())
			return false;
		raw_syscall(SYS_futex, (long)&s->turner, FUTEX_WAIT_PRIVATE, who, 0, 0, 0);
	}
	return true;
}

bool
sock_turn_begin(struct sock *s)
{
	int nobody = 0;

	while (await_turner(s)) {
		if (atomic_compare_exchange_strong(&s->turner, &nobody, this_thread()))
			return true;
		nobody = 0;
	}
	return false;
}

void
sock_turn_end(struct sock *s)
{
	s->turner = 0;
	raw_syscall(SYS_futex, (long)&s->turner, FUTEX_WAKE_PRIVATE, INT_MAX, 0, 0, 0);
}

bool
sock_turned_away(struct sock *s)
{
	await_turner(s);
	return s->phase == SOCK_RELAYED;
}

/* TCP said no: the socket is as before and may be tried again. */
void
sock_revert(struct sock *s)
{
	struct conn *conn = s->conn;
	int saved = errno;

	fdtab_each(unshield, s);
	s->phase = SOCK_PLANNED;
	s->conn = NULL;
	watch_settle(s);
	core->conn_free(conn);
	errno = saved;
}

void
sock_close(int fd)
{
	UNCANCELLED;

	real.close(fd);
}
