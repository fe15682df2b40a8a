/*
 * engine_openssl_derive.c - TLS 1.3's key derivation, for the engine and for what continues a connection without it.
 *
 * A handshake derives a score of keys, each of four short blocks to hash.  OpenSSL's own functions for it take ten times as long to
 * set up as to compute: these need but its HMAC, which is set up once and keyed for each.
 */
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include "engine_openssl.h"

enum { LABEL_MAX = 255, CONTEXT_MAX = 255 };

EVP_MAC_CTX *
engine_hmac_new(OSSL_LIB_CTX *lib, const char *digest)
{
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char *)(uintptr_t)digest, 0),
		OSSL_PARAM_construct_end(),
	};
	EVP_MAC *hmac = EVP_MAC_fetch(lib, "HMAC", NULL);
	EVP_MAC_CTX *ctx = EVP_MAC_CTX_new(hmac);

	EVP_MAC_free(hmac);
	if (ctx && EVP_MAC_init(ctx, (const unsigned char *)"", 1, params))	/* without any key it does not know its size */
		return ctx;
	EVP_MAC_CTX_free(ctx);
	return NULL;
}

bool
engine_hmac(EVP_MAC_CTX *hmac, struct engine_bytes key, struct engine_bytes data, uint8_t *out)
{
	size_t size = EVP_MAC_CTX_get_mac_size(hmac), n;

	return EVP_MAC_init(hmac, key.bytes, key.len, NULL) && EVP_MAC_update(hmac, data.bytes, data.len) && EVP_MAC_final(hmac, out, &n, size);
}

/* Before each block of HKDF-Expand (RFC 5869, 2.3) there is room for the one before, behind it for its number. */
static bool
expand(EVP_MAC_CTX *hmac, struct engine_bytes secret, uint8_t *text, size_t info, uint8_t *out, size_t len)
{
	size_t size = EVP_MAC_CTX_get_mac_size(hmac);
	uint8_t *from = text + EVP_MAX_MD_SIZE, block[EVP_MAX_MD_SIZE];

	if (size == 0 || size > sizeof(block) || len > 255 * size)
		return false;
	for (uint8_t number = 1; len > 0; number++) {
		size_t n = len < size ? len : size;

		text[EVP_MAX_MD_SIZE + info] = number;
		if (!engine_hmac(hmac, secret, (struct engine_bytes){from, (size_t)(text + EVP_MAX_MD_SIZE + info + 1 - from)}, block))
			return false;
		memcpy(out, block, n);
		out += n;
		len -= n;
		from = text + EVP_MAX_MD_SIZE - size;
		memcpy(from, block, size);
	}
	OPENSSL_cleanse(block, sizeof(block));
	return true;
}

bool
engine_expand(EVP_MAC_CTX *hmac, struct engine_bytes secret, struct engine_bytes label, struct engine_bytes context, uint8_t *out, size_t len)
{
	uint8_t text[EVP_MAX_MD_SIZE + 2 + 1 + LABEL_MAX + 1 + CONTEXT_MAX + 1], *info = text + EVP_MAX_MD_SIZE, *at = info;
	bool ok;

	if (label.len > LABEL_MAX || context.len > CONTEXT_MAX || len > UINT16_MAX)
		return false;
	*at++ = (uint8_t)(len >> 8);
	*at++ = (uint8_t)len;
	*at++ = (uint8_t)label.len;
	memcpy(at, label.bytes, label.len);
	at += label.len;
	*at++ = (uint8_t)context.len;
	if (context.len > 0)
		memcpy(at, context.bytes, context.len);
	at += context.len;
	ok = expand(hmac, secret, text, (size_t)(at - info), out, len);
	OPENSSL_cleanse(text, EVP_MAX_MD_SIZE);
	return ok;
}

bool
engine_expand_label(OSSL_LIB_CTX *lib, const uint8_t *secret, size_t secret_len, const char *label, uint8_t *out, size_t len)
{
	EVP_MAC_CTX *hmac = engine_hmac_new(lib, secret_len == 48 ? "SHA384" : "SHA256");
	char whole[32] = "tls13 ";
	bool ok;

	OPENSSL_strlcat(whole, label, sizeof(whole));
	ok = hmac && engine_expand(hmac, (struct engine_bytes){secret, secret_len}, (struct engine_bytes){whole, strlen(whole)},
				   (struct engine_bytes){NULL, 0}, out, len);
	EVP_MAC_CTX_free(hmac);
	return ok;
}
