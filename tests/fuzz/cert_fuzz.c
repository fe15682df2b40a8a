/*
 * cert_fuzz.c - a certificate's bytes into the decoder. Whatever they are: an error with a sentence, or lists whose texts end,
 * whose lengths are true, and which hold no NUL that a reader of C strings would miss.
 */
#include "cert.h"
#include "wrapsock.h"

#include "target.h"

#include <string.h>

static void
look(const struct wrapsock_name *names, size_t n, bool attributes)
{
	for (size_t i = 0; i < n; i++) {
		need(names[i].name && names[i].value && names[i].data, "an entry without a text");
		need(((const char *)names[i].data)[names[i].len] == '\0', "a value without its end");
		need(strlen(names[i].value) >= names[i].len, "a value shorter than what the certificate holds");
		need(names[i].rdn >= 0 && (i == 0 || names[i].rdn >= names[i - 1].rdn), "RDNs out of order");
		need(!attributes || (names[i].oid && names[i].oid[0]), "an attribute without a number");
	}
}

static void
look_at_all(const struct wrapsock_cert *cert)
{
	static const char *const keys[] = { "OCSP", "caIssuers", "crlDistributionPoints" };
	const struct wrapsock_name *names;
	const char *const *uris;
	size_t n, total = 0;
	int64_t seconds;

	n = wrapsock_cert_subject(cert, &names);
	look(names, n, true);
	n = wrapsock_cert_issuer(cert, &names);
	look(names, n, true);
	n = wrapsock_cert_alt_names(cert, &names);
	look(names, n, false);
	for (size_t i = 0; i < n; i++) {
		size_t parts = wrapsock_cert_dir_name(cert, i, &names);

		look(names, parts, true);
	}
	for (size_t k = 0; k < 3; k++) {
		n = wrapsock_cert_uris(cert, keys[k], &uris);
		for (size_t i = 0; i < n; i++)
			total += strlen(uris[i]);
	}
	need(total < 1 << 20, "long URIs");
	need(wrapsock_cert_serial_number(cert)[0] != '\0', "no serial number");
	if (wrapsock_cert_time_to_seconds(wrapsock_cert_not_after(cert), &seconds) < 0)
		need(wrapsock_err(NULL) == WRAPSOCK_E_INVALID, "a time");
	if (wrapsock_cert_time_to_seconds(wrapsock_cert_not_before(cert), &seconds) < 0)
		need(wrapsock_err(NULL) == WRAPSOCK_E_INVALID, "a time");
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char err[200] = "";
	int error = 0;
	struct wrapsock_cert *cert = cert_of_der(data, size, true, &error, err, sizeof(err));

	need(cert ? error == 0 : error == EPROTO && err[0], "neither a certificate nor an error");
	if (cert)
		look_at_all(cert);
	wrapsock_cert_free(cert);
	return 0;
}
