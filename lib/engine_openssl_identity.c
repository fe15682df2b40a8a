/*
 * engine_openssl_identity.c - beyond the chain and the name: pinned keys, and identities that are allowed.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "engine.h"
#include "engine_openssl.h"

enum kind { KIND_URI, KIND_DNS, KIND_CN, KIND_EMAIL };
enum { PIN_TEXT = 44, PIN_TEXT_BYTES = 33 };	/* base64 of 32 bytes, and of how many it would be without the = */

/* One element of `allow`. */
struct engine_identity {
	enum kind kind;
	bool wide;		/* uri: the text begins it; dns: the text is what follows the first label; email: ... the @ */
	char *text;
	size_t len;
};

/* ---- settings ---- */

static const struct {
	const char *prefix;
	enum kind kind;
} kinds[] = {
	{"uri=", KIND_URI}, {"dns=", KIND_DNS}, {"cn=", KIND_CN}, {"email=", KIND_EMAIL},
};
enum { NKINDS = sizeof(kinds) / sizeof(kinds[0]) };

static size_t
list_length(const char *list)
{
	size_t n = 0, len;

	while (engine_list_next(&list, &len))
		n++;
	return n;
}

static bool
pin_parse(const char *s, size_t len, uint8_t pin[static ENGINE_PIN_BYTES])
{
	unsigned char bytes[PIN_TEXT_BYTES], text[PIN_TEXT + 1];

	if (len != 7 + PIN_TEXT || strncmp(s, "sha256:", 7) != 0 || s[len - 1] != '=')
		return false;
	if (EVP_DecodeBlock(bytes, (const unsigned char *)s + 7, PIN_TEXT) != PIN_TEXT_BYTES)
		return false;
	memcpy(pin, bytes, ENGINE_PIN_BYTES);
	EVP_EncodeBlock(text, pin, ENGINE_PIN_BYTES);
	return memcmp(text, s + 7, PIN_TEXT) == 0;	/* one spelling a key */
}

static int
load_pins(struct engine_ctx *ctx, const char *list, struct engine_report *r)
{
	const char *s;
	size_t len;

	ctx->pins = calloc(list_length(list) + 1, sizeof(*ctx->pins));
	if (!ctx->pins)
		return ENGINE_SAY(r, "out of memory");
	while ((s = engine_list_next(&list, &len)) != NULL)
		if (!pin_parse(s, len, ctx->pins[ctx->npins++]))
			return ENGINE_SAY(r, "pin: \"%.*s\" is no pin, expected sha256: and the base64 of a public key's SHA-256", (int)len, s);
	return ctx->npins > 0 ? 0 : ENGINE_SAY(r, "pin: an empty list, expected sha256: and the base64 of a public key's SHA-256");
}

static int
nibble(char c)
{
	const char *digits = "0123456789abcdef", *at = c ? strchr(digits, c >= 'A' && c <= 'F' ? c - 'A' + 'a' : c) : NULL;

	return at ? (int)(at - digits) : -1;
}

/* RFC 4514: \2C is a comma. */
static bool
unescape(struct engine_identity *id)
{
	size_t to = 0;

	for (size_t i = 0; i < id->len; i++, to++) {
		int high, low;

		id->text[to] = id->text[i];
		if (id->text[i] != '\\')
			continue;
		high = i + 2 < id->len ? nibble(id->text[i + 1]) : -1;
		low = i + 2 < id->len ? nibble(id->text[i + 2]) : -1;
		if (high < 0 || low < 0 || high + low == 0)
			return false;
		id->text[to] = (char)(high * 16 + low);
		i += 2;
	}
	id->len = to;
	return to > 0;
}

