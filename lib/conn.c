/* conn.c - a connection: its lock, how it is made and freed, what is asked and set, and forks. */
#include "conn_impl.h"

#include "raw.h"
#include "text.h"

#include <arpa/inet.h>

#include <errno.h>
#include <fcntl.h>
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

bool
conn_trylock(struct conn *c)
{
	return lock_with(c, pthread_mutex_trylock);
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
