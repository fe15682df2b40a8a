/*
 * judge.c - one process that shows the connection core many certificates: judge FOLDER <MANIFEST
 *
 * A line of the manifest is tab-separated: NAME, client or server (what we are), the name expected (- = none), then KEY=VALUE
 * settings. The peer, OpenSSL as it is, shows FOLDER/NAME.pem with FOLDER/NAME.key, over a socket pair, once in TLS 1.2 and once in
 * TLS 1.3; or on the way FOLDER/NAME.forged is put in their place, in TLS 1.2 only. A line of the answer: NAME, the version, what a
 * program would get ("ok" or errno), what the peer was told, our line in the log.
 */
#include "conn.h"
#include "config.h"
#include "errmap.h"

#include <sys/socket.h>

#include <netinet/in.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>

static char logged[4096];

static void
must(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "judge: %s\n", what);
	ERR_print_errors_fp(stderr);
	exit(2);
}

static void
keep_line(enum conn_log level, const char *line)
{
	if (level <= CONN_LOG_WARN)
		snprintf(logged + strlen(logged), sizeof logged - strlen(logged), "%s%s", *logged ? " // " : "", line);
}

static X509 *
next_certificate(BIO *in)
{
	X509 *x = PEM_read_bio_X509(in, NULL, NULL, NULL);

	ERR_clear_error();
	return x;
}

/* Shows whatever is in the files, and verifies nothing. */
static SSL_CTX *
peer_context(const char *folder, const char *name, bool server, int version)
{
	SSL_CTX *ctx = SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());
	char path[512];
	EVP_PKEY *key = NULL;
	X509 *x = NULL;
	BIO *in;

	must(ctx != NULL, "SSL_CTX_new");
	SSL_CTX_set_security_level(ctx, 0);
	SSL_CTX_set_mode(ctx, SSL_MODE_NO_AUTO_CHAIN);
	SSL_CTX_set_min_proto_version(ctx, version);
	SSL_CTX_set_max_proto_version(ctx, version);
	snprintf(path, sizeof path, "%s/%s.pem", folder, name);
	if (!server && access(path, F_OK) != 0)
		return ctx;		/* a client that shows nothing */
	in = BIO_new_file(path, "r");
	must(in && (x = next_certificate(in)) && SSL_CTX_use_certificate(ctx, x), path);
	X509_free(x);
	while ((x = next_certificate(in)) != NULL)
		must(SSL_CTX_add0_chain_cert(ctx, x), path);
	BIO_free(in);
	snprintf(path, sizeof path, "%s/%s.key", folder, name);
	in = BIO_new_file(path, "r");
	must(in && (key = PEM_read_bio_PrivateKey(in, NULL, NULL, NULL)) && SSL_CTX_use_PrivateKey(ctx, key), path);
	EVP_PKEY_free(key);
	BIO_free(in);
	return ctx;
}

static struct config *
make_config(enum config_role role, char **settings, int version)
{
	struct config *c = config_new(role);
	char err[512] = "", warn[512] = "", *value;

	must(c != NULL, "config_new");
	for (; *settings; settings++) {
		char key[64];

		value = strchr(*settings, '=');
		must(value != NULL, *settings);
		snprintf(key, sizeof key, "%.*s", (int)(value - *settings), *settings);
		must(config_set(c, key, value + 1, err, sizeof err) == 0, err);
	}
	config_set(c, "maximum_version", version == TLS1_2_VERSION ? "TLSv1.2" : "TLSv1.3", err, sizeof err);
	must(config_set_place(c, "rule table (cases:1)") == 0, "config_set_place");
	must(config_seal(c, err, sizeof err, warn, sizeof warn) == 0, err);
	return c;
}

/* ---- between the two: the peer's bytes, of which the certificates may be exchanged for such as OpenSSL would not show ---- */

struct forged {
	unsigned char *message;		/* TLS 1.2: a record with a Certificate message in it; NULL = nothing is exchanged */
	size_t len;
};

static unsigned char *
put24(unsigned char *at, size_t n)
{
	*at++ = (unsigned char)(n >> 16);
	*at++ = (unsigned char)(n >> 8);
	*at++ = (unsigned char)n;
	return at;
}

static struct forged
forged_read(const char *folder, const char *name)
{
	unsigned char list[16384], *at = list, *der = NULL;
	struct forged f = { NULL, 0 };
	char path[512];
	X509 *x = NULL;
	BIO *in;
	int len;

	snprintf(path, sizeof path, "%s/%s.forged", folder, name);
	if (!(in = BIO_new_file(path, "r"))) {
		ERR_clear_error();
		return f;
	}
	for (; (x = next_certificate(in)) != NULL; der = NULL) {
		len = i2d_X509(x, &der);
		must(len > 0 && at + len + 3 + 16 < list + sizeof list, path);
		memcpy(at = put24(at, (size_t)len), der, (size_t)len);
		at += len;
		OPENSSL_free(der);
		X509_free(x);
	}
	BIO_free(in);
	len = (int)(at - list);
	f.len = 5 + 4 + 3 + (size_t)len;
	f.message = malloc(f.len);
	must(f.message != NULL, "memory");
	at = f.message;
	*at++ = SSL3_RT_HANDSHAKE;
	at = put24(at, 0x030300 | (size_t)(len + 7) >> 8);
	*at++ = (unsigned char)(len + 7);
	*at++ = SSL3_MT_CERTIFICATE;
	at = put24(at, (size_t)len + 3);
	memcpy(put24(at, (size_t)len), list, (size_t)len);
	return f;
}

