/*
 * ssl_data_test.c - the explicit API's data, and how it ends. Rows of the contract are in the functions' names.
 */
#include "ssl.h"
#include "stream.h"

#include <netinet/tcp.h>

/* ---- data ---- */

static void
row_76_77_105_107_109_data_when_flags_or_lengths_are_odd_then_as_documented(void)
{
	struct duo d;
	char buf[16];
	size_t n;

	duo_plain(&d, false, 0);
	CHECK_FAILS(wrapsock_recv(d.s, buf, 1, MSG_PEEK), d.s, WRAPSOCK_E_INVALID, EINVAL);
	CHECK_FAILS(wrapsock_recv(d.s, buf, 1, MSG_DONTWAIT), d.s, WRAPSOCK_E_INVALID, EINVAL);
	CHECK_FAILS(wrapsock_send(d.s, "x", 1, MSG_NOSIGNAL), d.s, WRAPSOCK_E_INVALID, EINVAL);
	CHECK_FAILS(wrapsock_sendall(d.s, "x", 1, MSG_MORE), d.s, WRAPSOCK_E_INVALID, EINVAL);
	CHECK_FAILS(wrapsock_send(d.s, NULL, 1, 0), d.s, WRAPSOCK_E_INVALID, EINVAL);
	CHECK_IS(wrapsock_recv(d.s, buf, 0, 0), 0);
	CHECK_IS(wrapsock_err(d.s), WRAPSOCK_OK);
	CHECK_IS(wrapsock_send(d.s, "", 0, 0), 0);
	CHECK_FAILS(wrapsock_recv(d.s, buf, 1, 0), d.s, WRAPSOCK_E_WANT_READ, EAGAIN);
	CHECK_IS(wrapsock_poll_events(d.s), POLLIN);
	CHECK(talks(&d));
	SSL_shutdown(d.p);
	n = 0;
	while (wrapsock_poll_events(d.s) && n++ < 1000 && wrapsock_recv(d.s, buf, 1, 0) < 0)
		poll(&(struct pollfd){ .fd = d.fd[0], .events = POLLIN }, 1, 10);
	CHECK_IS(wrapsock_recv(d.s, buf, 1, 0), 0);
	CHECK_IS(wrapsock_err(d.s), WRAPSOCK_E_ZERO_RETURN);
	CHECK_IS(wrapsock_recv(d.s, buf, 1, 0), 0);
	CHECK_IS(wrapsock_poll_events(d.s), 0);
	CHECK_IS(wrapsock_send(d.s, "still", 5, 0), 5);		/* half-closed: ours is open */
	CHECK(peer_read(&d, buf, 5));
	duo_close(&d);
}

static void
row_3_81_106_N15_records_when_of_any_size_then_pending_means_readable(void)
{
	static const size_t records[] = { 1, 2, 100, 16383, 16384, 16385, 40000 }, rooms[] = { 1, 7, 1000, 16384, 65536 };
	static uint8_t buf[65536];

	for (int as_server = 0; as_server < 2; as_server++)
		for (size_t i = 0; i < COUNT(records); i++)
			for (size_t k = 0; k < COUNT(rooms); k++) {
				struct duo d;
				size_t sent = 0, got = 0, n;
				int64_t end = now_ms() + 10000;

				if (rooms[k] == 1 && records[i] > 20000)
					continue;
				snprintf(label, sizeof label, "%s, %zu bytes, room %zu", as_server ? "server" : "client", records[i], rooms[k]);
				duo_plain(&d, as_server, 0);
				while (got < records[i] && now_ms() < end) {
					ssize_t r;

					if (sent < records[i] && SSL_write_ex(d.p, stream + sent, records[i] - sent, &n))
						sent += n;
					ERR_clear_error();
					r = wrapsock_recv(d.s, buf, rooms[k], 0);
					if (r > 0) {
						CHECK(memcmp(buf, stream + got, (size_t)r) == 0);
						got += (size_t)r;
					}
					if (wrapsock_pending(d.s)) {
						CHECK(poll(&(struct pollfd){ .fd = d.fd[0], .events = POLLIN }, 1, 0) == 1);
						CHECK_IS(wrapsock_poll_events(d.s), 0);
					}
				}
				CHECK_IS(got, records[i]);
				CHECK_IS(wrapsock_pending(d.s), 0);
				duo_close(&d);
			}
}

