/*
 * helper.h - wrapsock-relay from outside: found or started, given connections, asked about them.
 *
 * The processes of a tree that run as one user share a helper: its address is chosen before a child can need it, and goes along
 * with fork and exec.  Nothing is kept open.  Everything works in a vfork child.  errno is not touched.
 */
#ifndef WRAPSOCK_HELPER_H
#define WRAPSOCK_HELPER_H

#include "relay.h"

#include <stddef.h>
#include <stdint.h>

struct relay_parcel;

void helper_start(void);		/* at start-up: the address that an ancestor chose */
void helper_choose(void);		/* before a fork may matter: choose one */
const char *helper_word(void);		/* the value of WRAPSOCK_RELAY for children, NULL = none yet */
uint64_t helper_nonce(void);

int helper_reach(void);			/* a connection to it, started if need be; or a negated errno value */
/* Hand over on a connection of helper_reach, which is closed. 0 = it has taken all, or a negated errno value: then it has nothing. */
int helper_give(int control, uint64_t id, const struct relay_parcel *, size_t size, int wire, int end);
/* About a connection that the helper of this nonce and user has. 0 or a negated errno value. */
int helper_option(uint64_t nonce, uint32_t user, uint64_t id, struct relay_option *);
void helper_drain(void);		/* wait until what was written has been delivered, or cannot be, for a minute at most */

#endif
