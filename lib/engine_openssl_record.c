/*
 * engine_openssl_record.c - the wire as OpenSSL sees it, and the record state with which a connection is continued without OpenSSL.
 *
 * OpenSSL exports no traffic keys and no sequence numbers.  TLS 1.3 secrets are seen where they are derived and follow the key updates
 * seen; TLS 1.2 keys are derived again from the master secret.  Records are counted where OpenSSL shows their headers.
 */
#include <stdlib.h>
#include <string.h>

#include <openssl/bio.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/ssl.h>

#include "engine.h"
#include "engine_openssl.h"

/* ---- the wire: two buffers ---- */

/*
 * OpenSSL is shown whole records only, so that an incomplete one stays in wire->in, where the caller counts it.  What is no record
 * at all is shown as it is: the complaint is OpenSSL's.
 */
static size_t
whole_record(const struct engine_wire *w)
{
	const uint8_t *p = w->in + w->in_off;
	size_t have = w->in_len - w->in_off, size;

	if (have < 5)
		return 0;
	size = 5 + ((size_t)p[3] << 8 | p[4]);
	if (p[0] < 20 || p[0] > 24 || p[1] != 3 || size > 5 + SSL3_RT_MAX_ENCRYPTED_LENGTH)
		return have;
	return have < size ? 0 : size;
}

static int
wire_read(BIO *bio, char *buf, size_t len, size_t *n)
{
	struct engine *e = BIO_get_data(bio);
	struct engine_wire *w = e->wire;
	size_t have = w->in_len - w->in_off;

	BIO_clear_retry_flags(bio);
	*n = 0;
	if (e->record_left == 0)
		e->record_left = whole_record(w);
	if (e->record_left == 0) {
		BIO_set_retry_read(bio);
		return 0;
	}
	if (e->taken < ENGINE_FIRST_BYTES) {
		size_t at = (size_t)e->taken, room = ENGINE_FIRST_BYTES - at;

		e->first_len = at + (have < room ? have : room);
		memcpy(e->first + at, w->in + w->in_off, e->first_len - at);
	}
	*n = len < e->record_left ? len : e->record_left;
	e->record_left -= *n;
	memcpy(buf, w->in + w->in_off, *n);
	w->in_off += *n;
	e->taken += *n;
	return 1;
}

bool
engine_wire_reserve(struct engine_wire *w, size_t room)
{
	size_t cap = w->out_cap ? w->out_cap : 4096;
	uint8_t *out;

	if (w->out_cap - w->out_len >= room)
		return true;
	while (cap - w->out_len < room) {
		if (cap > SIZE_MAX / 2)
			return false;
		cap *= 2;
	}
	out = realloc(w->out, cap);
	if (!out)
		return false;
	w->out = out;
	w->out_cap = cap;
	return true;
}

bool
engine_release_tickets(struct engine *e)
{
	struct engine_wire *w = e->wire;

	if (!e->tickets)
		return true;
	if (!engine_wire_reserve(w, e->tickets_len))
		return false;
	memcpy(w->out + w->out_len, e->tickets, e->tickets_len);
	w->out_len += e->tickets_len;
	free(e->tickets);
	e->tickets = NULL;
	e->tickets_len = 0;
	return true;
}

static int
wire_write(BIO *bio, const char *buf, size_t len, size_t *n)
{
	struct engine *e = BIO_get_data(bio);
	struct engine_wire *w = e->wire;

	BIO_clear_retry_flags(bio);
	*n = 0;
	if (!engine_release_tickets(e) || !engine_wire_reserve(w, len)) {
		e->nomem = true;
		return 0;
	}
	memcpy(w->out + w->out_len, buf, len);
	w->out_len += len;
	*n = len;
	return 1;
}

static long
wire_ctrl(BIO *bio, int cmd, long num, void *ptr)
{
	(void)bio;
	(void)num;
	(void)ptr;
	return cmd == BIO_CTRL_FLUSH;
}

BIO_METHOD *
engine_wire_method(void)
{
	int index = BIO_get_new_index();
	BIO_METHOD *m = index < 0 ? NULL : BIO_meth_new(index | BIO_TYPE_SOURCE_SINK, "wrapsock wire");

	if (!m)
		return NULL;
	if (BIO_meth_set_read_ex(m, wire_read) && BIO_meth_set_write_ex(m, wire_write) && BIO_meth_set_ctrl(m, wire_ctrl))
		return m;
	BIO_meth_free(m);
	return NULL;
}

/* ---- secrets and counts ---- */

