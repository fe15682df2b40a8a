/*
 * derive_test.c - TLS 1.3's key derivation, ours beside that of OpenSSL's default provider: every mode, with and without what
 * libssl leaves out, over the digests of its suites and others, up to lengths that take several blocks; and what must be refused.
 */
#include "engine_openssl.h"

#include "check.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/provider.h>

static uint8_t some[512];

static void
judge(const char *what, const char *digest, size_t len, bool ok)
{
	char detail[80];

	snprintf(detail, sizeof(detail), "%s, %zu bytes", digest, len);
	result("derive", what, ok, detail);
}

/* What libssl may ask for: lengths, 0 = the parameter is not given, HASH = as long as the digest. */
enum { HASH = 1000 };
static const struct asked {
	const char *name;
	int mode;
	size_t key, salt, context;
	const char *label;
	bool wrong;
} asked[] = {
	{"expand", EVP_KDF_HKDF_MODE_EXPAND_ONLY, HASH, 0, HASH, "c ap traffic", false},
	{"expand without context", EVP_KDF_HKDF_MODE_EXPAND_ONLY, HASH, 0, 0, "key", false},
	{"expand with a long context and label", EVP_KDF_HKDF_MODE_EXPAND_ONLY, HASH, 0, 255, "a label of somebody who exports keying material", false},
	{"expand a short key", EVP_KDF_HKDF_MODE_EXPAND_ONLY, 7, 0, 1, "iv", false},
	{"expand without a label", EVP_KDF_HKDF_MODE_EXPAND_ONLY, HASH, 0, HASH, "", false},
	{"extract the first secret", EVP_KDF_HKDF_MODE_EXTRACT_ONLY, 0, 0, 0, "derived", false},
	{"extract with a pre-shared key", EVP_KDF_HKDF_MODE_EXTRACT_ONLY, HASH, 0, 0, "derived", false},
	{"extract with a long shared secret", EVP_KDF_HKDF_MODE_EXTRACT_ONLY, 384, HASH, 0, "derived", false},
	{"extract without a key", EVP_KDF_HKDF_MODE_EXTRACT_ONLY, 0, HASH, 0, "derived", false},
	{"expand without a key", EVP_KDF_HKDF_MODE_EXPAND_ONLY, 0, 0, HASH, "key", true},
	{"expand a key longer than a block", EVP_KDF_HKDF_MODE_EXPAND_ONLY, 200, 0, HASH, "key", false},
	{"extract and expand", EVP_KDF_HKDF_MODE_EXTRACT_AND_EXPAND, HASH, HASH, HASH, "key", true},
	{"no such mode", 99, HASH, 0, HASH, "key", true},
};

static size_t
length(size_t of, size_t size)
{
	return of == HASH ? size : of;
}

/* By the provider that the properties name: the output, or false. */
static bool
derive(const char *properties, const char *digest, const struct asked *a, uint8_t *out, size_t len)
{
	EVP_MD *md = EVP_MD_fetch(engine_lib(), digest, NULL);
	EVP_KDF *kdf = EVP_KDF_fetch(engine_lib(), "TLS13-KDF", properties);
	EVP_KDF_CTX *ctx = EVP_KDF_CTX_new(kdf);
	size_t size = md ? (size_t)EVP_MD_get_size(md) : 32;
	char prefix[] = "tls13 ", label[64], name[32];
	OSSL_PARAM params[8], *p = params;
	int mode = a->mode;
	bool ok;

	snprintf(label, sizeof(label), "%s", a->label);
	snprintf(name, sizeof(name), "%s", digest);
	*p++ = OSSL_PARAM_construct_int(OSSL_KDF_PARAM_MODE, &mode);
	*p++ = OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, name, 0);
	if (a->key)
		*p++ = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, some, length(a->key, size));
	if (a->salt)
		*p++ = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, some + 100, length(a->salt, size));
	*p++ = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_PREFIX, prefix, 6);
	*p++ = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_LABEL, label, strlen(label));
	if (a->context)
		*p++ = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_DATA, some + 200, length(a->context, size));
	*p = OSSL_PARAM_construct_end();
	ok = ctx && EVP_KDF_derive(ctx, out, len, params) == 1;
	EVP_KDF_CTX_free(ctx);
	EVP_KDF_free(kdf);
	EVP_MD_free(md);
	return ok;
}

