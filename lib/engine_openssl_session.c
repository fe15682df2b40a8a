/*
 * engine_openssl_session.c - what lets a client that comes again resume instead of verifying anew.
 *
 * A resumed session is not verified again but for its certificate's dates.  So it is offered only where it was made: under the same
 * context, which has one way to verify, to the same name and service; and only after a connection that was accepted.  A TLS 1.3 ticket is
 * used once.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "engine.h"
#include "engine_openssl.h"
#include "text.h"

enum { SESSIONS = 64, SESSIONS_OF_ONE = 8 };

struct session {
	struct session *next;
	SSL_SESSION *session;
	char *peer;
};

/* Newest first. The lock is never waited for: it may have been held in another thread when the process forked. */
struct engine_sessions {
	pthread_mutex_t lock;
	struct session *first;
};

static void
session_free(struct session *s)
{
	SSL_SESSION_free(s->session);
	free(s->peer);
	free(s);
}

void
engine_sessions_free(struct engine_sessions *all)
{
	while (all && all->first) {
		struct session *s = all->first;

		all->first = s->next;
		session_free(s);
	}
	free(all);
}

/* The oldest beyond both bounds go. */
static void
trim(struct engine_sessions *all, const char *peer)
{
	size_t count = 0, same = 0;

	for (struct session **at = &all->first, *s; (s = *at);) {
		bool mine = strcmp(s->peer, peer) == 0;

		if (count == SESSIONS || (mine && same == SESSIONS_OF_ONE)) {
			*at = s->next;
			session_free(s);
			continue;
		}
		count++;
		same += mine;
		at = &s->next;
	}
}

static bool
put(struct engine_sessions *all, SSL_SESSION *session, const char *peer)
{
	struct session *s = calloc(1, sizeof(*s));

	if (!s || !(s->peer = text_copy(peer)) || pthread_mutex_trylock(&all->lock) != 0) {
		if (s)
			free(s->peer);
		free(s);
		return false;
	}
	s->session = session;
	s->next = all->first;
	all->first = s;
	trim(all, peer);
	pthread_mutex_unlock(&all->lock);
	return true;
}

/* One that has expired, or whose certificate has, would only fail. */
static bool
fresh(SSL_SESSION *session)
{
	X509 *leaf = SSL_SESSION_get0_peer(session);

	return SSL_SESSION_is_resumable(session) && SSL_SESSION_get_time(session) + SSL_SESSION_get_timeout(session) > time(NULL)
		&& (!leaf || X509_cmp_current_time(X509_get0_notAfter(leaf)) > 0);
}

static SSL_SESSION *
get(struct engine_sessions *all, const char *peer)
{
	SSL_SESSION *found = NULL;

	if (pthread_mutex_trylock(&all->lock) != 0)
		return NULL;
	for (struct session **at = &all->first, *s; !found && (s = *at);) {
		if (strcmp(s->peer, peer) != 0) {
			at = &s->next;
			continue;
		}
		*at = s->next;
		if (fresh(s->session) && SSL_SESSION_up_ref(s->session))
			found = s->session;
		session_free(s);
	}
	pthread_mutex_unlock(&all->lock);
	return found;
}

static struct engine_sessions *
sessions_of(const struct engine *e)
{
	const struct engine_ctx *ctx = e->config->engine;

	return ctx ? ctx->sessions : NULL;
}

/* OpenSSL has a new session. TLS 1.3 has it behind the handshake; an older one's waits until the peer is accepted. */
static int
keep(SSL *ssl, SSL_SESSION *session)
{
	struct engine *e = SSL_get_app_data(ssl);

	return e && e->done && e->peer && e->failed == ENGINE_DONE && put(sessions_of(e), session, e->peer);
}

bool
engine_sessions_start(struct engine_ctx *ctx)
{
	ctx->sessions = calloc(1, sizeof(*ctx->sessions));
	if (!ctx->sessions)
		return false;
	pthread_mutex_init(&ctx->sessions->lock, NULL);
	SSL_CTX_set_session_cache_mode(ctx->ssl, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(ctx->ssl, keep);
	return true;
}

void
engine_session_made(struct engine *e)
{
	SSL_SESSION *session;

	if (!e->peer || SSL_version(e->ssl) == TLS1_3_VERSION)
		return;
	session = SSL_get1_session(e->ssl);
	if (session && !(SSL_SESSION_is_resumable(session) && put(sessions_of(e), session, e->peer)))
		SSL_SESSION_free(session);
}

/* name and service, with a byte between them that neither has */
static char *
join(const char *name, const char *service)
{
	size_t n = strlen(name), m = strlen(service);
	char *peer = malloc(n + 1 + m + 1);

	if (!peer)
		return NULL;
	memcpy(peer, name, n);
	peer[n] = '\n';
	memcpy(peer + n + 1, service, m + 1);
	return peer;
}

void
engine_resume(struct engine *e, const char *name, const char *service)
{
	SSL_SESSION *session;
	struct engine_guard g;

	if (!e->ssl || !engine_alive() || e->peer || !sessions_of(e) || strchr(name, '\n') || strchr(service, '\n'))
		return;
	e->peer = join(name, service);
	if (!e->peer)
		return;
	engine_guard_enter(&g);
	session = get(sessions_of(e), e->peer);
	if (session)
		SSL_set_session(e->ssl, session);	/* if it cannot be, the handshake is a full one */
	SSL_SESSION_free(session);
	engine_guard_leave(&g);
}
