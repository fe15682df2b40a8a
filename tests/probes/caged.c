/* caged client|server PORT FOLDER: gives up its root folder and its user before it connects or accepts, as daemons do; one echo. */
#include "probe.h"

#include <grp.h>

static void
give_up(const char *folder)
{
	must("chroot", chroot(folder));
	must("chdir", chdir("/"));
	must("setgroups", setgroups(0, NULL));
	must("setgid", setgid(54321));
	must("setuid", setuid(54321));
	say("caged");
}

int
main(int argc, char **argv)
{
	struct sockaddr_in a = local(argv[2]);
	char buf[100];
	int fd, one = 1;
	ssize_t n;

	if (argc > 3 && !strcmp(argv[1], "client")) {
		give_up(argv[3]);
		fd = dial(argv[2]);
		echo(fd, "hello");
		finish(fd);
		return 0;
	}
	fd = make_socket(0);
	must("setsockopt", setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one));
	must("bind", bind(fd, (struct sockaddr *)&a, sizeof a));
	must("listen", listen(fd, 5));
	give_up(argv[3]);
	for (;;) {
		int guest = (int)must("accept", accept(fd, NULL, NULL));

		while ((n = read(guest, buf, sizeof buf)) > 0)
			write_all(guest, buf, (size_t)n);
		close(guest);
	}
}
