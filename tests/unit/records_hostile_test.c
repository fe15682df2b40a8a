/*
 * records_hostile_test.c - records that no honest peer seals: damaged ones, ones out of place, and what they may cost.
 */
#include "records_pair.h"

/* Every byte of a record, one bit changed: it never opens, and the alert that follows is one that the peer understands. */
static void
test_tampered(void)
{
	static char name[120];

	for (size_t i = 0; i < COUNT(suites); i++) {
		size_t n = 1, used, got;
		uint8_t out[RECORDS_CIPHER], alert[RECORDS_OVERHEAD], byte;

		snprintf(name, sizeof(name), "tampered with %s", suites[i].name);
		begin_case("%s", name);
		for (size_t at = 0; at < n; at++) {
			struct pair p;
			enum records_result r;

			if (!pair_open(&p, &suites[i], CONFIG_SERVER))
				break;
			CHECK(SSL_write_ex(p.ssl, text(8), 8, &got) == 1);
			n = collect(&p);
			p.buf[at] ^= 1;
			r = open_one(p.records, p.buf, n, &used, out, &got);
			CHECK(r == RECORDS_FAILED || (r == RECORDS_WANT && (at == 3 || at == 4)));
			if (r == RECORDS_FAILED) {
				CHECK(*records_reason(p.records) && records_seal(p.records, text(1), 1, out) == 0);
				give(&p, alert, records_alert(p.records, alert));
				CHECK(peer_reads(&p, &byte, 1) == -3);
				CHECK(records_alert(p.records, alert) == 0);
				CHECK(records_open(p.records, p.buf, n, &used, out, &got) == RECORDS_FAILED);
			}
			pair_close(&p);
		}
		end_case();
	}
}

/* Content that our twin seals and no honest peer would send. */
static const struct content_case {
	const char *name;
	bool tls13;
	int type;
	const char *bytes;
	size_t len;
	enum records_result result;
} contents[] = {
	{"fatal alert", true, 21, "\2\50", 2, RECORDS_FAILED},
	{"fatal alert, 1.2", false, 21, "\2\50", 2, RECORDS_FAILED},
	{"warning, 1.2", false, 21, "\1\132", 2, RECORDS_NOTHING},
	{"user_canceled", true, 21, "\1\132", 2, RECORDS_NOTHING},
	{"a warning that is fatal in 1.3", true, 21, "\1\50", 2, RECORDS_FAILED},
	{"close_notify", true, 21, "\1\0", 2, RECORDS_CLOSED},
	{"half an alert", true, 21, "\1", 1, RECORDS_FAILED},
	{"two alerts", true, 21, "\1\0\1\0", 4, RECORDS_FAILED},
	{"ticket", true, 22, "\4\0\0\3abc", 7, RECORDS_NOTHING},
	{"two tickets", true, 22, "\4\0\0\3abc\4\0\0\1x", 12, RECORDS_NOTHING},
	{"part of a ticket", true, 22, "\4\0\1\0abc", 7, RECORDS_NOTHING},
	{"key update", true, 22, "\30\0\0\1\0", 5, RECORDS_NOTHING},
	{"key update with company", true, 22, "\30\0\0\1\0\4\0\0\0", 9, RECORDS_FAILED},
	{"key update of a wrong kind", true, 22, "\30\0\0\1\2", 5, RECORDS_FAILED},
	{"long key update", true, 22, "\30\0\0\2\0\0", 6, RECORDS_FAILED},
	{"key update, 1.2", false, 22, "\30\0\0\1\0", 5, RECORDS_FAILED},
	{"hello request, 1.2", false, 22, "\0\0\0\0", 4, RECORDS_NOTHING},
	{"hello request", true, 22, "\0\0\0\0", 4, RECORDS_FAILED},
	{"client hello, 1.2", false, 22, "\1\0\0\2ab", 6, RECORDS_NOTHING},
	{"certificate request", true, 22, "\15\0\0\0", 4, RECORDS_FAILED},
	{"finished", true, 22, "\24\0\0\0", 4, RECORDS_FAILED},
	{"empty handshake", true, 22, "", 0, RECORDS_FAILED},
	{"change cipher spec", true, 20, "\1", 1, RECORDS_FAILED},
	{"change cipher spec, 1.2", false, 20, "\1", 1, RECORDS_FAILED},
	{"unknown type", true, 99, "x", 1, RECORDS_FAILED},
	{"no data", true, 23, "", 0, RECORDS_DATA},
	{"no data, 1.2", false, 23, "", 0, RECORDS_DATA},
};

