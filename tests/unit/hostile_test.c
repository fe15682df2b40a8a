/*
 * hostile_test.c - open connections with peers from hell, in both roles and versions: floods, records that no honest peer sends, cut and
 * damaged ones, and an end that does not come.
 */
#include "hostile_peer.h"

/* A peer that hears our end and never says its own, nor closes: we need not wait for it. */
static void
test_never_closing(int v)
{
	struct pair *p = open_shaken(v);
	int64_t began = now_ms();
	char byte;

	conn_set_blocking(p->c, true);
	result("a peer that never closes", p->v->name, conn_shutdown(p->c, p->fd, SHUT_WR) == 0 && receive(p, &byte, 1) == -EAGAIN, last_warning);
	close_pair(p);
	result("a peer that never closes", p->v->name, now_ms() - began < 1000, "we waited for it");
}

static long flood_most;		/* bytes that the worst flood took */

static const struct flood {
	const char *name;
	int type;
	const char *body;
	size_t len;
	bool update;		/* of the peer's keys, behind each: TLS 1.3 */
	bool reading;		/* the peer reads what we answer */
	const char *version;	/* the only one; NULL = both */
	int role;		/* the only one, -1 = both */
} floods[] = {
	{ "empty records", DATA, BYTES(""), false, true, NULL, -1 },
	{ "KeyUpdates", HANDSHAKE, BYTES("\x18\0\0\x01\0"), true, true, "TLSv1.3", -1 },
	{ "KeyUpdates that ask", HANDSHAKE, BYTES("\x18\0\0\x01\x01"), true, true, "TLSv1.3", -1 },
	{ "KeyUpdates that ask, answers unread", HANDSHAKE, BYTES("\x18\0\0\x01\x01"), true, false, "TLSv1.3", -1 },
	{ "tickets", HANDSHAKE, BYTES("\x04\0\0\x12\0\0\0\x10\0\0\0\x01\x01\x01\0\x04""abcd\0\0"), false, true, "TLSv1.3", CONFIG_CLIENT },
	{ "HelloRequests", HANDSHAKE, BYTES("\0\0\0\0"), false, true, "TLSv1.2", CONFIG_CLIENT },
	{ "HelloRequests, answers unread", HANDSHAKE, BYTES("\0\0\0\0"), false, false, "TLSv1.2", CONFIG_CLIENT },
	{ "ClientHellos", HANDSHAKE, BYTES("\x01\0\0\x04\x03\x03\0\0"), false, true, "TLSv1.2", CONFIG_SERVER },
	{ "ClientHellos, answers unread", HANDSHAKE, BYTES("\x01\0\0\x04\x03\x03\0\0"), false, false, "TLSv1.2", CONFIG_SERVER },
	{ "warnings", ALERT, BYTES("\x01\x5a"), false, true, NULL, -1 },
};

static void
test_flood(int v, const struct flood *f)
{
	struct pair *p;
	long before, most = 0;
	size_t total = 0;
	ssize_t r = -EAGAIN;
	int i;

	if ((f->version && strcmp(f->version, variants[v].version) != 0) || (f->role >= 0 && (int)variants[v].role != f->role))
		return;
	p = open_shaken(v);
	before = memory();
	for (i = 0; i < 5000 && r == -EAGAIN; i++) {
		say(p, f->type, f->body, f->len);
		if (f->update)
			next_keys(p);
		if (i % 50 == 49)
			r = receive_all(p, &total);
		if (f->reading)
			listen_to_us(p), p->wire.in_len = 0;
		most = memory() > before + most ? memory() - before : most;
	}
	check_dead(f->name, p, r, EPROTO);
	result(f->name, p->v->name, i < 500 && total == 0 && most < MEMORY_MOST, "it went on for too long, or memory grew");
	flood_most = most > flood_most ? most : flood_most;
	close_pair(p);
}

/* The same with a byte of data between is an honest peer's: it may go on for ever, in bounded memory. */
static void
test_updates_with_data(int v, bool asking, bool reading)
{
	size_t total = 0, said = 0;
	long before;
	struct pair *p;
	ssize_t r = -EAGAIN;
	char detail[400];

	if (strcmp(variants[v].version, "TLSv1.3") != 0)
		return;
	p = open_shaken(v);
	setsockopt(p->fd, SOL_SOCKET, SO_SNDBUF, &(int){ 4608 }, sizeof(int));
	before = memory();
	for (int i = 0; i < 5000 && r == -EAGAIN; i++) {
		say(p, HANDSHAKE, asking ? "\x18\0\0\x01\x01" : "\x18\0\0\x01\0", 5);
		next_keys(p);
		say(p, DATA, "x", 1);
		said++;
		r = receive_all(p, &total);
		if (reading)
			listen_to_us(p), p->wire.in_len = 0;
	}
	snprintf(detail, sizeof detail, "%zd, %zu of %zu, %ld bytes more: %.200s", r, total, said, memory() - before, last_warning);
	/* A client answers each; a server once, before its next data: it may go on. */
	if (asking && !reading && p->v->role == CONFIG_CLIENT)
		result("updates that ask, with data, nobody reads", p->v->name, r == -EPROTO && memory() - before < 65536, detail);
	else
		result("updates with data", p->v->name, r == -EAGAIN && total == said && memory() - before < 65536, detail);
	close_pair(p);
}

