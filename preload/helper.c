/* helper.c - wrapsock-relay: one process for a tree of them, found by its abstract address, started by who needs it first. */
#include "helper.h"

#include "real.h"

#include "log.h"
#include "raw.h"

#include <sys/un.h>
#include <sys/wait.h>

#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORD 16				/* hexadecimal digits of the nonce */
#define PATIENCE 5			/* seconds for an answer */

static _Atomic uint64_t nonce;		/* 0 = not chosen */
static char word[WORD + 1];
static char path[PATH_MAX];		/* of the executable, "" = not known */

static void
adopt_nonce(uint64_t n)
{
	static const char digits[] = "0123456789abcdef";
	Dl_info info;
	char *slash;

	for (int i = 0; i < WORD; i++)
		word[i] = digits[n >> (60 - 4 * i) & 15];
	/* now, for files vanish after chroot */
	if (!*path && dladdr(digits, &info) && realpath(info.dli_fname, path)) {
		slash = strrchr(path, '/');
		if (slash && (size_t)(slash - path) + sizeof "/wrapsock-relay" < sizeof path)
			strcpy(slash + 1, "wrapsock-relay");
		else
			*path = '\0';
	}
	nonce = n;
}

void
helper_start(void)
{
	const char *given = secure_getenv("WRAPSOCK_RELAY");
	char *end;
	uint64_t n;

	if (!given || strlen(given) != WORD)
		return;
	n = strtoull(given, &end, 16);
	if (!*end && n)
		adopt_nonce(n);
}

static void
choose(void)
{
	uint64_t n = 0;

	if (raw_syscall(SYS_getrandom, (long)&n, sizeof n, 0, 0, 0, 0) == sizeof n && n)
		adopt_nonce(n);
}

void
helper_choose(void)
{
	int saved = errno;

	if (!nonce)
		choose();
	errno = saved;
}

const char *
helper_word(void)
{
	return nonce ? word : NULL;
}

uint64_t
helper_nonce(void)
{
	return nonce;
}

/* Of each user one: a helper takes keys from its own user only. */
static socklen_t
address_of(uint64_t n, uint32_t user, struct sockaddr_un *a)
{
	char name[56];
	int len = snprintf(name, sizeof name, "wrapsock-relay/%016llx/%u", (unsigned long long)n, user);

	*a = (struct sockaddr_un){ .sun_family = AF_UNIX };
	memcpy(a->sun_path + 1, name, (size_t)len);
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)len);
}

static void
raw_close(long fd)
{
	if (fd >= 0)
		raw_syscall(SYS_close, fd, 0, 0, 0, 0, 0);
}

static long
new_socket(void)
{
	return raw_syscall(SYS_socket, AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, 0, 0, 0);
}

/* A name in the abstract space can be anybody's: keys go to our own user's process, or root's. */
static bool
trusted(int fd)
{
	struct ucred cred;
	unsigned len = sizeof cred;

	return raw_getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) == 0 && (cred.uid == geteuid() || cred.uid == 0);
}

/* A connection, or a negated errno value: -ECONNREFUSED = there is no helper, -EPERM = somebody else's. */
static int
call(uint64_t n, uint32_t user)
{
	struct timeval patience = { PATIENCE, 0 };
	struct sockaddr_un a;
	socklen_t len = address_of(n, user, &a);
	long fd = new_socket(), r;

	if (fd < 0)
		return (int)fd;
	raw_syscall(SYS_setsockopt, fd, SOL_SOCKET, SO_RCVTIMEO, (long)&patience, sizeof patience, 0);
	raw_syscall(SYS_setsockopt, fd, SOL_SOCKET, SO_SNDTIMEO, (long)&patience, sizeof patience, 0);
	do
		r = raw_syscall(SYS_connect, fd, (long)&a, len, 0, 0, 0);
	while (r == -EINTR);
	if (r == 0 && !trusted((int)fd))
		r = -EPERM;
	if (r == 0)
		return (int)fd;
	raw_close(fd);
	return (int)r;
}

/* ---- started ---- */

struct image {
	char what[160];
	char log[32], log_file[PATH_MAX + 24];
	char *argv[3], *envp[4];
};

