/*
 * replaced PORT path|search|forked|missing|no-program FILE: a process that execs, and with it closes the connection, or tries to;
 * FILE can be executed, yet is no program.
 */
#include "probe.h"

#include <sys/wait.h>

static void
not_replaced(int fd, const char *how, const char *file)
{
	char *argv[] = { (char[]){ "x" }, NULL };

	if (!strcmp(how, "missing")) {
		say("execv: %s", result(execv("/nonexistent/program", argv)));
		say("execvp: %s", result(execvp("no-such-program-anywhere", argv)));
		say("execv of a folder: %s", result(execv("/", argv)));
		echo(fd, "after");
		finish(fd);
		return;
	}
	say("execv: %s", result(execv(file, argv)));
	say("write: %s", result(send(fd, "after", 5, MSG_NOSIGNAL)));
}

/* One child execs while we hold the connection; another one when it alone does. */
static void
hand_down(int fd)
{
	pid_t parent = getpid();

	if (must("fork", fork()) == 0)
		return;
	must("wait", wait(NULL));
	echo(fd, "in the parent");
	if (must("fork", fork()))
		_exit(0);
	while (getppid() == parent)
		usleep(1000);
}

int
main(int argc, char **argv)
{
	const char *how = argv[2];
	int fd = dial(argv[1]);

	must("F_SETFD", fcntl(fd, F_SETFD, FD_CLOEXEC));
	echo(fd, "before");
	if (!strcmp(how, "missing") || !strcmp(how, "no-program")) {
		not_replaced(fd, how, argc > 3 ? argv[3] : "");
		return 0;
	}
	if (!strcmp(how, "forked"))
		hand_down(fd);
	if (!strcmp(how, "search"))
		execlp("true", "true", (char *)NULL);
	execl("/bin/true", "true", (char *)NULL);
	die("exec");
}
