/*
 * engine_test.c - the engine against itself and against plain OpenSSL, in memory.
 *
 * Certificates are made at run time in a folder of their own.  "@x" in a setting is that folder's file x.
 */
#include "config.h"
#include "engine.h"

#include <sys/stat.h>
#include <sys/wait.h>

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))
enum { BIG = 1 << 17 };

static char dir[64] = "/tmp/engine_test.XXXXXX";
static unsigned passed, failed;
static const char *current;
static bool current_failed;

static void
complain(int line, const char *what, const char *detail)
{
	printf("FAIL %s: line %d: %s%s%s\n", current, line, what, detail ? ": " : "", detail ? detail : "");
	current_failed = true;
}
#define CHECK(x) CHECKD(x, NULL)
#define CHECKD(x, detail) ((x) ? (void)0 : complain(__LINE__, #x, detail))

static void
begin_case(const char *name)
{
	current = name;
	current_failed = false;
}

static void
end_case(void)
{
	if (current_failed)
		failed++;
	else
		passed++;
}

static void
must(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "cannot set up: %s\n", what);
	exit(2);
}

/* ---- certificates ---- */

static const struct cert_spec {
	const char *name, *issuer;	/* issuer NULL = itself */
	const char *san, *eku;
	bool ca;
	int from, to;			/* days from now */
} cert_specs[] = {
	{"ca", NULL, NULL, NULL, true, -1, 30},
	{"other", NULL, NULL, NULL, true, -1, 30},
	{"inter", "ca", NULL, NULL, true, -1, 30},
	{"good", "ca", "DNS:server.test,IP:127.0.0.1,IP:::1", "serverAuth", false, -1, 30},
	{"wild", "ca", "DNS:*.wild.test,DNS:ba*.part.test", "serverAuth", false, -1, 30},
	{"cn", "ca", NULL, "serverAuth", false, -1, 30},
	{"expired", "ca", "DNS:server.test", "serverAuth", false, -9, -1},
	{"future", "ca", "DNS:server.test", "serverAuth", false, 1, 30},
	{"self", NULL, "DNS:server.test", "serverAuth", false, -1, 30},
	{"deep", "inter", "DNS:server.test", "serverAuth", false, -1, 30},
	{"client", "ca", "DNS:client.test", "clientAuth", false, -1, 30},
	{"stranger", "other", "DNS:server.test", NULL, false, -1, 30},
};

static struct made {
	X509 *cert;
	EVP_PKEY *key;
} made[COUNT(cert_specs)];

static struct made *
made_find(const char *name)
{
	for (size_t i = 0; i < COUNT(cert_specs); i++)
		if (strcmp(cert_specs[i].name, name) == 0)
			return &made[i];
	must(false, name);
	return NULL;
}

static void
extend(X509 *x, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX v3;
	X509_EXTENSION *ext;

	X509V3_set_ctx(&v3, issuer, x, NULL, NULL, 0);
	ext = X509V3_EXT_conf_nid(NULL, &v3, nid, value);
	must(ext && X509_add_ext(x, ext, -1), value);
	X509_EXTENSION_free(ext);
}

static void
make_cert(size_t i)
{
	const struct cert_spec *s = &cert_specs[i];
	struct made *m = &made[i], *by = s->issuer ? made_find(s->issuer) : m;
	char cn[64];

	snprintf(cn, sizeof(cn), "%s%s", strcmp(s->name, "cn") == 0 ? "server.test" : "wrapsock ",
		 strcmp(s->name, "cn") == 0 ? "" : s->name);
	m->key = EVP_EC_gen("P-256");
	m->cert = X509_new();
	must(m->key && m->cert, "key");
	X509_set_version(m->cert, X509_VERSION_3);
	ASN1_INTEGER_set(X509_get_serialNumber(m->cert), (long)i + 1);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(m->cert), "CN", MBSTRING_ASC, (unsigned char *)cn, -1, -1, 0);
	X509_set_issuer_name(m->cert, X509_get_subject_name(by->cert));
	X509_gmtime_adj(X509_getm_notBefore(m->cert), s->from * 86400L);
	X509_gmtime_adj(X509_getm_notAfter(m->cert), s->to * 86400L);
	X509_set_pubkey(m->cert, m->key);
	extend(m->cert, by->cert, NID_subject_key_identifier, "hash");
	/* As `openssl req -x509` makes a CA: no key usage. */
	extend(m->cert, by->cert, NID_basic_constraints, s->ca ? "critical,CA:TRUE" : "CA:FALSE");
	if (s->san)
		extend(m->cert, by->cert, NID_subject_alt_name, s->san);
	if (s->eku)
		extend(m->cert, by->cert, NID_ext_key_usage, s->eku);
	must(X509_sign(m->cert, by->key, EVP_sha256()) > 0, "sign");
}

static FILE *
create(const char *file, mode_t mode)
{
	char path[160];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, file);
	f = fopen(path, "w");
	must(f && chmod(path, mode) == 0, path);
	return f;
}

static void
write_text(const char *file, const char *text)
{
	FILE *f = create(file, 0600);

	fputs(text, f);
	fclose(f);
}

static void
write_pair(size_t i)
{
	char name[64];
	FILE *f;

	snprintf(name, sizeof(name), "%s.pem", cert_specs[i].name);
	f = create(name, 0644);
	PEM_write_X509(f, made[i].cert);
	if (strcmp(cert_specs[i].name, "deep") == 0) {
		fclose(f);
		f = create("deepchain.pem", 0644);
		PEM_write_X509(f, made[i].cert);
		PEM_write_X509(f, made_find("inter")->cert);
	}
	fclose(f);
	snprintf(name, sizeof(name), "%s.key", cert_specs[i].name);
	f = create(name, 0600);
	PEM_write_PrivateKey(f, made[i].key, NULL, NULL, 0, NULL, NULL);
	fclose(f);
}

