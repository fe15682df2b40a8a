/*
 * native.c - the end that has TLS of its own, from OpenSSL directly, so that the wrapped end meets a peer that shares no code with it.
 * Where the sequence runs over TCP, or both ends are wrapped, the same operations are plain reads and writes.
 */
#include "worker.h"

#include <sys/socket.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static SSL *native[SLOTS];

static SSL_CTX *
context(bool server)
{
	SSL_CTX *ctx = SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());
	const char *certs = getenv("PROPERTY_CERTS"), *version = getenv("PROPERTY_VERSION");
	char path[512];

	if (version && !strcmp(version, "1.2"))
		SSL_CTX_set_max_proto_version(ctx, TLS1_2_VERSION);
	if (server) {
		snprintf(path, sizeof path, "%s/server.pem", certs);
		SSL_CTX_use_certificate_chain_file(ctx, path);
		snprintf(path, sizeof path, "%s/server.key", certs);
		SSL_CTX_use_PrivateKey_file(ctx, path, SSL_FILETYPE_PEM);
	}
	return ctx;
}

/* tls sN client|server: the handshake of the end that is not wrapped; nothing where this run has none such */
static void
do_tls(struct op *o)
{
	const char *role = getenv("PROPERTY_NATIVE");
	int fd = fd_of(o, 1), i = slot_index(word(o, 1)), r;
	bool server = !strcmp(word(o, 2), "server");
	SSL_CTX *ctx;

	if (fd < 0)
		return;
	signal(SIGPIPE, SIG_IGN);	/* a native end may be told so at other times */
	if (!role || strcmp(role, word(o, 2))) {
		say(o, "0");
		return;
	}
	ctx = context(server);
	native[i] = SSL_new(ctx);
	SSL_CTX_free(ctx);
	SSL_set_fd(native[i], fd);
	r = server ? SSL_accept(native[i]) : SSL_connect(native[i]);
	say(o, r == 1 ? "0" : "handshake failed");
}

/* nsend sN COUNT STREAM OFFSET */
static void
do_nsend(struct op *o)
{
	int fd = fd_of(o, 1), i = slot_index(word(o, 1));
	size_t n = (size_t)number(o, 2);
	uint8_t *buf = malloc(n + 1);
	long r;

	if (fd >= 0) {
		pattern(buf, n, (unsigned)number(o, 3), (uint64_t)number(o, 4));
		r = native[i] ? SSL_write(native[i], buf, (int)n) : send(fd, buf, n, 0);
		if (native[i] && r <= 0)
			say(o, "failed");
		else
			say_result(o, r);
	}
	free(buf);
}

/* nrecv sN COUNT: all of it, or what comes before the end */
static void
do_nrecv(struct op *o)
{
	int fd = fd_of(o, 1), i = slot_index(word(o, 1));
	size_t n = (size_t)number(o, 2), done = 0;
	uint8_t *buf = malloc(n + 1);
	long r = 1;

	while (fd >= 0 && done < n) {
		r = native[i] ? SSL_read(native[i], buf + done, (int)(n - done)) : recv(fd, buf + done, n - done, 0);
		if (r <= 0)
			break;
		done += (size_t)r;
	}
	if (fd >= 0) {
		bool ended = r == 0 && (!native[i] || SSL_get_error(native[i], 0) == SSL_ERROR_ZERO_RETURN);

		say(o, "%zu %016lx %s", done, (unsigned long)digest(0, buf, done), r > 0 ? "" : ended ? "end" : "failed");
	}
	free(buf);
}

/* nshut sN: the end of what we write */
static void
do_nshut(struct op *o)
{
	int fd = fd_of(o, 1), i = slot_index(word(o, 1));

	if (fd < 0)
		return;
	if (native[i])
		SSL_shutdown(native[i]);
	say_result(o, shutdown(fd, SHUT_WR));
}

const struct verb native_verbs[] = {
	{ "tls", do_tls }, { "nsend", do_nsend }, { "nrecv", do_nrecv }, { "nshut", do_nshut }, { NULL, NULL },
};
