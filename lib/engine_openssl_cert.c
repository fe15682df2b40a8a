/*
 * engine_openssl_cert.c - certificates: the peer's, and what stands in one, field by field as CPython's decoder names and prints it.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/asn1.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/objects.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "cert.h"
#include "engine.h"
#include "engine_openssl.h"

#define UNSUPPORTED "<unsupported>"

enum { OBJECT_TEXT_MAX = 256 };

/* What stopped a decoder. */
enum stop { GOES_ON, NO_MEMORY, NOT_TEXT };

/* ---- names ---- */

enum object_form { OBJECT_NAME, OBJECT_DOTTED };	/* a name only where OpenSSL knows one, else dotted too */

static const char *
object_text(struct wrapsock_cert *cert, const ASN1_OBJECT *object, enum object_form form)
{
	char buf[OBJECT_TEXT_MAX];
	int n = OBJ_obj2txt(buf, sizeof(buf), object, form == OBJECT_DOTTED);

	if (n < 0 || (size_t)n >= sizeof(buf))
		n = snprintf(buf, sizeof(buf), "<INVALID>");
	return cert_text(cert, buf, (size_t)n);
}

static enum stop
add_attribute(struct wrapsock_cert *cert, struct cert_list *list, int rdn, const X509_NAME_ENTRY *entry)
{
	const ASN1_OBJECT *object = X509_NAME_ENTRY_get_object(entry);
	const ASN1_STRING *s = X509_NAME_ENTRY_get_data(entry);
	bool bits = ASN1_STRING_type(s) == V_ASN1_BIT_STRING, added;
	unsigned char *utf8 = NULL;
	const void *bytes = ASN1_STRING_get0_data(s);
	int len = bits ? ASN1_STRING_length(s) : ASN1_STRING_to_UTF8(&utf8, s);

	if (len < 0)
		return NOT_TEXT;
	added = cert_add(cert, list, rdn, object_text(cert, object, OBJECT_NAME), bits ? CERT_BITS : CERT_TEXT, bits ? bytes : utf8, (size_t)len);
	OPENSSL_free(utf8);
	if (!added)
		return NO_MEMORY;
	list->v[list->n - 1].oid = object_text(cert, object, OBJECT_DOTTED);
	return list->v[list->n - 1].oid ? GOES_ON : NO_MEMORY;
}

/* The index of an RDN counts from 0 in each list; parts of one RDN share it. */
static enum stop
add_name(struct wrapsock_cert *cert, struct cert_list *list, const X509_NAME *name)
{
	enum stop stop = GOES_ON;

	for (int i = 0; i < X509_NAME_entry_count(name) && stop == GOES_ON; i++) {
		const X509_NAME_ENTRY *entry = X509_NAME_get_entry(name, i);

		stop = add_attribute(cert, list, X509_NAME_ENTRY_set(entry), entry);
	}
	return stop;
}

/* ---- alternative names ---- */

static bool
add_string(struct wrapsock_cert *cert, int i, const char *name, const ASN1_STRING *s)
{
	return cert_add(cert, &cert->alt_names, i, name, CERT_TEXT, ASN1_STRING_get0_data(s), (size_t)ASN1_STRING_length(s));
}

static bool
add_address(struct wrapsock_cert *cert, int i, const ASN1_STRING *s)
{
	const unsigned char *p = ASN1_STRING_get0_data(s);
	char text[64] = "<invalid>";

	if (ASN1_STRING_length(s) == 4)
		snprintf(text, sizeof(text), "%d.%d.%d.%d", p[0], p[1], p[2], p[3]);
	else if (ASN1_STRING_length(s) == 16)
		snprintf(text, sizeof(text), "%X:%X:%X:%X:%X:%X:%X:%X", p[0] << 8 | p[1], p[2] << 8 | p[3], p[4] << 8 | p[5], p[6] << 8 | p[7],
			 p[8] << 8 | p[9], p[10] << 8 | p[11], p[12] << 8 | p[13], p[14] << 8 | p[15]);
	return cert_add(cert, &cert->alt_names, i, "IP Address", CERT_TEXT, text, strlen(text));
}

static bool
add_registered(struct wrapsock_cert *cert, int i, const ASN1_OBJECT *object)
{
	const char *text = object_text(cert, object, OBJECT_NAME);

	return text && cert_add(cert, &cert->alt_names, i, "Registered ID", CERT_TEXT, text, strlen(text));
}

static bool
add_unsupported(struct wrapsock_cert *cert, int i, const char *name)
{
	return cert_add(cert, &cert->alt_names, i, name, CERT_TEXT, UNSUPPORTED, strlen(UNSUPPORTED));
}