static void
describe(struct image *m)
{
	const char *level = secure_getenv("WRAPSOCK_LOG"), *file = secure_getenv("WRAPSOCK_LOG_FILE");
	int n = 0;

	snprintf(m->what, sizeof m->what, "for %.100s (%d)", program_invocation_short_name, (int)getpid());
	m->argv[0] = strrchr(path, '/') + 1;
	m->argv[1] = m->what;
	m->argv[2] = NULL;
	if (level && snprintf(m->log, sizeof m->log, "WRAPSOCK_LOG=%s", level) < (int)sizeof m->log)
		m->envp[n++] = m->log;
	if (file && snprintf(m->log_file, sizeof m->log_file, "WRAPSOCK_LOG_FILE=%s", file) < (int)sizeof m->log_file)
		m->envp[n++] = m->log_file;
#ifdef __SANITIZE_ADDRESS__
	for (char **e = environ; *e; e++)
		if (strncmp(*e, "ASAN_OPTIONS=", 13) == 0)
			m->envp[n++] = *e;
#endif
	m->envp[n] = NULL;
}

/* The helper to be: in the second child, nothing of the program but its listener. */
static void
become(const struct image *m, long listener)
{
	long null = raw_syscall(SYS_openat, AT_FDCWD, (long)"/dev/null", O_RDWR, 0, 0, 0);

	if (listener != RELAY_LISTENER)
		raw_syscall(SYS_dup3, listener, RELAY_LISTENER, 0, 0, 0, 0);
	else
		raw_syscall(SYS_fcntl, listener, F_SETFD, 0, 0, 0, 0);
	for (long fd = 0; fd < RELAY_LISTENER; fd++)
		if (null < 0)
			raw_close(fd);
		else if (null != fd)
			raw_syscall(SYS_dup3, null, fd, 0, 0, 0, 0);
	raw_syscall(SYS_close_range, RELAY_LISTENER + 1, ~0u, 0, 0, 0, 0);
	raw_syscall(SYS_execve, (long)path, (long)m->argv, (long)m->envp, 0, 0, 0);
	raw_syscall(SYS_exit_group, 127, 0, 0, 0, 0, 0);
	__builtin_unreachable();
}

/*
 * Two clones without an exit signal: the first, reaped here by its number, tells the program nothing (no SIGCHLD, no entry in a wait that
 * does not ask for clones), and leaves the second to init.  Where the program is init, or a subreaper, it gets a child.
 */
static int
launch(long listener)
{
	struct image m = { .argv = { NULL } };
	uint64_t all = UINT64_MAX, before;
	long pid, r;

	describe(&m);
	raw_syscall(SYS_rt_sigprocmask, SIG_BLOCK, (long)&all, (long)&before, sizeof all, 0, 0);
	pid = raw_syscall(SYS_clone, 0, 0, 0, 0, 0, 0);
	if (pid == 0) {
		raw_syscall(SYS_setsid, 0, 0, 0, 0, 0, 0);
		if (raw_syscall(SYS_clone, 0, 0, 0, 0, 0, 0) == 0)
			become(&m, listener);
		raw_syscall(SYS_exit_group, 0, 0, 0, 0, 0, 0);
		__builtin_unreachable();
	}
	do
		r = pid < 0 ? pid : raw_syscall(SYS_wait4, pid, 0, __WALL, 0, 0, 0);
	while (r == -EINTR);
	raw_syscall(SYS_rt_sigprocmask, SIG_SETMASK, (long)&before, 0, sizeof before, 0, 0);
	return pid < 0 ? (int)pid : 0;
}

/* 0 = it has been started, or another process of the tree is about to (-EADDRINUSE). */
static int
begin(uint64_t n)
{
	struct sockaddr_un a;
	socklen_t len = address_of(n, geteuid(), &a);
	long listener, r;

	if (!*path)
		return -ENOENT;
	r = raw_syscall(SYS_faccessat, AT_FDCWD, (long)path, X_OK, 0, 0, 0);
	if (r < 0)
		return (int)r;
	listener = new_socket();
	if (listener < 0)
		return (int)listener;
	r = raw_syscall(SYS_bind, listener, (long)&a, len, 0, 0, 0);
	if (r == 0)
		r = raw_syscall(SYS_listen, listener, 1024, 0, 0, 0, 0);
	if (r == 0)
		r = launch(listener);
	raw_close(listener);
	return (int)r;
}

static void
pause_ms(long ms)
{
	struct timespec ts = { 0, ms * 1000000 };

	raw_syscall(SYS_nanosleep, (long)&ts, 0, 0, 0, 0, 0);
}

