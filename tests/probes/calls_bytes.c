/* calls_bytes - every call of libc that moves bytes of a descriptor, but stdio's (calls.h). */
#include "calls.h"

#include <sys/eventfd.h>
#include <sys/sendfile.h>
#include <sys/uio.h>

#include <aio.h>
#include <execinfo.h>

/* Names that no header declares, or only where they replace the plain ones. */
#pragma GCC diagnostic ignored "-Wredundant-decls"
ssize_t __read(int fd, void *buf, size_t len);
ssize_t __write(int fd, const void *buf, size_t len);
ssize_t __send(int fd, const void *buf, size_t len, int flags);
ssize_t __read_chk(int fd, void *buf, size_t len, size_t size);
ssize_t __recv_chk(int fd, void *buf, size_t len, size_t size, int flags);
ssize_t __recvfrom_chk(int fd, void *buf, size_t len, size_t size, int flags, struct sockaddr *addr, socklen_t *addrlen);
ssize_t __pread_chk(int fd, void *buf, size_t len, off_t at, size_t size);
void __backtrace_symbols_fd(void *const *addresses, int n, int fd);

static char buf[200];
static struct iovec in[2] = { { buf, 2 }, { buf + 2, 98 } };
static struct iovec out[2] = { { (char[]){ "hel" }, 3 }, { (char[]){ "lo" }, 2 } };
static struct msghdr in_message = { .msg_iov = in, .msg_iovlen = 2 }, out_message = { .msg_iov = out, .msg_iovlen = 2 };

/* ---- names of read and write ---- */

#define SENDS(name, call)				\
	static bool name(int fd)			\
	{						\
		return sent(fd, (call), 5);		\
	}
#define RECEIVES(name, call)				\
	static bool name(int fd)			\
	{						\
		serve(fd, "hello");			\
		return got((call), buf);		\
	}
#define ANSWERS(name, call)				\
	static bool name(int fd)			\
	{						\
		return answered((call));		\
	}

SENDS(try_write, write(fd, "hello", 5))
SENDS(try__write, __write(fd, "hello", 5))
SENDS(try_send, send(fd, "hello", 5, 0))
SENDS(try__send, __send(fd, "hello", 5, 0))
SENDS(try_sendto, sendto(fd, "hello", 5, 0, NULL, 0))
SENDS(try_sendmsg, sendmsg(fd, &out_message, 0))
SENDS(try_writev, writev(fd, out, 2))
SENDS(try_pwritev2, pwritev2(fd, out, 2, -1, 0))
SENDS(try_pwritev64v2, pwritev64v2(fd, out, 2, -1, 0))
SENDS(try_sendmmsg, sendmmsg(fd, &(struct mmsghdr){ .msg_hdr = out_message }, 1, 0))

RECEIVES(try_read, read(fd, buf, sizeof buf))
RECEIVES(try__read, __read(fd, buf, sizeof buf))
RECEIVES(try_read_chk, __read_chk(fd, buf, 100, sizeof buf))
RECEIVES(try_recv, recv(fd, buf, sizeof buf, 0))
RECEIVES(try_recv_chk, __recv_chk(fd, buf, 100, sizeof buf, 0))
RECEIVES(try_recvfrom, recvfrom(fd, buf, sizeof buf, 0, NULL, NULL))
RECEIVES(try_recvfrom_chk, __recvfrom_chk(fd, buf, 100, sizeof buf, 0, NULL, NULL))
RECEIVES(try_readv, readv(fd, in, 2))
RECEIVES(try_preadv2, preadv2(fd, in, 2, -1, 0))
RECEIVES(try_preadv64v2, preadv64v2(fd, in, 2, -1, 0))
RECEIVES(try_recvmsg, recvmsg(fd, &in_message, 0))
RECEIVES(try_recvmmsg, recvmmsg(fd, &(struct mmsghdr){ .msg_hdr = in_message }, 1, 0, NULL) == 1 ? 5 : -1)

/* ---- flags ---- */

