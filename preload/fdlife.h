/* fdlife.h - what fcntl asks of the dup family. */
#ifndef WRAPSOCK_FDLIFE_H
#define WRAPSOCK_FDLIFE_H

#include "fdtab.h"

void fdlife_finish(void);	/* the process ends: say goodbye on what is open. Async-signal-safe */
int fdlife_dupfd(struct sock *, int fd, int least, bool cloexec);	/* F_DUPFD, F_DUPFD_CLOEXEC */

#endif
