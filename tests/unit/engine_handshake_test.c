/* engine_handshake_test.c - the engine's handshakes: what is agreed, what is refused, and what is said of it. */
#include "engine_pair.h"

#include <unistd.h>

static const struct handshake_case {
	const char *name, *client, *server, *host;
	enum engine_result rc, rs;	/* at the end, the first read included */
	const char *error, *hint;	/* of the side that the name in `teller` says */
	char teller;			/* c, s or 0 */
	long code;
} handshakes[] = {
	{"tls 1.3", CA V13, GOOD, "server.test", 0, 0, NULL, NULL, 0, 0},
	{"tls 1.2", CA V12, GOOD, "server.test", 0, 0, NULL, NULL, 0, 0},
	{"tls 1.1 where both say insecure", CA LOOSE "|ssl_version=TLSv1.1", GOOD LOOSE "|minimum_version=TLSv1", "server.test", 0,
	 0, NULL,
	 NULL, 0, 0},
	{"anonymous where both say insecure", CA LOOSE "|cert_reqs=none|ciphers=aNULL:@SECLEVEL=0" V12,
	 LOOSE "|ciphers=aNULL:@SECLEVEL=0", NULL, 0, 0, NULL, NULL, 0, 0},
	{"anonymous is no certificate", CA LOOSE "|ciphers=aNULL:@SECLEVEL=0" V12, "insecure=yes|ciphers=aNULL:@SECLEVEL=0",
	 "server.test",
	 ENGINE_VERIFY, 0, "not verified", NULL, 'c', 0},
	{"trailing dot", CA, GOOD, "server.test.", 0, 0, NULL, NULL, 0, 0},
	{"wildcard", CA, PAIR("wild"), "a.wild.test", 0, 0, NULL, NULL, 0, 0},
	{"partial wildcard", CA, PAIR("wild"), "bar.part.test", ENGINE_VERIFY, ENGINE_PROTOCOL, "expected name", "server_hostname",
	 'c',
	 X509_V_ERR_HOSTNAME_MISMATCH},
	{"common name is no name", CA, PAIR("cn"), "server.test", ENGINE_VERIFY, ENGINE_PROTOCOL, "expected name",
	 "server_hostname", 'c',
	 X509_V_ERR_HOSTNAME_MISMATCH},
	{"wrong name", CA, GOOD, "other.test", ENGINE_VERIFY, ENGINE_PROTOCOL, "certificate is not for the expected name",
	 "server_hostname", 'c', X509_V_ERR_HOSTNAME_MISMATCH},
	{"wrong name unchecked", CA LOOSE "|check_hostname=no", GOOD, "other.test", 0, 0, NULL, NULL, 0, 0},
	{"no name", CA, GOOD, NULL, ENGINE_VERIFY, ENGINE_WANT_READ, "no name", "server_hostname", 'c', 0},
	{"no name unchecked", CA LOOSE "|check_hostname=no", GOOD, NULL, 0, 0, NULL, NULL, 0, 0},
	{"empty name", CA, GOOD, "", ENGINE_VERIFY, ENGINE_WANT_READ, "not a valid", "server_hostname", 'c', 0},
	{"leading dot", CA, GOOD, ".test", ENGINE_VERIFY, ENGINE_WANT_READ, "not a valid", "server_hostname", 'c', 0},
	{"only a dot", CA, GOOD, ".", ENGINE_VERIFY, ENGINE_WANT_READ, "not a valid", "server_hostname", 'c', 0},
	{"name with a star", CA, GOOD, "*.test", ENGINE_VERIFY, ENGINE_WANT_READ, "not a valid", "server_hostname", 'c', 0},
	{"ip san", CA, GOOD, "127.0.0.1", 0, 0, NULL, NULL, 0, 0},
	{"ipv6 san", CA, GOOD, "::1", 0, 0, NULL, NULL, 0, 0},
	{"ipv6 in brackets", CA, GOOD, "[::1]", 0, 0, NULL, NULL, 0, 0},
	{"wrong ip", CA, GOOD, "127.0.0.2", ENGINE_VERIFY, ENGINE_PROTOCOL, "expected address", "server_hostname", 'c',
	 X509_V_ERR_IP_ADDRESS_MISMATCH},
	{"expired", CA, PAIR("expired"), "server.test", ENGINE_VERIFY, ENGINE_PROTOCOL, "expired", NULL, 'c',
	 X509_V_ERR_CERT_HAS_EXPIRED},
	{"not yet valid", CA, PAIR("future"), "server.test", ENGINE_VERIFY, ENGINE_PROTOCOL, "not yet valid", NULL, 'c',
	 X509_V_ERR_CERT_NOT_YET_VALID},
	{"self-signed", CA, PAIR("self"), "server.test", ENGINE_VERIFY, ENGINE_PROTOCOL, "self-signed", "ca_certs", 'c',
	 X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT},
	{"unknown ca", CA, PAIR("stranger"), "server.test", ENGINE_VERIFY, ENGINE_PROTOCOL,
	 "unable to get local issuer certificate",
	 "ca_certs", 'c', X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY},
	{"unknown ca, as the server sees it", CA, PAIR("stranger"), "server.test", ENGINE_VERIFY, ENGINE_PROTOCOL,
	 "peer sent alert 48 unknown_ca", "certfile", 's', 0},
	{"unverified", "insecure=yes|cert_reqs=none", PAIR("stranger"), "server.test", 0, 0, NULL, NULL, 0, 0},
	{"missing intermediate", CA, PAIR("deep"), "server.test", ENGINE_VERIFY, ENGINE_PROTOCOL, "local issuer", "ca_certs", 'c',
	 X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY},
	{"intermediate sent", CA, "certfile=@deepchain.pem|keyfile=@deep.key", "server.test", 0, 0, NULL, NULL, 0, 0},
	{"intermediate trusted", "ca_certs=@inter.pem", PAIR("deep"), "server.test", 0, 0, NULL, NULL, 0, 0},
	{"client certificate on a server", CA, PAIR("client"), "client.test", ENGINE_VERIFY, ENGINE_PROTOCOL, "purpose", NULL, 'c',
	 X509_V_ERR_INVALID_PURPOSE},
	{"server certificate on a client 1.3", CA V13 "|" GOOD, MUTUAL, "server.test", ENGINE_PROTOCOL, ENGINE_VERIFY, "purpose",
	 NULL,
	 's', X509_V_ERR_INVALID_PURPOSE},
	{"client certificate", CA "|" PAIR("client"), MUTUAL, "server.test", 0, 0, NULL, NULL, 0, 0},
	{"client certificate 1.2", CA V12 "|" PAIR("client"), MUTUAL, "server.test", 0, 0, NULL, NULL, 0, 0},
	{"client certificate missing 1.2", CA V12, MUTUAL, "server.test", ENGINE_PROTOCOL, ENGINE_VERIFY, "handshake_failure",
	 "ciphers",
	 'c', 0},
	{"client certificate missing 1.3", CA V13, MUTUAL, "server.test", ENGINE_PROTOCOL, ENGINE_VERIFY,
	 "peer sent alert 116 certificate_required", "certfile", 'c', 0},
	{"client certificate missing, as the server sees it", CA, MUTUAL, "server.test", ENGINE_PROTOCOL, ENGINE_VERIFY,
	 "the client sent no certificate", "cert_reqs", 's', 0},
	{"client certificate of a stranger", CA "|" PAIR("stranger"), MUTUAL, "server.test", ENGINE_PROTOCOL, ENGINE_VERIFY,
	 "local issuer", "ca_certs", 's', X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY},
	{"optional and missing", CA, GOOD "|ca_certs=@ca.pem|cert_reqs=optional", "server.test", 0, 0, NULL, NULL, 0, 0},
	{"optional and sent", CA "|" PAIR("client"), GOOD "|ca_certs=@ca.pem|cert_reqs=optional", "server.test", 0, 0, NULL, NULL,
	 0, 0},
	{"optional and bad", CA "|" PAIR("stranger"), GOOD "|ca_certs=@ca.pem|cert_reqs=optional", "server.test", ENGINE_PROTOCOL,
	 ENGINE_VERIFY, "local issuer", "ca_certs", 's', X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY},
	{"no common version", CA V12, GOOD V13, "server.test", ENGINE_PROTOCOL, ENGINE_PROTOCOL, "alert 70 protocol_version",
	 "minimum_version", 'c', 0},
	{"no common version, as the server sees it", CA V12, GOOD V13, "server.test", ENGINE_PROTOCOL, ENGINE_PROTOCOL,
	 "no TLS version in common", "minimum_version", 's', 0},
	{"no common cipher", CA V12 "|ciphers=ECDHE-ECDSA-AES128-GCM-SHA256", GOOD "|ciphers=ECDHE-ECDSA-AES256-GCM-SHA384",
	 "server.test",
	 ENGINE_PROTOCOL, ENGINE_PROTOCOL, "no cipher suite in common", "ciphers", 's', 0},
	{"no common suite", CA V13 "|ciphersuites=TLS_AES_128_GCM_SHA256", GOOD "|ciphersuites=TLS_AES_256_GCM_SHA384",
	 "server.test",
	 ENGINE_PROTOCOL, ENGINE_PROTOCOL, "no cipher suite in common", "ciphers", 's', 0},
	{"no common group", CA V13 "|groups=X25519", GOOD "|groups=P-384", "server.test", ENGINE_PROTOCOL, ENGINE_PROTOCOL,
	 "group in common",
	 "groups", 's', 0},
	{"cbc where asked for", CA V12 "|ciphers=ECDHE-ECDSA-AES128-SHA256", GOOD "|ciphers=ALL", "server.test", 0, 0, NULL, NULL,
	 0, 0},
	{"encrypted key", CA, "certfile=@good.pem|keyfile=@locked.key|password_file=@password", "server.test", 0, 0, NULL, NULL, 0,
	 0},
	{"combined file", CA, "certfile=@both.pem", "server.test", 0, 0, NULL, NULL, 0, 0},
	{"store uris", CA, "certfile=file:@good.pem|keyfile=file:@good.key", "server.test", 0, 0, NULL, NULL, 0, 0},
};

