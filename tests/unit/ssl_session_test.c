/*
 * ssl_session_test.c - the explicit API's sessions, and failures that belong to one connection. Rows of the contract are in the
 * functions' names.
 */
#include "ssl.h"
#include "stream.h"

static int
keep_session(SSL *p, SSL_SESSION *session)
{
	SSL_SESSION **to = SSL_get_app_data(p);

	SSL_SESSION_free(*to);
	*to = session;
	return 1;
}

static void
N28_N29_S13_tickets_when_data_has_gone_then_a_session_resumes_in_its_own_context(void)
{
	for (int tickets = 0; tickets < 4; tickets++) {
		struct wrapsock_ctx *c = server_ctx(), *strict = server_ctx();
		SSL_CTX *x = peer_ctx(false, NULL);
		SSL_SESSION *session = NULL;
		struct duo d;
		char buf[8];
		size_t n;

		snprintf(label, sizeof label, "%d tickets", tickets);
		CHECK_IS(wrapsock_ctx_set_num_tickets(c, (unsigned)tickets), 0);
		SSL_CTX_set_session_cache_mode(x, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
		SSL_CTX_sess_set_new_cb(x, keep_session);
		for (int i = 0; i < 2; i++) {
			d = (struct duo){ { -1, -1 }, NULL, NULL };
			tcp_pair(d.fd);
			set_nonblocking(d.fd[0], true);
			set_nonblocking(d.fd[1], true);
			d.s = wrapsock_wrap(c, d.fd[0], WRAPSOCK_SERVER_SIDE | WRAPSOCK_NO_HANDSHAKE_ON_CONNECT, NULL);
			d.p = peer_new(x, d.fd[1], false);
			SSL_set_app_data(d.p, &session);
			if (session)
				SSL_set_session(d.p, session);
			CHECK_IS(pump_handshake(&d), 0);
			CHECK_IS(wrapsock_session_reused(d.s), i && tickets);
			SSL_read_ex(d.p, buf, sizeof buf, &n);
			ERR_clear_error();
			CHECK(i || !session);		/* none before data (5.8) */
			CHECK(talks(&d));
			CHECK(i || (session != NULL) == (tickets > 0));
			duo_close(&d);
		}
		/* the session is worth nothing in a context that wants a certificate */
		CHECK_IS(wrapsock_ctx_load_verify_locations(strict, at("ca.pem"), NULL), 0);
		CHECK_IS(wrapsock_ctx_set_verify_mode(strict, WRAPSOCK_CERT_REQUIRED), 0);
		tcp_pair(d.fd);
		set_nonblocking(d.fd[0], true);
		set_nonblocking(d.fd[1], true);
		d.s = wrapsock_wrap(strict, d.fd[0], WRAPSOCK_SERVER_SIDE | WRAPSOCK_NO_HANDSHAKE_ON_CONNECT, NULL);
		d.p = peer_new(x, d.fd[1], false);
		SSL_set_app_data(d.p, &session);
		if (session)
			SSL_set_session(d.p, session);
		CHECK_IS(pump_handshake(&d), -1);
		CHECK_IS(wrapsock_err(d.s), WRAPSOCK_E_CERT_VERIFY);
		duo_close(&d);
		SSL_SESSION_free(session);
		SSL_CTX_free(x);
		wrapsock_ctx_free(c);
		wrapsock_ctx_free(strict);
	}
}

static void
row_6_S32_failures_when_connections_alternate_then_each_has_its_own(void)
{
	struct duo good, bad;
	SSL_CTX *x = peer_ctx(true, "stranger.pem");
	struct wrapsock_ctx *c = client_ctx();

	duo_plain(&good, false, 0);
	for (int i = 0; i < 5; i++) {
		CHECK_IS(duo_open(&bad, c, 0, "server.test", x), -1);
		CHECK(talks(&good));
		CHECK_IS(wrapsock_err(good.s), WRAPSOCK_OK);
		CHECK_FAILS(wrapsock_send(bad.s, "x", 1, 0), bad.s, WRAPSOCK_E_CERT_VERIFY, EKEYREJECTED);
		CHECK(talks(&good));
		CHECK_IS(wrapsock_err(bad.s), WRAPSOCK_E_CERT_VERIFY);		/* what any thread left there */
		ERR_raise(ERR_LIB_USER, 1);		/* the program's own entry neither matters nor is lost */
		CHECK(talks(&good));
		CHECK_IS(ERR_GET_LIB(ERR_peek_error()), 0);
		ERR_clear_error();
		duo_close(&bad);
	}
	duo_close(&good);
	SSL_CTX_free(x);
	wrapsock_ctx_free(c);
}

/* 5.8: a client that writes and closes without reading. */
static void
N29_tickets_when_a_client_only_writes_then_no_byte_is_lost(void)
{
	static uint8_t got[60000];

	for (int i = 0; i < 40; i++) {
		struct duo d;
		size_t sent = 0, read = 0, n;
		int64_t end = now_ms() + 5000;
		ssize_t r = 1;

		duo_plain(&d, true, 0);
		CHECK_IS(wrapsock_set_timeout(d.s, 3000), 0);
		while (sent < sizeof got && now_ms() < end) {
			if (SSL_write_ex(d.p, stream + sent, sizeof got - sent, &n))
				sent += n;
			else
				break;		/* the rest after our first read */
		}
		ERR_clear_error();
		SSL_shutdown(d.p);
		SSL_free(d.p);
		d.p = NULL;
		close(d.fd[1]);
		d.fd[1] = -1;
		usleep(1000);
		while (read < sent && (r = wrapsock_recv(d.s, got + read, sizeof got - read, 0)) > 0)
			read += (size_t)r;
		CHECK_IS(read, sent);
		CHECK(memcmp(got, stream, read) == 0 && read > 0);
		duo_close(&d);
	}
}

static const struct test tests[] = {
	TEST(N28_N29_S13_tickets_when_data_has_gone_then_a_session_resumes_in_its_own_context),
	TEST(row_6_S32_failures_when_connections_alternate_then_each_has_its_own),
	TEST(N29_tickets_when_a_client_only_writes_then_no_byte_is_lost),
};

int
main(int argc, char **argv)
{
	stream_fill();
	return run_tests(tests, COUNT(tests), argc, argv);
}
