/* ssl_peer_test.c - the explicit API: who the peer is. Names begin with the rows of the contract that they hold. */
#include "ssl.h"

#include <openssl/sha.h>

#define KEYCERT3 "/usr/lib/python3.11/test/keycert3.pem"

static struct wrapsock_ctx *
unverifying_ctx(void)
{
	struct wrapsock_ctx *c = wrapsock_ctx_new(WRAPSOCK_PROTOCOL_TLS_CLIENT);

	must(c && wrapsock_ctx_insecure_no_verify(c) == 0, "a context that verifies nothing");
	return c;
}

/* A server that asks its clients. */
static struct wrapsock_ctx *
asking_ctx(int cert_reqs)
{
	struct wrapsock_ctx *c = server_ctx();

	must(wrapsock_ctx_load_verify_locations(c, at("ca.pem"), NULL) == 0 && wrapsock_ctx_set_verify_mode(c, cert_reqs) == 0, "a context that asks");
	return c;
}

static void
open_to(struct duo *d, struct wrapsock_ctx *ctx, bool as_server, SSL_CTX *x)
{
	int r = duo_open(d, ctx, as_server ? WRAPSOCK_SERVER_SIDE : 0, as_server ? NULL : "server.test", x);

	must(r == 0, d->s ? wrapsock_errstr(d->s) : wrapsock_errstr(NULL));
	wrapsock_ctx_free(ctx);
	SSL_CTX_free(x);
}

static bool
is_der_of(const unsigned char *der, size_t len, X509 *x)
{
	unsigned char *own = NULL;
	int n = i2d_X509(x, &own);
	bool same = n > 0 && (size_t)n == len && memcmp(own, der, len) == 0;

	OPENSSL_free(own);
	return same;
}

static bool
no_cert(struct duo *d)
{
	unsigned char *der = (unsigned char *)d;
	struct wrapsock_cert *cert = wrapsock_getpeercert(d->s);
	bool none = !cert && wrapsock_err(d->s) == WRAPSOCK_OK;
	size_t len = 1;

	wrapsock_cert_free(cert);
	return none && wrapsock_getpeercert_der(d->s, &der, &len) == 0 && !der && len == 0;
}

static void
row_85_getpeercert_when_none_was_sent_then_none(void)
{
	struct duo d;

	open_to(&d, server_ctx(), true, peer_ctx(false, NULL));
	CHECK(no_cert(&d));
	duo_close(&d);
	open_to(&d, server_ctx(), true, peer_ctx(false, "client.pem"));	/* it has one, and was not asked */
	CHECK(no_cert(&d));
	duo_close(&d);
	open_to(&d, asking_ctx(WRAPSOCK_CERT_OPTIONAL), true, peer_ctx(false, NULL));
	CHECK(no_cert(&d));
	duo_close(&d);
}

static void
row_86_94_D5_getpeercert_when_not_validated_then_empty_and_der_is_whole(void)
{
	const struct wrapsock_name *names;
	struct wrapsock_cert *cert;
	unsigned char *der;
	struct duo d;
	size_t len;

	open_to(&d, unverifying_ctx(), false, peer_ctx(true, "stranger.pem"));
	cert = wrapsock_getpeercert(d.s);
	CHECK(cert && wrapsock_cert_validated(cert) == 0 && wrapsock_cert_subject(cert, &names) == 0 && !wrapsock_cert_not_after(cert));
	CHECK_IS(wrapsock_getpeercert_der(d.s, &der, &len), 1);
	CHECK(is_der_of(der, len, stranger.cert));
	wrapsock_free(der);
	/* The mode that counts is the handshake's. */
	CHECK_FAILS(wrapsock_ctx_set_verify_mode(wrapsock_context(d.s), WRAPSOCK_CERT_REQUIRED), wrapsock_context(d.s), WRAPSOCK_E_STATE, EINVAL);
	wrapsock_cert_free(cert);
	cert = wrapsock_getpeercert(d.s);
	CHECK(cert && wrapsock_cert_validated(cert) == 0);
	wrapsock_cert_free(cert);
	duo_close(&d);
}

static bool
one_name(size_t n, const struct wrapsock_name *names, const char *name, const char *value)
{
	return n == 1 && names[0].rdn == 0 && strcmp(names[0].name, name) == 0 && strcmp(names[0].value, value) == 0;
}

static bool
time_is(const char *text, const ASN1_TIME *t)
{
	struct tm tm;
	int64_t seconds;

	return text && wrapsock_cert_time_to_seconds(text, &seconds) == 0 && ASN1_TIME_to_tm(t, &tm) && timegm(&tm) == seconds;
}

