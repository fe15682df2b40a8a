/*
 * records_test.c - a connection continued by records alone, record by record against OpenSSL in memory: both versions, all kinds of
 * suites, both roles, both directions; and records that no honest peer seals.
 */
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

static struct config *
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

static SSL_CTX *
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
static void
give(struct pair *p, const void *bytes, size_t n)
{
	must(n == 0 || BIO_write(SSL_get_rbio(p->ssl), bytes, (int)n) == (int)n, "mem BIO");
}

/* All that the peer has sent. */
static size_t
collect(struct pair *p)
{
	int n = BIO_read(SSL_get_wbio(p->ssl), p->buf, (int)BIG);

	return n > 0 ? (size_t)n : 0;
}

static void
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
static bool
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

static void
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
static int
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

static const uint8_t *
text(size_t len)
{
	static uint8_t bytes[RECORDS_PLAIN];

	for (size_t i = 0; i < len; i++)
		bytes[i] = (uint8_t)(i * 7 + len);
	return bytes;
}

static void
we_say(struct pair *p, size_t len)
{
	uint8_t out[RECORDS_PLAIN + RECORDS_OVERHEAD], heard[RECORDS_PLAIN];
	size_t n = records_seal(p->records, text(len), len, out);

	CHECK(n > len && n <= len + RECORDS_OVERHEAD);
	give(p, out, n);
	CHECK(peer_reads(p, heard, sizeof(heard)) == (int)len && memcmp(heard, text(len), len) == 0);
}

/* records_open, and what it may do to out: data, zeros in the rest of the room, and nothing behind that. */
static enum records_result
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
static enum records_result
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

static void
we_hear(struct pair *p, size_t len)
{
	uint8_t *data = malloc(BIG);
	size_t n;

	must(data != NULL, "memory");
	CHECK(SSL_write_ex(p->ssl, text(len), len, &n) == 1);
	CHECK(we_open(p, data, &n) == RECORDS_DATA && n == len && memcmp(data, text(len), len) == 0);
	free(data);
}

static void
talk(struct pair *p)
{
	static const size_t sizes[] = {1, 2, 100, 1500, RECORDS_PLAIN - 1, RECORDS_PLAIN};

	for (size_t i = 0; i < COUNT(sizes); i++) {
		we_say(p, sizes[i]);
		we_hear(p, sizes[i]);
		we_hear(p, 3);
	}
}

static void
part(struct pair *p)
{
	uint8_t out[RECORDS_OVERHEAD], byte, *data = malloc(BIG);
	size_t n;

	must(data != NULL, "memory");
	SSL_shutdown(p->ssl);
	CHECK(we_open(p, data, &n) == RECORDS_CLOSED);
	we_say(p, 10);			/* the other direction is still open */
	n = records_alert(p->records, out);
	CHECK(n > 0);
	give(p, out, n);
	CHECK(peer_reads(p, &byte, 1) == -2);
	free(data);
}

static void
test_talk(void)
{
	static char name[120];

	for (size_t i = 0; i < COUNT(suites); i++)
		for (int role = CONFIG_CLIENT; role <= CONFIG_SERVER; role++) {
			struct pair p;

			snprintf(name, sizeof(name), "%s as %s", suites[i].name, role == CONFIG_CLIENT ? "client" : "server");
			begin_case("%s", name);
			if (pair_open(&p, &suites[i], (enum config_role)role)) {
				talk(&p);
				SSL_set_block_padding(p.ssl, 400);
				talk(&p);
				part(&p);
			}
			pair_close(&p);
			end_case();
		}
}

/* ---- keys that change ---- */

static void
peer_updates(struct pair *p, bool ask)
{
	uint8_t none[64];
	size_t n;

	CHECK(SSL_key_update(p->ssl, ask ? SSL_KEY_UPDATE_REQUESTED : SSL_KEY_UPDATE_NOT_REQUESTED) == 1 && SSL_do_handshake(p->ssl) == 1);
	CHECK(we_open(p, none, &n) == RECORDS_NOTHING && n == 0);
	we_hear(p, 20);
	we_say(p, 20);			/* asked: our own update goes first */
	CHECK(!p->records->owes_update && p->records->dir[SEALING].sequence == (ask ? 1 : p->records->dir[SEALING].sequence));
}

