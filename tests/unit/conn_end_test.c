/*
 * conn_end_test.c - the connection core: clean ends, cuts and half-closes, and failures that are for ever.
 */
#include "conn_pair.h"

static const struct extra ragged[] = { { "suppress_ragged_eofs", "yes" }, { NULL, NULL } };

static void
clean_end(const struct variant *v, size_t room)
{
	struct pair p;

	begin_case("close_notify, %s: by %zu", v->name, room);
	pair_up(&p, v, NULL);
	peer_say(&p, 10, 10);
	SSL_shutdown(p.ssl);
	peer_flush(&p, SIZE_MAX);
	for (size_t got = 0; got < 10;) {
		ssize_t n = recv_some(&p, buffer, room, 0);

		must(n > 0, "no data");
		got += (size_t)n;
		CHECK(readable(&p));
	}
	for (int again = 0; again < 2; again++) {
		CHECK_IS(recv_some(&p, buffer, room, 0), 0);
		CHECK(readable(&p));
	}
	CHECK_IS(recv_some(&p, buffer, room, MSG_PEEK), 0);
	CHECK_IS(conn_error(p.c), 0);
	CHECK_IS(send_some(&p, 0, 5000, 0), 5000);	/* half closed: the other half goes on */
	peer_take(&p, SIZE_MAX);
	peer_hear(&p);
	CHECK_IS(p.got, 5000);
	pair_end(&p);
	end_case();
}

static void
cut_end(const struct variant *v, const struct extra *extra, int want)
{
	struct pair p;

	begin_case("FIN without close_notify, %s%s", v->name, extra ? ", suppressed" : "");
	pair_up(&p, v, extra);
	peer_tell(&p, 100, 100);
	wire_fin(&p);
	CHECK_IS(recv_some(&p, buffer, 50, 0), 50);
	CHECK(readable(&p));
	CHECK_IS(recv_some(&p, buffer, 50, 0), 50);
	for (int again = 0; again < 2; again++) {
		CHECK(readable(&p));
		CHECK_IS(recv_some(&p, buffer, 50, 0), want);
	}
	CHECK_IS(conn_arrived(p.c, p.fd), 0);
	pair_end(&p);
	end_case();
}

/* The end comes inside of a record, wherever. */
static void
cut_record(const struct variant *v, bool ask, bool blocking)
{
	static const size_t rooms[] = { 1, 100, 16384 };
	size_t size = 330;

	begin_case("FIN inside a record, %s%s%s", v->name, ask ? ", FIONREAD" : "", blocking ? ", blocking" : "");
	for (size_t at = 1; at < size && !current_failed; at = at < 8 || at + 12 > size ? at + 1 : at + 29) {
		struct pair p;
		ssize_t n = -EAGAIN;

		pair_up(&p, v, NULL);
		peer_say(&p, 300, 300);
		size = (size_t)BIO_ctrl_pending(p.out);
		peer_flush(&p, at);
		wire_fin(&p);
		conn_set_blocking(p.c, blocking);
		if (ask)
			CHECK_IS(conn_arrived(p.c, p.fd), 0);
		for (int tries = 0; tries < 3 && n == -EAGAIN; tries++)
			n = recv_some(&p, buffer, rooms[at % 3], 0);
		CHECK_IS(n, -ECONNRESET);
		CHECK(readable(&p));
		pair_end(&p);
	}
	end_case();
}

static void
half_close(const struct variant *v)
{
	struct pair p;

	begin_case("half close, %s", v->name);
	pair_up(&p, v, NULL);
	CHECK_IS(send_some(&p, 0, 3000, 0), 3000);
	CHECK_IS(conn_shutdown(p.c, p.fd, 7), -EINVAL);
	CHECK_IS(conn_shutdown(p.c, p.fd, SHUT_WR), 0);
	CHECK_IS(conn_shutdown(p.c, p.fd, SHUT_WR), 0);
	CHECK_IS(send_some(&p, 0, 10, 0), -EPIPE);
	peer_hear_up_to(&p, 3000);
	CHECK_IS(peer_hear(&p), -1);
	peer_tell(&p, 40000, 16384);
	CHECK_IS(recv_some(&p, buffer, BIG, 0), 40000);
	CHECK(is_stream(buffer, 0, 40000));
	SSL_shutdown(p.ssl);
	peer_flush(&p, SIZE_MAX);
	CHECK_IS(recv_some(&p, buffer, BIG, 0), 0);
	CHECK(readable(&p));
	pair_end(&p);
	end_case();
}

