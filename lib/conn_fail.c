/* conn_fail.c - a failure is for ever: the wire ends, the program gets an errno, and the log or the caller a sentence. */
#include "conn_impl.h"

#include "errmap.h"
#include "raw.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LINE_ROOM = 1400 };

void
conn_say(enum conn_log level, const char *fmt, ...)
{
	char line[LINE_ROOM];
	va_list ap;

	if (!conn_the_host->log)
		return;
	va_start(ap, fmt);
	vsnprintf(line, sizeof line, fmt, ap);
	va_end(ap);
	conn_the_host->log(level, line);
}

/* The alert goes out if the kernel takes it; then the kernel itself answers every readiness call, everywhere. */
static void
end_wire(struct conn *c, int fd)
{
	if (!share_mine(&c->share, WRITING))
		return;
	if (c->wire.out_len > c->out_off)
		raw_send(fd, c->wire.out + c->out_off, c->wire.out_len - c->out_off, MSG_DONTWAIT | MSG_NOSIGNAL);
	raw_shutdown(fd, SHUT_RDWR);
}

static int
die(struct conn *c, int fd, int error)
{
	if (c->error)
		return -c->error;
	c->error = error;
	c->state = CONN_DEAD;
	c->deadline = INT64_MAX;
	end_wire(c, fd);
	return -error;
}

static const char *
place(const struct conn *c)
{
	return c->config->place ? c->config->place : "connection";
}

/* For a caller who asks instead of reading the log. */
static void
remember(struct conn *c, const char *what, const char *why, const char *more)
{
	size_t size = strlen(what) + strlen(why) + strlen(more) + 1;

	c->why = malloc(size);
	if (c->why)
		snprintf(c->why, size, "%s%s%s", what, why, more);
}

int
conn_fail(struct conn *c, int fd, int error, const char *fmt, ...)
{
	char what[512];
	va_list ap;

	if (c->error)
		return -c->error;
	va_start(ap, fmt);
	vsnprintf(what, sizeof what, fmt, ap);
	va_end(ap);
	if (c->alone) {
		remember(c, what, "", "");
		return die(c, fd, error);
	}
	conn_say(CONN_LOG_WARN, "%s: %.300s: %s; after %lld ms; the program got %s", c->peer, place(c), what,
		 (long long)(conn_now() - c->started), errmap_name(error));
	return die(c, fd, error);
}

int
conn_broke(struct conn *c, int fd, int error)
{
	if (error == ENOTSOCK && !c->alone)
		error = EIO;			/* one of its numbers has become another file behind our back */
	if (!c->error && !c->alone)
		conn_say(CONN_LOG_INFO, "%s: %s: the connection broke; the program got %s", c->peer, place(c), errmap_name(error));
	return die(c, fd, error);
}

static int
fail_alone(struct conn *c, int fd, enum engine_result result, int error)
{
	const char *why = engine_error(c->tls), *handshake = c->state == CONN_OPEN ? "" : "TLS handshake failed: ";
	char subject[200] = "", names[200] = "", more[700] = "";
	bool name = c->name && c->config->role == CONFIG_CLIENT;

	if (result == ENGINE_VERIFY) {
		engine_peer_names(c->tls, subject, sizeof subject, names, sizeof names);
		snprintf(more, sizeof more, "%s%.200s%s%s%s%s", name ? "; expected name " : "", name ? c->name : "",
			 *subject ? "; certificate of " : "", subject, *names ? " offers " : "", names);
	}
	c->result = result;
	remember(c, handshake, why && *why ? why : "unknown failure", more);
	return die(c, fd, error);
}

/* The certificate's part gets what room the others leave: cause, errno and cure are never cut off. */
int
conn_fail_tls(struct conn *c, int fd, enum engine_result result)
{
	int error = errmap_engine(result, engine_verify_kind(c->tls));
	const char *hint = engine_hint(c->tls), *why = engine_error(c->tls), *reason = engine_reason(c->tls);
	bool client = c->config->role == CONFIG_CLIENT, open = c->state == CONN_OPEN;
	char line[LINE_ROOM], tail[256];
	size_t head, end;

	if (c->error)
		return -c->error;
	if (c->alone)
		return fail_alone(c, fd, result, error);
	snprintf(line, sizeof line, "%s: %s %.300s: %s: %s%s%.253s", c->peer, client ? "client" : "server", place(c),
		 open ? "connection failed" : "TLS handshake failed", why ? why : "unknown failure",
		 c->name && client ? "; expected name " : "", c->name && client ? c->name : "");
	end = (size_t)snprintf(tail, sizeof tail, "%s%s; after %lld ms; the program got %s%s%s", reason && *reason ? "; OpenSSL: " : "",
			       reason ? reason : "", (long long)(conn_now() - c->started), errmap_name(error),
			       hint ? "; cure: " : "", hint ? hint : "");
	head = strlen(line);
	engine_details(c->tls, line + head, sizeof line - head - end);
	strcat(line, tail);
	if (conn_the_host->log)
		conn_the_host->log(CONN_LOG_WARN, line);
	return die(c, fd, error);
}

int
conn_claim(struct conn *c, int direction)
{
	if (share_take(&c->share, direction))
		return 0;
	if (!c->error) {
		if (!c->alone)
			conn_say(CONN_LOG_WARN,
			 "%s: %s: two processes %s the same connection, which only one can; the program got EIO; cure: route = relay",
			 c->peer, c->config->place ? c->config->place : "connection", direction == READING ? "read from" : "write to");
		c->error = EIO;		/* here only: the wire belongs to the other process */
		c->state = CONN_DEAD;
		c->deadline = INT64_MAX;
	}
	return -EIO;
}

void
conn_say_warning(struct conn *c)
{
	char what[400];

	if (c->tls && engine_warning(c->tls, what, sizeof what))
		conn_say(CONN_LOG_WARN, "%s: %.300s: %s", c->peer, place(c), what);
}
