/*
 * process.c - the exec family, and syscall(2) by number.
 */
#include "process.h"

#include "decide.h"
#include "fdlife.h"
#include "fdtab.h"
#include "goodbye.h"
#include "real.h"
#include "rights.h"
#include "vfork.h"

#include "log.h"
#include "raw.h"

#include <linux/aio_abi.h>
#include <linux/seccomp.h>

#include <poll.h>
#include <string.h>

/* exec */

struct image {
	enum { BY_PATH, BY_SEARCH, BY_FD, BY_AT } how;
	int fd, flags;
	const char *path;
	char *const *argv;
};

static int
call_real(const struct image *i, char *const *envp)
{
	switch (i->how) {
	case BY_SEARCH:
		return real.execvpe(i->path, i->argv, envp);
	case BY_FD:
		return real.fexecve(i->fd, i->argv, envp);
	case BY_AT:
		return real.execveat(i->fd, i->path, i->argv, envp, i->flags);
	default:
		return real.execve(i->path, i->argv, envp);
	}
}

/*
 * The new program will be the same process, and own nothing of what the exec closes: out of the owners first, then it is seen who
 * was the last.
 */
static int
call_with(const struct image *i, char *const *envp)
{
	int ended, r, saved;

	fdlife_depart();
	ended = goodbye_at_exec(i->fd, i->path, i->how == BY_FD ? AT_EMPTY_PATH : i->flags, i->how == BY_SEARCH);
	r = call_real(i, envp);
	saved = errno;
	fdlife_return();
	errno = saved;
	if (ended)
		goodbye_in_vain();
	return r;
}

/* No heap, no lock: this may be a vfork child, and memory mapped there would stay with the parent. */
static int
launch(const struct image *i, char *const *envp)
{
	const char *known = i->how == BY_SEARCH && !strchr(i->path, '/') ? NULL : i->path;
	int error = follow_permits(i->fd, known), r;
	size_t size = error ? 0 : follow_size(envp);
	void *room;

	if (error)
		return (int)answer(-error);
	if (!size)
		return call_with(i, envp);
	room = size <= FOLLOW_ON_STACK ? __builtin_alloca(size) : follow_map(size);
	if (!room)
		return (int)answer(-ENOMEM);
	r = call_with(i, follow_fill(room, envp));
	if (size > FOLLOW_ON_STACK)
		follow_unmap(room, size);
	return r;
}

EXPORT int
execve(const char *path, char *const argv[], char *const envp[])
{
	struct image i = { BY_PATH, AT_FDCWD, 0, path, argv };

	return launch(&i, envp);
}

EXPORT int
execv(const char *path, char *const argv[])
{
	struct image i = { BY_PATH, AT_FDCWD, 0, path, argv };

	return launch(&i, environ);
}

EXPORT int
execvp(const char *file, char *const argv[])
{
	struct image i = { BY_SEARCH, AT_FDCWD, 0, file, argv };

	return launch(&i, environ);
}

EXPORT int
execvpe(const char *file, char *const argv[], char *const envp[])
{
	struct image i = { BY_SEARCH, AT_FDCWD, 0, file, argv };

	return launch(&i, envp);
}

EXPORT int
fexecve(int fd, char *const argv[], char *const envp[])
{
	struct image i = { BY_FD, fd, 0, "", argv };

	return launch(&i, envp);
}

EXPORT int
execveat(int fd, const char *path, char *const argv[], char *const envp[], int flags)
{
	struct image i = { BY_AT, fd, flags, path, argv };

	return launch(&i, envp);
}

/* Arguments of execl and its kin, the first and the final NULL included. */
static size_t
count_arguments(va_list ap)
{
	va_list copy;
	size_t n = 2;

	va_copy(copy, ap);
	while (va_arg(copy, char *))
		n++;
	va_end(copy);
	return n;
}

/* Leaves ap behind the NULL, where execle has its environment. */
static void
collect_arguments(char **argv, size_t n, const char *first, va_list *ap)
{
	argv[0] = (char *)(uintptr_t)first;
	for (size_t i = 1; i < n; i++)
		argv[i] = va_arg(*ap, char *);
}

