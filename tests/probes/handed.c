/*
 * handed PORT read|late|waitall|peek|write|poll|select|handler HOW: a thread waits in a call for a connection while another hands it
 * over: HOW is dup, stream or pass.
 */
#include "probe.h"

#include <sys/select.h>
#include <sys/un.h>

#include <pthread.h>
#include <signal.h>

enum { BIG = 6000000 };

static int fd;
static volatile int entered;
static char got[64];
static long answer;
static int error;

static void
note(long r)
{
	answer = r;
	error = r < 0 ? errno : 0;
}

static long
readable(void)
{
	struct timeval tv = { PATIENCE / 1000, 0 };
	fd_set set;

	FD_ZERO(&set);
	FD_SET(fd, &set);
	return select(fd + 1, &set, NULL, NULL, &tv);
}

static void *
waiter(void *how)
{
	static unsigned char big[BIG];

	entered = 1;
	if (!strcmp(how, "waitall")) {
		note(recv(fd, got, 12, MSG_WAITALL));
	} else if (!strcmp(how, "peek")) {
		note(recv(fd, got, 5, MSG_PEEK));
		note(answer + recv(fd, got, 5, MSG_PEEK));
		note(answer + recv(fd, got, 5, 0));
	} else if (!strcmp(how, "write")) {
		fill(big, sizeof big, 7);
		note(write(fd, big, sizeof big));
	} else if (!strcmp(how, "poll")) {
		note(poll(&(struct pollfd){ .fd = fd, .events = POLLIN }, 1, PATIENCE));
		must("read", read(fd, got, 5));
	} else if (!strcmp(how, "select")) {
		note(readable());
		must("read", read(fd, got, 5));
	} else {
		note(read(fd, got, sizeof got));
	}
	return NULL;
}

static void
pass(void)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = { { 0 } };
	struct msghdr m = { .msg_iov = &(struct iovec){ (char[]){ "x" }, 1 }, .msg_iovlen = 1, .msg_control = control.bytes,
			    .msg_controllen = sizeof control.bytes };
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	int pair[2];

	must("socketpair", socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof fd);
	memcpy(CMSG_DATA(c), &fd, sizeof fd);
	must("SCM_RIGHTS out", sendmsg(pair[0], &m, 0));
}

static void
hand_over(const char *how)
{
	if (!strcmp(how, "dup"))
		say("dup2: %s", result(dup2(fd, 0)));
	else if (!strcmp(how, "stream"))
		say("fdopen: %s", fdopen(fd, "r+") ? "ok" : word(errno));
	else
		pass();
}

static void
on_signal(int sig)
{
	(void)sig;
	dup2(fd, 0);
}

/* All that was written comes back, once and in its order. */
static void
check_echo(void)
{
	unsigned char *sent = room(BIG), *back = room(BIG);

	fill(sent, BIG, 7);
	read_all(fd, back, BIG, BIG);
	say("back: %s", memcmp(sent, back, BIG) ? "other bytes" : "the same");
}

int
main(int argc, char **argv)
{
	const char *how = argv[2];
	pthread_t t;

	(void)argc;
	fd = dial(argv[1]);
	echo(fd, "hello");
	signal(SIGUSR1, on_signal);
	if (!strcmp(how, "waitall"))
		write_all(fd, "first ", 6);
	pthread_create(&t, NULL, waiter, (void *)(uintptr_t)how);
	while (!entered)
		poll(NULL, 0, 1);
	poll(NULL, 0, !strcmp(how, "late") ? 0 : 100);	/* it is in the call by now, or gives the same answer without */
	if (!strcmp(how, "handler"))
		pthread_kill(t, SIGUSR1);
	else
		hand_over(argv[3]);
	if (!strcmp(how, "write"))
		check_echo();
	else
		write_all(fd, "words!", strcmp(how, "waitall") ? 5 : 6);
	pthread_join(t, NULL);
	say("%s: %ld, %s, %s", how, answer, word(error), got);
	echo(fd, "goodbye");
	finish(fd);
	return 0;
}
