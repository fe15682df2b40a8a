/*
 * ssl_ctx_test.c - contexts of the explicit API: what they accept, refuse and keep. Rows of the contract are in the functions' names.
 */
#include "ssl.h"

#include <sys/wait.h>

static struct wrapsock_ctx *
new(int protocol)
{
	struct wrapsock_ctx *c = wrapsock_ctx_new(protocol);

	must(c != NULL, wrapsock_errstr(NULL));
	return c;
}

/* ---- protocols ---- */

static void
row_56_58_60_62_63_protocols_when_unknown_or_gone_then_refused(void)
{
	static const struct {
		int protocol, code, error;
	} rows[] = {
		{ WRAPSOCK_PROTOCOL_SSLv2, WRAPSOCK_E_UNSUPPORTED, EOPNOTSUPP }, { WRAPSOCK_PROTOCOL_SSLv3, WRAPSOCK_E_UNSUPPORTED, EOPNOTSUPP },
		{ -1, WRAPSOCK_E_INVALID, EINVAL }, { 42, WRAPSOCK_E_INVALID, EINVAL }, { 6, WRAPSOCK_E_INVALID, EINVAL },
		{ 15, WRAPSOCK_E_INVALID, EINVAL }, { 18, WRAPSOCK_E_INVALID, EINVAL }, { 1 << 30, WRAPSOCK_E_INVALID, EINVAL },
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		snprintf(label, sizeof label, "protocol %d", rows[i].protocol);
		CHECK_FAILS(wrapsock_ctx_new(rows[i].protocol), NULL, rows[i].code, rows[i].error);
		/* the same in either role of the module-level call: 16 cells of the table with SSLv2 or SSLv3 */
		for (int role = 0; role < 2; role++) {
			struct wrapsock_options o = WRAPSOCK_OPTIONS_INIT;

			o.ssl_version = rows[i].protocol;
			o.flags = role ? WRAPSOCK_SERVER_SIDE : 0;
			CHECK_FAILS(wrapsock_wrap_socket(0, &o), NULL, rows[i].code, rows[i].error);
		}
	}
	CHECK(wrapsock_ctx_new(WRAPSOCK_PROTOCOL_SSLv2) == NULL && strstr(wrapsock_errstr(NULL), "SSLv2") && strstr(wrapsock_errstr(NULL), "OpenSSL"));
}

static void
row_57_121_protocol_when_asked_then_as_made(void)
{
	static const int rows[] = { WRAPSOCK_PROTOCOL_TLS, WRAPSOCK_PROTOCOL_SSLv23, WRAPSOCK_PROTOCOL_TLSv1, WRAPSOCK_PROTOCOL_TLSv1_1,
				    WRAPSOCK_PROTOCOL_TLSv1_2, WRAPSOCK_PROTOCOL_TLS_CLIENT, WRAPSOCK_PROTOCOL_TLS_SERVER };

	CHECK_IS(WRAPSOCK_PROTOCOL_SSLv23, WRAPSOCK_PROTOCOL_TLS);
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct wrapsock_ctx *c = new(rows[i]);

		CHECK_IS(wrapsock_ctx_protocol(c), rows[i]);
		wrapsock_ctx_free(c);
	}
}

/* ---- the compatibility table as it is today ---- */

struct side {
	int protocol;
	bool legacy;
};

static struct wrapsock_ctx *
side_ctx(const struct side *side, bool as_server)
{
	struct wrapsock_ctx *c = new(side->protocol);

	if (side->legacy)
		must(wrapsock_ctx_insecure_allow_legacy(c) == 0, "allow_legacy");
	if (as_server)
		must(wrapsock_ctx_load_cert_chain(c, at("server.pem"), at("server.key")) == 0, "certificate");
	else
		must(wrapsock_ctx_load_verify_locations(c, at("ca.pem"), NULL) == 0, "CA");
	return c;
}

/* Both ends ours: the version they agree on, NULL = none. */
static const char *
meet(const struct side *client_side, const struct side *server_side)
{
	struct wrapsock_ctx *cc = side_ctx(client_side, false), *sc = side_ctx(server_side, true);
	struct wrapsock_sock *c, *s;
	const char *version = NULL;
	int64_t end = now_ms() + 10000;
	int fd[2], cr = -1, sr = -1;

	tcp_pair(fd);
	set_nonblocking(fd[0], true);
	set_nonblocking(fd[1], true);
	c = wrapsock_wrap(cc, fd[0], WRAPSOCK_NO_HANDSHAKE_ON_CONNECT, "server.test");
	s = wrapsock_wrap(sc, fd[1], WRAPSOCK_NO_HANDSHAKE_ON_CONNECT | WRAPSOCK_SERVER_SIDE, NULL);
	must(c && s, "wrap");
	while (now_ms() < end) {
		cr = wrapsock_do_handshake(c);
		if (cr < 0 && wrapsock_err(c) != WRAPSOCK_E_WANT_READ)
			break;
		sr = wrapsock_do_handshake(s);
		if (sr < 0 && wrapsock_err(s) != WRAPSOCK_E_WANT_READ)
			break;
		if (cr == 0 && sr == 0)
			break;
	}
	if (cr == 0 && sr == 0) {
		CHECK(strcmp(wrapsock_version(c), wrapsock_version(s)) == 0);
		version = wrapsock_version(c);
		version = strcmp(version, "TLSv1") == 0 ? "TLSv1" : strcmp(version, "TLSv1.1") == 0 ? "TLSv1.1" :
			  strcmp(version, "TLSv1.2") == 0 ? "TLSv1.2" : "TLSv1.3";
	} else {
		CHECK(wrapsock_err(c) == WRAPSOCK_E_SSL || wrapsock_err(s) == WRAPSOCK_E_SSL);
	}
	wrapsock_close(c);
	wrapsock_close(s);
	close(fd[0]);
	close(fd[1]);
	wrapsock_ctx_free(cc);
	wrapsock_ctx_free(sc);
	return version;
}

static void
row_25_64_65_66_67_68_compatibility_when_two_protocols_meet_then_as_the_table_says(void)
{
	enum { TLS = WRAPSOCK_PROTOCOL_TLS, V1 = WRAPSOCK_PROTOCOL_TLSv1, V11 = WRAPSOCK_PROTOCOL_TLSv1_1, V12 = WRAPSOCK_PROTOCOL_TLSv1_2 };
	static const struct {
		struct side client, server;
		const char *version;
	} rows[] = {
		{ { TLS, false }, { TLS, false }, "TLSv1.3" }, { { TLS, true }, { TLS, true }, "TLSv1.3" },
		{ { TLS, true }, { V1, true }, "TLSv1" }, { { TLS, false }, { V1, true }, NULL },	/* the seed's "no" is a yes at level 0 */
		{ { V1, true }, { TLS, true }, "TLSv1" }, { { V1, true }, { TLS, false }, NULL },
		{ { V1, true }, { V1, true }, "TLSv1" }, { { V11, true }, { V11, true }, "TLSv1.1" },
		{ { V11, true }, { TLS, true }, "TLSv1.1" }, { { TLS, true }, { V11, true }, "TLSv1.1" },
		{ { V12, false }, { V12, false }, "TLSv1.2" }, { { V12, false }, { TLS, false }, "TLSv1.2" },
		{ { TLS, false }, { V12, false }, "TLSv1.2" }, { { V12, true }, { V11, true }, NULL }, { { V11, true }, { V12, true }, NULL },
		{ { V12, true }, { V1, true }, NULL }, { { V1, true }, { V12, true }, NULL }, { { V11, true }, { V1, true }, NULL },
		{ { V1, true }, { V11, true }, NULL },
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		const char *got = meet(&rows[i].client, &rows[i].server);

		snprintf(label, sizeof label, "client %d%s, server %d%s: %s", rows[i].client.protocol, rows[i].client.legacy ? " legacy" : "",
			 rows[i].server.protocol, rows[i].server.legacy ? " legacy" : "", got ? got : "none");
		CHECK(got && rows[i].version ? strcmp(got, rows[i].version) == 0 : got == rows[i].version);
	}
}

