/*
 * epoll.c - registrations, and the cookies that stand in for the program's data while a connection is unsteady.
 *
 * The kernel reports readiness; we only need to meet an event before the program does while its connection is handshaking or in blocking
 * mode.  Then the kernel holds a cookie of ours and the events that TLS wants.  Restoring is a MOD, which makes the edge that the
 * program waits for.
 */
#include "sock.h"

#include "raw.h"

#include <limits.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct watch {
	struct watch *next;		/* of its socket */
	struct sock *sock;
	int epfd, fd;
	struct epoll_event event;	/* the program's */
	uint32_t index, generation;
	bool cookie;			/* the kernel holds ours */
	bool inherited;			/* made before a fork, in a set that the parent has too */
	bool spent;			/* one-shot and reported: nothing may re-arm it but the program */
	bool absent;			/* ... and not in the kernel's set, after a hand-over */
	uint32_t wire;			/* the events it was given with it */
};

#define CHUNK 256
#define CHUNKS 4096

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;	/* guards all watches; taken before nothing else */
static struct watch *chunks[CHUNKS];
static uint32_t watches;		/* ever made */
static struct watch *spare;
static _Atomic uint32_t tag;		/* 0 = no watch yet; the high half of every cookie */
static _Atomic int cookies;		/* watches whose cookie the kernel holds */
static _Atomic int registered;
static _Atomic int64_t nearest = INT64_MAX;	/* no unsteady connection's deadline is earlier */

static struct watch *
watch_new(struct sock *s, int epfd, int fd, const struct epoll_event *event)
{
	struct watch *w = spare;

	if (!tag) {
		uint32_t random = 0;

		raw_syscall(SYS_getrandom, (long)&random, sizeof random, 0, 0, 0, 0);
		tag = random ? random : 0x77726170;
	}
	if (w) {
		spare = w->next;
	} else {
		uint32_t chunk = watches / CHUNK;

		if (chunk == CHUNKS)
			return NULL;
		if (!chunks[chunk] && !(chunks[chunk] = calloc(CHUNK, sizeof *w)))
			return NULL;
		w = &chunks[chunk][watches % CHUNK];
		w->index = watches++;
	}
	w->generation = (w->generation + 1) & 0xfff;
	w->sock = s;
	w->epfd = epfd;
	w->fd = fd;
	w->event = *event;
	w->cookie = w->spent = w->absent = w->inherited = false;
	w->next = s->watches;
	s->watches = w;
	registered++;
	return w;
}

static void
watch_drop(struct watch *w)
{
	struct watch **p = &w->sock->watches;

	while (*p != w)
		p = &(*p)->next;
	*p = w->next;
	if (w->cookie)
		cookies--;
	w->generation = (w->generation + 1) & 0xfff;
	w->sock = NULL;
	w->next = spare;
	spare = w;
	registered--;
}

static struct watch *
watch_find(struct sock *s, int epfd, int fd)
{
	struct watch *w = s->watches;

	while (w && !(w->epfd == epfd && w->fd == fd))
		w = w->next;
	return w;
}

static uint64_t
cookie_of(const struct watch *w)
{
	return (uint64_t)tag << 32 | w->generation << 20 | w->index;
}

/* With the lock held. NULL = no cookie of ours, or of a registration that is gone (*stale). */
static struct watch *
watch_of(uint64_t data, bool *stale)
{
	uint32_t index = (uint32_t)data & 0xfffff;
	struct watch *w;

	*stale = false;
	if (!tag || data >> 32 != tag)
		return NULL;
	w = index < watches ? &chunks[index / CHUNK][index % CHUNK] : NULL;
	if (w && w->sock && w->generation == ((uint32_t)data >> 20 & 0xfff))
		return w;
	*stale = true;
	return NULL;
}

/* What the kernel is to hold for this watch now. */
static struct epoll_event
kernel_event(const struct watch *w, bool unsteady)
{
	struct epoll_event e = w->event;
	struct conn *conn = w->sock->conn;

	if (!unsteady)
		return e;
	if (core->conn_state(conn) <= CONN_HANDSHAKING)
		e.events = (uint32_t)core->conn_wants(conn, 0);	/* level-triggered: nothing to re-arm */
	e.events &= ~(uint32_t)EPOLLEXCLUSIVE;			/* a MOD could not change it */
	e.data.u64 = cookie_of(w);
	return e;
}

