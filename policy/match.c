/*
 * match.c - which rule decides about a socket.
 *
 * Called before and between the calls of strangers' programs, in signal handlers and in forked children: no allocation, no
 * locks, nothing of libc that has either.
 */
#include <netinet/in.h>
#include <arpa/inet.h>

#include <string.h>

#include "match.h"

static bool
block_has(const struct policy_address *block, unsigned bits, const struct policy_address *a)
{
	unsigned whole = bits / 8, rest = bits % 8;

	if (block->family != a->family || memcmp(block->bytes, a->bytes, whole) != 0)
		return false;
	return rest == 0 || ((block->bytes[whole] ^ a->bytes[whole]) & (unsigned char)(0xff << (8 - rest))) == 0;
}

const struct policy_address policy_loopback4 = { AF_INET, { 127, 0, 0, 1 } };
const struct policy_address policy_loopback6 = { AF_INET6, { [15] = 1 } };

bool
policy_is_loopback(const struct policy_address *a)
{
	return block_has(&policy_loopback4, 8, a) || block_has(&policy_loopback6, 128, a);
}

static void
set_address(struct policy_asked *asked, const void *sockaddr)
{
	static const unsigned char mapped[12] = { [10] = 0xff, [11] = 0xff };
	struct sockaddr_in6 six;
	struct sockaddr_in four;

	if (asked->address.family == AF_INET) {
		memcpy(&four, sockaddr, sizeof four);
		asked->port = ntohs(four.sin_port);
		memcpy(asked->address.bytes, &four.sin_addr, 4);
		return;
	}
	memcpy(&six, sockaddr, POLICY_SIN6_LEAST);
	asked->port = ntohs(six.sin6_port);
	memcpy(asked->address.bytes, &six.sin6_addr, 16);
	if (memcmp(asked->address.bytes, mapped, sizeof mapped) == 0) {
		asked->address.family = AF_INET;
		memcpy(asked->address.bytes, (const unsigned char *)&six.sin6_addr + 12, 4);
	}
}

/* getaddrinfo takes numbers too, in all of inet_aton's forms; then nobody named a host. */
static bool
is_numeric(const char *name)
{
	struct in_addr address;

	return strchr(name, ':') != NULL || inet_aton(name, &address) != 0;
}

static void
set_name(struct policy_asked *asked, const char *name)
{
	size_t len, i;

	asked->namelen = 0;
	if (name == NULL || is_numeric(name))
		return;
	len = strlen(name);
	if (len > 0 && name[len - 1] == '.')
		len--;
	if (len > POLICY_HOST_MAX)	/* no resolver gives an answer for it */
		return;
	for (i = 0; i < len; i++)
		asked->name[i] = (char)(name[i] >= 'A' && name[i] <= 'Z' ? name[i] - 'A' + 'a' : name[i]);
	asked->namelen = len;
}

enum policy_askable
policy_asked_set(struct policy_asked *asked, const struct policy_query *query)
{
	static const struct policy_address any4 = { AF_INET, { 0 } }, any6 = { AF_INET6, { 0 } };
	sa_family_t family;

	if (query->addr == NULL || query->addrlen < sizeof query->addr->sa_family)
		return POLICY_ASK_BROKEN;
	memcpy(&family, query->addr, sizeof family);
	asked->address = (struct policy_address){ .family = family };
	if (asked->address.family != AF_INET && asked->address.family != AF_INET6)
		return POLICY_ASK_FOREIGN;
	if (query->addrlen < (asked->address.family == AF_INET ? sizeof (struct sockaddr_in) : POLICY_SIN6_LEAST))
		return POLICY_ASK_BROKEN;
	asked->role = query->role;
	set_address(asked, query->addr);
	set_name(asked, query->role == POLICY_CLIENT ? query->name : NULL);
	asked->here =
	    query->role == POLICY_CLIENT && (block_has(&any4, 32, &asked->address) || block_has(&any6, 128, &asked->address));
	return POLICY_ASK_FINE;
}

static bool
name_is(const struct policy_asked *asked, const char *pattern)
{
	return asked->namelen > 0 && policy_glob(pattern, asked->name, asked->namelen);
}

static bool
block_fits(const struct policy_pattern *p, const struct policy_asked *asked)
{
	if (block_has(&p->address, p->bits, &asked->address))
		return true;
	return asked->here && block_has(&p->address, p->bits, asked->address.family == AF_INET ? &policy_loopback4 : &policy_loopback6);
}

