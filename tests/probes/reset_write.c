/* reset_write PORT: a write to a peer that has refused us, said why, and reset the connection before anybody read it. */
#include "probe.h"

int
main(int argc, char **argv)
{
	int fd = dial(argv[1]);
	char byte;

	(void)argc;
	say("reset: %s", wait_poll(fd, 0) & (POLLERR | POLLHUP) ? "yes" : "no");
	say("write: %s", result(send(fd, "first", 5, MSG_NOSIGNAL)));
	say("write: %s", result(send(fd, "second", 6, MSG_NOSIGNAL)));
	say("read: %s", result(recv(fd, &byte, 1, 0)));
	return 0;
}
