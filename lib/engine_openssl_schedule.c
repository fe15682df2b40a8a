/*
 * engine_openssl_schedule.c - TLS 1.3's key schedule as libssl asks its providers for it: the key derivation function TLS13-KDF.
 *
 * The engine answers for itself in its own library context.  So it sees the traffic secrets, which libssl gives away nowhere but in
 * its key log, at three hundred calls of sprintf a handshake; and it spares most of what OpenSSL's takes to set up, a tenth of a
 * full handshake.
 */
#include <string.h>

#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/provider.h>

#include "engine.h"
#include "engine_openssl.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

enum { LABEL_MAX = 255 };

static OSSL_LIB_CTX *schedule_lib;
static const char *const names[] = {"SHA2-256", "SHA2-384"};	/* the digests that TLS 1.3's suites have, as OpenSSL calls them */
static EVP_MAC_CTX *hmacs[COUNT(names)];	/* for each; never freed, as the context */
static __thread EVP_MAC_CTX *mine[COUNT(names)];	/* copies, for the time of a watch */
static __thread struct engine *watched;

/* What one derivation is asked for. Nothing is kept between setting parameters and deriving: libssl does both at once. */
struct asked {
	int mode;
	const char *digest;
	struct engine_bytes key, salt, prefix, label, context;
};

static bool
ask(struct asked *a, const OSSL_PARAM *p)
{
	const struct {
		const char *name;
		struct engine_bytes *to;
	} octets[] = {
		{OSSL_KDF_PARAM_KEY, &a->key},
		{OSSL_KDF_PARAM_SALT, &a->salt},
		{OSSL_KDF_PARAM_PREFIX, &a->prefix},
		{OSSL_KDF_PARAM_LABEL, &a->label},
		{OSSL_KDF_PARAM_DATA, &a->context},
	};

	*a = (struct asked){.mode = -1};
	for (; p && p->key; p++) {
		if (strcmp(p->key, OSSL_KDF_PARAM_MODE) == 0 && !OSSL_PARAM_get_int(p, &a->mode))
			return false;
		if (strcmp(p->key, OSSL_KDF_PARAM_DIGEST) == 0 && !OSSL_PARAM_get_utf8_string_ptr(p, &a->digest))
			return false;
		for (size_t i = 0; i < COUNT(octets); i++)
			if (strcmp(p->key, octets[i].name) == 0 && !OSSL_PARAM_get_octet_string_ptr(p, &octets[i].to->bytes, &octets[i].to->len))
				return false;
	}
	return a->digest && a->prefix.bytes && a->label.bytes && a->prefix.len + a->label.len <= LABEL_MAX;
}

static struct engine_bytes
whole_label(const struct asked *a, uint8_t buf[static LABEL_MAX])
{
	memcpy(buf, a->prefix.bytes, a->prefix.len);
	memcpy(buf + a->prefix.len, a->label.bytes, a->label.len);
	return (struct engine_bytes){buf, a->prefix.len + a->label.len};
}

/* RFC 8446, 7.1: HKDF-Extract, its salt derived from the secret before it; without that secret, and without a key, zeros. */
static bool
extract(const struct asked *a, EVP_MAC_CTX *hmac, uint8_t *out, size_t len)
{
	static const uint8_t zeros[EVP_MAX_MD_SIZE];
	size_t size = EVP_MAC_CTX_get_mac_size(hmac);
	struct engine_bytes salt = {zeros, size}, key = a->key.bytes ? a->key : (struct engine_bytes){zeros, size};
	uint8_t none[EVP_MAX_MD_SIZE], derived[EVP_MAX_MD_SIZE], label[LABEL_MAX];
	bool ok = len == size;

	if (ok && a->salt.bytes) {
		ok = EVP_Q_digest(schedule_lib, a->digest, NULL, "", 0, none, NULL) == 1
			&& engine_expand(hmac, a->salt, whole_label(a, label), (struct engine_bytes){none, size}, derived, size);
		salt.bytes = derived;
	}
	ok = ok && engine_hmac(hmac, salt, key, out);
	OPENSSL_cleanse(derived, sizeof(derived));
	return ok;
}

/* The secret, key or IV for one direction of the connection's data. */
static void
keep(uint8_t *to, size_t room, size_t *to_len, const uint8_t *out, size_t len)
{
	if (len <= room)
		memcpy(to, out, len);
	*to_len = len <= room ? len : 0;
}

static bool
is(struct engine_bytes a, const void *b, size_t len)
{
	return a.len == len && len > 0 && memcmp(a.bytes, b, len) == 0;
}

