/*
 * bulk.c - calls that move many messages or whole files, as loops over the plain ones; and those that a wrapped socket
 * cannot serve, refused.
 *
 * The verbs call recvmsg, sendmsg and send by their own names: these are our wrappers, with SIGPIPE, errno and all.
 */
#include "cancel.h"
#include "decide.h"
#include "real.h"
#include "relayed.h"
#include "stream.h"

#include "log.h"
#include "raw.h"

#include <sys/mman.h>

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define CHUNK ((size_t)128 * 1024)	/* several records a send, and what the core takes at once */
#define CHUNKS 8
#define COUNT_MOST ((size_t)0x7ffff000)	/* the kernel's own bound for one call */
#define MESSAGES_MOST 1024u		/* UIO_MAXIOV bounds sendmmsg in the kernel too */

/* Kept out of the wrappers: a scoped hold would give their pass path a frame. */
static __attribute__((noinline)) bool
wrapped(int fd)
{
	HOLD s = fdtab_hold_wrapped(fd);

	return s != NULL;
}

/* recvmmsg and sendmmsg */

static int64_t
now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

/* As the kernel does: looked at after each message, never a bound for the wait within one. */
static bool
time_left(struct timespec *timeout, int64_t end)
{
	int64_t left = end - now_ns();

	if (left < 0)
		left = 0;
	timeout->tv_sec = left / 1000000000;
	timeout->tv_nsec = left % 1000000000;
	return left > 0;
}

static int64_t
end_of(const struct timespec *timeout)
{
	int64_t now = now_ns();

	if (timeout->tv_sec >= (INT64_MAX - now) / 1000000000 - 1)
		return INT64_MAX;
	return now + timeout->tv_sec * 1000000000 + timeout->tv_nsec;
}

static int
receive_many(int fd, struct mmsghdr *messages, unsigned n, int flags, struct timespec *timeout)
{
	int64_t end = 0;
	int saved = errno;
	unsigned done;

	if (timeout && (timeout->tv_sec < 0 || timeout->tv_nsec < 0 || timeout->tv_nsec > 999999999))
		return (int)answer(-EINVAL);
	if (timeout)
		end = end_of(timeout);
	for (done = 0; done < n && done < MESSAGES_MOST; done++) {
		ssize_t r = recvmsg(fd, &messages[done].msg_hdr, flags & ~MSG_WAITFORONE);

		if (r < 0 && done == 0)
			return -1;
		if (r < 0)
			break;
		messages[done].msg_len = (unsigned)r;
		if (flags & MSG_WAITFORONE)
			flags |= MSG_DONTWAIT;
		if (timeout && !time_left(timeout, end)) {
			done++;
			break;
		}
	}
	errno = saved;
	return (int)done;
}

static int
pass_many(int fd, struct mmsghdr *messages, unsigned n, int flags, struct timespec *timeout)
{
	int r = real.recvmmsg(fd, messages, n, flags, timeout);

	for (int i = 0; i < r; i++)
		if (messages[i].msg_hdr.msg_controllen)
			stream_meet_passed(&messages[i].msg_hdr);
	return r;
}

EXPORT int
recvmmsg(int fd, struct mmsghdr *messages, unsigned n, int flags, struct timespec *timeout)
{
	if (!fdtab_ours(fd) || !wrapped(fd))
		return pass_many(fd, messages, n, flags, timeout);
	return receive_many(fd, messages, n, flags, timeout);
}

static size_t
length_of(const struct msghdr *m)
{
	size_t len = 0;

	for (size_t i = 0; i < m->msg_iovlen; i++)
		len += m->msg_iov[i].iov_len;
	return len;
}

static int
send_many(int fd, struct mmsghdr *messages, unsigned n, int flags)
{
	int saved = errno;
	unsigned done = 0;

	while (done < n && done < MESSAGES_MOST) {
		ssize_t r = sendmsg(fd, &messages[done].msg_hdr, flags);

		if (r < 0 && done == 0)
			return -1;
		if (r < 0)
			break;
		messages[done].msg_len = (unsigned)r;
		if ((size_t)r < length_of(&messages[done++].msg_hdr))
			break;
	}
	errno = saved;
	return (int)done;
}

EXPORT int
sendmmsg(int fd, struct mmsghdr *messages, unsigned n, int flags)
{
	if (!fdtab_ours(fd) || !(wrapped(fd) || relayed(fd))) {
		for (unsigned i = 0; i < n; i++)
			if (!stream_may_pass(&messages[i].msg_hdr))
				return (int)answer(-EACCES);
		if (stream_fast_open(fd, flags))
			return (int)answer(-EOPNOTSUPP);
		return real.sendmmsg(fd, messages, n, flags);
	}
	return send_many(fd, messages, n, flags);
}

/* sendfile */

