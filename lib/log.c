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
#define REPEAT_MOST 5		/* similar lines a second */
#define REPEAT_KINDS 8		/* followed at a time */
#define SAMPLE_MOST 200

static const char *const level_names[] = { "error", "warn", "info", "debug" };
static const int syslog_priorities[] = { 27, 28, 30, 31 };	/* facility daemon; err, warning, info, debug */

static _Atomic bool started;
static enum log_level most = LOG_LEVEL_WARN;
static char file[PATH_MAX];	/* a copy: programs write over their environment */
static struct stat stderr_then;
static bool stderr_known;

/* Lines of late, by kind. Guarded by a flag that nobody waits for: who finds it set prints. */
static _Atomic bool repeat_busy, repeat_owing;	/* owing: there are lines that nobody has been told of */
static struct kind {
	uint64_t hash;
	int64_t since;
	unsigned count;		/* of its lines within a second, 0 = the place is free */
	enum log_level level;
	char sample[SAMPLE_MOST];
} kinds[REPEAT_KINDS];
static long repeat_owner;		/* whose they are: what a parent counted it tells itself */

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

/*
 * Lines are similar that differ in numbers only: ports, milliseconds, process ids.  What stands behind the first semicolon does not
 * count, for there peers have their say, and a flood of them must not get round the limit by giving everybody another name.
 */
static uint64_t
hash_of(const char *s)
{
	uint64_t h = UINT64_C(14695981039346656037);

	if (*s == '[')
		s += strcspn(s, "]");	/* an IPv6 address has letters, too */
	for (; *s && *s != ';'; s++)
		if (*s < '0' || *s > '9')
			h = (h ^ (unsigned char)*s) * UINT64_C(1099511628211);
	return h;
}

static long
process_id(void)
{
	return raw_syscall(SYS_getpid, 0, 0, 0, 0, 0, 0);
}

/* Which of two places to give away: a free one, else one that owes no word about lines not told, else the older. */
static bool
dearer(const struct kind *a, const struct kind *b)
{
	if (!a->count || !b->count)
		return a->count && !b->count;
	if ((a->count > REPEAT_MOST) != (b->count > REPEAT_MOST))
		return a->count > REPEAT_MOST;
	return a->since > b->since;
}

static struct kind *
kind_of(uint64_t hash, enum log_level level)
{
	struct kind *spare = kinds;

	for (struct kind *k = kinds; k < kinds + REPEAT_KINDS; k++) {
		if (k->count && k->hash == hash && k->level == level)
			return k;
		if (dearer(spare, k))
			spare = k;
	}
	*spare = (struct kind){ .hash = hash, .level = level };
	return spare;
}

/* Is this line one too many of its kind within a second? */
static bool
repeated(enum log_level level, const char *message)
{
	struct kind *k;
	bool again;

	if (atomic_exchange(&repeat_busy, true))
		return false;
	if (repeat_owner != process_id()) {
		memset(kinds, 0, sizeof kinds);
		repeat_owner = process_id();
	}
	k = kind_of(hash_of(message), level);
	if (!k->count) {
		k->since = now_ms();
		snprintf(k->sample, sizeof k->sample, "%.*s", (int)strcspn(message, ";"), message);
	}
	again = ++k->count > REPEAT_MOST;
	repeat_owing |= again;
	repeat_busy = false;
	return again;
}

/* A kind whose second is over by `now`: how many of it were not told. */
static unsigned
take_missed(int64_t now, enum log_level *level, char sample[static SAMPLE_MOST])
{
	unsigned missed = 0;
	bool owing = false;

	if (!repeat_owing || atomic_exchange(&repeat_busy, true))
		return 0;
	for (struct kind *k = kinds; k < kinds + REPEAT_KINDS && !missed && repeat_owner == process_id(); k++) {
		if (k->count && now - k->since < 1000)
			owing |= k->count > REPEAT_MOST;
		if (!k->count || now - k->since < 1000)
			continue;
		missed = k->count > REPEAT_MOST ? k->count - REPEAT_MOST : 0;
		*level = k->level;
		memcpy(sample, k->sample, sizeof k->sample);
		k->count = 0;
	}
	repeat_owing = owing || missed;
	repeat_busy = false;
	return missed;
}

static void
tell_missed(int64_t now)
{
	char sample[SAMPLE_MOST], told[SAMPLE_MOST + 48];
	enum log_level level;
	unsigned missed;

	while ((missed = take_missed(now, &level, sample)) > 0) {
		snprintf(told, sizeof told, "%u similar suppressed: %s", missed, sample);
		put(level, told);
	}
}

void
log_rest(void)
{
	int saved = errno;

	tell_missed(INT64_MAX);
	errno = saved;
}

void
log_line(enum log_level level, const char *fmt, ...)
{
	char message[MESSAGE_MOST];
	int saved = errno;
	size_t len;
	va_list ap;

	if (repeat_owing)
		tell_missed(now_ms());	/* whatever happens next is the occasion, also what is not told itself */
	if (!log_wants(level)) {
		errno = saved;
		return;
	}
	errno = saved;		/* for %m */
	va_start(ap, fmt);
	vsnprintf(message, sizeof message, fmt, ap);
	va_end(ap);
	len = strlen(message);
	if (len && message[len - 1] == '\n')
		message[len - 1] = '\0';
	if (level > LOG_LEVEL_WARN || !repeated(level, message))	/* who asks for each connection's line gets it */
		put(level, message);
	errno = saved;
}
