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

static int
count_certificates(X509_STORE *store)
{
	STACK_OF(X509_OBJECT) *objects = X509_STORE_get0_objects(store);
	int n = 0;

	for (int i = 0; i < sk_X509_OBJECT_num(objects); i++)
		n += X509_OBJECT_get_type(sk_X509_OBJECT_value(objects, i)) == X509_LU_X509;
	return n;
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
	if (X509_STORE_load_file_ex(store, path, engine_lib(), NULL) && count_certificates(store) > 0)
		return 0;
	if (count_certificates(store) > 0 || ERR_GET_LIB(ERR_peek_error()) == ERR_LIB_PEM)
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

static int
load_store(struct engine_ctx *ctx, X509_STORE *store, const struct config *c, struct engine_report *r)
{
	bool system = !c->trust && c->ca_certs && strcmp(c->ca_certs, "system") == 0;

	if (c->cert_reqs == CONFIG_CERT_NONE && system)
		return 0;
	if (system && !X509_STORE_set_default_paths_ex(store, engine_lib(), NULL))
		return ENGINE_SAY(r, "ca_certs system: %s", engine_queue_reason());
	if (c->ca_certs && !system && !c->trust && load_ca_file(store, c->ca_certs, r->err, r->errsize) < 0)
		return -1;
	ctx->roots = count_certificates(store);
	if (c->capath && !c->trust && load_ca_path(store, c->capath, r->err, r->errsize) < 0)
		return -1;
	return c->crlfile ? engine_load_crls(ctx, store, c->crlfile, r) : 0;
}

int
engine_load_trust(struct engine_ctx *ctx, const struct config *c, struct engine_report *r)
{
	X509_STORE *store = c->trust ? engine_trust_store(c->trust) : X509_STORE_new();

	if (!store)
		return ENGINE_SAY(r, "out of memory");
	SSL_CTX_set_cert_store(ctx->ssl, store);	/* takes it; nothing of the host's openssl.cnf stays */
	if (load_store(ctx, store, c, r) < 0)
		return -1;
	if (!send_ca_names(ctx->ssl, store, c))
		return ENGINE_SAY(r, "%s %s: %s", c->capath ? "capath" : "ca_certs", c->capath ? c->capath : c->ca_certs,
				  engine_queue_reason());
	return 0;
}

/* ---- the verdict ---- */

static struct engine *
engine_of(X509_STORE_CTX *sctx)
{
	const SSL *ssl = X509_STORE_CTX_get_ex_data(sctx, SSL_get_ex_data_X509_STORE_CTX_idx());

	return ssl ? SSL_get_app_data(ssl) : NULL;
}

/* OpenSSL passes such a certificate over when it looks for an issuer, and calls the issuer missing. */
static bool
malformed(X509 *leaf, STACK_OF(X509) *others)
{
	uint32_t flags = X509_get_extension_flags(leaf);

	for (int i = 0; i < sk_X509_num(others); i++)
		flags |= X509_get_extension_flags(sk_X509_value(others, i));
	return flags & EXFLAG_INVALID;
}

/* Changes no verdict: it keeps the certificates that are refused and to blame, for the log. */
static int
note_refusal(int ok, X509_STORE_CTX *sctx)
{
	struct engine *e = engine_of(sctx);
	X509 *leaf = X509_STORE_CTX_get0_cert(sctx), *culprit = X509_STORE_CTX_get_current_cert(sctx);

	if (ok || !e || e->refused || !leaf || !X509_up_ref(leaf))
		return ok;
	e->refused = leaf;
	e->depth = X509_STORE_CTX_get_error_depth(sctx);
	e->malformed = malformed(leaf, X509_STORE_CTX_get0_untrusted(sctx));
	if (culprit && X509_up_ref(culprit))
		e->culprit = culprit;
	return ok;
}

static const char *
unmet_demand(const struct engine *e, X509 *leaf, STACK_OF(X509) *chain)
{
	if (!SSL_session_reused(e->ssl) && !engine_pins_hold(e, leaf, chain))
		return "pin";
	return engine_identity_allowed(e, leaf) ? NULL : "allow";
}

/* In place of X509_verify_cert: what is demanded beyond it fails the handshake in the same way, with its alert. */
static int
verify(X509_STORE_CTX *sctx, void *arg)
{
	struct engine *e = engine_of(sctx);
	X509 *leaf = X509_STORE_CTX_get0_cert(sctx);

	(void)arg;
	if (!e || !leaf)
		return 0;
	if (e->config->cert_reqs != CONFIG_CERT_NONE && X509_verify_cert(sctx) <= 0)
		return 0;
	X509_STORE_CTX_set_error(sctx, X509_V_OK);
	e->demand = unmet_demand(e, leaf, X509_STORE_CTX_get0_chain(sctx));
	if (!e->demand)
		return 1;
	X509_free(e->refused);
	e->refused = X509_up_ref(leaf) ? leaf : NULL;
	X509_STORE_CTX_set_error(sctx, X509_V_ERR_CERT_REJECTED);
	return 0;
}

int
engine_verify_mode(const struct config *c)
{
	if (c->cert_reqs == CONFIG_CERT_NONE && !c->pin)
		return SSL_VERIFY_NONE;
	if (c->cert_reqs != CONFIG_CERT_OPTIONAL)
		return SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
	return SSL_VERIFY_PEER;
}

/* Not X509_V_FLAG_X509_STRICT: it refuses the CAs that `openssl req -x509` makes. */
unsigned long
engine_verify_defaults(void)
{
	return X509_V_FLAG_TRUSTED_FIRST | X509_V_FLAG_PARTIAL_CHAIN;
}

void
engine_set_verify(SSL_CTX *ctx, const struct config *c)
{
	static const unsigned long revocation[] = {
		[CONFIG_CRL_NONE] = 0,
		[CONFIG_CRL_LEAF] = X509_V_FLAG_CRL_CHECK,
		[CONFIG_CRL_CHAIN] = X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL,
	};
	X509_VERIFY_PARAM *param = SSL_CTX_get0_param(ctx);

	SSL_CTX_set_cert_verify_callback(ctx, verify, NULL);
	SSL_CTX_set_verify(ctx, engine_verify_mode(c), note_refusal);
	SSL_CTX_set_verify_depth(ctx, 100);
	X509_VERIFY_PARAM_set_flags(param, c->verify_flags | revocation[c->crl_check]);
	X509_VERIFY_PARAM_set_purpose(param, c->role == CONFIG_CLIENT ? X509_PURPOSE_SSL_SERVER : X509_PURPOSE_SSL_CLIENT);
	X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS
					| (c->common_name ? 0 : X509_CHECK_FLAG_NEVER_CHECK_SUBJECT));
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
engine_name_usable(const char *name)
{
	char address[64], dns[NAME_MAX_DNS + 1];

	return address_literal(name, address, sizeof(address)) || dns_name(name, dns);
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

/*
 * A resumed session brings its certificate and the verdict of then, no chain.  Tickets and sessions are bound to the context that made
 * them, so the pins and CRLs were these; but the certificate may have expired meanwhile.
 */
static bool
still_valid(const struct engine *e, X509 *leaf)
{
	return !SSL_session_reused(e->ssl) || e->config->cert_reqs == CONFIG_CERT_NONE
		|| (X509_cmp_current_time(X509_get0_notAfter(leaf)) > 0 && X509_cmp_current_time(X509_get0_notBefore(leaf)) < 0);
}

enum engine_result
engine_demand(struct engine *e, const char *key)
{
	bool pin = strcmp(key, "pin") == 0;

	engine_refuse(e, pin ? "no certificate of the chain has a pinned key" : "certificate has none of the allowed identities",
		      pin ? "PIN_MISMATCH" : "IDENTITY_NOT_ALLOWED", key);
	e->demand = key;
	e->verify_code = X509_V_OK;	/* it is not OpenSSL that refuses */
	return ENGINE_VERIFY;
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

/*
 * OpenSSL copies the names that it is to verify, and when there is no memory for the copy it verifies none: ssl_verify_cert_chain
 * of 3.0.
 */
static bool
has_name(const struct engine *e, X509 *leaf)
{
	X509_VERIFY_PARAM *param = SSL_get0_param(e->ssl);
	const char *host = X509_VERIFY_PARAM_get0_host(param, 0);
	char *ip = X509_VERIFY_PARAM_get1_ip_asc(param);
	bool is = (!host || X509_check_host(leaf, host, 0, X509_VERIFY_PARAM_get_hostflags(param), NULL) == 1)
		&& (!ip || X509_check_ip_asc(leaf, ip, 0) == 1);

	OPENSSL_free(ip);
	return is;
}

enum engine_result
engine_accept_peer(struct engine *e)
{
	X509 *leaf = SSL_get0_peer_certificate(e->ssl);
	bool must = e->config->cert_reqs == CONFIG_CERT_REQUIRED || e->config->pin || e->config->allow;
	const char *demand;

	if (!leaf && !must)
		return ENGINE_DONE;
	if (!leaf || (e->config->cert_reqs != CONFIG_CERT_NONE && SSL_get_verify_result(e->ssl) != X509_V_OK))
		return engine_refuse(e, "the peer's certificate was not verified", "CERTIFICATE_VERIFY_FAILED", NULL);
	if (e->config->cert_reqs != CONFIG_CERT_NONE && !has_name(e, leaf))
		return engine_refuse(e, "the peer's name was not verified", "CERTIFICATE_VERIFY_FAILED", NULL);
	demand = unmet_demand(e, leaf, SSL_get0_verified_chain(e->ssl));
	if (demand)
		return engine_demand(e, demand);
	if (still_valid(e, leaf))
		return ENGINE_DONE;
	engine_refuse(e, "the certificate of the resumed session has expired", "CERTIFICATE_VERIFY_FAILED", NULL);
	e->verify_code = X509_V_ERR_CERT_HAS_EXPIRED;
	return e->failed;
}

const char *
engine_verify_text(long code)
{
	return code == X509_V_OK ? NULL : X509_verify_cert_error_string(code);
}

enum engine_verify_kind
engine_verify_kind(const struct engine *e)
{
	if (e->verify_code == X509_V_ERR_CERT_HAS_EXPIRED || e->verify_code == X509_V_ERR_CERT_NOT_YET_VALID)
		return ENGINE_VERIFY_EXPIRED;
	return e->verify_code == X509_V_ERR_CERT_REVOKED ? ENGINE_VERIFY_REVOKED : ENGINE_VERIFY_REJECTED;
}
