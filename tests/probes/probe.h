/*
 * probe.h - what the probes share. A probe shows one pattern of calls and prints what it saw; over TLS it must print what it prints
 * over TCP.
 */
#ifndef PROBE_H
#define PROBE_H

#include <sys/socket.h>

#include <arpa/inet.h>
#include <netinet/in.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PATIENCE 8000 /* milliseconds after which a wait is a hang */

static inline const char *
word(int error)
{
	const char *name = strerrorname_np(error);

	return error && name ? name : "ok";
}

/* A result as text: the number, or the name of errno. */
static inline const char *
result(long r)
{
	static char text[8][32];
	static unsigned n;
	char *p = text[n++ % 8];

	if (r < 0)
		return word(errno);
	snprintf(p, sizeof text[0], "%ld", r);
	return p;
}

static inline void __attribute__((format(printf, 1, 2)))
say(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
	fflush(stdout);
}

static inline void
die(const char *what)
{
	say("%s: %s", what, word(errno));
	exit(1);
}

static inline long
must(const char *what, long r)
{
	if (r < 0)
		die(what);
	return r;
}

static inline void *
room(size_t n)
{
	void *p = calloc(1, n ? n : 1);

	if (!p)
		die("calloc");
	return p;
}

/* What must not be seen on a wire: 12 characters, another with each test, and the end of the line. */
static inline const char *
secret(void)
{
	static char text[14];
	const char *canary = getenv("CANARY");

	snprintf(text, sizeof text, "%.12s\n", canary && strlen(canary) >= 12 ? canary : "secret words");
	return text;
}

static inline void
fill(unsigned char *p, size_t n, unsigned seed)
{
	for (size_t i = 0; i < n; i++)
		p[i] = (unsigned char)((seed = seed * 1103515245 + 12345) >> 16);
}

static inline unsigned long
hash(const void *data, size_t n)
{
	const unsigned char *p = data;
	unsigned long h = 14695981039346656037ul;

	while (n--)
		h = (h ^ *p++) * 1099511628211ul;
	return h;
}

static inline struct sockaddr_in
local(const char *port)
{
	return (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port)), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
}

static inline int
make_socket(int flags)
{
	return (int)must("socket", socket(AF_INET, SOCK_STREAM | flags, 0));
}

static inline void
small_buffers(int fd, int size)
{
	if (size && (setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size) < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size) < 0))
		die("setsockopt");
}

static inline int
dial_with(const char *port, int buffers)
{
	struct sockaddr_in a = local(port);
	int fd = make_socket(0);

	small_buffers(fd, buffers);
	must("connect", connect(fd, (struct sockaddr *)&a, sizeof a));
	return fd;
}

static inline int
dial(const char *port)
{
	return dial_with(port, 0);
}

static inline int
nonblocking(int fd)
{
	return (int)must("fcntl", fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK));
}

static inline void
write_all(int fd, const void *data, size_t n)
{
	for (size_t done = 0; done < n;)
		done += (size_t)must("write", write(fd, (const char *)data + done, n - done));
}

/* Reads of at most piece bytes until n are there. */
static inline void
read_all(int fd, void *data, size_t n, size_t piece)
{
	for (size_t done = 0; done < n;) {
		size_t ask = n - done < piece ? n - done : piece;
		long r = must("read", read(fd, (char *)data + done, ask));

		if (r == 0) {
			say("read: end after %zu of %zu bytes", done, n);
			exit(1);
		}
		done += (size_t)r;
	}
}

/* poll as a probe's own wait: a wait without end is a finding, not a hang. */
static inline short
wait_poll(int fd, short events)
{
	struct pollfd p = { .fd = fd, .events = events };

	if (must("poll", poll(&p, 1, PATIENCE)) == 0) {
		say("poll: nothing happened");
		exit(1);
	}
	return p.revents;
}

/* What is sent comes back, and a secret behind it: the connection works both ways. */
static inline void
echo(int fd, const char *text)
{
	char sent[256], back[256] = "";
	size_t n = (size_t)snprintf(sent, sizeof sent, "%s%s", text, secret());

	write_all(fd, sent, n);
	read_all(fd, back, n, n);
	say("echo: %.*s", (int)strlen(text), strcmp(back, sent) ? "something else" : back);
}

/* We end, then the peer ends. */
static inline void
finish(int fd)
{
	char byte;

	must("shutdown", shutdown(fd, SHUT_WR));
	if (must("F_GETFL", fcntl(fd, F_GETFL)) & O_NONBLOCK)
		wait_poll(fd, POLLIN);
	say("end: %s", result(read(fd, &byte, 1)));
	must("close", close(fd));
}

#endif
