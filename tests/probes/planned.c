/* planned PORT: what a program does to a socket before it connects it: flags, options, second numbers. */
#include "probe.h"

static void
options(int fd)
{
	int one = 1;

	must("setsockopt", setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof one));
	must("setsockopt", setsockopt(fd, IPPROTO_TCP, 1 /* TCP_NODELAY */, &one, sizeof one));
}

int
main(int argc, char **argv)
{
	struct sockaddr_in a = local(argv[1]);
	int fd = make_socket(0), second, third, plain = make_socket(0);

	(void)argc;
	options(fd);
	must("F_SETFD", fcntl(fd, F_SETFD, FD_CLOEXEC));
	second = (int)must("dup", dup(fd));
	third = (int)must("dup2", dup2(fd, 70));
	must("F_SETFD", fcntl(third, F_SETFD, FD_CLOEXEC));
	say("bind: %s", result(bind(plain, (struct sockaddr *)&(struct sockaddr_in){ .sin_family = AF_INET }, sizeof a)));
	must("connect", connect(fd, (struct sockaddr *)&a, sizeof a));
	say("flags: %s %s %s", result(fcntl(fd, F_GETFD)), result(fcntl(second, F_GETFD)), result(fcntl(third, F_GETFD)));
	echo(second, "by the second");
	echo(third, "by the third");
	close(fd);
	echo(second, "without the first");
	must("connect", connect(plain, (struct sockaddr *)&a, sizeof a));
	must("dup2", dup2(plain, third));
	echo(third, "another connection");
	finish(second);
	return 0;
}