static void
row_87_88_89_D6_N21_getpeercert_when_validated_then_every_field(void)
{
	static const char *const alt[][2] = { { "DNS", "server.test" }, { "DNS", "localhost" }, { "IP Address", "127.0.0.1" },
		{ "IP Address", "0:0:0:0:0:0:0:1" } };
	const struct wrapsock_name *names;
	struct wrapsock_cert *cert;
	char serial[20];
	struct duo d;
	size_t n;

	open_to(&d, client_ctx(), false, peer_ctx(true, "server-both.pem"));
	cert = wrapsock_getpeercert(d.s);
	duo_close(&d);		/* it outlives the socket */
	CHECK(cert && wrapsock_cert_validated(cert) == 1);
	n = wrapsock_cert_subject(cert, &names);
	CHECK(one_name(n, names, "commonName", "server"));
	n = wrapsock_cert_issuer(cert, &names);
	CHECK(one_name(n, names, "commonName", "CA"));
	CHECK(time_is(wrapsock_cert_not_before(cert), X509_get0_notBefore(server.cert)));
	CHECK(time_is(wrapsock_cert_not_after(cert), X509_get0_notAfter(server.cert)));
	snprintf(serial, sizeof serial, "%04lX", ASN1_INTEGER_get(X509_get0_serialNumber(server.cert)));
	CHECK(strcmp(wrapsock_cert_serial_number(cert), serial) == 0);
	CHECK_IS(wrapsock_cert_version(cert), 3);
	n = wrapsock_cert_alt_names(cert, &names);
	CHECK_IS(n, COUNT(alt));
	for (size_t i = 0; i < n && i < COUNT(alt); i++)
		CHECK(names[i].rdn == (int)i && strcmp(names[i].name, alt[i][0]) == 0 && strcmp(names[i].value, alt[i][1]) == 0);
	wrapsock_cert_free(cert);
}

static void
row_86_135_getpeercert_when_a_client_was_verified_then_its_name(void)
{
	static const int modes[] = { WRAPSOCK_CERT_OPTIONAL, WRAPSOCK_CERT_REQUIRED };
	const struct wrapsock_name *names;
	struct wrapsock_cert *cert;
	struct duo d;
	size_t n;

	for (size_t i = 0; i < COUNT(modes); i++) {
		open_to(&d, asking_ctx(modes[i]), true, peer_ctx(false, "client.pem"));
		cert = wrapsock_getpeercert(d.s);
		CHECK(cert && wrapsock_cert_validated(cert) == 1);
		n = cert ? wrapsock_cert_subject(cert, &names) : 0;
		CHECK(one_name(n, names, "commonName", "client"));
		wrapsock_cert_free(cert);
		duo_close(&d);
	}
}

