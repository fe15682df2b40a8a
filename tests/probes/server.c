/*
 * server PORT block|thread|poll|epoll|epoll-et|epoll-oneshot|prefork|accept-fork|accept4 [COUNT]: an echo server in the shapes that
 * servers have. A connection ends at the client's end, or behind a line "bye"; the server after COUNT connections.
 */
#include "probe.h"

#include <sys/epoll.h>
#include <sys/wait.h>

#include <pthread.h>
#include <signal.h>

#define MOST 64
#define HELD (1 << 20)

struct guest {
	int fd;
	size_t len;	/* in held, not yet written back */
	bool ended;
	char *held;
};

static int
listen_on(const char *port, int flags)
{
	struct sockaddr_in a = local(port);
	int fd = make_socket(flags), one = 1;

	must("setsockopt", setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one));
	must("bind", bind(fd, (struct sockaddr *)&a, sizeof a));
	must("listen", listen(fd, 64));
	return fd;
}

static bool
says_bye(const char *buf, size_t n)
{
	return n >= 4 && !memcmp(buf + n - 4, "bye\n", 4);
}

static void
serve(int fd)
{
	char buf[20000];
	ssize_t n;

	while ((n = read(fd, buf, sizeof buf)) > 0) {
		write_all(fd, buf, (size_t)n);
		if (says_bye(buf, (size_t)n))
			break;
	}
	if (n < 0)
		say("read: %s", word(errno));
	close(fd);
}

static void *
serve_thread(void *arg)
{
	serve((int)(intptr_t)arg);
	return NULL;
}

/* What can be read and written now; false when the guest goes. Reading ends at a short count, as nginx does. */
static bool
attend(struct guest *g)
{
	ssize_t n;

	for (;;) {
		size_t ask = HELD - g->len < 4096 ? HELD - g->len : 4096;

		if (g->ended || !ask)
			break;
		n = read(g->fd, g->held + g->len, ask);
		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0)
			return false;
		g->len += (size_t)n;
		g->ended = n == 0 || says_bye(g->held, g->len);
		if ((size_t)n < ask)
			break;
	}
	while (g->len) {
		n = write(g->fd, g->held, g->len);
		if (n < 0)
			return errno == EAGAIN;
		g->len -= (size_t)n;
		memmove(g->held, g->held + n, g->len);
	}
	return !g->ended;
}

static int
welcome(int listener, struct guest *guests)
{
	int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd < 0)
		return -1;
	for (int i = 0; i < MOST; i++)
		if (!guests[i].held) {
			guests[i] = (struct guest){ .fd = fd, .held = room(HELD) };
			return i;
		}
	close(fd);
	return -1;
}

static void
leave(struct guest *g)
{
	close(g->fd);
	free(g->held);
	*g = (struct guest){ 0 };
}

static void
serve_poll(int listener, int count)
{
	static struct guest guests[MOST];

	while (count) {
		struct pollfd p[MOST + 1] = { { .fd = listener, .events = POLLIN } };

		for (int i = 0; i < MOST; i++)
			p[i + 1] = (struct pollfd){ .fd = guests[i].held ? guests[i].fd : -1,
				.events = (short)(guests[i].len ? POLLIN | POLLOUT : POLLIN) };
		must("poll", poll(p, MOST + 1, -1));
		for (int i = 0; i < MOST; i++)
			if (guests[i].held && p[i + 1].revents && !attend(&guests[i]))
				leave(&guests[i]), count--;
		if (p[0].revents)
			welcome(listener, guests);
	}
}

static void
serve_epoll(int listener, int count, uint32_t mode)
{
	static struct guest guests[MOST];
	int ep = (int)must("epoll_create1", epoll_create1(0));
	struct epoll_event e = { EPOLLIN, { .u32 = MOST } };

	must("epoll_ctl", epoll_ctl(ep, EPOLL_CTL_ADD, listener, &e));
	while (count) {
		struct guest *g;

		must("epoll_wait", epoll_wait(ep, &e, 1, -1));
		if (e.data.u32 == MOST) {
			int i = welcome(listener, guests);

			e = (struct epoll_event){ EPOLLIN | EPOLLRDHUP | (mode ? mode | EPOLLOUT : 0), { .u32 = (uint32_t)i } };
			if (i >= 0)
				must("epoll_ctl", epoll_ctl(ep, EPOLL_CTL_ADD, guests[i].fd, &e));
			continue;
		}
		g = &guests[e.data.u32];
		if (!attend(g)) {
			leave(g);
			count--;
			continue;
		}
		e.events = EPOLLIN | EPOLLRDHUP | mode | (g->len ? EPOLLOUT : 0);
		if (mode != EPOLLET)
			must("epoll_ctl", epoll_ctl(ep, EPOLL_CTL_MOD, g->fd, &e));
	}
}

static void
serve_blocking(int listener, int count, const char *mode)
{
	for (int i = 0; i != count; i++) {
		struct sockaddr_storage peer;
		socklen_t len = sizeof peer;
		int fd = (int)must("accept", accept(listener, (struct sockaddr *)&peer, &len));
		pthread_t t;

		if (peer.ss_family != AF_INET)
			say("accept: family %d", peer.ss_family);
		if (*mode == 't') {
			pthread_create(&t, NULL, serve_thread, (void *)(intptr_t)fd);
			pthread_detach(t);
		} else if (*mode == 'a') {
			if (must("fork", fork()) == 0) {
				close(listener);
				serve(fd);
				exit(0);
			}
			close(fd);
		} else {
			serve(fd);
		}
	}
}

int
main(int argc, char **argv)
{
	const char *mode = argv[2];
	int count = argc > 3 ? atoi(argv[3]) : -1, listener = listen_on(argv[1], *mode == 'e' || !strcmp(mode, "poll") ? SOCK_NONBLOCK : 0);

	signal(SIGPIPE, SIG_IGN);
	if (!strcmp(mode, "poll"))
		serve_poll(listener, count);
	else if (*mode == 'e')
		serve_epoll(listener, count, !strcmp(mode, "epoll-et") ? EPOLLET : !strcmp(mode, "epoll-oneshot") ? EPOLLONESHOT : 0);
	else if (!strcmp(mode, "prefork"))
		for (int i = 0; i < 3 && must("fork", fork()); i++)
			;
	if (strcmp(mode, "poll") && *mode != 'e')
		serve_blocking(listener, count, mode);
	return 0;
}
