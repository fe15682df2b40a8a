/*
 * ticket_keys.h - the keys that servers seal their session tickets with, as a file that several share. Pure; libc only.
 *
 * One key a line, as base64 of 48 bytes (name 16, AES-128 16, HMAC 16) or 80 bytes (name 16, HMAC 32, AES-256 32); empty lines and
 * lines that begin with # do not count.  New keys are appended: the last three open tickets, the one before the last seals them, so
 * that a key has reached every server before the first of them uses it.  A single key does both.
 */
#ifndef WRAPSOCK_TICKET_KEYS_H
#define WRAPSOCK_TICKET_KEYS_H

#include <stddef.h>
#include <stdint.h>

enum { TICKET_KEY_NAME = 16, TICKET_KEY_MOST = 32, TICKET_KEYS_MOST = 3 };

struct ticket_key {
	uint8_t name[TICKET_KEY_NAME];
	uint8_t aes[TICKET_KEY_MOST], hmac[TICKET_KEY_MOST];
	size_t len;			/* of both: 16 or 32 */
};

struct ticket_keys {
	struct ticket_key keys[TICKET_KEYS_MOST];	/* as in the file, the newest last */
	size_t n;
};

/*
 * 0, or -1 with a sentence: the line, what is wrong with it and what was expected; never a key. The caller wipes *out, whatever the
 * answer.
 */
int ticket_keys_parse(const char *text, size_t len, struct ticket_keys *out, char *err, size_t errsize);
const struct ticket_key *ticket_keys_sealing(const struct ticket_keys *);
const struct ticket_key *ticket_keys_find(const struct ticket_keys *, const uint8_t name[static TICKET_KEY_NAME]);	/* NULL = none has it */

#endif
