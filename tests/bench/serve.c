/*
 * serve.c - the server of the stream and ping-pong scenarios: blocking, one connection after the other, 64 KiB buffers.
 * usage: serve PORT [CERTIFICATE KEY CIPHERSUITES GROUPS]
 */
#include <signal.h>

#include "end.h"

static void
converse(const struct end *end)
{
	static char buf[BUFFER];
	struct command command;

	while (end_take(end, (char *)&command, sizeof(command)))
		if (!end_take(end, buf, command.up) || !end_give(end, buf, command.down))
			return;
}

int
main(int argc, char **argv)
{
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
	struct sockaddr_in at;

	if (argc != 2 && argc != 6)
		return 2;
	signal(SIGPIPE, SIG_IGN);
	if (argc == 6)
		end_serves_tls(argv[2], argv[3], argv[4], argv[5]);
	at = local_address(argv[1]);
	if (setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
	    bind(listener, (struct sockaddr *)&at, sizeof(at)) != 0 || listen(listener, 128) != 0)
		die("listen");
	for (;;) {
		struct end end = {.fd = accept(listener, NULL, NULL)};

		if (end.fd < 0)
			die("accept");
		end_no_delay(end.fd);
		if (end_accepted(&end))
			converse(&end);
		end_close(&end);
	}
}
