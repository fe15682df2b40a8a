/*
 * engine_openssl_trust.c - what contexts of the explicit API load piece by piece: authorities and credentials, each kept in an object of
 * OpenSSL's that sealed configs share.
 */
#include <sys/stat.h>

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509err.h>

#include "engine.h"
#include "engine_openssl.h"

#define SAY(why, ...) engine_say((why)->text, sizeof((why)->text), __VA_ARGS__)

int
engine_refuse_setting(struct engine_refusal *why, enum engine_fault otherwise, int error)
{
	unsigned long code = ERR_peek_error();
	int lib = ERR_GET_LIB(code), reason = ERR_GET_REASON(code);

	why->fault = error ? ENGINE_FAULT_FILE : otherwise;
	why->error = error;
	engine_mnemonic(code, why->reason, sizeof(why->reason));
	if (reason == ERR_R_MALLOC_FAILURE || strcmp(why->text, "out of memory") == 0)
		why->fault = ENGINE_FAULT_NOMEM;
	else if (lib == ERR_LIB_X509 && (reason == X509_R_KEY_VALUES_MISMATCH || reason == X509_R_KEY_TYPE_MISMATCH))
		why->fault = ENGINE_FAULT_KEY;
	else if (lib == ERR_LIB_SSL && reason == SSL_R_NO_CIPHER_MATCH)
		why->fault = ENGINE_FAULT_CIPHER;
	return -1;
}

static int
refuse_nomem(struct engine_refusal *why)
{
	SAY(why, "out of memory");
	return engine_refuse_setting(why, ENGINE_FAULT_NOMEM, 0);
}

/* ---- authorities ---- */

struct trust {
	X509_STORE *store;
	bool folder;		/* more can be found where it has been told to look */
	_Atomic int refs;
};

void *
engine_trust_new(void)
{
	struct trust *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	atomic_init(&t->refs, 1);
	engine_lib();		/* before anything else of OpenSSL's */
	t->store = X509_STORE_new();
	if (t->store)
		return t;
	free(t);
	return NULL;
}

void
engine_trust_ref(void *arg)
{
	struct trust *t = arg;

	if (t)
		atomic_fetch_add(&t->refs, 1);
}

void
engine_trust_free(void *arg)
{
	struct trust *t = arg;

	if (!t || atomic_fetch_sub(&t->refs, 1) > 1)
		return;
	if (engine_alive())
		X509_STORE_free(t->store);
	free(t);
}

X509_STORE *
engine_trust_store(void *arg)
{
	struct trust *t = arg;

	return X509_STORE_up_ref(t->store) ? t->store : NULL;
}

size_t
engine_trust_count(const void *arg)
{
	const struct trust *t = arg;
	STACK_OF(X509_OBJECT) *objects;
	size_t n = 0;

	if (!engine_alive() || !X509_STORE_lock(t->store))
		return 0;
	objects = X509_STORE_get0_objects(t->store);
	for (int i = 0; i < sk_X509_OBJECT_num(objects); i++)
		n += X509_OBJECT_get_type(sk_X509_OBJECT_value(objects, i)) == X509_LU_X509;
	X509_STORE_unlock(t->store);
	return n;
}

bool
engine_trust_empty(const void *arg)
{
	const struct trust *t = arg;

	return !t->folder && engine_trust_count(t) == 0;
}

/* Nobody is asked for what might be encrypted. */
static int
no_password(char *buf, int size, int rwflag, void *arg)
{
	(void)buf, (void)size, (void)rwflag, (void)arg;
	return -1;
}

static int
add_infos(X509_STORE *store, STACK_OF(X509_INFO) *infos, const char *what, struct engine_refusal *why)
{
	int n = 0;

	for (int i = 0; i < sk_X509_INFO_num(infos); i++) {
		const X509_INFO *info = sk_X509_INFO_value(infos, i);

		n += info->x509 || info->crl;
	}
	if (n == 0) {
		SAY(why, "%s: holds no certificate, expected PEM (-----BEGIN CERTIFICATE-----)", what);
		return engine_refuse_setting(why, ENGINE_FAULT_CONTENT, 0);
	}
	for (int i = 0; i < sk_X509_INFO_num(infos); i++) {
		X509_INFO *info = sk_X509_INFO_value(infos, i);

		if ((info->x509 && !X509_STORE_add_cert(store, info->x509)) || (info->crl && !X509_STORE_add_crl(store, info->crl)))
			return refuse_nomem(why);
	}
	return 0;
}

