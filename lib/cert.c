/*
 * cert.c - certificates as Python's getpeercert shows them.
 */
#include "cert.h"

#include "engine.h"
#include "error.h"
#include "pem.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct cert_text {
	struct cert_text *next;
	char bytes[];
};

/* ---- making one ---- */

struct wrapsock_cert *
cert_new(bool validated)
{
	struct wrapsock_cert *cert = calloc(1, sizeof(*cert));

	if (cert)
		cert->validated = validated;
	return cert;
}

void
wrapsock_cert_free(struct wrapsock_cert *cert)
{
	if (!cert)
		return;
	while (cert->texts) {
		struct cert_text *next = cert->texts->next;

		free(cert->texts);
		cert->texts = next;
	}
	free(cert->subject.v);
	free(cert->issuer.v);
	free(cert->alt_names.v);
	free(cert->dir_names.v);
	free(cert->dir_spans);
	for (int i = 0; i < CERT_URIS; i++)
		free(cert->uris[i].v);
	free(cert);
}

static char *
text_room(struct wrapsock_cert *cert, size_t len)
{
	struct cert_text *t = malloc(sizeof(*t) + len + 1);

	if (!t)
		return NULL;
	t->next = cert->texts;
	cert->texts = t;
	t->bytes[len] = '\0';
	return t->bytes;
}

const char *
cert_text(struct wrapsock_cert *cert, const void *bytes, size_t len)
{
	char *text = text_room(cert, len);

	return text && len > 0 ? memcpy(text, bytes, len) : text;
}

/*
 * The escaped bytes: to is NULL to count only. A text may be any UTF-8, but for its NULs: compared as a C string it would pass for the
 * name that stands before the first one.
 */
static size_t
escape(char *to, enum cert_form form, const unsigned char *bytes, size_t len)
{
	static const char hex[] = "0123456789abcdef";
	size_t n = 0;

	for (size_t i = 0; i < len; i++) {
		unsigned char c = bytes[i];

		if (form == CERT_TEXT ? c != '\0' : c >= ' ' && c < 0x7f && c != '\\') {
			if (to)
				to[n] = (char)c;
			n++;
			continue;
		}
		if (to)
			memcpy(to + n, (char[]){ '\\', 'x', hex[c >> 4], hex[c & 15] }, 4);
		n += 4;
	}
	return n;
}

static bool
list_grow(struct cert_list *list)
{
	size_t cap = list->cap ? 2 * list->cap : 8;
	struct wrapsock_name *v;

	if (list->n < list->cap)
		return true;
	v = realloc(list->v, cap * sizeof(*v));
	if (!v)
		return false;
	list->v = v;
	list->cap = cap;
	return true;
}

/* The text of bytes that may be bits or hold NULs. NULL = out of memory. */
static const char *
shown(struct wrapsock_cert *cert, enum cert_form form, const char *data, size_t len)
{
	size_t size = escape(NULL, form, (const unsigned char *)data, len);
	char *text;

	if (size == len)
		return data;
	text = text_room(cert, size);
	if (text)
		escape(text, form, (const unsigned char *)data, len);
	return text;
}

bool
cert_add(struct wrapsock_cert *cert, struct cert_list *list, int rdn, const char *name, enum cert_form form, const void *bytes, size_t len)
{
	const char *data = cert_text(cert, bytes, len);
	const char *value = data ? shown(cert, form, data, len) : NULL;

	if (!name || !value || !list_grow(list))
		return false;
	list->v[list->n++] = (struct wrapsock_name){ .rdn = rdn, .name = name, .value = value, .data = data, .len = len };
	return true;
}

bool
cert_add_uri(struct wrapsock_cert *cert, enum cert_uri which, const void *bytes, size_t len)
{
	struct cert_uris *uris = &cert->uris[which];
	const char **v = realloc(uris->v, (uris->n + 1) * sizeof(*v));
	const char *data;

	if (!v)
		return false;
	uris->v = v;
	data = cert_text(cert, bytes, len);
	v[uris->n] = data ? shown(cert, CERT_TEXT, data, len) : NULL;
	return v[uris->n++] != NULL;
}

/* "countryName=XY, organizationalUnitName=a+commonName=b": what a reader could take for a separator has a backslash before it. */
static size_t
dir_text(char *to, const struct wrapsock_name *parts, size_t nparts)
{
	size_t n = 0;

	for (size_t i = 0; i < nparts; i++) {
		const char *between = i == 0 ? "" : parts[i].rdn == parts[i - 1].rdn ? "+" : ", ";
		const char *piece[] = { between, parts[i].name, "=" };

		for (size_t j = 0; j < sizeof(piece) / sizeof(piece[0]); j++) {
			size_t len = strlen(piece[j]);

			if (to)
				memcpy(to + n, piece[j], len);
			n += len;
		}
		for (const char *p = parts[i].value; *p; p++) {
			if (strchr(",+=\\", *p)) {
				if (to)
					to[n] = '\\';
				n++;
			}
			if (to)
				to[n] = *p;
			n++;
		}
	}
	return n;
}

