/*
 * engine_openssl_scope.c - where a session may be resumed: the session id context.
 *
 * A resumed session is not verified anew, so it must not reach a context that would verify otherwise.  Left alone every context has
 * random bytes there.  Where processes share sessions it is the hash of all that decides whether a peer is accepted: settings, and
 * what the files hold - on servers, whose hosts share ticket_keys, by content; on clients by what stat(2) says of them.
 */
#include <sys/stat.h>

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "engine.h"
#include "engine_openssl.h"

enum { FOLDER_MOST = 4096 };

struct hash {
	EVP_MD_CTX *md;
	bool failed;
};

static void
hash_begin(struct hash *h)
{
	EVP_MD *sha256 = EVP_MD_fetch(engine_lib(), "SHA256", NULL);

	h->md = EVP_MD_CTX_new();
	h->failed = !sha256 || !h->md || !EVP_DigestInit_ex(h->md, sha256, NULL);
	EVP_MD_free(sha256);
}

static void
hash_bytes(struct hash *h, const void *bytes, size_t len)
{
	h->failed = h->failed || !EVP_DigestUpdate(h->md, &len, sizeof(len)) || !EVP_DigestUpdate(h->md, bytes, len);
}

static bool
hash_end(struct hash *h, uint8_t out[static ENGINE_SCOPE_BYTES])
{
	h->failed = h->failed || !EVP_DigestFinal_ex(h->md, out, NULL);
	EVP_MD_CTX_free(h->md);
	return !h->failed;
}

static void
hash_setting(void *arg, const char *key, const char *value)
{
	hash_bytes(arg, key, strlen(key));
	hash_bytes(arg, value, strlen(value));
}

/* ---- files by what stat(2) says ---- */

static void
hash_stat(struct hash *h, const char *path, const struct stat *st)
{
	const uint64_t what[] = {
		(uint64_t)st->st_dev, (uint64_t)st->st_ino, (uint64_t)st->st_size, (uint64_t)st->st_mtim.tv_sec, (uint64_t)st->st_mtim.tv_nsec,
		(uint64_t)st->st_ctim.tv_sec, (uint64_t)st->st_ctim.tv_nsec,
	};

	hash_bytes(h, path, strlen(path));
	hash_bytes(h, what, sizeof(what));
}

/* Entries come in no order of ours: what is summed up is each one's own hash. */
static void
hash_entries(struct hash *h, const char *path)
{
	uint8_t sum[ENGINE_SCOPE_BYTES] = {0}, own[ENGINE_SCOPE_BYTES];
	const struct dirent *entry;
	DIR *dir = opendir(path);
	size_t n = 0;

	while (dir && !h->failed && (entry = readdir(dir)) != NULL) {
		struct hash one;
		struct stat st;

		if (strspn(entry->d_name, ".") == strlen(entry->d_name))
			continue;
		hash_begin(&one);
		memset(&st, 0, sizeof(st));
		fstatat(dirfd(dir), entry->d_name, &st, 0);	/* a link that leads nowhere is nothing to OpenSSL either */
		hash_stat(&one, entry->d_name, &st);
		h->failed = !hash_end(&one, own) || ++n > FOLDER_MOST;
		for (size_t i = 0; i < sizeof(sum); i++)
			sum[i] ^= own[i];
	}
	h->failed = h->failed || !dir;
	if (dir)
		closedir(dir);
	hash_bytes(h, sum, sizeof(sum));
}

/* A list of folders in the environment, too, is one path here: then it is told apart by its name alone. */
static void
hash_path(struct hash *h, const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0)
		hash_bytes(h, path, strlen(path));
	else
		hash_stat(h, path, &st);
}

static void
hash_system_trust(struct hash *h)
{
	struct engine_paths p;
	const char *file, *path;

	engine_default_paths(&p);
	file = secure_getenv(p.cafile_env);
	path = secure_getenv(p.capath_env);
	hash_path(h, file ? file : p.cafile);
	hash_path(h, path ? path : p.capath);
}

struct files {
	struct hash *hash;
	bool server;
};

static void
hash_file(void *arg, const char *key, const char *path)
{
	struct files *f = arg;
	struct hash *h = f->hash;
	bool folder = strcmp(key, "capath") == 0, trust = strcmp(key, "ca_certs") == 0, crls = strcmp(key, "crlfile") == 0;

	if (trust && strcmp(path, "system") == 0)
		hash_system_trust(h);
	else if (folder)
		hash_entries(h, path);
	if (folder || ((trust || crls) && !f->server))
		hash_path(h, path);
}

/* ---- what a context holds ---- */

static void
hash_name(struct hash *h, const X509_NAME *name)
{
	const unsigned char *der;
	size_t len;

	h->failed = h->failed || !X509_NAME_get0_der(name, &der, &len);
	if (!h->failed)
		hash_bytes(h, der, len);
}

