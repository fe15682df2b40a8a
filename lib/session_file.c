/* session_file.c - slots, locks, and whose file it is. */
#include "session_file.h"

#include "text.h"

#include <sys/auxv.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const char mark[8] = "WSsess1";

struct slot {
	char mark[8];
	uint8_t key[SESSION_FILE_KEY];
	int64_t made, until;		/* nanoseconds, seconds; of CLOCK_REALTIME */
	uint64_t len, sum;
	char bytes[];
};
_Static_assert(sizeof(struct slot) + SESSION_FILE_LONGEST <= SESSION_FILE_SLOT, "a session fits its slot");

enum { GROUP_SIZE = SESSION_FILE_SLOT * SESSION_FILE_GROUP, TRIES = 3 };
static const int64_t SECOND = 1000000000, FUTURE = 60;

static int say(char *err, size_t errsize, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

static int
say(char *err, size_t errsize, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(err, errsize, fmt, ap);
	va_end(ap);
	return -1;
}

/* ---- whose it is ---- */

char *
session_file_folder(char *err, size_t errsize)
{
	const char *named = secure_getenv("XDG_RUNTIME_DIR");
	char path[40] = "/run";
	struct stat st;

	if (getauxval(AT_SECURE)) {
		say(err, errsize, "not for a program with raised rights");
		return NULL;
	}
	if (named && *named == '/' && strlen(named) < 3072)
		return text_copy(named);
	if (geteuid() != 0)
		snprintf(path, sizeof(path), "/run/user/%lu", (unsigned long)geteuid());
	if (stat(path, &st) == 0)
		return text_copy(path);
	say(err, errsize, "XDG_RUNTIME_DIR is not set, and %s: %s", path, strerror(errno));
	return NULL;
}

/* Of a folder or file on the way, for sentences. */
struct step {
	const char *folder, *rest;
	bool missing;			/* there is none */
	char *err;
	size_t errsize;
};

static int
say_errno(const struct step *s)
{
	return say(s->err, s->errsize, "%s%s: %s", s->folder, s->rest, errno == ELOOP ? "is a symbolic link" : strerror(errno));
}

/* others: mode bits that it may not have. */
static int
check(int fd, mode_t type, mode_t others, const struct step *s)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return say_errno(s);
	if ((st.st_mode & S_IFMT) != type)
		return say(s->err, s->errsize, "%s%s: is no %s", s->folder, s->rest, type == S_IFDIR ? "folder" : "regular file");
	if (st.st_uid != geteuid())
		return say(s->err, s->errsize, "%s%s: belongs to user %lu, expected %lu", s->folder, s->rest, (unsigned long)st.st_uid,
			   (unsigned long)geteuid());
	if (st.st_mode & others)
		return say(s->err, s->errsize, "%s%s: others may use it (mode %03o), expected %s", s->folder, s->rest,
			   (unsigned)st.st_mode & 0777, type == S_IFDIR ? "700" : "600");
	if (type == S_IFREG && st.st_nlink != 1)
		return say(s->err, s->errsize, "%s%s: has another name, expected one", s->folder, s->rest);
	return 0;
}

/* The descriptor of what name is in the folder at, if it is ours alone; or -1. */
static int
enter(int at, const char *name, int flags, mode_t others, struct step *s)
{
	int fd = openat(at, name, flags | O_CLOEXEC, 0600);

	s->missing = fd < 0 && errno == ENOENT;
	if (fd < 0)
		return say_errno(s);
	if (check(fd, flags & O_DIRECTORY ? S_IFDIR : S_IFREG, others, s) == 0)
		return fd;
	close(fd);
	return -1;
}

/* *missing: there is none, which is no fault to a reader. */
static int
open_file(const char *folder, bool make, bool *missing, char *err, size_t errsize)
{
	const int in_folder = O_PATH | O_DIRECTORY, in_file = O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | (make ? O_CREAT : 0);
	struct step s = { folder, "", false, err, errsize };
	int base = enter(AT_FDCWD, folder, in_folder, S_IWGRP | S_IWOTH, &s), own, fd = -1;

	*missing = false;
	if (base < 0)
		return -1;
	if (make)
		mkdirat(base, "wrapsock", 0700);
	s.rest = "/wrapsock";
	own = enter(base, "wrapsock", in_folder | O_NOFOLLOW, S_IRWXG | S_IRWXO, &s);
	close(base);
	if (own >= 0) {
		s.rest = "/wrapsock/sessions";
		fd = enter(own, "sessions", in_file, S_IRWXG | S_IRWXO, &s);
		close(own);
	}
	*missing = s.missing;
	return fd;
}

