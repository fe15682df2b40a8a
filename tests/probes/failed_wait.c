/*
 * failed_wait PORT poll|select|epoll|early|edge|recv: what readiness says of a non-blocking connect that fails, until the program
 * has asked why, and then.
 */
#include "probe.h"

#include <sys/epoll.h>
#include <sys/select.h>

static int fd, ep;

static unsigned
selected(void)
{
	struct timeval tv = { PATIENCE / 1000, 0 };
	fd_set r, w, e;

	FD_ZERO(&r);
	FD_ZERO(&w);
	FD_ZERO(&e);
	FD_SET(fd, &r);
	FD_SET(fd, &w);
	FD_SET(fd, &e);
	must("select", select(fd + 1, &r, &w, &e, &tv));
	return (FD_ISSET(fd, &r) ? 1 : 0) + (FD_ISSET(fd, &w) ? 2 : 0) + (FD_ISSET(fd, &e) ? 4 : 0);
}

static unsigned
waited(const char *how, int patience)
{
	struct epoll_event e = { .events = 0 };
	struct pollfd p = { .fd = fd, .events = POLLIN | POLLOUT };

	if (!strcmp(how, "select"))
		return selected();
	if (!strcmp(how, "poll") || !strcmp(how, "recv"))
		return must("poll", poll(&p, 1, patience)) ? (unsigned)p.revents : 0;
	if (must("epoll_wait", epoll_wait(ep, &e, 1, patience)) && e.data.u64 != 77)
		say("epoll: not our data");
	return e.events;
}

static int
socket_error(void)
{
	int error = -1;
	socklen_t len = sizeof error;

	must("getsockopt", getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len));
	return error;
}

int
main(int argc, char **argv)
{
	struct sockaddr_in a = local(argv[1]);
	const char *how = argv[2];
	struct epoll_event e = { EPOLLIN | EPOLLOUT | (strcmp(how, "edge") ? 0 : EPOLLET), { .u64 = 77 } };
	char byte;

	(void)argc;
	fd = make_socket(SOCK_NONBLOCK);
	ep = (int)must("epoll_create1", epoll_create1(0));
	if (!strcmp(how, "early")) {
		must("epoll_ctl", epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e));
		must("epoll_wait", epoll_wait(ep, &e, 1, PATIENCE));	/* an unconnected socket says EPOLLOUT | EPOLLHUP */
	}
	say("connect: %s", connect(fd, (struct sockaddr *)&a, sizeof a) < 0 ? word(errno) : "ok");
	if (!strcmp(how, "epoll") || !strcmp(how, "edge"))
		must("epoll_ctl", epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e));
	if (!strcmp(how, "early"))
		poll(NULL, 0, 200);		/* the plain one fails at once: the same for both */
	say("failed: %x", waited(how, PATIENCE));
	if (strcmp(how, "edge"))
		say("again: %x", waited(how, PATIENCE));
	if (!strcmp(how, "recv"))
		say("recv: %s", result(recv(fd, &byte, 1, 0)));
	else
		say("SO_ERROR: %s", word(socket_error()));
	if (strcmp(how, "edge"))
		say("asked: %x", waited(how, PATIENCE));
	say("SO_ERROR: %s", word(socket_error()));
	return 0;
}
