/*
 * engine_openssl_ctx.c - settings to an OpenSSL context.
 *
 * Every setting is made explicitly: a new context comes with whatever the host's openssl.cnf says for all of the system's programs.
 */
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/provider.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <openssl/store.h>
#include <openssl/ui.h>

#include "engine.h"
#include "engine_openssl.h"

enum { TICKETS = 2 };

#define SAY ENGINE_SAY

static const char default_groups[] = "X25519:P-256:X448:P-521:P-384:ffdhe2048:ffdhe3072:ffdhe4096";
static const char default_suites[] = "TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256";
/* Forward secrecy and AEAD: what can also be continued outside OpenSSL. */
static const char default_ciphers[] = "ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM:DHE+CHACHA20";
static const char legacy_ciphers[] = "DEFAULT";
#define SIGALGS "ECDSA+SHA256:ECDSA+SHA384:ECDSA+SHA512:ed25519:ed448:rsa_pss_pss_sha256:rsa_pss_pss_sha384:rsa_pss_pss_sha512:" \
	"rsa_pss_rsae_sha256:rsa_pss_rsae_sha384:rsa_pss_rsae_sha512:RSA+SHA256:RSA+SHA384:RSA+SHA512"
/* Not const: OpenSSL's macros would cast it away. */
static char plain_sigalgs[] = SIGALGS;
static char legacy_sigalgs[] = SIGALGS ":ECDSA+SHA224:RSA+SHA224:ECDSA+SHA1:RSA+SHA1";

/* ---- settings ---- */

static const struct option {
	const char *name;
	uint64_t bits;
} options[] = {
	{"OP_ALL", SSL_OP_ALL & ~SSL_OP_DONT_INSERT_EMPTY_FRAGMENTS},
	{"OP_NO_SSLv2", 0},
	{"OP_NO_SSLv3", SSL_OP_NO_SSLv3},
	{"OP_NO_TLSv1", SSL_OP_NO_TLSv1},
	{"OP_NO_TLSv1_1", SSL_OP_NO_TLSv1_1},
	{"OP_NO_TLSv1_2", SSL_OP_NO_TLSv1_2},
	{"OP_NO_TLSv1_3", SSL_OP_NO_TLSv1_3},
	{"OP_NO_TICKET", SSL_OP_NO_TICKET},
	{"OP_NO_COMPRESSION", SSL_OP_NO_COMPRESSION},
	{"OP_NO_RENEGOTIATION", SSL_OP_NO_RENEGOTIATION},
	{"OP_CIPHER_SERVER_PREFERENCE", SSL_OP_CIPHER_SERVER_PREFERENCE},
	{"OP_SINGLE_DH_USE", SSL_OP_SINGLE_DH_USE},
	{"OP_SINGLE_ECDH_USE", SSL_OP_SINGLE_ECDH_USE},
	{"OP_ENABLE_MIDDLEBOX_COMPAT", SSL_OP_ENABLE_MIDDLEBOX_COMPAT},
	{"OP_PRIORITIZE_CHACHA", SSL_OP_PRIORITIZE_CHACHA},
	{"OP_LEGACY_SERVER_CONNECT", SSL_OP_LEGACY_SERVER_CONNECT},
};
enum { NOPTIONS = sizeof(options) / sizeof(options[0]) };

static const uint64_t always_on = SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_SSLv3;

const char *
engine_list_next(const char **list, size_t *len)
{
	const char *s = *list + strspn(*list, " ,");

	*len = strcspn(s, ",");
	*list = s + *len;
	while (*len > 0 && s[*len - 1] == ' ')
		(*len)--;
	return *len > 0 ? s : NULL;
}

static int
say_unknown_option(const char *name, size_t len, struct engine_report *r)
{
	char known[512] = "";

	for (size_t i = 0; i < NOPTIONS; i++) {
		size_t at = strlen(known);

		engine_say(known + at, sizeof(known) - at, "%s%s", at ? ", " : "", options[i].name);
	}
	return SAY(r, "options: unknown name %.*s, expected some of %s", (int)len, name, known);
}

