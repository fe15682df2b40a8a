/*
 * engine_openssl_cred.c - who we are: certificate chain, key and password, from PEM files or a store.
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

enum { PASSWORD_MAX = 1024 };

#define SAY ENGINE_SAY

/* ---- certificate and key ---- */

static bool
has_certificate(const struct engine_text *t)
{
	return strstr(t->bytes, "-----BEGIN CERTIFICATE-----") || strstr(t->bytes, "-----BEGIN TRUSTED CERTIFICATE-----")
		|| strstr(t->bytes, "-----BEGIN X509 CERTIFICATE-----");
}

static bool
has_key(const struct engine_text *t)
{
	return strstr(t->bytes, "PRIVATE KEY-----") != NULL;
}

struct password {
	int (*ask)(char *buf, int size, void *arg);	/* of the explicit API */
	void *arg;
	char bytes[PASSWORD_MAX];
	size_t len;
	bool given, asked;
};

static int
password_load(struct password *p, const struct config *c, struct engine_report *r)
{
	struct engine_text t;

	memset(p, 0, sizeof(*p));
	p->ask = c->password;
	p->arg = c->password_arg;
	if (p->ask || !c->password_file)
		return 0;
	if (engine_text_load(&t, c, "password_file", c->password_file, true, r) < 0)
		return -1;
	p->len = strcspn(t.bytes, "\r\n");
	p->given = true;
	if (p->len < sizeof(p->bytes))
		memcpy(p->bytes, t.bytes, p->len);
	engine_text_free(&t);
	if (p->len >= sizeof(p->bytes))
		return SAY(r, "password_file %s: its first line is longer than %d bytes", c->password_file, PASSWORD_MAX - 1);
	return 0;
}

/* Never asks a terminal. */
static int
password_answer(char *buf, int size, int rwflag, void *arg)
{
	struct password *p = arg;

	(void)rwflag;
	if (p && p->ask) {
		int n = p->asked && !p->given ? -1 : p->ask(buf, size, p->arg);	/* OpenSSL asks again; who gave up is left alone */

		p->asked = true;
		p->given = n >= 0;
		return n > size ? -1 : n;
	}
	if (p)
		p->asked = true;
	if (!p || !p->given || size < 0 || p->len > (size_t)size)
		return -1;
	memcpy(buf, p->bytes, p->len);
	return (int)p->len;
}

static int
say_locked(const struct config *c, const struct password *p, const char *key, const char *path, struct engine_report *r)
{
	if (p->asked && !p->given)
		return SAY(r, "%s %s: the private key is encrypted, expected %s to open it", key, path,
			   p->ask ? "the password" : "password_file");
	if (p->asked && p->ask)
		return SAY(r, "%s %s: the password does not open the private key", key, path);
	if (p->asked)
		return SAY(r, "%s %s: password_file %s does not open the private key", key, path, c->password_file);
	return SAY(r, "%s %s: the private key cannot be read: %s", key, path, engine_queue_reason());
}

/* "scheme:..." but not a path. */
static bool
is_store_uri(const char *s)
{
	size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-.");

	return n >= 2 && s[n] == ':';
}

static int
use_certificate(SSL_CTX *ctx, X509 *x, const char *path, struct engine_report *r)
{
	if (SSL_CTX_use_certificate(ctx, x))
		return 0;
	return SAY(r, "certfile %s: OpenSSL refuses the certificate: %s", path, engine_queue_reason());
}

static X509 *
next_certificate(BIO *mem)
{
	X509 *x = X509_new_ex(engine_lib(), NULL);

	if (x && PEM_read_bio_X509_AUX(mem, &x, password_answer, NULL))
		return x;
	X509_free(x);
	return NULL;
}

