/*
 * engine_openssl_direct.c - an open connection's records between the caller's memory and the wire's, without the SSL object.
 *
 * An open connection in TLS 1.3 has nothing to ask of it any more: it is continued by the record engine, which spares two copies of
 * all data and most of libssl's work, and the object's memory is given back, unless there is a peer's certificate to be asked
 * about.  A client waits with this for its first data, because the tickets come before them and the record engine passes them over.
 */
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/ssl.h>

#include "engine.h"
#include "engine_openssl.h"
#include "records.h"

enum { LARGE = 1024 };

void
engine_direct_start(struct engine *e)
{
	struct engine_records state;
	uint8_t *tickets = e->tickets;

	if (SSL_in_init(e->ssl) || SSL_has_pending(e->ssl) || e->record_left > 0 || SSL_get_key_update_type(e->ssl) != SSL_KEY_UPDATE_NONE)
		return;			/* within a message: another time */
	e->settled = true;
	if (SSL_version(e->ssl) != TLS1_3_VERSION)
		return;
	e->info = engine_info(e);
	e->tickets = NULL;		/* counted already, but they wait for the first data */
	if (engine_export_records(e, &state) == 0)
		e->records = records_new_in(engine_lib(), &state);
	e->tickets = tickets;
	OPENSSL_cleanse(&state, sizeof(state));
	if (!e->records)
		return;
	OPENSSL_cleanse(e->dir, sizeof(e->dir));
	SSL_set_shutdown(e->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);	/* or its session would be held for a bad one */
	if (e->info.peer_cert)
		return;
	SSL_free(e->ssl);
	e->ssl = NULL;
}

void
engine_direct_free(struct engine *e)
{
	records_free(e->records);
	OPENSSL_clear_free(e->plain, e->plain_len);
}

/* Room for what one call appends; tickets go before everything else, for they have the first numbers. */
static bool
room(struct engine *e, size_t len)
{
	return engine_wire_reserve(e->wire, len + RECORDS_OVERHEAD + e->tickets_len) && engine_release_tickets(e);
}

static enum engine_result
fail(struct engine *e)
{
	struct engine_wire *w = e->wire;

	engine_say(e->error, sizeof(e->error), "%s", records_reason(e->records));
	engine_say(e->reason, sizeof(e->reason), "RECORD");
	e->hint = NULL;
	if (room(e, 2))
		w->out_len += records_alert(e->records, w->out + w->out_len);
	return e->failed = ENGINE_PROTOCOL;
}

static size_t
give(struct engine *e, uint8_t *buf, size_t len)
{
	size_t n = e->plain_len - e->plain_off;

	if (n > len)
		n = len;
	memcpy(buf, e->plain + e->plain_off, n);
	e->plain_off += n;
	if (e->plain_off == e->plain_len) {
		OPENSSL_clear_free(e->plain, e->plain_len);
		e->plain = NULL;
		e->plain_off = e->plain_len = 0;
	}
	return n;
}

/* What buf has no room for waits aside: the wire's memory is the caller's. */
static bool
deliver(struct engine *e, const uint8_t *data, size_t have, uint8_t *buf, size_t len, size_t *n)
{
	*n = have < len ? have : len;
	memcpy(buf, data, *n);
	if (*n == have)
		return true;
	e->plain = OPENSSL_malloc(have - *n);
	if (!e->plain)
		return false;
	memcpy(e->plain, data + *n, have - *n);
	e->plain_len = have - *n;
	return true;
}

/*
 * The next record. A large one is decrypted into buf, which spares a copy of it.  A small one, which all are that are no data, is
 * opened where it lies: it would leave zeros over bytes of buf that are none of the answer.
 */
static enum records_result
open_next(struct engine *e, uint8_t *buf, size_t len, size_t *n)
{
	struct engine_wire *w = e->wire;
	uint8_t *in = (uint8_t *)(uintptr_t)w->in + w->in_off, *plain = in + RECORDS_HEADER;
	size_t used, have, room = records_room(e->records, in, w->in_len - w->in_off);
	bool large = room >= LARGE && room <= len;
	enum records_result r = records_open(e->records, in, w->in_len - w->in_off, &used, large ? buf : plain, &have);

	*n = r == RECORDS_DATA && large ? have : 0;
	w->in_off += used;
	if (r != RECORDS_DATA || large)
		return r;
	if (!deliver(e, plain, have, buf, len, n)) {
		e->nomem = true;
		r = RECORDS_FAILED;
	}
	explicit_bzero(plain, have);
	return r;
}

bool
engine_direct_wants(const struct engine *e)
{
	return e->records && !e->plain && !e->closed && e->failed == ENGINE_DONE && e->wire->in_off == e->wire->in_len && engine_alive();
}

enum engine_result
engine_direct_recv(struct engine *e, uint8_t *buf, size_t len, size_t *n)
{
	if (e->plain)
		*n = give(e, buf, len);
	while (*n < len && !e->closed) {
		size_t got;

		switch (open_next(e, buf + *n, len - *n, &got)) {
		case RECORDS_DATA:
			*n += got;
			break;
		case RECORDS_NOTHING:
			break;
		case RECORDS_WANT:
			return *n ? ENGINE_DONE : ENGINE_WANT_READ;
		case RECORDS_CLOSED:
			e->closed = true;
			break;
		case RECORDS_FAILED:
			if (e->nomem)
				e->failed = ENGINE_NOMEM;
			else
				fail(e);
			return *n ? ENGINE_DONE : e->failed;
		}
	}
	return *n ? ENGINE_DONE : ENGINE_CLOSED;
}

enum engine_result
engine_direct_send(struct engine *e, const uint8_t *buf, size_t len)
{
	struct engine_wire *w = e->wire;
	size_t n;

	if (e->said_goodbye) {
		engine_say(e->error, sizeof(e->error), "data behind close_notify");
		engine_say(e->reason, sizeof(e->reason), "PROTOCOL_IS_SHUTDOWN");
		return e->failed = ENGINE_PROTOCOL;
	}
	if (!room(e, len))
		return ENGINE_NOMEM;
	n = records_seal(e->records, buf, len, w->out + w->out_len);
	w->out_len += n;
	return n ? ENGINE_DONE : fail(e);
}

enum engine_result
engine_direct_close(struct engine *e)
{
	struct engine_wire *w = e->wire;
	size_t n;

	if (!room(e, 2))
		return ENGINE_NOMEM;
	n = records_alert(e->records, w->out + w->out_len);
	w->out_len += n;
	return n ? ENGINE_DONE : fail(e);
}

int
engine_direct_export(const struct engine *e, struct engine_records *out)
{
	struct engine *changed = (struct engine *)(uintptr_t)e;	/* what is owed to the peer goes out first */
	struct engine_wire *w = e->wire;

	if (!room(changed, 0))
		return -1;
	w->out_len += records_settle(e->records, w->out + w->out_len);
	return records_export(e->records, out);
}
