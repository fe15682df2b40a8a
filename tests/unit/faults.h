/*
 * faults.h - one call of the code under test fails: the Nth system call of a kind, or the Nth allocation, its own or OpenSSL's.
 *
 * System calls are trapped by a seccomp filter and made, or not, by the handler of SIGSYS, so the objects are those that are
 * shipped, raw calls and libc's alike.  Allocations of the rooms come by way of ld's --wrap, OpenSSL's by CRYPTO_set_mem_functions.
 * Calls count between faults_arm and faults_disarm only.  The filter cannot be removed, and children would die of it: trap in a
 * process of its own.
 */
#ifndef TESTS_FAULTS_H
#define TESTS_FAULTS_H

#include "raw.h"

#include <sys/prctl.h>

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#include <openssl/crypto.h>

enum { SHORT = -1 };	/* instead of an errno: one byte only */

struct kind {
	const char *name;
	long number;
	int errors[8];		/* up to 0 */
};

/* What the core and what it loads ask of the kernel, and how each can fail. */
static const struct kind kinds[] = {
	{ "recvfrom", SYS_recvfrom, { EINTR, EAGAIN, ECONNRESET, ENOMEM, ENOBUFS, SHORT } },
	{ "sendto", SYS_sendto, { EINTR, EAGAIN, ECONNRESET, EPIPE, ENOMEM, ENOBUFS, SHORT } },
	{ "shutdown", SYS_shutdown, { ENOTCONN, ENOBUFS } },
	{ "getsockopt", SYS_getsockopt, { ENOMEM, ENOPROTOOPT, EACCES } },
	{ "setsockopt", SYS_setsockopt, { ENOMEM, EACCES } },
	{ "getpeername", SYS_getpeername, { ENOBUFS, ENOTCONN } },
	{ "ioctl", SYS_ioctl, { EINTR, ENOMEM, ENOTTY } },
	{ "fcntl", SYS_fcntl, { EINTR, EMFILE, ENOMEM, EACCES } },
	{ "connect", SYS_connect, { EINTR, EAGAIN, ECONNREFUSED, ECONNRESET, ENOMEM, EADDRNOTAVAIL } },
	{ "accept4", SYS_accept4, { EINTR, EAGAIN, ECONNABORTED, EMFILE, ENOMEM } },
	{ "epoll_create1", SYS_epoll_create1, { EMFILE, ENOMEM } },
	{ "epoll_ctl", SYS_epoll_ctl, { ENOMEM, ENOSPC } },
	{ "epoll_pwait", SYS_epoll_pwait, { EINTR, ENOMEM } },
#ifdef SYS_poll
	{ "poll", SYS_poll, { EINTR, ENOMEM } },
#endif
	{ "ppoll", SYS_ppoll, { EINTR, ENOMEM } },
	{ "openat", SYS_openat, { EINTR, EMFILE, ENOMEM, EACCES } },
	{ "read", SYS_read, { EINTR, EIO, ENOMEM, SHORT } },
	{ "getrandom", SYS_getrandom, { EINTR, EAGAIN, ENOSYS } },
#ifndef __SANITIZE_ADDRESS__	/* its allocator gives up */
	{ "mmap", SYS_mmap, { ENOMEM } },
#endif
	{ "close", SYS_close, { EINTR, EIO } },
	{ "kill", SYS_kill, { EPERM } },
};
enum { KINDS = sizeof kinds / sizeof *kinds, OURS = KINDS, OPENSSL, ALL_KINDS };	/* the last two: allocations */

static struct {
	bool armed;
	int kind;		/* of the fault, OURS, OPENSSL, or -1 = none */
	int error;
	unsigned at;		/* which call of that kind, from 1 */
	unsigned seen[ALL_KINDS];
	bool hit;
	long alive;		/* allocations that have not been freed */
} faults = { .kind = -1 };

static inline void
faults_plan(int kind, unsigned at, int error)
{
	faults.kind = kind;
	faults.at = at;
	faults.error = error;
	faults.hit = false;
	memset(faults.seen, 0, sizeof faults.seen);
}

static inline void
faults_arm(void)
{
	faults.armed = true;
}

/* Was it armed? For faults_armed, when the peer has had its turn. */
static inline bool
faults_disarm(void)
{
	bool was = faults.armed;

	faults.armed = false;
	return was;
}

static inline void
faults_armed(bool on)
{
	faults.armed = on;
}

