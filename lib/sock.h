/*
 * sock.h - a socket of the explicit API, for the files that are its calls. Private to lib/sock*.c.
 *
 * A socket is plain and waits for TCP, or its bytes go through conn and nothing else; there is no way back but unwrap.  Calls hold
 * the socket while they run, so that memory and descriptor outlive wrapsock_close until the last of them has left.
 */
#ifndef WRAPSOCK_SOCK_H
#define WRAPSOCK_SOCK_H

#include "conn.h"
#include "core.h"
#include "ctx.h"
#include "error.h"

#include <stdbool.h>

enum sock_state {
	SOCK_UNCONNECTED,	/* a client before connect */
	SOCK_LISTENER,
	SOCK_TLS,		/* conn is set */
	SOCK_PLAIN,		/* unwrapped */
	SOCK_BORROWED,		/* conn is the preload object's: to ask about only */
	SOCK_CLOSED		/* wrapsock_close was called, others are still in it */
};

struct wrapsock_sock {
	struct object object;
	_Atomic int refs;		/* the handle, and each call that is under way */
	_Atomic int state;
	int fd;
	unsigned flags;
	struct wrapsock_ctx *ctx;	/* NULL if borrowed */
	struct config *config;
	char *name;			/* server_hostname */
	struct conn *conn;
	_Atomic int timeout;
	_Atomic short want;		/* what the last call that could not go on waits for */
	_Atomic bool shut;		/* for writing, by wrapsock_shutdown */

	const struct core_verbs *core;	/* of the instance that conn belongs to */
	void (*put)(void *);
	void *held;

	struct wrapsock_sock *next, **back;	/* listeners, and all that have a conn of ours, for fork */
};

void sock_hold(struct wrapsock_sock *);
void sock_put(struct wrapsock_sock *);
static inline void
sock_putp(struct wrapsock_sock **s)
{
	sock_put(*s);
}
/* Every call on a socket begins so: its failures are forgotten, and it stays until the call returns, or its thread is cancelled. */
#define SOCK_CALL(s) \
	__attribute__((cleanup(sock_putp))) struct wrapsock_sock *called = (s); \
	sock_hold(called); \
	error_clear(called)

/* 0 if conn can be used; else -1, E_STATE with what. */
int sock_usable(struct wrapsock_sock *, const char *what);
/*
 * What a verb of the core returned, -errno, becomes the call's failure. events: what it was waiting for if it was the network.
 * Always -1.
 */
int sock_fail(struct wrapsock_sock *, int r, short events);
void sock_apply_timeout(struct wrapsock_sock *, int ms);	/* to conn; -1 = none */

struct wrapsock_sock *sock_new(struct wrapsock_ctx *, struct config *, int fd, unsigned flags);	/* NULL = out of memory */
/* A conn for it, TCP being connected or not. -1: out of memory, noted. */
int sock_attach(struct wrapsock_sock *, const struct sockaddr *peer, socklen_t len, bool connected);
void sock_detach(struct wrapsock_sock *);	/* and back to SOCK_UNCONNECTED */
int sock_handshake(struct wrapsock_sock *);

/* sock_fork.c */
void sock_fork_add(struct wrapsock_sock *);
void sock_fork_remove(struct wrapsock_sock *);

/* sock_foreign.c: a connection that a preload object in this process holds. 1, 0 = none, -1 = one of another version */
int sock_ask_preload(int fd, struct core_conn *);

#endif
