/*
 * match.h - the parts of a match, for policy_match and policy_explain. Private to policy/.
 */
#ifndef WRAPSOCK_POLICY_MATCH_H
#define WRAPSOCK_POLICY_MATCH_H

#include "rule.h"

#pragma GCC visibility push(hidden)

/* RFC 2133 had no sin6_scope_id, and the kernel still takes addresses of that length. */
enum { POLICY_SIN6_LEAST = 24 };

/* A query in the form in which it is compared. */
struct policy_asked {
	enum policy_role role;
	struct policy_address address;
	unsigned port;
	bool here;			/* a client's 0.0.0.0 or :: - the kernel connects it to loopback */
	size_t namelen;			/* 0 = not known */
	char name[POLICY_HOST_MAX];	/* lower case, no dot at the end, no NUL */
};

enum policy_askable { POLICY_ASK_FINE, POLICY_ASK_FOREIGN, POLICY_ASK_BROKEN };

enum policy_answered { POLICY_NO, POLICY_UNKNOWN, POLICY_YES };	/* the greater one wins inside a rule */

struct policy_finding {
	enum policy_answered answer;
	bool by_name;
};

enum policy_askable policy_asked_set(struct policy_asked *, const struct policy_query *);
struct policy_finding policy_pattern_answer(const struct policy_pattern *, const struct policy_asked *);
struct policy_finding policy_rule_answer(const struct policy_rule *, const struct policy_asked *);

extern const struct policy_address policy_loopback4, policy_loopback6;
bool policy_is_loopback(const struct policy_address *);

/* true = *verdict is the answer, whatever the rules are; else *asked is set. */
bool policy_judged(const struct policy_query *, struct policy_asked *, struct policy_verdict *);
/* Of the rule that decides; rule = how many there are: none does. */
struct policy_verdict policy_rule_verdict(const struct policy *, int rule, const struct policy_asked *);

#pragma GCC visibility pop

#endif
