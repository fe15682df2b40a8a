/*
 * conn_read_test.c - the connection core: what a program reads, counts and peeks at, and the records between that are nothing to read.
 */
#include "conn_pair.h"

static const struct {
	const char *name;
	size_t total, record;
} loads[] = {
	{ "one byte", 1, 1 },
	{ "one record", 300, 300 },
	{ "small records", 2000, 40 },
	{ "a full record", 16384, 16384 },
	{ "two full records and a byte", 32769, 16384 },
	{ "odd records", 70000, 7777 },
};

static const size_t sizes[] = { 1, 5, 100, 16384, 20000 };

/* After every read: what is left is announced by the kernel, and only that; a short count means that nothing is left. */
static void
read_all(struct pair *p, size_t size, size_t total)
{
	size_t got = 0;

	while (got < total) {
		ssize_t n = recv_some(p, buffer, size, 0);

		if (n <= 0) {
			CHECK_IS(n, 1);
			return;
		}
		CHECK(is_stream(buffer, p->sent - total + got, (size_t)n));
		got += (size_t)n;
		if ((size_t)n < size)
			CHECK_IS(got, total);
		if (readable(p) != (got < total)) {
			complain_of(__LINE__, "the kernel's word is false", (long)got);
			return;
		}
	}
	CHECK_IS(recv_some(p, buffer, size, 0), -EAGAIN);
	CHECK(!readable(p));
}

/* alone: as the explicit interface reads, which may have to stop at a close_notify. */
static void
reading(const struct variant *v, bool alone)
{
	struct pair p;

	pair_up(&p, v, NULL);
	if (alone)
		conn_stand_alone(p.c);
	for (size_t i = 0; i < COUNT(loads); i++) {
		for (size_t j = 0; j < COUNT(sizes); j++) {
			begin_case("reading%s, %s: %s by %zu", alone ? " alone" : "", v->name, loads[i].name, sizes[j]);
			peer_tell(&p, loads[i].total, loads[i].record);
			read_all(&p, sizes[j], loads[i].total);
			end_case();
		}
	}
	pair_end(&p);
}

/*
 * Suites differ in how much longer than its data a record is: what a record has beyond the caller's room must be announced in all
 * of them.
 */
static const struct {
	const char *name;
	int version;
	const char *suite;
} suites[] = {
	{ "TLS 1.3 GCM", TLS1_3_VERSION, "TLS_AES_128_GCM_SHA256" },
	{ "TLS 1.3 ChaCha20", TLS1_3_VERSION, "TLS_CHACHA20_POLY1305_SHA256" },
	{ "TLS 1.3 CCM", TLS1_3_VERSION, "TLS_AES_128_CCM_SHA256" },
	{ "TLS 1.3 CCM 8", TLS1_3_VERSION, "TLS_AES_128_CCM_8_SHA256" },
	{ "TLS 1.2 GCM", TLS1_2_VERSION, "ECDHE-ECDSA-AES128-GCM-SHA256" },
	{ "TLS 1.2 ChaCha20", TLS1_2_VERSION, "ECDHE-ECDSA-CHACHA20-POLY1305" },
	{ "TLS 1.2 CCM 8", TLS1_2_VERSION, "ECDHE-ECDSA-AES128-CCM8" },
	{ "TLS 1.2 CBC", TLS1_2_VERSION, "ECDHE-ECDSA-AES128-SHA" },
};

static void
rooms(size_t which, bool alone)
{
	static const size_t records[] = { 50, 16384 };
	bool new = suites[which].version == TLS1_3_VERSION;
	struct variant v = { suites[which].name, CONFIG_CLIENT, suites[which].version, false };
	struct extra extra[] = { { new ? "ciphersuites" : "ciphers", suites[which].suite }, { NULL, NULL } };
	struct pair p;

	begin_case("rooms just below and above a record%s, %s", alone ? ", alone" : "", suites[which].name);
	pair_open(&p, &v, extra, true);
	must(new ? SSL_set_ciphersuites(p.ssl, suites[which].suite) : SSL_set_cipher_list(p.ssl, suites[which].suite), "the peer's suite");
	if (alone)
		conn_stand_alone(p.c);
	shake_hands(&p, SIZE_MAX);
	for (size_t i = 0; i < COUNT(records); i++)
		for (size_t room = records[i] - 25; room <= records[i] + 25; room++)
			for (size_t count = 1; count < 5; count += 3) {
				peer_tell(&p, count * records[i], records[i]);
				read_all(&p, room, count * records[i]);
			}
	pair_end(&p);
	end_case();
}

