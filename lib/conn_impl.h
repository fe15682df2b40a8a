/*
 * conn_impl.h - what the files of the connection core know of each other. Private to lib/conn*.c.
 */
#ifndef WRAPSOCK_CONN_IMPL_H
#define WRAPSOCK_CONN_IMPL_H

#include "conn.h"
#include "share.h"

#include <sys/socket.h>

#include <netinet/in.h>

#include <pthread.h>

#define RECORD_HEADER 5
#define RECORD_PLAIN 16384		/* RFC 8446, 5.1: the most plaintext of one record */
#define RECORD_CIPHER (RECORD_PLAIN + 2048)	/* RFC 5246, 6.2.3; TLS 1.3 allows 256 only */
#define BATCH_RECORDS 4		/* most records encrypted for one send: they fit into a borrowed buffer, and into the cache */

enum { READING, WRITING };

/* A record in wire.out: where it ends, and how many bytes of the program's data it stands for. */
struct sent_record {
	uint32_t end, plain;
};

struct conn {
	pthread_mutex_t lock;		/* guards all below but the atomics; never held while waiting */
	_Atomic int busy;		/* the lock is held: a child forked now gets a torn copy */
	int cancel;			/* cancellation state that its holder came with: it is disabled while the lock is held */
	pthread_cond_t sent;		/* `sending` became false */
	struct config *config;
	struct engine *tls;
	struct engine_wire wire;
	char *name;			/* to verify and for SNI, NULL = none */
	char peer[INET6_ADDRSTRLEN + 9];
	_Atomic int state;		/* enum conn_state */
	_Atomic int error;
	_Atomic bool error_taken;
	_Atomic bool blocking;
	_Atomic bool fresh;		/* a client that has read nothing yet: tickets make the wire readable before there is data */
	_Atomic int64_t deadline, rcvtimeo, sndtimeo;
	_Atomic int lowat;
	_Atomic short want;		/* while handshaking: POLLIN or POLLOUT */
	bool alone;			/* conn_stand_alone */
	bool unwrapping;		/* `want` holds for an open connection, too */
	enum engine_result result;	/* of the failure, if it was the engine's */
	char *why;			/* the failure in a sentence, for a caller who asks; NULL = out of memory, or none */
	int64_t started;
	bool heard;			/* the peer has sent a record's header */
	bool closed;			/* the last descriptor of this process went while somebody waited */
	int waiters;

	/* reading */
	size_t overhead;		/* bytes by which a record's body is longer than its data, at least */
	size_t seen;			/* bytes at the end of wire.in that are still in the kernel, too */
	uint8_t *left;			/* ciphertext of an incomplete record */
	size_t left_len;
	_Atomic size_t pending;		/* conn_ready_bytes since the last call that read, for those who ask without the lock */
	uint8_t *held;			/* plaintext decrypted ahead of the program */
	size_t held_off, held_len, held_cap;
	bool dry;			/* the kernel had nothing when it was last asked: who waits need not ask before */
	bool owed;			/* the last ciphertext byte of what was decrypted is still in the kernel */
	bool eof, cut, shut_read;

	/* writing */
	bool sending;			/* a logical send is under way, perhaps waiting */
	pthread_t sender;		/* ... of this thread's */
	bool shut_write, notified;
	int more;			/* MSG_MORE where the call under way says that more will follow: the kernel gathers it, we keep nothing */
	bool pressured;			/* the kernel has refused bytes before */
	size_t batch;			/* most plaintext encrypted at a time; 0 = not asked yet */
	size_t out_off;			/* of wire.out: bytes that the kernel has */
	size_t answers;			/* of wire.out, about: what the peer's questions brought there since it was empty */
	struct sent_record records[BATCH_RECORDS + 4];
	size_t nrecords;
	uint8_t *debt;			/* plaintext encrypted but not reported as written */
	size_t debt_len, debt_sent;	/* debt_sent: of it, bytes whose records are wholly in the kernel */

	struct share share;
	bool share_failed;		/* no memory for claims at the last fork: the child must not use it */
};

/* conn.c */
extern const struct conn_host *conn_the_host;
/*
 * false: this is a signal handler that has interrupted its thread within a connection, this or another; nothing in here may be
 * entered twice.
 */
bool conn_lock(struct conn *);
bool conn_trylock(struct conn *);	/* false also: another thread is inside */
void conn_unlock(struct conn *);
void conn_pause(bool on);		/* the lock is given up and taken again by a condition's wait */
/* Scoped lock: released on return, and when the thread is cancelled in a wait. Where it cannot be had, the function returns otherwise. */
void conn_unlockp(struct conn **);
#define CONN_LOCKED(c, otherwise) \
	__attribute__((cleanup(conn_unlockp))) struct conn *locked = conn_lock(c) ? (c) : NULL; \
	if (!locked) \
		return otherwise
