/*
 * rule.h - what a parsed policy is made of. Private to policy/.
 *
 * Everything hangs in the policy's arena and goes with it; nothing changes once policy_parse has returned.
 */
#ifndef WRAPSOCK_POLICY_RULE_H
#define WRAPSOCK_POLICY_RULE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "policy.h"

#pragma GCC visibility push(hidden)

enum {
	POLICY_LINE_MAX = 4096,		/* bytes, without the line's end */
	POLICY_RULES_MAX = 1024,
	POLICY_NAME_MAX = 64,		/* of a rule */
	POLICY_HOST_MAX = 253		/* RFC 1035 without the root's dot */
};

/* In the order in which they are printed. */
enum policy_key_id {
	POLICY_KEY_MATCH, POLICY_KEY_PROGRAM, POLICY_KEY_ACTION, POLICY_KEY_UNMATCHED, POLICY_KEY_SSL_VERSION, POLICY_KEY_CERT_REQS,
	POLICY_KEY_CA_CERTS, POLICY_KEY_CAPATH, POLICY_KEY_CRLFILE, POLICY_KEY_CRL_CHECK, POLICY_KEY_PIN, POLICY_KEY_ALLOW,
	POLICY_KEY_CERTFILE, POLICY_KEY_KEYFILE, POLICY_KEY_CIPHERS, POLICY_KEY_OPTIONS,
	POLICY_KEY_DO_HANDSHAKE_ON_CONNECT, POLICY_KEY_SUPPRESS_RAGGED_EOFS, POLICY_KEY_SERVER_HOSTNAME, POLICY_KEY_CHECK_HOSTNAME,
	POLICY_KEY_MINIMUM_VERSION, POLICY_KEY_MAXIMUM_VERSION, POLICY_KEY_CIPHERSUITES, POLICY_KEY_GROUPS,
	POLICY_KEY_ALPN_PROTOCOLS, POLICY_KEY_HANDSHAKE_TIMEOUT, POLICY_KEY_PASSWORD_FILE, POLICY_KEY_STRICT_KEYS,
	POLICY_KEY_TICKET_KEYS, POLICY_KEY_SESSION_CACHE, POLICY_KEY_ROUTE, POLICY_KEY_CORE_DUMPS, POLICY_KEY_FOLLOW_EXEC,
	POLICY_KEY_INSECURE, POLICY_KEY_OPENSSL, POLICY_KEYS
};

enum policy_value {
	POLICY_VALUE_WORD, POLICY_VALUE_WORDS, POLICY_VALUE_STRING, POLICY_VALUE_COLONS, POLICY_VALUE_LIST, POLICY_VALUE_FILE,
	POLICY_VALUE_STORE, POLICY_VALUE_TRUST, POLICY_VALUE_HOST, POLICY_VALUE_DURATION, POLICY_VALUE_PATTERNS,
	POLICY_VALUE_PROGRAMS, POLICY_VALUE_PINS, POLICY_VALUE_IDENTITIES
};

struct policy_word {
	const char *written;
	const char *means;		/* canonical spelling, NULL = refused */
	const char *why;		/* of a refusal */
};

enum {
	POLICY_KEY_IN_RULES = 1,	/* not in [defaults] */
	POLICY_KEY_IN_DEFAULTS = 2,	/* only in [defaults] */
	POLICY_KEY_OF_CLIENTS = 4,	/* has no meaning for a server */
	POLICY_KEY_OWN = 8,		/* a server rule does not take it from [defaults] */
	POLICY_KEY_OF_SERVERS = 16	/* has no meaning for a client */
};

struct policy_key {
	const char *name;
	enum policy_value value;
	unsigned flags;
	const struct policy_word *words;	/* of WORD and WORDS, ends with a NULL */
	const char *client, *server;		/* built-in defaults, machine form, NULL = not set */
};

/* An assignment as it stands in the text, its value already checked and in machine form. */
struct policy_entry {
	enum policy_key_id id;
	const char *name;		/* that of the key; openssl.Command in full */
	const char *value;
	unsigned line, column;		/* of the value */
	struct policy_entry *next;
};

struct policy_section {
	struct policy_entry *first, *last;
	unsigned line;
};

struct policy_address {
	int family;			/* AF_INET: the first four bytes */
	unsigned char bytes[16];
};

enum policy_host { POLICY_HOST_ANY, POLICY_HOST_BLOCK, POLICY_HOST_LOCAL, POLICY_HOST_NAME };

