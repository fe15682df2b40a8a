/* engine_share_test.c - sessions that leave their context: into a client's file, and into tickets that several servers open. */
#include "engine_pair.h"

/* ---- a client in another process ---- */

/* Two configs, one after the other, and what the second makes of what the first left in the file. */
static const struct shared_case {
	const char *name, *server, *first, *second;
	const char *host, *service;
	bool resumed;
	enum engine_result rc;
} shareds[] = {
	{"the same", GOOD, CA, CA, "server.test", ":1", true, ENGINE_DONE},
	{"another name", GOOD, CA, CA, "127.0.0.1", ":1", false, ENGINE_DONE},
	{"a name that the certificate lacks", GOOD, CA, CA, "else.test", ":1", false, ENGINE_VERIFY},
	{"another service", GOOD, CA, CA, "server.test", ":2", false, ENGINE_DONE},
	{"not verified at first", PAIR("self"), CA "|cert_reqs=none" LOOSE, CA, "server.test", ":1", false, ENGINE_VERIFY},
	{"not verified at either time", PAIR("self"), CA "|cert_reqs=none" LOOSE, CA "|cert_reqs=none" LOOSE, "server.test", ":1", true, ENGINE_DONE},
	{"verified optionally at first", GOOD, CA "|cert_reqs=optional", CA, "server.test", ":1", false, ENGINE_DONE},
	{"no name checked at first", GOOD, CA "|check_hostname=no" LOOSE, CA, "server.test", ":1", false, ENGINE_DONE},
	{"other authorities", GOOD, CA, "ca_certs=@other.pem", "server.test", ":1", false, ENGINE_VERIFY},
	{"the same authorities of another file", GOOD, CA, "ca_certs=@ca2.pem", "server.test", ":1", false, ENGINE_DONE},
	{"a folder of authorities, too", GOOD, CA, CA "|capath=@", "server.test", ":1", false, ENGINE_DONE},
	{"a folder of authorities", GOOD, CA "|capath=@cas", CA "|capath=@cas", "server.test", ":1", true, ENGINE_DONE},
	{"a folder of authorities that has changed", GOOD, CA "|capath=@", CA "|capath=@", "server.test", ":1", false, ENGINE_DONE},
	{"pinned later", GOOD, CA, CA "|pin=sha256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", "server.test", ":1", false, ENGINE_VERIFY},
	{"others allowed later", GOOD, CA, CA "|allow=dns=else.test", "server.test", ":1", false, ENGINE_VERIFY},
	{"a server_hostname later", GOOD, CA, CA "|server_hostname=server.test", "server.test", ":1", false, ENGINE_DONE},
	{"newer versions later", GOOD V13, CA, CA V13, "server.test", ":1", false, ENGINE_DONE},
	{"other suites later", GOOD, CA, CA "|ciphersuites=TLS_AES_128_GCM_SHA256", "server.test", ":1", false, ENGINE_DONE},
	{"a certificate of ours", MUTUAL, CA "|" PAIR("client"), CA "|" PAIR("client"), "server.test", ":1", true, ENGINE_DONE},
	{"another certificate of ours", MUTUAL, CA "|" PAIR("client"), CA "|" PAIR("client2"), "server.test", ":1", false, ENGINE_DONE},
	{"memory at first", GOOD, CA "|session_cache=memory", CA, "server.test", ":1", false, ENGINE_DONE},
	{"memory later", GOOD, CA, CA "|session_cache=memory", "server.test", ":1", false, ENGINE_DONE},
	{"none later", GOOD, CA, CA "|session_cache=none", "server.test", ":1", false, ENGINE_DONE},
};

static struct config *
config_shared(const char *settings)
{
	char text[512];

	snprintf(text, sizeof(text), "session_cache=file|%s", settings);
	return config_must(CONFIG_CLIENT, text);
}

static void
forget_sessions(void)
{
	unlink(at("wrapsock/sessions"));
	rmdir(at("wrapsock"));
}

static void
run_shared(const struct shared_case *k, const char *version)
{
	struct config *one = config_shared(k->first), *two, *cs;
	struct peer client, server;
	enum engine_result rc, rs;
	char text[256];

	snprintf(text, sizeof(text), "another process, %s, %s: %s", k->name, version + 1, k->resumed ? "resumes" : "does not");
	begin_case("%s", text);
	snprintf(text, sizeof(text), "%s%s", k->server, version);
	cs = config_must(CONFIG_SERVER, text);
	CHECK(come(&client, &server, one, cs, "server.test", ":1"));
	CHECK(talks(&client, &server, "ping") && talks(&server, &client, "pong"));
	peer_close(&client);
	peer_close(&server);
	config_free(one);
	two = config_shared(k->second);
	meet(&client, &server, two, cs, k->host, k->service, &rc, &rs);
	CHECK(rc == k->rc);
	CHECK(engine_info(client.engine).resumed == k->resumed);
	CHECK(!engine_warning(client.engine, text, sizeof(text)));
	if (rc == ENGINE_DONE)
		CHECK(talks(&client, &server, "ping") && talks(&server, &client, "pong"));
	peer_close(&client);
	peer_close(&server);
	config_free(two);
	config_free(cs);
	forget_sessions();
	end_case();
}

