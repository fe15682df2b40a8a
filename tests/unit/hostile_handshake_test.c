/*
 * hostile_handshake_test.c - handshakes with peers from hell, in both roles and versions: slow, cut, and bytes that no honest peer sends,
 * before them, between and behind.
 */
#include "hostile_peer.h"

static void
test_slow_peers(int v)
{
	long before = memory();
	size_t total = 0;
	static char text[20000];
	struct pair *p = open_pair(v);
	int r = shake(p, SIZE_MAX, 1);

	result("one byte at a time", p->v->name, r == 0 && engine_export_records(p->peer, &p->keys) == 0, last_warning);
	for (size_t len = 1; len < 16384; len *= 5) {
		static uint8_t record[20100];
		size_t n = seal(p, DATA, text, len, record);

		total = 0;
		for (size_t i = 0; i < n; i++) {
			put(p, record + i, 1);
			if (i + 1 < n && receive_all(p, &total) != -EAGAIN)
				break;
		}
		result("data, one byte at a time", p->v->name, receive_all(p, &total) == -EAGAIN && total == len, last_warning);
	}
	result("memory of it", p->v->name, memory() - before < MEMORY_MOST, "grows");
	close_pair(p);
}

/* The peer's flights, cut at bytes near the edges of records and at samples between. */
static void
test_cut_handshakes(int v)
{
	struct pair *p = open_pair(v);
	size_t whole;
	int r;

	must(shake(p, SIZE_MAX, 0) == 0, "a handshake");
	whole = p->said;
	close_pair(p);
	for (size_t at = 1; at < whole; at += at < 16 || whole - at < 8 ? 1 : 37) {
		p = open_pair(v);
		r = shake(p, at, 0);
		shutdown(p->far, SHUT_WR);
		for (int i = 0; i < 3 && (r == -EAGAIN || r == 0); i++) {
			char byte;

			r = (int)(r == -EAGAIN ? conn_handshake(p->c, p->fd, false) : receive(p, &byte, 1));
		}
		check_dead("cut handshake", p, r, ECONNRESET);
		close_pair(p);
	}
}

static const struct bytes_case {
	const char *name;
	const char *bytes;
	size_t len;
	int error;		/* before the handshake, ... */
	int later;		/* ... and in clear into an open connection */
} bytes_cases[] = {
	{ "HTTP", BYTES("GET / HTTP/1.0\r\n\r\n"), EPROTO, EPROTO },
	{ "an HTTP answer", BYTES("HTTP/1.0 400 Bad Request\r\n\r\n"), EPROTO, EPROTO },
	{ "zeros", BYTES("\0\0\0\0\0\0\0\0\0\0\0\0"), EPROTO, EPROTO },
	{ "ones", BYTES("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"), EPROTO, EPROTO },
	{ "application data", BYTES("\x17\x03\x03\0\x05hello"), EPROTO, EPROTO },
	{ "empty application data", BYTES("\x17\x03\x03\0\0\x17\x03\x03\0\0"), EPROTO, EPROTO },
	{ "an empty handshake record", BYTES("\x16\x03\x03\0\0\x16\x03\x03\0\0"), EPROTO, EPROTO },
	{ "an empty alert", BYTES("\x15\x03\x03\0\0"), EPROTO, EPROTO },
	{ "half an alert", BYTES("\x15\x03\x03\0\x01\x02"), EPROTO, EPROTO },
	{ "a fatal alert", BYTES("\x15\x03\x03\0\x02\x02\x28"), EPROTO, EPROTO },
	{ "an unknown fatal alert", BYTES("\x15\x03\x03\0\x02\x02\xc8"), EPROTO, EPROTO },
	{ "an alert of no level", BYTES("\x15\x03\x03\0\x02\x07\x28"), EPROTO, EPROTO },
	{ "close_notify", BYTES("\x15\x03\x03\0\x02\x01\0"), EPROTO, EPROTO },
	{ "an unknown type", BYTES("\x30\x03\x03\0\x02\x01\0"), EPROTO, EPROTO },
	{ "a record of 16 KiB and more", BYTES("\x16\x03\x03\x48\x01\x01\0\x40\0"), EPROTO, EPROTO },
	{ "a record of 64 KiB", BYTES("\x17\x03\x03\xff\xff\x01\0\x40\0"), EPROTO, EPROTO },
	{ "an unknown version", BYTES("\x16\x09\x09\0\x05\x01\0\0\x01\0"), EPROTO, EPROTO },
	{ "a message of 16 MiB", BYTES("\x16\x03\x03\0\x05\x02\xff\xff\xff\0"), EPROTO, EPROTO },
	{ "a message that does not come yet", BYTES("\x16\x03\x03\0\x04\x14\0\0\0"), EPROTO, EPROTO },
	{ "two ChangeCipherSpecs", BYTES("\x14\x03\x03\0\x01\x01\x14\x03\x03\0\x01\x01"), EPROTO, EPROTO },
};

