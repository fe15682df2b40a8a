/* halfclose PORT SIZE: everything out, SHUT_WR, then what the peer counted, to its end; writing is over. */
#include "probe.h"

int
main(int argc, char **argv)
{
	size_t size = strtoul(argv[2], NULL, 0), got = 0;
	int fd = dial(argv[1]);
	unsigned char *out = room(size);
	char answer[256] = "";
	long n;

	(void)argc;
	fill(out, size, 5);
	write_all(fd, out, size);
	say("shutdown: %s", result(shutdown(fd, SHUT_WR)));
	say("write: %s", result(send(fd, "x", 1, MSG_NOSIGNAL)));
	while ((n = read(fd, answer + got, sizeof answer - 1 - got)) > 0)
		got += (size_t)n;
	say("peer: %s", answer);
	say("end: %s, again %s", result(n), result(read(fd, answer, 1)));
	say("readable: %x", (unsigned)(wait_poll(fd, POLLIN) & POLLIN));
	say("close: %s, again %s", result(close(fd)), result(close(fd)));
	return 0;
}
