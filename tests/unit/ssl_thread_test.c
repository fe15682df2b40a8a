/*
 * ssl_thread_test.c - the explicit API from many threads, many connections and several processes. limit: 300
 */
#include "ssl.h"
#include "sock.h"

#include <dirent.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/time.h>

enum { MESSAGES = 20000, THREADS = 64, CROWD = 500 };

/* Both ends ours, blocking; the handshakes meet in two threads. */
struct both {
	struct wrapsock_sock *c, *s;
	int fd[2];
};

static void *
shake(void *arg)
{
	if (wrapsock_do_handshake(arg) < 0)
		complain_of(__LINE__, wrapsock_errstr(arg), -1);
	return NULL;
}

static void
both_open(struct both *b, struct wrapsock_ctx *cc, struct wrapsock_ctx *sc)
{
	pthread_t t = 0;

	tcp_pair(b->fd);
	b->c = wrapsock_wrap(cc, b->fd[0], WRAPSOCK_NO_HANDSHAKE_ON_CONNECT | WRAPSOCK_OWN_FD, "server.test");
	b->s = wrapsock_wrap(sc, b->fd[1], WRAPSOCK_NO_HANDSHAKE_ON_CONNECT | WRAPSOCK_OWN_FD | WRAPSOCK_SERVER_SIDE, NULL);
	must(b->c && b->s && pthread_create(&t, NULL, shake, b->s) == 0, "two sockets");
	shake(b->c);
	pthread_join(t, NULL);
}

static void
both_plain(struct both *b)
{
	struct wrapsock_ctx *cc = client_ctx(), *sc = server_ctx();

	both_open(b, cc, sc);
	wrapsock_ctx_free(cc);
	wrapsock_ctx_free(sc);
}

/* A message says who sent it and which one it is. */
struct message {
	uint32_t who, number;
	char text[56];
};

struct writer {
	struct wrapsock_sock *s;
	uint32_t who, messages;
};

static void *
write_messages(void *arg)
{
	struct writer *w = arg;

	for (uint32_t i = 0; i < w->messages; i++) {
		struct message m = { w->who, i, "" };

		memset(m.text, (int)('a' + w->who), sizeof m.text);
		if (wrapsock_sendall(w->s, &m, sizeof m, 0) != sizeof m) {
			complain_of(__LINE__, wrapsock_errstr(w->s), i);
			break;
		}
	}
	return NULL;
}

static void
read_messages(struct wrapsock_sock *s, uint32_t writers, uint32_t messages)
{
	uint32_t next[8] = { 0 };
	struct message m;

	for (uint32_t i = 0; i < writers * messages; i++) {
		if (!recv_all(s, &m, sizeof m) || m.who >= writers || m.number != next[m.who]++
		    || m.text[0] != (char)('a' + m.who) || memcmp(m.text, m.text + 1, sizeof m.text - 1) != 0) {
			complain_of(__LINE__, "a message is not what was sent", i);
			return;
		}
	}
}

static void *
recv_until_closed(void *arg)
{
	char buf[64];
	ssize_t n = wrapsock_recv(arg, buf, sizeof buf, 0);

	return (void *)(intptr_t)(n < 0 ? (int)wrapsock_err(arg) + 1000 : (int)n);
}

/* One thread sits in recv for ever while another sends: a lock held while waiting would end it here. */
static void
duplex_when_one_thread_waits_then_another_sends_20000_messages(void)
{
	struct both b;
	struct writer w;
	pthread_t waiting = 0, writing = 0;
	void *got;

	both_plain(&b);
	w = (struct writer){ b.c, 0, MESSAGES };
	must(pthread_create(&waiting, NULL, recv_until_closed, b.c) == 0 && pthread_create(&writing, NULL, write_messages, &w) == 0, "threads");
	read_messages(b.s, 1, MESSAGES);
	pthread_join(writing, NULL);
	CHECK_IS(wrapsock_send(b.s, "done", 4, 0), 4);
	pthread_join(waiting, &got);
	CHECK_IS((intptr_t)got, 4);
	wrapsock_close(b.c);
	wrapsock_close(b.s);
}

