/*
 * end.h - one end of a connection for the benchmark's own programs: plain, or with TLS.  The same programs are
 * linked with end_openssl.c, TLS as OpenSSL's manual shows it and with its defaults, and with end_api.c, this library's.
 */
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

enum { BUFFER = 65536, COMMAND = 64 };

/* What a client of serve.c sends first, and again when the answer is complete: read so much more, then write so much. */
struct command {
	unsigned long long up, down;
	char rest[COMMAND - 2 * sizeof(unsigned long long)];
};

struct end {
	int fd;
	void *tls; /* NULL: plain */
};

/* For all ends of the process, which are plain without it. What is wrong is said, and ends the process. (groups: OpenSSL's macro casts.) */
void end_serves_tls(const char *certificate, const char *key, const char *suites, char *groups);
void end_dials_tls(const char *ca, const char *suites, char *groups, bool resume);

/* The handshake on a connected socket. false: the peer did not do it. session: of the connection before, in and out. */
bool end_accepted(struct end *end);
bool end_connected(struct end *end, void *session);
bool end_resumed(const struct end *end);
void *end_session(const struct end *end, void *session); /* to resume with; takes the one before */

/* As read(2). A goodbye is 0, an end without one at most 0. */
ssize_t end_read(const struct end *end, void *buf, size_t len);
bool end_write_all(const struct end *end, const void *buf, size_t len);
void end_close(struct end *end);

/* What went wrong, with the library's words for it. */
void end_explain(void);

static inline void __attribute__((noreturn))
die(const char *what)
{
	fprintf(stderr, "%s: %m\n", what);
	end_explain();
	exit(1);
}

static inline double
now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
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
	return len == 0 || end_write_all(end, buf, (size_t)len);
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
