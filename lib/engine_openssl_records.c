/*
 * engine_openssl_records.c - records sealed and opened by EVP alone, and the little of the protocol that goes on behind a handshake.
 */
#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/ssl.h>

#include "engine_openssl.h"
#include "records_impl.h"

enum { TAG_MAX = 16, NONCE = RECORDS_NONCE, EXPLICIT = 8, MESSAGE_HEADER = RECORDS_MESSAGE };
enum { SMALL = 1024 };		/* a copy of so much costs less than another call of EVP */

/* ---- made ---- */

void
records_alone(void)
{
	OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, NULL);
}

static const char *
cipher_name(const struct engine_records *state)
{
	bool big = state->dir[0].key_len == 32;

	switch (state->aead) {
	case ENGINE_GCM:
		return big ? "AES-256-GCM" : "AES-128-GCM";
	case ENGINE_CCM:
		return big ? "AES-256-CCM" : "AES-128-CCM";
	default:
		return "ChaCha20-Poly1305";
	}
}

static bool
plausible(const struct engine_records *state)
{
	bool tls13 = state->version == TLS1_3_VERSION;

	if ((!tls13 && state->version != TLS1_2_VERSION) || (state->tag_len != 8 && state->tag_len != TAG_MAX))
		return false;
	for (int i = 0; i < 2; i++) {
		size_t secret = state->dir[i].secret_len, iv = state->dir[i].iv_len;

		if ((state->dir[i].key_len != 16 && state->dir[i].key_len != 32) || state->dir[i].key_len != state->dir[0].key_len)
			return false;
		if (tls13 && ((secret != 32 && secret != 48) || iv != NONCE))
			return false;
		if (!tls13 && iv != (state->aead == ENGINE_CHACHA20 ? NONCE : NONCE - EXPLICIT))
			return false;
	}
	return true;
}

static bool
set_key(struct records *r, int d, const uint8_t *key)
{
	return EVP_CipherInit_ex(r->dir[d].cipher, NULL, NULL, key, NULL, d) == 1;
}

static bool
start(struct records *r, int d, const EVP_CIPHER *cipher, const struct engine_records *state)
{
	struct records_direction *dir = &r->dir[d];

	memcpy(dir->secret, state->dir[d].secret, state->dir[d].secret_len);
	dir->secret_len = state->dir[d].secret_len;
	memcpy(dir->iv, state->dir[d].iv, state->dir[d].iv_len);
	dir->iv_len = state->dir[d].iv_len;
	dir->sequence = state->dir[d].sequence;
	dir->cipher = EVP_CIPHER_CTX_new();
	if (!dir->cipher || EVP_CipherInit_ex(dir->cipher, cipher, NULL, NULL, NULL, d) != 1)
		return false;
	if (state->aead == ENGINE_CCM
	    && (EVP_CIPHER_CTX_ctrl(dir->cipher, EVP_CTRL_AEAD_SET_IVLEN, NONCE, NULL) != 1
		|| EVP_CIPHER_CTX_ctrl(dir->cipher, EVP_CTRL_AEAD_SET_TAG, (int)state->tag_len, NULL) != 1))
		return false;
	return set_key(r, d, state->dir[d].key);
}

struct records *
records_new(const struct engine_records *state)
{
	return records_new_in(NULL, state);
}

struct records *
records_new_in(void *library, const struct engine_records *state)
{
	struct records *r = plausible(state) ? calloc(1, sizeof(*r)) : NULL;
	EVP_CIPHER *cipher;
	bool ok;

	if (!r)
		return NULL;
	cipher = EVP_CIPHER_fetch(library, cipher_name(state), NULL);
	r->library = library;
	r->version = state->version;
	r->suite = state->suite;
	r->aead = state->aead;
	r->key_len = state->dir[0].key_len;
	r->tag_len = state->tag_len;
	ok = cipher && (size_t)EVP_CIPHER_get_key_length(cipher) == r->key_len && start(r, OPENING, cipher, state)
		&& start(r, SEALING, cipher, state);
	EVP_CIPHER_free(cipher);	/* the contexts hold it */
	if (ok)
		return r;
	records_free(r);
	return NULL;
}

void
records_free(struct records *r)
{
	if (!r)
		return;
	EVP_CIPHER_CTX_free(r->dir[OPENING].cipher);
	EVP_CIPHER_CTX_free(r->dir[SEALING].cipher);
	OPENSSL_cleanse(r, sizeof(*r));
	free(r);
}

const char *
records_reason(const struct records *r)
{
	return r->reason ? r->reason : "";
}

