/*
 * engine_openssl_about.c - the library itself: its version, what it was built with, where it looks for authorities, its random numbers.
 */
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "engine.h"
#include "engine_openssl.h"

const char *
engine_library_version(void)
{
	return OpenSSL_version(OPENSSL_VERSION);
}

unsigned long
engine_library_number(void)
{
	return OpenSSL_version_num();
}

void
engine_default_paths(struct engine_paths *paths)
{
	paths->cafile_env = X509_get_default_cert_file_env();
	paths->cafile = X509_get_default_cert_file();
	paths->capath_env = X509_get_default_cert_dir_env();
	paths->capath = X509_get_default_cert_dir();
}

/* ---- features ---- */

/* Setting a bound that the library was built without succeeds; only a handshake tells. */
static bool
greets(SSL_CTX *ctx, int version)
{
	BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
	SSL *ssl = SSL_new(ctx);
	bool ok = false;
	int ret;

	if (ssl && in && out) {
		SSL_clear_options(ssl, SSL_OP_NO_SSLv3 | SSL_OP_NO_TLSv1 | SSL_OP_NO_TLSv1_1 | SSL_OP_NO_TLSv1_2 | SSL_OP_NO_TLSv1_3);
		SSL_set_bio(ssl, in, out);
		in = out = NULL;
		if (SSL_set_min_proto_version(ssl, version) && SSL_set_max_proto_version(ssl, version)
		    && SSL_set_cipher_list(ssl, "ALL:@SECLEVEL=0")) {
			ret = SSL_connect(ssl);
			ok = ret < 0 && SSL_get_error(ssl, ret) == SSL_ERROR_WANT_READ;
		}
	}
	SSL_free(ssl);
	BIO_free(in);
	BIO_free(out);
	return ok;
}

bool
engine_speaks(int version)
{
	OSSL_LIB_CTX *lib = engine_lib();
	struct engine_guard g;
	SSL_CTX *ctx;
	bool ok;

	if (!lib)
		return false;
	engine_guard_enter(&g);
	ctx = SSL_CTX_new_ex(lib, NULL, TLS_client_method());
	ok = ctx && greets(ctx, version);
	SSL_CTX_free(ctx);
	engine_guard_leave(&g);
	return ok;
}

/* ---- random numbers: of our own library context, which connections use ---- */

bool
engine_rand_status(void)
{
	OSSL_LIB_CTX *lib = engine_lib();
	struct engine_guard g;
	EVP_RAND_CTX *primary;
	bool seeded;

	if (!lib)
		return false;
	engine_guard_enter(&g);
	primary = RAND_get0_primary(lib);
	seeded = primary && EVP_RAND_get_state(primary) == EVP_RAND_STATE_READY;
	engine_guard_leave(&g);
	return seeded;
}

bool
engine_rand_add(const void *bytes, size_t len)
{
	OSSL_LIB_CTX *lib = engine_lib();
	struct engine_guard g;
	EVP_RAND_CTX *primary;
	bool added;

	if (!lib)
		return false;
	engine_guard_enter(&g);
	primary = RAND_get0_primary(lib);
	added = primary && EVP_RAND_reseed(primary, 0, NULL, 0, bytes, len);
	engine_guard_leave(&g);
	return added;
}

bool
engine_rand_bytes(void *buf, size_t len)
{
	OSSL_LIB_CTX *lib = engine_lib();
	struct engine_guard g;
	bool filled;

	if (!lib)
		return false;
	engine_guard_enter(&g);
	filled = RAND_bytes_ex(lib, buf, len, 0) == 1;
	engine_guard_leave(&g);
	return filled;
}
