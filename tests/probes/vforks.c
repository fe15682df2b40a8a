/*
 * vforks PORT: what a vfork child and its exec do to a descriptor is nothing to the parent.
 * vforks PORT reused: the child closes its number of the connection, and gets it again for something else.
 * vforks PORT inside: a child that has our memory, or a copy of it of which no hook knows, writes to the connection.
 */
#include "probe.h"

#include <sys/syscall.h>
#include <sys/wait.h>

#include <sched.h>
#include <spawn.h>

static int wire;
static volatile int tried;

static int
try(void *unused)
{
	(void)unused;
	tried = write(wire, "x", 1) == 1 ? 0 : errno;
	_exit(tried);
}

/* A copied memory shows in the exit status only. */
static void
tell(const char *how, pid_t pid)
{
	int status = -1;

	must("waitpid", waitpid(pid, &status, 0));
	say("%s: %s", how, word(WEXITSTATUS(status)));
	echo(wire, how);
}

static void
inside(void)
{
	static char stack[64 * 1024] __attribute__((aligned(16)));
	pid_t pid = vfork();

	if (pid == 0) {
		pid_t grandchild = vfork();

		if (grandchild == 0)
			_exit(0);
		waitpid(grandchild, NULL, 0);
		try(NULL);
	}
	tell("vfork", pid);
	pid = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
	if (pid == 0)
		try(NULL);
	tell("bare clone", pid);
	tell("clone", clone(try, stack + sizeof stack, CLONE_VM | CLONE_VFORK | SIGCHLD, NULL));
}

static int
again(const char *how)
{
	int pair[2] = { -1, -1 };

	if (!strcmp(how, "dup"))
		return dup(1);
	if (!strcmp(how, "dup2"))
		return dup2(1, wire);
	if (!strcmp(how, "socket"))
		return socket(AF_INET, SOCK_STREAM, 0);
	if (!strcmp(how, "socketpair"))
		return socketpair(AF_UNIX, SOCK_STREAM, 0, pair) ? -1 : pair[0];
	if (!strcmp(how, "fdopen"))
		return fileno(fdopen(open("/dev/null", O_RDONLY), "r"));
	return fcntl(1, F_DUPFD, wire);
}

static void
reuse(const char *how)
{
	int status = -1;
	pid_t pid = vfork();

	if (pid == 0) {
		close(wire);
		_exit(again(how) != wire);
	}
	must("waitpid", waitpid(pid, &status, 0));
	say("%s: %d", how, status);
	echo(wire, how);
}

static void
reused(void)
{
	static const char *const ways[] = { "dup", "dup2", "socket", "socketpair", "fdopen", "F_DUPFD" };

	for (size_t i = 0; i < sizeof ways / sizeof *ways; i++)
		reuse(ways[i]);
}

int
main(int argc, char **argv)
{
	int fd = dial(argv[1]), status = -1;
	posix_spawn_file_actions_t actions;
	char name[] = "true", *command[] = { name, NULL };
	pid_t pid;

	wire = fd;
	echo(fd, "before");
	if (argc > 2) {
		if (!strcmp(argv[2], "reused"))
			reused();
		else
			inside();
		finish(fd);
		return 0;
	}
	pid = vfork();
	if (pid == 0) {
		close(fd);
		_exit(0);
	}
	must("waitpid", waitpid(pid, &status, 0));
	say("closed by the child: %d", status);
	echo(fd, "after vfork");
	pid = vfork();
	if (pid == 0) {
		dup2(1, 2);
		closefrom(3);
		execvp("true", command);
		_exit(9);
	}
	must("waitpid", waitpid(pid, &status, 0));
	say("child ran: %d", status);
	echo(fd, "after exec");
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addclose(&actions, fd);
	say("posix_spawnp: %s", word(posix_spawnp(&pid, "true", &actions, NULL, command, environ)));
	must("waitpid", waitpid(pid, &status, 0));
	say("spawned: %d", status);
	echo(fd, "after posix_spawn");
	finish(fd);
	return 0;
}