static void
check_teller(const struct handshake_case *k, struct engine *e)
{
	const char *hint = engine_hint(e);

	CHECKD(strstr(engine_error(e), k->error) != NULL, engine_error(e));
	CHECKD(k->hint ? hint && strcmp(hint, k->hint) == 0 : !hint, hint);
	CHECKD(engine_verify_code(e) == k->code, engine_error(e));
	CHECK(engine_reason(e)[0] != '\0');
}

static void
run_handshake(const struct handshake_case *k, size_t chop)
{
	struct config *cc = config_must(CONFIG_CLIENT, k->client), *cs = config_must(CONFIG_SERVER, k->server);
	struct peer client, server;
	enum engine_result rc, rs;
	char buf[16];
	size_t n;

	begin_case("%s", k->name);
	peer_open(&client, cc, k->host);
	peer_open(&server, cs, NULL);
	client.chop = server.chop = chop;
	handshake(&client, &server, &rc, &rs);
	/* TLS 1.3: what the server thinks of the client's certificate is met by the first read. */
	if (rc == ENGINE_DONE && rs != ENGINE_DONE)
		rc = engine_recv(client.engine, buf, sizeof(buf), &n);
	CHECKD(rc == k->rc, engine_error(client.engine));
	CHECKD(rs == k->rs || k->rs == ENGINE_DONE, engine_error(server.engine));
	CHECK(engine_handshake(client.engine) == rc || rc == ENGINE_DONE);	/* a failure is sticky */
	if (rc == ENGINE_DONE && rs == ENGINE_DONE) {
		CHECK(engine_info(client.engine).validated == (cc->cert_reqs != CONFIG_CERT_NONE));
		CHECK(talks(&client, &server, "ping") && talks(&server, &client, "pong"));
	}
	if (k->teller)
		check_teller(k, k->teller == 'c' ? client.engine : server.engine);
	CHECKD(ERR_peek_error() == 0, "error queue");
	peer_close(&client);
	peer_close(&server);
	config_free(cc);
	config_free(cs);
	end_case();
}

