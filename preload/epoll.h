/* epoll.h - what the table tells the registrations. */
#ifndef WRAPSOCK_EPOLL_H
#define WRAPSOCK_EPOLL_H

#include "fdtab.h"

void epoll_forget(struct sock *);		/* the socket is gone: drop its registrations */
void epoll_closed(struct sock *, int fd);	/* one number of it is closed */
void epoll_settle(struct sock *);		/* its steadiness may have changed: handshake begun or done, blocking mode switched */
void epoll_fork_child(void);
/* Its numbers are about to become another file, and have: registrations made in this process follow. */
void epoll_leave(struct sock *);
void epoll_come(struct sock *);

#endif
