/* file.c - the policy as a file: who may have written it, and all of it at once. */
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "rule.h"

enum { FILE_MAX = 4 * 1024 * 1024 };

static int
fail_errno(struct policy_error *err, const char *doing)
{
	return policy_error_set(err, 0, 0, "%s: %s", doing, strerror(errno));
}

/* Whoever can write the policy can take TLS away. Its folders are not looked at: sticky and shared ones are common. */
static int
check_file(int fd, struct policy_error *err)
{
	uid_t self = geteuid();
	struct stat st;

	if (fstat(fd, &st) != 0)
		return fail_errno(err, "cannot be examined");
	if (!S_ISREG(st.st_mode))
		return policy_error_set(err, 0, 0, "not a regular file, expected one");
	if (st.st_uid != 0 && st.st_uid != self)
		return policy_error_set(
		    err, 0, 0, "owned by user %ju, expected root or user %ju", (uintmax_t)st.st_uid, (uintmax_t)self);
	if ((st.st_mode & (S_IWGRP | S_IWOTH)) != 0)
		return policy_error_set(err, 0, 0, "writable by %s (mode %04o), expected no more than its owner: chmod go-w",
		    (st.st_mode & S_IWOTH) != 0 ? "others" : "its group", (unsigned)st.st_mode & 07777);
	if (st.st_size > FILE_MAX)
		return policy_error_set(err, 0, 0, "larger than 4 MiB, expected a policy");
	return 0;
}

/* To the end, whatever the size was a moment ago. */
static char *
read_all(int fd, size_t *len, struct policy_error *err)
{
	size_t room = 4096;
	char *text = NULL, *more;
	ssize_t n;

	for (*len = 0; *len <= FILE_MAX; *len += (size_t)n) {
		if (text == NULL || *len == room) {
			room = text == NULL ? room : room * 2;
			if ((more = realloc(text, room)) == NULL) {
				policy_error_memory(err);
				goto err_free;
			}
			text = more;
		}
		while ((n = read(fd, text + *len, room - *len)) < 0 && errno == EINTR)
			;
		if (n < 0) {
			fail_errno(err, "cannot be read");
			goto err_free;
		}
		if (n == 0)
			return text;
	}
	policy_error_set(err, 0, 0, "larger than 4 MiB, expected a policy");
err_free:
	free(text);
	return NULL;
}

int
policy_load(const char *path, struct policy **out, struct policy_error *err)
{
	char *text = NULL;
	size_t len;
	int fd, result;

	*out = NULL;
	memset(err, 0, sizeof *err);
	/* O_NONBLOCK: a FIFO must not hold a program up before main. */
	while ((fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK)) < 0 && errno == EINTR)
		;
	if (fd < 0)
		return fail_errno(err, "cannot be opened");
	if (check_file(fd, err) == 0)
		text = read_all(fd, &len, err);
	close(fd);
	if (text == NULL)
		return -1;
	result = policy_parse(text, len, path, out, err);
	free(text);
	return result;
}
