/* sock_wrap.c - descriptors become sockets: by wrapping, by options, by asking the preload object. */
#include "sock.h"

#include "engine.h"
#include "raw.h"
#include "text.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/time.h>

enum { FLAGS = WRAPSOCK_SERVER_SIDE | WRAPSOCK_NO_HANDSHAKE_ON_CONNECT | WRAPSOCK_REPORT_RAGGED_EOFS | WRAPSOCK_OWN_FD,
       INSECURE_FLAGS = WRAPSOCK_INSECURE_NO_VERIFY | WRAPSOCK_INSECURE_NO_HOSTNAME | WRAPSOCK_INSECURE_ALLOW_LEGACY };

/* What a descriptor was when it came. */
struct found {
	bool connected, listening;
	struct sockaddr_storage peer;
	unsigned len;
	int timeout;
};

static int
option(int fd, int name, int *value)
{
	unsigned len = sizeof *value;

	return (int)raw_getsockopt(fd, SOL_SOCKET, name, value, &len);
}

static int
fail_system(int error, const char *what)
{
	return error_set(NULL, WRAPSOCK_E_SYSCALL, error, "%s: %s", what, strerror(error));
}

/* The program's own words for how long it waits. */
static int
timeout_of(int fd)
{
	struct timeval tv = { 0, 0 };
	unsigned len = sizeof tv;

	if (fcntl(fd, F_GETFL) & O_NONBLOCK)
		return 0;
	if (raw_getsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, &len) < 0 || (tv.tv_sec == 0 && tv.tv_usec == 0))
		return -1;
	return tv.tv_sec > INT_MAX / 1000 - 1 ? INT_MAX : (int)(tv.tv_sec * 1000 + (tv.tv_usec + 999) / 1000);
}

/*
 * A socket that says it is not connected may have been, and may hold bytes that were sent before there was TLS (CVE-2023-40217): a
 * peer that closes early must not get them read as if they had come through it.
 */
static int
look_unconnected(int fd, struct found *f)
{
	char byte;
	long n = raw_recv(fd, &byte, 1, MSG_DONTWAIT | MSG_PEEK);
	int listening = 0;

	if (n > 0)
		return error_set(NULL, WRAPSOCK_E_STATE, ENOTCONN, "the peer closed the connection before the handshake, and left data in clear");
	if (n == 0)
		return error_set(NULL, WRAPSOCK_E_STATE, ENOTCONN, "the peer closed the connection before the handshake");
	if (n != -ENOTCONN && n != -EAGAIN && n != -EINVAL)
		return fail_system((int)-n, "the socket is not connected any more");
	option(fd, SO_ACCEPTCONN, &listening);
	f->listening = listening;
	return 0;
}

static int
look(int fd, struct found *f)
{
	struct core_conn held;
	int type = 0, r = option(fd, SO_TYPE, &type);

	*f = (struct found){ .len = sizeof f->peer };
	if (r < 0)
		return fail_system(-r, "the descriptor cannot be wrapped");
	if (type != SOCK_STREAM)
		return error_set(NULL, WRAPSOCK_E_INVALID, EINVAL, "only stream sockets can be wrapped");
	r = sock_ask_preload(fd, &held);
	if (r > 0)
		held.put(held.held);
	if (r)
		return error_set(NULL, WRAPSOCK_E_STATE, EINVAL,
				 "the preload object wraps this descriptor already: "
				 "a program that does so itself wants `action = plain` in the policy");
	f->timeout = timeout_of(fd);
	r = (int)raw_getpeername(fd, &f->peer, &f->len);
	f->connected = r == 0;
	if (r == 0)
		return 0;
	return r == -ENOTCONN || r == -EINVAL ? look_unconnected(fd, f) : fail_system(-r, "the descriptor cannot be wrapped");
}

static int
check(const struct found *f, unsigned flags, const char *name)
{
	if (flags & ~(unsigned)FLAGS)
		return error_set(NULL, WRAPSOCK_E_INVALID, EINVAL, flags & INSECURE_FLAGS ?
				 "insecure flags are for wrapsock_wrap_socket, a context has calls for them" : "unknown flags %#x", flags);
	if (flags & WRAPSOCK_SERVER_SIDE && name)
		return error_set(NULL, WRAPSOCK_E_INVALID, EINVAL, "server_hostname is for clients");
	if (f->listening && !(flags & WRAPSOCK_SERVER_SIDE))
		return error_set(NULL, WRAPSOCK_E_INVALID, EINVAL, "a listening socket wants WRAPSOCK_SERVER_SIDE");
	if (f->timeout == 0 && !(flags & WRAPSOCK_NO_HANDSHAKE_ON_CONNECT))
		return error_set(NULL, WRAPSOCK_E_INVALID, EINVAL, "a non-blocking descriptor wants WRAPSOCK_NO_HANDSHAKE_ON_CONNECT");
	return 0;
}

/* The failure is noted without an object, too, and the descriptor stays the caller's. */
static struct wrapsock_sock *
give_up(struct wrapsock_sock *s)
{
	s->flags &= ~(unsigned)WRAPSOCK_OWN_FD;
	error_move(NULL, s);
	sock_fork_remove(s);
	sock_put(s);
	return NULL;
}

static struct wrapsock_sock *
begin(struct wrapsock_sock *s, const struct found *f, const char *name)
{
	if (name && !(s->name = text_copy(name))) {
		error_nomem(s);
		return give_up(s);
	}
	s->timeout = f->timeout;
	s->state = s->flags & WRAPSOCK_SERVER_SIDE ? SOCK_LISTENER : SOCK_UNCONNECTED;
	if (!f->connected) {
		if (s->state == SOCK_LISTENER)
			sock_fork_add(s);
		return s;
	}
	if (sock_attach(s, (const void *)&f->peer, f->len, true) < 0)
		return give_up(s);
	if (s->flags & WRAPSOCK_NO_HANDSHAKE_ON_CONNECT || sock_handshake(s) == 0)
		return s;
	return give_up(s);
}

