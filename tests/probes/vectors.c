/* vectors PORT: readv, writev, sendmsg, recvmsg, sendmmsg, recvmmsg, preadv2, pwritev2. */
#include "probe.h"

#include <sys/uio.h>

#define MANY 1000

static unsigned char out[MANY * 97], in[MANY * 97];

static int
cut(struct iovec *iov, unsigned char *p, int n)
{
	size_t at = 0;

	for (int i = 0; i < n; i++) {
		iov[i] = (struct iovec){ p + at, (size_t)i * 7 % 97 };
		at += iov[i].iov_len;
	}
	return (int)at;
}

static void
compare(const char *what, size_t n)
{
	say("%s: %zu bytes %s", what, n, memcmp(in, out, n) ? "changed" : "as sent");
	memset(in, 0, sizeof in);
}

int
main(int argc, char **argv)
{
	static struct iovec iov[MANY + 100];
	volatile int negative = -1;
	struct mmsghdr m[3] = { 0 };
	struct msghdr one = { .msg_iov = iov };
	int fd = dial(argv[1]), n = cut(iov, out, MANY);
	char name[64], control[64];
	long r;

	(void)argc;
	fill(out, sizeof out, 4);
	say("writev: %s of %d", result(writev(fd, iov, MANY)), n);
	read_all(fd, in, (size_t)n, 5000);
	compare("writev", (size_t)n);
	say("too many: %s, negative: %s", result(writev(fd, iov, 1025)), result(readv(fd, iov, negative)));

	write_all(fd, out, 3000);
	for (r = 0; r < 3000;) {
		cut(iov, in + r, 40);
		r += must("readv", readv(fd, iov, 40));
	}
	compare("readv", (size_t)(r > 3000 ? 0 : r));

	one.msg_iovlen = 50;
	n = cut(iov, out, 50);
	say("sendmsg: %s of %d", result(sendmsg(fd, &one, MSG_NOSIGNAL)), n);
	one = (struct msghdr){ .msg_iov = iov, .msg_iovlen = 50, .msg_name = name, .msg_namelen = sizeof name, .msg_control = control,
		.msg_controllen = sizeof control, .msg_flags = -1 };
	cut(iov, in, 50);
	say("recvmsg: %s, name %u, control %zu, flags %x", result(recvmsg(fd, &one, MSG_WAITALL)), one.msg_namelen, one.msg_controllen,
		(unsigned)one.msg_flags);
	compare("recvmsg", (size_t)n);

	for (int i = 0; i < 3; i++) {
		iov[i] = (struct iovec){ out + 100 * i, 100 };
		m[i].msg_hdr = (struct msghdr){ .msg_iov = &iov[i], .msg_iovlen = 1 };
	}
	say("sendmmsg: %s, %u %u %u", result(sendmmsg(fd, m, 3, 0)), m[0].msg_len, m[1].msg_len, m[2].msg_len);
	for (int i = 0; i < 3; i++)
		iov[i].iov_base = in + 100 * i;
	say("recvmmsg: %s, %u %u %u", result(recvmmsg(fd, m, 3, MSG_WAITALL, NULL)), m[0].msg_len, m[1].msg_len, m[2].msg_len);
	compare("recvmmsg", 300);

	iov[0] = (struct iovec){ out, 500 };
	say("pwritev2: %s", result(pwritev2(fd, iov, 1, -1, 0)));
	read_all(fd, in, 499, 499);
	iov[0] = (struct iovec){ in + 499, 1 };
	say("preadv2: %s", result(preadv2(fd, iov, 1, -1, 0)));
	compare("preadv2", 500);
	say("pwritev2 at 0: %s", result(pwritev2(fd, iov, 1, 0, 0)));
	finish(fd);
	return 0;
}
