/*
 * records_pair.h - a connection that the engine has begun and records go on with, and its peer: plain OpenSSL, in memory.
 */
#ifndef TESTS_RECORDS_PAIR_H
#define TESTS_RECORDS_PAIR_H

#include "records_impl.h"

#include "config.h"
#include "identity.h"

#include <openssl/err.h>
#include <openssl/ssl.h>

#define BIG ((size_t)256 * 1024)

/* ---- the two ends: our engine, which is exported, and OpenSSL itself ---- */

struct suite {
	const char *name;
	bool tls13;
};

static const struct suite suites[] = {
	{"TLS_AES_128_GCM_SHA256", true},
	{"TLS_AES_256_GCM_SHA384", true},
	{"TLS_CHACHA20_POLY1305_SHA256", true},
	{"TLS_AES_128_CCM_SHA256", true},
	{"TLS_AES_128_CCM_8_SHA256", true},
	{"ECDHE-ECDSA-AES128-GCM-SHA256", false},
	{"ECDHE-ECDSA-AES256-GCM-SHA384", false},
	{"ECDHE-ECDSA-CHACHA20-POLY1305", false},
	{"ECDHE-ECDSA-AES128-CCM", false},
	{"ECDHE-ECDSA-AES256-CCM8", false},
};

static UNUSED struct config *
config_for(const struct suite *s, enum config_role role)
{
	const char *settings[][2] = {
		{role == CONFIG_SERVER ? "certfile" : "cert_reqs", role == CONFIG_SERVER ? at("self.pem") : "none"},
		{"ssl_version", s->tls13 ? "TLSv1.3" : "TLSv1.2"},
		{s->tls13 ? "ciphersuites" : "ciphers", s->name},
	};
	char err[300] = "", warn[300];
	struct config *c = config_new(role);

	must(c != NULL, "config_new");
	if (role == CONFIG_CLIENT)
		must(config_set(c, "insecure", "yes", err, sizeof(err)) == 0 && config_set(c, "check_hostname", "no", err, sizeof(err)) == 0, err);
	for (size_t i = 0; i < COUNT(settings); i++)
		must(config_set(c, settings[i][0], settings[i][1], err, sizeof(err)) == 0, err);
	must(config_seal(c, err, sizeof(err), warn, sizeof(warn)) == 0, err);
	return c;
}

struct pair {
	struct config *config;
	struct engine *engine;
	struct engine_wire wire;
	uint8_t *in;
	SSL_CTX *ctx;
	SSL *ssl;			/* the other end */
	struct records *records;	/* continues engine */
	uint8_t *buf;
};

static UNUSED SSL_CTX *
raw_ctx(const struct suite *s, bool server)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_method());

	must(ctx != NULL, "SSL_CTX_new");
	SSL_CTX_set_security_level(ctx, 0);
	SSL_CTX_set_min_proto_version(ctx, s->tls13 ? TLS1_3_VERSION : TLS1_2_VERSION);
	SSL_CTX_set_max_proto_version(ctx, s->tls13 ? TLS1_3_VERSION : TLS1_2_VERSION);
	must(s->tls13 ? SSL_CTX_set_ciphersuites(ctx, s->name) : SSL_CTX_set_cipher_list(ctx, s->name), s->name);
	if (server)
		must(SSL_CTX_use_certificate_file(ctx, at("self.pem"), SSL_FILETYPE_PEM) == 1
		     && SSL_CTX_use_PrivateKey_file(ctx, at("self.pem"), SSL_FILETYPE_PEM) == 1, "the peer's certificate");
	return ctx;
}

/* From the engine or the records to the peer. */
static void UNUSED
give(struct pair *p, const void *bytes, size_t n)
{
	must(n == 0 || BIO_write(SSL_get_rbio(p->ssl), bytes, (int)n) == (int)n, "mem BIO");
}

/* All that the peer has sent. */
static size_t UNUSED
collect(struct pair *p)
{
	int n = BIO_read(SSL_get_wbio(p->ssl), p->buf, (int)BIG);

	return n > 0 ? (size_t)n : 0;
}

static void UNUSED
shake(struct pair *p)
{
	enum engine_result r = ENGINE_WANT_READ;
	size_t n;

	for (int i = 0; i < 10 && (r != ENGINE_DONE || !SSL_is_init_finished(p->ssl)); i++) {
		r = engine_handshake(p->engine);
		must(r == ENGINE_DONE || r == ENGINE_WANT_READ, "the handshake failed");
		give(p, p->wire.out, p->wire.out_len);
		p->wire.out_len = 0;
		SSL_do_handshake(p->ssl);
		n = collect(p);
		memmove(p->in, p->in + p->wire.in_off, p->wire.in_len - p->wire.in_off);
		p->wire.in_len -= p->wire.in_off;
		p->wire.in_off = 0;
		memcpy(p->in + p->wire.in_len, p->buf, n);
		p->wire.in_len += n;
	}
	ERR_clear_error();
	must(r == ENGINE_DONE && SSL_is_init_finished(p->ssl), "the handshake did not end");
}