static int
set_options(SSL_CTX *ctx, const struct config *c, struct engine_report *r)
{
	uint64_t bits = SSL_OP_CIPHER_SERVER_PREFERENCE | always_on;
	const char *list = c->options ? c->options : "", *name;
	size_t len, i;

	if (!c->options_exact)
		bits |= (SSL_OP_ALL & ~SSL_OP_DONT_INSERT_EMPTY_FRAGMENTS) | SSL_OP_ENABLE_MIDDLEBOX_COMPAT;
	while ((name = engine_list_next(&list, &len)) != NULL) {
		for (i = 0; i < NOPTIONS; i++)
			if (strlen(options[i].name) == len && strncasecmp(options[i].name, name, len) == 0)
				break;
		if (i == NOPTIONS)
			return say_unknown_option(name, len, r);
		bits |= options[i].bits;
	}
	SSL_CTX_clear_options(ctx, SSL_CTX_get_options(ctx));
	SSL_CTX_set_options(ctx, bits);
	return 0;
}

/* OpenSSL drops names that it does not know without a word. */
static int
check_suites(SSL_CTX *ctx, const char *suites, struct engine_report *r)
{
	STACK_OF(SSL_CIPHER) *have = SSL_CTX_get_ciphers(ctx);

	for (const char *s = suites; *s;) {
		size_t len = strcspn(s, ":");
		int i;

		for (i = 0; i < sk_SSL_CIPHER_num(have); i++) {
			const char *name = SSL_CIPHER_standard_name(sk_SSL_CIPHER_value(have, i));

			if (name && strlen(name) == len && strncmp(name, s, len) == 0)
				break;
		}
		if (i == sk_SSL_CIPHER_num(have))
			return SAY(r, "ciphersuites: unknown suite %.*s, expected names such as %s", (int)len, s, default_suites);
		s += len + (s[len] == ':');
	}
	return 0;
}

/* "A, B" as OpenSSL wants it: "A:B". The caller frees. */
static char *
colon_list(const char *list)
{
	char *out = calloc(1, strlen(list) + 1), *at = out;

	if (!out)
		return NULL;
	for (const char *s = list; *s; s++) {
		bool gap = *s == ',' || *s == ' ' || *s == ':';

		if (!gap)
			*at++ = *s;
		else if (at > out && at[-1] != ':')
			*at++ = ':';
	}
	if (at > out && at[-1] == ':')
		at[-1] = '\0';
	return out;
}

static int
set_suites(SSL_CTX *ctx, const struct config *c, struct engine_report *r)
{
	char *suites = colon_list(c->ciphersuites ? c->ciphersuites : default_suites);
	int ret = -1;

	if (!suites)
		return SAY(r, "out of memory");
	if (SSL_CTX_set_ciphersuites(ctx, suites))
		ret = check_suites(ctx, suites, r);
	else
		SAY(r, "ciphersuites = %s: %s", suites, engine_queue_reason());
	free(suites);
	return ret;
}

static int
set_ciphers(SSL_CTX *ctx, const struct config *c, bool legacy, struct engine_report *r)
{
	const char *wanted = c->ciphers ? c->ciphers : legacy ? legacy_ciphers : default_ciphers;
	const char *unless = c->insecure ? "" : ":!aNULL:!eNULL";
	size_t size = strlen(wanted) + strlen(unless) + 1;
	char *list = malloc(size);
	int ret = 0;

	if (!list)
		return SAY(r, "out of memory");
	snprintf(list, size, "%s%s", wanted, unless);
	if (!SSL_CTX_set_cipher_list(ctx, list))
		ret = SAY(r, "ciphers = %s: %s", wanted, engine_queue_reason());
	free(list);
	return ret;
}

static int
set_groups(SSL_CTX *ctx, const struct config *c, struct engine_report *r)
{
	char *list = colon_list(c->groups ? c->groups : default_groups);
	int ret = 0;

	if (!list)
		return SAY(r, "out of memory");
	if (!SSL_CTX_set1_groups_list(ctx, list))
		ret = SAY(r, "groups = %s: OpenSSL does not know them all, expected names such as %s", list, default_groups);
	free(list);
	return ret;
}

static bool
is_legacy(const struct config *c)
{
	return c->insecure && c->minimum_version < TLS1_2_VERSION;
}