/* The same keys the other way round. */
static struct records *
twin(bool tls13, struct records **they)
{
	struct engine_records a = {.version = tls13 ? TLS1_3_VERSION : TLS1_2_VERSION, .aead = ENGINE_GCM, .tag_len = 16};
	struct records *we;

	for (int d = 0; d < 2; d++) {
		memset(a.dir[d].secret, 3, 48);
		memset(a.dir[d].key, 4, 32);
		a.dir[d].secret_len = tls13 ? 48 : 0;
		a.dir[d].key_len = 32;
		a.dir[d].iv_len = tls13 ? 12 : 4;
	}
	we = records_new(&a);
	*they = records_new(&a);
	must(we && *they, "records_new");
	return we;
}

static void
test_contents(void)
{
	uint8_t out[RECORDS_PLAIN + RECORDS_OVERHEAD], plain[RECORDS_CIPHER];
	struct records *we, *they;
	size_t n, used, got;

	for (size_t i = 0; i < COUNT(contents); i++) {
		const struct content_case *c = &contents[i];

		begin_case("%s", c->name);
		we = twin(c->tls13, &they);
		n = records_seal_type(they, c->type, (const uint8_t *)c->bytes, c->len, out);
		CHECK(open_one(we, out, n, &used, plain, &got) == c->result);
		CHECK(used == n && got == 0);
		records_free(we);
		records_free(they);
		end_case();
	}
}

static void
test_bounds(void)
{
	uint8_t out[RECORDS_CIPHER + 2048], plain[RECORDS_CIPHER], big[RECORDS_PLAIN + 2] = {0};
	struct records *we, *they;
	size_t n, used, got;
	enum records_result r = RECORDS_DATA;
	int count = 0;

	begin_case("a message in many records, data may not come between");
	we = twin(true, &they);
	for (int i = 0; i < 7; i++) {
		n = records_seal_type(they, 22, (const uint8_t *)"\4\0\0\4abcd" + i, 1, out);
		CHECK(records_open(we, out, n, &used, plain, &got) == RECORDS_NOTHING);
	}
	n = records_seal_type(they, 23, text(3), 3, out);
	CHECK(records_open(we, out, n, &used, plain, &got) == RECORDS_FAILED);
	records_free(we);
	records_free(they);
	end_case();

	begin_case("too much data");
	we = twin(true, &they);
	n = records_seal_type(they, 23, big, RECORDS_PLAIN + 1, out);
	CHECK(records_open(we, out, n, &used, plain, &got) == RECORDS_FAILED && strstr(records_reason(we), "too much"));
	records_free(we);
	records_free(they);
	end_case();

	begin_case("records without data, without end");
	we = twin(false, &they);
	for (; r == RECORDS_DATA && count < 1000; count++) {
		n = records_seal_type(they, 23, big, 0, out);
		r = records_open(we, out, n, &used, plain, &got);
	}
	CHECK(r == RECORDS_FAILED && count == RECORDS_IDLE + 1);
	records_free(we);
	records_free(they);
	end_case();

	begin_case("no record at all");
	we = twin(true, &they);
	CHECK(records_open(we, (const uint8_t *)"HTTP/1.1", 8, &used, plain, &got) == RECORDS_FAILED);
	records_free(we);
	records_free(they);
	we = twin(true, &they);
	CHECK(records_open(we, (const uint8_t *)"\27\3\3\377\377", 5, &used, plain, &got) == RECORDS_FAILED);
	records_free(we);
	records_free(they);
	end_case();
}

int
main(void)
{
	make_self(NULL);
	test_tampered();
	test_contents();
	test_bounds();
	remove_dir();
	return summary();
}
