/*
 * standard connect|accept PORT: a socket that lands on descriptor 1, where stdio would write past every wrapper. Says on descriptor 2 which
 * number or errno the call gave, and writes a secret to stdout.
 */
#include "probe.h"

static int
dialled(struct sockaddr_in *a)
{
	int fd = make_socket(0);

	must("dup2", dup2(fd, 1));
	return connect(fd, (struct sockaddr *)a, sizeof *a);
}

static int
accepted(struct sockaddr_in *a)
{
	int fd = make_socket(0), one = 1;

	must("setsockopt", setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one));
	must("bind", bind(fd, (struct sockaddr *)a, sizeof *a));
	must("listen", listen(fd, 1));
	close(1);
	return accept(fd, NULL, NULL);
}

int
main(int argc, char **argv)
{
	struct sockaddr_in a = local(argv[2]);
	int r = argv[1][0] == 'c' ? dialled(&a) : accepted(&a);

	(void)argc;
	fprintf(stderr, "%s\n", r < 0 ? word(errno) : r > 2 ? "above 2" : "a standard descriptor");
	printf("SECRET in clear\n");
	fflush(stdout);
	return 0;
}
