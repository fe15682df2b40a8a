/* conn_wait.c - blocking on the program's behalf: outside the lock, with a deadline, cancellable, restarted as the kernel would. */
#include "conn_impl.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <time.h>

int64_t
conn_later(int64_t timeout_ms)
{
	return timeout_ms ? conn_now() + timeout_ms : INT64_MAX;
}

struct waiting {
	struct conn *conn;
};

/* Also runs when the thread is cancelled in poll. */
static void
woken(struct waiting *w)
{
	conn_lock(w->conn);
	w->conn->waiters--;
}

static int
poll_until(struct conn *c, struct pollfd *p, int64_t deadline)
{
	__attribute__((cleanup(woken))) struct waiting w = { c };
	int64_t left = deadline == INT64_MAX ? -1 : deadline - conn_now();
	int r, saved = errno;

	w.conn->waiters++;
	conn_unlock(c);
	r = conn_the_host->poll(p, 1, left < -1 ? 0 : left > INT_MAX ? INT_MAX : (int)left);
	if (r < 0)
		r = -errno;
	errno = saved;
	return r;
}

struct pausing {
	struct conn *conn;
	int cancel;
};

/* Also runs when the thread is cancelled: the condition's own clean-up has taken the mutex again. */
static void
resumed(struct pausing *p)
{
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
	p->conn->busy = 1;
	p->conn->cancel = p->cancel;
}

bool
conn_wait_sent(struct conn *c, int64_t deadline)
{
	__attribute__((cleanup(resumed))) struct pausing p = { c, c->cancel };
	struct timespec end = { deadline / 1000, deadline % 1000 * 1000000 };

	c->busy = 0;
	pthread_setcancelstate(p.cancel, NULL);
	if (deadline == INT64_MAX)
		return pthread_cond_wait(&p.conn->sent, &p.conn->lock) == 0;
	return pthread_cond_clockwait(&p.conn->sent, &p.conn->lock, CLOCK_MONOTONIC, &end) == 0;
}

/*
 * poll is never restarted after a signal, recv and send are if every handler says SA_RESTART.  Which signal it was cannot be
 * known: with all handlers of one mind it need not be.
 */
static bool
restarts(void)
{
	for (int sig = 1; sig < NSIG; sig++) {
		struct sigaction sa;
		int saved = errno, r;

		if (sig == SIGSEGV || sig == SIGBUS || sig == SIGFPE || sig == SIGILL || sig == SIGTRAP)
			continue;	/* a fault, which poll does not have; runtimes handle them without SA_RESTART */
		r = sigaction(sig, NULL, &sa);
		errno = saved;
		if (r == 0 && sa.sa_handler != SIG_DFL && sa.sa_handler != SIG_IGN && !(sa.sa_flags & SA_RESTART))
			return false;
	}
	return true;
}

int
conn_wait(struct conn *c, int fd, short events, int64_t deadline)
{
	struct pollfd p = { .fd = fd, .events = events };

	for (;;) {
		int r = c->closed ? -EBADF : poll_until(c, &p, deadline);

		if (c->closed || (r > 0 && p.revents & POLLNVAL) || (!c->alone && conn_the_host->holds && !conn_the_host->holds(fd, c)))
			return -EBADF;
		if (r == -EINTR && (c->alone || restarts()))
			continue;
		if (r == 0 && conn_now() < deadline)
			continue;
		return r;
	}
}
