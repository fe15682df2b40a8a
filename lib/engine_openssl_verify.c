/*
 * engine_openssl_verify.c - whom we trust, and under which name.
 */
#include <sys/stat.h>

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <openssl/x509_vfy.h>

#include "engine.h"
#include "engine_openssl.h"

enum { NAME_MAX_DNS = 253 };

/* ---- trust ---- */

static bool
holds_certificate(X509_STORE *store)
{
	STACK_OF(X509_OBJECT) *objects = X509_STORE_get0_objects(store);

	for (int i = 0; i < sk_X509_OBJECT_num(objects); i++)
		if (X509_OBJECT_get_type(sk_X509_OBJECT_value(objects, i)) == X509_LU_X509)
			return true;
	return false;
}

static int
load_ca_file(X509_STORE *store, const char *path, char *err, size_t errsize)
{
	FILE *f = fopen(path, "re");
	struct stat st;
	bool dir;

	if (!f)
		return engine_say(err, errsize, "ca_certs %s: %s", path, strerror(errno));
	dir = fstat(fileno(f), &st) == 0 && S_ISDIR(st.st_mode);
	fclose(f);
	if (dir)
		return engine_say(err, errsize, "ca_certs %s: is a directory, expected a PEM file (or capath)", path);
	if (X509_STORE_load_file_ex(store, path, engine_lib(), NULL) && holds_certificate(store))
		return 0;
	if (holds_certificate(store) || ERR_GET_LIB(ERR_peek_error()) == ERR_LIB_PEM)
		return engine_say(err, errsize, "ca_certs %s: not valid PEM: %s", path, engine_queue_reason());
	return engine_say(err, errsize, "ca_certs %s: holds no certificate, expected PEM (-----BEGIN CERTIFICATE-----)", path);
}

static int
load_ca_path(X509_STORE *store, const char *path, char *err, size_t errsize)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return engine_say(err, errsize, "capath %s: %s", path, strerror(errno));
	if (!S_ISDIR(st.st_mode))
		return engine_say(err, errsize, "capath %s: not a directory (ca_certs takes a file)", path);
	if (X509_STORE_load_path(store, path))
		return 0;
	return engine_say(err, errsize, "capath %s: %s", path, engine_queue_reason());
}

/* A server tells its clients whose certificates it takes. The system store would make that list longer than a record. */
static bool
send_ca_names(SSL_CTX *ctx, X509_STORE *store, const struct config *c)
{
	STACK_OF(X509_NAME) *names = sk_X509_NAME_new_null();
	STACK_OF(X509_OBJECT) *objects = X509_STORE_get0_objects(store);

	if (!names)
		return false;
	SSL_CTX_set_client_CA_list(ctx, names);
	if (c->role != CONFIG_SERVER || c->cert_reqs == CONFIG_CERT_NONE)
		return true;
	for (int i = 0; i < sk_X509_OBJECT_num(objects); i++) {
		X509 *x = X509_OBJECT_get0_X509(sk_X509_OBJECT_value(objects, i));

		if (x && !SSL_CTX_add_client_CA(ctx, x))
			return false;
	}
	return !c->capath || SSL_add_dir_cert_subjects_to_stack(names, c->capath);
}

int
engine_load_trust(SSL_CTX *ctx, const struct config *c, char *err, size_t errsize)
{
	X509_STORE *store = X509_STORE_new();
	bool system = c->ca_certs && strcmp(c->ca_certs, "system") == 0;

	if (!store)
		return engine_say(err, errsize, "out of memory");
	SSL_CTX_set_cert_store(ctx, store);	/* takes it; nothing of the host's openssl.cnf stays */
	if (c->cert_reqs == CONFIG_CERT_NONE && system)
		return 0;
	if (system && !X509_STORE_set_default_paths_ex(store, engine_lib(), NULL))
		return engine_say(err, errsize, "ca_certs system: %s", engine_queue_reason());
	if (c->ca_certs && !system && load_ca_file(store, c->ca_certs, err, errsize) < 0)
		return -1;
	if (c->capath && load_ca_path(store, c->capath, err, errsize) < 0)
		return -1;
	if (!send_ca_names(ctx, store, c))
		return engine_say(err, errsize, "%s %s: %s", c->capath ? "capath" : "ca_certs", c->capath ? c->capath : c->ca_certs,
				  engine_queue_reason());
	return 0;
}

/* Changes no verdict: it keeps the certificate that is refused, for the log. */
static int
note_refusal(int ok, X509_STORE_CTX *sctx)
{
	const SSL *ssl = X509_STORE_CTX_get_ex_data(sctx, SSL_get_ex_data_X509_STORE_CTX_idx());
	struct engine *e = ssl ? SSL_get_app_data(ssl) : NULL;
	X509 *leaf = X509_STORE_CTX_get0_cert(sctx);

	if (!ok && e && !e->refused && leaf && X509_up_ref(leaf))
		e->refused = leaf;
	return ok;
}

