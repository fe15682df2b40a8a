/* engine_openssl_derive.c - TLS 1.3's key derivation, for the engine and for what continues a connection without it. */
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

#include "engine_openssl.h"

bool
engine_expand_label(OSSL_LIB_CTX *lib, const uint8_t *secret, size_t secret_len, const char *label, uint8_t *out, size_t len)
{
	uint8_t info[64] = {(uint8_t)(len >> 8), (uint8_t)len, (uint8_t)(6 + strlen(label)), 't', 'l', 's', '1', '3', ' '};
	uint8_t key[ENGINE_SECRET_MAX];
	char digest[] = "SHA256";
	int mode = EVP_KDF_HKDF_MODE_EXPAND_ONLY;
	OSSL_PARAM params[5];
	EVP_KDF *kdf = EVP_KDF_fetch(lib, "HKDF", NULL);
	EVP_KDF_CTX *kctx = EVP_KDF_CTX_new(kdf);
	bool ok;

	if (secret_len == 48)
		memcpy(digest, "SHA384", sizeof(digest));
	memcpy(info + 9, label, strlen(label));
	memcpy(key, secret, secret_len);	/* the parameter wants it writable */
	params[0] = OSSL_PARAM_construct_int(OSSL_KDF_PARAM_MODE, &mode);
	params[1] = OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0);
	params[2] = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, key, secret_len);
	params[3] = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, info, 10 + strlen(label));
	params[4] = OSSL_PARAM_construct_end();
	ok = kctx && EVP_KDF_derive(kctx, out, len, params) > 0;
	EVP_KDF_CTX_free(kctx);
	EVP_KDF_free(kdf);
	OPENSSL_cleanse(key, sizeof(key));
	return ok;
}
