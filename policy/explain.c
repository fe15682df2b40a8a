/* explain.c - why a rule does or does not match, for people. */
#include <arpa/inet.h>

#include <stdio.h>
#include <string.h>

#include "match.h"

enum { PATTERN_TEXT = POLICY_HOST_MAX + 80 };

/* The first pattern that gives this answer. */
static const struct policy_pattern *
find(const struct policy_rule *rule, const struct policy_asked *asked, struct policy_finding as)
{
	struct policy_finding one;
	size_t i;

	for (i = 0; i < rule->npatterns; i++) {
		one = policy_pattern_answer(&rule->patterns[i], asked);
		if (one.answer == as.answer && one.by_name == as.by_name)
			return &rule->patterns[i];
	}
	return NULL;
}

static bool
port_fits(const struct policy_rule *rule, unsigned port)
{
	size_t i;

	for (i = 0; i < rule->npatterns; i++)
		if (port >= rule->patterns[i].low && port <= rule->patterns[i].high)
			return true;
	return false;
}

static int
explain_no(const struct policy_rule *rule, const struct policy_asked *asked, char *buf, size_t size)
{
	char address[INET6_ADDRSTRLEN];

	inet_ntop(asked->address.family, asked->address.bytes, address, sizeof address);
	if (!port_fits(rule, asked->port))
		snprintf(buf, size, "no: port %u is not in its match", asked->port);
	else if (asked->namelen > 0)
		snprintf(buf, size, "no: neither the address %s nor the name %.*s is in its match", address, (int)asked->namelen,
		    asked->name);
	else
		snprintf(buf, size, "no: the address %s is not in its match", address);
	return -1;
}

static int
explain_fine(const struct policy_rule *rule, const struct policy_asked *asked, char *buf, size_t size)
{
	static const char *const does[] = {
		[POLICY_PLAIN] = "leaves it alone", [POLICY_WRAP] = "wraps it", [POLICY_REFUSE] = "refuses it",
	};
	struct policy_finding found = policy_rule_answer(rule, asked);
	char text[PATTERN_TEXT];

	if (found.answer == POLICY_NO)
		return explain_no(rule, asked, buf, size);
	policy_pattern_print(find(rule, asked, found), text, sizeof text);
	if (found.answer == POLICY_UNKNOWN) {
		snprintf(buf, size,
		    "cannot know: %s names a host, and which name was resolved is not known; an address in match settles it", text);
		return POLICY_CANNOT_KNOW;
	}
	if (found.by_name)
		snprintf(buf, size, "yes, by the name %.*s: %s; the rule %s", (int)asked->namelen, asked->name, text,
		    does[rule->action]);
	else
		snprintf(buf, size, "yes, by the address: %s; the rule %s", text, does[rule->action]);
	return (int)rule->action;
}

int
policy_explain(const struct policy *policy, int rule, const struct policy_query *query, char *buf, size_t size)
{
	const struct policy_rule *r = &policy->rules[rule];
	struct policy_asked asked;

	if (r->role != query->role) {
		snprintf(buf, size, "no: it is a %s rule", r->role == POLICY_CLIENT ? "client" : "server");
		return -1;
	}
	if (!policy_rule_fits(policy, rule, query->program)) {
		snprintf(buf, size, "no: its program does not fit%s", query->program == NULL ? ", no program was named" : "");
		return -1;
	}
	if (policy_asked_set(&asked, query) != POLICY_ASK_FINE) {
		snprintf(buf, size, "no: the address is neither IPv4 nor IPv6");
		return -1;
	}
	return explain_fine(r, &asked, buf, size);
}