static enum stop
add_alt_name(struct wrapsock_cert *cert, int i, const GENERAL_NAME *name)
{
	size_t at = cert->dir_names.n;
	enum stop stop = GOES_ON;
	bool added = false;
	int type;
	void *value = GENERAL_NAME_get0_value(name, &type);

	switch (type) {
	case GEN_DNS:
		added = add_string(cert, i, "DNS", value);
		break;
	case GEN_EMAIL:
		added = add_string(cert, i, "email", value);
		break;
	case GEN_URI:
		added = add_string(cert, i, "URI", value);
		break;
	case GEN_IPADD:
		added = add_address(cert, i, value);
		break;
	case GEN_RID:
		added = add_registered(cert, i, value);
		break;
	case GEN_DIRNAME:
		stop = add_name(cert, &cert->dir_names, value);
		added = stop == GOES_ON && cert_add_dir_name(cert, i, at);
		break;
	case GEN_X400:
		added = add_unsupported(cert, i, "X400Name");
		break;
	case GEN_EDIPARTY:
		added = add_unsupported(cert, i, "EdiPartyName");
		break;
	default:
		added = add_unsupported(cert, i, "othername");
		break;
	}
	return stop != GOES_ON ? stop : added ? GOES_ON : NO_MEMORY;
}

static enum stop
add_alt_names(struct wrapsock_cert *cert, const X509 *x)
{
	GENERAL_NAMES *names = X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL);
	enum stop stop = GOES_ON;

	for (int i = 0; i < sk_GENERAL_NAME_num(names) && stop == GOES_ON; i++)
		stop = add_alt_name(cert, i, sk_GENERAL_NAME_value(names, i));
	GENERAL_NAMES_free(names);
	return stop;
}

/* ---- addresses of services ---- */

static bool
add_uri(struct wrapsock_cert *cert, enum cert_uri which, const GENERAL_NAME *name)
{
	int type;
	const ASN1_STRING *s = GENERAL_NAME_get0_value(name, &type);

	return type != GEN_URI || cert_add_uri(cert, which, ASN1_STRING_get0_data(s), (size_t)ASN1_STRING_length(s));
}

static enum stop
add_access(struct wrapsock_cert *cert, const X509 *x)
{
	AUTHORITY_INFO_ACCESS *access = X509_get_ext_d2i(x, NID_info_access, NULL, NULL);
	bool ok = true;

	for (int i = 0; i < sk_ACCESS_DESCRIPTION_num(access) && ok; i++) {
		const ACCESS_DESCRIPTION *d = sk_ACCESS_DESCRIPTION_value(access, i);
		int nid = OBJ_obj2nid(d->method);

		if (nid == NID_ad_OCSP)
			ok = add_uri(cert, CERT_OCSP, d->location);
		else if (nid == NID_ad_ca_issuers)
			ok = add_uri(cert, CERT_CA_ISSUERS, d->location);
	}
	AUTHORITY_INFO_ACCESS_free(access);
	return ok ? GOES_ON : NO_MEMORY;
}

static enum stop
add_crl_points(struct wrapsock_cert *cert, const X509 *x)
{
	CRL_DIST_POINTS *points = X509_get_ext_d2i(x, NID_crl_distribution_points, NULL, NULL);
	bool ok = true;

	for (int i = 0; i < sk_DIST_POINT_num(points) && ok; i++) {
		const DIST_POINT_NAME *name = sk_DIST_POINT_value(points, i)->distpoint;
		const GENERAL_NAMES *full;

		if (!name || name->type != 0)	/* every field of a point is optional, and its name may be relative */
			continue;
		full = name->name.fullname;
		for (int j = 0; j < sk_GENERAL_NAME_num(full) && ok; j++)
			ok = add_uri(cert, CERT_CRL_POINTS, sk_GENERAL_NAME_value(full, j));
	}
	CRL_DIST_POINTS_free(points);
	return ok ? GOES_ON : NO_MEMORY;
}

/* ---- the other fields ---- */

/* What was printed into mem, which is empty afterwards. */
static const char *
take_text(struct wrapsock_cert *cert, BIO *mem)
{
	char *text;
	long len = BIO_get_mem_data(mem, &text);
	const char *copy = cert_text(cert, text, len > 0 ? (size_t)len : 0);

	(void)BIO_reset(mem);
	return copy;
}

static const char *
time_text(struct wrapsock_cert *cert, BIO *mem, const ASN1_TIME *t)
{
	if (!ASN1_TIME_print(mem, t)) {
		(void)BIO_reset(mem);
		BIO_puts(mem, "Bad time value");
	}
	return take_text(cert, mem);
}

