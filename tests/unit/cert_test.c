/*
 * cert_test.c - certificates, their times and their text forms. Rows of the public contract are named with each table; what Python says
 * of the same certificates is compared by tests/cert_test.sh.
 */
#include "cert.h"
#include "ran.h"
#include "wrapsock.h"

#include "check.h"

#include <sys/socket.h>

#include <arpa/inet.h>
#include <math.h>
#include <netinet/in.h>
#include <unistd.h>

#include <openssl/evp.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>


static void
judge(const char *what, bool ok)
{
	result("cert", what, ok, "");
}

static bool
same(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

/* ---- times: rows 37 to 40 ---- */

static const struct {
	const char *text;
	int64_t seconds;
} times[] = {
	{ "May 9 00:00:00 2007 GMT", 1178668800 },
	{ "May  9 00:00:00 2007 GMT", 1178668800 },
	{ "May 09 00:00:00 2007 GMT", 1178668800 },
	{ "mAY  9 00:00:00 2007 gMt", 1178668800 },
	{ "Jan  5 09:34:43 2018 GMT", 1515144883 },
	{ "Jan  1 00:00:00 1970 GMT", 0 },
	{ "Dec 31 23:59:59 1969 GMT", -1 },
	{ "Feb 29 12:00:00 2000 GMT", 951825600 },
	{ "Feb 29 00:00:00 2400 GMT", 13574563200 },
	{ "Jan 19 03:14:08 2038 GMT", 2147483648 },
	{ "Jan  1 00:00:00 2051 GMT", 2556144000 },
	{ "Dec 31 23:59:59 9999 GMT", 253402300799 },
	{ "Jan  1 00:00:00 0001 GMT", -62135596800 },
	{ "Dec 31 23:59:60 2008 GMT", 1230768000 },
	{ "Jan  5 09:34:61 2018 GMT", 1515144901 },
};

static const char *const no_times[] = {
	"", "GMT", "Jan", "Jan  5 09:34 2018 GMT", "Jan  5 09:34:43 2018", "Jan  5 09:34:43 2018 ", "Jan  5 09:34:43 2018 UTC",
	"Jan 35 09:34:43 2018 GMT", "Jan  0 09:34:43 2018 GMT", "Jon  5 09:34:43 2018 GMT", "Jan  5 24:00:00 2018 GMT",
	"Jan  5 09:60:43 2018 GMT", "Jan  5 09:34:62 2018 GMT", "Feb 29 00:00:00 2007 GMT", "Feb 29 00:00:00 2100 GMT",
	"Apr 31 00:00:00 2007 GMT", "May 9 00:00:00 0000 GMT", "May 9 00:00:00 207 GMT", "May 9 00:00:00 20007 GMT", "May9 00:00:00 2007 GMT",
	" May 9 00:00:00 2007 GMT", "May 9 00:00:00 2007 GMT ", "May 9 00:00:00 2007GMT", "May 9 00:00:00 2007 GMT+1", "May -9 00:00:00 2007 GMT",
	"May 9 00:00:00.5 2007 GMT", "May 9 00 :00:00 2007 GMT", "May 009 00:00:00 2007 GMT", "2007-05-09 00:00:00 GMT", "070509000000Z",
	"Bad time value", "M\xc3\xa4r 9 00:00:00 2007 GMT",
};

static void
row_37_38_39_40_D4_times_when_converted_then_seconds(void)
{
	int64_t seconds;

	for (size_t i = 0; i < COUNT(times); i++) {
		seconds = 42;
		errno = EDOM;
		judge(times[i].text, wrapsock_cert_time_to_seconds(times[i].text, &seconds) == 0 && seconds == times[i].seconds && errno == EDOM);
	}
	for (size_t i = 0; i < COUNT(no_times); i++) {
		seconds = 42;
		errno = 0;
		judge(no_times[i], wrapsock_cert_time_to_seconds(no_times[i], &seconds) == -1 && seconds == 42 && errno == EINVAL
		       && wrapsock_err(NULL) == WRAPSOCK_E_INVALID && strstr(wrapsock_errstr(NULL), "time"));
	}
	judge("no time at all", wrapsock_cert_time_to_seconds(NULL, &seconds) == -1 && wrapsock_err(NULL) == WRAPSOCK_E_INVALID);
}

/* ---- PEM: rows 45 and 46 ---- */

#define HEADER "-----BEGIN CERTIFICATE-----"
#define FOOTER "-----END CERTIFICATE-----"

static const struct {
	const char *pem, *der;		/* NULL: refused */
	size_t len;
} pems[] = {
	{ HEADER "\nTWFu\n" FOOTER "\n", "Man", 3 },
	{ HEADER "\nTWE=\n" FOOTER, "Ma", 2 },
	{ HEADER "\nTQ==\n" FOOTER "\n", "M", 1 },
	{ HEADER "\r\nTW\r\nFu\r\n" FOOTER "\r\n \t", "Man", 3 },
	{ HEADER "TWFuTWE=" FOOTER, "ManMa", 5 },
	{ HEADER "\nAAD/\n" FOOTER, "\0\0\377", 3 },
	{ "", NULL, 0 },
	{ "TWFu\n", NULL, 0 },
	{ HEADER "\n" FOOTER "\n", NULL, 0 },
	{ HEADER "\nTWFu\n", NULL, 0 },
	{ "TWFu\n" FOOTER "\n", NULL, 0 },
	{ " " HEADER "\nTWFu\n" FOOTER "\n", NULL, 0 },
	{ HEADER "\nTWFu\n" FOOTER "\nmore", NULL, 0 },
	{ HEADER "\nTWFu\n" FOOTER "\n" HEADER "\nTWFu\n" FOOTER "\n", NULL, 0 },
	{ "-----BEGIN CERTIFICATE----", NULL, 0 },
	{ "-----BEGIN CERTIFICATE-----END CERTIFICATE-----", NULL, 0 },
	{ "-----BEGIN PRIVATE KEY-----\nTWFu\n-----END PRIVATE KEY-----\n", NULL, 0 },
	{ HEADER "\nTWF\n" FOOTER "\n", NULL, 0 },
	{ HEADER "\nT===\n" FOOTER "\n", NULL, 0 },
	{ HEADER "\nTQ=\n" FOOTER "\n", NULL, 0 },
	{ HEADER "\nTQ==TQ==\n" FOOTER "\n", NULL, 0 },
	{ HEADER "\n====\n" FOOTER "\n", NULL, 0 },
	{ HEADER "\nTW*u\n" FOOTER "\n", NULL, 0 },
	{ HEADER "\nTW-u\n" FOOTER "\n", NULL, 0 },
};

static void
row_45_46_pem_when_converted_then_byte_for_byte(void)
{
	unsigned char *der;
	size_t len;
	char *pem;

	for (size_t i = 0; i < COUNT(pems); i++) {
		int ret = wrapsock_PEM_cert_to_DER_cert(pems[i].pem, &der, &len);

		if (pems[i].der)
			judge(pems[i].pem, ret == 0 && len == pems[i].len && memcmp(der, pems[i].der, len) == 0);
		else
			judge(pems[i].pem, ret == -1 && !der && len == 0 && errno == EINVAL && wrapsock_err(NULL) == WRAPSOCK_E_INVALID);
		wrapsock_free(der);
	}
	pem = wrapsock_DER_cert_to_PEM_cert("Ma", 2);
	judge("two bytes as PEM", same(pem, HEADER "\nTWE=\n" FOOTER "\n"));
	wrapsock_free(pem);
	pem = wrapsock_DER_cert_to_PEM_cert("012345678901234567890123456789012345678901234567", 48);
	judge("a full line as PEM", same(pem, HEADER "\nMDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3\n" FOOTER "\n"));
	wrapsock_free(pem);
	judge("nothing as PEM", !wrapsock_DER_cert_to_PEM_cert("", 0) && wrapsock_err(NULL) == WRAPSOCK_E_INVALID && errno == EINVAL);
	judge("NULL as PEM", !wrapsock_DER_cert_to_PEM_cert(NULL, 3) && wrapsock_err(NULL) == WRAPSOCK_E_INVALID);
	judge("NULL as DER", wrapsock_PEM_cert_to_DER_cert(NULL, &der, &len) == -1 && wrapsock_err(NULL) == WRAPSOCK_E_INVALID);
	wrapsock_free(NULL);
}

/* ---- certificates made for one question each ---- */

struct extension {
	const char *oid, *der;		/* the value, byte for byte */
	size_t len;
};

struct attribute {
	const char *oid;
	int type;
	const char *bytes;
	size_t len;
	int set;			/* 0 = an RDN of its own, -1 = in the RDN before */
};

static EVP_PKEY *key;

static size_t
encoded(X509 *x, uint8_t **der)
{
	int n;

	*der = NULL;
	n = i2d_X509(x, der);
	return n > 0 ? (size_t)n : 0;
}

static struct wrapsock_cert *
made(const struct attribute *subject, size_t nsubject, const struct extension *ext, bool validated, char *err, size_t errsize)
{
	X509 *x = X509_new();
	struct wrapsock_cert *cert;
	uint8_t *der;
	size_t len;
	int error;

	X509_set_version(x, X509_VERSION_3);
	ASN1_INTEGER_set(X509_get_serialNumber(x), 0x1234);
	ASN1_TIME_set_string(X509_getm_notBefore(x), "20070509000000Z");
	ASN1_TIME_set_string(X509_getm_notAfter(x), "99991231235959Z");
	for (size_t i = 0; i < nsubject; i++) {
		ASN1_OBJECT *object = OBJ_txt2obj(subject[i].oid, 1);

		X509_NAME_add_entry_by_OBJ(X509_get_subject_name(x), object, subject[i].type, (const unsigned char *)subject[i].bytes,
					   (int)subject[i].len, -1, subject[i].set);
		ASN1_OBJECT_free(object);
	}
	if (ext) {
		ASN1_OBJECT *object = OBJ_txt2obj(ext->oid, 1);
		ASN1_OCTET_STRING *value = ASN1_OCTET_STRING_new();
		X509_EXTENSION *extension;

		ASN1_OCTET_STRING_set(value, (const unsigned char *)ext->der, (int)ext->len);
		extension = X509_EXTENSION_create_by_OBJ(NULL, object, 0, value);
		X509_add_ext(x, extension, -1);
		X509_EXTENSION_free(extension);
		ASN1_OCTET_STRING_free(value);
		ASN1_OBJECT_free(object);
	}
	X509_set_pubkey(x, key);
	X509_sign(x, key, EVP_sha256());
	len = encoded(x, &der);
	X509_free(x);
	cert = cert_of_der(der, len, validated, &error, err, errsize);
	OPENSSL_free(der);
	return cert;
}

#define OU "2.5.4.11"
#define CN "2.5.4.3"

/* Row 90: parts of one RDN share its index. Row 92: an unknown attribute is its number. S6: nothing ends at a NUL. */
static void
row_88_90_92_S6_names_when_decoded_then_whole_and_in_order(void)
{
	static const struct attribute subject[] = {
		{ OU, V_ASN1_UTF8STRING, "one", 3, 0 },
		{ OU, V_ASN1_UTF8STRING, "two", 3, 0 },
		{ CN, V_ASN1_UTF8STRING, "part", 4, -1 },
		{ "1.3.6.1.4.1.99999.1", V_ASN1_UTF8STRING, "unknown", 7, 0 },
		{ CN, V_ASN1_UTF8STRING, "good.test\0.evil.test", 20, 0 },
		{ CN, V_ASN1_UTF8STRING, "line\nbreak", 10, 0 },
		{ CN, V_ASN1_BMPSTRING, "\x00\xe4\x20\xac", 4, 0 },
		{ "2.5.4.45", V_ASN1_BIT_STRING, "a\\\x01\xff", 4, 0 },
		{ CN, V_ASN1_UTF8STRING, "", 0, 0 },
	};
	static const struct wrapsock_name expected[] = {
		{ 0, "organizationalUnitName", "one", OU, "one", 3 },
		{ 1, "organizationalUnitName", "two", OU, "two", 3 },
		{ 1, "commonName", "part", CN, "part", 4 },
		{ 2, "1.3.6.1.4.1.99999.1", "unknown", "1.3.6.1.4.1.99999.1", "unknown", 7 },
		{ 3, "commonName", "good.test\\x00.evil.test", CN, "good.test\0.evil.test", 20 },
		{ 4, "commonName", "line\nbreak", CN, "line\nbreak", 10 },
		{ 5, "commonName", "\xc3\xa4\xe2\x82\xac", CN, "\xc3\xa4\xe2\x82\xac", 5 },
		{ 6, "x500UniqueIdentifier", "a\\x5c\\x01\\xff", "2.5.4.45", "a\\\x01\xff", 4 },
		{ 7, "commonName", "", CN, "", 0 },
	};
	const struct wrapsock_name *names = NULL;
	struct wrapsock_cert *cert;
	char err[200];
	size_t n;

	cert = made(subject, COUNT(subject), NULL, true, err, sizeof(err));
	n = cert ? wrapsock_cert_subject(cert, &names) : 0;
	judge("names: as many as there are", n == COUNT(expected));
	for (size_t i = 0; i < n && i < COUNT(expected); i++)
		judge(expected[i].value, names[i].rdn == expected[i].rdn && same(names[i].name, expected[i].name)
		       && same(names[i].value, expected[i].value) && same(names[i].oid, expected[i].oid) && names[i].len == expected[i].len
		       && memcmp(names[i].data, expected[i].data, names[i].len) == 0);
	judge("an empty issuer", cert && wrapsock_cert_issuer(cert, &names) == 0);
	judge("no alternative names", cert && wrapsock_cert_alt_names(cert, &names) == 0);
	judge("serial number", cert && same(wrapsock_cert_serial_number(cert), "1234"));
	judge("version", cert && wrapsock_cert_version(cert) == 3);
	judge("not before", cert && same(wrapsock_cert_not_before(cert), "May  9 00:00:00 2007 GMT"));
	judge("not after", cert && same(wrapsock_cert_not_after(cert), "Dec 31 23:59:59 9999 GMT"));
	judge("validated", cert && wrapsock_cert_validated(cert) == 1);
	wrapsock_cert_free(cert);
}

/* A subject that is no text is an error, not a name cut short. */
static void
row_90_name_when_it_is_no_text_then_an_error(void)
{
	static const struct attribute subject[] = { { CN, V_ASN1_SEQUENCE, "\x30\x00", 2, 0 } };
	char err[200] = "";
	struct wrapsock_cert *cert = made(subject, 1, NULL, true, err, sizeof(err));

	judge("a name that is no text", !cert && strstr(err, "no text"));
	wrapsock_cert_free(cert);
}

/* Row 86: what was not validated shows nothing. */
static void
row_86_certificate_when_not_validated_then_empty(void)
{
	static const struct attribute subject[] = { { CN, V_ASN1_UTF8STRING, "x", 1, 0 } };
	static const struct wrapsock_name none;
	const struct wrapsock_name *names = &none;
	const char *const *uris = NULL;
	char err[200];
	struct wrapsock_cert *cert = made(subject, 1, NULL, false, err, sizeof(err));

	judge("not validated: it is there", cert && wrapsock_cert_validated(cert) == 0);
	judge("not validated: nothing in it", cert && wrapsock_cert_subject(cert, &names) == 0 && !names && wrapsock_cert_issuer(cert, &names) == 0
	       && wrapsock_cert_alt_names(cert, &names) == 0 && wrapsock_cert_uris(cert, "OCSP", &uris) == 0 && !uris
	       && wrapsock_cert_dir_name(cert, 0, &names) == 0
	       && !wrapsock_cert_not_before(cert) && !wrapsock_cert_not_after(cert) && !wrapsock_cert_serial_number(cert)
	       && wrapsock_cert_version(cert) == 0);
	wrapsock_cert_free(cert);
	wrapsock_cert_free(NULL);
}

/* ---- extensions: row 89 and 93, S6, S7 ---- */

#define SAN "2.5.29.17"
#define CRL "2.5.29.31"
#define AIA "1.3.6.1.5.5.7.1.1"

static const struct {
	const char *what;
	struct extension ext;
	const char *expected;		/* "name=value;" of every alternative name, OCSP, caIssuers, CRL point */
} extensions[] = {
	{ "no name at all", { SAN, "\x30\x00", 2 }, "" },
	{ "a DNS name", { SAN, "\x30\x06\x82\x04" "a.bc", 8 }, "DNS=a.bc;" },
	{ "a DNS name with a NUL", { SAN, "\x30\x06\x82\x04" "a\0bc", 8 }, "DNS=a\\x00bc;" },
	{ "an empty DNS name", { SAN, "\x30\x02\x82\x00", 4 }, "DNS=;" },
	{ "IPv4", { SAN, "\x30\x06\x87\x04\xc0\x00\x02\x01", 8 }, "IP Address=192.0.2.1;" },
	{ "IPv6", { SAN, "\x30\x12\x87\x10\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01", 20 }, "IP Address=2001:DB8:0:0:0:0:0:1;" },
	{ "an address of 5 bytes", { SAN, "\x30\x07\x87\x05\x01\x02\x03\x04\x05", 9 }, "IP Address=<invalid>;" },
	{ "a registered number", { SAN, "\x30\x05\x88\x03\x2a\x03\x04", 7 }, "Registered ID=1.2.3.4;" },
	{ "an other name", { SAN, "\x30\x0d\xa0\x0b\x06\x03\x2a\x03\x04\xa0\x04\x0c\x02hi", 15 }, "othername=<unsupported>;" },
	{ "a user principal name", { SAN, "\x30\x14\xa0\x12\x06\x0a\x2b\x06\x01\x04\x01\x82\x37\x14\x02\x03\xa0\x04\x0c\x02hi", 22 },
	  "othername=<unsupported>;" },
	{ "a mail address and a URI", { SAN, "\x30\x0a\x81\x03" "a@b" "\x86\x03" "c:d", 12 }, "email=a@b;URI=c:d;" },
	{ "no extension's value", { SAN, "garbage", 7 }, "" },
	{ "a CRL point without any field", { CRL, "\x30\x02\x30\x00", 4 }, "" },
	{ "a CRL point with an empty name", { CRL, "\x30\x06\x30\x04\xa0\x02\xa0\x00", 8 }, "" },
	{ "a CRL point with a relative name", { CRL, "\x30\x13\x30\x11\xa0\x0f\xa1\x0d\x30\x0b\x06\x03\x55\x04\x03\x0c\x04name", 21 }, "" },
	{ "a CRL point with a URI", { CRL, "\x30\x0b\x30\x09\xa0\x07\xa0\x05\x86\x03" "c:d", 13 }, "crlDistributionPoints=c:d;" },
	{ "a CRL point with a DNS name", { CRL, "\x30\x0b\x30\x09\xa0\x07\xa0\x05\x82\x03" "c:d", 13 }, "" },
	{ "OCSP", { AIA, "\x30\x11\x30\x0f\x06\x08\x2b\x06\x01\x05\x05\x07\x30\x01\x86\x03" "c:d", 19 }, "OCSP=c:d;" },
	{ "an issuer's address", { AIA, "\x30\x11\x30\x0f\x06\x08\x2b\x06\x01\x05\x05\x07\x30\x02\x86\x03" "c:d", 19 }, "caIssuers=c:d;" },
	{ "an unknown service", { AIA, "\x30\x11\x30\x0f\x06\x08\x2b\x06\x01\x05\x05\x07\x30\x63\x86\x03" "c:d", 19 }, "" },
};

static void
append(char *out, size_t size, const char *name, const char *value)
{
	size_t at = strlen(out);

	snprintf(out + at, size - at, "%s=%s;", name, value);
}

static void
list(char *out, size_t size, const struct wrapsock_cert *cert)
{
	static const char *const keys[] = { "OCSP", "caIssuers", "crlDistributionPoints", "notThere" };
	const struct wrapsock_name *names;
	const char *const *uris;
	size_t n = wrapsock_cert_alt_names(cert, &names);

	for (size_t i = 0; i < n; i++)
		append(out, size, names[i].name, names[i].value);
	for (size_t k = 0; k < COUNT(keys); k++) {
		n = wrapsock_cert_uris(cert, keys[k], &uris);
		for (size_t i = 0; i < n; i++)
			append(out, size, keys[k], uris[i]);
	}
}

static void
row_89_93_N21_S6_S7_extensions_when_decoded_then_each_kind(void)
{
	for (size_t i = 0; i < COUNT(extensions); i++) {
		char err[200] = "", out[300] = "";
		struct wrapsock_cert *cert = made(NULL, 0, &extensions[i].ext, true, err, sizeof(err));

		if (cert)
			list(out, sizeof(out), cert);
		if (!cert || strcmp(out, extensions[i].expected) != 0)
			printf("%s%s\n", out, err);
		judge(extensions[i].what, cert && strcmp(out, extensions[i].expected) == 0);
		wrapsock_cert_free(cert);
	}
}

/* A DirName is one text, and a list of its parts. */
static void
row_89_dir_name_when_decoded_then_text_and_parts(void)
{
	static const struct extension ext = { SAN, "\x30\x2f\x82\x01" "a" "\xa4\x2a\x30\x28"
		"\x31\x15" "\x30\x08\x06\x03\x55\x04\x03\x0c\x01" "b" "\x30\x09\x06\x03\x55\x04\x0b\x0c\x02" ",c"
		"\x31\x0f" "\x30\x0d\x06\x05\x2b\x06\x01\x04\x7f\x0c\x04" "d=\0e", 49 };
	const struct wrapsock_name *names, *parts;
	char err[200] = "";
	struct wrapsock_cert *cert = made(NULL, 0, &ext, true, err, sizeof(err));
	size_t n = cert ? wrapsock_cert_alt_names(cert, &names) : 0;

	if (!cert)
		printf("%s\n", err);
	judge("a DirName beside another name", n == 2 && same(names[1].name, "DirName"));
	if (n == 2) {
		judge("its text", same(names[1].value, "commonName=b+organizationalUnitName=\\,c, 1.3.6.1.4.127=d\\=\\\\x00e"));
		n = wrapsock_cert_dir_name(cert, 1, &parts);
		judge("its parts", n == 3 && parts[0].rdn == 0 && parts[1].rdn == 0 && parts[2].rdn == 1 && same(parts[1].value, ",c")
		       && same(parts[0].name, "commonName") && parts[2].len == 4 && memcmp(parts[2].data, "d=\0e", 4) == 0);
		judge("no parts of another name", wrapsock_cert_dir_name(cert, 0, &parts) == 0 && !parts
		       && wrapsock_cert_dir_name(cert, 9, &parts) == 0);
	}
	wrapsock_cert_free(cert);
}

/* ---- wrapsock_cert_parse_pem ---- */

static const char *const no_certs[] = {
	"", "no certificate", HEADER, HEADER "\n" FOOTER "\n", HEADER "\nTWFu\n" FOOTER "\n", HEADER "\nTW*u\n" FOOTER "\n",
	"-----BEGIN PRIVATE KEY-----\nTWFu\n-----END PRIVATE KEY-----\n", "text " HEADER "\nTWFu\n" FOOTER "\n",
};

static void
row_46_certificate_when_there_is_none_then_invalid(void)
{
	for (size_t i = 0; i < COUNT(no_certs); i++) {
		errno = 0;
		judge(no_certs[i], !wrapsock_cert_parse_pem(no_certs[i]) && errno == EINVAL && wrapsock_err(NULL) == WRAPSOCK_E_INVALID
		       && strstr(wrapsock_errstr(NULL), "certificate"));
	}
	judge("no PEM", !wrapsock_cert_parse_pem(NULL) && wrapsock_err(NULL) == WRAPSOCK_E_INVALID);
}

/* ---- the library: rows 2, 33 to 36, 53 to 55, 129 ---- */

static void
row_33_34_35_36_N39_random_when_asked_then_given(void)
{
	unsigned char a[64] = {0}, b[64] = {0};

	judge("row 33: seeded", wrapsock_rand_status() == 1);
	errno = 0;
	judge("row 34: no EGD", wrapsock_rand_egd("/run/egd") == -1 && wrapsock_err(NULL) == WRAPSOCK_E_UNSUPPORTED && errno == EOPNOTSUPP
	       && strstr(wrapsock_errstr(NULL), "EGD") && strstr(wrapsock_errstr(NULL), wrapsock_openssl_version()));
	judge("row 35: no path", wrapsock_rand_egd(NULL) == -1 && wrapsock_err(NULL) == WRAPSOCK_E_INVALID && errno == EINVAL);
	judge("row 36: bytes without entropy", wrapsock_rand_add("abc", 3, 0.0) == 0);
	judge("row 36: bytes with entropy", wrapsock_rand_add(a, sizeof(a), 1e9) == 0);
	judge("row 36: no bytes", wrapsock_rand_add(NULL, 0, 0.0) == 0 && wrapsock_rand_add("", 0, 1.0) == 0);
	judge("row 36: negative entropy", wrapsock_rand_add("abc", 3, -0.5) == -1 && wrapsock_err(NULL) == WRAPSOCK_E_INVALID && errno == EINVAL);
	judge("row 36: entropy that is no number", wrapsock_rand_add("abc", 3, (double)NAN) == -1 && wrapsock_err(NULL) == WRAPSOCK_E_INVALID);
	judge("row 36: NULL with a length", wrapsock_rand_add(NULL, 3, 0.0) == -1 && wrapsock_err(NULL) == WRAPSOCK_E_INVALID);
	judge("N39: bytes", wrapsock_rand_bytes(a, sizeof(a)) == 0 && wrapsock_rand_bytes(b, sizeof(b)) == 0 && memcmp(a, b, sizeof(a)) != 0);
	judge("N39: no bytes", wrapsock_rand_bytes(NULL, 0) == 0);
	judge("N39: NULL with a length", wrapsock_rand_bytes(NULL, 1) == -1 && wrapsock_err(NULL) == WRAPSOCK_E_INVALID);
}

static const struct {
	const char *feature;
	int has;			/* 2: yes or no, as it was built */
} features[] = {
	{ "TLS", 1 }, { "TLSv1.2", 1 }, { "TLSv1.3", 1 }, { "TLSv1.1", 2 }, { "TLSv1", 2 }, { "SSLv3", 2 }, { "SSLv2", 0 }, { "EGD", 0 }, { "ALPN", 1 },
	{ "SNI", 1 }, { "ECDH", 1 }, { "NPN", 0 }, { "TLSv1.4", -1 }, { "", -1 }, { "tlsv1.3", -1 },
};

static void
row_2_53_54_55_129_N9_library_when_asked_then_tells(void)
{
	unsigned long number = wrapsock_openssl_version_number();
	char text[64];
	int v[5] = { -1, -1, -1, -1, -1 };

	wrapsock_openssl_version_info(v);
	snprintf(text, sizeof(text), "OpenSSL %d.%d.%d ", v[0], v[1], v[3]);
	judge("row 53: the version's text", strncmp(wrapsock_openssl_version(), text, strlen(text)) == 0);
	judge("row 54: five numbers", v[0] >= 3 && v[2] == 0 && v[4] >= 0 && v[4] < 16);
	judge("row 55: the number", number == ((unsigned long)v[0] << 28 | (unsigned long)v[1] << 20 | (unsigned long)v[2] << 12
			| (unsigned long)v[3] << 4 | (unsigned long)v[4]));
	for (size_t i = 0; i < COUNT(features); i++) {
		int has = wrapsock_has(features[i].feature);

		judge(features[i].feature, features[i].has == 2 ? has == 0 || has == 1 : has == features[i].has);
	}
	judge("no feature", wrapsock_has(NULL) == -1 && wrapsock_err(NULL) == WRAPSOCK_E_INVALID);
}

/* N16: the environment outranks what is built in; what is not there is NULL. */
static void
N16_paths_when_the_environment_names_them_then_those(void)
{
	struct wrapsock_verify_paths paths;

	setenv("SSL_CERT_FILE", "/no/such/file", 1);
	setenv("SSL_CERT_DIR", "/", 1);
	errno = EDOM;
	wrapsock_get_default_verify_paths(&paths);
	judge("N16: a file that is not there", !paths.cafile && errno == EDOM);
	judge("N16: a folder of the environment's", same(paths.capath, "/"));
	judge("N16: the names", same(paths.openssl_cafile_env, "SSL_CERT_FILE") && same(paths.openssl_capath_env, "SSL_CERT_DIR"));
	judge("N16: the built-in places", paths.openssl_cafile[0] == '/' && paths.openssl_capath[0] == '/');
	unsetenv("SSL_CERT_FILE");
	unsetenv("SSL_CERT_DIR");
	wrapsock_get_default_verify_paths(&paths);
	judge("N16: without an environment", !paths.capath || same(paths.capath, paths.openssl_capath));
}

/* ---- wrapsock_get_server_certificate: rows 41 and 42; what it fetches is compared by tests/examples_test.sh ---- */

/* A listener of ours that never answers. */
static int
silent_server(char port[static 8])
{
	struct sockaddr_in addr = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(addr);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&addr, len) < 0 || listen(fd, 1) < 0 || getsockname(fd, (struct sockaddr *)&addr, &len) < 0) {
		perror("a listener");
		exit(1);
	}
	snprintf(port, 8, "%d", ntohs(addr.sin_port));
	return fd;
}

