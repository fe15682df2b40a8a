/*
 * wrapsock.h - TLS for sockets: Python's ssl module as a C library.
 *
 * Results. A call that can fail returns -1 or NULL when it does, and a value >= 0 or a pointer when it does not; nothing else is a
 * failure. recv's 0 means end of stream and nothing else. A failure sets errno to the closest POSIX value and leaves code, sentence and
 * mnemonic with the object that it concerns (wrapsock_err and its kin); a success leaves errno alone. The library prints nothing,
 * installs no signal handler, raises no SIGPIPE and never asks a terminal for a password.
 *
 * Secure unless the word insecure is written. A client verifies the chain, against the system's store where no CA was loaded, and the
 * name. TLS 1.2 is the lowest version. A connection goes from plain to TLS to dead: after a failure every call fails in the same way and
 * not a byte travels in clear. Only wrapsock_unwrap leads back.
 *
 * Threads. A context belongs to one thread until the first socket is made from it; from then on it is frozen, and any thread may use it.
 * One thread may receive from a socket while another sends; of two threads that do the same one waits for the other. wrapsock_close may
 * be called while others wait in the socket: they wake with E_STATE. No other call may begin once wrapsock_close has. Nothing needs to be
 * initialised.
 *
 * fork. The directions of a connection belong to the process that uses each of them next; the same direction in two processes fails with
 * E_SYSCALL, EIO in the second. The process that closes last says goodbye to the peer, the others close silently.
 */
#ifndef WRAPSOCK_H
#define WRAPSOCK_H

#include <sys/socket.h>
#include <sys/types.h>

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

/* The result must be looked at. */
#define WRAPSOCK_CHECKED __attribute__((warn_unused_result))

struct wrapsock_ctx;		/* SSLContext: settings, credentials, CAs; counted */
struct wrapsock_sock;		/* SSLSocket: one connection, or a listener */
struct wrapsock_cert;		/* a decoded certificate, immutable */

/* ---- constants; where Python publishes a value it is Python's ---- */

enum wrapsock_err {
	WRAPSOCK_OK = 0,
	WRAPSOCK_E_SSL = 1,		/* the TLS protocol failed, or the peer sent an alert: EPROTO */
	WRAPSOCK_E_WANT_READ = 2,	/* non-blocking: call again when the descriptor is readable: EAGAIN */
	WRAPSOCK_E_WANT_WRITE = 3,	/* ... when it is writable: EAGAIN; from wrapsock_connect EINPROGRESS */
	WRAPSOCK_E_SYSCALL = 5,		/* the network or a file: errno says what */
	WRAPSOCK_E_ZERO_RETURN = 6,	/* the peer said goodbye: beside recv's 0 */
	WRAPSOCK_E_EOF = 8,		/* the stream was cut without a goodbye: beside recv's 0, or ECONNRESET */
	WRAPSOCK_E_CERT_VERIFY = 100,	/* the peer's certificate was refused: EKEYREJECTED, EKEYEXPIRED, EKEYREVOKED */
	WRAPSOCK_E_TIMEOUT,		/* the socket's timeout passed: ETIMEDOUT */
	WRAPSOCK_E_UNSUPPORTED,		/* the OpenSSL that is loaded cannot do it: EOPNOTSUPP */
	WRAPSOCK_E_INVALID,		/* an argument, or a combination of settings, is wrong: EINVAL */
	WRAPSOCK_E_STATE,		/* not in this state of the object: EINVAL, ENOTCONN, EISCONN, EPIPE, EBADF (closed) */
	WRAPSOCK_E_DATA_PENDING,	/* unwrap: the peer's data must be received first: EBUSY */
	WRAPSOCK_E_NO_CIPHER,		/* no cipher can be selected: EINVAL */
	WRAPSOCK_E_KEY_MISMATCH,	/* the private key does not belong to the certificate: EINVAL */
	WRAPSOCK_E_NOMEM		/* ENOMEM */
};