static void
we_update(struct pair *p, bool ask)
{
	uint8_t out[RECORDS_OVERHEAD], none[64];
	size_t n = records_update(p->records, ask, out);

	CHECK(n > 0);
	give(p, out, n);
	we_say(p, 30);
	CHECK(SSL_write_ex(p->ssl, text(5), 5, &n) == 1);
	CHECK(we_open(p, none, &n) == RECORDS_DATA && n == 5 && memcmp(none, text(5), 5) == 0);
	CHECK(!ask || p->records->dir[OPENING].sequence == 1);	/* the peer has new keys, too */
}

static void
test_updates(void)
{
	static char name[120];

	for (size_t i = 0; i < COUNT(suites); i++) {
		struct pair p;

		if (!suites[i].tls13)
			continue;
		snprintf(name, sizeof(name), "key updates under %s", suites[i].name);
		begin_case("%s", name);
		if (pair_open(&p, &suites[i], i & 1 ? CONFIG_SERVER : CONFIG_CLIENT)) {
			peer_updates(&p, true);
			peer_updates(&p, false);
			peer_updates(&p, true);
			we_update(&p, true);
			we_update(&p, false);
			peer_updates(&p, true);
			talk(&p);
		}
		pair_close(&p);
		end_case();
	}
}

/* A worn key is changed without being asked; two record engines face each other, for only they can be told a number. */
static void
test_worn(void)
{
	struct engine_records a = {.version = TLS1_3_VERSION, .aead = ENGINE_GCM, .tag_len = 16}, b;
	uint8_t out[RECORDS_PLAIN + RECORDS_OVERHEAD], plain[RECORDS_CIPHER];
	struct records *we, *they;
	size_t n, used, got;

	begin_case("a worn key");
	for (int d = 0; d < 2; d++) {
		memset(a.dir[d].secret, 7 + d, 32);
		memset(a.dir[d].key, 9 + d, 16);
		a.dir[d].secret_len = 32;
		a.dir[d].key_len = 16;
		a.dir[d].iv_len = 12;
		a.dir[d].sequence = ((uint64_t)1 << 24) - 1;
	}
	b = a;
	b.dir[0] = a.dir[1];
	b.dir[1] = a.dir[0];
	we = records_new(&a);
	they = records_new(&b);
	must(we && they, "records_new");
	n = records_seal(we, text(9), 9, out);
	CHECK(n == RECORDS_HEADER + 9 + 1 + 16);
	CHECK(records_open(they, out, n, &used, plain, &got) == RECORDS_DATA && got == 9);
	n = records_seal(we, text(9), 9, out);
	CHECK(n == 2 * (RECORDS_HEADER + 1 + 16) + 5 + 9);
	CHECK(records_open(they, out, n, &used, plain, &got) == RECORDS_NOTHING);
	CHECK(records_open(they, out + used, n - used, &used, plain, &got) == RECORDS_DATA && got == 9 && memcmp(plain, text(9), 9) == 0);
	CHECK(we->dir[SEALING].sequence == 1 && they->dir[OPENING].sequence == 1);
	we->dir[SEALING].sequence = UINT64_MAX;
	CHECK(records_update(we, false, out) == 0 && records_seal(we, text(1), 1, out) == 0);
	records_free(we);
	records_free(they);
	end_case();
}

/* ---- peers that mean harm ---- */

static struct records *
open_pair(struct pair *p, const char *suite, enum config_role role)
{
	for (size_t i = 0; i < COUNT(suites); i++)
		if (strcmp(suites[i].name, suite) == 0)
			return pair_open(p, &suites[i], role) ? p->records : NULL;
	return NULL;
}

/* Every byte of a record, one bit changed: it never opens, and the alert that follows is one that the peer understands. */
static void
test_tampered(void)
{
	static char name[120];

	for (size_t i = 0; i < COUNT(suites); i++) {
		size_t n = 1, used, got;
		uint8_t out[RECORDS_CIPHER], alert[RECORDS_OVERHEAD], byte;

		snprintf(name, sizeof(name), "tampered with %s", suites[i].name);
		begin_case("%s", name);
		for (size_t at = 0; at < n; at++) {
			struct pair p;
			enum records_result r;

			if (!pair_open(&p, &suites[i], CONFIG_SERVER))
				break;
			CHECK(SSL_write_ex(p.ssl, text(8), 8, &got) == 1);
			n = collect(&p);
			p.buf[at] ^= 1;
			r = open_one(p.records, p.buf, n, &used, out, &got);
			CHECK(r == RECORDS_FAILED || (r == RECORDS_WANT && (at == 3 || at == 4)));
			if (r == RECORDS_FAILED) {
				CHECK(*records_reason(p.records) && records_seal(p.records, text(1), 1, out) == 0);
				give(&p, alert, records_alert(p.records, alert));
				CHECK(peer_reads(&p, &byte, 1) == -3);
				CHECK(records_alert(p.records, alert) == 0);
				CHECK(records_open(p.records, p.buf, n, &used, out, &got) == RECORDS_FAILED);
			}
			pair_close(&p);
		}
		end_case();
	}
}

