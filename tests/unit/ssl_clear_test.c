/*
 * ssl_clear_test.c - the explicit API: whatever fails, and whatever is called then, nothing goes out in clear. Rows of the contract are
 * in the functions' names.
 */
#include "ssl.h"

/* The peer's part of a handshake with one of ours, as bytes; TLS itself is over at *done. */
static size_t
record_peer(bool as_server, uint8_t *bytes, size_t size)
{
	struct duo d = { { -1, -1 }, NULL, NULL };
	struct wrapsock_ctx *c = as_server ? server_ctx() : client_ctx();
	SSL_CTX *x = peer_ctx(!as_server, as_server ? NULL : "server-both.pem");
	int64_t end = now_ms() + 5000;
	size_t len = 0;
	BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
	char buf[4096];
	ssize_t n;

	tcp_pair(d.fd);
	set_nonblocking(d.fd[0], true);
	d.s = wrapsock_wrap(c, d.fd[0], WRAPSOCK_NO_HANDSHAKE_ON_CONNECT | (as_server ? WRAPSOCK_SERVER_SIDE : 0), as_server ? NULL : "server.test");
	d.p = SSL_new(x);
	SSL_set_bio(d.p, in, out);
	as_server ? SSL_set_connect_state(d.p) : SSL_set_accept_state(d.p);
	while (wrapsock_do_handshake(d.s) < 0 && now_ms() < end) {
		while ((n = recv(d.fd[1], buf, sizeof buf, MSG_DONTWAIT)) > 0)
			BIO_write(in, buf, (int)n);
		SSL_do_handshake(d.p);
		ERR_clear_error();
		while ((n = BIO_read(out, buf, sizeof buf)) > 0) {
			must(len + (size_t)n <= size && send(d.fd[1], buf, (size_t)n, 0) == n, "send");
			memcpy(bytes + len, buf, (size_t)n);
			len += (size_t)n;
		}
	}
	duo_close(&d);
	SSL_CTX_free(x);
	wrapsock_ctx_free(c);
	return len;
}

/* Everything that could put a byte on the wire. */
static void
try_everything(struct wrapsock_sock *s)
{
	char buf[64];
	int file = open("/proc/self/exe", O_RDONLY);

	CHECK_IS(wrapsock_send(s, "SECRET", 6, 0), -1);
	CHECK_IS(wrapsock_sendall(s, "SECRET", 6, 0), -1);
	CHECK_IS(wrapsock_sendfile(s, file, &(off_t){ 0 }, 100), -1);
	CHECK(wrapsock_recv(s, buf, sizeof buf, 0) <= 0);
	CHECK_IS(wrapsock_do_handshake(s), -1);
	CHECK_IS(wrapsock_unwrap(s), -1);
	wrapsock_shutdown(s, SHUT_WR);
	CHECK_IS(wrapsock_send(s, "SECRET", 6, 0), -1);
	CHECK_IS(wrapsock_connect(s, (struct sockaddr *)&(struct sockaddr_in){ .sin_family = AF_INET }, sizeof(struct sockaddr_in)), -1);
	close(file);
}

/* What the other end has of ours, to the end: TLS records, and no word of ours. */
static void
check_wire(int fd)
{
	static uint8_t all[200000];
	size_t len = 0;
	ssize_t n;

	while ((n = recv(fd, all + len, sizeof all - len, MSG_DONTWAIT)) > 0)
		len += (size_t)n;
	CHECK(is_tls(all, len));
	CHECK(!memmem(all, len, "SECRET", 6));
	CHECK(!memmem(all, len, "ELF", 3));
}

