/*
 * cert.h - a decoded certificate: what getpeercert gives, as flat lists of texts.
 *
 * The engine decodes into it once, through cert_add and cert_text; from then on it is immutable and may be read by several threads.
 */
#ifndef WRAPSOCK_CERT_H
#define WRAPSOCK_CERT_H

#include "wrapsock.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cert_list {
	struct wrapsock_name *v;
	size_t n, cap;
};

struct cert_span {			/* alternative name `of` is a DirName: its parts are n entries of dir_names from at on */
	size_t of, at, n;
};

enum cert_uri { CERT_OCSP, CERT_CA_ISSUERS, CERT_CRL_POINTS, CERT_URIS };

struct cert_uris {
	const char **v;
	size_t n;
};

struct cert_text;

struct wrapsock_cert {
	bool validated;			/* on the connection that it came from; if not, all below is empty */
	int version;
	struct cert_list subject, issuer, alt_names;
	struct cert_list dir_names;	/* the parts of all DirNames */
	struct cert_span *dir_spans;
	size_t ndir_spans;
	struct cert_uris uris[CERT_URIS];
	const char *serial_number, *not_before, *not_after;
	struct cert_text *texts;	/* owns every value above */
};

enum cert_form { CERT_TEXT, CERT_BITS };	/* bits: what is no printable ASCII is shown as \xNN */

/* An empty one, NULL = out of memory. */
struct wrapsock_cert *cert_new(bool validated);

/* A copy that ends with a NUL and lives as long as the certificate. NULL = out of memory. */
const char *cert_text(struct wrapsock_cert *, const void *bytes, size_t len);

/* One more entry behind the others; name is a literal or a cert_text. false = out of memory. */
bool cert_add(struct wrapsock_cert *, struct cert_list *, int rdn, const char *name, enum cert_form, const void *bytes, size_t len);

bool cert_add_uri(struct wrapsock_cert *, enum cert_uri, const void *bytes, size_t len);

/* One more alternative name whose parts are the entries of dir_names from index at on; its value is their text. */
bool cert_add_dir_name(struct wrapsock_cert *, int rdn, size_t at);

/*
 * The certificate of these bytes, decoded only if it was validated. NULL: *error is EPROTO (no certificate, or one that cannot be shown) or
 * ENOMEM, and err has the sentence.
 */
struct wrapsock_cert *cert_of_der(const uint8_t *der, size_t len, bool validated, int *error, char *err, size_t errsize);


#endif