enum { WRAPSOCK_CERT_DEFAULT = -1, WRAPSOCK_CERT_NONE, WRAPSOCK_CERT_OPTIONAL, WRAPSOCK_CERT_REQUIRED };

/*
 * Protocols of a context.  TLS and its alias SSLv23 negotiate and serve both roles, TLS_CLIENT and TLS_SERVER one.  TLSv1_2 is that version
 * alone; TLSv1 and TLSv1_1 likewise, and want wrapsock_ctx_insecure_allow_legacy.  SSLv2 and SSLv3 are constants only: E_UNSUPPORTED.
 */
enum {
	WRAPSOCK_PROTOCOL_SSLv2,
	WRAPSOCK_PROTOCOL_SSLv3,
	WRAPSOCK_PROTOCOL_SSLv23,
	WRAPSOCK_PROTOCOL_TLSv1,
	WRAPSOCK_PROTOCOL_TLSv1_1,
	WRAPSOCK_PROTOCOL_TLSv1_2,
	WRAPSOCK_PROTOCOL_TLS = WRAPSOCK_PROTOCOL_SSLv23,
	WRAPSOCK_PROTOCOL_TLS_CLIENT = 16,
	WRAPSOCK_PROTOCOL_TLS_SERVER = 17
};

enum { WRAPSOCK_TLSv1 = 0x0301, WRAPSOCK_TLSv1_1, WRAPSOCK_TLSv1_2, WRAPSOCK_TLSv1_3 };	/* versions, for ranges */

/*
 * Options of a context: our own bits.  OP_ALL, the default, are the workarounds for other implementations' faults, with
 * OP_ENABLE_MIDDLEBOX_COMPAT among them.  No compression, no renegotiation, the server's preference in ciphers and fresh Diffie-Hellman
 * keys are always on and have no bit.
 */
#define WRAPSOCK_OP_ENABLE_MIDDLEBOX_COMPAT	UINT64_C(0x0002)
#define WRAPSOCK_OP_ALL				UINT64_C(0x0003)
#define WRAPSOCK_OP_NO_SSLv2			UINT64_C(0x0010)
#define WRAPSOCK_OP_NO_SSLv3			UINT64_C(0x0020)
#define WRAPSOCK_OP_NO_TLSv1			UINT64_C(0x0040)
#define WRAPSOCK_OP_NO_TLSv1_1			UINT64_C(0x0080)
#define WRAPSOCK_OP_NO_TLSv1_2			UINT64_C(0x0100)
#define WRAPSOCK_OP_NO_TLSv1_3			UINT64_C(0x0200)
#define WRAPSOCK_OP_NO_TICKET			UINT64_C(0x0400)
#define WRAPSOCK_OP_LEGACY_SERVER_CONNECT	UINT64_C(0x0800)	/* wants wrapsock_ctx_insecure_allow_legacy */

/* Flags of verification: Python's values, which are OpenSSL's. */
enum {
	WRAPSOCK_VERIFY_DEFAULT = 0,
	WRAPSOCK_VERIFY_CRL_CHECK_LEAF = 0x4,		/* revocation lists are loaded like CAs, by load_verify_locations */
	WRAPSOCK_VERIFY_CRL_CHECK_CHAIN = 0xc,
	WRAPSOCK_VERIFY_X509_STRICT = 0x20,
	WRAPSOCK_VERIFY_ALLOW_PROXY_CERTS = 0x40,
	WRAPSOCK_VERIFY_X509_TRUSTED_FIRST = 0x8000,	/* always on */
	WRAPSOCK_VERIFY_X509_PARTIAL_CHAIN = 0x80000
};

