/* engine_export_test.c - the engine's record state: what is exported goes on elsewhere. */
#include "engine_pair.h"

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
	begin_case("%s", name);
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

int
main(void)
{
	make_files();
	test_exports();
	remove_files();
	return summary();
}