static bool
is_unsteady(const struct sock *s)
{
	return s->phase == SOCK_WRAPPED && s->conn && core->conn_unsteady(s->conn);
}

static bool
change(const struct watch *w, struct epoll_event *e)
{
	if (!(w->event.events & EPOLLEXCLUSIVE))
		return real.epoll_ctl(w->epfd, EPOLL_CTL_MOD, w->fd, e) == 0;
	return real.epoll_ctl(w->epfd, EPOLL_CTL_DEL, w->fd, NULL) == 0 && real.epoll_ctl(w->epfd, EPOLL_CTL_ADD, w->fd, e) == 0;
}

static void
sooner(const struct sock *s)
{
	int64_t deadline = core->conn_deadline(s->conn), n = nearest;

	while (deadline < n && !atomic_compare_exchange_weak(&nearest, &n, deadline))
		;
}

/* Bring the kernel's registration in line with the connection's state. */
static void
follow(struct watch *w, bool unsteady)
{
	struct epoll_event e = kernel_event(w, unsteady);

	if (!unsteady && !w->cookie)
		return;
	if (w->spent || (unsteady && w->cookie && w->wire == e.events))
		return;
	if (unsteady && !w->cookie)
		cookies++;
	if (!unsteady && w->cookie)
		cookies--;
	w->cookie = unsteady;
	w->wire = e.events;
	if (change(w, &e) || errno == EBADF || errno == ENOENT || errno == EINVAL || errno == EPERM)
		return;			/* or libc closed the number behind us: then there is nothing to follow */
	log_line(LOG_LEVEL_ERROR, "descriptor %d cannot be waited for as it must be, with epoll: %s; its connection is cut", w->fd, strerror(errno));
	raw_shutdown(w->fd, SHUT_RDWR);
}

void
epoll_settle(struct sock *s)
{
	int saved = errno;
	bool unsteady;

	if (!s->watches && !s->unsteady)
		return;
	pthread_mutex_lock(&lock);
	unsteady = is_unsteady(s);
	s->unsteady = unsteady && s->watches;
	for (struct watch *w = s->watches; w; w = w->next)
		follow(w, unsteady);
	if (unsteady)
		sooner(s);
	pthread_mutex_unlock(&lock);
	errno = saved;
}

void
epoll_forget(struct sock *s)
{
	if (!s->watches)
		return;
	pthread_mutex_lock(&lock);
	while (s->watches)
		watch_drop(s->watches);
	pthread_mutex_unlock(&lock);
}

/* The kernel keeps a registration while a dup lives; we can no longer change it by that number, so it goes back to the program's. */
void
epoll_closed(struct sock *s, int fd)
{
	if (!s->watches)
		return;
	pthread_mutex_lock(&lock);
	for (struct watch *w = s->watches, *next; w; w = next) {
		next = w->next;
		if (w->fd != fd)
			continue;
		if (w->cookie && !w->spent && change(w, &w->event))
			w->cookie = false, cookies--;
		watch_drop(w);
	}
	pthread_mutex_unlock(&lock);
}

void
epoll_fork_child(void)
{
	pthread_mutex_init(&lock, NULL);
	for (uint32_t i = 0; i < watches; i++)
		chunks[i / CHUNK][i % CHUNK].inherited = true;
}

/*
 * "tfd: 5 events: 4000001d data: ..." among the lines that the kernel has of the set: a one-shot watch that was reported has lost
 * its events.
 */
static bool
spent_there(const struct watch *w)
{
	char path[48], buf[1024];
	size_t len = 0;
	bool spent = false;
	long n, fd;

	snprintf(path, sizeof path, "/proc/self/fdinfo/%d", w->epfd);
	fd = raw_syscall(SYS_openat, AT_FDCWD, (long)path, O_RDONLY | O_CLOEXEC, 0, 0, 0);
	while (fd >= 0 && (n = raw_syscall(SYS_read, fd, (long)(buf + len), (long)(sizeof buf - 1 - len), 0, 0, 0)) > 0) {
		char *line = buf, *end;

		buf[len + (size_t)n] = '\0';
		for (; (end = strchr(line, '\n')); line = end + 1) {
			unsigned events;
			int number;

			if (sscanf(line, "tfd: %d events: %x", &number, &events) == 2 && number == w->fd)
				spent = !(events & 0xffff);
		}
		len = strlen(line);
		memmove(buf, line, len);
	}
	if (fd >= 0)
		raw_syscall(SYS_close, fd, 0, 0, 0, 0, 0);
	return spent;
}

