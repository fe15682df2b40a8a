/*
 * log.c - one line an event: formatted on the stack, one raw write, no descriptor kept, no lock waited for.
 */
#include "log.h"

#include "raw.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MESSAGE_MOST 1536
#define LINE_MOST 2560		/* prefix and escapes included; what is longer is cut */
#define REPEAT_MOST 5		/* identical lines a second */

static const char *const level_names[] = { "error", "warn", "info", "debug" };
static const int syslog_priorities[] = { 27, 28, 30, 31 };	/* facility daemon; err, warning, info, debug */

static _Atomic bool started;
static enum log_level most = LOG_LEVEL_WARN;
static char file[PATH_MAX];	/* a copy: programs write over their environment */
static struct stat stderr_then;
static bool stderr_known;

/* The last line. Guarded by a flag that nobody waits for: who finds it set prints. */
static _Atomic bool repeat_busy;
static uint64_t repeat_hash;
static int64_t repeat_since;
static unsigned repeat_count;
static enum log_level repeat_level;

static long
raw_fstat(int fd, struct stat *st)
{
	return raw_syscall(SYS_fstat, fd, (long)st, 0, 0, 0, 0);
}

static int64_t
now_ms(void)
{
	struct timespec t = { 0, 0 };

	raw_syscall(SYS_clock_gettime, CLOCK_MONOTONIC, (long)&t, 0, 0, 0, 0);
	return t.tv_sec * INT64_C(1000) + t.tv_nsec / 1000000;
}

/* Absolute, for the program may change its directory. */
static void
remember_file(const char *path)
{
	size_t used = 0;

	if (*path != '/') {
		long n = raw_syscall(SYS_getcwd, (long)file, sizeof file, 0, 0, 0, 0);

		if (n > 1)
			used = (size_t)n - 1;	/* the kernel counts the NUL */
		if (used && (size_t)n < sizeof file)
			file[used++] = '/';
	}
	if (used + strlen(path) < sizeof file)
		strcpy(file + used, path);
	else
		*file = '\0';
}

void
log_start(void)
{
	const char *level = secure_getenv("WRAPSOCK_LOG"), *path = secure_getenv("WRAPSOCK_LOG_FILE");

	started = true;
	for (int i = LOG_LEVEL_ERROR; level && i <= LOG_LEVEL_DEBUG; i++)
		if (strcmp(level, level_names[i]) == 0)
			most = (enum log_level)i;
	if (path && *path)
		remember_file(path);
	stderr_known = raw_fstat(STDERR_FILENO, &stderr_then) == 0;
}

int
log_wants(enum log_level level)
{
	if (!started)
		log_start();
	return level <= most;
}

/* Printable and on one line whatever a peer wrote; C1 controls in UTF-8 count as controls. */
static size_t
escape(char *out, size_t room, const char *text)
{
	static const char hex[] = "0123456789abcdef";
	size_t n = 0;
	int c1 = 0;

	for (const unsigned char *p = (const unsigned char *)text; *p && n + 4 < room; p++) {
		if (*p == 0xc2 && p[1] >= 0x80 && p[1] <= 0x9f)
			c1 = 2;
		if (*p >= ' ' && *p != 0x7f && !c1) {
			out[n++] = (char)*p;
			continue;
		}
		c1 -= c1 > 0;
		out[n++] = '\\';
		out[n++] = 'x';
		out[n++] = hex[*p >> 4];
		out[n++] = hex[*p & 15];
	}
	return n;
}

/* A line in three parts: "wrapsock: warn: ", "program[pid]: ", and the message with its newline. */
struct line {
	char text[LINE_MOST];
	struct iovec head, who, body;
};

/*
 * One system call, so that lines of several writers do not mix.  It is no reason for the program to die: a SIGPIPE of
 * ours is taken back.
 */
static bool
write_parts(int fd, const struct iovec *iov, int n)
{
	uint64_t mask = UINT64_C(1) << (SIGPIPE - 1), before, pending = 0;
	struct timespec zero = { 0, 0 };
	long r;

	raw_syscall(SYS_rt_sigprocmask, SIG_BLOCK, (long)&mask, (long)&before, sizeof mask, 0, 0);
	raw_syscall(SYS_rt_sigpending, (long)&pending, sizeof pending, 0, 0, 0, 0);
	do {
		r = raw_syscall(SYS_writev, fd, (long)iov, n, 0, 0, 0);
	} while (r == -EINTR);
	if (r == -EPIPE && !(pending & mask))
		raw_syscall(SYS_rt_sigtimedwait, (long)&mask, 0, (long)&zero, sizeof mask, 0, 0);
	raw_syscall(SYS_rt_sigprocmask, SIG_SETMASK, (long)&before, 0, sizeof before, 0, 0);
	return r > 0;
}

