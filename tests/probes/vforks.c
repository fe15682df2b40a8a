/* vforks PORT: what a vfork child and its exec do to a descriptor is nothing to the parent. */
#include "probe.h"

#include <sys/wait.h>

#include <spawn.h>

int
main(int argc, char **argv)
{
	int fd = dial(argv[1]), status = -1;
	posix_spawn_file_actions_t actions;
	char name[] = "true", *command[] = { name, NULL };
	pid_t pid;

	(void)argc;
	echo(fd, "before");
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