static void
make_files(void)
{
	struct made *good;
	FILE *f;

	must(mkdtemp(dir) != NULL, "mkdtemp");
	for (size_t i = 0; i < COUNT(cert_specs); i++) {
		make_cert(i);
		write_pair(i);
	}
	good = made_find("good");
	f = create("locked.key", 0600);
	PEM_write_PKCS8PrivateKey(f, good->key, EVP_aes_256_cbc(), "sesame", 6, NULL, NULL);
	fclose(f);
	f = create("both.pem", 0600);
	PEM_write_PrivateKey(f, good->key, NULL, NULL, 0, NULL, NULL);
	PEM_write_X509(f, good->cert);
	fclose(f);
	f = create("open.key", 0644);
	PEM_write_PrivateKey(f, good->key, NULL, NULL, 0, NULL, NULL);
	fclose(f);
	write_text("password", "sesame\nsecond line\n");
	write_text("wrongword", "abracadabra\n");
	write_text("empty", "");
	write_text("words", "these are only words\n");
	write_text("broken.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
}

static void
remove_files(void)
{
	DIR *d = opendir(dir);
	struct dirent *ent;
	char path[400];

	while (d && (ent = readdir(d)) != NULL) {
		snprintf(path, sizeof(path), "%s/%s", dir, ent->d_name);
		unlink(path);
	}
	if (d)
		closedir(d);
	rmdir(dir);
	for (size_t i = 0; i < COUNT(made); i++) {
		X509_free(made[i].cert);
		EVP_PKEY_free(made[i].key);
	}
}

/* ---- settings: "key=value|key=value" ---- */

static void
expand(const char *value, char *out, size_t size)
{
	size_t at = 0;

	for (; *value && at + 1 < size; value++)
		if (*value == '@' && strncmp(value, "@SECLEVEL", 9) != 0)
			at += (size_t)snprintf(out + at, size - at, "%s/", dir);
		else
			out[at++] = *value;
	out[at < size ? at : size - 1] = '\0';
}

static struct config *
config_build(enum config_role role, const char *settings, char *err, size_t errsize, char *warn, size_t warnsize)
{
	struct config *c = config_new(role);
	char *copy = strdup(settings), *rest = NULL, value[512];

	must(c && copy, "config");
	err[0] = '\0';
	for (char *s = strtok_r(copy, "|", &rest); s; s = strtok_r(NULL, "|", &rest)) {
		char *eq = strchr(s, '=');

		must(eq != NULL, s);
		*eq = '\0';
		expand(eq + 1, value, sizeof(value));
		if (config_set(c, s, value, err, errsize) < 0)
			break;
	}
	free(copy);
	if (!err[0] && config_seal(c, err, errsize, warn, warnsize) == 0)
		return c;
	config_free(c);
	return NULL;
}

static struct config *
config_must(enum config_role role, const char *settings)
{
	char err[512], warn[512];
	struct config *c = config_build(role, settings, err, sizeof(err), warn, sizeof(warn));

	must(c != NULL, err);
	return c;
}

/* ---- peers: an engine, or OpenSSL as it is ---- */

struct peer {
	struct engine *engine;
	struct engine_wire wire;
	uint8_t *in;
	size_t chop;		/* bytes fed at a time, 0 = all */
	SSL *ssl;
};

static void
peer_open(struct peer *p, const struct config *c, const char *name)
{
	*p = (struct peer){.in = malloc(BIG)};
	must(p->in != NULL, "memory");
	p->wire.in = p->in;
	p->engine = engine_new(c, name, &p->wire);
	must(p->engine != NULL, "engine_new");
}

static void
peer_open_raw(struct peer *p, SSL_CTX *ctx, bool server)
{
	*p = (struct peer){.ssl = SSL_new(ctx)};
	must(p->ssl != NULL, "SSL_new");
	SSL_set_bio(p->ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
	BIO_set_mem_eof_return(SSL_get_rbio(p->ssl), -1);
	if (server)
		SSL_set_accept_state(p->ssl);
	else
		SSL_set_connect_state(p->ssl);
}

static void
peer_close(struct peer *p)
{
	engine_free(p->engine);
	free(p->wire.out);
	free(p->in);
	SSL_free(p->ssl);
	*p = (struct peer){0};
}

static void
feed(struct peer *p, const void *bytes, size_t n)
{
	if (p->ssl) {
		must(n == 0 || BIO_write(SSL_get_rbio(p->ssl), bytes, (int)n) == (int)n, "mem BIO");
		return;
	}
	memmove(p->in, p->in + p->wire.in_off, p->wire.in_len - p->wire.in_off);
	p->wire.in_len -= p->wire.in_off;
	p->wire.in_off = 0;
	must(p->wire.in_len + n <= BIG, "room");
	if (n > 0)
		memcpy(p->in + p->wire.in_len, bytes, n);
	p->wire.in_len += n;
}

/* What p has to say, taken from it. The caller frees. */
static uint8_t *
take(struct peer *p, size_t *n)
{
	uint8_t *out = malloc(BIG);
	int got;

	must(out != NULL, "memory");
	if (p->ssl) {
		got = BIO_read(SSL_get_wbio(p->ssl), out, BIG);
		*n = got > 0 ? (size_t)got : 0;
		return out;
	}
	*n = p->wire.out_len;
	must(*n <= BIG, "room");
	if (*n > 0)
		memcpy(out, p->wire.out, *n);
	p->wire.out_len = 0;
	return out;
}

static size_t
carry(struct peer *from, struct peer *to)
{
	size_t n;
	uint8_t *bytes = take(from, &n);

	feed(to, bytes, n);
	free(bytes);
	return n;
}

static enum engine_result
step(struct peer *p)
{
	int ret;

	if (p->engine)
		return engine_handshake(p->engine);
	ret = SSL_do_handshake(p->ssl);
	if (ret == 1)
		return ENGINE_DONE;
	ret = SSL_get_error(p->ssl, ret) == SSL_ERROR_WANT_READ ? ENGINE_WANT_READ : ENGINE_PROTOCOL;
	ERR_clear_error();
	return (enum engine_result)ret;
}

static enum engine_result
step_with(struct peer *p, const uint8_t *bytes, size_t n)
{
	size_t piece = p->chop ? p->chop : n;
	enum engine_result r = step(p);

	for (size_t at = 0; at < n && r != ENGINE_VERIFY && r != ENGINE_PROTOCOL; at += piece) {
		feed(p, bytes + at, n - at < piece ? n - at : piece);
		r = step(p);
	}
	return r;
}

static void
handshake(struct peer *client, struct peer *server, enum engine_result *rc, enum engine_result *rs)
{
	*rc = *rs = ENGINE_WANT_READ;
	for (int i = 0; i < 12; i++) {
		size_t n, m;
		uint8_t *bytes;

		*rc = step(client);
		bytes = take(client, &n);
		*rs = step_with(server, bytes, n);
		free(bytes);
		bytes = take(server, &m);
		*rc = step_with(client, bytes, m);
		free(bytes);
		if (n == 0 && m == 0)
			return;
	}
}

static bool
opened(struct peer *client, struct peer *server)
{
	enum engine_result rc, rs;

	handshake(client, server, &rc, &rs);
	return rc == ENGINE_DONE && rs == ENGINE_DONE;
}

static bool
say(struct peer *p, const void *bytes, size_t n)
{
	size_t done;

	if (p->engine)
		return engine_send(p->engine, bytes, n) == ENGINE_DONE;
	return SSL_write_ex(p->ssl, bytes, n, &done) == 1;
}

static enum engine_result
hear(struct peer *p, void *buf, size_t size, size_t *n)
{
	int ret;

	if (p->engine)
		return engine_recv(p->engine, buf, size, n);
	*n = 0;
	if (SSL_read_ex(p->ssl, buf, size, n))
		return ENGINE_DONE;
	ret = SSL_get_error(p->ssl, 0);
	ERR_clear_error();
	return ret == SSL_ERROR_WANT_READ ? ENGINE_WANT_READ : ret == SSL_ERROR_ZERO_RETURN ? ENGINE_CLOSED : ENGINE_PROTOCOL;
}

static bool
talks(struct peer *from, struct peer *to, const char *text)
{
	char buf[256];
	size_t n;

	if (!say(from, text, strlen(text)))
		return false;
	carry(from, to);
	return hear(to, buf, sizeof(buf), &n) == ENGINE_DONE && n == strlen(text) && memcmp(buf, text, n) == 0;
}

/* ---- handshakes ---- */

#define GOOD "certfile=@good.pem|keyfile=@good.key"
#define CA "ca_certs=@ca.pem"
#define MUTUAL GOOD "|ca_certs=@ca.pem|cert_reqs=required"
#define V12 "|maximum_version=TLSv1.2"
#define V13 "|minimum_version=TLSv1.3"
#define PAIR(name) "certfile=@" name ".pem|keyfile=@" name ".key"
#define LOOSE "|insecure=yes"

static const struct handshake_case {
	const char *name, *client, *server, *host;
	enum engine_result rc, rs;	/* at the end, the first read included */
	const char *error, *hint;	/* of the side that the name in `teller` says */
	char teller;			/* c, s or 0 */
	long code;
} handshakes[] = {
	{"tls 1.3", CA V13, GOOD, "server.test", 0, 0, NULL, NULL, 0, 0},
	{"tls 1.2", CA V12, GOOD, "server.test", 0, 0, NULL, NULL, 0, 0},
	{"tls 1.1 where both say insecure", CA LOOSE "|ssl_version=TLSv1.1", GOOD LOOSE "|minimum_version=TLSv1", "server.test", 0,
	 0, NULL,
	 NULL, 0, 0},
	{"anonymous where both say insecure", CA LOOSE "|cert_reqs=none|ciphers=aNULL:@SECLEVEL=0" V12,
	 LOOSE "|ciphers=aNULL:@SECLEVEL=0", NULL, 0, 0, NULL, NULL, 0, 0},
	{"anonymous is no certificate", CA LOOSE "|ciphers=aNULL:@SECLEVEL=0" V12, "insecure=yes|ciphers=aNULL:@SECLEVEL=0",
	 "server.test",
	 ENGINE_VERIFY, 0, "not verified", NULL, 'c', 0},
	{"trailing dot", CA, GOOD, "server.test.", 0, 0, NULL, NULL, 0, 0},
	{"wildcard", CA, PAIR("wild"), "a.wild.test", 0, 0, NULL, NULL, 0, 0},
	{"partial wildcard", CA, PAIR("wild"), "bar.part.test", ENGINE_VERIFY, ENGINE_PROTOCOL, "expected name", "server_hostname",
	 'c',
	 X509_V_ERR_HOSTNAME_MISMATCH},
	{"common name is no name", CA, PAIR("cn"), "server.test", ENGINE_VERIFY, ENGINE_PROTOCOL, "expected name",
	 "server_hostname", 'c',
	 X509_V_ERR_HOSTNAME_MISMATCH},
	{"wrong name", CA, GOOD, "other.test", ENGINE_VERIFY, ENGINE_PROTOCOL, "certificate is not for the expected name",
	 "server_hostname", 'c', X509_V_ERR_HOSTNAME_MISMATCH},
	{"wrong name unchecked", CA LOOSE "|check_hostname=no", GOOD, "other.test", 0, 0, NULL, NULL, 0, 0},
	{"no name", CA, GOOD, NULL, ENGINE_VERIFY, ENGINE_WANT_READ, "no name", "server_hostname", 'c', 0},
	{"no name unchecked", CA LOOSE "|check_hostname=no", GOOD, NULL, 0, 0, NULL, NULL, 0, 0},
	{"empty name", CA, GOOD, "", ENGINE_VERIFY, ENGINE_WANT_READ, "not a valid", "server_hostname", 'c', 0},
	{"leading dot", CA, GOOD, ".test", ENGINE_VERIFY, ENGINE_WANT_READ, "not a valid", "server_hostname", 'c', 0},
	{"only a dot", CA, GOOD, ".", ENGINE_VERIFY, ENGINE_WANT_READ, "not a valid", "server_hostname", 'c', 0},
	{"name with a star", CA, GOOD, "*.test", ENGINE_VERIFY, ENGINE_WANT_READ, "not a valid", "server_hostname", 'c', 0},
	{"ip san", CA, GOOD, "127.0.0.1", 0, 0, NULL, NULL, 0, 0},
	{"ipv6 san", CA, GOOD, "::1", 0, 0, NULL, NULL, 0, 0},
	{"ipv6 in brackets", CA, GOOD, "[::1]", 0, 0, NULL, NULL, 0, 0},
	{"wrong ip", CA, GOOD, "127.0.0.2", ENGINE_VERIFY, ENGINE_PROTOCOL, "expected address", "server_hostname", 'c',
	 X509_V_ERR_IP_ADDRESS_MISMATCH},
	{"expired", CA, PAIR("expired"), "server.test", ENGINE_VERIFY, ENGINE_PROTOCOL, "expired", NULL, 'c',
	 X509_V_ERR_CERT_HAS_EXPIRED},
	{"not yet valid", CA, PAIR("future"), "server.test", ENGINE_VERIFY, ENGINE_PROTOCOL, "not yet valid", NULL, 'c',
	 X509_V_ERR_CERT_NOT_YET_VALID},
	{"self-signed", CA, PAIR("self"), "server.test", ENGINE_VERIFY, ENGINE_PROTOCOL, "self-signed", "ca_certs", 'c',
	 X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT},
	{"unknown ca", CA, PAIR("stranger"), "server.test", ENGINE_VERIFY, ENGINE_PROTOCOL,
	 "unable to get local issuer certificate",
	 "ca_certs", 'c', X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY},
	{"unknown ca, as the server sees it", CA, PAIR("stranger"), "server.test", ENGINE_VERIFY, ENGINE_PROTOCOL,
	 "peer sent alert 48 unknown_ca", "certfile", 's', 0},
	{"unverified", "insecure=yes|cert_reqs=none", PAIR("stranger"), "server.test", 0, 0, NULL, NULL, 0, 0},
	{"missing intermediate", CA, PAIR("deep"), "server.test", ENGINE_VERIFY, ENGINE_PROTOCOL, "local issuer", "ca_certs", 'c',
	 X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY},
	{"intermediate sent", CA, "certfile=@deepchain.pem|keyfile=@deep.key", "server.test", 0, 0, NULL, NULL, 0, 0},
	{"intermediate trusted", "ca_certs=@inter.pem", PAIR("deep"), "server.test", 0, 0, NULL, NULL, 0, 0},
	{"client certificate on a server", CA, PAIR("client"), "client.test", ENGINE_VERIFY, ENGINE_PROTOCOL, "purpose", NULL, 'c',
	 X509_V_ERR_INVALID_PURPOSE},
	{"server certificate on a client 1.3", CA V13 "|" GOOD, MUTUAL, "server.test", ENGINE_PROTOCOL, ENGINE_VERIFY, "purpose",
	 NULL,
	 's', X509_V_ERR_INVALID_PURPOSE},
	{"client certificate", CA "|" PAIR("client"), MUTUAL, "server.test", 0, 0, NULL, NULL, 0, 0},
	{"client certificate 1.2", CA V12 "|" PAIR("client"), MUTUAL, "server.test", 0, 0, NULL, NULL, 0, 0},
	{"client certificate missing 1.2", CA V12, MUTUAL, "server.test", ENGINE_PROTOCOL, ENGINE_VERIFY, "handshake_failure",
	 "ciphers",
	 'c', 0},
	{"client certificate missing 1.3", CA V13, MUTUAL, "server.test", ENGINE_PROTOCOL, ENGINE_VERIFY,
	 "peer sent alert 116 certificate_required", "certfile", 'c', 0},
	{"client certificate missing, as the server sees it", CA, MUTUAL, "server.test", ENGINE_PROTOCOL, ENGINE_VERIFY,
	 "the client sent no certificate", "cert_reqs", 's', 0},
	{"client certificate of a stranger", CA "|" PAIR("stranger"), MUTUAL, "server.test", ENGINE_PROTOCOL, ENGINE_VERIFY,
	 "local issuer", "ca_certs", 's', X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY},
	{"optional and missing", CA, GOOD "|ca_certs=@ca.pem|cert_reqs=optional", "server.test", 0, 0, NULL, NULL, 0, 0},
	{"optional and sent", CA "|" PAIR("client"), GOOD "|ca_certs=@ca.pem|cert_reqs=optional", "server.test", 0, 0, NULL, NULL,
	 0, 0},
	{"optional and bad", CA "|" PAIR("stranger"), GOOD "|ca_certs=@ca.pem|cert_reqs=optional", "server.test", ENGINE_PROTOCOL,
	 ENGINE_VERIFY, "local issuer", "ca_certs", 's', X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY},
	{"no common version", CA V12, GOOD V13, "server.test", ENGINE_PROTOCOL, ENGINE_PROTOCOL, "alert 70 protocol_version",
	 "minimum_version", 'c', 0},
	{"no common version, as the server sees it", CA V12, GOOD V13, "server.test", ENGINE_PROTOCOL, ENGINE_PROTOCOL,
	 "no TLS version in common", "minimum_version", 's', 0},
	{"no common cipher", CA V12 "|ciphers=ECDHE-ECDSA-AES128-GCM-SHA256", GOOD "|ciphers=ECDHE-ECDSA-AES256-GCM-SHA384",
	 "server.test",
	 ENGINE_PROTOCOL, ENGINE_PROTOCOL, "no cipher suite in common", "ciphers", 's', 0},
	{"no common suite", CA V13 "|ciphersuites=TLS_AES_128_GCM_SHA256", GOOD "|ciphersuites=TLS_AES_256_GCM_SHA384",
	 "server.test",
	 ENGINE_PROTOCOL, ENGINE_PROTOCOL, "no cipher suite in common", "ciphers", 's', 0},
	{"no common group", CA V13 "|groups=X25519", GOOD "|groups=P-384", "server.test", ENGINE_PROTOCOL, ENGINE_PROTOCOL,
	 "group in common",
	 "groups", 's', 0},
	{"cbc where asked for", CA V12 "|ciphers=ECDHE-ECDSA-AES128-SHA256", GOOD "|ciphers=ALL", "server.test", 0, 0, NULL, NULL,
	 0, 0},
	{"encrypted key", CA, "certfile=@good.pem|keyfile=@locked.key|password_file=@password", "server.test", 0, 0, NULL, NULL, 0,
	 0},
	{"combined file", CA, "certfile=@both.pem", "server.test", 0, 0, NULL, NULL, 0, 0},
	{"store uris", CA, "certfile=file:@good.pem|keyfile=file:@good.key", "server.test", 0, 0, NULL, NULL, 0, 0},
};

static void
check_teller(const struct handshake_case *k, struct engine *e)
{
	const char *hint = engine_hint(e);

	CHECKD(strstr(engine_error(e), k->error) != NULL, engine_error(e));
	CHECKD(k->hint ? hint && strcmp(hint, k->hint) == 0 : !hint, hint);
	CHECKD(engine_verify_code(e) == k->code, engine_error(e));
	CHECK(engine_reason(e)[0] != '\0');
}

static void
run_handshake(const struct handshake_case *k, size_t chop)
{
	struct config *cc = config_must(CONFIG_CLIENT, k->client), *cs = config_must(CONFIG_SERVER, k->server);
	struct peer client, server;
	enum engine_result rc, rs;
	char buf[16];
	size_t n;

	begin_case(k->name);
	peer_open(&client, cc, k->host);
	peer_open(&server, cs, NULL);
	client.chop = server.chop = chop;
	handshake(&client, &server, &rc, &rs);
	/* TLS 1.3: what the server thinks of the client's certificate is met by the first read. */
	if (rc == ENGINE_DONE && rs != ENGINE_DONE)
		rc = engine_recv(client.engine, buf, sizeof(buf), &n);
	CHECKD(rc == k->rc, engine_error(client.engine));
	CHECKD(rs == k->rs || k->rs == ENGINE_DONE, engine_error(server.engine));
	CHECK(engine_handshake(client.engine) == rc || rc == ENGINE_DONE);	/* a failure is sticky */
	if (rc == ENGINE_DONE && rs == ENGINE_DONE) {
		CHECK(engine_info(client.engine).validated == (cc->cert_reqs != CONFIG_CERT_NONE));
		CHECK(talks(&client, &server, "ping") && talks(&server, &client, "pong"));
	}
	if (k->teller)
		check_teller(k, k->teller == 'c' ? client.engine : server.engine);
	CHECKD(ERR_peek_error() == 0, "error queue");
	peer_close(&client);
	peer_close(&server);
	config_free(cc);
	config_free(cs);
	end_case();
}

/* ---- files ---- */

static const struct seal_case {
	const char *name;
	enum config_role role;
	const char *settings;
	const char *error[3];	/* words of the sentence; all NULL = it seals */
	const char *warning;
} seals[] = {
	{"fine", CONFIG_SERVER, GOOD, {NULL, NULL, NULL}, NULL},
	{"certfile missing", CONFIG_SERVER, "certfile=@nowhere", {"certfile ", "/nowhere", "No such file"}, NULL},
	{"certfile empty", CONFIG_SERVER, "certfile=@empty|keyfile=@good.key", {"certfile ", "/empty", "empty"}, NULL},
	{"certfile words", CONFIG_SERVER, "certfile=@words|keyfile=@good.key", {"certfile ", "/words", "holds no certificate"},
	 NULL},
	{"certfile broken", CONFIG_SERVER, "certfile=@broken.pem|keyfile=@good.key", {"certfile ", "/broken.pem", "cannot be read"},
	 NULL},
	{"certfile a directory", CONFIG_SERVER, "certfile=@", {"certfile ", "directory", NULL}, NULL},
	{"keyfile missing", CONFIG_SERVER, "certfile=@good.pem|keyfile=@nowhere", {"keyfile ", "/nowhere", "No such file"}, NULL},
	{"keyfile empty", CONFIG_SERVER, "certfile=@good.pem|keyfile=@empty", {"keyfile ", "/empty", "empty"}, NULL},
	{"keyfile not named", CONFIG_SERVER, "certfile=@good.pem", {"certfile ", "holds no private key", "keyfile"}, NULL},
	{"keyfile of another", CONFIG_SERVER, "certfile=@good.pem|keyfile=@self.key", {"keyfile ", "/self.key", "does not belong"},
	 NULL},
	{"certificate as key", CONFIG_SERVER, "certfile=@good.pem|keyfile=@good.pem", {"keyfile ", "certificate", "swapped"}, NULL},
	{"swapped", CONFIG_SERVER, "certfile=@good.key|keyfile=@good.pem", {"certfile ", "private key", "swapped"}, NULL},
	{"locked", CONFIG_SERVER, "certfile=@good.pem|keyfile=@locked.key", {"keyfile ", "encrypted", "password_file"}, NULL},
	{"wrong password", CONFIG_SERVER, "certfile=@good.pem|keyfile=@locked.key|password_file=@wrongword",
	 {"keyfile ", "/wrongword", "does not open"}, NULL},
	{"password missing", CONFIG_SERVER, "certfile=@good.pem|keyfile=@locked.key|password_file=@nowhere",
	 {"password_file ", "/nowhere", "No such file"}, NULL},
	{"locked store", CONFIG_SERVER, "certfile=@good.pem|keyfile=file:@locked.key", {"keyfile ", "encrypted", "password_file"},
	 NULL},
	{"store missing", CONFIG_SERVER, "certfile=file:@nowhere", {"certfile ", "/nowhere", NULL}, NULL},
	{"open key", CONFIG_SERVER, "certfile=@good.pem|keyfile=@open.key", {NULL, NULL, NULL}, "/open.key"},
	{"open key, strict", CONFIG_SERVER, "certfile=@good.pem|keyfile=@open.key|strict_keys=yes", {"keyfile ", "644", "600"},
	 NULL},
	{"ca missing", CONFIG_CLIENT, "ca_certs=@nowhere", {"ca_certs ", "/nowhere", "No such file"}, NULL},
	{"ca words", CONFIG_CLIENT, "ca_certs=@words", {"ca_certs ", "/words", "holds no certificate"}, NULL},
	{"ca empty", CONFIG_CLIENT, "ca_certs=@empty", {"ca_certs ", "/empty", "holds no certificate"}, NULL},
	{"ca is a key", CONFIG_CLIENT, "ca_certs=@ca.key", {"ca_certs ", "/ca.key", "certificate"}, NULL},
	{"ca broken", CONFIG_CLIENT, "ca_certs=@broken.pem", {"ca_certs ", "/broken.pem", NULL}, NULL},
	{"ca a directory", CONFIG_CLIENT, "ca_certs=@", {"ca_certs ", "directory", "capath"}, NULL},
	{"ca system", CONFIG_CLIENT, "ca_certs=system", {NULL, NULL, NULL}, NULL},
	{"capath", CONFIG_CLIENT, "ca_certs=|capath=@", {NULL, NULL, NULL}, NULL},
	{"capath a file", CONFIG_CLIENT, "capath=@ca.pem", {"capath ", "not a directory", NULL}, NULL},
	{"capath missing", CONFIG_CLIENT, "capath=@nowhere", {"capath ", "No such file", NULL}, NULL},
	{"no such option", CONFIG_CLIENT, "options=OP_ALL, OP_NO_SUCH", {"options", "OP_NO_SUCH", "OP_NO_TICKET"}, NULL},
	{"options leave nothing", CONFIG_CLIENT, "options=OP_NO_TLSv1_2,OP_NO_TLSv1_3", {"options", "no TLS version", NULL}, NULL},
	{"eof may not be ignored", CONFIG_CLIENT, "options=OP_IGNORE_UNEXPECTED_EOF", {"options", "unknown", NULL}, NULL},
	{"no such cipher", CONFIG_CLIENT, "ciphers=NONSENSE", {"ciphers", "NONSENSE", NULL}, NULL},
	{"only anonymous ciphers", CONFIG_CLIENT, "ciphers=aNULL", {"ciphers", "aNULL", NULL}, NULL},
	{"all ciphers leave out the weak", CONFIG_CLIENT, "ciphers=ALL:eNULL", {NULL, NULL, NULL}, NULL},
	{"level 0", CONFIG_CLIENT, "ciphers=ALL:@SECLEVEL=0", {"ciphers", "level 0", "insecure"}, NULL},
	{"no such suite", CONFIG_CLIENT, "ciphersuites=TLS_AES_128_GCM_SHA256, TLS_NONSENSE", {"ciphersuites", "TLS_NONSENSE",
	 NULL}, NULL},
	{"two suites", CONFIG_CLIENT, "ciphersuites=TLS_AES_128_GCM_SHA256, TLS_AES_256_GCM_SHA384", {NULL, NULL, NULL}, NULL},
	{"no such group", CONFIG_CLIENT, "groups=P-256, NONSENSE", {"groups", "NONSENSE", NULL}, NULL},
	{"two groups", CONFIG_CLIENT, "groups=P-256, X25519", {NULL, NULL, NULL}, NULL},
	{"command", CONFIG_CLIENT, "openssl.SignatureAlgorithms=ECDSA+SHA256", {NULL, NULL, NULL}, NULL},
	{"unknown command", CONFIG_CLIENT, "openssl.Nonsense=1", {"openssl.Nonsense", NULL, NULL}, NULL},
	{"command's value", CONFIG_CLIENT, "openssl.SignatureAlgorithms=NONSENSE", {"openssl.SignatureAlgorithms", "NONSENSE",
	 NULL}, NULL},
};

static void
run_seal(const struct seal_case *k)
{
	char err[512], warn[512] = "";
	struct config *c;

	begin_case(k->name);
	ERR_raise(ERR_LIB_USER, 7);	/* the program's own */
	errno = EDOM;
	c = config_build(k->role, k->settings, err, sizeof(err), warn, sizeof(warn));
	CHECKD((c != NULL) == (k->error[0] == NULL), err);
	for (int i = 0; i < 3; i++)
		CHECKD(!k->error[i] || strstr(err, k->error[i]) != NULL, err);
	CHECKD(k->warning ? strstr(warn, k->warning) != NULL : c == NULL || warn[0] == '\0', warn);
	CHECK(!strchr(err, '\n'));
	CHECK(errno == EDOM);
	CHECK(ERR_GET_LIB(ERR_peek_error()) == ERR_LIB_USER && ERR_GET_REASON(ERR_get_error()) == 7 && ERR_get_error() == 0);
	config_free(c);
	end_case();
}

/* ---- what is no TLS ---- */

static const struct foreign_case {
	const char *name;
	enum config_role role;
	const char *bytes;
	const char *error;
} foreigners[] = {
	{"http answer", CONFIG_CLIENT, "HTTP/1.1 400 Bad Request\r\n\r\n",
	 "the peer does not speak TLS: it sent what looks like HTTP"},
	{"http request", CONFIG_SERVER, "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
	 "the peer does not speak TLS: it sent what looks like HTTP"},
	{"ssh banner", CONFIG_CLIENT, "SSH-2.0-OpenSSH_9.2\r\n", "looks like SSH"},
	{"smtp banner", CONFIG_CLIENT, "220 mail.test ESMTP\r\n", "looks like SMTP"},
	{"redis error", CONFIG_CLIENT, "-ERR unknown command\r\n", "looks like Redis"},
	{"redis request", CONFIG_SERVER, "*1\r\n$4\r\nPING\r\n", "looks like Redis"},
	{"garbage", CONFIG_CLIENT, "\x7f\x01\x02garbage and more garbage", "the peer does not speak TLS"},
	{"garbage to a server", CONFIG_SERVER, "\x7f\x01\x02garbage and more garbage", "the peer does not speak TLS"},
	{"alert", CONFIG_CLIENT, "\x15\x03\x01""\0\x02\x02\x28", "peer sent alert 40 handshake_failure"},
};

static void
run_foreigner(const struct foreign_case *k, size_t chop)
{
	struct config *c = config_must(k->role, k->role == CONFIG_SERVER ? GOOD : CA);
	size_t len = strcmp(k->name, "alert") == 0 ? 7 : strlen(k->bytes);
	enum engine_result r;
	struct peer p;

	begin_case(k->name);
	peer_open(&p, c, "server.test");
	p.chop = chop;
	r = step_with(&p, (const uint8_t *)k->bytes, len);
	CHECK(r == ENGINE_PROTOCOL);
	CHECKD(strstr(engine_error(p.engine), k->error) != NULL, engine_error(p.engine));
	peer_close(&p);
	config_free(c);
	end_case();
}

/* ---- against plain OpenSSL ---- */

static char seen_sni[256];

static int
note_sni(SSL *ssl, int *alert, void *arg)
{
	const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);

	(void)alert;
	(void)arg;
	snprintf(seen_sni, sizeof(seen_sni), "%s", name ? name : "(none)");
	return SSL_TLSEXT_ERR_OK;
}

static SSL_SESSION *kept;

static int
keep_session(SSL *ssl, SSL_SESSION *session)
{
	(void)ssl;
	SSL_SESSION_free(kept);
	kept = session;
	return 1;
}

static SSL_CTX *
raw_ctx(bool server)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_method());

	must(ctx != NULL, "SSL_CTX_new");
	SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION);
	SSL_CTX_set_security_level(ctx, 1);	/* whatever openssl.cnf says */
	if (server) {
		must(SSL_CTX_use_certificate(ctx, made_find("good")->cert), "raw certificate");
		must(SSL_CTX_use_PrivateKey(ctx, made_find("good")->key), "raw key");
		SSL_CTX_set_tlsext_servername_callback(ctx, note_sni);
		return ctx;
	}
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT);
	SSL_CTX_sess_set_new_cb(ctx, keep_session);
	return ctx;
}