static struct wrapsock_sock *
wrap(struct wrapsock_ctx *ctx, int fd, unsigned flags, const char *name)
{
	struct wrapsock_sock *s;
	struct config *config;
	struct found f;

	if (look(fd, &f) < 0 || check(&f, flags, name) < 0)
		return NULL;
	config = ctx_config(ctx, NULL, flags & WRAPSOCK_SERVER_SIDE ? CONFIG_SERVER : CONFIG_CLIENT, name);
	if (!config)
		return NULL;
	s = sock_new(ctx, config, fd, flags);
	config_free(config);
	if (s)
		return begin(s, &f, name);
	error_nomem(NULL);
	return NULL;
}

struct wrapsock_sock *
wrapsock_wrap(struct wrapsock_ctx *ctx, int fd, unsigned flags, const char *server_hostname)
{
	struct wrapsock_sock *s;

	error_clear(NULL);
	if (!ctx) {
		error_set(NULL, WRAPSOCK_E_INVALID, EINVAL, "a context must be given");
		return NULL;
	}
	error_clear(ctx);
	s = wrap(ctx, fd, flags, server_hostname);
	if (!s)
		error_move(ctx, NULL);
	return s;
}

/* ---- by options ---- */

static int
take_verification(struct wrapsock_ctx *ctx, const struct wrapsock_options *o)
{
	bool server = o->flags & WRAPSOCK_SERVER_SIDE, nobody = o->cert_reqs == WRAPSOCK_CERT_DEFAULT || o->cert_reqs == WRAPSOCK_CERT_NONE;

	if (o->flags & WRAPSOCK_INSECURE_NO_VERIFY && !server && nobody && wrapsock_ctx_insecure_no_verify(ctx) < 0)
		return -1;
	if (o->flags & WRAPSOCK_INSECURE_NO_HOSTNAME && wrapsock_ctx_insecure_no_hostname(ctx) < 0)
		return -1;
	if (o->cert_reqs != WRAPSOCK_CERT_DEFAULT && wrapsock_ctx_set_verify_mode(ctx, o->cert_reqs) < 0)
		return -1;
	return o->ca_certs ? wrapsock_ctx_load_verify_locations(ctx, o->ca_certs, NULL) : 0;
}

static int
take_options(struct wrapsock_ctx *ctx, const struct wrapsock_options *o)
{
	if (o->flags & WRAPSOCK_INSECURE_ALLOW_LEGACY && wrapsock_ctx_insecure_allow_legacy(ctx) < 0)
		return -1;
	if (o->keyfile && !o->certfile)
		return error_set(ctx, WRAPSOCK_E_INVALID, EINVAL, "keyfile without certfile");
	if (take_verification(ctx, o) < 0)
		return -1;
	if (o->ciphers && wrapsock_ctx_set_ciphers(ctx, o->ciphers) < 0)
		return -1;
	return o->certfile ? wrapsock_ctx_load_cert_chain(ctx, o->certfile, o->keyfile) : 0;
}

/* A caller that was built with another version of the header has a smaller structure, or a larger one that it has not used. */
static int
copy_options(struct wrapsock_options *to, const struct wrapsock_options *from)
{
	size_t size = from ? from->size : 0;

	*to = (struct wrapsock_options)WRAPSOCK_OPTIONS_INIT;
	if (!from)
		return 0;
	if (size < offsetof(struct wrapsock_options, keyfile) || size > 4096)
		return error_set(NULL, WRAPSOCK_E_INVALID, EINVAL, "the options have no size: begin with WRAPSOCK_OPTIONS_INIT");
	for (size_t i = sizeof *to; i < size; i++)
		if (((const char *)from)[i])
			return error_set(NULL, WRAPSOCK_E_INVALID, EINVAL, "the options are of a later version of the library");
	memcpy(to, from, size < sizeof *to ? size : sizeof *to);
	return 0;
}

struct wrapsock_sock *
wrapsock_wrap_socket(int fd, const struct wrapsock_options *options)
{
	struct wrapsock_options o;
	struct wrapsock_sock *s = NULL;
	struct wrapsock_ctx *ctx;

	error_clear(NULL);
	if (copy_options(&o, options) < 0)
		return NULL;
	ctx = wrapsock_ctx_new(o.ssl_version);
	if (!ctx)
		return NULL;
	if (take_options(ctx, &o) == 0)
		s = wrap(ctx, fd, o.flags & ~(unsigned)INSECURE_FLAGS, o.server_hostname);
	else
		error_move(NULL, ctx);
	wrapsock_ctx_free(ctx);
	return s;
}

/* ---- by the preload object ---- */

struct wrapsock_sock *
wrapsock_from_fd(int fd)
{
	struct wrapsock_sock *s;
	struct core_conn c;
	int r;

	error_clear(NULL);
	r = sock_ask_preload(fd, &c);
	if (r == 0)
		error_set(NULL, WRAPSOCK_E_STATE, EINVAL, "descriptor %d is not wrapped by a preload object", fd);
	if (r < 0)
		error_set(NULL, WRAPSOCK_E_UNSUPPORTED, EOPNOTSUPP, "the preload object is of another version than this library");
	if (r <= 0)
		return NULL;
	s = sock_new(NULL, NULL, fd, 0);
	if (!s) {
		c.put(c.held);
		error_nomem(NULL);
		return NULL;
	}
	s->conn = c.conn;
	s->core = c.core;
	s->put = c.put;
	s->held = c.held;
	s->state = SOCK_BORROWED;
	return s;
}
