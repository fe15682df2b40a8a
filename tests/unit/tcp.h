/*
 * tcp.h - connections over loopback.
 */
#ifndef TESTS_TCP_H
#define TESTS_TCP_H

#include "check.h"

#include <sys/socket.h>

#include <netinet/in.h>

#include <unistd.h>

/* ... whose address is *addr. */
static int UNUSED
listen_tcp(struct sockaddr_in *addr)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	socklen_t len = sizeof *addr;

	*addr = (struct sockaddr_in){ .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	must(fd >= 0 && bind(fd, (struct sockaddr *)addr, sizeof *addr) == 0 && listen(fd, 512) == 0
	     && getsockname(fd, (struct sockaddr *)addr, &len) == 0, "a listener");
	return fd;
}

/* fd[0] connected to fd[1], by TCP over loopback. */
static void UNUSED
tcp_pair(int fd[2])
{
	struct sockaddr_in addr;
	int l = listen_tcp(&addr);

	fd[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	must(fd[0] >= 0 && connect(fd[0], (struct sockaddr *)&addr, sizeof addr) == 0, "connect");
	fd[1] = accept4(l, NULL, NULL, SOCK_CLOEXEC);
	must(fd[1] >= 0, "accept");
	close(l);
}

#endif