int
helper_reach(void)
{
	int fd = -ENOENT;

	helper_choose();
	for (int tries = 0; tries < 500; tries++) {
		fd = nonce ? call(nonce, geteuid()) : -EAGAIN;
		if (fd == -EPERM)		/* another user's by now: a new address */
			choose();
		else if (fd != -ECONNREFUSED)
			break;
		else if ((fd = begin(nonce)) == -EADDRINUSE)
			pause_ms(2);		/* bound and not listening yet */
		else if (fd < 0)
			break;
	}
	if (fd < 0)
		log_line(LOG_LEVEL_WARN, "%s cannot be reached: %s", *path ? path : "wrapsock-relay", strerror(-fd));
	return fd;
}

/* ---- asked ---- */

static int
say(int control, const struct relay_head *head, const void *body, const int *passed)
{
	union {
		char bytes[CMSG_SPACE(2 * sizeof(int))];
		struct cmsghdr align;
	} room = { { 0 } };
	struct iovec iov[] = { { (void *)(uintptr_t)head, sizeof *head }, { (void *)(uintptr_t)body, head->length } };
	struct msghdr m = { .msg_iov = iov, .msg_iovlen = 2 };
	size_t all = sizeof *head + head->length, at = 0;

	if (passed) {
		struct cmsghdr *c;

		m.msg_control = room.bytes;
		m.msg_controllen = sizeof room.bytes;
		c = CMSG_FIRSTHDR(&m);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(2 * sizeof(int));
		memcpy(CMSG_DATA(c), passed, 2 * sizeof(int));
	}
	while (at < all) {
		long n = at == 0 ? raw_syscall(SYS_sendmsg, control, (long)&m, MSG_NOSIGNAL, 0, 0, 0) :
				   raw_send(control, (const char *)body + at - sizeof *head, all - at, MSG_NOSIGNAL);

		if (n == -EINTR)
			continue;
		if (n < 0)
			return (int)n;
		at += (size_t)n;
		if (at < sizeof *head)
			return -EIO;
	}
	return 0;
}

static int
hear(int control, void *buf, size_t len)
{
	for (size_t done = 0; done < len;) {
		long n = raw_recv(control, (char *)buf + done, len - done, MSG_WAITALL);

		if (n == 0)
			return -ECONNRESET;
		if (n < 0 && n != -EINTR)
			return (int)n;
		if (n > 0)
			done += (size_t)n;
	}
	return 0;
}

int
helper_give(int control, uint64_t id, const struct relay_parcel *parcel, size_t size, int wire, int end)
{
	struct relay_head head = { .magic = RELAY_MAGIC, .kind = RELAY_TAKE, .length = (uint32_t)size, .id = id };
	struct relay_answer answer;
	int passed[] = { wire, end }, r = -ECONNRESET;

	/* It may have been about to end for want of work: then it took nothing, and another one is asked. */
	for (int tries = 0; tries < 2 && control >= 0 && (r == -ECONNRESET || r == -EPIPE); tries++) {
		r = say(control, &head, parcel, passed);
		if (r == 0)
			r = hear(control, &answer, sizeof answer);
		raw_close(control);
		if (r == 0)
			return -answer.error;
		control = tries == 0 && (r == -ECONNRESET || r == -EPIPE) ? helper_reach() : -1;
	}
	raw_close(control);
	return r;
}

int
helper_option(uint64_t of, uint32_t user, uint64_t id, struct relay_option *o)
{
	struct relay_head head = { .magic = RELAY_MAGIC, .kind = RELAY_OPTION, .length = sizeof *o, .id = id };
	struct relay_answer answer;
	int control = call(of, user), r;

	if (control < 0)
		return -ENOTCONN;
	r = say(control, &head, o, NULL);
	if (r == 0)
		r = hear(control, &answer, sizeof answer);
	if (r == 0 && answer.error)
		r = -answer.error;
	if (r == 0 && answer.length > sizeof o->value)
		r = -EIO;
	if (r == 0 && answer.length)
		r = hear(control, o->value, answer.length);
	if (r == 0)
		o->length = answer.length;
	raw_close(control);
	return r;
}

void
helper_drain(void)
{
	struct relay_head head = { .magic = RELAY_MAGIC, .kind = RELAY_DRAIN };
	struct timeval linger = { RELAY_LINGER, 0 };
	struct relay_answer answer;
	int control = call(nonce, geteuid());

	if (control < 0)
		return;
	raw_syscall(SYS_setsockopt, control, SOL_SOCKET, SO_RCVTIMEO, (long)&linger, sizeof linger, 0);
	if (say(control, &head, "", NULL) == 0)
		hear(control, &answer, sizeof answer);
	raw_close(control);
}
