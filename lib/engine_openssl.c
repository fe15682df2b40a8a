/*
 * engine_openssl.c - one TLS connection between two buffers, by OpenSSL.
 *
 * Process-wide state of OpenSSL belongs to the program, which may use the same library instance: we live in a library context of
 * our own and leave the error queue as found.
 */
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/provider.h>
#include <openssl/ssl.h>

#include "engine.h"
#include "engine_openssl.h"
#include "text.h"

enum {
	RECORD_MAX = 16384,
	RECORD_ROOM = RECORD_MAX + 512,	/* a record with its overhead */
	IDLE_MOST = 64,
	SENT_MOST = 1 << 20		/* by a client that reads nothing, before its tickets are given up */
};

static pthread_once_t once = PTHREAD_ONCE_INIT;
static OSSL_LIB_CTX *lib;		/* never freed: connections may outlive any moment we could choose */
static BIO_METHOD *wire_method;
static atomic_bool dead;

/* ---- the library ---- */

static void
library_ends(void)
{
	atomic_store(&dead, true);
}

static void
library_starts(void)
{
	OSSL_LIB_CTX *fresh;

	engine_wipe_start();
	if (!OPENSSL_init_ssl(0, NULL) || !OPENSSL_atexit(library_ends)) {
		atomic_store(&dead, true);
		return;
	}
	fresh = OSSL_LIB_CTX_new();
	wire_method = engine_wire_method();
	if (fresh && wire_method && OSSL_PROVIDER_load(fresh, "default") && engine_schedule_start(fresh))
		lib = fresh;
	else
		OSSL_LIB_CTX_free(fresh);
}

OSSL_LIB_CTX *
engine_lib(void)
{
	pthread_once(&once, library_starts);
	return atomic_load_explicit(&dead, memory_order_acquire) ? NULL : lib;
}

bool
engine_start(void)
{
	return engine_lib() != NULL;
}

bool
engine_alive(void)
{
	return !atomic_load_explicit(&dead, memory_order_acquire);
}

/* ---- what belongs to the program: errno and the error queue ---- */

struct engine_saved_errors {
	struct engine_saved_errors *next;
	unsigned long code;
	int line;
	char *file, *func, *data;
};

/* SSL_get_error looks at the oldest entry, and the state machine clears the queue: the program's entries cannot stay in it. */
static struct engine_saved_errors *
errors_take(void)
{
	struct engine_saved_errors *head = NULL, **tail = &head;
	const char *file, *func, *data;
	unsigned long code;
	int line, flags;

	while ((code = ERR_get_error_all(&file, &line, &func, &data, &flags)) != 0) {
		struct engine_saved_errors *s = calloc(1, sizeof(*s));

		if (!s)
			continue;
		s->code = code;
		s->line = line;
		s->file = file ? text_copy(file) : NULL;
		s->func = func ? text_copy(func) : NULL;
		s->data = data && (flags & ERR_TXT_STRING) ? text_copy(data) : NULL;
		*tail = s;
		tail = &s->next;
	}
	return head;
}

static void
errors_give_back(struct engine_saved_errors *s)
{
	while (s) {
		struct engine_saved_errors *next = s->next;

		ERR_new();
		ERR_set_debug(s->file ? s->file : "", s->line, s->func ? s->func : "");
		if (s->data && *s->data)
			ERR_set_error(ERR_GET_LIB(s->code), ERR_GET_REASON(s->code), "%s", s->data);
		else
			ERR_set_error(ERR_GET_LIB(s->code), ERR_GET_REASON(s->code), NULL);
		free(s->file);
		free(s->func);
		free(s->data);
		free(s);
		s = next;
	}
}

void
engine_guard_enter(struct engine_guard *g)
{
	g->err = errno;
	engine_wipe_enter();
	g->saved = ERR_peek_error() ? errors_take() : NULL;
}

