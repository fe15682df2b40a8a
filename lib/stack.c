/*
 * stack.c - borrowed stacks. A handshake with verification takes 8 to 13 KiB.
 */
#include "stack.h"

#include <sys/mman.h>

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stddef.h>
#include <ucontext.h>

#define ENOUGH ((size_t)32 * 1024)
#define OURS ((size_t)128 * 1024)
#define GUARD ((size_t)4096)
#define SPARE 8

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SWITCHING false		/* the sanitizers would have to be told of each switch */
#else
#define SWITCHING true
#endif

static void *spare[SPARE];
static __thread uintptr_t low, high;	/* of this thread's own stack; 0 = not asked */

static bool
roomy(void)
{
	uintptr_t here = (uintptr_t)__builtin_frame_address(0);

	if (!high) {
		pthread_attr_t attr;
		void *base;
		size_t size;

		high = 1;
		if (pthread_getattr_np(pthread_self(), &attr) != 0)
			return true;
		if (pthread_attr_getstack(&attr, &base, &size) == 0) {
			low = (uintptr_t)base;
			high = low + size;
		}
		pthread_attr_destroy(&attr);
	}
	return here >= low && here < high && here - low >= ENOUGH;
}

static void *
stack_get(void)
{
	char *p;

	for (int i = 0; i < SPARE; i++) {
		void *got = __atomic_exchange_n(&spare[i], NULL, __ATOMIC_ACQUIRE);

		if (got)
			return got;
	}
	p = mmap(NULL, GUARD + OURS, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
	if (p == MAP_FAILED)
		return NULL;
	mprotect(p, GUARD, PROT_NONE);
	return p;
}

static void
stack_put(void *p)
{
	for (int i = 0; i < SPARE; i++) {
		void *none = NULL;

		if (__atomic_compare_exchange_n(&spare[i], &none, p, false, __ATOMIC_RELEASE, __ATOMIC_RELAXED))
			return;
	}
	munmap(p, GUARD + OURS);
}

struct call {
	void (*f)(void *);
	void *arg;
};

static __thread struct call *calling;	/* makecontext passes ints only */

static void
enter(void)
{
	calling->f(calling->arg);
}

/* The two contexts lie at the far end of the new stack: each is nearly a kilobyte. */
struct contexts {
	ucontext_t back, there;
};

static __attribute__((noinline)) bool
run_on(char *stack, struct call *call)
{
	struct contexts *c = (struct contexts *)(void *)(stack + GUARD);

	if (getcontext(&c->there) != 0)
		return false;
	c->there.uc_stack.ss_sp = stack + GUARD + sizeof *c;
	c->there.uc_stack.ss_size = OURS - sizeof *c;
	c->there.uc_link = &c->back;
	makecontext(&c->there, enter, 0);
	calling = call;
	swapcontext(&c->back, &c->there);
	return true;
}

void
stack_run(void (*f)(void *), void *arg)
{
	struct call call = { f, arg };
	char *stack = SWITCHING && !roomy() ? stack_get() : NULL;

	if (!stack || !run_on(stack, &call))
		f(arg);
	if (stack)
		stack_put(stack);
}
