/* calls_numbers - the same calls by their numbers, through syscall(2) (calls.h). */
#include "calls.h"

#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include <linux/aio_abi.h>
#include <sched.h>
#include <signal.h>

static char buf[200];
static struct iovec in[2] = { { buf, 2 }, { buf + 2, 98 } };
static struct iovec out[2] = { { (char[]){ "hel" }, 3 }, { (char[]){ "lo" }, 2 } };
static struct msghdr in_message = { .msg_iov = in, .msg_iovlen = 2 }, out_message = { .msg_iov = out, .msg_iovlen = 2 };
static struct timespec soon = { 5, 0 };

#define SENDS(name, ...)					\
	static bool name(int fd)				\
	{							\
		return sent(fd, syscall(__VA_ARGS__), 5);	\
	}
#define RECEIVES(name, ...)					\
	static bool name(int fd)				\
	{							\
		serve(fd, "hello");				\
		return got(syscall(__VA_ARGS__), buf);		\
	}
#define ANSWERS(name, ...)					\
	static bool name(int fd)				\
	{							\
		return answered(syscall(__VA_ARGS__)) && fd >= 0;	\
	}

SENDS(try_write, SYS_write, fd, "hello", 5)
SENDS(try_writev, SYS_writev, fd, out, 2)
SENDS(try_pwritev2, SYS_pwritev2, fd, out, 2, -1L, -1L, 0)
SENDS(try_sendto, SYS_sendto, fd, "hello", 5, 0, NULL, 0)
SENDS(try_sendmsg, SYS_sendmsg, fd, &out_message, 0)
SENDS(try_sendmmsg, SYS_sendmmsg, fd, &(struct mmsghdr){ .msg_hdr = out_message }, 1, 0)
RECEIVES(try_read, SYS_read, fd, buf, sizeof buf)
RECEIVES(try_readv, SYS_readv, fd, in, 2)
RECEIVES(try_preadv2, SYS_preadv2, fd, in, 2, -1L, -1L, 0)
RECEIVES(try_recvfrom, SYS_recvfrom, fd, buf, sizeof buf, 0, NULL, NULL)
RECEIVES(try_recvmsg, SYS_recvmsg, fd, &in_message, 0)

static bool
try_recvmmsg(int fd)
{
	struct mmsghdr m = { .msg_hdr = in_message };

	serve(fd, "hello");
	return got(syscall(SYS_recvmmsg, fd, &m, 1, 0, NULL) == 1 ? 5 : -1, buf);
}

ANSWERS(try_pread64, SYS_pread64, fd, buf, 5, 0)
ANSWERS(try_pwrite64, SYS_pwrite64, fd, "hello", 5, 0)
ANSWERS(try_preadv, SYS_preadv, fd, in, 2, 0, 0)
ANSWERS(try_pwritev, SYS_pwritev, fd, out, 2, 0, 0)
ANSWERS(try_vmsplice, SYS_vmsplice, fd, out, 2, 0)
ANSWERS(try_copy_file_range, SYS_copy_file_range, open("/proc/self/exe", O_RDONLY), NULL, fd, NULL, 5, 0)

static int
piped(void)
{
	int p[2];

	must("pipe", pipe(p));
	write_all(p[1], "hello", 5);
	return p[0];
}

ANSWERS(try_splice, SYS_splice, piped(), NULL, fd, NULL, 5, 0)
ANSWERS(try_tee, SYS_tee, piped(), fd, 5, 0)

static bool
try_sendfile(int fd)
{
	int file = open("/proc/self/exe", O_RDONLY);

	answered(syscall(SYS_sendfile, fd, file, &(off_t){ 1 }, 3));
	return back(fd, 3);
}

/* ---- rings and queues of the kernel's ---- */

static bool
try_io_submit(int fd)
{
	struct iocb cb = { .aio_fildes = (uint32_t)fd, .aio_lio_opcode = IOCB_CMD_PWRITE, .aio_buf = (uintptr_t)"hello", .aio_nbytes = 5 }, *list[] = { &cb };
	aio_context_t context = 0;

	must("io_setup", syscall(SYS_io_setup, 1, &context));
	return answered(syscall(SYS_io_submit, context, 1, list));
}

ANSWERS(try_io_uring_setup, SYS_io_uring_setup, 4, (char[256]){ 0 })

/* ---- a connection made by number ---- */

static bool
connected(int fd, long other)
{
	struct sockaddr_in a = local(call_port);
	char byte;

	note(" %s %s", other > 0 ? "made" : word(errno), result(syscall(SYS_connect, other, &a, sizeof a)));
	syscall(SYS_write, other, "x", 1);
	wait_poll((int)other, POLLIN);
	answered(syscall(SYS_read, other, &byte, 1));
	note(" %s", result(syscall(SYS_shutdown, other, SHUT_WR)));
	note(" %s", result(read((int)other, &byte, 1)));
	return answered(syscall(SYS_close, other)) && fd >= 0;
}

