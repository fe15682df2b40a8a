/*
 * vfork.h - is this process the one whose memory this is?  Asked at every call on a wrapped descriptor, hence without a system call.
 *
 * Without a fork hook our memory is shared or copied by vfork and clone, whose names are ours, or by a bare system call: then either a page
 * that the kernel clears in the copy tells of it, or syscall did.
 */
#ifndef WRAPSOCK_VFORK_H
#define WRAPSOCK_VFORK_H

#include <stdbool.h>

void vfork_start(void);		/* before the first socket of ours; idempotent */
void vfork_fork_child(void);	/* in the child of a fork whose hooks run */
bool vfork_certain(void);	/* true = surely the same process; false = ask getpid */
bool vfork_copied(void);	/* another process for sure, with a memory of its own; where vfork_certain is false */
void vfork_shared(void);	/* a process that shares our memory is about to be made by other means than vfork: never certain again */

#endif
