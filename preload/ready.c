/*
 * ready.c - poll and select: out of the way unless a connection in the set is handshaking, in blocking mode, or may leave meanwhile.
 */
#include "sock.h"

#include <sys/single_threaded.h>

#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ON_STACK 64

static int64_t
now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

/*
 * Is it ours to wait for? A steady connection is the kernel's, but in a wait that is not brief another thread may hand it over:
 * CONN_LOOK_UP.
 */
static bool
ours(int fd, bool brief)
{
	HOLD s = fdtab_ours(fd) ? fdtab_hold_wrapped(fd) : NULL;

	return s && !sock_foreign(s) && (core->conn_unsteady(s->conn) || !(brief || __libc_single_threaded));
}

static bool
any_ours(const struct pollfd *fds, nfds_t n, bool brief)
{
	for (nfds_t i = 0; i < n; i++)
		if (fds[i].fd >= 0 && ours(fds[i].fd, brief))
			return true;
	return false;
}

static bool
brief(const struct timespec *timeout)
{
	return timeout && timeout->tv_sec == 0 && timeout->tv_nsec <= CONN_LOOK_UP * 1000000L;
}

/* The program's interest becomes the wire's; returns the nearest handshake deadline. */
static int64_t
translate(struct pollfd *wire, const struct pollfd *fds, nfds_t n)
{
	int64_t nearest = INT64_MAX;

	memcpy(wire, fds, n * sizeof *fds);
	for (nfds_t i = 0; i < n; i++) {
		HOLD s = fds[i].fd >= 0 && fdtab_ours(fds[i].fd) ? fdtab_hold_wrapped(fds[i].fd) : NULL;
		int64_t deadline;

		if (!s || sock_foreign(s))
			continue;
		core->conn_expire(s->conn, fds[i].fd);
		deadline = core->conn_deadline(s->conn);
		nearest = deadline < nearest ? deadline : nearest;
		wire[i].events = core->conn_wants(s->conn, fds[i].events);
	}
	return nearest;
}

/* The wire's answers become the program's; returns how many there are. */
static int
tell(struct pollfd *fds, struct pollfd *wire, nfds_t n)
{
	int ready = 0;

	for (nfds_t i = 0; i < n; i++) {
		HOLD s = fds[i].fd >= 0 && fdtab_ours(fds[i].fd) ? fdtab_hold_wrapped(fds[i].fd) : NULL;

		if (s && !sock_foreign(s) && wire[i].revents && core->conn_unsteady(s->conn)) {
			wire[i].revents = core->conn_tells(s->conn, fds[i].fd, fds[i].events, wire[i].revents);
			sock_after(s, fds[i].fd);
			if (s->phase != SOCK_WRAPPED)
				wire[i].revents = 0;		/* another file by now: ask that */
		} else {
			wire[i].revents &= (short)(fds[i].events | POLLERR | POLLHUP | POLLNVAL);
		}
		fds[i].revents = wire[i].revents;
		ready += fds[i].revents != 0;
	}
	return ready;
}

/* One wait on the wire, cut to the nearest handshake deadline, and to how long it may leave unseen. */
static int
wait_wire(struct pollfd *wire, nfds_t n, int64_t until, int64_t nearest_ms, const sigset_t *mask)
{
	int64_t left = until == INT64_MAX ? INT64_MAX : until - now_ns(), cut = nearest_ms == INT64_MAX ? INT64_MAX : nearest_ms * 1000000 - now_ns();
	struct timespec ts;

	if (!__libc_single_threaded && cut > CONN_LOOK_UP * 1000000L)
		cut = CONN_LOOK_UP * 1000000L;
	if (cut < left)
		left = cut;
	if (left == INT64_MAX)
		return real.ppoll(wire, n, NULL, mask);
	if (left < 0)
		left = 0;
	ts.tv_sec = left / 1000000000;
	ts.tv_nsec = left % 1000000000;
	return real.ppoll(wire, n, &ts, mask);
}

static bool
over(int64_t until)
{
	return until != INT64_MAX && now_ns() >= until;
}