/* What the peer sends in plain behind its close_notify stays in the kernel for whoever reads there, in one piece with the last records. */
static void
plain_behind(const struct variant *v, size_t size)
{
	static const char word[] = "plain words behind the end of TLS";
	uint8_t joined[70000];
	char *bytes;
	struct pair p;
	size_t n;

	begin_case("plain behind close_notify, %s: by %zu", v->name, size);
	pair_up(&p, v, NULL);
	conn_stand_alone(p.c);
	for (int i = 0; i < 2; i++) {	/* by the TLS library, then by the record engine */
		peer_say(&p, 20000, 6000);
		if (i)
			SSL_shutdown(p.ssl);
		n = (size_t)BIO_get_mem_data(p.out, &bytes);
		memcpy(joined, bytes, n);
		memcpy(joined + n, word, i ? sizeof(word) : 0);
		BIO_reset(p.out);
		wire_put(&p, joined, n + (i ? sizeof(word) : 0));
		for (size_t got = 0, r; got < 20000; got += r) {
			r = (size_t)recv_some(&p, buffer, size, 0);
			if (r == 0 || r > size || !is_stream(buffer, (size_t)i * 20000 + got, r)) {
				complain_of(__LINE__, "not what was sent", (long)r);
				break;
			}
		}
	}
	CHECK_IS(recv_some(&p, buffer, size, 0), 0);
	CHECK_IS(recv_some(&p, buffer, size, 0), 0);
	CHECK_IS(recv(p.fd, buffer, BIG, MSG_DONTWAIT), sizeof(word));
	CHECK(memcmp(buffer, word, sizeof(word)) == 0);
	pair_end(&p);
	end_case();
}

/* Vectors of odd lengths, empty ones among them. */
static void
scattering(const struct variant *v)
{
	static const size_t cuts[] = { 3, 0, 1, 16380, 0, 4, 12000, 50000 };
	struct iovec iov[COUNT(cuts)];
	uint8_t *at = buffer;
	struct pair p;

	begin_case("scattering, %s", v->name);
	pair_up(&p, v, NULL);
	for (size_t i = 0; i < COUNT(cuts); i++) {
		iov[i] = (struct iovec){ at, cuts[i] };
		at += cuts[i];
	}
	for (size_t i = 0; i < COUNT(loads); i++) {
		peer_tell(&p, loads[i].total, loads[i].record);
		CHECK_IS(conn_recv(p.c, p.fd, iov, COUNT(cuts), 0), loads[i].total);
		CHECK(is_stream(buffer, p.sent - loads[i].total, loads[i].total));
		CHECK(!readable(&p));
	}
	peer_tell(&p, 100000, 16384);
	CHECK_IS(conn_recv(p.c, p.fd, iov, COUNT(cuts), 0), at - buffer);
	CHECK(readable(&p));
	CHECK_IS(recv_some(&p, buffer, BIG, 0), 100000 - (at - buffer));
	CHECK(!readable(&p));
	pair_end(&p);
	end_case();
}

/* FIONREAD counts what has arrived, and asking changes nothing that a poll can see. */
static void
counting(const struct variant *v)
{
	struct pair p;

	pair_up(&p, v, NULL);
	for (size_t i = 0; i < COUNT(loads); i++) {
		size_t total = loads[i].total, first = total / 3;

		begin_case("counting, %s: %s", v->name, loads[i].name);
		CHECK_IS(conn_arrived(p.c, p.fd), 0);
		CHECK(!readable(&p));
		peer_tell(&p, total, loads[i].record);
		for (int twice = 0; twice < 2; twice++) {
			CHECK_IS(conn_arrived(p.c, p.fd), total);
			CHECK(readable(&p));
		}
		if (first) {
			CHECK_IS(recv_some(&p, buffer, first, 0), first);
			CHECK_IS(conn_arrived(p.c, p.fd), total - first);
			CHECK(readable(&p));
		}
		peer_tell(&p, 50, 50);
		CHECK_IS(conn_arrived(p.c, p.fd), total - first + 50);
		CHECK_IS(recv_some(&p, buffer, BIG, 0), total - first + 50);
		CHECK(is_stream(buffer, p.sent - (total - first + 50), total - first + 50));
		CHECK_IS(conn_arrived(p.c, p.fd), 0);
		CHECK(!readable(&p));
		end_case();
	}
	pair_end(&p);
}

