/*
 * cancelled PORT CASE: threads are cancelled inside calls, or come to them cancelled; the connection stays what it was for the
 * others.
 *
 * Cases: read peek trunc poll select epoll write waiter accept, cancelled while they wait; pending: cancelled before; disabled: not
 * at all; questions: calls that are no cancellation points; close; connect and server: a peer that says nothing, not even TLS;
 * many: nothing is left behind.
 */
#include "probe.h"

#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/select.h>

#include <malloc.h>
#include <pthread.h>

#define MARKER "here a second message begins"

static int fd;
static const char *port;
static _Atomic int entered;	/* the thread's number in the kernel, once it is about to call */
static char done[] = "done";
static char bytes[4 << 20];	/* more than any two sockets hold */

static void
about_to(void)
{
	entered = gettid();
}

/* Asleep in the kernel: it waits in the call. */
static bool
asleep(int tid)
{
	char path[64], text[512] = "", *p;
	FILE *f;

	snprintf(path, sizeof path, "/proc/self/task/%d/stat", tid);
	f = fopen(path, "r");
	if (f && !fgets(text, sizeof text, f))
		*text = '\0';
	if (f)
		fclose(f);
	p = strrchr(text, ')');
	return p && p[1] && p[2] == 'S';
}

static pthread_t
begin(void *(*f)(void *), void *arg)
{
	pthread_t t;
	int still = 0;

	entered = 0;
	if (pthread_create(&t, NULL, f, arg) != 0)
		die("pthread_create");
	for (int i = 0; still < 5; i++) {	/* several looks: it may rest on the way, too */
		poll(NULL, 0, 2);
		still = entered && asleep(entered) ? still + 1 : 0;
		if (i > PATIENCE / 2) {
			say("the thread does not come to rest");
			exit(1);
		}
	}
	return t;
}

static const char *
end(pthread_t t)
{
	struct timespec until;
	void *how;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += PATIENCE / 1000;
	if (pthread_timedjoin_np(t, &how, &until) != 0) {
		say("the thread did not end");
		exit(1);
	}
	return how == PTHREAD_CANCELED ? "cancelled" : how ? how : "returned";
}

static void
cancel(const char *what, void *(*f)(void *), void *arg)
{
	pthread_t t = begin(f, arg);

	pthread_cancel(t);
	say("%s: %s", what, end(t));
}

static void *
reads(void *flags)
{
	char text[64];

	about_to();
	recv(fd, text, sizeof text, flags ? *(int *)flags : 0);
	return NULL;
}

static void *
polls(void *arg)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	(void)arg;
	about_to();
	poll(&p, 1, -1);
	return NULL;
}

static void *
selects(void *arg)
{
	fd_set set;

	(void)arg;
	FD_ZERO(&set);
	FD_SET(fd, &set);
	about_to();
	select(fd + 1, &set, NULL, NULL, NULL);
	return NULL;
}

static void *
epolls(void *epfd)
{
	struct epoll_event e;

	about_to();
	epoll_wait(*(int *)epfd, &e, 1, -1);
	return NULL;
}

static void
epoll_cancelled(void)
{
	struct epoll_event e = { .events = EPOLLIN, .data.fd = fd };
	int epfd = epoll_create1(0);

	must("epoll_ctl", epoll_ctl(epfd, EPOLL_CTL_ADD, fd, &e));
	cancel("epoll_wait", epolls, &epfd);
	write_all(fd, "more", 4);
	say("epoll_wait again: %s", result(epoll_wait(epfd, &e, 1, PATIENCE)));
	read_all(fd, bytes, 4, 4);
}

static void *
writes(void *arg)
{
	(void)arg;
	memset(bytes, 'x', sizeof bytes);
	about_to();
	return write(fd, bytes, sizeof bytes) < 0 ? NULL : done;
}

static void *
writes_marker(void *arg)
{
	(void)arg;
	about_to();
	write_all(fd, MARKER, strlen(MARKER));
	must("shutdown", shutdown(fd, SHUT_WR));
	return NULL;
}

