/* sock_io.c - data through a socket: one verb of the core each. */
#include "sock.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { FILE_PIECE = 64 * 1024 };

/* May data travel? Flags are those of plain sockets, and say nothing here. */
static int
begin(struct wrapsock_sock *s, const char *what, const void *buf, size_t len, int flags)
{
	if (flags)
		return error_set(s, WRAPSOCK_E_INVALID, EINVAL, "%s: flags of %#x, expected 0", what, (unsigned)flags);
	if (!buf && len)
		return error_set(s, WRAPSOCK_E_INVALID, EINVAL, "%s: a buffer must be given", what);
	return sock_usable(s, what);
}

static ssize_t
end_of_stream(struct wrapsock_sock *s)
{
	bool cut;

	conn_ended(s->conn, &cut);
	if (cut)
		error_note(s, WRAPSOCK_E_EOF, "the stream was cut: the peer closed it without a closing handshake");
	else
		error_note(s, WRAPSOCK_E_ZERO_RETURN, "the peer has said goodbye");
	return 0;
}

ssize_t
wrapsock_recv(struct wrapsock_sock *s, void *buf, size_t len, int flags)
{
	struct iovec iov = { buf, len };
	bool cut = false;
	ssize_t r;

	SOCK_CALL(s);
	if (begin(s, "recv", buf, len, flags) < 0)
		return -1;
	if (len == 0)
		return 0;
	r = conn_recv(s->conn, s->fd, &iov, 1, 0);
	if (r == 0)
		return end_of_stream(s);
	if (r > 0) {
		s->want = POLLIN;
		return r;
	}
	/* A stream that was cut ends, unless it was to be told; a handshake that was cut has failed. */
	if (r == -ECONNRESET && !(s->flags & WRAPSOCK_REPORT_RAGGED_EOFS) && conn_ended(s->conn, &cut) && cut)
		return end_of_stream(s);
	return sock_fail(s, (int)r, POLLIN);
}

static ssize_t
send_some(struct wrapsock_sock *s, const void *buf, size_t len)
{
	struct iovec iov = { (void *)(uintptr_t)buf, len };

	return conn_send(s->conn, s->fd, &iov, 1, 0);
}

ssize_t
wrapsock_send(struct wrapsock_sock *s, const void *buf, size_t len, int flags)
{
	ssize_t r;

	SOCK_CALL(s);
	if (begin(s, "send", buf, len, flags) < 0)
		return -1;
	r = send_some(s, buf, len);
	if (r < 0)
		return sock_fail(s, (int)r, POLLOUT);
	s->want = POLLIN;
	return r;
}

/* A short count is a timeout, or the call behind it says what is wrong. */
ssize_t
wrapsock_sendall(struct wrapsock_sock *s, const void *buf, size_t len, int flags)
{
	struct timespec began, now;
	size_t done = 0;

	SOCK_CALL(s);
	if (begin(s, "sendall", buf, len, flags) < 0)
		return -1;
	clock_gettime(CLOCK_MONOTONIC, &began);
	do {
		ssize_t r = send_some(s, (const char *)buf + done, len - done);

		if (r < 0)
			return sock_fail(s, (int)r, POLLOUT);
		done += (size_t)r;
		clock_gettime(CLOCK_MONOTONIC, &now);
		if (done < len && s->timeout > 0
		    && (now.tv_sec - began.tv_sec) * 1000 + (now.tv_nsec - began.tv_nsec) / 1000000 >= s->timeout)
			return sock_fail(s, -EAGAIN, POLLOUT);
	} while (done < len);
	s->want = POLLIN;
	return (ssize_t)len;
}

/* What the file gives is sent before more of it is read; what was not sent will be read again. */
static ssize_t
send_file(struct wrapsock_sock *s, int in_fd, off_t at, size_t count, char *buf)
{
	size_t done = 0;

	while (done < count) {
		size_t room = count - done < FILE_PIECE ? count - done : FILE_PIECE;
		ssize_t n = pread(in_fd, buf, room, at + (off_t)done), r;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return done ? (ssize_t)done : error_set(s, WRAPSOCK_E_SYSCALL, errno, "sendfile: %s", strerror(errno));
		if (n == 0)
			break;
		r = send_some(s, buf, (size_t)n);
		if (r < 0)
			return done ? (ssize_t)done : sock_fail(s, (int)r, POLLOUT);
		done += (size_t)r;
		if (r < n)
			break;
	}
	return (ssize_t)done;
}

ssize_t
wrapsock_sendfile(struct wrapsock_sock *s, int in_fd, off_t *offset, size_t count)
{
	off_t at = offset ? *offset : lseek(in_fd, 0, SEEK_CUR);
	ssize_t r;
	char *buf;

	SOCK_CALL(s);
	if (at < 0)
		return error_set(s, offset ? WRAPSOCK_E_INVALID : WRAPSOCK_E_SYSCALL, offset ? EINVAL : errno,
				 "sendfile: the file's position: %s", strerror(offset ? EINVAL : errno));
	if (begin(s, "sendfile", "", 0, 0) < 0)
		return -1;
	buf = malloc(FILE_PIECE);
	if (!buf)
		return error_nomem(s);
	r = send_file(s, in_fd, at, count < SSIZE_MAX ? count : SSIZE_MAX, buf);
	explicit_bzero(buf, FILE_PIECE);
	free(buf);
	if (r > 0 && offset)
		*offset = at + r;
	else if (r > 0)
		lseek(in_fd, at + r, SEEK_SET);
	return r;
}

/* ---- what is to be waited for ---- */

static bool
has_conn(const struct wrapsock_sock *s)
{
	return s->state == SOCK_TLS || s->state == SOCK_BORROWED;
}

size_t
wrapsock_pending(const struct wrapsock_sock *s)
{
	return has_conn(s) ? s->core->conn_pending(s->conn) : 0;
}

short
wrapsock_poll_events(const struct wrapsock_sock *s)
{
	bool cut;

	if (!has_conn(s))
		return s->state == SOCK_LISTENER ? POLLIN : POLLOUT;
	if (s->core->conn_state(s->conn) == CONN_DEAD || s->core->conn_pending(s->conn) || s->core->conn_ended(s->conn, &cut))
		return 0;
	if (s->core->conn_state(s->conn) <= CONN_HANDSHAKING)
		return s->core->conn_wants(s->conn, POLLIN);
	return s->want;
}
