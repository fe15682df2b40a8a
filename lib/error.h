/*
 * error.h - what the calls of the explicit API failed with: kept with the object, and for each thread.
 *
 * An object (context, socket) begins with a struct object.  A public call on an object begins with error_clear and, if it fails, returns
 * through error_set or a function above it.  obj = NULL: constructors and helpers, kept for the thread alone.
 */
#ifndef WRAPSOCK_ERROR_H
#define WRAPSOCK_ERROR_H

#include "wrapsock.h"

#include <pthread.h>

struct failure {
	enum wrapsock_err code;
	long verify;			/* X509_V_ERR_ number */
	const char *verify_text;	/* static */
	char text[600], reason[96];
};

enum { OBJECT_CTX = 0x57534358, OBJECT_SOCK = 0x5753534b };

struct object {
	int kind;			/* OBJECT_, 0 once freed */
	uint64_t id;			/* never given twice: addresses are */
	pthread_mutex_t lock;		/* guards last */
	struct failure last;		/* of any thread */
};

void object_init(struct object *, int kind);
void object_end(struct object *);

void error_clear(const void *obj);	/* WRAPSOCK_OK for the calling thread */
/* Remembers the failure and sets errno. Always -1. */
int error_set(const void *obj, enum wrapsock_err, int error, const char *fmt, ...) __attribute__((format(printf, 4, 5)));
/* The same of a failure that is already in words. code is not WRAPSOCK_OK. */
int error_put(const void *obj, const struct failure *, int error);
/* A code beside a success (recv's 0), errno as it is. */
void error_note(const void *obj, enum wrapsock_err, const char *text);
/* What went wrong with `from` while it was a constructor's or a helper's: becomes that of `to`. errno is kept. */
void error_move(const void *to, const void *from);
int error_nomem(const void *obj);	/* -1 with E_NOMEM */

#endif