/* The peer's last data must survive our close with unread tickets in the kernel; and it hears our goodbye. */
static void
closing(const struct variant *v)
{
	struct pair p;

	begin_case("close, %s", v->name);
	pair_up(&p, v, NULL);
	CHECK_IS(send_some(&p, 0, 20000, 0), 20000);
	conn_close(p.c, p.fd, true);
	close(p.fd);
	p.fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	peer_hear_up_to(&p, 20000);
	CHECK_IS(peer_hear(&p), -1);
	pair_end(&p);
	end_case();
}

/* ---- failures ---- */

static const struct {
	const char *name, *bytes;
	size_t len;
} garbage[] = {
	{ "HTTP", "HTTP/1.0 400 Bad Request\r\n\r\n", 28 },
	{ "a request", "GET / HTTP/1.0\r\nHost: localhost\r\nAccept: */*\r\n\r\n", 49 },
	{ "zeros", "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 16 },
	{ "ones", "\377\377\377\377\377\377\377\377\377\377", 10 },
	{ "a long record", "\27\3\3\377\377abcdefgh", 13 },
	{ "a false record", "\27\3\3\0\40abcdefghabcdefghabcdefghabcdefgh", 37 },
	{ "an alert", "\25\3\3\0\2\2\50", 7 },
	{ "SSLv2", "\200\56\1\0\2\0\25\0\0\0\20abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz", 63 },
};

static void
check_dead(struct pair *p, int error)
{
	CHECK_IS(conn_state(p->c), CONN_DEAD);
	CHECK_IS(conn_error(p->c), error);
	CHECK(kernel_says(p->fd, POLLIN | POLLOUT) & POLLIN);
	CHECK_IS(recv_some(p, buffer, 10, 0), -error);
	CHECK_IS(send_some(p, 0, 10, 0), -error);
	CHECK_IS(conn_handshake(p->c, p->fd, false), -error);
	CHECK_IS(conn_tells(p->c, p->fd, POLLIN, POLLIN), POLLIN);
	CHECK_IS(conn_take_error(p->c), 0);	/* told, as a socket's is */
	CHECK_IS(conn_error(p->c), error);
	CHECK(!conn_unsteady(p->c));
	CHECK_IS(conn_deadline(p->c), INT64_MAX);
}

static void
garbled_handshake(const struct variant *v, size_t i)
{
	struct pair p;
	int r = -EAGAIN, before = warnings;

	begin_case("garbage instead of a handshake, %s: %s", v->name, garbage[i].name);
	pair_open(&p, v, NULL, true);
	conn_handshake(p.c, p.fd, false);
	wire_put(&p, garbage[i].bytes, garbage[i].len);
	for (int tries = 0; tries < 3 && r == -EAGAIN; tries++)
		r = conn_handshake(p.c, p.fd, false);
	CHECK_IS(r, -EPROTO);
	CHECK_IS(warnings, before + 1);
	CHECK(strstr(last_warning, "EPROTO") && strstr(last_warning, "test.conf:1"));
	check_dead(&p, EPROTO);
	pair_end(&p);
	end_case();
}

enum how { BY_READING, BY_COUNTING, BY_POLLING, BY_PEEKING, WAYS };

static void
garbled_stream(const struct variant *v, size_t i, enum how how)
{
	static const char *const ways[] = { "read", "counted", "polled", "peeked" };
	struct pair p;

	begin_case("garbage behind data, %s: %s, %s", v->name, garbage[i].name, ways[how]);
	pair_up(&p, v, NULL);
	peer_tell(&p, 100, 100);
	wire_put(&p, garbage[i].bytes, garbage[i].len);
	conn_set_blocking(p.c, how == BY_POLLING);
	if (how == BY_COUNTING)
		CHECK_IS(conn_arrived(p.c, p.fd), 100);
	if (how == BY_POLLING)
		CHECK(conn_tells(p.c, p.fd, POLLIN, POLLIN) & POLLIN);
	if (how == BY_PEEKING)
		CHECK_IS(recv_some(&p, buffer, 1000, MSG_PEEK), 100);
	CHECK_IS(recv_some(&p, buffer, 100, MSG_DONTWAIT), 100);
	CHECK(is_stream(buffer, 0, 100));
	CHECK(readable(&p));
	if (how == BY_COUNTING)
		CHECK_IS(conn_arrived(p.c, p.fd), 0);
	if (how == BY_POLLING)
		CHECK(conn_tells(p.c, p.fd, POLLIN, POLLIN) & POLLIN);
	CHECK_IS(recv_some(&p, buffer, 100, MSG_DONTWAIT), -EPROTO);
	check_dead(&p, EPROTO);
	pair_end(&p);
	end_case();
}

/* A length beyond any record's, and a peer that goes on and on. */
static void
flood(const struct variant *v)
{
	static const uint8_t head[] = { 23, 3, 3, 255, 255 };
	struct pair p;

	begin_case("a flood without records, %s", v->name);
	pair_up(&p, v, NULL);
	memset(buffer, 'x', 60000);
	memcpy(buffer, head, sizeof(head));
	wire_put(&p, buffer, 60000);
	CHECK_IS(conn_arrived(p.c, p.fd), 0);
	check_dead(&p, EPROTO);
	pair_end(&p);
	end_case();
}

static void
late_handshake(const struct variant *v, bool wait)
{
	static const struct extra soon[] = { { "handshake_timeout", "60" }, { NULL, NULL } };
	int64_t began = now_ms();
	struct pair p;

	begin_case("handshake_timeout, %s%s", v->name, wait ? ", blocking" : "");
	pair_open(&p, v, soon, true);
	CHECK(conn_deadline(p.c) >= began + 60 && conn_deadline(p.c) <= now_ms() + 60);
	conn_set_blocking(p.c, wait);
	if (wait) {
		CHECK_IS(conn_handshake(p.c, p.fd, true), -ETIMEDOUT);
	} else {
		struct pollfd f = { .fd = -1 };
		int r = conn_handshake(p.c, p.fd, false);

		CHECK(r == -EAGAIN || now_ms() >= began + 60);	/* under valgrind a ClientHello can take as long */
		conn_expire(p.c, p.fd);
		CHECK(conn_error(p.c) == 0 || now_ms() >= began + 60);
		while (now_ms() < began + 60 || now_ms() < conn_deadline(p.c))
			if (conn_deadline(p.c) == INT64_MAX)
				break;
			else
				poll(&f, 1, (int)(conn_deadline(p.c) - now_ms()));
		conn_expire(p.c, p.fd);
	}
	CHECK(now_ms() >= began + 60);
	check_dead(&p, ETIMEDOUT);
	pair_end(&p);
	end_case();
}

static void
left_handshake(const struct variant *v, bool spoke, int level)
{
	struct pair p;
	int before = warnings, r = -EAGAIN;

	begin_case("the peer leaves the handshake, %s%s", v->name, spoke ? ", inside" : "");
	pair_open(&p, v, NULL, true);
	conn_handshake(p.c, p.fd, false);
	if (spoke)
		wire_put(&p, "\26\3\1\0\144\1\0", 7);
	wire_fin(&p);
	for (int tries = 0; tries < 3 && r == -EAGAIN; tries++)
		r = conn_handshake(p.c, p.fd, false);
	CHECK_IS(r, -ECONNRESET);
	CHECK_IS(warnings - before, level);
	check_dead(&p, ECONNRESET);
	pair_end(&p);
	end_case();
}

/* What the kernel says once must stay said: the reset behind delivered data. */
static void
reset(const struct variant *v, const struct extra *extra)
{
	struct linger hard = { 1, 0 };
	struct pollfd f;
	struct pair p;

	begin_case("a reset, %s%s", v->name, extra ? ", ragged ends suppressed" : "");
	pair_up(&p, v, extra);
	peer_tell(&p, 100, 100);
	setsockopt(p.far, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
	far_close(&p);
	f = (struct pollfd){ .fd = p.fd, .events = 0 };
	must(poll(&f, 1, PATIENCE_MS) == 1, "the reset does not arrive");
	if (recv_some(&p, buffer, 1000, 0) != -ECONNRESET)
		CHECK_IS(recv_some(&p, buffer, 1000, 0), -ECONNRESET);
	CHECK_IS(recv_some(&p, buffer, 1000, 0), -ECONNRESET);
	CHECK(readable(&p));
	pair_end(&p);
	end_case();
}

/* ---- all ---- */

static void
run_ends(const struct variant *v)
{
	clean_end(v, 1);
	clean_end(v, 100);
	cut_end(v, NULL, -ECONNRESET);
	cut_end(v, ragged, 0);
	cut_record(v, false, false);
	cut_record(v, true, false);
	cut_record(v, false, true);
	half_close(v);
	closing(v);
	for (size_t i = 0; i < COUNT(garbage); i++) {
		garbled_handshake(v, i);
		for (enum how how = BY_READING; how < WAYS; how++)
			garbled_stream(v, i, how);
	}
	flood(v);
	late_handshake(v, false);
	late_handshake(v, true);
	left_handshake(v, false, v->role == CONFIG_CLIENT);
	left_handshake(v, true, 1);
	if (v->local)
		return;
	reset(v, NULL);
	reset(v, ragged);
}

int
main(void)
{
	tests_begin();
	for (size_t i = 0; i < COUNT(variants); i++)
		run_ends(&variants[i]);
	return tests_end();
}