static const struct sni_case {
	const char *name, *host, *sni;
} snis[] = {
	{"sni", "server.test", "server.test"},
	{"sni without the trailing dot", "server.test.", "server.test"},
	{"no sni for an address", "127.0.0.1", "(none)"},
	{"no sni for an ipv6 address", "[::1]", "(none)"},
};

static void
run_sni(const struct sni_case *k)
{
	struct config *c = config_must(CONFIG_CLIENT, CA);
	SSL_CTX *ctx = raw_ctx(true);
	struct peer client, server;

	begin_case(k->name);
	seen_sni[0] = '\0';
	peer_open(&client, c, k->host);
	peer_open_raw(&server, ctx, true);
	CHECK(opened(&client, &server));
	CHECKD(strcmp(seen_sni, k->sni) == 0, seen_sni);
	peer_close(&client);
	peer_close(&server);
	SSL_CTX_free(ctx);
	config_free(c);
	end_case();
}

static const struct alpn_case {
	const char *name, *client, *server, *chosen;
} alpns[] = {
	{"alpn", "h2, http/1.1", "h2", "h2"},
	{"alpn by the server's preference", "http/1.1,h2", "h2,http/1.1", "h2"},
	{"alpn without overlap", "h2", "redis", NULL},
	{"alpn only on the server", "", "h2", NULL},
	{"alpn only on the client", "h2", "", NULL},
};

