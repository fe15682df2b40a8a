/*
 * connect_nonblocking PORT poll|select|epoll|early|again|spin|retry [CLOSED-PORT]: one connect that does not wait, and how its
 * outcome is learnt.
 */
#include "probe.h"

#include <sys/epoll.h>
#include <sys/select.h>

static int
socket_error(int fd)
{
	int error = -1;
	socklen_t len = sizeof error;

	must("getsockopt", getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len));
	return error;
}

static const char *
peer(int fd, const char *port)
{
	struct sockaddr_in a = { 0 };
	socklen_t len = sizeof a;

	if (getpeername(fd, (struct sockaddr *)&a, &len) < 0)
		return word(errno);
	return ntohs(a.sin_port) == atoi(port) ? "the peer" : "somebody else";
}

static const char *
attempt(int fd, const char *port)
{
	struct sockaddr_in a = local(port);

	return connect(fd, (struct sockaddr *)&a, sizeof a) ? word(errno) : "ok";
}

static short
wait_outcome(const char *how, int fd, int ep)
{
	struct epoll_event e = { EPOLLOUT | EPOLLIN, { .u64 = 77 } };
	struct timeval tv = { PATIENCE / 1000, 0 };
	fd_set w;

	if (*how == 's') {
		FD_ZERO(&w);
		FD_SET(fd, &w);
		return (short)(must("select", select(fd + 1, NULL, &w, NULL, &tv)) ? POLLOUT : 0);
	}
	if (*how != 'e')
		return wait_poll(fd, POLLOUT);
	if (how[1] == 'p')
		must("epoll_ctl", epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e));
	if (must("epoll_wait", epoll_wait(ep, &e, 1, PATIENCE)) == 0 || e.data.u64 != 77)
		say("epoll: no event of ours");
	return (short)(e.events & (EPOLLOUT | EPOLLERR | EPOLLHUP));
}

int
main(int argc, char **argv)
{
	const char *how = argv[2], *port = argv[1], *r;
	int fd = make_socket(SOCK_NONBLOCK), ep = (int)must("epoll_create1", epoll_create1(0));
	struct epoll_event e = { EPOLLOUT | EPOLLIN | EPOLLET, { .u64 = 77 } };

	say("before: %s", peer(fd, port));
	if (argc > 3) {
		say("closed port: %s", attempt(fd, argv[3]));
		say("poll: %x", (unsigned)wait_outcome("poll", fd, ep));
		say("SO_ERROR: %s", word(socket_error(fd)));
		say("SO_ERROR: %s", word(socket_error(fd)));
		say("peer: %s", peer(fd, argv[3]));
		if (strcmp(how, "retry"))
			return 0;
		say("connect: %s", attempt(fd, port));
	}
	if (!strcmp(how, "early"))
		must("epoll_ctl", epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e));
	say("connect: %s", attempt(fd, port));
	if (!strcmp(how, "spin")) {
		do
			r = attempt(fd, port);
		while (!strcmp(r, "EALREADY"));
		say("connect: %s", r);
	} else {
		say("ready: %x", (unsigned)wait_outcome(how, fd, ep));
		say("SO_ERROR: %s", word(socket_error(fd)));
	}
	say("peer: %s", peer(fd, port));
	if (!strcmp(how, "again"))
		say("connect: %s", attempt(fd, port));
	if (!strcmp(how, "again") || !strcmp(how, "spin"))
		say("connect: %s", attempt(fd, port));
	fcntl(fd, F_SETFL, 0);
	echo(fd, "hello");
	finish(fd);
	return 0;
}