EXPORT int
execl(const char *path, const char *arg, ...)
{
	va_list ap;
	char **argv;
	size_t n;

	va_start(ap, arg);
	n = count_arguments(ap);
	argv = __builtin_alloca(n * sizeof *argv);
	collect_arguments(argv, n, arg, &ap);
	va_end(ap);
	return execv(path, argv);
}

EXPORT int
execlp(const char *file, const char *arg, ...)
{
	va_list ap;
	char **argv;
	size_t n;

	va_start(ap, arg);
	n = count_arguments(ap);
	argv = __builtin_alloca(n * sizeof *argv);
	collect_arguments(argv, n, arg, &ap);
	va_end(ap);
	return execvp(file, argv);
}

EXPORT int
execle(const char *path, const char *arg, ...)
{
	char *const *envp;
	va_list ap;
	char **argv;
	size_t n;

	va_start(ap, arg);
	n = count_arguments(ap);
	argv = __builtin_alloca(n * sizeof *argv);
	collect_arguments(argv, n, arg, &ap);
	envp = va_arg(ap, char *const *);
	va_end(ap);
	return execve(path, argv, envp);
}

/*
 * syscall: numbers that may touch what we hold go to our own wrapper of that name, which answers as syscall does; all others pass
 * with six arguments.  Refusing an unknown number would break programs that know newer kernels than we do.
 */

typedef long by_number(const long a[6]);

#define INT(n) ((int)a[n])
#define PTR(n) ((void *)a[n])
#define LEN(n) ((size_t)a[n])
#define BY(name, call)													\
	static long by_##name(const long a[6])										\
	{														\
		return (call);												\
	}

BY(read, read(INT(0), PTR(1), LEN(2)))
BY(write, write(INT(0), PTR(1), LEN(2)))
BY(readv, readv(INT(0), PTR(1), INT(2)))
BY(writev, writev(INT(0), PTR(1), INT(2)))
BY(preadv2, preadv2(INT(0), PTR(1), INT(2), a[3], INT(5)))
BY(pwritev2, pwritev2(INT(0), PTR(1), INT(2), a[3], INT(5)))
BY(sendto, sendto(INT(0), PTR(1), LEN(2), INT(3), (struct sockaddr *)PTR(4), (socklen_t)a[5]))
BY(recvfrom, recvfrom(INT(0), PTR(1), LEN(2), INT(3), (struct sockaddr *)PTR(4), PTR(5)))
BY(sendmsg, sendmsg(INT(0), PTR(1), INT(2)))
BY(recvmsg, recvmsg(INT(0), PTR(1), INT(2)))
BY(sendmmsg, sendmmsg(INT(0), PTR(1), (unsigned)a[2], INT(3)))
BY(recvmmsg, recvmmsg(INT(0), PTR(1), (unsigned)a[2], INT(3), PTR(4)))
BY(sendfile, sendfile(INT(0), INT(1), PTR(2), LEN(3)))
BY(splice, splice(INT(0), PTR(1), INT(2), PTR(3), LEN(4), (unsigned)a[5]))
BY(tee, tee(INT(0), INT(1), LEN(2), (unsigned)a[3]))
BY(vmsplice, vmsplice(INT(0), PTR(1), LEN(2), (unsigned)a[3]))
BY(socketpair, socketpair(INT(0), INT(1), INT(2), PTR(3)))
BY(pidfd_getfd, pidfd_getfd(INT(0), INT(1), (unsigned)a[2]))
BY(exit_group, (_exit(INT(0)), 0))
BY(socket, socket(INT(0), INT(1), INT(2)))
BY(bind, bind(INT(0), (struct sockaddr *)PTR(1), (socklen_t)a[2]))
BY(listen, listen(INT(0), INT(1)))
BY(connect, connect(INT(0), (struct sockaddr *)PTR(1), (socklen_t)a[2]))
BY(accept, accept(INT(0), (struct sockaddr *)PTR(1), PTR(2)))
BY(accept4, accept4(INT(0), (struct sockaddr *)PTR(1), PTR(2), INT(3)))
BY(shutdown, shutdown(INT(0), INT(1)))
BY(getsockopt, getsockopt(INT(0), INT(1), INT(2), PTR(3), PTR(4)))
BY(setsockopt, setsockopt(INT(0), INT(1), INT(2), PTR(3), (socklen_t)a[4]))
BY(getpeername, getpeername(INT(0), (struct sockaddr *)PTR(1), PTR(2)))
BY(getsockname, getsockname(INT(0), (struct sockaddr *)PTR(1), PTR(2)))
BY(close, close(INT(0)))
BY(close_range, close_range((unsigned)a[0], (unsigned)a[1], INT(2)))
BY(dup, dup(INT(0)))
BY(dup3, dup3(INT(0), INT(1), INT(2)))
BY(fcntl, fcntl(INT(0), INT(1), a[2]))
BY(ioctl, ioctl(INT(0), (unsigned long)a[1], a[2]))
BY(ppoll, ppoll(PTR(0), (nfds_t)a[1], PTR(2), PTR(3)))
BY(epoll_ctl, epoll_ctl(INT(0), INT(1), INT(2), PTR(3)))
BY(epoll_pwait, epoll_pwait(INT(0), PTR(1), INT(2), INT(3), PTR(4)))
BY(epoll_pwait2, epoll_pwait2(INT(0), PTR(1), INT(2), PTR(3), PTR(4)))
BY(execve, execve(PTR(0), PTR(1), PTR(2)))
BY(execveat, execveat(INT(0), PTR(1), PTR(2), PTR(3), INT(4)))

