/*
 * epoll_shared PORT blocking|nonblocking: an epoll set that two processes have after a fork, with registrations from before, and
 * with those that each makes on its own.
 */
#include "probe.h"

#include <sys/epoll.h>
#include <sys/wait.h>

static int set, there[2], back[2];

static int
registered(const char *port, bool block, uint64_t data)
{
	struct epoll_event e = { .events = EPOLLIN, .data.u64 = data };
	int fd = dial(port);
	char buf[8];

	write_all(fd, "hello", 5);
	read_all(fd, buf, 5, 5);
	if (!block)
		nonblocking(fd);
	must("EPOLL_CTL_ADD", epoll_ctl(set, EPOLL_CTL_ADD, fd, &e));
	return fd;
}

/* Send, wait, and take what comes back. */
static void
exchange(const char *who, int to, int from)
{
	struct epoll_event e[4];
	char buf[64] = "";
	long n;

	if (to >= 0)
		write_all(to, "data", 4);
	n = must("epoll_wait", epoll_wait(set, e, 4, PATIENCE));
	say("%s: %ld event, %#x for %llu", who, n, n > 0 ? e[0].events : 0, n > 0 ? (unsigned long long)e[0].data.u64 : 0);
	read_all(from, buf, 4, 4);
	say("%s: %s", who, buf);
}

static void
pass_turn(int to, int from)
{
	char byte = 'x';

	if (to >= 0)
		write_all(to, &byte, 1);
	if (from >= 0)
		read_all(from, &byte, 1, 1);
}

static void
child(const char *port, bool block, int first, int second)
{
	int own;

	pass_turn(-1, there[0]);
	exchange("child", -1, first);
	write_all(second, "data", 4);
	pass_turn(back[1], there[0]);
	own = registered(port, block, 3);
	pass_turn(back[1], there[0]);
	exchange("child, its own", own, own);
	finish(own);
	exit(0);
}

int
main(int argc, char **argv)
{
	bool block = argc > 2 && !strcmp(argv[2], "blocking");
	int first, second, own;

	set = (int)must("epoll_create1", epoll_create1(0));
	must("pipe", pipe(there));
	must("pipe", pipe(back));
	first = registered(argv[1], block, 1);
	second = registered(argv[1], block, 2);
	if (must("fork", fork()) == 0)
		child(argv[1], block, first, second);
	write_all(first, "data", 4);
	pass_turn(there[1], back[0]);
	exchange("parent", -1, second);
	pass_turn(there[1], back[0]);
	own = registered(argv[1], block, 4);
	exchange("parent, its own", own, own);
	pass_turn(there[1], -1);
	must("wait", wait(NULL));
	finish(own);
	return 0;
}
