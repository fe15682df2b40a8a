/* end_api.c - TLS by this library's explicit interface. Clients that are not to resume take no tickets. */
#include "wrapsock.h"

#include "end.h"

static struct wrapsock_ctx *ctx;
static bool server;

static void
settle(const char *suites, char *groups)
{
	if (!ctx || wrapsock_ctx_set_ciphersuites(ctx, suites) != 0 || wrapsock_ctx_set_groups(ctx, groups) != 0)
		die("TLS context");
}

void
end_serves_tls(const char *certificate, const char *key, const char *suites, char *groups)
{
	server = true;
	ctx = wrapsock_ctx_default_server(certificate, key);
	settle(suites, groups);
}

void
end_dials_tls(const char *ca, const char *suites, char *groups, bool resume)
{
	ctx = wrapsock_ctx_new(WRAPSOCK_PROTOCOL_TLS_CLIENT);
	settle(suites, groups);
	if (wrapsock_ctx_load_verify_locations(ctx, ca, NULL) != 0)
		die(ca);
	if (!resume && wrapsock_ctx_set_options(ctx, WRAPSOCK_OP_ALL | WRAPSOCK_OP_NO_TICKET) != 0)
		die("options");
}

static bool
wrapped(struct end *end)
{
	if (ctx)
		end->tls = wrapsock_wrap(ctx, end->fd, server ? WRAPSOCK_SERVER_SIDE : 0, server ? NULL : "127.0.0.1");
	return !ctx || end->tls;
}

bool
end_accepted(struct end *end)
{
	return wrapped(end);
}

bool
end_connected(struct end *end, void *session)
{
	(void)session; /* the context keeps them */
	return wrapped(end);
}

bool
end_resumed(const struct end *end)
{
	return end->tls && wrapsock_session_reused(end->tls) > 0;
}

void *
end_session(const struct end *end, void *session)
{
	(void)end;
	return session;
}

ssize_t
end_read(const struct end *end, void *buf, size_t len)
{
	return end->tls ? wrapsock_recv(end->tls, buf, len, 0) : read(end->fd, buf, len);
}

bool
end_write_all(const struct end *end, const void *buf, size_t len)
{
	for (size_t done = 0; done < len;) {
		ssize_t n = end->tls ? wrapsock_send(end->tls, (const char *)buf + done, len - done, 0) :
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
	wrapsock_close(end->tls);
	close(end->fd);
}

void
end_explain(void)
{
	fprintf(stderr, "%s%s\n", ctx ? wrapsock_errstr(ctx) : "", wrapsock_errstr(NULL));
}