static void
row_10_59_S14_old_protocols_when_not_permitted_then_unsupported_with_a_hint(void)
{
	static const int rows[] = { WRAPSOCK_PROTOCOL_TLSv1, WRAPSOCK_PROTOCOL_TLSv1_1 };

	for (size_t i = 0; i < COUNT(rows); i++)
		for (int as_server = 0; as_server < 2; as_server++) {
			struct wrapsock_ctx *c = side_ctx(&(struct side){ rows[i], false }, as_server);
			unsigned flags = WRAPSOCK_NO_HANDSHAKE_ON_CONNECT | (as_server ? WRAPSOCK_SERVER_SIDE : 0);
			int fd[2];

			tcp_pair(fd);
			CHECK_FAILS(wrapsock_wrap(c, fd[0], flags, as_server ? NULL : "server.test"), NULL, WRAPSOCK_E_UNSUPPORTED, EOPNOTSUPP);
			CHECK(strstr(wrapsock_errstr(NULL), "wrapsock_ctx_insecure_allow_legacy") != NULL);
			CHECK_IS(wrapsock_ctx_insecure_allow_legacy(c), 0);	/* a failed wrap has not frozen it */
			close(fd[0]);
			close(fd[1]);
			wrapsock_ctx_free(c);
		}
}

static void
row_10_136_D2_floor_when_nothing_is_said_then_tls_1_2(void)
{
	struct wrapsock_ctx *c = new(WRAPSOCK_PROTOCOL_TLS);

	CHECK_IS(wrapsock_ctx_minimum_version(c), WRAPSOCK_TLSv1_2);
	CHECK_IS(wrapsock_ctx_maximum_version(c), WRAPSOCK_TLSv1_3);
	CHECK_IS(wrapsock_ctx_set_options(c, WRAPSOCK_OP_ALL | WRAPSOCK_OP_NO_SSLv2), 0);	/* the seed's recommended server */
	CHECK_IS(wrapsock_ctx_minimum_version(c), WRAPSOCK_TLSv1_2);
	CHECK_IS(wrapsock_ctx_set_options(c, 0), 0);
	CHECK_IS(wrapsock_ctx_minimum_version(c), WRAPSOCK_TLSv1_2);
	CHECK_FAILS(wrapsock_ctx_set_version_range(c, WRAPSOCK_TLSv1, 0), c, WRAPSOCK_E_INVALID, EINVAL);
	CHECK_FAILS(wrapsock_ctx_set_version_range(c, WRAPSOCK_TLSv1, WRAPSOCK_TLSv1_1), c, WRAPSOCK_E_INVALID, EINVAL);
	CHECK_FAILS(wrapsock_ctx_set_version_range(c, WRAPSOCK_TLSv1_3, WRAPSOCK_TLSv1_2), c, WRAPSOCK_E_INVALID, EINVAL);
	CHECK_FAILS(wrapsock_ctx_set_version_range(c, 0x0300, 0), c, WRAPSOCK_E_INVALID, EINVAL);
	CHECK_FAILS(wrapsock_ctx_set_version_range(c, 0, 0x0305), c, WRAPSOCK_E_INVALID, EINVAL);
	CHECK_IS(wrapsock_ctx_set_version_range(c, WRAPSOCK_TLSv1_3, 0), 0);
	CHECK_IS(wrapsock_ctx_minimum_version(c), WRAPSOCK_TLSv1_3);
	CHECK_IS(wrapsock_ctx_set_version_range(c, 0, WRAPSOCK_TLSv1_2), 0);
	CHECK_IS(wrapsock_ctx_maximum_version(c), WRAPSOCK_TLSv1_2);
	CHECK_FAILS(wrapsock_ctx_set_security_level(c, 1), c, WRAPSOCK_E_INVALID, EINVAL);
	CHECK_FAILS(wrapsock_ctx_set_security_level(c, 6), c, WRAPSOCK_E_INVALID, EINVAL);
	CHECK_IS(wrapsock_ctx_security_level(c), 2);
	CHECK_IS(wrapsock_ctx_set_security_level(c, 3), 0);
	CHECK_IS(wrapsock_ctx_security_level(c), 3);
	CHECK_IS(wrapsock_ctx_insecure_allow_legacy(c), 0);
	CHECK_IS(wrapsock_ctx_security_level(c), 0);
	CHECK_IS(wrapsock_ctx_set_security_level(c, 1), 0);
	CHECK_IS(wrapsock_ctx_set_version_range(c, WRAPSOCK_TLSv1, 0), 0);
	CHECK_IS(wrapsock_ctx_minimum_version(c), WRAPSOCK_TLSv1);
	wrapsock_ctx_free(c);
}

/* ---- options ---- */

static void
row_70_71_72_73_74_75_options_when_set_then_read_back(void)
{
	static const uint64_t bits[] = { WRAPSOCK_OP_NO_SSLv2, WRAPSOCK_OP_NO_SSLv3, WRAPSOCK_OP_NO_TLSv1, WRAPSOCK_OP_NO_TLSv1_1,
					 WRAPSOCK_OP_NO_TLSv1_2, WRAPSOCK_OP_NO_TLSv1_3, WRAPSOCK_OP_NO_TICKET,
					 WRAPSOCK_OP_ENABLE_MIDDLEBOX_COMPAT };
	struct wrapsock_ctx *c = new(WRAPSOCK_PROTOCOL_TLS);
	uint64_t seen = 0;

	CHECK_IS(wrapsock_ctx_options(c), WRAPSOCK_OP_ALL);
	for (size_t i = 0; i < COUNT(bits); i++) {
		snprintf(label, sizeof label, "bit %#llx", (unsigned long long)bits[i]);
		CHECK(bits[i] != 0 && !(seen & bits[i]));
		seen |= bits[i];
		CHECK_IS(wrapsock_ctx_set_options(c, WRAPSOCK_OP_ALL | bits[i]), 0);
		CHECK_IS(wrapsock_ctx_options(c), WRAPSOCK_OP_ALL | bits[i]);
		CHECK_IS(wrapsock_ctx_set_options(c, bits[i]), 0);
		CHECK_IS(wrapsock_ctx_options(c), bits[i]);
		CHECK_IS(wrapsock_ctx_set_options(c, 0), 0);
		CHECK_IS(wrapsock_ctx_options(c), 0);
	}
	CHECK_IS(wrapsock_ctx_set_options(c, WRAPSOCK_OP_NO_TLSv1_3), 0);
	CHECK_FAILS(wrapsock_ctx_set_options(c, WRAPSOCK_OP_NO_TLSv1_2 | WRAPSOCK_OP_NO_TLSv1_3), c, WRAPSOCK_E_INVALID, EINVAL);
	CHECK_FAILS(wrapsock_ctx_set_options(c, UINT64_C(1) << 60), c, WRAPSOCK_E_INVALID, EINVAL);
	CHECK_FAILS(wrapsock_ctx_set_options(c, WRAPSOCK_OP_LEGACY_SERVER_CONNECT), c, WRAPSOCK_E_INVALID, EINVAL);
	CHECK_IS(wrapsock_ctx_options(c), WRAPSOCK_OP_NO_TLSv1_3);
	CHECK_FAILS(wrapsock_ctx_set_version_range(c, WRAPSOCK_TLSv1_3, WRAPSOCK_TLSv1_3), c, WRAPSOCK_E_INVALID, EINVAL);
	CHECK_IS(wrapsock_ctx_insecure_allow_legacy(c), 0);
	CHECK_IS(wrapsock_ctx_set_options(c, WRAPSOCK_OP_ALL | WRAPSOCK_OP_LEGACY_SERVER_CONNECT), 0);
	wrapsock_ctx_free(c);
}

