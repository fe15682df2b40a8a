/* timeouts PORT: SO_RCVTIMEO and SO_SNDTIMEO against a peer that neither writes nor reads. */
#include "probe.h"

#include <sys/time.h>

#include <time.h>

static double
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void
set(int fd, int name, long ms)
{
	struct timeval tv = { ms / 1000, ms % 1000 * 1000 }, back;
	socklen_t len = sizeof back;

	must("setsockopt", setsockopt(fd, SOL_SOCKET, name, &tv, sizeof tv));
	must("getsockopt", getsockopt(fd, SOL_SOCKET, name, &back, &len));
	say("timeout: %s", back.tv_sec == tv.tv_sec && back.tv_usec / 20000 == tv.tv_usec / 20000 ? "as set" : "another");
}

int
main(int argc, char **argv)
{
	int fd = dial_with(argv[1], 8192);
	size_t size = 32 << 20, sent = 0;
	unsigned char *out = room(size);
	char byte;
	double began = now(), took;
	long n;

	(void)argc;
	fill(out, size, 6);
	set(fd, SO_RCVTIMEO, 200);
	n = read(fd, &byte, 1);
	took = now() - began;
	say("read: %s, %s", result(n), took < 0.19 ? "too soon" : took > 3 ? "too late" : "in time");
	set(fd, SO_SNDTIMEO, 200);
	n = 0;
	do {
		sent += (size_t)n;
		began = now();
		n = write(fd, out + sent, size - sent < 70000 ? size - sent : 70000);
		took = now() - began;
	} while (n > 0 && sent < size);
	say("write: %s, %s", result(n), took < 0.19 ? "too soon" : took > 3 ? "too late" : "in time");
	return 0;
}