/* Flags of a socket; 0 is a client with the seed's defaults: handshake on connect, a cut stream ends like a finished one. */
enum {
	WRAPSOCK_SERVER_SIDE = 0x1,
	WRAPSOCK_NO_HANDSHAKE_ON_CONNECT = 0x2,	/* the handshake is wrapsock_do_handshake's, or the first recv's or send's */
	WRAPSOCK_REPORT_RAGGED_EOFS = 0x4,	/* recv of a stream that was cut fails with E_EOF instead of returning 0 */
	WRAPSOCK_OWN_FD = 0x8,			/* wrapsock_close closes the descriptor, too */
	/* for wrapsock_wrap_socket only; a context has calls for them */
	WRAPSOCK_INSECURE_NO_VERIFY = 0x100,
	WRAPSOCK_INSECURE_NO_HOSTNAME = 0x200,
	WRAPSOCK_INSECURE_ALLOW_LEGACY = 0x400
};

/* ---- the library ---- */

int wrapsock_init(void);		/* optional, any number of times: load OpenSSL now, say before chroot. 0, or -1 */

/* 1, 0, or -1 = unknown name (E_INVALID). "TLS", "SSLv2", "SSLv3", "TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3", "SNI", "ALPN", "EGD", ... */
int wrapsock_has(const char *feature);
const char *wrapsock_openssl_version(void);		/* OPENSSL_VERSION of the library that is loaded; static */
unsigned long wrapsock_openssl_version_number(void);
void wrapsock_openssl_version_info(int v[5]);		/* 3.0.22 is 3, 0, 0, 22, 0 */

/*
 * What the calling thread's last call on obj met, or, if it made none, what the last failure of any thread on obj was. obj: a ctx, a
 * sock, or NULL = the last constructor or helper of this thread. A call that succeeds sets WRAPSOCK_OK, but for recv's 0 (E_ZERO_RETURN,
 * E_EOF).
 */
enum wrapsock_err wrapsock_err(const void *obj);
/* A full sentence, "" after a success; valid until the next call on obj by this thread. Untrusted bytes in it are escaped. */
const char *wrapsock_errstr(const void *obj);
const char *wrapsock_err_reason(const void *obj);	/* OpenSSL's mnemonic, CERTIFICATE_VERIFY_FAILED; "" = none */
/* X509_V_ERR_ number, 0 = none; text may be NULL and gets OpenSSL's words for it, "" if none. */
long wrapsock_err_verify(const void *obj, const char **text);

/* Frees what a call below hands over, but for ctx, sock and cert. NULL is allowed. */
void wrapsock_free(void *);

/* ---- contexts ---- */

/*
 * Every setter checks its value at once and changes nothing if it fails.  After the first wrapsock_wrap all of them fail with E_STATE.
 */

/* A context of its own for wrapsock_ctx_free, NULL = E_INVALID, E_UNSUPPORTED (SSLv2, SSLv3), E_NOMEM. */
struct wrapsock_ctx *wrapsock_ctx_new(int protocol) WRAPSOCK_CHECKED;
/* create_default_context: TLS_CLIENT with the system's CAs, strict verification, chains that end in a trusted intermediate. */
struct wrapsock_ctx *wrapsock_ctx_default_client(void) WRAPSOCK_CHECKED;
/* TLS_SERVER with its credentials, as wrapsock_ctx_load_cert_chain loads them; keyfile may be NULL. */
struct wrapsock_ctx *wrapsock_ctx_default_server(const char *certfile, const char *keyfile) WRAPSOCK_CHECKED;
/* Drops the caller's hold: sockets that were made from it keep theirs. NULL is allowed. */
void wrapsock_ctx_free(struct wrapsock_ctx *);

/*
 * Who we are. certfile: PEM, leaf first, then its issuers; keyfile NULL = the key is in certfile, too. Both may be OpenSSL store URIs.
 * The files are read now and not again. E_SYSCALL with ENOENT, EACCES, ... for files; E_KEY_MISMATCH; E_SSL for what is no certificate or
 * key, is empty, swapped, or encrypted and not opened by the password; each sentence names file and cause.
 */
int wrapsock_ctx_load_cert_chain(struct wrapsock_ctx *, const char *certfile, const char *keyfile) WRAPSOCK_CHECKED;
/* The same from PEM in memory, which is copied; key NULL = in cert. */
int wrapsock_ctx_load_cert_chain_mem(struct wrapsock_ctx *, const void *cert, size_t certlen, const void *key, size_t keylen)
	WRAPSOCK_CHECKED;
