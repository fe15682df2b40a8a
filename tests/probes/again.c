/* again PORT COUNT: one request and its answer on each of COUNT connections, one after the other. */
#include "probe.h"

int
main(int argc, char **argv)
{
	char request[100], answer[4096];
	int len = snprintf(request, sizeof request, "GET /none HTTP/1.1\r\nHost: here\r\nConnection: close\r\nX-Word: %.12s\r\n\r\n", secret());

	for (int i = argc > 2 ? atoi(argv[2]) : 1; i > 0; i--) {
		int fd = dial(argv[1]);

		must("write", write(fd, request, (size_t)len));
		say("answered: %s", must("read", read(fd, answer, sizeof answer)) > 0 ? "yes" : "no");
		shutdown(fd, SHUT_WR);
		while (read(fd, answer, sizeof answer) > 0)
			;
		close(fd);
	}
	return 0;
}