void
epoll_leave(struct sock *s)
{
	if (!s->watches)
		return;
	pthread_mutex_lock(&lock);
	for (struct watch *w = s->watches; w; w = w->next) {
		if (w->cookie)
			cookies--;
		w->cookie = false;
		if (w->inherited)
			continue;
		w->spent |= w->event.events & EPOLLONESHOT && spent_there(w);
		real.epoll_ctl(w->epfd, EPOLL_CTL_DEL, w->fd, NULL);
	}
	s->unsteady = false;
	pthread_mutex_unlock(&lock);
}

void
epoll_come(struct sock *s)
{
	if (!s->watches)
		return;
	pthread_mutex_lock(&lock);
	for (struct watch *w = s->watches; w; w = w->next) {
		w->absent = w->spent;		/* in the set it would be told of failures at least */
		if (!w->inherited && !w->absent)
			real.epoll_ctl(w->epfd, EPOLL_CTL_ADD, w->fd, &w->event);
	}
	pthread_mutex_unlock(&lock);
}

/* The kernel has taken a registration of the program's. */
static void
registered_as(struct sock *s, struct watch *w, bool unsteady, uint32_t events)
{
	if (w->cookie != unsteady)
		cookies += unsteady ? 1 : -1;
	w->cookie = unsteady;
	w->spent = w->absent = false;
	w->wire = events;
	s->unsteady = unsteady;
	if (unsteady)
		sooner(s);
}

/* We know this registration: the kernel says EEXIST and all stays as it is, unless the number was closed behind our back. */
static int
add_again(struct sock *s, struct watch *w, struct epoll_event *event)
{
	struct watch fresh = *w;
	bool unsteady = is_unsteady(s);
	struct epoll_event e;

	if (w->absent)
		return (int)answer(-EEXIST);
	fresh.event = *event;
	e = kernel_event(&fresh, unsteady);
	if (real.epoll_ctl(w->epfd, EPOLL_CTL_ADD, w->fd, &e) < 0)
		return -1;
	w->event = *event;
	registered_as(s, w, unsteady, e.events);
	return 0;
}

/* With the lock held: the kernel's part, then our record of it. */
static int
control(struct sock *s, int epfd, int op, int fd, struct epoll_event *event)
{
	struct watch *w = watch_find(s, epfd, fd), probe = { .sock = s, .epfd = epfd, .fd = fd };
	bool unsteady = is_unsteady(s);
	struct epoll_event e;
	int r;

	if (op == EPOLL_CTL_DEL) {
		r = w && w->absent ? 0 : real.epoll_ctl(epfd, op, fd, event);
		if (w)
			watch_drop(w);
		return r;
	}
	if (!event)
		return (int)answer(-EFAULT);
	if (event->events & EPOLLET)
		s->edges = true;
	if (op == EPOLL_CTL_ADD && w)
		return add_again(s, w, event);
	if (!w) {
		w = watch_new(s, epfd, fd, event);
		if (!w)
			return (int)answer(-ENOMEM);
		probe.event.events = 0;
	} else {
		probe.event = w->event;
		w->event = *event;
	}
	e = kernel_event(w, unsteady);
	r = real.epoll_ctl(epfd, w->absent ? EPOLL_CTL_ADD : op, fd, &e);
	if (r < 0) {
		int why = errno;

		if (op == EPOLL_CTL_MOD && probe.event.events)
			w->event = probe.event;
		else
			watch_drop(w);
		errno = why;
		return r;
	}
	registered_as(s, w, unsteady, e.events);
	return r;
}

EXPORT int
epoll_ctl(int epfd, int op, int fd, struct epoll_event *event)
{
	if (!fdtab_ours(fd))
		return real.epoll_ctl(epfd, op, fd, event);
	HOLD s = fdtab_hold(fd);
	int r;

	if (!s || sock_foreign(s))
		return real.epoll_ctl(epfd, op, fd, event);
	pthread_mutex_lock(&lock);
	r = control(s, epfd, op, fd, event);
	pthread_mutex_unlock(&lock);
	return r;
}

