/*
 * ctx_impl.h - what the files of contexts know of each other. Private to lib/ctx*.c.
 */
#ifndef WRAPSOCK_CTX_IMPL_H
#define WRAPSOCK_CTX_IMPL_H

#include "ctx.h"

enum { CTX_LEVEL = 2 };		/* the security level below which legacy begins */

bool ctx_open(struct wrapsock_ctx *);	/* every setter begins so: false = frozen, the failure is noted */
int ctx_invalid(const struct wrapsock_ctx *, const char *text);	/* -1 with E_INVALID */
int ctx_try(struct wrapsock_ctx *);	/* would the draft do? 0, or -1 with the failure noted */
/* Set a text of the draft, or leave it as it was: 0, or -1. wrong: the code for a value that does not do. */
int ctx_change(struct wrapsock_ctx *, char **at, const char *value, enum wrapsock_err wrong);

#endif
