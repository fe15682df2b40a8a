/*
 * goodbye.h - an exec closes connections. No heap, no lock but a connection's own: this may be a fork child.
 */
#ifndef WRAPSOCK_GOODBYE_H
#define WRAPSOCK_GOODBYE_H

#include <stdbool.h>

/*
 * Before the exec, if there is such a program: close_notify on open connections that no other process holds. How many. path "" =
 * dirfd itself.
 */
int goodbye_at_exec(int dirfd, const char *path, int flags, bool search);
void goodbye_in_vain(void);	/* the exec has failed: those are shut for writing, and the log has a line */

#endif
