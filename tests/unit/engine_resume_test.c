/* engine_resume_test.c - the engine's sessions: tickets, who may come again, and how often. */
#include "engine_pair.h"

/* No byte behind the server's handshake until it has data, and then tickets that work. */
static void
test_tickets(const char *name, const char *settings, bool expect)
{
	struct config *c = config_must(CONFIG_SERVER, settings);
	SSL_CTX *ctx = raw_ctx(false);
	struct peer client, server;
	char buf[64];
	size_t n;

	begin_case("%s", name);
	for (int round = 0; round < 2; round++) {
		peer_open_raw(&client, ctx, false);
		peer_open(&server, c, NULL);
		if (round > 0 && kept)
			CHECK(SSL_set_session(client.ssl, kept));
		CHECK(opened(&client, &server));
		CHECK(server.wire.out_len == 0);
		CHECK((SSL_session_reused(client.ssl) == 1) == (round == 1 && expect));
		CHECK(engine_info(server.engine).resumed == (round == 1 && expect));
		CHECK(talks(&client, &server, "ping"));
		CHECK(server.wire.out_len == 0);
		CHECK(hear(&client, buf, sizeof(buf), &n) == ENGINE_WANT_READ && (kept == NULL || round == 1));
		CHECK(talks(&server, &client, "pong") && talks(&client, &server, "ping") && talks(&server, &client, "pong"));
		CHECK((kept != NULL) == expect);
		SSL_shutdown(client.ssl);
		peer_close(&client);
		peer_close(&server);
	}
	SSL_SESSION_free(kept);
	kept = NULL;
	SSL_CTX_free(ctx);
	config_free(c);
	end_case();
}

/* A client that comes again: first with these settings, name and service, then with those. */
static const struct again_case {
	const char *name, *server, *first, *second;	/* second NULL = the same config */
	const char *host, *service;			/* of the second */
	bool resumed;
	enum engine_result rc;
} agains[] = {
	{"the same", GOOD, CA, NULL, "server.test", ":1", true, ENGINE_DONE},
	{"another name", GOOD, CA, NULL, "127.0.0.1", ":1", false, ENGINE_DONE},
	{"a name that the certificate lacks", GOOD, CA, NULL, "else.test", ":1", false, ENGINE_VERIFY},
	{"another service", GOOD, CA, NULL, "server.test", ":2", false, ENGINE_DONE},
	{"no service", GOOD, CA, NULL, "server.test", NULL, false, ENGINE_DONE},
	{"another config", GOOD, CA, CA, "server.test", ":1", false, ENGINE_DONE},
	{"unverified, then verified", PAIR("self"), CA "|cert_reqs=none" LOOSE, CA, "server.test", ":1", false, ENGINE_VERIFY},
	{"unverified twice", PAIR("self"), CA "|cert_reqs=none" LOOSE, NULL, "server.test", ":1", true, ENGINE_DONE},
	{"no tickets wanted", GOOD, CA "|options=OP_NO_TICKET", NULL, "server.test", ":1", false, ENGINE_DONE},
	{"no tickets given", GOOD "|options=OP_NO_TICKET", CA, NULL, "server.test", ":1", false, ENGINE_DONE},
	{"mutual", MUTUAL, CA "|" PAIR("client"), NULL, "server.test", ":1", true, ENGINE_DONE},
};

static void
run_again(const struct again_case *k, const char *version)
{
	char cs_text[256], name[128];
	struct config *cs, *one = config_must(CONFIG_CLIENT, k->first), *two = k->second ? config_must(CONFIG_CLIENT, k->second) : config_ref(one);
	struct peer client, server;
	enum engine_result rc, rs;

	snprintf(name, sizeof(name), "comes again, %s, TLS 1.%s: %s", k->name, version[strlen(version) - 1] == '2' ? "2" : "3",
		 k->resumed ? "resumes" : "does not");
	begin_case("%s", name);
	snprintf(cs_text, sizeof(cs_text), "%s%s", k->server, version);
	cs = config_must(CONFIG_SERVER, cs_text);
	CHECK(come(&client, &server, one, cs, "server.test", ":1"));
	CHECK(talks(&client, &server, "ping") && talks(&server, &client, "pong"));
	CHECK(!engine_info(client.engine).resumed);
	peer_close(&client);
	peer_close(&server);
	meet(&client, &server, two, cs, k->host, k->service, &rc, &rs);
	CHECK(rc == (k->rc));
	CHECK(engine_info(client.engine).resumed == (k->resumed));
	if (rc == ENGINE_DONE) {
		CHECK(engine_info(server.engine).resumed == (k->resumed));
		CHECK(engine_info(client.engine).validated == (two->cert_reqs != CONFIG_CERT_NONE));
		CHECK(talks(&client, &server, "ping") && talks(&server, &client, "pong"));
	}
	peer_close(&client);
	peer_close(&server);
	config_free(cs);
	config_free(one);
	config_free(two);
	end_case();
}