static void
row_61_73_136_options_when_versions_are_excluded_then_the_rest_is_negotiated(void)
{
	static const struct {
		uint64_t options;
		const char *version;
	} rows[] = {
		{ WRAPSOCK_OP_ALL, "TLSv1.3" }, { WRAPSOCK_OP_ALL | WRAPSOCK_OP_NO_SSLv2, "TLSv1.3" }, { 0, "TLSv1.3" },
		{ WRAPSOCK_OP_ALL | WRAPSOCK_OP_NO_TLSv1_3, "TLSv1.2" }, { WRAPSOCK_OP_ALL | WRAPSOCK_OP_NO_TLSv1_2, "TLSv1.3" },
		{ WRAPSOCK_OP_NO_SSLv2 | WRAPSOCK_OP_NO_SSLv3 | WRAPSOCK_OP_NO_TLSv1 | WRAPSOCK_OP_NO_TLSv1_1, "TLSv1.3" },
	};

	for (int as_server = 0; as_server < 2; as_server++)
		for (size_t i = 0; i < COUNT(rows); i++) {
			struct wrapsock_ctx *c = side_ctx(&(struct side){ WRAPSOCK_PROTOCOL_SSLv23, false }, as_server);
			SSL_CTX *x = peer_ctx(!as_server, as_server ? NULL : "server-both.pem");
			struct duo d;

			snprintf(label, sizeof label, "%s, options %#llx", as_server ? "server" : "client", (unsigned long long)rows[i].options);
			CHECK_IS(wrapsock_ctx_set_options(c, rows[i].options), 0);
			CHECK_IS(duo_open(&d, c, as_server ? WRAPSOCK_SERVER_SIDE : 0, as_server ? NULL : "server.test", x), 0);
			CHECK(wrapsock_version(d.s) && strcmp(wrapsock_version(d.s), rows[i].version) == 0);
			CHECK(talks(&d));
			duo_close(&d);
			/* a peer below the floor is refused whatever the options say */
			SSL_CTX_set_max_proto_version(x, TLS1_1_VERSION);
			SSL_CTX_set_cipher_list(x, "ALL:@SECLEVEL=0");
			CHECK(duo_open(&d, c, as_server ? WRAPSOCK_SERVER_SIDE : 0, as_server ? NULL : "server.test", x) < 0);
			CHECK_IS(wrapsock_err(d.s), WRAPSOCK_E_SSL);
			duo_close(&d);
			SSL_CTX_free(x);
			wrapsock_ctx_free(c);
		}
}

/* ---- ciphers ---- */

static void
row_26_69_118_ciphers_when_nothing_can_be_selected_then_no_cipher(void)
{
	static const char *const bad[] = { "SSLv2", "nonsense", "", "!ALL", ":", "aNULL", "eNULL", "NULL" };
	struct wrapsock_ctx *c = new(WRAPSOCK_PROTOCOL_TLS);

	for (size_t i = 0; i < COUNT(bad); i++) {
		snprintf(label, sizeof label, "ciphers %s", bad[i]);
		CHECK_FAILS(wrapsock_ctx_set_ciphers(c, bad[i]), c, WRAPSOCK_E_NO_CIPHER, EINVAL);
		CHECK(*wrapsock_errstr(c));
	}
	CHECK_FAILS(wrapsock_ctx_set_ciphers(c, NULL), c, WRAPSOCK_E_NO_CIPHER, EINVAL);
	CHECK(wrapsock_ctx_set_ciphers(c, "SSLv2") < 0 && strcmp(wrapsock_err_reason(c), "NO_CIPHER_MATCH") == 0);
	CHECK_IS(wrapsock_ctx_set_ciphers(c, "ALL"), 0);
	CHECK_IS(wrapsock_ctx_set_ciphers(c, "ECDHE+AESGCM:!AES256"), 0);
	CHECK_FAILS(wrapsock_ctx_set_ciphers(c, "ALL:@SECLEVEL=0"), c, WRAPSOCK_E_INVALID, EINVAL);
	CHECK_FAILS(wrapsock_ctx_set_ciphersuites(c, "TLS_NO_SUCH_SUITE"), c, WRAPSOCK_E_NO_CIPHER, EINVAL);
	CHECK_FAILS(wrapsock_ctx_set_ciphersuites(c, "TLS_AES_128_GCM_SHA256:TLS_NO_SUCH_SUITE"), c, WRAPSOCK_E_NO_CIPHER, EINVAL);
	CHECK_IS(wrapsock_ctx_set_ciphersuites(c, "TLS_AES_128_GCM_SHA256"), 0);
	CHECK_FAILS(wrapsock_ctx_set_groups(c, "no-such-group"), c, WRAPSOCK_E_INVALID, EINVAL);
	CHECK_IS(wrapsock_ctx_set_groups(c, "P-256"), 0);
	CHECK_IS(wrapsock_ctx_insecure_allow_legacy(c), 0);
	CHECK_IS(wrapsock_ctx_set_ciphers(c, "ALL:@SECLEVEL=0"), 0);
	wrapsock_ctx_free(c);
}

static void
row_26_96_119_cipher_when_one_is_forced_then_it_is_reported(void)
{
	static const struct {
		const char *ciphers, *suites;
		uint64_t options;
		const char *name, *protocol;
		int bits;
	} rows[] = {
		{ "ECDHE-ECDSA-AES128-GCM-SHA256", NULL, WRAPSOCK_OP_NO_TLSv1_3, "ECDHE-ECDSA-AES128-GCM-SHA256", "TLSv1.2", 128 },
		{ "ECDHE-ECDSA-CHACHA20-POLY1305", NULL, WRAPSOCK_OP_NO_TLSv1_3, "ECDHE-ECDSA-CHACHA20-POLY1305", "TLSv1.2", 256 },
		{ "ECDHE-ECDSA-AES256-SHA", NULL, WRAPSOCK_OP_NO_TLSv1_3, "ECDHE-ECDSA-AES256-SHA", "TLSv1.0", 256 },
		{ "ECDHE-ECDSA-AES128-GCM-SHA256", NULL, 0, "TLS_AES_256_GCM_SHA384", "TLSv1.3", 256 },	/* it does not rule TLS 1.3 */
		{ NULL, "TLS_AES_128_GCM_SHA256", 0, "TLS_AES_128_GCM_SHA256", "TLSv1.3", 128 },
		{ NULL, "TLS_CHACHA20_POLY1305_SHA256", 0, "TLS_CHACHA20_POLY1305_SHA256", "TLSv1.3", 256 },
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct wrapsock_ctx *c = client_ctx();
		SSL_CTX *x = peer_ctx(true, "server-both.pem");
		const char *name, *protocol;
		struct duo d;
		int bits;

		snprintf(label, sizeof label, "%s", rows[i].name);
		CHECK_IS(wrapsock_ctx_set_options(c, WRAPSOCK_OP_ALL | rows[i].options), 0);
		CHECK(!rows[i].ciphers || wrapsock_ctx_set_ciphers(c, rows[i].ciphers) == 0);
		CHECK(!rows[i].suites || wrapsock_ctx_set_ciphersuites(c, rows[i].suites) == 0);
		CHECK_IS(duo_open(&d, c, 0, "server.test", x), 0);
		CHECK_IS(wrapsock_cipher(d.s, &name, &protocol, &bits), 1);
		CHECK(name && strcmp(name, rows[i].name) == 0 && protocol && strcmp(protocol, rows[i].protocol) == 0);
		CHECK_IS(bits, rows[i].bits);
		CHECK(strcmp(SSL_get_cipher_name(d.p), rows[i].name) == 0);
		duo_close(&d);
		SSL_CTX_free(x);
		wrapsock_ctx_free(c);
	}
}

/* What the peer sees offered to it, by standard name. */
static bool
offers_anonymous(struct wrapsock_ctx *c)
{
	SSL_CTX *x = peer_ctx(true, "server-both.pem");
	STACK_OF(SSL_CIPHER) *offered;
	bool found = false;
	struct duo d;

	duo_open(&d, c, 0, "server.test", x);
	offered = d.p ? SSL_get_client_ciphers(d.p) : NULL;
	CHECK(offered && sk_SSL_CIPHER_num(offered) > 0);
	for (int i = 0; i < sk_SSL_CIPHER_num(offered); i++) {
		const SSL_CIPHER *cipher = sk_SSL_CIPHER_value(offered, i);

		found |= SSL_CIPHER_get_auth_nid(cipher) == NID_auth_null || SSL_CIPHER_get_cipher_nid(cipher) == NID_undef;
	}
	duo_close(&d);
	SSL_CTX_free(x);
	return found;
}