static int
add_pem(X509_STORE *store, BIO *in, const char *what, struct engine_refusal *why)
{
	STACK_OF(X509_INFO) *infos = in ? PEM_X509_INFO_read_bio_ex(in, NULL, no_password, NULL, engine_lib(), NULL) : NULL;
	int ret;

	if (infos) {
		ret = add_infos(store, infos, what, why);
	} else if (in) {
		SAY(why, "%s: not valid PEM: %s", what, engine_queue_reason());
		ret = engine_refuse_setting(why, ENGINE_FAULT_CONTENT, 0);
	} else {
		ret = refuse_nomem(why);
	}
	sk_X509_INFO_pop_free(infos, X509_INFO_free);
	BIO_free(in);
	return ret;
}

static int
add_der(X509_STORE *store, const struct engine_bytes *from, struct engine_refusal *why)
{
	STACK_OF(X509_INFO) *infos = sk_X509_INFO_new_null();
	const unsigned char *at = from->bytes, *end = at + from->len;
	int ret = infos ? 0 : refuse_nomem(why);

	while (ret == 0 && at < end) {
		X509_INFO *info = X509_INFO_new();

		if (!info || !sk_X509_INFO_push(infos, info)) {
			X509_INFO_free(info);
			ret = refuse_nomem(why);
		} else if (!(info->x509 = d2i_X509(NULL, &at, end - at))) {
			SAY(why, "certificates in memory: neither PEM nor DER: %s", engine_queue_reason());
			ret = engine_refuse_setting(why, ENGINE_FAULT_CONTENT, 0);
		}
	}
	if (ret == 0)
		ret = add_infos(store, infos, "certificates in memory", why);
	sk_X509_INFO_pop_free(infos, X509_INFO_free);
	return ret;
}

static int
add_memory(X509_STORE *store, const struct engine_bytes *from, struct engine_refusal *why)
{
	if (from->len > INT_MAX) {
		SAY(why, "certificates in memory: larger than 2 GiB");
		return engine_refuse_setting(why, ENGINE_FAULT_VALUE, 0);
	}
	if (from->len == 0 || memmem(from->bytes, from->len, "-----BEGIN ", 11))
		return add_pem(store, BIO_new_mem_buf(from->bytes, (int)from->len), "certificates in memory", why);
	return add_der(store, from, why);
}

static int
refuse_path(struct engine_refusal *why, const char *key, const char *path, int error)
{
	SAY(why, "%s %s: %s", key, path, strerror(error));
	return engine_refuse_setting(why, ENGINE_FAULT_FILE, error);
}

static int
add_file(X509_STORE *store, const char *path, struct engine_refusal *why)
{
	FILE *f = fopen(path, "re");
	struct stat st;
	char what[PATH_MAX + 16];
	int ret;

	if (!f)
		return refuse_path(why, "cafile", path, errno);
	snprintf(what, sizeof(what), "cafile %s", path);
	if (fstat(fileno(f), &st) == 0 && S_ISDIR(st.st_mode))
		ret = refuse_path(why, "cafile", path, EISDIR);
	else
		ret = add_pem(store, BIO_new_fp(f, BIO_NOCLOSE), what, why);
	fclose(f);
	return ret;
}

/* OpenSSL takes any text for a folder. */
static int
check_folder(const char *path, struct engine_refusal *why)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return refuse_path(why, "capath", path, errno);
	if (!S_ISDIR(st.st_mode))
		return refuse_path(why, "capath", path, ENOTDIR);
	return access(path, R_OK | X_OK) < 0 ? refuse_path(why, "capath", path, errno) : 0;
}

/* All that can fail for reasons of the files comes before anything is added. */
static int
add_paths(struct trust *t, const char *cafile, const char *capath, struct engine_refusal *why)
{
	if (capath && check_folder(capath, why) < 0)
		return -1;
	if (cafile && add_file(t->store, cafile, why) < 0)
		return -1;
	if (!capath)
		return 0;
	t->folder = true;
	return X509_STORE_load_path(t->store, capath) ? 0 : refuse_nomem(why);
}

/* Is there a file with a hashed name, "5ed36f99.0"? */
static bool
has_hashed(const char *path)
{
	DIR *d = opendir(path);
	struct dirent *entry;
	bool found = false;

	while (d && !found && (entry = readdir(d)) != NULL)
		found = strspn(entry->d_name, "0123456789abcdef") == 8 && entry->d_name[8] == '.';
	if (d)
		closedir(d);
	return found;
}