/* One talk gives two tickets of TLS 1.3, each good for one connection; an older session is good for all. */
static void
run_uses(const char *version, int expected)
{
	char settings[128];
	struct config *cc = config_must(CONFIG_CLIENT, CA), *cs;
	int resumed = 0;

	begin_case("%s", version);
	snprintf(settings, sizeof(settings), "%s%s", GOOD, version);
	cs = config_must(CONFIG_SERVER, settings);
	for (int i = 0; i < 6; i++) {
		struct peer client, server;

		CHECK(come(&client, &server, cc, cs, "server.test", ":1"));
		CHECK(i > 0 || (talks(&client, &server, "ping") && talks(&server, &client, "pong")));
		resumed += engine_info(client.engine).resumed;
		peer_close(&client);
		peer_close(&server);
	}
	CHECK(resumed == (expected));
	config_free(cs);
	config_free(cc);
	end_case();
}

static void
test_agains(void)
{
	for (size_t i = 0; i < COUNT(agains); i++) {
		run_again(&agains[i], V12);
		run_again(&agains[i], V13);
	}
	run_uses(V12, 5);
	run_uses(V13, 2);
}

/* ---- a certificate that expires while its session is kept ---- */

/* Of the peer's own, or of the authority between it and the one that is trusted, whose certificate no session has; of either end. */
static const struct expiry {
	const char *name, *client, *server, *version;
	bool of_server;			/* it is the server that is refused */
} expiries[] = {
	{"a server's certificate expires, TLS 1.2", CA, PAIR("brief"), V12, true},
	{"a server's certificate expires, TLS 1.3", CA, PAIR("brief"), V13, true},
	{"a server's authority expires, TLS 1.2", CA, PAIR("below"), V12, true},
	{"a server's authority expires, TLS 1.3", CA, PAIR("below"), V13, true},
	{"a client's certificate expires, TLS 1.2", CA "|" PAIR("brief"), MUTUAL, V12, false},
	{"a client's certificate expires, TLS 1.3", CA "|" PAIR("brief"), MUTUAL, V13, false},
	{"a client's authority expires, TLS 1.2", CA "|" PAIR("below"), MUTUAL, V12, false},
	{"a client's authority expires, TLS 1.3", CA "|" PAIR("below"), MUTUAL, V13, false},
};

static void
make_brief(struct identity *brief, struct identity *authority, struct identity *below, long seconds)
{
	*brief = make_identity(&(struct spec){.cn = "brief", .san = "DNS:server.test", .from = -10, .to = seconds}, made_find("ca"));
	*authority = make_identity(&(struct spec){.cn = "brief authority", .ca = true, .from = -10, .to = seconds}, made_find("ca"));
	*below = make_identity(&(struct spec){.cn = "below", .san = "DNS:server.test"}, authority);
	WRITE("brief.pem", CERTS, brief);
	WRITE("brief.key", KEY, brief);
	WRITE("below.pem", CERTS, below, authority);
	WRITE("below.key", KEY, below);
}

/* brief_s: long enough for a few connections */
static void
test_expiry(long brief_s)
{
	struct config *cc[COUNT(expiries)], *cs[COUNT(expiries)];
	struct identity brief, authority, below;
	struct peer client, server;
	enum engine_result rc, rs;
	char settings[128];

	make_brief(&brief, &authority, &below, brief_s);
	for (size_t i = 0; i < COUNT(expiries); i++) {
		begin_case("%s: before", expiries[i].name);
		snprintf(settings, sizeof(settings), "%s%s", expiries[i].server, expiries[i].version);
		cs[i] = config_must(CONFIG_SERVER, settings);
		cc[i] = config_must(CONFIG_CLIENT, expiries[i].client);
		for (int turn = 0; turn < 2; turn++) {		/* what a resumption gives, too */
			CHECK(come(&client, &server, cc[i], cs[i], "server.test", ":1"));
			CHECK(engine_info(client.engine).resumed == (turn == 1));
			CHECK(talks(&client, &server, "ping") && talks(&server, &client, "pong"));
			peer_close(&client);
			peer_close(&server);
		}
		end_case();
	}
	while (X509_cmp_current_time(X509_get0_notAfter(brief.cert)) > 0)
		usleep(10000);
	for (size_t i = 0; i < COUNT(expiries); i++) {
		begin_case("%s: after", expiries[i].name);
		meet(&client, &server, cc[i], cs[i], "server.test", ":1", &rc, &rs);
		CHECK((expiries[i].of_server ? rc : rs) == ENGINE_VERIFY);
		CHECK_IS(engine_verify_kind(expiries[i].of_server ? client.engine : server.engine), ENGINE_VERIFY_EXPIRED);
		CHECK(!engine_info(client.engine).resumed && !engine_info(server.engine).resumed);
		peer_close(&client);
		peer_close(&server);
		config_free(cc[i]);
		config_free(cs[i]);
		end_case();
	}
	identity_free(&brief);
	identity_free(&authority);
	identity_free(&below);
}

int
main(void)
{
	int64_t began;

	make_files();
	test_tickets("tickets with the first data", GOOD V13, true);
	test_tickets("OP_NO_TICKET", GOOD V13 "|options=OP_NO_TICKET", false);
	began = now_ms();
	test_agains();
	test_expiry(3 + (long)(now_ms() - began) / 500);	/* as slow as this is today */
	remove_files();
	return summary();
}
