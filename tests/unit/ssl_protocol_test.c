/*
 * ssl_protocol_test.c - contexts of the explicit API: protocols, options and ciphers. Rows of the contract are in the functions' names.
 */
#include "ssl.h"

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
		struct wrapsock_ctx *c = ctx_new(rows[i]);

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
	struct wrapsock_ctx *c = ctx_new(side->protocol);

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
	struct wrapsock_ctx *c = ctx_new(WRAPSOCK_PROTOCOL_TLS);

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
	struct wrapsock_ctx *c = ctx_new(WRAPSOCK_PROTOCOL_TLS);
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
	struct wrapsock_ctx *c = ctx_new(WRAPSOCK_PROTOCOL_TLS);

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

/* ---- what is off in every version ---- */

/* The peer wants another handshake on the open connection: it is told no, and ours has had none. */
static void
row_S30_renegotiation_when_the_peer_asks_then_declined(void)
{
	for (int as_server = 0; as_server < 2; as_server++) {
		struct wrapsock_ctx *c = as_server ? server_ctx() : client_ctx();
		SSL_CTX *x = peer_ctx(!as_server, as_server ? NULL : "server-both.pem");
		int64_t end = now_ms() + 5000;
		unsigned long why = 0;
		struct duo d;
		char buf[8];
		size_t n;

		snprintf(label, sizeof label, "our %s", as_server ? "server" : "client");
		must(SSL_CTX_set_max_proto_version(x, TLS1_2_VERSION) == 1, "TLS 1.2");
		must(duo_open(&d, c, as_server ? WRAPSOCK_SERVER_SIDE : 0, as_server ? NULL : "server.test", x) == 0, "a connection");
		CHECK(talks(&d));
		must(SSL_renegotiate(d.p) == 1, "SSL_renegotiate");
		SSL_do_handshake(d.p);
		ERR_clear_error();
		while (!why && now_ms() < end) {
			CHECK_IS(wrapsock_recv(d.s, buf, sizeof buf, 0), -1);
			CHECK_IS(wrapsock_err(d.s), WRAPSOCK_E_WANT_READ);
			if (SSL_read_ex(d.p, buf, sizeof buf, &n) || SSL_get_error(d.p, 0) != SSL_ERROR_WANT_READ)
				why = ERR_peek_error();
			else
				poll(&(struct pollfd){ .fd = d.fd[1], .events = POLLIN }, 1, 5);
			ERR_clear_error();
		}
		CHECK_IS(ERR_GET_REASON(why), SSL_R_NO_RENEGOTIATION);
		duo_close(&d);
		SSL_CTX_free(x);
		wrapsock_ctx_free(c);
	}
}

/* Where a hello's list of compression methods begins: behind the cipher suites. */
static size_t
compression_at(const uint8_t *hello)
{
	size_t at = 5 + 4 + 2 + 32, suites;

	at += 1 + (size_t)hello[at];
	suites = (size_t)hello[at] << 8 | hello[at + 1];
	return at + 2 + suites;
}

/* Our client offers none; our server takes none of a client that does. */
static void
row_S30_compression_when_offered_then_none(void)
{
	uint8_t hello[2048], longer[2048];
	struct wrapsock_ctx *c = client_ctx(), *its = server_ctx();
	struct wrapsock_sock *s;
	int64_t end = now_ms() + 5000;
	ssize_t n, got = 0;
	size_t at;
	int fd[2];

	must(wrapsock_ctx_set_options(c, WRAPSOCK_OP_ALL | WRAPSOCK_OP_NO_TLSv1_3) == 0, "options");
	tcp_pair(fd);
	set_nonblocking(fd[0], true);
	s = wrapsock_wrap(c, fd[0], WRAPSOCK_NO_HANDSHAKE_ON_CONNECT, "server.test");
	CHECK_FAILS(wrapsock_do_handshake(s), s, WRAPSOCK_E_WANT_READ, EAGAIN);
	n = recv(fd[1], hello, sizeof hello, 0);
	must(n > 100 && n == 5 + (hello[3] << 8 | hello[4]) && hello[5] == 1, "a whole ClientHello");
	at = compression_at(hello);
	CHECK_IS(hello[at], 1);
	CHECK_IS(hello[at + 1], 0);
	wrapsock_close(s);
	close(fd[0]);
	close(fd[1]);

	/* the same hello with DEFLATE before the null method: each length that covers the list is a byte more */
	memcpy(longer, hello, at + 1);
	longer[at] = 2;
	longer[at + 1] = 1;
	memcpy(longer + at + 2, hello + at + 1, (size_t)n - at - 1);
	longer[3] = (uint8_t)((n + 1 - 5) >> 8), longer[4] = (uint8_t)(n + 1 - 5);
	longer[7] = (uint8_t)((n + 1 - 9) >> 8), longer[8] = (uint8_t)(n + 1 - 9);
	tcp_pair(fd);
	set_nonblocking(fd[0], true);
	s = wrapsock_wrap(its, fd[0], WRAPSOCK_NO_HANDSHAKE_ON_CONNECT | WRAPSOCK_SERVER_SIDE, NULL);
	must(send(fd[1], longer, (size_t)n + 1, 0) == n + 1, "send");
	while (got <= 0 && now_ms() < end) {
		CHECK_FAILS(wrapsock_do_handshake(s), s, WRAPSOCK_E_WANT_READ, EAGAIN);
		got = recv(fd[1], hello, sizeof hello, MSG_DONTWAIT);
	}
	must(got > 80 && hello[0] == 22 && hello[5] == 2, "a ServerHello");
	CHECK_IS(hello[5 + 4 + 2 + 32 + 1 + hello[43] + 2], 0);
	wrapsock_close(s);
	close(fd[0]);
	close(fd[1]);
	wrapsock_ctx_free(c);
	wrapsock_ctx_free(its);
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
	TEST(row_S30_renegotiation_when_the_peer_asks_then_declined),
	TEST(row_S30_compression_when_offered_then_none),
};

int
main(int argc, char **argv)
{
	return run_tests(tests, COUNT(tests), argc, argv);
}
