/*
 * engine_openssl_ticket.c - a server's tickets: what they are sealed with, where several processes or hosts share it, and how long
 * they spare the verification of a client.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>

#include "engine.h"
#include "engine_openssl.h"
#include "ticket_keys.h"

struct engine_tickets {
	struct ticket_keys keys;
	EVP_CIPHER *aes128, *aes256;
};

void
engine_tickets_free(struct engine_tickets *t)
{
	if (!t)
		return;
	if (engine_alive()) {
		EVP_CIPHER_free(t->aes128);
		EVP_CIPHER_free(t->aes256);
	}
	explicit_bzero(t, sizeof(*t));
	free(t);
}

static bool
set_mac(EVP_MAC_CTX *mac, const struct ticket_key *key)
{
	char digest[] = "SHA256";
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, (void *)(uintptr_t)key->hmac, key->len),
		OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
		OSSL_PARAM_construct_end(),
	};

	return EVP_MAC_CTX_set_params(mac, params);
}

/* OpenSSL seals (enc) or opens a ticket: 1 = with this key, 2 = and give the client a new one, 0 = we have none for it, -1 = failure. */
static int
choose_key(SSL *ssl, unsigned char name[16], unsigned char *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, int enc)
{
	const struct engine *e = SSL_get_app_data(ssl);
	const struct engine_tickets *t = e ? ((const struct engine_ctx *)e->config->engine)->sealing : NULL;
	const struct ticket_key *key;

	if (!t)
		return -1;
	key = enc ? ticket_keys_sealing(&t->keys) : ticket_keys_find(&t->keys, name);
	if (!key)
		return 0;
	if (enc) {
		memcpy(name, key->name, sizeof(key->name));
		if (RAND_bytes_ex(engine_lib(), iv, EVP_CIPHER_get_iv_length(t->aes128), 0) <= 0)
			return -1;
	}
	if (!EVP_CipherInit_ex(cipher, key->len == TICKET_KEY_MOST ? t->aes256 : t->aes128, NULL, key->aes, iv, enc) || !set_mac(mac, key))
		return -1;
	return enc || key == ticket_keys_sealing(&t->keys) ? 1 : 2;
}

static int
read_keys(struct engine_tickets *t, const struct config *c, struct engine_report *r)
{
	struct engine_text text;
	char why[200];
	int ret;

	if (engine_text_load(&text, c, "ticket_keys", c->ticket_keys, true, r) < 0)
		return -1;
	ret = ticket_keys_parse(text.bytes, text.len, &t->keys, why, sizeof(why));
	engine_text_free(&text);
	return ret < 0 ? ENGINE_SAY(r, "ticket_keys %s: %s", c->ticket_keys, why) : 0;
}

/* ---- until when ---- */

/* Each resumption gives a new ticket: without this the chain would be verified once and for ever. */
static int
note_until(SSL *ssl, void *arg)
{
	const struct engine *e = SSL_get_app_data(ssl);
	int64_t until = e ? engine_session_until(e) : 0;

	(void)arg;
	return SSL_SESSION_set1_ticket_appdata(SSL_get_session(ssl), &until, sizeof(until));
}

static SSL_TICKET_RETURN
judge_until(SSL *ssl, SSL_SESSION *session, const unsigned char *name, size_t len, SSL_TICKET_STATUS status, void *arg)
{
	struct engine *e = SSL_get_app_data(ssl);
	int64_t until = 0;
	void *noted;
	size_t size;

	(void)name, (void)len, (void)arg;
	if (status != SSL_TICKET_SUCCESS && status != SSL_TICKET_SUCCESS_RENEW)
		return SSL_TICKET_RETURN_IGNORE_RENEW;
	if (SSL_SESSION_get0_ticket_appdata(session, &noted, &size) && size == sizeof(until))
		memcpy(&until, noted, sizeof(until));
	if (!e || until <= time(NULL))
		return SSL_TICKET_RETURN_IGNORE_RENEW;
	e->until = until;
	return status == SSL_TICKET_SUCCESS ? SSL_TICKET_RETURN_USE : SSL_TICKET_RETURN_USE_RENEW;
}

int
engine_load_tickets(struct engine_ctx *ctx, const struct config *c, struct engine_report *r)
{
	struct engine_tickets *t;

	if (c->role != CONFIG_SERVER)
		return 0;
	if (c->cert_reqs != CONFIG_CERT_NONE && !SSL_CTX_set_session_ticket_cb(ctx->ssl, note_until, judge_until, NULL))
		return ENGINE_SAY(r, "out of memory");
	if (!c->ticket_keys)
		return 0;
	t = ctx->sealing = calloc(1, sizeof(*t));
	if (!t)
		return ENGINE_SAY(r, "out of memory");
	if (read_keys(t, c, r) < 0)
		return -1;
	t->aes128 = EVP_CIPHER_fetch(engine_lib(), "AES-128-CBC", NULL);
	t->aes256 = EVP_CIPHER_fetch(engine_lib(), "AES-256-CBC", NULL);
	if (!t->aes128 || !t->aes256 || !SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx->ssl, choose_key))
		return ENGINE_SAY(r, "ticket_keys: %s", engine_queue_reason());
	return 0;
}