/*
 * Opens encrypted keys of later load_cert_chain calls: cb writes at most size bytes to buf and returns how many, -1 = give up; called
 * only from inside those calls. NULL = none: an encrypted key is refused, nobody is asked.
 */
int wrapsock_ctx_set_password(struct wrapsock_ctx *, int (*cb)(char *buf, int size, void *arg), void *arg) WRAPSOCK_CHECKED;

/*
 * Whom we trust, added to what was loaded before. cafile: PEM, all certificates of it are loaded; capath: a folder with hashed names,
 * looked into when needed. One may be NULL. E_INVALID for both, E_SYSCALL for files, E_SSL for a file without a readable certificate.
 */
int wrapsock_ctx_load_verify_locations(struct wrapsock_ctx *, const char *cafile, const char *capath) WRAPSOCK_CHECKED;
/* The same from memory (cadata): PEM, or DER certificates one behind the other. */
int wrapsock_ctx_load_verify_mem(struct wrapsock_ctx *, const void *pem, size_t len) WRAPSOCK_CHECKED;
/* The system's store, or what SSL_CERT_FILE and SSL_CERT_DIR name. A client context into which nothing was loaded does so by itself. */
int wrapsock_ctx_load_default_certs(struct wrapsock_ctx *) WRAPSOCK_CHECKED;
int wrapsock_ctx_set_default_verify_paths(struct wrapsock_ctx *) WRAPSOCK_CHECKED;	/* the same */
/* Certificates loaded so far; those of a folder count when they have been needed, the automatic system store when a socket is made. */
size_t wrapsock_ctx_ca_count(const struct wrapsock_ctx *);

struct wrapsock_verify_paths {		/* get_default_verify_paths; strings are static or the environment's */
	const char *cafile, *capath;	/* what counts: from the environment or built in; NULL = does not exist */
	const char *openssl_cafile_env, *openssl_cafile, *openssl_capath_env, *openssl_capath;
};
void wrapsock_get_default_verify_paths(struct wrapsock_verify_paths *);

/*
 * OpenSSL's syntax, for TLS 1.2 and older; TLS 1.3 stays as it is. E_NO_CIPHER if nothing can be selected. Anonymous and NULL suites are
 * excluded, and a security level (@SECLEVEL) is E_INVALID, without wrapsock_ctx_insecure_allow_legacy.
 */
int wrapsock_ctx_set_ciphers(struct wrapsock_ctx *, const char *) WRAPSOCK_CHECKED;
/* TLS 1.3: names separated by colons. An unknown one is E_NO_CIPHER. */
int wrapsock_ctx_set_ciphersuites(struct wrapsock_ctx *, const char *) WRAPSOCK_CHECKED;
int wrapsock_ctx_set_groups(struct wrapsock_ctx *, const char *) WRAPSOCK_CHECKED;	/* "X25519:P-256": for the key exchange */
/* Replaces: get, OR, set. E_INVALID for unknown bits and where no version would be left. Options never lower the lowest version. */
int wrapsock_ctx_set_options(struct wrapsock_ctx *, uint64_t options) WRAPSOCK_CHECKED;
uint64_t wrapsock_ctx_options(const struct wrapsock_ctx *);
/*
 * Clients begin with REQUIRED, servers with NONE, contexts without a role with neither (verify_mode answers -1 until it is set, and each
 * socket has its role's).  A client's NONE wants
 * wrapsock_ctx_insecure_no_verify first; its OPTIONAL is REQUIRED but for anonymous suites, if they were named.
 */
