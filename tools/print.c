/* print.c - the verb print: the policy in canonical form. */
#include <stdio.h>
#include <stdlib.h>

#include "ctl.h"
#include "policy.h"

int
print_main(const struct ctl_options *options, int argc, char **argv)
{
	const char *path;
	struct policy *policy;
	char *text;
	size_t len;

	if (argc > 0)
		return ctl_usage("print takes no %s", argv[0]);
	path = ctl_policy_path(options);
	policy = path ? ctl_policy(path) : NULL;
	if (!policy)
		return CTL_ERRORS;
	len = policy_print(policy, NULL, 0);
	text = malloc(len + 1);
	if (!text)
		abort();
	policy_print(policy, text, len + 1);
	fputs(text, stdout);
	free(text);
	policy_free(policy);
	return CTL_FINE;
}
