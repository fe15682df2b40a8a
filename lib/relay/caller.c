/* caller.c - requests: a connection to take over, an option of one, or to be told when all is delivered. */
#include "caller.h"

#include "link.h"
#include "relay.h"

#include "log.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PATIENCE = 10 * 1000, TICK = 50 };
#define CALLER_BIT ((uint64_t)2)	/* tells epoll's data apart from a link's */

struct caller {
	struct caller *next, **back;
	int epoll, fd;
	int passed[2];			/* wire and end, -1 = none */
	struct relay_head head;
	uint8_t *body;
	size_t have;			/* of head and body */
	bool draining;
	int64_t since;			/* 0 = not looked at by a tick yet */
};

static struct caller *callers;
static size_t count;

size_t
caller_count(void)
{
	return count;
}

bool
caller_is(uint64_t data)
{
	return data & CALLER_BIT;
}

static void
caller_end(struct caller *c)
{
	for (int i = 0; i < 2; i++)
		if (c->passed[i] >= 0)
			close(c->passed[i]);
	epoll_ctl(c->epoll, EPOLL_CTL_DEL, c->fd, NULL);
	close(c->fd);
	if (c->body)
		explicit_bzero(c->body, c->head.length);
	free(c->body);
	*c->back = c->next;
	if (c->next)
		c->next->back = c->back;
	count--;
	free(c);
}

static void
answer(struct caller *c, int error, const void *bytes, size_t n)
{
	struct {
		struct relay_answer head;
		uint8_t bytes[sizeof ((struct relay_option *)NULL)->value];
	} a = { .head = { error, (uint32_t)n } };

	if (n)
		memcpy(a.bytes, bytes, n);
	send(c->fd, &a, sizeof a.head + n, MSG_DONTWAIT | MSG_NOSIGNAL);
	caller_end(c);
}

static void
take_over(struct caller *c)
{
	struct link *l = NULL;

	if (link_find(c->head.id)) {		/* two would use the same keys for different bytes */
		answer(c, EALREADY, NULL, 0);
		return;
	}
	if (c->passed[0] >= 0 && c->passed[1] >= 0 && c->head.length >= sizeof(struct relay_parcel))
		l = link_new(c->epoll, c->head.id, c->passed[0], c->passed[1], (const void *)c->body, c->head.length);
	if (l)
		c->passed[0] = c->passed[1] = -1;
	answer(c, l ? 0 : EINVAL, NULL, 0);
}

static void
option(struct caller *c)
{
	struct link *l = link_find(c->head.id);
	struct relay_option o;
	int error;

	if (!l || c->head.length != sizeof o) {
		answer(c, l ? EINVAL : ENOTCONN, NULL, 0);
		return;
	}
	memcpy(&o, c->body, sizeof o);
	error = link_option(l, &o);
	answer(c, error, o.value, error || o.kind == RELAY_SET ? 0 : o.length);
}

static void
serve(struct caller *c)
{
	switch (c->head.kind) {
	case RELAY_TAKE:
		take_over(c);
		break;
	case RELAY_OPTION:
		option(c);
		break;
	case RELAY_DRAIN:
		c->draining = true;
		break;
	default:
		answer(c, ENOSYS, NULL, 0);
	}
}

static void
keep_passed(struct caller *c, struct msghdr *m)
{
	for (struct cmsghdr *h = CMSG_FIRSTHDR(m); h; h = CMSG_NXTHDR(m, h)) {
		size_t n = (h->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < n; i++) {
			int fd, *at = c->passed[0] < 0 ? &c->passed[0] : &c->passed[1];

			memcpy(&fd, CMSG_DATA(h) + i * sizeof fd, sizeof fd);
			if (*at < 0)
				*at = fd;
			else
				close(fd);
		}
	}
}

static ssize_t
receive(struct caller *c, void *buf, size_t len)
{
	union {
		char bytes[CMSG_SPACE(2 * sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec iov = { buf, len };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes };
	ssize_t n;

	do
		n = recvmsg(c->fd, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n > 0)
		keep_passed(c, &m);
	return n;
}

static bool
head_is_good(struct caller *c)
{
	if (c->head.magic != RELAY_MAGIC || c->head.length > RELAY_LONGEST)
		return false;
	c->body = c->head.length ? malloc(c->head.length) : NULL;
	return c->body || !c->head.length;
}

void
caller_event(uint64_t data)
{
	struct caller *c = (struct caller *)(uintptr_t)(data & ~CALLER_BIT);
	const size_t size = sizeof c->head;

	for (;;) {
		bool heading = c->have < size;
		uint8_t none;
		ssize_t n;

		if (heading)
			n = receive(c, (uint8_t *)&c->head + c->have, size - c->have);
		else if (c->draining)
			n = receive(c, &none, 1);
		else
			n = receive(c, c->body + (c->have - size), size + c->head.length - c->have);

		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0 || c->draining) {
			caller_end(c);
			return;
		}
		c->have += (size_t)n;
		if (heading && c->have == size && !head_is_good(c)) {
			caller_end(c);
			return;
		}
		if (c->have == size + c->head.length && c->have >= size) {
			serve(c);
			return;
		}
	}
}

/* What is passed here are keys: only the user that the relay runs as may do that, and root. */
static bool
stranger(int fd)
{
	struct ucred cred;
	socklen_t len = sizeof cred;

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0 || (cred.uid != geteuid() && cred.uid != 0);
}

static bool
caller_new(int epoll, int fd)
{
	struct caller *c = calloc(1, sizeof *c);
	struct epoll_event e = { .events = EPOLLIN | EPOLLRDHUP, .data.u64 = (uint64_t)(uintptr_t)c | CALLER_BIT };

	if (!c || epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e) < 0) {
		free(c);
		return false;
	}
	c->epoll = epoll;
	c->fd = fd;
	c->passed[0] = c->passed[1] = -1;
	c->next = callers;
	c->back = &callers;
	if (callers)
		callers->back = &c->next;
	callers = c;
	count++;
	return true;
}

void
caller_accept(int epoll, int listener)
{
	int fd;

	while ((fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0)
		if (stranger(fd) || !caller_new(epoll, fd))
			close(fd);
}

int
caller_tick(int64_t now)
{
	bool waiting = false;

	for (struct caller *c = callers, *next; c; c = next) {
		next = c->next;
		if (!c->since)
			c->since = now;
		if (c->draining && link_drained())
			answer(c, 0, NULL, 0);
		else if (!c->draining && now - c->since > PATIENCE)
			caller_end(c);
		else
			waiting = true;
	}
	return waiting ? TICK : -1;
}