int wrapsock_ctx_set_verify_mode(struct wrapsock_ctx *, int cert_reqs) WRAPSOCK_CHECKED;
int wrapsock_ctx_verify_mode(const struct wrapsock_ctx *);
/* A client's match of the certificate with server_hostname, on by default. Off wants wrapsock_ctx_insecure_no_hostname first. */
int wrapsock_ctx_set_check_hostname(struct wrapsock_ctx *, int on) WRAPSOCK_CHECKED;
int wrapsock_ctx_check_hostname(const struct wrapsock_ctx *);
/* Off by default: whether a certificate without names (SAN) is matched by its common name. */
int wrapsock_ctx_set_hostname_checks_common_name(struct wrapsock_ctx *, int on) WRAPSOCK_CHECKED;
int wrapsock_ctx_set_verify_flags(struct wrapsock_ctx *, unsigned long) WRAPSOCK_CHECKED;	/* WRAPSOCK_VERIFY_*; replaces */
unsigned long wrapsock_ctx_verify_flags(const struct wrapsock_ctx *);
/* WRAPSOCK_TLSv1 .. WRAPSOCK_TLSv1_3, 0 = the context's own bound. Below TLSv1_2: wants wrapsock_ctx_insecure_allow_legacy. */
int wrapsock_ctx_set_version_range(struct wrapsock_ctx *, int min, int max) WRAPSOCK_CHECKED;
int wrapsock_ctx_minimum_version(const struct wrapsock_ctx *);
int wrapsock_ctx_maximum_version(const struct wrapsock_ctx *);
/* In the order of preference; 1 to 255 bytes each, without commas and blanks. n = 0: none. The server's preference decides. */
int wrapsock_ctx_set_alpn_protocols(struct wrapsock_ctx *, const char *const *names, size_t n) WRAPSOCK_CHECKED;
/* TLS 1.3 tickets that a server sends with its first data: 0 to 100, by default 2. */
int wrapsock_ctx_set_num_tickets(struct wrapsock_ctx *, unsigned n) WRAPSOCK_CHECKED;
int wrapsock_ctx_security_level(const struct wrapsock_ctx *);	/* OpenSSL's, 0 to 5; 2 by default */
int wrapsock_ctx_set_security_level(struct wrapsock_ctx *, int level) WRAPSOCK_CHECKED;	/* below 2: wants insecure_allow_legacy */
int wrapsock_ctx_protocol(const struct wrapsock_ctx *);		/* what it was made with */

/* verify_mode NONE and no name check: anybody may be the peer */
int wrapsock_ctx_insecure_no_verify(struct wrapsock_ctx *) WRAPSOCK_CHECKED;
/* The chain is verified, the name is not: whoever has a certificate of any CA may be the peer. */
int wrapsock_ctx_insecure_no_hostname(struct wrapsock_ctx *) WRAPSOCK_CHECKED;
/*
 * Permits TLSv1 and up (and begins there, unless a range was set), security level 0 (and begins there), old algorithms, and anonymous
 * suites that set_ciphers names.
 */
int wrapsock_ctx_insecure_allow_legacy(struct wrapsock_ctx *) WRAPSOCK_CHECKED;

/* ---- sockets ---- */

/*
 * SSLContext.wrap_socket: TLS on a stream socket. The descriptor stays the caller's unless WRAPSOCK_OWN_FD says otherwise, and then only
 * if the call succeeds; it must not be closed, read or written by others while it is wrapped. Its file status flags are never changed.
 * The context is held. The socket's timeout is 0 if the descriptor is in O_NONBLOCK mode, else its SO_RCVTIMEO.
 *
 * Connected: the handshake is done here, unless WRAPSOCK_NO_HANDSHAKE_ON_CONNECT; a timeout of 0 wants that flag (E_INVALID). Not
 * connected: nothing is sent; a client goes on with wrapsock_connect, a server is a listener for wrapsock_accept. server_hostname: a
 * client's name or address to verify, and to send if it is a name; NULL where no name is checked. E_INVALID: a client that checks names
 * without one, an empty name, one with a leading dot, longer than 253 bytes or with strange characters; a role that the context has not;
 * a server without certificate; REQUIRED or OPTIONAL without any CA. E_STATE: the preload object holds the descriptor (its policy wants
 * `action = plain`), or what was sent before TLS waits in a socket that is not connected any more. E_UNSUPPORTED: TLSv1 or TLSv1_1
 * without wrapsock_ctx_insecure_allow_legacy. A failure of the handshake leaves the descriptor open, and shut down in both directions.
 */
