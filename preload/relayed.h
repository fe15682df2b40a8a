/*
 * relayed.h - sockets whose connection is wrapsock-relay's: how they get there, and what the program is told of them.
 *
 * The program's number becomes one end of a Unix pair, native in every respect.  The other end's abstract name carries TCP's
 * addresses, so that a number which arrives by exec or SCM_RIGHTS is known for what it is.
 */
#ifndef WRAPSOCK_RELAYED_H
#define WRAPSOCK_RELAYED_H

#include "fdtab.h"

#include <sys/socket.h>

/*
 * The connection of wrapped fd goes to the relay, its handshake finished first, and every number of it in this process becomes the
 * end of a pair.  0, or a negated errno value and one log line: the rule pins it inline, or it cannot be: then all is as before, or
 * the connection is dead.
 */
int relayed_take(struct sock *, int fd);
/* The same in a vfork child, whose table is its parent's: of the child's numbers fd alone becomes the pair's end, close-on-exec or not. */
int relayed_take_foreign(struct sock *, int fd, bool cloexec);
bool relayed_still_wire(const struct sock *, int fd);	/* is this number, in a vfork child, still what the table says? */

void relayed_when_open(struct sock *, int fd);	/* route = relay: take it as soon as it is open */
void relayed_before_fork(void);		/* ... and before two processes have it */

bool relayed_recognise(int fd);		/* bind a number that came from elsewhere, if it is one: true = it was */
bool relayed(int fd);
bool relayed_over(int fd);		/* ended in both directions: TCP is not connected any more */

/* Answers for a relayed number: -1 and errno, or what the call returns; relayed_option: false = the pair's own answer will do. */
int relayed_name(int fd, bool peer, struct sockaddr *, socklen_t *len);
bool relayed_getsockopt(struct sock *, int fd, int level, int name, void *value, socklen_t *len, int *r);
bool relayed_setsockopt(int fd, int level, int name, const void *value, socklen_t len, int *r);
int relayed_unsent(int fd, int *bytes);

void relayed_finish(void);		/* the process ends, and everything with it: wait for what it wrote */

#endif
