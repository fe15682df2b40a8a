/* calls_descriptors - calls that make, double, pass, question and close the numbers of a connection (calls.h). */
#include "calls.h"

#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <dlfcn.h>
#include <linux/close_range.h>
#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>

#pragma GCC diagnostic ignored "-Wredundant-decls"
int __connect(int fd, const struct sockaddr *addr, socklen_t len);
int __poll(struct pollfd *fds, nfds_t n, int timeout);
int __poll_chk(struct pollfd *fds, nfds_t n, int timeout, size_t size);
int __ppoll_chk(struct pollfd *fds, nfds_t n, const struct timespec *timeout, const sigset_t *mask, size_t size);
int __select(int n, fd_set *in, fd_set *out, fd_set *except, struct timeval *timeout);
int __close(int fd);
int __dup2(int fd, int newfd);
int __fcntl(int fd, int cmd, ...);
pid_t __fork(void);
pid_t __vfork(void);
int __clone(int (*start)(void *), void *stack, int flags, void *arg, ...);
int pidfd_getfd(int pidfd, int fd, unsigned flags);

static char buf[200];
static const struct timespec soon = { 5, 0 };
static struct timeval soon_tv = { 5, 0 };

#define ANSWERS(name, call)				\
	static bool name(int fd)			\
	{						\
		return answered((call)) && fd >= 0;	\
	}

/* ---- connections made ---- */

static bool
made(int fd, int (*call)(int, const struct sockaddr *, socklen_t))
{
	struct sockaddr_in a = local(call_port), peer;
	socklen_t len = sizeof peer;
	int other = make_socket(0);

	answered(call(other, (void *)&a, sizeof a));
	answered(getpeername(other, (void *)&peer, &len));
	note(" %d", peer.sin_port == a.sin_port);
	sent(other, write(other, "hello", 5), 5);
	answered(shutdown(other, SHUT_WR));
	answered(read(other, buf, 1));
	close(other);
	return fd >= 0;
}

static bool try_connect(int fd) { return made(fd, connect); }
static bool try__connect(int fd) { return made(fd, __connect); }
ANSWERS(try_connect_again, connect(fd, (void *)&(struct sockaddr_in){ .sin_family = AF_INET }, sizeof(struct sockaddr_in)))
ANSWERS(try_unconnect, connect(fd, &(struct sockaddr){ .sa_family = AF_UNSPEC }, sizeof(struct sockaddr)))
ANSWERS(try_listen, listen(fd, 1))
ANSWERS(try_bind, bind(fd, (void *)&(struct sockaddr_in){ .sin_family = AF_INET }, sizeof(struct sockaddr_in)))
ANSWERS(try_accept, accept(fd, NULL, NULL))
ANSWERS(try_accept4, accept4(fd, NULL, NULL, SOCK_CLOEXEC))

/* ---- its numbers ---- */

static bool
through(int fd, int other)
{
	note(" %s", other > 2 ? "made" : result(other));
	if (other > 2)
		sent(other, write(other, "hello", 5), 5);
	return answered(close(other)) && fd >= 0;
}

static bool try_dup(int fd) { return through(fd, dup(fd)); }
static bool try_dup2(int fd) { return through(fd, dup2(fd, 77)); }
static bool try__dup2(int fd) { return through(fd, __dup2(fd, 77)); }
static bool try_dup3(int fd) { return through(fd, dup3(fd, 77, O_CLOEXEC)); }
static bool try_dupfd(int fd) { return through(fd, fcntl(fd, F_DUPFD, 60)); }
static bool try_dupfd_cloexec(int fd) { return through(fd, fcntl(fd, F_DUPFD_CLOEXEC, 60)); }
static bool try_fcntl64(int fd) { return through(fd, fcntl64(fd, F_DUPFD, 60)); }
static bool try__fcntl(int fd) { return through(fd, __fcntl(fd, F_DUPFD, 60)); }
static bool try_pidfd_getfd(int fd) { return through(fd, pidfd_getfd((int)syscall(SYS_pidfd_open, getpid(), 0), fd, 0)); }

/* What a new program would get. */
static bool
try_flags(int fd)
{
	note(" %d", fcntl(fd, F_GETFD));
	answered(ioctl(fd, FIOCLEX));
	note(" %d", fcntl(fd, F_GETFD));
	answered(fcntl(fd, F_SETFD, 0));
	note(" %d", fcntl(fd, F_GETFD));
	answered(fcntl(fd, F_SETFD, FD_CLOEXEC));
	answered(ioctl(fd, FIONCLEX));
	return answered(fcntl(fd, F_GETFD));
}