/* ---- files ---- */

static const struct seal_case {
	const char *name;
	enum config_role role;
	const char *settings;
	const char *error[3];	/* words of the sentence; all NULL = it seals */
	const char *warning;
} seals[] = {
	{"fine", CONFIG_SERVER, GOOD, {NULL, NULL, NULL}, NULL},
	{"certfile missing", CONFIG_SERVER, "certfile=@nowhere", {"certfile ", "/nowhere", "No such file"}, NULL},
	{"certfile empty", CONFIG_SERVER, "certfile=@empty|keyfile=@good.key", {"certfile ", "/empty", "empty"}, NULL},
	{"certfile words", CONFIG_SERVER, "certfile=@words|keyfile=@good.key", {"certfile ", "/words", "holds no certificate"},
	 NULL},
	{"certfile broken", CONFIG_SERVER, "certfile=@broken.pem|keyfile=@good.key", {"certfile ", "/broken.pem", "cannot be read"},
	 NULL},
	{"certfile a directory", CONFIG_SERVER, "certfile=@", {"certfile ", "directory", NULL}, NULL},
	{"keyfile missing", CONFIG_SERVER, "certfile=@good.pem|keyfile=@nowhere", {"keyfile ", "/nowhere", "No such file"}, NULL},
	{"keyfile empty", CONFIG_SERVER, "certfile=@good.pem|keyfile=@empty", {"keyfile ", "/empty", "empty"}, NULL},
	{"keyfile not named", CONFIG_SERVER, "certfile=@good.pem", {"certfile ", "holds no private key", "keyfile"}, NULL},
	{"keyfile of another", CONFIG_SERVER, "certfile=@good.pem|keyfile=@self.key", {"keyfile ", "/self.key", "does not belong"},
	 NULL},
	{"certificate as key", CONFIG_SERVER, "certfile=@good.pem|keyfile=@good.pem", {"keyfile ", "certificate", "swapped"}, NULL},
	{"swapped", CONFIG_SERVER, "certfile=@good.key|keyfile=@good.pem", {"certfile ", "private key", "swapped"}, NULL},
	{"locked", CONFIG_SERVER, "certfile=@good.pem|keyfile=@locked.key", {"keyfile ", "encrypted", "password_file"}, NULL},
	{"wrong password", CONFIG_SERVER, "certfile=@good.pem|keyfile=@locked.key|password_file=@wrongword",
	 {"keyfile ", "/wrongword", "does not open"}, NULL},
	{"password missing", CONFIG_SERVER, "certfile=@good.pem|keyfile=@locked.key|password_file=@nowhere",
	 {"password_file ", "/nowhere", "No such file"}, NULL},
	{"locked store", CONFIG_SERVER, "certfile=@good.pem|keyfile=file:@locked.key", {"keyfile ", "encrypted", "password_file"},
	 NULL},
	{"store missing", CONFIG_SERVER, "certfile=file:@nowhere", {"certfile ", "/nowhere", NULL}, NULL},
	{"open key", CONFIG_SERVER, "certfile=@good.pem|keyfile=@open.key", {NULL, NULL, NULL}, "/open.key"},
	{"open key, strict", CONFIG_SERVER, "certfile=@good.pem|keyfile=@open.key|strict_keys=yes", {"keyfile ", "644", "600"},
	 NULL},
	{"ca missing", CONFIG_CLIENT, "ca_certs=@nowhere", {"ca_certs ", "/nowhere", "No such file"}, NULL},
	{"ca words", CONFIG_CLIENT, "ca_certs=@words", {"ca_certs ", "/words", "holds no certificate"}, NULL},
	{"ca empty", CONFIG_CLIENT, "ca_certs=@empty", {"ca_certs ", "/empty", "holds no certificate"}, NULL},
	{"ca is a key", CONFIG_CLIENT, "ca_certs=@ca.key", {"ca_certs ", "/ca.key", "certificate"}, NULL},
	{"ca broken", CONFIG_CLIENT, "ca_certs=@broken.pem", {"ca_certs ", "/broken.pem", NULL}, NULL},
	{"ca a directory", CONFIG_CLIENT, "ca_certs=@", {"ca_certs ", "directory", "capath"}, NULL},
	{"ca system", CONFIG_CLIENT, "ca_certs=system", {NULL, NULL, NULL}, NULL},
	{"capath", CONFIG_CLIENT, "ca_certs=|capath=@", {NULL, NULL, NULL}, NULL},
	{"capath a file", CONFIG_CLIENT, "capath=@ca.pem", {"capath ", "not a directory", NULL}, NULL},
	{"capath missing", CONFIG_CLIENT, "capath=@nowhere", {"capath ", "No such file", NULL}, NULL},
	{"no such option", CONFIG_CLIENT, "options=OP_ALL, OP_NO_SUCH", {"options", "OP_NO_SUCH", "OP_NO_TICKET"}, NULL},
	{"options leave nothing", CONFIG_CLIENT, "options=OP_NO_TLSv1_2,OP_NO_TLSv1_3", {"options", "no TLS version", NULL}, NULL},
	{"eof may not be ignored", CONFIG_CLIENT, "options=OP_IGNORE_UNEXPECTED_EOF", {"options", "unknown", NULL}, NULL},
	{"no such cipher", CONFIG_CLIENT, "ciphers=NONSENSE", {"ciphers", "NONSENSE", NULL}, NULL},
	{"only anonymous ciphers", CONFIG_CLIENT, "ciphers=aNULL", {"ciphers", "aNULL", NULL}, NULL},
	{"all ciphers leave out the weak", CONFIG_CLIENT, "ciphers=ALL:eNULL", {NULL, NULL, NULL}, NULL},
	{"level 0", CONFIG_CLIENT, "ciphers=ALL:@SECLEVEL=0", {"ciphers", "level 0", "insecure"}, NULL},
	{"no such suite", CONFIG_CLIENT, "ciphersuites=TLS_AES_128_GCM_SHA256, TLS_NONSENSE", {"ciphersuites", "TLS_NONSENSE",
	 NULL}, NULL},
	{"two suites", CONFIG_CLIENT, "ciphersuites=TLS_AES_128_GCM_SHA256, TLS_AES_256_GCM_SHA384", {NULL, NULL, NULL}, NULL},
	{"no such group", CONFIG_CLIENT, "groups=P-256, NONSENSE", {"groups", "NONSENSE", NULL}, NULL},
	{"two groups", CONFIG_CLIENT, "groups=P-256, X25519", {NULL, NULL, NULL}, NULL},
	{"command", CONFIG_CLIENT, "openssl.SignatureAlgorithms=ECDSA+SHA256", {NULL, NULL, NULL}, NULL},
	{"unknown command", CONFIG_CLIENT, "openssl.Nonsense=1", {"openssl.Nonsense", NULL, NULL}, NULL},
	{"command's value", CONFIG_CLIENT, "openssl.SignatureAlgorithms=NONSENSE", {"openssl.SignatureAlgorithms", "NONSENSE",
	 NULL}, NULL},
};

