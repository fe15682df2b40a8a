/*
 * relay_test.c - streams by way of the relay: both directions, every end they can have, and what is under way when they are handed over.
 */
#include "relay_rig.h"

static void
both_versions(void)
{
	chat(0x0303);
	chat(0x0304);
}

/* A child plays the peer that sends all, or the program that does, so that both directions are full at once. */
static void
full_duplex(void)
{
	size_t size = 24 * MEGABYTE;
	uint8_t *bytes = noise(size);
	struct rig r = rig_open(0x0304, &plain_hand_over);
	pid_t speaker = fork(), peer_speaker, listener;

	if (speaker == 0)
		_exit(!(send_all(r.end, bytes, size) && shutdown(r.end, SHUT_WR) == 0));
	peer_speaker = fork();
	if (peer_speaker == 0) {
		peer_says(&r, bytes, size);
		peer_parts(&r);
		_exit(current_failed);
	}
	listener = fork();
	if (listener == 0) {
		expect_heard(&r, bytes, size);
		CHECK(peer_hears(&r, r.in + MEGABYTE / 2) == 0 && r.closed);
		_exit(current_failed);
	}
	expect_read(&r, bytes, size);
	expect_end(&r, 0);
	CHECK_IS(child_status(speaker), 0);
	CHECK_IS(child_status(peer_speaker), 0);
	CHECK_IS(child_status(listener), 0);
	rig_close(&r);
	free(bytes);
}

static void
program_leaves_after_last_write(void)
{
	uint8_t *bytes = noise(MEGABYTE);
	struct rig r = rig_open(0x0304, &plain_hand_over);
	size_t n = 0;
	ssize_t k;

	while ((k = send(r.end, bytes + n, MEGABYTE - n, MSG_NOSIGNAL)) > 0 || (n < MEGABYTE && ready(r.end, POLLOUT)))
		n += k > 0 ? (size_t)k : 0;
	close(r.end);
	r.end = -1;
	poll(NULL, 0, 200);		/* the peer is slow to begin */
	expect_heard(&r, bytes, n);
	CHECK(peer_hears(&r, r.in + MEGABYTE / 2) == 0 && r.closed && r.fin);
	rig_close(&r);
	free(bytes);
}

static void
program_leaves_before_the_relay_comes(void)
{
	struct rig r = rig_open(0x0304, &(struct extra){ .early = true });

	expect_heard(&r, (const uint8_t *)"early", 5);
	CHECK(peer_hears(&r, r.in + MEGABYTE / 2) == 0 && r.closed && r.fin);
	rig_close(&r);
}

static void
peer_leaves_after_last_write(void)
{
	uint8_t *bytes = noise(MEGABYTE / 8);
	struct rig r = rig_open(0x0304, &plain_hand_over);

	peer_says(&r, bytes, MEGABYTE / 8);
	peer_parts(&r);
	close(r.peer);
	r.peer = -1;
	poll(NULL, 0, 200);
	expect_read(&r, bytes, MEGABYTE / 8);
	expect_end(&r, 0);
	rig_close(&r);
	free(bytes);
}

static void
cut(uint32_t flags, int end)
{
	struct rig r = rig_open(0x0304, &(struct extra){ .flags = flags });

	peer_says(&r, "before the cut", 14);
	close(r.peer);
	r.peer = -1;
	poll(NULL, 0, 100);
	expect_read(&r, (const uint8_t *)"before the cut", 14);
	expect_end(&r, end);
	rig_close(&r);
}

static void
cut_streams(void)
{
	cut(0, ECONNRESET);
	cut(RELAY_RAGGED, 0);
}

