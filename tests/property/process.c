/* process.c - new threads, new processes, new programs, and the ways by which a descriptor gets there. */
#include "worker.h"

#include <sys/socket.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* fork NAME [double]: the child serves the driver under that name */
static void
do_fork(struct op *o)
{
	pid_t pid = fork();

	if (pid == 0) {
		close(control);
		if (flag(o, 2, "double") && fork())
			_exit(0);
		actor_serve(word(o, 1));
	}
	if (pid > 0 && flag(o, 2, "double"))
		waitpid(pid, NULL, 0);
	say(o, pid > 0 ? "forked" : "no fork");
}

static void *
thread(void *name)
{
	if (actor_connect(name))
		actor_loop();
	free(name);
	return NULL;
}

/* thread NAME */
static void
do_thread(struct op *o)
{
	pthread_t t;
	char *name = strdup(word(o, 1));
	int r = pthread_create(&t, NULL, thread, name);

	if (r == 0)
		pthread_detach(t);
	say(o, r ? "no thread" : "begun");
}

/* exec: this program again, which answers with the slots that it finds open */
static void
do_exec(struct op *o)
{
	static char numbers[SLOTS + 1][12];
	char *argv[SLOTS + 3] = { (char *)(uintptr_t)"worker" };

	fcntl(control, F_SETFD, 0);
	snprintf(numbers[0], sizeof numbers[0], "%d", control);
	argv[1] = numbers[0];
	for (int i = 0; i < SLOTS; i++) {
		snprintf(numbers[i + 1], sizeof numbers[0], "%d", slot[i]);
		argv[i + 2] = numbers[i + 1];
	}
	execv("/proc/self/exe", argv);
	say_result(o, -1);
}

/* stream sN STREAM OFFSET COUNT: fdopen on a copy of the number, one line out */
static void
do_stream(struct op *o)
{
	int fd = fd_of(o, 1);
	char buf[256];
	size_t n = (size_t)number(o, 4) % sizeof buf;
	FILE *f;

	if (fd < 0)
		return;
	f = fdopen(fd, "r+");
	if (!f) {
		say_result(o, -1);
		return;
	}
	pattern(buf, n, (unsigned)number(o, 2), (uint64_t)number(o, 3));
	say(o, "%zu", fwrite(buf, 1, n, f));
	say(o, "%d", fflush(f));	/* the FILE is left alone: fclose would close the slot */
}

/* pass sN sNEW: through a socket pair of our own and back */
static void
do_pass(struct op *o)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} room = { { 0 } };
	char byte = 'x';
	struct iovec iov = { &byte, 1 };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = room.bytes, .msg_controllen = sizeof room.bytes };
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	int fd = fd_of(o, 1), pair[2], why;

	if (fd < 0 || socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0)
		return;
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof fd);
	memcpy(CMSG_DATA(c), &fd, sizeof fd);
	if (sendmsg(pair[0], &m, 0) < 0) {
		why = errno;
		close(pair[0]);
		close(pair[1]);
		errno = why;
		say_result(o, -1);
		return;
	}
	m.msg_controllen = sizeof room.bytes;
	if (recvmsg(pair[1], &m, 0) == 1 && (c = CMSG_FIRSTHDR(&m)))
		memcpy(&fd, CMSG_DATA(c), sizeof fd);
	close(pair[0]);
	close(pair[1]);
	*slot_of(o, 2) = fd;
	say_result(o, fd);
}

/* exit [_exit] */
static void
do_exit(struct op *o)
{
	send(control, "gone", 4, MSG_NOSIGNAL);
	if (flag(o, 1, "_exit"))
		_exit(0);
	exit(0);
}

const struct verb process_verbs[] = {
	{ "fork", do_fork }, { "thread", do_thread }, { "exec", do_exec }, { "stream", do_stream }, { "pass", do_pass },
	{ "exit", do_exit }, { NULL, NULL },
};
