/* itself PORT: a single-threaded process connects to its own listener, and asks whether it has. */
#include "probe.h"

int
main(int argc, char **argv)
{
	struct sockaddr_in a = local(argv[1]);
	struct sockaddr_in peer;
	socklen_t len = sizeof peer;
	int listener = make_socket(0), fd = make_socket(0);

	(void)argc;
	must("bind", bind(listener, (struct sockaddr *)&a, sizeof a));
	must("listen", listen(listener, 1));
	say("connect: %s", word(connect(fd, (struct sockaddr *)&a, sizeof a) ? errno : 0));
	say("getpeername: %s", word(getpeername(fd, (struct sockaddr *)&peer, &len) ? errno : 0));
	return 0;
}