static enum records_result
fail(struct records *r, int alert, const char *reason)
{
	if (!r->reason) {
		r->alert = alert;
		r->reason = reason;
	}
	return RECORDS_FAILED;
}

/* ---- one record ---- */

static void
store64(uint8_t out[8], uint64_t n)
{
	n = htobe64(n);
	memcpy(out, &n, sizeof(n));
}

/* Bytes of the nonce that each record of TLS 1.2's AES suites carries. */
static size_t
explicit_len(const struct records_direction *d)
{
	return NONCE - d->iv_len;
}

struct frame {
	uint8_t nonce[NONCE], aad[13];
	size_t aad_len;
};

/* RFC 8446, 5.2 and 5.3; RFC 5246, 6.2.3.3; RFC 7905. */
static struct frame
frame(const struct records *r, const struct records_direction *d, const uint8_t header[RECORDS_HEADER], const uint8_t *nonce, size_t plain)
{
	struct frame f;
	uint64_t last;

	memcpy(f.nonce, d->iv, NONCE);
	if (explicit_len(d)) {
		memcpy(f.nonce + d->iv_len, nonce, EXPLICIT);
	} else {
		memcpy(&last, d->iv + NONCE - sizeof(last), sizeof(last));
		last ^= htobe64(d->sequence);
		memcpy(f.nonce + NONCE - sizeof(last), &last, sizeof(last));
	}
	if (r->version == TLS1_3_VERSION) {
		memcpy(f.aad, header, RECORDS_HEADER);
		f.aad_len = RECORDS_HEADER;
		return f;
	}
	store64(f.aad, d->sequence);
	memcpy(f.aad + 8, header, 3);
	f.aad[11] = (uint8_t)(plain >> 8);
	f.aad[12] = (uint8_t)plain;
	f.aad_len = 13;
	return f;
}

/* CCM must know the length before the additional data, and takes all data at once. */
static bool
begin(const struct records *r, EVP_CIPHER_CTX *c, const struct frame *f, int d, size_t len)
{
	int n;

	return EVP_CipherInit_ex(c, NULL, NULL, NULL, f->nonce, d) == 1
		&& (r->aead != ENGINE_CCM || EVP_CipherUpdate(c, NULL, &n, NULL, (int)len) == 1)
		&& EVP_CipherUpdate(c, NULL, &n, f->aad, (int)f->aad_len) == 1;
}

static bool
encrypt(const struct records *r, EVP_CIPHER_CTX *c, const uint8_t *data, size_t len, int type, uint8_t *out)
{
	bool inner = r->version == TLS1_3_VERSION;
	uint8_t last = (uint8_t)type;
	int n, rest = 0;

	if (r->aead == ENGINE_CCM || len < SMALL) {
		memcpy(out, data, len);
		if (inner)
			out[len] = last;
		return EVP_CipherUpdate(c, out, &n, out, (int)(len + inner)) == 1
			&& (r->aead == ENGINE_CCM || EVP_CipherFinal_ex(c, out + n, &rest) == 1);
	}
	return EVP_CipherUpdate(c, out, &n, data, (int)len) == 1 && (!inner || EVP_CipherUpdate(c, out + n, &rest, &last, 1) == 1)
		&& EVP_CipherFinal_ex(c, out + n + rest, &rest) == 1;
}

static bool
take_tag(EVP_CIPHER_CTX *c, uint8_t *tag, size_t len)
{
	OSSL_PARAM what[] = { OSSL_PARAM_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, tag, len), OSSL_PARAM_END };

	return EVP_CIPHER_CTX_get_params(c, what) == 1;
}

/*
 * One record of any type. OpenSSL's own counter in TLS 1.2's GCM nonces begins at random: the sequence number meets one that was
 * used with a chance of 2^-64 a record.
 */
size_t
records_seal_type(struct records *r, int type, const uint8_t *data, size_t len, uint8_t *out)
{
	struct records_direction *d = &r->dir[SEALING];
	size_t skip = explicit_len(d), inner = len + (r->version == TLS1_3_VERSION), body = skip + inner + r->tag_len;
	uint8_t *at = out + RECORDS_HEADER + skip;
	struct frame f;

	if (d->sequence == UINT64_MAX) {
		fail(r, SSL_AD_INTERNAL_ERROR, "the keys are worn out");
		return 0;
	}
	out[0] = (uint8_t)(r->version == TLS1_3_VERSION ? SSL3_RT_APPLICATION_DATA : type);
	out[1] = out[2] = 3;
	out[3] = (uint8_t)(body >> 8);
	out[4] = (uint8_t)body;
	if (skip)
		store64(out + RECORDS_HEADER, d->sequence);
	f = frame(r, d, out, out + RECORDS_HEADER, len);
	if (!begin(r, d->cipher, &f, SEALING, inner) || !encrypt(r, d->cipher, data, len, type, at)
	    || !take_tag(d->cipher, at + inner, r->tag_len)) {
		fail(r, SSL_AD_INTERNAL_ERROR, "a record could not be encrypted");
		return 0;
	}
	d->sequence++;
	return RECORDS_HEADER + body;
}

