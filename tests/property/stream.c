/* stream.c - connections made and ended, bytes written and read. */
#include "worker.h"

#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MOST 262144

static struct sockaddr_in
loopback(long port)
{
	const char *host = getenv("PROPERTY_HOST");

	return (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = inet_addr(host ? host : "127.0.0.1") };
}

static int
type_flags(const struct op *o, int from)
{
	return (flag(o, from, "nb") ? SOCK_NONBLOCK : 0) | (flag(o, from, "cloexec") ? SOCK_CLOEXEC : 0);
}

/* socket sN [nb] [cloexec] */
static void
do_socket(struct op *o)
{
	int fd = socket(AF_INET, SOCK_STREAM | type_flags(o, 2), 0);

	*slot_of(o, 1) = fd;
	say_result(o, fd);
}

/* listen sN: answers with the port, which the driver keeps for itself */
static void
do_listen(struct op *o)
{
	struct sockaddr_in a = loopback(0);
	socklen_t len = sizeof a;
	int fd = socket(AF_INET, SOCK_STREAM | type_flags(o, 2), 0);

	*slot_of(o, 1) = fd;
	if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof a) < 0 || listen(fd, 16) < 0 || getsockname(fd, (struct sockaddr *)&a, &len) < 0)
		say_result(o, -1);
	else
		say(o, "%d port=%d", fd, ntohs(a.sin_port));
}

/* connect sN PORT */
static void
do_connect(struct op *o)
{
	struct sockaddr_in a = loopback(number(o, 2));
	int fd = fd_of(o, 1);

	if (fd >= 0)
		say_result(o, connect(fd, (struct sockaddr *)&a, sizeof a));
}

/* accept LISTENER sN [nb] [cloexec] [plain: accept instead of accept4] */
static void
do_accept(struct op *o)
{
	struct sockaddr_in a;
	socklen_t len = sizeof a;
	int listener = fd_of(o, 1), fd;

	if (listener < 0)
		return;
	fd = flag(o, 3, "plain") ? accept(listener, (struct sockaddr *)&a, &len) : accept4(listener, (struct sockaddr *)&a, &len, type_flags(o, 3));
	*slot_of(o, 2) = fd;
	say_result(o, fd);
	if (fd >= 0)
		say(o, "%u %u", len, a.sin_family);
}

static int
message_flags(const struct op *o, int from)
{
	return (flag(o, from, "peek") ? MSG_PEEK : 0) | (flag(o, from, "all") ? MSG_WAITALL : 0) | (flag(o, from, "dontwait") ? MSG_DONTWAIT : 0) |
	       (flag(o, from, "trunc") ? MSG_TRUNC : 0) | (flag(o, from, "nosignal") ? MSG_NOSIGNAL : 0) | (flag(o, from, "more") ? MSG_MORE : 0) |
	       (flag(o, from, "oob") ? MSG_OOB : 0);
}

/* The bytes in three vectors, one of them empty, as the readv and writev of real programs have them. */
static struct msghdr
in_vectors(struct iovec *iov, uint8_t *buf, size_t n)
{
	size_t first = n / 3;

	iov[0] = (struct iovec){ buf, first };
	iov[1] = (struct iovec){ buf + first, 0 };
	iov[2] = (struct iovec){ buf + first, n - first };
	return (struct msghdr){ .msg_iov = iov, .msg_iovlen = 3 };
}

static ssize_t
take(int fd, const char *how, uint8_t *buf, size_t n, int flags)
{
	struct iovec iov[3];
	struct msghdr m = in_vectors(iov, buf, n);

	if (!strcmp(how, "read"))
		return read(fd, buf, n);
	if (!strcmp(how, "readv"))
		return readv(fd, iov, 3);
	if (!strcmp(how, "recvfrom"))
		return recvfrom(fd, buf, n, flags, NULL, NULL);
	if (!strcmp(how, "recvmsg"))
		return recvmsg(fd, &m, flags);
	return recv(fd, buf, n, flags);
}

static ssize_t
give(int fd, const char *how, uint8_t *buf, size_t n, int flags)
{
	struct iovec iov[3];
	struct msghdr m = in_vectors(iov, buf, n);

	if (!strcmp(how, "write"))
		return write(fd, buf, n);
	if (!strcmp(how, "writev"))
		return writev(fd, iov, 3);
	if (!strcmp(how, "sendto"))
		return sendto(fd, buf, n, flags, NULL, 0);
	if (!strcmp(how, "sendmsg"))
		return sendmsg(fd, &m, flags);
	return send(fd, buf, n, flags);
}

/* Was a wait that ended with nothing as long as it had to be? */
static void
say_early(struct op *o, int fd, int64_t began)
{
	struct timeval tv = { 0 };
	socklen_t len = sizeof tv;
	int64_t whole;

	if (getsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, &len) < 0 || fcntl(fd, F_GETFL) & O_NONBLOCK)
		return;
	whole = tv.tv_sec * 1000 + tv.tv_usec / 1000;
	if (now_ms() - began < whole - 15)
		say(o, "early");
}

/*
 * As take; and where a read has ended with a record while the next one waits, which it may as long as the peer has not ended, that one,
 * too: together they are what TCP gives.
 */
static ssize_t
take_what_is_there(int fd, const char *how, uint8_t *buf, size_t n, int flags)
{
	ssize_t r = take(fd, how, buf, n, flags), more = 1;
	struct pollfd p = { .fd = fd, .events = POLLIN | POLLRDHUP };
	int saved = errno;

	if (flags & (MSG_PEEK | MSG_TRUNC))
		return r;
	while (r > 0 && (size_t)r < n && more > 0 && poll(&p, 1, 0) == 1 && p.revents == POLLIN) {
		more = recv(fd, buf + r, n - (size_t)r, MSG_DONTWAIT);
		r += more > 0 ? more : 0;
	}
	errno = saved;
	return r;
}

