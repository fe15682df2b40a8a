/*
 * engine_openssl_crl.c - which certificates have been called back: the lists of crlfile.
 */
#include <sys/stat.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "engine.h"
#include "engine_openssl.h"
#include "text.h"

enum { WORDS_MAX = 240 };

static void
append(char *words, const char *text)
{
	engine_text_escaped(words, WORDS_MAX, text, strlen(text));
}

/* "CN=a (next update 2030-01-01T00:00:00Z), ...": a reader of a refusal need not look into the file. */
static void
describe(char *words, X509_CRL *crl)
{
	char when[ENGINE_TIME_TEXT];

	if (*words)
		append(words, ", ");
	engine_text_name(words, WORDS_MAX, X509_CRL_get_issuer(crl));
	engine_text_time(when, X509_CRL_get0_nextUpdate(crl));
	append(words, " (next update ");
	append(words, when);
	append(words, ")");
}

static void
remark_time(X509_CRL *crl, const char *path, struct engine_report *r)
{
	char issuer[120] = "", when[ENGINE_TIME_TEXT], what[240];
	const ASN1_TIME *next = X509_CRL_get0_nextUpdate(crl);

	if (!next || X509_cmp_current_time(next) > 0)
		return;
	engine_text_name(issuer, sizeof(issuer), X509_CRL_get_issuer(crl));
	engine_text_time(when, next);
	snprintf(what, sizeof(what), "the CRL of %s expired at %s: what it is asked about is refused until there is a newer one", issuer, when);
	engine_remark(r, "crlfile", path, what);
}

static X509_CRL *
next_crl(BIO *bio)
{
	X509_CRL *crl = X509_CRL_new_ex(engine_lib(), NULL);

	if (crl && PEM_read_bio_X509_CRL(bio, &crl, NULL, NULL))
		return crl;
	X509_CRL_free(crl);
	return NULL;
}

static int
read_crls(X509_STORE *store, BIO *bio, char *words, const char *path, struct engine_report *r)
{
	X509_CRL *crl;
	int n = 0;

	while ((crl = next_crl(bio)) != NULL) {
		bool added = X509_STORE_add_crl(store, crl);

		if (added && words)
			describe(words, crl);
		remark_time(crl, path, r);
		X509_CRL_free(crl);
		if (!added)
			return ENGINE_SAY(r, "crlfile %s: OpenSSL refuses a CRL: %s", path, engine_queue_reason());
		n++;
	}
	if (ERR_GET_LIB(ERR_peek_last_error()) != ERR_LIB_PEM || ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
		return ENGINE_SAY(r, "crlfile %s: CRL number %d cannot be read: %s", path, n + 1, engine_queue_reason());
	ERR_clear_error();
	return n > 0 ? 0 : ENGINE_SAY(r, "crlfile %s: holds no CRL, expected PEM (-----BEGIN X509 CRL-----)", path);
}

int
engine_load_crls(struct engine_ctx *ctx, X509_STORE *store, const char *path, struct engine_report *r)
{
	FILE *f = fopen(path, "re");
	struct stat st;
	int ret = -1;
	BIO *bio;

	if (!f)
		return ENGINE_SAY(r, "crlfile %s: %s", path, strerror(errno));
	if (fstat(fileno(f), &st) == 0 && S_ISDIR(st.st_mode)) {
		fclose(f);
		return ENGINE_SAY(r, "crlfile %s: is a directory, expected a PEM file (capath takes a folder, with CRLs too)", path);
	}
	ERR_clear_error();
	bio = BIO_new_fp(f, BIO_NOCLOSE);
	ctx->crls = calloc(1, WORDS_MAX);
	if (bio && ctx->crls)
		ret = read_crls(store, bio, ctx->crls, path, r);
	else
		ENGINE_SAY(r, "out of memory");
	BIO_free(bio);
	fclose(f);
	return ret;
}