/* Each comes in a process of its own, and only the first one talks: what it was given is used once where it is a ticket of TLS 1.3. */
static void
run_shared_uses(const char *version, int expected)
{
	char settings[128];
	struct config *cs;
	int resumed = 0;

	begin_case("%s", version);
	snprintf(settings, sizeof(settings), "%s%s", GOOD, version);
	cs = config_must(CONFIG_SERVER, settings);
	for (int i = 0; i < 6; i++) {
		struct config *cc = config_shared(CA);
		struct peer client, server;

		CHECK(come(&client, &server, cc, cs, "server.test", ":1"));
		CHECK(i > 0 || (talks(&client, &server, "ping") && talks(&server, &client, "pong")));
		resumed += engine_info(client.engine).resumed;
		peer_close(&client);
		peer_close(&server);
		config_free(cc);
	}
	CHECK(resumed == (expected));
	config_free(cs);
	forget_sessions();
	end_case();
}

/* A file of them is written anew between the two, where it is. */
static void
test_shared_trust_changes(const char *settings, const char *file)
{
	struct config *cs = config_must(CONFIG_SERVER, GOOD), *cc;
	struct peer client, server;

	begin_case("another process, written anew: %s", file);
	WRITE(file, CERTS, made_find("ca"));
	for (int i = 0; i < 3; i++) {
		cc = config_shared(settings);
		CHECK(come(&client, &server, cc, cs, "server.test", ":1"));
		CHECK(engine_info(client.engine).resumed == (i == 1));
		CHECK(talks(&client, &server, "ping") && talks(&server, &client, "pong"));
		peer_close(&client);
		peer_close(&server);
		config_free(cc);
		if (i == 1)
			WRITE(file, CERTS, made_find("ca"));
	}
	config_free(cs);
	forget_sessions();
	end_case();
}

/* The file is there, but what it holds is no session. */
static void
test_shared_damage(void)
{
	struct config *cs = config_must(CONFIG_SERVER, GOOD);
	char warning[400], noise[512];
	struct peer client, server;

	begin_case("another process, a damaged file");
	memset(noise, 'x', sizeof(noise));
	for (int i = 0; i < 2; i++) {
		struct config *cc = config_shared(CA);

		CHECK(come(&client, &server, cc, cs, "server.test", ":1"));
		CHECK(!engine_info(client.engine).resumed);
		CHECK(engine_warning(client.engine, warning, sizeof(warning)) == (i == 1));
		CHECK(i == 0 || strstr(warning, "/wrapsock/sessions: damaged"));
		CHECK(!engine_warning(client.engine, warning, sizeof(warning)));
		CHECK(talks(&client, &server, "ping") && talks(&server, &client, "pong"));
		peer_close(&client);
		peer_close(&server);
		config_free(cc);
		for (long place = 0; place < (2 << 20); place += 8192) {
			FILE *f = fopen(at("wrapsock/sessions"), "r+");

			must(f && fseek(f, place, SEEK_SET) == 0 && fwrite(noise, sizeof(noise), 1, f) == 1 && fclose(f) == 0, "noise");
		}
	}
	config_free(cs);
	forget_sessions();
	end_case();
}

static void
test_shareds(void)
{
	WRITE("ca2.pem", CERTS, made_find("ca"));
	must(mkdir(at("cas"), 0700) == 0 && setenv("XDG_RUNTIME_DIR", dir, 1) == 0, "a folder");
	for (size_t i = 0; i < COUNT(shareds); i++) {
		if (!strstr(shareds[i].server, V13))
			run_shared(&shareds[i], V12);
		run_shared(&shareds[i], V13);
	}
	run_shared_uses(V12, 5);
	run_shared_uses(V13, 2);
	test_shared_trust_changes("ca_certs=@ca2.pem", "ca2.pem");
	test_shared_trust_changes(CA "|capath=@cas", "cas/any");
	test_shared_damage();
	unsetenv("XDG_RUNTIME_DIR");
}

/* ---- servers that share keys ---- */

