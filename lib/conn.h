/*
 * conn.h - one TLS connection over a descriptor that belongs to the program: the core that both faces share.
 *
 * Results are counts >= 0 or a negated errno value; errno itself is never touched.  Every verb may be called from several threads for one
 * connection: a lock is held around the TLS library only, never while waiting.  The descriptor is passed with each call because a
 * connection may have several numbers; the file description's flags are never changed.  A thread can be cancelled (deferred) at the
 * beginning of conn_recv, conn_send and a waiting conn_handshake and while they wait; the connection stays usable for the others.
 * A signal handler that has interrupted its thread within a connection, this or another, is answered -EAGAIN.
 *
 * Two invariants hold between calls.  In: while plaintext, end of stream or a failure waits in memory, the kernel's socket is
 * readable.  Out: what was reported as written is in the kernel.
 */
#ifndef WRAPSOCK_CONN_H
#define WRAPSOCK_CONN_H

#include "config.h"
#include "engine.h"
#include "relay.h"

#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>

struct conn;

enum conn_state {
	CONN_CONNECTING,	/* TCP is not established yet */
	CONN_HANDSHAKING,
	CONN_OPEN,
	CONN_DEAD		/* conn_error says why, for ever */
};

enum conn_log { CONN_LOG_ERROR, CONN_LOG_WARN, CONN_LOG_INFO, CONN_LOG_DEBUG };

/* What the process around the core lends it: libc's functions where an interposer would be met, and the log. */
struct conn_host {
	int (*poll)(struct pollfd *, nfds_t, int timeout_ms);	/* a cancellation point, as libc's */
	void (*log)(enum conn_log, const char *line);
	bool (*holds)(int fd, const struct conn *);		/* is this number still this connection? */
};

void conn_host(const struct conn_host *);

/*
 * A connection to peer; the descriptor stays the caller's. connected: TCP is established, else the first handshake step looks.  name: what
 * the program resolved (NULL = unknown; config->server_hostname outranks it); copied.  A client that must check a name and has none
 * is given the peer's address, checked as IP SAN.  The config is referenced.  NULL = out of memory.
 */
struct conn *conn_new(struct config *, const struct sockaddr *peer, socklen_t len, bool connected, const char *name);
void conn_free(struct conn *);		/* says nothing to the peer; wipes secrets */

/* 0 = open; -EAGAIN (not wait, or interrupted by the descriptor's timeout), -EINTR, or the failure. wait: block in host->poll. */
int conn_handshake(struct conn *, int fd, bool wait);

/*
 * As recvmsg/sendmsg with the MSG_* flags of the program.  A server's or a lazy client's handshake runs first.  CONN_BRIEF beside
 * them: nobody waits for edges of this descriptor, so a read may end short behind a record when the next one, which has no room
 * any more, has arrived, unless the kernel knows of the peer's end or of a failure.
 */
#define CONN_BRIEF 0x400000
ssize_t conn_recv(struct conn *, int fd, const struct iovec *, int iovcnt, int flags);
ssize_t conn_send(struct conn *, int fd, const struct iovec *, int iovcnt, int flags);
ssize_t conn_arrived(struct conn *, int fd);	/* FIONREAD: plaintext of all whole records that have arrived; of more than 256 KiB not less */
int conn_shutdown(struct conn *, int fd, int how);
/* The last number of this process goes. last: no other process holds it either: close_notify is tried once. */
void conn_close(struct conn *, int fd, bool last);

/* The process ends with it open, and no other process holds it: the same, unless another thread is inside. Async-signal-safe. */
void conn_finish(struct conn *, int fd);

/*
 * The connection leaves the library for wrapsock-relay, which is to be given the parcel and the wire: the handshake is finished
 * first, waiting. 0 = it is dead here (EIO), in relatives by fork too, and the wire is as it was.  Calls of other threads that wait
 * end so, too, within CONN_LOOK_UP, or with a count that is short; the rest can be done where the connection is.  -EBUSY: another
 * thread shuts it down, or, if it may not be waited for, waits; -EIO: another process has it; -EOPNOTSUPP: it cannot be continued
 * elsewhere: then, and after a handshake that failed, nothing has changed.
 */