/* Splits the star off; false = there is one where it means nothing. */
static bool
widen(struct engine_identity *id)
{
	char *s = id->text;
	size_t cut = 0;

	switch (id->kind) {
	case KIND_CN:
		return unescape(id);
	case KIND_URI:
		if (id->len >= 3 && s[id->len - 1] == '*' && s[id->len - 2] == '/' && s[id->len - 3] != '/') {
			id->wide = true;
			id->len--;
		}
		return memchr(s, ':', id->len) && !memchr(s, '*', id->len);
	case KIND_DNS:
		cut = strncmp(s, "*.", 2) == 0 ? 1 : 0;
		break;
	case KIND_EMAIL:
		cut = strncmp(s, "*@", 2) == 0 ? 1 : 0;
		if (!memchr(s, '@', id->len))
			return false;
		break;
	}
	id->wide = cut > 0;
	id->len -= cut;
	memmove(s, s + cut, id->len);
	return id->len > 1 && !memchr(s, '*', id->len);
}

/* 0 = no identity, -1 = out of memory. */
static int
identity_parse(struct engine_identity *id, const char *s, size_t len)
{
	for (size_t i = 0; i < NKINDS; i++) {
		size_t prefix = strlen(kinds[i].prefix);

		if (len <= prefix || strncmp(s, kinds[i].prefix, prefix) != 0)
			continue;
		id->kind = kinds[i].kind;
		id->len = len - prefix;
		id->text = calloc(1, id->len + 1);
		if (!id->text)
			return -1;
		memcpy(id->text, s + prefix, id->len);
		return widen(id);
	}
	return 0;
}

static int
load_allowed(struct engine_ctx *ctx, const char *list, struct engine_report *r)
{
	const char *s;
	size_t len;
	int ok;

	ctx->allowed = calloc(list_length(list) + 1, sizeof(*ctx->allowed));
	if (!ctx->allowed)
		return ENGINE_SAY(r, "out of memory");
	while ((s = engine_list_next(&list, &len)) != NULL) {
		ok = identity_parse(&ctx->allowed[ctx->nallowed++], s, len);
		if (ok < 0)
			return ENGINE_SAY(r, "out of memory");
		if (!ok)
			return ENGINE_SAY(r, "allow: \"%.*s\" is no identity, expected uri=, dns=, cn= or email= and a name", (int)len, s);
	}
	return ctx->nallowed > 0 ? 0 : ENGINE_SAY(r, "allow: an empty list, expected uri=, dns=, cn= or email= and a name");
}

int
engine_load_identities(struct engine_ctx *ctx, const struct config *c, struct engine_report *r)
{
	if (c->pin && load_pins(ctx, c->pin, r) < 0)
		return -1;
	return c->allow ? load_allowed(ctx, c->allow, r) : 0;
}

void
engine_free_identities(struct engine_ctx *ctx)
{
	for (size_t i = 0; i < ctx->nallowed; i++)
		free(ctx->allowed[i].text);
	free(ctx->allowed);
	free(ctx->pins);
}

/* ---- pins ---- */

bool
engine_pin_of(X509 *x, uint8_t pin[static ENGINE_PIN_BYTES])
{
	unsigned char *der = NULL;
	int len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(x), &der);
	size_t size = 0;
	bool ok;

	if (len <= 0)
		return false;
	ok = EVP_Q_digest(engine_lib(), "SHA256", NULL, der, (size_t)len, pin, &size) && size == ENGINE_PIN_BYTES;
	OPENSSL_free(der);
	return ok;
}

static bool
pinned(const struct engine_ctx *ctx, X509 *x)
{
	uint8_t pin[ENGINE_PIN_BYTES];
	bool found = false;

	if (!engine_pin_of(x, pin))
		return false;
	for (size_t i = 0; i < ctx->npins; i++)
		found |= memcmp(ctx->pins[i], pin, sizeof(pin)) == 0;
	return found;
}

/* ---- identities; what a certificate says is compared with its length, for it may hold a NUL ---- */

static unsigned char
lower(unsigned char c)
{
	return c >= 'A' && c <= 'Z' ? (unsigned char)(c - 'A' + 'a') : c;
}

static bool
same(const unsigned char *a, const char *b, size_t len, bool fold)
{
	for (size_t i = 0; i < len; i++)
		if (fold ? lower(a[i]) != lower((unsigned char)b[i]) : a[i] != (unsigned char)b[i])
			return false;
	return true;
}

