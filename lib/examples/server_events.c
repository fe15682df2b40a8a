/*
 * server_events.c - an echo server: any number of clients in one thread.
 *
 *	server_events PORT CERT-FILE KEY-FILE
 *
 * The kernel's readiness is the truth: a socket that epoll calls readable is read until recv would wait, and one that cannot be
 * written is left alone until epoll says that it can.  wrapsock_poll_events says what a call that would wait is waiting for.
 */
#include <sys/epoll.h>
#include <sys/socket.h>

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <wrapsock.h>

enum { ROOM = 16384 };

struct client {
	struct wrapsock_sock *conn;
	bool ready;			/* the handshake is done */
	uint32_t watched;
	size_t len;			/* bytes of data that are still to be sent back */
	char data[ROOM];
};

static struct wrapsock_ctx *ctx;
static int events;

static void
end(struct client *c)
{
	wrapsock_close(c->conn);	/* and the descriptor: epoll forgets it */
	free(c);
}

/* Wait for what the last call wanted. */
static void
watch(struct client *c)
{
	uint32_t want = wrapsock_err(c->conn) == WRAPSOCK_E_WANT_WRITE ? EPOLLOUT : EPOLLIN;
	struct epoll_event event = { .events = want, .data.ptr = c };

	if (want == c->watched)
		return;
	epoll_ctl(events, c->watched ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, wrapsock_fileno(c->conn), &event);
	c->watched = want;
}

static bool
would_wait(const struct client *c)
{
	enum wrapsock_err err = wrapsock_err(c->conn);

	return err == WRAPSOCK_E_WANT_READ || err == WRAPSOCK_E_WANT_WRITE;
}

/* As far as it goes. false = the client is finished, or lost. */
static bool
serve(struct client *c)
{
	ssize_t n;

	if (!c->ready) {
		if (wrapsock_do_handshake(c->conn) < 0)
			return would_wait(c);
		c->ready = true;
	}
	for (;;) {
		if (c->len == 0) {
			n = wrapsock_recv(c->conn, c->data, ROOM, 0);
			if (n <= 0)
				return n < 0 && would_wait(c);
			c->len = (size_t)n;
		}
		n = wrapsock_send(c->conn, c->data, c->len, 0);
		if (n < 0)
			return would_wait(c);	/* the same bytes will be sent again */
		c->len -= (size_t)n;
		memmove(c->data, c->data + n, c->len);
	}
}

static void
welcome(int listener)
{
	int fd;

	while ((fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0) {
		struct client *c = calloc(1, sizeof(*c));

		/* A descriptor in non-blocking mode: the handshake is ours to drive. */
		if (c)
			c->conn = wrapsock_wrap(ctx, fd, WRAPSOCK_SERVER_SIDE | WRAPSOCK_OWN_FD | WRAPSOCK_NO_HANDSHAKE_ON_CONNECT, NULL);
		if (!c || !c->conn) {
			close(fd);
			free(c);
		} else if (!serve(c)) {
			end(c);
		} else {
			watch(c);
		}
	}
}

static int
listen_on(const char *port)
{
	struct sockaddr_in6 addr = { .sin6_family = AF_INET6, .sin6_port = htons((in_port_t)atoi(port)) };
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), on = 1, off = 0;

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0
	    || setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)) < 0
	    || bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 || listen(fd, 1024) < 0) {
		perror("listen");
		exit(1);
	}
	return fd;
}

int
main(int argc, char **argv)
{
	struct epoll_event ready[64], listening = { .events = EPOLLIN };
	int listener, n;

	if (argc != 4) {
		fprintf(stderr, "usage: server_events PORT CERT-FILE KEY-FILE\n");
		return 2;
	}
	ctx = wrapsock_ctx_default_server(argv[2], argv[3]);
	if (!ctx) {
		fprintf(stderr, "%s\n", wrapsock_errstr(NULL));
		return 1;
	}
	events = epoll_create1(EPOLL_CLOEXEC);
	listener = listen_on(argv[1]);
	epoll_ctl(events, EPOLL_CTL_ADD, listener, &listening);
	for (;;) {
		n = epoll_wait(events, ready, 64, -1);
		for (int i = 0; i < n; i++) {
			struct client *c = ready[i].data.ptr;

			if (!c)
				welcome(listener);
			else if (!serve(c))
				end(c);
			else
				watch(c);
		}
	}
}