struct conn_parcel {
	struct relay_parcel *bytes;
	size_t size;
	bool shut_read, shut_write;	/* what the program has shut down */
};
int conn_leave(struct conn *, int fd, bool waited, struct conn_parcel *);
void conn_parcel_free(struct conn_parcel *);	/* wipes */
/*
 * A connection that leaves while a thread waits takes the wire's events along, and nothing can be done to the wire that would wake
 * a poll.  So where there are other threads, who waits looks up as often as that.
 */
enum { CONN_LOOK_UP = 500 };	/* milliseconds */

enum conn_state conn_state(const struct conn *);
int conn_error(const struct conn *);		/* errno value of the failure, 0 = none */
int conn_take_error(struct conn *);		/* for SO_ERROR: 0 once it has been told, here or by a verb that failed with it */
struct engine_info conn_info(const struct conn *);
int conn_peer_der(struct conn *, enum engine_chain, size_t i, uint8_t **der, size_t *len);	/* engine_peer_der */
bool conn_on_connect(const struct conn *);	/* do_handshake_on_connect of its config */

/* Readiness. Pure: which wire events stand for these events of the program's interest; whether answers need conn_tells. */
short conn_wants(const struct conn *, short events);
bool conn_unsteady(const struct conn *);	/* handshaking, in blocking mode, or failed and not told yet: conn_tells must be asked */
/* The wire answered revents to conn_wants(events): what the program is told. 0 = nothing yet, wait on. */
short conn_tells(struct conn *, int fd, short events, short revents);
int64_t conn_deadline(const struct conn *);	/* CLOCK_MONOTONIC milliseconds of the handshake's end, INT64_MAX = none */
void conn_expire(struct conn *, int fd);	/* fail it with ETIMEDOUT if its deadline has passed */

void conn_set_blocking(struct conn *, bool);
void conn_set_timeout(struct conn *, bool sending, int64_t ms);	/* SO_RCVTIMEO, SO_SNDTIMEO; 0 = none */
void conn_set_lowat(struct conn *, int bytes);			/* SO_RCVLOWAT */
int conn_lowat(const struct conn *);

/*
 * A caller that knows what it holds, instead of a program that does not.  Called before anything else: nothing is logged,
 * host->holds is not asked, waits go on after signals, conn_handshake ends with the timeout of receiving.  No byte behind the
 * record that is being read is taken, and a clean end of stream leaves the wire open, so that conn_unwrap can make it plain again.
 */
void conn_stand_alone(struct conn *);
struct conn_failure {
	int error;			/* errno value, 0 = none */
	enum engine_result result;	/* the engine's, or ENGINE_DONE: it was the network, or the caller */
	bool cut;			/* the peer closed in the middle */
	long verify;			/* X509_V_ERR_ number */
	const char *text, *reason, *verify_text;	/* live as long as the connection; NULL = nothing to say */
};
struct conn_failure conn_failure(struct conn *);
size_t conn_pending(struct conn *);	/* plaintext in memory; never waits */
bool conn_ended(struct conn *, bool *cut);	/* the end of stream has been seen; was it without close_notify? */
/*
 * The closing handshake. 0 = the wire is plain and the connection dead without a word; -EBUSY: data of the peer's must be read
 * first; -EAGAIN with conn_wants; -ECONNRESET: cut; -ENOTCONN: not open, or shut down already; or the failure.
 */
int conn_unwrap(struct conn *, int fd);

/*
 * fork. Called in this order by the forking thread: prepare before, then child in the child, or failed if there is none. TLS state is owned
 * per direction: after a fork a
 * direction belongs to the process that uses it next, the others get EIO.
 */
void conn_fork_prepare(struct conn *);
void conn_fork_child(struct conn *);
void conn_fork_failed(struct conn *);
bool conn_sole(const struct conn *);	/* no other live process holds it */
bool conn_last(struct conn *);		/* the same, and this process is taken out of the owners */
void conn_return(struct conn *);	/* ... and is one of them again */

#endif