static void
direction_update(SSL *ssl, struct engine_direction *d)
{
	const EVP_MD *md = SSL_CIPHER_get_handshake_digest(SSL_get_current_cipher(ssl));
	uint8_t next[ENGINE_SECRET_MAX];

	if (md && d->secret_len > 0
	    && engine_expand_label(engine_lib(), d->secret, d->secret_len, "traffic upd", next, d->secret_len))
		memcpy(d->secret, next, d->secret_len);
	else
		d->secret_len = 0;	/* cannot be exported any more */
	d->key_len = d->iv_len = 0;
	d->sequence = 0;
	OPENSSL_cleanse(next, sizeof(next));
}

static void
watch_record(struct engine *e, struct engine_direction *d, bool sent, const uint8_t *header)
{
	if (!sent)
		e->record_end = e->taken + ((uint64_t)header[3] << 8 | header[4]);
	/* TLS 1.2: the record behind ChangeCipherSpec is number 0. (TLS 1.3 has none after its Finished.) */
	if (header[0] == SSL3_RT_CHANGE_CIPHER_SPEC)
		d->sequence = 0;
	else
		d->sequence++;
}

/*
 * A record's header is shown before its messages, in both directions.  So after TLS 1.3's Finished and KeyUpdate, which are the
 * last records under their keys, the count starts again.
 */
void
engine_watch(int sent, int version, int type, const void *buf, size_t len, SSL *ssl, void *arg)
{
	struct engine *e = SSL_get_app_data(ssl);
	struct engine_direction *d;
	const uint8_t *p = buf;

	(void)version;
	(void)arg;
	if (!e)
		return;
	d = &e->dir[sent != 0];
	if (type == SSL3_RT_HEADER && len >= SSL3_RT_HEADER_LENGTH) {
		watch_record(e, d, sent != 0, p);
		return;
	}
	if (e->done && (type == SSL3_RT_HANDSHAKE || type == SSL3_RT_ALERT))
		e->idle += sent ? type == SSL3_RT_ALERT : type == SSL3_RT_HANDSHAKE;
	if (type != SSL3_RT_HANDSHAKE || len == 0 || SSL_version(ssl) != TLS1_3_VERSION)
		return;
	if (p[0] == SSL3_MT_FINISHED)
		d->sequence = 0;
	else if (p[0] == SSL3_MT_KEY_UPDATE)
		direction_update(ssl, d);
}

/* The suites whose tag is cut to 8 bytes; OpenSSL's identifiers do not tell them apart. */
static bool
short_tag(uint16_t suite)
{
	return suite == 0x1305 || (suite >= 0xc0a0 && suite <= 0xc0a3) || (suite >= 0xc0a8 && suite <= 0xc0ab) || suite == 0xc0ae || suite == 0xc0af;
}

/* What can be continued: AES-GCM, AES-CCM, ChaCha20-Poly1305. The length of its key, 0 = not this one. */
static size_t
aead_of(const SSL_CIPHER *cipher, struct engine_records *out)
{
	out->suite = SSL_CIPHER_get_protocol_id(cipher);
	out->tag_len = short_tag(out->suite) ? 8 : 16;
	switch (SSL_CIPHER_get_cipher_nid(cipher)) {
	case NID_aes_128_gcm:
		out->aead = ENGINE_GCM;
		return 16;
	case NID_aes_256_gcm:
		out->aead = ENGINE_GCM;
		return 32;
	case NID_aes_128_ccm:
		out->aead = ENGINE_CCM;
		return 16;
	case NID_aes_256_ccm:
		out->aead = ENGINE_CCM;
		return 32;
	case NID_chacha20_poly1305:
		out->aead = ENGINE_CHACHA20;
		return 32;
	default:
		return 0;
	}
}

/* RFC 8446, 5.2: a byte of type; RFC 5288, RFC 6655: an explicit part of the nonce. Nothing is known of other suites. */
size_t
engine_overhead_of(const SSL *ssl)
{
	struct engine_records r;

	if (aead_of(SSL_get_current_cipher(ssl), &r) == 0)
		return 0;
	return r.tag_len + (SSL_version(ssl) == TLS1_3_VERSION ? 1 : r.aead == ENGINE_CHACHA20 ? 0 : 8);
}

/* What the handshake has derived, or derived again. */
static bool
traffic_key(const struct engine_direction *d, const char *label, const uint8_t *seen, size_t seen_len, uint8_t *out, size_t len)
{
	if (seen_len != len)
		return engine_expand_label(engine_lib(), d->secret, d->secret_len, label, out, len);
	memcpy(out, seen, len);
	return true;
}

static bool
export_tls13(const struct engine *e, const EVP_MD *md, size_t key_len, struct engine_records *out)
{
	for (int i = 0; i < 2; i++) {
		const struct engine_direction *d = &e->dir[i];

		if (d->secret_len == 0 || d->secret_len != (size_t)EVP_MD_get_size(md))
			return false;
		memcpy(out->dir[i].secret, d->secret, d->secret_len);
		out->dir[i].secret_len = d->secret_len;
		out->dir[i].key_len = key_len;
		out->dir[i].iv_len = 12;
		if (!traffic_key(d, "key", d->key, d->key_len, out->dir[i].key, key_len)
		    || !traffic_key(d, "iv", d->iv, d->iv_len, out->dir[i].iv, 12))
			return false;
	}
	return true;
}

