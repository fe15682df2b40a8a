/*
 * epoll.c - waiting: events that carry a cookie of ours are met before the program sees them, and handshakes end at their deadlines.
 */
#include "sock.h"

#include <limits.h>
#include <stdatomic.h>
#include <time.h>

EXPORT int
epoll_ctl(int epfd, int op, int fd, struct epoll_event *event)
{
	if (!fdtab_ours(fd))
		return real.epoll_ctl(epfd, op, fd, event);
	HOLD s = fdtab_hold(fd);

	return !s || sock_foreign(s) ? real.epoll_ctl(epfd, op, fd, event) : watch_control(s, epfd, op, fd, event);
}

/* An event that carries our cookie: true = the program is told *e, false = it is ours alone. */
static bool
meet(struct epoll_event *e)
{
	struct watch as;
	bool stale, handshaking;
	short answer;

	if (!watch_reported(e->data.u64, &as, &stale))
		return !stale;
	HOLD s = fdtab_hold_wrapped(as.fd);

	if (!s || s != as.sock)
		return false;
	handshaking = core->conn_state(s->conn) <= CONN_HANDSHAKING;
	if (handshaking)
		core->conn_handshake(s->conn, as.fd, false);
	if (handshaking || (as.event.events & ~as.wire & EPOLLONESHOT)) {	/* what TLS waited for; another thread may have had it */
		watch_settle(s);		/* a steady one is reported by the kernel again */
		sock_after(s, as.fd);
		return false;
	}
	answer = core->conn_tells(s->conn, as.fd, (short)as.event.events, (short)e->events);
	e->events = (uint32_t)answer | (e->events & EPOLLRDHUP);
	e->data = as.event.data;
	if (!answer)
		watch_rearm(s, &as);
	return answer != 0;
}

static void
expire_one(int fd, struct sock *s, void *next)
{
	int64_t deadline, *least = next;

	if (!s->unsteady || s->phase != SOCK_WRAPPED)
		return;
	core->conn_expire(s->conn, fd);
	sock_after(s, fd);
	deadline = core->conn_deadline(s->conn);
	if (deadline < *least)
		*least = deadline;
}

static int64_t
now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* Deadlines come in the order of the handshakes, nearly: the walk is made when the nearest one has passed, not before. */
static void
expire(void)
{
	int64_t least = INT64_MAX;

	if (now_ms() < watch_nearest)
		return;
	watch_nearest = INT64_MAX;
	fdtab_each(expire_one, &least);
	for (int64_t n = watch_nearest; least < n && !atomic_compare_exchange_weak(&watch_nearest, &n, least);)
		;
}

static int
sift(struct epoll_event *events, int n)
{
	int kept = 0;

	for (int i = 0; i < n; i++)
		if (!watch_tag || events[i].data.u64 >> 32 != watch_tag || meet(&events[i]))
			events[kept++] = events[i];
	return kept;
}

static int
wait_unsteady(int epfd, struct epoll_event *events, int most, int64_t timeout_ms, const sigset_t *mask)
{
	int64_t until = timeout_ms < 0 ? INT64_MAX : now_ms() + timeout_ms;

	for (;;) {
		int64_t now = now_ms(), next = watch_cookies && watch_nearest < until ? watch_nearest : until;
		int left = next == INT64_MAX ? -1 : next <= now ? 0 : next - now > INT_MAX ? INT_MAX : (int)(next - now);
		int r = real.epoll_pwait(epfd, events, most, left, mask);
		int n;

		if (r < 0)
			return r;
		n = sift(events, r);
		if (watch_cookies)
			expire();
		if (n || (r == 0 && now_ms() >= until))
			return n;
	}
}

EXPORT int
epoll_pwait(int epfd, struct epoll_event *events, int most, int timeout, const sigset_t *mask)
{
	int r;

	if (!watch_cookies) {
		r = real.epoll_pwait(epfd, events, most, timeout, mask);
		if (r <= 0 || !watch_tag)		/* not cookies: another thread may have begun a handshake, or ended one */
			return r;
		r = sift(events, r);
		if (r || timeout == 0)
			return r;
	}
	return wait_unsteady(epfd, events, most, timeout, mask);
}

EXPORT int
epoll_wait(int epfd, struct epoll_event *events, int most, int timeout)
{
	if (!watch_cookies) {
		int r = real.epoll_wait(epfd, events, most, timeout);

		if (r <= 0 || !watch_tag)
			return r;
		r = sift(events, r);
		if (r || timeout == 0)
			return r;
	}
	return wait_unsteady(epfd, events, most, timeout, NULL);
}

EXPORT int
epoll_pwait2(int epfd, struct epoll_event *events, int most, const struct timespec *timeout, const sigset_t *mask)
{
	if (!watch_cookies) {
		int r = real.epoll_pwait2(epfd, events, most, timeout, mask);

		if (r <= 0 || !watch_tag)
			return r;
		r = sift(events, r);
		if (r)
			return r;
	}
	return wait_unsteady(epfd, events, most, timeout ? timeout->tv_sec * 1000 + (timeout->tv_nsec + 999999) / 1000000 : -1, mask);
}
