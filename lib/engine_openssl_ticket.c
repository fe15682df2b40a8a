/*
 * engine_openssl_ticket.c - what a server's tickets are sealed with, where several processes or hosts share it.
 */
#include <stdlib.h>
#include <string.h>

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

int
engine_load_tickets(struct engine_ctx *ctx, const struct config *c, struct engine_report *r)
{
	struct engine_tickets *t;

	if (c->role != CONFIG_SERVER || !c->ticket_keys)
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