struct policy_finding
policy_pattern_answer(const struct policy_pattern *p, const struct policy_asked *asked)
{
	const struct policy_finding no = { POLICY_NO, false }, yes = { POLICY_YES, false }, by_name = { POLICY_YES, true };

	if (asked->port < p->low || asked->port > p->high)
		return no;
	if ((p->host == POLICY_HOST_LOCAL || p->host == POLICY_HOST_NAME) && name_is(asked, p->name))
		return by_name;
	switch (p->host) {
	case POLICY_HOST_ANY:
		return yes;
	case POLICY_HOST_BLOCK:
		return block_fits(p, asked) ? yes : no;
	case POLICY_HOST_LOCAL:		/* means loopback wherever the name was resolved (RFC 6761), so nothing is in doubt */
		return policy_is_loopback(&asked->address) || asked->here ? yes : no;
	case POLICY_HOST_NAME:
		break;
	}
	return asked->namelen > 0 ? no : (struct policy_finding){ POLICY_UNKNOWN, false };
}

struct policy_finding
policy_rule_answer(const struct policy_rule *rule, const struct policy_asked *asked)
{
	struct policy_finding best = { POLICY_NO, false }, one;
	size_t i;

	for (i = 0; i < rule->npatterns; i++) {
		one = policy_pattern_answer(&rule->patterns[i], asked);
		if (one.answer > best.answer)
			best.answer = one.answer;
		best.by_name |= one.by_name;
	}
	return best;
}

static const char *
base(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash != NULL ? slash + 1 : path;
}

static bool
program_is(const char *pattern, const char *path, bool whole)
{
	if (path == NULL)
		return false;
	if (!whole)
		path = base(path);
	return policy_glob(pattern, path, strlen(path));
}

bool
policy_rule_fits(const struct policy *policy, int rule, const struct policy_program *program)
{
	const struct policy_rule *r = &policy->rules[rule];
	bool whole;
	size_t i;

	if (r->nprograms == 0)
		return true;
	for (i = 0; program != NULL && i < r->nprograms; i++) {
		whole = strchr(r->programs[i], '/') != NULL;
		if (program_is(r->programs[i], program->invoked, whole) || program_is(r->programs[i], program->resolved, whole) ||
		    (!whole && program_is(r->programs[i], program->argv0, false)))
			return true;
	}
	return false;
}

bool
policy_judged(const struct policy_query *query, struct policy_asked *asked, struct policy_verdict *verdict)
{
	enum policy_askable askable = policy_asked_set(asked, query);

	/* foreign: not a socket of ours to judge, AF_UNIX, and AF_UNSPEC, which dissolves a connection */
	*verdict = (struct policy_verdict){ askable == POLICY_ASK_FOREIGN ? POLICY_PLAIN : POLICY_REFUSE, -1, false };
	return askable != POLICY_ASK_FINE;
}

struct policy_verdict
policy_rule_verdict(const struct policy *policy, int rule, const struct policy_asked *asked)
{
	struct policy_finding found;

	if (rule == policy->nrules)
		return (struct policy_verdict){ policy->refuse ? POLICY_REFUSE : POLICY_PLAIN, -1, false };
	found = policy_rule_answer(&policy->rules[rule], asked);
	return (struct policy_verdict){
		found.answer == POLICY_YES ? policy->rules[rule].action : POLICY_CANNOT_KNOW, rule, found.by_name
	};
}

struct policy_verdict
policy_match(const struct policy *policy, const struct policy_query *query)
{
	struct policy_verdict verdict;
	struct policy_asked asked;
	int rule;

	if (policy_judged(query, &asked, &verdict))
		return verdict;
	for (rule = 0; rule < policy->nrules; rule++)
		if (policy->rules[rule].role == query->role && policy_rule_fits(policy, rule, query->program) &&
		    policy_rule_answer(&policy->rules[rule], &asked).answer != POLICY_NO)
			break;
	return policy_rule_verdict(policy, rule, &asked);
}

/* A rule that lets sockets pass can still refuse one, if it names a host that it cannot know. */
static bool
can_refuse(const struct policy_rule *rule)
{
	size_t i;

	if (rule->action != POLICY_PLAIN)
		return true;
	for (i = 0; i < rule->npatterns; i++)
		if (rule->patterns[i].host == POLICY_HOST_NAME)
			return true;
	return false;
}

bool
policy_concerns(const struct policy *policy, enum policy_role role, const struct policy_program *program)
{
	int i;

	for (i = 0; i < policy->nrules; i++)
		if (policy->rules[i].role == role && can_refuse(&policy->rules[i]) && policy_rule_fits(policy, i, program))
			return true;
	return policy->refuse;
}
