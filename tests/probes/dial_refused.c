/* dial_refused PORT CLOSED-PORT: a blocking connect that nobody takes, then the same socket where somebody does. */
#include "probe.h"

int
main(int argc, char **argv)
{
	struct sockaddr_in closed = local(argv[2]), open_port = local(argv[1]);
	int fd = make_socket(0), error = -1;
	socklen_t len = sizeof error;

	(void)argc;
	say("closed: %s", result(connect(fd, (struct sockaddr *)&closed, sizeof closed)));
	must("getsockopt", getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len));
	say("SO_ERROR: %s", word(error));
	say("open: %s", result(connect(fd, (struct sockaddr *)&open_port, sizeof open_port)));
	say("again: %s", result(connect(fd, (struct sockaddr *)&open_port, sizeof open_port)));
	echo(fd, "hello");
	finish(fd);
	return 0;
}