/* A session that is resumed has been verified when it was begun; its chain is gone. */
static void
N22_chain_when_a_client_resumes_then_its_certificate_only(void)
{
	struct wrapsock_ctx *ctx = asking_ctx(WRAPSOCK_CERT_REQUIRED);
	SSL_CTX *x = peer_ctx(false, "client.pem");
	struct wrapsock_cert *cert;
	struct wrapsock_der *list;
	SSL_SESSION *session;
	struct duo d;

	must(duo_open(&d, ctx, WRAPSOCK_SERVER_SIDE, NULL, x) == 0 && talks(&d), "a first connection");
	session = SSL_get1_session(d.p);
	SSL_set_shutdown(d.p, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
	duo_close(&d);

	d = (struct duo){ { -1, -1 }, NULL, NULL };
	tcp_pair(d.fd);
	set_nonblocking(d.fd[0], true);
	set_nonblocking(d.fd[1], true);
	d.s = wrapsock_wrap(ctx, d.fd[0], WRAPSOCK_SERVER_SIDE | WRAPSOCK_NO_HANDSHAKE_ON_CONNECT, NULL);
	must(d.s != NULL, "a second socket");
	d.p = peer_new(x, d.fd[1], false);
	SSL_set_session(d.p, session);
	must(pump_handshake(&d) == 0, "a second handshake");
	CHECK_IS(wrapsock_session_reused(d.s), 1);
	cert = wrapsock_getpeercert(d.s);
	CHECK(cert && wrapsock_cert_validated(cert) == 1);
	wrapsock_cert_free(cert);
	CHECK_IS(wrapsock_get_verified_chain(d.s, &list), 0);
	CHECK(list == NULL);
	SSL_SESSION_free(session);
	duo_close(&d);
	wrapsock_ctx_free(ctx);
	SSL_CTX_free(x);
}

static void
row_94_der_when_the_certificate_is_pythons_then_byte_for_byte(void)
{
	unsigned char *der, ours[SHA256_DIGEST_LENGTH], theirs[SHA256_DIGEST_LENGTH], *own = NULL;
	SSL_CTX *x = peer_ctx(true, NULL);
	struct duo d;
	size_t len;
	int n;

	if (access(KEYCERT3, R_OK) < 0) {
		printf("SKIP: %s: no " KEYCERT3 ": package libpython3.11-testsuite\n", current);
		SSL_CTX_free(x);
		return;
	}
	must(SSL_CTX_use_certificate_chain_file(x, KEYCERT3) == 1 && SSL_CTX_use_PrivateKey_file(x, KEYCERT3, SSL_FILETYPE_PEM) == 1, KEYCERT3);
	n = i2d_X509(SSL_CTX_get0_certificate(x), &own);
	SHA256(own, (size_t)n, theirs);
	OPENSSL_free(own);
	open_to(&d, unverifying_ctx(), false, x);
	CHECK_IS(wrapsock_getpeercert_der(d.s, &der, &len), 1);
	CHECK_IS(len, 1525);
	SHA256(der, len, ours);
	CHECK(memcmp(ours, theirs, sizeof ours) == 0);
	wrapsock_free(der);
	duo_close(&d);
}

static void
row_95_getpeercert_when_the_handshake_is_not_done_then_a_state(void)
{
	struct wrapsock_ctx *ctx = client_ctx();
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), pair[2];
	struct wrapsock_der *list;
	struct wrapsock_sock *s;
	unsigned char *der;
	size_t len;

	tcp_pair(pair);
	for (int connected = 0; connected < 2; connected++) {
		snprintf(label, sizeof label, connected ? "connected" : "not connected");
		s = wrapsock_wrap(ctx, connected ? pair[0] : fd, WRAPSOCK_NO_HANDSHAKE_ON_CONNECT, "server.test");
		must(s != NULL, wrapsock_errstr(NULL));
		CHECK_FAILS((long)wrapsock_getpeercert(s), s, WRAPSOCK_E_STATE, ENOTCONN);
		CHECK_FAILS(wrapsock_getpeercert_der(s, &der, &len), s, WRAPSOCK_E_STATE, ENOTCONN);
		CHECK(!der && len == 0);
		CHECK_FAILS(wrapsock_get_verified_chain(s, &list), s, WRAPSOCK_E_STATE, ENOTCONN);
		CHECK_FAILS(wrapsock_get_unverified_chain(s, &list), s, WRAPSOCK_E_STATE, ENOTCONN);
		wrapsock_close(s);
	}
	wrapsock_ctx_free(ctx);
	close(fd);
	close(pair[0]);
	close(pair[1]);
}

static void
check_chain(int n, struct wrapsock_der *list, size_t count, X509 *const *expected)
{
	CHECK_IS(n, count);
	for (size_t i = 0; n == (int)count && i < count; i++)
		CHECK(is_der_of(list[i].der, list[i].len, expected[i]));
	wrapsock_free(list);
}

static void
N22_row_124_chains_when_asked_then_leaf_first(void)
{
	X509 *const sent[] = { leaf.cert, mid.cert }, *const verified[] = { leaf.cert, mid.cert, ca.cert };
	struct wrapsock_der *list;
	struct duo d;
	int n;

	WRITE("chain-both.pem", CERTS, &leaf, &mid);
	WRITE("chain-both.pem", KEY | APPEND, &leaf);
	for (int as_server = 0; as_server < 2; as_server++) {
		snprintf(label, sizeof label, as_server ? "server" : "client");
		open_to(&d, as_server ? asking_ctx(WRAPSOCK_CERT_REQUIRED) : client_ctx(), as_server, peer_ctx(!as_server, "chain-both.pem"));
		n = wrapsock_get_unverified_chain(d.s, &list);
		check_chain(n, list, COUNT(sent), sent);
		n = wrapsock_get_verified_chain(d.s, &list);
		check_chain(n, list, COUNT(verified), verified);
		duo_close(&d);
	}
	snprintf(label, sizeof label, "not verified");
	open_to(&d, unverifying_ctx(), false, peer_ctx(true, "chain-both.pem"));
	n = wrapsock_get_unverified_chain(d.s, &list);
	check_chain(n, list, COUNT(sent), sent);
	CHECK_IS(wrapsock_get_verified_chain(d.s, &list), 0);
	CHECK(list == NULL);
	duo_close(&d);
}