/* Buffers that calls borrow and give back; mapped, because the allocator may be the program's and slow at this size. */
static _Atomic(void *) chunks[CHUNKS];

static void *
chunk_get(void)
{
	void *p;

	for (int i = 0; i < CHUNKS; i++) {
		p = atomic_exchange(&chunks[i], NULL);
		if (p)
			return p;
	}
	p = (void *)raw_syscall(SYS_mmap, 0, CHUNK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return (unsigned long)p > -4096ul ? NULL : p;
}

static void
chunk_putp(void **p)
{
	for (int i = 0; *p && i < CHUNKS; i++) {
		void *none = NULL;

		if (atomic_compare_exchange_strong(&chunks[i], &none, *p))
			*p = NULL;
	}
	if (*p)
		raw_syscall(SYS_munmap, (long)*p, CHUNK, 0, 0, 0, 0);
}

/*
 * Count sent, or the negated errno value if that is none.  It ends at the file's end or at the first short send: one that
 * blocks falls short only for a cause that plain sendfile would stop at too.
 */
static ssize_t
copy(int out, int in, int64_t at, size_t count, void *chunk)
{
	size_t done = 0;

	while (done < count) {
		size_t ask = count - done < CHUNK ? count - done : CHUNK;
		long got = raw_syscall(SYS_pread64, in, (long)chunk, (long)ask, at + (int64_t)done, 0, 0);
		ssize_t sent;

		if (got == -ESPIPE || got == -EISDIR)
			got = -EINVAL;		/* sendfile's word for a file that cannot be its source */
		if (got <= 0)
			return done ? (ssize_t)done : got;
		sent = send(out, chunk, (size_t)got, done ? MSG_NOSIGNAL : 0);
		explicit_bzero(chunk, (size_t)got);
		if (sent < 0)
			return done ? (ssize_t)done : -errno;
		done += (size_t)sent;
		if (sent < got)
			break;
	}
	return (ssize_t)done;
}

static ssize_t
send_file(int out, int in, int64_t *offset, size_t count)
{
	int64_t at = offset ? *offset : raw_syscall(SYS_lseek, in, 0, SEEK_CUR, 0, 0, 0);
	__attribute__((cleanup(chunk_putp))) void *chunk = NULL;
	int saved = errno;
	ssize_t r;
	UNCANCELLED;			/* libc's is no cancellation point */

	if (wrapped(in) || (offset && at < 0) || at == -ESPIPE)
		return answer(-EINVAL);
	if (at < 0)
		return answer(at);
	chunk = chunk_get();
	if (!chunk)
		return answer(-ENOMEM);
	r = copy(out, in, at, count < COUNT_MOST ? count : COUNT_MOST, chunk);
	if (r < 0)
		return answer(r);
	errno = saved;
	if (offset)
		*offset = at + r;
	else
		raw_syscall(SYS_lseek, in, at + r, SEEK_SET, 0, 0, 0);
	return r;
}

EXPORT ssize_t
sendfile(int out, int in, off_t *offset, size_t count)
{
	if ((!fdtab_ours(out) || !wrapped(out)) && (!fdtab_ours(in) || !wrapped(in)))
		return real.sendfile(out, in, offset, count);
	return wrapped(out) ? send_file(out, in, offset, count) : answer(-EINVAL);
}

EXPORT ssize_t
sendfile64(int out, int in, off64_t *offset, size_t count)
{
	if ((!fdtab_ours(out) || !wrapped(out)) && (!fdtab_ours(in) || !wrapped(in)))
		return real.sendfile64(out, in, offset, count);
	return wrapped(out) ? send_file(out, in, offset, count) : answer(-EINVAL);
}

/* Pages do not pass through encryption: callers that use these have a fallback for EINVAL. */

EXPORT ssize_t
splice(int in, off64_t *in_offset, int out, off64_t *out_offset, size_t len, unsigned flags)
{
	if ((!fdtab_ours(in) || !wrapped(in)) && (!fdtab_ours(out) || !wrapped(out)))
		return real.splice(in, in_offset, out, out_offset, len, flags);
	return answer(-EINVAL);
}

EXPORT ssize_t
tee(int in, int out, size_t len, unsigned flags)
{
	if ((!fdtab_ours(in) || !wrapped(in)) && (!fdtab_ours(out) || !wrapped(out)))
		return real.tee(in, out, len, flags);
	return answer(-EINVAL);
}

EXPORT ssize_t
vmsplice(int fd, const struct iovec *iov, size_t n, unsigned flags)
{
	if (!fdtab_ours(fd) || !wrapped(fd))
		return real.vmsplice(fd, iov, n, flags);
	return answer(-EINVAL);
}

/* preadv2 and pwritev2: offset -1 is the stream position, which a socket has; flags are those that a socket knows. */

/* MSG_* flags for the call, or the negated errno value. */
static int
positioned(off64_t offset, int flags)
{
	if (offset != -1)
		return offset < 0 ? -EINVAL : -ESPIPE;
	if (flags & ~RWF_NOWAIT)
		return -EOPNOTSUPP;
	return flags ? MSG_DONTWAIT : 0;
}

static ssize_t
read_vector(int fd, const struct iovec *iov, int n, off64_t offset, int flags)
{
	struct msghdr m = { .msg_iov = (struct iovec *)(uintptr_t)iov, .msg_iovlen = (size_t)n };
	int how = positioned(offset, flags);

	if (how < 0)
		return answer(how);
	return how ? recvmsg(fd, &m, how) : readv(fd, iov, n);
}

static ssize_t
write_vector(int fd, const struct iovec *iov, int n, off64_t offset, int flags)
{
	struct msghdr m = { .msg_iov = (struct iovec *)(uintptr_t)iov, .msg_iovlen = (size_t)n };
	int how = positioned(offset, flags);

	if (how < 0)
		return answer(how);
	return how ? sendmsg(fd, &m, how) : writev(fd, iov, n);
}

EXPORT ssize_t
preadv2(int fd, const struct iovec *iov, int n, off_t offset, int flags)
{
	if (!fdtab_ours(fd) || !wrapped(fd))
		return real.preadv2(fd, iov, n, offset, flags);
	return read_vector(fd, iov, n, offset, flags);
}

EXPORT ssize_t
preadv64v2(int fd, const struct iovec *iov, int n, off64_t offset, int flags)
{
	if (!fdtab_ours(fd) || !wrapped(fd))
		return real.preadv64v2(fd, iov, n, offset, flags);
	return read_vector(fd, iov, n, offset, flags);
}

EXPORT ssize_t
pwritev2(int fd, const struct iovec *iov, int n, off_t offset, int flags)
{
	if (!fdtab_ours(fd) || !wrapped(fd))
		return real.pwritev2(fd, iov, n, offset, flags);
	return write_vector(fd, iov, n, offset, flags);
}

EXPORT ssize_t
pwritev64v2(int fd, const struct iovec *iov, int n, off64_t offset, int flags)
{
	if (!fdtab_ours(fd) || !wrapped(fd))
		return real.pwritev64v2(fd, iov, n, offset, flags);
	return write_vector(fd, iov, n, offset, flags);
}

/* POSIX asynchronous I/O runs in threads inside libc, where no wrapper is met. */

static int
refuse_aio(int fd)
{
	static atomic_flag told = ATOMIC_FLAG_INIT;

	if (!atomic_flag_test_and_set(&told))
		log_line(LOG_LEVEL_WARN, "asynchronous I/O on wrapped descriptor %d is refused: it needs route = relay", fd);
	return (int)answer(-EACCES);
}

EXPORT int
aio_read(struct aiocb *cb)
{
	if (!fdtab_ours(cb->aio_fildes) || !wrapped(cb->aio_fildes))
		return real.aio_read(cb);
	return refuse_aio(cb->aio_fildes);
}

EXPORT int
aio_read64(struct aiocb64 *cb)
{
	if (!fdtab_ours(cb->aio_fildes) || !wrapped(cb->aio_fildes))
		return real.aio_read64(cb);
	return refuse_aio(cb->aio_fildes);
}

EXPORT int
aio_write(struct aiocb *cb)
{
	if (!fdtab_ours(cb->aio_fildes) || !wrapped(cb->aio_fildes))
		return real.aio_write(cb);
	return refuse_aio(cb->aio_fildes);
}

EXPORT int
aio_write64(struct aiocb64 *cb)
{
	if (!fdtab_ours(cb->aio_fildes) || !wrapped(cb->aio_fildes))
		return real.aio_write64(cb);
	return refuse_aio(cb->aio_fildes);
}

EXPORT int
lio_listio(int mode, struct aiocb *const list[], int n, struct sigevent *event)
{
	for (int i = 0; i < n; i++) {
		if (!list[i] || list[i]->aio_lio_opcode == LIO_NOP)
			continue;
		if (fdtab_ours(list[i]->aio_fildes) && wrapped(list[i]->aio_fildes))
			return refuse_aio(list[i]->aio_fildes);
	}
	return real.lio_listio(mode, list, n, event);
}

EXPORT int
lio_listio64(int mode, struct aiocb64 *const list[], int n, struct sigevent *event)
{
	for (int i = 0; i < n; i++) {
		if (!list[i] || list[i]->aio_lio_opcode == LIO_NOP)
			continue;
		if (fdtab_ours(list[i]->aio_fildes) && wrapped(list[i]->aio_fildes))
			return refuse_aio(list[i]->aio_fildes);
	}
	return real.lio_listio64(mode, list, n, event);
}
