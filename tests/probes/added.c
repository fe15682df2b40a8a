/*
 * added PORT: one thread waits in epoll_wait while another adds connections that are ready at once; each event is the program's own.
 */
#include "probe.h"

#include <sys/epoll.h>

#include <pthread.h>
#include <semaphore.h>

#define ROUNDS 150
#define MARK UINT64_C(0x1122334455667700)

static int set;
static sem_t seen;

static void *
waits(void *arg)
{
	int strange = 0;

	(void)arg;
	for (int i = 0; i < ROUNDS; i++) {
		struct epoll_event e;

		if (must("epoll_wait", epoll_wait(set, &e, 1, PATIENCE)) != 1)
			die("nothing happens");
		strange += e.data.u64 != MARK + (uint64_t)i || !(e.events & EPOLLOUT);
		sem_post(&seen);
	}
	say("%d events, %d of somebody else", ROUNDS, strange);
	return NULL;
}

int
main(int argc, char **argv)
{
	struct sockaddr_in to = local(argc > 1 ? argv[1] : "0");
	pthread_t t;

	set = (int)must("epoll_create1", epoll_create1(EPOLL_CLOEXEC));
	sem_init(&seen, 0, 0);
	if (pthread_create(&t, NULL, waits, NULL) != 0)
		die("pthread_create");
	for (int i = 0; i < ROUNDS; i++) {
		struct epoll_event e = { .events = EPOLLOUT | EPOLLONESHOT, .data.u64 = MARK + (uint64_t)i };
		int fd = make_socket(SOCK_NONBLOCK);

		if (connect(fd, (struct sockaddr *)&to, sizeof to) < 0 && errno != EINPROGRESS)
			die("connect");
		must("epoll_ctl", epoll_ctl(set, EPOLL_CTL_ADD, fd, &e));
		sem_wait(&seen);
		close(fd);
	}
	pthread_join(t, NULL);
	return 0;
}
