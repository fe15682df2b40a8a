/*
 * conn_fork_test.c - the connection core: one connection in two processes.
 */
#include "conn_pair.h"

static pid_t
fork_conn(struct pair *p)
{
	pid_t pid;

	fflush(stdout);
	conn_fork_prepare(p->c);
	pid = fork();
	must(pid >= 0, "fork");
	if (pid == 0) {
		alarm(20);
		conn_fork_child(p->c);
	}
	return pid;
}

static void
split_fork(const struct variant *v)
{
	struct pair p;
	pid_t pid;

	begin_case("the child reads, the parent writes, %s", v->name);
	pair_up(&p, v, NULL);
	peer_tell(&p, 1000, 1000);
	CHECK_IS(recv_some(&p, buffer, 100, 0), 100);		/* 900 bytes are held when it forks */
	pid = fork_conn(&p);
	if (pid == 0) {
		conn_set_blocking(p.c, true);
		_exit(recv_some(&p, buffer, 30900, MSG_WAITALL) == 30900 && is_stream(buffer, 100, 30900) ? 0 : 1);
	}
	CHECK_IS(send_some(&p, 0, 20000, 0), 20000);
	peer_hear_up_to(&p, 20000);
	CHECK(!conn_last(p.c));
	peer_say(&p, 30000, 16384);
	peer_pour(&p, 4096);
	CHECK_IS(child_status(pid), 0);
	CHECK_IS(send_some(&p, 20000, 5000, 0), 5000);
	peer_hear_up_to(&p, 25000);
	CHECK(conn_last(p.c));
	CHECK_IS(recv_some(&p, buffer, 10, 0), -EIO);
	pair_end(&p);
	end_case();
}

static void
quarrel(const struct variant *v, bool reading_too)
{
	struct pair p;
	int before = warnings;
	pid_t pid;

	begin_case("both processes %s, %s", reading_too ? "read" : "write", v->name);
	pair_up(&p, v, NULL);
	peer_tell(&p, 1000, 100);
	pid = fork_conn(&p);
	if (pid == 0)
		_exit((reading_too ? recv_some(&p, buffer, 100, 0) : send_some(&p, 0, 100, 0)) == 100 ? 0 : 1);
	CHECK_IS(child_status(pid), 0);
	if (reading_too) {
		CHECK_IS(recv_some(&p, buffer, 100, 0), -EIO);
	} else {
		CHECK_IS(send_some(&p, 100, 100, 0), -EIO);
		peer_hear_up_to(&p, 100);
	}
	CHECK_IS(warnings, before + 1);
	CHECK(strstr(last_warning, "two processes") && strstr(last_warning, "route = relay"));
	CHECK_IS(conn_error(p.c), EIO);
	pair_end(&p);
	end_case();
}

/* accept, fork, the child serves: the parent only closes, and the child says goodbye. */
static void
serving_child(const struct variant *v, bool handshaking)
{
	struct pair p;
	pid_t pid;

	begin_case("the child serves%s, %s", handshaking ? " from the handshake on" : "", v->name);
	pair_open(&p, v, NULL, true);
	if (!handshaking)
		shake_hands(&p, SIZE_MAX);
	pid = fork_conn(&p);
	if (pid == 0) {
		struct iovec iov = { stream, 5000 };

		conn_set_blocking(p.c, true);
		close(p.far);
		if (conn_send(p.c, p.fd, &iov, 1, 0) != 5000)
			_exit(1);
		while (getppid() != 1 && !conn_last(p.c))
			sched_yield();
		conn_close(p.c, p.fd, true);
		_exit(0);
	}
	conn_close(p.c, p.fd, conn_last(p.c));
	close(p.fd);
	p.fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	for (int64_t end = now_ms() + PATIENCE_MS; handshaking && SSL_do_handshake(p.ssl) != 1 && now_ms() < end;) {
		char *bytes;
		long n = BIO_get_mem_data(p.out, &bytes);

		if (n)
			must(send(p.far, bytes, (size_t)n, MSG_NOSIGNAL) == n && BIO_reset(p.out) == 1, "the peer's send");
		peer_sleep(&p, POLLIN);
		peer_take(&p, SIZE_MAX);
	}
	if (handshaking) {		/* a server's tickets: a client that had only to send may be gone by now */
		char *bytes;
		long n = BIO_get_mem_data(p.out, &bytes);

		must(send(p.far, bytes, (size_t)n, MSG_NOSIGNAL) == n || errno == EPIPE || errno == ECONNRESET, "the peer's send");
	}
	peer_hear_up_to(&p, 5000);
	CHECK_IS(child_status(pid), 0);
	CHECK_IS(peer_hear(&p), -1);
	pair_end(&p);
	end_case();
}

/* A key update that the child reads is not answered with keys that the parent uses. */
static void
key_update_in_child(void)
{
	struct pair p;
	pid_t pid;

	begin_case("a key update read by the child while the parent writes");
	pair_up(&p, &variants[0], NULL);
	swallow_tickets(&p);
	pid = fork_conn(&p);
	CHECK(pid == 0 || send_some(&p, 0, 100, 0) == 100);
	if (pid == 0) {
		conn_set_blocking(p.c, true);
		_exit(recv_some(&p, buffer, 1000, MSG_WAITALL) == 1000 && is_stream(buffer, 0, 1000) ? 0 : 1);
	}
	peer_hear_up_to(&p, 100);
	must(SSL_key_update(p.ssl, SSL_KEY_UPDATE_REQUESTED) == 1 && SSL_do_handshake(p.ssl) == 1, "SSL_key_update");
	peer_say(&p, 1000, 1000);
	peer_pour(&p, 4096);
	CHECK_IS(child_status(pid), 0);
	CHECK_IS(send_some(&p, 100, 5000, 0), 5000);
	peer_hear_up_to(&p, 5100);
	pair_end(&p);
	end_case();
}

int
main(void)
{
	tests_begin();
	for (size_t i = 0; i < COUNT(variants); i++) {
		split_fork(&variants[i]);
		quarrel(&variants[i], false);
		quarrel(&variants[i], true);
		serving_child(&variants[i], false);
		serving_child(&variants[i], true);
	}
	key_update_in_child();
	return tests_end();
}
