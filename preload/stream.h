/* stream.h - what bulk.c asks of the stream family. */
#ifndef WRAPSOCK_STREAM_H
#define WRAPSOCK_STREAM_H

#include <sys/socket.h>

#include <stdbool.h>

bool stream_may_pass(const struct msghdr *);	/* wrapped descriptors in an SCM_RIGHTS of it go to the relay: false = one does not */
bool stream_fast_open(int fd, int flags);		/* would these flags connect a socket of TCP, and send before any handshake? */
void stream_meet_passed(struct msghdr *);	/* descriptors have come */

#endif
