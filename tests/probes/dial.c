/*
 * dial PORT blocking|nonblocking|lazy [ADDRESS]: connect, say something worth hiding, listen; each step's errno, and the process
 * goes on.
 */
#include "probe.h"

#include <netdb.h>

static struct sockaddr_storage
resolve(const char *host, const char *port, socklen_t *len)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *list;
	struct sockaddr_storage ss = { 0 };

	if (getaddrinfo(host, port, &hints, &list)) {
		say("getaddrinfo fails");
		exit(1);
	}
	memcpy(&ss, list->ai_addr, list->ai_addrlen);
	*len = list->ai_addrlen;
	freeaddrinfo(list);
	return ss;
}

static int
outcome(int fd)
{
	int error = -1;
	socklen_t len = sizeof error;

	wait_poll(fd, POLLOUT);
	must("getsockopt", getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len));
	return error;
}

int
main(int argc, char **argv)
{
	bool nb = !strcmp(argv[2], "nonblocking");
	socklen_t len;
	struct sockaddr_storage ss = resolve(argc > 3 ? argv[3] : "127.0.0.1", argv[1], &len);
	int fd = (int)must("socket", socket(ss.ss_family, SOCK_STREAM | (nb ? SOCK_NONBLOCK : 0), 0));
	int r = connect(fd, (struct sockaddr *)&ss, len) ? errno : 0;
	char buf[64] = "";
	long n;

	if (nb && r == EINPROGRESS)
		r = outcome(fd);
	say("connect: %s", word(r));
	n = send(fd, secret(), 13, MSG_NOSIGNAL);
	say("send: %s", result(n));
	if (n < 0)
		return 1;
	do {
		if (nb)
			wait_poll(fd, POLLIN);
		n = recv(fd, buf, sizeof buf - 1, 0);
	} while (nb && n < 0 && errno == EAGAIN);
	say("recv: %s", result(n));
	return n <= 0;
}