static void
run_alpn(const struct alpn_case *k)
{
	char sc[256], ss[256];
	struct config *cc, *cs;
	struct peer client, server;
	const char *a, *b;

	begin_case(k->name);
	snprintf(sc, sizeof(sc), CA "|alpn_protocols=%s", k->client);
	snprintf(ss, sizeof(ss), GOOD "|alpn_protocols=%s", k->server);
	cc = config_must(CONFIG_CLIENT, sc);
	cs = config_must(CONFIG_SERVER, ss);
	peer_open(&client, cc, "server.test");
	peer_open(&server, cs, NULL);
	CHECK(opened(&client, &server));
	a = engine_info(client.engine).alpn;
	b = engine_info(server.engine).alpn;
	CHECKD(k->chosen ? a && b && strcmp(a, k->chosen) == 0 && strcmp(b, k->chosen) == 0 : !a && !b, a);
	peer_close(&client);
	peer_close(&server);
	config_free(cc);
	config_free(cs);
	end_case();
}

/* No byte behind the server's handshake until it has data, and then tickets that work. */
static void
test_tickets(const char *name, const char *settings, bool expect)
{
	struct config *c = config_must(CONFIG_SERVER, settings);
	SSL_CTX *ctx = raw_ctx(false);
	struct peer client, server;
	char buf[64];
	size_t n;

	begin_case(name);
	for (int round = 0; round < 2; round++) {
		peer_open_raw(&client, ctx, false);
		peer_open(&server, c, NULL);
		if (round > 0 && kept)
			CHECK(SSL_set_session(client.ssl, kept));
		CHECK(opened(&client, &server));
		CHECK(server.wire.out_len == 0);
		CHECK((SSL_session_reused(client.ssl) == 1) == (round == 1 && expect));
		CHECK(engine_info(server.engine).resumed == (round == 1 && expect));
		CHECK(talks(&client, &server, "ping"));
		CHECK(server.wire.out_len == 0);
		CHECK(hear(&client, buf, sizeof(buf), &n) == ENGINE_WANT_READ && (kept == NULL || round == 1));
		CHECK(talks(&server, &client, "pong") && talks(&client, &server, "ping") && talks(&server, &client, "pong"));
		CHECK((kept != NULL) == expect);
		SSL_shutdown(client.ssl);
		peer_close(&client);
		peer_close(&server);
	}
	SSL_SESSION_free(kept);
	kept = NULL;
	SSL_CTX_free(ctx);
	config_free(c);
	end_case();
}

