/*
 * conn_fuzz.c - a peer's bytes into the connection core: as a server, as a client, and behind a finished handshake.
 *
 * The first byte chooses which; the second how the program reads: sizes, peeks, FIONREAD, readiness.  Whatever the bytes are, a
 * call returns a count or an error, a failure is for ever, and nothing is read that was not sent.
 */
#include "conn.h"

#include "certificate.h"

#include <sys/socket.h>

#include <string.h>
#include <unistd.h>

#include <openssl/ssl.h>

static struct config *server, *client;
static SSL_CTX *peer_ctx;

static struct config *
sealed(enum config_role role, const char *certfile)
{
	static const char *const loose[][2] = { { "insecure", "yes" }, { "cert_reqs", "none" }, { "check_hostname", "no" } };
	struct config *c = config_new(role);
	char err[300], warn[300];

	need(c != NULL, "a config");
	for (size_t i = 0; i < 3 && role == CONFIG_CLIENT; i++)
		need(config_set(c, loose[i][0], loose[i][1], err, sizeof err) == 0, err);
	if (role == CONFIG_SERVER)
		need(config_set(c, "certfile", certfile, err, sizeof err) == 0, err);
	need(config_seal(c, err, sizeof err, warn, sizeof warn) == 0, err);
	return c;
}

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	char path[] = "/tmp/conn_fuzz.XXXXXX";
	int fd = mkstemp(path);

	(void)argc;
	(void)argv;
	need(fd >= 0 && close(fd) == 0, "a file");
	make_certificate(path);
	server = sealed(CONFIG_SERVER, path);
	client = sealed(CONFIG_CLIENT, NULL);
	unlink(path);
	peer_ctx = SSL_CTX_new(TLS_client_method());
	need(peer_ctx != NULL, "a peer");
	return 0;
}

/* Both ends of the handshake in turn, over a non-blocking pair. */
static void
shake(struct conn *c, int fd, SSL *peer)
{
	int done = -EAGAIN;

	for (int i = 0; i < 20 && (done != 0 || !SSL_is_init_finished(peer)); i++) {
		SSL_do_handshake(peer);
		done = conn_handshake(c, fd, false);
	}
	need(done == 0, "the handshake did not finish");
}

static void
use(struct conn *c, int fd, uint8_t how, size_t sent)
{
	static const size_t sizes[] = { 1, 5, 100, 4096, 20000, 70000, 16384, 3 };
	static uint8_t buf[70000];
	struct iovec iov = { buf, sizes[how & 7] };
	int64_t got = 0;

	for (int i = 0; i < 200; i++) {
		ssize_t n;
		int error = conn_error(c);

		if (how & 8)
			need(conn_arrived(c, fd) >= 0, "FIONREAD failed");
		if (how & 16)
			conn_recv(c, fd, &iov, 1, MSG_PEEK);
		if (how & 32)
			conn_tells(c, fd, POLLIN, POLLIN);
		n = conn_recv(c, fd, &iov, 1, how & 64 ? MSG_WAITALL | MSG_DONTWAIT : 0);
		need(n <= (ssize_t)iov.iov_len, "more than asked for");
		need(!error || conn_error(c) == error, "a failure changed");
		if (n <= 0)
			break;
		got += n;
	}
	need(got <= (int64_t)sent, "more plaintext than ciphertext");
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	bool as_client, open;
	struct conn *c;
	SSL *peer = NULL;
	int fd[2];

	if (size < 2 || size > 60000)
		return 0;
	as_client = data[0] & 1;
	open = !as_client && data[0] & 2;
	need(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fd) == 0, "a pair");
	c = conn_new(as_client ? client : server, NULL, 0, true, NULL);
	need(c != NULL, "a connection");
	if (open) {
		peer = SSL_new(peer_ctx);
		need(peer && SSL_set_fd(peer, fd[1]), "a peer");
		SSL_set_connect_state(peer);
		shake(c, fd[0], peer);
		if (data[0] & 4)	/* something true before */
			need(SSL_write(peer, data, (int)(size > 100 ? 100 : size)) > 0, "the peer's write");
	}
	need(write(fd[1], data + 2, size - 2) == (ssize_t)(size - 2), "the wire is full");
	if (data[0] & 8)
		shutdown(fd[1], SHUT_WR);
	use(c, fd[0], data[1], size + 100);
	conn_close(c, fd[0], true);
	conn_free(c);
	SSL_free(peer);
	close(fd[0]);
	close(fd[1]);
	return 0;
}
