/*
 * watch.c - epoll registrations, and the cookies that stand in for the program's data while a connection is unsteady.
 *
 * The kernel reports readiness; we only need to meet an event before the program does while its connection is handshaking or in blocking
 * mode.  Then the kernel holds a cookie of ours and the events that TLS wants.  Restoring is a MOD, which makes the edge that the
 * program waits for.
 */
#include "sock.h"

#include "raw.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK 256
#define CHUNKS 4096

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;	/* guards all watches; taken before nothing else */
static struct watch *chunks[CHUNKS];
static uint32_t watches;		/* ever made */
static struct watch *spare;
_Atomic uint32_t watch_tag;
_Atomic int watch_cookies;
_Atomic int64_t watch_nearest = INT64_MAX;

static struct watch *
watch_new(struct sock *s, int epfd, int fd, const struct epoll_event *event)
{
	struct watch *w = spare;

	if (!watch_tag) {
		uint32_t random = 0;

		raw_syscall(SYS_getrandom, (long)&random, sizeof random, 0, 0, 0, 0);
		watch_tag = random ? random : 0x77726170;
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
		watch_cookies--;
	w->generation = (w->generation + 1) & 0xfff;
	w->sock = NULL;
	w->next = spare;
	spare = w;
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
	return (uint64_t)watch_tag << 32 | w->generation << 20 | w->index;
}

/* With the lock held. NULL = no cookie of ours, or of a registration that is gone (*stale). */
static struct watch *
watch_of(uint64_t data, bool *stale)
{
	uint32_t index = (uint32_t)data & 0xfffff;
	struct watch *w;

	*stale = false;
	if (!watch_tag || data >> 32 != watch_tag)
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
	int64_t deadline = core->conn_deadline(s->conn), n = watch_nearest;

	while (deadline < n && !atomic_compare_exchange_weak(&watch_nearest, &n, deadline))
		;
}

/* epoll has refused, and errno says why: nothing to follow where libc closed a number behind us, else the program would wait for ever. */
static void
refused(const struct watch *w)
{
	if (errno == EBADF || errno == ENOENT || errno == EEXIST || errno == EINVAL || errno == EPERM)
		return;
	log_line(LOG_LEVEL_ERROR, "descriptor %d cannot be waited for as it must be, with epoll: %s; its connection is cut", w->fd, strerror(errno));
	raw_shutdown(w->fd, SHUT_RDWR);
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
		watch_cookies++;
	if (!unsteady && w->cookie)
		watch_cookies--;
	w->cookie = unsteady;
	w->wire = e.events;
	if (!change(w, &e))
		refused(w);
}

void
watch_settle(struct sock *s)
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
watch_forget(struct sock *s)
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
watch_closed(struct sock *s, int fd)
{
	if (!s->watches)
		return;
	pthread_mutex_lock(&lock);
	for (struct watch *w = s->watches, *next; w; w = next) {
		next = w->next;
		if (w->fd != fd)
			continue;
		if (w->cookie && !w->spent && change(w, &w->event))
			w->cookie = false, watch_cookies--;
		watch_drop(w);
	}
	pthread_mutex_unlock(&lock);
}

void
watch_fork_child(void)
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
watch_leave(struct sock *s)
{
	if (!s->watches)
		return;
	pthread_mutex_lock(&lock);
	for (struct watch *w = s->watches; w; w = w->next) {
		if (w->cookie)
			watch_cookies--;
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
watch_come(struct sock *s)
{
	if (!s->watches)
		return;
	pthread_mutex_lock(&lock);
	for (struct watch *w = s->watches; w; w = w->next) {
		w->absent = w->spent;		/* in the set it would be told of failures at least */
		if (w->inherited || w->absent)
			continue;
		/* the room that its wire had there has just been given back: a second try that fails, too, is the last */
		if (real.epoll_ctl(w->epfd, EPOLL_CTL_ADD, w->fd, &w->event) < 0 &&
		    real.epoll_ctl(w->epfd, EPOLL_CTL_ADD, w->fd, &w->event) < 0)
			refused(w);
	}
	pthread_mutex_unlock(&lock);
}

/* The kernel has taken a registration of the program's. */
static void
registered_as(struct sock *s, struct watch *w, bool unsteady, uint32_t events)
{
	if (w->cookie != unsteady)
		watch_cookies += unsteady ? 1 : -1;
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

int
watch_control(struct sock *s, int epfd, int op, int fd, struct epoll_event *event)
{
	int r;

	pthread_mutex_lock(&lock);
	r = control(s, epfd, op, fd, event);
	pthread_mutex_unlock(&lock);
	return r;
}

bool
watch_reported(uint64_t data, struct watch *as, bool *stale)
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

void
watch_rearm(struct sock *s, const struct watch *as)
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
