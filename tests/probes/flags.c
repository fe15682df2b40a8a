/* flags PORT: the flags of recv, FIONREAD, SO_RCVLOWAT, and calls of no length. */
#include "probe.h"

#include <sys/ioctl.h>

static int
arrived(int fd)
{
	int n = -1;

	must("FIONREAD", ioctl(fd, FIONREAD, &n));
	return n;
}

/* Until so many bytes have arrived; poll alone would spin. */
static void
await(int fd, int n)
{
	for (int i = 0; i < PATIENCE && arrived(fd) < n; i++)
		poll(NULL, 0, 1);
	say("arrived: %d", arrived(fd));
}

int
main(int argc, char **argv)
{
	int fd = dial(argv[1]), lowat = 4;
	char buf[64] = "", big[40000];
	socklen_t len = sizeof lowat;

	(void)argc;
	say("nothing: %s", result(recv(fd, buf, 8, MSG_DONTWAIT)));
	say("nothing: %s", result(recv(fd, buf, 8, MSG_DONTWAIT | MSG_PEEK)));
	say("arrived: %d", arrived(fd));
	say("no length: %s %s %s", result(read(fd, buf, 0)), result(write(fd, buf, 0)), result(send(fd, "", 0, 0)));
	write_all(fd, "0123456789", 10);
	wait_poll(fd, POLLIN);
	say("peek: %s %.4s", result(recv(fd, buf, 4, MSG_PEEK)), buf);
	await(fd, 10);
	say("peek: %s %.4s", result(recv(fd, buf, 4, MSG_PEEK)), buf);
	say("peek more: %s %.10s", result(recv(fd, buf, sizeof buf, MSG_PEEK)), buf);
	say("read: %s %.3s", result(recv(fd, buf, 3, 0)), buf);
	say("arrived: %d", arrived(fd));
	say("readable: %x", (unsigned)wait_poll(fd, POLLIN));
	say("rest: %s %.7s", result(recv(fd, buf, sizeof buf, MSG_DONTWAIT)), buf);
	say("nothing: %s", result(recv(fd, buf, sizeof buf, MSG_DONTWAIT)));

	write_all(fd, "abcde", 5);
	write_all(fd, "fghij", 5);
	say("waitall: %s %.10s", result(recv(fd, buf, 10, MSG_WAITALL)), buf);
	write_all(fd, "klmnopqrst", 10);
	memset(buf, '-', sizeof buf);
	say("trunc: %s %.6s", result(recv(fd, buf, 6, MSG_TRUNC | MSG_WAITALL)), buf);
	say("rest: %s %.4s", result(recv(fd, buf, 4, MSG_WAITALL)), buf);
	say("oob: %s", result(recv(fd, buf, 1, MSG_OOB)));

	must("setsockopt", setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &lowat, sizeof lowat));
	must("getsockopt", getsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &lowat, &len));
	say("lowat: %d", lowat);
	write_all(fd, "123456", 6);
	say("at least four: %s", recv(fd, buf, 6, 0) >= 4 ? "yes" : "no");
	lowat = 1;
	must("setsockopt", setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &lowat, sizeof lowat));
	while (recv(fd, buf, sizeof buf, MSG_DONTWAIT) > 0)
		;

	fill((unsigned char *)big, sizeof big, 3);
	write_all(fd, big, sizeof big);
	await(fd, sizeof big);
	memset(big, 0, sizeof big);
	say("big peek: %s", result(recv(fd, big, sizeof big, MSG_PEEK)));
	say("big: %s %016lx", result(recv(fd, big, sizeof big, MSG_WAITALL)), hash(big, sizeof big));
	say("arrived: %d", arrived(fd));
	finish(fd);
	return 0;
}
