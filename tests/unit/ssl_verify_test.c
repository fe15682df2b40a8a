/*
 * ssl_verify_test.c - the explicit API against OpenSSL's certificates: who the peer is. Rows of the contract are in the functions' names.
 */
#include "ssl.h"

static void
row_47_49_123_134_S1_S5_S12_S26_S28_client_when_the_certificate_is_wrong_then_refused(void)
{
	static const struct {
		const char *pem, *name;
		int error;
		long verify;
	} rows[] = {
		{ "server-both.pem", "server.test", 0, 0 }, { "server-both.pem", "localhost", 0, 0 }, { "server-both.pem", "127.0.0.1", 0, 0 },
		{ "server-both.pem", "[::1]", 0, 0 }, { "server-both.pem", "SERVER.TEST", 0, 0 },
		{ "server-both.pem", "other.test", EKEYREJECTED, X509_V_ERR_HOSTNAME_MISMATCH },
		{ "server-both.pem", "127.0.0.2", EKEYREJECTED, X509_V_ERR_IP_ADDRESS_MISMATCH },
		{ "other.pem", "server.test", EKEYREJECTED, X509_V_ERR_HOSTNAME_MISMATCH },	/* its CN would fit */
		{ "stranger.pem", "server.test", EKEYREJECTED, X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT },
		{ "expired.pem", "server.test", EKEYEXPIRED, X509_V_ERR_CERT_HAS_EXPIRED },
		{ "client.pem", "server.test", EKEYREJECTED, X509_V_ERR_INVALID_PURPOSE },
	};

	for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++)
		for (size_t i = 0; i < COUNT(rows); i++) {
			struct wrapsock_ctx *c = client_ctx();
			SSL_CTX *x = peer_ctx(true, rows[i].pem);
			const char *text;
			struct duo d;
			int r;

			SSL_CTX_set_max_proto_version(x, version);
			snprintf(label, sizeof label, "%s as %s, %x", rows[i].pem, rows[i].name, version);
			r = duo_open(&d, c, 0, rows[i].name, x);
			if (rows[i].error) {
				CHECK_IS(r, -1);
				CHECK_IS(errno, rows[i].error);
				CHECK_IS(wrapsock_err(d.s), WRAPSOCK_E_CERT_VERIFY);
				CHECK_IS(wrapsock_err_verify(d.s, &text), rows[i].verify);
				CHECK(*text && strcmp(wrapsock_err_reason(d.s), "CERTIFICATE_VERIFY_FAILED") == 0);
				CHECK(strstr(wrapsock_errstr(d.s), rows[i].name) != NULL);
				CHECK_FAILS(wrapsock_do_handshake(d.s), d.s, WRAPSOCK_E_CERT_VERIFY, rows[i].error);	/* row 82: final */
				CHECK_FAILS(wrapsock_send(d.s, "SECRET", 6, 0), d.s, WRAPSOCK_E_CERT_VERIFY, rows[i].error);
				CHECK_IS(wrapsock_err_verify(d.s, NULL), rows[i].verify);
			} else {
				struct wrapsock_cert *cert = wrapsock_getpeercert(d.s);

				CHECK_IS(r, 0);
				CHECK(cert && wrapsock_cert_validated(cert));
				wrapsock_cert_free(cert);
				CHECK(talks(&d));
			}
			duo_close(&d);
			SSL_CTX_free(x);
			wrapsock_ctx_free(c);
		}
}

