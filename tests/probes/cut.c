/*
 * cut connect|accept PORT: for each line of input, blocking or nonblocking, a connection, and a line: the errno of each step. Writing is
 * tried whatever came before.
 */
#include "probe.h"

static bool nb;

static const char *
receive(int fd)
{
	char buf[64];
	long n;

	do {
		if (nb)
			wait_poll(fd, POLLIN);
		n = recv(fd, buf, sizeof buf, 0);
	} while (nb && n < 0 && errno == EAGAIN);
	return result(n);
}

static const char *
transmit(int fd)
{
	return result(send(fd, secret(), 13, MSG_NOSIGNAL));
}

static int
socket_error(int fd)
{
	int error = -1;
	socklen_t len = sizeof error;

	wait_poll(fd, POLLOUT);
	must("getsockopt", getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len));
	return error;
}

static int
client(const char *port)
{
	struct sockaddr_in a = local(port);
	int fd = make_socket(nb ? SOCK_NONBLOCK : 0), error = connect(fd, (struct sockaddr *)&a, sizeof a) ? errno : 0;
	const char *sent;

	if (nb && error == EINPROGRESS)
		error = socket_error(fd);
	sent = transmit(fd);
	say("connect: %s, send: %s, recv: %s", word(error), sent, receive(fd));
	return fd;
}

static int
server(int listener)
{
	int fd = (int)must("accept", accept4(listener, NULL, NULL, nb ? SOCK_NONBLOCK : 0));
	const char *received = receive(fd);

	say("recv: %s, send: %s", received, transmit(fd));
	return fd;
}

static int
listen_on(const char *port)
{
	struct sockaddr_in a = local(port);
	int fd = make_socket(0);

	must("bind", bind(fd, (struct sockaddr *)&a, sizeof a));
	must("listen", listen(fd, 8));
	say("listening");
	return fd;
}

int
main(int argc, char **argv)
{
	bool accepts = argc > 2 && !strcmp(argv[1], "accept");
	int listener = accepts ? listen_on(argv[2]) : -1;
	char line[32];

	while (fgets(line, sizeof line, stdin)) {
		nb = *line == 'n';
		close(accepts ? server(listener) : client(argv[2]));
	}
	return 0;
}
