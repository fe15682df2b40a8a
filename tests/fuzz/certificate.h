/*
 * certificate.h - what a target's server shows.
 */
#ifndef TESTS_CERTIFICATE_H
#define TESTS_CERTIFICATE_H

#include "target.h"

#include <sys/stat.h>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

/* One that signed itself, and its key, in a file that only we may read. */
static void
make_certificate(const char *path)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *x = X509_new();
	FILE *f;

	need(key && x, "a key");
	X509_set_version(x, X509_VERSION_3);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC, (const unsigned char *)"fuzz", -1, -1, 0);
	X509_set_issuer_name(x, X509_get_subject_name(x));
	X509_gmtime_adj(X509_getm_notBefore(x), -3600);
	X509_gmtime_adj(X509_getm_notAfter(x), 864000);
	X509_set_pubkey(x, key);
	need(X509_sign(x, key, EVP_sha256()) > 0, "a certificate");
	umask(077);
	f = fopen(path, "w");
	need(f && PEM_write_X509(f, x) && PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL) && fclose(f) == 0, path);
	X509_free(x);
	EVP_PKEY_free(key);
}

#endif