/* A client that comes again: first with these settings, name and service, then with those. */
static const struct again_case {
	const char *name, *server, *first, *second;	/* second NULL = the same config */
	const char *host, *service;			/* of the second */
	bool resumed;
	enum engine_result rc;
} agains[] = {
	{"the same", GOOD, CA, NULL, "server.test", ":1", true, ENGINE_DONE},
	{"another name", GOOD, CA, NULL, "127.0.0.1", ":1", false, ENGINE_DONE},
	{"a name that the certificate lacks", GOOD, CA, NULL, "else.test", ":1", false, ENGINE_VERIFY},
	{"another service", GOOD, CA, NULL, "server.test", ":2", false, ENGINE_DONE},
	{"no service", GOOD, CA, NULL, "server.test", NULL, false, ENGINE_DONE},
	{"another config", GOOD, CA, CA, "server.test", ":1", false, ENGINE_DONE},
	{"unverified, then verified", PAIR("self"), CA "|cert_reqs=none" LOOSE, CA, "server.test", ":1", false, ENGINE_VERIFY},
	{"unverified twice", PAIR("self"), CA "|cert_reqs=none" LOOSE, NULL, "server.test", ":1", true, ENGINE_DONE},
	{"no tickets wanted", GOOD, CA "|options=OP_NO_TICKET", NULL, "server.test", ":1", false, ENGINE_DONE},
	{"no tickets given", GOOD "|options=OP_NO_TICKET", CA, NULL, "server.test", ":1", false, ENGINE_DONE},
	{"mutual", MUTUAL, CA "|" PAIR("client"), NULL, "server.test", ":1", true, ENGINE_DONE},
};

