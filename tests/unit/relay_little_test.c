/* relay_little_test.c - messages of the program that are less than a record: each once and in order, whatever the sizes around it. */
#include "relay_rig.h"

#include <netinet/tcp.h>

/* What stays in the end's queue may count as unsent to nobody. */
static void
expect_nothing_unsent(const struct rig *r)
{
	int64_t until = now_ms() + 5000;
	int unsent = -1;

	while (unsent != 0 && now_ms() < until) {	/* what has arrived may have to be acknowledged still */
		struct relay_option o = { .kind = RELAY_UNSENT, .length = sizeof unsent };
		struct relay_head head = { .magic = RELAY_MAGIC, .kind = RELAY_OPTION, .length = sizeof o, .id = r->id };

		must(relay_ask(&head, &o, NULL, o.value, sizeof o.value) == 0, "the relay's answer");
		memcpy(&unsent, o.value, sizeof unsent);
	}
	CHECK_IS(unsent, 0);
}

/* One at a time, and several before the relay looks. */
static void
sizes(void)
{
	static const size_t each[] = { 1, 1, 64, 1, 1, 1, 1, 1, 1, 1023, 1024, 1025, 4095, 4096, 4097, 1, 5000, 2, 65536, 3, 8192, 1, 1, 1, 1, 1 };
	uint8_t *bytes = noise(MEGABYTE);

	for (int together = 1; together <= 3; together++) {
		struct rig r = rig_open(0x0304, &plain_hand_over);
		size_t sent = 0, heard = 0;

		for (size_t i = 0; i < COUNT(each); i++) {
			CHECK(send_all(r.end, bytes + sent, each[i]));
			sent += each[i];
			if ((int)(i % (size_t)together) < together - 1)
				continue;
			expect_heard(&r, bytes + heard, sent - heard);
			heard = sent;
			expect_nothing_unsent(&r);
		}
		expect_heard(&r, bytes + heard, sent - heard);
		CHECK(shutdown(r.end, SHUT_WR) == 0);
		CHECK(peer_hears(&r, r.in + MEGABYTE / 2) == 0 && r.closed && r.fin);
		rig_close(&r);
	}
	free(bytes);
}

/* The program ends with some of its messages looked at and not yet taken: nothing of them is lost or said twice. */
static void
ends(void)
{
	for (int n = 1; n <= 9; n++) {
		struct rig r = rig_open(0x0304, &plain_hand_over);

		for (int i = 0; i < n; i++) {
			CHECK(send_all(r.end, (const uint8_t *)"0123456789" + i, 1));
			expect_heard(&r, (const uint8_t *)"0123456789" + i, 1);
		}
		CHECK(send_all(r.end, (const uint8_t *)"last", 4));
		close(r.end);
		r.end = -1;
		expect_heard(&r, (const uint8_t *)"last", 4);
		CHECK(peer_hears(&r, r.in + MEGABYTE / 2) == 0 && r.closed && r.fin);
		rig_close(&r);
	}
}

/* The program closes with bytes that it has not read: the peer is to see a reset. */
static void
leaves_unread(void)
{
	for (int n = 0; n < 5; n++) {
		struct rig r = rig_open(0x0304, &plain_hand_over);

		for (int i = 0; i < n; i++) {
			CHECK(send_all(r.end, (const uint8_t *)"x", 1));
			expect_heard(&r, (const uint8_t *)"x", 1);
		}
		peer_says(&r, "unread", 6);
		CHECK(ready(r.end, POLLIN));
		CHECK(send_all(r.end, (const uint8_t *)"y", 1));
		close(r.end);
		r.end = -1;
		expect_heard(&r, (const uint8_t *)"y", 1);
		CHECK(peer_hears(&r, r.in + MEGABYTE / 2) < 0 && errno == ECONNRESET);
		rig_close(&r);
	}
}

int
main(int argc, char **argv)
{
	static const struct relay_case cases[] = {
		{ "sizes", sizes },
		{ "ends", ends },
		{ "leaves unread", leaves_unread },
	};

	return relay_cases(cases, COUNT(cases), argc, argv);
}
