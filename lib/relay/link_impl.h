/*
 * link_impl.h - what the files of a link know of each other. Private to lib/relay/link*.c.
 */
#ifndef WRAPSOCK_LINK_IMPL_H
#define WRAPSOCK_LINK_IMPL_H

#include "link.h"
#include "records.h"

enum { LINK_CHUNK = 4 * RECORDS_PLAIN };	/* most that is moved at once where it surely fits */
enum { LINK_LITTLE = 4096 };			/* moved without asking whether it fits: less than a record, which memory may have to hold */

struct link {
	struct link *next, **back;	/* of all */
	struct link *turn;		/* of the run queue */
	bool queued;
	uint64_t id;
	struct records *records;
	int epoll, wire, end;
	char who[sizeof ((struct relay_parcel *)NULL)->who];

	/* the wire towards the program */
	uint8_t *in;			/* ciphertext that has been taken and not opened */
	size_t in_len;
	uint8_t *plain;			/* opened, and refused by the end so far */
	size_t plain_off, plain_len;
	bool wire_readable, end_writable;
	bool wire_hung;			/* an end or a failure of the wire is to be read */
	bool bulk;			/* the wire had more than what was taken last */
	bool ended;			/* nothing more comes from the wire */
	bool broken;			/* ... and it was no clean end */
	bool told;			/* the program knows of the end */
	bool deaf;			/* the program cannot read any more: what comes is dropped */
	bool ragged;
	int nodelay;			/* what the program believes of the wire */

	/* the program towards the wire */
	uint8_t *out;			/* ciphertext, refused by the wire so far */
	size_t out_off, out_len;
	uint8_t *debt;			/* the next bytes of the program repeat these, which are under way already */
	size_t debt_off, debt_len;
	size_t kept;			/* processed bytes at the head of the end's queue, 1 or more: the kernel peeks behind them */
	unsigned peeks;			/* ... in so many pieces */
	bool much;			/* the program wrote more than a little last */
	bool end_readable, wire_writable;
	bool finished;			/* the program will not write any more */
	bool said;			/* close_notify has been made */
	bool shut;			/* ... and is with the kernel, and FIN behind it */
	bool answered;			/* the program wrote behind the peer's end */
	bool mute;			/* the wire cannot be written to any more */
	bool gone;			/* the program has closed its end */
	bool reset;			/* ... with bytes in its queue, which the kernel has told */
	bool unread;			/* ... before it had read everything: the peer is to see a reset, as over TCP */
	bool cutting;			/* ... as soon as it has acknowledged what the program wrote */

	int64_t progress;		/* when a byte moved last */
	int64_t arrived;		/* when all was acknowledged, 0 = not yet */
};

/* link.c */
int64_t link_now(void);			/* CLOCK_MONOTONIC, milliseconds */
bool link_keep(uint8_t **to, const uint8_t *from, size_t n);	/* a copy, NULL for 0 bytes; false = no memory */
void link_drop(uint8_t **p, size_t n);	/* wiped and freed */
/* Nothing more comes from the wire; not clean: the program is told of a reset, behind what it has not read yet. */
void link_wire_ends(struct link *, bool clean);
void link_tls_fails(struct link *);	/* the record engine has failed */
bool link_no_memory(struct link *);	/* false */
void link_await_room(struct link *);	/* the end has refused bytes: an event when it takes some again */
void link_end_fails(struct link *);	/* the program's end does not give or take bytes, and errno says why */

bool link_incoming(struct link *);	/* link_in.c: take a chunk from the wire. True = worth another try */
bool link_outgoing(struct link *);	/* link_out.c: take a chunk from the program. The same */

#endif