static void
writers_when_two_send_then_no_message_is_torn(void)
{
	struct both b;
	struct writer w[2];
	pthread_t t[2];

	both_plain(&b);
	for (uint32_t i = 0; i < 2; i++) {
		w[i] = (struct writer){ b.c, i, MESSAGES / 4 };
		must(pthread_create(&t[i], NULL, write_messages, &w[i]) == 0, "threads");
	}
	read_messages(b.s, 2, MESSAGES / 4);
	pthread_join(t[0], NULL);
	pthread_join(t[1], NULL);
	wrapsock_close(b.c);
	wrapsock_close(b.s);
}

static void *
send_until_closed(void *arg)
{
	static char data[1 << 16];
	ssize_t n;

	while ((n = wrapsock_send(arg, data, sizeof data, 0)) > 0)
		;
	return (void *)(intptr_t)((int)wrapsock_err(arg) + 1000);
}

/* Until so many threads of this process sleep in poll or wait for each other. */
static void
until_asleep(int threads)
{
	int64_t end = now_ms() + 10000;
	int asleep = 0;

	while (asleep < threads && now_ms() < end) {
		DIR *d = opendir("/proc/self/task");
		struct dirent *entry;

		asleep = 0;
		while ((entry = readdir(d)) != NULL) {
			char path[300], state = 'R';
			FILE *f;

			snprintf(path, sizeof path, "/proc/self/task/%s/stat", entry->d_name);
			f = *entry->d_name == '.' ? NULL : fopen(path, "r");
			if (f && fscanf(f, "%*d %*s %c", &state) == 1)
				asleep += state == 'S';
			if (f)
				fclose(f);
		}
		closedir(d);
	}
	must(asleep >= threads, "the threads do not wait");
}

static void
close_when_others_wait_then_they_wake_with_state(void)
{
	for (int round = 0; round < 5; round++) {
		struct both b;
		pthread_t t[3];
		void *got;

		both_plain(&b);
		must(pthread_create(&t[0], NULL, recv_until_closed, b.c) == 0 && pthread_create(&t[1], NULL, send_until_closed, b.c) == 0
		     && pthread_create(&t[2], NULL, send_until_closed, b.c) == 0, "threads");
		until_asleep(3);
		sock_hold(b.c);		/* what their calls failed with is asked after the close */
		CHECK_IS(wrapsock_close(b.c), 0);
		for (int i = 0; i < 3; i++) {
			pthread_join(t[i], &got);
			CHECK_IS((intptr_t)got, 1000 + WRAPSOCK_E_STATE);
		}
		CHECK(fcntl(b.fd[0], F_GETFD) >= 0);	/* still held */
		sock_put(b.c);
		CHECK(fcntl(b.fd[0], F_GETFD) < 0);	/* the last of them closed it */
		wrapsock_close(b.s);
	}
}

static void *
accept_until_closed(void *arg)
{
	return wrapsock_accept(arg, NULL, NULL) ? NULL : (void *)(intptr_t)wrapsock_err(arg);
}

static void
close_when_a_listener_waits_then_it_wakes_with_state(void)
{
	struct wrapsock_ctx *c = server_ctx();
	struct sockaddr_in addr;
	struct wrapsock_sock *s = wrapsock_wrap(c, listen_tcp(&addr), WRAPSOCK_SERVER_SIDE | WRAPSOCK_OWN_FD, NULL);
	pthread_t t = 0;
	void *got;

	must(s && pthread_create(&t, NULL, accept_until_closed, s) == 0, "a listener");
	until_asleep(1);
	sock_hold(s);
	wrapsock_close(s);
	pthread_join(t, &got);
	CHECK_IS((intptr_t)got, WRAPSOCK_E_STATE);
	sock_put(s);
	wrapsock_ctx_free(c);
}

/* ---- row 133 ---- */

static struct wrapsock_ctx *shared_client, *shared_server;

static void *
one_of_many(void *arg)
{
	struct both b;
	char buf[16];

	for (int i = 0; i < 3; i++) {
		both_open(&b, shared_client, shared_server);
		if (wrapsock_send(b.c, "ping", 4, 0) != 4 || !recv_all(b.s, buf, 4) || wrapsock_send(b.s, "pong", 4, 0) != 4
		    || !recv_all(b.c, buf, 4) || memcmp(buf, "pong", 4) != 0)
			complain_of(__LINE__, wrapsock_errstr(b.c), (intptr_t)arg);
		/* a failure of this thread's is this thread's */
		if (wrapsock_ctx_new(-1) || wrapsock_err(NULL) != WRAPSOCK_E_INVALID || wrapsock_ctx_set_ciphers(shared_client, "ALL") == 0
		    || wrapsock_err(shared_client) != WRAPSOCK_E_STATE)
			complain_of(__LINE__, "a frozen context", (intptr_t)arg);
		wrapsock_close(b.c);
		wrapsock_close(b.s);
	}
	return NULL;
}

