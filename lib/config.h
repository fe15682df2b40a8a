/*
 * config.h - the settings of connections: what a rule of the policy, or a context of the explicit API, says.
 *
 * A config is built by one thread, sealed, and immutable from then on; sealed ones are shared and counted.  It knows no TLS library:
 * the engine makes its own object of it when it is sealed.
 */
#ifndef WRAPSOCK_CONFIG_H
#define WRAPSOCK_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum config_role { CONFIG_CLIENT, CONFIG_SERVER };
enum config_cert_reqs { CONFIG_CERT_NONE, CONFIG_CERT_OPTIONAL, CONFIG_CERT_REQUIRED };	/* Python's values */

enum config_sessions { CONFIG_SESSIONS_NONE, CONFIG_SESSIONS_MEMORY, CONFIG_SESSIONS_FILE };
enum config_crl_check { CONFIG_CRL_NONE, CONFIG_CRL_LEAF, CONFIG_CRL_CHAIN };

struct config_command {			/* openssl.NAME = value, handed to SSL_CONF_cmd */
	char *name, *value;
};

struct config {
	/* All strings are owned, NULL = not set. Zero-filled + config_init() = the defaults of a policy rule. */
	enum config_role role;
	enum config_cert_reqs cert_reqs;
	bool check_hostname;
	bool insecure;			/* permits clients without verification or name check, versions below TLS 1.2, NULL and anonymous suites */
	bool do_handshake_on_connect;
	bool suppress_ragged_eofs;
	bool strict_keys;		/* a key file readable by group or others is an error, not a warning */
	char *ca_certs;			/* file, or the word "system" */
	char *capath;
	char *crlfile;			/* PEM file of CRLs; capath may hold others */
	enum config_crl_check crl_check;	/* CONFIG_CRL_NONE with crlfile becomes CHAIN when sealed */
	char *pin;			/* comma-separated sha256:BASE64 of public keys, of which the verified chain must have one */
	char *allow;			/* comma-separated uri=, dns=, cn=, email=, of which the peer's certificate must have one */
	char *certfile, *keyfile;	/* PEM files or OpenSSL store URIs; keyfile NULL = in certfile */
	char *password_file;		/* first line of it opens an encrypted key; without: never asks */
	char *server_hostname;		/* overrides the name that the program resolved; for SNI and verification */
	char *ciphers;			/* TLS 1.2 and older */
	char *ciphersuites;		/* TLS 1.3 */
	char *groups;
	char *alpn_protocols;		/* comma-separated */
	char *options;			/* comma-separated OP_ names of Python's ssl */
	char *ticket_keys;		/* a server's: the file of keys that its tickets are sealed with; NULL = keys of the config's own */
	enum config_sessions session_cache;	/* a client's: where it keeps what it resumes with */
	int minimum_version, maximum_version;	/* 0x0301 .. 0x0304; 0 = library's own bound */
	long handshake_timeout_ms;	/* 0 = none */
	struct config_command *commands;
	size_t ncommands;

	/* The explicit API's own; config_new has the defaults of a policy rule. */
	bool unverified;		/* permits cert_reqs = none / no name check on a client, and no more */
	bool options_exact;		/* options are all that is on, not added to the defaults */
	bool common_name;		/* a certificate without SAN is matched by its common name */
	int security_level;		/* -1 = the engine's own choice */
	int tickets;			/* TLS 1.3, of a server; -1 = the engine's own choice */
	unsigned long verify_flags;	/* X509_V_FLAG_ bits */
	int (*password)(char *buf, int size, void *arg);	/* outranks password_file; NULL = none */
	void *password_arg;
	void *trust, *credentials;	/* the engine's, counted: loaded before, instead of the files above; NULL = none */

	const char *place;		/* "rule cache (/etc/wrapsock/policy.conf:4)", for log lines; owned */
	_Atomic int refs;
	void *engine;			/* the engine's context, made by config_seal */
};

/* Never fails for a role; NULL = out of memory. */
struct config *config_new(enum config_role role);

/*
 * Set one key to a value in the machine form of policy.h's settings.  Keys that the core does not use (route, follow_exec, core_dumps) are
 * accepted and ignored.  0, or -1 with a sentence in err.
 */
int config_set(struct config *, const char *key, const char *value, char *err, size_t errsize);
int config_set_place(struct config *, const char *place);

/*
 * Check the whole and load every file into the engine's context.  0, or -1 with a sentence in err naming the file and the cause
 * ("certfile /etc/x.pem: No such file or directory"); the config can then only be freed.  warn receives non-fatal remarks ("" =
 * none).
 */
int config_seal(struct config *, char *err, size_t errsize, char *warn, size_t warnsize);

/*
 * Every setting that tells one config from another, each with a value; openssl.NAME gives two. Files are told apart by the second
 * function, by key and path, and place by neither.
 */
typedef void (*config_tell)(void *arg, const char *key, const char *value);
void config_describe(const struct config *, config_tell, void *arg);
void config_describe_files(const struct config *, config_tell, void *arg);

/* Unsealed, for that role, sharing trust and credentials. NULL = out of memory. */
struct config *config_copy(const struct config *, enum config_role);
struct config *config_ref(struct config *);
void config_free(struct config *);	/* drops one reference; NULL is allowed */

#endif