static int
read_chain(SSL_CTX *ctx, BIO *mem, const char *path, struct engine_report *r)
{
	X509 *x = next_certificate(mem);
	int ret;

	if (!x)
		return SAY(r, "certfile %s: the certificate cannot be read: %s", path, engine_queue_reason());
	ret = use_certificate(ctx, x, path, r);
	X509_free(x);
	SSL_CTX_clear_chain_certs(ctx);
	while (ret == 0 && (x = next_certificate(mem)) != NULL)
		if (!SSL_CTX_add0_chain_cert(ctx, x)) {
			X509_free(x);
			ret = SAY(r, "certfile %s: OpenSSL refuses a certificate of the chain: %s", path, engine_queue_reason());
		}
	if (ret == 0 && ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
		ret = SAY(r, "certfile %s: a certificate of the chain cannot be read: %s", path, engine_queue_reason());
	if (ret == 0)
		ERR_clear_error();
	return ret;
}

static int
load_certificate_file(SSL_CTX *ctx, const struct config *c, struct engine_report *r)
{
	struct engine_text t;
	BIO *mem;
	int ret;

	if (engine_text_load(&t, c, "certfile", c->certfile, false, r) < 0)
		return -1;
	if (!has_certificate(&t)) {
		ret = SAY(r, "certfile %s: holds %s, expected PEM (-----BEGIN CERTIFICATE-----)%s", c->certfile,
			  has_key(&t) ? "a private key and no certificate" : "no certificate",
			  has_key(&t) && c->keyfile ? ": swapped with keyfile?" : "");
	} else {
		mem = BIO_new_mem_buf(t.bytes, (int)t.len);
		ret = mem ? read_chain(ctx, mem, c->certfile, r) : SAY(r, "out of memory");
		BIO_free(mem);
	}
	engine_text_free(&t);
	return ret;
}

static int
use_key(SSL_CTX *ctx, const struct config *c, EVP_PKEY *pkey, const char *key, const char *path, struct engine_report *r)
{
	const X509 *x = SSL_CTX_get0_certificate(ctx);

	if (x && !X509_check_private_key(x, pkey))
		return SAY(r, "%s %s: the private key does not belong to the certificate, expected the key of %s", key, path,
			   c->certfile);
	if (SSL_CTX_use_PrivateKey(ctx, pkey))
		return 0;
	return SAY(r, "%s %s: OpenSSL refuses the private key: %s", key, path, engine_queue_reason());
}

static int
load_key_file(SSL_CTX *ctx, const struct config *c, struct password *pw, const char *key, const char *path, struct engine_report *r)
{
	EVP_PKEY *pkey = NULL;
	struct engine_text t;
	BIO *mem;
	int ret;

	if (engine_text_load(&t, c, key, path, true, r) < 0)
		return -1;
	mem = has_key(&t) ? BIO_new_mem_buf(t.bytes, (int)t.len) : NULL;
	if (mem)
		pkey = PEM_read_bio_PrivateKey_ex(mem, NULL, password_answer, pw, engine_lib(), NULL);
	if (pkey)
		ret = use_key(ctx, c, pkey, key, path, r);
	else if (mem)
		ret = say_locked(c, pw, key, path, r);
	else if (has_certificate(&t) && c->keyfile)
		ret = SAY(r, "%s %s: holds a certificate and no private key, expected the key: swapped with certfile?", key, path);
	else
		ret = SAY(r, "%s %s: holds no private key, expected PEM (-----BEGIN PRIVATE KEY-----)%s", key, path,
			  c->keyfile ? "" : " there, or keyfile to name it");
	EVP_PKEY_free(pkey);
	BIO_free(mem);
	engine_text_free(&t);
	return ret;
}

/* What a store URI gives: the first certificate is ours, the others are its chain. */
struct found {
	EVP_PKEY *pkey;
	X509 *cert;
	STACK_OF(X509) *chain;
};

static void
found_free(struct found *f)
{
	EVP_PKEY_free(f->pkey);
	X509_free(f->cert);
	sk_X509_pop_free(f->chain, X509_free);
}

static bool
found_add(struct found *f, OSSL_STORE_INFO *info)
{
	X509 *x;

	if (OSSL_STORE_INFO_get_type(info) == OSSL_STORE_INFO_PKEY && !f->pkey)
		f->pkey = OSSL_STORE_INFO_get1_PKEY(info);
	if (OSSL_STORE_INFO_get_type(info) != OSSL_STORE_INFO_CERT)
		return true;
	x = OSSL_STORE_INFO_get1_CERT(info);
	if (!f->cert) {
		f->cert = x;
		return x != NULL;
	}
	if (!f->chain)
		f->chain = sk_X509_new_null();
	if (f->chain && x && sk_X509_push(f->chain, x))
		return true;
	X509_free(x);
	return false;
}

static int
store_load(struct found *f, const char *uri, struct password *pw, const char *key, struct engine_report *r)
{
	UI_METHOD *ui = UI_UTIL_wrap_read_pem_callback(password_answer, 0);
	char scheme[32];
	OSSL_STORE_CTX *store;
	bool ok = true;

	snprintf(scheme, sizeof(scheme), "%.*s", (int)strcspn(uri, ":"), uri);
	if (strcmp(scheme, "file") != 0)
		OSSL_PROVIDER_try_load(engine_lib(), scheme, 1);	/* a token's provider is named after its URIs */
	store = ui ? OSSL_STORE_open_ex(uri, engine_lib(), NULL, ui, pw, NULL, NULL, NULL) : NULL;
	while (store && ok && !OSSL_STORE_eof(store)) {
		OSSL_STORE_INFO *info = OSSL_STORE_load(store);

		/* OpenSSL calls the end an error too. */
		ok = info ? found_add(f, info) : OSSL_STORE_eof(store) || !OSSL_STORE_error(store);
		OSSL_STORE_INFO_free(info);
	}
	ok = store && ok;
	if (!ok)
		SAY(r, "%s %s: the store cannot be read: %s", key, uri, engine_queue_reason());
	OSSL_STORE_close(store);
	UI_destroy_method(ui);
	return ok ? 0 : -1;
}

static int
load_certificate_uri(SSL_CTX *ctx, const struct config *c, struct password *pw, struct engine_report *r)
{
	struct found f = {0};
	int ret = store_load(&f, c->certfile, pw, "certfile", r);

	if (ret == 0 && !f.cert)
		ret = SAY(r, "certfile %s: the store holds no certificate there", c->certfile);
	if (ret == 0)
		ret = use_certificate(ctx, f.cert, c->certfile, r);
	if (ret == 0 && f.chain && !SSL_CTX_set1_chain(ctx, f.chain))
		ret = SAY(r, "certfile %s: OpenSSL refuses the chain: %s", c->certfile, engine_queue_reason());
	found_free(&f);
	return ret;
}

static int
load_key_uri(SSL_CTX *ctx, const struct config *c, struct password *pw, const char *key, const char *uri, struct engine_report *r)
{
	struct found f = {0};
	int ret = store_load(&f, uri, pw, key, r);

	if (pw->asked && !f.pkey)
		ret = say_locked(c, pw, key, uri, r);
	else if (ret == 0 && !f.pkey)
		ret = SAY(r, "%s %s: the store holds no private key there", key, uri);
	if (ret == 0)
		ret = use_key(ctx, c, f.pkey, key, uri, r);
	found_free(&f);
	return ret;
}

int
engine_load_credentials(SSL_CTX *ctx, const struct config *c, struct engine_report *r)
{
	const char *key = c->keyfile ? "keyfile" : "certfile", *path = c->keyfile ? c->keyfile : c->certfile;
	struct password pw;
	int ret;

	SSL_CTX_set_default_passwd_cb(ctx, password_answer);	/* refuses: there is no user data */
	if (c->credentials)
		return engine_use_credentials(ctx, c->credentials, r);
	if (!c->certfile)
		return 0;
	if (password_load(&pw, c, r) < 0)
		return -1;
	ret = is_store_uri(c->certfile) ? load_certificate_uri(ctx, c, &pw, r) : load_certificate_file(ctx, c, r);
	if (ret == 0)
		ret = is_store_uri(path) ? load_key_uri(ctx, c, &pw, key, path, r) : load_key_file(ctx, c, &pw, key, path, r);
	OPENSSL_cleanse(&pw, sizeof(pw));
	return ret;
}
