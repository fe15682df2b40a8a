/* sendfiles PORT FILE: a file through sendfile, with and without an offset, while a thread reads what comes back. */
#include "probe.h"

#include <sys/sendfile.h>

#include <pthread.h>

static int fd;
static size_t expected;
static unsigned char *in;

static void *
reader(void *arg)
{
	(void)arg;
	read_all(fd, in, expected, 30000);
	return NULL;
}

int
main(int argc, char **argv)
{
	int file = (int)must("open", open(argv[2], O_RDONLY));
	off_t size = must("lseek", lseek(file, 0, SEEK_END)), at = 1000;
	pthread_t t;
	ssize_t n;

	(void)argc;
	lseek(file, 0, SEEK_SET);
	fd = dial(argv[1]);
	expected = (size_t)(size + (size - 1000));
	in = room(expected);
	pthread_create(&t, NULL, reader, NULL);
	for (off_t done = 0; done < size; done += n) {
		n = must("sendfile", sendfile(fd, file, NULL, 300000));
		if (n == 0)
			break;
	}
	say("position %ld, at the end %s", (long)lseek(file, 0, SEEK_CUR), result(sendfile(fd, file, NULL, 10)));
	while (at < size)
		must("sendfile", sendfile(fd, file, &at, (size_t)size));
	say("offset %ld, position %ld", (long)at, (long)lseek(file, 0, SEEK_CUR));
	say("from a bad descriptor: %s", result(sendfile(fd, -1, NULL, 10)));
	pthread_join(t, NULL);
	say("%zu bytes, %016lx", expected, hash(in, expected));
	finish(fd);
	return 0;
}