static bool
try_peek(int fd)
{
	serve(fd, "hello");
	got(recv(fd, buf, sizeof buf, MSG_PEEK), buf);
	return got(recv(fd, buf, sizeof buf, 0), buf);
}

static bool
try_trunc(int fd)
{
	serve(fd, "hello");
	got(recv(fd, NULL, 2, MSG_TRUNC), "**");
	return got(recv(fd, buf, sizeof buf, 0), buf);
}

RECEIVES(try_waitall, recv(fd, buf, 5, MSG_WAITALL))
ANSWERS(try_dontwait, recv(fd, buf, 5, MSG_DONTWAIT))
ANSWERS(try_errqueue, recvmsg(fd, &in_message, MSG_ERRQUEUE | MSG_DONTWAIT))
ANSWERS(try_oob_in, recv(fd, buf, 1, MSG_OOB))
ANSWERS(try_oob_out, send(fd, "!", 1, MSG_OOB))
SENDS(try_more, send(fd, "hel", 3, MSG_MORE) + send(fd, "lo", 2, 0))
SENDS(try_confirm, send(fd, "hello", 5, MSG_CONFIRM | MSG_NOSIGNAL | MSG_EOR | MSG_ZEROCOPY))

/* A first word in the SYN, before there is TLS. */
static bool
fast(int fd, long (*call)(int, const struct sockaddr_in *))
{
	struct sockaddr_in a = local(call_port);
	int other = make_socket(0);

	answered(call(other, &a));
	close(other);
	return fd >= 0;
}

static long
fast_sendto(int fd, const struct sockaddr_in *a)
{
	return sendto(fd, "secret words", 12, MSG_FASTOPEN, (const void *)a, sizeof *a);
}

static long
fast_sendmsg(int fd, const struct sockaddr_in *a)
{
	struct msghdr m = out_message;

	m.msg_name = (void *)(uintptr_t)a;
	m.msg_namelen = sizeof *a;
	return sendmsg(fd, &m, MSG_FASTOPEN);
}

static long
fast_sendmmsg(int fd, const struct sockaddr_in *a)
{
	struct mmsghdr m = { .msg_hdr = out_message };

	m.msg_hdr.msg_name = (void *)(uintptr_t)a;
	m.msg_hdr.msg_namelen = sizeof *a;
	return sendmmsg(fd, &m, 1, MSG_FASTOPEN);
}

static bool try_fast_sendto(int fd) { return fast(fd, fast_sendto); }
static bool try_fast_sendmsg(int fd) { return fast(fd, fast_sendmsg); }
static bool try_fast_sendmmsg(int fd) { return fast(fd, fast_sendmmsg); }

/* ---- files and pipes ---- */

static int
file_of(const char *text)
{
	char name[] = "/tmp/calls.XXXXXX";
	int fd = (int)must("mkstemp", mkstemp(name));

	unlink(name);
	write_all(fd, text, strlen(text));
	return fd;
}

static bool
moves(int fd, ssize_t (*call)(int out, int in))
{
	int file = file_of("hello");

	return sent(fd, call(fd, file), 5);
}

static ssize_t by_sendfile(int to, int from) { return sendfile(to, from, &(off_t){ 0 }, 5); }
static ssize_t by_sendfile64(int to, int from) { return sendfile64(to, from, &(off64_t){ 0 }, 5); }
static bool try_sendfile(int fd) { return moves(fd, by_sendfile); }
static bool try_sendfile64(int fd) { return moves(fd, by_sendfile64); }

static bool
try_sendfile_from(int fd)
{
	serve(fd, "hello");
	answered(sendfile(file_of(""), fd, NULL, 5));
	return back(fd, 5);
}

static bool
piped(int fd, ssize_t (*call)(int fd, int from, int to))
{
	int p[2];

	must("pipe", pipe(p));
	write_all(p[1], "hello", 5);
	return answered(call(fd, p[0], p[1]));
}

