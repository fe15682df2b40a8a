/* writers PORT: two threads write messages to one connection, the main thread reads; nothing is lost, doubled or made up. */
#include "probe.h"

#include <pthread.h>

#define MESSAGES 400
#define LENGTH 30000

static int fd;

static void *
writer(void *arg)
{
	char *message = room(LENGTH);

	memset(message, *(char *)arg, LENGTH);
	for (int i = 0; i < MESSAGES; i++)
		if (must("write", write(fd, message, LENGTH)) != LENGTH)
			say("short write");
	free(message);
	return NULL;
}

int
main(int argc, char **argv)
{
	char *data = room(LENGTH), names[] = "ab";
	long seen[256] = { 0 };
	pthread_t t[2];

	(void)argc;
	fd = dial(argv[1]);
	for (int i = 0; i < 2; i++)
		pthread_create(&t[i], NULL, writer, &names[i]);
	for (int i = 0; i < 2 * MESSAGES; i++) {
		read_all(fd, data, LENGTH, LENGTH);
		for (int j = 0; j < LENGTH; j++)
			seen[(unsigned char)data[j]]++;
	}
	for (int i = 0; i < 2; i++)
		pthread_join(t[i], NULL);
	say("a %ld, b %ld", seen['a'], seen['b']);
	finish(fd);
	return 0;
}
