/*
 * core.h - the connection verbs: the one table through which a face that does not link the library reaches the connection core.
 *
 * The preload object finds it as the only versioned data symbol of libwrapsock.so that is not part of the public API.  CORE_ABI changes
 * whenever anything in this header, conn.h or config.h changes shape.
 */
#ifndef WRAPSOCK_CORE_H
#define WRAPSOCK_CORE_H

#include "config.h"
#include "conn.h"

#define CORE_ABI 6

struct core_verbs {
	unsigned abi;			/* CORE_ABI of the library */
	unsigned size;			/* sizeof (struct core_verbs) */
	const char *(*library_version)(void);	/* "OpenSSL 3.0.x ..." */
	bool (*alive)(void);
	void (*host)(const struct conn_host *);	/* before anything else, once */

	struct config *(*config_new)(enum config_role);
	int (*config_set)(struct config *, const char *key, const char *value, char *err, size_t errsize);
	int (*config_set_place)(struct config *, const char *place);
	int (*config_seal)(struct config *, char *err, size_t errsize, char *warn, size_t warnsize);
	struct config *(*config_ref)(struct config *);
	void (*config_free)(struct config *);

	struct conn *(*conn_new)(struct config *, const struct sockaddr *peer, socklen_t len, bool connected, const char *name);
	void (*conn_free)(struct conn *);
	int (*conn_handshake)(struct conn *, int fd, bool wait);
	ssize_t (*conn_recv)(struct conn *, int fd, const struct iovec *, int iovcnt, int flags);
	ssize_t (*conn_send)(struct conn *, int fd, const struct iovec *, int iovcnt, int flags);
	ssize_t (*conn_arrived)(struct conn *, int fd);
	int (*conn_shutdown)(struct conn *, int fd, int how);
	void (*conn_close)(struct conn *, int fd, bool last);
	void (*conn_finish)(struct conn *, int fd);
	int (*conn_leave)(struct conn *, int fd, bool waited, struct conn_parcel *);
	void (*conn_parcel_free)(struct conn_parcel *);
	enum conn_state (*conn_state)(const struct conn *);
	int (*conn_error)(const struct conn *);
	int (*conn_take_error)(struct conn *);
	struct engine_info (*conn_info)(const struct conn *);

	short (*conn_wants)(const struct conn *, short events);
	bool (*conn_on_connect)(const struct conn *);
	bool (*conn_unsteady)(const struct conn *);
	short (*conn_tells)(struct conn *, int fd, short events, short revents);
	int64_t (*conn_deadline)(const struct conn *);
	void (*conn_expire)(struct conn *, int fd);
	void (*conn_set_blocking)(struct conn *, bool);
	void (*conn_set_timeout)(struct conn *, bool sending, int64_t ms);
	void (*conn_set_lowat)(struct conn *, int bytes);
	int (*conn_lowat)(const struct conn *);

	void (*conn_fork_prepare)(struct conn *);
	void (*conn_fork_child)(struct conn *);
	void (*conn_fork_failed)(struct conn *);
	bool (*conn_sole)(const struct conn *);
	bool (*conn_last)(struct conn *);
	void (*conn_return)(struct conn *);

	/* for a face that asks about another face's connection */
	size_t (*conn_pending)(struct conn *);
	bool (*conn_ended)(struct conn *, bool *cut);
	int (*conn_peer_der)(struct conn *, enum engine_chain, size_t i, uint8_t **der, size_t *len);
	void (*release)(void *);	/* what conn_peer_der gave */
};

/*
 * How another instance of this library in the same process (it may be another file) asks the preload object about a descriptor: by
 * getsockopt(fd, CORE_SOL, CORE_SO_CONN, &answer, &len), as the program would find it, with abi and size set.  The kernel knows no
 * such level.  The connection is held until put(held).  conn NULL: the versions differ, and only abi can be read.
 */
#define CORE_SOL 0x57534f43
#define CORE_SO_CONN 1
struct core_conn {
	unsigned abi, size;		/* CORE_ABI and sizeof (struct core_verbs) of the asker, then of the answer */
	const struct core_verbs *core;
	struct conn *conn;
	void (*put)(void *held);
	void *held;
};

extern const struct core_verbs wrapsock_core_1;
#define CORE_SYMBOL "wrapsock_core_1"

#endif
