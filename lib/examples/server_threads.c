/*
 * server_threads.c - an echo server: one context, a thread for each client.
 *
 *	server_threads PORT CERT-FILE KEY-FILE
 */
#include <sys/socket.h>

#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <wrapsock.h>

static struct wrapsock_ctx *ctx;

static void
deal_with_client(struct wrapsock_sock *conn)
{
	char data[1024];
	ssize_t n;

	while ((n = wrapsock_recv(conn, data, sizeof(data), 0)) > 0)
		if (wrapsock_sendall(conn, data, (size_t)n, 0) < 0)
			break;
	/* 0: the client is finished with us */
}

/* The handshake is done here and not between two accepts: a client that is slow or silent keeps its own thread waiting, nobody else. */
static void *
client(void *arg)
{
	int fd = (int)(long)arg;
	struct wrapsock_sock *conn = wrapsock_wrap(ctx, fd, WRAPSOCK_SERVER_SIDE | WRAPSOCK_OWN_FD, NULL);

	if (!conn) {
		fprintf(stderr, "a client: %s\n", wrapsock_errstr(NULL));
		close(fd);
		return NULL;
	}
	deal_with_client(conn);
	wrapsock_close(conn);
	return NULL;
}

static int
listen_on(const char *port)
{
	struct sockaddr_in6 addr = { .sin6_family = AF_INET6, .sin6_port = htons((in_port_t)atoi(port)) };
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1, off = 0;

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0
	    || setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)) < 0
	    || bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 || listen(fd, 128) < 0) {
		perror("listen");
		exit(1);
	}
	return fd;
}

int
main(int argc, char **argv)
{
	struct timeval patience = { .tv_sec = 30 };
	pthread_attr_t detached;
	pthread_t thread;
	int listener, fd;

	if (argc != 4) {
		fprintf(stderr, "usage: server_threads PORT CERT-FILE KEY-FILE\n");
		return 2;
	}
	ctx = wrapsock_ctx_default_server(argv[2], argv[3]);
	if (!ctx) {
		fprintf(stderr, "%s\n", wrapsock_errstr(NULL));
		return 1;
	}
	pthread_attr_init(&detached);
	pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
	listener = listen_on(argv[1]);
	for (;;) {
		fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		if (fd < 0)
			continue;
		/* How long a call may wait for the client: the socket's timeout is SO_RCVTIMEO's. */
		setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
		if (pthread_create(&thread, &detached, client, (void *)(long)fd) != 0)
			close(fd);
	}
}
