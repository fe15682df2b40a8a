/*
 * follows PORT HOW: a program started in that way, with an environment that was wiped, connects and is answered; `follows PORT
 * child` is that program, and `follows PORT again` starts it once more.
 */
#include "probe.h"

#include <sys/wait.h>

#include <spawn.h>

static char *self, *port, *what = (char[]){ "child" };
static char *nothing[] = { NULL };

static void
tell(int status)
{
	if (WIFEXITED(status))
		say("status: %d", WEXITSTATUS(status));
	else
		say("signal: %d", WTERMSIG(status));
}

static void
reap(pid_t pid)
{
	int status = -1;

	must("waitpid", waitpid(pid, &status, 0));
	tell(status);
}

static void
by_exec(const char *how)
{
	char *argv[] = { self, port, what, NULL };

	if (!strcmp(how, "execve"))
		execve(self, argv, nothing);
	else if (!strcmp(how, "no-environment"))
		execve(self, argv, NULL);
	else if (!strcmp(how, "execle"))
		execle(self, self, port, what, (char *)NULL, nothing);
	else if (!strcmp(how, "execvpe"))
		execvpe(self, argv, nothing);
	else if (!strcmp(how, "fexecve"))
		fexecve(open(self, O_RDONLY | O_CLOEXEC), argv, nothing);
	else if (!strcmp(how, "execveat"))
		execveat(AT_FDCWD, self, argv, nothing, 0);
	clearenv();
	if (!strcmp(how, "execv"))
		execv(self, argv);
	else if (!strcmp(how, "execvp"))
		execvp(self, argv);
	else if (!strcmp(how, "execl"))
		execl(self, self, port, what, (char *)NULL);
	else if (!strcmp(how, "execlp"))
		execlp(self, self, port, what, (char *)NULL);
	die(how);
}

static void
by_spawn(bool search)
{
	char *argv[] = { self, port, what, NULL };
	pid_t pid;
	int r = (search ? posix_spawnp : posix_spawn)(&pid, self, NULL, NULL, argv, nothing);

	if (r)
		say("spawn: %s", word(r));
	else
		reap(pid);
}

static void
by_vfork(void)
{
	char *argv[] = { self, port, what, NULL };
	pid_t pid = vfork();

	if (pid == 0) {
		execve(self, argv, nothing);
		_exit(errno);
	}
	reap(pid);
}

static void
by_shell(bool pipe)
{
	char command[4096], line[256];
	FILE *f;
	int r;

	clearenv();
	setenv("A", "it's", 1);
	snprintf(command, sizeof command, "echo \"$0: $A '\"; '%s' %s %s; exit 7", self, port, what);
	if (!pipe) {
		r = system(command);
		if (r == -1)
			die("system");
		tell(r);
		return;
	}
	f = popen(command, "r");
	if (!f)
		die("popen");
	while (fgets(line, sizeof line, f))
		printf("through the pipe: %s", line);
	tell(pclose(f));
}

static void
child(void)
{
	int fd = dial(port);

	echo(fd, "from the child");
	finish(fd);
}

int
main(int argc, char **argv)
{
	const char *how = argv[2];

	(void)argc;
	self = argv[0];
	port = argv[1];
	if (argc > 3)
		what = argv[3];
	if (!strcmp(how, "child"))
		child();
	else if (!strcmp(how, "again"))
		execle(self, self, port, "child", (char *)NULL, nothing);
	else if (!strcmp(how, "spawn") || !strcmp(how, "spawnp"))
		by_spawn(how[5]);
	else if (!strcmp(how, "vfork"))
		by_vfork();
	else if (!strcmp(how, "system") || !strcmp(how, "popen"))
		by_shell(*how == 'p');
	else
		by_exec(how);
	return 0;
}
