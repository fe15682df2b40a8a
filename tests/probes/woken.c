/* woken PORT shutdown|close: a thread waits in read while another ends the connection. */
#include "probe.h"

#include <pthread.h>

static int fd;
static volatile int entered;
static const char *answer;

static void *
reader(void *arg)
{
	char byte;

	(void)arg;
	entered = 1;
	answer = result(read(fd, &byte, 1));
	return NULL;
}

int
main(int argc, char **argv)
{
	pthread_t t;

	(void)argc;
	fd = dial(argv[1]);
	echo(fd, "hello");
	pthread_create(&t, NULL, reader, NULL);
	while (!entered)
		poll(NULL, 0, 1);
	poll(NULL, 0, 50);	/* it is in the call by now, or gives the same answer without */
	if (!strcmp(argv[2], "close"))
		say("close: %s", result(close(fd)));
	else
		say("shutdown: %s", result(shutdown(fd, SHUT_RDWR)));
	pthread_join(t, NULL);
	say("read: %s", answer);
	return 0;
}