static void
compare(const struct asked *a, const char *digest, size_t len)
{
	static uint8_t ours[65536], theirs[65536];
	bool ok = derive(NULL, digest, a, ours, len);

	if (a->wrong)
		judge(a->name, digest, len, !ok);
	else
		judge(a->name, digest, len, ok && derive("provider=default", digest, a, theirs, len) && memcmp(ours, theirs, len) == 0);
}

static void
test_as_openssl(void)
{
	static const struct {
		const char *name;
		size_t size;
	} digests[] = {{"SHA256", 32}, {"SHA2-256", 32}, {"SHA2-384", 48}, {"SHA512", 64}};

	for (size_t d = 0; d < COUNT(digests); d++)
		for (size_t i = 0; i < COUNT(asked); i++) {
			const size_t lengths[] = {digests[d].size, 1, 12, 16, digests[d].size + 1, 1000, 255 * digests[d].size};
			bool one = asked[i].mode == EVP_KDF_HKDF_MODE_EXTRACT_ONLY || asked[i].wrong;

			for (size_t l = 0; l < (one ? 1 : COUNT(lengths)); l++)
				compare(&asked[i], digests[d].name, lengths[l]);
		}
}

static void
test_refused(void)
{
	static uint8_t out[65536];
	uint8_t label[256] = "tls13 ";
	EVP_MAC_CTX *hmac = engine_hmac_new(engine_lib(), "SHA256");
	struct engine_bytes secret = {some, 32}, none = {NULL, 0};

	judge("more than 255 blocks", "SHA256", 0, !engine_expand(hmac, secret, (struct engine_bytes){label, 9}, none, out, 255 * 32 + 1));
	judge("a length of three bytes", "SHA256", 0, !engine_expand(hmac, secret, (struct engine_bytes){label, 9}, none, out, 65536));
	judge("a label of 256 bytes", "SHA256", 0, !engine_expand(hmac, secret, (struct engine_bytes){label, 256}, none, out, 32));
	judge("a context of 256 bytes", "SHA256", 0, !engine_expand(hmac, secret, (struct engine_bytes){label, 9}, (struct engine_bytes){some, 256}, out, 32));
	judge("an unknown digest", "NONE-256", 0, !derive(NULL, "NONE-256", &asked[0], out, 32));
	EVP_MAC_CTX_free(hmac);
}

/* libssl must come to ours, and the shorter way must give what the longer does. */
static void
test_reached(void)
{
	EVP_KDF *kdf = EVP_KDF_fetch(engine_lib(), "TLS13-KDF", NULL);
	uint8_t ours[32], theirs[32];
	struct asked a = asked[1];

	judge("the preferred provider", "any", 0, kdf && strcmp(OSSL_PROVIDER_get0_name(EVP_KDF_get0_provider(kdf)), "wrapsock") == 0);
	EVP_KDF_free(kdf);
	for (int i = 0; i < 2; i++) {
		const char *digest = i ? "SHA384" : "SHA256";

		judge("by label", digest, 32, engine_expand_label(engine_lib(), some, i ? 48 : 32, "key", ours, 32)
		       && derive("provider=default", digest, &a, theirs, 32) && memcmp(ours, theirs, 32) == 0);
	}
}

int
main(void)
{
	for (size_t i = 0; i < sizeof(some); i++)
		some[i] = (uint8_t)(i * 7 + 3);
	test_reached();
	test_as_openssl();
	test_refused();
	return summary();
}
