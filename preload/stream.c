/* stream.c - the read and write families, funnelled into two verbs. */
#include "sock.h"
#include "stream.h"

#include "raw.h"

#include <limits.h>
#include <signal.h>
#include <string.h>

static void
cut_other(int fd, struct sock *s, void *stale)
{
	if (s == stale && sock_still(fd, s))
		raw_shutdown(fd, SHUT_RDWR);
}

/*
 * Was the number closed behind our back, and is it another file now?  What was written has met the connection's state: under its
 * other numbers it has failed, and is cut.
 */
static bool
stale(struct sock *s, int fd, ssize_t r)
{
	if (r == -EIO && sock_turned_away(s))
		return true;		/* another thread has handed it over meanwhile */
	if (r >= 0 || r == -EAGAIN || r == -EINTR || sock_still(fd, s) || !fdtab_holds(fd, s->conn))
		return false;
	fdtab_forget(fd);
	if (core->conn_error(s->conn))
		fdtab_each(cut_other, s);
	return true;
}

static ssize_t
natively(bool sending, int fd, const struct iovec *iov, int iovcnt, int flags)
{
	struct msghdr m = { .msg_iov = (struct iovec *)(uintptr_t)iov, .msg_iovlen = (size_t)iovcnt };

	if (!flags)
		return sending ? real.writev(fd, iov, iovcnt) : real.readv(fd, iov, iovcnt);
	return sending ? real.sendmsg(fd, &m, flags & ~MSG_FASTOPEN) : real.recvmsg(fd, &m, flags);
}

/*
 * A call that is to move all of the vectors, and was cut short by another thread's hand-over, goes on over the pair. s is held, done >= 0.
 */
static ssize_t
all_of(struct sock *s, bool sending, int fd, const struct iovec *iov, int iovcnt, int flags, ssize_t done)
{
	size_t skip = (size_t)done;

	for (; iovcnt; iov++, iovcnt--) {
		size_t len = skip < iov->iov_len ? iov->iov_len - skip : 0;
		struct iovec rest = { (char *)iov->iov_base + skip, len };
		ssize_t n;

		skip -= iov->iov_len - len;
		if (!len)
			continue;
		if (core->conn_error(s->conn) != EIO || !sock_turned_away(s))
			break;
		n = natively(sending, fd, &rest, 1, flags);
		done += n > 0 ? n : 0;
		if (n < (ssize_t)len)
			break;
	}
	return done;
}

/* conn_recv's answer for the program; s is held. */
static ssize_t
receive(struct sock *s, int fd, const struct iovec *iov, int iovcnt, int flags)
{
	ssize_t r;

	REFUSE_FOREIGN(s);
	/*
	 * What is in memory would be given to a file that has the number by now, and be lost for the connection: the wire is not
	 * asked there.
	 */
	if (core->conn_pending(s->conn) && stale(s, fd, -ENOTSOCK))
		return natively(false, fd, iov, iovcnt, flags);
	r = core->conn_recv(s->conn, fd, iov, iovcnt, s->edges ? flags & ~CONN_BRIEF : flags | CONN_BRIEF);
	if (stale(s, fd, r))
		return natively(false, fd, iov, iovcnt, flags);
	if (r > 0 && flags & MSG_WAITALL && !(flags & (MSG_PEEK | MSG_TRUNC)))
		r = all_of(s, false, fd, iov, iovcnt, flags, r);
	sock_after(s, fd);
	return answer(r);
}

/* The listener's SO_ZEROCOPY: the program would wait to be told that its pages are free. */
static bool
awaits_pages(int fd)
{
	int on = 0;
	socklen_t len = sizeof on;

	return real.getsockopt(fd, SOL_SOCKET, SO_ZEROCOPY, &on, &len) == 0 && on;
}

static ssize_t
transmit(struct sock *s, int fd, const struct iovec *iov, int iovcnt, int flags)
{
	ssize_t r;

	REFUSE_FOREIGN(s);
	if (__builtin_expect(flags & MSG_ZEROCOPY, 0) && awaits_pages(fd))
		return answer(-ENOBUFS);	/* as where the kernel cannot pin them: programs copy */
	r = core->conn_send(s->conn, fd, iov, iovcnt, flags);
	if (stale(s, fd, r))
		return natively(true, fd, iov, iovcnt, flags);
	if (r > 0)
		r = all_of(s, true, fd, iov, iovcnt, flags, r);
	sock_after(s, fd);
	if (r == -EPIPE && !(flags & MSG_NOSIGNAL))
		pthread_kill(pthread_self(), SIGPIPE);
	return answer(r);
}

static bool
bad_vectors(const struct iovec *iov, int iovcnt)
{
	size_t total = 0;

	if (iovcnt < 0 || iovcnt > IOV_MAX)
		return true;
	for (int i = 0; i < iovcnt; i++) {
		if (iov[i].iov_len > SSIZE_MAX - total)
			return true;
		total += iov[i].iov_len;
	}
	return false;
}

