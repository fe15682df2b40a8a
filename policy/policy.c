/* policy.c - what a parsed policy says of itself. */
#include <string.h>

#include "rule.h"

int
policy_rules(const struct policy *policy)
{
	return policy->nrules;
}

const char *
policy_rule_name(const struct policy *policy, int rule)
{
	return policy->rules[rule].name;
}

enum policy_role
policy_rule_role(const struct policy *policy, int rule)
{
	return policy->rules[rule].role;
}

unsigned
policy_rule_line(const struct policy *policy, int rule)
{
	return policy->rules[rule].section.line;
}

enum policy_answer
policy_rule_action(const struct policy *policy, int rule)
{
	return policy->rules[rule].action;
}

bool
policy_unmatched_refuses(const struct policy *policy)
{
	return policy->refuse;
}

const char *
policy_path(const struct policy *policy)
{
	return policy->path;
}

const struct policy_setting *
policy_rule_settings(const struct policy *policy, int rule, size_t *n)
{
	*n = policy->rules[rule].nsettings;
	return policy->rules[rule].settings;
}

const char *
policy_rule_setting(const struct policy *policy, int rule, const char *key)
{
	const struct policy_rule *r = &policy->rules[rule];
	size_t i;

	for (i = 0; i < r->nsettings; i++)
		if (strcmp(r->settings[i].key, key) == 0)
			return r->settings[i].value;
	return NULL;
}
