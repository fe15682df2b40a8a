/*
 * raw.h - system calls that no interposer can meet, not even our own.
 *
 * Each returns what the kernel returned: a count, or a negated errno value.  errno is not touched.
 */
#ifndef WRAPSOCK_RAW_H
#define WRAPSOCK_RAW_H

#include <sys/syscall.h>

#include <stddef.h>

#if defined(__x86_64__)
static inline long
raw_syscall(long n, long a, long b, long c, long d, long e, long f)
{
	register long r10 __asm__("r10") = d, r8 __asm__("r8") = e, r9 __asm__("r9") = f;
	long r;

	__asm__ volatile("syscall" : "=a"(r) : "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9) : "rcx", "r11", "memory");
	return r;
}
#elif defined(__aarch64__)
static inline long
raw_syscall(long n, long a, long b, long c, long d, long e, long f)
{
	register long x8 __asm__("x8") = n, x0 __asm__("x0") = a, x1 __asm__("x1") = b, x2 __asm__("x2") = c, x3 __asm__("x3") = d,
		      x4 __asm__("x4") = e, x5 __asm__("x5") = f;

	__asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory");
	return x0;
}
#else
#error "raw.h knows x86-64 and arm64"
#endif

static inline long
raw_recv(int fd, void *buf, size_t len, int flags)
{
	return raw_syscall(SYS_recvfrom, fd, (long)buf, (long)len, flags, 0, 0);
}

static inline long
raw_send(int fd, const void *buf, size_t len, int flags)
{
	return raw_syscall(SYS_sendto, fd, (long)buf, (long)len, flags, 0, 0);
}

static inline long
raw_shutdown(int fd, int how)
{
	return raw_syscall(SYS_shutdown, fd, how, 0, 0, 0, 0);
}

static inline long
raw_ioctl(int fd, unsigned long request, void *arg)
{
	return raw_syscall(SYS_ioctl, fd, (long)request, (long)arg, 0, 0, 0);
}

static inline long
raw_getsockopt(int fd, int level, int name, void *value, unsigned *len)
{
	return raw_syscall(SYS_getsockopt, fd, level, name, (long)value, (long)len, 0);
}

static inline long
raw_getpeername(int fd, void *addr, unsigned *len)
{
	return raw_syscall(SYS_getpeername, fd, (long)addr, (long)len, 0, 0, 0);
}

#endif