static void
row_107_N13_timeouts_when_they_pass_then_in_all_per_call(void)
{
	static char big[4 << 20];
	struct duo d;
	char buf[8];
	int64_t began;
	struct sockaddr_in addr;
	int l, fd[2];
	struct wrapsock_ctx *c = client_ctx(), *sc = server_ctx();
	struct wrapsock_sock *s;
#define TAKES(call, obj, code)                                              \
	do {                                                                \
		began = now_ms();                                           \
		CHECK_FAILS(call, obj, code, ETIMEDOUT);                    \
		CHECK(now_ms() - began >= 95 && now_ms() - began < 5000);   \
	} while (0)

	duo_plain(&d, false, 0);
	CHECK_FAILS(wrapsock_set_timeout(d.s, -2), d.s, WRAPSOCK_E_INVALID, EINVAL);
	CHECK_IS(wrapsock_set_timeout(d.s, 100), 0);
	TAKES(wrapsock_recv(d.s, buf, 8, 0), d.s, WRAPSOCK_E_TIMEOUT);
	setsockopt(d.fd[0], SOL_SOCKET, SO_SNDBUF, &(int){ 16384 }, sizeof(int));
	setsockopt(d.fd[1], SOL_SOCKET, SO_RCVBUF, &(int){ 16384 }, sizeof(int));
	TAKES(wrapsock_sendall(d.s, big, sizeof big, 0), d.s, WRAPSOCK_E_TIMEOUT);
	duo_close(&d);
	duo_plain(&d, false, 0);
	CHECK_IS(wrapsock_set_timeout(d.s, 100), 0);
	TAKES(wrapsock_unwrap(d.s), d.s, WRAPSOCK_E_TIMEOUT);	/* row 102 */
	CHECK_IS(wrapsock_set_timeout(d.s, 0), 0);
	CHECK_FAILS(wrapsock_unwrap(d.s), d.s, WRAPSOCK_E_WANT_READ, EAGAIN);
	duo_close(&d);
	/* the handshake, and its one inside accept */
	tcp_pair(fd);
	s = wrapsock_wrap(c, fd[0], WRAPSOCK_NO_HANDSHAKE_ON_CONNECT, "server.test");
	must(s && wrapsock_set_timeout(s, 100) == 0, "wrap");
	TAKES(wrapsock_do_handshake(s), s, WRAPSOCK_E_TIMEOUT);
	TAKES(wrapsock_send(s, "x", 1, 0), s, WRAPSOCK_E_TIMEOUT);
	wrapsock_close(s);
	setsockopt(fd[0], SOL_SOCKET, SO_RCVTIMEO, &(struct timeval){ 0, 100000 }, sizeof(struct timeval));
	close(fd[1]);
	close(fd[0]);
	tcp_pair(fd);
	setsockopt(fd[0], SOL_SOCKET, SO_RCVTIMEO, &(struct timeval){ 0, 100000 }, sizeof(struct timeval));
	TAKES(wrapsock_wrap(c, fd[0], 0, "server.test"), NULL, WRAPSOCK_E_TIMEOUT);
	close(fd[1]);
	close(fd[0]);
	l = listen_tcp(&addr);
	s = wrapsock_wrap(sc, l, WRAPSOCK_SERVER_SIDE, NULL);
	must(s && wrapsock_set_timeout(s, 100) == 0, "listener");
	TAKES(wrapsock_accept(s, NULL, NULL), s, WRAPSOCK_E_TIMEOUT);
	fd[0] = socket(AF_INET, SOCK_STREAM, 0);
	must(connect(fd[0], (struct sockaddr *)&addr, sizeof addr) == 0, "a silent client");
	TAKES(wrapsock_accept(s, NULL, NULL), s, WRAPSOCK_E_TIMEOUT);	/* S29 */
	CHECK_IS(wrapsock_set_timeout(s, 0), 0);
	CHECK_FAILS(wrapsock_accept(s, NULL, NULL), s, WRAPSOCK_E_INVALID, EINVAL);
	wrapsock_close(s);
	close(fd[0]);
	set_nonblocking(l, true);
	s = wrapsock_wrap(sc, l, WRAPSOCK_SERVER_SIDE | WRAPSOCK_NO_HANDSHAKE_ON_CONNECT | WRAPSOCK_OWN_FD, NULL);
	must(s != NULL, "listener");
	CHECK_FAILS(wrapsock_accept(s, NULL, NULL), s, WRAPSOCK_E_WANT_READ, EAGAIN);
	CHECK_IS(wrapsock_poll_events(s), POLLIN);
	wrapsock_close(s);
	/* connect: a listener whose queue is full answers nobody */
	l = socket(AF_INET, SOCK_STREAM, 0);
	addr.sin_port = 0;
	must(bind(l, (struct sockaddr *)&addr, sizeof addr) == 0 && listen(l, 0) == 0, "a full listener");
	getsockname(l, (struct sockaddr *)&addr, &(socklen_t){ sizeof addr });
	for (int i = 0; i < 2; i++) {
		fd[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		connect(fd[i], (struct sockaddr *)&addr, sizeof addr);
	}
	s = wrapsock_wrap(c, socket(AF_INET, SOCK_STREAM, 0), WRAPSOCK_OWN_FD, "server.test");
	must(s && wrapsock_set_timeout(s, 100) == 0, "wrap");
	TAKES(wrapsock_connect(s, (struct sockaddr *)&addr, sizeof addr), s, WRAPSOCK_E_TIMEOUT);
	{
		struct timeval tv;

		CHECK(getsockopt(wrapsock_fileno(s), SOL_SOCKET, SO_SNDTIMEO, &tv, &(socklen_t){ sizeof tv }) == 0 && !tv.tv_sec && !tv.tv_usec);
	}
	wrapsock_close(s);
	close(fd[0]);
	close(fd[1]);
	close(l);
	wrapsock_ctx_free(c);
	wrapsock_ctx_free(sc);
}

static void
N38_sendfile_when_of_a_file_then_its_bytes_from_the_offset(void)
{
	static uint8_t got[100000];
	char path[96];
	struct duo d;
	off_t offset = 1000;
	size_t sent = 0, read = 0, n;
	int file, pipes[2];

	snprintf(path, sizeof path, "%s", at("data"));
	file = open(path, O_RDWR | O_CREAT, 0600);
	must(file >= 0 && write(file, stream, 100000) == 100000 && lseek(file, 0, SEEK_SET) == 0 && pipe(pipes) == 0, path);
	duo_plain(&d, false, 0);
	while (sent < 99000) {
		ssize_t r = wrapsock_sendfile(d.s, file, &offset, 200000);

		if (r > 0)
			sent += (size_t)r;
		else
			must(wrapsock_err(d.s) == WRAPSOCK_E_WANT_WRITE, "sendfile");
		while (SSL_read_ex(d.p, got + read, sizeof got - read, &n))
			read += n;
		ERR_clear_error();
	}
	while (read < sent && SSL_read_ex(d.p, got + read, sizeof got - read, &n))
		read += n;
	ERR_clear_error();
	CHECK(read == 99000 && memcmp(got, stream + 1000, 99000) == 0);
	CHECK_IS(offset, 100000);
	CHECK_IS(lseek(file, 0, SEEK_CUR), 0);
	CHECK_IS(wrapsock_sendfile(d.s, file, &offset, 10), 0);		/* the end */
	CHECK_IS(wrapsock_sendfile(d.s, file, NULL, 10), 10);
	CHECK_IS(lseek(file, 0, SEEK_CUR), 10);
	CHECK(peer_read(&d, got, 10) && memcmp(got, stream, 10) == 0);
	CHECK_FAILS(wrapsock_sendfile(d.s, pipes[0], NULL, 10), d.s, WRAPSOCK_E_SYSCALL, ESPIPE);
	CHECK_FAILS(wrapsock_sendfile(d.s, -1, &(off_t){ 0 }, 10), d.s, WRAPSOCK_E_SYSCALL, EBADF);
	duo_close(&d);
	close(file);
	close(pipes[0]);
	close(pipes[1]);
}

/* ---- ends ---- */

static void
row_29_30_109_S10_S11_stream_when_it_is_cut_then_by_the_flag_and_for_ever(void)
{
	for (int report = 0; report < 2; report++)
		for (int as_server = 0; as_server < 2; as_server++)
			for (int where = 0; where < 3; where++) {
				struct duo d;
				char buf[16];
				size_t n;

				snprintf(label, sizeof label, "%s, %s, %s", report ? "report" : "suppress", as_server ? "server" : "client",
					 where == 0 ? "after the handshake" : where == 1 ? "after a record" : "in a record");
				duo_plain(&d, as_server, report ? WRAPSOCK_REPORT_RAGGED_EOFS : 0);
				CHECK(talks(&d));
				if (where == 1)
					CHECK(SSL_write_ex(d.p, "tail", 4, &n));
				if (where == 2)
					CHECK_IS(send(d.fd[1], "\x17\x03\x03\x00\x40half", 9, 0), 9);
				shutdown(d.fd[1], SHUT_WR);
				CHECK_IS(wrapsock_set_timeout(d.s, 5000), 0);
				if (where == 1)
					CHECK(recv_all(d.s, buf, 4) && memcmp(buf, "tail", 4) == 0);
				for (int again = 0; again < 3; again++) {
					errno = 0;
					CHECK_IS(wrapsock_recv(d.s, buf, sizeof buf, 0), report ? -1 : 0);
					CHECK_IS(errno, report ? ECONNRESET : 0);
					CHECK_IS(wrapsock_err(d.s), WRAPSOCK_E_EOF);
				}
				duo_close(&d);
			}
}

static void
row_104_D7_close_when_called_then_one_close_notify(void)
{
	for (int as_server = 0; as_server < 2; as_server++) {
		struct duo d;
		char buf[8];

		duo_plain(&d, as_server, 0);
		CHECK(talks(&d));
		wrapsock_close(d.s);
		d.s = NULL;
		set_nonblocking(d.fd[1], false);
		shutdown(d.fd[0], SHUT_WR);
		CHECK_IS(SSL_read(d.p, buf, sizeof buf), 0);
		CHECK_IS(SSL_get_shutdown(d.p), SSL_RECEIVED_SHUTDOWN);
		CHECK_IS(recv(d.fd[1], buf, sizeof buf, 0), 0);		/* and nothing behind it */
		duo_close(&d);
	}
	CHECK_IS(wrapsock_close(NULL), 0);
}

static void
row_98_99_101_unwrap_when_both_close_then_plain_to_the_byte(void)
{
	for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++)
		for (int as_server = 0; as_server < 2; as_server++)
			for (int first = 0; first < 2; first++) {
				struct duo d;
				struct wrapsock_ctx *c = as_server ? server_ctx() : client_ctx();
				SSL_CTX *x = peer_ctx(!as_server, as_server ? NULL : "server-both.pem");
				char buf[64];
				int64_t end = now_ms() + 5000;
				int r;

				snprintf(label, sizeof label, "%x, %s, %s closes first", version, as_server ? "server" : "client", first ? "peer" : "ours");
				SSL_CTX_set_max_proto_version(x, version);
				must(duo_open(&d, c, (as_server ? WRAPSOCK_SERVER_SIDE : 0) | WRAPSOCK_OWN_FD, as_server ? NULL : "server.test", x) == 0, "open");
				CHECK(talks(&d));
				if (first) {	/* the peer's goodbye and what it says in clear behind it, in one piece */
					SSL_shutdown(d.p);
					CHECK_IS(send(d.fd[1], "plain from the peer", 19, 0), 19);
				} else {
					CHECK_FAILS(wrapsock_unwrap(d.s), d.s, WRAPSOCK_E_WANT_READ, EAGAIN);
					CHECK_IS(wrapsock_poll_events(d.s), POLLIN);
					while (SSL_read(d.p, buf, sizeof buf) <= 0 && !(SSL_get_shutdown(d.p) & SSL_RECEIVED_SHUTDOWN) && now_ms() < end)
						;
					ERR_clear_error();
					SSL_shutdown(d.p);
					CHECK_IS(send(d.fd[1], "plain from the peer", 19, 0), 19);
				}
				while ((r = wrapsock_unwrap(d.s)) < 0 && wrapsock_err(d.s) == WRAPSOCK_E_WANT_READ && now_ms() < end)
					poll(&(struct pollfd){ .fd = d.fd[0], .events = POLLIN }, 1, 10);
				CHECK_IS(r, d.fd[0]);
				set_nonblocking(d.fd[0], false);
				CHECK_IS(recv(d.fd[0], buf, 19, MSG_WAITALL), 19);
				CHECK(memcmp(buf, "plain from the peer", 19) == 0);
				CHECK_IS(recv(d.fd[0], buf, 1, MSG_DONTWAIT), -1);	/* open, and nothing more */
				CHECK_IS(errno, EAGAIN);
				CHECK_IS(send(d.fd[0], "plain from us", 13, 0), 13);
				if (first) {
					while (SSL_read(d.p, buf, sizeof buf) <= 0 && !(SSL_get_shutdown(d.p) & SSL_RECEIVED_SHUTDOWN) && now_ms() < end)
						;
					ERR_clear_error();
				}
				set_nonblocking(d.fd[1], false);
				CHECK_IS(recv(d.fd[1], buf, 13, MSG_WAITALL), 13);
				CHECK(memcmp(buf, "plain from us", 13) == 0);
				/* the handle is dead, the descriptor the caller's */
				CHECK_FAILS(wrapsock_send(d.s, "x", 1, 0), d.s, WRAPSOCK_E_STATE, EINVAL);
				CHECK_FAILS(wrapsock_recv(d.s, buf, 1, 0), d.s, WRAPSOCK_E_STATE, EINVAL);
				CHECK_FAILS(wrapsock_unwrap(d.s), d.s, WRAPSOCK_E_STATE, EINVAL);
				CHECK_FAILS(wrapsock_fileno(d.s), d.s, WRAPSOCK_E_STATE, EINVAL);
				CHECK_IS(wrapsock_close(d.s), 0);
				d.s = NULL;
				CHECK(fcntl(d.fd[0], F_GETFD) >= 0);
				/* and TLS again on the same descriptor */
				SSL_free(d.p);
				d.p = peer_new(x, d.fd[1], !as_server);
				set_nonblocking(d.fd[0], true);
				set_nonblocking(d.fd[1], true);
				d.s = wrapsock_wrap(c, d.fd[0], (as_server ? WRAPSOCK_SERVER_SIDE : 0) | WRAPSOCK_NO_HANDSHAKE_ON_CONNECT, as_server ? NULL : "server.test");
				CHECK(d.s && pump_handshake(&d) == 0 && talks(&d));
				duo_close(&d);
				SSL_CTX_free(x);
				wrapsock_ctx_free(c);
			}
}

