/*
 * sock_foreign.c - is there a preload object in this process that holds a descriptor?
 *
 * It may have another copy of this library, or share this one; this one may have been loaded in a scope of its own, where calls of libc's
 * names do not meet the preload object.  So ask in the way in which the program itself would: by the getsockopt of the program's scope.
 */
#include "sock.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>

static int (*program_getsockopt)(int, int, int, void *, socklen_t *);

static void
find(void)
{
	void *program = dlopen(NULL, RTLD_LAZY);

	if (program)
		*(void **)&program_getsockopt = dlsym(program, "getsockopt");
}

int
sock_ask_preload(int fd, struct core_conn *c)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	socklen_t len = sizeof *c;
	int saved = errno, r;

	*c = (struct core_conn){ .abi = CORE_ABI, .size = sizeof(struct core_verbs) };
	pthread_once(&once, find);
	r = program_getsockopt ? program_getsockopt(fd, CORE_SOL, CORE_SO_CONN, c, &len) : -1;
	errno = saved;
	if (r < 0)
		return 0;
	return c->conn ? 1 : -1;
}
