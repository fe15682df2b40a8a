/*
 * engine_openssl_text.c - certificates in words, for the line that tells of a failure.
 *
 * What a peer wrote is escaped, and every text has its bound: a certificate may be made to fill a log, or to forge its lines.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <openssl/x509_vfy.h>

#include "engine.h"
#include "engine_openssl.h"

enum { NAME_TEXT = 160, SERIAL_BYTES = 20 };

/* ---- parts ---- */

/* An ellipsis where the room ends. */
static void
put(char *buf, size_t size, const char *s, size_t len, bool escape)
{
	size_t at = strlen(buf);

	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)s[i];
		bool plain = !escape || (c >= ' ' && c < 0x7f && c != '\\');

		if (at + 4 + 4 > size) {
			if (at + 4 <= size && (at < 3 || strcmp(buf + at - 3, "...") != 0))
				memcpy(buf + at, "...", 4);
			return;
		}
		if (plain)
			buf[at++] = (char)c;
		else
			at += (size_t)snprintf(buf + at, size - at, "\\x%02x", c);
		buf[at] = '\0';
	}
}

/* Printable bytes as they are, the rest as \xNN. */
void
engine_text_escaped(char *buf, size_t size, const char *s, size_t len)
{
	put(buf, size, s, len, true);
}

static void
append(char *buf, size_t size, const char *s)
{
	engine_text_escaped(buf, size, s, strlen(s));
}

/* What is escaped already. */
static void
append_safe(char *buf, size_t size, const char *s)
{
	put(buf, size, s, strlen(s), false);
}

void
engine_text_name(char *buf, size_t size, const X509_NAME *name)
{
	const unsigned long style = XN_FLAG_SEP_CPLUS_SPC | XN_FLAG_FN_SN | ASN1_STRFLGS_UTF8_CONVERT | ASN1_STRFLGS_DUMP_UNKNOWN
		| ASN1_STRFLGS_DUMP_DER;
	BIO *mem = BIO_new(BIO_s_mem());
	char *text;
	long len;

	if (mem && X509_NAME_print_ex(mem, name, 0, style) >= 0) {
		len = BIO_get_mem_data(mem, &text);
		engine_text_escaped(buf, size, text, len > 0 ? (size_t)len : 0);
	}
	BIO_free(mem);
}

void
engine_text_time(char out[static ENGINE_TIME_TEXT], const ASN1_TIME *t)
{
	struct tm tm;

	if (t && ASN1_TIME_to_tm(t, &tm) && tm.tm_year >= -1900 && tm.tm_year < 8100)
		snprintf(out, ENGINE_TIME_TEXT, "%04u-%02u-%02uT%02u:%02u:%02uZ", (unsigned)(tm.tm_year + 1900) % 10000,
			 (unsigned)(tm.tm_mon + 1) % 100, (unsigned)tm.tm_mday % 100, (unsigned)tm.tm_hour % 100,
			 (unsigned)tm.tm_min % 100, (unsigned)tm.tm_sec % 100);
	else
		snprintf(out, ENGINE_TIME_TEXT, "%s", t ? "a bad date" : "never");
}

static void
append_text(char *buf, size_t size, const char *prefix, const ASN1_STRING *s)
{
	if (buf[0])
		append(buf, size, ", ");
	append(buf, size, prefix);
	engine_text_escaped(buf, size, (const char *)ASN1_STRING_get0_data(s), (size_t)ASN1_STRING_length(s));
}

static void
append_address(char *buf, size_t size, const ASN1_STRING *s)
{
	int len = ASN1_STRING_length(s);
	char text[INET6_ADDRSTRLEN] = "?";

	if (len == 4 || len == 16)
		inet_ntop(len == 4 ? AF_INET : AF_INET6, ASN1_STRING_get0_data(s), text, sizeof(text));
	if (buf[0])
		append(buf, size, ", ");
	append(buf, size, text);
}

static void
append_names(char *buf, size_t size, X509 *x)
{
	GENERAL_NAMES *names = X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL);

	for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
		int type;
		void *value = GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(names, i), &type);

		if (type == GEN_DNS)
			append_text(buf, size, "", value);
		else if (type == GEN_IPADD)
			append_address(buf, size, value);
		else if (type == GEN_EMAIL)
			append_text(buf, size, "email:", value);
		else if (type == GEN_URI)
			append_text(buf, size, "URI:", value);
	}
	GENERAL_NAMES_free(names);
}

static X509 *
subject_of(const struct engine *e)
{
	return e->refused ? e->refused : SSL_get0_peer_certificate(e->ssl);
}

void
engine_peer_names(const struct engine *e, char *subject, size_t ssize, char *names, size_t nsize)
{
	struct engine_guard g;
	X509 *x;

	if (ssize > 0)
		subject[0] = '\0';
	if (nsize > 0)
		names[0] = '\0';
	if (!e->ssl || !engine_alive() || ssize == 0 || nsize == 0)
		return;
	engine_guard_enter(&g);
	x = subject_of(e);
	if (x) {
		engine_text_name(subject, ssize, X509_get_subject_name(x));
		append_names(names, nsize, x);
	}
	engine_guard_leave(&g);
}

/* ---- a refused certificate ---- */

