/*
 * ssl_ctx_test.c - contexts of the explicit API: verification, credentials, defaults, and the first use that freezes them. Rows of the
 * contract are in the functions' names.
 */
#include "ssl.h"

/* ---- verification ---- */

static void
row_22_122_S2_verify_mode_when_out_of_range_then_invalid(void)
{
	static const int bad[] = { -1, 3, 4, 100, -2, 1 << 20 };
	struct wrapsock_ctx *c = ctx_new(WRAPSOCK_PROTOCOL_TLS), *s = ctx_new(WRAPSOCK_PROTOCOL_TLS_SERVER), *k = ctx_new(WRAPSOCK_PROTOCOL_TLS_CLIENT);

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
	struct wrapsock_ctx *c = ctx_new(WRAPSOCK_PROTOCOL_TLS_CLIENT), *s;
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
	c = ctx_new(WRAPSOCK_PROTOCOL_TLS_CLIENT);
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
	struct wrapsock_ctx *c = ctx_new(WRAPSOCK_PROTOCOL_TLS_CLIENT);
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
	struct wrapsock_ctx *c = ctx_new(WRAPSOCK_PROTOCOL_TLS_CLIENT);
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
		struct wrapsock_ctx *c = ctx_new(WRAPSOCK_PROTOCOL_TLS_SERVER);
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
	struct wrapsock_ctx *c = ctx_new(WRAPSOCK_PROTOCOL_TLS_SERVER);
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
	struct wrapsock_ctx *c = ctx_new(WRAPSOCK_PROTOCOL_TLS_SERVER);
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
	struct wrapsock_ctx *c = ctx_new(WRAPSOCK_PROTOCOL_TLS_SERVER);

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
	return run_tests(tests, COUNT(tests), argc, argv);
}