static int
poll_wrapped(struct pollfd *fds, struct pollfd *wire, nfds_t n, int64_t until, const sigset_t *mask)
{
	for (;;) {
		int64_t nearest = translate(wire, fds, n);
		int r = wait_wire(wire, n, until, nearest, mask);

		if (r < 0)
			return r;
		r = tell(fds, wire, n);
		if (r || over(until))
			return r;
	}
}

static void
free_list(struct pollfd **p)
{
	free(*p);
}

static int
poll_both(struct pollfd *fds, nfds_t n, int64_t timeout_ns, const sigset_t *mask)
{
	int64_t until = timeout_ns < 0 ? INT64_MAX : now_ns() + timeout_ns;
	struct pollfd few[ON_STACK];
	__attribute__((cleanup(free_list))) struct pollfd *many = NULL;

	while (!any_ours(fds, n, true)) {	/* all are steady: the kernel's answer will do */
		int r = wait_wire(fds, n, until, INT64_MAX, mask);

		if (r || over(until))
			return r;
	}
	if (n > ON_STACK && !(many = calloc(n, sizeof *fds)))
		return (int)answer(-ENOMEM);
	return poll_wrapped(fds, many ? many : few, n, until, mask);
}

EXPORT int
poll(struct pollfd *fds, nfds_t n, int timeout)
{
	if (!any_ours(fds, n, timeout >= 0 && timeout <= CONN_LOOK_UP))
		return real.poll(fds, n, timeout);
	return poll_both(fds, n, timeout < 0 ? -1 : (int64_t)timeout * 1000000, NULL);
}
ALSO(poll, __poll);

EXPORT int
__poll_chk(struct pollfd *fds, nfds_t n, int timeout, size_t size)
{
	return size / sizeof *fds < n ? real.__poll_chk(fds, n, timeout, size) : poll(fds, n, timeout);
}

EXPORT int
ppoll(struct pollfd *fds, nfds_t n, const struct timespec *timeout, const sigset_t *mask)
{
	if (!any_ours(fds, n, brief(timeout)))
		return real.ppoll(fds, n, timeout, mask);
	if (timeout && (timeout->tv_sec < 0 || timeout->tv_nsec < 0 || timeout->tv_nsec > 999999999))
		return (int)answer(-EINVAL);
	return poll_both(fds, n, !timeout ? -1 : timeout->tv_sec > INT_MAX ? -1 : timeout->tv_sec * 1000000000L + timeout->tv_nsec, mask);
}

EXPORT int
__ppoll_chk(struct pollfd *fds, nfds_t n, const struct timespec *timeout, const sigset_t *mask, size_t size)
{
	return size / sizeof *fds < n ? real.__ppoll_chk(fds, n, timeout, mask, size) : ppoll(fds, n, timeout, mask);
}

static bool
in(int fd, const fd_set *set)
{
	return set && FD_ISSET(fd, set);
}

static bool
select_ours(int n, const fd_set *r, const fd_set *w, const fd_set *e, bool brief)
{
	if (n < 0 || n > FD_SETSIZE)
		return false;
	for (int fd = 0; fd < n; fd++)
		if (fdtab_ours(fd) && (in(fd, r) || in(fd, w) || in(fd, e)) && ours(fd, brief))
			return true;
	return false;
}

/* Entries that are out of the wait keep their number's complement. */
static int
put(struct pollfd *p, fd_set *set, short any)
{
	int fd = p->fd < 0 ? ~p->fd : p->fd;

	if (!set || !FD_ISSET(fd, set))
		return 0;
	if (p->revents & any)
		return 1;
	FD_CLR(fd, set);
	return 0;
}

/* The sets as a list; how many entries. */
static nfds_t
listed(struct pollfd *p, int n, const fd_set *r, const fd_set *w, const fd_set *e)
{
	nfds_t used = 0;

	for (int fd = 0; fd < n; fd++) {
		short events = (short)((in(fd, r) ? POLLIN : 0) | (in(fd, w) ? POLLOUT : 0) | (in(fd, e) ? POLLPRI : 0));

		if (in(fd, r) || in(fd, w) || in(fd, e))
			p[used++] = (struct pollfd){ fd, events, 0 };
	}
	return used;
}

