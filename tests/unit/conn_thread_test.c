/*
 * conn_thread_test.c - the connection core with calls that wait: one thread reads while another writes, a close, a signal or a peek
 * under way.
 */
#include "conn_pair.h"

#include <pthread.h>

struct helper {
	struct pair *p;
	size_t total, offset;
	bool echo;
	ssize_t result;
	pthread_t thread;
};

/* The peer reads the stream to total, and says it back if it echoes. */
static void *
peer_thread(void *arg)
{
	struct helper *h = arg;
	struct pair *p = h->p;
	char *bytes;

	while (p->got < h->total || BIO_ctrl_pending(p->out)) {
		long n;

		if (p->got < h->total && peer_hear(p) < 0)
			break;
		if (h->echo && p->sent < p->got)
			peer_say(p, p->got - p->sent, 16384);
		n = BIO_get_mem_data(p->out, &bytes);
		if (n)
			n = send(p->far, bytes, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n > 0)
			BIO_read(p->out, buffer + 2 * BIG, (int)(n < BIG ? n : BIG));
		else if (p->got < h->total || BIO_ctrl_pending(p->out))
			peer_sleep(p, BIO_ctrl_pending(p->out) ? POLLIN | POLLOUT : POLLIN);
	}
	return NULL;
}

static void *
reader_thread(void *arg)
{
	struct helper *h = arg;
	uint8_t *buf = malloc(BIG);
	size_t got = 0;

	while (got < h->total) {
		ssize_t n = recv_some(h->p, buf, 1 + got % 3000, 0);

		h->result = n;
		if (n <= 0)
			break;
		CHECK(is_stream(buf, got, (size_t)n));
		got += (size_t)n;
	}
	if (got == h->total)
		h->result = (ssize_t)got;
	free(buf);
	return NULL;
}

static void *
writer_thread(void *arg)
{
	struct helper *h = arg;

	h->result = send_some(h->p, h->offset, h->total, 0);
	return NULL;
}

static void
helper_start(struct helper *h, void *(*run)(void *))
{
	must(pthread_create(&h->thread, NULL, run, h) == 0, "a thread");
}

static void
helper_join(struct helper *h)
{
	must(pthread_join(h->thread, NULL) == 0, "join");
}

static void
two_threads(const struct variant *v)
{
	enum { MESSAGES = 20000, SIZE = 64 };
	struct pair p;
	struct helper peer = { .p = &p, .total = MESSAGES * SIZE, .echo = true }, reader = { .p = &p, .total = MESSAGES * SIZE };

	begin_case("one reads, one writes, %s", v->name);
	pair_up(&p, v, NULL);
	conn_set_blocking(p.c, true);
	helper_start(&reader, reader_thread);
	until_blocked(1);
	helper_start(&peer, peer_thread);
	for (size_t i = 0; i < MESSAGES && !current_failed; i++)
		CHECK_IS(send_some(&p, i * SIZE, SIZE, 0), SIZE);
	helper_join(&reader);
	helper_join(&peer);
	CHECK_IS(reader.result, MESSAGES * SIZE);
	pair_end(&p);
	end_case();
}

static void
blocking_send(const struct variant *v)
{
	struct pair p;
	size_t total = v->local ? 300000 : 3000000, done = total;
	struct helper peer = { .p = &p, .total = total };
	ssize_t n;

	begin_case("a blocking send is full, %s", v->name);
	pair_up(&p, v, NULL);
	small_buffers(&p);
	conn_set_blocking(p.c, true);
	helper_start(&peer, peer_thread);
	CHECK_IS(send_some(&p, 0, total, 0), total);
	helper_join(&peer);
	CHECK_IS(p.got, total);
	end_case();

	begin_case("a blocking send with SO_SNDTIMEO, %s", v->name);
	conn_set_timeout(p.c, true, 40);
	while ((n = send_some(&p, done, 200000, 0)) > 0)
		done += (size_t)n;
	CHECK_IS(n, -EAGAIN);
	peer_hear_up_to(&p, p.got > done ? p.got : done);
	while ((n = send_some(&p, done, 100, 0)) == -EAGAIN && peer_hear(&p) == 0)	/* what is owed goes first */
		;
	CHECK(n > 0);
	pair_end(&p);
	end_case();
}

/* shutdown behind what is owed: all that was reported, then the goodbye. */
static void
shutdown_in_debt(const struct variant *v)
{
	struct pair p;
	struct helper peer = { .p = &p, .total = SIZE_MAX };
	size_t done;

	begin_case("a blocking shutdown with a record owed, %s", v->name);
	pair_up(&p, v, NULL);
	run_into_debt(&p, &done);
	conn_set_blocking(p.c, true);
	helper_start(&peer, peer_thread);
	CHECK_IS(conn_shutdown(p.c, p.fd, SHUT_WR), 0);
	helper_join(&peer);
	CHECK(p.got >= done);
	CHECK_IS(SSL_get_shutdown(p.ssl) & SSL_RECEIVED_SHUTDOWN, SSL_RECEIVED_SHUTDOWN);
	pair_end(&p);
	end_case();
}

