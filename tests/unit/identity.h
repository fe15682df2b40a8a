/*
 * identity.h - certificates made on the spot, in a folder of the test's own.
 */
#ifndef TESTS_IDENTITY_H
#define TESTS_IDENTITY_H

#include "check.h"

#include <sys/stat.h>

#include <ftw.h>
#include <unistd.h>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>

/* ---- the folder ---- */

static char dir[] = "/tmp/unit_test.XXXXXX";

static void UNUSED
make_dir(void)
{
	must(mkdtemp(dir) != NULL, dir);
}

static int UNUSED
remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st, (void)type, (void)ftw;
	return remove(path);
}

static void UNUSED
remove_dir(void)
{
	must(nftw(dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS) == 0, dir);
}

/* The file's path; good for seven more calls. */
static UNUSED const char *
at(const char *name)
{
	static _Thread_local char paths[8][96];
	static _Thread_local int i;

	i = (i + 1) % 8;
	snprintf(paths[i], sizeof paths[i], "%s/%s", dir, name);
	return paths[i];
}

static void UNUSED
write_text(const char *name, const char *text)
{
	FILE *f = fopen(at(name), "w");

	must(f && fputs(text, f) >= 0 && fclose(f) == 0 && chmod(at(name), 0600) == 0, name);
}

/* ---- keys and certificates ---- */

struct identity {
	EVP_PKEY *key;
	X509 *cert;
};

struct spec {
	const char *cn, *san;
	bool ca, any_usage;		/* any_usage: a CA's certificate as `openssl req -x509` makes it, without a key usage */
	const char *usage;		/* extended key usage, NULL = none */
	long from, to;			/* seconds from now; 0, 0 = valid */
	int rsa_bits;			/* 0 = P-256 */
};

static void UNUSED
add_extension(X509 *x, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX v3;
	X509_EXTENSION *e;

	X509V3_set_ctx(&v3, issuer, x, NULL, NULL, 0);
	e = X509V3_EXT_conf_nid(NULL, &v3, nid, value);
	must(e && X509_add_ext(x, e, -1), value);
	X509_EXTENSION_free(e);
}

/* Signed by issuer, or by itself. */
static struct identity UNUSED
make_identity(const struct spec *s, const struct identity *issuer)
{
	static long serial = 1000;
	struct identity id = { s->rsa_bits ? EVP_RSA_gen((unsigned)s->rsa_bits) : EVP_EC_gen("P-256"), X509_new() };
	const struct identity *by = issuer ? issuer : &id;
	X509 *x = id.cert;

	must(id.key && x, "a key");
	X509_set_version(x, X509_VERSION_3);
	ASN1_INTEGER_set(X509_get_serialNumber(x), serial++);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC, (const unsigned char *)s->cn, -1, -1, 0);
	X509_set_issuer_name(x, X509_get_subject_name(by->cert));
	X509_gmtime_adj(X509_getm_notBefore(x), s->from || s->to ? s->from : -3600);
	X509_gmtime_adj(X509_getm_notAfter(x), s->from || s->to ? s->to : 86400);
	X509_set_pubkey(x, id.key);
	add_extension(x, by->cert, NID_subject_key_identifier, "hash");
	if (issuer)
		add_extension(x, by->cert, NID_authority_key_identifier, "keyid");
	if (s->ca)
		add_extension(x, by->cert, NID_basic_constraints, "critical,CA:TRUE");
	if (s->ca && !s->any_usage)
		add_extension(x, by->cert, NID_key_usage, "critical,keyCertSign,cRLSign");
	if (s->san)
		add_extension(x, by->cert, NID_subject_alt_name, s->san);
	if (s->usage)
		add_extension(x, by->cert, NID_ext_key_usage, s->usage);
	must(X509_sign(x, by->key, EVP_sha256()) > 0, "a signature");
	return id;
}

static void UNUSED
identity_free(struct identity *id)
{
	EVP_PKEY_free(id->key);
	X509_free(id->cert);
	*id = (struct identity){ NULL, NULL };
}

enum { CERTS = 1, KEY = 2, APPEND = 4 };

/* PEM of certificates, and of the first one's key. */
static void UNUSED
write_pem(const char *name, int what, size_t n, const struct identity *const *ids)
{
	FILE *f = fopen(at(name), what & APPEND ? "a" : "w");

	must(f && chmod(at(name), 0600) == 0, name);
	for (size_t i = 0; i < n && what & CERTS; i++)
		must(PEM_write_X509(f, ids[i]->cert), name);
	if (what & KEY)
		must(PEM_write_PrivateKey(f, ids[0]->key, NULL, NULL, 0, NULL, NULL), name);
	must(fclose(f) == 0, name);
}
#define WRITE(name, what, ...) \
	write_pem(name, what, COUNT(((const struct identity *[]){ __VA_ARGS__ })), (const struct identity *[]){ __VA_ARGS__ })

/* The folder, and in it self.pem: one that signed itself, and its key. */
static void UNUSED
make_self(const char *san)
{
	struct identity self = make_identity(&(struct spec){ .cn = "unit test", .san = san }, NULL);

	make_dir();
	WRITE("self.pem", CERTS | KEY, &self);
	identity_free(&self);
}

#endif
