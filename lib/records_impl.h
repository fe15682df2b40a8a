/*
 * records_impl.h - what is behind records.h. Private to lib/engine_openssl_records.c and to tests that seal what no honest peer sends.
 */
#ifndef WRAPSOCK_RECORDS_IMPL_H
#define WRAPSOCK_RECORDS_IMPL_H

#include "records.h"

enum { RECORDS_NONCE = 12, RECORDS_MESSAGE = 4 };
enum { RECORDS_IDLE = 128 };	/* records in a row that carry nothing for the program: a peer that sends only these means harm */
enum { OPENING, SEALING };

struct records_direction {
	struct evp_cipher_ctx_st *cipher;
	uint8_t secret[64];
	size_t secret_len;
	uint8_t iv[RECORDS_NONCE];
	size_t iv_len;
	uint64_t sequence;
};

struct records {
	void *library;
	int version;
	uint16_t suite;
	enum engine_aead aead;
	size_t key_len, tag_len;
	struct records_direction dir[2];
	bool owes_update;		/* the peer has asked for a key update */
	bool owes_refusal;		/* ... or, in TLS 1.2, for a handshake */
	int alert;			/* to tell a peer after a failure; -1 = it told us */
	const char *reason;		/* of the failure, NULL = none */
	unsigned idle;
	/* a handshake message that may be spread over records */
	uint8_t message[RECORDS_MESSAGE];
	size_t message_have, message_left;
};

/* One record of any type; 0 = failed. */
size_t records_seal_type(struct records *, int type, const uint8_t *data, size_t len, uint8_t *out);
bool records_next_keys(struct records *, int which);	/* OPENING or SEALING: the next generation */

#endif
