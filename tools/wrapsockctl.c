/* wrapsockctl.c - the verb table, and what all verbs need: options, the policy, words on stderr. */
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl.h"
#include "policy.h"

#define SYSTEM_POLICY "/etc/wrapsock/policy.conf"

static const struct verb {
	const char *name;
	int (*main)(const struct ctl_options *, int argc, char **argv);
	const char *arguments, *what;	/* NULL: not for people */
} verbs[] = {
	{ "check", check_main, "[FILE]", "is the policy in order, and every file that it names?" },
	{ "print", print_main, "", "the policy in canonical form, defaults filled in" },
	{ "explain", explain_main, "[--program PROGRAM] client|server HOST:PORT", "which rule decides, and why the others do not" },
	{ "doctor", doctor_main, "COMMAND", "can the command be protected, and what would it use?" },
	{ "preflight", preflight_main, NULL, NULL },
};

#define NVERBS (sizeof verbs / sizeof *verbs)

const char *ctl_name = "wrapsockctl";

static void
usage(FILE *to)
{
	fputs("usage: wrapsockctl [-p FILE] VERB ...\n", to);
	for (size_t i = 0; i < NVERBS; i++)
		if (verbs[i].what)
			fprintf(to, "  %s %s\n\t%s\n", verbs[i].name, verbs[i].arguments, verbs[i].what);
	fputs("  -p FILE, --policy FILE\n\tinstead of $WRAPSOCK_POLICY, $XDG_CONFIG_HOME/wrapsock/policy.conf or " SYSTEM_POLICY "\n"
	      "  --help, --version\n", to);
}

static __attribute__((format(printf, 1, 0))) void
say(const char *fmt, va_list ap)
{
	fprintf(stderr, "%s: ", ctl_name);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
}

void
ctl_say(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(fmt, ap);
	va_end(ap);
}

int
ctl_usage(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(fmt, ap);
	va_end(ap);
	usage(stderr);
	return CTL_USAGE;
}

/* ---- the policy ---- */

static const char *
absolute(const char *path)
{
	char folder[PATH_MAX];
	static char whole[2 * PATH_MAX];

	if (*path == '/' || !getcwd(folder, sizeof folder))
		return path;
	snprintf(whole, sizeof whole, "%s/%s", folder, path);
	return whole;
}

const char *
ctl_policy_path(const struct ctl_options *options)
{
	static char path[PATH_MAX];
	const char *named = options->policy, *home = getenv("XDG_CONFIG_HOME");

	if (!named) {
		named = getenv("WRAPSOCK_POLICY");
		if (named && *named == '\0')
			named = NULL;
	}
	if (named)
		return absolute(named);
	if (home && *home == '/' && (size_t)snprintf(path, sizeof path, "%s/wrapsock/policy.conf", home) < sizeof path && access(path, F_OK) == 0)
		return path;
	if (access(SYSTEM_POLICY, F_OK) == 0)
		return SYSTEM_POLICY;
	ctl_say("no policy: name one with --policy FILE or WRAPSOCK_POLICY; neither $XDG_CONFIG_HOME/wrapsock/policy.conf nor "
		SYSTEM_POLICY " exists");
	return NULL;
}

struct policy *
ctl_policy(const char *path)
{
	struct policy *policy;
	struct policy_error err;

	if (policy_load(path, &policy, &err) == 0)
		return policy;
	if (err.line)
		ctl_say("%s:%u:%u: %s", path, err.line, err.column, err.text);
	else
		ctl_say("%s: %s", path, err.text);
	return NULL;
}

/* ---- options ---- */

static struct option {
	const char *word, *brief;
	size_t member;
} const options[] = {
	{ "--policy", "-p", offsetof(struct ctl_options, policy) },
	{ "--program", NULL, offsetof(struct ctl_options, program) },
	{ "--preload", NULL, offsetof(struct ctl_options, preload) },
};

/* One option with its value at argv[at]: how many words it takes, 0 = none of ours, -1 = its value is missing. */
static int
take_option(struct ctl_options *to, int argc, char **argv, int at)
{
	for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
		const struct option *o = &options[i];
		const char **value = (const char **)(void *)((char *)to + o->member);
		size_t len = strlen(o->word);

		if (strncmp(argv[at], o->word, len) == 0 && argv[at][len] == '=') {
			*value = argv[at] + len + 1;
			return 1;
		}
		if (strcmp(argv[at], o->word) == 0 || (o->brief && strcmp(argv[at], o->brief) == 0)) {
			if (at + 1 == argc)
				return -1;
			*value = argv[at + 1];
			return 2;
		}
		if (o->brief && strncmp(argv[at], o->brief, 2) == 0) {
			*value = argv[at] + 2;
			return 1;
		}
	}
	return 0;
}

/* The options from argv[*at] on, up to the first word that is none. 0 = go on, else *status is the answer. */
static int
take_options(struct ctl_options *to, int argc, char **argv, int *at, int *status)
{
	while (*at < argc && argv[*at][0] == '-' && argv[*at][1] != '\0') {
		int n;

		if (strcmp(argv[*at], "--") == 0) {
			++*at;
			return 0;
		}
		if (strcmp(argv[*at], "--help") == 0 || strcmp(argv[*at], "-h") == 0) {
			usage(stdout);
			*status = CTL_FINE;
			return -1;
		}
		if (strcmp(argv[*at], "--version") == 0) {
			puts("wrapsock " WRAPSOCK_VERSION);
			*status = CTL_FINE;
			return -1;
		}
		n = take_option(to, argc, argv, *at);
		if (n <= 0) {
			*status = ctl_usage(n < 0 ? "%s: a value is missing" : "unknown option %s", argv[*at]);
			return -1;
		}
		*at += n;
	}
	return 0;
}

int
main(int argc, char **argv)
{
	struct ctl_options chosen = { NULL, NULL, NULL };
	const struct verb *verb = NULL;
	int at = 1, status;

	if (take_options(&chosen, argc, argv, &at, &status) < 0)
		return status;
	if (at == argc)
		return ctl_usage("a verb is missing");
	for (size_t i = 0; i < NVERBS; i++)
		if (strcmp(argv[at], verbs[i].name) == 0)
			verb = &verbs[i];
	if (!verb)
		return ctl_usage("unknown verb %s", argv[at]);
	at++;
	if (take_options(&chosen, argc, argv, &at, &status) < 0)
		return status;
	status = verb->main(&chosen, argc - at, argv + at);
	if (fflush(stdout) != 0 || ferror(stdout)) {
		ctl_say("standard output cannot be written");
		return CTL_ERRORS;
	}
	return status;
}