/* They pass here, each secret before its key and IV. */
static void
watch(struct engine *e, const struct asked *a, const uint8_t *out, size_t len)
{
	bool server = e->config->role == CONFIG_SERVER;

	for (int i = 0; i < 2; i++) {
		struct engine_direction *d = &e->dir[i];

		if (is(a->label, (i == 1) == server ? "s ap traffic" : "c ap traffic", 12))
			keep(d->secret, sizeof(d->secret), &d->secret_len, out, len);
		if (!is(a->key, d->secret, d->secret_len))
			continue;
		if (is(a->label, "key", 3))
			keep(d->key, sizeof(d->key), &d->key_len, out, len);
		else if (is(a->label, "iv", 2))
			keep(d->iv, sizeof(d->iv), &d->iv_len, out, len);
	}
}

/* *lent: it is this thread's for the time of the watch. */
static EVP_MAC_CTX *
hmac_for(const char *digest, bool *lent)
{
	*lent = false;
	for (size_t i = 0; i < COUNT(names); i++) {
		if (strcmp(digest, names[i]) != 0)
			continue;
		if (!watched)
			return EVP_MAC_CTX_dup(hmacs[i]);
		if (!mine[i])
			mine[i] = EVP_MAC_CTX_dup(hmacs[i]);
		*lent = true;
		return mine[i];
	}
	return engine_hmac_new(schedule_lib, digest);
}

static int
derive(void *ctx, unsigned char *out, size_t len, const OSSL_PARAM params[])
{
	uint8_t label[LABEL_MAX];
	struct asked a;
	EVP_MAC_CTX *hmac;
	bool ok = false, lent;

	(void)ctx;
	if (!ask(&a, params))
		return 0;
	hmac = hmac_for(a.digest, &lent);
	if (hmac && a.mode == EVP_KDF_HKDF_MODE_EXTRACT_ONLY)
		ok = extract(&a, hmac, out, len);
	else if (hmac && a.mode == EVP_KDF_HKDF_MODE_EXPAND_ONLY && a.key.bytes)
		ok = engine_expand(hmac, a.key, whole_label(&a, label), a.context, out, len);
	if (!lent)
		EVP_MAC_CTX_free(hmac);
	if (ok && watched && a.mode == EVP_KDF_HKDF_MODE_EXPAND_ONLY)
		watch(watched, &a, out, len);
	return ok;
}

void
engine_schedule_watch(struct engine *e)
{
	watched = e;
	for (size_t i = 0; i < COUNT(mine) && !e; i++) {
		EVP_MAC_CTX_free(mine[i]);
		mine[i] = NULL;
	}
}

/* ---- the provider ---- */

static void *
context_new(void *provider)
{
	return provider;
}

static void
context_free(void *ctx)
{
	(void)ctx;
}

static const OSSL_ALGORITHM *
query(void *provider, int operation, int *no_cache)
{
	static const OSSL_DISPATCH functions[] = {
		{OSSL_FUNC_KDF_NEWCTX, (void (*)(void))context_new},
		{OSSL_FUNC_KDF_FREECTX, (void (*)(void))context_free},
		{OSSL_FUNC_KDF_DERIVE, (void (*)(void))derive},
		{0, NULL},
	};
	static const OSSL_ALGORITHM functions_of_keys[] = {
		{OSSL_KDF_NAME_TLS1_3_KDF, "provider=wrapsock", functions, NULL},
		{NULL, NULL, NULL, NULL},
	};

	(void)provider;
	*no_cache = 0;
	return operation == OSSL_OP_KDF ? functions_of_keys : NULL;
}

static int
provide(const OSSL_CORE_HANDLE *handle, const OSSL_DISPATCH *in, const OSSL_DISPATCH **out, void **provider)
{
	static const OSSL_DISPATCH functions[] = {
		{OSSL_FUNC_PROVIDER_QUERY_OPERATION, (void (*)(void))query},
		{0, NULL},
	};

	(void)handle;
	(void)in;
	*out = functions;
	*provider = hmacs;	/* any address: there is nothing to tell one use from another by */
	return 1;
}

bool
engine_schedule_start(OSSL_LIB_CTX *lib)
{
	bool ok = true;

	schedule_lib = lib;
	for (size_t i = 0; i < COUNT(names); i++)
		ok = (hmacs[i] = engine_hmac_new(lib, names[i])) != NULL && ok;
	if (ok && OSSL_PROVIDER_add_builtin(lib, "wrapsock", provide) && OSSL_PROVIDER_load(lib, "wrapsock")
	    && EVP_set_default_properties(lib, "?provider=wrapsock"))
		return true;
	for (size_t i = 0; i < COUNT(names); i++)
		EVP_MAC_CTX_free(hmacs[i]);
	return false;
}