#define KEYS(file) "|ticket_keys=@" file
static const struct sealing_case {
	const char *name, *first, *second;
	bool resumed;
} sealings[] = {
	{"no keys", GOOD, GOOD, false},
	{"the same keys", GOOD KEYS("abc"), GOOD KEYS("abc"), true},
	{"the same short keys", GOOD KEYS("short"), GOOD KEYS("short"), true},
	{"one key", GOOD KEYS("b"), GOOD KEYS("b"), true},
	{"keys of one of them", GOOD KEYS("abc"), GOOD, false},
	{"other keys", GOOD KEYS("b"), GOOD KEYS("short"), false},
	{"the last of them is ahead", GOOD KEYS("abc"), GOOD KEYS("abcd"), true},
	{"the first of them is ahead", GOOD KEYS("abcd"), GOOD KEYS("abc"), true},
	{"the last of them is far ahead", GOOD KEYS("abc"), GOOD KEYS("abcdef"), false},
	{"a certificate for other names", GOOD KEYS("abc"), PAIR("cn") KEYS("abc"), false},
	{"another certificate for the same names", PAIR("future") KEYS("abc"), PAIR("future") KEYS("abc"), true},
	{"clients verified later", GOOD KEYS("abc"), GOOD KEYS("abc") "|ca_certs=@ca.pem|cert_reqs=optional", false},
	{"clients verified at both", MUTUAL KEYS("abc"), MUTUAL KEYS("abc"), true},
	{"clients verified against the same authorities of another file", MUTUAL KEYS("abc"),
	 GOOD KEYS("abc") "|ca_certs=@ca2.pem|cert_reqs=required", true},
	{"clients verified against more authorities at first", GOOD KEYS("abc") "|ca_certs=@two.pem|cert_reqs=required", MUTUAL KEYS("abc"), false},
	{"others allowed later", MUTUAL KEYS("abc"), MUTUAL KEYS("abc") "|allow=dns=client.test", false},
	{"older versions later", GOOD KEYS("abc"), GOOD KEYS("abc") "|minimum_version=TLSv1.1" LOOSE, false},
};

static void
run_sealing(const struct sealing_case *k, const char *version)
{
	struct config *cc = config_must(CONFIG_CLIENT, CA "|cert_reqs=none|" PAIR("client") LOOSE), *one, *two;
	struct peer client, server;
	char text[256];

	snprintf(text, sizeof(text), "another server, %s, %s: %s", k->name, version + 1, k->resumed ? "resumes" : "does not");
	begin_case("%s", text);
	snprintf(text, sizeof(text), "%s%s", k->first, version);
	one = config_must(CONFIG_SERVER, text);
	snprintf(text, sizeof(text), "%s%s", k->second, version);
	two = config_must(CONFIG_SERVER, text);
	CHECK(come(&client, &server, cc, one, "server.test", ":1"));
	CHECK(talks(&client, &server, "ping") && talks(&server, &client, "pong"));
	peer_close(&client);
	peer_close(&server);
	for (int i = 0; i < 2; i++) {	/* and once more, with what the second gave it */
		CHECK(come(&client, &server, cc, two, "server.test", ":1"));
		CHECK(engine_info(client.engine).resumed == (k->resumed || i > 0));
		CHECK(engine_info(server.engine).resumed == (k->resumed || i > 0));
		CHECK(talks(&client, &server, "ping") && talks(&server, &client, "pong"));
		peer_close(&client);
		peer_close(&server);
	}
	config_free(cc);
	config_free(one);
	config_free(two);
	end_case();
}

static void
write_keys(const char *file, const char *letters, size_t len)
{
	FILE *f = fopen(at(file), "w");
	unsigned char key[80], base64[120];

	must(f && chmod(at(file), 0600) == 0, file);
	fputs("# keys for the test\n\n", f);
	for (; *letters; letters++) {
		memset(key, *letters, sizeof(key));
		EVP_EncodeBlock(base64, key, (int)len);
		fprintf(f, "%s\n", base64);
	}
	fclose(f);
}

static void
test_sealings(void)
{
	WRITE("two.pem", CERTS, made_find("ca"), made_find("other"));
	WRITE("ca2.pem", CERTS, made_find("ca"));
	write_keys("b", "b", 80);
	write_keys("abc", "abc", 80);
	write_keys("abcd", "abcd", 80);
	write_keys("abcdef", "abcdef", 80);
	write_keys("short", "bcd", 48);
	for (size_t i = 0; i < COUNT(sealings); i++) {
		run_sealing(&sealings[i], V12);
		run_sealing(&sealings[i], V13);
	}
}

int
main(void)
{
	make_files();
	test_shareds();
	test_sealings();
	remove_files();
	return summary();
}
