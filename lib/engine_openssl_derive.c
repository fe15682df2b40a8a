/*
 * engine_openssl_derive.c - TLS 1.3's key derivation, for the engine and for what continues a connection without it.
 *
 * A handshake derives a score of keys, each of four short blocks to hash.  OpenSSL's own functions for it take twenty times as long to
 * set up as to compute: these need but the digest.
 */
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "engine_openssl.h"

enum { BLOCK_MAX = 144, LABEL_MAX = 255, CONTEXT_MAX = 255 };

static bool
keyed(EVP_MD_CTX *ctx, const EVP_MD *md, struct engine_bytes key, uint8_t pad, struct engine_bytes data, uint8_t *out)
{
	size_t size = (size_t)EVP_MD_get_block_size(md);
	uint8_t block[BLOCK_MAX];
	bool ok;

	memset(block, pad, size);
	for (size_t i = 0; i < key.len; i++)
		block[i] ^= ((const uint8_t *)key.bytes)[i];
	ok = EVP_DigestInit_ex2(ctx, md, NULL) && EVP_DigestUpdate(ctx, block, size) && EVP_DigestUpdate(ctx, data.bytes, data.len)
		&& EVP_DigestFinal_ex(ctx, out, NULL);
	OPENSSL_cleanse(block, size);
	return ok;
}

/* RFC 2104 */
static bool
hmac(EVP_MD_CTX *ctx, const EVP_MD *md, struct engine_bytes key, struct engine_bytes data, uint8_t *out)
{
	uint8_t inner[EVP_MAX_MD_SIZE];
	bool ok = keyed(ctx, md, key, 0x36, data, inner)
		&& keyed(ctx, md, key, 0x5c, (struct engine_bytes){inner, (size_t)EVP_MD_get_size(md)}, out);

	OPENSSL_cleanse(inner, sizeof(inner));
	return ok;
}

/* Keys longer than a block would have to be hashed first: TLS has none. */
static bool
fits(const EVP_MD *md, struct engine_bytes key)
{
	int block = EVP_MD_get_block_size(md), size = EVP_MD_get_size(md);

	return block > 0 && block <= BLOCK_MAX && size > 0 && key.len <= (size_t)block;
}

bool
engine_hmac(const EVP_MD *md, struct engine_bytes key, struct engine_bytes data, uint8_t *out)
{
	EVP_MD_CTX *ctx = fits(md, key) ? EVP_MD_CTX_new() : NULL;
	bool ok = ctx && hmac(ctx, md, key, data, out);

	EVP_MD_CTX_free(ctx);
	return ok;
}

/* Before each block of HKDF-Expand (RFC 5869, 2.3) there is room for the one before, behind it for its number. */
static bool
expand(EVP_MD_CTX *ctx, const EVP_MD *md, struct engine_bytes secret, uint8_t *text, size_t info, uint8_t *out, size_t len)
{
	size_t size = (size_t)EVP_MD_get_size(md);
	uint8_t *from = text + EVP_MAX_MD_SIZE, block[EVP_MAX_MD_SIZE];

	if (len > 255 * size)
		return false;
	for (uint8_t number = 1; len > 0; number++) {
		size_t n = len < size ? len : size;

		text[EVP_MAX_MD_SIZE + info] = number;
		if (!hmac(ctx, md, secret, (struct engine_bytes){from, (size_t)(text + EVP_MAX_MD_SIZE + info + 1 - from)}, block))
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
engine_expand(const EVP_MD *md, struct engine_bytes secret, struct engine_bytes label, struct engine_bytes context, uint8_t *out, size_t len)
{
	uint8_t text[EVP_MAX_MD_SIZE + 2 + 1 + LABEL_MAX + 1 + CONTEXT_MAX + 1], *info = text + EVP_MAX_MD_SIZE, *at = info;
	EVP_MD_CTX *ctx;
	bool ok;

	if (!fits(md, secret) || label.len > LABEL_MAX || context.len > CONTEXT_MAX || len > UINT16_MAX)
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
	ctx = EVP_MD_CTX_new();
	ok = ctx && expand(ctx, md, secret, text, (size_t)(at - info), out, len);
	EVP_MD_CTX_free(ctx);
	OPENSSL_cleanse(text, EVP_MAX_MD_SIZE);
	return ok;
}

bool
engine_expand_label(OSSL_LIB_CTX *lib, const uint8_t *secret, size_t secret_len, const char *label, uint8_t *out, size_t len)
{
	EVP_MD *md = EVP_MD_fetch(lib, secret_len == 48 ? "SHA384" : "SHA256", NULL);
	char whole[32] = "tls13 ";
	bool ok;

	OPENSSL_strlcat(whole, label, sizeof(whole));
	ok = md && engine_expand(md, (struct engine_bytes){secret, secret_len}, (struct engine_bytes){whole, strlen(whole)},
				 (struct engine_bytes){NULL, 0}, out, len);
	EVP_MD_free(md);
	return ok;
}