static void
row_51_69_S15_anonymous_suites_when_all_are_named_then_left_out(void)
{
	static const char *const lists[] = { "ALL", "ALL:aNULL", "DEFAULT:aNULL:eNULL", "COMPLEMENTOFALL:ALL", "HIGH:NULL" };

	for (size_t i = 0; i < COUNT(lists); i++) {
		struct wrapsock_ctx *c = client_ctx();

		snprintf(label, sizeof label, "ciphers %s", lists[i]);
		CHECK_IS(wrapsock_ctx_set_options(c, WRAPSOCK_OP_ALL | WRAPSOCK_OP_NO_TLSv1_3), 0);
		CHECK_IS(wrapsock_ctx_set_ciphers(c, lists[i]), 0);
		CHECK(!offers_anonymous(c));
		wrapsock_ctx_free(c);
	}
}

static void
row_51_client_when_the_server_is_anonymous_then_required_refuses_it(void)
{
	for (int mode = WRAPSOCK_CERT_OPTIONAL; mode <= WRAPSOCK_CERT_REQUIRED; mode++) {
		struct wrapsock_ctx *c = client_ctx();
		SSL_CTX *x = peer_ctx(true, NULL);
		struct duo d;
		int r;

		snprintf(label, sizeof label, "mode %d", mode);
		CHECK_IS(wrapsock_ctx_insecure_allow_legacy(c), 0);
		CHECK_IS(wrapsock_ctx_set_version_range(c, WRAPSOCK_TLSv1_2, WRAPSOCK_TLSv1_2), 0);
		CHECK_IS(wrapsock_ctx_set_ciphers(c, "aNULL:@SECLEVEL=0"), 0);
		CHECK_IS(wrapsock_ctx_set_verify_mode(c, mode), 0);
		SSL_CTX_set_cipher_list(x, "aNULL:@SECLEVEL=0");
		r = duo_open(&d, c, 0, "server.test", x);
		if (mode == WRAPSOCK_CERT_OPTIONAL) {
			CHECK_IS(r, 0);
			CHECK(!wrapsock_getpeercert(d.s) && wrapsock_err(d.s) == WRAPSOCK_OK);
		} else {
			CHECK_IS(r, -1);
			CHECK_IS(wrapsock_err(d.s), WRAPSOCK_E_CERT_VERIFY);
		}
		duo_close(&d);
		SSL_CTX_free(x);
		wrapsock_ctx_free(c);
	}
}

/* ---- verification ---- */

static void
row_22_122_S2_verify_mode_when_out_of_range_then_invalid(void)
{
	static const int bad[] = { -1, 3, 4, 100, -2, 1 << 20 };
	struct wrapsock_ctx *c = new(WRAPSOCK_PROTOCOL_TLS), *s = new(WRAPSOCK_PROTOCOL_TLS_SERVER), *k = new(WRAPSOCK_PROTOCOL_TLS_CLIENT);

	CHECK_IS(wrapsock_ctx_verify_mode(c), -1);
	CHECK_IS(wrapsock_ctx_verify_mode(s), WRAPSOCK_CERT_NONE);
	CHECK_IS(wrapsock_ctx_verify_mode(k), WRAPSOCK_CERT_REQUIRED);
	for (size_t i = 0; i < COUNT(bad); i++) {
		CHECK_FAILS(wrapsock_ctx_set_verify_mode(c, bad[i]), c, WRAPSOCK_E_INVALID, EINVAL);
		CHECK_IS(wrapsock_ctx_verify_mode(c), -1);
	}
	for (int mode = WRAPSOCK_CERT_NONE; mode <= WRAPSOCK_CERT_REQUIRED; mode++) {
		CHECK_IS(wrapsock_ctx_set_verify_mode(c, mode), 0);
		CHECK_IS(wrapsock_ctx_verify_mode(c), mode);
		CHECK_IS(wrapsock_ctx_set_verify_mode(s, mode), 0);
	}
	CHECK_FAILS(wrapsock_ctx_set_verify_mode(k, WRAPSOCK_CERT_NONE), k, WRAPSOCK_E_INVALID, EINVAL);
	CHECK_FAILS(wrapsock_ctx_set_check_hostname(k, 0), k, WRAPSOCK_E_INVALID, EINVAL);
	CHECK_IS(wrapsock_ctx_check_hostname(k), 1);
	CHECK_IS(wrapsock_ctx_insecure_no_hostname(k), 0);
	CHECK_IS(wrapsock_ctx_check_hostname(k), 0);
	CHECK_IS(wrapsock_ctx_verify_mode(k), WRAPSOCK_CERT_REQUIRED);
	CHECK_IS(wrapsock_ctx_insecure_no_verify(k), 0);
	CHECK_IS(wrapsock_ctx_verify_mode(k), WRAPSOCK_CERT_NONE);
	CHECK_IS(wrapsock_ctx_set_check_hostname(k, 1), 0);
	CHECK_IS(wrapsock_ctx_verify_mode(k), WRAPSOCK_CERT_REQUIRED);
	CHECK_FAILS(wrapsock_ctx_set_check_hostname(s, 1), s, WRAPSOCK_E_INVALID, EINVAL);
	CHECK_FAILS(wrapsock_ctx_set_verify_flags(k, 1), k, WRAPSOCK_E_INVALID, EINVAL);
	CHECK_IS(wrapsock_ctx_set_verify_flags(k, WRAPSOCK_VERIFY_X509_STRICT), 0);
	CHECK_IS(wrapsock_ctx_verify_flags(k), WRAPSOCK_VERIFY_X509_STRICT | WRAPSOCK_VERIFY_X509_TRUSTED_FIRST);
	wrapsock_ctx_free(c);
	wrapsock_ctx_free(s);
	wrapsock_ctx_free(k);
}

static void
row_23_50_requirement_when_no_ca_is_there_then_refused_at_wrap(void)
{
	struct wrapsock_ctx *c = new(WRAPSOCK_PROTOCOL_TLS_CLIENT), *s;
	char *file = getenv("SSL_CERT_FILE"), *folder = getenv("SSL_CERT_DIR");
	int fd[2];

	tcp_pair(fd);
	for (int mode = WRAPSOCK_CERT_OPTIONAL; mode <= WRAPSOCK_CERT_REQUIRED; mode++) {
		s = server_ctx();
		CHECK_IS(wrapsock_ctx_set_verify_mode(s, mode), 0);
		CHECK_FAILS(wrapsock_wrap(s, fd[0], WRAPSOCK_SERVER_SIDE | WRAPSOCK_NO_HANDSHAKE_ON_CONNECT, NULL), NULL, WRAPSOCK_E_INVALID, EINVAL);
		CHECK(strstr(wrapsock_errstr(NULL), "CA") != NULL);
		wrapsock_ctx_free(s);
	}
	/* a client has the system's store, and that is empty here */
	setenv("SSL_CERT_FILE", at("no-such-file"), 1);
	setenv("SSL_CERT_DIR", dir, 1);
	CHECK_FAILS(wrapsock_wrap(c, fd[0], WRAPSOCK_NO_HANDSHAKE_ON_CONNECT, "server.test"), NULL, WRAPSOCK_E_INVALID, EINVAL);
	wrapsock_ctx_free(c);
	setenv("SSL_CERT_FILE", at("ca.pem"), 1);
	c = new(WRAPSOCK_PROTOCOL_TLS_CLIENT);
	CHECK_IS(wrapsock_ctx_ca_count(c), 0);
	{
		struct wrapsock_sock *sock = wrapsock_wrap(c, fd[0], WRAPSOCK_NO_HANDSHAKE_ON_CONNECT, "server.test");

		CHECK(sock != NULL);
		CHECK_IS(wrapsock_ctx_ca_count(c), 1);
		wrapsock_close(sock);
	}
	wrapsock_ctx_free(c);
	file ? setenv("SSL_CERT_FILE", file, 1) : unsetenv("SSL_CERT_FILE");
	folder ? setenv("SSL_CERT_DIR", folder, 1) : unsetenv("SSL_CERT_DIR");
	close(fd[0]);
	close(fd[1]);
}

