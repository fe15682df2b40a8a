/*
 * call.c - what one call costs, in nanoseconds: libc's own, and the one that the program's name for it leads to. They take turns; of each
 * it is the minimum over ROUNDS rounds of COUNT calls.
 * usage: call read|connect ROUNDS COUNT [only]
 *
 *   read     no bytes from /dev/null, a descriptor that nobody wraps
 *   connect  a TCP connection over loopback that no rule matches; the socket's making and closing are not in the time
 *
 * With "only", libc's own is left out: under a counter of instructions the difference of two COUNTs is the cost of that many.
 */
#include <sys/socket.h>
#include <netinet/in.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

typedef void call(void); /* of the type that it is called as */
typedef ssize_t read_call(int, void *, size_t);
typedef int connect_call(int, const struct sockaddr *, socklen_t);

static double
now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

static double
reads(call *how, long count)
{
	read_call *reader = (read_call *)how;
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	double began = now(), took;
	char byte;

	for (long i = 0; i < count; i++)
		if (reader(fd, &byte, 0) != 0)
			exit(1);
	took = now() - began;
	close(fd);
	return took;
}

static double
connects(call *how, long count)
{
	connect_call *connecter = (connect_call *)how;
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in at = {.sin_family = AF_INET};
	struct linger reset = {.l_onoff = 1};
	socklen_t len = sizeof(at);
	double took = 0;

	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (bind(listener, (struct sockaddr *)&at, len) != 0 || listen(listener, 16) != 0 ||
	    getsockname(listener, (struct sockaddr *)&at, &len) != 0)
		exit(1);
	for (long i = 0; i < count; i++) {
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), other;
		double began = now();

		if (connecter(fd, (struct sockaddr *)&at, len) != 0)
			exit(1);
		took += now() - began;
		other = accept(listener, NULL, NULL);
		if (other < 0 || setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)) != 0)
			exit(1);
		close(fd);
		close(other);
	}
	close(listener);
	return took;
}

int
main(int argc, char **argv)
{
	long rounds = argc >= 4 ? strtol(argv[2], NULL, 10) : 0, count = argc >= 4 ? strtol(argv[3], NULL, 10) : 0;
	double (*measure)(call *, long) = argc >= 4 && strcmp(argv[1], "connect") == 0 ? connects : reads;
	call *ours = measure == connects ? (call *)connect : (call *)read, *calls[2] = {ours, NULL};
	void *libc = dlopen("libc.so.6", RTLD_LAZY | RTLD_NOLOAD);
	double best[2] = {0, 0};

	if (rounds < 1 || count < 1 || !libc)
		return 2;
	if (argc == 4)
		*(void **)&calls[1] = dlsym(libc, argv[1]);
	for (long round = 0; round < rounds; round++)
		for (int i = 0; i < 2 && calls[i]; i++) {
			double took = measure(calls[i], count) / (double)count;

			if (round == 0 || took < best[i])
				best[i] = took;
		}
	printf("%.2f %.2f\n", best[1], best[0]);
	return 0;
}