static void
run_seal(const struct seal_case *k)
{
	char err[512], warn[512] = "";
	struct config *c;

	begin_case("%s", k->name);
	ERR_raise(ERR_LIB_USER, 7);	/* the program's own */
	errno = EDOM;
	c = config_build(k->role, k->settings, err, sizeof(err), warn, sizeof(warn));
	CHECKD((c != NULL) == (k->error[0] == NULL), err);
	for (int i = 0; i < 3; i++)
		CHECKD(!k->error[i] || strstr(err, k->error[i]) != NULL, err);
	CHECKD(k->warning ? strstr(warn, k->warning) != NULL : c == NULL || warn[0] == '\0', warn);
	CHECK(!strchr(err, '\n'));
	CHECK(errno == EDOM);
	CHECK(ERR_GET_LIB(ERR_peek_error()) == ERR_LIB_USER && ERR_GET_REASON(ERR_get_error()) == 7 && ERR_get_error() == 0);
	config_free(c);
	end_case();
}

/* ---- what is no TLS ---- */

static const struct foreign_case {
	const char *name;
	enum config_role role;
	const char *bytes;
	const char *error;
} foreigners[] = {
	{"http answer", CONFIG_CLIENT, "HTTP/1.1 400 Bad Request\r\n\r\n",
	 "the peer does not speak TLS: it sent what looks like HTTP"},
	{"http request", CONFIG_SERVER, "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
	 "the peer does not speak TLS: it sent what looks like HTTP"},
	{"ssh banner", CONFIG_CLIENT, "SSH-2.0-OpenSSH_9.2\r\n", "looks like SSH"},
	{"smtp banner", CONFIG_CLIENT, "220 mail.test ESMTP\r\n", "looks like SMTP"},
	{"redis error", CONFIG_CLIENT, "-ERR unknown command\r\n", "looks like Redis"},
	{"redis request", CONFIG_SERVER, "*1\r\n$4\r\nPING\r\n", "looks like Redis"},
	{"garbage", CONFIG_CLIENT, "\x7f\x01\x02garbage and more garbage", "the peer does not speak TLS"},
	{"garbage to a server", CONFIG_SERVER, "\x7f\x01\x02garbage and more garbage", "the peer does not speak TLS"},
	{"alert", CONFIG_CLIENT, "\x15\x03\x01""\0\x02\x02\x28", "peer sent alert 40 handshake_failure"},
};