static bool
come(struct peer *client, struct peer *server, const struct config *cc, const struct config *cs, const char *host, const char *service)
{
	peer_open(client, cc, host);
	peer_open(server, cs, NULL);
	if (service)
		engine_resume(client->engine, host, service);
	return opened(client, server);
}

static void
run_again(const struct again_case *k, const char *version)
{
	char cs_text[256], name[128];
	struct config *cs, *one = config_must(CONFIG_CLIENT, k->first), *two = k->second ? config_must(CONFIG_CLIENT, k->second) : config_ref(one);
	struct peer client, server;
	enum engine_result rc, rs;

	snprintf(name, sizeof(name), "comes again, %s, TLS 1.%s: %s", k->name, version[strlen(version) - 1] == '2' ? "2" : "3",
		 k->resumed ? "resumes" : "does not");
	begin_case(name);
	snprintf(cs_text, sizeof(cs_text), "%s%s", k->server, version);
	cs = config_must(CONFIG_SERVER, cs_text);
	CHECK(come(&client, &server, one, cs, "server.test", ":1"));
	CHECK(talks(&client, &server, "ping") && talks(&server, &client, "pong"));
	CHECK(!engine_info(client.engine).resumed);
	peer_close(&client);
	peer_close(&server);
	peer_open(&client, two, k->host);
	peer_open(&server, cs, NULL);
	if (k->service)
		engine_resume(client.engine, k->host, k->service);
	handshake(&client, &server, &rc, &rs);
	CHECK(rc == (k->rc));
	CHECK(engine_info(client.engine).resumed == (k->resumed));
	if (rc == ENGINE_DONE) {
		CHECK(engine_info(server.engine).resumed == (k->resumed));
		CHECK(engine_info(client.engine).validated == (two->cert_reqs != CONFIG_CERT_NONE));
		CHECK(talks(&client, &server, "ping") && talks(&server, &client, "pong"));
	}
	peer_close(&client);
	peer_close(&server);
	config_free(cs);
	config_free(one);
	config_free(two);
	end_case();
}

/* One talk gives two tickets of TLS 1.3, each good for one connection; an older session is good for all. */
static void
run_uses(const char *version, int expected)
{
	char settings[128];
	struct config *cc = config_must(CONFIG_CLIENT, CA), *cs;
	int resumed = 0;

	begin_case(version);
	snprintf(settings, sizeof(settings), "%s%s", GOOD, version);
	cs = config_must(CONFIG_SERVER, settings);
	for (int i = 0; i < 6; i++) {
		struct peer client, server;

		CHECK(come(&client, &server, cc, cs, "server.test", ":1"));
		CHECK(i > 0 || (talks(&client, &server, "ping") && talks(&server, &client, "pong")));
		resumed += engine_info(client.engine).resumed;
		peer_close(&client);
		peer_close(&server);
	}
	CHECK(resumed == (expected));
	config_free(cs);
	config_free(cc);
	end_case();
}

static void
test_agains(void)
{
	for (size_t i = 0; i < COUNT(agains); i++) {
		run_again(&agains[i], V12);
		run_again(&agains[i], V13);
	}
	run_uses(V12, 5);
	run_uses(V13, 2);
}

static void
test_sizes(const char *settings)
{
	static const size_t sizes[] = {1, 2, 1000, 16383, 16384};
	struct config *cc = config_must(CONFIG_CLIENT, CA), *cs = config_must(CONFIG_SERVER, settings);
	static uint8_t sent[16384], got[3 * 16384];
	struct peer client, server;
	size_t n, at;

	begin_case("record sizes");
	memset(sent, 'x', sizeof(sent));
	peer_open(&client, cc, "server.test");
	peer_open(&server, cs, NULL);
	CHECK(opened(&client, &server));
	for (size_t i = 0; i < COUNT(sizes); i++) {
		sent[0] = (uint8_t)i;
		CHECK(say(&client, sent, sizes[i]));
		CHECK(client.wire.out_len > sizes[i] && client.wire.out_len <= sizes[i] + 64 && client.wire.out[0] == 23);
		CHECK(client.wire.out_len == 5U + (client.wire.out[3] << 8) + client.wire.out[4]);
		carry(&client, &server);
		CHECK(hear(&server, got, sizeof(got), &n) == ENGINE_DONE && n == sizes[i] && memcmp(sent, got, n) == 0);
	}
	/* Several records at once, and the rest that the caller had no room for. */
	for (int i = 0; i < 3; i++)
		CHECK(say(&client, sent, sizeof(sent)));
	carry(&client, &server);
	CHECK(hear(&server, got, 20000, &n) == ENGINE_DONE && n == 20000);
	CHECK(engine_pending(server.engine) == 2 * 16384 - 20000);
	CHECK(hear(&server, got, sizeof(got), &n) == ENGINE_DONE && n == 3 * 16384 - 20000);
	CHECK(hear(&server, got, sizeof(got), &n) == ENGINE_WANT_READ && n == 0);
	/* Byte by byte. */
	CHECK(say(&client, "chopped", 7));
	for (at = 0; at < client.wire.out_len; at++) {
		feed(&server, client.wire.out + at, 1);
		CHECK((hear(&server, got, sizeof(got), &n) == ENGINE_DONE) == (at + 1 == client.wire.out_len));
	}
	client.wire.out_len = 0;
	peer_close(&client);
	peer_close(&server);
	config_free(cc);
	config_free(cs);
	end_case();
}

static void
test_closing(const char *version)
{
	char settings[256], buf[64];
	struct config *cc, *cs = config_must(CONFIG_SERVER, GOOD);
	struct peer client, server;
	size_t n;

	begin_case("closing");
	snprintf(settings, sizeof(settings), CA "|ssl_version=%s", version);
	cc = config_must(CONFIG_CLIENT, settings);
	peer_open(&client, cc, "server.test");
	peer_open(&server, cs, NULL);
	CHECK(engine_close_notify(client.engine) == ENGINE_DONE && client.wire.out_len == 0);
	CHECK(opened(&client, &server));
	CHECK(say(&client, "last", 4) && engine_close_notify(client.engine) == ENGINE_DONE);
	n = client.wire.out_len;
	CHECK(engine_close_notify(client.engine) == ENGINE_DONE && client.wire.out_len == n);
	carry(&client, &server);
	CHECK(hear(&server, buf, sizeof(buf), &n) == ENGINE_DONE && n == 4);
	CHECK(hear(&server, buf, sizeof(buf), &n) == ENGINE_CLOSED && hear(&server, buf, sizeof(buf), &n) == ENGINE_CLOSED);
	CHECK(talks(&server, &client, "still here"));
	CHECK(engine_send(client.engine, "more", 4) == ENGINE_PROTOCOL);
	CHECK(engine_close_notify(server.engine) == ENGINE_DONE && engine_send(server.engine, "more", 4) == ENGINE_PROTOCOL);
	/* A damaged record: what came before it is delivered, then the failure, for ever. */
	peer_close(&client);
	peer_close(&server);
	peer_open(&client, cc, "server.test");
	peer_open(&server, cs, NULL);
	CHECK(opened(&client, &server));
	CHECK(say(&client, "fine", 4) && say(&client, "damaged", 7));
	if (client.wire.out_len > 0)
		client.wire.out[client.wire.out_len - 1] ^= 1;
	carry(&client, &server);
	CHECK(hear(&server, buf, sizeof(buf), &n) == ENGINE_DONE && n == 4);
	CHECK(hear(&server, buf, sizeof(buf), &n) == ENGINE_PROTOCOL && n == 0 && server.wire.out_len > 0);
	CHECKD(strstr(engine_error(server.engine), "damaged") != NULL, engine_error(server.engine));
	CHECK(engine_send(server.engine, "x", 1) == ENGINE_PROTOCOL);
	peer_close(&client);
	peer_close(&server);
	config_free(cc);
	config_free(cs);
	end_case();
}

