/* conn.c - a connection's life: made, failed once and for ever, closed. */
#include "conn_impl.h"

#include "errmap.h"
#include "raw.h"
#include "text.h"

#include <arpa/inet.h>
#include <sys/ioctl.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const struct conn_host nobody = { .poll = poll };
const struct conn_host *conn_the_host = &nobody;

void
conn_host(const struct conn_host *host)
{
	conn_the_host = host;
}

int64_t
conn_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* This thread is within a connection. Nobody else can ask but a signal handler that has interrupted it. */
static __thread volatile bool inside;

/* The TLS library has cancellation points of its own (random numbers, files), and neither it nor the lock would survive one. */
static bool
lock_with(struct conn *c, int (*lock)(pthread_mutex_t *))
{
	int cancel;

	if (inside)
		return false;
	inside = true;
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
	if (lock(&c->lock) != 0) {
		pthread_setcancelstate(cancel, NULL);
		inside = false;
		return false;
	}
	c->busy = 1;
	c->cancel = cancel;
	return true;
}

bool
conn_lock(struct conn *c)
{
	return lock_with(c, pthread_mutex_lock);
}

void
conn_unlock(struct conn *c)
{
	int cancel = c->cancel;

	c->busy = 0;
	pthread_mutex_unlock(&c->lock);
	inside = false;
	pthread_setcancelstate(cancel, NULL);
}

void
conn_unlockp(struct conn **c)
{
	if (*c)
		conn_unlock(*c);
}

void
conn_pause(bool on)
{
	inside = !on;
}

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

static void
name_peer(struct conn *c, const struct sockaddr *sa, socklen_t len)
{
	char host[INET6_ADDRSTRLEN] = "?";

	snprintf(c->peer, sizeof c->peer, "?");
	if (sa && len >= sizeof(struct sockaddr_in) && sa->sa_family == AF_INET) {
		const struct sockaddr_in *in = (const void *)sa;

		inet_ntop(AF_INET, &in->sin_addr, host, sizeof host);
		snprintf(c->peer, sizeof c->peer, "%s:%u", host, ntohs(in->sin_port));
	} else if (sa && len >= sizeof(struct sockaddr_in6) && sa->sa_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const void *)sa;
		bool mapped = IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr);

		inet_ntop(mapped ? AF_INET : AF_INET6, mapped ? (const void *)&in6->sin6_addr.s6_addr[12] : &in6->sin6_addr, host,
			  sizeof host);
		snprintf(c->peer, sizeof c->peer, mapped ? "%s:%u" : "[%s]:%u", host, ntohs(in6->sin6_port));
	}
}

/* What is verified: the policy's word, else the program's name, else the address as an IP SAN. */
static int
choose_name(struct conn *c, const char *name)
{
	char host[sizeof c->peer];
	size_t len;

	if (c->config->server_hostname)
		name = c->config->server_hostname;
	if (!name && c->config->role == CONFIG_CLIENT && c->peer[0] != '?') {
		const char *colon = strrchr(c->peer, ':');
		bool v6 = c->peer[0] == '[';

		if (!colon)
			return 0;
		len = (size_t)(colon - c->peer) - (v6 ? 2 : 0);
		memcpy(host, c->peer + v6, len);
		host[len] = '\0';
		name = host;
	}
	if (!name)
		return 0;
	c->name = text_copy(name);
	return c->name ? 0 : -1;
}

static bool
start_engine(struct conn *c, const char *name)
{
	if (choose_name(c, name) < 0)
		return false;
	c->tls = engine_new(c->config, c->name, &c->wire);
	if (!c->tls)
		return false;
	if (c->name && strrchr(c->peer, ':'))
		engine_resume(c->tls, c->name, strrchr(c->peer, ':'));
	return true;
}

struct conn *
conn_new(struct config *config, const struct sockaddr *peer, socklen_t len, bool connected, const char *name)
{
	struct conn *c = calloc(1, sizeof *c);

	if (!c)
		return NULL;
	pthread_mutex_init(&c->lock, NULL);
	pthread_cond_init(&c->sent, NULL);
	share_init(&c->share);
	c->config = config_ref(config);
	c->state = connected ? CONN_HANDSHAKING : CONN_CONNECTING;
	c->want = connected && config->role == CONFIG_SERVER ? POLLIN : POLLOUT;
	c->lowat = 1;
	c->started = conn_now();
	c->deadline = config->handshake_timeout_ms ? c->started + config->handshake_timeout_ms : INT64_MAX;
	name_peer(c, peer, len);
	if (!start_engine(c, name)) {
		conn_free(c);
		return NULL;
	}
	return c;
}