static bool
try_modes(int fd)
{
	int on = 1, off = 0;

	answered(ioctl(fd, FIONBIO, &on));
	answered(read(fd, buf, 1));
	answered(ioctl(fd, FIONBIO, &off));
	note(" %x", (unsigned)fcntl(fd, F_GETFL));
	answered(fcntl(fd, F_SETOWN, getpid()));
	signal(SIGIO, SIG_IGN);
	answered(ioctl(fd, FIOASYNC, &on));
	note(" %x", (unsigned)fcntl(fd, F_GETFL));
	answered(ioctl(fd, FIOASYNC, &off));
	return answered(fcntl(fd, 1027 /* F_DUPFD_QUERY */, fd) >= 0 || errno == EINVAL);
}

static bool
try_ioctls(int fd)
{
	int n = -1;

	serve(fd, "hello");
	answered(ioctl(fd, FIONREAD, &n));
	note(" %d", n);
	answered(ioctl(fd, SIOCOUTQ, &n));
	note(" %d", n);
	answered(ioctl(fd, TCGETS, buf));
	back(fd, 5);
	answered(sockatmark(fd));
	return answered(isfdtype(fd, S_IFSOCK));
}

/* ---- options ---- */

static bool
try_sockopts(int fd)
{
	static const int names[] = { SO_ERROR, SO_TYPE, SO_DOMAIN, SO_PROTOCOL, SO_ACCEPTCONN, SO_KEEPALIVE, SO_RCVLOWAT, SO_BROADCAST, SO_OOBINLINE };
	socklen_t len;
	int value;

	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		value = -1, len = sizeof value;
		answered(getsockopt(fd, SOL_SOCKET, names[i], &value, &len));
		note("=%d", value);
	}
	value = 1;
	answered(setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &value, sizeof value));
	answered(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &value, sizeof value));
	answered(setsockopt(fd, IPPROTO_TCP, TCP_CORK, &value, sizeof value));
	value = 0;
	return answered(setsockopt(fd, IPPROTO_TCP, TCP_CORK, &value, sizeof value));
}

ANSWERS(try_ulp, setsockopt(fd, IPPROTO_TCP, TCP_ULP, "tls", 3))
ANSWERS(try_tls, setsockopt(fd, 282 /* SOL_TLS */, 1, buf, 40))
ANSWERS(try_repair, setsockopt(fd, IPPROTO_TCP, TCP_REPAIR, &(int){ 1 }, sizeof(int)))
ANSWERS(try_zerocopy, setsockopt(fd, SOL_SOCKET, SO_ZEROCOPY, &(int){ 1 }, sizeof(int)))
ANSWERS(try_peek_off, setsockopt(fd, SOL_SOCKET, SO_PEEK_OFF, &(int){ 3 }, sizeof(int)))
ANSWERS(try_fastopen_connect, setsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, &(int){ 1 }, sizeof(int)))

static bool
try_zerocopy_receive(int fd)
{
	struct {			/* the kernel's; libc's ends before these */
		uint64_t address;
		uint32_t length, hint, inq;
		int32_t error;
		uint64_t copy;
		int32_t copy_length;
		uint32_t flags;
	} z = { .copy = (uintptr_t)buf, .copy_length = sizeof buf };
	socklen_t len = sizeof z;

	serve(fd, "hello");
	answered(getsockopt(fd, IPPROTO_TCP, TCP_ZEROCOPY_RECEIVE, &z, &len));
	return back(fd, 5);
}

/* ---- readiness ---- */

#define READY(name, call)						\
	static bool name(int fd)					\
	{								\
		struct pollfd p = { .fd = fd, .events = POLLIN };	\
		fd_set set;						\
									\
		FD_ZERO(&set);						\
		FD_SET(fd, &set);					\
		serve(fd, "hello");					\
		answered((call));					\
		note(" %x %d", (unsigned)p.revents, FD_ISSET(fd, &set) != 0);	\
		return back(fd, 5);					\
	}