/* The first writer's bytes end somewhere; what is written next follows them, whole. */
static void
write_cancelled(void)
{
	size_t n = 0, len = strlen(MARKER), bad = 0;
	char text[4096], last[4096 + sizeof MARKER] = "";
	pthread_t t;
	long r;

	cancel("write", writes, NULL);
	if (pthread_create(&t, NULL, writes_marker, NULL) != 0)	/* it may find room at once, or wait */
		die("pthread_create");
	while ((r = must("read", read(fd, text, sizeof text))) > 0) {
		size_t keep = n < len ? n : len;

		memmove(last, last + (n > len ? n - len : 0), keep);
		memcpy(last + keep, text, (size_t)r);
		n = keep + (size_t)r;
		for (long i = 0; i < r; i++)
			bad += text[i] != 'x';
	}
	say("marker: %s", end(t));
	say("the stream ends with: %.*s", (int)len, last + (n > len ? n - len : 0));
	say("other bytes: %s", bad == len ? "the marker's" : "more");
}

/* One writer is blocked, another waits for its turn behind it. */
static void
waiter_cancelled(void)
{
	pthread_t t = begin(writes, NULL);

	cancel("write behind another", writes, NULL);
	pthread_cancel(t);
	say("write: %s", end(t));
}

static void *
accepts(void *listener)
{
	about_to();
	accept(*(int *)listener, NULL, NULL);
	return NULL;
}

static int
listener_on(struct sockaddr_in *a)
{
	socklen_t len = sizeof *a;
	int listener = make_socket(0);

	*a = local("0");
	must("bind", bind(listener, (struct sockaddr *)a, sizeof *a));
	must("listen", listen(listener, 5));
	must("getsockname", getsockname(listener, (struct sockaddr *)a, &len));
	return listener;
}

static void
accept_cancelled(void)
{
	struct sockaddr_in a;
	int listener = listener_on(&a);

	cancel("accept", accepts, &listener);
	say("next descriptor: %s", dup(listener) == listener + 1 ? "the next" : "another");
}

/* Cancelled while it cannot be, then able to be. */
static void
come_cancelled(void)
{
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
	pthread_cancel(pthread_self());
}

static void *
reads_cancelled(void *arg)
{
	(void)arg;
	about_to();
	come_cancelled();
	pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL);
	return read(fd, bytes, 4) < 0 ? NULL : done;
}

static void *
reads_uncancelled(void *arg)
{
	(void)arg;
	come_cancelled();
	about_to();
	return read(fd, bytes, 4) == 4 ? done : NULL;
}

static void
disabled(void)
{
	pthread_t t = begin(reads_uncancelled, NULL);

	write_all(fd, "four", 4);
	say("read: %s", end(t));
}

static void *
asks(void *arg)
{
	struct sockaddr_in a;
	socklen_t len = sizeof a;
	int n;

	(void)arg;
	about_to();
	come_cancelled();
	pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL);
	getsockopt(fd, SOL_SOCKET, SO_ERROR, &n, &(socklen_t){ sizeof n });
	getpeername(fd, (struct sockaddr *)&a, &len);
	ioctl(fd, FIONREAD, &n);
	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
	return done;
}

static void *
closes(void *arg)
{
	(void)arg;
	come_cancelled();
	pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL);
	close(fd);
	return NULL;
}

static void
at_once(const char *what, void *(*f)(void *))
{
	pthread_t t;

	if (pthread_create(&t, NULL, f, NULL) != 0)
		die("pthread_create");
	say("%s: %s", what, end(t));
}

static void *
connects(void *arg)
{
	struct sockaddr_in a = local(port);

	(void)arg;
	about_to();
	connect(fd, (struct sockaddr *)&a, sizeof a);
	return NULL;
}

static void
connect_cancelled(void)
{
	struct sockaddr_in a = local(port);

	fd = make_socket(0);
	cancel("connect", connects, NULL);
	nonblocking(fd);
	say("send: %s", result(send(fd, "clear", 5, MSG_NOSIGNAL)));
	say("connect: %s", result(connect(fd, (struct sockaddr *)&a, sizeof a)));
	say("close: %s", result(close(fd)));
}

static void
server_cancelled(void)
{
	struct sockaddr_in a;
	int listener = listener_on(&a), peer = make_socket(0), n = 0;
	char byte;

	nonblocking(peer);
	if (connect(peer, (struct sockaddr *)&a, sizeof a) < 0 && errno != EINPROGRESS)
		die("connect");
	fd = (int)must("accept", accept(listener, NULL, NULL));
	cancel("read", reads, NULL);
	cancel("poll", polls, NULL);
	nonblocking(fd);
	say("send: %s", result(send(fd, "clear", 5, MSG_NOSIGNAL)));
	must("ioctl", ioctl(peer, FIONREAD, &n));
	say("in clear: %d", n);
	must("close", close(peer));
	say("read: %s", wait_poll(fd, POLLIN) & POLLIN ? result(read(fd, &byte, 1)) : "not readable");
}

