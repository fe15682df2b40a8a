/*
 * records.h - a TLS connection continued from its record state alone: data, alerts, key updates; TLS 1.3, and TLS 1.2 with AEAD suites.
 *
 * No handshake, no certificate, no buffer, no descriptor: records in and out of the caller's memory.  Tickets are passed over,
 * renegotiation is declined.  An object is used by one thread at a time.  A failure is for ever.
 */
#ifndef WRAPSOCK_RECORDS_H
#define WRAPSOCK_RECORDS_H

#include "engine.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RECORDS_HEADER 5
#define RECORDS_PLAIN 16384		/* most data of one record */
#define RECORDS_CIPHER (RECORDS_HEADER + RECORDS_PLAIN + 256)	/* most bytes of one record as it is on the wire */
#define RECORDS_OVERHEAD 96		/* what one record, and what has to go before it, takes beyond its data */

enum records_result {
	RECORDS_WANT,		/* the record is not whole yet */
	RECORDS_DATA,		/* *n bytes for the program, 0 is possible */
	RECORDS_NOTHING,	/* a record of the protocol's own: go on with the next */
	RECORDS_CLOSED,		/* close_notify: clean end of stream; what follows is to be ignored */
	RECORDS_FAILED		/* records_reason says why; records_alert is owed to the peer unless it told us */
};

struct records;

void records_alone(void);	/* in a process that is ours alone, before anything else: the host's openssl.cnf is not read */

/* NULL = no memory, or a suite or state that cannot be continued. The caller wipes its copy. */
struct records *records_new(const struct engine_records *);
struct records *records_new_in(void *library, const struct engine_records *);	/* in an OpenSSL library context; NULL = the process's own */
void records_free(struct records *);	/* wipes secrets; NULL is allowed */

/* Bytes of the record that begins at in, header included; 0 = fewer than RECORDS_HEADER are there. */
size_t records_size(const uint8_t *in, size_t len);
/*
 * Bytes that opening it takes for its data, in a record without padding exactly as many as these; 0 also = fewer than
 * RECORDS_HEADER are there.
 */
size_t records_room(const struct records *, const uint8_t *in, size_t len);

/*
 * Open the record at in. *used: its size, 0 for WANT. out has room for records_room bytes and does not overlap in,
 * or is in + RECORDS_HEADER, which TLS 1.3 decrypts in place.  What of the room does not become data is as it was, or zeros.
 */
enum records_result records_open(struct records *, const uint8_t *in, size_t len, size_t *used, uint8_t *out, size_t *n);

/*
 * Each appends whole records to out and returns their size, 0 = failed.  records_seal: one record of len (1 .. RECORDS_PLAIN)
 * bytes, behind what is owed to the peer: the answer to a key update, a key update of our own where a key is worn out.  out has
 * room for len + RECORDS_OVERHEAD.
 */
size_t records_seal(struct records *, const uint8_t *data, size_t len, uint8_t *out);
size_t records_alert(struct records *, uint8_t *out);	/* close_notify; after a failure that the peer must know, its alert */
size_t records_update(struct records *, bool ask, uint8_t *out);	/* TLS 1.3: new keys for what we write, and ask the peer for its */

/*
 * To be continued by somebody else: first what is owed to the peer is appended to out, 0 = nothing, then the state is copied. -1 = it has
 * failed, or stands within a message; or TLS 1.2, whose keys are not kept.
 */
size_t records_settle(struct records *, uint8_t *out);
int records_export(const struct records *, struct engine_records *);

const char *records_reason(const struct records *);	/* one sentence, "" if it has not failed */

#endif