/* What the kernel reported by an event that carries our cookie. false = its registration is gone. */
static bool
reported(uint64_t data, struct watch *as, bool *stale)
{
	struct watch *w;

	pthread_mutex_lock(&lock);
	w = watch_of(data, stale);
	if (w) {
		w->spent = w->wire & EPOLLONESHOT;
		*as = *w;
	}
	pthread_mutex_unlock(&lock);
	return w;
}

/* The program is not told: the kernel must report again what it reports only once. */
static void
rearm(struct sock *s, const struct watch *as)
{
	struct epoll_event e;
	struct watch *w;

	if (!(as->event.events & (EPOLLONESHOT | EPOLLET)))
		return;
	pthread_mutex_lock(&lock);
	w = watch_find(s, as->epfd, as->fd);
	if (w) {
		w->spent = false;
		e = kernel_event(w, w->cookie);
		w->wire = e.events;
		change(w, &e);
	}
	pthread_mutex_unlock(&lock);
}

/* An event that carries our cookie: true = the program is told *e, false = it is ours alone. */
static bool
meet(struct epoll_event *e)
{
	struct watch as;
	bool stale, handshaking;
	short answer;

	if (!reported(e->data.u64, &as, &stale))
		return !stale;
	HOLD s = fdtab_hold_wrapped(as.fd);

	if (!s || s != as.sock)
		return false;
	handshaking = core->conn_state(s->conn) <= CONN_HANDSHAKING;
	if (handshaking)
		core->conn_handshake(s->conn, as.fd, false);
	if (handshaking || (as.event.events & ~as.wire & EPOLLONESHOT)) {	/* what TLS waited for; another thread may have had it */
		epoll_settle(s);		/* a steady one is reported by the kernel again */
		sock_after(s, as.fd);
		return false;
	}
	answer = core->conn_tells(s->conn, as.fd, (short)as.event.events, (short)e->events);
	e->events = (uint32_t)answer | (e->events & EPOLLRDHUP);
	e->data = as.event.data;
	if (!answer)
		rearm(s, &as);
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

	if (now_ms() < nearest)
		return;
	nearest = INT64_MAX;
	fdtab_each(expire_one, &least);
	for (int64_t n = nearest; least < n && !atomic_compare_exchange_weak(&nearest, &n, least);)
		;
}

static int
sift(struct epoll_event *events, int n)
{
	int kept = 0;

	for (int i = 0; i < n; i++)
		if (!tag || events[i].data.u64 >> 32 != tag || meet(&events[i]))
			events[kept++] = events[i];
	return kept;
}

static int
wait_unsteady(int epfd, struct epoll_event *events, int most, int64_t timeout_ms, const sigset_t *mask)
{
	int64_t until = timeout_ms < 0 ? INT64_MAX : now_ms() + timeout_ms;

	for (;;) {
		int64_t now = now_ms(), next = cookies && nearest < until ? nearest : until;
		int left = next == INT64_MAX ? -1 : next <= now ? 0 : next - now > INT_MAX ? INT_MAX : (int)(next - now);
		int r = real.epoll_pwait(epfd, events, most, left, mask);
		int n;

		if (r < 0)
			return r;
		n = sift(events, r);
		if (cookies)
			expire();
		if (n || (r == 0 && now_ms() >= until))
			return n;
	}
}

EXPORT int
epoll_pwait(int epfd, struct epoll_event *events, int most, int timeout, const sigset_t *mask)
{
	int r;

	if (!cookies) {
		r = real.epoll_pwait(epfd, events, most, timeout, mask);
		if (r <= 0 || !tag)		/* not cookies: another thread may have begun a handshake, or ended one */
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
	if (!cookies) {
		int r = real.epoll_wait(epfd, events, most, timeout);

		if (r <= 0 || !tag)
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
	if (!cookies) {
		int r = real.epoll_pwait2(epfd, events, most, timeout, mask);

		if (r <= 0 || !tag)
			return r;
		r = sift(events, r);
		if (r)
			return r;
	}
	return wait_unsteady(epfd, events, most, timeout ? timeout->tv_sec * 1000 + (timeout->tv_nsec + 999999) / 1000000 : -1, mask);
}