static void
row_1_4_110_133_S17_threads_when_64_share_contexts_then_all_are_served(void)
{
	pthread_t t[THREADS];

	shared_client = client_ctx();
	shared_server = server_ctx();
	for (intptr_t i = 0; i < THREADS; i++)
		must(pthread_create(&t[i], NULL, one_of_many, (void *)i) == 0, "threads");
	for (int i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
	wrapsock_ctx_free(shared_client);
	wrapsock_ctx_free(shared_server);
}

/* One side of one of many connections: handshake, send, receive. */
struct side {
	struct wrapsock_sock *s;
	int step;
	bool server;
};

/* As far as it goes; true = at the end. */
static bool
go_on(struct side *side)
{
	char buf[8];

	while (side->step < 3) {
		bool sends = side->step == (side->server ? 2 : 1);
		long r = side->step == 0 ? wrapsock_do_handshake(side->s) : sends ? wrapsock_send(side->s, "message", 7, 0) :
			 wrapsock_recv(side->s, buf, 7, 0);

		if (r < 0) {
			if (wrapsock_err(side->s) != WRAPSOCK_E_WANT_READ && wrapsock_err(side->s) != WRAPSOCK_E_WANT_WRITE) {
				complain_of(__LINE__, wrapsock_errstr(side->s), side->step);
				side->step = 3;
			}
			return false;
		}
		side->step++;
	}
	return true;
}

static void
row_133_loop_when_500_connections_are_in_one_thread_then_all_are_served(void)
{
	static struct side sides[2 * CROWD];
	struct wrapsock_ctx *cc = client_ctx(), *sc = server_ctx();
	struct rlimit limit;
	struct epoll_event events[64];
	int e = epoll_create1(0), left = 2 * CROWD, n;

	must(getrlimit(RLIMIT_NOFILE, &limit) == 0, "limits");
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	for (int i = 0; i < 2 * CROWD; i += 2) {
		int fd[2];

		tcp_pair(fd);
		for (int k = 0; k < 2; k++) {
			set_nonblocking(fd[k], true);
			sides[i + k] = (struct side){ wrapsock_wrap(k ? sc : cc, fd[k], WRAPSOCK_NO_HANDSHAKE_ON_CONNECT | WRAPSOCK_OWN_FD
								    | (k ? WRAPSOCK_SERVER_SIDE : 0), k ? NULL : "server.test"), 0, k };
			must(sides[i + k].s != NULL, wrapsock_errstr(NULL));
			must(epoll_ctl(e, EPOLL_CTL_ADD, fd[k], &(struct epoll_event){ EPOLLIN | EPOLLOUT | EPOLLET, { .ptr = &sides[i + k] } }) == 0, "epoll");
		}
	}
	while (left > 0 && (n = epoll_wait(e, events, 64, 20000)) > 0)
		for (int i = 0; i < n; i++) {
			struct side *side = events[i].data.ptr;

			if (side->step < 3 && go_on(side))
				left--;
		}
	CHECK_IS(left, 0);
	for (int i = 0; i < 2 * CROWD; i++)
		wrapsock_close(sides[i].s);
	close(e);
	wrapsock_ctx_free(cc);
	wrapsock_ctx_free(sc);
}

/* ---- processes ---- */

static void
S19_fork_when_the_child_serves_then_the_parent_closes_without_a_word(void)
{
	struct both b;
	char buf[8];
	pid_t pid;

	both_plain(&b);
	pid = fork();
	if (pid == 0) {
		wrapsock_close(b.c);
		if (!recv_all(b.s, buf, 4) || wrapsock_send(b.s, "pong", 4, 0) != 4)
			_exit(1);
		wrapsock_close(b.s);
		_exit(0);
	}
	wrapsock_close(b.s);		/* not the last owner */
	CHECK_IS(wrapsock_send(b.c, "ping", 4, 0), 4);
	CHECK(recv_all(b.c, buf, 4) && memcmp(buf, "pong", 4) == 0);
	CHECK_IS(child_status(pid), 0);
	CHECK_IS(wrapsock_recv(b.c, buf, 1, 0), 0);
	CHECK_IS(wrapsock_err(b.c), WRAPSOCK_E_ZERO_RETURN);	/* the child said goodbye, once */
	wrapsock_close(b.c);
}

static void
S19_fork_when_the_directions_are_divided_then_both_work_and_the_same_one_fails(void)
{
	struct both b;
	char buf[8];
	pid_t pid;

	both_plain(&b);
	pid = fork();
	if (pid == 0) {		/* reads; the parent writes */
		if (!recv_all(b.s, buf, 4))
			_exit(1);
		if (wrapsock_send(b.s, "mine", 4, 0) != -1 || errno != EIO || wrapsock_err(b.s) != WRAPSOCK_E_SYSCALL)
			_exit(2);
		_exit(0);
	}
	CHECK_IS(wrapsock_send(b.s, "from", 4, 0), 4);
	CHECK_IS(wrapsock_send(b.c, "to s", 4, 0), 4);
	CHECK(recv_all(b.c, buf, 4) && memcmp(buf, "from", 4) == 0);
	CHECK_IS(child_status(pid), 0);
	CHECK_IS(wrapsock_send(b.s, "more", 4, 0), 4);
	CHECK(recv_all(b.c, buf, 4) && memcmp(buf, "more", 4) == 0);
	wrapsock_close(b.c);
	wrapsock_close(b.s);
}

static void
S18_random_when_forked_then_every_child_has_other_numbers(void)
{
	unsigned char seen[100][32];
	int pipes[2];

	must(pipe(pipes) == 0 && wrapsock_rand_bytes(seen[0], 32) == 0, "a pipe");
	for (int i = 0; i < 100; i++) {
		pid_t pid = fork();

		if (pid == 0) {
			unsigned char bytes[32];

			_exit(wrapsock_rand_bytes(bytes, 32) == 0 && write(pipes[1], bytes, 32) == 32 ? 0 : 1);
		}
		CHECK_IS(child_status(pid), 0);
		must(read(pipes[0], seen[i], 32) == 32, "read");
		for (int k = 0; k < i; k++)
			CHECK(memcmp(seen[i], seen[k], 32) != 0);
	}
	close(pipes[0]);
	close(pipes[1]);
}

static void
on_alarm(int sig)
{
	(void)sig;
}

/* 5.2: signals do not end waits. */
static void
wait_when_signals_come_then_it_goes_on(void)
{
	struct both b;
	struct sigaction sa = { .sa_handler = on_alarm };
	int64_t began;
	char buf[8];

	both_plain(&b);
	sigaction(SIGALRM, &sa, NULL);
	setitimer(ITIMER_REAL, &(struct itimerval){ { 0, 20000 }, { 0, 20000 } }, NULL);
	CHECK_IS(wrapsock_set_timeout(b.c, 300), 0);
	began = now_ms();
	CHECK_FAILS(wrapsock_recv(b.c, buf, 8, 0), b.c, WRAPSOCK_E_TIMEOUT, ETIMEDOUT);
	CHECK(now_ms() - began >= 295);
	setitimer(ITIMER_REAL, &(struct itimerval){ 0 }, NULL);
	wrapsock_close(b.c);
	wrapsock_close(b.s);
}

static const struct test tests[] = {
	TEST(duplex_when_one_thread_waits_then_another_sends_20000_messages),
	TEST(writers_when_two_send_then_no_message_is_torn),
	TEST(close_when_others_wait_then_they_wake_with_state),
	TEST(close_when_a_listener_waits_then_it_wakes_with_state),
	TEST(row_1_4_110_133_S17_threads_when_64_share_contexts_then_all_are_served),
	TEST(row_133_loop_when_500_connections_are_in_one_thread_then_all_are_served),
	TEST(S19_fork_when_the_child_serves_then_the_parent_closes_without_a_word),
	TEST(S19_fork_when_the_directions_are_divided_then_both_work_and_the_same_one_fails),
	TEST(S18_random_when_forked_then_every_child_has_other_numbers),
	TEST(wait_when_signals_come_then_it_goes_on),
};

int
main(int argc, char **argv)
{
	return run_tests(tests, COUNT(tests), argc, argv);
}