static void
row_9_47_86_94_D1_D5_client_when_told_not_to_verify_then_the_certificate_is_not_validated(void)
{
	for (int how = 0; how < 3; how++) {
		struct wrapsock_ctx *c = client_ctx();
		SSL_CTX *x = peer_ctx(true, how == 2 ? "other.pem" : "stranger.pem");
		struct wrapsock_cert *cert;
		struct wrapsock_der *chain;
		unsigned char *der, *want = NULL;
		const struct wrapsock_name *names;
		size_t len;
		struct duo d;
		int n;

		snprintf(label, sizeof label, "%s", how == 0 ? "insecure_no_verify" : how == 1 ? "... and a name" : "insecure_no_hostname");
		CHECK_IS(how == 2 ? wrapsock_ctx_insecure_no_hostname(c) : wrapsock_ctx_insecure_no_verify(c), 0);
		CHECK_IS(duo_open(&d, c, 0, how == 1 ? "elsewhere.test" : NULL, x), 0);
		cert = wrapsock_getpeercert(d.s);
		CHECK(cert && wrapsock_cert_validated(cert) == (how == 2));
		CHECK((wrapsock_cert_subject(cert, &names) == 0) == (how != 2));
		CHECK((wrapsock_cert_not_after(cert) == NULL) == (how != 2));
		wrapsock_cert_free(cert);
		CHECK_IS(wrapsock_getpeercert_der(d.s, &der, &len), 1);
		n = i2d_X509(how == 2 ? other.cert : stranger.cert, &want);
		CHECK(n > 0 && len == (size_t)n && memcmp(der, want, len) == 0);
		wrapsock_free(der);
		CHECK_IS(wrapsock_get_verified_chain(d.s, &chain), how == 2 ? 2 : 0);
		wrapsock_free(chain);
		CHECK_IS(wrapsock_get_unverified_chain(d.s, &chain), 1);
		CHECK(chain && chain[0].len == (size_t)n && memcmp(chain[0].der, want, (size_t)n) == 0);
		wrapsock_free(chain);
		OPENSSL_free(want);
		CHECK(talks(&d));
		duo_close(&d);
		SSL_CTX_free(x);
		wrapsock_ctx_free(c);
	}
}

static void
row_48_49_52_85_135_S12_server_when_it_asks_for_certificates_then_by_mode(void)
{
	static const struct {
		int mode;
		const char *pem;
		bool accepted;
		int error;
	} rows[] = {
		{ WRAPSOCK_CERT_NONE, NULL, true, 0 }, { WRAPSOCK_CERT_NONE, "client.pem", true, 0 }, { WRAPSOCK_CERT_OPTIONAL, NULL, true, 0 },
		{ WRAPSOCK_CERT_OPTIONAL, "client.pem", true, 0 }, { WRAPSOCK_CERT_OPTIONAL, "stranger.pem", false, EKEYREJECTED },
		{ WRAPSOCK_CERT_OPTIONAL, "expired.pem", false, 0 }, { WRAPSOCK_CERT_REQUIRED, NULL, false, EKEYREJECTED },
		{ WRAPSOCK_CERT_REQUIRED, "client.pem", true, 0 }, { WRAPSOCK_CERT_REQUIRED, "stranger.pem", false, EKEYREJECTED },
		{ WRAPSOCK_CERT_REQUIRED, "server-both.pem", false, EKEYREJECTED },	/* for servers only */
	};

	for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++)
		for (size_t i = 0; i < COUNT(rows); i++) {
			struct wrapsock_ctx *c = server_ctx();
			SSL_CTX *x = peer_ctx(false, rows[i].pem);
			struct wrapsock_cert *cert;
			struct wrapsock_der *chain;
			struct duo d;
			int r;

			snprintf(label, sizeof label, "mode %d, %s, %x", rows[i].mode, rows[i].pem ? rows[i].pem : "no certificate", version);
			SSL_CTX_set_max_proto_version(x, version);
			CHECK_IS(wrapsock_ctx_load_verify_locations(c, at("ca.pem"), NULL), 0);
			CHECK_IS(wrapsock_ctx_set_verify_mode(c, rows[i].mode), 0);
			r = duo_open(&d, c, WRAPSOCK_SERVER_SIDE, NULL, x);
			CHECK_IS(r, rows[i].accepted ? 0 : -1);
			if (!rows[i].accepted) {
				CHECK_IS(wrapsock_err(d.s), WRAPSOCK_E_CERT_VERIFY);
				CHECK(!rows[i].error || errno == rows[i].error);
				if (version == TLS1_3_VERSION && d.p) {		/* row 52: the client learns of it when it reads */
					char byte;

					CHECK(SSL_is_init_finished(d.p));
					set_nonblocking(d.fd[1], false);
					CHECK(SSL_read(d.p, &byte, 1) <= 0 && SSL_get_error(d.p, -1) == SSL_ERROR_SSL);
					ERR_clear_error();
				}
			} else {
				cert = wrapsock_getpeercert(d.s);
				CHECK_IS(wrapsock_err(d.s), WRAPSOCK_OK);
				CHECK((cert != NULL) == (rows[i].pem && rows[i].mode != WRAPSOCK_CERT_NONE));
				CHECK(!cert || wrapsock_cert_validated(cert));
				wrapsock_cert_free(cert);
				CHECK_IS(wrapsock_get_verified_chain(d.s, &chain), cert ? 2 : 0);
				wrapsock_free(chain);
				CHECK_IS(wrapsock_get_unverified_chain(d.s, &chain), cert ? 1 : 0);
				wrapsock_free(chain);
				CHECK(talks(&d));
			}
			duo_close(&d);
			SSL_CTX_free(x);
			wrapsock_ctx_free(c);
		}
}