static void
row_24_115_116_117_verify_locations_when_loaded_then_counted_or_refused(void)
{
	struct wrapsock_ctx *c = new(WRAPSOCK_PROTOCOL_TLS_CLIENT);
	FILE *f;
	unsigned char *der = NULL;
	int len;

	WRITE("two.pem", CERTS, &ca, &mid);
	f = fopen(at("two.pem"), "a");
	must(f && fputs("a line of text between\n\n# and a comment\n", f) > 0 && PEM_write_X509(f, stranger.cert) && fclose(f) == 0, "two.pem");
	write_text("empty.pem", "");
	write_text("text.pem", "no certificate in here\n");
	write_text("broken.pem", "-----BEGIN CERTIFICATE-----\nMIIB!!!!\n-----END CERTIFICATE-----\n");
	WRITE("one-broken.pem", CERTS, &server);
	f = fopen(at("one-broken.pem"), "a");
	must(f && fputs("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n", f) > 0 && fclose(f) == 0, "one-broken.pem");
	mkdir(at("folder"), 0700);
	CHECK_FAILS(wrapsock_ctx_load_verify_locations(c, NULL, NULL), c, WRAPSOCK_E_INVALID, EINVAL);
	CHECK_FAILS(wrapsock_ctx_load_verify_locations(c, at("missing"), NULL), c, WRAPSOCK_E_SYSCALL, ENOENT);
	CHECK(strstr(wrapsock_errstr(c), "missing") != NULL);
	CHECK_FAILS(wrapsock_ctx_load_verify_locations(c, NULL, at("missing")), c, WRAPSOCK_E_SYSCALL, ENOENT);
	CHECK_FAILS(wrapsock_ctx_load_verify_locations(c, NULL, at("ca.pem")), c, WRAPSOCK_E_SYSCALL, ENOTDIR);
	CHECK_FAILS(wrapsock_ctx_load_verify_locations(c, at("folder"), NULL), c, WRAPSOCK_E_SYSCALL, EISDIR);
	CHECK_FAILS(wrapsock_ctx_load_verify_locations(c, at("ca.pem"), at("missing")), c, WRAPSOCK_E_SYSCALL, ENOENT);
	CHECK_FAILS(wrapsock_ctx_load_verify_locations(c, at("empty.pem"), NULL), c, WRAPSOCK_E_SSL, EPROTO);
	CHECK_FAILS(wrapsock_ctx_load_verify_locations(c, at("text.pem"), NULL), c, WRAPSOCK_E_SSL, EPROTO);
	CHECK_FAILS(wrapsock_ctx_load_verify_locations(c, at("server.key"), NULL), c, WRAPSOCK_E_SSL, EPROTO);
	CHECK_FAILS(wrapsock_ctx_load_verify_locations(c, at("broken.pem"), NULL), c, WRAPSOCK_E_SSL, EPROTO);
	CHECK_FAILS(wrapsock_ctx_load_verify_locations(c, at("one-broken.pem"), NULL), c, WRAPSOCK_E_SSL, EPROTO);
	CHECK_IS(wrapsock_ctx_ca_count(c), 0);		/* nothing of what failed has stayed */
	CHECK_IS(wrapsock_ctx_load_verify_locations(c, at("two.pem"), NULL), 0);
	CHECK_IS(wrapsock_ctx_ca_count(c), 3);
	CHECK_IS(wrapsock_ctx_load_verify_locations(c, at("other.pem"), at("folder")), 0);
	CHECK_IS(wrapsock_ctx_ca_count(c), 4);
	CHECK_FAILS(wrapsock_ctx_load_verify_mem(c, "", 0), c, WRAPSOCK_E_INVALID, EINVAL);
	CHECK_FAILS(wrapsock_ctx_load_verify_mem(c, "rubbish", 7), c, WRAPSOCK_E_SSL, EPROTO);
	len = i2d_X509(leaf.cert, &der);
	CHECK_IS(wrapsock_ctx_load_verify_mem(c, der, (size_t)len), 0);
	CHECK_IS(wrapsock_ctx_ca_count(c), 5);
	CHECK_FAILS(wrapsock_ctx_load_verify_mem(c, der, (size_t)len - 1), c, WRAPSOCK_E_SSL, EPROTO);
	OPENSSL_free(der);
	wrapsock_ctx_free(c);
}

static void
row_117_folder_when_hashed_then_looked_up_when_needed(void)
{
	struct wrapsock_ctx *c = new(WRAPSOCK_PROTOCOL_TLS_CLIENT);
	SSL_CTX *x = peer_ctx(true, "server-both.pem");
	char hashed[64];
	struct duo d;

	mkdir(at("hashed"), 0700);
	snprintf(hashed, sizeof hashed, "hashed/%08lx.0", X509_subject_name_hash(ca.cert));
	WRITE(hashed, CERTS, &ca);
	CHECK_IS(wrapsock_ctx_load_verify_locations(c, NULL, at("hashed")), 0);
	CHECK_IS(wrapsock_ctx_ca_count(c), 0);
	CHECK_IS(duo_open(&d, c, 0, "server.test", x), 0);
	CHECK_IS(wrapsock_ctx_ca_count(c), 1);
	CHECK(talks(&d));
	duo_close(&d);
	SSL_CTX_free(x);
	wrapsock_ctx_free(c);
}

static void
row_2_default_certs_when_the_environment_names_them_then_loaded(void)
{
	struct wrapsock_ctx *c;

	setenv("SSL_CERT_FILE", at("ca.pem"), 1);
	setenv("SSL_CERT_DIR", dir, 1);
	c = wrapsock_ctx_default_client();
	must(c != NULL, "default_client");
	CHECK_IS(wrapsock_ctx_ca_count(c), 1);
	CHECK_IS(wrapsock_ctx_protocol(c), WRAPSOCK_PROTOCOL_TLS_CLIENT);
	CHECK_IS(wrapsock_ctx_verify_mode(c), WRAPSOCK_CERT_REQUIRED);
	CHECK_IS(wrapsock_ctx_check_hostname(c), 1);
	CHECK(wrapsock_ctx_verify_flags(c) & WRAPSOCK_VERIFY_X509_STRICT && wrapsock_ctx_verify_flags(c) & WRAPSOCK_VERIFY_X509_PARTIAL_CHAIN);
	wrapsock_ctx_free(c);
	unsetenv("SSL_CERT_FILE");
	unsetenv("SSL_CERT_DIR");
}

/* ---- credentials ---- */

static void
row_19_111_127_cert_chain_when_loaded_in_any_form_then_serves(void)
{
	static const struct {
		const char *cert, *key;
	} rows[] = { { "server.pem", "server.key" }, { "server-both.pem", NULL }, { "key-first.pem", NULL }, { "chain.pem", "leaf.key" },
		     { "chain-both.pem", NULL }, { "server-both.pem", "server-both.pem" } };

	WRITE("key-first.pem", KEY, &server);
	WRITE("key-first.pem", CERTS | APPEND, &server);
	WRITE("chain-both.pem", CERTS | KEY, &leaf, &mid);
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct wrapsock_ctx *c = new(WRAPSOCK_PROTOCOL_TLS_SERVER);
		SSL_CTX *x = peer_ctx(false, NULL);
		struct duo d;

		snprintf(label, sizeof label, "%s, %s", rows[i].cert, rows[i].key ? rows[i].key : "no key file");
		SSL_CTX_load_verify_file(x, at("ca.pem"));
		SSL_CTX_set_verify(x, SSL_VERIFY_PEER, NULL);
		CHECK_IS(wrapsock_ctx_load_cert_chain(c, at(rows[i].cert), rows[i].key ? at(rows[i].key) : NULL), 0);
		CHECK_IS(duo_open(&d, c, WRAPSOCK_SERVER_SIDE, NULL, x), 0);
		CHECK(d.p && SSL_get_verify_result(d.p) == X509_V_OK);
		CHECK(talks(&d));
		duo_close(&d);
		SSL_CTX_free(x);
		wrapsock_ctx_free(c);
	}
}

static size_t
slurp(const char *path, char *buf, size_t size)
{
	FILE *f = fopen(path, "r");
	size_t n = f ? fread(buf, 1, size, f) : 0;

	must(f && fclose(f) == 0, path);
	return n;
}