void
engine_guard_leave(struct engine_guard *g)
{
	if (ERR_peek_error())
		ERR_clear_error();
	if (g->saved)
		errors_give_back(g->saved);
	engine_wipe_leave();
	errno = g->err;
}

int
engine_say(char *err, size_t errsize, const char *fmt, ...)
{
	va_list ap;

	if (errsize == 0)
		return -1;
	va_start(ap, fmt);
	vsnprintf(err, errsize, fmt, ap);
	va_end(ap);
	return -1;
}

const char *
engine_queue_reason(void)
{
	const char *s = ERR_reason_error_string(ERR_peek_error());

	return s ? s : "unknown error";
}

/* ---- a connection ---- */

static bool
engine_setup(struct engine *e, const struct engine_ctx *ctx, const char *name)
{
	BIO *bio;

	e->ssl = SSL_new(ctx->ssl);
	if (!e->ssl || !SSL_set_app_data(e->ssl, e))
		return false;
	bio = BIO_new_ex(engine_lib(), wire_method);
	if (!bio)
		return false;
	BIO_set_data(bio, e);
	BIO_set_init(bio, 1);
	SSL_set_bio(e->ssl, bio, bio);
	if (e->config->role == CONFIG_SERVER) {
		SSL_set_accept_state(e->ssl);
		return true;
	}
	if (!e->config->certfile)
		SSL_certs_clear(e->ssl);	/* none that the host's openssl.cnf gave the context */
	SSL_set_connect_state(e->ssl);
	return engine_set_name(e, name);
}

struct engine *
engine_new(const struct config *config, const char *name, struct engine_wire *wire)
{
	struct engine *e = calloc(1, sizeof(*e));
	struct engine_guard g;
	bool ready;

	if (!e)
		return NULL;
	e->config = config;
	e->wire = wire;
	if (!engine_alive() || !config->engine)
		return e;	/* every call for it answers ENGINE_DEAD */
	engine_guard_enter(&g);
	ready = engine_setup(e, config->engine, name);
	engine_guard_leave(&g);
	if (ready)
		return e;
	engine_free(e);
	return NULL;
}

