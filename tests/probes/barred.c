/*
 * barred PORT early|late CALL...: a filter answers these system calls with EPERM, from before the connection is made or from behind its first words on;
 * what the program sees of each step. It is a program that reads and writes, and needs none of them itself.
 */
#include "probe.h"

#include <sys/prctl.h>
#include <sys/syscall.h>

#include <linux/filter.h>
#include <linux/seccomp.h>

#include <stddef.h>

static const struct {
	const char *name;
	int number;
} calls[] = {
#define CALL(name) { #name, SYS_##name }
	CALL(recvfrom), CALL(sendto), CALL(shutdown), CALL(getsockopt), CALL(setsockopt), CALL(getpeername), CALL(getsockname), CALL(fcntl), CALL(ioctl),
	CALL(openat), CALL(newfstatat), CALL(mmap), CALL(getrandom), CALL(ppoll), CALL(epoll_create1), CALL(epoll_ctl), CALL(close),
#ifdef SYS_poll
	CALL(poll),
#endif
#undef CALL
};

static void
bar(const char *name)
{
	for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
		struct sock_filter f[] = {
			BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
			BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)calls[i].number, 0, 1),
			BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
			BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
		};

		if (strcmp(calls[i].name, name) != 0)
			continue;
		must("PR_SET_NO_NEW_PRIVS", prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
		must("PR_SET_SECCOMP", prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &(struct sock_fprog){ sizeof f / sizeof *f, f }));
		return;
	}
	/* This machine has no such call, so nobody makes it. */
}

/* The first step that fails is the last. */
static void
step(const char *what, long r, long want)
{
	say("%s: %s", what, result(r));
	if (r != want)
		exit(1);
}

int
main(int argc, char **argv)
{
	bool early = argc > 2 && !strcmp(argv[2], "early");
	struct sockaddr_in a = local(argv[1]);
	int fd = make_socket(0);
	char back[13];

	for (int i = 3; early && i < argc; i++)
		bar(argv[i]);
	step("connect", connect(fd, (struct sockaddr *)&a, sizeof a), 0);
	if (!early)
		echo(fd, "hello");
	for (int i = 3; !early && i < argc; i++)
		bar(argv[i]);
	step("write", write(fd, secret(), 13), 13);
	step("read", read(fd, back, sizeof back), 13);
	say("%s", memcmp(back, secret(), 13) ? "something else" : "the same");
	return 0;
}