void
conn_free(struct conn *c)
{
	if (!c)
		return;
	engine_free(c->tls);
	config_free(c->config);
	free(c->wire.out);
	free(c->left);
	if (c->held)
		explicit_bzero(c->held, c->held_cap);
	free(c->held);
	if (c->debt)
		explicit_bzero(c->debt, c->debt_len);
	free(c->debt);
	free(c->why);
	free(c->name);
	share_free(&c->share);
	pthread_cond_destroy(&c->sent);
	pthread_mutex_destroy(&c->lock);
	free(c);
}

enum conn_state
conn_state(const struct conn *c)
{
	return (enum conn_state)c->state;
}

int
conn_error(const struct conn *c)
{
	return c->error;
}

int
conn_take_error(struct conn *c)
{
	return c->error && !atomic_exchange(&c->error_taken, true) ? c->error : 0;
}

struct engine_info
conn_info(const struct conn *c)
{
	return c->tls ? engine_info(c->tls) : (struct engine_info){ 0 };
}

int
conn_peer_der(struct conn *c, enum engine_chain which, size_t i, uint8_t **der, size_t *len)
{
	CONN_LOCKED(c, -EAGAIN);

	*der = NULL;
	*len = 0;
	return c->tls ? engine_peer_der(c->tls, which, i, der, len) : 0;
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

/*
 * Unread bytes would turn our FIN into RST, which makes the peer's kernel drop what we sent last.  So take what is there, but stop at
 * application data, where plain TCP resets too.
 */
static void
drain(struct conn *c, int fd)
{
	size_t most = 256 * 1024;

	while (most > POOL_SIZE && !conn_ready_bytes(c) && !c->eof && !c->error) {
		if (conn_ahead(c, fd) <= 0)
			return;
		most -= POOL_SIZE;
	}
}

static void
say_goodbye(struct conn *c, int fd)
{
	if (c->state != CONN_OPEN)
		return;
	if (share_take(&c->share, READING))
		drain(c, fd);
	if (conn_ready_bytes(c))	/* the kernel resets, as it does for plain TCP: no farewell before that */
		return;
	if (share_take(&c->share, WRITING) && !c->shut_write)
		conn_notify(c, fd);
}

void
conn_finish(struct conn *c, int fd)
{
	if (!lock_with(c, pthread_mutex_trylock))
		return;
	say_goodbye(c, fd);
	conn_unlock(c);
}

void
conn_say_warning(struct conn *c)
{
	char what[400];

	if (c->tls && engine_warning(c->tls, what, sizeof what))
		conn_say(CONN_LOG_WARN, "%s: %.300s: %s", c->peer, place(c), what);
}

void
conn_close(struct conn *c, int fd, bool last)
{
	bool locked = conn_lock(c);

	c->closed = true;
	if (!locked)			/* the call that was interrupted finds it */
		return;
	if (last)
		say_goodbye(c, fd);
	conn_say_warning(c);
	if (last && c->waiters)
		raw_shutdown(fd, SHUT_RDWR);	/* wakes them; each finds `closed` */
	pthread_cond_broadcast(&c->sent);
	conn_unlock(c);
}

/* Our farewell, as far as the kernel takes it. */
static int
say_end(struct conn *c, int fd)
{
	int r = conn_claim(c, WRITING);

	if (r == 0 && c->state == CONN_OPEN)
		r = conn_notify(c, fd);
	while (r == -EAGAIN && c->blocking && (r = conn_wait(c, fd, POLLOUT, conn_now() + 5000)) > 0)
		r = conn_notify(c, fd);
	return r;
}

/* The wire is shut down already, as after a reset. */
static int
shut_dead(const struct conn *c)
{
	return c->error == EIO ? -EIO : -ENOTCONN;
}

static int
shut(struct conn *c, int fd, int how)
{
	bool first = how != SHUT_RD && !c->shut_write;
	int r = 0, wire = how;

	CONN_LOCKED(c, -EAGAIN);
	if (c->state == CONN_CONNECTING || c->state == CONN_HANDSHAKING)
		r = conn_handshake_locked(c, fd, c->blocking, c->alone ? conn_later(c->rcvtimeo) : INT64_MAX);
	if (c->error)
		return shut_dead(c);
	if (r < 0 && how != SHUT_WR)
		wire = how == SHUT_RD ? -1 : SHUT_WR;		/* a handshake still has to be read */
	if (how != SHUT_WR)
		c->shut_read = true;
	if (first) {
		r = say_end(c, fd);
		c->shut_write = true;
		if (c->error)
			return r == -c->error ? r : shut_dead(c);
	}
	if (wire >= 0) {
		wire = raw_shutdown(fd, wire);
		if (!first)
			return wire;
		if (r < 0 && r != -EAGAIN && r != -EIO)		/* of a connection that is gone the kernel says ENOTCONN here */
			return wire < 0 ? wire : r;
	}
	return r == -EAGAIN || r > 0 ? 0 : r;
}

/* It may wait for the handshake or for room, yet shutdown is no cancellation point. */
int
conn_shutdown(struct conn *c, int fd, int how)
{
	int r, cancel;

	if (how != SHUT_RD && how != SHUT_WR && how != SHUT_RDWR)
		return -EINVAL;
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
	r = shut(c, fd, how);
	pthread_setcancelstate(cancel, NULL);
	return r;
}

bool
conn_on_connect(const struct conn *c)
{
	return c->config->do_handshake_on_connect;
}

void
conn_set_blocking(struct conn *c, bool on)
{
	c->blocking = on;
}

static int64_t
timeout_of(int fd, int name)
{
	struct timeval tv = { 0 };
	unsigned len = sizeof tv;

	raw_getsockopt(fd, SOL_SOCKET, name, &tv, &len);
	return tv.tv_sec * 1000 + (tv.tv_usec + 999) / 1000;
}

/* Another process that has the socket may have changed what we remember of it. */
void
conn_refresh(struct conn *c, int fd)
{
	long flags;

	if (!c->share.owners)
		return;
	flags = raw_syscall(SYS_fcntl, fd, F_GETFL, 0, 0, 0, 0);
	if (flags < 0)
		return;
	c->blocking = !(flags & O_NONBLOCK);
	if (!c->blocking)
		return;
	c->rcvtimeo = timeout_of(fd, SO_RCVTIMEO);
	c->sndtimeo = timeout_of(fd, SO_SNDTIMEO);
}

void
conn_set_timeout(struct conn *c, bool sending, int64_t ms)
{
	if (sending)
		c->sndtimeo = ms;
	else
		c->rcvtimeo = ms;
}

void
conn_set_lowat(struct conn *c, int bytes)
{
	c->lowat = bytes < 1 ? 1 : bytes;
}

int
conn_lowat(const struct conn *c)
{
	return c->lowat;
}

int64_t
conn_deadline(const struct conn *c)
{
	return c->deadline;
}

void
conn_expire(struct conn *c, int fd)
{
	if (conn_now() < c->deadline)
		return;
	if (!conn_lock(c))
		return;
	if (c->state <= CONN_HANDSHAKING && conn_now() >= c->deadline)
		conn_fail(c, fd, ETIMEDOUT, "%s: TLS handshake not finished within handshake_timeout of %ld ms",
			  c->config->role == CONFIG_CLIENT ? "client" : "server", c->config->handshake_timeout_ms);
	conn_unlock(c);
}

void
conn_fork_prepare(struct conn *c)
{
	c->share_failed = !share_prepare(&c->share);
}

void
conn_fork_child(struct conn *c)
{
	bool torn = c->busy != 0 || c->share_failed;

	pthread_mutex_init(&c->lock, NULL);
	pthread_cond_init(&c->sent, NULL);
	c->busy = 0;
	c->waiters = 0;
	c->sending = false;
	share_child(&c->share);
	if (torn && !c->error) {	/* another thread was inside: this copy may be half changed */
		c->error = EIO;
		c->state = CONN_DEAD;
		c->deadline = INT64_MAX;
	}
}

void
conn_fork_failed(struct conn *c)
{
	share_childless(&c->share);
}

bool
conn_sole(const struct conn *c)
{
	return share_last(&c->share);
}

bool
conn_last(struct conn *c)
{
	return share_leave(&c->share);
}

void
conn_return(struct conn *c)
{
	share_return(&c->share);
}
