/*
 * engine.h - the seam behind which a TLS library lives.
 *
 * The engine never touches a descriptor and never blocks: ciphertext goes in and out through the two buffers of struct engine_wire, which
 * the connection core fills from and empties to the wire.  Calls for one engine object are serialised by its caller; different objects
 * may be used by different threads.  Whoever allocates frees: what an engine function returns is freed by an engine function.
 * errno and the TLS library's error queue are as found on return.
 */
#ifndef WRAPSOCK_ENGINE_H
#define WRAPSOCK_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct config;
struct wrapsock_cert;

enum engine_result {
	ENGINE_DONE,		/* it is done; for recv: *n > 0 bytes of plaintext */
	ENGINE_WANT_READ,	/* more ciphertext is needed in wire->in */
	ENGINE_CLOSED,		/* close_notify received: clean end of stream */
	ENGINE_VERIFY,		/* the peer's certificate was refused by us; engine_verify_kind says how */
	ENGINE_PROTOCOL,	/* the TLS protocol failed, or the peer sent a fatal alert */
	ENGINE_NOMEM,
	ENGINE_DEAD		/* the TLS library has been shut down by the process (OPENSSL_cleanup) */
};

enum engine_verify_kind { ENGINE_VERIFY_REJECTED, ENGINE_VERIFY_EXPIRED, ENGINE_VERIFY_REVOKED };

/*
 * Ciphertext on its way. `in` is consumed from in_off, and what is consumed may be overwritten; `out` is appended to and grown with
 * realloc by the engine.
 */
struct engine_wire {
	const uint8_t *in;
	size_t in_off, in_len;
	uint8_t *out;
	size_t out_len, out_cap;
};

struct engine_info {			/* pointers live as long as the engine object */
	const char *version;		/* "TLSv1.3"; NULL before the handshake is done */
	const char *cipher;
	const char *suite_version;	/* the protocol that defines the cipher */
	int secret_bits;
	const char *alpn;		/* NULL = none */
	bool resumed;
	bool peer_cert;			/* the peer sent a certificate */
	bool validated;			/* ... and it was verified on this connection */
};

/*
 * Record state for a continuation outside the TLS library: everything needed to decrypt the peer's next record and to encrypt ours.
 * Directions: [0] = what we read, [1] = what we write.
 */
enum engine_aead { ENGINE_GCM, ENGINE_CCM, ENGINE_CHACHA20 };

struct engine_records {
	int version;			/* 0x0303 or 0x0304 */
	uint16_t suite;			/* IANA number */
	enum engine_aead aead;		/* ... and what it means */
	size_t tag_len;
	struct {
		uint8_t secret[64];	/* TLS 1.3: traffic secret; unused for TLS 1.2 */
		size_t secret_len;
		uint8_t key[32];	/* key and IV of the AEAD, derived */
		size_t key_len;
		uint8_t iv[12];		/* TLS 1.3 / ChaCha20: 12 bytes; TLS 1.2 GCM/CCM: 4 bytes of salt */
		size_t iv_len;
		uint64_t sequence;	/* of the next record */
	} dir[2];
};

struct engine;		/* one connection's TLS state */

/* ctx: settings -> the library's context. err gets a sentence that names the file and the cause. warn: non-fatal remarks, "" if none. */
void *engine_ctx_new(const struct config *, char *err, size_t errsize, char *warn, size_t warnsize);
void engine_ctx_free(void *ctx);

/* Why a setting was refused, and what kind of fault it is. */
enum engine_fault { ENGINE_FAULT_VALUE, ENGINE_FAULT_FILE, ENGINE_FAULT_CONTENT, ENGINE_FAULT_CIPHER, ENGINE_FAULT_KEY, ENGINE_FAULT_NOMEM };
struct engine_refusal {
	enum engine_fault fault;
	int error;			/* errno value of ENGINE_FAULT_FILE */
	char text[512], reason[96];	/* a sentence; OpenSSL's mnemonic, "" = none */
};

/* Would a context be made of these settings, credentials and trust apart? 0, or -1. */
int engine_check(const struct config *, struct engine_refusal *);
unsigned long engine_verify_defaults(void);
bool engine_name_usable(const char *name);	/* an address, or a name that can be sent and verified */

/*
 * Certificate, chain and key of config's certfile and keyfile (with its password), or, if given, of PEM in memory (key: bytes NULL = in
 * cert). Counted; NULL: see the refusal.
 */
struct engine_bytes {
	const void *bytes;
	size_t len;
};
void *engine_credentials_new(const struct config *, const struct engine_bytes *cert, const struct engine_bytes *key, struct engine_refusal *);
void engine_credentials_ref(void *);	/* NULL is allowed, here and below */
void engine_credentials_free(void *);

/* Authorities, empty at first. add: all or nothing: 0, or -1. */
struct engine_authorities {
	struct engine_bytes memory;	/* PEM or DER; if not given: */
	const char *cafile, *capath;	/* one or both; if neither: the system's */
};
void *engine_trust_new(void);
int engine_trust_add(void *, const struct engine_authorities *, struct engine_refusal *);
size_t engine_trust_count(const void *);
bool engine_trust_empty(const void *);	/* nothing was loaded, or the system has nothing */
void engine_trust_ref(void *);
void engine_trust_free(void *);