static void
row_100_102_S22_unwrap_when_data_waits_then_pending_and_nothing_is_lost(void)
{
	for (int step = 0; step < 2; step++) {
		struct duo d;
		char buf[16];
		size_t n;
		int64_t end = now_ms() + 5000;
		int r;

		snprintf(label, sizeof label, "%s", step ? "data behind our goodbye" : "data before it");
		duo_plain(&d, false, 0);
		if (step)
			CHECK_FAILS(wrapsock_unwrap(d.s), d.s, WRAPSOCK_E_WANT_READ, EAGAIN);
		CHECK(SSL_write_ex(d.p, "unread", 6, &n));
		poll(&(struct pollfd){ .fd = d.fd[0], .events = POLLIN }, 1, 1000);
		do
			r = wrapsock_unwrap(d.s);
		while (r < 0 && wrapsock_err(d.s) == WRAPSOCK_E_WANT_READ && now_ms() < end);
		CHECK(r == -1 && wrapsock_err(d.s) == WRAPSOCK_E_DATA_PENDING && errno == EBUSY);
		CHECK_FAILS(wrapsock_unwrap(d.s), d.s, WRAPSOCK_E_DATA_PENDING, EBUSY);
		CHECK(wrapsock_recv(d.s, buf, sizeof buf, 0) == 6 && memcmp(buf, "unread", 6) == 0);
		SSL_shutdown(d.p);
		CHECK_IS(send(d.fd[1], "x", 1, 0), 1);
		while ((r = wrapsock_unwrap(d.s)) < 0 && wrapsock_err(d.s) == WRAPSOCK_E_WANT_READ && now_ms() < end)
			;
		CHECK_IS(r, d.fd[0]);
		CHECK(recv(d.fd[0], buf, 2, 0) == 1 && *buf == 'x');
		duo_close(&d);
	}
	{	/* the peer goes without a goodbye */
		struct duo d;

		duo_plain(&d, false, 0);
		shutdown(d.fd[1], SHUT_WR);
		CHECK_IS(wrapsock_set_timeout(d.s, 2000), 0);
		CHECK_FAILS(wrapsock_unwrap(d.s), d.s, WRAPSOCK_E_EOF, ECONNRESET);
		CHECK_FAILS(wrapsock_send(d.s, "SECRET", 6, 0), d.s, WRAPSOCK_E_EOF, ECONNRESET);
		duo_close(&d);
	}
}

static const struct test tests[] = {
	TEST(row_76_77_105_107_109_data_when_flags_or_lengths_are_odd_then_as_documented),
	TEST(row_3_81_106_N15_records_when_of_any_size_then_pending_means_readable),
	TEST(row_107_N13_timeouts_when_they_pass_then_in_all_per_call),
	TEST(N38_sendfile_when_of_a_file_then_its_bytes_from_the_offset),
	TEST(row_29_30_109_S10_S11_stream_when_it_is_cut_then_by_the_flag_and_for_ever),
	TEST(row_104_D7_close_when_called_then_one_close_notify),
	TEST(row_98_99_101_unwrap_when_both_close_then_plain_to_the_byte),
	TEST(row_100_102_S22_unwrap_when_data_waits_then_pending_and_nothing_is_lost),
};

int
main(int argc, char **argv)
{
	stream_fill();
	return run_tests(tests, COUNT(tests), argc, argv);
}
