/* stream.h - what bulk.c asks of the stream family. */
#ifndef WRAPSOCK_STREAM_H
#define WRAPSOCK_STREAM_H

#include <sys/socket.h>

#include <stdbool.h>

bool stream_passes_wrapped(const struct msghdr *);	/* does an SCM_RIGHTS of it hold a wrapped descriptor? */

#endif