static ssize_t splice_out(int fd, int from, int to) { return to < 0 ? 0 : splice(from, NULL, fd, NULL, 5, SPLICE_F_NONBLOCK); }
static ssize_t splice_in(int fd, int from, int to) { return from < 0 ? 0 : splice(fd, NULL, to, NULL, 5, 0); }
static ssize_t tee_out(int fd, int from, int to) { return to < 0 ? 0 : tee(from, fd, 5, 0); }
static ssize_t vmsplice_out(int fd, int from, int to) { return from == to ? 0 : vmsplice(fd, out, 2, 0); }
static bool try_splice_out(int fd) { return piped(fd, splice_out); }

static bool
try_splice_in(int fd)
{
	serve(fd, "hello");
	piped(fd, splice_in);
	return back(fd, 5);
}

static bool try_tee(int fd) { return piped(fd, tee_out); }
static bool try_vmsplice(int fd) { return piped(fd, vmsplice_out); }

ANSWERS(try_copy_file_range, copy_file_range(file_of("hello"), &(off64_t){ 0 }, fd, NULL, 5, 0))

/* ---- calls with a place in the file ---- */

ANSWERS(try_pread, pread(fd, buf, 5, 0))
ANSWERS(try_pread64, pread64(fd, buf, 5, 0))
ANSWERS(try_pread_chk, __pread_chk(fd, buf, 5, 0, sizeof buf))
ANSWERS(try_pwrite, pwrite(fd, "hello", 5, 0))
ANSWERS(try_pwrite64, pwrite64(fd, "hello", 5, 0))
ANSWERS(try_preadv, preadv(fd, in, 2, 0))
ANSWERS(try_preadv64, preadv64(fd, in, 2, 0))
ANSWERS(try_pwritev, pwritev(fd, out, 2, 0))
ANSWERS(try_pwritev64, pwritev64(fd, out, 2, 0))
ANSWERS(try_lseek, lseek(fd, 0, SEEK_SET))
ANSWERS(try_ftruncate, ftruncate(fd, 0))
ANSWERS(try_fallocate, fallocate(fd, 0, 0, 1))
ANSWERS(try_sync_file_range, sync_file_range(fd, 0, 0, 0))
ANSWERS(try_readahead, readahead(fd, 0, 1))
ANSWERS(try_fsync, fsync(fd))

/* ---- asynchronous: threads of libc's own ---- */

static struct aiocb cb = { .aio_buf = buf, .aio_nbytes = 5 };

static long
awaited(int fd, int (*call)(void *))
{
	const struct aiocb *list[] = { &cb };

	cb.aio_fildes = fd;
	if (call(&cb) < 0)
		return -1;
	while (aio_error(&cb) == EINPROGRESS)
		aio_suspend(list, 1, NULL);
	return aio_return(&cb);
}

static int call_aio_read(void *p) { return aio_read(p); }
static int call_aio_read64(void *p) { return aio_read64(p); }
static int call_aio_write(void *p) { return aio_write(p); }
static int call_aio_write64(void *p) { return aio_write64(p); }

static int
call_lio(void *p)
{
	struct aiocb *list[] = { p };

	cb.aio_lio_opcode = LIO_WRITE;
	return lio_listio(LIO_NOWAIT, list, 1, NULL);
}

static int
call_lio64(void *p)
{
	struct aiocb64 *list[] = { p };

	cb.aio_lio_opcode = LIO_WRITE;
	return lio_listio64(LIO_NOWAIT, list, 1, NULL);
}

ANSWERS(try_aio_write, awaited(fd, call_aio_write))
ANSWERS(try_aio_write64, awaited(fd, call_aio_write64))
ANSWERS(try_aio_read, awaited(fd, call_aio_read))
ANSWERS(try_aio_read64, awaited(fd, call_aio_read64))
ANSWERS(try_lio_listio, awaited(fd, call_lio))
ANSWERS(try_lio_listio64, awaited(fd, call_lio64))

/* Eight bytes at a time, meant for something else. */
static bool
try_eventfd_write(int fd)
{
	answered(eventfd_write(fd, 0x4142434445464748));
	return back(fd, 8);
}