/* O_NONBLOCK: a FIFO that nobody reads must not stop the program. */
static bool
to_file(const struct line *l)
{
	struct iovec iov[] = { l->head, l->who, l->body };
	int flags = O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
	long fd = *file ? raw_syscall(SYS_openat, AT_FDCWD, (long)file, flags, 0600, 0, 0) : -ENOENT;
	bool done;

	if (fd < 0)
		return false;
	done = write_parts((int)fd, iov, 3);
	raw_syscall(SYS_close, fd, 0, 0, 0, 0, 0);
	return done;
}

/* Never into what the program has since put on 2, nor onto a socket: that may be a peer.  The reader knows who speaks. */
static bool
to_stderr(const struct line *l)
{
	struct iovec iov[] = { l->head, l->body };
	struct stat now;

	if (!stderr_known || raw_fstat(STDERR_FILENO, &now) < 0 || S_ISSOCK(now.st_mode))
		return false;
	if (now.st_dev != stderr_then.st_dev || now.st_ino != stderr_then.st_ino)
		return false;
	write_parts(STDERR_FILENO, iov, 2);
	return true;
}

static void
to_syslog(enum log_level level, const struct line *l)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX, .sun_path = "/dev/log" };
	char priority[16];
	struct iovec iov[] = {
		{ priority, (size_t)snprintf(priority, sizeof priority, "<%d>", syslog_priorities[level]) },
		l->head, l->who, l->body,
	};
	struct msghdr m = { .msg_name = &to, .msg_namelen = sizeof to, .msg_iov = iov, .msg_iovlen = 4 };
	long fd = raw_syscall(SYS_socket, AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, 0, 0, 0);

	if (fd < 0)
		return;
	iov[3].iov_len--;	/* a datagram needs no newline */
	raw_syscall(SYS_sendmsg, fd, (long)&m, MSG_NOSIGNAL | MSG_DONTWAIT, 0, 0, 0);
	raw_syscall(SYS_close, fd, 0, 0, 0, 0, 0);
}

static struct iovec
part(struct line *l, size_t *used, size_t len)
{
	struct iovec v = { l->text + *used, len };

	*used += len;
	return v;
}

static void
put(enum log_level level, const char *message)
{
	long pid = raw_syscall(SYS_getpid, 0, 0, 0, 0, 0, 0);
	struct line l;
	size_t n = 0, len;

	l.head = part(&l, &n, (size_t)snprintf(l.text, sizeof l.text, "wrapsock: %s: ", level_names[level]));
	len = escape(l.text + n, 80, program_invocation_short_name);
	len += (size_t)snprintf(l.text + n + len, sizeof l.text - n - len, "[%ld]: ", pid);
	l.who = part(&l, &n, len);
	len = escape(l.text + n, sizeof l.text - n - 1, message);
	l.text[n + len] = '\n';
	l.body = part(&l, &n, len + 1);
	if (!to_file(&l) && !to_stderr(&l))
		to_syslog(level, &l);
}

static uint64_t
hash_of(const char *s)
{
	uint64_t h = UINT64_C(14695981039346656037);

	for (; *s; s++)
		h = (h ^ (unsigned char)*s) * UINT64_C(1099511628211);
	return h;
}

/* Is this line one of many like it within a second? *missed: lines before it that were, and are to be told now. */
static bool
repeated(enum log_level level, const char *message, unsigned *missed, enum log_level *missed_level)
{
	uint64_t hash = hash_of(message);
	int64_t now = now_ms();
	bool again;

	if (atomic_exchange(&repeat_busy, true))
		return false;
	again = repeat_count && hash == repeat_hash && level == repeat_level && now - repeat_since < 1000;
	if (!again) {
		*missed = repeat_count > REPEAT_MOST ? repeat_count - REPEAT_MOST : 0;
		*missed_level = repeat_level;
		repeat_hash = hash;
		repeat_level = level;
		repeat_since = now;
		repeat_count = 0;
	}
	again = ++repeat_count > REPEAT_MOST;
	repeat_busy = false;
	return again;
}

void
log_line(enum log_level level, const char *fmt, ...)
{
	enum log_level missed_level = level;
	char message[MESSAGE_MOST];
	unsigned missed = 0;
	int saved = errno;
	size_t len;
	va_list ap;

	if (!log_wants(level))
		return;
	errno = saved;		/* for %m */
	va_start(ap, fmt);
	vsnprintf(message, sizeof message, fmt, ap);
	va_end(ap);
	len = strlen(message);
	if (len && message[len - 1] == '\n')
		message[len - 1] = '\0';
	if (!repeated(level, message, &missed, &missed_level)) {
		if (missed) {
			char told[48];

			snprintf(told, sizeof told, "%u similar suppressed", missed);
			put(missed_level, told);
		}
		put(level, message);
	}
	errno = saved;
}