/* A name that ends for strcmp where it does not end for the authority. */
static void
S6_name_when_it_holds_a_nul_then_it_is_no_other(void)
{
	static const char bytes[] = "server.test\0.evil.test";
	struct identity trick = make_identity(&(struct spec){ .cn = "trick" }, &ca);
	GENERAL_NAMES *sans = sk_GENERAL_NAME_new_null();
	GENERAL_NAME *san = GENERAL_NAME_new();
	ASN1_IA5STRING *text = ASN1_IA5STRING_new();
	struct wrapsock_ctx *ctx = client_ctx();
	const struct wrapsock_name *names;
	struct wrapsock_cert *cert;
	SSL_CTX *x;
	struct duo d;
	size_t n;

	ASN1_STRING_set(text, bytes, sizeof bytes - 1);
	GENERAL_NAME_set0_value(san, GEN_DNS, text);
	sk_GENERAL_NAME_push(sans, san);
	must(X509_add1_ext_i2d(trick.cert, NID_subject_alt_name, sans, 0, 0) == 1 && X509_sign(trick.cert, ca.key, EVP_sha256()) > 0, "a trick");
	GENERAL_NAMES_free(sans);
	WRITE("trick.pem", CERTS | KEY, &trick);

	x = peer_ctx(true, "trick.pem");
	CHECK_IS(duo_open(&d, ctx, 0, "server.test", x), -1);
	CHECK_IS(wrapsock_err(d.s), WRAPSOCK_E_CERT_VERIFY);
	duo_close(&d);
	wrapsock_ctx_free(ctx);

	ctx = client_ctx();
	must(wrapsock_ctx_insecure_no_hostname(ctx) == 0, "no name check");
	open_to(&d, ctx, false, x);
	cert = wrapsock_getpeercert(d.s);
	n = cert ? wrapsock_cert_alt_names(cert, &names) : 0;
	CHECK(one_name(n, names, "DNS", "server.test\\x00.evil.test"));
	CHECK(n == 1 && names[0].len == sizeof bytes - 1 && memcmp(names[0].data, bytes, sizeof bytes) == 0);
	wrapsock_cert_free(cert);
	duo_close(&d);
	EVP_PKEY_free(trick.key);
	X509_free(trick.cert);
}

static void
S31_sentence_when_the_name_holds_a_newline_then_it_is_escaped(void)
{
	struct identity liar = make_identity(&(struct spec){ .cn = "x\nwrapsock: all is well\x1b[2J", .san = "DNS:other.test" }, &ca);
	struct wrapsock_ctx *ctx = client_ctx();
	SSL_CTX *x;
	struct duo d;

	WRITE("liar.pem", CERTS | KEY, &liar);
	x = peer_ctx(true, "liar.pem");
	CHECK_IS(duo_open(&d, ctx, 0, "server.test", x), -1);
	CHECK_IS(wrapsock_err(d.s), WRAPSOCK_E_CERT_VERIFY);
	CHECK(!strpbrk(wrapsock_errstr(d.s), "\n\x1b"));
	CHECK(strstr(wrapsock_errstr(d.s), "server.test"));
	duo_close(&d);
	wrapsock_ctx_free(ctx);
	SSL_CTX_free(x);
	EVP_PKEY_free(liar.key);
	X509_free(liar.cert);
}

int
main(int argc, char **argv)
{
	static const struct test tests[] = {
		TEST(row_85_getpeercert_when_none_was_sent_then_none),
		TEST(row_86_94_D5_getpeercert_when_not_validated_then_empty_and_der_is_whole),
		TEST(row_87_88_89_D6_N21_getpeercert_when_validated_then_every_field),
		TEST(row_86_135_getpeercert_when_a_client_was_verified_then_its_name),
		TEST(row_94_der_when_the_certificate_is_pythons_then_byte_for_byte),
		TEST(row_95_getpeercert_when_the_handshake_is_not_done_then_a_state),
		TEST(N22_row_124_chains_when_asked_then_leaf_first),
		TEST(N22_chain_when_a_client_resumes_then_its_certificate_only),
		TEST(S6_name_when_it_holds_a_nul_then_it_is_no_other),
		TEST(S31_sentence_when_the_name_holds_a_newline_then_it_is_escaped),
	};

	return run_tests(tests, COUNT(tests), argc, argv);
}