struct wrapsock_sock *wrapsock_wrap(struct wrapsock_ctx *, int fd, unsigned flags, const char *server_hostname) WRAPSOCK_CHECKED;

struct wrapsock_options {
	size_t size;			/* sizeof(struct wrapsock_options), set by WRAPSOCK_OPTIONS_INIT */
	const char *keyfile, *certfile;
	int cert_reqs, ssl_version;
	const char *ca_certs, *ciphers, *server_hostname;
	unsigned flags;
};
#define WRAPSOCK_OPTIONS_INIT \
	{ sizeof(struct wrapsock_options), NULL, NULL, WRAPSOCK_CERT_DEFAULT, WRAPSOCK_PROTOCOL_TLS, NULL, NULL, NULL, 0 }
/*
 * ssl.wrap_socket: the same with a context of its own, made of the options; NULL = WRAPSOCK_OPTIONS_INIT. A client with CERT_NONE, or
 * without a name to check, wants WRAPSOCK_INSECURE_NO_VERIFY or WRAPSOCK_INSECURE_NO_HOSTNAME. keyfile without certfile is E_INVALID.
 */
struct wrapsock_sock *wrapsock_wrap_socket(int fd, const struct wrapsock_options *) WRAPSOCK_CHECKED;

/*
 * A connection that the preload object wrapped, to ask about: fileno, getpeercert, cipher, version and the like.  Data goes through the
 * descriptor; recv, send and unwrap are E_STATE here.  For wrapsock_close, which leaves the connection alone.  NULL: E_STATE = not
 * wrapped by a preload object; E_UNSUPPORTED = by one of another version.
 */
struct wrapsock_sock *wrapsock_from_fd(int fd) WRAPSOCK_CHECKED;

/*
 * A client's: connect the descriptor and, unless told otherwise, do the handshake, all within the timeout. 0, or -1; E_STATE for a
 * server, a second call, a connected socket. After a failure of TCP it may be tried again. With timeout 0: E_WANT_WRITE, EINPROGRESS,
 * then wrapsock_do_handshake.
 */
int wrapsock_connect(struct wrapsock_sock *, const struct sockaddr *, socklen_t) WRAPSOCK_CHECKED;
/*
 * A listener's next connection, with the listener's context, flags and timeout, owning its descriptor. The handshake is done here unless
 * the listener has WRAPSOCK_NO_HANDSHAKE_ON_CONNECT; a listener with timeout 0 wants that flag. It must be finished within the listener's
 * timeout, or 30 seconds if that is -1. NULL: the listener says why, and can be used on; E_WANT_READ with timeout 0 = nobody there. The
 * address may be NULL.
 */
struct wrapsock_sock *wrapsock_accept(struct wrapsock_sock *listener, struct sockaddr *, socklen_t *) WRAPSOCK_CHECKED;
/* 0 = done, now or before. -1: E_WANT_READ or E_WANT_WRITE with timeout 0, ENOTCONN, or a failure, which is final. */
int wrapsock_do_handshake(struct wrapsock_sock *) WRAPSOCK_CHECKED;

/*
 * flags must be 0.  recv gives what has arrived, at least 1 byte; 0 = end of stream, or len was 0.  send with a timeout other than 0 sends
 * everything unless the timeout passes; a count may be short then.  After E_WANT_WRITE or a short count the same bytes must be sent
 * again, in any pieces, with more behind them or not: other bytes are EIO.  sendall: len, or -1, and what has been sent is unknown then.
 */
