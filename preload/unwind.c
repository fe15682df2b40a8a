/*
 * unwind.c - what the compiler's cleanups ask of libgcc_s, fetched when a thread is cancelled in one of our waits and not before.
 *
 * A need for the library would load it into every process under us, which is a quarter of our start-up; a static copy aborts, since
 * it is not the one that began to unwind.  libc does the same for its own frames, and has loaded it by the time we ask.
 */
#include <dlfcn.h>
#include <stdint.h>
#include <stdlib.h>

struct _Unwind_Exception;
struct _Unwind_Context;

#define HIDDEN __attribute__((visibility("hidden")))

int __gcc_personality_v0(int version, int actions, uint64_t class, struct _Unwind_Exception *, struct _Unwind_Context *) HIDDEN;
void _Unwind_Resume(struct _Unwind_Exception *) HIDDEN __attribute__((noreturn));

static void *
fetch(const char *name)
{
	void *library = dlopen("libgcc_s.so.1", RTLD_NOW), *p = library ? dlsym(library, name) : NULL;

	if (!p)
		abort();	/* as libc, which could not have come here without it */
	return p;
}

int
__gcc_personality_v0(int version, int actions, uint64_t class, struct _Unwind_Exception *exception, struct _Unwind_Context *context)
{
	__typeof__(&__gcc_personality_v0) call = (__typeof__(call))fetch("__gcc_personality_v0");

	return call(version, actions, class, exception, context);
}

/* It looks for its caller's frame, finds this one, which has nothing to clean, and goes on to the one meant. */
void
_Unwind_Resume(struct _Unwind_Exception *exception)
{
	__typeof__(&_Unwind_Resume) call = (__typeof__(call))fetch("_Unwind_Resume");

	call(exception);
	__builtin_unreachable();
}