/* The sixth argument of the bare call is a pointer to mask and size. */
static long
by_pselect6(const long a[6])
{
	const void *const *mask = PTR(5);

	return pselect(INT(0), PTR(1), PTR(2), PTR(3), PTR(4), mask ? mask[0] : NULL);
}

static long
pass(long number, const long a[6])
{
	return real.syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

/* The new process goes on in our memory, or in a copy of it of which no hook tells. */
static long
by_clone(const long a[6])
{
	if (a[0] & CLONE_THREAD && !(a[0] & CLONE_FILES) && !fdlife_may_part("clone", true))
		return answer(-EACCES);
	if (a[0] & CLONE_VM && !(a[0] & CLONE_THREAD))
		vfork_shared();
	return pass(SYS_clone, a);
}

static long
by_clone3(const long a[6])
{
	vfork_shared();
	return pass(SYS_clone3, a);
}

static long
by_io_submit(const long a[6])
{
	struct iocb *const *list = PTR(2);

	for (long i = 0; i < a[1]; i++) {
		HOLD s = fdtab_hold_wrapped((int)list[i]->aio_fildes);

		if (s)
			return answer(-EACCES);
	}
	return pass(SYS_io_submit, a);
}

/* Its rings move bytes past every wrapper; programs fall back when the kernel has none. */
static long
by_io_uring_setup(const long a[6])
{
	if (decide_clients() || decide_servers())
		return answer(-ENOSYS);
	return pass(SYS_io_uring_setup, a);
}

static long
by_seccomp(const long a[6])
{
	if (a[0] == SECCOMP_SET_MODE_STRICT || a[0] == SECCOMP_SET_MODE_FILTER)
		rights_before_cage();
	return pass(SYS_seccomp, a);
}

/* The bare calls change one thread where libc's change all: rights are prepared for, the call stays bare. */
#define BARE(name, before)												\
	static long by_##name(const long a[6])										\
	{														\
		before();												\
		return pass(SYS_##name, a);										\
	}

BARE(setuid, rights_before_user)
BARE(setgid, rights_before_user)
BARE(setreuid, rights_before_user)
BARE(setregid, rights_before_user)
BARE(setresuid, rights_before_user)
BARE(setresgid, rights_before_user)
BY(prctl, prctl(INT(0), a[1], a[2], a[3], a[4]))
BY(chroot, chroot(PTR(0)))
BY(unshare, unshare(INT(0)))

/* x86-64 has the old names beside those that arm64 kept. */
#ifdef __x86_64__
BY(dup2, dup2(INT(0), INT(1)))
BY(poll, poll(PTR(0), (nfds_t)a[1], INT(2)))
BY(select, select(INT(0), PTR(1), PTR(2), PTR(3), PTR(4)))
BY(epoll_wait, epoll_wait(INT(0), PTR(1), INT(2), INT(3)))
#endif

enum when { NEVER, ALWAYS, FIRST, FIRST_TWO, FIRST_AND_THIRD };	/* ... which arguments are descriptors that must be ours */

static const struct number {
	by_number *call;
	enum when when;
} numbers[] = {
#define NUMBER(name, when) [SYS_##name] = { by_##name, when }
	NUMBER(read, FIRST), NUMBER(write, FIRST), NUMBER(readv, FIRST), NUMBER(writev, FIRST),
	NUMBER(preadv2, FIRST), NUMBER(pwritev2, FIRST),
	NUMBER(sendto, ALWAYS), NUMBER(recvfrom, FIRST), NUMBER(sendmsg, ALWAYS), NUMBER(recvmsg, ALWAYS),
	NUMBER(sendmmsg, ALWAYS), NUMBER(recvmmsg, ALWAYS), NUMBER(socketpair, ALWAYS), NUMBER(pidfd_getfd, ALWAYS),
	NUMBER(exit_group, ALWAYS),
	NUMBER(sendfile, FIRST_TWO), NUMBER(splice, FIRST_AND_THIRD), NUMBER(tee, FIRST_TWO), NUMBER(vmsplice, FIRST),
	NUMBER(socket, ALWAYS), NUMBER(bind, ALWAYS), NUMBER(listen, ALWAYS), NUMBER(connect, ALWAYS),
	NUMBER(accept, ALWAYS), NUMBER(accept4, ALWAYS), NUMBER(shutdown, FIRST),
	NUMBER(getsockopt, FIRST), NUMBER(setsockopt, FIRST), NUMBER(getpeername, FIRST), NUMBER(getsockname, FIRST),
	NUMBER(close, FIRST), NUMBER(close_range, ALWAYS), NUMBER(dup, FIRST), NUMBER(dup3, FIRST_TWO),
	NUMBER(fcntl, FIRST), NUMBER(ioctl, FIRST),
	NUMBER(ppoll, ALWAYS), NUMBER(pselect6, ALWAYS),
	NUMBER(epoll_ctl, FIRST_AND_THIRD), NUMBER(epoll_pwait, ALWAYS), NUMBER(epoll_pwait2, ALWAYS),
	NUMBER(io_submit, ALWAYS), NUMBER(io_uring_setup, ALWAYS),
	NUMBER(clone, ALWAYS), NUMBER(clone3, ALWAYS),
	NUMBER(execve, ALWAYS), NUMBER(execveat, ALWAYS),
	NUMBER(prctl, ALWAYS), NUMBER(seccomp, ALWAYS), NUMBER(chroot, ALWAYS), NUMBER(unshare, ALWAYS),
	NUMBER(setuid, ALWAYS), NUMBER(setgid, ALWAYS), NUMBER(setreuid, ALWAYS), NUMBER(setregid, ALWAYS),
	NUMBER(setresuid, ALWAYS), NUMBER(setresgid, ALWAYS),
#ifdef __x86_64__
	NUMBER(dup2, FIRST_TWO), NUMBER(poll, ALWAYS), NUMBER(select, ALWAYS), NUMBER(epoll_wait, ALWAYS),
#endif
#undef NUMBER
};

static bool
concerns_us(const struct number *n, const long a[6])
{
	switch (n->when) {
	case ALWAYS:
		return true;
	case FIRST:
		return fdtab_ours((int)a[0]);
	case FIRST_TWO:
		return fdtab_ours((int)a[0]) || fdtab_ours((int)a[1]);
	case FIRST_AND_THIRD:
		return fdtab_ours((int)a[0]) || fdtab_ours((int)a[2]);
	default:
		return false;
	}
}

EXPORT long
syscall(long number, ...)
{
	long a[6];
	va_list ap;

	va_start(ap, number);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(ap, long);
	va_end(ap);
	if ((unsigned long)number >= sizeof numbers / sizeof *numbers || !concerns_us(&numbers[number], a))
		return pass(number, a);
	return numbers[number].call(a);
}
