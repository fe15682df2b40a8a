/* engine_data_test.c - the engine behind the handshake: data, the end, and a process that is not ours alone. */
#include "engine_pair.h"

#include <unistd.h>

static void
test_sizes(const char *settings)
{
	static const size_t sizes[] = {1, 2, 1000, 16383, 16384};
	struct config *cc = config_must(CONFIG_CLIENT, CA), *cs = config_must(CONFIG_SERVER, settings);
	static uint8_t sent[16384], got[3 * 16384];
	struct peer client, server;
	size_t n, at;

	begin_case("record sizes");
	memset(sent, 'x', sizeof(sent));
	CHECK(come(&client, &server, cc, cs, "server.test", NULL));
	for (size_t i = 0; i < COUNT(sizes); i++) {
		sent[0] = (uint8_t)i;
		CHECK(say(&client, sent, sizes[i]));
		CHECK(client.wire.out_len > sizes[i] && client.wire.out_len <= sizes[i] + 64 && client.wire.out[0] == 23);
		CHECK(client.wire.out_len == 5U + (client.wire.out[3] << 8) + client.wire.out[4]);
		carry(&client, &server);
		CHECK(hear(&server, got, sizeof(got), &n) == ENGINE_DONE && n == sizes[i] && memcmp(sent, got, n) == 0);
	}
	/* Several records at once, and the rest that the caller had no room for. */
	for (int i = 0; i < 3; i++)
		CHECK(say(&client, sent, sizeof(sent)));
	carry(&client, &server);
	CHECK(hear(&server, got, 20000, &n) == ENGINE_DONE && n == 20000);
	CHECK(engine_pending(server.engine) == 2 * 16384 - 20000);
	CHECK(hear(&server, got, sizeof(got), &n) == ENGINE_DONE && n == 3 * 16384 - 20000);
	CHECK(hear(&server, got, sizeof(got), &n) == ENGINE_WANT_READ && n == 0);
	/* Byte by byte. */
	CHECK(say(&client, "chopped", 7));
	for (at = 0; at < client.wire.out_len; at++) {
		feed(&server, client.wire.out + at, 1);
		CHECK((hear(&server, got, sizeof(got), &n) == ENGINE_DONE) == (at + 1 == client.wire.out_len));
	}
	client.wire.out_len = 0;
	peer_close(&client);
	peer_close(&server);
	config_free(cc);
	config_free(cs);
	end_case();
}

static void
test_closing(const char *version)
{
	char settings[256], buf[64];
	struct config *cc, *cs = config_must(CONFIG_SERVER, GOOD);
	struct peer client, server;
	size_t n;

	begin_case("closing");
	snprintf(settings, sizeof(settings), CA "|ssl_version=%s", version);
	cc = config_must(CONFIG_CLIENT, settings);
	peer_open(&client, cc, "server.test");
	peer_open(&server, cs, NULL);
	CHECK(engine_close_notify(client.engine) == ENGINE_DONE && client.wire.out_len == 0);
	CHECK(opened(&client, &server));
	CHECK(say(&client, "last", 4) && engine_close_notify(client.engine) == ENGINE_DONE);
	n = client.wire.out_len;
	CHECK(engine_close_notify(client.engine) == ENGINE_DONE && client.wire.out_len == n);
	carry(&client, &server);
	CHECK(hear(&server, buf, sizeof(buf), &n) == ENGINE_DONE && n == 4);
	CHECK(hear(&server, buf, sizeof(buf), &n) == ENGINE_CLOSED && hear(&server, buf, sizeof(buf), &n) == ENGINE_CLOSED);
	CHECK(talks(&server, &client, "still here"));
	CHECK(engine_send(client.engine, "more", 4) == ENGINE_PROTOCOL);
	CHECK(engine_close_notify(server.engine) == ENGINE_DONE && engine_send(server.engine, "more", 4) == ENGINE_PROTOCOL);
	/* A damaged record: what came before it is delivered, then the failure, for ever. */
	peer_close(&client);
	peer_close(&server);
	CHECK(come(&client, &server, cc, cs, "server.test", NULL));
	CHECK(say(&client, "fine", 4) && say(&client, "damaged", 7));
	if (client.wire.out_len > 0)
		client.wire.out[client.wire.out_len - 1] ^= 1;
	carry(&client, &server);
	CHECK(hear(&server, buf, sizeof(buf), &n) == ENGINE_DONE && n == 4);
	CHECK(hear(&server, buf, sizeof(buf), &n) == ENGINE_PROTOCOL && n == 0 && server.wire.out_len > 0);
	CHECKD(strstr(engine_error(server.engine), "damaged") != NULL, engine_error(server.engine));
	CHECK(engine_send(server.engine, "x", 1) == ENGINE_PROTOCOL);
	peer_close(&client);
	peer_close(&server);
	config_free(cc);
	config_free(cs);
	end_case();
}

/* The program's errno and error queue survive a failing handshake. */
static void
test_guard(void)
{
	struct config *c = config_must(CONFIG_CLIENT, CA);
	const char *data;
	struct peer p;

	begin_case("the program's error queue");
	peer_open(&p, c, "server.test");
	ERR_raise_data(ERR_LIB_USER, 9, "mine %d", 1);
	ERR_raise(ERR_LIB_USER, 10);
	errno = EDOM;
	CHECK(engine_handshake(p.engine) == ENGINE_WANT_READ);
	feed(&p, "HTTP/1.0 200 OK\r\n\r\n", 19);
	CHECK(engine_handshake(p.engine) == ENGINE_PROTOCOL);
	CHECK(errno == EDOM);
	CHECK(ERR_GET_REASON(ERR_get_error_all(NULL, NULL, NULL, &data, NULL)) == 9);
	CHECKD(strcmp(data, "mine 1") == 0, data);
	CHECK(ERR_GET_REASON(ERR_get_error()) == 10 && ERR_get_error() == 0);
	peer_close(&p);
	config_free(c);
	end_case();
}

static void
library_dies(struct config *c)
{
	struct peer p, late;

	peer_open(&p, c, "server.test");
	CHECK(engine_alive());
	OPENSSL_cleanup();
	CHECK(!engine_alive());
	CHECK(engine_handshake(p.engine) == ENGINE_DEAD && engine_error(p.engine)[0] != '\0');
	peer_open(&late, c, "server.test");
	CHECK(engine_handshake(late.engine) == ENGINE_DEAD);
	engine_free(p.engine);
	engine_free(late.engine);
	free(p.wire.out);
	free(p.in);
	free(late.in);
	config_free(c);
}

/* In a child: nothing works afterwards, and what OpenSSL held is lost on purpose. */
static void
test_library_death(void)
{
	struct config *c = config_must(CONFIG_CLIENT, CA);
	pid_t pid;

	begin_case("after OPENSSL_cleanup");
	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		library_dies(c);
		fflush(NULL);
		_exit(current_failed);
	}
	CHECK_IS(child_status(pid), 0);
	config_free(c);
	end_case();
}

int
main(void)
{
	make_files();
	test_sizes(GOOD V13);
	test_sizes(GOOD V12);
	test_closing("TLSv1.2");
	test_closing("TLSv1.3");
	test_guard();
	test_library_death();
	remove_files();
	return summary();
}
