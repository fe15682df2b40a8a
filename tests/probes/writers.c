/* writers PORT: two threads write messages to one connection, a third reads; no message is cut by another. */
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
	char *message = room(LENGTH), *same = room(LENGTH), names[] = "ab";
	pthread_t t[2];
	int seen[2] = { 0 }, mixed = 0;

	(void)argc;
	fd = dial(argv[1]);
	for (int i = 0; i < 2; i++)
		pthread_create(&t[i], NULL, writer, &names[i]);
	for (int i = 0; i < 2 * MESSAGES; i++) {
		read_all(fd, message, LENGTH, LENGTH);
		memset(same, *message, LENGTH);
		mixed += memcmp(message, same, LENGTH) != 0;
		if (*message == 'a' || *message == 'b')
			seen[*message - 'a']++;
	}
	for (int i = 0; i < 2; i++)
		pthread_join(t[i], NULL);
	say("a %d, b %d, mixed %d", seen[0], seen[1], mixed);
	finish(fd);
	return 0;
}