static void
append_serial(char *buf, size_t size, X509 *x)
{
	const ASN1_INTEGER *serial = X509_get0_serialNumber(x);
	char hex[2 * SERIAL_BYTES + 4] = "";
	int len = ASN1_STRING_length(serial);

	for (int i = 0; i < len && i < SERIAL_BYTES; i++)
		snprintf(hex + strlen(hex), sizeof(hex) - strlen(hex), "%02x", ASN1_STRING_get0_data(serial)[i]);
	append(buf, size, ", serial ");
	append(buf, size, ASN1_STRING_type(serial) == V_ASN1_NEG_INTEGER ? "-" : "");
	append(buf, size, hex);
	append(buf, size, len > SERIAL_BYTES ? "..." : "");
}

static void
append_pin(char *buf, size_t size, const char *before, X509 *x)
{
	unsigned char text[64];
	uint8_t pin[ENGINE_PIN_BYTES];

	if (!engine_pin_of(x, pin))
		return;
	EVP_EncodeBlock(text, pin, ENGINE_PIN_BYTES);
	append(buf, size, before);
	append(buf, size, (const char *)text);
}

/* Where the issuer is, and until when: ", issuer CN=a, serial 01, valid ... to ...". */
static void
append_issue(char *buf, size_t size, X509 *x)
{
	char issuer[NAME_TEXT] = "", from[ENGINE_TIME_TEXT], to[ENGINE_TIME_TEXT];

	engine_text_name(issuer, sizeof(issuer), X509_get_issuer_name(x));
	engine_text_time(from, X509_get0_notBefore(x));
	engine_text_time(to, X509_get0_notAfter(x));
	append(buf, size, "; issuer ");
	append_safe(buf, size, issuer);
	append_serial(buf, size, x);
	append(buf, size, ", valid ");
	append(buf, size, from);
	append(buf, size, " to ");
	append(buf, size, to);
}

static void
append_culprit(const struct engine *e, char *buf, size_t size)
{
	char number[80], name[NAME_TEXT] = "";

	if (e->verify_code == X509_V_OK)
		return;
	snprintf(number, sizeof(number), "; X509_V_ERR %ld at depth %d", e->verify_code, e->depth);
	append(buf, size, number);
	if (!e->culprit || e->depth == 0)
		return;
	engine_text_name(name, sizeof(name), X509_get_subject_name(e->culprit));
	append(buf, size, ": ");
	append_safe(buf, size, name);
	append_issue(buf, size, e->culprit);
}

static void
append_trust(const struct engine *e, char *buf, size_t size)
{
	const struct engine_ctx *ctx = e->config->engine;
	const struct config *c = e->config;
	char roots[40];

	if (c->cert_reqs == CONFIG_CERT_NONE)
		return;
	snprintf(roots, sizeof(roots), " (%d root%s)", ctx->roots, ctx->roots == 1 ? "" : "s");
	append(buf, size, "; trusted: ");
	if (c->ca_certs) {
		append(buf, size, c->ca_certs);
		append(buf, size, roots);
	}
	append(buf, size, c->ca_certs && c->capath ? ", " : "");
	append(buf, size, c->capath ? c->capath : "");
	if (e->hint && strcmp(e->hint, "crlfile") == 0) {
		append(buf, size, "; CRLs: ");
		append_safe(buf, size, ctx->crls && *ctx->crls ? ctx->crls : "those of capath");
	}
}

static void
append_demand(const struct engine *e, char *buf, size_t size)
{
	const char *value = !e->demand ? NULL : strcmp(e->demand, "pin") == 0 ? e->config->pin : e->config->allow;
	size_t bound = strlen(buf) + 200;

	if (!value)
		return;
	append(buf, size, "; expected ");
	append(buf, size, e->demand);
	append(buf, size, " = ");
	append(buf, bound < size ? bound : size, value);
}

static void
append_certificate(X509 *x, char *buf, size_t size)
{
	char names[300] = "", subject[NAME_TEXT] = "";

	engine_text_name(subject, sizeof(subject), X509_get_subject_name(x));
	append_names(names, sizeof(names), x);
	append(buf, size, "; certificate of ");
	append_safe(buf, size, *subject ? subject : "nobody");
	append(buf, size, *names ? " offers " : " offers no names");
	append_safe(buf, size, names);
	append_pin(buf, size, "; pin = sha256:", x);
	append_issue(buf, size, x);
}

/* The peer says that it is our certificate that will not do. */
static void
append_ours(const struct engine *e, char *buf, size_t size)
{
	X509 *x = e->hint && strcmp(e->hint, "certfile") == 0 && e->ssl ? SSL_get_certificate(e->ssl) : NULL;

	if (!e->hint || strcmp(e->hint, "certfile") != 0)
		return;
	append(buf, size, x ? "; ours is of " : "; we have none");
	if (!x)
		return;
	engine_text_name(buf, size, X509_get_subject_name(x));
	append_issue(buf, size, x);
}

void
engine_details(const struct engine *e, char *buf, size_t size)
{
	struct engine_guard g;
	X509 *x;

	if (size == 0)
		return;
	buf[0] = '\0';
	if (!e->ssl || !engine_alive())
		return;
	engine_guard_enter(&g);
	x = subject_of(e);
	append_demand(e, buf, size);
	if (x && e->failed == ENGINE_VERIFY)
		append_certificate(x, buf, size);
	if (e->failed == ENGINE_VERIFY) {
		append_culprit(e, buf, size);
		append_trust(e, buf, size);
	} else {
		append_ours(e, buf, size);
	}
	engine_guard_leave(&g);
}
