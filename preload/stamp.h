/*
 * stamp.h - how files looked when they were last asked about: is one another than it was, and is somebody at it right now?
 */
#ifndef WRAPSOCK_STAMP_H
#define WRAPSOCK_STAMP_H

#include <stdbool.h>
#include <stdint.h>

struct stamp {
	uint64_t sum;		/* of everything that a change of a file would change; 0 = no file was looked at */
	const char *missing;	/* the first path that is not there, NULL = all are; the caller's string */
	bool hidden;		/* one cannot be looked at, which says nothing of it: rights have been given up */
	bool busy;		/* one was changed within the last second: what it holds may be half of what it will */
	bool fresh;		/* ... and so lately that its next change might bear the same time */
};

void stamp_add(struct stamp *, const char *path);	/* begin with a zeroed one */

#endif
