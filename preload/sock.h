/*
 * sock.h - what the family files share: from a number to a verb and back.
 */
#ifndef WRAPSOCK_SOCK_H
#define WRAPSOCK_SOCK_H

#include "decide.h"
#include "watch.h"
#include "fdtab.h"
#include "real.h"
#include "relayed.h"

#include "log.h"

#include <netinet/in.h>

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif

/* After any verb that may have moved the handshake on: let the registrations follow. */
static inline void
sock_after(struct sock *s, int fd)
{
	if (s->unsteady)
		watch_settle(s);
	if (__builtin_expect(s->route == ROUTE_RELAY, 0))
		relayed_when_open(s, fd);
}

/* A vfork child shares our memory, not our connections. */
#define REFUSE_FOREIGN(s)                                                                                                                  \
	do {                                                                                                                               \
		if (sock_foreign(s))                                                                                                       \
			return answer(-EIO);                                                                                               \
	} while (0)

/* sock.c */
bool sock_inet(const struct sockaddr *, socklen_t);	/* an address of IPv4 or IPv6 */
int sock_tcp(int fd);			/* a stream socket of TCP: 1, 0, or -EACCES if the kernel does not say: logged, to be refused */
int sock_still_tcp(int fd);		/* the same of one that the table knows, which takes one question */
int sock_cannot_ask(int fd, int error);	/* say so: -EACCES */
bool sock_nonblocking(int fd);
int sock_adopt(int fd, struct sock *, struct conn *, enum route, bool cloexec);	/* make it wrapped: 0 or -EMFILE */
bool sock_turn_begin(struct sock *);	/* one thread at a time turns it; false: a signal handler that has interrupted this thread's own turn */
void sock_turn_end(struct sock *);
bool sock_turned_away(struct sock *);	/* its connection says EIO: because it is the relay's, when a turn under way is over? */
void sock_revert(struct sock *);		/* TCP said no: it is plain again, and may be tried again */
void sock_close(int fd);		/* no cancellation point */
uint64_t sock_cookie(int fd);		/* the kernel's name of a socket; 0 = it is none */
bool sock_still(int fd, const struct sock *);	/* is this number still the socket that was adopted? If the kernel does not say, it is */

/* inherited.c */
bool sock_late(struct sock *, int fd);	/* planned: has it been connected behind our back? true = it is wrapped now */
void sock_inherited(void);		/* at start: connections that came with the process, as wires or from the relay */

#endif
