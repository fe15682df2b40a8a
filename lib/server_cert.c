/*
 * server_cert.c - get_server_certificate: connect, shake hands, take the certificate, leave.
 */
#include "error.h"

#include <sys/socket.h>

#include <errno.h>
#include <netdb.h>
#include <stdbool.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static int64_t
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static int
resolve(const char *host, const char *port, struct addrinfo **list)
{
	const struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM };
	int ret = getaddrinfo(host, port, &hints, list);

	switch (ret) {
	case 0:
		return 0;
	case EAI_MEMORY:
		return error_nomem(NULL);
	case EAI_SERVICE:
		return error_set(NULL, WRAPSOCK_E_INVALID, EINVAL, "the port is neither a number nor a service: %s", gai_strerror(ret));
	case EAI_SYSTEM:
		return error_set(NULL, WRAPSOCK_E_SYSCALL, errno, "the host could not be resolved: %s", gai_strerror(ret));
	default:
		return error_set(NULL, WRAPSOCK_E_SYSCALL, EHOSTUNREACH, "the host could not be resolved: %s", gai_strerror(ret));
	}
}

/* Without authorities nothing is verified. */
static struct wrapsock_ctx *
context(int ssl_version, const char *ca_certs)
{
	struct wrapsock_ctx *ctx = wrapsock_ctx_new(ssl_version);

	if (!ctx)
		return NULL;
	if ((ca_certs ? wrapsock_ctx_load_verify_locations(ctx, ca_certs, NULL) : wrapsock_ctx_insecure_no_verify(ctx)) == 0)
		return ctx;
	error_move(NULL, ctx);
	wrapsock_ctx_free(ctx);
	return NULL;
}

/* A connection whose handshake is done, or NULL; *next: another address may do better. */
static struct wrapsock_sock *
dial(struct wrapsock_ctx *ctx, const struct addrinfo *ai, const char *host, int64_t deadline, bool *next)
{
	int64_t left = deadline < 0 ? -1 : deadline - now();
	struct wrapsock_sock *sock;
	int fd, error;

	*next = false;
	if (deadline >= 0 && left <= 0) {
		error_set(NULL, WRAPSOCK_E_TIMEOUT, ETIMEDOUT, "the server's certificate did not come within the timeout");
		return NULL;
	}
	fd = socket(ai->ai_family, ai->ai_socktype | SOCK_CLOEXEC, ai->ai_protocol);
	if (fd < 0) {
		error_set(NULL, WRAPSOCK_E_SYSCALL, errno, "a socket could not be made: %s", strerrordesc_np(errno));
		*next = true;
		return NULL;
	}
	sock = wrapsock_wrap(ctx, fd, WRAPSOCK_OWN_FD, host);
	if (!sock) {
		error = errno;
		close(fd);
		errno = error;
		return NULL;
	}
	if (wrapsock_set_timeout(sock, (int)left) == 0 && wrapsock_connect(sock, ai->ai_addr, ai->ai_addrlen) == 0)
		return sock;
	*next = wrapsock_err(sock) == WRAPSOCK_E_SYSCALL;
	error_move(NULL, sock);
	error = errno;
	wrapsock_close(sock);
	errno = error;
	return NULL;
}

static char *
certificate(struct wrapsock_sock *sock)
{
	unsigned char *der = NULL;
	char *pem = NULL;
	size_t len;

	switch (wrapsock_getpeercert_der(sock, &der, &len)) {
	case 1:
		pem = wrapsock_DER_cert_to_PEM_cert(der, len);
		break;
	case 0:
		error_set(NULL, WRAPSOCK_E_SSL, EPROTO, "the server has no certificate");
		break;
	default:
		error_move(NULL, sock);
	}
	wrapsock_free(der);
	return pem;
}

static char *
fetch(struct wrapsock_ctx *ctx, const struct addrinfo *list, const char *host, int64_t deadline)
{
	struct wrapsock_sock *sock = NULL;
	bool next = true;
	char *pem;
	int error;

	for (const struct addrinfo *ai = list; ai && next && !sock; ai = ai->ai_next)
		sock = dial(ctx, ai, host, deadline, &next);
	if (!sock)
		return NULL;
	pem = certificate(sock);
	error = errno;
	wrapsock_close(sock);
	errno = error;
	return pem;
}

char *
wrapsock_get_server_certificate(const char *host, const char *port, int ssl_version, const char *ca_certs, int timeout_ms)
{
	int64_t deadline = timeout_ms < 0 ? -1 : now() + timeout_ms;
	int before = errno, error;
	struct addrinfo *list;
	struct wrapsock_ctx *ctx;
	char *pem = NULL;

	error_clear(NULL);
	if (!host || !*host || !port || !*port || timeout_ms == 0) {
		error_set(NULL, WRAPSOCK_E_INVALID, EINVAL, "expected a host, a port, and a timeout of milliseconds or -1");
		return NULL;
	}
	ctx = context(ssl_version, ca_certs);
	if (!ctx)
		return NULL;
	if (resolve(host, port, &list) == 0) {
		pem = fetch(ctx, list, host, deadline);
		error = errno;
		freeaddrinfo(list);
		errno = pem ? before : error;
	}
	error = errno;
	wrapsock_ctx_free(ctx);
	errno = error;
	return pem;
}