static void
blocking_handshake(const struct variant *v)
{
	struct pair p;
	struct helper peer = { .p = &p, .total = 1000, .echo = true };

	begin_case("a blocking handshake at the first write, %s", v->name);
	pair_open(&p, v, NULL, true);
	conn_set_blocking(p.c, true);
	SSL_do_handshake(p.ssl);
	helper_start(&peer, peer_thread);
	CHECK_IS(send_some(&p, 0, 1000, 0), 1000);
	CHECK_IS(recv_some(&p, buffer, 1000, MSG_WAITALL), 1000);
	CHECK(is_stream(buffer, 0, 1000));
	helper_join(&peer);
	CHECK(conn_info(p.c).version != NULL);
	pair_end(&p);
	end_case();
}

static void
closed_under(const struct variant *v, bool writer)
{
	struct pair p;
	struct helper h = { .p = &p, .total = writer ? 4 * BIG : 100 };

	begin_case("closed while a thread %s, %s", writer ? "writes" : "reads", v->name);
	pair_up(&p, v, NULL);
	if (writer)
		small_buffers(&p);
	conn_set_blocking(p.c, true);
	helper_start(&h, writer ? writer_thread : reader_thread);
	until_blocked(1);
	conn_close(p.c, p.fd, true);
	helper_join(&h);
	CHECK(h.result == -EBADF || (writer && h.result > 0 && h.result < 4 * BIG));
	pair_end(&p);
	end_case();
}

static void
on_signal(int sig)
{
	(void)sig;
}

static void
interrupted(int flags)
{
	struct sigaction sa = { .sa_handler = on_signal, .sa_flags = flags }, before;
	struct pair p;
	struct helper h = { .p = &p, .total = 100 };

	begin_case("a signal while a thread reads, %s", flags ? "SA_RESTART" : "no SA_RESTART");
	pair_up(&p, &variants[1], NULL);
	conn_set_blocking(p.c, true);
	sigaction(SIGUSR1, &sa, &before);
	helper_start(&h, reader_thread);
	until_blocked(1);
	pthread_kill(h.thread, SIGUSR1);
	if (flags) {
		peer_say(&p, 100, 100);
		peer_pour(&p, 4096);
		helper_join(&h);
	}
	while (!flags && pthread_tryjoin_np(h.thread, NULL) == EBUSY) {		/* it may have come just before the wait */
		pthread_kill(h.thread, SIGUSR1);
		poll(NULL, 0, 1);
	}
	CHECK_IS(h.result, flags ? 100 : -EINTR);
	sigaction(SIGUSR1, &before, NULL);
	pair_end(&p);
	end_case();
}

/* MSG_PEEK | MSG_WAITALL waits for more, and for no more than there will be. */
static void *
peek_thread(void *arg)
{
	struct helper *h = arg;
	uint8_t buf[1000];

	h->result = recv_some(h->p, buf, h->total, MSG_PEEK | MSG_WAITALL);
	return NULL;
}

static void
patient_peek(size_t rest, ssize_t want)
{
	struct pair p;
	struct helper h = { .p = &p, .total = 1000 };
	int before;

	begin_case("a peek that waits, %zu more bytes", rest);
	pair_up(&p, &variants[1], NULL);
	conn_set_blocking(p.c, true);
	peer_tell(&p, 100, 100);
	before = waits;
	helper_start(&h, peek_thread);
	until_blocked(1);
	poll(NULL, 0, 100);
	CHECK_IS(waits, before + 1);	/* it sleeps until something happens */
	if (rest)
		peer_say(&p, rest, 100);
	else
		SSL_shutdown(p.ssl);
	peer_pour(&p, 1);
	if (!rest)
		shutdown(p.far, SHUT_WR);
	helper_join(&h);
	CHECK_IS(h.result, want);
	CHECK_IS(recv_some(&p, buffer, 1000, 0), want);
	pair_end(&p);
	end_case();
}

int
main(void)
{
	tests_begin();
	for (size_t i = 0; i < COUNT(variants); i++) {
		blocking_send(&variants[i]);
		shutdown_in_debt(&variants[i]);
		blocking_handshake(&variants[i]);
		two_threads(&variants[i]);
		closed_under(&variants[i], false);
		closed_under(&variants[i], true);
	}
	interrupted(0);
#ifndef __SANITIZE_THREAD__	/* it delivers signals in a way of its own: without SA_RESTART */
	interrupted(SA_RESTART);
#endif
	patient_peek(900, 1000);
	patient_peek(0, 100);
	return tests_end();
}