/* Does select tell this answer? Of a hang-up it tells readers alone; with nobody to tell, it is as if nothing had happened. */
static bool
selected(struct pollfd *p)
{
	bool tells = p->revents & (((p->events & POLLIN) ? POLLIN | POLLHUP | POLLERR : 0) | ((p->events & POLLOUT) ? POLLOUT | POLLERR : 0) |
				   (p->events & POLLPRI) | POLLNVAL);

	if (p->revents && !tells)
		p->fd = ~p->fd;		/* and will not change: look at the others */
	return tells;
}

static int
poll_selected(struct pollfd *p, nfds_t used, int64_t timeout_ns, const sigset_t *mask)
{
	int64_t until = now_ns() + timeout_ns, left = timeout_ns;

	for (;;) {
		int told = 0, ready = poll_both(p, used, left, mask);

		for (nfds_t i = 0; ready > 0 && i < used; i++)
			told += p[i].fd >= 0 && selected(&p[i]);
		if (ready <= 0 || told)
			return ready < 0 ? ready : told;
		if (timeout_ns >= 0)
			left = until > now_ns() ? until - now_ns() : 0;
	}
}

/* select is poll with these meanings (the kernel's own: POLLIN_SET and its sisters). */
static int
select_wrapped(int n, fd_set *r, fd_set *w, fd_set *e, int64_t timeout_ns, const sigset_t *mask)
{
	__attribute__((cleanup(free_list))) struct pollfd *p = calloc((size_t)n + 1, sizeof *p);
	nfds_t used;
	int ready;

	if (!p)
		return (int)answer(-ENOMEM);
	used = listed(p, n, r, w, e);
	ready = poll_selected(p, used, timeout_ns, mask);
	if (ready < 0)
		return ready;
	ready = 0;
	for (nfds_t i = 0; i < used; i++) {
		if (p[i].revents & POLLNVAL)
			return (int)answer(-EBADF);
		ready += put(&p[i], r, POLLIN | POLLHUP | POLLERR);
		ready += put(&p[i], w, POLLOUT | POLLERR);
		ready += put(&p[i], e, POLLPRI);
	}
	return ready;
}

EXPORT int
select(int n, fd_set *restrict r, fd_set *restrict w, fd_set *restrict e, struct timeval *restrict timeout)
{
	int64_t began, left;
	int ready;

	if (!select_ours(n, r, w, e, timeout && timeout->tv_sec == 0 && timeout->tv_usec <= CONN_LOOK_UP * 1000))
		return real.select(n, r, w, e, timeout);
	if (timeout && (timeout->tv_sec < 0 || timeout->tv_usec < 0))
		return (int)answer(-EINVAL);
	if (!timeout)
		return select_wrapped(n, r, w, e, -1, NULL);
	began = now_ns();
	left = timeout->tv_sec * 1000000000L + timeout->tv_usec * 1000L;
	ready = select_wrapped(n, r, w, e, left, NULL);
	left -= now_ns() - began;		/* Linux gives back what is left */
	if (left < 0)
		left = 0;
	timeout->tv_sec = left / 1000000000;
	timeout->tv_usec = left % 1000000000 / 1000;
	return ready;
}
ALSO(select, __select);

EXPORT int
pselect(int n, fd_set *restrict r, fd_set *restrict w, fd_set *restrict e, const struct timespec *restrict timeout,
	const sigset_t *restrict mask)
{
	if (!select_ours(n, r, w, e, brief(timeout)))
		return real.pselect(n, r, w, e, timeout, mask);
	if (timeout && (timeout->tv_sec < 0 || timeout->tv_nsec < 0 || timeout->tv_nsec > 999999999))
		return (int)answer(-EINVAL);
	return select_wrapped(n, r, w, e, timeout ? timeout->tv_sec * 1000000000L + timeout->tv_nsec : -1, mask);
}