/* A readv or writev of nothing is over at once, whatever the socket's state; the kernel also knows bad vectors. */
static bool
room_in(const struct iovec *iov, int iovcnt)
{
	for (int i = 0; i < iovcnt; i++)
		if (iov[i].iov_len)
			return true;
	return false;
}

/* The calls that programs make most are a bounds check, a load and a jump for what is not ours: no frame, so the rest is elsewhere. */
#define APART __attribute__((noinline)) static

APART ssize_t
read_ours(int fd, void *buf, size_t len)
{
	HOLD s = fdtab_hold_wrapped(fd);

	return s && len ? receive(s, fd, &(struct iovec){ buf, len }, 1, 0) : real.read(fd, buf, len);
}

EXPORT ssize_t
read(int fd, void *buf, size_t len)
{
	return fdtab_ours(fd) ? read_ours(fd, buf, len) : real.read(fd, buf, len);
}
ALSO(read, __read);

EXPORT ssize_t
__read_chk(int fd, void *buf, size_t len, size_t size)
{
	return fdtab_ours(fd) && len <= size ? read(fd, buf, len) : real.__read_chk(fd, buf, len, size);
}

EXPORT ssize_t
readv(int fd, const struct iovec *iov, int iovcnt)
{
	if (!fdtab_ours(fd))
		return real.readv(fd, iov, iovcnt);
	HOLD s = fdtab_hold_wrapped(fd);

	if (!s || !room_in(iov, iovcnt))
		return real.readv(fd, iov, iovcnt);
	return bad_vectors(iov, iovcnt) ? answer(-EINVAL) : receive(s, fd, iov, iovcnt, 0);
}

APART ssize_t
recv_ours(int fd, void *buf, size_t len, int flags)
{
	HOLD s = fdtab_hold_wrapped(fd);

	if (!s || flags & MSG_ERRQUEUE)
		return real.recv(fd, buf, len, flags);
	return receive(s, fd, &(struct iovec){ buf, len }, 1, flags);
}

EXPORT ssize_t
recv(int fd, void *buf, size_t len, int flags)
{
	return fdtab_ours(fd) ? recv_ours(fd, buf, len, flags) : real.recv(fd, buf, len, flags);
}

EXPORT ssize_t
__recv_chk(int fd, void *buf, size_t len, size_t size, int flags)
{
	return fdtab_ours(fd) && len <= size ? recv(fd, buf, len, flags) : real.__recv_chk(fd, buf, len, size, flags);
}

EXPORT ssize_t
recvfrom(int fd, void *restrict buf, size_t len, int flags, struct sockaddr *restrict addr, socklen_t *restrict addrlen)
{
	if (!fdtab_ours(fd))
		return real.recvfrom(fd, buf, len, flags, addr, addrlen);
	HOLD s = fdtab_hold(fd);
	bool pair = s && s->phase == SOCK_RELAYED;
	ssize_t r;

	if (!s || (!pair && s->phase != SOCK_WRAPPED) || flags & MSG_ERRQUEUE)
		return real.recvfrom(fd, buf, len, flags, addr, addrlen);
	if (pair)
		r = flags & MSG_OOB ? answer(-EINVAL) : real.recvfrom(fd, buf, len, flags, NULL, NULL);
	else
		r = receive(s, fd, &(struct iovec){ buf, len }, 1, flags);

	if (r >= 0 && addr && addrlen)
		*addrlen = 0;			/* as TCP: no address */
	return r;
}

EXPORT ssize_t
__recvfrom_chk(int fd, void *buf, size_t len, size_t size, int flags, struct sockaddr *addr, socklen_t *addrlen)
{
	return fdtab_ours(fd) && len <= size ? recvfrom(fd, buf, len, flags, addr, addrlen) :
					       real.__recvfrom_chk(fd, buf, len, size, flags, addr, addrlen);
}

/* Numbers that arrive by SCM_RIGHTS are new files: whatever we knew of them is stale, and some are known by their name. */
void
stream_meet_passed(struct msghdr *msg)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
			fdtab_forget(fd);
			relayed_recognise(fd);
		}
	}
}

EXPORT ssize_t
recvmsg(int fd, struct msghdr *msg, int flags)
{
	HOLD s = fdtab_ours(fd) ? fdtab_hold(fd) : NULL;
	ssize_t r;

	if (!s || s->phase != SOCK_WRAPPED || flags & MSG_ERRQUEUE) {
		r = real.recvmsg(fd, msg, flags);
		if (r >= 0 && msg->msg_controllen)
			stream_meet_passed(msg);
		if (r >= 0 && s && s->phase == SOCK_RELAYED)
			msg->msg_namelen = 0;
		return r;
	}
	if (bad_vectors(msg->msg_iov, (int)msg->msg_iovlen))
		return answer(-EMSGSIZE);
	r = receive(s, fd, msg->msg_iov, (int)msg->msg_iovlen, flags);
	if (r >= 0) {
		msg->msg_namelen = 0;
		msg->msg_controllen = 0;
		msg->msg_flags = 0;
	}
	return r;
}

