/*
 * engine_openssl_wipe.c - what OpenSSL frees on our behalf is wiped.
 *
 * SSL_free leaves a connection's traffic secrets where they were, and so do other calls with sessions.  OpenSSL lets itself be told
 * how to free, before it has allocated anything; what it frees for the program, outside our guard, is none of our business.
 */
#include <sys/auxv.h>

#include <dlfcn.h>
#include <malloc.h>
#include <stdatomic.h>
#include <stdint.h>
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

/* Names, lists of pointers, locks, and what OpenSSL wipes itself: most of what a handshake frees, and nothing to wipe. */
static bool
has_no_secrets(const char *file)
{
	static const char *const public[] = { "core_namemap.c", "property.c", "property_string.c", "stack.c", "packet.c", "threads_pthread.c",
					      "digest.c", "sha2_prov.c", "buffer.c" };
	const char *name = strrchr(file, '/');

	name = name ? name + 1 : file;
	for (size_t i = 0; i < sizeof(public) / sizeof(*public); i++)
		if (strcmp(name, public[i]) == 0)
			return true;
	return false;
}

/* The same, remembered by the address that each of OpenSSL's files has for its name: twice that, and the answer. */
static bool
known_public(const char *file)
{
	static _Atomic uintptr_t known[256];
	_Atomic uintptr_t *at = &known[(uintptr_t)file / 8 % 256];
	uintptr_t said = atomic_load_explicit(at, memory_order_relaxed);

	if (said >> 1 != (uintptr_t)file) {
		said = (uintptr_t)file << 1 | has_no_secrets(file);
		atomic_store_explicit(at, said, memory_order_relaxed);
	}
	return said & 1;
}

static void
wipe_and_free(void *p, const char *file, int line)
{
	(void)line;
	if (p && !(file && known_public(file)) && depth > 0)
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
