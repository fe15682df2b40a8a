/*
 * engine_pair.h - the engine's peers in memory: another engine, or OpenSSL as it is, with certificates and settings for both.
 *
 * "@x" in a setting is the test folder's file x.
 */
#ifndef TESTS_ENGINE_PAIR_H
#define TESTS_ENGINE_PAIR_H

#include "config.h"
#include "engine.h"

#include "identity.h"

#include <openssl/err.h>
#include <openssl/ssl.h>

enum { BIG = 1 << 17 };

/* ---- certificates ---- */

static const struct named {
	const char *name, *issuer;	/* issuer NULL = itself */
	struct spec spec;
} named[] = {
	{"ca", NULL, {.cn = "wrapsock ca", .ca = true, .any_usage = true}},
	{"other", NULL, {.cn = "wrapsock other", .ca = true, .any_usage = true}},
	{"inter", "ca", {.cn = "wrapsock inter", .ca = true, .any_usage = true}},
	{"good", "ca", {.cn = "wrapsock good", .san = "DNS:server.test,IP:127.0.0.1,IP:::1", .usage = "serverAuth"}},
	{"wild", "ca", {.cn = "wrapsock wild", .san = "DNS:*.wild.test,DNS:ba*.part.test", .usage = "serverAuth"}},
	{"cn", "ca", {.cn = "server.test", .usage = "serverAuth"}},
	{"expired", "ca", {.cn = "wrapsock expired", .san = "DNS:server.test", .usage = "serverAuth", .from = -9 * 86400L, .to = -86400L}},
	{"future", "ca", {.cn = "wrapsock future", .san = "DNS:server.test", .usage = "serverAuth", .from = 86400L, .to = 30 * 86400L}},
	{"self", NULL, {.cn = "wrapsock self", .san = "DNS:server.test", .usage = "serverAuth"}},
	{"deep", "inter", {.cn = "wrapsock deep", .san = "DNS:server.test", .usage = "serverAuth"}},
	{"client", "ca", {.cn = "wrapsock client", .san = "DNS:client.test", .usage = "clientAuth"}},
	{"client2", "ca", {.cn = "wrapsock client2", .san = "DNS:client.test", .usage = "clientAuth"}},
	{"stranger", "other", {.cn = "wrapsock stranger", .san = "DNS:server.test"}},
};
static struct identity made[COUNT(named)];

static UNUSED struct identity *
made_find(const char *name)
{
	for (size_t i = 0; i < COUNT(named); i++)
		if (strcmp(named[i].name, name) == 0)
			return &made[i];
	must(false, name);
	return NULL;
}

static void UNUSED
make_named(size_t i)
{
	char name[64];

	made[i] = make_identity(&named[i].spec, named[i].issuer ? made_find(named[i].issuer) : NULL);
	snprintf(name, sizeof(name), "%s.pem", named[i].name);
	WRITE(name, CERTS, &made[i]);
	snprintf(name, sizeof(name), "%s.key", named[i].name);
	WRITE(name, KEY, &made[i]);
}