static void
row_19_N19_cert_chain_when_in_memory_then_serves(void)
{
	static char cert[8192], key[8192];
	size_t certlen = slurp(at("server.pem"), cert, sizeof cert), keylen = slurp(at("server.key"), key, sizeof key);
	struct wrapsock_ctx *c = new(WRAPSOCK_PROTOCOL_TLS_SERVER);
	SSL_CTX *x = peer_ctx(false, NULL);
	struct duo d;

	CHECK_FAILS(wrapsock_ctx_load_cert_chain_mem(c, NULL, 0, NULL, 0), c, WRAPSOCK_E_INVALID, EINVAL);
	CHECK_FAILS(wrapsock_ctx_load_cert_chain_mem(c, cert, certlen, NULL, 0), c, WRAPSOCK_E_SSL, EPROTO);
	CHECK_FAILS(wrapsock_ctx_load_cert_chain_mem(c, key, keylen, cert, certlen), c, WRAPSOCK_E_SSL, EPROTO);
	CHECK_IS(wrapsock_ctx_load_cert_chain_mem(c, cert, certlen, key, keylen), 0);
	memset(cert, 0, sizeof cert);
	memset(key, 0, sizeof key);
	CHECK_IS(duo_open(&d, c, WRAPSOCK_SERVER_SIDE, NULL, x), 0);
	CHECK(talks(&d));
	duo_close(&d);
	SSL_CTX_free(x);
	wrapsock_ctx_free(c);
}

static void
row_19_112_113_S16_cert_chain_when_it_fails_then_distinct_and_nothing_is_changed(void)
{
	static const struct {
		const char *cert, *key;
		int code, error;
		const char *text;
	} rows[] = {
		{ "missing.pem", NULL, WRAPSOCK_E_SYSCALL, ENOENT, "missing.pem" },
		{ "server.pem", "missing.key", WRAPSOCK_E_SYSCALL, ENOENT, "missing.key" },
		{ "server.pem", "stranger.key", WRAPSOCK_E_KEY_MISMATCH, EINVAL, "does not belong" },
		{ "none.pem", NULL, WRAPSOCK_E_SSL, EPROTO, "empty" },
		{ "words.pem", NULL, WRAPSOCK_E_SSL, EPROTO, "no certificate" },
		{ "bad.pem", "server.key", WRAPSOCK_E_SSL, EPROTO, "cannot be read" },
		{ "server.pem", NULL, WRAPSOCK_E_SSL, EPROTO, "no private key" },
		{ "server.key", "server.pem", WRAPSOCK_E_SSL, EPROTO, "swapped" },
		{ "server.pem", "server.pem", WRAPSOCK_E_SSL, EPROTO, "no private key" },
		{ "root-first.pem", "leaf.key", WRAPSOCK_E_KEY_MISMATCH, EINVAL, "does not belong" },
		{ "server.pem", "locked.key", WRAPSOCK_E_SSL, EPROTO, "encrypted" },
		{ "", NULL, WRAPSOCK_E_SYSCALL, EISDIR, "directory" },
	};
	struct wrapsock_ctx *c = server_ctx();
	SSL_CTX *x = peer_ctx(false, NULL);
	struct duo d;
	FILE *f;

	write_text("none.pem", "");
	write_text("words.pem", "nothing but words\n");
	write_text("bad.pem", "-----BEGIN CERTIFICATE-----\nMIIBBBBB\n-----END CERTIFICATE-----\n");
	WRITE("root-first.pem", CERTS, &ca, &mid, &leaf);
	f = fopen(at("locked.key"), "w");
	must(f && PEM_write_PKCS8PrivateKey(f, server.key, EVP_aes_256_cbc(), "secret", 6, NULL, NULL) && fclose(f) == 0, "locked.key");
	for (size_t i = 0; i < COUNT(rows); i++) {
		snprintf(label, sizeof label, "%s, %s", rows[i].cert, rows[i].key ? rows[i].key : "no key file");
		if (rows[i].error == EISDIR) {
			CHECK(wrapsock_ctx_load_cert_chain(c, at(rows[i].cert), NULL) == -1 && strstr(wrapsock_errstr(c), rows[i].text));
			continue;
		}
		CHECK_FAILS(wrapsock_ctx_load_cert_chain(c, at(rows[i].cert), rows[i].key ? at(rows[i].key) : NULL), c, rows[i].code, rows[i].error);
		CHECK(strstr(wrapsock_errstr(c), rows[i].text) && strstr(wrapsock_errstr(c), dir));
	}
	CHECK_FAILS(wrapsock_ctx_load_cert_chain(c, at("server.pem"), at("stranger.key")), c, WRAPSOCK_E_KEY_MISMATCH, EINVAL);
	CHECK(strcmp(wrapsock_err_reason(c), "KEY_VALUES_MISMATCH") == 0);
	CHECK_FAILS(wrapsock_ctx_load_cert_chain(c, NULL, at("server.key")), c, WRAPSOCK_E_INVALID, EINVAL);
	if (geteuid() != 0) {
		chmod(at("none.pem"), 0);
		CHECK_FAILS(wrapsock_ctx_load_cert_chain(c, at("none.pem"), NULL), c, WRAPSOCK_E_SYSCALL, EACCES);
	}
	/* after all of it the context serves what it served before */
	CHECK_IS(duo_open(&d, c, WRAPSOCK_SERVER_SIDE, NULL, x), 0);
	CHECK(talks(&d));
	CHECK(d.p && X509_cmp(SSL_get0_peer_certificate(d.p), server.cert) == 0);
	duo_close(&d);
	SSL_CTX_free(x);
	wrapsock_ctx_free(c);
	CHECK_FAILS(wrapsock_ctx_default_server(at("missing.pem"), NULL), NULL, WRAPSOCK_E_SYSCALL, ENOENT);
}

static int asked;

static int
answer(char *buf, int size, void *arg)
{
	asked++;
	if (!arg)
		return -1;
	snprintf(buf, (size_t)size, "%s", (const char *)arg);
	return (int)strlen(arg);
}

static void
row_114_S20_password_when_the_key_is_encrypted_then_asked_of_the_callback_only(void)
{
	struct wrapsock_ctx *c = new(WRAPSOCK_PROTOCOL_TLS_SERVER);
	char secret[] = "secret", wrong[] = "wrong";
	int64_t began = now_ms();
	FILE *f = fopen(at("locked.key"), "w");

	must(f && PEM_write_PKCS8PrivateKey(f, server.key, EVP_aes_256_cbc(), "secret", 6, NULL, NULL) && fclose(f) == 0, "locked.key");
	asked = 0;
	CHECK_FAILS(wrapsock_ctx_load_cert_chain(c, at("server.pem"), at("locked.key")), c, WRAPSOCK_E_SSL, EPROTO);
	CHECK(now_ms() - began < 5000);	/* nobody was asked */
	CHECK_IS(wrapsock_ctx_set_password(c, answer, NULL), 0);
	CHECK_FAILS(wrapsock_ctx_load_cert_chain(c, at("server.pem"), at("locked.key")), c, WRAPSOCK_E_SSL, EPROTO);
	CHECK_IS(asked, 1);
	CHECK_IS(wrapsock_ctx_set_password(c, answer, wrong), 0);
	CHECK_FAILS(wrapsock_ctx_load_cert_chain(c, at("server.pem"), at("locked.key")), c, WRAPSOCK_E_SSL, EPROTO);
	CHECK_IS(asked, 2);
	CHECK_IS(wrapsock_ctx_set_password(c, answer, secret), 0);
	CHECK_IS(wrapsock_ctx_load_cert_chain(c, at("server.pem"), at("locked.key")), 0);
	CHECK_IS(asked, 3);
	/* other settings do not ask again */
	CHECK_IS(wrapsock_ctx_set_ciphers(c, "ECDHE+AESGCM"), 0);
	CHECK_IS(wrapsock_ctx_set_options(c, WRAPSOCK_OP_ALL), 0);
	CHECK_IS(asked, 3);
	wrapsock_ctx_free(c);
}

