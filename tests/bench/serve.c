/*
 * serve.c - the server of the stream and ping-pong scenarios: blocking, one connection after the other, or with -t a thread for each.
 * usage: serve [-t] PORT [CERTIFICATE KEY CIPHERSUITES GROUPS]
 */
#include <pthread.h>
#include <signal.h>
#include <stdint.h>

#include "end.h"

static void
converse(const struct end *end, char *buf)
{
	struct command command;

	while (end_take(end, (char *)&command, sizeof(command)))
		if (!end_take(end, buf, command.up) || !end_give(end, buf, command.down))
			return;
}

static void
serve(int fd, char *buf)
{
	struct end end = {.fd = fd};

	end_no_delay(end.fd);
	if (end_accepted(&end))
		converse(&end, buf);
	end_close(&end);
}

static void *
thread(void *fd)
{
	char *buf = malloc(BUFFER);

	if (!buf)
		die("memory");
	serve((int)(intptr_t)fd, buf);
	free(buf);
	return NULL;
}

int
main(int argc, char **argv)
{
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
	bool threads = argc > 1 && strcmp(argv[1], "-t") == 0;
	static char buf[BUFFER];
	struct sockaddr_in at;
	pthread_attr_t attr;
	pthread_t id;

	argc -= threads;
	argv += threads;
	if (argc != 2 && argc != 6)
		return 2;
	signal(SIGPIPE, SIG_IGN);
	if (argc == 6)
		end_serves_tls(argv[2], argv[3], argv[4], argv[5]);
	at = local_address(argv[1]);
	if (setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
	    bind(listener, (struct sockaddr *)&at, sizeof(at)) != 0 || listen(listener, 128) != 0)
		die("listen");
	if (pthread_attr_init(&attr) != 0 || pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED) != 0)
		die("thread");
	for (;;) {
		int fd = accept(listener, NULL, NULL);

		if (fd < 0)
			die("accept");
		if (!threads)
			serve(fd, buf);
		else if (pthread_create(&id, &attr, thread, (void *)(intptr_t)fd) != 0)
			die("thread");
	}
}