/* Content that our twin seals and no honest peer would send. */
static const struct content_case {
	const char *name;
	bool tls13;
	int type;
	const char *bytes;
	size_t len;
	enum records_result result;
} contents[] = {
	{"fatal alert", true, 21, "\2\50", 2, RECORDS_FAILED},
	{"fatal alert, 1.2", false, 21, "\2\50", 2, RECORDS_FAILED},
	{"warning, 1.2", false, 21, "\1\132", 2, RECORDS_NOTHING},
	{"user_canceled", true, 21, "\1\132", 2, RECORDS_NOTHING},
	{"a warning that is fatal in 1.3", true, 21, "\1\50", 2, RECORDS_FAILED},
	{"close_notify", true, 21, "\1\0", 2, RECORDS_CLOSED},
	{"half an alert", true, 21, "\1", 1, RECORDS_FAILED},
	{"two alerts", true, 21, "\1\0\1\0", 4, RECORDS_FAILED},
	{"ticket", true, 22, "\4\0\0\3abc", 7, RECORDS_NOTHING},
	{"two tickets", true, 22, "\4\0\0\3abc\4\0\0\1x", 12, RECORDS_NOTHING},
	{"part of a ticket", true, 22, "\4\0\1\0abc", 7, RECORDS_NOTHING},
	{"key update", true, 22, "\30\0\0\1\0", 5, RECORDS_NOTHING},
	{"key update with company", true, 22, "\30\0\0\1\0\4\0\0\0", 9, RECORDS_FAILED},
	{"key update of a wrong kind", true, 22, "\30\0\0\1\2", 5, RECORDS_FAILED},
	{"long key update", true, 22, "\30\0\0\2\0\0", 6, RECORDS_FAILED},
	{"key update, 1.2", false, 22, "\30\0\0\1\0", 5, RECORDS_FAILED},
	{"hello request, 1.2", false, 22, "\0\0\0\0", 4, RECORDS_NOTHING},
	{"hello request", true, 22, "\0\0\0\0", 4, RECORDS_FAILED},
	{"client hello, 1.2", false, 22, "\1\0\0\2ab", 6, RECORDS_NOTHING},
	{"certificate request", true, 22, "\15\0\0\0", 4, RECORDS_FAILED},
	{"finished", true, 22, "\24\0\0\0", 4, RECORDS_FAILED},
	{"empty handshake", true, 22, "", 0, RECORDS_FAILED},
	{"change cipher spec", true, 20, "\1", 1, RECORDS_FAILED},
	{"change cipher spec, 1.2", false, 20, "\1", 1, RECORDS_FAILED},
	{"unknown type", true, 99, "x", 1, RECORDS_FAILED},
	{"no data", true, 23, "", 0, RECORDS_DATA},
	{"no data, 1.2", false, 23, "", 0, RECORDS_DATA},
};

/* The same keys the other way round. */
static struct records *
twin(bool tls13, struct records **they)
{
	struct engine_records a = {.version = tls13 ? TLS1_3_VERSION : TLS1_2_VERSION, .aead = ENGINE_GCM, .tag_len = 16};
	struct records *we;

	for (int d = 0; d < 2; d++) {
		memset(a.dir[d].secret, 3, 48);
		memset(a.dir[d].key, 4, 32);
		a.dir[d].secret_len = tls13 ? 48 : 0;
		a.dir[d].key_len = 32;
		a.dir[d].iv_len = tls13 ? 12 : 4;
	}
	we = records_new(&a);
	*they = records_new(&a);
	must(we && *they, "records_new");
	return we;
}

static void
test_contents(void)
{
	uint8_t out[RECORDS_PLAIN + RECORDS_OVERHEAD], plain[RECORDS_CIPHER];
	struct records *we, *they;
	size_t n, used, got;

	for (size_t i = 0; i < COUNT(contents); i++) {
		const struct content_case *c = &contents[i];

		begin_case("%s", c->name);
		we = twin(c->tls13, &they);
		n = records_seal_type(they, c->type, (const uint8_t *)c->bytes, c->len, out);
		CHECK(open_one(we, out, n, &used, plain, &got) == c->result);
		CHECK(used == n && got == 0);
		records_free(we);
		records_free(they);
		end_case();
	}
}