bool
cert_add_dir_name(struct wrapsock_cert *cert, int rdn, size_t at)
{
	size_t n = cert->dir_names.n - at, len = dir_text(NULL, cert->dir_names.v + at, n);
	struct cert_span *spans = realloc(cert->dir_spans, (cert->ndir_spans + 1) * sizeof(*spans));
	char *text = malloc(len + 1);
	bool added = false;

	if (spans)
		cert->dir_spans = spans;
	if (spans && text) {
		dir_text(text, cert->dir_names.v + at, n);
		spans[cert->ndir_spans++] = (struct cert_span){ cert->alt_names.n, at, n };
		added = cert_add(cert, &cert->alt_names, rdn, "DirName", CERT_TEXT, text, len);
	}
	free(text);
	return added;
}

/* ---- where one comes from ---- */

struct wrapsock_cert *
cert_of_der(const uint8_t *der, size_t len, bool validated, int *error, char *err, size_t errsize)
{
	struct wrapsock_cert *cert = cert_new(validated);

	*error = 0;
	if (!cert) {
		*error = ENOMEM;
		snprintf(err, errsize, "out of memory");
	} else if (validated && engine_cert_decode(cert, der, len, error, err, errsize) < 0) {
		wrapsock_cert_free(cert);
		cert = NULL;
	}
	return cert;
}

struct wrapsock_cert *
wrapsock_cert_parse_pem(const char *pem)
{
	struct wrapsock_cert *cert = NULL;
	struct pem_block block;
	char err[200];
	uint8_t *der;
	size_t len;
	int error;

	error_clear(NULL);
	if (!pem || !pem_first(pem, &block)) {
		error_set(NULL, WRAPSOCK_E_INVALID, EINVAL, "there is no certificate in it, expected PEM (-----BEGIN CERTIFICATE-----)");
		return NULL;
	}
	der = pem_decode(&block, &len);
	if (!der) {
		if (len > 0)
			error_nomem(NULL);
		else
			error_set(NULL, WRAPSOCK_E_INVALID, EINVAL, "the certificate is not valid base64");
		return NULL;
	}
	cert = cert_of_der(der, len, true, &error, err, sizeof(err));
	free(der);
	if (cert)
		return cert;
	if (error == ENOMEM)
		error_nomem(NULL);
	else if (error == EPROTO)
		error_set(NULL, WRAPSOCK_E_INVALID, EINVAL, "%s", err);
	else
		error_set(NULL, WRAPSOCK_E_STATE, error, "%s", err);
	return NULL;
}

/* ---- looking into one ---- */

static size_t
show(const struct cert_list *list, const struct wrapsock_name **names)
{
	*names = list->v;
	return list->n;
}

int
wrapsock_cert_validated(const struct wrapsock_cert *cert)
{
	return cert->validated;
}

size_t
wrapsock_cert_subject(const struct wrapsock_cert *cert, const struct wrapsock_name **names)
{
	return show(&cert->subject, names);
}

size_t
wrapsock_cert_issuer(const struct wrapsock_cert *cert, const struct wrapsock_name **names)
{
	return show(&cert->issuer, names);
}

size_t
wrapsock_cert_alt_names(const struct wrapsock_cert *cert, const struct wrapsock_name **names)
{
	return show(&cert->alt_names, names);
}

size_t
wrapsock_cert_dir_name(const struct wrapsock_cert *cert, size_t i, const struct wrapsock_name **names)
{
	*names = NULL;
	for (size_t j = 0; j < cert->ndir_spans; j++) {
		if (cert->dir_spans[j].of != i)
			continue;
		*names = cert->dir_names.v + cert->dir_spans[j].at;
		return cert->dir_spans[j].n;
	}
	return 0;
}

size_t
wrapsock_cert_uris(const struct wrapsock_cert *cert, const char *name, const char *const **uris)
{
	static const char *const names[CERT_URIS] = { "OCSP", "caIssuers", "crlDistributionPoints" };

	*uris = NULL;
	for (int i = 0; i < CERT_URIS; i++) {
		if (!name || strcmp(name, names[i]) != 0)
			continue;
		*uris = cert->uris[i].v;
		return cert->uris[i].n;
	}
	return 0;
}

const char *
wrapsock_cert_not_before(const struct wrapsock_cert *cert)
{
	return cert->not_before;
}

const char *
wrapsock_cert_not_after(const struct wrapsock_cert *cert)
{
	return cert->not_after;
}

const char *
wrapsock_cert_serial_number(const struct wrapsock_cert *cert)
{
	return cert->serial_number;
}

int
wrapsock_cert_version(const struct wrapsock_cert *cert)
{
	return cert->version;
}
