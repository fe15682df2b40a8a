/* check.c - the verb check: the policy, and every file that its rules name. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core.h"
#include "ctl.h"
#include "policy.h"
#include "target.h"

/* The setting that a sentence of the core's is about: such sentences begin with the key. */
static const struct policy_setting *
blamed(const struct policy *policy, int rule, const char *sentence)
{
	size_t n, len;
	const struct policy_setting *settings = policy_rule_settings(policy, rule, &n);

	for (size_t i = 0; i < n; i++) {
		len = strlen(settings[i].key);
		if (settings[i].line && strncmp(sentence, settings[i].key, len) == 0 && (sentence[len] == ' ' || sentence[len] == ':'))
			return &settings[i];
	}
	return NULL;
}

/* One line, at the setting's place or else at the rule's. */
static void
report(const struct policy *policy, int rule, const struct policy_setting *s, const char *kind, const char *sentence)
{
	ctl_say("%s:%u:%u: %s%s", policy_path(policy), s ? s->line : policy_rule_line(policy, rule), s ? s->column : 1, kind, sentence);
}

static bool
fill(const struct core_verbs *core, const struct policy *policy, int rule, struct config *config)
{
	char err[512];
	size_t n;
	const struct policy_setting *settings = policy_rule_settings(policy, rule, &n);

	for (size_t i = 0; i < n; i++)
		if (core->config_set(config, settings[i].key, settings[i].value, err, sizeof err) < 0) {
			report(policy, rule, settings[i].line ? &settings[i] : NULL, "", err);
			return false;
		}
	return true;
}

bool
ctl_check_rule(const struct core_verbs *core, const struct policy *policy, int rule)
{
	char err[512], warning[512];
	struct config *config;
	bool fine;

	if (policy_rule_action(policy, rule) != POLICY_WRAP)
		return true;
	config = core->config_new(policy_rule_role(policy, rule) == POLICY_CLIENT ? CONFIG_CLIENT : CONFIG_SERVER);
	/* Sessions are shared between the connections of a rule, not of nobody. */
	if (!config || core->config_set_place(config, policy_rule_name(policy, rule)) < 0)
		abort();
	fine = fill(core, policy, rule, config);
	if (fine) {
		fine = core->config_seal(config, err, sizeof err, warning, sizeof warning) == 0;
		if (!fine)
			report(policy, rule, blamed(policy, rule, err), "", err);
		if (*warning)
			report(policy, rule, blamed(policy, rule, warning), "warning: ", warning);
	}
	core->config_free(config);
	return fine;
}

bool
ctl_rule_has_files(const struct policy *policy, int rule)
{
	static const char *const keys[] = { "certfile", "keyfile", "capath", "crlfile", "password_file", "ticket_keys" };
	const char *trust = policy_rule_setting(policy, rule, "ca_certs");

	if (policy_rule_action(policy, rule) != POLICY_WRAP)
		return false;
	for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
		if (policy_rule_setting(policy, rule, keys[i]))
			return true;
	return trust && strcmp(trust, "system") != 0;
}

bool
ctl_rule_fits(const struct policy *policy, int rule, const struct target *t)
{
	struct policy_program program;
	int at = 0;

	while (target_program(t, &at, &program))
		if (policy_rule_fits(policy, rule, &program))
			return true;
	return false;
}

int
check_main(const struct ctl_options *options, int argc, char **argv)
{
	struct ctl_options with = *options;
	const struct core_verbs *core;
	struct policy *policy;
	const char *path;
	char err[512];
	int faults = 0;

	if (argc > 1)
		return ctl_usage("check takes one file");
	if (argc == 1)
		with.policy = argv[0];
	path = ctl_policy_path(&with);
	policy = path ? ctl_policy(path) : NULL;
	if (!policy)
		return CTL_ERRORS;
	core = ctl_core(NULL, err, sizeof err);
	if (!core) {
		ctl_say("%s", err);
		policy_free(policy);
		return CTL_ERRORS;
	}
	for (int i = 0; i < policy_rules(policy); i++)
		faults += !ctl_check_rule(core, policy, i);
	if (faults == 0)
		printf("%s: in order, %d rule%s\n", path, policy_rules(policy), policy_rules(policy) == 1 ? "" : "s");
	policy_free(policy);
	return faults ? CTL_ERRORS : CTL_FINE;
}