static void
row_95_97_peer_when_the_handshake_is_not_done_then_nothing_is_known(void)
{
	struct wrapsock_ctx *c = client_ctx();
	const char *name = "x", *protocol = "x";
	struct wrapsock_der *chain;
	unsigned char *der;
	size_t len;
	int fd[2], bits = 1;
	struct wrapsock_sock *s;

	tcp_pair(fd);
	s = wrapsock_wrap(c, fd[0], WRAPSOCK_NO_HANDSHAKE_ON_CONNECT, "server.test");
	must(s && wrapsock_set_timeout(s, 0) == 0, "wrap");
	CHECK_FAILS(wrapsock_getpeercert(s), s, WRAPSOCK_E_STATE, ENOTCONN);
	CHECK_FAILS(wrapsock_getpeercert_der(s, &der, &len), s, WRAPSOCK_E_STATE, ENOTCONN);
	CHECK_FAILS(wrapsock_get_verified_chain(s, &chain), s, WRAPSOCK_E_STATE, ENOTCONN);
	CHECK_IS(wrapsock_cipher(s, &name, &protocol, &bits), 0);
	CHECK(!name && !protocol && bits == 0 && !wrapsock_version(s) && !wrapsock_selected_alpn_protocol(s));
	CHECK_FAILS(wrapsock_do_handshake(s), s, WRAPSOCK_E_WANT_READ, EAGAIN);
	CHECK(!wrapsock_version(s));
	CHECK_FAILS(wrapsock_unwrap(s), s, WRAPSOCK_E_STATE, ENOTCONN);
	wrapsock_close(s);
	close(fd[0]);
	close(fd[1]);
	wrapsock_ctx_free(c);
}

static void
row_124_125_126_chain_when_the_root_is_known_then_the_peer_supplies_the_rest(void)
{
	struct identity twin = make_identity(&(struct spec){ .cn = "CA", .ca = true }, NULL);	/* the root's name, another key */
	static const char *const orders[] = { "twin-first.pem", "twin-last.pem" };
	SSL_CTX *x = peer_ctx(false, NULL), *y;
	struct wrapsock_ctx *c;
	struct wrapsock_der *chain;
	struct duo d;

	WRITE("chain-both.pem", CERTS | KEY, &leaf, &mid);
	WRITE("leaf-both.pem", CERTS | KEY, &leaf);
	WRITE("twin-first.pem", CERTS, &twin, &ca);
	WRITE("twin-last.pem", CERTS, &ca, &twin);
	/* our server sends the file's order, and the peer has the root alone */
	c = wrapsock_ctx_default_server(at("chain-both.pem"), NULL);
	SSL_CTX_load_verify_file(x, at("ca.pem"));
	SSL_CTX_set_verify(x, SSL_VERIFY_PEER, NULL);
	CHECK_IS(duo_open(&d, c, WRAPSOCK_SERVER_SIDE, NULL, x), 0);
	CHECK(d.p && SSL_get_verify_result(d.p) == X509_V_OK && sk_X509_num(SSL_get_peer_cert_chain(d.p)) == 2);
	CHECK(d.p && X509_cmp(sk_X509_value(SSL_get_peer_cert_chain(d.p), 1), mid.cert) == 0);
	duo_close(&d);
	wrapsock_ctx_free(c);
	/* our client builds the chain, whichever of the roots of one name comes first */
	for (size_t i = 0; i < COUNT(orders); i++) {
		snprintf(label, sizeof label, "%s", orders[i]);
		y = peer_ctx(true, "chain-both.pem");
		c = wrapsock_ctx_new(WRAPSOCK_PROTOCOL_TLS_CLIENT);
		CHECK_IS(wrapsock_ctx_load_verify_locations(c, at(orders[i]), NULL), 0);
		CHECK_IS(wrapsock_ctx_ca_count(c), 2);
		CHECK_IS(duo_open(&d, c, 0, "server.test", y), 0);
		CHECK_IS(wrapsock_get_verified_chain(d.s, &chain), 3);
		wrapsock_free(chain);
		duo_close(&d);
		wrapsock_ctx_free(c);
		SSL_CTX_free(y);
	}
	label[0] = '\0';
	/* without the intermediate it is unable to get an issuer */
	y = peer_ctx(true, "leaf-both.pem");
	c = client_ctx();
	CHECK_IS(duo_open(&d, c, 0, "server.test", y), -1);
	CHECK(wrapsock_err_verify(d.s, NULL) == 20 || wrapsock_err_verify(d.s, NULL) == 21);
	duo_close(&d);
	wrapsock_ctx_free(c);
	SSL_CTX_free(y);
	SSL_CTX_free(x);
	EVP_PKEY_free(twin.key);
	X509_free(twin.cert);
}

