/*
 * records_test.c - a connection continued by records alone, record by record against OpenSSL in memory: both versions, all kinds of
 * suites, both roles, both directions, keys that change.
 */
#include "records_pair.h"

static void
talk(struct pair *p)
{
	static const size_t sizes[] = {1, 2, 100, 1500, RECORDS_PLAIN - 1, RECORDS_PLAIN};

	for (size_t i = 0; i < COUNT(sizes); i++) {
		we_say(p, sizes[i]);
		we_hear(p, sizes[i]);
		we_hear(p, 3);
	}
}

static void
part(struct pair *p)
{
	uint8_t out[RECORDS_OVERHEAD], byte, *data = malloc(BIG);
	size_t n;

	must(data != NULL, "memory");
	SSL_shutdown(p->ssl);
	CHECK(we_open(p, data, &n) == RECORDS_CLOSED);
	we_say(p, 10);			/* the other direction is still open */
	n = records_alert(p->records, out);
	CHECK(n > 0);
	give(p, out, n);
	CHECK(peer_reads(p, &byte, 1) == -2);
	free(data);
}

static void
test_talk(void)
{
	static char name[120];

	for (size_t i = 0; i < COUNT(suites); i++)
		for (int role = CONFIG_CLIENT; role <= CONFIG_SERVER; role++) {
			struct pair p;

			snprintf(name, sizeof(name), "%s as %s", suites[i].name, role == CONFIG_CLIENT ? "client" : "server");
			begin_case("%s", name);
			if (pair_open(&p, &suites[i], (enum config_role)role)) {
				talk(&p);
				SSL_set_block_padding(p.ssl, 400);
				talk(&p);
				part(&p);
			}
			pair_close(&p);
			end_case();
		}
}

/* ---- keys that change ---- */

static void
peer_updates(struct pair *p, bool ask)
{
	uint8_t none[64];
	size_t n;

	CHECK(SSL_key_update(p->ssl, ask ? SSL_KEY_UPDATE_REQUESTED : SSL_KEY_UPDATE_NOT_REQUESTED) == 1 && SSL_do_handshake(p->ssl) == 1);
	CHECK(we_open(p, none, &n) == RECORDS_NOTHING && n == 0);
	we_hear(p, 20);
	we_say(p, 20);			/* asked: our own update goes first */
	CHECK(!p->records->owes_update && p->records->dir[SEALING].sequence == (ask ? 1 : p->records->dir[SEALING].sequence));
}

static void
we_update(struct pair *p, bool ask)
{
	uint8_t out[RECORDS_OVERHEAD], none[64];
	size_t n = records_update(p->records, ask, out);

	CHECK(n > 0);
	give(p, out, n);
	we_say(p, 30);
	CHECK(SSL_write_ex(p->ssl, text(5), 5, &n) == 1);
	CHECK(we_open(p, none, &n) == RECORDS_DATA && n == 5 && memcmp(none, text(5), 5) == 0);
	CHECK(!ask || p->records->dir[OPENING].sequence == 1);	/* the peer has new keys, too */
}

static void
test_updates(void)
{
	static char name[120];

	for (size_t i = 0; i < COUNT(suites); i++) {
		struct pair p;

		if (!suites[i].tls13)
			continue;
		snprintf(name, sizeof(name), "key updates under %s", suites[i].name);
		begin_case("%s", name);
		if (pair_open(&p, &suites[i], i & 1 ? CONFIG_SERVER : CONFIG_CLIENT)) {
			peer_updates(&p, true);
			peer_updates(&p, false);
			peer_updates(&p, true);
			we_update(&p, true);
			we_update(&p, false);
			peer_updates(&p, true);
			talk(&p);
		}
		pair_close(&p);
		end_case();
	}
}