ssize_t wrapsock_recv(struct wrapsock_sock *, void *buf, size_t len, int flags) WRAPSOCK_CHECKED;
ssize_t wrapsock_send(struct wrapsock_sock *, const void *buf, size_t len, int flags) WRAPSOCK_CHECKED;
ssize_t wrapsock_sendall(struct wrapsock_sock *, const void *buf, size_t len, int flags) WRAPSOCK_CHECKED;
/*
 * Up to count bytes of a seekable file, from *offset, which is advanced, or from its position if NULL.  Bytes sent, 0 at the end of the
 * file; short, or -1 if none, as send.
 */
ssize_t wrapsock_sendfile(struct wrapsock_sock *, int in_fd, off_t *offset, size_t count) WRAPSOCK_CHECKED;

size_t wrapsock_pending(const struct wrapsock_sock *);	/* bytes in memory for recv; with any, poll says readable, too */
short wrapsock_poll_events(const struct wrapsock_sock *);	/* what to poll for: POLLIN, POLLOUT, or 0 = data or the end is here now */
int wrapsock_set_timeout(struct wrapsock_sock *, int ms) WRAPSOCK_CHECKED;	/* -1 blocks, 0 non-blocking, > 0 for each call in all */

/*
 * The closing handshake, after which the connection is plain again: not a byte behind the peer's goodbye is taken. The descriptor, which
 * is the caller's from now on whatever WRAPSOCK_OWN_FD said; the handle is still to be closed, and every other call on it is E_STATE.
 * E_DATA_PENDING: the peer's data must be received, up to recv's 0, before it is called again. E_WANT_READ, E_WANT_WRITE, E_TIMEOUT: call
 * again. E_EOF: the peer went without a goodbye.
 */
int wrapsock_unwrap(struct wrapsock_sock *) WRAPSOCK_CHECKED;
/* SHUT_RD, SHUT_WR (says goodbye), SHUT_RDWR. TLS ends there: what is sent later fails with EPIPE. */
int wrapsock_shutdown(struct wrapsock_sock *, int how);
/*
 * Says goodbye once without waiting, frees the handle whatever it returns, and closes the descriptor if it is owned. Where other threads
 * wait in the socket, memory and descriptor go with the last of them, and the wire is shut down to wake them. NULL is allowed.
 */
int wrapsock_close(struct wrapsock_sock *);

int wrapsock_fileno(const struct wrapsock_sock *);
struct wrapsock_ctx *wrapsock_context(const struct wrapsock_sock *);	/* not held for the caller; NULL for wrapsock_from_fd's */

/* For wrapsock_cert_free. NULL with WRAPSOCK_OK = none was sent; E_STATE before the handshake. */
struct wrapsock_cert *wrapsock_getpeercert(struct wrapsock_sock *) WRAPSOCK_CHECKED;
/* The same as DER, verified or not: 1 and *der for wrapsock_free, 0 = none was sent, or -1. */
int wrapsock_getpeercert_der(struct wrapsock_sock *, unsigned char **der, size_t *len) WRAPSOCK_CHECKED;

struct wrapsock_der {
	const unsigned char *der;
	size_t len;
};
/*
 * Certificates as DER, leaf first; one block, for wrapsock_free. Verified: the chain that was built and verified, up to the root; none if
 * nothing was verified. Unverified: what the peer sent. Their number, 0 = none (*list is NULL), or -1.
 */
int wrapsock_get_verified_chain(struct wrapsock_sock *, struct wrapsock_der **list) WRAPSOCK_CHECKED;
int wrapsock_get_unverified_chain(struct wrapsock_sock *, struct wrapsock_der **list) WRAPSOCK_CHECKED;

/* Strings live as long as the socket. 1, or 0 before the handshake; pointers may be NULL. protocol: what defines the cipher. */
int wrapsock_cipher(const struct wrapsock_sock *, const char **name, const char **protocol, int *secret_bits);
const char *wrapsock_version(const struct wrapsock_sock *);	/* "TLSv1.3"; NULL before the handshake */
const char *wrapsock_selected_alpn_protocol(const struct wrapsock_sock *);	/* NULL = none */
int wrapsock_session_reused(const struct wrapsock_sock *);

/* ---- certificates ---- */