/* last: NULL, or where the last byte goes instead of out, which mostly is the type of TLS 1.3 and none of the data. */
static bool
decrypt(const struct records *r, EVP_CIPHER_CTX *c, const struct frame *f, const uint8_t *in, size_t len, uint8_t *out, uint8_t *last)
{
	size_t most = len - (last != NULL);
	uint8_t tag[TAG_MAX];
	int n, rest;

	memcpy(tag, in + len, r->tag_len);
	if (r->aead == ENGINE_CCM)	/* the tag before the data, and the data's update is the verdict */
		return EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_SET_TAG, (int)r->tag_len, tag) == 1 && begin(r, c, f, OPENING, len)
			&& EVP_CipherUpdate(c, out, &n, in, (int)len) == 1;
	return begin(r, c, f, OPENING, len) && (most == 0 || EVP_CipherUpdate(c, out, &n, in, (int)most) == 1)
		&& (!last || EVP_CipherUpdate(c, last, &n, in + most, 1) == 1)
		&& EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_SET_TAG, (int)r->tag_len, tag) == 1 && EVP_CipherFinal_ex(c, tag, &rest) == 1;
}

/* The type is the last byte that is not zero, in `last` or in the n bytes before it: it is wiped there. -1 = none. */
static int
inner_type(uint8_t *out, size_t *n, uint8_t last)
{
	while (last == 0 && *n > 0) {
		last = out[--*n];
		out[*n] = 0;
	}
	return last ? last : -1;
}

/* Decrypt the whole record at in: its type and *n bytes of content, or -1 and failed. */
static int
unseal(struct records *r, const uint8_t *in, size_t size, uint8_t *out, size_t *n)
{
	struct records_direction *d = &r->dir[OPENING];
	size_t skip = explicit_len(d), body = size - RECORDS_HEADER;
	bool tls13 = r->version == TLS1_3_VERSION, split = tls13 && r->aead != ENGINE_CCM && out != in + RECORDS_HEADER;
	uint8_t last = 0;
	struct frame f;
	int type;

	if (tls13 && in[0] != SSL3_RT_APPLICATION_DATA)
		return fail(r, SSL_AD_UNEXPECTED_MESSAGE, "a record that is not encrypted"), -1;
	if (body < skip + r->tag_len + tls13 || d->sequence == UINT64_MAX)
		return fail(r, SSL_AD_BAD_RECORD_MAC, "a record too short to be one"), -1;
	*n = body - skip - r->tag_len;
	if (*n > RECORDS_PLAIN + (tls13 ? 256u : 0u))
		return fail(r, SSL_AD_RECORD_OVERFLOW, "a record with too much data"), -1;
	f = frame(r, d, in, in + RECORDS_HEADER, *n);
	if (!decrypt(r, d->cipher, &f, in + RECORDS_HEADER + skip, *n, out, split ? &last : NULL))
		return fail(r, SSL_AD_BAD_RECORD_MAC, "a record was damaged on its way"), -1;
	d->sequence++;
	if (!tls13)
		return in[0];
	*n -= split;
	type = inner_type(out, n, last);
	if (type < 0)
		return fail(r, SSL_AD_UNEXPECTED_MESSAGE, "a record without a type"), -1;
	if (*n > RECORDS_PLAIN)
		return fail(r, SSL_AD_RECORD_OVERFLOW, "a record with too much data"), -1;
	return type;
}

/* ---- keys that change ---- */

/* RFC 8446, 7.2: the next generation of one direction's secret, key and IV. */
bool
records_next_keys(struct records *r, int which)
{
	struct records_direction *d = &r->dir[which];
	uint8_t secret[ENGINE_SECRET_MAX], key[32];
	bool ok = engine_expand_label(r->library, d->secret, d->secret_len, "traffic upd", secret, d->secret_len);

	if (ok)
		memcpy(d->secret, secret, d->secret_len);
	ok = ok && engine_expand_label(r->library, d->secret, d->secret_len, "key", key, r->key_len)
		&& engine_expand_label(r->library, d->secret, d->secret_len, "iv", d->iv, d->iv_len) && set_key(r, which, key);
	d->sequence = 0;
	OPENSSL_cleanse(secret, sizeof(secret));
	OPENSSL_cleanse(key, sizeof(key));
	if (!ok)
		fail(r, SSL_AD_INTERNAL_ERROR, "new keys could not be derived");
	return ok;
}