/* recv sN COUNT HOW [peek|all|dontwait|trunc]... */
static void
do_recv(struct op *o)
{
	int fd = fd_of(o, 1), flags = message_flags(o, 4);
	size_t n = (size_t)number(o, 2) % (MOST + 1);
	uint8_t *buf = calloc(1, n + 1);
	int64_t began = now_ms();
	ssize_t r;

	if (fd >= 0) {
		errno = EXDEV;
		r = take_what_is_there(fd, word(o, 3), buf, n, flags);
		say_result(o, r);
		if (r >= 0 && errno != EXDEV)
			say(o, "errno changed");
		if (r > 0 && !(flags & MSG_TRUNC))
			say(o, "%016lx", (unsigned long)digest(0, buf, (size_t)r));
		if (r < 0 && errno == EAGAIN && !(flags & MSG_DONTWAIT))
			say_early(o, fd, began);
	}
	free(buf);
}

/* send sN COUNT HOW STREAM OFFSET [dontwait|nosignal|more|oob]... */
static void
do_send(struct op *o)
{
	int fd = fd_of(o, 1);
	size_t n = (size_t)number(o, 2) % (MOST + 1);
	uint8_t *buf = malloc(n + 1);
	ssize_t r;

	if (fd >= 0) {
		pattern(buf, n, (unsigned)number(o, 4), (uint64_t)number(o, 5));
		errno = EXDEV;
		r = give(fd, word(o, 3), buf, n, message_flags(o, 6));
		say_result(o, r);
		if (r >= 0 && errno != EXDEV)
			say(o, "errno changed");
	}
	free(buf);
}

/* file sN COUNT STREAM OFFSET: sendfile */
static void
do_file(struct op *o)
{
	int fd = fd_of(o, 1), file;
	size_t n = (size_t)number(o, 2) % (MOST + 1);
	uint8_t *buf = malloc(n + 1);
	FILE *f = tmpfile();

	if (fd >= 0 && f) {
		pattern(buf, n, (unsigned)number(o, 3), (uint64_t)number(o, 4));
		file = fcntl(fileno(f), F_DUPFD, CONTROL_FD);
		if (pwrite(file, buf, n, 0) == (ssize_t)n)
			say_result(o, sendfile(fd, file, &(off_t){ 0 }, n));
		close(file);
	}
	if (f)
		fclose(f);
	free(buf);
}

/* Wait as a program with this descriptor would: not at all where it blocks. */
static bool
ready(int fd, short events)
{
	struct pollfd p = { .fd = fd, .events = events };

	return poll(&p, 1, 4000) > 0;
}

/* writeall sN COUNT PIECE STREAM OFFSET: everything, however the kernel cuts it; a short count is a retry's beginning */
static void
do_writeall(struct op *o)
{
	int fd = fd_of(o, 1), idle = 0;
	size_t n = (size_t)number(o, 2), piece = (size_t)number(o, 3), done = 0;
	uint8_t *buf = malloc(n + 1);

	if (fd >= 0)
		pattern(buf, n, (unsigned)number(o, 4), (uint64_t)number(o, 5));
	while (fd >= 0 && done < n) {
		size_t ask = n - done < piece ? n - done : piece;
		ssize_t r = send(fd, buf + done, ask, MSG_NOSIGNAL);

		if (r > 0) {
			done += (size_t)r;
			idle = 0;
		} else if (r < 0 && errno == EAGAIN && ++idle < 1000 && ready(fd, POLLOUT)) {
			continue;
		} else {
			say_result(o, r);
			break;
		}
	}
	if (fd >= 0)
		say(o, done == n ? "all" : "cut");
	free(buf);
}

/* readall sN COUNT PIECE [all]: everything, in pieces */
static void
do_readall(struct op *o)
{
	int fd = fd_of(o, 1), idle = 0;
	size_t n = (size_t)number(o, 2), piece = (size_t)number(o, 3), done = 0;
	uint8_t *buf = malloc(piece + 1);
	uint64_t h = 0;

	while (fd >= 0 && done < n) {
		size_t ask = n - done < piece ? n - done : piece;
		ssize_t r = recv(fd, buf, ask, message_flags(o, 4));

		if (r > 0) {
			done += (size_t)r;
			h = digest(h, buf, (size_t)r);
			idle = 0;
		} else if (r < 0 && errno == EAGAIN && ++idle < 1000 && ready(fd, POLLIN)) {
			continue;
		} else {
			say_result(o, r);
			break;
		}
	}
	if (fd >= 0)
		say(o, "%zu %016lx", done, (unsigned long)h);
	free(buf);
}

/* shutdown sN HOW */
static void
do_shutdown(struct op *o)
{
	int fd = fd_of(o, 1);

	if (fd >= 0)
		say_result(o, shutdown(fd, (int)number(o, 2)));
}

/* fionread sN */
static void
do_fionread(struct op *o)
{
	int fd = fd_of(o, 1), n = -1;

	if (fd >= 0) {
		say_result(o, ioctl(fd, FIONREAD, &n));
		say(o, "%d", n);
	}
}

const struct verb stream_verbs[] = {
	{ "socket", do_socket },     { "listen", do_listen },	  { "connect", do_connect },	 { "accept", do_accept },
	{ "recv", do_recv },	     { "send", do_send },	  { "file", do_file },		 { "writeall", do_writeall },
	{ "readall", do_readall },   { "shutdown", do_shutdown }, { "fionread", do_fionread },	 { NULL, NULL },
};
