/*
 * engine_openssl_failure.c - what a failure is called, and which key would cure it.
 */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <openssl/x509_vfy.h>

#include "engine.h"
#include "engine_openssl.h"

struct wording {
	int number;
	const char *text, *hint;
};

static const struct wording alerts[] = {
	{0, "close_notify", NULL},
	{10, "unexpected_message", NULL},
	{20, "bad_record_mac", NULL},
	{22, "record_overflow", NULL},
	{40, "handshake_failure", "ciphers"},
	{42, "bad_certificate", "certfile"},
	{43, "unsupported_certificate", "certfile"},
	{44, "certificate_revoked", "certfile"},
	{45, "certificate_expired", "certfile"},
	{46, "certificate_unknown", "certfile"},
	{47, "illegal_parameter", NULL},
	{48, "unknown_ca", "certfile"},
	{49, "access_denied", "certfile"},
	{50, "decode_error", NULL},
	{51, "decrypt_error", NULL},
	{70, "protocol_version", "minimum_version"},
	{71, "insufficient_security", "ciphers"},
	{80, "internal_error", NULL},
	{86, "inappropriate_fallback", "minimum_version"},
	{90, "user_canceled", NULL},
	{109, "missing_extension", NULL},
	{110, "unsupported_extension", NULL},
	{112, "unrecognized_name", "server_hostname"},
	{113, "bad_certificate_status_response", NULL},
	{115, "unknown_psk_identity", NULL},
	{116, "certificate_required", "certfile"},
	{120, "no_application_protocol", "alpn_protocols"},
};

static const struct wording protocol[] = {
	{SSL_R_UNSUPPORTED_PROTOCOL, "no TLS version in common with the peer", "minimum_version"},
	{SSL_R_NO_PROTOCOLS_AVAILABLE, "the settings leave no TLS version", "minimum_version"},
	{SSL_R_VERSION_TOO_LOW, "no TLS version in common with the peer", "minimum_version"},
	{SSL_R_VERSION_TOO_HIGH, "no TLS version in common with the peer", "maximum_version"},
	{SSL_R_INAPPROPRIATE_FALLBACK, "the peer fell back to a lower TLS version than both sides can speak", "minimum_version"},
	{SSL_R_NO_SHARED_CIPHER, "no cipher suite in common with the peer", "ciphers"},
	{SSL_R_NO_CIPHERS_AVAILABLE, "the settings leave no cipher suite", "ciphers"},
	{SSL_R_WRONG_CIPHER_RETURNED, "the peer chose a cipher suite that was not offered", "ciphers"},
	{SSL_R_NO_SUITABLE_KEY_SHARE, "no key exchange group in common with the peer", "groups"},
	{SSL_R_NO_SUITABLE_GROUPS, "no key exchange group in common with the peer", "groups"},
	{SSL_R_NO_SHARED_GROUPS, "no key exchange group in common with the peer", "groups"},
	{SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM, "no signature algorithm in common with the peer", "certfile"},
	{SSL_R_DH_KEY_TOO_SMALL, "the peer's Diffie-Hellman key is too small", "ciphers"},
	{SSL_R_UNSAFE_LEGACY_RENEGOTIATION_DISABLED, "the peer knows no secure renegotiation", "options"},
	{SSL_R_DECRYPTION_FAILED_OR_BAD_RECORD_MAC, "a record was damaged on its way", NULL},
	{SSL_R_WRONG_VERSION_NUMBER, "the peer sent a record of an unknown TLS version", "minimum_version"},
	{SSL_R_PROTOCOL_IS_SHUTDOWN, "close_notify has been sent already", NULL},
};

