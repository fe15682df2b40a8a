/* vfork.c - the calls that make a process without running the fork hooks, and what remembers that they did. */
#include "vfork.h"

#include "decide.h"
#include "fdlife.h"
#include "process.h"
#include "real.h"

#include "raw.h"

#include <sys/mman.h>

#include <errno.h>

/* This thread runs as a vfork child. It borrows the parent's thread, which sleeps meanwhile and clears this when it wakes. */
extern __thread int vfork_depth __attribute__((visibility("hidden"), tls_model("initial-exec")));
__thread int vfork_depth __attribute__((tls_model("initial-exec")));

static _Atomic(_Atomic int *) ours;	/* 1 in the process that called vfork_start; 0 in one that was made of it without our hooks */
static _Atomic bool shared;

void
vfork_start(void)
{
	_Atomic int *page = ours;
	long p;

	if (!page) {
		p = raw_syscall(SYS_mmap, 0, sizeof *page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (p < 0 && p >= -4095)
			return;		/* never certain: dearer, as right */
		page = (_Atomic int *)p;
		if (raw_syscall(SYS_madvise, p, sizeof *page, MADV_WIPEONFORK, 0, 0, 0) < 0) {
			raw_syscall(SYS_munmap, p, sizeof *page, 0, 0, 0, 0);
			return;
		}
		ours = page;
	}
	*page = 1;
}

void
vfork_fork_child(void)
{
	_Atomic int *page = ours;

	vfork_depth = 0;
	if (page)
		*page = 1;
}

bool
vfork_certain(void)
{
	_Atomic int *page = ours;

	return __builtin_expect(page && *page && !vfork_depth && !shared, 1);
}

bool
vfork_copied(void)
{
	_Atomic int *page = ours;

	return page && !*page;
}

void
vfork_shared(void)
{
	shared = true;
}

int vfork_failed(int error) __attribute__((visibility("hidden")));

int
vfork_failed(int error)
{
	errno = error;
	return -1;
}

/*
 * The child returns from here first, on our caller's stack: the return address waits in a register, which the kernel keeps, as do
 * libc's own.  A vfork child may vfork in its turn: what the depth was before is kept in another.
 */
#if defined(__x86_64__)
__asm__(".text\n.globl vfork, __vfork\n.type vfork, @function\n.type __vfork, @function\nvfork:\n__vfork:\n"
	"endbr64\n"
	"movq vfork_depth@gottpoff(%rip), %rdx\n"
	"movl %fs:(%rdx), %esi\n"
	"popq %rdi\n"
	"movl $58, %eax\n"		/* SYS_vfork */
	"syscall\n"
	"pushq %rdi\n"
	"testl %eax, %eax\n"
	"jnz 1f\n"
	"movl $1, %fs:(%rdx)\n"
	"ret\n"
	"1: movl %esi, %fs:(%rdx)\n"
	"cmpl $-4095, %eax\n"
	"jae 2f\n"
	"ret\n"
	"2: negl %eax\n"
	"movl %eax, %edi\n"
	"jmp vfork_failed\n"
	".size vfork, . - vfork\n");
#elif defined(__aarch64__)
__asm__(".text\n.globl vfork, __vfork\n.type vfork, %function\n.type __vfork, %function\nvfork:\n__vfork:\n"
	"hint #34\n"			/* bti c */
	"adrp x9, :gottprel:vfork_depth\n"
	"ldr x9, [x9, #:gottprel_lo12:vfork_depth]\n"
	"mrs x10, tpidr_el0\n"
	"add x9, x9, x10\n"
	"ldr w11, [x9]\n"
	"mov x0, #0x4111\n"		/* CLONE_VM | CLONE_VFORK | SIGCHLD */
	"mov x1, #0\nmov x2, #0\nmov x3, #0\nmov x4, #0\n"
	"mov x8, #220\n"		/* SYS_clone */
	"svc #0\n"
	"cbnz x0, 1f\n"
	"mov w10, #1\n"
	"str w10, [x9]\n"
	"ret\n"
	"1: str w11, [x9]\n"
	"cmn x0, #4095\n"
	"b.cs 2f\n"
	"ret\n"
	"2: neg w0, w0\n"
	"b vfork_failed\n"
	".size vfork, . - vfork\n");
#endif

EXPORT int
clone(int (*start)(void *), void *stack, int flags, void *arg, ...)
{
	va_list ap;
	void *parent, *tls, *child;

	va_start(ap, arg);
	parent = va_arg(ap, void *);
	tls = va_arg(ap, void *);
	child = va_arg(ap, void *);
	va_end(ap);
	if (flags & CLONE_THREAD && !(flags & CLONE_FILES) && !fdlife_may_part("clone", true))
		return (int)answer(-EACCES);
	if (flags & CLONE_VM && !(flags & CLONE_THREAD))
		vfork_shared();
	return real.clone(start, stack, flags, arg, parent, tls, child);
}
ALSO(clone, __clone);
