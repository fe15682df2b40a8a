/* interrupted PORT: signals that come while a call waits, with SA_RESTART and without. */
#include "probe.h"

#include <sys/time.h>
#include <sys/uio.h>

#include <pthread.h>
#include <signal.h>

static volatile sig_atomic_t signals;
static int fd;
static pthread_t waiting;

static void
count(int sig)
{
	(void)sig;
	signals++;
}

static void
handle(int flags)
{
	struct sigaction sa = { .sa_handler = count, .sa_flags = flags };

	must("sigaction", sigaction(SIGUSR1, &sa, NULL));
	signals = 0;
}

/* Signals until one was handled and the other thread is surely in its call, then a byte for it. */
static void *
disturb(void *arg)
{
	for (int i = 0; i < 5; i++) {
		poll(NULL, 0, 20);
		pthread_kill(waiting, SIGUSR1);
	}
	if (arg)
		write_all(fd, "x", 1);
	return NULL;
}

int
main(int argc, char **argv)
{
	struct pollfd p = { .events = POLLIN };
	struct iovec iov;
	char byte;
	pthread_t t;

	(void)argc;
	p.fd = fd = dial(argv[1]);
	iov = (struct iovec){ &byte, 1 };
	waiting = pthread_self();

	handle(0);
	pthread_create(&t, NULL, disturb, NULL);
	say("read: %s", result(read(fd, &byte, 1)));
	pthread_join(t, NULL);
	pthread_create(&t, NULL, disturb, NULL);
	say("readv: %s", result(readv(fd, &iov, 1)));
	pthread_join(t, NULL);
	pthread_create(&t, NULL, disturb, NULL);
	say("poll: %s", result(poll(&p, 1, PATIENCE)));
	pthread_join(t, NULL);

	handle(SA_RESTART);
	pthread_create(&t, NULL, disturb, (void *)1);
	say("read: %s", result(read(fd, &byte, 1)));
	pthread_join(t, NULL);
	say("signals: %s", signals ? "some" : "none");
	pthread_create(&t, NULL, disturb, NULL);
	say("poll: %s", result(poll(&p, 1, PATIENCE)));
	pthread_join(t, NULL);
	echo(fd, "hello");
	finish(fd);
	return 0;
}