READY(try_poll, poll(&p, 1, 5000))
READY(try__poll, __poll(&p, 1, 5000))
READY(try_poll_chk, __poll_chk(&p, 1, 5000, sizeof p))
READY(try_ppoll, ppoll(&p, 1, &soon, NULL))
READY(try_ppoll_chk, __ppoll_chk(&p, 1, &soon, NULL, sizeof p))
READY(try_select, select(fd + 1, &set, NULL, NULL, &soon_tv))
READY(try__select, __select(fd + 1, &set, NULL, NULL, &soon_tv))
READY(try_pselect, pselect(fd + 1, &set, NULL, NULL, &soon, NULL))

static bool
by_epoll(int fd, int which)
{
	struct epoll_event e = { .events = EPOLLIN, .data.u64 = 4711 };
	int set = (int)must("epoll_create1", epoll_create1(0));

	must("epoll_ctl", epoll_ctl(set, EPOLL_CTL_ADD, fd, &e));
	serve(fd, "hello");
	answered(which == 0 ? epoll_wait(set, &e, 1, 5000) : which == 1 ? epoll_pwait(set, &e, 1, 5000, NULL) : epoll_pwait2(set, &e, 1, &soon, NULL));
	note(" %x %d", e.events, e.data.u64 == 4711);
	return back(fd, 5);
}

static bool try_epoll_wait(int fd) { return by_epoll(fd, 0); }
static bool try_epoll_pwait(int fd) { return by_epoll(fd, 1); }
static bool try_epoll_pwait2(int fd) { return by_epoll(fd, 2); }

/* ---- other processes ---- */

static bool
try_pass(int fd)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = { { 0 } };
	struct iovec iov = { (char[]){ "x" }, 1 };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes };
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	int pair[2], other = -1;

	must("socketpair", socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	*c = (struct cmsghdr){ .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof fd) };
	memcpy(CMSG_DATA(c), &fd, sizeof fd);
	answered(sendmsg(pair[0], &m, 0));
	must("recvmsg", recvmsg(pair[1], &m, 0));
	memcpy(&other, CMSG_DATA(c), sizeof other);
	return through(fd, other);
}

static char echo_[] = "echo", hello[] = "hello", *const say_hello[] = { echo_, hello, NULL };

static int spawn(pid_t *pid, const posix_spawn_file_actions_t *a) { return posix_spawn(pid, "/bin/echo", a, NULL, say_hello, environ); }
static int spawnp(pid_t *pid, const posix_spawn_file_actions_t *a) { return posix_spawnp(pid, "echo", a, NULL, say_hello, environ); }

static bool
spawned(int fd, int (*call)(pid_t *, const posix_spawn_file_actions_t *))
{
	posix_spawn_file_actions_t actions;
	pid_t pid;
	int r;

	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, fd, 1);
	r = call(&pid, &actions);
	note(" %s", word(r));
	if (r == 0)
		must("waitpid", waitpid(pid, NULL, 0));
	return r != 0 || back(fd, 6);
}

static bool try_posix_spawn(int fd) { return spawned(fd, spawn); }
static bool try_posix_spawnp(int fd) { return spawned(fd, spawnp); }

static bool
try_pidfd_spawn(int fd)
{
	int (*call)(int *, const char *, const posix_spawn_file_actions_t *, const posix_spawnattr_t *, char *const[], char *const[]) =
		(__typeof__(call))dlsym(RTLD_DEFAULT, "pidfd_spawn");
	posix_spawn_file_actions_t actions;
	int pidfd, r;

	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, fd, 1);
	r = call ? call(&pidfd, "/bin/echo", &actions, NULL, say_hello, environ) : ENOSYS;
	note(" %s", word(r));
	return r != 0 || back(fd, 6);
}

/* The connection is a new program's standard input and output; it tells us what came of that. */
static char sh[] = "sh", c[] = "-c", script[] = "echo hello; read x; echo \"$0: <$x>\" >&3";
static char *script_argv[5] = { sh, c, script };

static bool
exec_ed(int fd, void (*call)(void))
{
	script_argv[3] = (char *)(uintptr_t)call_name;
	must("dup2", dup2(fd, 0));
	must("dup2", dup2(fd, 1));
	call();
	return answered(-1);
}