static bool try_connect(int fd) { return connected(fd, syscall(SYS_socket, AF_INET, SOCK_STREAM, 0)); }

/* ---- numbers for it ---- */

static bool
through(int fd, long other)
{
	note(" %s", other > 2 ? "made" : result(other));
	if (other > 2)
		sent((int)other, write((int)other, "hello", 5), 5);
	return answered(syscall(SYS_close, other)) && fd >= 0;
}

static bool try_dup(int fd) { return through(fd, syscall(SYS_dup, fd)); }
static bool try_dup3(int fd) { return through(fd, syscall(SYS_dup3, fd, 77, 0)); }
static bool try_fcntl(int fd) { return through(fd, syscall(SYS_fcntl, fd, F_DUPFD, 50)); }

static bool
try_pidfd_getfd(int fd)
{
	long self = must("pidfd_open", syscall(SYS_pidfd_open, getpid(), 0));

	return through(fd, syscall(SYS_pidfd_getfd, self, fd, 0));
}

/* Another socket gets the number, behind libc's back for us. */
static bool
try_socketpair(int fd)
{
	int pair[2], old = dup(fd);

	must("close", syscall(SYS_close, old));
	must("socketpair", syscall(SYS_socketpair, AF_UNIX, SOCK_STREAM, 0, pair));
	note(" %s", pair[0] == old ? "the same number" : "another number");
	answered(write(pair[0], "ab", 2));
	answered(read(pair[1], buf, sizeof buf));
	return true;
}

/* The rights to it, over a socket that is not ours. */
static bool
passed(int fd, bool many)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = { { 0 } };
	struct iovec iov = { (char[]){ "x" }, 1 };
	struct mmsghdr m = { .msg_hdr = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes } };
	struct cmsghdr *c = CMSG_FIRSTHDR(&m.msg_hdr);
	int pair[2], got_fd = -1;

	must("socketpair", socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	*c = (struct cmsghdr){ .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof fd) };
	memcpy(CMSG_DATA(c), &fd, sizeof fd);
	answered(many ? syscall(SYS_sendmmsg, pair[0], &m, 1, 0) : syscall(SYS_sendmsg, pair[0], &m.msg_hdr, 0));
	if (many ? syscall(SYS_recvmmsg, pair[1], &m, 1, MSG_DONTWAIT, NULL) > 0 : syscall(SYS_recvmsg, pair[1], &m.msg_hdr, MSG_DONTWAIT) > 0)
		memcpy(&got_fd, CMSG_DATA(c), sizeof got_fd);
	return got_fd < 0 || sent(got_fd, write(got_fd, "hello", 5), 5);
}

static bool try_pass(int fd) { return passed(fd, false); }
static bool try_pass_many(int fd) { return passed(fd, true); }

/* ---- questions ---- */

static bool
try_options(int fd)
{
	struct sockaddr_in a;
	socklen_t len = sizeof a, four = 4;
	int value = 1;

	answered(syscall(SYS_setsockopt, fd, SOL_SOCKET, SO_KEEPALIVE, &value, sizeof value));
	answered(syscall(SYS_getsockopt, fd, SOL_SOCKET, SO_ERROR, &value, &four));
	note(" error %d", value);
	answered(syscall(SYS_getpeername, fd, &a, &len));
	answered(syscall(SYS_getsockname, fd, &a, &len));
	answered(syscall(SYS_ioctl, fd, 0x541b /* FIONREAD */, &value));
	note(" arrived %d", value);
	return true;
}

static bool
try_ppoll(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	serve(fd, "hello");
	answered(syscall(SYS_ppoll, &p, 1, &soon, NULL, 8));
	note(" %x", (unsigned)p.revents);
	return back(fd, 5);
}

static bool
try_pselect6(int fd)
{
	fd_set set;

	FD_ZERO(&set);
	FD_SET(fd, &set);
	serve(fd, "hello");
	answered(syscall(SYS_pselect6, fd + 1, &set, NULL, NULL, &soon, NULL));
	return back(fd, 5);
}

static bool
by_epoll(int fd, long number)
{
	struct epoll_event e = { .events = EPOLLIN };
	long set = must("epoll_create1", syscall(SYS_epoll_create1, 0));

	must("epoll_ctl", syscall(SYS_epoll_ctl, set, EPOLL_CTL_ADD, fd, &e));
	serve(fd, "hello");
	answered(number == SYS_epoll_pwait2 ? syscall(number, set, &e, 1, &soon, NULL, 8) : syscall(number, set, &e, 1, 5000, NULL, 8));
	note(" %x", e.events);
	return back(fd, 5);
}

static bool try_epoll_pwait(int fd) { return by_epoll(fd, SYS_epoll_pwait); }
static bool try_epoll_pwait2(int fd) { return by_epoll(fd, SYS_epoll_pwait2); }

