/* doctor.c - the verb doctor: can a command be protected, what would it use, and what will not work? */
#include <stdio.h>
#include <string.h>

#include "core.h"
#include "ctl.h"
#include "elf.h"
#include "policy.h"
#include "target.h"

static const struct {
	const char *library, *remark;
} known[] = {
	{ "liburing.so", "uses io_uring, and wrapsock cannot see what it does there: such a rule needs route = relay" },
	{ "libaio.so", "uses the kernel's asynchronous I/O, and wrapsock cannot see what it does with it: "
		       "for sockets such a rule needs route = relay" },
	{ "libssl.so", "can speak TLS itself: switch that off where a rule wraps its connections" },
	{ "libgnutls.so", "can speak TLS itself: switch that off where a rule wraps its connections" },
};

static const struct {
	const char *function, *remark;
} imports[] = {
	{ "dlmopen", "can load a second C library, whose calls wrapsock does not see" },
	{ "rcmd", "connects inside the C library: refused unless policy leaves the connection plain" },
	{ "rexec", "connects inside the C library: refused unless policy leaves the connection plain" },
	{ "clnttcp_create", "calls SunRPC: by libtirpc it can be wrapped; inside a C library from before 2.32 its connections are not seen" },
};

static void
print_steps(const struct target *t)
{
	for (int i = 0; i < t->nsteps; i++) {
		const struct target_step *s = &t->steps[i];

		printf("%s %s", i == 0 ? "runs:" : s->starts ? "then:" : "by:  ", s->path);
		if (s->resolved && strcmp(s->resolved, s->path) != 0)
			printf(" -> %s", s->resolved);
		putchar('\n');
	}
}

static void
print_remarks(const char *path)
{
	struct elf_file f;
	const char *name;
	size_t at = 0;
	bool libc = false;

	if (elf_open(path, &f) < 0)
		return;
	while (elf_is_ours(&f) && (name = elf_needed(&f, &at))) {
		libc = libc || strncmp(name, "libc.so", 7) == 0;
		for (size_t i = 0; i < sizeof known / sizeof *known; i++)
			if (strncmp(name, known[i].library, strlen(known[i].library)) == 0)
				printf("note: %s %s (it needs %s)\n", path, known[i].remark, name);
	}
	for (size_t i = 0; elf_is_ours(&f) && i < sizeof imports / sizeof *imports; i++)
		if (elf_imports(&f, imports[i].function))
			printf("note: %s %s (it calls %s)\n", path, imports[i].remark, imports[i].function);
	if (elf_is_ours(&f) && !libc)
		printf("note: %s does not need the C library by itself: what it does with sockets may not be seen\n", path);
	elf_close(&f);
}

/* The rules that can be meant for the command, each with its files looked at. Returns the number of faults. */
static int
print_rules(const struct policy *policy, const struct target *t, const struct core_verbs *core)
{
	int fits = 0, faults = 0;

	printf("policy: %s\n", policy_path(policy));
	for (int i = 0; i < policy_rules(policy); i++) {
		if (!ctl_rule_fits(policy, i, t))
			continue;
		fits++;
		printf("rule: [%s %s] line %u\n", policy_rule_role(policy, i) == POLICY_CLIENT ? "client" : "server",
		    policy_rule_name(policy, i), policy_rule_line(policy, i));
		fflush(stdout);
		if (core && !ctl_check_rule(core, policy, i))
			faults++;
	}
	if (fits == 0)
		printf("note: no rule fits this program; its TCP connections are %s\n", policy_unmatched_refuses(policy) ? "refused" : "plain");
	return faults;
}

int
doctor_main(const struct ctl_options *options, int argc, char **argv)
{
	const struct core_verbs *core;
	struct policy *policy;
	struct target t;
	const char *path;
	char err[512], preload[4128];
	int faults = 0;

	if (argc < 1)
		return ctl_usage("doctor takes a command");
	target_find(&t, argv[0]);
	print_steps(&t);
	if (t.status) {
		printf("protected: no, %s\n", t.why);
		faults++;
	} else {
		puts("protected: yes");
		for (int i = 0; i < t.nsteps; i++)
			print_remarks(t.steps[i].path);
	}
	snprintf(preload, sizeof preload, "%s/libwrapsock-preload.so", ctl_folder());
	fflush(stdout);
	core = ctl_objects(preload, err, sizeof err) == 0 ? ctl_core(NULL, err, sizeof err) : NULL;
	if (core) {
		printf("preloads: %s\nTLS: %s\n", preload, core->library_version());
	} else {
		ctl_say("%s", err);
		faults++;
	}
	path = ctl_policy_path(options);
	policy = path ? ctl_policy(path) : NULL;
	faults += policy ? print_rules(policy, &t, core) : 1;
	policy_free(policy);
	target_free(&t);
	return faults ? CTL_ERRORS : CTL_FINE;
}
