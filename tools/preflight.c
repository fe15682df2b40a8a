/*
 * preflight.c - the launcher's question: may this command be started? Not for people: the launcher tools/wrapsock asks it, and passes
 * on the status. stdout: the policy's absolute path, then, for a script without #! line, the script's path.
 */
#include <stdio.h>
#include <string.h>

#include "core.h"
#include "ctl.h"
#include "policy.h"
#include "target.h"

/* Files are looked at only where the rule can be meant for this command. */
static bool
files_in_order(const struct policy *policy, const struct target *t, const char *preload)
{
	const struct core_verbs *core = NULL;
	char folder[4096], err[512];
	bool fine = true;

	snprintf(folder, sizeof folder, "%.*s", (int)(strrchr(preload, '/') - preload), preload);
	for (int i = 0; i < policy_rules(policy); i++) {
		if (!ctl_rule_has_files(policy, i) || !ctl_rule_fits(policy, i, t))
			continue;
		if (!core && !(core = ctl_core(folder, err, sizeof err))) {
			ctl_say("%s", err);
			return false;
		}
		fine = ctl_check_rule(core, policy, i) && fine;
	}
	return fine;
}

int
preflight_main(const struct ctl_options *options, int argc, char **argv)
{
	struct policy *policy;
	struct target t;
	const char *path;
	char err[512];
	int status;

	ctl_name = "wrapsock";
	if (argc < 1 || !options->preload || options->preload[0] != '/') {
		ctl_say("preflight is the launcher's own");
		return CTL_OURS;
	}
	if (ctl_objects(options->preload, err, sizeof err) < 0) {
		ctl_say("%s", err);
		return CTL_OURS;
	}
	path = ctl_policy_path(options);
	policy = path ? ctl_policy(path) : NULL;
	if (!policy)
		return CTL_OURS;
	target_find(&t, argv[0]);
	status = t.status;
	if (status)
		ctl_say("%s: %s", t.command, t.why);
	else if (!files_in_order(policy, &t, options->preload))
		status = CTL_OURS;
	else
		printf("%s\n%s", path, t.headerless ? t.steps[0].path : "");
	target_free(&t);
	policy_free(policy);
	return status;
}
