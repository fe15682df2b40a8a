/*
 * allocate.c - linked into our own objects, stands before the allocator they call, and fails the call of that number.
 *
 * FAULT_ALLOCATION in the environment names a file of three 32-bit numbers: the call that fails (0 = none), how many were made, and whether it was one of
 * them.  All processes and objects of a run count in it together.  realloc of something to nothing, which is a free, is no such call.
 */
#include "raw.h"

#include <sys/mman.h>

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

void *__real_malloc(size_t);
void *__real_calloc(size_t, size_t);
void *__real_realloc(void *, size_t);
char *__real_strdup(const char *);
int __real___vasprintf_chk(char **, int, const char *, va_list);
void *__wrap_malloc(size_t);
void *__wrap_calloc(size_t, size_t);
void *__wrap_realloc(void *, size_t);
char *__wrap_strdup(const char *);
int __wrap___vasprintf_chk(char **, int, const char *, va_list);

struct counts {
	uint32_t at;
	_Atomic uint32_t made, met;
};

static struct counts *
shared(void)
{
	static struct counts nowhere, *_Atomic counts;
	const char *name = getenv("FAULT_ALLOCATION");
	long fd, p;

	if (counts)
		return counts;
	fd = name ? raw_syscall(SYS_openat, AT_FDCWD, (long)name, O_RDWR | O_CLOEXEC, 0, 0, 0) : -ENOENT;
	p = fd < 0 ? fd : raw_syscall(SYS_mmap, 0, sizeof(struct counts), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (fd >= 0)
		raw_syscall(SYS_close, fd, 0, 0, 0, 0, 0);
	counts = p < 0 && p > -4096 ? &nowhere : (struct counts *)p;
	return counts;
}

static bool
fails(void)
{
	struct counts *c = shared();

	if (++c->made != c->at)
		return false;
	c->met = 1;
	errno = ENOMEM;
	return true;
}

void *
__wrap_malloc(size_t n)
{
	return fails() ? NULL : __real_malloc(n);
}

void *
__wrap_calloc(size_t n, size_t size)
{
	return fails() ? NULL : __real_calloc(n, size);
}

void *
__wrap_realloc(void *p, size_t n)
{
	return n && fails() ? NULL : __real_realloc(p, n);
}

char *
__wrap_strdup(const char *text)
{
	return fails() ? NULL : __real_strdup(text);
}

int
__wrap___vasprintf_chk(char **out, int flag, const char *format, va_list ap)
{
	return fails() ? -1 : __real___vasprintf_chk(out, flag, format, ap);
}