/* ---- slots ---- */

static uint64_t
sum_of(const struct slot *s)
{
	const struct slot *end = (const void *)(s->bytes + s->len);
	uint64_t sum = 0xcbf29ce484222325;

	for (const uint8_t *at = s->key; at < (const uint8_t *)end; at++)
		if (at < (const uint8_t *)&s->sum || at >= (const uint8_t *)s->bytes)
			sum = (sum ^ *at) * 0x100000001b3;
	return sum;
}

static off_t
place(const uint8_t *key, unsigned i)
{
	return (off_t)(key[0] % SESSION_FILE_GROUPS) * GROUP_SIZE + (off_t)i * SESSION_FILE_SLOT;
}

/* Of one group, for other processes and for other threads. false = somebody has it. */
static bool
lock(int fd, const uint8_t *key, short type)
{
	struct flock l = { .l_type = type, .l_whence = SEEK_SET, .l_start = place(key, 0), .l_len = GROUP_SIZE };

	for (int i = 0; i < TRIES; i++) {
		if (fcntl(fd, F_OFD_SETLK, &l) == 0)
			return true;
		sched_yield();
	}
	return false;
}

/* The head of slot i: mark[0] is 0 if there is nothing; *damaged if what is there cannot be ours. */
static void
read_head(int fd, const uint8_t *key, unsigned i, struct slot *head, bool *damaged)
{
	ssize_t n = pread(fd, head, sizeof(*head), place(key, i));
	bool whole = n == (ssize_t)sizeof(*head);

	if (whole && memcmp(head->mark, mark, sizeof(mark)) == 0 && head->len > 0 && head->len <= SESSION_FILE_LONGEST)
		return;
	for (ssize_t at = 0; at < n; at++)
		*damaged = *damaged || ((const char *)head)[at];
	memset(head, 0, sizeof(*head));
}

static int64_t
now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return ts.tv_sec * SECOND + ts.tv_nsec;
}

static bool
good(const struct slot *head, int64_t now)
{
	return head->mark[0] && head->until > now / SECOND && head->made <= now + FUTURE * SECOND;
}

/* Nothing, or as much of the bytes as there is room for: a limit on files would end the program. */
static int
write_slot(int fd, off_t at, const void *bytes, size_t len)
{
	struct rlimit most;
	ssize_t n;

	if (getrlimit(RLIMIT_FSIZE, &most) < 0 || (most.rlim_cur != RLIM_INFINITY && most.rlim_cur < (rlim_t)at + len)) {
		errno = EFBIG;
		return -1;
	}
	n = pwrite(fd, bytes, len, at);
	if (n >= 0 && (size_t)n < len)
		errno = ENOSPC;
	return n == (ssize_t)len ? 0 : -1;
}

static int
wipe(int fd, off_t at)
{
	static const char nothing[SESSION_FILE_SLOT];

	return write_slot(fd, at, nothing, sizeof(nothing));
}

/* Where nothing good is, else the oldest. */
static unsigned
victim(int fd, const uint8_t *key, int64_t now)
{
	unsigned oldest = 0;
	int64_t made = INT64_MAX;
	bool damaged = false;
	struct slot head;

	for (unsigned i = 0; i < SESSION_FILE_GROUP; i++) {
		read_head(fd, key, i, &head, &damaged);
		if (!good(&head, now))
			return i;
		if (head.made < made) {
			made = head.made;
			oldest = i;
		}
	}
	return oldest;
}

