/*
 * conn_ready_test.c - the connection core: what is polled for a program, and what it is told of the answer.
 */
#include "conn_pair.h"

static const short interests[] = { POLLIN, POLLOUT, POLLPRI, POLLRDNORM, POLLWRNORM, POLLRDBAND, POLLRDHUP };
static const short answers[] = { POLLIN, POLLOUT, POLLPRI, POLLRDNORM, POLLERR, POLLHUP, POLLRDHUP };

static short
subset(const short *all, unsigned bits)
{
	short s = 0;

	for (unsigned i = 0; i < 7; i++)
		if (bits & 1u << i)
			s |= all[i];
	return s;
}

static const struct ready_case {
	const char *name;
	int variant;
	bool connected, step, open, blocking, data, dead;
	short wants;		/* 0 = what the program wants */
	bool unsteady, strikes, told;
} ready_cases[] = {
	{ "connecting client", 0, false, false, false, false, false, false, POLLOUT, true, false, false },
	{ "connecting client, blocking", 0, false, false, false, true, false, false, POLLOUT, true, false, false },
	{ "fresh client", 0, true, false, false, false, false, false, POLLOUT, true, false, false },
	{ "client that has spoken", 0, true, true, false, false, false, false, POLLIN, true, false, false },
	{ "fresh server", 1, true, false, false, false, false, false, POLLIN, true, false, false },
	{ "server that has looked", 1, true, true, false, true, false, false, POLLIN, true, false, false },
	{ "open", 1, true, false, true, false, false, false, 0, false, false, false },
	{ "open with data", 1, true, false, true, false, true, false, 0, false, false, false },
	{ "open, blocking", 1, true, false, true, true, false, false, 0, true, true, false },
	{ "open, blocking, with data", 1, true, false, true, true, true, false, 0, true, false, false },
	{ "dead", 1, true, false, false, false, false, true, 0, true, false, false },
	{ "dead, blocking", 1, true, false, false, true, false, true, 0, true, false, false },
	{ "dead, and it is known", 1, true, false, false, false, false, true, 0, false, false, true },
};

static short
expected(const struct ready_case *k, short revents)
{
	if (k->wants)
		return 0;	/* the peer is silent */
	if (k->strikes && !(revents & (POLLHUP | POLLERR)))
		return revents & ~(POLLIN | POLLRDNORM | POLLRDBAND | POLLPRI);
	return k->dead && !k->told && revents ? revents | POLLERR : revents;
}

static void
check_ready(struct pair *p, const struct ready_case *k)
{
	for (unsigned i = 0; i < 128; i++) {
		short events = subset(interests, i);

		CHECK_IS(conn_wants(p->c, events), k->wants ? k->wants : events);
	}
	CHECK_IS(conn_unsteady(p->c), k->unsteady);
	for (unsigned i = 0; i < 128; i++) {
		short revents = subset(answers, i);

		if (!k->connected || (k->wants == POLLOUT && !k->step))
			continue;	/* asking would take the step */
		CHECK_IS(conn_tells(p->c, p->fd, POLLIN | POLLOUT, revents), expected(k, revents));
	}
}

static void
readiness(const struct ready_case *k)
{
	struct pair p;

	begin_case("readiness: %s", k->name);
	pair_open(&p, &variants[k->variant], NULL, k->connected);
	if (k->step)
		CHECK_IS(conn_handshake(p.c, p.fd, false), -EAGAIN);
	if (k->open)
		shake_hands(&p, SIZE_MAX);
	if (k->data)
		peer_tell(&p, 50000, 16384);
	if (k->dead) {
		wire_put(&p, "no TLS at all", 13);
		CHECK_IS(conn_handshake(p.c, p.fd, false), -EPROTO);
		if (k->told)
			CHECK_IS(conn_take_error(p.c), EPROTO);
	}
	conn_set_blocking(p.c, k->blocking);
	check_ready(&p, k);
	CHECK_IS(conn_tells(p.c, p.fd, POLLIN | POLLOUT, 0), 0);
	pair_end(&p);
	end_case();
}

/* The handshake driven by nothing but the two functions, as poll does it. */
static void
polled_handshake(const struct variant *v, bool connected)
{
	int64_t end = now_ms() + PATIENCE_MS;
	short told = 0;
	struct pair p;

	begin_case("a handshake by readiness alone, %s%s", v->name, connected ? "" : ", from connect");
	pair_open(&p, v, NULL, connected);
	while (!told && now_ms() < end) {
		short events = conn_wants(p.c, POLLOUT), got = kernel_says(p.fd, events);

		if (got)
			told = conn_tells(p.c, p.fd, POLLOUT, got);
		peer_take(&p, SIZE_MAX);
		SSL_do_handshake(p.ssl);
		peer_flush(&p, SIZE_MAX);
	}
	CHECK_IS(told, POLLOUT);
	CHECK_IS(conn_state(p.c), CONN_OPEN);
	CHECK_IS(conn_deadline(p.c), INT64_MAX);
	pair_end(&p);
	end_case();
}

static void
refused_connect(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(a);
	int l = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), r;
	struct config *config = make_config(&variants[0], NULL);
	struct pollfd f = { .fd = fd, .events = POLLOUT };
	struct conn *c;
	int before = warnings;

	begin_case("a refused connect");
	must(bind(l, (struct sockaddr *)&a, len) == 0 && getsockname(l, (struct sockaddr *)&a, &len) == 0, "bind");	/* nobody listens */
	c = conn_new(config, (struct sockaddr *)&a, len, false, "server.test");
	CHECK_IS(conn_state(c), CONN_CONNECTING);
	r = connect(fd, (struct sockaddr *)&a, len);
	must(r < 0 && (errno == EINPROGRESS || errno == ECONNREFUSED), "connect");
	if (errno == EINPROGRESS) {
		must(poll(&f, 1, PATIENCE_MS) == 1, "no answer");
		CHECK_IS(conn_handshake(c, fd, false), -ECONNREFUSED);
		CHECK_IS(conn_take_error(c), ECONNREFUSED);
	}
	CHECK_IS(warnings, before);
	conn_free(c);
	config_free(config);
	close(fd);
	close(l);
	end_case();
}

int
main(void)
{
	tests_begin();
	for (size_t i = 0; i < COUNT(variants); i++) {
		polled_handshake(&variants[i], true);
		polled_handshake(&variants[i], false);
	}
	for (size_t i = 0; i < COUNT(ready_cases); i++)
		readiness(&ready_cases[i]);
	refused_connect();
	return tests_end();
}
