/*
 * spawned PORT OUTPUT: file actions recorded before the socket they name is connected; a program spawned with them may write to
 * OUTPUT, not to it.
 */
#include "probe.h"

#include <sys/wait.h>

#include <spawn.h>

static const char *output;

static void
spawn(const char *what, posix_spawn_file_actions_t *actions)
{
	char sh[] = "sh", c[] = "-c", script[] = "echo in clear", *command[] = { sh, c, script, NULL };
	pid_t pid;
	int status, r = posix_spawnp(&pid, "sh", actions, NULL, command, environ);

	say("%s: %s", what, word(r));
	if (r == 0)
		must("waitpid", waitpid(pid, &status, 0));
	posix_spawn_file_actions_destroy(actions);
}

int
main(int argc, char **argv)
{
	struct sockaddr_in a = local(argv[1]);
	posix_spawn_file_actions_t direct, chain, itself, reopened, closed, later;
	int fd = make_socket(0);

	(void)argc;
	output = argv[2];
	posix_spawn_file_actions_init(&direct);
	posix_spawn_file_actions_adddup2(&direct, fd, 1);
	posix_spawn_file_actions_init(&chain);
	posix_spawn_file_actions_adddup2(&chain, fd, 20);
	posix_spawn_file_actions_addclose(&chain, fd);
	posix_spawn_file_actions_adddup2(&chain, 20, 1);
	posix_spawn_file_actions_init(&itself);
	posix_spawn_file_actions_adddup2(&itself, fd, fd);
	posix_spawn_file_actions_init(&reopened);
	posix_spawn_file_actions_addopen(&reopened, fd, output, O_WRONLY | O_CREAT | O_APPEND, 0600);
	posix_spawn_file_actions_adddup2(&reopened, fd, 1);
	posix_spawn_file_actions_init(&closed);
	posix_spawn_file_actions_addopen(&closed, 1, output, O_WRONLY | O_CREAT | O_APPEND, 0600);
	posix_spawn_file_actions_addclosefrom_np(&closed, 3);
	must("connect", connect(fd, (struct sockaddr *)&a, sizeof a));
	posix_spawn_file_actions_init(&later);
	posix_spawn_file_actions_addclose(&later, 1);
	posix_spawn_file_actions_adddup2(&later, fd, 1);

	spawn("dup2", &direct);
	spawn("dup2 twice", &chain);
	spawn("dup2 onto itself", &itself);
	spawn("open, dup2", &reopened);
	spawn("open, closefrom", &closed);
	spawn("recorded when connected", &later);
	echo(fd, "after");
	finish(fd);
	return 0;
}