static bool
fits_dns(const struct engine_identity *id, const unsigned char *name, size_t len)
{
	const unsigned char *dot = memchr(name, '.', len);
	size_t label = dot ? (size_t)(dot - name) : 0;

	if (!id->wide)
		return len == id->len && same(name, id->text, len, true);
	return label > 0 && len - label == id->len && same(dot, id->text, id->len, true) && !memchr(name, '*', label) && !memchr(name, 0, label);
}

/* RFC 5280: the part before the @ is compared exactly. */
static bool
fits_email(const struct engine_identity *id, const unsigned char *name, size_t len)
{
	const unsigned char *at = memchr(name, '@', len);
	const char *want = memchr(id->text, '@', id->len);
	size_t local = at ? (size_t)(at - name) : 0;

	if (local == 0 || !want || memchr(name, 0, len))
		return false;
	if (len - local != id->len - (size_t)(want - id->text) || !same(at, want, len - local, true))
		return false;
	return id->wide || (local == (size_t)(want - id->text) && same(name, id->text, local, false));
}

static bool
fits_uri(const struct engine_identity *id, const unsigned char *name, size_t len)
{
	if (memchr(name, 0, len) || len < id->len || !same(name, id->text, id->len, false))
		return false;
	return id->wide ? len > id->len : len == id->len;
}

static bool
fits_name(const struct engine_identity *id, int type, const ASN1_STRING *s)
{
	const unsigned char *name = ASN1_STRING_get0_data(s);
	size_t len = (size_t)ASN1_STRING_length(s);

	if (type == GEN_URI && id->kind == KIND_URI)
		return fits_uri(id, name, len);
	if (type == GEN_DNS && id->kind == KIND_DNS)
		return fits_dns(id, name, len);
	return type == GEN_EMAIL && id->kind == KIND_EMAIL && fits_email(id, name, len);
}

/* With several common names it would depend on the reader which one counts: then none does. */
static bool
fits_cn(const struct engine_identity *id, X509 *x)
{
	const X509_NAME *subject = X509_get_subject_name(x);
	int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1), len;
	unsigned char *text = NULL;
	bool fits;

	if (id->kind != KIND_CN || at < 0 || X509_NAME_get_index_by_NID(subject, NID_commonName, at) >= 0)
		return false;
	len = ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
	fits = len >= 0 && (size_t)len == id->len && same(text, id->text, id->len, false);
	OPENSSL_free(text);
	return fits;
}

static bool
allowed(const struct engine_ctx *ctx, X509 *x)
{
	GENERAL_NAMES *names = X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL);
	bool found = false;

	for (size_t i = 0; i < ctx->nallowed && !found; i++) {
		found = fits_cn(&ctx->allowed[i], x);
		for (int n = 0; n < sk_GENERAL_NAME_num(names) && !found; n++) {
			int type;
			void *value = GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(names, n), &type);

			if (type == GEN_URI || type == GEN_DNS || type == GEN_EMAIL)
				found = fits_name(&ctx->allowed[i], type, value);
		}
	}
	GENERAL_NAMES_free(names);
	return found;
}

/* ---- the judgement ---- */

bool
engine_pins_hold(const struct engine *e, X509 *leaf, STACK_OF(X509) *chain)
{
	const struct engine_ctx *ctx = e->config->engine;

	if (ctx->npins == 0)
		return true;
	/* A chain that nobody verified may hold anybody's certificates; the leaf's key alone has been proven. */
	if (e->config->cert_reqs == CONFIG_CERT_NONE)
		return pinned(ctx, leaf);
	for (int i = 0; i < sk_X509_num(chain); i++)
		if (pinned(ctx, sk_X509_value(chain, i)))
			return true;
	return false;
}

bool
engine_identity_allowed(const struct engine *e, X509 *leaf)
{
	const struct engine_ctx *ctx = e->config->engine;

	return ctx->nallowed == 0 || allowed(ctx, leaf);
}
