/*
 * real.c - the table of libc's own functions, filled by one dlsym walk.
 *
 * Other libraries' constructors, and allocators, call us before our constructor runs; hence the stubs.  dlsym itself may allocate,
 * an allocator may read or map files: while the walk is under way the few calls that it can need are raw system calls.
 */
#include "real.h"

#include "raw.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#define CALL(name, family) void early_##name(void) __attribute__((visibility("hidden")));
#include "calls.def"
#undef CALL

void real_early(void) __attribute__((visibility("hidden")));

/* Each stub resolves everything with all argument registers kept, then jumps to its slot: number `slot` of the table. */
#if defined(__x86_64__)
#define STUB(name)                                                                                                                         \
	".hidden early_" name "\n.globl early_" name "\n.type early_" name ", @function\nearly_" name ":\n"                              \
	"push %rdi\npush %rsi\npush %rdx\npush %rcx\npush %r8\npush %r9\npush %rax\n"                                                    \
	"call real_early\n"                                                                                                               \
	"pop %rax\npop %r9\npop %r8\npop %rcx\npop %rdx\npop %rsi\npop %rdi\n"                                                           \
	"jmp *(real + slot * 8)(%rip)\n.size early_" name ", . - early_" name "\n.set slot, slot + 1\n"
#elif defined(__aarch64__)
#define STUB(name)                                                                                                                         \
	".hidden early_" name "\n.globl early_" name "\n.type early_" name ", %function\nearly_" name ":\n"                              \
	"stp x29, x30, [sp, #-96]!\nmov x29, sp\nstp x0, x1, [sp, #16]\nstp x2, x3, [sp, #32]\nstp x4, x5, [sp, #48]\n"                 \
	"stp x6, x7, [sp, #64]\nstr x8, [sp, #80]\nbl real_early\n"                                                                       \
	"ldp x0, x1, [sp, #16]\nldp x2, x3, [sp, #32]\nldp x4, x5, [sp, #48]\nldp x6, x7, [sp, #64]\nldr x8, [sp, #80]\n"               \
	"ldp x29, x30, [sp], #96\nadrp x16, (real + slot * 8)\nadd x16, x16, #:lo12:(real + slot * 8)\nldr x16, [x16]\nbr x16\n"        \
	".size early_" name ", . - early_" name "\n.set slot, slot + 1\n"
#endif

__asm__(".text\n.set slot, 0\n"
#define CALL(name, family) STUB(#name)
#include "calls.def"
#undef CALL
);

struct real real = {
#define CALL(name, family) .name = (__typeof__(&name))(void *)early_##name,
#include "calls.def"
#undef CALL
};

/* What an allocator may need while dlsym runs. */
static long
kernel(long r)
{
	if (r >= 0 || r < -4095)
		return r;
	errno = (int)-r;
	return -1;
}

static ssize_t
raw_read(int fd, void *buf, size_t n)
{
	return kernel(raw_syscall(SYS_read, fd, (long)buf, (long)n, 0, 0, 0));
}

static ssize_t
raw_write(int fd, const void *buf, size_t n)
{
	return kernel(raw_syscall(SYS_write, fd, (long)buf, (long)n, 0, 0, 0));
}

static int
raw_close(int fd)
{
	return (int)kernel(raw_syscall(SYS_close, fd, 0, 0, 0, 0, 0));
}

static int
raw_fcntl(int fd, int cmd, ...)
{
	va_list ap;
	long arg;

	va_start(ap, cmd);
	arg = va_arg(ap, long);
	va_end(ap);
	return (int)kernel(raw_syscall(SYS_fcntl, fd, cmd, arg, 0, 0, 0));
}

static long
raw_call(long n, ...)
{
	long a[6];
	va_list ap;

	va_start(ap, n);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(ap, long);
	va_end(ap);
	return kernel(raw_syscall(n, a[0], a[1], a[2], a[3], a[4], a[5]));
}

/* A name that this libc does not have: nobody can be linked to it, but the slot must answer. */
static long
absent(void)
{
	errno = ENOSYS;
	return -1;
}

/*
 * What this libc may not have. dlsym allocates to say so, and an allocator that calls us while it starts holds a lock: these wait for our
 * constructor.
 */
static bool
may_lack(const char *name)
{
	return strncmp(name, "pidfd_", 6) == 0;
}

static _Atomic int resolved;	/* 1 = without what may_lack, 2 = all */

static void
resolve(int how_far)
{
	static _Atomic int began;
	int saved = errno;
	void *p;

	if (resolved >= how_far)
		return;
	if (!began) {
		began = 1;
		real.read = raw_read;
		real.write = raw_write;
		real.close = raw_close;
		real.fcntl = raw_fcntl;
		real.fcntl64 = raw_fcntl;
		real.syscall = raw_call;
	}
#define CALL(name, family)                                                                                                                 \
	if (may_lack(#name) ? how_far == 2 : !resolved) {                                                                                  \
		p = dlsym(RTLD_NEXT, #name);                                                                                               \
		real.name = p ? (__typeof__(&name))p : (__typeof__(&name))(void *)absent;                                                  \
	}
#include "calls.def"
#undef CALL
	resolved = how_far;
	errno = saved;
}

void
real_resolve(void)
{
	resolve(2);
}

/* The second time it is one of those. */
void
real_early(void)
{
	resolve(resolved ? 2 : 1);
}
