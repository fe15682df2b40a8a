/*
 * client.c - connect, look at the certificate, ask, and read the answer to its end.
 *
 *	client HOST PORT CA-FILE
 */
#include "certificate.h"

#include <sys/socket.h>

#include <netdb.h>
#include <string.h>
#include <unistd.h>

/* Wrapped before it is connected: wrapsock_connect does both, TCP and the handshake. */
static struct wrapsock_sock *
connect_to(const char *host, const char *port, const char *ca_file)
{
	struct wrapsock_options options = WRAPSOCK_OPTIONS_INIT;
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *list;
	struct wrapsock_sock *sock = NULL;
	int error = getaddrinfo(host, port, &hints, &list);

	if (error) {
		fprintf(stderr, "%s: %s\n", host, gai_strerror(error));
		exit(1);
	}
	options.ca_certs = ca_file;
	options.cert_reqs = WRAPSOCK_CERT_REQUIRED;
	options.server_hostname = host;		/* the name that the certificate must be for */
	options.flags = WRAPSOCK_OWN_FD;	/* wrapsock_close closes the descriptor, too */
	for (struct addrinfo *ai = list; ai; ai = ai->ai_next) {
		int fd = socket(ai->ai_family, ai->ai_socktype | SOCK_CLOEXEC, ai->ai_protocol);

		if (fd < 0)
			continue;
		sock = wrapsock_wrap_socket(fd, &options);
		if (!sock) {
			close(fd);
			die(host, NULL);
		}
		if (wrapsock_connect(sock, ai->ai_addr, ai->ai_addrlen) == 0)
			break;
		if (wrapsock_err(sock) != WRAPSOCK_E_SYSCALL || !ai->ai_next)
			die(host, sock);
		wrapsock_close(sock);
		sock = NULL;
	}
	freeaddrinfo(list);
	if (!sock) {
		fprintf(stderr, "%s: no address can be reached\n", host);
		exit(1);
	}
	return sock;
}

static void
print_peer(struct wrapsock_sock *sock)
{
	struct wrapsock_cert *cert = wrapsock_getpeercert(sock);
	struct sockaddr_storage addr;
	socklen_t len = sizeof(addr);
	char host[NI_MAXHOST], port[NI_MAXSERV];

	if (getpeername(wrapsock_fileno(sock), (struct sockaddr *)&addr, &len) == 0
	    && getnameinfo((struct sockaddr *)&addr, len, host, sizeof(host), port, sizeof(port), NI_NUMERICHOST | NI_NUMERICSERV) == 0)
		printf("('%s', %s)\n", host, port);
	if (!cert && wrapsock_err(sock) != WRAPSOCK_OK)
		die("getpeercert", sock);
	print_certificate(cert);
	wrapsock_cert_free(cert);
}

int
main(int argc, char **argv)
{
	struct wrapsock_sock *sock;
	char request[300], buf[1024];
	ssize_t n;

	if (argc != 4) {
		fprintf(stderr, "usage: client HOST PORT CA-FILE\n");
		return 2;
	}
	sock = connect_to(argv[1], argv[2], argv[3]);
	print_peer(sock);
	snprintf(request, sizeof(request), "GET / HTTP/1.0\r\nHost: %s\r\n\r\n", argv[1]);
	if (wrapsock_sendall(sock, request, strlen(request), 0) < 0)
		die("sendall", sock);
	while ((n = wrapsock_recv(sock, buf, sizeof(buf), 0)) > 0)
		fwrite(buf, 1, (size_t)n, stdout);
	if (n < 0)
		die("recv", sock);
	if (wrapsock_err(sock) == WRAPSOCK_E_EOF)	/* counted as an end, but the peer did not say goodbye */
		fprintf(stderr, "the answer may have been cut short\n");
	wrapsock_close(sock);
	return 0;
}