static const struct record_case {
	const char *name;
	int type;
	const char *body;
	size_t len;
	const char *version;
	ssize_t result;		/* 1 = it is passed over */
	int role;		/* the only one; 0 = both, else 1 + */
} record_cases[] = {
	{ "a HelloRequest", HANDSHAKE, BYTES("\0\0\0\0"), "TLSv1.2", 1, 1 + CONFIG_CLIENT },
	{ "a ClientHello for renegotiation", HANDSHAKE, BYTES("\x01\0\0\x04\x03\x03\0\0"), "TLSv1.2", 1, 1 + CONFIG_SERVER },
	{ "an empty record", DATA, BYTES(""), NULL, 1, 0 },
	{ "a warning of no consequence", ALERT, BYTES("\x01\x5a"), NULL, 1, 0 },
	{ "close_notify", ALERT, BYTES("\x01\0"), NULL, 0, 0 },
	{ "a fatal alert", ALERT, BYTES("\x02\x28"), NULL, -EPROTO, 0 },
	{ "an alert of three bytes", ALERT, BYTES("\x02\x28\0"), NULL, -EPROTO, 0 },
	{ "half an alert", ALERT, BYTES("\x02"), NULL, -EPROTO, 0 },
	{ "an empty alert", ALERT, BYTES(""), "TLSv1.3", -EPROTO, 0 },
	{ "an empty handshake record", HANDSHAKE, BYTES(""), "TLSv1.3", -EPROTO, 0 },
	{ "an unknown record", 99, BYTES("x"), NULL, -EPROTO, 0 },
	{ "a record without a type", 0, BYTES(""), "TLSv1.3", -EPROTO, 0 },
	{ "ChangeCipherSpec", CCS, BYTES("\x01"), NULL, -EPROTO, 0 },
	{ "a ClientHello", HANDSHAKE, BYTES("\x01\0\0\x04\x03\x03\0\0"), "TLSv1.3", -EPROTO, 0 },
	{ "a Finished", HANDSHAKE, BYTES("\x14\0\0\x04\0\0\0\0"), NULL, -EPROTO, 0 },
	{ "a certificate request", HANDSHAKE, BYTES("\x0d\0\0\x03\0\0\0"), "TLSv1.3", -EPROTO, 0 },
	{ "a KeyUpdate of an unknown kind", HANDSHAKE, BYTES("\x18\0\0\x01\x02"), "TLSv1.3", -EPROTO, 0 },
	{ "a KeyUpdate that is too long", HANDSHAKE, BYTES("\x18\0\0\x02\0\0"), "TLSv1.3", -EPROTO, 0 },
	{ "data behind a KeyUpdate in its record", HANDSHAKE, BYTES("\x18\0\0\x01\0\x18\0\0\x01\0"), "TLSv1.3", -EPROTO, 0 },
};

static void
test_records(int v)
{
	static char big[RECORD_BIG];
	size_t total = 0;
	struct pair *p;

	for (size_t i = 0; i < sizeof record_cases / sizeof *record_cases; i++) {
		const struct record_case *k = &record_cases[i];
		char byte, detail[2200];
		ssize_t r;

		if ((k->version && strcmp(k->version, variants[v].version) != 0) || (k->role && k->role != 1 + (int)variants[v].role))
			continue;
		p = open_shaken(v);
		say(p, DATA, "a", 1);
		say(p, k->type, k->body, k->len);
		say(p, DATA, "b", 1);
		result(k->name, p->v->name, receive(p, &byte, 1) == 1 && byte == 'a', "data before it is lost");
		r = receive(p, &byte, 1);
		snprintf(detail, sizeof detail, "%zd: %s", r, last_warning);
		result(k->name, p->v->name, r == k->result && (r == 1 ? byte == 'b' : receive(p, &byte, 1) == r), detail);
		close_pair(p);
	}
	p = open_shaken(v);
	say(p, DATA, big, sizeof big);
	check_dead("a record of 16385 bytes of data", p, receive_all(p, &total), EPROTO);
	close_pair(p);
}

/* A data record cut at every byte: nothing of it is given out, and the end is no clean one. */
static void
test_cut_records(int v)
{
	uint8_t record[200];

	for (size_t at = 0; at < 5 + 24 + 10; at++) {
		struct pair *p = open_shaken(v);
		size_t n = seal(p, DATA, "0123456789", 10, record), total = 0;
		ssize_t r;

		if (at < n) {
			put(p, record, at);
			shutdown(p->far, SHUT_WR);
			r = receive_all(p, &total);
			check_dead("cut record", p, r == -EAGAIN ? receive_all(p, &total) : r, ECONNRESET);
			result("cut record", p->v->name, total == 0, "data of half a record");
		}
		close_pair(p);
	}
}

/* Any bit of a record that is turned. */
static void
test_damaged_records(int v)
{
	uint8_t record[200];

	for (size_t at = 5; at < 5 + 27; at++) {
		struct pair *p = open_shaken(v);
		size_t n = seal(p, DATA, "0123456789", 10, record), total = 0;

		record[at] ^= (uint8_t)(1 << at % 8);
		put(p, record, n);
		check_dead("damaged record", p, receive_all(p, &total), EPROTO);
		result("damaged record", p->v->name, total == 0, "data of a damaged record");
		close_pair(p);
	}
}

int
main(void)
{
	hostile_begin();
	for (int v = 0; v < VARIANTS; v++) {
		test_never_closing(v);
		for (size_t i = 0; i < sizeof floods / sizeof *floods; i++)
			test_flood(v, &floods[i]);
		test_updates_with_data(v, false, false);
		test_updates_with_data(v, true, true);
		test_updates_with_data(v, true, false);
		test_records(v);
		test_cut_records(v);
		test_damaged_records(v);
	}
	printf("the worst flood took %ld bytes\n", flood_most);
	return hostile_end();
}
