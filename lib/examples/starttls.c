/*
 * starttls.c - one connection in clear, then under TLS, then in clear again: both ends of a small protocol of lines.
 *
 *	starttls server PORT CERT-FILE KEY-FILE		serves one client
 *	starttls client HOST PORT CA-FILE
 */
#include "certificate.h"

#include <sys/socket.h>

#include <netdb.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

/* One line without its end, byte by byte: what follows the line belongs to whoever reads next, perhaps TLS. */
static void
read_line(int fd, struct wrapsock_sock *tls, char line[static 100])
{
	size_t len = 0;

	while (len < 99) {
		ssize_t n = tls ? wrapsock_recv(tls, line + len, 1, 0) : read(fd, line + len, 1);

		if (n <= 0) {
			fprintf(stderr, "the peer went away\n");
			exit(1);
		}
		if (line[len] == '\n')
			break;
		len++;
	}
	line[len] = '\0';
	printf("%s %s\n", tls ? "TLS  " : "plain", line);
}

static void
write_line(int fd, struct wrapsock_sock *tls, const char *line)
{
	size_t len = strlen(line);

	if (tls ? wrapsock_sendall(tls, line, len, 0) < 0 : write(fd, line, len) != (ssize_t)len) {
		fprintf(stderr, "the peer went away\n");
		exit(1);
	}
}

static void
expect(const char *line, const char *expected)
{
	if (strcmp(line, expected) != 0) {
		fprintf(stderr, "expected %s\n", expected);
		exit(1);
	}
}

/* TLS ends: the descriptor is plain again, and ours. */
static int
leave_tls(struct wrapsock_sock *tls)
{
	int fd = wrapsock_unwrap(tls);

	if (fd < 0)
		die("unwrap", tls);
	wrapsock_close(tls);	/* frees the handle and leaves the descriptor alone */
	return fd;
}

static void
serve(int fd, struct wrapsock_ctx *ctx)
{
	struct wrapsock_sock *tls;
	char line[100];

	read_line(fd, NULL, line);
	expect(line, "STARTTLS");
	write_line(fd, NULL, "go ahead\n");
	tls = wrapsock_wrap(ctx, fd, WRAPSOCK_SERVER_SIDE, NULL);
	if (!tls)
		die("wrap", NULL);
	read_line(fd, tls, line);
	write_line(fd, tls, "your secret is safe\n");
	fd = leave_tls(tls);
	read_line(fd, NULL, line);
	write_line(fd, NULL, "goodbye in clear\n");
}

static void
talk(int fd, struct wrapsock_ctx *ctx, const char *host)
{
	struct wrapsock_sock *tls;
	char line[100];

	write_line(fd, NULL, "STARTTLS\n");
	read_line(fd, NULL, line);
	expect(line, "go ahead");
	tls = wrapsock_wrap(ctx, fd, 0, host);
	if (!tls)
		die(host, NULL);
	write_line(fd, tls, "a secret\n");
	read_line(fd, tls, line);
	fd = leave_tls(tls);
	write_line(fd, NULL, "hello in clear\n");
	read_line(fd, NULL, line);
}

static int
dial(const char *host, const char *port)
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
	return fd;
}

static int
take_one(const char *port)
{
	struct sockaddr_in6 addr = { .sin6_family = AF_INET6, .sin6_port = htons((in_port_t)atoi(port)) };
	int listener = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0), fd = -1, on = 1, off = 0;

	if (listener >= 0 && setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0
	    && setsockopt(listener, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)) == 0
	    && bind(listener, (struct sockaddr *)&addr, sizeof(addr)) == 0 && listen(listener, 1) == 0)
		fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	return fd;
}

int
main(int argc, char **argv)
{
	bool server = argc == 5 && strcmp(argv[1], "server") == 0;
	struct wrapsock_ctx *ctx;
	int fd;

	if (argc != 5) {
		fprintf(stderr, "usage: starttls server PORT CERT-FILE KEY-FILE\n       starttls client HOST PORT CA-FILE\n");
		return 2;
	}
	ctx = server ? wrapsock_ctx_default_server(argv[3], argv[4]) : wrapsock_ctx_new(WRAPSOCK_PROTOCOL_TLS_CLIENT);
	if (!ctx)
		die("context", NULL);
	if (!server && wrapsock_ctx_load_verify_locations(ctx, argv[4], NULL) < 0)
		die(argv[4], ctx);
	fd = server ? take_one(argv[2]) : dial(argv[2], argv[3]);
	if (fd < 0) {
		perror(argv[2]);
		return 1;
	}
	if (server)
		serve(fd, ctx);
	else
		talk(fd, ctx, argv[2]);
	close(fd);
	wrapsock_ctx_free(ctx);
	return 0;
}