struct wrapsock_name {
	int rdn;			/* index, equal for the parts of one multi-valued RDN */
	const char *name, *value;	/* UTF-8, ends with NUL; a NUL inside is written \x00, in a bit string all but printable ASCII \xNN */
	const char *oid;		/* of an attribute: its dotted number, also where OpenSSL knows a name; else NULL */
	const void *data;		/* the value as it stands in the certificate, a NUL behind it ... */
	size_t len;			/* ... and its length: there may be NULs inside, too */
};
/* 1: it was verified on its connection. 0: the seed's empty dictionary: every accessor below is empty (0, NULL). */
int wrapsock_cert_validated(const struct wrapsock_cert *);
/* How many; the array lives as long as the certificate. Order and repetition are the certificate's. Unknown types by dotted OID. */
size_t wrapsock_cert_subject(const struct wrapsock_cert *, const struct wrapsock_name **);
size_t wrapsock_cert_issuer(const struct wrapsock_cert *, const struct wrapsock_name **);
/* name: "DNS", "IP Address", "email", "URI", "DirName", "Registered ID", "othername"; rdn: index of the alternative name */
size_t wrapsock_cert_alt_names(const struct wrapsock_cert *, const struct wrapsock_name **);
/* The attributes of alternative name i if it is a DirName, whose value is one text: "countryName=XY, commonName=a\,b". Else 0. */
size_t wrapsock_cert_dir_name(const struct wrapsock_cert *, size_t i, const struct wrapsock_name **);
const char *wrapsock_cert_not_before(const struct wrapsock_cert *);	/* "May  9 00:00:00 2007 GMT" */
const char *wrapsock_cert_not_after(const struct wrapsock_cert *);
const char *wrapsock_cert_serial_number(const struct wrapsock_cert *);	/* hexadecimal, as Python prints it */
int wrapsock_cert_version(const struct wrapsock_cert *);		/* 3 */
/* name: "OCSP", "caIssuers" or "crlDistributionPoints", as in Python's dictionary; the URIs of the extension */
size_t wrapsock_cert_uris(const struct wrapsock_cert *, const char *name, const char *const **uris);
/* Decodes a certificate as if it had been validated; NULL = E_INVALID. */
struct wrapsock_cert *wrapsock_cert_parse_pem(const char *pem) WRAPSOCK_CHECKED;
void wrapsock_cert_free(struct wrapsock_cert *);		/* NULL is allowed */

/* ---- helpers; they fail into NULL's error ---- */

int wrapsock_rand_status(void);						/* 1 = seeded, 0 */
/* entropy: bytes of it in there, 0.0 allowed; negative or NaN: E_INVALID */
int wrapsock_rand_add(const void *bytes, size_t len, double entropy) WRAPSOCK_CHECKED;
int wrapsock_rand_egd(const char *path) WRAPSOCK_CHECKED;			/* E_UNSUPPORTED; NULL: E_INVALID */
int wrapsock_rand_bytes(void *buf, size_t len) WRAPSOCK_CHECKED;
/* "Jan  5 09:34:43 2018 GMT", in any time zone and locale; 0, or -1 with E_INVALID and *seconds as it was. */
int wrapsock_cert_time_to_seconds(const char *timestring, int64_t *seconds) WRAPSOCK_CHECKED;
char *wrapsock_DER_cert_to_PEM_cert(const void *der, size_t len) WRAPSOCK_CHECKED;			/* for wrapsock_free */
int wrapsock_PEM_cert_to_DER_cert(const char *pem, unsigned char **der, size_t *len) WRAPSOCK_CHECKED;	/* *der for wrapsock_free */
/*
 * The certificate of the server at host and port (a number or a service) as PEM, for wrapsock_free.  Without ca_certs nothing is verified
 * and the result proves nothing; with it chain and name are.  timeout_ms: -1 = none, for all of it but the name's resolution.
 */
char *wrapsock_get_server_certificate(const char *host, const char *port, int ssl_version, const char *ca_certs, int timeout_ms)
	WRAPSOCK_CHECKED;

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif

#endif
