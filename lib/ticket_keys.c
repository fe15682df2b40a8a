/* ticket_keys.c - lines of base64 to keys. */
#include "ticket_keys.h"

#include "pem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SHORT_KEY = 48, LONG_KEY = 80 };

static int
refuse(char *err, size_t errsize, unsigned line, const char *what)
{
	if (line)
		snprintf(err, errsize, "line %u %s, expected the base64 of 48 or 80 bytes (openssl rand -base64 80 | tr -d '\\n')", line, what);
	else
		snprintf(err, errsize, "holds no key, expected lines of base64, each of 48 or 80 bytes (openssl rand -base64 80 | tr -d '\\n')");
	return -1;
}

/* The order of the parts is that of nginx and HAProxy. */
static void
cut(struct ticket_key *key, const uint8_t *bytes, size_t len)
{
	const uint8_t *first = bytes + TICKET_KEY_NAME, *second;

	key->len = (len - TICKET_KEY_NAME) / 2;
	second = first + key->len;
	memcpy(key->name, bytes, TICKET_KEY_NAME);
	memcpy(key->aes, len == SHORT_KEY ? first : second, key->len);
	memcpy(key->hmac, len == SHORT_KEY ? second : first, key->len);
}

static int
add(struct ticket_keys *all, const struct pem_block *line, unsigned number, char *err, size_t errsize)
{
	size_t len;
	uint8_t *bytes = pem_decode(line, &len);
	bool fits = bytes && (len == SHORT_KEY || len == LONG_KEY);

	if (!bytes && len > 0) {
		snprintf(err, errsize, "out of memory");
		return -1;
	}
	if (fits && ticket_keys_find(all, bytes)) {
		explicit_bzero(bytes, len);
		free(bytes);
		return refuse(err, errsize, number, "has the name (first 16 bytes) of a key before it");
	}
	if (fits && all->n == TICKET_KEYS_MOST)
		memmove(&all->keys[0], &all->keys[1], --all->n * sizeof(all->keys[0]));
	if (fits)
		cut(&all->keys[all->n++], bytes, len);
	if (bytes)
		explicit_bzero(bytes, len);
	free(bytes);
	return fits ? 0 : refuse(err, errsize, number, bytes ? "has another length" : "is no base64");
}

int
ticket_keys_parse(const char *text, size_t len, struct ticket_keys *out, char *err, size_t errsize)
{
	const char *end = text + len, *newline;
	unsigned number = 0;

	memset(out, 0, sizeof(*out));
	for (const char *at = text; at < end; at = newline + 1) {
		struct pem_block line = { at, 0 };

		newline = memchr(at, '\n', (size_t)(end - at));
		if (!newline)
			newline = end;
		line.len = (size_t)(newline - at);
		number++;
		while (line.len > 0 && strchr(" \t\r", line.base64[line.len - 1]) && line.base64[line.len - 1])
			line.len--;
		if (line.len == 0 || line.base64[0] == '#')
			continue;
		if (add(out, &line, number, err, errsize) < 0)
			return -1;
	}
	return out->n > 0 ? 0 : refuse(err, errsize, 0, "");
}

const struct ticket_key *
ticket_keys_sealing(const struct ticket_keys *all)
{
	return &all->keys[all->n > 1 ? all->n - 2 : 0];
}

const struct ticket_key *
ticket_keys_find(const struct ticket_keys *all, const uint8_t name[static TICKET_KEY_NAME])
{
	for (size_t i = 0; i < all->n; i++)
		if (memcmp(all->keys[i].name, name, TICKET_KEY_NAME) == 0)
			return &all->keys[i];
	return NULL;
}
