/*
 * engine_openssl.h - what the files of the OpenSSL engine share; no other file but their own test includes it.
 */
#ifndef WRAPSOCK_ENGINE_OPENSSL_H
#define WRAPSOCK_ENGINE_OPENSSL_H

#include "config.h"
#include "engine.h"

#include <openssl/ssl.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { ENGINE_FIRST_BYTES = 16, ENGINE_SECRET_MAX = 64, ENGINE_PIN_BYTES = 32, ENGINE_SCOPE_BYTES = SSL_MAX_SID_CTX_LENGTH };

struct engine_identity;

/* The context made of one sealed config. */
struct engine_ctx {
	SSL_CTX *ssl;
	unsigned char *alpn;	/* wire format */
	unsigned alpn_len;
	size_t tickets;		/* TLS 1.3: how many a server issues with its first data */
	int roots;		/* certificates of ca_certs */
	char *crls;		/* what crlfile holds, for the log; NULL = none */
	uint8_t (*pins)[ENGINE_PIN_BYTES];
	size_t npins;
	struct engine_identity *allowed;
	size_t nallowed;
	struct engine_sessions *sessions;	/* a client's; NULL = none are kept */
	struct engine_tickets *sealing;		/* a server's ticket_keys; NULL = the context's own */
	uint8_t scope[ENGINE_SCOPE_BYTES];	/* where its sessions may be resumed ... */
	bool shared;				/* ... in other processes, too */
};

/* TLS 1.3: the traffic secret of one direction, and key and IV where they were seen; and the number of its next record in any version. */
struct engine_direction {
	uint8_t secret[ENGINE_SECRET_MAX], key[32], iv[12];
	size_t secret_len, key_len, iv_len;	/* 0 = not known */
	uint64_t sequence;
};

struct engine {
	SSL *ssl;
	const struct config *config;
	struct engine_wire *wire;
	enum engine_result failed;	/* sticky; ENGINE_DONE = none */
	bool done;			/* the handshake is */
	size_t overhead;		/* ... and engine_overhead is known */
	bool nomem;			/* wire->out could not grow */
	bool said_goodbye;
	uint8_t *tickets;		/* records made at the handshake's end that go out before the first other one */
	size_t tickets_len;

	bool settled;			/* whether the record engine goes on is decided */
	uint64_t sent;			/* bytes of data before that */
	struct records *records;	/* the open connection goes on without ssl, which is NULL then unless the peer has a certificate */
	uint8_t *plain;			/* ... and what a caller had no room for */
	size_t plain_off, plain_len;
	bool closed;			/* ... and close_notify has come */
	struct engine_info info;	/* ... and what was agreed on */

	uint8_t first[ENGINE_FIRST_BYTES];	/* how the peer began, to tell what it speaks */
	size_t first_len;
	size_t record_left;		/* of the record that OpenSSL is reading: bytes of wire->in still to show */
	uint64_t taken;			/* bytes taken from wire->in so far ... */
	uint64_t record_end;		/* ... and what that is when the record begun last is whole */
	struct engine_direction dir[2];	/* [0] read, [1] write */
	unsigned idle;			/* messages since the handshake or the last data: tickets, key updates, refused renegotiations */

	X509 *refused;			/* the peer's certificate, when we refused it ... */
	X509 *culprit;			/* ... and the one of its chain that is to blame */
	int depth;			/* where that one stands in the chain, 0 = it is the peer's own */
	bool malformed;			/* one of the peer's certificates cannot be read to its end */
	const char *demand;		/* the key whose value nothing in the chain met; NULL = none */
	long verify_code;
	char *alpn;			/* agreed on, NULL = none */
	char *peer;			/* whose sessions it keeps and resumes; NULL = it does neither */
	bool offered;			/* ... and one of them was looked for */
	int64_t until;			/* of the session that is resumed: when its certificate has to be verified again */
	char *warning;			/* for engine_warning; NULL = none */
	char error[256], reason[96];
	const char *hint;
};

