/*
 * conn_write_test.c - the connection core: what a write reports, and what is owed behind it.
 */
#include "conn_pair.h"

#include <sys/epoll.h>

struct writer_case {
	const char *name;
	size_t chunk;		/* 0 = anything */
	int vectors;
	bool shorter, longer;
};

static const struct writer_case writer_cases[] = {
	{ "the same again", 20000, 1, false, false },
	{ "small", 700, 1, false, false },
	{ "longer", 30000, 1, false, true },
	{ "shorter", 30000, 1, true, false },
	{ "cut anyhow", 0, 1, true, true },
	{ "vectors cut anyhow", 0, 7, true, true },
};

static unsigned dice = 1;

static size_t
roll(size_t below)
{
	dice = dice * 1103515245 + 12345;
	return (dice >> 8) % below;
}

/* What the program writes next: the stream from `done`, in a length and cut of the case's choice. */
static ssize_t
write_next(struct pair *p, const struct writer_case *w, size_t done, size_t total, bool again, size_t *len)
{
	struct iovec iov[8];
	size_t left = total - done, at = done;
	int n = 0;

	*len = w->chunk ? w->chunk : 1 + roll(50000);
	if (again && w->chunk && w->longer)
		*len += roll(20000);
	if (again && w->chunk && w->shorter)
		*len = 1 + roll(*len);
	if (*len > left)
		*len = left;
	for (left = *len; n < w->vectors - 1 && left; n++) {
		iov[n] = (struct iovec){ stream + at, roll(left + 1) };
		at += iov[n].iov_len;
		left -= iov[n].iov_len;
	}
	iov[n++] = (struct iovec){ stream + at, left };
	return conn_send(p->c, p->fd, iov, n, 0);
}

/* A program that waits for edges alone, and a peer that reads now and then: every byte arrives once, and nobody waits for ever. */
static void
writing(const struct variant *v, const struct writer_case *w)
{
	struct epoll_event ev = { .events = EPOLLOUT | EPOLLET };
	size_t done = 0, total = 600000, len;
	int ep = epoll_create1(EPOLL_CLOEXEC);
	bool again = false;
	struct pair p;

	begin_case("writing, %s: %s", v->name, w->name);
	pair_up(&p, v, NULL);
	small_buffers(&p);
	must(epoll_ctl(ep, EPOLL_CTL_ADD, p.fd, &ev) == 0, "epoll");
	while (done < total && !current_failed) {
		ssize_t n;

		while (epoll_wait(ep, &ev, 1, 0) > 0)
			;
		n = write_next(&p, w, done, total, again, &len);
		CHECK(n > 0 || n == -EAGAIN);
		done += n > 0 ? (size_t)n : 0;
		again = n < (ssize_t)len;
		CHECK(p.got <= done + 200000);
		if (!again)
			continue;
		peer_hear(&p);
		CHECK(p.got >= done || !v->local);
		for (int64_t end = now_ms() + PATIENCE_MS; epoll_wait(ep, &ev, 1, 10) < 1; peer_hear(&p))
			must(now_ms() < end, "no edge after a refusal");
	}
	peer_hear_up_to(&p, total);
	CHECK(conn_shutdown(p.c, p.fd, SHUT_WR) == 0);
	close(ep);
	pair_end(&p);
	end_case();
}

/* What was reported is in the kernel: the peer gets it although nobody calls us any more. */
static void
honest_counts(const struct variant *v)
{
	static const struct writer_case any = { "any", 0, 3, true, true };
	struct pair p;

	begin_case("honest counts, %s", v->name);
	for (int round = 0; round < 20; round++) {
		size_t done = 0, len;
		ssize_t n;

		pair_up(&p, v, NULL);
		small_buffers(&p);
		while ((n = write_next(&p, &any, done, 4 * BIG, false, &len)) > 0)
			done += (size_t)n;
		CHECK_IS(n, -EAGAIN);
		peer_hear_up_to(&p, p.got > done ? p.got : done);
		pair_end(&p);
	}
	end_case();
}

static void
changed_bytes(const struct variant *v)
{
	struct pair p;
	size_t done;
	int before = warnings;

	begin_case("other bytes at the retry, %s", v->name);
	pair_up(&p, v, NULL);
	run_into_debt(&p, &done);
	CHECK_IS(send_some(&p, done + 1, 5000, 0), -EIO);
	CHECK_IS(warnings, before + 1);
	CHECK(strstr(last_warning, "EIO"));
	CHECK_IS(conn_error(p.c), EIO);
	CHECK_IS(recv_some(&p, buffer, 10, 0), -EIO);
	CHECK_IS(send_some(&p, done, 5000, 0), -EIO);
	CHECK(readable(&p));
	pair_end(&p);
	end_case();
}

/* The answer to a key update is behind the records that the kernel refused. */
static void
key_update_in_debt(void)
{
	struct pair p;
	size_t done;

	begin_case("key update with a record owed");
	pair_up(&p, &variants[4], NULL);
	swallow_tickets(&p);
	run_into_debt(&p, &done);
	must(SSL_key_update(p.ssl, SSL_KEY_UPDATE_REQUESTED) == 1 && SSL_do_handshake(p.ssl) == 1, "SSL_key_update");
	peer_flush(&p, SIZE_MAX);
	CHECK_IS(recv_some(&p, buffer, 100, 0), -EAGAIN);
	for (int64_t end = now_ms() + PATIENCE_MS; done < BIG && now_ms() < end && !current_failed;) {
		ssize_t n = send_some(&p, done, BIG - done, 0);

		CHECK(n > 0 || n == -EAGAIN);
		done += n > 0 ? (size_t)n : 0;
		peer_hear(&p);
	}
	peer_hear_up_to(&p, BIG);
	pair_end(&p);
	end_case();
}

int
main(void)
{
	tests_begin();
	for (size_t i = 0; i < COUNT(variants); i++) {
		for (size_t j = 0; j < COUNT(writer_cases); j++)
			writing(&variants[i], &writer_cases[j]);
		honest_counts(&variants[i]);
		if (variants[i].local)
			changed_bytes(&variants[i]);
	}
	key_update_in_debt();
	return tests_end();
}
