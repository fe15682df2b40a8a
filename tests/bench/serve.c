/*
 * serve.c - the server of the stream and ping-pong scenarios: blocking, one connection after the other, 64 KiB buffers.
 * usage: serve PORT [CERTIFICATE KEY CIPHERSUITES GROUPS]
 */
#include <signal.h>

#include "end.h"

static SSL_CTX *
context(char **argv)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());

	if (!ctx || SSL_CTX_use_certificate_chain_file(ctx, argv[0]) != 1 || SSL_CTX_use_PrivateKey_file(ctx, argv[1], SSL_FILETYPE_PEM) != 1 ||
	    SSL_CTX_set_ciphersuites(ctx, argv[2]) != 1 || SSL_CTX_set1_groups_list(ctx, argv[3]) != 1)
		die("TLS context");
	return ctx;
}

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
	SSL_CTX *ctx = argc == 6 ? context(argv + 2) : NULL;
	struct sockaddr_in at;

	if (argc != 2 && argc != 6)
		return 2;
	signal(SIGPIPE, SIG_IGN);
	at = local_address(argv[1]);
	if (setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
	    bind(listener, (struct sockaddr *)&at, sizeof(at)) != 0 || listen(listener, 128) != 0)
		die("listen");
	for (;;) {
		struct end end = {.fd = accept(listener, NULL, NULL)};

		if (end.fd < 0)
			die("accept");
		end_no_delay(end.fd);
		if (ctx) {
			end.ssl = SSL_new(ctx);
			if (!end.ssl || SSL_set_fd(end.ssl, end.fd) != 1)
				die("SSL_new");
		}
		if (!ctx || SSL_accept(end.ssl) == 1)
			converse(&end);
		end_close(&end);
		ERR_clear_error();
	}
}