/* The state of the calling thread that is the program's: errno and OpenSSL's error queue. */
struct engine_guard {
	int err;
	struct engine_saved_errors *saved;
};

void engine_guard_enter(struct engine_guard *);
void engine_guard_leave(struct engine_guard *);

OSSL_LIB_CTX *engine_lib(void);		/* NULL = OpenSSL could not be started, or has been shut down */

/* err gets the sentence; always -1. */
int engine_say(char *err, size_t errsize, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
const char *engine_queue_reason(void);	/* OpenSSL's words for the first error in the queue */

/* Where sentences go while a context is made. */
struct engine_report {
	char *err, *warn;
	size_t errsize, warnsize;
	const struct engine_bytes *cert, *key;	/* instead of the files, NULL = none */
	int error;				/* errno value of a file's failure, for engine_refuse_setting */
};
#define ENGINE_SAY(r, ...) engine_say((r)->err, (r)->errsize, __VA_ARGS__)

const char *engine_list_next(const char **list, size_t *len);	/* of a comma-separated list: the next one, trimmed; NULL at the end */
void engine_remark(struct engine_report *, const char *key, const char *path, const char *what);
/* The words are in the refusal, the queue has the cause: say what kind it is. error: of a file, 0 = none. Always -1. */
int engine_refuse_setting(struct engine_refusal *, enum engine_fault otherwise, int error);

/* engine_openssl_trust.c */
X509_STORE *engine_trust_store(void *);

/*
 * engine_openssl_file.c: the file that key names, at most 1 MiB and never empty, with a NUL behind it; freed it is wiped. secret:
 * its mode is looked at, too. 0, or -1: the report says why, and there is nothing to free.
 */
struct engine_text {
	char *bytes;
	size_t len;
};
int engine_text_load(struct engine_text *, const struct config *, const char *key, const char *path, bool secret, struct engine_report *);
void engine_text_free(struct engine_text *);

/* engine_openssl_cred.c */
int engine_use_credentials(SSL_CTX *, void *credentials, struct engine_report *);
int engine_load_credentials(SSL_CTX *, const struct config *, struct engine_report *);

/* engine_openssl_verify.c */
int engine_load_trust(struct engine_ctx *, const struct config *, struct engine_report *);
void engine_set_verify(SSL_CTX *, const struct config *);
int engine_verify_mode(const struct config *);
bool engine_set_name(struct engine *, const char *name);	/* false = out of memory */
enum engine_result engine_accept_peer(struct engine *);	/* DONE, or the refusal */
enum engine_result engine_demand(struct engine *, const char *key);	/* nothing in the chain meets what it demands */
enum engine_result engine_refuse(struct engine *, const char *sentence, const char *reason, const char *hint);

/* engine_openssl_crl.c */
int engine_load_crls(struct engine_ctx *, X509_STORE *, const char *path, struct engine_report *);

/* engine_openssl_identity.c */
int engine_load_identities(struct engine_ctx *, const struct config *, struct engine_report *);
void engine_free_identities(struct engine_ctx *);
bool engine_pin_of(X509 *, uint8_t pin[static ENGINE_PIN_BYTES]);
bool engine_pins_hold(const struct engine *, X509 *leaf, STACK_OF(X509) *verified_chain);
bool engine_identity_allowed(const struct engine *, X509 *leaf);

/* engine_openssl_text.c: texts are appended to, and end with ... where the room does */
enum { ENGINE_TIME_TEXT = 24 };
void engine_text_escaped(char *buf, size_t size, const char *, size_t len);
void engine_text_name(char *buf, size_t size, const X509_NAME *);
void engine_text_time(char out[static ENGINE_TIME_TEXT], const ASN1_TIME *);
int engine_security_level(const struct config *);	/* engine_openssl_ctx.c */

/* engine_openssl_ticket.c */
int engine_load_tickets(struct engine_ctx *, const struct config *, struct engine_report *);	/* nothing for clients */
void engine_tickets_free(struct engine_tickets *);	/* wipes; NULL is allowed */

/*
 * engine_openssl_scope.c: the files that a config names, hashed before they are read; and with that, when all are read, the
 * context's scope, which is shared only if they are still the same. false = failure of the library.
 */
bool engine_scope_files(const struct config *, uint8_t out[static ENGINE_SCOPE_BYTES]);
bool engine_set_scope(struct engine_ctx *, const struct config *, const uint8_t before[static ENGINE_SCOPE_BYTES]);
bool engine_scope_peer(const struct engine_ctx *, const char *peer, uint8_t out[static ENGINE_SCOPE_BYTES]);	/* one peer's place in it */

/* engine_openssl_session.c */
bool engine_sessions_start(struct engine_ctx *, const struct config *, struct engine_report *);	/* false = out of memory */
void engine_sessions_free(struct engine_sessions *);	/* NULL is allowed */
void engine_session_offer(struct engine *);	/* the handshake begins */
int64_t engine_session_until(const struct engine *);	/* time(2) from which on sessions of this connection may not spare a verification */
void engine_session_made(struct engine *);	/* the handshake is done and the peer accepted */

/* engine_openssl_direct.c: for an engine with records, inside the guard; results as those of engine.h */
void engine_direct_start(struct engine *);	/* the handshake is done: go on without ssl where that can be */
void engine_direct_free(struct engine *);
bool engine_direct_wants(const struct engine *);	/* nothing is to be had without more ciphertext */
enum engine_result engine_direct_recv(struct engine *, uint8_t *buf, size_t len, size_t *n);
enum engine_result engine_direct_send(struct engine *, const uint8_t *buf, size_t len);
enum engine_result engine_direct_close(struct engine *);
int engine_direct_export(const struct engine *, struct engine_records *);

/* engine_openssl_failure.c */
void engine_mnemonic(unsigned long code, char *buf, size_t size);	/* "KEY_VALUES_MISMATCH"; "" for 0 */
enum engine_result engine_failure(struct engine *);		/* the queue tells of a failure: classify, remember, return it */

/* engine_openssl_wipe.c */
void engine_wipe_start(void);		/* before OpenSSL allocates anything */
void engine_wipe_enter(void);		/* what this thread has OpenSSL free from now on is wiped, until */
void engine_wipe_leave(void);

/*
 * engine_openssl_derive.c: OpenSSL's HMAC, set up for a digest and to be keyed anew by each use; RFC 8446, 7.1: HKDF-Expand-Label
 * (its label begins with "tls13 "), and the same with an empty context, where the secret's length tells the hash (lib NULL = the
 * default one, its label without "tls13 ").
 */
EVP_MAC_CTX *engine_hmac_new(OSSL_LIB_CTX *lib, const char *digest);	/* NULL = it cannot be had */
bool engine_hmac(EVP_MAC_CTX *, struct engine_bytes key, struct engine_bytes data, uint8_t *out);
bool engine_expand(EVP_MAC_CTX *, struct engine_bytes secret, struct engine_bytes label, struct engine_bytes context, uint8_t *out, size_t len);
bool engine_expand_label(OSSL_LIB_CTX *lib, const uint8_t *secret, size_t secret_len, const char *label, uint8_t *out, size_t len);

/*
 * engine_openssl_schedule.c: what libssl asks of its library context when it derives TLS 1.3's keys, answered by us. start: from
 * now on; false = it cannot be had.  watch: the traffic keys that this thread derives from now on are this engine's; NULL =
 * nobody's.
 */
bool engine_schedule_start(OSSL_LIB_CTX *);
void engine_schedule_watch(struct engine *);

/* engine_openssl_record.c */
BIO_METHOD *engine_wire_method(void);
bool engine_release_tickets(struct engine *);	/* into wire->out; false = out of memory */
bool engine_wire_reserve(struct engine_wire *, size_t room);
size_t engine_overhead_of(const SSL *);
void engine_watch(int sent, int version, int type, const void *buf, size_t len, SSL *, void *arg);

#endif