static void
row_3_31_32_82_D3_S9_handshake_when_it_breaks_anywhere_then_nothing_in_clear(void)
{
	static uint8_t bytes[65536];

	for (int as_server = 0; as_server < 2; as_server++) {
		size_t len = record_peer(as_server, bytes, sizeof bytes);

		CHECK(len > 300);
		for (int how = 0; how < 3; how++)
			for (size_t cut = 0; cut < len; cut += cut < 20 ? 1 : len / 23) {
				struct wrapsock_ctx *c = as_server ? server_ctx() : client_ctx();
				enum wrapsock_err code;
				struct wrapsock_sock *s;
				int fd[2], error;

				snprintf(label, sizeof label, "%s, %s behind byte %zu of %zu", as_server ? "server" : "client",
					 how == 0 ? "end" : how == 1 ? "rubbish" : "alert", cut, len);
				tcp_pair(fd);
				s = wrapsock_wrap(c, fd[0], WRAPSOCK_NO_HANDSHAKE_ON_CONNECT | (as_server ? WRAPSOCK_SERVER_SIDE : 0),
						  as_server ? NULL : "server.test");
				must(s && wrapsock_set_timeout(s, 3000) == 0, "wrap");
				must(cut == 0 || send(fd[1], bytes, cut, 0) == (ssize_t)cut, "send");
				if (how == 1)
					for (int i = 0; i < 400; i++)
						must(send(fd[1], "rubbish that is no TLS record, for longer than a record can be\n", 63, MSG_NOSIGNAL) == 63, "send");
				if (how == 2)
					must(send(fd[1], "\x15\x03\x03\x00\x02\x02\x28", 7, 0) == 7, "an alert");
				shutdown(fd[1], SHUT_WR);
				CHECK_IS(wrapsock_do_handshake(s), -1);
				error = errno;
				code = wrapsock_err(s);
				CHECK(code == WRAPSOCK_E_SSL || code == WRAPSOCK_E_EOF || code == WRAPSOCK_E_CERT_VERIFY);
				CHECK_FAILS(wrapsock_do_handshake(s), s, code, error);	/* final */
				try_everything(s);
				check_wire(fd[1]);
				wrapsock_close(s);
				check_wire(fd[1]);
				close(fd[0]);
				close(fd[1]);
				wrapsock_ctx_free(c);
			}
	}
}

static void
row_3_S9_connection_when_it_is_over_then_nothing_in_clear(void)
{
	static const char *const ways[] = { "shutdown for writing", "shutdown for reading", "both", "cut", "rubbish", "close_notify and FIN" };

	for (size_t way = 0; way < COUNT(ways); way++)
		for (int as_server = 0; as_server < 2; as_server++) {
			struct duo d;
			char buf[16];

			snprintf(label, sizeof label, "%s, %s", ways[way], as_server ? "server" : "client");
			duo_plain(&d, as_server, 0);
			CHECK(talks(&d));
			CHECK_IS(wrapsock_set_timeout(d.s, 2000), 0);
			if (way < 3) {
				CHECK_IS(wrapsock_shutdown(d.s, way == 0 ? SHUT_WR : way == 1 ? SHUT_RD : SHUT_RDWR), 0);
				if (way != 1)
					CHECK_FAILS(wrapsock_send(d.s, "SECRET", 6, 0), d.s, WRAPSOCK_E_STATE, EPIPE);
				else
					CHECK_IS(wrapsock_send(d.s, "SECRET", 6, 0), 6);
				CHECK(way == 0 || wrapsock_recv(d.s, buf, 1, 0) == 0);
			} else {
				if (way == 4)
					CHECK_IS(send(d.fd[1], "rubbish rubbish", 15, 0), 15);
				if (way == 5)
					SSL_shutdown(d.p);
				shutdown(d.fd[1], SHUT_WR);
				CHECK_IS(wrapsock_recv(d.s, buf, 1, 0), way == 4 ? -1 : 0);
				CHECK_IS(wrapsock_send(d.s, "SECRET", 6, 0), way == 4 ? -1 : 6);
			}
			check_wire(d.fd[1]);
			wrapsock_close(d.s);
			d.s = NULL;
			check_wire(d.fd[1]);
			duo_close(&d);
		}
	CHECK_FAILS(wrapsock_ctx_new(-1), NULL, WRAPSOCK_E_INVALID, EINVAL);
}

static const struct test tests[] = {
	TEST(row_3_31_32_82_D3_S9_handshake_when_it_breaks_anywhere_then_nothing_in_clear),
	TEST(row_3_S9_connection_when_it_is_over_then_nothing_in_clear),
};

int
main(int argc, char **argv)
{
	return run_tests(tests, COUNT(tests), argc, argv);
}
