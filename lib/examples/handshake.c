/*
 * handshake.c - a client that never waits in a call: connect, handshake, request and answer between polls.
 *
 *	handshake HOST PORT CA-FILE
 */
#include "certificate.h"

#include <sys/socket.h>

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

/* The last call on sock would have waited: until the descriptor is ready for it, or half a minute has passed. */
static void
wait_for(struct wrapsock_sock *sock)
{
	struct pollfd p = { .fd = wrapsock_fileno(sock) };

	switch (wrapsock_err(sock)) {
	case WRAPSOCK_E_WANT_READ:
		p.events = POLLIN;
		break;
	case WRAPSOCK_E_WANT_WRITE:
		p.events = POLLOUT;
		break;
	default:
		die("the server", sock);
	}
	while (poll(&p, 1, 30000) <= 0) {
		if (errno == EINTR)
			continue;
		fprintf(stderr, "the server does not answer\n");
		exit(1);
	}
}

static struct wrapsock_sock *
begin(struct wrapsock_ctx *ctx, const char *host, const char *port)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *list;
	struct wrapsock_sock *sock;
	int fd, error = getaddrinfo(host, port, &hints, &list);

	if (error) {
		fprintf(stderr, "%s: %s\n", host, gai_strerror(error));
		exit(1);
	}
	fd = socket(list->ai_family, list->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, list->ai_protocol);
	if (fd < 0) {
		perror("socket");
		exit(1);
	}
	sock = wrapsock_wrap(ctx, fd, WRAPSOCK_OWN_FD | WRAPSOCK_NO_HANDSHAKE_ON_CONNECT, host);
	if (!sock)
		die(host, NULL);
	if (wrapsock_connect(sock, list->ai_addr, list->ai_addrlen) < 0)
		wait_for(sock);		/* TCP is on its way */
	freeaddrinfo(list);
	return sock;
}

int
main(int argc, char **argv)
{
	struct wrapsock_ctx *ctx;
	struct wrapsock_sock *sock;
	char buf[1024];
	ssize_t n;
	size_t len;

	if (argc != 4) {
		fprintf(stderr, "usage: handshake HOST PORT CA-FILE\n");
		return 2;
	}
	ctx = wrapsock_ctx_new(WRAPSOCK_PROTOCOL_TLS_CLIENT);
	if (!ctx || wrapsock_ctx_load_verify_locations(ctx, argv[3], NULL) < 0)
		die(argv[3], ctx);
	sock = begin(ctx, argv[1], argv[2]);

	while (wrapsock_do_handshake(sock) < 0)
		wait_for(sock);
	fprintf(stderr, "%s\n", wrapsock_version(sock));

	len = (size_t)snprintf(buf, sizeof(buf), "GET / HTTP/1.0\r\nHost: %s\r\n\r\n", argv[1]);
	for (size_t sent = 0; sent < len;) {
		n = wrapsock_send(sock, buf + sent, len - sent, 0);
		if (n < 0)
			wait_for(sock);	/* and then the same bytes again */
		else
			sent += (size_t)n;
	}
	while ((n = wrapsock_recv(sock, buf, sizeof(buf), 0)) != 0) {
		if (n < 0)
			wait_for(sock);
		else
			fwrite(buf, 1, (size_t)n, stdout);
	}
	wrapsock_close(sock);
	wrapsock_ctx_free(ctx);
	return 0;
}
