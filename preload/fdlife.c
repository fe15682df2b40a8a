/* fdlife.c - numbers given out, doubled and taken back. */
#include "cancel.h"
#include "fdlife.h"
#include "process.h"
#include "sock.h"
#include "stdio.h"

#include <linux/close_range.h>
#include <sys/single_threaded.h>

#include <limits.h>
#include <stdlib.h>

EXPORT int
close(int fd)
{
	if (!fdtab_ours(fd))
		return real.close(fd);
	int saved = errno;

	pthread_testcancel();	/* now, or not before it is done: between the two the wire would be a descriptor that nobody protects */
	UNCANCELLED;
	fdtab_close(fd);
	errno = saved;
	return real.close(fd);
}
ALSO(close, __close);

struct range {
	unsigned first, last;
	bool cloexec;
};

static void
close_one(int fd, struct sock *s, void *arg)
{
	const struct range *r = arg;

	(void)s;
	if ((unsigned)fd < r->first || (unsigned)fd > r->last)
		return;
	if (r->cloexec)
		fdtab_set_cloexec(fd, true);
	else
		fdtab_close(fd);
}

/* Our table is the process's: a thread with descriptors of its own would close, and open, the numbers of the others in it. */
bool
fdlife_may_part(const char *call, bool new_thread)
{
	if ((__libc_single_threaded && !new_thread) || process_foreign() || !(decide_clients() || decide_servers()))
		return true;
	log_line(LOG_LEVEL_WARN, "%s would give one thread of several descriptors of its own: refused with EACCES", call);
	return false;
}

EXPORT int
close_range(unsigned first, unsigned last, int flags)
{
	struct range r = { first, last, flags & CLOSE_RANGE_CLOEXEC };
	int saved = errno;

	if (flags & CLOSE_RANGE_UNSHARE && !fdlife_may_part("close_range", false))
		return (int)answer(-EACCES);
	if (first <= last)
		fdtab_each(close_one, &r);
	errno = saved;
	return real.close_range(first, last, flags);
}

EXPORT void
closefrom(int first)
{
	struct range r = { first < 0 ? 0 : (unsigned)first, UINT_MAX, false };
	int saved = errno;

	fdtab_each(close_one, &r);
	errno = saved;
	real.closefrom(first);
}

/* What libc's streams over 0 to 2 write is never seen by a wrapper: the number is bound, and the relay takes them all. */
static int
on_standard(struct sock *s, int newfd, bool cloexec)
{
	if (fdtab_bind(newfd, s, cloexec) && relayed_take(s, newfd) == 0)
		return newfd;
	fdtab_forget(newfd);
	real.close(newfd);
	return (int)answer(-EACCES);
}

/* newfd is another name of oldfd's socket. The wire stays close-on-exec in the kernel; the program's wish is kept in the table. */
static int
doubled(struct sock *s, int newfd, bool cloexec)
{
	UNCANCELLED;

	if (newfd < 0)
		return newfd;
	if (s->phase == SOCK_WRAPPED && newfd <= 2)	/* the lowest free one: dup after close(0) */
		return on_standard(s, newfd, cloexec);
	if (s->phase == SOCK_WRAPPED)
		real.fcntl(newfd, F_SETFD, FD_CLOEXEC);
	if (fdtab_bind(newfd, s, cloexec)) {
		if (!cloexec)
			fdtab_set_meant(newfd);
		return newfd;
	}
	if (s->phase == SOCK_RELAYED)
		return newfd;
	log_line(LOG_LEVEL_ERROR, "descriptor %d is beyond the table of %u: refused with EMFILE", newfd, fdtab_size);
	real.close(newfd);
	return (int)answer(-EMFILE);
}

/*
 * In a vfork child nothing can be noted, and a copy of the wire would be nobody's: whatever becomes of its close-on-exec, the new
 * program could get it bare.  What is doubled there is meant for the new program.
 */
static int
foreign_goes(struct sock *s, int fd)
{
	return relayed_still_wire(s, fd) && relayed_take_foreign(s, fd, true) < 0 ? (int)answer(-EACCES) : 0;
}