static void
test_names(void)
{
	struct config *cc = config_must(CONFIG_CLIENT, CA), *cs = config_must(CONFIG_SERVER, GOOD);
	char subject[64], names[128], tiny[12], tinier[2];
	struct peer client, server;

	begin_case("names for the log");
	peer_open(&client, cc, "other.test");
	peer_open(&server, cs, NULL);
	CHECK(!opened(&client, &server));
	engine_peer_names(client.engine, subject, sizeof(subject), names, sizeof(names));
	CHECKD(strcmp(subject, "CN=wrapsock good") == 0, subject);
	CHECKD(strcmp(names, "server.test, 127.0.0.1, ::1") == 0, names);
	engine_peer_names(client.engine, tinier, sizeof(tinier), tiny, sizeof(tiny));
	CHECKD(strstr(tiny, "...") != NULL, tiny);
	CHECK(engine_verify_kind(client.engine) == ENGINE_VERIFY_REJECTED);
	engine_peer_names(server.engine, subject, sizeof(subject), names, sizeof(names));
	CHECK(subject[0] == '\0' && names[0] == '\0');
	peer_close(&client);
	peer_close(&server);
	config_free(cc);
	config_free(cs);
	end_case();
}

/* The program's errno and error queue survive a failing handshake. */
static void
test_guard(void)
{
	struct config *c = config_must(CONFIG_CLIENT, CA);
	const char *data;
	struct peer p;

	begin_case("the program's error queue");
	peer_open(&p, c, "server.test");
	ERR_raise_data(ERR_LIB_USER, 9, "mine %d", 1);
	ERR_raise(ERR_LIB_USER, 10);
	errno = EDOM;
	CHECK(engine_handshake(p.engine) == ENGINE_WANT_READ);
	feed(&p, "HTTP/1.0 200 OK\r\n\r\n", 19);
	CHECK(engine_handshake(p.engine) == ENGINE_PROTOCOL);
	CHECK(errno == EDOM);
	CHECK(ERR_GET_REASON(ERR_get_error_all(NULL, NULL, NULL, &data, NULL)) == 9);
	CHECKD(strcmp(data, "mine 1") == 0, data);
	CHECK(ERR_GET_REASON(ERR_get_error()) == 10 && ERR_get_error() == 0);
	peer_close(&p);
	config_free(c);
	end_case();
}

/* ---- record state ---- */

enum { SEAL_ROOM = 5 + 8 + 1 + 16 };

static const EVP_CIPHER *
aead(const struct engine_records *r)
{
	bool chacha = r->suite == 0x1303 || r->suite == 0xcca9 || r->suite == 0xcca8;

	return chacha ? EVP_chacha20_poly1305() : r->dir[0].key_len == 16 ? EVP_aes_128_gcm() : EVP_aes_256_gcm();
}

static void
number(uint8_t out[8], uint64_t n)
{
	for (int i = 0; i < 8; i++)
		out[i] = (uint8_t)(n >> (56 - 8 * i));
}

/* Nonce and additional data of the record numbered dir[d].sequence. Returns the length of the latter. */
static size_t
prepare(struct engine_records *r, int d, const uint8_t *header, const uint8_t *explicit, size_t plain, uint8_t nonce[12],
	uint8_t aad[13])
{
	uint8_t seq[8];

	number(seq, r->dir[d].sequence++);
	memcpy(nonce, r->dir[d].iv, r->dir[d].iv_len);
	if (r->dir[d].iv_len == 4)
		memcpy(nonce + 4, explicit, 8);
	for (int i = 0; i < 8 && r->dir[d].iv_len == 12; i++)
		nonce[4 + i] ^= seq[i];
	if (r->version == TLS1_3_VERSION) {
		memcpy(aad, header, 5);
		return 5;
	}
	memcpy(aad, seq, 8);
	memcpy(aad + 8, header, 3);
	aad[11] = (uint8_t)(plain >> 8);
	aad[12] = (uint8_t)plain;
	return 13;
}

static size_t
seal(struct engine_records *r, const char *text, uint8_t *out)
{
	size_t len = strlen(text), skip = r->dir[1].iv_len == 4 ? 8 : 0, inner = len + (r->version == TLS1_3_VERSION);
	size_t body = skip + inner + 16, aadlen;
	uint8_t nonce[12], aad[13], plain[64];
	EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
	int n;

	memcpy(out, (uint8_t[5]){23, 3, 3, (uint8_t)(body >> 8), (uint8_t)body}, 5);
	if (skip)
		number(out + 5, r->dir[1].sequence);
	memcpy(plain, text, len);
	plain[len] = 23;
	aadlen = prepare(r, 1, out, out + 5, len, nonce, aad);
	must(EVP_EncryptInit_ex(c, aead(r), NULL, r->dir[1].key, nonce) && EVP_EncryptUpdate(c, NULL, &n, aad, (int)aadlen)
	     && EVP_EncryptUpdate(c, out + 5 + skip, &n, plain, (int)inner) && EVP_EncryptFinal_ex(c, plain, &n)
	     && EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_GET_TAG, 16, out + 5 + skip + inner), "seal");
	EVP_CIPHER_CTX_free(c);
	return 5 + body;
}

/* Opens one record; -1 = it does not open. */
static int
unseal(struct engine_records *r, uint8_t *rec, size_t reclen, uint8_t *out)
{
	size_t skip = r->dir[0].iv_len == 4 ? 8 : 0, plain, aadlen;
	uint8_t nonce[12], aad[13];
	EVP_CIPHER_CTX *c;
	int n, rest;
	bool ok;

	if (reclen < 5 + skip + 16)
		return -1;
	c = EVP_CIPHER_CTX_new();
	plain = reclen - 5 - skip - 16;
	aadlen = prepare(r, 0, rec, rec + 5, plain, nonce, aad);
	ok = EVP_DecryptInit_ex(c, aead(r), NULL, r->dir[0].key, nonce) && EVP_DecryptUpdate(c, NULL, &n, aad, (int)aadlen)
		&& EVP_DecryptUpdate(c, out, &n, rec + 5 + skip, (int)plain)
		&& EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_SET_TAG, 16, rec + reclen - 16)
		&& EVP_DecryptFinal_ex(c, out + n, &rest) > 0;
	EVP_CIPHER_CTX_free(c);
	ERR_clear_error();
	return ok ? (int)plain - (r->version == TLS1_3_VERSION) : -1;
}

static const struct export_case {
	const char *name, *settings;
	int key_updates;	/* by the peer, asking for ours */
	int result;
} exports[] = {
	{"tls 1.3 aes-128", "ssl_version=TLSv1.3|ciphersuites=TLS_AES_128_GCM_SHA256", 0, 0},
	{"tls 1.3 aes-256", "ssl_version=TLSv1.3|ciphersuites=TLS_AES_256_GCM_SHA384", 0, 0},
	{"tls 1.3 chacha20", "ssl_version=TLSv1.3|ciphersuites=TLS_CHACHA20_POLY1305_SHA256", 0, 0},
	{"tls 1.3 aes-128 key update", "ssl_version=TLSv1.3|ciphersuites=TLS_AES_128_GCM_SHA256", 1, 0},
	{"tls 1.3 aes-256 two key updates", "ssl_version=TLSv1.3|ciphersuites=TLS_AES_256_GCM_SHA384", 2, 0},
	{"tls 1.2 aes-128", "ssl_version=TLSv1.2|ciphers=ECDHE-ECDSA-AES128-GCM-SHA256", 0, 0},
	{"tls 1.2 aes-256", "ssl_version=TLSv1.2|ciphers=ECDHE-ECDSA-AES256-GCM-SHA384", 0, 0},
	{"tls 1.2 chacha20", "ssl_version=TLSv1.2|ciphers=ECDHE-ECDSA-CHACHA20-POLY1305", 0, 0},
	{"tls 1.2 cbc", "ssl_version=TLSv1.2|ciphers=ECDHE-ECDSA-AES128-SHA256", 0, -1},
};