struct policy_pattern {
	enum policy_host host;
	struct policy_address address;	/* of a block */
	unsigned bits;
	const char *name;		/* lower case, perhaps a glob */
	uint16_t low, high;		/* ports */
};

struct policy_rule {
	enum policy_role role;
	enum policy_answer action;
	const char *name;
	struct policy_section section;	/* as written */
	struct policy_pattern *patterns;
	const char **programs;
	struct policy_setting *settings;
	size_t npatterns, nprograms, nsettings;
	int namesake;			/* while parsing: the rule before with this hash of role and name, as number + 1; 0 = none */
};

struct policy_block;

struct policy {
	struct policy_block *blocks;	/* arena */
	const char *path;
	const char *folder;		/* absolute, ends with a slash */
	struct policy_section defaults;
	struct policy_rule *rules;
	int nrules;
	bool refuse;			/* unmatched = refuse */
};

/* A part of a value: all of a scalar, one element of a list. */
struct policy_item {
	char *text;
	size_t len;
	unsigned column;
};

struct policy_reader {
	struct policy *policy;
	struct policy_error *err;
	const char *start, *end;	/* the line */
	unsigned line;
	struct policy_section *section;	/* NULL before the first one */
	struct policy_rule *rule;	/* NULL in [defaults] */
	int named[256];			/* by a hash of role and name: the last rule's number + 1 */
};

/* arena.c: zeroed memory that lives as long as the policy; NULL = none left */
void *policy_arena_take(struct policy *, size_t n, size_t size);
char *policy_arena_text(struct policy *, const char *text, size_t len);

/* error.c: all of them return -1 */
int policy_error_set(struct policy_error *, unsigned line, unsigned column, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
int policy_error_memory(struct policy_error *);
int policy_excerpt(const char *text, size_t len);	/* as much as a message may quote, for %.*s */

/* line.c */
int policy_line_check(const struct policy_reader *);
unsigned policy_line_column(const struct policy_reader *, const char *at);
bool policy_line_blank(char c);
bool policy_line_ends(const struct policy_reader *, const char *at);	/* end of line or a comment */
int policy_line_items(const struct policy_reader *, const char *at, bool list, struct policy_item **items, size_t *n);

/* keys.c */
extern const struct policy_key policy_keys[POLICY_KEYS];
const struct policy_key *policy_key_find(const char *name, size_t len);
const char *policy_key_nearest(const char *name, size_t len);	/* NULL = nothing near */
const char *policy_key_of_command(const char *command);	/* the key that an openssl command belongs to, NULL = none */
bool policy_same(const char *a, const char *b, size_t len);	/* b has len bytes; case ignored, - and _ alike */

/* value.c: the machine form of a value, NULL and an error if it is not one */
const char *policy_value_read(struct policy_reader *, const struct policy_key *, const struct policy_item *, size_t n);
bool policy_value_lists(const struct policy_key *);
unsigned policy_value_version(const char *version);	/* TLSv1 = 1 ... TLSv1.3 = 4, else 0 */

/* pattern.c */
int policy_pattern_read(struct policy_reader *, const struct policy_item *, struct policy_pattern *);
int policy_pattern_print(const struct policy_pattern *, char *buf, size_t size);	/* as snprintf */
int policy_host_check(struct policy_reader *, const struct policy_item *, char *host, size_t len, bool glob);

/* identity.c: the machine form of an element, NULL and an error if it is not one */
const char *policy_pin_read(struct policy_reader *, const struct policy_key *, const struct policy_item *);
const char *policy_identity_read(struct policy_reader *, const struct policy_key *, const struct policy_item *);

/* FNV-1a, in whichever order the caller has the bytes. */
static inline uint64_t
policy_hash(uint64_t hash, char c)
{
	return (hash ^ (unsigned char)c) * 0x100000001b3u;
}

/* glob.c: * ? [a-z], no character is special beside these */
bool policy_glob(const char *pattern, const char *text, size_t len);
bool policy_glob_valid(const char *pattern);

/* check.c */
int policy_check_rule(struct policy *, struct policy_rule *, struct policy_error *);

/* print.c: one line of it, for the bound on lines */
size_t policy_print_match(const struct policy_rule *, char *buf, size_t size);
size_t policy_print_program(const struct policy_rule *, char *buf, size_t size);
size_t policy_print_setting(const struct policy_setting *, char *buf, size_t size);

#pragma GCC visibility pop

#endif