static void
peer_resets(void)
{
	struct rig r = rig_open(0x0304, &plain_hand_over);
	struct linger hard = { 1, 0 };
	int error = 0;

	CHECK(send_all(r.end, (const uint8_t *)"unread", 6));
	CHECK(ready(r.peer, POLLIN));
	setsockopt(r.peer, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
	close(r.peer);
	r.peer = -1;
	CHECK(ready(r.end, POLLHUP));
	expect_end(&r, ECONNRESET);
	expect_end(&r, 0);		/* told once, as TCP does */
	CHECK(send(r.end, "x", 1, MSG_NOSIGNAL) < 0 && (error = errno) == EPIPE);
	rig_close(&r);
}

static void
half_closed_by_program(void)
{
	uint8_t *bytes = noise(MEGABYTE / 2);
	struct rig r = rig_open(0x0303, &plain_hand_over);
	pid_t speaker;

	CHECK(send_all(r.end, (const uint8_t *)"request", 7) && shutdown(r.end, SHUT_WR) == 0);
	expect_heard(&r, (const uint8_t *)"request", 7);
	CHECK(peer_hears(&r, r.in + MEGABYTE / 2) == 0 && r.closed && r.fin);
	speaker = fork();
	if (speaker == 0) {
		peer_says(&r, bytes, MEGABYTE / 2);
		peer_parts(&r);
		_exit(current_failed);
	}
	close(r.peer);
	r.peer = -1;
	expect_read(&r, bytes, MEGABYTE / 2);
	expect_end(&r, 0);
	CHECK_IS(child_status(speaker), 0);
	rig_close(&r);
	free(bytes);
}

static void
half_closed_by_peer(void)
{
	struct rig r = rig_open(0x0304, &plain_hand_over);

	peer_says(&r, "last", 4);
	peer_parts(&r);
	shutdown(r.peer, SHUT_WR);
	expect_read(&r, (const uint8_t *)"last", 4);
	expect_end(&r, 0);
	for (int i = 0; i < 3; i++) {
		CHECK(send_all(r.end, (const uint8_t *)"still", 5));
		expect_heard(&r, (const uint8_t *)"still", 5);
	}
	close(r.end);
	r.end = -1;
	CHECK(peer_hears(&r, r.in + MEGABYTE / 2) == 0 && r.closed && r.fin);
	rig_close(&r);
}

static void
bad_record(void)
{
	struct rig r = rig_open(0x0304, &plain_hand_over);
	uint8_t out[RECORDS_OVERHEAD + 8], buf[RECORDS_CIPHER];
	size_t n;

	peer_says(&r, "good", 4);
	n = records_seal(r.keys, (const uint8_t *)"bad", 3, out);
	out[n - 1] ^= 1;
	CHECK(send_all(r.peer, out, n));
	expect_read(&r, (const uint8_t *)"good", 4);
	expect_end(&r, ECONNRESET);
	CHECK(peer_hears(&r, buf) == -1 && *records_reason(r.keys));	/* its alert */
	rig_close(&r);
}

static void
key_updates(void)
{
	struct rig r = rig_open(0x0304, &plain_hand_over);
	uint8_t out[RECORDS_OVERHEAD];

	for (int i = 0; i < 4; i++) {
		CHECK(send_all(r.peer, out, records_update(r.keys, i & 1, out)));
		peer_says(&r, "new keys", 8);
		expect_read(&r, (const uint8_t *)"new keys", 8);
		CHECK(send_all(r.end, (const uint8_t *)"answer", 6));
		expect_heard(&r, (const uint8_t *)"answer", 6);
	}
	rig_close(&r);
}

/* Everything that can be under way when a connection is handed over. */
static void
under_way(void)
{
	struct engine_records state = state_for(0x0304), later = state, theirs = state;
	struct records *before = records_new(&state), *from;
	uint8_t out[3 * RECORDS_OVERHEAD], in[3 * RECORDS_OVERHEAD];
	size_t out_len, in_len;
	int wire[2];
	struct rig r;

	theirs.dir[0] = state.dir[1];
	theirs.dir[1] = state.dir[0];
	from = records_new(&theirs);
	must(before && from, "records_new");
	tcp_pair(wire);
	out_len = records_seal(before, (const uint8_t *)"owed to the wire", 16, out);
	in_len = records_seal(from, (const uint8_t *)"in two parts", 12, in);
	later.dir[1].sequence = 1;
	CHECK(send_all(wire[0], out, 7) && send_all(wire[1], in + 9, in_len - 9));
	r = rig_open_with(&(struct extra){ .partial = in, .partial_len = 9, .held = "held, ", .held_len = 6, .out = out + 7,
						   .out_len = out_len - 7, .debt = "to the wire", .debt_len = 11 }, wire, &later);
	records_free(r.keys);
	r.keys = from;			/* it has sent one record, and has heard none */
	expect_read(&r, (const uint8_t *)"held, in two parts", 18);
	expect_heard(&r, (const uint8_t *)"owed to the wire", 16);
	CHECK(send_all(r.end, (const uint8_t *)"to the", 6) && send_all(r.end, (const uint8_t *)" wire, and more", 15));
	expect_heard(&r, (const uint8_t *)", and more", 10);
	rig_close(&r);
	records_free(before);
}

static void
other_bytes_than_owed(void)
{
	struct rig r = rig_open(0x0304, &(struct extra){ .debt = "these", .debt_len = 5 });

	CHECK(send_all(r.end, (const uint8_t *)"those", 5));
	expect_end(&r, ECONNRESET);
	rig_close(&r);
}

static void
ends_known_before(void)
{
	struct rig r = rig_open(0x0304, &(struct extra){ .flags = RELAY_ENDED, .held = "rest", .held_len = 4 });

	expect_read(&r, (const uint8_t *)"rest", 4);
	expect_end(&r, 0);
	rig_close(&r);
	r = rig_open(0x0304, &(struct extra){ .flags = RELAY_ENDED | RELAY_CUT });
	expect_end(&r, ECONNRESET);
	rig_close(&r);
}

/* Neither side reads: both are stopped, and nothing is lost. */
static size_t
fill(int fd, const uint8_t *bytes, size_t most)
{
	size_t n = 0;
	struct pollfd p = { .fd = fd, .events = POLLOUT };

	while (n < most && poll(&p, 1, 300) > 0) {
		ssize_t k = send(fd, bytes + n, most - n, MSG_NOSIGNAL);

		if (k > 0)
			n += (size_t)k;
	}
	return n;
}

static void
back_pressure(void)
{
	size_t most = 64 * MEGABYTE, sealed_len = 0, n, taken, plain_len = 0;
	uint8_t *bytes = noise(most), *sealed = malloc(most + most / 8);
	struct rig r = rig_open(0x0304, &plain_hand_over);
	pid_t listener;

	must(sealed != NULL, "memory");
	n = fill(r.end, bytes, most);
	CHECK(n > 0 && n < most);
	while (plain_len + RECORDS_PLAIN <= most / 2) {
		sealed_len += records_seal(r.keys, bytes + plain_len, RECORDS_PLAIN, sealed + sealed_len);
		plain_len += RECORDS_PLAIN;
	}
	taken = fill(r.peer, sealed, sealed_len);
	CHECK(taken > 0 && taken < sealed_len);
	listener = fork();
	if (listener == 0) {
		expect_heard(&r, bytes, n);
		_exit(current_failed);
	}
	expect_read(&r, bytes, taken / (RECORDS_PLAIN + 22) * RECORDS_PLAIN);
	CHECK_IS(child_status(listener), 0);
	rig_close(&r);
	free(bytes);
	free(sealed);
}

static const struct relay_case cases[] = {
	{ "both versions", both_versions },
	{ "full duplex", full_duplex },
	{ "the program leaves after its last write", program_leaves_after_last_write },
	{ "the program leaves before the relay comes", program_leaves_before_the_relay_comes },
	{ "the peer leaves after its last write", peer_leaves_after_last_write },
	{ "cut streams", cut_streams },
	{ "the peer resets", peer_resets },
	{ "half closed by the program", half_closed_by_program },
	{ "half closed by the peer", half_closed_by_peer },
	{ "a bad record", bad_record },
	{ "key updates", key_updates },
	{ "under way when handed over", under_way },
	{ "other bytes than those owed", other_bytes_than_owed },
	{ "ends known before", ends_known_before },
	{ "back-pressure", back_pressure },
};

int
main(int argc, char **argv)
{
	return relay_cases(cases, COUNT(cases), argc, argv);
}