/* X509_verify_cert_error_string has the rest. */
static const struct wording verify[] = {
	{X509_V_ERR_HOSTNAME_MISMATCH, "certificate is not for the expected name", "server_hostname"},
	{X509_V_ERR_IP_ADDRESS_MISMATCH, "certificate is not for the expected address", "server_hostname"},
	{X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT, NULL, "ca_certs"},
	{X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY, NULL, "ca_certs"},
	{X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE, NULL, "ca_certs"},
	{X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT, NULL, "ca_certs"},
	{X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN, NULL, "ca_certs"},
	{X509_V_ERR_CERT_UNTRUSTED, NULL, "ca_certs"},
	{X509_V_ERR_INVALID_PURPOSE, "certificate is not for this purpose", NULL},
	{X509_V_ERR_CERT_REVOKED, "certificate is revoked", "crlfile"},
	{X509_V_ERR_UNABLE_TO_GET_CRL, "there is no CRL of the certificate's issuer", "crlfile"},
	{X509_V_ERR_UNABLE_TO_GET_CRL_ISSUER, "there is no CRL that the certificate's issuer signed", "crlfile"},
	{X509_V_ERR_CRL_SIGNATURE_FAILURE, "the CRL is not signed by the certificate's issuer", "crlfile"},
	{X509_V_ERR_CRL_HAS_EXPIRED, "the CRL of the certificate's issuer has expired", "crlfile"},
	{X509_V_ERR_CRL_NOT_YET_VALID, "the CRL of the certificate's issuer is not yet valid", "crlfile"},
	{X509_V_ERR_KEYUSAGE_NO_CRL_SIGN, "the certificate's issuer may not sign CRLs", "crlfile"},
	{X509_V_ERR_DIFFERENT_CRL_SCOPE, "the CRL of the certificate's issuer is for other certificates", "crlfile"},
	{X509_V_ERR_UNHANDLED_CRITICAL_CRL_EXTENSION, "the CRL has a critical extension that is not understood", "crlfile"},
	{X509_V_ERR_CRL_PATH_VALIDATION_ERROR, "the CRL's own signer is not trusted", "crlfile"},
};

static const struct {
	const char *bytes, *text;
} languages[] = {
	{"HTTP/", "HTTP"},
	{"GET ", "HTTP"},
	{"POST ", "HTTP"},
	{"HEAD ", "HTTP"},
	{"PUT ", "HTTP"},
	{"OPTIO", "HTTP"},
	{"CONNE", "HTTP"},
	{"DELET", "HTTP"},
	{"PATCH", "HTTP"},
	{"PRI *", "HTTP"},
	{"SSH-", "SSH"},
	{"220", "SMTP or FTP"},
	{"EHLO", "SMTP"},
	{"HELO", "SMTP"},
	{"* OK", "IMAP"},
	{"+OK", "POP3"},
	{"-ERR", "Redis"},
	{"+PONG", "Redis"},
	{"*1\r\n", "Redis"},
	{"PROXY", "the PROXY protocol"},
	{"\r\n\r\n", "the PROXY protocol"},
};

static const struct wording *
wording_find(const struct wording *table, size_t n, long number)
{
	for (size_t i = 0; i < n; i++)
		if (table[i].number == number)
			return &table[i];
	return NULL;
}
#define WORDING(table, number) wording_find(table, sizeof(table) / sizeof((table)[0]), number)

/* The first entry is the cause, but SSL's own says it in words that a reader can search for. */
static unsigned long
first_cause(bool *nomem)
{
	unsigned long code, cause = 0;

	while ((code = ERR_get_error()) != 0) {
		*nomem |= ERR_GET_REASON(code) == ERR_R_MALLOC_FAILURE;
		if (cause == 0 || (ERR_GET_LIB(cause) != ERR_LIB_SSL && ERR_GET_LIB(code) == ERR_LIB_SSL))
			cause = code;
	}
	return cause;
}

void
engine_mnemonic(unsigned long code, char *buf, size_t size)
{
	const char *s = code ? ERR_reason_error_string(code) : NULL;

	snprintf(buf, size, "%s", s ? s : "");
	for (char *p = buf; *p; p++)
		*p = isalnum((unsigned char)*p) ? (char)toupper((unsigned char)*p) : '_';
}

