/* end_openssl.c - TLS as OpenSSL's manual shows it, with its defaults. */
#include <openssl/err.h>
#include <openssl/ssl.h>

#include "end.h"

static SSL_CTX *ctx;

static void
context(const SSL_METHOD *method, const char *suites, char *groups)
{
	ctx = SSL_CTX_new(method);
	if (!ctx || SSL_CTX_set_ciphersuites(ctx, suites) != 1 || SSL_CTX_set1_groups_list(ctx, groups) != 1)
		die("TLS context");
}

void
end_serves_tls(const char *certificate, const char *key, const char *suites, char *groups)
{
	context(TLS_server_method(), suites, groups);
	if (SSL_CTX_use_certificate_chain_file(ctx, certificate) != 1 || SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1)
		die("certificate");
}

void
end_dials_tls(const char *ca, const char *suites, char *groups, bool resume)
{
	(void)resume; /* with the session that end_connected gets */
	context(TLS_client_method(), suites, groups);
	if (SSL_CTX_load_verify_locations(ctx, ca, NULL) != 1)
		die(ca);
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
}

static SSL *
begin(struct end *end)
{
	SSL *ssl = SSL_new(ctx);

	if (!ssl || SSL_set_fd(ssl, end->fd) != 1)
		die("SSL_new");
	end->tls = ssl;
	return ssl;
}

bool
end_accepted(struct end *end)
{
	return !ctx || SSL_accept(begin(end)) == 1;
}

bool
end_connected(struct end *end, void *session)
{
	SSL *ssl;

	if (!ctx)
		return true;
	ssl = begin(end);
	if (X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), "127.0.0.1") != 1 || (session && SSL_set_session(ssl, session) != 1))
		die("TLS connection");
	return SSL_connect(ssl) == 1;
}

bool
end_resumed(const struct end *end)
{
	return end->tls && SSL_session_reused(end->tls);
}

void *
end_session(const struct end *end, void *session)
{
	SSL_SESSION_free(session);
	return end->tls ? SSL_get1_session(end->tls) : NULL;
}

ssize_t
end_read(const struct end *end, void *buf, size_t len)
{
	return end->tls ? SSL_read(end->tls, buf, (int)len) : read(end->fd, buf, len);
}

bool
end_write_all(const struct end *end, const void *buf, size_t len)
{
	for (size_t done = 0; done < len;) {
		ssize_t n = end->tls ? SSL_write(end->tls, (const char *)buf + done, (int)(len - done)) :
				       write(end->fd, (const char *)buf + done, len - done);

		if (n <= 0)
			return false;
		done += (size_t)n;
	}
	return true;
}

void
end_close(struct end *end)
{
	if (end->tls) {
		SSL_shutdown(end->tls);
		/* Without this a peer that left without its goodbye would cost us the session. */
		SSL_set_shutdown(end->tls, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
		SSL_free(end->tls);
		ERR_clear_error();
	}
	close(end->fd);
}

void
end_explain(void)
{
	ERR_print_errors_fp(stderr);
}
