/*
 * ready_blocking PORT poll|select|epoll|epoll-et: a blocking descriptor is read only when it is said to be readable, and then never
 * blocks.
 */
#include "probe.h"

#include <sys/epoll.h>
#include <sys/select.h>

#include <signal.h>

static int ep = -1;

static int
readable(const char *how, int fd, int ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	struct timeval tv = { ms / 1000, ms % 1000 * 1000 };
	struct epoll_event e = { EPOLLIN | (how[5] ? EPOLLET : 0), { .fd = fd } };
	fd_set r;

	if (*how == 'p')
		return (int)must(how, poll(&p, 1, ms));
	if (*how == 's') {
		FD_ZERO(&r);
		FD_SET(fd, &r);
		return (int)must(how, select(fd + 1, &r, NULL, NULL, &tv));
	}
	if (ep < 0) {
		ep = (int)must("epoll_create1", epoll_create1(0));
		must("epoll_ctl", epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e));
	}
	return (int)must(how, epoll_wait(ep, &e, 1, ms));
}

static void
blocked(int sig)
{
	static const char text[] = "a read blocked though the descriptor was readable\n";

	(void)sig;
	_exit(write(1, text, sizeof text - 1) > 0 ? 2 : 3);
}

int
main(int argc, char **argv)
{
	int fd = dial(argv[1]);
	char out[3000], in[sizeof out];

	(void)argc;
	signal(SIGALRM, blocked);
	say("quiet: %d", readable(argv[2], fd, 300));
	for (int round = 0; round < 20; round++) {
		size_t n = (size_t)round * 150 + 1, got = 0;

		fill((unsigned char *)out, n, (unsigned)round);
		write_all(fd, out, n);
		while (got < n) {
			if (!readable(argv[2], fd, PATIENCE)) {
				say("stuck in round %d after %zu", round, got);
				return 1;
			}
			alarm(3);
			got += (size_t)must("read", read(fd, in + got, sizeof in - got));
			alarm(0);
		}
		if (memcmp(in, out, n))
			say("round %d changed", round);
	}
	say("quiet: %d", readable(argv[2], fd, 100));
	must("shutdown", shutdown(fd, SHUT_WR));
	say("end: %d", readable(argv[2], fd, PATIENCE));
	say("read: %s", result(read(fd, in, 1)));
	return 0;
}