/* A worn key is changed without being asked; two record engines face each other, for only they can be told a number. */
static void
test_worn(void)
{
	struct engine_records a = {.version = TLS1_3_VERSION, .aead = ENGINE_GCM, .tag_len = 16}, b;
	uint8_t out[RECORDS_PLAIN + RECORDS_OVERHEAD], plain[RECORDS_CIPHER];
	struct records *we, *they;
	size_t n, used, got;

	begin_case("a worn key");
	for (int d = 0; d < 2; d++) {
		memset(a.dir[d].secret, 7 + d, 32);
		memset(a.dir[d].key, 9 + d, 16);
		a.dir[d].secret_len = 32;
		a.dir[d].key_len = 16;
		a.dir[d].iv_len = 12;
		a.dir[d].sequence = ((uint64_t)1 << 24) - 1;
	}
	b = a;
	b.dir[0] = a.dir[1];
	b.dir[1] = a.dir[0];
	we = records_new(&a);
	they = records_new(&b);
	must(we && they, "records_new");
	n = records_seal(we, text(9), 9, out);
	CHECK(n == RECORDS_HEADER + 9 + 1 + 16);
	CHECK(records_open(they, out, n, &used, plain, &got) == RECORDS_DATA && got == 9);
	n = records_seal(we, text(9), 9, out);
	CHECK(n == 2 * (RECORDS_HEADER + 1 + 16) + 5 + 9);
	CHECK(records_open(they, out, n, &used, plain, &got) == RECORDS_NOTHING);
	CHECK(records_open(they, out + used, n - used, &used, plain, &got) == RECORDS_DATA && got == 9 && memcmp(plain, text(9), 9) == 0);
	CHECK(we->dir[SEALING].sequence == 1 && they->dir[OPENING].sequence == 1);
	we->dir[SEALING].sequence = UINT64_MAX;
	CHECK(records_update(we, false, out) == 0 && records_seal(we, text(1), 1, out) == 0);
	records_free(we);
	records_free(they);
	end_case();
}

/* The peer asks for another handshake: declined, and the connection goes on. */
static void
test_renegotiation(void)
{
	struct pair p;
	uint8_t data[256], out[RECORDS_OVERHEAD + 16];
	size_t n;

	begin_case("a server asks for renegotiation");
	if (open_suite(&p, "ECDHE-ECDSA-AES128-GCM-SHA256", CONFIG_CLIENT)) {
		CHECK(SSL_renegotiate(p.ssl) == 1 && SSL_do_handshake(p.ssl) == 1);
		CHECK(we_open(&p, data, &n) == RECORDS_NOTHING && p.records->owes_refusal);
		n = records_seal(p.records, text(4), 4, out);
		CHECK(n > 0 && !p.records->owes_refusal && out[0] == SSL3_RT_ALERT);
	}
	pair_close(&p);
	end_case();
}

static void
test_states(void)
{
	struct engine_records good = {.version = TLS1_2_VERSION, .aead = ENGINE_GCM, .tag_len = 16,
				      .dir = {{.key_len = 16, .iv_len = 4}, {.key_len = 16, .iv_len = 4}}}, bad;
	struct records *r;

	begin_case("states that cannot be continued");
	r = records_new(&good);
	CHECK(r != NULL);
	records_free(r);
	bad = good, bad.version = 0x0302;
	CHECK(records_new(&bad) == NULL);
	bad = good, bad.tag_len = 12;
	CHECK(records_new(&bad) == NULL);
	bad = good, bad.dir[1].iv_len = 12;
	CHECK(records_new(&bad) == NULL);
	bad = good, bad.dir[0].key_len = 24;
	CHECK(records_new(&bad) == NULL);
	bad = good, bad.version = TLS1_3_VERSION;
	CHECK(records_new(&bad) == NULL);
	bad = good, bad.aead = ENGINE_CHACHA20;
	CHECK(records_new(&bad) == NULL);
	end_case();
}

int
main(void)
{
	make_self(NULL);
	test_talk();
	test_updates();
	test_worn();
	test_renegotiation();
	test_states();
	remove_dir();
	return summary();
}