bool engine_start(void);		/* load it now; false = it cannot be used */
bool engine_alive(void);		/* false after the process has shut the library down */
const char *engine_library_version(void);
unsigned long engine_library_number(void);	/* 0x30000160 = 3.0.22 */
bool engine_speaks(int version);		/* SSL 3.0 (0x0300) to TLS 1.3 (0x0304): is it built in? Costs a context. */

/* Where it looks for authorities unless told otherwise, and the environment variables that outrank that. */
struct engine_paths {
	const char *cafile_env, *cafile, *capath_env, *capath;
};
void engine_default_paths(struct engine_paths *);

/* Random numbers. false = the generator failed, or the library has been shut down. */
bool engine_rand_status(void);
bool engine_rand_add(const void *bytes, size_t len);	/* mixes them in; they count as no entropy */
bool engine_rand_bytes(void *buf, size_t len);

/*
 * One connection. config is sealed and outlives it. name: what is sent as SNI and verified (an IP address literal is verified as IP
 * SAN and not sent); NULL = no name. wire must stay where it is.  NULL = out of memory.
 */
struct engine *engine_new(const struct config *, const char *name, struct engine_wire *wire);
/*
 * Before a client's handshake: let it resume a session of an earlier connection of this config to the same name and service (a
 * port, or ""), if one is kept, and keep this connection's for those to come.  Nothing on servers, and where session_cache or
 * OP_NO_TICKET among the options say so.
 */
void engine_resume(struct engine *, const char *name, const char *service);
/* Something beside the connection that deserves a line, told once. false = nothing. */
bool engine_warning(struct engine *, char *buf, size_t size);
void engine_free(struct engine *);	/* frees without a word to the peer, wipes secrets; NULL is allowed */

enum engine_result engine_handshake(struct engine *);	/* drive it; DONE when finished; a failure leaves the alert in wire->out */
/*
 * One or more records into buf, at most len (> 0) bytes: DONE and *n, as long as whole records are in wire->in. Handles tickets and
 * key updates.
 */
enum engine_result engine_recv(struct engine *, void *buf, size_t len, size_t *n);
size_t engine_pending(const struct engine *);		/* decrypted bytes that engine_recv would give without more ciphertext */
/* Exactly one record of len (1 .. 16384) bytes appended to wire->out, a server's first one preceded by its session tickets. */
enum engine_result engine_send(struct engine *, const void *buf, size_t len);
enum engine_result engine_close_notify(struct engine *);	/* appended to wire->out; once, later calls do nothing */

struct engine_info engine_info(const struct engine *);
size_t engine_overhead(const struct engine *);	/* a record's body is longer than its data by this, at least; once the handshake is done */
/* The failure just reported: stable one-line sentence, and OpenSSL's reason mnemonic. Valid until the next call for this object. */
const char *engine_error(const struct engine *);
const char *engine_reason(const struct engine *);
long engine_verify_code(const struct engine *);		/* X509_V_ERR_ number, 0 = none */
const char *engine_verify_text(long code);		/* OpenSSL's words for it; static */
enum engine_verify_kind engine_verify_kind(const struct engine *);
const char *engine_hint(const struct engine *);		/* the policy key that would cure it, or NULL */
/* The peer certificate for a log line: subject and names (SAN) it offers, escaped and bounded. "" if none. */
void engine_peer_names(const struct engine *, char *subject, size_t ssize, char *names, size_t nsize);

/*
 * Certificate i of the peer's, as its DER, once the handshake is done: 1 and *der, malloc'ed, for the caller to free; 0 = there is
 * none; -1 = out of memory.  ENGINE_CHAIN_VERIFIED goes from the leaf to the root that was trusted, and is empty where nothing was
 * verified on this connection.
 */
enum engine_chain { ENGINE_CHAIN_LEAF, ENGINE_CHAIN_SENT, ENGINE_CHAIN_VERIFIED };
int engine_peer_der(const struct engine *, enum engine_chain, size_t i, uint8_t **der, size_t *len);
/* DER into an empty certificate object (cert.h). 0, or -1: *error is EPROTO, ENOMEM or ELIBACC, err has the sentence. */
int engine_cert_decode(struct wrapsock_cert *, const uint8_t *der, size_t len, int *error, char *err, size_t errsize);

/*
 * What is known of the certificate that a failure is about, for its log line: what was expected beyond the name, subject, names, the pin to
 * paste, issuer, validity, where in the chain the fault is, whom we trust.  Begins with "; ", escaped, ends with "..." where size ends.
 */
void engine_details(const struct engine *, char *buf, size_t size);

/* 0, or -1 if this connection's suite or version cannot be continued (CBC, ARIA, older than TLS 1.2, handshake not done). */
int engine_export_records(const struct engine *, struct engine_records *);

#endif