/* As much of what the peer has to say as the kernels take. */
static void
peer_stuff(struct pair *p)
{
	char *bytes, sent[4096];
	long there;
	ssize_t n;

	while ((there = BIO_get_mem_data(p->out, &bytes)) > 0) {
		n = send(p->far, bytes, there < 4096 ? (size_t)there : 4096, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n <= 0)
			return;
		BIO_read(p->out, sent, (int)n);
	}
}

/* Asking does not take the peer's stream into our memory; what is not there yet is counted, and the bytes are the right ones. */
static void
counting_much(const struct variant *v, size_t record)
{
	size_t total = BIG, got = 0, told = 0;
	int64_t end = now_ms() + PATIENCE_MS;
	struct pair p;
	ssize_t n;

	begin_case("counting much, %s, records of %zu", v->name, record);
	pair_up(&p, v, NULL);
	setsockopt(p.fd, SOL_SOCKET, SO_RCVBUF, &(int){ 200000 }, sizeof(int));
	setsockopt(p.far, SOL_SOCKET, SO_SNDBUF, &(int){ 65536 }, sizeof(int));
	peer_say(&p, total, record);
	for (int rounds = 1000; rounds > 0 && now_ms() < end; rounds -= told >= 256 * 1024) {
		sched_yield();
		peer_stuff(&p);
		told = (size_t)conn_arrived(p.c, p.fd);
	}
	CHECK(told >= 256 * 1024);
	CHECK(BIO_ctrl_pending(p.out) > 0);
	while (got < total && now_ms() < end) {
		peer_stuff(&p);
		told = (size_t)conn_arrived(p.c, p.fd);
		n = recv_some(&p, buffer, 8192, 0);
		if (n <= 0 ? told > 0 : told < (size_t)n || !is_stream(buffer, got, (size_t)n)) {
			complain_of(__LINE__, "the count or the bytes are wrong", (long)got);
			break;
		}
		got += n > 0 ? (size_t)n : 0;
	}
	CHECK_IS(got, total);
	CHECK_IS(conn_arrived(p.c, p.fd), 0);
	pair_end(&p);
	end_case();
}

static void
peeking(const struct variant *v)
{
	struct iovec two[] = { { buffer, 40 }, { buffer + 40, 100000 } };
	struct pair p;

	begin_case("peeking, %s", v->name);
	pair_up(&p, v, NULL);
	CHECK_IS(recv_some(&p, buffer, 10, MSG_PEEK), -EAGAIN);
	CHECK(!readable(&p));
	peer_tell(&p, 30000, 10000);
	for (int again = 0; again < 2; again++) {
		CHECK_IS(recv_some(&p, buffer, 10, MSG_PEEK), 10);
		CHECK(is_stream(buffer, 0, 10));
		CHECK_IS(conn_recv(p.c, p.fd, two, 2, MSG_PEEK), 30000);
		CHECK(is_stream(buffer, 0, 30000));
		CHECK(readable(&p));
	}
	CHECK_IS(recv_some(&p, buffer, 29000, 0), 29000);
	CHECK_IS(recv_some(&p, buffer, 29000, MSG_PEEK), 1000);
	CHECK(is_stream(buffer, 29000, 1000));
	CHECK(readable(&p));
	CHECK_IS(recv_some(&p, buffer, 1000, 0), 1000);
	CHECK(is_stream(buffer, 29000, 1000));
	CHECK(!readable(&p));
	CHECK_IS(recv_some(&p, buffer, 1, MSG_PEEK), -EAGAIN);
	pair_end(&p);
	end_case();
}