static void by_execv(void) { execv("/bin/sh", script_argv); }
static void by_execve(void) { execve("/bin/sh", script_argv, environ); }
static void by_execvp(void) { execvp("sh", script_argv); }
static void by_execvpe(void) { execvpe("sh", script_argv, environ); }
static void by_execl(void) { execl("/bin/sh", "sh", "-c", script, call_name, NULL); }
static void by_execle(void) { execle("/bin/sh", "sh", "-c", script, call_name, NULL, environ); }
static void by_execlp(void) { execlp("sh", "sh", "-c", script, call_name, NULL); }
static void by_fexecve(void) { fexecve(open("/bin/sh", O_RDONLY), script_argv, environ); }
static void by_execveat(void) { execveat(AT_FDCWD, "/bin/sh", script_argv, environ, 0); }
static bool try_execv(int fd) { return exec_ed(fd, by_execv); }
static bool try_execve(int fd) { return exec_ed(fd, by_execve); }
static bool try_execvp(int fd) { return exec_ed(fd, by_execvp); }
static bool try_execvpe(int fd) { return exec_ed(fd, by_execvpe); }
static bool try_execl(int fd) { return exec_ed(fd, by_execl); }
static bool try_execle(int fd) { return exec_ed(fd, by_execle); }
static bool try_execlp(int fd) { return exec_ed(fd, by_execlp); }
static bool try_fexecve(int fd) { return exec_ed(fd, by_fexecve); }
static bool try_execveat(int fd) { return exec_ed(fd, by_execveat); }

/* A child writes, the parent reads. */
static bool
forked(int fd, pid_t pid)
{
	if (pid == 0) {
		write_all(fd, "hello", 5);
		_exit(0);
	}
	must("waitpid", waitpid((pid_t)must("fork", pid), NULL, 0));
	return back(fd, 5) && false;
}

static bool try_fork(int fd) { return forked(fd, fork()); }
static bool try__fork(int fd) { return forked(fd, __fork()); }
static bool try__Fork(int fd) { return forked(fd, _Fork()); }

/* A child in our memory doubles it for its new program: then it is that program's alone. */
static bool
vforked(int fd, pid_t (*call)(void))
{
	pid_t pid;

	script_argv[3] = (char *)(uintptr_t)call_name;
	pid = call();
	if (pid == 0) {
		if (dup2(fd, 0) == 0 && dup2(fd, 1) == 1)
			execv("/bin/sh", script_argv);
		_exit(1);
	}
	must("waitpid", waitpid(pid, NULL, 0));
	exit(0);			/* the new program has told */
}

static bool try_vfork(int fd) { return vforked(fd, vfork); }
static bool try__vfork(int fd) { return vforked(fd, __vfork); }

static int
child(void *fd)
{
	return write(*(int *)fd, "hello", 5) < 0 ? errno : 0;
}

static bool
cloned(int fd, int (*call)(int (*)(void *), void *, int, void *, ...))
{
	static char stack[65536] __attribute__((aligned(16)));
	int status;

	must("waitpid", waitpid((pid_t)must("clone", call(child, stack + sizeof stack, CLONE_VM | SIGCHLD, &fd)), &status, 0));
	return answered((errno = WEXITSTATUS(status)) ? -1 : 0);
}

static bool try_clone(int fd) { return cloned(fd, clone); }
static bool try__clone(int fd) { return cloned(fd, __clone); }

/* popen, system: the connection stays here. */
static bool
try_system(int fd)
{
	char command[100];
	FILE *f;

	snprintf(command, sizeof command, "echo secret words 2>/dev/null >&%d", fd);
	note(" %d", WEXITSTATUS(system(command)));
	f = popen("echo hello", "r");
	note(" %s", f && fgets(buf, sizeof buf, f) ? "read" : "?");
	return answered(f ? pclose(f) : -1);
}

/* ---- a thread with descriptors of its own ---- */

struct in_thread {
	int (*call)(void);
	int r, error;
};

static void *
parted(void *arg)
{
	struct in_thread *in = arg;

	in->r = in->call();
	in->error = errno;
	return NULL;
}

static bool
in_a_thread(int fd, int (*call)(void))
{
	struct in_thread in = { call, 0, 0 };
	pthread_t t;

	must("pthread_create", -pthread_create(&t, NULL, parted, &in));
	pthread_join(t, NULL);
	errno = in.error;
	return answered(in.r) && fd >= 0;
}