int
session_file_put(const char *folder, const uint8_t key[static SESSION_FILE_KEY], const struct session_file_entry *entry, char *err, size_t errsize)
{
	int64_t now = now_ns();
	struct slot *s;
	bool missing;
	int fd, ret = 0;

	if (entry->len == 0 || entry->len > SESSION_FILE_LONGEST)
		return 0;
	fd = open_file(folder, true, &missing, err, errsize);
	if (fd < 0)
		return -1;
	s = calloc(1, SESSION_FILE_SLOT);
	if (s && lock(fd, key, F_WRLCK)) {
		memcpy(s->mark, mark, sizeof(mark));
		memcpy(s->key, key, SESSION_FILE_KEY);
		s->made = now;
		s->until = entry->until;
		s->len = entry->len;
		memcpy(s->bytes, entry->bytes, entry->len);
		s->sum = sum_of(s);
		ret = 1;
		if (write_slot(fd, place(key, victim(fd, key, now)), s, SESSION_FILE_SLOT) < 0)
			ret = say(err, errsize, "%s/wrapsock/sessions: %s", folder, strerror(errno));
		lock(fd, key, F_UNLCK);
	}
	if (s)
		explicit_bzero(s, SESSION_FILE_SLOT);
	free(s);
	close(fd);
	return ret;
}

/* The newest good one of the key's, -1 = none. */
static int
newest(int fd, const uint8_t *key, bool *damaged)
{
	int64_t now = now_ns(), made = INT64_MIN;
	struct slot head;
	int found = -1;

	for (unsigned i = 0; i < SESSION_FILE_GROUP; i++) {
		bool bad = false;

		read_head(fd, key, i, &head, &bad);
		if (bad || (head.mark[0] && !good(&head, now)))
			wipe(fd, place(key, i));	/* and damage is told once */
		*damaged = *damaged || bad;
		if (!good(&head, now) || memcmp(head.key, key, SESSION_FILE_KEY) != 0 || head.made < made)
			continue;
		made = head.made;
		found = (int)i;
	}
	return found;
}

/* 1, 0 = it is not what its head says, -1 = out of memory or out of luck with the disk. */
static int
read_slot(int fd, off_t at, struct session_file_entry *out)
{
	struct slot *s = calloc(1, SESSION_FILE_SLOT);
	int ret = -1;

	if (!s)
		return -1;
	if (pread(fd, s, SESSION_FILE_SLOT, at) >= 0)
		ret = s->len > 0 && s->len <= SESSION_FILE_LONGEST && s->sum == sum_of(s);
	out->bytes = ret > 0 ? malloc(s->len) : NULL;
	if (out->bytes) {
		memcpy(out->bytes, s->bytes, s->len);
		out->len = s->len;
		out->until = s->until;
	} else if (ret > 0) {
		ret = -1;
	}
	explicit_bzero(s, SESSION_FILE_SLOT);
	free(s);
	return ret;
}

static int
take(int fd, const char *folder, const uint8_t *key, struct session_file_entry *out, char *err, size_t errsize)
{
	bool damaged = false;
	int i = newest(fd, key, &damaged), ret = i < 0 ? 0 : read_slot(fd, place(key, (unsigned)i), out);

	if (i >= 0 && wipe(fd, place(key, (unsigned)i)) < 0) {
		session_file_entry_free(out);
		return say(err, errsize, "%s/wrapsock/sessions: %s", folder, strerror(errno));
	}
	if (ret == 0 && (damaged || i >= 0))
		return say(err, errsize, "%s/wrapsock/sessions: damaged, what cannot be read there is not used", folder);
	return ret > 0;
}

int
session_file_take(const char *folder, const uint8_t key[static SESSION_FILE_KEY], struct session_file_entry *out, char *err, size_t errsize)
{
	bool missing;
	int fd = open_file(folder, false, &missing, err, errsize), ret = 0;

	*out = (struct session_file_entry){ 0 };
	if (fd < 0)
		return missing ? 0 : -1;
	if (lock(fd, key, F_WRLCK)) {
		ret = take(fd, folder, key, out, err, errsize);
		lock(fd, key, F_UNLCK);
	}
	close(fd);
	return ret;
}

void
session_file_entry_free(struct session_file_entry *e)
{
	if (e->bytes)
		explicit_bzero(e->bytes, e->len);
	free(e->bytes);
	*e = (struct session_file_entry){ 0 };
}
