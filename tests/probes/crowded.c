/* crowded PORT CHILDREN: connections of threads come and go while the process forks, and each child makes one of its own. */
#include "probe.h"

#include <sys/wait.h>

#include <pthread.h>
#include <stdatomic.h>

enum { THREADS = 3 };

static const char *port;
static atomic_bool over;
static atomic_int made;

static bool
visit(void)
{
	char back[5];
	int fd = dial(port);

	write_all(fd, "hello", 5);
	read_all(fd, back, 5, 5);
	close(fd);
	return memcmp(back, "hello", 5) == 0;
}

static void *
come_and_go(void *arg)
{
	while (!over)
		made += visit();
	return arg;
}

int
main(int argc, char **argv)
{
	pthread_t threads[THREADS];
	int good = 0, children = argc > 2 ? atoi(argv[2]) : 1, status;

	port = argv[1];
	for (int i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, come_and_go, NULL);
	while (made < THREADS)
		usleep(1000);
	for (int i = 0; i < children; i++) {
		pid_t pid = (pid_t)must("fork", fork());

		if (pid == 0) {
			alarm(15);	/* a lock that nobody gives back */
			_exit(visit() ? 0 : 1);
		}
		good += waitpid(pid, &status, 0) == pid && status == 0;
	}
	over = true;
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	say("%d of %d children", good, children);
	return 0;
}