APART ssize_t
write_ours(int fd, const void *buf, size_t len)
{
	HOLD s = fdtab_hold_wrapped(fd);

	return s ? transmit(s, fd, &(struct iovec){ (void *)(uintptr_t)buf, len }, 1, 0) : real.write(fd, buf, len);
}

EXPORT ssize_t
write(int fd, const void *buf, size_t len)
{
	return fdtab_ours(fd) ? write_ours(fd, buf, len) : real.write(fd, buf, len);
}
ALSO(write, __write);

EXPORT ssize_t
writev(int fd, const struct iovec *iov, int iovcnt)
{
	if (!fdtab_ours(fd))
		return real.writev(fd, iov, iovcnt);
	HOLD s = fdtab_hold_wrapped(fd);

	if (!s || !room_in(iov, iovcnt))
		return real.writev(fd, iov, iovcnt);
	return bad_vectors(iov, iovcnt) ? answer(-EINVAL) : transmit(s, fd, iov, iovcnt, 0);
}

EXPORT ssize_t
send(int fd, const void *buf, size_t len, int flags)
{
	if (!fdtab_ours(fd))
		return real.send(fd, buf, len, flags);
	return sendto(fd, buf, len, flags, NULL, 0);
}
ALSO(send, __send);

/* TCP Fast Open would put the first bytes into the SYN: the programs that use it fall back to connect. */
bool
stream_fast_open(int fd, int flags)
{
	return flags & MSG_FASTOPEN && decide_clients() && sock_tcp(fd) != 0;
}

EXPORT ssize_t
sendto(int fd, const void *buf, size_t len, int flags, const struct sockaddr *addr, socklen_t addrlen)
{
	HOLD s = fdtab_ours(fd) ? fdtab_hold(fd) : NULL;

	if (s && s->phase == SOCK_WRAPPED)
		return transmit(s, fd, &(struct iovec){ (void *)(uintptr_t)buf, len }, 1, flags);
	if (s && s->phase == SOCK_RELAYED)	/* TCP heeds no address, and we know no urgent data */
		return flags & MSG_OOB ? answer(-EOPNOTSUPP) : real.send(fd, buf, len, flags & ~MSG_FASTOPEN);
	return stream_fast_open(fd, flags) ? answer(-EOPNOTSUPP) : real.sendto(fd, buf, len, flags, addr, addrlen);
}

/* A wrapped connection that is passed to another process goes to the relay first. */
static bool
hand_over(int fd)
{
	HOLD s = fdtab_ours(fd) ? fdtab_hold_wrapped(fd) : NULL;

	if (!s)
		return true;
	return !sock_foreign(s) && relayed_take(s, fd) == 0;
}

bool
stream_may_pass(const struct msghdr *msg)
{
	struct msghdr *m = (struct msghdr *)(uintptr_t)msg;	/* CMSG_NXTHDR wants it so, and only reads */

	if (!msg->msg_control || !msg->msg_controllen)
		return true;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
		size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
			if (!hand_over(fd))
				return false;
		}
	}
	return true;
}

/* As in sendto; nor does TCP know what to do with a control message of another family. */
static ssize_t
send_relayed(int fd, const struct msghdr *msg, int flags)
{
	struct msghdr bare = { .msg_iov = msg->msg_iov, .msg_iovlen = msg->msg_iovlen };

	return flags & MSG_OOB ? answer(-EOPNOTSUPP) : real.sendmsg(fd, &bare, flags & ~MSG_FASTOPEN);
}

EXPORT ssize_t
sendmsg(int fd, const struct msghdr *msg, int flags)
{
	HOLD s = fdtab_ours(fd) ? fdtab_hold(fd) : NULL;

	if (s && s->phase == SOCK_RELAYED)
		return send_relayed(fd, msg, flags);
	if (!s || s->phase != SOCK_WRAPPED) {
		if (!stream_may_pass(msg))
			return answer(-EACCES);
		return stream_fast_open(fd, flags) ? answer(-EOPNOTSUPP) : real.sendmsg(fd, msg, flags);
	}
	if (msg->msg_control && msg->msg_controllen)
		return answer(-EOPNOTSUPP);
	if (bad_vectors(msg->msg_iov, (int)msg->msg_iovlen))
		return answer(-EMSGSIZE);
	return transmit(s, fd, msg->msg_iov, (int)msg->msg_iovlen, flags);
}

/* Of any descriptor, in libc: a read or write of eight bytes that is not met by its name. */

static bool
is_wrapped(int fd)
{
	HOLD s = fdtab_hold_wrapped(fd);

	return s != NULL;
}

EXPORT int
eventfd_read(int fd, eventfd_t *value)
{
	if (!fdtab_ours(fd) || !is_wrapped(fd))
		return real.eventfd_read(fd, value);
	return read(fd, value, sizeof *value) == (ssize_t)sizeof *value ? 0 : -1;
}

EXPORT int
eventfd_write(int fd, eventfd_t value)
{
	if (!fdtab_ours(fd) || !is_wrapped(fd))
		return real.eventfd_write(fd, value);
	return write(fd, &value, sizeof value) == (ssize_t)sizeof value ? 0 : -1;
}
