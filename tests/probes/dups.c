/* dups PORT: every way to a second number; all are the same connection, with a close-on-exec flag of their own. */
#include "probe.h"

static void
look(const char *what, int fd)
{
	say("%s: %s, close-on-exec %s", what, fd < 0 ? word(errno) : "made", result(fcntl(fd, F_GETFD)));
}

int
main(int argc, char **argv)
{
	int fd = dial(argv[1]), a, b, c, d, e, other = dial(argv[1]);
	char back[16] = "";

	(void)argc;
	look("socket", fd);
	a = dup(fd);
	look("dup", a);
	b = dup2(fd, 40);
	look("dup2", b);
	c = dup3(fd, 41, O_CLOEXEC);
	look("dup3", c);
	d = fcntl(fd, F_DUPFD, 50);
	look("F_DUPFD", d);
	e = fcntl(fd, F_DUPFD_CLOEXEC, 60);
	look("F_DUPFD_CLOEXEC", e);
	say("numbers: %d %d %d %d", b, c, d, e);
	say("same onto itself: %d, with dup3 %s", dup2(fd, fd) == fd, result(dup3(fd, fd, 0)));
	say("onto nothing: %s, %s", result(dup2(99, 42)), result(fcntl(42, F_GETFD)));

	must("F_SETFD", fcntl(a, F_SETFD, FD_CLOEXEC));
	must("F_SETFD", fcntl(c, F_SETFD, 0));
	look("dup", a);
	look("dup3", c);
	look("dup2", b);

	echo(a, "by dup");
	must("close", close(fd));
	echo(b, "by dup2 after the first is closed");
	must("close", close(a));
	write_all(c, "across", 6);
	read_all(d, back, 6, 6);
	say("across: %s", back);
	say("dup2 over an open one: %d", dup2(other, c));
	echo(c, "the other connection");
	echo(d, "the first connection");
	must("fcntl", fcntl(d, F_SETFL, O_NONBLOCK));
	say("shared status: %s, %s", fcntl(e, F_GETFL) & O_NONBLOCK ? "non-blocking" : "blocking", result(read(e, back, 1)));
	must("fcntl", fcntl(e, F_SETFL, 0));
	must("close", close(b));
	must("close", close(d));
	echo(e, "by the last");
	finish(e);
	finish(c);
	return 0;
}
