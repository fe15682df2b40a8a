/*
 * engine_openssl_wipe.c - what OpenSSL frees on our behalf is wiped.
 *
 * SSL_free leaves a connection's traffic secrets where they were, and so do other calls with sessions.  OpenSSL lets itself be told how to free, before
 * it has allocated anything; what it frees for the program, outside our guard, is none of our business.
 */
#include <dlfcn.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

#include "engine_openssl.h"

static __thread unsigned depth __attribute__((tls_model("initial-exec")));

void
engine_wipe_enter(void)
{
	depth++;
}

void
engine_wipe_leave(void)
{
	depth--;
}

static void
wipe_and_free(void *p, const char *file, int line)
{
	(void)file;
	(void)line;
	if (p && depth > 0)
		explicit_bzero(p, malloc_usable_size(p));
	free(p);
}

static bool
same_object(const void *a, const void *b)
{
	Dl_info x, y;

	return a && b && dladdr(a, &x) && dladdr(b, &y) && x.dli_fbase == y.dli_fbase;
}

/*
 * Is the memory that OpenSSL allocates ours to free?  A program may have an allocator of its own: an OpenSSL that it has loaded uses that, one that came
 * with us uses the one that we see.
 */
static bool
same_allocator(void)
{
	void *program = dlopen(NULL, RTLD_LAZY), *theirs, *shared;
	bool same;

	if (!program)
		return false;
	theirs = dlsym(program, "malloc");
	shared = dlsym(program, "CRYPTO_free");
	same = (!shared || same_object(theirs, (const void *)(uintptr_t)malloc)) &&
		same_object((const void *)(uintptr_t)malloc, (const void *)(uintptr_t)malloc_usable_size);
	dlclose(program);
	return same;
}

/* Allocation stays OpenSSL's own: with its first one the door is shut, for the program, too, as it would be without us. */
void
engine_wipe_start(void)
{
	CRYPTO_malloc_fn m;
	CRYPTO_realloc_fn r;
	CRYPTO_free_fn f;

	CRYPTO_get_mem_functions(&m, &r, &f);
	if (m == CRYPTO_malloc && r == CRYPTO_realloc && f == CRYPTO_free && same_allocator())
		CRYPTO_set_mem_functions(NULL, NULL, wipe_and_free);
}
