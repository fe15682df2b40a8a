/*
 * config.c - settings by name, checked as a whole, then sealed.
 */
#include "config.h"
#include "text.h"

#include "engine.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum key_type {
	KEY_STRING,
	KEY_FILE,	/* a string, too */
	KEY_BOOL,
	KEY_REQS,
	KEY_CRL,
	KEY_SESSIONS,
	KEY_VERSION,
	KEY_PROTOCOL,	/* ssl_version: sets both bounds */
	KEY_MILLISECONDS,
	KEY_IGNORED	/* somebody else's */
};

#define AT(member) offsetof(struct config, member)

static const struct key {
	const char *name;
	enum key_type type;
	size_t offset;
} keys[] = {
	{"allow", KEY_STRING, AT(allow)},
	{"alpn_protocols", KEY_STRING, AT(alpn_protocols)},
	{"ca_certs", KEY_FILE, AT(ca_certs)},
	{"capath", KEY_FILE, AT(capath)},
	{"cert_reqs", KEY_REQS, AT(cert_reqs)},
	{"certfile", KEY_FILE, AT(certfile)},
	{"check_hostname", KEY_BOOL, AT(check_hostname)},
	{"ciphers", KEY_STRING, AT(ciphers)},
	{"ciphersuites", KEY_STRING, AT(ciphersuites)},
	{"crl_check", KEY_CRL, AT(crl_check)},
	{"core_dumps", KEY_IGNORED, 0},
	{"crlfile", KEY_FILE, AT(crlfile)},
	{"do_handshake_on_connect", KEY_BOOL, AT(do_handshake_on_connect)},
	{"follow_exec", KEY_IGNORED, 0},
	{"groups", KEY_STRING, AT(groups)},
	{"handshake_timeout", KEY_MILLISECONDS, AT(handshake_timeout_ms)},
	{"insecure", KEY_BOOL, AT(insecure)},
	{"keyfile", KEY_FILE, AT(keyfile)},
	{"maximum_version", KEY_VERSION, AT(maximum_version)},
	{"minimum_version", KEY_VERSION, AT(minimum_version)},
	{"options", KEY_STRING, AT(options)},
	{"password_file", KEY_FILE, AT(password_file)},
	{"pin", KEY_STRING, AT(pin)},
	{"route", KEY_IGNORED, 0},
	{"server_hostname", KEY_STRING, AT(server_hostname)},
	{"session_cache", KEY_SESSIONS, AT(session_cache)},
	{"ssl_version", KEY_PROTOCOL, 0},
	{"strict_keys", KEY_BOOL, AT(strict_keys)},
	{"suppress_ragged_eofs", KEY_BOOL, AT(suppress_ragged_eofs)},
	{"ticket_keys", KEY_FILE, AT(ticket_keys)},
};

/* Commands of SSL_CONF_cmd that say what a key of ours says. */
static const struct {
	const char *command, *key;
} taken[] = {
	{"CipherString", "ciphers"},
	{"Ciphersuites", "ciphersuites"},
	{"Groups", "groups"},
	{"Curves", "groups"},
	{"MinProtocol", "minimum_version"},
	{"MaxProtocol", "maximum_version"},
	{"Protocol", "minimum_version and maximum_version"},
	{"Options", "options"},
	{"Certificate", "certfile"},
	{"PrivateKey", "keyfile"},
	{"VerifyMode", "cert_reqs"},
	{"VerifyCAFile", "ca_certs"},
	{"VerifyCAPath", "capath"},
	{"VerifyCAStore", "ca_certs"},
};

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

static const char openssl_prefix[] = "openssl.";

static bool
is_string(const struct key *k)
{
	return k->type == KEY_STRING || k->type == KEY_FILE;
}