/* Pairs of capital hexadecimal digits, as many as the number has bytes. */
static const char *
serial_text(struct wrapsock_cert *cert, BIO *mem, const ASN1_INTEGER *serial)
{
	const unsigned char *p = ASN1_STRING_get0_data(serial);
	int len = ASN1_STRING_length(serial);

	if (ASN1_STRING_type(serial) & V_ASN1_NEG)
		BIO_puts(mem, "-");
	if (len == 0)
		BIO_puts(mem, "00");
	for (int i = 0; i < len; i++)
		BIO_printf(mem, "%02X", p[i]);
	return take_text(cert, mem);
}

static enum stop
add_scalars(struct wrapsock_cert *cert, const X509 *x)
{
	BIO *mem = BIO_new(BIO_s_mem());

	if (!mem)
		return NO_MEMORY;
	cert->version = (int)X509_get_version(x) + 1;
	cert->serial_number = serial_text(cert, mem, X509_get0_serialNumber(x));
	cert->not_before = time_text(cert, mem, X509_get0_notBefore(x));
	cert->not_after = time_text(cert, mem, X509_get0_notAfter(x));
	BIO_free(mem);
	return cert->serial_number && cert->not_before && cert->not_after ? GOES_ON : NO_MEMORY;
}

static enum stop
decode(struct wrapsock_cert *cert, const X509 *x)
{
	enum stop stop = add_name(cert, &cert->subject, X509_get_subject_name(x));

	if (stop == GOES_ON)
		stop = add_name(cert, &cert->issuer, X509_get_issuer_name(x));
	if (stop == GOES_ON)
		stop = add_scalars(cert, x);
	if (stop == GOES_ON)
		stop = add_alt_names(cert, x);
	if (stop == GOES_ON)
		stop = add_access(cert, x);
	return stop == GOES_ON ? add_crl_points(cert, x) : stop;
}

int
engine_cert_decode(struct wrapsock_cert *cert, const uint8_t *der, size_t len, int *error, char *err, size_t errsize)
{
	OSSL_LIB_CTX *lib = engine_lib();
	const unsigned char *p = der;
	struct engine_guard g;
	X509 *x;
	int ret = -1;

	if (!lib) {
		*error = ELIBACC;
		return engine_say(err, errsize, "the process has shut OpenSSL down");
	}
	*error = EPROTO;
	engine_guard_enter(&g);
	x = X509_new_ex(lib, NULL);
	if (!x) {
		*error = ENOMEM;
		engine_say(err, errsize, "out of memory");
	} else if (len > LONG_MAX || !d2i_X509(&x, &p, (long)len)) {
		engine_say(err, errsize, "not a certificate: %s", engine_queue_reason());
	} else if (p != der + len) {
		engine_say(err, errsize, "not a certificate: %zu bytes behind its end", (size_t)(der + len - p));
	} else {
		switch (decode(cert, x)) {
		case GOES_ON:
			ret = 0;
			*error = 0;
			break;
		case NOT_TEXT:
			engine_say(err, errsize, "a name in the certificate holds what is no text: %s", engine_queue_reason());
			break;
		case NO_MEMORY:
			*error = ENOMEM;
			engine_say(err, errsize, "out of memory");
			break;
		}
	}
	X509_free(x);
	engine_guard_leave(&g);
	return ret;
}

/* ---- the peer's ---- */

/* Certificate i of the chain that the peer sent; to a server OpenSSL lists it without the leaf. */
static X509 *
sent(const SSL *ssl, size_t i)
{
	STACK_OF(X509) *chain = SSL_get_peer_cert_chain(ssl);
	X509 *leaf = SSL_get0_peer_certificate(ssl);

	if (i == 0 || i > INT_MAX)
		return i == 0 ? leaf : NULL;
	if (SSL_is_server(ssl))
		i--;
	return sk_X509_value(chain, (int)i);
}

static X509 *
peer_cert(const struct engine *e, enum engine_chain which, size_t i)
{
	if (!e->ssl)
		return NULL;
	if (which == ENGINE_CHAIN_SENT)
		return sent(e->ssl, i);
	if (which == ENGINE_CHAIN_LEAF)
		return i == 0 ? SSL_get0_peer_certificate(e->ssl) : NULL;
	if (!engine_info(e).validated || i > INT_MAX)
		return NULL;
	return sk_X509_value(SSL_get0_verified_chain(e->ssl), (int)i);
}

int
engine_peer_der(const struct engine *e, enum engine_chain which, size_t i, uint8_t **der, size_t *len)
{
	unsigned char *p;
	X509 *x;
	int n;

	*der = NULL;
	*len = 0;
	if (!e->done || !engine_alive())
		return 0;
	x = peer_cert(e, which, i);
	if (!x)
		return 0;
	n = i2d_X509(x, NULL);
	if (n <= 0 || !(*der = p = malloc((size_t)n)))
		return -1;
	*len = (size_t)i2d_X509(x, &p);
	return 1;
}
