/*
 * cert_text_fuzz.c - texts of a certificate: what is read as PEM is written as PEM that reads the same, and a time that is taken
 * lies between the years 1 and 9999.
 */
#include "wrapsock.h"

#include "target.h"

#include <string.h>

static void
read_pem(const char *text)
{
	unsigned char *der, *again = NULL;
	size_t len, len_again = 0;
	char *pem;

	if (wrapsock_PEM_cert_to_DER_cert(text, &der, &len) < 0) {
		need(!der && len == 0 && errno == EINVAL, "a refusal with something in it");
		return;
	}
	need(len > 0 && len <= strlen(text), "more bytes than characters");
	pem = wrapsock_DER_cert_to_PEM_cert(der, len);
	need(pem && wrapsock_PEM_cert_to_DER_cert(pem, &again, &len_again) == 0, "our own PEM is refused");
	need(len == len_again && memcmp(der, again, len) == 0, "not the same bytes again");
	wrapsock_free(pem);
	wrapsock_free(der);
	wrapsock_free(again);
}

/* Any bytes are written as PEM of lines up to 64 characters. */
static void
write_pem(const uint8_t *data, size_t size)
{
	char *pem = wrapsock_DER_cert_to_PEM_cert(data, size);
	unsigned char *der;
	size_t len;

	need(pem && pem[strlen(pem) - 1] == '\n', "no PEM");
	for (const char *line = pem, *end; (end = strchr(line, '\n')) != NULL; line = end + 1)
		need(end - line <= 64, "a long line");
	need(wrapsock_PEM_cert_to_DER_cert(pem, &der, &len) == 0 && len == size && memcmp(der, data, size) == 0, "not the same bytes again");
	wrapsock_free(pem);
	wrapsock_free(der);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);
	int64_t seconds = INT64_MAX;

	need(text != NULL, "no memory");
	if (size > 0)
		memcpy(text, data, size);
	text[size] = '\0';
	if (wrapsock_cert_time_to_seconds(text, &seconds) == 0)
		need(seconds >= -62135596800 && seconds <= 253402300801, "a time out of all times");
	else
		need(seconds == INT64_MAX, "a refused time that was set");
	read_pem(text);
	if (size > 0)
		write_pem(data, size);
	wrapsock_cert_free(wrapsock_cert_parse_pem(text));
	free(text);
	return 0;
}