static void
run_foreigner(const struct foreign_case *k, size_t chop)
{
	struct config *c = config_must(k->role, k->role == CONFIG_SERVER ? GOOD : CA);
	size_t len = strcmp(k->name, "alert") == 0 ? 7 : strlen(k->bytes);
	enum engine_result r;
	struct peer p;

	begin_case("%s", k->name);
	peer_open(&p, c, "server.test");
	p.chop = chop;
	r = step_with(&p, (const uint8_t *)k->bytes, len);
	CHECK(r == ENGINE_PROTOCOL);
	CHECKD(strstr(engine_error(p.engine), k->error) != NULL, engine_error(p.engine));
	peer_close(&p);
	config_free(c);
	end_case();
}

/* ---- names in the first message ---- */

static const struct sni_case {
	const char *name, *host, *sni;
} snis[] = {
	{"sni", "server.test", "server.test"},
	{"sni without the trailing dot", "server.test.", "server.test"},
	{"no sni for an address", "127.0.0.1", "(none)"},
	{"no sni for an ipv6 address", "[::1]", "(none)"},
};

static void
run_sni(const struct sni_case *k)
{
	struct config *c = config_must(CONFIG_CLIENT, CA);
	SSL_CTX *ctx = raw_ctx(true);
	struct peer client, server;

	begin_case("%s", k->name);
	seen_sni[0] = '\0';
	peer_open(&client, c, k->host);
	peer_open_raw(&server, ctx, true);
	CHECK(opened(&client, &server));
	CHECKD(strcmp(seen_sni, k->sni) == 0, seen_sni);
	peer_close(&client);
	peer_close(&server);
	SSL_CTX_free(ctx);
	config_free(c);
	end_case();
}

