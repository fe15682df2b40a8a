/*
 * fdtab.h - descriptor number -> socket of ours, and what a socket of ours is.
 *
 * One array reserved once; an empty slot means "not ours" and costs a bounds check, a load and a branch.  Sockets live in memory that is
 * recycled but never returned, so that a reader may look at one that another thread is dropping.
 */
#ifndef WRAPSOCK_FDTAB_H
#define WRAPSOCK_FDTAB_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct conn;
struct watch;

enum sock_phase {
	SOCK_PLANNED,	/* an INET stream socket that may yet be connected; everything but connect and epoll passes */
	SOCK_WRAPPED,	/* conn is set: nothing passes */
	SOCK_RELAYED	/* the end of a pair whose other end is wrapsock-relay's: bytes pass, names and options are answered for TCP */
};

enum route { ROUTE_AUTO, ROUTE_INLINE, ROUTE_RELAY };

struct sock {
	_Atomic int refs;		/* table slots + calls under way; 0 = recycled */
	_Atomic int phase;
	struct conn *conn;
	struct watch *watches;		/* epoll registrations, under the lock of watch.c */
	_Atomic bool unsteady;		/* ... and needs help in waits: it has registrations, and its connection handshakes or blocks */
	_Atomic bool edges;		/* somebody may wait for edges of it: EPOLLET, O_ASYNC, or what was before us */
	int domain;
	int pid;			/* the process whose memory this is: differs in a vfork child */
	enum route route;
	_Atomic int turner;		/* the thread that hands it to the relay, or adopts it late; 0 = none */
	_Atomic bool cut;		/* it had to leave and could not: its wire is shut down */
	_Atomic bool escaped;		/* planned, and in the hands of stdio or of a new program already: to the relay as soon as it is open */
	_Atomic int nodelay;		/* the program's TCP_NODELAY */
	uint64_t cookie;		/* SO_COOKIE of the wire: is a number still this socket? */
	_Atomic bool told;		/* a non-blocking connect has been told its outcome once */
	_Atomic bool client;
	struct sock *next;		/* of all live ones, or of the free list; under the table's lock */
	struct sock **back;
};

/* struct sock *; bit 0: the program's own FD_CLOEXEC; bit 1: a new program is meant to have it */
extern _Atomic uintptr_t *fdtab_slots __attribute__((visibility("hidden")));
extern unsigned fdtab_size __attribute__((visibility("hidden")));		/* 0 until start-up */

/* The hot path of every wrapper: nothing may be added here. */
static inline bool
fdtab_ours(int fd)
{
	return __builtin_expect((unsigned)fd < fdtab_size && fdtab_slots[fd] != 0, 0);
}

void fdtab_start(void);
struct sock *fdtab_hold(int fd);		/* counted, or NULL */
struct sock *fdtab_hold_wrapped(int fd);	/* ... if its phase is SOCK_WRAPPED */
void fdtab_put(struct sock *);			/* NULL is allowed; the last put frees the connection */
static inline void
fdtab_putp(struct sock **s)
{
	fdtab_put(*s);
}
/* Scoped hold: put on return and when the thread is cancelled. */
#define HOLD __attribute__((cleanup(fdtab_putp))) struct sock *

struct sock *sock_new(int domain);		/* one reference, the caller's; NULL = out of memory */
bool fdtab_bind(int fd, struct sock *, bool cloexec);	/* the slot takes a reference of its own; false = beyond the table, or another process's */
void fdtab_forget(int fd);			/* the number is given out again, or turns out not to be ours: drop the slot silently; nothing in a vfork child */
void fdtab_close(int fd);			/* the program closes it: close_notify by the last owner, then drop; before the real close */
bool fdtab_cloexec(int fd);			/* the program's own flag */
void fdtab_set_cloexec(int fd, bool);
bool fdtab_meant(int fd);			/* doubled, or made inheritable, on purpose after it was wrapped */
void fdtab_set_meant(int fd);
bool fdtab_holds(int fd, const struct conn *);	/* for the core: still this connection? */
void fdtab_each(void (*call)(int fd, struct sock *, void *arg), void *arg);	/* every occupied slot, ascending */

void fdtab_fork_prepare(void);
void fdtab_fork_parent(void);
void fdtab_fork_child(void);
void fdtab_fork_failed(void);			/* behind fdtab_fork_parent */
/* In a vfork or bare-clone child the table is another process's: look, do not touch. */
bool sock_foreign(const struct sock *);

#endif