static int say(char *err, size_t errsize, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

static int
say(char *err, size_t errsize, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	if (errsize > 0)
		vsnprintf(err, errsize, fmt, ap);
	va_end(ap);
	return -1;
}

/* ---- values ---- */

static int
parse_bool(const char *value, bool *out)
{
	bool yes = strcasecmp(value, "yes") == 0;

	if (!yes && strcasecmp(value, "no") != 0)
		return -1;
	*out = yes;
	return 0;
}

static const char *const reqs[] = {"none", "optional", "required"}, *const crl_checks[] = {"none", "leaf", "chain"},
	*const sessions[] = {"none", "memory", "file"};

/* out: an enum whose values are the places of three words. */
static int
parse_word(const char *value, const char *const words[static 3], void *out)
{
	for (unsigned i = 0; i < 3; i++)
		if (strcasecmp(value, words[i]) == 0) {
			memcpy(out, &i, sizeof(i));
			return 0;
		}
	return -1;
}
_Static_assert(sizeof(enum config_cert_reqs) == sizeof(unsigned) && sizeof(enum config_crl_check) == sizeof(unsigned)
	       && sizeof(enum config_sessions) == sizeof(unsigned), "enums are unsigned numbers");

static const struct {
	const char *name;
	int number;
} versions[] = {
	{"TLSv1", 0x0301},   {"TLSv1.0", 0x0301}, {"TLSv1_0", 0x0301}, {"TLSv1.1", 0x0302}, {"TLSv1_1", 0x0302},
	{"TLSv1.2", 0x0303}, {"TLSv1_2", 0x0303}, {"TLSv1.3", 0x0304}, {"TLSv1_3", 0x0304},
};

static int
parse_version(const char *value, int *out)
{
	for (size_t i = 0; i < COUNT(versions); i++)
		if (strcasecmp(value, versions[i].name) == 0) {
			*out = versions[i].number;
			return 0;
		}
	return -1;
}

/* "Negotiate" under any of its names leaves the bounds alone. */
static int
parse_protocol(struct config *c, const char *value)
{
	static const char *const negotiate[] = {"TLS", "TLS_CLIENT", "TLS_SERVER", "SSLv23"};
	int version;

	if (strncasecmp(value, "PROTOCOL_", 9) == 0)	/* Python's constants */
		value += 9;
	for (size_t i = 0; i < COUNT(negotiate); i++)
		if (strcasecmp(value, negotiate[i]) == 0)
			return 0;
	if (parse_version(value, &version) < 0)
		return -1;
	c->minimum_version = c->maximum_version = version;
	return 0;
}

static int
parse_milliseconds(const char *value, long *out)
{
	char *end;
	int saved = errno;
	long n;

	errno = 0;
	n = strtol(value, &end, 10);
	if (errno != 0 || end == value || *end != '\0' || value[0] < '0' || value[0] > '9')
		n = -1;
	errno = saved;
	if (n < 0)
		return -1;
	*out = n;
	return 0;
}

static int
set_string(char **at, const char *value, char *err, size_t errsize)
{
	char *copy = NULL;

	if (value[0] != '\0' && !(copy = text_copy(value)))
		return say(err, errsize, "out of memory");
	free(*at);
	*at = copy;
	return 0;
}

static int
expected(const struct key *k, const char *value, char *err, size_t errsize)
{
	static const char *const forms[] = {
		[KEY_BOOL] = "yes or no",
		[KEY_REQS] = "none, optional or required",
		[KEY_CRL] = "none, leaf or chain",
		[KEY_SESSIONS] = "none, memory or file",
		[KEY_VERSION] = "TLSv1, TLSv1.1, TLSv1.2 or TLSv1.3",
		[KEY_PROTOCOL] = "PROTOCOL_TLS, PROTOCOL_TLSv1, PROTOCOL_TLSv1_1 or PROTOCOL_TLSv1_2",
		[KEY_MILLISECONDS] = "a number of milliseconds",
	};

	return say(err, errsize, "%s = %s: expected %s", k->name, value, forms[k->type]);
}

static int
set_value(struct config *c, const struct key *k, const char *value)
{
	void *at = (char *)c + k->offset;

	switch (k->type) {
	case KEY_BOOL:
		return parse_bool(value, at);
	case KEY_REQS:
		return parse_word(value, reqs, at);
	case KEY_CRL:
		return parse_word(value, crl_checks, at);
	case KEY_SESSIONS:
		return parse_word(value, sessions, at);
	case KEY_VERSION:
		return parse_version(value, at);
	case KEY_PROTOCOL:
		return parse_protocol(c, value);
	case KEY_MILLISECONDS:
		return parse_milliseconds(value, at);
	case KEY_STRING:
	case KEY_FILE:
	case KEY_IGNORED:
		break;
	}
	return 0;
}

static int
add_command(struct config *c, const char *name, const char *value, char *err, size_t errsize)
{
	struct config_command *more;

	if (name[0] == '\0')
		return say(err, errsize, "openssl.: expected the name of a command behind the dot");
	for (size_t i = 0; i < COUNT(taken); i++)
		if (strcasecmp(name, taken[i].command) == 0)
			return say(err, errsize, "openssl.%s: expected %s, which says the same", name, taken[i].key);
	more = realloc(c->commands, (c->ncommands + 1) * sizeof(*more));
	if (!more)
		return say(err, errsize, "out of memory");
	c->commands = more;
	more += c->ncommands;
	more->name = text_copy(name);
	more->value = text_copy(value);
	if (more->name && more->value) {
		c->ncommands++;
		return 0;
	}
	free(more->name);
	free(more->value);
	return say(err, errsize, "out of memory");
}

/* ---- building ---- */

struct config *
config_new(enum config_role role)
{
	struct config *c = calloc(1, sizeof(*c));
	bool client = role == CONFIG_CLIENT;

	if (!c)
		return NULL;
	c->role = role;
	c->cert_reqs = client ? CONFIG_CERT_REQUIRED : CONFIG_CERT_NONE;
	c->check_hostname = client;
	c->do_handshake_on_connect = client;
	c->minimum_version = 0x0303;
	c->handshake_timeout_ms = 30000;
	c->session_cache = CONFIG_SESSIONS_MEMORY;
	c->security_level = c->tickets = -1;
	c->verify_flags = engine_verify_defaults();
	atomic_init(&c->refs, 1);
	if (!client || (c->ca_certs = text_copy("system")))
		return c;
	free(c);
	return NULL;
}

int
config_set(struct config *c, const char *key, const char *value, char *err, size_t errsize)
{
	const size_t prefix = sizeof(openssl_prefix) - 1;

	if (c->engine)
		return say(err, errsize, "%s: the settings are sealed", key);
	if (strncmp(key, openssl_prefix, prefix) == 0)
		return add_command(c, key + prefix, value, err, errsize);
	for (size_t i = 0; i < COUNT(keys); i++) {
		if (strcmp(key, keys[i].name) != 0)
			continue;
		if (is_string(&keys[i]))
			return set_string((char **)(void *)((char *)c + keys[i].offset), value, err, errsize);
		return set_value(c, &keys[i], value) == 0 ? 0 : expected(&keys[i], value, err, errsize);
	}
	return say(err, errsize, "%s: no such key", key);
}

int
config_set_place(struct config *c, const char *place)
{
	char *copy = place ? text_copy(place) : NULL;

	if (place && !copy)
		return -1;
	free((void *)(uintptr_t)c->place);
	c->place = copy;
	return 0;
}

/* ---- sealing ---- */

static int
check_insecure(const struct config *c, char *err, size_t errsize)
{
	if (c->insecure)
		return 0;
	if (c->role == CONFIG_CLIENT && c->cert_reqs == CONFIG_CERT_NONE && !c->unverified)
		return say(err, errsize, "cert_reqs = none on a client needs insecure = yes");
	if (c->role == CONFIG_CLIENT && !c->check_hostname && !c->unverified)
		return say(err, errsize, "check_hostname = no on a client needs insecure = yes");
	if (c->minimum_version != 0 && c->minimum_version < 0x0303)
		return say(err, errsize, "minimum_version below TLSv1.2 needs insecure = yes");
	if (c->maximum_version != 0 && c->maximum_version < 0x0303)
		return say(err, errsize, "maximum_version below TLSv1.2 needs insecure = yes and a minimum_version to match");
	return 0;
}

/* What is judged of a certificate must not be passed by showing none, nor by showing one that nobody verifies. */
static int
check_judgements(struct config *c, char *err, size_t errsize)
{
	bool alone = c->role == CONFIG_CLIENT && c->cert_reqs == CONFIG_CERT_NONE;

	if (c->crlfile && c->crl_check == CONFIG_CRL_NONE)
		c->crl_check = CONFIG_CRL_CHAIN;
	if (c->crl_check != CONFIG_CRL_NONE && !c->crlfile && !c->capath)
		return say(err, errsize, "crl_check = %s needs crlfile, or capath with CRLs in it", crl_checks[c->crl_check]);
	if (c->crl_check != CONFIG_CRL_NONE && c->cert_reqs == CONFIG_CERT_NONE)
		return say(err, errsize, "%s: needs cert_reqs = required or optional: nothing is verified", c->crlfile ? "crlfile" : "crl_check");
	if (c->pin && c->cert_reqs != CONFIG_CERT_REQUIRED && !alone)
		return say(err, errsize, "pin: needs cert_reqs = required");
	if (c->allow && c->cert_reqs != CONFIG_CERT_REQUIRED)
		return say(err, errsize, "allow: needs cert_reqs = required");
	return 0;
}

static int
check_whole(struct config *c, char *err, size_t errsize)
{
	if (check_insecure(c, err, errsize) < 0 || check_judgements(c, err, errsize) < 0)
		return -1;
	if (c->maximum_version != 0 && c->maximum_version < c->minimum_version)
		return say(err, errsize, "maximum_version is below minimum_version");
	if (c->cert_reqs != CONFIG_CERT_NONE && !c->ca_certs && !c->capath && !c->trust)
		return say(err, errsize, "cert_reqs = %s needs ca_certs or capath", reqs[c->cert_reqs]);
	if (c->keyfile && !c->certfile)
		return say(err, errsize, "keyfile %s: needs certfile, which names its certificate", c->keyfile);
	if (c->role == CONFIG_SERVER && !c->certfile && !(c->insecure && c->ciphers))
		return say(err, errsize, "certfile: a server needs a certificate");
	return 0;
}

int
config_seal(struct config *c, char *err, size_t errsize, char *warn, size_t warnsize)
{
	if (errsize > 0)
		err[0] = '\0';
	if (warnsize > 0)
		warn[0] = '\0';
	if (c->engine)
		return 0;
	if (check_whole(c, err, errsize) < 0)
		return -1;
	c->engine = engine_ctx_new(c, err, errsize, warn, warnsize);
	return c->engine ? 0 : -1;
}

/* ---- telling configs apart ---- */

static long
number_of(const struct config *c, const struct key *k)
{
	const void *at = (const char *)c + k->offset;
	unsigned word;

	switch (k->type) {
	case KEY_BOOL:
		return *(const bool *)at;
	case KEY_REQS:
	case KEY_CRL:
	case KEY_SESSIONS:
		memcpy(&word, at, sizeof(word));
		return (long)word;
	case KEY_VERSION:
		return *(const int *)at;
	case KEY_MILLISECONDS:
		return *(const long *)at;
	case KEY_STRING:
	case KEY_FILE:
	case KEY_PROTOCOL:	/* said by both bounds */
	case KEY_IGNORED:
		break;
	}
	return 0;
}

static void
describe_key(const struct config *c, const struct key *k, config_tell tell, void *arg)
{
	const char *const *string = (const void *)((const char *)c + k->offset);
	char text[80];

	if (k->type == KEY_FILE || k->type == KEY_PROTOCOL || k->type == KEY_IGNORED)
		return;
	if (k->type == KEY_STRING) {
		tell(arg, k->name, *string ? *string : "");
		return;
	}
	snprintf(text, sizeof(text), "%ld", number_of(c, k));
	tell(arg, k->name, text);
}

void
config_describe(const struct config *c, config_tell tell, void *arg)
{
	char text[120];

	for (size_t i = 0; i < COUNT(keys); i++)
		describe_key(c, &keys[i], tell, arg);
	for (size_t i = 0; i < c->ncommands; i++) {
		tell(arg, openssl_prefix, c->commands[i].name);
		tell(arg, openssl_prefix, c->commands[i].value);
	}
	snprintf(text, sizeof(text), "%d %d %d %d %d %lx", c->role, c->unverified, c->options_exact, c->common_name, c->security_level,
		 c->verify_flags);
	tell(arg, "", text);
}

void
config_describe_files(const struct config *c, config_tell tell, void *arg)
{
	for (size_t i = 0; i < COUNT(keys); i++) {
		const char *const *path = (const void *)((const char *)c + keys[i].offset);

		if (keys[i].type == KEY_FILE && *path)
			tell(arg, keys[i].name, *path);
	}
}

struct config *
config_copy(const struct config *from, enum config_role role)
{
	struct config *c = malloc(sizeof(*c));
	bool whole = true;

	if (!c)
		return NULL;
	*c = *from;
	c->role = role;
	c->engine = NULL;
	c->place = NULL;
	c->commands = NULL;
	c->ncommands = 0;
	atomic_init(&c->refs, 1);
	engine_trust_ref(c->trust);
	engine_credentials_ref(c->credentials);
	for (size_t i = 0; i < COUNT(keys); i++) {
		char **at = (char **)(void *)((char *)c + keys[i].offset);

		if (is_string(&keys[i]) && *at && !(*at = text_copy(*at)))
			whole = false;
	}
	if (whole)
		return c;
	config_free(c);
	return NULL;
}

struct config *
config_ref(struct config *c)
{
	atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
	return c;
}

void
config_free(struct config *c)
{
	if (!c || atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) > 1)
		return;
	engine_ctx_free(c->engine);
	engine_trust_free(c->trust);
	engine_credentials_free(c->credentials);
	for (size_t i = 0; i < COUNT(keys); i++)
		if (is_string(&keys[i]))
			free(*(char **)(void *)((char *)c + keys[i].offset));
	for (size_t i = 0; i < c->ncommands; i++) {
		free(c->commands[i].name);
		free(c->commands[i].value);
	}
	free(c->commands);
	free((void *)(uintptr_t)c->place);
	free(c);
}