int
engine_security_level(const struct config *c)
{
	return c->security_level >= 0 ? c->security_level : is_legacy(c) ? 0 : 2;
}

static int
set_algorithms(SSL_CTX *ctx, const struct config *c, struct engine_report *r)
{
	bool legacy = is_legacy(c);
	char *sigalgs = legacy ? legacy_sigalgs : plain_sigalgs;
	int floor = c->minimum_version ? c->minimum_version : c->insecure ? 0 : TLS1_2_VERSION;

	SSL_CTX_set_security_level(ctx, engine_security_level(c));
	if (!SSL_CTX_set_min_proto_version(ctx, floor) || !SSL_CTX_set_max_proto_version(ctx, c->maximum_version))
		return SAY(r, "minimum_version, maximum_version: OpenSSL does not know them: %s", engine_queue_reason());
	if (set_suites(ctx, c, r) < 0 || set_ciphers(ctx, c, legacy, r) < 0 || set_groups(ctx, c, r) < 0)
		return -1;
	if (!SSL_CTX_set1_sigalgs_list(ctx, sigalgs) || !SSL_CTX_set1_client_sigalgs_list(ctx, sigalgs))
		return SAY(r, "signature algorithms: %s", engine_queue_reason());
	return 0;
}

/* The server's preference decides; a client without a common protocol goes on without (as Python's ssl does). */
static int
choose_alpn(SSL *ssl, const unsigned char **out, unsigned char *outlen, const unsigned char *in, unsigned inlen, void *arg)
{
	struct engine_ctx *ctx = arg;
	unsigned char *chosen = NULL;

	(void)ssl;
	if (inlen == 0 || SSL_select_next_proto(&chosen, outlen, ctx->alpn, ctx->alpn_len, in, inlen) != OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_NOACK;
	*out = chosen;
	return SSL_TLSEXT_ERR_OK;
}

static int
set_alpn(struct engine_ctx *ctx, const struct config *c, struct engine_report *r)
{
	const char *list = c->alpn_protocols ? c->alpn_protocols : "", *name;
	size_t len;

	ctx->alpn = calloc(1, strlen(list) + 2);
	if (!ctx->alpn)
		return SAY(r, "out of memory");
	while ((name = engine_list_next(&list, &len)) != NULL) {
		if (len > 255)
			return SAY(r, "alpn_protocols: a name is longer than 255 bytes");
		ctx->alpn[ctx->alpn_len++] = (unsigned char)len;
		memcpy(ctx->alpn + ctx->alpn_len, name, len);
		ctx->alpn_len += (unsigned)len;
	}
	if (ctx->alpn_len == 0)
		return 0;
	if (c->role == CONFIG_SERVER)
		SSL_CTX_set_alpn_select_cb(ctx->ssl, choose_alpn, ctx);
	else if (SSL_CTX_set_alpn_protos(ctx->ssl, ctx->alpn, ctx->alpn_len) != 0)
		return SAY(r, "out of memory");
	return 0;
}

static int
run_command(SSL_CONF_CTX *cctx, const struct config_command *cmd, struct engine_report *r)
{
	int ret = SSL_CONF_cmd(cctx, cmd->name, cmd->value);

	if (ret == -2)
		return SAY(r, "openssl.%s: OpenSSL knows no such command for this role", cmd->name);
	if (ret <= 0)
		return SAY(r, "openssl.%s = %s: OpenSSL refuses the value: %s", cmd->name, cmd->value, engine_queue_reason());
	return 0;
}

static int
run_commands(SSL_CTX *ctx, const struct config *c, struct engine_report *r)
{
	SSL_CONF_CTX *cctx = SSL_CONF_CTX_new();
	int ret = 0;

	if (!cctx)
		return SAY(r, "out of memory");
	SSL_CONF_CTX_set_flags(cctx, SSL_CONF_FLAG_FILE | SSL_CONF_FLAG_CERTIFICATE
			       | (c->role == CONFIG_SERVER ? SSL_CONF_FLAG_SERVER : SSL_CONF_FLAG_CLIENT));
	SSL_CONF_CTX_set_ssl_ctx(cctx, ctx);
	for (size_t i = 0; i < c->ncommands && ret == 0; i++)
		ret = run_command(cctx, &c->commands[i], r);
	if (ret == 0 && !SSL_CONF_CTX_finish(cctx))
		ret = SAY(r, "openssl.*: %s", engine_queue_reason());
	SSL_CONF_CTX_free(cctx);
	return ret;
}

/* ---- after all of them: what may not have been lowered ---- */

static bool
has_weak_cipher(SSL_CTX *ctx)
{
	STACK_OF(SSL_CIPHER) *have = SSL_CTX_get_ciphers(ctx);

	for (int i = 0; i < sk_SSL_CIPHER_num(have); i++) {
		const SSL_CIPHER *cipher = sk_SSL_CIPHER_value(have, i);

		if (SSL_CIPHER_get_auth_nid(cipher) == NID_auth_null || SSL_CIPHER_get_cipher_nid(cipher) == NID_undef)
			return true;
	}
	return false;
}

static bool
has_version(SSL_CTX *ctx)
{
	static const uint64_t off[] = {SSL_OP_NO_TLSv1, SSL_OP_NO_TLSv1_1, SSL_OP_NO_TLSv1_2, SSL_OP_NO_TLSv1_3};
	int min = (int)SSL_CTX_get_min_proto_version(ctx), max = (int)SSL_CTX_get_max_proto_version(ctx);

	for (int i = 0; i < 4; i++)
		if (TLS1_VERSION + i >= min && (max == 0 || TLS1_VERSION + i <= max) && !(SSL_CTX_get_options(ctx) & off[i]))
			return true;
	return false;
}

static int
check_strength(SSL_CTX *ctx, const struct config *c, struct engine_report *r)
{
	if (!c->insecure && SSL_CTX_get_min_proto_version(ctx) < TLS1_2_VERSION)
		return SAY(r, "minimum_version: an openssl.* command lowers it below TLSv1.2, which needs insecure = yes");
	if (SSL_CTX_get_verify_mode(ctx) != engine_verify_mode(c))
		return SAY(r, "cert_reqs: an openssl.* command changes the verification, which only cert_reqs may");
	if (!c->insecure && has_weak_cipher(ctx))
		return SAY(r, "ciphers: suites without authentication or encryption need insecure = yes");
	if (!c->insecure && SSL_CTX_get_security_level(ctx) < 1)
		return SAY(r, "ciphers: security level 0 needs insecure = yes");
	if (!has_version(ctx))
		return SAY(r, "options: no TLS version is left between minimum_version and maximum_version");
	SSL_CTX_clear_options(ctx, SSL_OP_IGNORE_UNEXPECTED_EOF | SSL_OP_ALLOW_UNSAFE_LEGACY_RENEGOTIATION);
	SSL_CTX_set_options(ctx, always_on);
	return 0;
}

static void
set_manners(struct engine_ctx *ctx)
{
	SSL_CTX *ssl = ctx->ssl;

	SSL_CTX_clear_mode(ssl, ~0L);
	SSL_CTX_set_mode(ssl, SSL_MODE_AUTO_RETRY);
	SSL_CTX_set_read_ahead(ssl, 0);
	SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_dh_auto(ssl, 1);
	SSL_CTX_set_block_padding(ssl, 0);
	SSL_CTX_set_num_tickets(ssl, TICKETS);
	SSL_CTX_set_msg_callback(ssl, engine_watch);
}

static int
fill(struct engine_ctx *ctx, const struct config *c, struct engine_report *r)
{
	uint8_t files[ENGINE_SCOPE_BYTES];

	set_manners(ctx);
	engine_scope_files(c, files);	/* if that fails it does so again below, and nothing is shared */
	if (set_algorithms(ctx->ssl, c, r) < 0 || set_options(ctx->ssl, c, r) < 0)
		return -1;
	if (engine_load_trust(ctx, c, r) < 0 || engine_load_identities(ctx, c, r) < 0 || engine_load_credentials(ctx->ssl, c, r) < 0)
		return -1;
	engine_set_verify(ctx->ssl, c);
	if (engine_load_tickets(ctx, c, r) < 0)
		return -1;
	if (set_alpn(ctx, c, r) < 0 || run_commands(ctx->ssl, c, r) < 0 || check_strength(ctx->ssl, c, r) < 0)
		return -1;
	if (!engine_set_scope(ctx, c, files))
		return SAY(r, "random numbers: %s", engine_queue_reason());
	if (!engine_sessions_start(ctx, c, r))
		return SAY(r, "out of memory");
	/* None at the handshake's end: they go with the first data (issue_tickets). */
	if (c->tickets >= 0)
		SSL_CTX_set_num_tickets(ctx->ssl, (size_t)c->tickets);
	ctx->tickets = SSL_CTX_get_options(ctx->ssl) & SSL_OP_NO_TICKET ? 0 : SSL_CTX_get_num_tickets(ctx->ssl);
	SSL_CTX_set_num_tickets(ctx->ssl, 0);
	return 0;
}

void *
engine_ctx_new(const struct config *c, char *err, size_t errsize, char *warn, size_t warnsize)
{
	struct engine_report r = {.err = err, .warn = warn, .errsize = errsize, .warnsize = warnsize};
	struct engine_ctx *ctx;
	struct engine_guard g;

	if (errsize > 0)
		err[0] = '\0';
	if (warnsize > 0)
		warn[0] = '\0';
	if (!engine_lib()) {
		engine_say(err, errsize, "OpenSSL cannot be used: it could not be started, or the process has shut it down");
		return NULL;
	}
	ctx = calloc(1, sizeof(*ctx));
	if (!ctx) {
		engine_say(err, errsize, "out of memory");
		return NULL;
	}
	engine_guard_enter(&g);
	ctx->ssl = SSL_CTX_new_ex(engine_lib(), NULL, c->role == CONFIG_SERVER ? TLS_server_method() : TLS_client_method());
	ERR_clear_error();	/* what the host's openssl.cnf could not do to it */
	if (!ctx->ssl)
		engine_say(err, errsize, "out of memory");
	if (!ctx->ssl || fill(ctx, c, &r) < 0) {
		engine_ctx_free(ctx);
		ctx = NULL;
	}
	engine_guard_leave(&g);
	return ctx;
}

static int
check(struct engine_ctx *ctx, const struct config *c, struct engine_report *r)
{
	engine_set_verify(ctx->ssl, c);
	if (set_algorithms(ctx->ssl, c, r) < 0 || set_options(ctx->ssl, c, r) < 0 || set_alpn(ctx, c, r) < 0)
		return -1;
	return check_strength(ctx->ssl, c, r);
}

int
engine_check(const struct config *c, struct engine_refusal *why)
{
	struct engine_report r = {.err = why->text, .errsize = sizeof(why->text)};
	struct engine_ctx *ctx;
	struct engine_guard g;
	int ret = -1;

	*why = (struct engine_refusal){.fault = ENGINE_FAULT_VALUE};
	if (!engine_lib())
		return SAY(&r, "OpenSSL cannot be used: it could not be started, or the process has shut it down");
	engine_guard_enter(&g);
	ctx = calloc(1, sizeof(*ctx));
	if (ctx)
		ctx->ssl = SSL_CTX_new_ex(engine_lib(), NULL, c->role == CONFIG_SERVER ? TLS_server_method() : TLS_client_method());
	ERR_clear_error();
	if (!ctx || !ctx->ssl)
		SAY(&r, "out of memory");
	else
		ret = check(ctx, c, &r);
	if (ret < 0)
		engine_refuse_setting(why, ENGINE_FAULT_VALUE, 0);
	engine_ctx_free(ctx);
	engine_guard_leave(&g);
	return ret;
}

void
engine_ctx_free(void *arg)
{
	struct engine_ctx *ctx = arg;
	struct engine_guard g;

	if (!ctx)
		return;
	if (engine_alive()) {
		engine_guard_enter(&g);
		engine_sessions_free(ctx->sessions);
		SSL_CTX_free(ctx->ssl);
		engine_guard_leave(&g);
	}
	engine_tickets_free(ctx->sealing);
	engine_free_identities(ctx);
	free(ctx->crls);
	free(ctx->alpn);
	free(ctx);
}