static const struct alpn_case {
	const char *name, *client, *server, *chosen;
} alpns[] = {
	{"alpn", "h2, http/1.1", "h2", "h2"},
	{"alpn by the server's preference", "http/1.1,h2", "h2,http/1.1", "h2"},
	{"alpn without overlap", "h2", "redis", NULL},
	{"alpn only on the server", "", "h2", NULL},
	{"alpn only on the client", "h2", "", NULL},
};

static void
run_alpn(const struct alpn_case *k)
{
	char sc[256], ss[256];
	struct config *cc, *cs;
	struct peer client, server;
	const char *a, *b;

	begin_case("%s", k->name);
	snprintf(sc, sizeof(sc), CA "|alpn_protocols=%s", k->client);
	snprintf(ss, sizeof(ss), GOOD "|alpn_protocols=%s", k->server);
	cc = config_must(CONFIG_CLIENT, sc);
	cs = config_must(CONFIG_SERVER, ss);
	CHECK(come(&client, &server, cc, cs, "server.test", NULL));
	a = engine_info(client.engine).alpn;
	b = engine_info(server.engine).alpn;
	CHECKD(k->chosen ? a && b && strcmp(a, k->chosen) == 0 && strcmp(b, k->chosen) == 0 : !a && !b, a);
	peer_close(&client);
	peer_close(&server);
	config_free(cc);
	config_free(cs);
	end_case();
}

