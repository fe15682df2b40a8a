/* greeted PORT blocking|poll: the server speaks first. */
#include "probe.h"

int
main(int argc, char **argv)
{
	int fd = dial(argv[1]);
	char line[64] = "";

	if (argc > 2 && !strcmp(argv[2], "poll")) {
		nonblocking(fd);
		wait_poll(fd, POLLIN);
		fcntl(fd, F_SETFL, 0);
	}
	read_all(fd, line, 11, 11);
	say("greeting: %s", line);
	echo(fd, "hello");
	finish(fd);
	return 0;
}
