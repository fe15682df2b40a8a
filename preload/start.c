/*
 * start.c - start-up, in this order; each step may rely on those before it.
 *
 * No thread, no descriptor kept, no output unless something is wrong.  Under AT_SECURE ld.so would not have loaded us from a path; if it
 * did, a policy of the caller's choice is not read.
 */
#include "helper.h"
#include "process.h"
#include "sock.h"

__attribute__((constructor)) static void
start(void)
{
	int saved = errno;

	real_resolve();		/* libc's functions */
	log_start();		/* from here on a failure can be said */
	decide_start();		/* the policy: files vanish after chroot and setuid */
	fdtab_start();		/* from here on wrappers look */
	helper_start();		/* the relay of those before us */
	process_start();	/* fork hooks, the environment for exec */
	if (decide_clients() || decide_servers() || helper_word())
		sock_inherited();
	errno = saved;
}
