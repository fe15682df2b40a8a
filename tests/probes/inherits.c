/*
 * inherits PORT exec|system|popen|unseen|look FD: a started program looks at the number it inherits; what the kernel would hand to
 * an exec that nobody sees.
 */
#include "probe.h"

#include <sys/wait.h>

static const char *
kernels_flag(int fd)
{
	char path[64], line[128];
	unsigned flags = 0;
	FILE *info;

	snprintf(path, sizeof path, "/proc/self/fdinfo/%d", fd);
	info = fopen(path, "r");
	while (info && fgets(line, sizeof line, info))
		sscanf(line, "flags: %o", &flags);
	if (info)
		fclose(info);
	return flags & O_CLOEXEC ? "close-on-exec" : "inherited";
}

static int
unseen(const char *port)
{
	struct sockaddr_in a = local(port);
	int fd = make_socket(0), before = dup(fd), after;

	must("connect", connect(fd, (struct sockaddr *)&a, sizeof a));
	after = dup(before);
	say("kernel's flags: %s %s %s", kernels_flag(fd), kernels_flag(before), kernels_flag(after));
	say("the program's: %s %s %s", result(fcntl(fd, F_GETFD)), result(fcntl(before, F_GETFD)), result(fcntl(after, F_GETFD)));
	return 0;
}

int
main(int argc, char **argv)
{
	char number[16], command[1024];
	int fd, status;

	if (argc > 3) {
		say("inherited: %s", result(fcntl(atoi(argv[3]), F_GETFD)));
		say("write: %s", result(write(atoi(argv[3]), secret(), 13)));
		return 0;
	}
	if (!strcmp(argv[2], "unseen"))
		return unseen(argv[1]);
	fd = dial(argv[1]);
	echo(fd, "before");
	snprintf(number, sizeof number, "%d", fd);
	snprintf(command, sizeof command, "'%s' %s look %s", argv[0], argv[1], number);
	if (!strcmp(argv[2], "system")) {
		status = system(command);
	} else if (!strcmp(argv[2], "popen")) {
		status = pclose(popen(command, "w"));
	} else {
		if (must("fork", fork()) == 0) {
			execl(argv[0], argv[0], argv[1], "look", number, (char *)NULL);
			die("execl");
		}
		must("wait", wait(&status));
	}
	say("child: %d", WEXITSTATUS(status));
	echo(fd, "after");
	finish(fd);
	return 0;
}
