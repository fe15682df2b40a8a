/* watch.h - the epoll registrations of wrapped sockets. */
#ifndef WRAPSOCK_WATCH_H
#define WRAPSOCK_WATCH_H

#include "fdtab.h"

#include <sys/epoll.h>

struct watch {
	struct watch *next;		/* of its socket */
	struct sock *sock;
	int epfd, fd;
	struct epoll_event event;	/* the program's */
	uint32_t index, generation;
	bool cookie;			/* the kernel holds ours */
	bool inherited;			/* made before a fork, in a set that the parent has too */
	bool spent;			/* one-shot and reported: nothing may re-arm it but the program */
	bool absent;			/* ... and not in the kernel's set, after a hand-over */
	uint32_t wire;			/* the events it was given with it */
};

extern _Atomic uint32_t watch_tag;	/* 0 = no watch yet; the high half of every cookie */
extern _Atomic int watch_cookies;	/* watches whose cookie the kernel holds: while there is none, a wait is the kernel's own */
extern _Atomic int64_t watch_nearest;	/* no unsteady connection's deadline is earlier; INT64_MAX = none */

void watch_forget(struct sock *);	/* the socket is gone: drop its registrations */
void watch_closed(struct sock *, int fd);	/* one number of it is closed */
void watch_settle(struct sock *);	/* its steadiness may have changed: handshake begun or done, blocking mode switched */
void watch_fork_child(void);
/* Its numbers are about to become another file, and have: registrations made in this process follow. */
void watch_leave(struct sock *);
void watch_come(struct sock *);

int watch_control(struct sock *, int epfd, int op, int fd, struct epoll_event *);	/* epoll_ctl of the program's */
/* What the kernel reported by an event that carries our cookie. false = none of ours, or (*stale) its registration is gone. */
bool watch_reported(uint64_t data, struct watch *as, bool *stale);
void watch_rearm(struct sock *, const struct watch *as);	/* the program is not told: the kernel must report again what it reports once */

#endif