/* RFC 5246, 6.3: key_block = PRF(master_secret, "key expansion", server_random + client_random) */
static bool
key_block(const SSL *ssl, const EVP_MD *md, uint8_t *out, size_t len)
{
	static const char label[] = "key expansion";
	uint8_t master[SSL_MAX_MASTER_KEY_LENGTH], seed[sizeof(label) - 1 + 2 * SSL3_RANDOM_SIZE];
	size_t master_len = SSL_SESSION_get_master_key(SSL_get_session(ssl), master, sizeof(master));
	char digest[32];
	OSSL_PARAM params[4];
	EVP_KDF *kdf = EVP_KDF_fetch(engine_lib(), "TLS1-PRF", NULL);
	EVP_KDF_CTX *kctx = EVP_KDF_CTX_new(kdf);
	bool ok;

	memcpy(seed, label, sizeof(label) - 1);
	SSL_get_server_random(ssl, seed + sizeof(label) - 1, SSL3_RANDOM_SIZE);
	SSL_get_client_random(ssl, seed + sizeof(label) - 1 + SSL3_RANDOM_SIZE, SSL3_RANDOM_SIZE);
	OPENSSL_strlcpy(digest, EVP_MD_get0_name(md), sizeof(digest));
	params[0] = OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0);
	params[1] = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SECRET, master, master_len);
	params[2] = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SEED, seed, sizeof(seed));
	params[3] = OSSL_PARAM_construct_end();
	ok = kctx && master_len > 0 && EVP_KDF_derive(kctx, out, len, params) > 0;
	EVP_KDF_CTX_free(kctx);
	EVP_KDF_free(kdf);
	OPENSSL_cleanse(master, sizeof(master));
	return ok;
}

static bool
export_tls12(const struct engine *e, const EVP_MD *md, size_t key_len, size_t iv_len, struct engine_records *out)
{
	uint8_t block[2 * (32 + 12)];
	bool server = e->config->role == CONFIG_SERVER;
	bool ok = key_block(e->ssl, md, block, 2 * (key_len + iv_len));

	for (int i = 0; i < 2 && ok; i++) {
		size_t half = (i == 0) != server;	/* the client's half comes first; [0] is what we read */

		out->dir[i].key_len = key_len;
		out->dir[i].iv_len = iv_len;
		memcpy(out->dir[i].key, block + half * key_len, key_len);
		memcpy(out->dir[i].iv, block + 2 * key_len + half * iv_len, iv_len);
	}
	OPENSSL_cleanse(block, sizeof(block));
	return ok;
}

/* The answer that a key update of the peer asks for waits for our next data: it would be lost with the SSL object. */
static bool
answer_key_update(SSL *ssl)
{
	int owed = SSL_get_key_update_type(ssl);

	return owed == SSL_KEY_UPDATE_NONE || (SSL_key_update(ssl, owed) == 1 && SSL_do_handshake(ssl) == 1);
}

static int
export_records(const struct engine *e, struct engine_records *out)
{
	const SSL_CIPHER *cipher = SSL_get_current_cipher(e->ssl);
	const EVP_MD *md = SSL_CIPHER_get_handshake_digest(cipher);
	size_t key_len = aead_of(cipher, out);
	bool ok = false;

	if (!md || key_len == 0 || e->taken != e->record_end)
		return -1;
	if (!engine_release_tickets(SSL_get_app_data(e->ssl)) || !answer_key_update(e->ssl))
		return -1;
	if (SSL_in_init(e->ssl))
		return -1;
	out->version = SSL_version(e->ssl);
	if (out->version == TLS1_3_VERSION)
		ok = export_tls13(e, md, key_len, out);
	else if (out->version == TLS1_2_VERSION)
		ok = export_tls12(e, md, key_len, out->aead == ENGINE_CHACHA20 ? 12 : 4, out);
	out->dir[0].sequence = e->dir[0].sequence;
	out->dir[1].sequence = e->dir[1].sequence;
	return ok ? 0 : -1;
}

int
engine_export_records(const struct engine *e, struct engine_records *out)
{
	struct engine_guard g;
	int r;

	OPENSSL_cleanse(out, sizeof(*out));
	if (!e->done || e->failed != ENGINE_DONE || !engine_alive())
		return -1;
	engine_guard_enter(&g);
	r = e->records ? engine_direct_export(e, out) : export_records(e, out);
	if (r < 0)
		OPENSSL_cleanse(out, sizeof(*out));
	engine_guard_leave(&g);
	return r;
}
