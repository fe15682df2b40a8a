/*
 * gathers PORT FILE WAY: what a program writes in parts is in one packet where it says so, by the kernel's count of its packets
 * with data.
 */
#include "probe.h"

#include <sys/sendfile.h>
#include <sys/uio.h>

/* The kernel's, which has fields that libc's does not. */
#include <linux/tcp.h>

enum { PARTS = 10, PART = 100, ALL = PARTS * PART, BIG = 50000 };

static unsigned char data[BIG];
static int fd, file;

static void
option(int name, int on)
{
	must("setsockopt", setsockopt(fd, IPPROTO_TCP, name, &on, sizeof on));
}

static unsigned
packets(void)
{
	struct tcp_info info = { .tcpi_data_segs_out = 0 };
	socklen_t len = sizeof info;

	must("TCP_INFO", getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len));
	return info.tcpi_data_segs_out;
}

static void
parts(int flags)
{
	for (int i = 0; i < PARTS; i++)
		must("send", send(fd, data + i * PART, PART, i < PARTS - 1 ? flags : 0));
}

static void
vector(void)
{
	struct iovec iov[PARTS];

	for (int i = 0; i < PARTS; i++)
		iov[i] = (struct iovec){ data + i * PART, PART };
	must("writev", writev(fd, iov, PARTS));
}

/* As web servers do: the head, and behind it the file. */
static void
head_and_file(int flags)
{
	off_t at = PART;

	must("send", send(fd, data, PART, flags));
	must("sendfile", sendfile(fd, file, &at, ALL - PART));
}

static void
corked(void (*how)(int), int flags)
{
	option(TCP_CORK, 1);
	how(flags);
	option(TCP_CORK, 0);
}

int
main(int argc, char **argv)
{
	const char *way = argv[3];
	unsigned char *back = room(BIG);
	size_t sent = ALL;
	unsigned before;
	off_t at = 0;

	(void)argc;
	file = (int)must("open", open(argv[2], O_RDONLY));
	must("read", pread(file, data, BIG, 0));
	fd = dial(argv[1]);
	echo(fd, "x");			/* what a handshake leaves behind is acknowledged: nothing waits for its window */
	before = packets();
	if (!strcmp(way, "nothing")) {
		option(TCP_NODELAY, 1);
		parts(0);
	} else if (!strcmp(way, "more")) {
		parts(MSG_MORE);
	} else if (!strcmp(way, "cork")) {
		corked(parts, 0);
	} else if (!strcmp(way, "writev")) {
		vector();
	} else if (!strcmp(way, "cork-file")) {
		corked(head_and_file, 0);
	} else {
		sent = (size_t)must("sendfile", sendfile(fd, file, &at, BIG));
	}
	/* The kernel holds a part for 200 ms at most, which a busy machine may take for one of ours. */
	before = packets() - before;
	say("%s: %s", way, before == PARTS ? "a packet each" : before <= 2 ? "together" : result(before));
	read_all(fd, back, sent, sent);
	say("%016lx", hash(back, sent));
	finish(fd);
	return 0;
}
