/* resolved PORT NAME wait|suspend|poll: a host resolved by getaddrinfo_a, in each way to learn that it is done, and connected to. */
#include "probe.h"

#include <netdb.h>

int
main(int argc, char **argv)
{
	struct addrinfo hints = { .ai_family = AF_INET, .ai_socktype = SOCK_STREAM };
	struct gaicb request = { .ar_name = argv[2], .ar_service = argv[1], .ar_request = &hints }, *list[] = { &request };
	const struct gaicb *waiting[] = { &request };
	const char *how = argv[3];
	int fd = make_socket(0), r = getaddrinfo_a(*how == 'w' ? GAI_WAIT : GAI_NOWAIT, list, 1, NULL);

	(void)argc;
	if (r != 0)
		say("getaddrinfo_a: %s", gai_strerror(r));
	while (*how == 's' && gai_suspend(waiting, 1, NULL) == EAI_INTR)
		;
	while (*how == 'p' && gai_error(&request) == EAI_INPROGRESS)
		poll(NULL, 0, 5);
	if (!request.ar_result)
		return 1;
	say("connect: %s", result(connect(fd, request.ar_result->ai_addr, request.ar_result->ai_addrlen)));
	echo(fd, "hello");
	finish(fd);
	return 0;
}
