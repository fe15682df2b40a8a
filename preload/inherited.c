/* inherited.c - connections that came by none of our calls: with the process, from another one's table, or made behind our back. */
#include "cancel.h"
#include "sock.h"

#include "raw.h"

#include <sys/resource.h>

#include <netinet/in.h>

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

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

	if (raw_getpeername(fd, &peer, &len) < 0 || !sock_inet((struct sockaddr *)&peer, len) || sock_foreign(s))
		return false;
	if (!sock_turn_begin(s))
		return false;
	if (s->phase == SOCK_PLANNED && adopt_late(s, fd, &peer, len))
		s->client = true;
	sock_turn_end(s);
	errno = saved;
	return s->phase == SOCK_WRAPPED;
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

	return !sock_tcp(fd) || real.getpeername(fd, (struct sockaddr *)&peer, &plen) < 0 ||
	       real.getsockname(fd, (struct sockaddr *)&local, &llen) < 0 ||
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
		sock_close(fd);
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
		sock_cannot_ask(fd, errno);
	real.shutdown(fd, SHUT_RDWR);
}

/*
 * Does the kernel's table of descriptors end here, or before?  select ignores numbers beyond it (select(2), BUGS); those in it must
 * be open. A kernel that does not ignore them says no.
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
