/* conn_wait.c - blocking on the program's behalf: outside the lock, with a deadline, cancellable, restarted as the kernel would. */
#include "conn_impl.h"

#include "raw.h"

#include <sys/epoll.h>
#include <sys/single_threaded.h>

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
patience(const struct conn *c, int64_t deadline)
{
	int64_t left = deadline == INT64_MAX ? INT64_MAX : deadline - conn_now();

	if (!c->alone && !__libc_single_threaded && left > CONN_LOOK_UP)
		return CONN_LOOK_UP;
	return left == INT64_MAX ? -1 : left < 0 ? 0 : left > INT_MAX ? INT_MAX : (int)left;
}

static int
poll_until(struct conn *c, struct pollfd *p, int64_t deadline)
{
	__attribute__((cleanup(woken))) struct waiting w = { c };
	int r, saved = errno, timeout = patience(c, deadline);

	w.conn->waiters++;
	conn_unlock(c);
	r = conn_the_host->poll(p, 1, timeout);
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
	conn_pause(false);
	p->conn->busy = 1;
	p->conn->cancel = p->cancel;
}

bool
conn_wait_sent(struct conn *c, int64_t deadline)
{
	__attribute__((cleanup(resumed))) struct pausing p = { c, c->cancel };
	struct timespec end = { deadline / 1000, deadline % 1000 * 1000000 };

	c->busy = 0;
	conn_pause(true);
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

/* Until p is ready, on behalf of fd. */
static int
wait_on(struct conn *c, int fd, struct pollfd *p, int64_t deadline)
{
	for (;;) {
		int r = c->closed ? -EBADF : poll_until(c, p, deadline);

		if (c->closed || (r > 0 && p->revents & POLLNVAL) || (!c->alone && conn_the_host->holds && !conn_the_host->holds(fd, c)))
			return -EBADF;
		if (r == -EINTR ? !c->alone && !restarts() : r == 0 && conn_now() >= deadline)
			return r;
		if (!c->tls)
			return -EIO;		/* it has left */
		if (r != -EINTR && r != 0)
			return r;
	}
}

void
conn_arrivals_end(int *arrivals)
{
	if (*arrivals >= 0)
		raw_syscall(SYS_close, *arrivals, 0, 0, 0, 0, 0);
}

/* What has come since the last look. 0 = nothing. */
static uint32_t
arrived(int arrivals)
{
	struct epoll_event e = { .events = 0 };

	return raw_syscall(SYS_epoll_pwait, arrivals, (long)&e, 1, 0, 0, 0) > 0 ? e.events : 0;
}

/*
 * The socket's error queue is not empty, of time stamps that the program asked for and has not fetched yet: poll would say POLLERR for as long, and
 * nothing of what else comes.  Edges say it.
 */
static int
wait_beside_queue(struct conn *c, int fd, short events, int64_t deadline)
{
	struct epoll_event e = { .events = (uint32_t)events | EPOLLET };
	int set __attribute__((cleanup(conn_arrivals_end))) = (int)raw_syscall(SYS_epoll_create1, EPOLL_CLOEXEC, 0, 0, 0, 0, 0), error = 0;
	unsigned len = sizeof error;
	long r = set;

	if (r < 0 || (r = raw_syscall(SYS_epoll_ctl, set, EPOLL_CTL_ADD, fd, (long)&e, 0, 0)) < 0)
		return (int)r;
	if (arrived(set) & (EPOLLIN | EPOLLOUT | EPOLLHUP))
		return 1;
	if ((r = raw_getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len)) < 0 || error)
		return r < 0 ? (int)r : -error;
	return wait_on(c, fd, &(struct pollfd){ .fd = set, .events = POLLIN }, deadline);
}

int
conn_wait(struct conn *c, int fd, short events, int64_t deadline)
{
	struct pollfd p = { .fd = fd, .events = events };
	int r = wait_on(c, fd, &p, deadline);

	return r > 0 && p.revents == POLLERR ? wait_beside_queue(c, fd, events, deadline) : r;
}

int
conn_wait_arrival(struct conn *c, int fd, int *arrivals, int64_t deadline, bool *more)
{
	struct epoll_event e = { .events = EPOLLIN | EPOLLRDHUP | EPOLLET };
	long r = 1;

	if (*arrivals < 0) {
		*arrivals = (int)(r = raw_syscall(SYS_epoll_create1, EPOLL_CLOEXEC, 0, 0, 0, 0, 0));
		if (r >= 0 && (r = raw_syscall(SYS_epoll_ctl, *arrivals, EPOLL_CTL_ADD, fd, (long)&e, 0, 0)) == 0)
			r = 1;			/* something may have come since the caller looked */
	} else {
		r = wait_on(c, fd, &(struct pollfd){ .fd = *arrivals, .events = POLLIN }, deadline);
	}
	*more = r > 0 && !(arrived(*arrivals) & (EPOLLRDHUP | EPOLLHUP | EPOLLERR));
	return (int)r;
}
