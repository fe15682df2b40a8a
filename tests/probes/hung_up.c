/* hung_up PORT poll|epoll|shut: the peer's end is told while all it wrote is unread. Then only the last read may be short. */
#include "probe.h"

#include <sys/epoll.h>

#define SIZE 48000
#define PIECE 20000

static void
wait_epoll(int fd)
{
	struct epoll_event e = { .events = EPOLLRDHUP };
	int set = (int)must("epoll_create1", epoll_create1(EPOLL_CLOEXEC));

	must("epoll_ctl", epoll_ctl(set, EPOLL_CTL_ADD, fd, &e));
	say("epoll: %s", must("epoll_wait", epoll_wait(set, &e, 1, PATIENCE)) && e.events & EPOLLRDHUP ? "hung up" : "nothing");
}

static void
wait_end(int fd, const char *how)
{
	if (!strcmp(how, "epoll")) {
		wait_epoll(fd);
	} else if (!strcmp(how, "poll")) {
		say("poll: %s", wait_poll(fd, POLLRDHUP) & POLLRDHUP ? "hung up" : "something else");
	} else {
		must("shutdown", shutdown(fd, SHUT_WR));
		say("poll: %s", wait_poll(fd, 0) & POLLHUP ? "hung up" : "something else");
	}
}

int
main(int argc, char **argv)
{
	int fd = dial(argv[1]);
	unsigned char *out = room(SIZE), *in = room(SIZE + PIECE);
	size_t got = 0;
	long n;

	(void)argc;
	fill(out, SIZE, 7);
	memcpy(out, secret(), 13);
	memcpy(out + SIZE - 4, "bye\n", 4);
	write_all(fd, out, SIZE);
	wait_end(fd, argv[2]);
	nonblocking(fd);
	while ((n = read(fd, in + got, PIECE)) > 0) {
		say("read: %ld", n);
		got += (size_t)n;
	}
	say("end: %s, %s", result(n), got == SIZE && !memcmp(in, out, SIZE) ? "as sent" : "changed");
	return 0;
}
