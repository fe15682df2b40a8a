/* escapes PORT fdopen|zero|rights|spawn|syscall|uring|dprintf|fastopen|raw: ways out for a descriptor, and calls that go around libc. */
#include "probe.h"

#include <sys/syscall.h>
#include <sys/wait.h>

#include <netinet/tcp.h>
#include <spawn.h>

static void
pass(int fd)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = { { 0 } };
	char byte = 'x';
	struct iovec iov = { &byte, 1 };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes };
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	int pair[2];

	must("socketpair", socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof fd);
	memcpy(CMSG_DATA(c), &fd, sizeof fd);
	say("SCM_RIGHTS: %s", result(sendmsg(pair[0], &m, 0)));
	say("nothing passed: %s", result(recv(pair[1], &byte, 1, MSG_DONTWAIT)));
}

static void
spawn_onto_stdin(int fd)
{
	posix_spawn_file_actions_t actions;
	char cat[] = "cat", *command[] = { cat, NULL };
	pid_t pid;
	int r;

	posix_spawn_file_actions_init(&actions);
	r = posix_spawn_file_actions_adddup2(&actions, fd, 1);
	if (r == 0)
		r = posix_spawnp(&pid, "cat", &actions, NULL, command, environ);
	say("posix_spawn: %s", word(r));
}

static void
system_calls(int fd)
{
	char buf[32] = "";

	say("SYS_write: %s", result(syscall(SYS_write, fd, "by number", 9)));
	wait_poll(fd, POLLIN);
	say("SYS_read: %s %s", result(syscall(SYS_read, fd, buf, sizeof buf)), buf);
	say("SYS_sendto: %s", result(syscall(SYS_sendto, fd, "and again", 9, 0, NULL, 0)));
	wait_poll(fd, POLLIN);
	memset(buf, 0, sizeof buf);
	say("SYS_recvfrom: %s %s", result(syscall(SYS_recvfrom, fd, buf, sizeof buf, 0, NULL, NULL)), buf);
}

int
main(int argc, char **argv)
{
	int fd = dial(argv[1]), one = 1;
	char params[256] = "", back[32] = "";

	(void)argc;
	errno = 0;
	switch (argv[2][0]) {
	case 'f':
		if (argv[2][1] == 'd')
			say("fdopen: %s", fdopen(fd, "r+") ? "a stream" : word(errno));
		else
			say("TCP_FASTOPEN_CONNECT: %s", result(setsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, &one, sizeof one)));
		break;
	case 'z':
		for (int i = 0; i < 3; i++)
			say("dup2 onto %d: %s", i, i == 1 ? word(dup3(fd, i, 0) < 0 ? errno : 0) : result(dup2(fd, i)));
		break;
	case 'r':
		pass(fd);
		break;
	case 's':
		if (argv[2][1] == 'p')
			spawn_onto_stdin(fd);
		else
			system_calls(fd);
		break;
	case 'u':
		say("io_uring_setup: %s", syscall(SYS_io_uring_setup, 4, params) < 0 ? word(errno) : "made");
		break;
	case 'd':
		say("dprintf: %d", dprintf(fd, "%s %d %s", "number", 42, "in text"));
		read_all(fd, back, 17, 17);
		say("back: %s", back);
		break;
	}
	echo(fd, "after");
	finish(fd);
	return 0;
}