/*
 * A server by the names that it answers for, which its next certificate and those of the other hosts have, too; a client by its
 * certificate.
 */
static void
hash_own_certificate(struct hash *h, SSL_CTX *ssl, bool server)
{
	const X509 *leaf = SSL_CTX_get0_certificate(ssl);
	uint8_t digest[EVP_MAX_MD_SIZE];
	unsigned len = 0;
	int at;

	if (!leaf)
		return;
	if (!server) {
		h->failed = h->failed || !X509_digest(leaf, EVP_sha256(), digest, &len);
		hash_bytes(h, digest, len);
		return;
	}
	hash_name(h, X509_get_subject_name(leaf));
	at = X509_get_ext_by_NID(leaf, NID_subject_alt_name, -1);
	if (at >= 0) {
		const ASN1_OCTET_STRING *names = X509_EXTENSION_get_data(X509_get_ext(leaf, at));

		hash_bytes(h, ASN1_STRING_get0_data(names), (size_t)ASN1_STRING_length(names));
	}
}

/* Authorities and CRLs, in whatever order. */
static void
hash_store(struct hash *h, SSL_CTX *ssl)
{
	STACK_OF(X509_OBJECT) *objects = X509_STORE_get0_objects(SSL_CTX_get_cert_store(ssl));
	uint8_t sum[EVP_MAX_MD_SIZE] = {0}, digest[EVP_MAX_MD_SIZE];

	for (int i = 0; i < sk_X509_OBJECT_num(objects); i++) {
		X509_OBJECT *o = sk_X509_OBJECT_value(objects, i);
		X509 *x = X509_OBJECT_get0_X509(o);
		X509_CRL *crl = X509_OBJECT_get0_X509_CRL(o);
		unsigned len = 0;

		h->failed = h->failed || (x && !X509_digest(x, EVP_sha256(), digest, &len)) ||
			    (crl && !X509_CRL_digest(crl, EVP_sha256(), digest, &len));
		for (unsigned j = 0; j < len; j++)
			sum[j] ^= digest[j];
	}
	hash_bytes(h, sum, sizeof(sum));
}

/* ---- the whole ---- */

static bool
shares(const struct config *c)
{
	return c->role == CONFIG_SERVER ? c->ticket_keys != NULL : c->session_cache == CONFIG_SESSIONS_FILE && c->place;
}

bool
engine_scope_files(const struct config *c, uint8_t out[static ENGINE_SCOPE_BYTES])
{
	struct hash h;
	struct files f = {&h, c->role == CONFIG_SERVER};

	memset(out, 0, ENGINE_SCOPE_BYTES);
	if (!shares(c))
		return true;
	hash_begin(&h);
	config_describe_files(c, hash_file, &f);
	return hash_end(&h, out);
}

static bool
make_scope(const struct engine_ctx *ctx, const struct config *c, const uint8_t files[static ENGINE_SCOPE_BYTES],
	   uint8_t out[static ENGINE_SCOPE_BYTES])
{
	static const char label[] = "wrapsock 1";
	unsigned long version = engine_library_number();
	struct hash h;

	hash_begin(&h);
	hash_bytes(&h, label, sizeof(label));
	config_describe(c, hash_setting, &h);
	hash_bytes(&h, files, ENGINE_SCOPE_BYTES);
	hash_own_certificate(&h, ctx->ssl, c->role == CONFIG_SERVER);
	if (c->role == CONFIG_SERVER) {
		hash_store(&h, ctx->ssl);
	} else {
		hash_bytes(&h, &version, sizeof(version));
		hash_bytes(&h, c->place, strlen(c->place));
	}
	return hash_end(&h, out);
}

bool
engine_set_scope(struct engine_ctx *ctx, const struct config *c, const uint8_t before[static ENGINE_SCOPE_BYTES])
{
	uint8_t after[ENGINE_SCOPE_BYTES];

	ctx->shared = shares(c) && engine_scope_files(c, after) && memcmp(before, after, sizeof(after)) == 0;
	ctx->shared = ctx->shared && make_scope(ctx, c, after, ctx->scope);
	if (!ctx->shared && RAND_bytes_ex(engine_lib(), ctx->scope, sizeof(ctx->scope), 0) <= 0)
		return false;
	return SSL_CTX_set_session_id_context(ctx->ssl, ctx->scope, sizeof(ctx->scope));
}

bool
engine_scope_peer(const struct engine_ctx *ctx, const char *peer, uint8_t out[static ENGINE_SCOPE_BYTES])
{
	struct hash h;

	hash_begin(&h);
	hash_bytes(&h, ctx->scope, sizeof(ctx->scope));
	hash_bytes(&h, peer, strlen(peer));
	return hash_end(&h, out);
}