static int
add_system(struct trust *t, struct engine_refusal *why)
{
	const char *folder = secure_getenv(X509_get_default_cert_dir_env());

	if (!X509_STORE_set_default_paths_ex(t->store, engine_lib(), NULL))
		return refuse_nomem(why);
	if (has_hashed(folder ? folder : X509_get_default_cert_dir()))
		t->folder = true;
	return 0;
}

int
engine_trust_add(void *arg, const struct engine_authorities *a, struct engine_refusal *why)
{
	struct trust *t = arg;
	struct engine_guard g;
	int ret;

	*why = (struct engine_refusal){ .fault = ENGINE_FAULT_VALUE };
	if (!engine_lib()) {
		SAY(why, "OpenSSL cannot be used: it could not be started, or the process has shut it down");
		return -1;
	}
	engine_guard_enter(&g);
	if (a->memory.bytes)
		ret = add_memory(t->store, &a->memory, why);
	else if (a->cafile || a->capath)
		ret = add_paths(t, a->cafile, a->capath, why);
	else
		ret = add_system(t, why);
	engine_guard_leave(&g);
	return ret;
}

/* ---- credentials: a context of OpenSSL's that holds them ---- */

struct credentials {
	SSL_CTX *ssl;
	_Atomic int refs;
};

void
engine_credentials_ref(void *arg)
{
	struct credentials *k = arg;

	if (k)
		atomic_fetch_add(&k->refs, 1);
}

void
engine_credentials_free(void *arg)
{
	struct credentials *k = arg;
	struct engine_guard g;

	if (!k || atomic_fetch_sub(&k->refs, 1) > 1)
		return;
	if (engine_alive()) {
		engine_guard_enter(&g);
		SSL_CTX_free(k->ssl);
		engine_guard_leave(&g);
	}
	free(k);
}

static int
load(struct credentials *k, const struct config *c, struct engine_report *r, struct engine_refusal *why)
{
	k->ssl = SSL_CTX_new_ex(engine_lib(), NULL, TLS_method());
	ERR_clear_error();
	if (!k->ssl)
		return refuse_nomem(why);
	SSL_CTX_set_security_level(k->ssl, engine_security_level(c));
	return engine_load_credentials(k->ssl, c, r) == 0 ? 0 : engine_refuse_setting(why, ENGINE_FAULT_CONTENT, r->error);
}

void *
engine_credentials_new(const struct config *c, const struct engine_bytes *cert, const struct engine_bytes *key, struct engine_refusal *why)
{
	char warn[256] = "";	/* nobody to tell: strict_keys is for who wants to know */
	struct engine_report r = { .err = why->text, .errsize = sizeof(why->text), .warn = warn, .warnsize = sizeof(warn) };
	struct credentials *k = calloc(1, sizeof(*k));
	struct engine_guard g;

	*why = (struct engine_refusal){ .fault = ENGINE_FAULT_VALUE };
	r.cert = cert;
	r.key = key;
	if (!k || !engine_lib()) {
		SAY(why, k ? "OpenSSL cannot be used: the process has shut it down" : "out of memory");
		why->fault = k ? ENGINE_FAULT_VALUE : ENGINE_FAULT_NOMEM;
		free(k);
		return NULL;
	}
	atomic_init(&k->refs, 1);
	engine_guard_enter(&g);
	if (load(k, c, &r, why) < 0) {
		engine_credentials_free(k);
		k = NULL;
	}
	engine_guard_leave(&g);
	return k;
}

int
engine_use_credentials(SSL_CTX *ctx, void *arg, struct engine_report *r)
{
	struct credentials *k = arg;
	STACK_OF(X509) *chain = NULL;

	if (!SSL_CTX_use_certificate(ctx, SSL_CTX_get0_certificate(k->ssl)) || !SSL_CTX_use_PrivateKey(ctx, SSL_CTX_get0_privatekey(k->ssl)))
		return ENGINE_SAY(r, "the certificate cannot be used with these settings: %s", engine_queue_reason());
	SSL_CTX_get0_chain_certs(k->ssl, &chain);
	if (chain && !SSL_CTX_set1_chain(ctx, chain))
		return ENGINE_SAY(r, "the certificate's chain cannot be used with these settings: %s", engine_queue_reason());
	return 0;
}
