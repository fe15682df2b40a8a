/* end.h - one end of a connection for the benchmark's own programs: plain, or TLS as OpenSSL's manual shows it, with its defaults. */
#ifndef WRAPSOCK_BENCH_END_H
#define WRAPSOCK_BENCH_END_H

#include <sys/socket.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

enum { BUFFER = 65536, COMMAND = 64 };

/* What a client of serve.c sends first, and again when the answer is complete: read so much more, then write so much. */
struct command {
	unsigned long long up, down;
	char rest[COMMAND - 2 * sizeof(unsigned long long)];
};

struct end {
	int fd;
	SSL *ssl; /* NULL: plain */
};

static inline double
now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static inline void __attribute__((noreturn))
die(const char *what)
{
	fprintf(stderr, "%s: %m\n", what);
	ERR_print_errors_fp(stderr);
	exit(1);
}

static inline ssize_t
end_read(const struct end *end, void *buf, size_t len)
{
	return end->ssl ? SSL_read(end->ssl, buf, (int)len) : read(end->fd, buf, len);
}

static inline bool
end_write_all(const struct end *end, const void *buf, size_t len)
{
	for (size_t done = 0; done < len;) {
		ssize_t n = end->ssl ? SSL_write(end->ssl, (const char *)buf + done, (int)(len - done)) :
				       write(end->fd, (const char *)buf + done, len - done);

		if (n <= 0)
			return false;
		done += (size_t)n;
	}
	return true;
}

/* Read and throw away, or write, len bytes by way of a buffer of BUFFER bytes. */
static inline bool
end_take(const struct end *end, char *buf, unsigned long long len)
{
	while (len > 0) {
		ssize_t n = end_read(end, buf, len < BUFFER ? (size_t)len : BUFFER);

		if (n <= 0)
			return false;
		len -= (unsigned long long)n;
	}
	return true;
}

static inline bool
end_give(const struct end *end, const char *buf, unsigned long long len)
{
	for (; len > BUFFER; len -= BUFFER)
		if (!end_write_all(end, buf, BUFFER))
			return false;
	return end_write_all(end, buf, (size_t)len);
}

static inline void
end_close(struct end *end)
{
	if (end->ssl) {
		SSL_shutdown(end->ssl);
		/* Without this a peer that left without its goodbye would cost us the session. */
		SSL_set_shutdown(end->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
		SSL_free(end->ssl);
	}
	close(end->fd);
}

static inline void
end_no_delay(int fd)
{
	int on = 1;

	if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) != 0)
		die("TCP_NODELAY");
}

static inline struct sockaddr_in
local_address(const char *port)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(port))};

	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return to;
}

#endif