static void
row_128_small_key_when_loaded_then_the_text_says_so(void)
{
	struct identity small = make_identity(&(struct spec){ .cn = "small", .san = "DNS:server.test", .rsa_bits = 1024 }, NULL);
	struct wrapsock_ctx *c = new(WRAPSOCK_PROTOCOL_TLS_SERVER);

	WRITE("small.pem", CERTS | KEY, &small);
	CHECK_FAILS(wrapsock_ctx_load_cert_chain(c, at("small.pem"), NULL), c, WRAPSOCK_E_SSL, EPROTO);
	CHECK(strstr(wrapsock_errstr(c), "ee key too small") != NULL);
	CHECK( strcmp(wrapsock_err_reason(c), "EE_KEY_TOO_SMALL") == 0);
	CHECK_IS(wrapsock_ctx_insecure_allow_legacy(c), 0);
	CHECK_IS(wrapsock_ctx_load_cert_chain(c, at("small.pem"), NULL), 0);
	EVP_PKEY_free(small.key);
	X509_free(small.cert);
	wrapsock_ctx_free(c);
}

/* ---- the module-level call ---- */

static void
row_8_9_20_22_134_D1_options_when_wrong_then_refused(void)
{
	enum { SERVER = WRAPSOCK_SERVER_SIDE };
	const struct {
		const char *what;
		struct wrapsock_options o;
		int code;
	} rows[] = {
		{ "no name", { .cert_reqs = WRAPSOCK_CERT_DEFAULT, .ca_certs = at("ca.pem") }, WRAPSOCK_E_INVALID },
		{ "CERT_NONE", { .cert_reqs = WRAPSOCK_CERT_NONE, .server_hostname = "server.test" }, WRAPSOCK_E_INVALID },
		{ "cert_reqs 3", { .cert_reqs = 3, .server_hostname = "server.test" }, WRAPSOCK_E_INVALID },
		{ "cert_reqs -2", { .cert_reqs = -2, .server_hostname = "server.test" }, WRAPSOCK_E_INVALID },
		{ "keyfile alone", { .cert_reqs = -1, .keyfile = at("server.key"), .server_hostname = "server.test" }, WRAPSOCK_E_INVALID },
		{ "server without certificate", { .cert_reqs = -1, .flags = SERVER }, WRAPSOCK_E_INVALID },
		{ "server with keyfile alone", { .cert_reqs = -1, .keyfile = at("server.key"), .flags = SERVER }, WRAPSOCK_E_INVALID },
		{ "server, CA missing", { .cert_reqs = 2, .certfile = at("server-both.pem"), .flags = SERVER }, WRAPSOCK_E_INVALID },
		{ "server with a name", { .cert_reqs = -1, .certfile = at("server-both.pem"), .server_hostname = "x", .flags = SERVER }, WRAPSOCK_E_INVALID },
		{ "unknown flag", { .cert_reqs = -1, .ca_certs = at("ca.pem"), .server_hostname = "server.test", .flags = 1u << 20 }, WRAPSOCK_E_INVALID },
		{ "no such CA", { .cert_reqs = -1, .ca_certs = "/no/such/file", .server_hostname = "server.test" }, WRAPSOCK_E_SYSCALL },
		{ "no such cipher", { .cert_reqs = -1, .ciphers = "SSLv2", .server_hostname = "server.test" }, WRAPSOCK_E_NO_CIPHER },
	};
	int fd[2];

	tcp_pair(fd);
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct wrapsock_options o = rows[i].o;

		o.size = sizeof o;
		o.ssl_version = WRAPSOCK_PROTOCOL_TLS;
		o.flags |= WRAPSOCK_NO_HANDSHAKE_ON_CONNECT;
		snprintf(label, sizeof label, "%s", rows[i].what);
		CHECK_FAILS(wrapsock_wrap_socket(fd[0], &o), NULL, rows[i].code,
			    rows[i].code == WRAPSOCK_E_SYSCALL ? ENOENT : EINVAL);
	}
	label[0] = '\0';
	CHECK_FAILS(wrapsock_wrap_socket(fd[0], NULL), NULL, WRAPSOCK_E_INVALID, EINVAL);
	CHECK_FAILS(wrapsock_wrap_socket(fd[0], &(struct wrapsock_options){ 0 }), NULL, WRAPSOCK_E_INVALID, EINVAL);
	close(fd[0]);
	close(fd[1]);
}

static void
row_8_11_103_options_when_zero_then_the_defaults(void)
{
	struct wrapsock_options o = WRAPSOCK_OPTIONS_INIT, big = o;
	struct {
		struct wrapsock_options o;
		long later;
	} future = { WRAPSOCK_OPTIONS_INIT, 0 };
	struct wrapsock_sock *a, *b;
	int fd[2];

	CHECK_IS(o.size, sizeof o);
	CHECK(o.cert_reqs == WRAPSOCK_CERT_DEFAULT && o.ssl_version == WRAPSOCK_PROTOCOL_TLS && o.flags == 0 && !o.ciphers && !o.keyfile);
	tcp_pair(fd);
	o.ca_certs = at("ca.pem");
	o.server_hostname = "server.test";
	o.flags = WRAPSOCK_NO_HANDSHAKE_ON_CONNECT;
	a = wrapsock_wrap_socket(fd[0], &o);
	b = wrapsock_wrap_socket(fd[1], &o);
	must(a && b, "two sockets");
	CHECK(wrapsock_context(a) && wrapsock_context(b) && wrapsock_context(a) != wrapsock_context(b));
	CHECK_IS(wrapsock_ctx_protocol(wrapsock_context(a)), WRAPSOCK_PROTOCOL_TLS);
	CHECK_IS(wrapsock_fileno(a), fd[0]);
	wrapsock_close(a);
	wrapsock_close(b);
	future.o = o;
	future.o.size = sizeof future;
	a = wrapsock_wrap_socket(fd[0], &future.o);
	CHECK(a != NULL);
	wrapsock_close(a);
	future.later = 1;
	CHECK_FAILS(wrapsock_wrap_socket(fd[0], &future.o), NULL, WRAPSOCK_E_INVALID, EINVAL);
	big.size = 1 << 20;
	CHECK_FAILS(wrapsock_wrap_socket(fd[0], &big), NULL, WRAPSOCK_E_INVALID, EINVAL);
	close(fd[0]);
	close(fd[1]);
}

static void
row_134_S1_S4_S26_names_when_unusable_then_refused_before_anything_is_sent(void)
{
	static char long_name[300];
	const char *const bad[] = { "", ".a", ".", "a b", "*.test", "a/b", "a:b", "\xc3\xa4.test", "a\n", long_name };
	const char *const good[] = { "server.test", "server.test.", "127.0.0.1", "::1", "[::1]", "fe80::1%lo", "a_b.test" };
	struct wrapsock_ctx *c = client_ctx();
	int fd[2];

	tcp_pair(fd);
	memset(long_name, 'a', sizeof long_name - 1);
	for (size_t i = 0; i < COUNT(bad); i++) {
		snprintf(label, sizeof label, "name \"%.20s\"", bad[i]);
		CHECK_FAILS(wrapsock_wrap(c, fd[0], WRAPSOCK_NO_HANDSHAKE_ON_CONNECT, bad[i]), NULL, WRAPSOCK_E_INVALID, EINVAL);
		CHECK_FAILS(wrapsock_wrap(c, fd[0], 0, bad[i]), c, WRAPSOCK_E_INVALID, EINVAL);
	}
	CHECK_FAILS(wrapsock_wrap(c, fd[0], 0, NULL), NULL, WRAPSOCK_E_INVALID, EINVAL);
	CHECK_FAILS(wrapsock_wrap(c, fd[0], WRAPSOCK_INSECURE_NO_VERIFY, "server.test"), NULL, WRAPSOCK_E_INVALID, EINVAL);
	CHECK_FAILS(wrapsock_wrap(c, fd[0], WRAPSOCK_SERVER_SIDE, NULL), NULL, WRAPSOCK_E_INVALID, EINVAL);	/* row 21 */
	CHECK_FAILS(wrapsock_wrap(NULL, fd[0], 0, "server.test"), NULL, WRAPSOCK_E_INVALID, EINVAL);
	CHECK_IS(recv(fd[1], long_name, 1, MSG_DONTWAIT), -1);	/* not a byte was sent */
	for (size_t i = 0; i < COUNT(good); i++) {
		struct wrapsock_sock *s = wrapsock_wrap(c, fd[0], WRAPSOCK_NO_HANDSHAKE_ON_CONNECT, good[i]);

		snprintf(label, sizeof label, "name \"%s\"", good[i]);
		CHECK(s != NULL);
		wrapsock_close(s);
	}
	close(fd[0]);
	close(fd[1]);
	wrapsock_ctx_free(c);
}