static void
row_41_42_server_certificate_when_it_cannot_be_had_then_why(void)
{
	static const struct {
		const char *what, *host, *port;
		int version, timeout;
		enum wrapsock_err code;
		int error;
	} refused[] = {
		{ "row 42: SSLv3", "127.0.0.1", "1", WRAPSOCK_PROTOCOL_SSLv3, 1000, WRAPSOCK_E_UNSUPPORTED, EOPNOTSUPP },
		{ "row 42: SSLv2", "127.0.0.1", "1", WRAPSOCK_PROTOCOL_SSLv2, 1000, WRAPSOCK_E_UNSUPPORTED, EOPNOTSUPP },
		{ "row 42: TLSv1", "127.0.0.1", "1", WRAPSOCK_PROTOCOL_TLSv1, 1000, WRAPSOCK_E_UNSUPPORTED, EOPNOTSUPP },
		{ "no such protocol", "127.0.0.1", "1", 42, 1000, WRAPSOCK_E_INVALID, EINVAL },
		{ "a server's protocol", "127.0.0.1", "1", WRAPSOCK_PROTOCOL_TLS_SERVER, 1000, WRAPSOCK_E_INVALID, EINVAL },
		{ "no host", NULL, "1", WRAPSOCK_PROTOCOL_TLS, 1000, WRAPSOCK_E_INVALID, EINVAL },
		{ "an empty host", "", "1", WRAPSOCK_PROTOCOL_TLS, 1000, WRAPSOCK_E_INVALID, EINVAL },
		{ "no port", "127.0.0.1", NULL, WRAPSOCK_PROTOCOL_TLS, 1000, WRAPSOCK_E_INVALID, EINVAL },
		{ "no time", "127.0.0.1", "1", WRAPSOCK_PROTOCOL_TLS, 0, WRAPSOCK_E_INVALID, EINVAL },
		{ "nobody there", "127.0.0.1", "1", WRAPSOCK_PROTOCOL_TLS, 1000, WRAPSOCK_E_SYSCALL, ECONNREFUSED },
	};
	char port[8];
	int fd = silent_server(port);
	struct timespec from, to;
	char *pem;

	for (size_t i = 0; i < COUNT(refused); i++) {
		pem = wrapsock_get_server_certificate(refused[i].host, refused[i].port, refused[i].version, NULL, refused[i].timeout);
		judge(refused[i].what, !pem && errno == refused[i].error && wrapsock_err(NULL) == refused[i].code && *wrapsock_errstr(NULL));
		wrapsock_free(pem);
	}
	clock_gettime(CLOCK_MONOTONIC, &from);
	pem = wrapsock_get_server_certificate("127.0.0.1", port, WRAPSOCK_PROTOCOL_TLS, NULL, 300);
	judge("row 41: a silent server", !pem && errno == ETIMEDOUT && wrapsock_err(NULL) == WRAPSOCK_E_TIMEOUT);
	clock_gettime(CLOCK_MONOTONIC, &to);
	judge("row 41: no longer than it may", to.tv_sec - from.tv_sec < 10);
	wrapsock_free(pem);
	close(fd);
}