static void UNUSED
make_files(void)
{
	const struct identity *good;
	FILE *f;

	make_dir();
	for (size_t i = 0; i < COUNT(named); i++)
		make_named(i);
	good = made_find("good");
	WRITE("deepchain.pem", CERTS, made_find("deep"), made_find("inter"));
	WRITE("both.pem", CERTS | KEY, good);
	WRITE("open.key", KEY, good);
	must(chmod(at("open.key"), 0644) == 0, "chmod");
	write_text("locked.key", "");
	f = fopen(at("locked.key"), "w");
	must(f && PEM_write_PKCS8PrivateKey(f, good->key, EVP_aes_256_cbc(), "sesame", 6, NULL, NULL) && fclose(f) == 0, "locked.key");
	write_text("password", "sesame\nsecond line\n");
	write_text("wrongword", "abracadabra\n");
	write_text("empty", "");
	write_text("words", "these are only words\n");
	write_text("broken.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
}

static void UNUSED
remove_files(void)
{
	remove_dir();
	for (size_t i = 0; i < COUNT(made); i++)
		identity_free(&made[i]);
}

/* ---- settings: "key=value|key=value" ---- */

#define GOOD "certfile=@good.pem|keyfile=@good.key"
#define CA "ca_certs=@ca.pem"
#define MUTUAL GOOD "|ca_certs=@ca.pem|cert_reqs=required"
#define V12 "|maximum_version=TLSv1.2"
#define V13 "|minimum_version=TLSv1.3"
#define PAIR(name) "certfile=@" name ".pem|keyfile=@" name ".key"
#define LOOSE "|insecure=yes"

static void UNUSED
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

static UNUSED struct config *
config_build(enum config_role role, const char *settings, char *err, size_t errsize, char *warn, size_t warnsize)
{
	struct config *c = config_new(role);
	char *copy = strdup(settings), *rest = NULL, value[512];

	must(c && copy && config_set_place(c, "rule test") == 0, "config");
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

static UNUSED struct config *
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

static void UNUSED
peer_open(struct peer *p, const struct config *c, const char *name)
{
	*p = (struct peer){.in = malloc(BIG)};
	must(p->in != NULL, "memory");
	p->wire.in = p->in;
	p->engine = engine_new(c, name, &p->wire);
	must(p->engine != NULL, "engine_new");
}

static void UNUSED
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

static void UNUSED
peer_close(struct peer *p)
{
	engine_free(p->engine);
	free(p->wire.out);
	free(p->in);
	SSL_free(p->ssl);
	*p = (struct peer){0};
}

static void UNUSED
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
static UNUSED uint8_t *
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

static size_t UNUSED
carry(struct peer *from, struct peer *to)
{
	size_t n;
	uint8_t *bytes = take(from, &n);

	feed(to, bytes, n);
	free(bytes);
	return n;
}

static enum engine_result UNUSED
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

static enum engine_result UNUSED
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

static void UNUSED
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

static bool UNUSED
opened(struct peer *client, struct peer *server)
{
	enum engine_result rc, rs;

	handshake(client, server, &rc, &rs);
	return rc == ENGINE_DONE && rs == ENGINE_DONE;
}

static bool UNUSED
say(struct peer *p, const void *bytes, size_t n)
{
	size_t done;

	if (p->engine)
		return engine_send(p->engine, bytes, n) == ENGINE_DONE;
	return SSL_write_ex(p->ssl, bytes, n, &done) == 1;
}

static enum engine_result UNUSED
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

static bool UNUSED
talks(struct peer *from, struct peer *to, const char *text)
{
	char buf[256];
	size_t n;

	if (!say(from, text, strlen(text)))
		return false;
	carry(from, to);
	return hear(to, buf, sizeof(buf), &n) == ENGINE_DONE && n == strlen(text) && memcmp(buf, text, n) == 0;
}

/* A connection of a client that keeps and resumes sessions, unless service is NULL. */
static void UNUSED
meet(struct peer *client, struct peer *server, const struct config *cc, const struct config *cs, const char *host, const char *service,
     enum engine_result *rc, enum engine_result *rs)
{
	peer_open(client, cc, host);
	peer_open(server, cs, NULL);
	if (service)
		engine_resume(client->engine, host, service);
	handshake(client, server, rc, rs);
}

static bool UNUSED
come(struct peer *client, struct peer *server, const struct config *cc, const struct config *cs, const char *host, const char *service)
{
	enum engine_result rc, rs;

	meet(client, server, cc, cs, host, service, &rc, &rs);
	return rc == ENGINE_DONE && rs == ENGINE_DONE;
}

static char seen_sni[256];

static int UNUSED
note_sni(SSL *ssl, int *alert, void *arg)
{
	const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);

	(void)alert;
	(void)arg;
	snprintf(seen_sni, sizeof(seen_sni), "%s", name ? name : "(none)");
	return SSL_TLSEXT_ERR_OK;
}

static SSL_SESSION *kept;

static int UNUSED
keep_session(SSL *ssl, SSL_SESSION *session)
{
	(void)ssl;
	SSL_SESSION_free(kept);
	kept = session;
	return 1;
}

static UNUSED SSL_CTX *
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

#endif