static int by_unshare(void) { return unshare(CLONE_FILES); }
static int by_close_range(void) { return close_range(3, ~0u, CLOSE_RANGE_UNSHARE); }
static bool try_unshare(int fd) { return in_a_thread(fd, by_unshare); }
static bool try_close_range_unshare(int fd) { return in_a_thread(fd, by_close_range); }
ANSWERS(try_clone_thread, clone(child, buf + 128, CLONE_VM | CLONE_SIGHAND | CLONE_THREAD, &fd))

/* ---- closed ---- */

#define CLOSES(name, call)						\
	static bool name(int fd)					\
	{								\
		call;							\
		note(" %s", word(errno));				\
		return answered(write(fd, "secret words", 12)) && false;	\
	}

CLOSES(try_close, close(fd))
CLOSES(try__close, __close(fd))
CLOSES(try_close_range, close_range((unsigned)fd, (unsigned)fd, 0))
CLOSES(try_closefrom, closefrom(fd))

static bool
exited(int fd, void (*call)(int))
{
	pid_t pid = (pid_t)must("fork", fork());

	if (pid == 0) {
		close(fd);
		write_all(dial(call_port), "hello", 5);
		call(7);
	}
	must("waitpid", waitpid(pid, NULL, 0));
	return true;
}

static bool try_exit(int fd) { return exited(fd, exit); }
static bool try__exit(int fd) { return exited(fd, _exit); }
static bool try__Exit(int fd) { return exited(fd, _Exit); }
static bool try_quick_exit(int fd) { return exited(fd, quick_exit); }

static const struct call calls[] = {
	{ "connect", try_connect }, { "__connect", try__connect }, { "connect.again", try_connect_again }, { "connect.AF_UNSPEC", try_unconnect },
	{ "listen", try_listen }, { "bind", try_bind }, { "accept", try_accept }, { "accept4", try_accept4 },
	{ "dup", try_dup }, { "dup2", try_dup2 }, { "__dup2", try__dup2 }, { "dup3", try_dup3 }, { "F_DUPFD", try_dupfd },
	{ "F_DUPFD_CLOEXEC", try_dupfd_cloexec }, { "fcntl64", try_fcntl64 }, { "__fcntl", try__fcntl }, { "pidfd_getfd", try_pidfd_getfd },
	{ "FIOCLEX", try_flags }, { "FIONBIO", try_modes }, { "FIONREAD", try_ioctls },
	{ "getsockopt", try_sockopts }, { "TCP_ULP", try_ulp }, { "SOL_TLS", try_tls }, { "TCP_REPAIR", try_repair }, { "SO_ZEROCOPY", try_zerocopy },
	{ "SO_PEEK_OFF", try_peek_off }, { "TCP_FASTOPEN_CONNECT", try_fastopen_connect }, { "TCP_ZEROCOPY_RECEIVE", try_zerocopy_receive },
	{ "poll", try_poll }, { "__poll", try__poll }, { "__poll_chk", try_poll_chk }, { "ppoll", try_ppoll }, { "__ppoll_chk", try_ppoll_chk },
	{ "select", try_select }, { "__select", try__select }, { "pselect", try_pselect },
	{ "epoll_wait", try_epoll_wait }, { "epoll_pwait", try_epoll_pwait }, { "epoll_pwait2", try_epoll_pwait2 },
	{ "SCM_RIGHTS", try_pass }, { "posix_spawn", try_posix_spawn }, { "posix_spawnp", try_posix_spawnp }, { "pidfd_spawn", try_pidfd_spawn },
	{ "execv", try_execv }, { "execve", try_execve }, { "execvp", try_execvp }, { "execvpe", try_execvpe }, { "execl", try_execl },
	{ "execle", try_execle }, { "execlp", try_execlp }, { "fexecve", try_fexecve }, { "execveat", try_execveat },
	{ "fork", try_fork }, { "__fork", try__fork }, { "_Fork", try__Fork }, { "vfork", try_vfork }, { "__vfork", try__vfork },
	{ "clone", try_clone }, { "__clone", try__clone }, { "system", try_system },
	{ "unshare", try_unshare }, { "close_range.UNSHARE", try_close_range_unshare }, { "clone.THREAD", try_clone_thread },
	{ "close", try_close }, { "__close", try__close }, { "close_range", try_close_range }, { "closefrom", try_closefrom },
	{ "exit", try_exit }, { "_exit", try__exit }, { "_Exit", try__Exit }, { "quick_exit", try_quick_exit },
	{ NULL, NULL }
};