/* A TLS record, or the SSLv2 hello that old clients begin with, has not one of these forms. */
static bool
peer_speaks_tls(const struct engine *e)
{
	const uint8_t *p = e->first;

	if (e->first_len < 3)
		return true;
	if (p[0] >= SSL3_RT_CHANGE_CIPHER_SPEC && p[0] <= SSL3_RT_APPLICATION_DATA)
		return p[1] == 3;
	return (p[0] & 0x80) && p[2] == 1;
}

static enum engine_result
fail_foreign(struct engine *e)
{
	const char *what = NULL;

	for (size_t i = 0; i < sizeof(languages) / sizeof(languages[0]) && !what; i++) {
		size_t len = strlen(languages[i].bytes);

		if (e->first_len >= len && memcmp(e->first, languages[i].bytes, len) == 0)
			what = languages[i].text;
	}
	if (what)
		snprintf(e->error, sizeof(e->error), "the peer does not speak TLS: it sent what looks like %s", what);
	else
		snprintf(e->error, sizeof(e->error), "the peer does not speak TLS: it sent something else");
	e->hint = "match";
	return ENGINE_PROTOCOL;
}

static enum engine_result
fail_verify(struct engine *e)
{
	const struct wording *w;

	if (e->demand)
		return engine_demand(e, e->demand);
	e->verify_code = SSL_get_verify_result(e->ssl);
	w = WORDING(verify, e->verify_code);
	snprintf(e->error, sizeof(e->error), "%s", w && w->text ? w->text : X509_verify_cert_error_string(e->verify_code));
	e->hint = w ? w->hint : NULL;
	if (e->malformed && e->hint && strcmp(e->hint, "ca_certs") == 0) {
		snprintf(e->error, sizeof(e->error), "a certificate of the chain is malformed: an extension comes twice or cannot be read");
		e->hint = NULL;
	}
	return ENGINE_VERIFY;
}

static enum engine_result
fail_alert(struct engine *e, int alert)
{
	const struct wording *w = WORDING(alerts, alert);

	snprintf(e->error, sizeof(e->error), "peer sent alert %d %s", alert, w ? w->text : "unknown");
	e->hint = w ? w->hint : NULL;
	return ENGINE_PROTOCOL;
}

static enum engine_result
fail_protocol(struct engine *e, unsigned long cause)
{
	const struct wording *w = ERR_GET_LIB(cause) == ERR_LIB_SSL ? WORDING(protocol, ERR_GET_REASON(cause)) : NULL;
	const char *s = cause ? ERR_reason_error_string(cause) : "the peer closed the connection during the handshake";

	snprintf(e->error, sizeof(e->error), "%s%s", w || !cause ? "" : "TLS protocol error: ", w ? w->text : s ? s : "unknown");
	e->hint = w ? w->hint : NULL;
	return ENGINE_PROTOCOL;
}

static enum engine_result
classify(struct engine *e, unsigned long cause, bool nomem)
{
	int reason = ERR_GET_LIB(cause) == ERR_LIB_SSL ? ERR_GET_REASON(cause) : 0;

	if (nomem) {
		snprintf(e->error, sizeof(e->error), "out of memory");
		return ENGINE_NOMEM;
	}
	if (reason == SSL_R_CERTIFICATE_VERIFY_FAILED)
		return fail_verify(e);
	if (reason == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE) {
		engine_refuse(e, "the client sent no certificate", "PEER_DID_NOT_RETURN_A_CERTIFICATE", "cert_reqs");
		e->verify_code = X509_V_OK;
		return ENGINE_VERIFY;
	}
	if (reason >= SSL_AD_REASON_OFFSET && reason < SSL_AD_REASON_OFFSET + 256)
		return fail_alert(e, reason - SSL_AD_REASON_OFFSET);
	if (!e->done && !peer_speaks_tls(e))
		return fail_foreign(e);
	return fail_protocol(e, cause);
}

enum engine_result
engine_failure(struct engine *e)
{
	bool nomem = e->nomem;
	unsigned long cause = first_cause(&nomem);

	e->hint = NULL;
	engine_mnemonic(cause, e->reason, sizeof(e->reason));
	return e->failed = classify(e, cause, nomem);
}