EXPORT int
dup(int fd)
{
	if (!fdtab_ours(fd)) {
		int n = real.dup(fd);

		fdtab_forget(n);
		return n;
	}
	HOLD s = fdtab_hold(fd);

	if (!s)
		return real.dup(fd);
	if (sock_foreign(s))
		return foreign_goes(s, fd) < 0 ? -1 : real.dup(fd);
	return doubled(s, s->phase == SOCK_WRAPPED ? real.fcntl(fd, F_DUPFD_CLOEXEC, 0) : real.dup(fd), false);
}

/* Where a stream is over the number that it is to get, libc will read and write there, past us: the relay takes it. */
static bool
for_stdio(struct sock *s, int fd, int newfd)
{
	if (newfd > 2 && (s->phase == SOCK_RELAYED || real.fcntl(newfd, F_GETFD) < 0 || !stdio_over(newfd)))
		return true;
	if (newfd > 2 && s->phase == SOCK_PLANNED)
		s->escaped = true;
	return relayed_take(s, fd) == 0;
}

static int
dup_onto(int fd, int newfd, int flags, bool two)
{
	HOLD s = fdtab_ours(fd) ? fdtab_hold(fd) : NULL;

	if (fd == newfd)
		return two ? real.dup2(fd, newfd) : real.dup3(fd, newfd, flags);
	if (s && sock_foreign(s))
		return foreign_goes(s, fd) < 0 ? -1 : real.dup3(fd, newfd, flags);
	if (s && newfd >= 0 && !for_stdio(s, fd, newfd))
		return (int)answer(-EACCES);
	if (fdtab_ours(newfd) && real.fcntl(fd, F_GETFD) >= 0) {
		int saved = errno;

		fdtab_close(newfd);
		errno = saved;
	}
	if (!s)
		return two ? real.dup2(fd, newfd) : real.dup3(fd, newfd, flags);
	return doubled(s, s->phase == SOCK_WRAPPED ? real.dup3(fd, newfd, O_CLOEXEC) : real.dup3(fd, newfd, flags), flags & O_CLOEXEC);
}

EXPORT int
dup2(int fd, int newfd)
{
	if (!fdtab_ours(fd) && !fdtab_ours(newfd))
		return real.dup2(fd, newfd);
	return dup_onto(fd, newfd, 0, true);
}
ALSO(dup2, __dup2);

EXPORT int
dup3(int fd, int newfd, int flags)
{
	if (!fdtab_ours(fd) && !fdtab_ours(newfd))
		return real.dup3(fd, newfd, flags);
	return dup_onto(fd, newfd, flags, false);
}

int
fdlife_dupfd(struct sock *s, int fd, int least, bool cloexec)
{
	if (sock_foreign(s))
		return foreign_goes(s, fd) < 0 ? -1 : real.fcntl(fd, cloexec ? F_DUPFD_CLOEXEC : F_DUPFD, least);
	return doubled(s, real.fcntl(fd, s->phase == SOCK_WRAPPED || cloexec ? F_DUPFD_CLOEXEC : F_DUPFD, least), cloexec);
}

static void
finish_one(int fd, struct sock *s, void *arg)
{
	(void)arg;
	if (s->phase == SOCK_WRAPPED && !sock_foreign(s) && sock_cookie(fd) == s->cookie && core->conn_last(s->conn))
		core->conn_finish(s->conn, fd);
}

void
fdlife_finish(void)
{
	fdtab_each(finish_one, NULL);
	relayed_finish();
	log_rest();
}

static void
depart_one(int fd, struct sock *s, void *arg)
{
	(void)fd;
	(void)arg;
	if (s->phase == SOCK_WRAPPED && !sock_foreign(s))
		core->conn_last(s->conn);
}

void
fdlife_depart(void)
{
	fdtab_each(depart_one, NULL);
}

static void
return_one(int fd, struct sock *s, void *arg)
{
	(void)fd;
	(void)arg;
	if (s->phase == SOCK_WRAPPED && !sock_foreign(s))
		core->conn_return(s->conn);
}

void
fdlife_return(void)
{
	fdtab_each(return_one, NULL);
}

EXPORT void
_exit(int status)
{
	fdlife_finish();
	real._exit(status);
	__builtin_unreachable();
}

EXPORT void
_Exit(int status)
{
	_exit(status);
}
