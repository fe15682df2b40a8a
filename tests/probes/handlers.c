/* handlers.c - signal handlers that use connections while their thread is within one: handlers PORT within|sending */
#include "probe.h"

#include <sys/time.h>

#include <signal.h>

enum { ENOUGH = 20, BIG = 64 << 20, LATER = 5 };	/* BIG: more than all buffers on the way there and back hold */

static int one, other;
static unsigned char *there, *back;
static volatile size_t got;
static volatile int refused;
static volatile int ticks;
static char first[64];

/* Two milliseconds of the thread's own time, so that it is not in a wait. */
static void
every(int which, int sig, int us, void (*handler)(int))
{
	struct sigaction sa = { .sa_handler = handler, .sa_flags = SA_RESTART };
	struct itimerval timer = { { 0, us }, { 0, us } };

	sigaction(sig, &sa, NULL);
	must("setitimer", setitimer(which, &timer, NULL));
}

/* Of the connection that was interrupted, or of another: an answer, or a refusal, but no wait for itself. */
static void
within(int sig)
{
	int saved = errno;
	char byte;

	(void)sig;
	if (recv(one, &byte, 1, MSG_DONTWAIT | MSG_PEEK) < 0 && errno != EAGAIN)
		_exit(3);
	if (send(other, "x", 1, MSG_DONTWAIT) < 0)
		refused++;
	errno = saved;
}

/* A send that would wait for the one that it has interrupted; then what has come back is read, so that this one goes on. */
static void
sending(int sig)
{
	int saved = errno;
	ssize_t n;

	(void)sig;
	if (++ticks < LATER)		/* by then it waits */
		return;
	if (ticks == LATER)
		snprintf(first, sizeof first, "%s", result(send(one, "x", 1, 0)));
	while (got < BIG && (n = recv(one, back + got, BIG - got < 65536 ? BIG - got : 65536, MSG_DONTWAIT)) > 0)
		got += (size_t)n;
	errno = saved;
}

static void
quiet(void)
{
	setitimer(ITIMER_PROF, &(struct itimerval){ { 0, 0 }, { 0, 0 } }, NULL);
	setitimer(ITIMER_REAL, &(struct itimerval){ { 0, 0 }, { 0, 0 } }, NULL);
}

int
main(int argc, char **argv)
{
	bool inside = argc > 2 && strcmp(argv[2], "within") == 0;
	int rounds = 0;

	there = room(BIG);
	back = room(BIG);
	fill(there, BIG, 7);
	one = dial(argv[1]);
	echo(one, "one");
	if (inside) {
		other = dial(argv[1]);
		echo(other, "other");
		every(ITIMER_PROF, SIGPROF, 2000, within);
		for (; refused < ENOUGH || rounds < 100; rounds++) {
			write_all(one, there, 100000);
			read_all(one, back, 100000, 100000);
			if (memcmp(there, back, 100000) != 0)
				die("other bytes");
		}
		quiet();
		say("refused within another call, and nothing else was disturbed");
	} else {
		every(ITIMER_REAL, SIGALRM, 20000, sending);
		write_all(one, there, BIG);
		quiet();
		read_all(one, back + got, BIG - got, BIG);
		say("send within a send: %s", first);
		say("came back: %s", memcmp(there, back, BIG) == 0 ? "the same" : "other bytes");
	}
	return 0;
}