/* The peer asks for a key update; answered: our side sends something afterwards, or the export must see to it. */
static void
update_keys(struct peer *e, struct peer *raw, bool answered)
{
	CHECK(SSL_key_update(raw->ssl, SSL_KEY_UPDATE_REQUESTED) == 1);
	CHECK(talks(raw, e, "after the update"));
	if (answered)
		CHECK(talks(e, raw, "after the answer"));
}

static void
continue_outside(struct peer *e, struct peer *raw, struct engine_records *r)
{
	static const char *const texts[] = {"first", "second", "third"};
	uint8_t rec[256], plain[256];
	char heard[64];
	size_t n;

	carry(e, raw);	/* an answer to a key update */
	for (size_t i = 0; i < COUNT(texts); i++) {
		size_t len = seal(r, texts[i], rec);
		uint8_t *bytes;
		int got;

		feed(raw, rec, len);
		CHECK(hear(raw, heard, sizeof(heard), &n) == ENGINE_DONE);
		CHECK(n == strlen(texts[i]) && memcmp(heard, texts[i], n) == 0);
		CHECK(say(raw, texts[i], strlen(texts[i])));
		bytes = take(raw, &n);
		got = n <= sizeof(rec) ? unseal(r, bytes, n, plain) : -1;
		CHECK(got == (int)strlen(texts[i]) && memcmp(plain, texts[i], (size_t)got) == 0);
		free(bytes);
	}
}

static void
run_export(const struct export_case *k, enum config_role role, int records, bool answered)
{
	char settings[512], name[160];
	struct engine_records r;
	struct peer e, raw;
	struct config *c;
	SSL_CTX *ctx = raw_ctx(role == CONFIG_CLIENT);
	bool server = role == CONFIG_SERVER, tickets_wait = server && records == 0 && strstr(k->name, "1.3") && !k->key_updates;
	uint8_t buf[64];
	size_t n;

	snprintf(name, sizeof(name), "export %s, %s, %d records%s", k->name, server ? "server" : "client", records,
		 k->key_updates ? answered ? ", answered" : ", unanswered" : "");
	begin_case(name);
	snprintf(settings, sizeof(settings), "%s|%s", server ? GOOD : CA, k->settings);
	c = config_must(role, settings);
	peer_open(&e, c, server ? NULL : "server.test");
	peer_open_raw(&raw, ctx, !server);
	CHECK(engine_export_records(e.engine, &r) == -1);
	CHECK(server ? opened(&raw, &e) : opened(&e, &raw));
	CHECK(hear(&e, buf, sizeof(buf), &n) == ENGINE_WANT_READ);	/* a server's tickets */
	for (int i = 0; i < records; i++)
		CHECK(talks(&e, &raw, "one") && talks(&raw, &e, "two") && talks(&raw, &e, "three"));
	for (int i = 0; i < k->key_updates; i++)
		update_keys(&e, &raw, answered);
	/* A record that has arrived in part stays in the window, and the state stands before it. */
	if (records > 0) {
		uint8_t *bytes;
		size_t got;

		CHECK(say(&raw, "in two parts", 12));
		bytes = take(&raw, &n);
		CHECK(n > 5);
		n = n > 5 ? n : 5;	/* the buffer is larger */
		feed(&e, bytes, 5);
		CHECK(hear(&e, buf, sizeof(buf), &got) == ENGINE_WANT_READ && e.wire.in_len - e.wire.in_off == 5);
		CHECK(engine_export_records(e.engine, &r) == k->result);
		feed(&e, bytes + 5, n - 5);
		CHECK(hear(&e, buf, sizeof(buf), &got) == ENGINE_DONE && got == 12);
		free(bytes);
	}
	CHECK(engine_export_records(e.engine, &r) == k->result);
	/* what had to go out first: the answer that was owed, or a server's tickets */
	CHECK((e.wire.out_len > 0) == ((k->key_updates > 0 && !answered) || tickets_wait));
	if (k->result == 0 && !current_failed)
		continue_outside(&e, &raw, &r);
	peer_close(&e);
	peer_close(&raw);
	SSL_CTX_free(ctx);
	config_free(c);
	SSL_SESSION_free(kept);
	kept = NULL;
	end_case();
}

static void
test_exports(void)
{
	for (size_t i = 0; i < COUNT(exports); i++)
		for (int role = CONFIG_CLIENT; role <= CONFIG_SERVER; role++)
			for (int records = 0; records <= 3; records += 3) {
				run_export(&exports[i], (enum config_role)role, records, true);
				if (exports[i].key_updates == 1)
					run_export(&exports[i], (enum config_role)role, records, false);
			}
}

static void
library_dies(struct config *c)
{
	struct peer p, late;

	peer_open(&p, c, "server.test");
	CHECK(engine_alive());
	OPENSSL_cleanup();
	CHECK(!engine_alive());
	CHECK(engine_handshake(p.engine) == ENGINE_DEAD && engine_error(p.engine)[0] != '\0');
	peer_open(&late, c, "server.test");
	CHECK(engine_handshake(late.engine) == ENGINE_DEAD);
	engine_free(p.engine);
	engine_free(late.engine);
	free(p.wire.out);
	free(p.in);
	free(late.in);
	config_free(c);
}

/* In a child: nothing works afterwards, and what OpenSSL held is lost on purpose. */
static void
test_library_death(void)
{
	struct config *c = config_must(CONFIG_CLIENT, CA);
	int status = -1;
	pid_t pid;

	begin_case("after OPENSSL_cleanup");
	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		library_dies(c);
		fflush(NULL);
		_exit(current_failed);
	}
	CHECK(pid > 0 && waitpid(pid, &status, 0) == pid && status == 0);
	config_free(c);
	end_case();
}

static void
test_handshakes(void)
{
	for (size_t i = 0; i < COUNT(handshakes); i++) {
		run_handshake(&handshakes[i], 0);
		run_handshake(&handshakes[i], 1);
	}
}

/* The handshakes once more, by this program run anew on a host whose openssl.cnf sets everything otherwise. */
static void
test_foreign_settings(const char *self)
{
	int status = -1;
	char path[96];
	pid_t pid;

	begin_case("openssl.cnf of the host");
	write_text("openssl.cnf", "openssl_conf = a\n[a]\nssl_conf = b\n[b]\nsystem_default = c\n[c]\nMinProtocol = TLSv1.3\n"
		   "CipherString = AES256-SHA@SECLEVEL=5\nGroups = P-521\nSignatureAlgorithms = RSA+SHA512\nVerifyMode = Require\n"
		   "Options = -MiddleboxCompat,-ServerPreference,UnsafeLegacyRenegotiation\nNumTickets = 9\n");
	snprintf(path, sizeof(path), "%s/openssl.cnf", dir);
	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		setenv("OPENSSL_CONF", path, 1);
		execl(self, self, "handshakes", (char *)NULL);
		_exit(127);
	}
	CHECK(pid > 0 && waitpid(pid, &status, 0) == pid && status == 0);
	end_case();
}

int
main(int argc, char **argv)
{
	make_files();
	test_handshakes();
	if (argc > 1) {
		remove_files();
		return failed > 0;
	}
	test_foreign_settings(argv[0]);
	for (size_t i = 0; i < COUNT(seals); i++)
		run_seal(&seals[i]);
	for (size_t i = 0; i < COUNT(foreigners); i++) {
		run_foreigner(&foreigners[i], 0);
		run_foreigner(&foreigners[i], 1);
	}
	for (size_t i = 0; i < COUNT(snis); i++)
		run_sni(&snis[i]);
	for (size_t i = 0; i < COUNT(alpns); i++)
		run_alpn(&alpns[i]);
	test_tickets("tickets with the first data", GOOD V13, true);
	test_agains();
	test_tickets("OP_NO_TICKET", GOOD V13 "|options=OP_NO_TICKET", false);
	test_sizes(GOOD V13);
	test_sizes(GOOD V12);
	test_closing("TLSv1.2");
	test_closing("TLSv1.3");
	test_names();
	test_guard();
	test_exports();
	test_library_death();
	remove_files();
	printf("%u passed, %u failed\n", passed, failed);
	return failed > 0;
}