static bool
try_eventfd_read(int fd)
{
	eventfd_t value = 0;

	serve(fd, "HGFEDCBA");
	answered(eventfd_read(fd, &value));
	note(" %lx", (unsigned long)value);
	return true;
}

/* ---- text ---- */

static bool
traced(int fd, void (*call)(void *const *, int, int))
{
	void *here = (void *)(uintptr_t)traced;

	call(&here, 1, fd);
	if (poll(&(struct pollfd){ .fd = fd, .events = POLLIN }, 1, PATIENCE) == 1) {
		ssize_t n = read(fd, buf, sizeof buf);

		note(" %s", n > 1 && strstr(buf, "calls_bytes") && buf[n - 1] == '\n' ? "a line" : "?");
	}
	return true;
}

static bool try_backtrace(int fd) { return traced(fd, backtrace_symbols_fd); }
static bool try__backtrace(int fd) { return traced(fd, __backtrace_symbols_fd); }

static const struct call calls[] = {
	{ "write", try_write }, { "__write", try__write }, { "send", try_send }, { "__send", try__send }, { "sendto", try_sendto },
	{ "sendmsg", try_sendmsg }, { "writev", try_writev }, { "pwritev2", try_pwritev2 }, { "pwritev64v2", try_pwritev64v2 },
	{ "sendmmsg", try_sendmmsg },
	{ "read", try_read }, { "__read", try__read }, { "__read_chk", try_read_chk }, { "recv", try_recv }, { "__recv_chk", try_recv_chk },
	{ "recvfrom", try_recvfrom }, { "__recvfrom_chk", try_recvfrom_chk }, { "readv", try_readv }, { "preadv2", try_preadv2 },
	{ "preadv64v2", try_preadv64v2 }, { "recvmsg", try_recvmsg }, { "recvmmsg", try_recvmmsg },
	{ "MSG_PEEK", try_peek }, { "MSG_TRUNC", try_trunc }, { "MSG_WAITALL", try_waitall }, { "MSG_DONTWAIT", try_dontwait },
	{ "MSG_ERRQUEUE", try_errqueue }, { "MSG_OOB.recv", try_oob_in }, { "MSG_OOB.send", try_oob_out }, { "MSG_MORE", try_more },
	{ "MSG_CONFIRM", try_confirm },
	{ "MSG_FASTOPEN.sendto", try_fast_sendto }, { "MSG_FASTOPEN.sendmsg", try_fast_sendmsg }, { "MSG_FASTOPEN.sendmmsg", try_fast_sendmmsg },
	{ "sendfile", try_sendfile }, { "sendfile64", try_sendfile64 }, { "sendfile.from", try_sendfile_from },
	{ "splice.out", try_splice_out }, { "splice.in", try_splice_in }, { "tee", try_tee }, { "vmsplice", try_vmsplice },
	{ "copy_file_range", try_copy_file_range },
	{ "pread", try_pread }, { "pread64", try_pread64 }, { "__pread_chk", try_pread_chk }, { "pwrite", try_pwrite }, { "pwrite64", try_pwrite64 },
	{ "preadv", try_preadv }, { "preadv64", try_preadv64 }, { "pwritev", try_pwritev }, { "pwritev64", try_pwritev64 },
	{ "lseek", try_lseek }, { "ftruncate", try_ftruncate }, { "fallocate", try_fallocate }, { "sync_file_range", try_sync_file_range },
	{ "readahead", try_readahead }, { "fsync", try_fsync },
	{ "aio_write", try_aio_write }, { "aio_write64", try_aio_write64 }, { "aio_read", try_aio_read }, { "aio_read64", try_aio_read64 },
	{ "lio_listio", try_lio_listio }, { "lio_listio64", try_lio_listio64 },
	{ "eventfd_write", try_eventfd_write }, { "eventfd_read", try_eventfd_read },
	{ "backtrace_symbols_fd", try_backtrace }, { "__backtrace_symbols_fd", try__backtrace },
	{ NULL, NULL }
};