static void
row_21_roles_when_the_context_has_another_then_refused(void)
{
	struct wrapsock_ctx *s = server_ctx(), *c = client_ctx();
	int fd[2];

	tcp_pair(fd);
	CHECK_FAILS(wrapsock_wrap(s, fd[0], 0, "server.test"), NULL, WRAPSOCK_E_INVALID, EINVAL);
	CHECK_FAILS(wrapsock_wrap(c, fd[0], WRAPSOCK_SERVER_SIDE, NULL), NULL, WRAPSOCK_E_INVALID, EINVAL);
	close(fd[0]);
	close(fd[1]);
	wrapsock_ctx_free(s);
	wrapsock_ctx_free(c);
}

/* ---- frozen ---- */

static void
row_110_122_S17_context_when_used_then_frozen(void)
{
	struct wrapsock_ctx *c = client_ctx();
	const char *const names[] = { "h2" };
	struct wrapsock_sock *s;
	int fd[2];

	tcp_pair(fd);
	CHECK_IS(wrapsock_ctx_set_alpn_protocols(c, names, 1), 0);
	CHECK_FAILS(wrapsock_ctx_set_alpn_protocols(c, (const char *const[]){ "a,b" }, 1), c, WRAPSOCK_E_INVALID, EINVAL);
	CHECK_FAILS(wrapsock_ctx_set_alpn_protocols(c, (const char *const[]){ "" }, 1), c, WRAPSOCK_E_INVALID, EINVAL);
	CHECK_FAILS(wrapsock_ctx_set_num_tickets(c, 101), c, WRAPSOCK_E_INVALID, EINVAL);
	s = wrapsock_wrap(c, fd[0], WRAPSOCK_NO_HANDSHAKE_ON_CONNECT, "server.test");
	must(s != NULL, "wrap");
	CHECK_FAILS(wrapsock_ctx_load_cert_chain(c, at("server.pem"), NULL), c, WRAPSOCK_E_STATE, EINVAL);
	CHECK_FAILS(wrapsock_ctx_load_cert_chain_mem(c, "x", 1, NULL, 0), c, WRAPSOCK_E_STATE, EINVAL);
	CHECK_FAILS(wrapsock_ctx_set_password(c, answer, NULL), c, WRAPSOCK_E_STATE, EINVAL);
	CHECK_FAILS(wrapsock_ctx_load_verify_locations(c, at("ca.pem"), NULL), c, WRAPSOCK_E_STATE, EINVAL);
	CHECK_FAILS(wrapsock_ctx_load_verify_mem(c, "x", 1), c, WRAPSOCK_E_STATE, EINVAL);
	CHECK_FAILS(wrapsock_ctx_load_default_certs(c), c, WRAPSOCK_E_STATE, EINVAL);
	CHECK_FAILS(wrapsock_ctx_set_default_verify_paths(c), c, WRAPSOCK_E_STATE, EINVAL);
	CHECK_FAILS(wrapsock_ctx_set_ciphers(c, "ALL"), c, WRAPSOCK_E_STATE, EINVAL);
	CHECK_FAILS(wrapsock_ctx_set_ciphersuites(c, "TLS_AES_128_GCM_SHA256"), c, WRAPSOCK_E_STATE, EINVAL);
	CHECK_FAILS(wrapsock_ctx_set_groups(c, "P-256"), c, WRAPSOCK_E_STATE, EINVAL);
	CHECK_FAILS(wrapsock_ctx_set_options(c, 0), c, WRAPSOCK_E_STATE, EINVAL);
	CHECK_FAILS(wrapsock_ctx_set_verify_mode(c, WRAPSOCK_CERT_OPTIONAL), c, WRAPSOCK_E_STATE, EINVAL);
	CHECK_FAILS(wrapsock_ctx_set_check_hostname(c, 1), c, WRAPSOCK_E_STATE, EINVAL);
	CHECK_FAILS(wrapsock_ctx_set_hostname_checks_common_name(c, 1), c, WRAPSOCK_E_STATE, EINVAL);
	CHECK_FAILS(wrapsock_ctx_set_verify_flags(c, 0), c, WRAPSOCK_E_STATE, EINVAL);
	CHECK_FAILS(wrapsock_ctx_set_version_range(c, 0, 0), c, WRAPSOCK_E_STATE, EINVAL);
	CHECK_FAILS(wrapsock_ctx_set_alpn_protocols(c, NULL, 0), c, WRAPSOCK_E_STATE, EINVAL);
	CHECK_FAILS(wrapsock_ctx_set_num_tickets(c, 0), c, WRAPSOCK_E_STATE, EINVAL);
	CHECK_FAILS(wrapsock_ctx_set_security_level(c, 3), c, WRAPSOCK_E_STATE, EINVAL);
	CHECK_FAILS(wrapsock_ctx_insecure_no_verify(c), c, WRAPSOCK_E_STATE, EINVAL);
	CHECK_FAILS(wrapsock_ctx_insecure_no_hostname(c), c, WRAPSOCK_E_STATE, EINVAL);
	CHECK_FAILS(wrapsock_ctx_insecure_allow_legacy(c), c, WRAPSOCK_E_STATE, EINVAL);
	CHECK_IS(wrapsock_ctx_verify_mode(c), WRAPSOCK_CERT_REQUIRED);
	wrapsock_close(s);
	close(fd[0]);
	close(fd[1]);
	wrapsock_ctx_free(c);
	wrapsock_ctx_free(NULL);
}

static const struct test tests[] = {
	TEST(row_56_58_60_62_63_protocols_when_unknown_or_gone_then_refused),
	TEST(row_57_121_protocol_when_asked_then_as_made),
	TEST(row_25_64_65_66_67_68_compatibility_when_two_protocols_meet_then_as_the_table_says),
	TEST(row_10_59_S14_old_protocols_when_not_permitted_then_unsupported_with_a_hint),
	TEST(row_10_136_D2_floor_when_nothing_is_said_then_tls_1_2),
	TEST(row_70_71_72_73_74_75_options_when_set_then_read_back),
	TEST(row_61_73_136_options_when_versions_are_excluded_then_the_rest_is_negotiated),
	TEST(row_26_69_118_ciphers_when_nothing_can_be_selected_then_no_cipher),
	TEST(row_26_96_119_cipher_when_one_is_forced_then_it_is_reported),
	TEST(row_51_69_S15_anonymous_suites_when_all_are_named_then_left_out),
	TEST(row_51_client_when_the_server_is_anonymous_then_required_refuses_it),
	TEST(row_22_122_S2_verify_mode_when_out_of_range_then_invalid),
	TEST(row_23_50_requirement_when_no_ca_is_there_then_refused_at_wrap),
	TEST(row_24_115_116_117_verify_locations_when_loaded_then_counted_or_refused),
	TEST(row_117_folder_when_hashed_then_looked_up_when_needed),
	TEST(row_2_default_certs_when_the_environment_names_them_then_loaded),
	TEST(row_19_111_127_cert_chain_when_loaded_in_any_form_then_serves),
	TEST(row_19_N19_cert_chain_when_in_memory_then_serves),
	TEST(row_19_112_113_S16_cert_chain_when_it_fails_then_distinct_and_nothing_is_changed),
	TEST(row_114_S20_password_when_the_key_is_encrypted_then_asked_of_the_callback_only),
	TEST(row_128_small_key_when_loaded_then_the_text_says_so),
	TEST(row_8_9_20_22_134_D1_options_when_wrong_then_refused),
	TEST(row_8_11_103_options_when_zero_then_the_defaults),
	TEST(row_134_S1_S4_S26_names_when_unusable_then_refused_before_anything_is_sent),
	TEST(row_21_roles_when_the_context_has_another_then_refused),
	TEST(row_110_122_S17_context_when_used_then_frozen),
};

int
main(int argc, char **argv)
{
	int r;

	make_files();
	r = run_tests(tests, COUNT(tests), argc > 1 ? argv[1] : NULL);
	remove_files();
	return r;
}
