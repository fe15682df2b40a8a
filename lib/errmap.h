/*
 * errmap.h - the one translation from the TLS library's outcome to the errno that the program receives.
 */
#ifndef WRAPSOCK_ERRMAP_H
#define WRAPSOCK_ERRMAP_H

#include "engine.h"

/* The errno value of a failed result; kind matters for ENGINE_VERIFY only. 0 for results that are no failure. */
int errmap_engine(enum engine_result, enum engine_verify_kind kind);
const char *errmap_name(int error);	/* "EPROTO"; a number's name is never NULL */

/* The table that the manual prints: rows until cause is NULL. */
struct errmap_row {
	const char *cause;
	int error;
};
extern const struct errmap_row errmap_table[];

#endif