size_t
records_update(struct records *r, bool ask, uint8_t *out)
{
	uint8_t message[] = {SSL3_MT_KEY_UPDATE, 0, 0, 1, ask ? SSL_KEY_UPDATE_REQUESTED : SSL_KEY_UPDATE_NOT_REQUESTED};
	size_t n;

	if (r->reason || r->version != TLS1_3_VERSION)
		return 0;
	n = records_seal_type(r, SSL3_RT_HANDSHAKE, message, sizeof(message), out);
	r->owes_update = false;
	return n && records_next_keys(r, SEALING) ? n : 0;
}

/* RFC 8446, 5.5: at most 2^24.5 full records under one AES-GCM key; CCM is given half of that. ChaCha20 has no such limit. */
static bool
worn(const struct records *r)
{
	uint64_t most = r->aead == ENGINE_GCM ? (uint64_t)1 << 24 : r->aead == ENGINE_CCM ? (uint64_t)1 << 23 : UINT64_MAX;

	return r->version == TLS1_3_VERSION && r->dir[SEALING].sequence >= most;
}

/* ---- the protocol's own records ---- */

static enum records_result
told(struct records *r, const uint8_t *alert, size_t n)
{
	if (n != 2)
		return fail(r, SSL_AD_DECODE_ERROR, "an alert that is none");
	if (alert[1] == SSL_AD_CLOSE_NOTIFY)
		return RECORDS_CLOSED;
	/* TLS 1.3 knows the level by the description: user_canceled alone is no error. */
	if (r->version == TLS1_3_VERSION ? alert[1] == SSL_AD_USER_CANCELLED : alert[0] == SSL3_AL_WARNING)
		return RECORDS_NOTHING;
	return fail(r, -1, "the peer sent a fatal alert");
}

static enum records_result
update_asked(struct records *r, const uint8_t *body, size_t n)
{
	/* RFC 8446, 5.1: messages must not span key changes */
	if (n != 1 || body[0] > SSL_KEY_UPDATE_REQUESTED)
		return fail(r, n == 1 ? SSL_AD_ILLEGAL_PARAMETER : SSL_AD_UNEXPECTED_MESSAGE, "a wrong key update");
	r->owes_update |= body[0] == SSL_KEY_UPDATE_REQUESTED;
	return records_next_keys(r, OPENING) ? RECORDS_NOTHING : RECORDS_FAILED;
}

/* A message's header is whole: is it one that may come now? */
static enum records_result
message_begins(struct records *r)
{
	int type = r->message[0];
	bool tls13 = r->version == TLS1_3_VERSION;

	r->message_left = (size_t)r->message[1] << 16 | (size_t)r->message[2] << 8 | r->message[3];
	if (tls13 && type == SSL3_MT_NEWSESSION_TICKET)
		return RECORDS_NOTHING;
	if (tls13 && type == SSL3_MT_KEY_UPDATE && r->message_left == 1)
		return RECORDS_NOTHING;
	if (!tls13 && (type == SSL3_MT_HELLO_REQUEST || type == SSL3_MT_CLIENT_HELLO)) {
		r->owes_refusal = true;
		return RECORDS_NOTHING;
	}
	return fail(r, SSL_AD_UNEXPECTED_MESSAGE, "a handshake message that nobody asked for");
}

/* Handshake messages are passed over wherever they are cut; only a key update means something. */
static enum records_result
messages(struct records *r, const uint8_t *p, size_t n)
{
	enum records_result result = RECORDS_NOTHING;

	if (n == 0)
		return fail(r, SSL_AD_UNEXPECTED_MESSAGE, "an empty handshake record");
	while (n > 0 && result == RECORDS_NOTHING) {
		size_t part;

		if (r->message_have < MESSAGE_HEADER) {
			r->message[r->message_have++] = *p++;
			n--;
			if (r->message_have == MESSAGE_HEADER)
				result = message_begins(r);
		} else if (r->version == TLS1_3_VERSION && r->message[0] == SSL3_MT_KEY_UPDATE) {
			result = update_asked(r, p, n);
			r->message_left = n = 0;
		} else {
			part = n < r->message_left ? n : r->message_left;
			p += part;
			n -= part;
			r->message_left -= part;
		}
		if (r->message_have == MESSAGE_HEADER && r->message_left == 0)
			r->message_have = 0;
	}
	return result;
}

/* ---- in and out ---- */

