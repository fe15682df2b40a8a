/*
 * engine_openssl_wipe.c - what OpenSSL frees on our behalf is wiped.
 *
 * SSL_free leaves a connection's traffic secrets where they were, and so do other calls with sessions.  OpenSSL lets itself be told
 * how to free, before it has allocated anything; what it frees for the program, outside our guard, is none of our business.
 */
#include <sys/auxv.h>

#include <dlfcn.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

#include "engine_openssl.h"

static __thread unsigned depth;

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

static const void *
object_of(const void *address)
{
	Dl_info info;

	return address && dladdr(address, &info) ? info.dli_fbase : NULL;
}

/*
 * Is the memory that OpenSSL allocates libc's, and so do we free it?  Where the program has an allocator of its own, an OpenSSL
 * that it has loaded uses that one; one that came with us alone does not.  (An executable may have a place of its own for libc's
 * malloc.)
 */
static bool
is_libcs(void *program, void *libc)
{
	const void *size = dlsym(libc, "malloc_usable_size"), *malloc_in = object_of(dlsym(program, "malloc"));

	if (!size || malloc_usable_size != (size_t (*)(void *))(uintptr_t)size)
		return false;
	if (!dlsym(program, "CRYPTO_free"))
		return true;
	return dlsym(program, "malloc_usable_size") == size &&
		(malloc_in == object_of(size) || malloc_in == object_of((const void *)(uintptr_t)getauxval(AT_PHDR)));
}

static bool
allocator_is_libcs(void)
{
	void *program = dlopen(NULL, RTLD_LAZY), *libc = dlopen("libc.so.6", RTLD_LAZY | RTLD_NOLOAD);
	bool is = program && libc && is_libcs(program, libc);

	if (program)
		dlclose(program);
	if (libc)
		dlclose(libc);
	return is;
}

/* Allocation stays OpenSSL's own: with its first one the door is shut, for the program, too, as it would be without us. */
void
engine_wipe_start(void)
{
	CRYPTO_malloc_fn m;
	CRYPTO_realloc_fn r;
	CRYPTO_free_fn f;

	CRYPTO_get_mem_functions(&m, &r, &f);
	if (m == CRYPTO_malloc && r == CRYPTO_realloc && f == CRYPTO_free && allocator_is_libcs())
		CRYPTO_set_mem_functions(NULL, NULL, wipe_and_free);
}