/* ---- the ends ---- */

static bool
try_close_range(int fd)
{
	answered(syscall(SYS_close_range, fd, fd, 0));
	return answered(write(fd, "secret words", 12)) && false;
}

static bool
try_exit_group(int fd)
{
	pid_t pid = (pid_t)must("fork", fork());
	int status;

	if (pid == 0) {
		close(fd);
		fd = dial(call_port);
		write_all(fd, "hello", 5);
		syscall(SYS_exit_group, 7);
	}
	must("waitpid", waitpid(pid, &status, 0));
	note(" status %d", WEXITSTATUS(status));
	return true;
}

static bool
in_a_new_program(int fd, long number)
{
	char sleep_[] = "true", *argv[] = { sleep_, NULL };
	pid_t pid = (pid_t)must("fork", fork());
	int status;

	if (pid == 0) {
		if (number == SYS_execveat)
			syscall(number, AT_FDCWD, "/bin/true", argv, environ, 0);
		else
			syscall(number, "/bin/true", argv, environ);
		_exit(1);
	}
	must("waitpid", waitpid(pid, &status, 0));
	note(" status %d", WEXITSTATUS(status));
	return fd >= 0;
}

static bool try_execve(int fd) { return in_a_new_program(fd, SYS_execve); }
static bool try_execveat(int fd) { return in_a_new_program(fd, SYS_execveat); }

/* A copy of which no hook tells has a copy of the keys: it may not use them. */
static bool
forked(int fd, long pid)
{
	int status;

	if (pid == 0) {
		fd = (int)write(fd, "hello", 5);
		syscall(SYS_exit_group, fd < 0 ? errno : 0);
	}
	must("waitpid", waitpid((pid_t)pid, &status, 0));
	return answered((errno = WEXITSTATUS(status)) ? -1 : 0);
}

static bool try_clone(int fd) { return forked(fd, syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0)); }

static bool
try_clone3(int fd)
{
	uint64_t args[8] = { [4] = SIGCHLD };

	return forked(fd, syscall(SYS_clone3, args, sizeof args));
}

#ifdef __x86_64__
static bool try_fork(int fd) { return forked(fd, syscall(SYS_fork)); }
static bool try_dup2(int fd) { return through(fd, syscall(SYS_dup2, fd, 77)); }

static bool
try_poll(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	serve(fd, "hello");
	answered(syscall(SYS_poll, &p, 1, 5000));
	return back(fd, 5);
}

static bool
try_select(int fd)
{
	struct timeval t = { 5, 0 };
	fd_set set;

	FD_ZERO(&set);
	FD_SET(fd, &set);
	serve(fd, "hello");
	answered(syscall(SYS_select, fd + 1, &set, NULL, NULL, &t));
	return back(fd, 5);
}

static bool try_epoll_wait(int fd) { return by_epoll(fd, SYS_epoll_wait); }
#endif

static const struct call calls[] = {
	{ "write", try_write }, { "writev", try_writev }, { "pwritev2", try_pwritev2 }, { "sendto", try_sendto }, { "sendmsg", try_sendmsg },
	{ "sendmmsg", try_sendmmsg },
	{ "read", try_read }, { "readv", try_readv }, { "preadv2", try_preadv2 }, { "recvfrom", try_recvfrom }, { "recvmsg", try_recvmsg },
	{ "recvmmsg", try_recvmmsg },
	{ "pread64", try_pread64 }, { "pwrite64", try_pwrite64 }, { "preadv", try_preadv }, { "pwritev", try_pwritev },
	{ "sendfile", try_sendfile }, { "splice", try_splice }, { "tee", try_tee }, { "vmsplice", try_vmsplice },
	{ "copy_file_range", try_copy_file_range },
	{ "io_submit", try_io_submit }, { "io_uring_setup", try_io_uring_setup },
	{ "connect", try_connect },
	{ "dup", try_dup }, { "dup3", try_dup3 }, { "fcntl", try_fcntl }, { "pidfd_getfd", try_pidfd_getfd }, { "socketpair", try_socketpair },
	{ "sendmsg.rights", try_pass }, { "sendmmsg.rights", try_pass_many },
	{ "options", try_options },
	{ "ppoll", try_ppoll }, { "pselect6", try_pselect6 }, { "epoll_pwait", try_epoll_pwait }, { "epoll_pwait2", try_epoll_pwait2 },
	{ "close_range", try_close_range }, { "exit_group", try_exit_group }, { "execve", try_execve }, { "execveat", try_execveat },
	{ "clone", try_clone }, { "clone3", try_clone3 },
#ifdef __x86_64__
	{ "fork", try_fork }, { "dup2", try_dup2 }, { "poll", try_poll }, { "select", try_select }, { "epoll_wait", try_epoll_wait },
#endif
	{ NULL, NULL }
};