static void
test_names(void)
{
	struct config *cc = config_must(CONFIG_CLIENT, CA), *cs = config_must(CONFIG_SERVER, GOOD);
	char subject[64], names[128], tiny[12], tinier[2];
	struct peer client, server;

	begin_case("names for the log");
	CHECK(!come(&client, &server, cc, cs, "other.test", NULL));
	engine_peer_names(client.engine, subject, sizeof(subject), names, sizeof(names));
	CHECKD(strcmp(subject, "CN=wrapsock good") == 0, subject);
	CHECKD(strcmp(names, "server.test, 127.0.0.1, ::1") == 0, names);
	engine_peer_names(client.engine, tinier, sizeof(tinier), tiny, sizeof(tiny));
	CHECKD(strstr(tiny, "...") != NULL, tiny);
	CHECK(engine_verify_kind(client.engine) == ENGINE_VERIFY_REJECTED);
	engine_peer_names(server.engine, subject, sizeof(subject), names, sizeof(names));
	CHECK(subject[0] == '\0' && names[0] == '\0');
	peer_close(&client);
	peer_close(&server);
	config_free(cc);
	config_free(cs);
	end_case();
}

static void
test_handshakes(void)
{
	for (size_t i = 0; i < COUNT(handshakes); i++) {
		run_handshake(&handshakes[i], 0);
		run_handshake(&handshakes[i], 1);
	}
}

/* The handshakes once more, by this program run anew on a host whose openssl.cnf sets everything otherwise. */
static void
test_foreign_settings(const char *self)
{
	char path[96];
	pid_t pid;

	begin_case("openssl.cnf of the host");
	write_text("openssl.cnf", "openssl_conf = a\n[a]\nssl_conf = b\n[b]\nsystem_default = c\n[c]\nMinProtocol = TLSv1.3\n"
		   "CipherString = AES256-SHA@SECLEVEL=5\nGroups = P-521\nSignatureAlgorithms = RSA+SHA512\nVerifyMode = Require\n"
		   "Options = -MiddleboxCompat,-ServerPreference,UnsafeLegacyRenegotiation\nNumTickets = 9\n");
	snprintf(path, sizeof(path), "%s/openssl.cnf", dir);
	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		setenv("OPENSSL_CONF", path, 1);
		execl(self, self, "handshakes", (char *)NULL);
		_exit(127);
	}
	CHECK_IS(child_status(pid), 0);
	end_case();
}

int
main(int argc, char **argv)
{
	make_files();
	test_handshakes();
	if (argc > 1) {
		remove_files();
		return failed > 0;
	}
	test_foreign_settings(argv[0]);
	for (size_t i = 0; i < COUNT(seals); i++)
		run_seal(&seals[i]);
	for (size_t i = 0; i < COUNT(foreigners); i++) {
		run_foreigner(&foreigners[i], 0);
		run_foreigner(&foreigners[i], 1);
	}
	for (size_t i = 0; i < COUNT(snis); i++)
		run_sni(&snis[i]);
	for (size_t i = 0; i < COUNT(alpns); i++)
		run_alpn(&alpns[i]);
	test_names();
	remove_files();
	return summary();
}