/* do_handshake_on_connect: the descriptor that accept had made is gone with the thread. */
static void
inside_accept(void)
{
	struct sockaddr_in a;
	int listener = listener_on(&a), peer = make_socket(SOCK_NONBLOCK);

	if (connect(peer, (struct sockaddr *)&a, sizeof a) < 0 && errno != EINPROGRESS)
		die("connect");
	cancel("accept", accepts, &listener);
	say("next descriptor: %s", dup(peer) == peer + 1 ? "the next" : "another");
}

static void
many(void)
{
	int flags[] = { 0, MSG_PEEK, MSG_TRUNC, MSG_PEEK | MSG_WAITALL };
	size_t before = 0;

	write_all(fd, "ab", 2);
	for (int i = 0; i < 60; i++) {
		pthread_t t;

		if (i == 20)
			read_all(fd, bytes, 2, 2);
		if (i == 30)		/* buffers that are kept for later calls are there by now */
			before = mallinfo2().uordblks;
		t = begin(reads, &flags[i < 20 ? 3 : i % 3]);
		pthread_cancel(t);
		if (strcmp(end(t), "cancelled") != 0)
			say("not cancelled");
	}
	say("memory: %s", mallinfo2().uordblks > before + 65536 ? "grows" : "stays");
	say("next descriptor: %s", dup(fd) == fd + 1 ? "the next" : "another");
}

static void
read_cancelled(void)
{
	cancel("read", reads, NULL);
}

static void
trunc_cancelled(void)
{
	int flags = MSG_TRUNC;

	cancel("recv", reads, &flags);
}

static void
peek_cancelled(void)
{
	int flags = MSG_PEEK | MSG_WAITALL;

	write_all(fd, "two", 3);
	wait_poll(fd, POLLIN);
	cancel("recv", reads, &flags);
	read_all(fd, bytes, 3, 3);
}

static void
poll_cancelled(void)
{
	cancel("poll", polls, NULL);
}

static void
select_cancelled(void)
{
	cancel("select", selects, NULL);
}

static void
pending(void)
{
	write_all(fd, "data", 4);
	wait_poll(fd, POLLIN);
	at_once("read", reads_cancelled);
	read_all(fd, bytes, 4, 4);
}

static void
close_pending(void)
{
	at_once("close", closes);
}

/* They drive the handshake where it is due. */
static void
questions(void)
{
	struct sockaddr_in a = local(port);

	fd = make_socket(SOCK_NONBLOCK);
	say("connect: %s", result(connect(fd, (struct sockaddr *)&a, sizeof a)));
	at_once("questions", asks);
	wait_poll(fd, POLLOUT);
}

static const struct {
	const char *name;
	enum { CONNECTED, SMALL, APART } how;	/* SMALL: buffers; the stream is over behind it. APART: makes its own connection */
	void (*f)(void);
} cases[] = {
	{ "read", CONNECTED, read_cancelled },	   { "trunc", CONNECTED, trunc_cancelled },   { "peek", CONNECTED, peek_cancelled },
	{ "poll", CONNECTED, poll_cancelled },	   { "select", CONNECTED, select_cancelled }, { "epoll", CONNECTED, epoll_cancelled },
	{ "write", SMALL, write_cancelled },	   { "waiter", SMALL, waiter_cancelled },     { "accept", CONNECTED, accept_cancelled },
	{ "pending", CONNECTED, pending },	   { "disabled", CONNECTED, disabled },	      { "questions", APART, questions },
	{ "close", CONNECTED, close_pending },	   { "connect", APART, connect_cancelled },   { "server", APART, server_cancelled },
	{ "many", CONNECTED, many },		   { "inside", APART, inside_accept },
};

int
main(int argc, char **argv)
{
	(void)argc;
	port = argv[1];
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		if (strcmp(argv[2], cases[i].name) != 0)
			continue;
		if (cases[i].how != APART)
			fd = dial_with(port, cases[i].how == SMALL ? 8192 : 0);
		cases[i].f();
		if (cases[i].how == CONNECTED || cases[i].f == questions) {
			echo(fd, "still here");
			finish(fd);
		}
	}
	return 0;
}
