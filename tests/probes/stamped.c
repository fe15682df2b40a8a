/*
 * stamped PORT connected|connecting [nonblocking]: the program asks for time stamps of what it sends, and lets them lie in the error queue, so that
 * poll says POLLERR for ever: who waits for data waits, and does not spin.
 */
#include "probe.h"

#include <linux/net_tstamp.h>
#include <sys/time.h>
#include <time.h>

static long
milliseconds(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static void
stamp(int fd)
{
	int how = SOF_TIMESTAMPING_TX_SOFTWARE | SOF_TIMESTAMPING_SOFTWARE;

	must("SO_TIMESTAMPING", setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPING, &how, sizeof how));
}

static void
wait_in_vain(int fd)
{
	struct timeval patience = { 0, 400000 };
	long began = milliseconds(CLOCK_MONOTONIC), used = milliseconds(CLOCK_PROCESS_CPUTIME_ID);
	char byte;

	must("SO_RCVTIMEO", setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience));
	say("recv: %s", result(recv(fd, &byte, 1, 0)));
	used = milliseconds(CLOCK_PROCESS_CPUTIME_ID) - used;
	say("waited: %s", milliseconds(CLOCK_MONOTONIC) - began >= 390 ? "yes" : "no");
	say("spun: %s", used > 100 ? "yes" : "no");
}

int
main(int argc, char **argv)
{
	bool early = argc > 2 && !strcmp(argv[2], "connecting"), nb = argc > 3;
	struct sockaddr_in a = local(argv[1]);
	int fd = make_socket(nb ? SOCK_NONBLOCK : 0), error = 0, n = 0;
	socklen_t len = sizeof error;
	char text[4096];

	if (early)
		stamp(fd);
	if (connect(fd, (struct sockaddr *)&a, sizeof a) < 0) {
		if (errno != EINPROGRESS)
			die("connect");
		while (!(wait_poll(fd, POLLOUT) & POLLOUT))
			if (++n > 1000) {
				say("poll spins");
				return 1;
			}
		must("SO_ERROR", getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len));
		say("connect: %s", word(error));
		must("fcntl", fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK));
	}
	if (!early)
		stamp(fd);
	echo(fd, "hello");
	say("poll: %#x", wait_poll(fd, POLLIN));
	wait_in_vain(fd);
	for (n = 0; recv(fd, text, sizeof text, MSG_ERRQUEUE | MSG_DONTWAIT) >= 0; n++)
		;
	say("stamps: %s", n ? "some" : "none");
	echo(fd, "after");
	finish(fd);
	return 0;
}