static void
test_bounds(void)
{
	uint8_t out[RECORDS_CIPHER + 2048], plain[RECORDS_CIPHER], big[RECORDS_PLAIN + 2] = {0};
	struct records *we, *they;
	size_t n, used, got;
	enum records_result r = RECORDS_DATA;
	int count = 0;

	begin_case("a message in many records, data may not come between");
	we = twin(true, &they);
	for (int i = 0; i < 7; i++) {
		n = records_seal_type(they, 22, (const uint8_t *)"\4\0\0\4abcd" + i, 1, out);
		CHECK(records_open(we, out, n, &used, plain, &got) == RECORDS_NOTHING);
	}
	n = records_seal_type(they, 23, text(3), 3, out);
	CHECK(records_open(we, out, n, &used, plain, &got) == RECORDS_FAILED);
	records_free(we);
	records_free(they);
	end_case();

	begin_case("too much data");
	we = twin(true, &they);
	n = records_seal_type(they, 23, big, RECORDS_PLAIN + 1, out);
	CHECK(records_open(we, out, n, &used, plain, &got) == RECORDS_FAILED && strstr(records_reason(we), "too much"));
	records_free(we);
	records_free(they);
	end_case();

	begin_case("records without data, without end");
	we = twin(false, &they);
	for (; r == RECORDS_DATA && count < 1000; count++) {
		n = records_seal_type(they, 23, big, 0, out);
		r = records_open(we, out, n, &used, plain, &got);
	}
	CHECK(r == RECORDS_FAILED && count == RECORDS_IDLE + 1);
	records_free(we);
	records_free(they);
	end_case();

	begin_case("no record at all");
	we = twin(true, &they);
	CHECK(records_open(we, (const uint8_t *)"HTTP/1.1", 8, &used, plain, &got) == RECORDS_FAILED);
	records_free(we);
	records_free(they);
	we = twin(true, &they);
	CHECK(records_open(we, (const uint8_t *)"\27\3\3\377\377", 5, &used, plain, &got) == RECORDS_FAILED);
	records_free(we);
	records_free(they);
	end_case();
}

/* The peer asks for another handshake: declined, and the connection goes on. */
static void
test_renegotiation(void)
{
	struct pair p;
	uint8_t data[256], out[RECORDS_OVERHEAD + 16];
	size_t n;

	begin_case("a server asks for renegotiation");
	if (open_pair(&p, "ECDHE-ECDSA-AES128-GCM-SHA256", CONFIG_CLIENT)) {
		CHECK(SSL_renegotiate(p.ssl) == 1 && SSL_do_handshake(p.ssl) == 1);
		CHECK(we_open(&p, data, &n) == RECORDS_NOTHING && p.records->owes_refusal);
		n = records_seal(p.records, text(4), 4, out);
		CHECK(n > 0 && !p.records->owes_refusal && out[0] == SSL3_RT_ALERT);
	}
	pair_close(&p);
	end_case();
}

static void
test_states(void)
{
	struct engine_records good = {.version = TLS1_2_VERSION, .aead = ENGINE_GCM, .tag_len = 16,
				      .dir = {{.key_len = 16, .iv_len = 4}, {.key_len = 16, .iv_len = 4}}}, bad;
	struct records *r;

	begin_case("states that cannot be continued");
	r = records_new(&good);
	CHECK(r != NULL);
	records_free(r);
	bad = good, bad.version = 0x0302;
	CHECK(records_new(&bad) == NULL);
	bad = good, bad.tag_len = 12;
	CHECK(records_new(&bad) == NULL);
	bad = good, bad.dir[1].iv_len = 12;
	CHECK(records_new(&bad) == NULL);
	bad = good, bad.dir[0].key_len = 24;
	CHECK(records_new(&bad) == NULL);
	bad = good, bad.version = TLS1_3_VERSION;
	CHECK(records_new(&bad) == NULL);
	bad = good, bad.aead = ENGINE_CHACHA20;
	CHECK(records_new(&bad) == NULL);
	end_case();
}

int
main(void)
{
	make_self(NULL);
	test_talk();
	test_updates();
	test_worn();
	test_tampered();
	test_contents();
	test_bounds();
	test_renegotiation();
	test_states();
	remove_dir();
	return summary();
}