static void
row_128_self_signed_when_it_is_its_own_root_then_accepted(void)
{
	struct wrapsock_ctx *c = wrapsock_ctx_new(WRAPSOCK_PROTOCOL_TLS_CLIENT);
	struct duo d;
	SSL_CTX *x;

	snprintf(label, sizeof label, "openssl req -new -x509 -days 365 -nodes -out cert.pem -keyout cert.pem");
	{
		char command[400];

		snprintf(command, sizeof command, "openssl req -new -x509 -days 365 -nodes -subj /CN=server.test -addext subjectAltName=DNS:server.test "
			 "-out %s -keyout %s 2>/dev/null && cat %s >>%s", at("made.pem"), at("made.key"), at("made.key"), at("made.pem"));
		must(system(command) == 0, command);
	}
	x = peer_ctx(true, "made.pem");
	CHECK_IS(wrapsock_ctx_load_verify_locations(c, at("made.pem"), NULL), 0);
	CHECK_IS(duo_open(&d, c, 0, "server.test", x), 0);
	CHECK(talks(&d));
	duo_close(&d);
	SSL_CTX_free(x);
	wrapsock_ctx_free(c);
}

static void
N3_common_name_when_switched_on_then_a_certificate_without_names_matches(void)
{
	struct identity nameless = make_identity(&(struct spec){ .cn = "server.test" }, &ca);

	WRITE("nameless.pem", CERTS | KEY, &nameless);
	for (int on = 0; on < 2; on++) {
		struct wrapsock_ctx *c = client_ctx();
		SSL_CTX *x = peer_ctx(true, "nameless.pem");
		struct duo d;

		CHECK_IS(wrapsock_ctx_set_hostname_checks_common_name(c, on), 0);
		CHECK_IS(duo_open(&d, c, 0, "server.test", x), on ? 0 : -1);	/* S27 */
		duo_close(&d);
		SSL_CTX_free(x);
		wrapsock_ctx_free(c);
	}
	EVP_PKEY_free(nameless.key);
	X509_free(nameless.cert);
}

static void
N24_alpn_when_both_offer_then_the_server_chooses(void)
{
	const char *const ours[] = { "h2", "http/1.1" };
	struct wrapsock_ctx *c = server_ctx();
	SSL_CTX *x = peer_ctx(false, NULL);
	struct duo d;

	CHECK_IS(wrapsock_ctx_set_alpn_protocols(c, ours, 2), 0);
	SSL_CTX_set_alpn_protos(x, (const unsigned char *)"\x08http/1.1\x02h2", 12);
	CHECK_IS(duo_open(&d, c, WRAPSOCK_SERVER_SIDE, NULL, x), 0);
	CHECK(wrapsock_selected_alpn_protocol(d.s) && strcmp(wrapsock_selected_alpn_protocol(d.s), "h2") == 0);
	duo_close(&d);
	SSL_CTX_free(x);
	wrapsock_ctx_free(c);
}

static const struct test tests[] = {
	TEST(row_47_49_123_134_S1_S5_S12_S26_S28_client_when_the_certificate_is_wrong_then_refused),
	TEST(row_9_47_86_94_D1_D5_client_when_told_not_to_verify_then_the_certificate_is_not_validated),
	TEST(row_48_49_52_85_135_S12_server_when_it_asks_for_certificates_then_by_mode),
	TEST(row_95_97_peer_when_the_handshake_is_not_done_then_nothing_is_known),
	TEST(row_124_125_126_chain_when_the_root_is_known_then_the_peer_supplies_the_rest),
	TEST(row_128_self_signed_when_it_is_its_own_root_then_accepted),
	TEST(N3_common_name_when_switched_on_then_a_certificate_without_names_matches),
	TEST(N24_alpn_when_both_offer_then_the_server_chooses),
};

int
main(int argc, char **argv)
{
	return run_tests(tests, COUNT(tests), argc, argv);
}
