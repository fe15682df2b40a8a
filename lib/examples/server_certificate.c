/*
 * server_certificate.c - the certificate of a server as PEM. Without CA-FILE it proves nothing; with it chain and name have been checked.
 *
 *	server_certificate HOST PORT [CA-FILE]
 */
#include <stdio.h>
#include <wrapsock.h>

int
main(int argc, char **argv)
{
	char *pem;

	if (argc < 3 || argc > 4) {
		fprintf(stderr, "usage: server_certificate HOST PORT [CA-FILE]\n");
		return 2;
	}
	pem = wrapsock_get_server_certificate(argv[1], argv[2], WRAPSOCK_PROTOCOL_TLS, argc == 4 ? argv[3] : NULL, 10000);
	if (!pem) {
		fprintf(stderr, "%s\n", wrapsock_errstr(NULL));
		return 1;
	}
	fputs(pem, stdout);
	wrapsock_free(pem);
	return 0;
}