size_t
records_size(const uint8_t *in, size_t len)
{
	return len < RECORDS_HEADER ? 0 : RECORDS_HEADER + ((size_t)in[3] << 8 | in[4]);
}

size_t
records_room(const struct records *r, const uint8_t *in, size_t len)
{
	size_t size = records_size(in, len), inner = r->version == TLS1_3_VERSION && r->aead != ENGINE_CCM;
	size_t beyond = RECORDS_HEADER + explicit_len(&r->dir[OPENING]) + r->tag_len + inner;

	return size > beyond ? size - beyond : 0;
}

static enum records_result
content(struct records *r, int type, const uint8_t *out, size_t *n)
{
	size_t len = *n;

	if (type == SSL3_RT_APPLICATION_DATA && r->message_have == 0) {
		if (len > 0)
			r->idle = 0;
		return RECORDS_DATA;
	}
	*n = 0;
	if (type == SSL3_RT_HANDSHAKE)
		return messages(r, out, len);
	if (type == SSL3_RT_ALERT && r->message_have == 0)
		return told(r, out, len);
	return fail(r, SSL_AD_UNEXPECTED_MESSAGE, "a record of a type that cannot come now");
}

enum records_result
records_open(struct records *r, const uint8_t *in, size_t len, size_t *used, uint8_t *out, size_t *n)
{
	size_t size = records_size(in, len);
	enum records_result result;
	int type;

	*used = *n = 0;
	if (r->reason)
		return RECORDS_FAILED;
	if (size == 0)
		return RECORDS_WANT;
	if (in[1] != 3 || size > RECORDS_CIPHER)
		return fail(r, in[1] != 3 ? SSL_AD_PROTOCOL_VERSION : SSL_AD_RECORD_OVERFLOW, "what came is no TLS record");
	if (size > len)
		return RECORDS_WANT;
	*used = size;
	if (++r->idle > RECORDS_IDLE)
		return fail(r, SSL_AD_UNEXPECTED_MESSAGE, "too many records without data");
	type = unseal(r, in, size, out, n);
	result = type < 0 ? RECORDS_FAILED : content(r, type, out, n);
	if (result != RECORDS_DATA) {
		memset(out, 0, records_room(r, in, len));
		*n = 0;
	}
	return result;
}

size_t
records_seal(struct records *r, const uint8_t *data, size_t len, uint8_t *out)
{
	static const uint8_t refusal[] = {SSL3_AL_WARNING, SSL_AD_NO_RENEGOTIATION};
	size_t before = 0, n;

	if (r->reason || len == 0 || len > RECORDS_PLAIN)
		return 0;
	if (r->owes_refusal) {
		r->owes_refusal = false;
		before = records_seal_type(r, SSL3_RT_ALERT, refusal, sizeof(refusal), out);
	} else if (r->owes_update || worn(r)) {
		before = records_update(r, false, out);
	}
	if (r->reason)
		return 0;
	n = records_seal_type(r, SSL3_RT_APPLICATION_DATA, data, len, out + before);
	return n ? before + n : 0;
}

size_t
records_alert(struct records *r, uint8_t *out)
{
	uint8_t alert[] = {SSL3_AL_WARNING, SSL_AD_CLOSE_NOTIFY};

	if (r->reason) {
		if (r->alert < 0)
			return 0;
		alert[0] = SSL3_AL_FATAL;
		alert[1] = (uint8_t)r->alert;
		r->alert = -1;		/* once */
	}
	return records_seal_type(r, SSL3_RT_ALERT, alert, sizeof(alert), out);
}

/* ---- to be continued elsewhere ---- */

size_t
records_settle(struct records *r, uint8_t *out)
{
	return r->owes_update && !r->reason ? records_update(r, false, out) : 0;
}

int
records_export(const struct records *r, struct engine_records *out)
{
	if (r->reason || r->version != TLS1_3_VERSION || r->message_have || r->owes_update)
		return -1;
	out->version = r->version;
	out->suite = r->suite;
	out->aead = r->aead;
	out->tag_len = r->tag_len;
	for (int i = 0; i < 2; i++) {
		const struct records_direction *d = &r->dir[i];

		memcpy(out->dir[i].secret, d->secret, d->secret_len);
		out->dir[i].secret_len = d->secret_len;
		memcpy(out->dir[i].iv, d->iv, d->iv_len);
		out->dir[i].iv_len = d->iv_len;
		out->dir[i].key_len = r->key_len;
		out->dir[i].sequence = d->sequence;
		if (!engine_expand_label(r->library, d->secret, d->secret_len, "key", out->dir[i].key, r->key_len))
			return -1;
	}
	return 0;
}
