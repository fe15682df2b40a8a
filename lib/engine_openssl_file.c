/*
 * engine_openssl_file.c - a file that a setting names, read whole.
 */
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include <openssl/crypto.h>

#include "engine.h"
#include "engine_openssl.h"

enum { FILE_LIMIT = 1 << 20 };

#define SAY ENGINE_SAY

void
engine_remark(struct engine_report *r, const char *key, const char *path, const char *what)
{
	size_t at = strlen(r->warn);

	if (at < r->warnsize)
		engine_say(r->warn + at, r->warnsize - at, "%s%s %s: %s", at ? "; " : "", key, path, what);
}

void
engine_text_free(struct engine_text *t)
{
	OPENSSL_clear_free(t->bytes, t->len + 1);
	*t = (struct engine_text){0};
}

static int
say_errno(struct engine_report *r, const char *key, const char *path, int error)
{
	r->error = error;
	return SAY(r, "%s %s: %s", key, path, strerror(error));
}

/* secret: its mode matters. */
static int
text_check(int fd, const struct config *c, const char *key, const char *path, bool secret, struct engine_report *r)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return say_errno(r, key, path, errno);
	if (S_ISDIR(st.st_mode))
		return SAY(r, "%s %s: is a directory, expected a file", key, path);
	if (st.st_size > FILE_LIMIT)
		return SAY(r, "%s %s: larger than 1 MiB", key, path);
	if (!secret || !(st.st_mode & (S_IRGRP | S_IROTH)))
		return 0;
	if (c->strict_keys)
		return SAY(r, "%s %s: readable by group or others (mode %03o), which strict_keys forbids; expected 600", key, path,
			   (unsigned)st.st_mode & 0777);
	engine_remark(r, key, path, "a secret that group or others can read, expected mode 600");
	return 0;
}

static int
text_read(struct engine_text *t, const char *key, const char *path, int fd, struct engine_report *r)
{
	ssize_t n;

	t->bytes = OPENSSL_zalloc(FILE_LIMIT + 1);
	t->len = 0;
	if (!t->bytes)
		return SAY(r, "out of memory");
	while (t->len < FILE_LIMIT && (n = read(fd, t->bytes + t->len, FILE_LIMIT - t->len)) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return say_errno(r, key, path, errno);
		t->len += (size_t)n;
	}
	return t->len > 0 ? 0 : SAY(r, "%s %s: the file is empty", key, path);
}

static int
text_take(struct engine_text *t, const struct engine_bytes *from, const char *key, struct engine_report *r)
{
	if (from->len == 0 || from->len > FILE_LIMIT)
		return SAY(r, "%s: %s", key, from->len ? "larger than 1 MiB" : "empty");
	t->bytes = OPENSSL_zalloc(FILE_LIMIT + 1);
	if (!t->bytes)
		return SAY(r, "out of memory");
	memcpy(t->bytes, from->bytes, from->len);
	t->len = from->len;
	return 0;
}

int
engine_text_load(struct engine_text *t, const struct config *c, const char *key, const char *path, bool secret, struct engine_report *r)
{
	const struct engine_bytes *memory = strcmp(key, "certfile") == 0 ? r->cert : strcmp(key, "keyfile") == 0 ? r->key : NULL;
	int fd, ret;

	*t = (struct engine_text){0};
	if (memory)
		return text_take(t, memory, key, r);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0)
		return say_errno(r, key, path, errno);
	ret = text_check(fd, c, key, path, secret, r);
	if (ret == 0)
		ret = text_read(t, key, path, fd, r);
	close(fd);
	if (ret < 0)
		engine_text_free(t);
	return ret;
}
