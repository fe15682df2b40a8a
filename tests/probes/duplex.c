/* duplex PORT MESSAGES: one thread sits in read while another writes many small messages. */
#include "probe.h"

#include <pthread.h>

static int fd;
static size_t total;
static unsigned char *in;

static void *
reader(void *arg)
{
	(void)arg;
	read_all(fd, in, total, 65536);
	return NULL;
}

int
main(int argc, char **argv)
{
	int messages = atoi(argv[2]);
	unsigned char *out;
	pthread_t t;

	(void)argc;
	total = (size_t)messages * 37;
	in = room(total);
	out = room(total);
	fill(out, total, 7);
	fd = dial(argv[1]);
	pthread_create(&t, NULL, reader, NULL);
	for (int i = 0; i < messages; i++)
		write_all(fd, out + (size_t)i * 37, 37);
	pthread_join(t, NULL);
	say("%zu bytes %s", total, memcmp(in, out, total) ? "changed" : "as sent");
	finish(fd);
	return 0;
}