static void
flagging(const struct variant *v)
{
	struct pair p;

	begin_case("flags, %s", v->name);
	pair_up(&p, v, NULL);
	swallow_tickets(&p);
	conn_set_blocking(p.c, true);
	CHECK_IS(recv_some(&p, buffer, 10, MSG_DONTWAIT), -EAGAIN);
	CHECK_IS(recv_some(&p, buffer, 10, MSG_OOB), -EINVAL);
	CHECK_IS(send_some(&p, 0, 10, MSG_OOB), -EOPNOTSUPP);
	CHECK_IS(recv_some(&p, buffer, 0, MSG_DONTWAIT), -EAGAIN);	/* as Linux: recv of nothing waits for something */
	CHECK_IS(send_some(&p, 0, 0, 0), 0);
	conn_set_timeout(p.c, false, 30);
	CHECK_IS(recv_some(&p, buffer, 0, 0), 0);			/* once */
	CHECK_IS(recv_some(&p, buffer, 10, 0), -EAGAIN);
	peer_tell(&p, 100, 30);
	CHECK_IS(recv_some(&p, buffer, 200, MSG_WAITALL), 100);
	CHECK(is_stream(buffer, 0, 100));
	peer_tell(&p, 40000, 16384);
	CHECK_IS(recv_some(&p, buffer, 40000, MSG_WAITALL), 40000);
	CHECK(is_stream(buffer, 100, 40000));
	peer_tell(&p, 50000, 9999);
	CHECK_IS(recv_some(&p, NULL, 100, MSG_TRUNC), 100);
	CHECK(readable(&p));
	CHECK_IS(recv_some(&p, buffer, 1, 0), 1);
	CHECK(is_stream(buffer, 40200, 1));
	CHECK_IS(recv_some(&p, NULL, 2 * BIG, MSG_TRUNC), 49899);
	CHECK(!readable(&p));
	conn_set_lowat(p.c, 50);
	CHECK_IS(conn_lowat(p.c), 50);
	peer_tell(&p, 30, 30);
	CHECK_IS(recv_some(&p, buffer, 100, 0), 30);	/* what there was when SO_RCVTIMEO passed */
	peer_tell(&p, 60, 30);
	CHECK_IS(recv_some(&p, buffer, 55, 0), 55);
	CHECK_IS(recv_some(&p, buffer, 55, MSG_PEEK | MSG_WAITALL), 5);
	CHECK(readable(&p));
	pair_end(&p);
	end_case();
}

/* Tickets make the kernel readable and are nothing to the program. */
static void
tickets(void)
{
	struct pair p;

	begin_case("tickets alone");
	pair_up(&p, &variants[0], NULL);
	CHECK(readable(&p));
	CHECK_IS(recv_some(&p, buffer, 100, 0), -EAGAIN);
	CHECK(!readable(&p));
	end_case();

	begin_case("tickets, asked by FIONREAD");
	must(SSL_new_session_ticket(p.ssl) == 1 && SSL_do_handshake(p.ssl) == 1, "another ticket");
	peer_flush(&p, SIZE_MAX);
	CHECK(readable(&p));
	CHECK_IS(conn_arrived(p.c, p.fd), 0);
	CHECK(!readable(&p));
	end_case();

	begin_case("tickets before data, by a byte");
	must(SSL_new_session_ticket(p.ssl) == 1 && SSL_do_handshake(p.ssl) == 1, "another ticket");
	peer_tell(&p, 10, 10);
	for (int i = 0; i < 10; i++)
		CHECK_IS(recv_some(&p, buffer + i, 1, 0), 1);
	CHECK(is_stream(buffer, 0, 10));
	CHECK(!readable(&p));
	end_case();

	begin_case("tickets, polled in blocking mode");
	conn_set_blocking(p.c, true);
	must(SSL_new_session_ticket(p.ssl) == 1 && SSL_do_handshake(p.ssl) == 1, "another ticket");
	peer_flush(&p, SIZE_MAX);
	CHECK_IS(conn_tells(p.c, p.fd, POLLIN | POLLOUT, POLLIN | POLLOUT), POLLOUT);
	CHECK(!readable(&p));
	peer_tell(&p, 10, 10);
	CHECK_IS(conn_tells(p.c, p.fd, POLLIN, POLLIN), POLLIN);
	CHECK(readable(&p));
	CHECK_IS(recv_some(&p, buffer, 100, 0), 10);
	pair_end(&p);
	end_case();
}

/* The record arrives in two parts, cut everywhere. */
static void
cutting(const struct variant *v)
{
	static const size_t rooms[] = { 1, 100, 16384 };
	struct pair p;

	pair_up(&p, v, NULL);
	swallow_tickets(&p);
	for (size_t i = 0; i < COUNT(rooms); i++) {
		size_t size = 330;

		begin_case("cut records, %s: by %zu", v->name, rooms[i]);
		for (size_t at = 1; at < size && !current_failed; at++) {
			peer_say(&p, 300, 300);
			size = (size_t)BIO_ctrl_pending(p.out);
			peer_flush(&p, at);
			if (at % 3 == 0)
				CHECK_IS(conn_arrived(p.c, p.fd), 0);
			else
				CHECK_IS(recv_some(&p, buffer, rooms[i], 0), -EAGAIN);
			CHECK(!readable(&p));
			peer_flush(&p, SIZE_MAX);
			CHECK(readable(&p));
			if (at % 2)
				CHECK_IS(conn_arrived(p.c, p.fd), 300);
			read_all(&p, rooms[i], 300);
		}
		end_case();
	}
	pair_end(&p);
}