int
engine_verify_mode(const struct config *c)
{
	if (c->cert_reqs == CONFIG_CERT_NONE)
		return SSL_VERIFY_NONE;
	if (c->cert_reqs == CONFIG_CERT_REQUIRED)
		return SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
	return SSL_VERIFY_PEER;
}

void
engine_set_verify(SSL_CTX *ctx, const struct config *c)
{
	X509_VERIFY_PARAM *param = SSL_CTX_get0_param(ctx);

	SSL_CTX_set_verify(ctx, engine_verify_mode(c), note_refusal);
	SSL_CTX_set_verify_depth(ctx, 100);
	/* Not X509_V_FLAG_X509_STRICT: it refuses the CAs that `openssl req -x509` makes. */
	X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_TRUSTED_FIRST | X509_V_FLAG_PARTIAL_CHAIN);
	X509_VERIFY_PARAM_set_purpose(param, c->role == CONFIG_CLIENT ? X509_PURPOSE_SSL_SERVER : X509_PURPOSE_SSL_CLIENT);
	X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
}

/* ---- the expected name ---- */

/* "[::1]" and "fe80::1%eth0" are addresses too. false = a name. */
static bool
address_literal(const char *name, char *out, size_t size)
{
	size_t len = strlen(name);
	unsigned char bin[16];

	if (len >= 2 && name[0] == '[' && name[len - 1] == ']') {
		name++;
		len -= 2;
	}
	if (len >= size)
		return false;
	memcpy(out, name, len);
	out[len] = '\0';
	if (inet_pton(AF_INET, out, bin) == 1)
		return true;
	out[strcspn(out, "%")] = '\0';
	return inet_pton(AF_INET6, out, bin) == 1;
}

/* To OpenSSL an empty name means no check and a leading dot any subdomain. */
static bool
dns_name(const char *name, char out[static NAME_MAX_DNS + 1])
{
	size_t len = strlen(name);

	if (len > 1 && name[len - 1] == '.')
		len--;
	if (len == 0 || len > NAME_MAX_DNS || name[0] == '.')
		return false;
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)name[i] <= ' ' || (unsigned char)name[i] >= 0x7f || strchr("*:/[]", name[i]))
			return false;
	memcpy(out, name, len);
	out[len] = '\0';
	return true;
}

bool
engine_set_name(struct engine *e, const char *name)
{
	bool check = e->config->cert_reqs != CONFIG_CERT_NONE && e->config->check_hostname;
	X509_VERIFY_PARAM *param = SSL_get0_param(e->ssl);
	char address[64], dns[NAME_MAX_DNS + 1];

	if (!name) {
		if (check)
			engine_refuse(e, "there is no name to verify the certificate against", "NO_NAME", "server_hostname");
		return true;
	}
	if (address_literal(name, address, sizeof(address)))
		return !check || X509_VERIFY_PARAM_set1_ip_asc(param, address);
	if (!dns_name(name, dns)) {
		engine_refuse(e, "the expected name is not a valid host name", "BAD_NAME", "server_hostname");
		return true;
	}
	if (check && !X509_VERIFY_PARAM_set1_host(param, dns, strlen(dns)))
		return false;
	return SSL_set_tlsext_host_name(e->ssl, dns) == 1;
}

/* ---- after the handshake: trust nothing but what OpenSSL says now ---- */

bool
engine_peer_accepted(const struct engine *e)
{
	if (e->config->cert_reqs == CONFIG_CERT_NONE)
		return true;
	if (!SSL_get0_peer_certificate(e->ssl))
		return e->config->cert_reqs == CONFIG_CERT_OPTIONAL;
	return SSL_get_verify_result(e->ssl) == X509_V_OK;
}

enum engine_result
engine_refuse(struct engine *e, const char *sentence, const char *reason, const char *hint)
{
	e->verify_code = e->done ? 0 : SSL_get_verify_result(e->ssl);
	snprintf(e->error, sizeof(e->error), "%s", sentence);
	snprintf(e->reason, sizeof(e->reason), "%s", reason);
	e->hint = hint;
	return e->failed = ENGINE_VERIFY;
}

enum engine_verify_kind
engine_verify_kind(const struct engine *e)
{
	if (e->verify_code == X509_V_ERR_CERT_HAS_EXPIRED || e->verify_code == X509_V_ERR_CERT_NOT_YET_VALID)
		return ENGINE_VERIFY_EXPIRED;
	return e->verify_code == X509_V_ERR_CERT_REVOKED ? ENGINE_VERIFY_REVOKED : ENGINE_VERIFY_REJECTED;
}
