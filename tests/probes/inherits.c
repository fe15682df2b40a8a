/* inherits PORT exec|look FD: an exec'ed program looks at the number it inherits. */
#include "probe.h"

#include <sys/wait.h>

int
main(int argc, char **argv)
{
	char number[16];
	int fd, status;

	if (argc > 3) {
		say("inherited: %s", result(fcntl(atoi(argv[3]), F_GETFD)));
		say("write: %s", result(write(atoi(argv[3]), "secret words\n", 13)));
		return 0;
	}
	fd = dial(argv[1]);
	echo(fd, "before");
	snprintf(number, sizeof number, "%d", fd);
	if (must("fork", fork()) == 0) {
		execl(argv[0], argv[0], argv[1], "look", number, (char *)NULL);
		die("execl");
	}
	must("wait", wait(&status));
	say("child: %d", WEXITSTATUS(status));
	echo(fd, "after");
	finish(fd);
	return 0;
}
