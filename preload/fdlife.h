/* fdlife.h - what fcntl asks of the dup family. */
#ifndef WRAPSOCK_FDLIFE_H
#define WRAPSOCK_FDLIFE_H

#include "fdtab.h"

void fdlife_finish(void);	/* the process ends: say goodbye on what is open. Async-signal-safe */
/* May a thread, one that is there or a new one, get a table of descriptors of its own? false = refused, and logged. */
bool fdlife_may_part(const char *call, bool new_thread);
void fdlife_depart(void);	/* an exec is about to close what is still ours: out of the owners */
void fdlife_return(void);	/* it failed */
int fdlife_dupfd(struct sock *, int fd, int least, bool cloexec);	/* F_DUPFD, F_DUPFD_CLOEXEC */

#endif