/* A connection with the engine in this role, exported before the peer's tickets are read. false = this OpenSSL does not speak the suite. */
static bool UNUSED
pair_open(struct pair *p, const struct suite *s, enum config_role role)
{
	struct engine_records state;
	uint8_t byte;
	size_t n;

	*p = (struct pair){.config = config_for(s, role), .in = malloc(BIG), .buf = malloc(BIG), .ctx = raw_ctx(s, role == CONFIG_CLIENT)};
	must(p->in && p->buf, "memory");
	p->wire.in = p->in;
	p->engine = engine_new(p->config, NULL, &p->wire);
	p->ssl = SSL_new(p->ctx);
	must(p->engine && p->ssl, "two ends");
	SSL_set_bio(p->ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
	BIO_set_mem_eof_return(SSL_get_rbio(p->ssl), -1);
	if (role == CONFIG_CLIENT)
		SSL_set_accept_state(p->ssl);
	else
		SSL_set_connect_state(p->ssl);
	shake(p);
	must(engine_recv(p->engine, &byte, 1, &n) == ENGINE_WANT_READ, "nothing was said yet");
	CHECK(engine_export_records(p->engine, &state) == 0);
	give(p, p->wire.out, p->wire.out_len);
	p->wire.out_len = 0;
	p->records = records_new(&state);
	CHECK(p->records != NULL);
	OPENSSL_cleanse(&state, sizeof(state));
	return p->records != NULL;
}

static void UNUSED
pair_close(struct pair *p)
{
	records_free(p->records);
	engine_free(p->engine);
	config_free(p->config);
	SSL_free(p->ssl);
	SSL_CTX_free(p->ctx);
	free(p->wire.out);
	free(p->in);
	free(p->buf);
}

/* What the peer reads; -1 = nothing, -2 = close_notify, -3 = failure. */
static int UNUSED
peer_reads(struct pair *p, uint8_t *buf, size_t len)
{
	size_t n;
	int why;

	if (SSL_read_ex(p->ssl, buf, len, &n))
		return (int)n;
	why = SSL_get_error(p->ssl, 0);
	ERR_clear_error();
	return why == SSL_ERROR_WANT_READ ? -1 : why == SSL_ERROR_ZERO_RETURN ? -2 : -3;
}

static UNUSED const uint8_t *
text(size_t len)
{
	static uint8_t bytes[RECORDS_PLAIN];

	for (size_t i = 0; i < len; i++)
		bytes[i] = (uint8_t)(i * 7 + len);
	return bytes;
}

static void UNUSED
we_say(struct pair *p, size_t len)
{
	uint8_t out[RECORDS_PLAIN + RECORDS_OVERHEAD], heard[RECORDS_PLAIN];
	size_t n = records_seal(p->records, text(len), len, out);

	CHECK(n > len && n <= len + RECORDS_OVERHEAD);
	give(p, out, n);
	CHECK(peer_reads(p, heard, sizeof(heard)) == (int)len && memcmp(heard, text(len), len) == 0);
}

/* records_open, and what it may do to out: data, zeros in the rest of the room, and nothing behind that. */
static enum records_result UNUSED
open_one(struct records *r, const uint8_t *in, size_t len, size_t *used, uint8_t out[static RECORDS_CIPHER], size_t *n)
{
	size_t room = records_room(r, in, len), i;
	enum records_result result;

	memset(out, 0xaa, RECORDS_CIPHER);
	result = records_open(r, in, len, used, out, n);
	CHECK(*n <= room);
	for (i = *n; i < RECORDS_CIPHER && (out[i] == 0xaa || (out[i] == 0 && i < room)); i++)
		;
	CHECK(i == RECORDS_CIPHER);
	return result;
}

/* Open what the peer sent, all of it: the last result but WANT, and the data. */
static enum records_result UNUSED
we_open(struct pair *p, uint8_t *data, size_t *len)
{
	enum records_result r = RECORDS_WANT, last = RECORDS_WANT;
	size_t have = collect(p), at = 0, used, n;
	uint8_t out[RECORDS_CIPHER];

	*len = 0;
	while (at < have) {
		CHECK(records_open(p->records, p->buf + at, have - at > 4 ? 4 : have - at - 1, &used, out, &n) == RECORDS_WANT);
		r = open_one(p->records, p->buf + at, have - at, &used, out, &n);
		if (r == RECORDS_WANT || r == RECORDS_FAILED)
			return r;
		at += used;
		if (r == RECORDS_DATA) {
			memcpy(data + *len, out, n);
			*len += n;
		}
		last = r;
	}
	return last;
}

static void UNUSED
we_hear(struct pair *p, size_t len)
{
	uint8_t *data = malloc(BIG);
	size_t n;

	must(data != NULL, "memory");
	CHECK(SSL_write_ex(p->ssl, text(len), len, &n) == 1);
	CHECK(we_open(p, data, &n) == RECORDS_DATA && n == len && memcmp(data, text(len), len) == 0);
	free(data);
}

static UNUSED struct records *
open_suite(struct pair *p, const char *suite, enum config_role role)
{
	for (size_t i = 0; i < COUNT(suites); i++)
		if (strcmp(suites[i].name, suite) == 0)
			return pair_open(p, &suites[i], role) ? p->records : NULL;
	return NULL;
}

#endif
