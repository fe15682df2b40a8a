/*
 * ctx.h - a context of the explicit API, for the files that make sockets of it.
 */
#ifndef WRAPSOCK_CTX_H
#define WRAPSOCK_CTX_H

#include "config.h"
#include "error.h"

#include <stdbool.h>

struct wrapsock_ctx {
	struct object object;
	_Atomic int refs;
	_Atomic bool frozen;
	struct config *sealed[2];	/* by role, made when first needed */
	struct config *draft;		/* what the setters say, until frozen; its role is the context's, or a client's */
	int protocol;
	int verify_mode;		/* -1 = the role's */
	uint64_t options;
	bool no_verify, no_hostname, legacy;	/* the insecure calls that were made */
	bool ranged;			/* set_version_range was called */
};

struct wrapsock_ctx *ctx_ref(struct wrapsock_ctx *);
/*
 * The sealed settings for a socket of that role with that name to verify; freezes the context.  NULL: the failure is with obj, a
 * context or NULL for a constructor.  The config is counted for the caller.
 */
struct config *ctx_config(struct wrapsock_ctx *, const void *obj, enum config_role, const char *server_hostname);

#endif
