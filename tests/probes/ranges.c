/* ranges PORT: close_range and closefrom; a number that is closed is free, and a file that gets it is a file. */
#include "probe.h"

#include <linux/close_range.h>

int
main(int argc, char **argv)
{
	int fd = dial(argv[1]), high = fcntl(fd, F_DUPFD, 100), second = dial(argv[1]), file;
	char name[] = "/tmp/probe.XXXXXX", text[16] = "";

	(void)argc;
	must("close_range", close_range(100, 200, 0));
	say("high: %s", result(fcntl(high, F_GETFD)));
	echo(fd, "after close_range");
	must("close_range", close_range((unsigned)fd, (unsigned)fd, CLOSE_RANGE_CLOEXEC));
	say("flag: %s", result(fcntl(fd, F_GETFD)));
	echo(fd, "after CLOSE_RANGE_CLOEXEC");
	say("backwards: %s", result(close_range(5, 4, 0)));

	must("close_range", close_range((unsigned)second, (unsigned)second, 0));
	file = (int)must("mkstemp", mkstemp(name));
	unlink(name);
	say("the number again: %s", file == second ? "yes" : "no");
	write_all(file, "in clear", 8);
	say("file: %s %s", result(pread(file, text, 8, 0)), text);
	echo(fd, "still");

	closefrom(fd);
	say("after closefrom: %s %s", result(fcntl(fd, F_GETFD)), result(write(fd, "x", 1)));
	return 0;
}
