/* identity.c - pins of public keys, and names that a peer's certificate may have. */
#include <arpa/inet.h>
#include <netinet/in.h>

#include <string.h>

#include "rule.h"

enum { PIN_DIGITS = 43 };		/* base64 of 32 bytes, without the = behind it */

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char hex[] = "0123456789abcdefABCDEF";

static const char *
refuse(struct policy_reader *r, const struct policy_key *key, const struct policy_item *item, const char *at, const char *what)
{
	policy_error_set(r->err, r->line, item->column + (unsigned)(at - item->text), "%s: \"%.*s\" %s", key->name,
	    policy_excerpt(item->text, item->len), item->text, what);
	return NULL;
}

/* The last of 43 digits stands for four bits: one spelling a pin, so that a typing error cannot mean the same. */
const char *
policy_pin_read(struct policy_reader *r, const struct policy_key *key, const struct policy_item *item)
{
	const char *hash = item->text + 7;
	size_t n;

	if (strncmp(item->text, "sha256:", 7) != 0)
		return refuse(r, key, item, item->text, "is no pin, expected sha256: and the base64 of a public key's SHA-256");
	n = strspn(hash, digits);
	if (n != PIN_DIGITS || strcmp(hash + n, "=") != 0)
		return refuse(r, key, item, hash + (n < PIN_DIGITS ? n : PIN_DIGITS),
		    "is not the base64 of 32 bytes, expected 43 digits and a = behind sha256:");
	if ((strchr(digits, hash[n - 1]) - digits) % 4 != 0)
		return refuse(r, key, item, hash + n - 1, "is no base64 of 32 bytes, expected another last digit");
	return item->text;
}

static const char *
read_dns(struct policy_reader *r, const struct policy_key *key, const struct policy_item *item, char *name)
{
	struct policy_item part = *item;
	unsigned char address[16];

	if (strncmp(name, "*.", 2) == 0)
		name += 2;
	part.text = item->text + strlen(item->text) - strlen(name);
	part.len = strlen(name);
	part.column += (unsigned)(part.text - item->text);
	if (inet_pton(AF_INET, name, address) == 1 || inet_pton(AF_INET6, name, address) == 1)
		return refuse(r, key, item, part.text, "is an address, expected a name behind dns=");
	return policy_host_check(r, &part, name, part.len, false) == 0 ? name : NULL;
}

static const char *
read_uri(struct policy_reader *r, const struct policy_key *key, const struct policy_item *item, char *uri)
{
	const char *text = item->text + 4, *star = strchr(uri, '*'), *c;

	for (c = uri; *c > ' ' && *c < 0x7f; c++)
		;
	if (*c != '\0')
		return refuse(r, key, item, text + (c - uri), "is no URI, expected printable ASCII without blanks");
	if (strchr(uri, ':') == NULL || strchr(uri, ':') == uri)
		return refuse(r, key, item, text, "is no URI, expected uri=SCHEME:... such as uri=spiffe://example/web");
	if (star != NULL && (star[1] != '\0' || star[-1] != '/' || star - 2 < uri || star[-2] == '/'))
		return refuse(r, key, item, text + (star - uri), "has a * elsewhere, expected it behind the last / of a path");
	return uri;
}

/* RFC 4514: a comma, which ends an element here, is \2C. */
static const char *
read_cn(struct policy_reader *r, const struct policy_key *key, const struct policy_item *item, char *cn)
{
	const char *text = item->text + 3, *c;

	for (c = strchr(cn, '\\'); c != NULL; c = strchr(c + 3, '\\'))
		if (c[1] == '\0' || c[2] == '\0' || !strchr(hex, c[1]) || !strchr(hex, c[2]) || (c[1] == '0' && c[2] == '0'))
			return refuse(r, key, item, text + (c - cn), "has a bad escape, expected two hexadecimal digits: \\2C is a comma");
	return cn;
}

static const char *
read_email(struct policy_reader *r, const struct policy_key *key, const struct policy_item *item, char *email)
{
	const char *text = item->text + 6;
	char *at = strchr(email, '@');
	struct policy_item part = *item;

	if (at == NULL || at == email || at[1] == '\0' || strchr(at + 1, '@') != NULL)
		return refuse(r, key, item, text, "is no address, expected email=NAME@DOMAIN, or *@DOMAIN for all of a domain");
	if (strcspn(email, "*") != strlen(email) && !(email[0] == '*' && at == email + 1 && strchr(at, '*') == NULL))
		return refuse(r, key, item, text + strcspn(email, "*"), "has a * elsewhere, expected all of the name or none of it");
	part.text = item->text + 6 + (at + 1 - email);
	part.len = strlen(at + 1);
	part.column += (unsigned)(part.text - item->text);
	return policy_host_check(r, &part, at + 1, part.len, false) == 0 ? email : NULL;
}

static const struct {
	const char *prefix;
	const char *(*read)(struct policy_reader *, const struct policy_key *, const struct policy_item *, char *);
} kinds[] = {
	{ "uri=", read_uri }, { "dns=", read_dns }, { "cn=", read_cn }, { "email=", read_email },
};

const char *
policy_identity_read(struct policy_reader *r, const struct policy_key *key, const struct policy_item *item)
{
	size_t i, len;
	char *copy;

	for (i = 0; i < sizeof kinds / sizeof *kinds; i++) {
		len = strlen(kinds[i].prefix);
		if (strncmp(item->text, kinds[i].prefix, len) != 0)
			continue;
		if (item->text[len] == '\0')
			return refuse(r, key, item, item->text + len, "names nobody, expected a name behind the =");
		if ((copy = policy_arena_text(r->policy, item->text, item->len)) == NULL) {
			policy_error_memory(r->err);
			return NULL;
		}
		return kinds[i].read(r, key, item, copy + len) != NULL ? copy : NULL;
	}
	return refuse(r, key, item, item->text, "is no identity, expected uri=, dns=, cn= or email= and what the certificate must say");
}