void
engine_free(struct engine *e)
{
	struct engine_guard g;

	if (!e)
		return;
	if ((e->ssl || e->records) && engine_alive()) {
		engine_guard_enter(&g);
		engine_direct_free(e);
		if (e->ssl)
			SSL_set_shutdown(e->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
		SSL_free(e->ssl);
		X509_free(e->refused);
		X509_free(e->culprit);
		engine_guard_leave(&g);
	}
	free(e->tickets);
	free(e->alpn);
	free(e->peer);
	free(e->warning);
	explicit_bzero(e, sizeof(*e));
	free(e);
}

/* May OpenSSL be called for this object? If so the guard is entered, else *r is the answer. */
static bool
begin(struct engine *e, struct engine_guard *g, enum engine_result *r)
{
	if (!engine_alive() || (!e->ssl && !e->records)) {
		e->hint = NULL;
		snprintf(e->error, sizeof(e->error), "the process has shut OpenSSL down");
		*r = ENGINE_DEAD;
		return false;
	}
	if (e->failed != ENGINE_DONE) {
		*r = e->failed;
		return false;
	}
	engine_guard_enter(g);
	return true;
}

/* EVP alone leaves nothing in the error queue as long as it succeeds, and to ask costs a tenth of a small record. */
static void
guard_leave_direct(const struct engine *e, struct engine_guard *g)
{
	if (g->saved || e->failed != ENGINE_DONE || e->nomem) {
		engine_guard_leave(g);
		return;
	}
	engine_wipe_leave();
	errno = g->err;
}

/* The one place where OpenSSL's results become ours. */
static enum engine_result
translate(struct engine *e, int ret)
{
	switch (SSL_get_error(e->ssl, ret)) {
	case SSL_ERROR_WANT_READ:
		return ENGINE_WANT_READ;
	case SSL_ERROR_ZERO_RETURN:
		return ENGINE_CLOSED;
	default:
		return engine_failure(e);
	}
}

/*
 * Tickets that a client has not read when it closes turn its FIN into a reset that eats its last data: they go with our answer.
 * They are made now all the same, while the handshake's memory is still at hand: made later, the heap keeps 6 KiB more for each
 * connection.
 */
static enum engine_result
make_tickets(struct engine *e, size_t n)
{
	struct engine_wire *w = e->wire;
	size_t before = w->out_len;
	int ret;

	if (n == 0)
		return ENGINE_DONE;
	for (; n > 0; n--)
		if (!SSL_new_session_ticket(e->ssl))
			break;
	ret = SSL_do_handshake(e->ssl);
	if (ret != 1)
		return translate(e, ret);
	e->tickets_len = w->out_len - before;
	e->tickets = malloc(e->tickets_len);
	if (!e->tickets)
		return e->failed = ENGINE_NOMEM;
	memcpy(e->tickets, w->out + before, e->tickets_len);
	w->out_len = before;
	return ENGINE_DONE;
}

static enum engine_result
finished(struct engine *e)
{
	const struct engine_ctx *ctx = e->config->engine;
	enum engine_result r = ENGINE_DONE;
	const unsigned char *alpn;
	unsigned len;

	if (engine_accept_peer(e) != ENGINE_DONE)
		return e->failed;
	SSL_get0_alpn_selected(e->ssl, &alpn, &len);
	if (len > 0) {
		e->alpn = calloc(1, len + 1);
		if (!e->alpn)
			return e->failed = ENGINE_NOMEM;
		memcpy(e->alpn, alpn, len);
	}
	e->done = true;
	SSL_set_mode(e->ssl, SSL_MODE_RELEASE_BUFFERS);	/* from now on: a handshake would have one made for each of its messages */
	e->overhead = engine_overhead_of(e->ssl);
	engine_session_made(e);
	if (e->config->role == CONFIG_SERVER && SSL_version(e->ssl) == TLS1_3_VERSION)
		r = make_tickets(e, SSL_session_reused(e->ssl) && ctx->tickets > 1 ? 1 : ctx->tickets);
	if (r == ENGINE_DONE && e->config->role == CONFIG_SERVER)
		engine_direct_start(e);
	return r;
}

enum engine_result
engine_handshake(struct engine *e)
{
	struct engine_guard g;
	enum engine_result r;
	int ret;

	if (!begin(e, &g, &r))
		return r;
	if (e->done) {
		engine_guard_leave(&g);
		return ENGINE_DONE;
	}
	engine_session_offer(e);
	engine_schedule_watch(e);
	ret = SSL_do_handshake(e->ssl);
	engine_schedule_watch(NULL);
	r = ret == 1 ? finished(e) : translate(e, ret);
	if (r == ENGINE_CLOSED)
		r = engine_failure(e);
	engine_wipe_leave();		/* handshake messages as they were on the wire: nothing to wipe in 33 KiB at each step */
	if (e->ssl)
		SSL_free_buffers(e->ssl);	/* a peer that takes its time costs no more than it must */
	engine_wipe_enter();
	engine_guard_leave(&g);
	return r;
}

/* Each such message costs us more than the peer, and a reader's time: no honest peer sends so many of them without a word between. */
static enum engine_result
refuse_idle_talk(struct engine *e)
{
	e->hint = NULL;
	snprintf(e->error, sizeof(e->error), "the peer sent %u messages (tickets, key updates, renegotiations) and no data", e->idle);
	snprintf(e->reason, sizeof(e->reason), "NO_DATA");
	return e->failed = ENGINE_PROTOCOL;
}

enum engine_result
engine_recv(struct engine *e, void *buf, size_t len, size_t *n)
{
	uint8_t *at = buf;
	struct engine_guard g;
	enum engine_result r;
	size_t got;

	*n = 0;
	if (engine_direct_wants(e))
		return ENGINE_WANT_READ;
	if (!begin(e, &g, &r))
		return r;
	if (e->records) {
		r = engine_direct_recv(e, buf, len, n);
		guard_leave_direct(e, &g);
		return r;
	}
	do {
		if (SSL_read_ex(e->ssl, at + *n, len - *n, &got)) {
			*n += got;
			e->idle = 0;
			r = ENGINE_DONE;
		} else {
			r = translate(e, 0);
		}
	} while (r == ENGINE_DONE && *n < len && (e->wire->in_off < e->wire->in_len || SSL_pending(e->ssl) > 0));
	if (r == ENGINE_WANT_READ && e->idle > IDLE_MOST)
		r = refuse_idle_talk(e);
	if (r == ENGINE_DONE && !e->settled)	/* data came last, so no message is half read */
		engine_direct_start(e);
	engine_guard_leave(&g);
	/* What ended the loop behind delivered data is met again by the next call. */
	return *n > 0 ? ENGINE_DONE : r;
}

size_t
engine_pending(const struct engine *e)
{
	if (e->records)
		return e->plain_len - e->plain_off;
	return e->ssl && engine_alive() ? (size_t)SSL_pending(e->ssl) : 0;
}

enum engine_result
engine_send(struct engine *e, const void *buf, size_t len)
{
	struct engine_guard g;
	enum engine_result r;
	size_t n;

	if (!begin(e, &g, &r))
		return r;
	if (!e->settled && (e->sent += len) > SENT_MOST)
		engine_direct_start(e);
	if (e->records) {
		r = engine_direct_send(e, buf, len);
		guard_leave_direct(e, &g);
		return r;
	}
	/* With room made beforehand running out of memory costs this call only, not the connection. */
	if (!engine_wire_reserve(e->wire, len + (RECORD_ROOM - RECORD_MAX) + e->tickets_len)) {
		engine_guard_leave(&g);
		return ENGINE_NOMEM;
	}
	r = SSL_write_ex(e->ssl, buf, len, &n) ? ENGINE_DONE : translate(e, 0);
	engine_guard_leave(&g);
	return r;
}

enum engine_result
engine_close_notify(struct engine *e)
{
	struct engine_guard g;
	enum engine_result r;
	int ret;

	if (!begin(e, &g, &r))
		return r;
	r = ENGINE_DONE;
	if (e->done && !e->said_goodbye) {
		e->said_goodbye = true;
		ret = e->records ? 0 : SSL_shutdown(e->ssl);
		if (e->records)
			r = engine_direct_close(e);
		else if (ret < 0)
			r = translate(e, ret);
	}
	engine_guard_leave(&g);
	return r;
}

struct engine_info
engine_info(const struct engine *e)
{
	struct engine_info info = {0};

	if (!e->done || !engine_alive())
		return info;
	if (e->records) {
		info = e->info;
		info.alpn = e->alpn;
		return info;
	}
	info.version = SSL_get_version(e->ssl);
	info.cipher = SSL_get_cipher_name(e->ssl);
	info.suite_version = SSL_CIPHER_get_version(SSL_get_current_cipher(e->ssl));
	info.secret_bits = SSL_get_cipher_bits(e->ssl, NULL);
	info.alpn = e->alpn;
	info.resumed = SSL_session_reused(e->ssl);
	info.peer_cert = SSL_get0_peer_certificate(e->ssl) != NULL;
	info.validated = info.peer_cert && e->config->cert_reqs != CONFIG_CERT_NONE
		&& SSL_get_verify_result(e->ssl) == X509_V_OK;
	return info;
}

size_t
engine_overhead(const struct engine *e)
{
	return e->overhead;
}

const char *
engine_error(const struct engine *e)
{
	return e->error;
}

const char *
engine_reason(const struct engine *e)
{
	return e->reason;
}

long
engine_verify_code(const struct engine *e)
{
	return e->verify_code;
}

const char *
engine_hint(const struct engine *e)
{
	return e->hint;
}
