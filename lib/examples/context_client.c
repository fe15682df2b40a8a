/*
 * context_client.c - a context for many connections: authorities from a bundle, a certificate that must hold if there is one, a HEAD request.
 *
 *	context_client HOST PORT CA-BUNDLE
 */
#include "certificate.h"

#include <sys/socket.h>

#include <netdb.h>
#include <string.h>
#include <unistd.h>

static struct wrapsock_ctx *
make_context(const char *bundle)
{
	struct wrapsock_ctx *ctx = wrapsock_ctx_new(WRAPSOCK_PROTOCOL_SSLv23);

	if (!ctx)
		die("context", NULL);
	/* For a client OPTIONAL is REQUIRED: a server always has a certificate. Chain and name are checked. */
	if (wrapsock_ctx_set_verify_mode(ctx, WRAPSOCK_CERT_OPTIONAL) < 0)
		die("verify_mode", ctx);
	if (wrapsock_ctx_load_verify_locations(ctx, bundle, NULL) < 0)
		die("load_verify_locations", ctx);
	return ctx;
}

static int
connect_tcp(const char *host, const char *port)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *list;
	int fd = -1, error = getaddrinfo(host, port, &hints, &list);

	if (error) {
		fprintf(stderr, "%s: %s\n", host, gai_strerror(error));
		exit(1);
	}
	for (struct addrinfo *ai = list; ai && fd < 0; ai = ai->ai_next) {
		fd = socket(ai->ai_family, ai->ai_socktype | SOCK_CLOEXEC, ai->ai_protocol);
		if (fd >= 0 && connect(fd, ai->ai_addr, ai->ai_addrlen) < 0) {
			close(fd);
			fd = -1;
		}
	}
	freeaddrinfo(list);
	if (fd < 0) {
		perror(host);
		exit(1);
	}
	return fd;
}

/* Each line of the answer in quotes, as Python's manual prints them. */
static void
print_lines(char *text)
{
	for (char *line = text, *end; line; line = end) {
		end = strstr(line, "\r\n");
		if (end) {
			*end = '\0';
			end += 2;
		}
		print_quoted(line);
		putchar('\n');
	}
}

int
main(int argc, char **argv)
{
	struct wrapsock_ctx *ctx;
	struct wrapsock_sock *conn;
	struct wrapsock_cert *cert;
	char text[1025];
	ssize_t n, len = 0;
	int fd;

	if (argc != 4) {
		fprintf(stderr, "usage: context_client HOST PORT CA-BUNDLE\n");
		return 2;
	}
	ctx = make_context(argv[3]);
	fd = connect_tcp(argv[1], argv[2]);
	conn = wrapsock_wrap(ctx, fd, WRAPSOCK_OWN_FD, argv[1]);	/* connected: the handshake is done here */
	if (!conn) {
		close(fd);
		die(argv[1], NULL);
	}
	cert = wrapsock_getpeercert(conn);
	print_certificate(cert);
	wrapsock_cert_free(cert);

	snprintf(text, sizeof(text), "HEAD / HTTP/1.0\r\nHost: %s\r\n\r\n", argv[1]);
	if (wrapsock_sendall(conn, text, strlen(text), 0) < 0)
		die("sendall", conn);
	while (len < 1024 && (n = wrapsock_recv(conn, text + len, 1024 - (size_t)len, 0)) != 0) {
		if (n < 0)
			die("recv", conn);
		len += n;
	}
	text[len] = '\0';
	print_lines(text);
	wrapsock_close(conn);
	wrapsock_ctx_free(ctx);
	return 0;
}