static inline bool
faults_meet(int kind)
{
	if (!faults.armed || ++faults.seen[kind] != faults.at || kind != faults.kind)
		return false;
	faults.hit = true;
	return true;
}

/* ---- allocations ---- */

void *__real_realloc(void *, size_t);
void __real_free(void *);
void *__wrap_malloc(size_t);
void *__wrap_calloc(size_t, size_t);
void *__wrap_realloc(void *, size_t);
void __wrap_free(void *);

static inline void *
allocate(int kind, void *p, size_t n)
{
	void *q;

	if (faults_meet(kind))
		return NULL;
	q = __real_realloc(p, n);
	faults.alive += !p && q;
	return q;
}

void *
__wrap_malloc(size_t n)
{
	return allocate(OURS, NULL, n);
}

void *
__wrap_calloc(size_t n, size_t size)
{
	void *p = allocate(OURS, NULL, n * size);

	return p ? memset(p, 0, n * size) : NULL;
}

void *
__wrap_realloc(void *p, size_t n)
{
	return allocate(OURS, p, n);
}

void
__wrap_free(void *p)
{
	faults.alive -= p != NULL;
	__real_free(p);
}

static void *
openssl_malloc(size_t n, const char *file, int line)
{
	(void)file, (void)line;
	return n ? allocate(OPENSSL, NULL, n) : NULL;
}

static void
openssl_free(void *p, const char *file, int line)
{
	(void)file, (void)line;
	__wrap_free(p);
}

static void *
openssl_realloc(void *p, size_t n, const char *file, int line)
{
	(void)file, (void)line;
	if (p && !n) {
		__wrap_free(p);
		return NULL;
	}
	return allocate(OPENSSL, p, n);
}

/* Before anything else of OpenSSL's. */
static inline bool
faults_allocations(void)
{
	return CRYPTO_set_mem_functions(openssl_malloc, openssl_realloc, openssl_free) == 1;
}

/* ---- system calls ---- */

enum { GATE = 512 };

/* The only place from which a trapped call is let through: the filter knows it by its address. */
#if defined(__clang__)
#define NOCLONE
#else
#define NOCLONE noclone,
#endif
static long __attribute__((noinline, NOCLONE aligned(GATE)))
gate(const long *call)
{
	return raw_syscall(call[0], call[1], call[2], call[3], call[4], call[5], call[6]);
}

static long
one_byte(long *call)
{
	if (call[3] > 1)
		call[3] = 1;
	return gate(call);
}

static void
trapped(int sig, siginfo_t *info, void *context)
{
	ucontext_t *u = context;
#ifdef __x86_64__
	greg_t *g = u->uc_mcontext.gregs;
	long call[7] = { g[REG_RAX], g[REG_RDI], g[REG_RSI], g[REG_RDX], g[REG_R10], g[REG_R8], g[REG_R9] }, r;
#else
	unsigned long long *g = u->uc_mcontext.regs;
	long call[7] = { (long)g[8], (long)g[0], (long)g[1], (long)g[2], (long)g[3], (long)g[4], (long)g[5] }, r;
#endif
	int kind = 0;

	(void)sig;
	while (kind < KINDS && kinds[kind].number != info->si_syscall)
		kind++;
	call[0] = info->si_syscall;
	if (kind == KINDS || !faults_meet(kind)) {
		r = gate(call);
	} else if (faults.error == SHORT) {
		r = one_byte(call);
	} else {
		if (call[0] == SYS_close)
			gate(call);	/* as Linux: the number is free whatever it answers */
		r = -faults.error;
	}
#ifdef __x86_64__
	g[REG_RAX] = r;
#else
	g[0] = (unsigned long long)r;
#endif
}

/* false = this machine does not let us. */
static inline bool
faults_trap(void)
{
	struct sigaction act = { .sa_sigaction = trapped, .sa_flags = SA_SIGINFO | SA_NODEFER | SA_RESTART };
	uint64_t page = (uint64_t)(uintptr_t)gate;
	struct sock_filter f[5 + 2 * KINDS + 2] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, instruction_pointer)),
		BPF_STMT(BPF_ALU | BPF_AND | BPF_K, ~(uint32_t)(GATE - 1)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)page, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
	};
	struct sock_fprog prog = { .filter = f };
	int n = 5;

	for (int i = 0; i < KINDS; i++) {
		f[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)kinds[i].number, 0, 1);
		f[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP);
	}
	f[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	prog.len = (unsigned short)n;
	return sigaction(SIGSYS, &act, NULL) == 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
		&& prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog) == 0;
}

#endif
