/* ticket_keys_test.c - the file of keys: what is read from it, and what is said of what cannot be. */
#include "ticket_keys.h"

#include "check.h"

#include <openssl/evp.h>

/* In the texts A to Z stand for the base64 of 80 bytes of that letter, a to z for 48 of it, ! for one of 81. */
static const struct row {
	const char *name, *text;
	const char *keys;	/* first letters of the names that open; NULL = refused */
	char seals;
	const char *says;
} rows[] = {
	{ "three", "A\nB\nC\n", "ABC", 'B', NULL },
	{ "two", "A\nB\n", "AB", 'A', NULL },
	{ "one", "A\n", "A", 'A', NULL },
	{ "five", "A\nB\nC\nD\nE\n", "CDE", 'D', NULL },
	{ "short", "a\nb\nc\n", "abc", 'b', NULL },
	{ "both lengths", "a\nB\n", "aB", 'a', NULL },
	{ "no newline at the end", "A\nB\nC", "ABC", 'B', NULL },
	{ "comments, blanks and carriage returns", "# keys\r\n\r\nA \r\n\t\nB\t\r\n# more\nC\r\n", "ABC", 'B', NULL },
	{ "empty", "", NULL, 0, "holds no key, expected lines of base64" },
	{ "comments alone", "# A\n\n", NULL, 0, "holds no key" },
	{ "words", "A\nthese are words.\n", NULL, 0, "line 2 is no base64, expected the base64 of 48 or 80 bytes" },
	{ "too long", "A\n!\n", NULL, 0, "line 2 has another length, expected" },
	{ "too short", "AAAA\n", NULL, 0, "line 1" },
	{ "twice", "A\nB\nA\n", NULL, 0, "line 3 has the name (first 16 bytes) of a key before it" },
	{ "a comment behind a key", "A # first\n", NULL, 0, "line 1 is no base64" },
	{ "two on a line", "A B\n", NULL, 0, "line 1 is no base64" },
	{ "twice, but long ago", "A\nB\nC\nD\nA\n", "CDA", 'D', NULL },
};

static void
expand(const char *text, char *out, size_t *len)
{
	unsigned char key[81];
	bool literal = strstr(text, "words") || strstr(text, "AAAA");

	*len = 0;
	for (bool comment = false; *text; text++) {
		char c = *text;
		size_t n = c == '!' ? 81 : c >= 'a' ? 48 : 80;

		comment = c == '#' || (comment && c != '\n');
		if (comment || (c != '!' && (c < 'A' || c > 'z')) || (literal && (c != 'A' || text[1] != '\n'))) {
			out[(*len)++] = c;
			continue;
		}
		memset(key, c, sizeof key);
		*len += (size_t)EVP_EncodeBlock((unsigned char *)out + *len, key, (int)n);
	}
}

static bool
all_of(const struct ticket_keys *keys, const char *letters)
{
	bool same = keys->n == strlen(letters);

	for (size_t i = 0; same && i < keys->n; i++) {
		uint8_t name[TICKET_KEY_NAME];
		const struct ticket_key *k = &keys->keys[i];

		memset(name, letters[i], sizeof name);
		same = ticket_keys_find(keys, name) == k && k->len == (letters[i] >= 'a' ? 16 : 32);
		for (size_t j = 0; same && j < k->len; j++)
			same = k->aes[j] == (uint8_t)letters[i] && k->hmac[j] == (uint8_t)letters[i];
	}
	return same;
}

static void
run(const struct row *r)
{
	struct ticket_keys keys;
	char text[2048], err[200] = "";
	uint8_t nobody[TICKET_KEY_NAME] = "nobody has this";
	size_t len;
	bool good;
	int ret;

	expand(r->text, text, &len);
	ret = ticket_keys_parse(text, len, &keys, err, sizeof err);
	if (r->keys)
		good = ret == 0 && all_of(&keys, r->keys) && ticket_keys_sealing(&keys)->name[0] == (uint8_t)r->seals && !ticket_keys_find(&keys, nobody);
	else
		good = ret == -1 && strstr(err, r->says);
	result("keys", r->name, good, err);
}

/* The order of the parts is that of nginx and HAProxy: 48 = name, AES, HMAC; 80 = name, HMAC, AES. */
static void
check_order(size_t len)
{
	size_t half = (len - TICKET_KEY_NAME) / 2;
	unsigned char key[80], base64[120];
	struct ticket_keys keys;
	char err[200] = "";
	bool good;

	memset(key, 'n', TICKET_KEY_NAME);
	memset(key + TICKET_KEY_NAME, '1', half);
	memset(key + TICKET_KEY_NAME + half, '2', half);
	EVP_EncodeBlock(base64, key, (int)len);
	good = ticket_keys_parse((char *)base64, strlen((char *)base64), &keys, err, sizeof err) == 0 && keys.keys[0].aes[0] == (len == 48 ? '1' : '2')
		&& keys.keys[0].hmac[half - 1] == (len == 48 ? '2' : '1');
	result("order", len == 48 ? "48 bytes" : "80 bytes", good, err);
}

int
main(void)
{
	for (size_t i = 0; i < COUNT(rows); i++)
		run(&rows[i]);
	check_order(48);
	check_order(80);
	return summary();
}