#define TEST(function) { #function, function }

static const struct {
	const char *name;
	void (*run)(void);
} tests[] = {
	TEST(row_37_38_39_40_D4_times_when_converted_then_seconds),
	TEST(row_45_46_pem_when_converted_then_byte_for_byte),
	TEST(row_88_90_92_S6_names_when_decoded_then_whole_and_in_order),
	TEST(row_90_name_when_it_is_no_text_then_an_error),
	TEST(row_86_certificate_when_not_validated_then_empty),
	TEST(row_89_93_N21_S6_S7_extensions_when_decoded_then_each_kind),
	TEST(row_89_dir_name_when_decoded_then_text_and_parts),
	TEST(row_46_certificate_when_there_is_none_then_invalid),
	TEST(row_33_34_35_36_N39_random_when_asked_then_given),
	TEST(row_2_53_54_55_129_N9_library_when_asked_then_tells),
	TEST(N16_paths_when_the_environment_names_them_then_those),
	TEST(row_41_42_server_certificate_when_it_cannot_be_had_then_why),
};

int
main(void)
{
	key = EVP_EC_gen("P-256");
	for (size_t i = 0; i < COUNT(tests); i++) {
		unsigned before = failed;

		tests[i].run();
		if (failed == before)
			test_ran(tests[i].name);
		else
			printf("in %s\n", tests[i].name);
	}
	EVP_PKEY_free(key);
	return summary();
}
