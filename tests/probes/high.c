/* high PORT: numbers above what select's sets hold by their type, and the highest that there can be. */
#include "probe.h"

#include <sys/resource.h>
#include <sys/select.h>

/* FD_SET would end the program for such a number. */
static int
selects(int fd)
{
	static unsigned long bits[4096 / sizeof(unsigned long)];
	struct timeval tv = { PATIENCE / 1000, 0 };

	bits[fd / (8 * sizeof *bits)] |= 1ul << fd % (8 * sizeof *bits);
	return select(fd + 1, (fd_set *)(void *)bits, NULL, NULL, &tv);
}

static void
by_number(int fd, int number)
{
	int high = fcntl(fd, F_DUPFD, number);

	say("%d: %s", number, high < 0 ? word(errno) : "made");
	if (high < 0)
		return;
	echo(high, "by that number");
	write_all(fd, "data", 4);
	wait_poll(high, POLLIN);
	if (high < 4096)
		say("select: %s", result(selects(high)));
	read_all(high, (char[4]){ 0 }, 4, 4);
	must("close", close(high));
}

int
main(int argc, char **argv)
{
	struct rlimit most = { 1 << 20, 1 << 20 };
	int fd = dial(argv[1]);

	(void)argc;
	if (setrlimit(RLIMIT_NOFILE, &most) < 0) {	/* that needs rights */
		must("getrlimit", getrlimit(RLIMIT_NOFILE, &most));
		most.rlim_cur = most.rlim_max;
		must("setrlimit", setrlimit(RLIMIT_NOFILE, &most));
	}
	by_number(fd, 1100);
	nonblocking(fd);
	write_all(fd, "data", 4);
	wait_poll(fd, POLLIN);
	read_all(fd, (char[4]){ 0 }, 4, 4);
	must("fcntl", fcntl(fd, F_SETFL, 0));
	by_number(fd, (int)most.rlim_cur - 1);
	by_number(fd, (int)most.rlim_cur);
	finish(fd);
	return 0;
}