static void
by_single_bytes(const struct variant *v)
{
	struct pair p;

	begin_case("byte by byte, %s", v->name);
	pair_open(&p, v, NULL, true);
	shake_hands(&p, 1);
	CHECK_IS(conn_state(p.c), CONN_OPEN);
	peer_say(&p, 400, 200);
	while (BIO_ctrl_pending(p.out)) {
		peer_flush(&p, 1);
		CHECK(readable(&p));
		if (BIO_ctrl_pending(p.out) && conn_arrived(p.c, p.fd) == 0)
			CHECK(!readable(&p));
	}
	CHECK_IS(recv_some(&p, buffer, 1000, 0), 400);
	CHECK(is_stream(buffer, 0, 400));
	CHECK(!readable(&p));
	CHECK_IS(send_some(&p, 0, 1000, 0), 1000);
	peer_hear_up_to(&p, 1000);
	pair_end(&p);
	end_case();
}

static void
key_update(int type, bool ask)
{
	struct pair p;

	begin_case("key update, type %d%s", type, ask ? ", asked by FIONREAD" : "");
	pair_up(&p, &variants[0], NULL);
	for (int round = 0; round < 3; round++) {
		must(SSL_key_update(p.ssl, type) == 1 && SSL_do_handshake(p.ssl) == 1, "SSL_key_update");
		peer_flush(&p, SIZE_MAX);
		CHECK(readable(&p));
		if (ask)
			CHECK_IS(conn_arrived(p.c, p.fd), 0);
		else
			CHECK_IS(recv_some(&p, buffer, 100, 0), -EAGAIN);
		CHECK(!readable(&p));
		peer_tell(&p, 1000, 300);
		CHECK_IS(recv_some(&p, buffer, 7, 0), 7);
		CHECK_IS(recv_some(&p, buffer, 2000, 0), 993);
		CHECK(is_stream(buffer, p.sent - 993, 993));
		CHECK_IS(send_some(&p, p.got, 5000, 0), 5000);
		peer_hear_up_to(&p, p.got + 5000);
	}
	pair_end(&p);
	end_case();
}

/* Who waits for levels alone is not made to take a record apart that has no room any more; others, and who wants all, get its part. */
static void
brief(const struct variant *v)
{
	static const int flags[] = { CONN_BRIEF, 0, CONN_BRIEF | MSG_WAITALL };
	struct pair p;

	begin_case("a brief read, %s", v->name);
	pair_up(&p, v, NULL);
	for (size_t i = 0; i < COUNT(flags); i++) {
		size_t got = 0;

		peer_tell(&p, 40000, 16384);
		while (got < 40000) {
			ssize_t n = recv_some(&p, buffer, 20000, flags[i]);

			if (got == 0)
				CHECK_IS(n, flags[i] == CONN_BRIEF ? 16384 : 20000);
			if (n <= 0)
				break;
			CHECK(is_stream(buffer, p.sent - 40000 + got, (size_t)n));
			got += (size_t)n;
			CHECK(readable(&p) == (got < 40000));
		}
		CHECK_IS(got, 40000);
		CHECK_IS(recv_some(&p, buffer, 1, flags[i]), -EAGAIN);
	}
	pair_end(&p);
	end_case();
}

int
main(void)
{
	tests_begin();
	for (size_t i = 0; i < COUNT(variants); i++) {
		reading(&variants[i], false);
		reading(&variants[i], true);
		scattering(&variants[i]);
		counting(&variants[i]);
		counting_much(&variants[i], 16384);
		counting_much(&variants[i], 700);
		peeking(&variants[i]);
		flagging(&variants[i]);
		cutting(&variants[i]);
		by_single_bytes(&variants[i]);
		brief(&variants[i]);
	}
	for (size_t i = 0; i < COUNT(suites); i++)
		for (int alone = 0; alone < 2; alone++)
			rooms(i, alone);
	for (size_t i = 0; i < COUNT(variants); i++)
		for (size_t j = 0; j < COUNT(sizes); j++)
			plain_behind(&variants[i], sizes[j]);
	tickets();
	for (int ask = 0; ask < 2; ask++) {
		key_update(SSL_KEY_UPDATE_NOT_REQUESTED, ask);
		key_update(SSL_KEY_UPDATE_REQUESTED, ask);
	}
	return tests_end();
}
