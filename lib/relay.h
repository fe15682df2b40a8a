/*
 * relay.h - what is said to wrapsock-relay, the process that keeps connections whose descriptor has left the hands of the library.
 *
 * The helper listens on an abstract Unix stream address and inherits the listener as descriptor RELAY_LISTENER.  A caller connects, sends
 * a struct relay_head and `length` bytes, and reads a struct relay_answer and its bytes.  Only the helper's own user and root are heard.
 * Both ends come from one build: RELAY_MAGIC changes with anything in here or in struct engine_records.
 */
#ifndef WRAPSOCK_RELAY_H
#define WRAPSOCK_RELAY_H

#include "engine.h"

#include <stdint.h>

#define RELAY_MAGIC UINT32_C(0x77720002)
#define RELAY_LISTENER 3
#define RELAY_LONGEST (64u << 20)	/* most bytes behind a head */
#define RELAY_LINGER 60			/* seconds without any progress after which the bytes of a program that has left are given up */

enum relay_kind {
	RELAY_TAKE = 1,		/* a struct relay_parcel; with the first byte SCM_RIGHTS of the wire and of the helper's end of a pair */
	RELAY_OPTION,		/* a struct relay_option about the wire of a connection taken before */
	RELAY_DRAIN		/* answered when all of programs that write no more has reached their peers' kernels, or cannot */
};

struct relay_head {
	uint32_t magic, kind, length;
	uint32_t pad;
	uint64_t id;			/* of the connection: chosen at random by who hands it over */
};

struct relay_answer {
	int32_t error;			/* 0 or an errno value */
	uint32_t length;
};

enum {
	RELAY_ENDED = 1,		/* the peer's end of stream has been seen: what is held is the last */
	RELAY_CUT = 2,			/* ... and it came without close_notify */
	RELAY_SHUT = 4,			/* we have said close_notify and shut the wire for writing */
	RELAY_NODELAY = 16,		/* the program has set TCP_NODELAY; the wire has it in any case */
	RELAY_RAGGED = 8		/* suppress_ragged_eofs: an end without close_notify is none the less an end */
};

/*
 * A connection on its way: this, then partial, held, out, debt.  Our end of the pair has one byte in its receive queue that was put
 * there before the program's end was used: closed unread it makes a reset of what would be an end of stream.
 */
struct relay_parcel {
	struct engine_records records;
	uint32_t flags;
	uint32_t partial;		/* ciphertext of a record that has not arrived whole */
	uint32_t held;			/* plaintext that the program has not read */
	uint32_t out;			/* ciphertext that the kernel has not taken */
	uint32_t debt;			/* plaintext, within that or before it, which the program believes unwritten and will write again */
	char who[160];			/* peer and rule, for log lines */
};

enum relay_option_kind { RELAY_GET, RELAY_SET, RELAY_UNSENT };

struct relay_option {
	uint32_t kind;			/* RELAY_UNSENT: SIOCOUTQ; the answer is an int */
	int32_t level, name;
	uint32_t length;		/* of value given, or room for the answer */
	uint8_t value[512];
};

#endif
