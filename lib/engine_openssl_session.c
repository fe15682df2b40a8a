/*
 * engine_openssl_session.c - what lets a client that comes again resume instead of verifying anew.
 *
 * A resumed session is not verified again but for its certificate's dates.  So it is offered only where it was made: under the same
 * scope, which has one way to verify, to the same name and service; only after a connection that was accepted; and, however often
 * it was resumed and renewed, not for longer than LONGEST after that verification, nor than the chain that was verified then is
 * valid.  A TLS 1.3 ticket is used once.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "engine.h"
#include "engine_openssl.h"
#include "session_file.h"
#include "text.h"

enum { SESSIONS = 64, SESSIONS_OF_ONE = 8, LONGEST = 2 * 60 * 60 };

struct session {
	struct session *next;
	SSL_SESSION *session;
	int64_t until;
	char *peer;
};

/* Newest first. The lock is never waited for: it may have been held in another thread when the process forked. */
struct engine_sessions {
	pthread_mutex_t lock;
	struct session *first;
	char *folder;			/* of the file that they are kept in, as long as that goes; NULL = here alone */
	atomic_bool warned;
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
	if (all)
		free(all->folder);
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

/* session: taken over if true. */
static bool
put(struct engine_sessions *all, SSL_SESSION *session, int64_t until, const char *peer)
{
	struct session *s = calloc(1, sizeof(*s));

	if (!s || !(s->peer = text_copy(peer)) || pthread_mutex_trylock(&all->lock) != 0) {
		if (s)
			free(s->peer);
		free(s);
		return false;
	}
	s->session = session;
	s->until = until;
	s->next = all->first;
	all->first = s;
	trim(all, peer);
	pthread_mutex_unlock(&all->lock);
	return true;
}

/* One that has expired, or whose certificate has, would only fail. */
static bool
fresh(SSL_SESSION *session, int64_t until)
{
	X509 *leaf = SSL_SESSION_get0_peer(session);

	return SSL_SESSION_is_resumable(session) && until > time(NULL) && (!leaf || X509_cmp_current_time(X509_get0_notAfter(leaf)) > 0);
}

static SSL_SESSION *
get(struct engine_sessions *all, const char *peer, int64_t *until)
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
		*until = s->until;
		if (fresh(s->session, s->until) && SSL_SESSION_up_ref(s->session))
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

/* ---- across processes ---- */

/* Once a context: every connection would say it. */
static void
warn(struct engine *e, const char *why)
{
	if (!atomic_exchange(&sessions_of(e)->warned, true))
		e->warning = text_copy(why);
}

static bool
put_file(struct engine *e, SSL_SESSION *session, int64_t until)
{
	const struct engine_sessions *all = sessions_of(e);
	struct session_file_entry entry = {.until = until};
	uint8_t key[ENGINE_SCOPE_BYTES];
	unsigned char *der = NULL;
	int len = i2d_SSL_SESSION(session, &der), ret = -1;
	char why[300] = "";

	entry.bytes = der;
	entry.len = len > 0 ? (size_t)len : 0;
	if (der && engine_scope_peer(e->config->engine, e->peer, key))
		ret = session_file_put(all->folder, key, &entry, why, sizeof(why));
	OPENSSL_clear_free(der, entry.len);
	if (ret < 0 && *why)
		warn(e, why);
	return ret > 0;
}

/* A session's certificate must not be decoded in the library context of the program. */
static SSL_SESSION *
decode(const struct session_file_entry *entry)
{
	OSSL_LIB_CTX *before = OSSL_LIB_CTX_set0_default(engine_lib());
	const unsigned char *at = entry->bytes;
	SSL_SESSION *session = d2i_SSL_SESSION(NULL, &at, (long)entry->len);

	OSSL_LIB_CTX_set0_default(before);
	return session;
}

/* OpenSSL holds a session of another scope for a fault, and ends the connection. */
static bool
ours(const struct engine *e, SSL_SESSION *session)
{
	const struct engine_ctx *ctx = e->config->engine;
	unsigned len;
	const unsigned char *scope = SSL_SESSION_get0_id_context(session, &len);

	return len == sizeof(ctx->scope) && memcmp(scope, ctx->scope, len) == 0;
}

static SSL_SESSION *
get_file(struct engine *e, int64_t *until)
{
	const struct engine_sessions *all = sessions_of(e);
	struct session_file_entry entry;
	uint8_t key[ENGINE_SCOPE_BYTES];
	SSL_SESSION *session;
	char why[300];
	int ret;

	if (!engine_scope_peer(e->config->engine, e->peer, key))
		return NULL;
	ret = session_file_take(all->folder, key, &entry, why, sizeof(why));
	if (ret < 0)
		warn(e, why);
	if (ret <= 0)
		return NULL;
	*until = entry.until;
	session = decode(&entry);
	session_file_entry_free(&entry);
	if (session && ours(e, session) && fresh(session, *until))
		return session;
	if (!session || !ours(e, session))
		warn(e, "a session in the file cannot be read, and is not used");
	SSL_SESSION_free(session);
	return NULL;
}

/* ---- a client comes, and comes again ---- */

static int64_t
sooner(int64_t until, const X509 *cert)
{
	int days, seconds;

	if (!ASN1_TIME_diff(&days, &seconds, NULL, X509_get0_notAfter(cert)))
		return 0;
	return until < time(NULL) + days * INT64_C(86400) + seconds ? until : time(NULL) + days * INT64_C(86400) + seconds;
}

int64_t
engine_session_until(const struct engine *e)
{
	STACK_OF(X509) *chain = SSL_get0_verified_chain(e->ssl);
	int64_t until = time(NULL) + LONGEST;

	if (SSL_session_reused(e->ssl))
		return e->until;
	for (int i = 0; i < sk_X509_num(chain); i++)
		until = sooner(until, sk_X509_value(chain, i));
	return until;
}

/* The server's word counts, too. */
static int64_t
until_of(const struct engine *e, const SSL_SESSION *session)
{
	int64_t made = SSL_SESSION_get_time(session), until = engine_session_until(e);
	unsigned long hint = SSL_SESSION_get_ticket_lifetime_hint(session);

	if (until > made + SSL_SESSION_get_timeout(session))
		until = made + SSL_SESSION_get_timeout(session);
	if (hint > 0 && hint < LONGEST && until > made + (int64_t)hint)
		until = made + (int64_t)hint;
	return until;
}

/* session: taken over if true. */
static bool
store(struct engine *e, SSL_SESSION *session)
{
	int64_t until = until_of(e, session);

	if (sessions_of(e)->folder && put_file(e, session, until)) {
		SSL_SESSION_free(session);
		return true;
	}
	return put(sessions_of(e), session, until, e->peer);
}

/* OpenSSL has a new session. TLS 1.3 has it behind the handshake; an older one's waits until the peer is accepted. */
static int
keep(SSL *ssl, SSL_SESSION *session)
{
	struct engine *e = SSL_get_app_data(ssl);

	return e && e->done && e->peer && e->failed == ENGINE_DONE && store(e, session);
}

bool
engine_sessions_start(struct engine_ctx *ctx, const struct config *c, struct engine_report *r)
{
	char why[300];

	if (c->role != CONFIG_CLIENT || c->session_cache == CONFIG_SESSIONS_NONE || SSL_CTX_get_options(ctx->ssl) & SSL_OP_NO_TICKET)
		return true;
	ctx->sessions = calloc(1, sizeof(*ctx->sessions));
	if (!ctx->sessions)
		return false;
	pthread_mutex_init(&ctx->sessions->lock, NULL);
	SSL_CTX_set_session_cache_mode(ctx->ssl, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(ctx->ssl, keep);
	if (!ctx->shared)
		return true;
	ctx->sessions->folder = session_file_folder(why, sizeof(why));
	if (!ctx->sessions->folder)
		engine_remark(r, "session_cache", "file", why);
	return true;
}

void
engine_session_made(struct engine *e)
{
	SSL_SESSION *session;

	if (!e->peer || SSL_version(e->ssl) == TLS1_3_VERSION)
		return;
	session = SSL_get1_session(e->ssl);
	if (session && !(SSL_SESSION_is_resumable(session) && store(e, session)))
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
	if (e->ssl && engine_alive() && !e->peer && sessions_of(e) && !strchr(name, '\n') && !strchr(service, '\n'))
		e->peer = join(name, service);
}

void
engine_session_offer(struct engine *e)
{
	SSL_SESSION *session;

	if (!e->peer || e->offered)
		return;
	e->offered = true;
	session = get(sessions_of(e), e->peer, &e->until);
	if (!session && sessions_of(e)->folder)
		session = get_file(e, &e->until);
	if (session)
		SSL_set_session(e->ssl, session);	/* if it cannot be, the handshake is a full one */
	SSL_SESSION_free(session);
}

bool
engine_warning(struct engine *e, char *buf, size_t size)
{
	if (!e->warning)
		return false;
	engine_say(buf, size, "session_cache = file: %s", e->warning);
	free(e->warning);
	e->warning = NULL;
	return true;
}
