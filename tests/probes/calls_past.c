/*
 * calls_past - what goes past every wrapper, and is in the manual as such: each writes in clear where policy says TLS (calls.h).
 * PLAIN: a port without TLS.
 */
#include "calls.h"

#include "raw.h"

#include <dlfcn.h>
#include <netdb.h>

typedef ssize_t writer(int, const void *, size_t);

static bool
try_raw(int fd)
{
	note(" %ld", raw_syscall(SYS_write, fd, (long)"secret words", 12, 0, 0, 0));
	return false;
}

static bool
try_dlsym(int fd)
{
	writer *call = (writer *)dlsym(dlopen("libc.so.6", RTLD_NOW), "write");

	return answered(call(fd, "secret words", 12)) && false;
}

static bool
try_dlmopen(int fd)
{
	void *libc = dlmopen(LM_ID_NEWLM, "libc.so.6", RTLD_NOW);
	writer *call = libc ? (writer *)dlsym(libc, "write") : NULL;

	return answered(call ? call(fd, "secret words", 12) : -1) && false;
}

/* Objects linked to glibc before 2.32 find SunRPC in libc, which connects inside. */
static bool
try_sunrpc(int fd)
{
	void *(*create)(struct sockaddr_in *, unsigned long, unsigned long, int *, unsigned, unsigned);
	struct sockaddr_in a = local(getenv("PLAIN"));
	int other = -1;

#ifdef __x86_64__
	create = (__typeof__(create))dlvsym(RTLD_DEFAULT, "clnttcp_create", "GLIBC_2.2.5");
#else
	create = (__typeof__(create))dlvsym(RTLD_DEFAULT, "clnttcp_create", "GLIBC_2.17");
#endif
	if (create && create(&a, 100000, 2, &other, 0, 0))
		answered(write(other, "secret words", 12));
	return fd < 0;
}

static const struct call calls[] = {
	{ "raw", try_raw }, { "dlsym", try_dlsym }, { "dlmopen", try_dlmopen }, { "sunrpc", try_sunrpc },
	{ NULL, NULL }
};