static void
write_all(int fd, const unsigned char *p, size_t n)
{
	must(n == 0 || write(fd, p, n) == (ssize_t)n || errno == EPIPE, "socket");
}

/* Whole records only, as OpenSSL writes them into a memory BIO. */
static void
carry(SSL *peer, int fd, const struct forged *f)
{
	static unsigned char bytes[1 << 20];
	int n = BIO_read(SSL_get_wbio(peer), bytes, sizeof bytes);

	for (unsigned char *p = bytes; n > 0;) {
		int len = f->message && n > 5 ? 5 + (p[3] << 8 | p[4]) : n;
		bool exchange = f->message && n > 5 && p[0] == SSL3_RT_HANDSHAKE && p[5] == SSL3_MT_CERTIFICATE;

		write_all(fd, exchange ? f->message : p, exchange ? f->len : (size_t)len);
		p += len;
		n -= len;
	}
	while ((n = (int)read(fd, bytes, sizeof bytes)) > 0)
		must(BIO_write(SSL_get_rbio(peer), bytes, n) == n, "memory");
}

/* Until both sides have come to an end: 0 or the errno. */
static int
converse(struct conn *c, int fd, SSL *peer, int far, const struct forged *f)
{
	int r = -EAGAIN, theirs = -1, calm = 0;

	for (int turn = 0; turn < 1000 && calm < 3; turn++) {
		int before = r, then = theirs;

		if (r == -EAGAIN)
			r = conn_handshake(c, fd, false);
		if (theirs < 0) {
			ERR_clear_error();
			theirs = SSL_do_handshake(peer) == 1;
			if (!theirs && SSL_get_error(peer, 0) == SSL_ERROR_WANT_READ)
				theirs = -1;
		}
		carry(peer, far, f);
		calm = before == r && then == theirs && r != -EAGAIN ? calm + 1 : 0;
	}
	return r < 0 ? -r : r;
}

/* What the peer hears of a refusal may come behind its own end of the handshake. */
static const char *
peer_hears(SSL *peer)
{
	static char text[128];
	unsigned long code = ERR_peek_error();
	char byte;

	if (!code && SSL_is_init_finished(peer) && SSL_read(peer, &byte, 1) <= 0)
		code = ERR_peek_error();
	snprintf(text, sizeof text, "%s", code ? ERR_reason_error_string(code) : "-");
	ERR_clear_error();
	return text;
}

static void
judge(const char *folder, const char *name, enum config_role role, const char *host, char **settings, int version)
{
	const struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(443), .sin_addr = { htonl(0xc0000201) } };
	SSL_CTX *ctx = peer_context(folder, name, role == CONFIG_CLIENT, version);
	struct config *config = make_config(role, settings, version);
	struct forged forged = forged_read(folder, name);
	const char *heard;
	struct conn *c;
	int fds[2], r;
	SSL *peer = SSL_new(ctx);

	if (forged.message && version != TLS1_2_VERSION)
		goto out;	/* there it is encrypted */
	must(peer && socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0, "socketpair");
	setsockopt(fds[1], SOL_SOCKET, SO_SNDBUF, &(int){ 1 << 20 }, sizeof(int));
	SSL_set_bio(peer, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
	BIO_set_mem_eof_return(SSL_get_rbio(peer), -1);
	if (role == CONFIG_CLIENT)
		SSL_set_accept_state(peer);
	else
		SSL_set_connect_state(peer);
	c = conn_new(config, (const struct sockaddr *)&to, sizeof to, true, host);
	must(c != NULL, "conn_new");
	logged[0] = '\0';
	r = converse(c, fds[0], peer, fds[1], &forged);
	heard = r ? peer_hears(peer) : "-";
	printf("%s\t%s\t%s\t%s\t%s\n", name, version == TLS1_2_VERSION ? "TLSv1.2" : "TLSv1.3", r ? errmap_name(r) : "ok", heard, logged);
	conn_close(c, fds[0], true);
	conn_free(c);
	close(fds[0]);
	close(fds[1]);
out:
	free(forged.message);
	config_free(config);
	SSL_free(peer);
	SSL_CTX_free(ctx);
}

int
main(int argc, char **argv)
{
	static const struct conn_host host = { .poll = poll, .log = keep_line };
	char line[4096], *fields[64];

	must(argc == 2, "usage: judge FOLDER <MANIFEST");
	conn_host(&host);
	while (fgets(line, sizeof line, stdin)) {
		size_t n = 0;
		char *rest = line, *field;

		line[strcspn(line, "\n")] = '\0';
		while (n < 63 && (field = strsep(&rest, "\t")) != NULL)
			fields[n++] = field;
		fields[n] = NULL;
		must(n >= 3, line);
		for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++)
			judge(argv[1], fields[0], strcmp(fields[1], "client") == 0 ? CONFIG_CLIENT : CONFIG_SERVER,
			      strcmp(fields[2], "-") == 0 ? NULL : fields[2], fields + 3, version);
	}
	return fflush(stdout) == 0 ? 0 : 2;
}
