/* bare: started over a connection on 0 and 1, linked statically: what comes goes back; its peer's family on 2. */
#include "probe.h"

int
main(void)
{
	struct sockaddr_storage peer = { 0 };
	socklen_t len = sizeof peer;
	char buf[20000];
	ssize_t n;

	must("getpeername", getpeername(0, (struct sockaddr *)&peer, &len));
	dprintf(2, "peer: %s\n", peer.ss_family == AF_UNIX ? "AF_UNIX" : peer.ss_family == AF_INET ? "AF_INET" : "another");
	while ((n = must("read", read(0, buf, sizeof buf))) > 0)
		write_all(1, buf, (size_t)n);
	return 0;
}
