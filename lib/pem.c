/*
 * pem.c - RFC 7468, as strict in what it writes as Python is, and stricter in what it reads: white space is skipped, anything else refused.
 */
#include "pem.h"

#include "error.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { LINE = 64 };

static const char header[] = "-----BEGIN CERTIFICATE-----", footer[] = "-----END CERTIFICATE-----";
static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* isspace without the locale. */
static bool
blank(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

bool
pem_whole(const char *text, struct pem_block *block)
{
	size_t len = strlen(text);

	while (len > 0 && blank(text[len - 1]))
		len--;
	if (len < sizeof(header) - 1 + sizeof(footer) - 1 || strncmp(text, header, sizeof(header) - 1) != 0
	    || strncmp(text + len - (sizeof(footer) - 1), footer, sizeof(footer) - 1) != 0)
		return false;
	block->base64 = text + sizeof(header) - 1;
	block->len = len - (sizeof(header) - 1) - (sizeof(footer) - 1);
	return true;
}

bool
pem_first(const char *text, struct pem_block *block)
{
	const char *begin = text, *end;

	while ((begin = strstr(begin, header)) != NULL && begin != text && begin[-1] != '\n')
		begin++;
	if (!begin)
		return false;
	begin += sizeof(header) - 1;
	end = strstr(begin, footer);
	if (!end)
		return false;
	*block = (struct pem_block){ begin, (size_t)(end - begin) };
	return true;
}

static int
digit(char c)
{
	const char *at = c ? strchr(alphabet, c) : NULL;

	return at ? (int)(at - alphabet) : -1;
}

/* The number of bytes written to out, which has room; 0 = no base64. */
static size_t
decode(const struct pem_block *block, uint8_t *out)
{
	uint32_t bits = 0;
	size_t n = 0, digits = 0, pads = 0;

	for (size_t i = 0; i < block->len; i++) {
		int d = digit(block->base64[i]);

		if (blank(block->base64[i]))
			continue;
		if (block->base64[i] == '=' && ++pads <= 2)
			continue;
		if (d < 0 || pads > 0)	/* nothing follows the padding */
			return 0;
		bits = bits << 6 | (uint32_t)d;
		if (++digits % 4 == 0) {
			out[n++] = (uint8_t)(bits >> 16);
			out[n++] = (uint8_t)(bits >> 8);
			out[n++] = (uint8_t)bits;
		}
	}
	if ((digits + pads) % 4 != 0)
		return 0;
	if (pads > 0)
		out[n++] = (uint8_t)(bits >> (pads == 1 ? 10 : 4));
	if (pads == 1)
		out[n++] = (uint8_t)(bits >> 2);
	return n;
}

uint8_t *
pem_decode(const struct pem_block *block, size_t *len)
{
	uint8_t *der = malloc(block->len / 4 * 3 + 3);

	*len = 1;
	if (!der)
		return NULL;
	*len = decode(block, der);
	if (*len > 0)
		return der;
	explicit_bzero(der, block->len / 4 * 3 + 3);	/* it may have been a key */
	free(der);
	return NULL;
}

static size_t
encode(char *to, const uint8_t *der, size_t len)
{
	size_t n = 0, column = 0;

	for (size_t i = 0; i < len; i += 3) {
		size_t have = len - i < 3 ? len - i : 3;
		uint32_t bits = (uint32_t)der[i] << 16 | (have > 1 ? (uint32_t)der[i + 1] << 8 : 0) | (have > 2 ? der[i + 2] : 0);

		to[n++] = alphabet[bits >> 18];
		to[n++] = alphabet[bits >> 12 & 63];
		to[n++] = have > 1 ? alphabet[bits >> 6 & 63] : '=';
		to[n++] = have > 2 ? alphabet[bits & 63] : '=';
		column += 4;
		if (column == LINE || i + 3 >= len) {
			to[n++] = '\n';
			column = 0;
		}
	}
	return n;
}

char *
pem_encode(const uint8_t *der, size_t len)
{
	size_t base64 = (len + 2) / 3 * 4, n = 0;
	char *text;

	if (len > SIZE_MAX / 2)
		return NULL;
	text = malloc(sizeof(header) + base64 + base64 / LINE + 1 + sizeof(footer) + 1);
	if (!text)
		return NULL;
	memcpy(text, header, sizeof(header) - 1);
	n = sizeof(header) - 1;
	text[n++] = '\n';
	n += encode(text + n, der, len);
	memcpy(text + n, footer, sizeof(footer) - 1);
	n += sizeof(footer) - 1;
	text[n++] = '\n';
	text[n] = '\0';
	return text;
}

/* ---- the public calls ---- */

char *
wrapsock_DER_cert_to_PEM_cert(const void *der, size_t len)
{
	char *pem;

	error_clear(NULL);
	if (!der || len == 0) {
		error_set(NULL, WRAPSOCK_E_INVALID, EINVAL, "there is no DER to encode");
		return NULL;
	}
	pem = pem_encode(der, len);
	if (!pem)
		error_nomem(NULL);
	return pem;
}

int
wrapsock_PEM_cert_to_DER_cert(const char *pem, unsigned char **der, size_t *len)
{
	struct pem_block block;

	error_clear(NULL);
	*der = NULL;
	*len = 0;
	if (!pem || !pem_whole(pem, &block))
		return error_set(NULL, WRAPSOCK_E_INVALID, EINVAL, "not one certificate in PEM: expected %s ... %s and nothing else", header, footer);
	*der = pem_decode(&block, len);
	if (*der)
		return 0;
	if (*len > 0) {
		*len = 0;
		return error_nomem(NULL);
	}
	return error_set(NULL, WRAPSOCK_E_INVALID, EINVAL, "the certificate is not valid base64");
}