/* With nothing more to come: what is refused must be refused by what has arrived, or at the latest when the peer ends. */
static void
test_bytes(int v)
{
	for (size_t i = 0; i < sizeof bytes_cases / sizeof *bytes_cases; i++) {
		const struct bytes_case *k = &bytes_cases[i];
		char group[80], byte;
		struct pair *p = open_pair(v);
		ssize_t r;

		snprintf(group, sizeof group, "%s for a handshake", k->name);
		conn_handshake(p->c, p->fd, false);
		put(p, k->bytes, k->len);
		r = conn_handshake(p->c, p->fd, false);
		shutdown(p->far, SHUT_WR);
		if (r == -EAGAIN)
			r = conn_handshake(p->c, p->fd, false);
		check_dead(group, p, r, r == -ECONNRESET ? ECONNRESET : k->error);
		close_pair(p);

		snprintf(group, sizeof group, "%s into an open connection", k->name);
		p = open_shaken(v);
		put(p, k->bytes, k->len);
		r = receive(p, &byte, 1);
		shutdown(p->far, SHUT_WR);
		if (r == -EAGAIN)
			r = receive(p, &byte, 1);
		check_dead(group, p, r, r == -ECONNRESET ? ECONNRESET : k->later);
		close_pair(p);
	}
}

/*
 * What the peer, or somebody on the way, may put between the records of a handshake, where an answer in clear would be taken for
 * the peer's.
 */
static const struct bytes_case injected[] = {
	{ "a fatal alert", BYTES("\x15\x03\x03\0\x02\x02\x28"), EPROTO, 0 },
	{ "a fatal alert of no kind", BYTES("\x15\x03\x03\0\x02\x02\xfe"), EPROTO, 0 },
	{ "a warning", BYTES("\x15\x03\x03\0\x02\x01\x5a"), EPROTO, 0 },
	{ "close_notify", BYTES("\x15\x03\x03\0\x02\x01\0"), EPROTO, 0 },
	{ "data in clear", BYTES("\x17\x03\x03\0\x05hello"), EPROTO, 0 },
	{ "a command", BYTES("RSET\r\nMAIL FROM:<a@b>\r\n"), EPROTO, 0 },
	{ "an answer", BYTES("220 2.0.0 ready\r\n250 OK\r\n"), EPROTO, 0 },
};

/*
 * At every place of the peer's handshake that is `step` bytes behind another, and behind its end. Nothing of it is data; there is
 * no success.
 */
static void
test_injected(int v, const struct bytes_case *k, size_t step)
{
	struct pair *p = open_pair(v);
	size_t whole, places = 0;
	char group[80], byte;

	must(shake(p, SIZE_MAX, 0) == 0, "a handshake");
	whole = p->said;
	close_pair(p);
	snprintf(group, sizeof group, "%s between", k->name);
	for (size_t at = 0; at <= whole; at += at + step < whole || at == whole ? step : whole - at) {
		ssize_t r;

		p = open_pair(v);
		conn_handshake(p->c, p->fd, false);
		r = at ? shake(p, at, 0) : -EAGAIN;
		put(p, k->bytes, k->len);
		shutdown(p->far, SHUT_WR);
		for (int i = 0; i < 4 && (r == -EAGAIN || r == 0); i++)
			r = conn_state(p->c) < CONN_OPEN ? conn_handshake(p->c, p->fd, false) : receive(p, &byte, 1);
		if (r >= 0)
			result(group, p->v->name, false, r ? "it is read" : "it ends well");
		else
			check_dead(group, p, r, r == -ECONNRESET || r == -EKEYREJECTED ? (int)-r : k->error);	/* a certificate with that inside */
		close_pair(p);
		places++;
	}
	result(group, variants[v].name, places > whole / step, "not everywhere");
}

static int64_t
pause_until(int64_t then)
{
	while (now_ms() < then)
		poll(NULL, 0, (int)(then - now_ms()));
	return then;
}

/* A byte a millisecond keeps no handshake alive for longer than it may take. */
static void
test_trickle(int v)
{
	struct config *usual = configs[v][0];
	int64_t began, now;
	struct pair *p;
	int r = -EAGAIN;

	patience = "150";
	configs[v][0] = make_config(variants[v].role, variants[v].version);
	patience = "30000";
	p = open_pair(v);
	began = now = now_ms();
	engine_handshake(p->peer);
	conn_handshake(p->c, p->fd, false);
	if (!p->wire.out_len) {			/* the peer is a server, and has an answer */
		listen_to_us(p);
		engine_handshake(p->peer);
	}
	for (size_t i = 0; r == -EAGAIN && now < began + 5000; i++) {		/* to the last but one: it could go on so */
		if (i + 1 < p->wire.out_len)
			put(p, p->wire.out + i, 1);
		r = conn_handshake(p->c, p->fd, false);
		now = pause_until(now + 1);
	}
	check_dead("a byte a millisecond", p, r, ETIMEDOUT);
	now = now_ms();
	result("a byte a millisecond", p->v->name, now - began >= 150 && now - began < 2000, "it is not handshake_timeout that ends it");
	close_pair(p);
	config_free(configs[v][0]);
	configs[v][0] = usual;
}

int
main(void)
{
	hostile_begin();
	for (int v = 0; v < VARIANTS; v++) {
		test_slow_peers(v);
		test_trickle(v);
		for (size_t i = 0; i < COUNT(injected); i++)
			test_injected(v, &injected[i], 29);
		test_cut_handshakes(v);
		test_bytes(v);
	}
	return hostile_end();
}
