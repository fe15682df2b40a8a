/*
 * decide.h - the only user of policy.h: which socket becomes a connection, and which is refused.
 */
#ifndef WRAPSOCK_DECIDE_H
#define WRAPSOCK_DECIDE_H

#include "fdtab.h"

#include "core.h"

#include <errno.h>

#include <sys/socket.h>

void decide_start(void);		/* read the policy; a failure makes every decision a refusal */
bool decide_clients(void);		/* could a socket of this program be wrapped, or refused, at connect? */
bool decide_servers(void);
enum follow_exec { FOLLOW_YES, FOLLOW_NO, FOLLOW_REFUSE };
enum follow_exec decide_follow_exec(void);	/* of the first rule that fits the program; yes without one */
const char *decide_policy_path(void);	/* absolute; NULL = none found */

/*
 * Before a connect to addr, after an accept at local address addr.  0 = leave it plain; -errno = refuse (logged); 1 = *conn is the
 * new connection to peer (connected: TCP is established), *route what its rule says of that.
 */
int decide(enum config_role, const struct sockaddr *addr, socklen_t len, const struct sockaddr *peer, bool connected, struct conn **conn,
	   enum route *route);
/* For a client: only ask. 0 plain, 1 wrap, -errno refuse (logged). */
int decide_ask(enum config_role, const struct sockaddr *addr, socklen_t len, int *rule);

/* Load engine and credentials of the rules that can apply: listeners (server = true), and before rights are given up. */
void decide_load_server(const struct sockaddr *local, socklen_t len);
void decide_load_all(void);
void decide_load_keys(void);	/* rules that own a key file, and server rules once something listened */

/* engine_load.c */
const struct core_verbs *engine_verbs(void);	/* NULL = cannot be loaded (logged once): ELIBACC */
extern const struct core_verbs *core __attribute__((visibility("hidden")));	/* the same once loaded; set whenever a conn exists */

/* names.c: the name this thread resolved last for the address, else the only live one of the process. 1 = *name set (into buf), 0 = none,
 * -1 = several. */
int names_find(const struct sockaddr *addr, socklen_t len, char *buf, size_t size);
void names_note(const char *name, const struct sockaddr *addr, socklen_t len);

/* One value for every wrapper's end: r >= 0 as it is, else errno and -1. */
static inline long
answer(long r)
{
	if (__builtin_expect(r < 0, 0)) {
		errno = (int)-r;
		return -1;
	}
	return r;
}

#endif