int64_t conn_now(void);			/* CLOCK_MONOTONIC, milliseconds */
void conn_refresh(struct conn *, int fd);	/* mode and time limits of a socket that several processes have */

/* conn_fail.c: lock held */
/* Fail it for good: alert, SHUT_RDWR, one line in the log. Returns -error. */
int conn_fail(struct conn *, int fd, int error, const char *fmt, ...) __attribute__((format(printf, 4, 5)));
/* The same for what TCP itself reports: no warning, peers come and go. */
int conn_broke(struct conn *, int fd, int error);
int conn_fail_tls(struct conn *, int fd, enum engine_result);
void conn_say(enum conn_log, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void conn_say_warning(struct conn *);	/* of what the engine has to tell beside the connection, if there is something */
/* May this process use the direction? 0 or -EIO, then the connection is dead here. */
int conn_claim(struct conn *, int direction);

/*
 * conn_wait.c: with the lock held; it is released while waiting, and held again when the thread is cancelled there: the only
 * places where it can be. 1 = ready, 0 = deadline passed, or -EINTR, -EBADF, -EIO: it has left.
 */
int conn_wait(struct conn *, int fd, short events, int64_t deadline);
/*
 * The same, until more has arrived than what was there: bytes that are only looked at keep the socket readable. *arrivals is -1 at
 * first and ends in conn_arrivals_end.  1 = look again, at first without a wait; *more = false: for the last time, the peer has
 * ended.
 */
int conn_wait_arrival(struct conn *, int fd, int *arrivals, int64_t deadline, bool *more);
void conn_arrivals_end(int *arrivals);
bool conn_wait_sent(struct conn *, int64_t deadline);	/* until `sent` is signalled; false = deadline passed */
int64_t conn_later(int64_t timeout_ms);	/* 0 = never */

/* conn_handshake.c: lock held. 0 or -EAGAIN with conn->want set, or the failure. waits: the caller polls before he comes again. */
int conn_handshake_step(struct conn *, int fd, bool waits);
int conn_handshake_locked(struct conn *, int fd, bool wait, int64_t deadline);

/* conn_wire.c: lock held */
bool conn_in_begin(struct conn *);	/* lend wire.in a buffer that begins with what was left; false = no memory */
int conn_in_end(struct conn *, int fd);	/* keep what is left of it; fails the connection without memory */
/*
 * Take ciphertext for a caller with room for that much plaintext (before the handshake is done: for the engine): 1 = as asked,
 * 0 = less, or -EAGAIN, -ECONNRESET..., -EPIPE = end.
 */
int conn_fill(struct conn *, int fd, size_t room);
int conn_look(struct conn *, int fd, size_t most);	/* so much of it, an owed byte included, stays in the kernel until conn_take_seen */
size_t conn_record_size(const struct engine_wire *);	/* of the record that begins at in_off, header included; 0 = its header is incomplete */
int conn_take_seen(struct conn *, int fd, bool all);	/* what was seen leaves the kernel: all, or as far as it was opened; 0, or the failure */
int conn_take_owed(struct conn *, int fd);	/* the byte that was looked at; 0, or the connection has failed */
void conn_settle(struct conn *, int fd);	/* the plaintext is drained: take the byte that kept the socket readable */

/* conn_read.c: lock held */
size_t conn_ready_bytes(const struct conn *);
/* One engine_recv and what follows from its answer: DONE with *n, WANT_READ, or CLOSED for every kind of end. */
enum engine_result conn_decrypt(struct conn *, int fd, void *buf, size_t len, size_t *n);
/* No more comes: the peer's end without a farewell, or a process that shares the socket has shut its reading side. */
void conn_kernel_ended(struct conn *, int fd);
void conn_drop_empty(struct conn *);	/* an idle connection keeps no buffer */

/* conn_ahead.c: lock held. 1 = a record was opened, 0 = none, or the failure */
int conn_ahead(struct conn *, int fd, size_t enough);	/* decrypt what has arrived into held, up to so much data; the last byte stays in the kernel */
int conn_open_ahead(struct conn *, int fd, size_t enough);	/* the same, wire.in is lent */
int conn_gather(struct conn *, int fd);	/* all that is decrypted into held, and nothing of it left in the kernel; 0 or the failure */

/* conn_write.c: lock held */
int conn_flush(struct conn *, int fd);	/* 0 = nothing is owed any more, -EAGAIN, or what the kernel says: the connection is not failed yet */
int conn_notify(struct conn *, int fd);	/* close_notify behind all data: as conn_flush; if it cannot be made the connection has failed */
void conn_note_record(struct conn *, size_t plain);

/* pool.c: buffers that calls borrow; never on the stack */
#define POOL_SIZE (64 * 1024 + RECORD_HEADER + RECORD_CIPHER + 512)
void *pool_get(void);			/* POOL_SIZE bytes, NULL = out of memory */
void pool_put(void *);

#endif
