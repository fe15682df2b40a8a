/*
 * ctl.h - what the verbs of wrapsockctl share. A verb gets the words behind its name and answers with an exit status.
 */
#ifndef WRAPSOCK_CTL_H
#define WRAPSOCK_CTL_H

#include <stdbool.h>
#include <stddef.h>

struct core_verbs;
struct policy;
struct target;

enum { CTL_FINE = 0, CTL_ERRORS = 1, CTL_USAGE = 2, CTL_OURS = 125 };

struct ctl_options {
	const char *policy;	/* --policy */
	const char *program;	/* --program */
	const char *preload;	/* preflight's --preload */
};

int check_main(const struct ctl_options *, int argc, char **argv);
int print_main(const struct ctl_options *, int argc, char **argv);
int explain_main(const struct ctl_options *, int argc, char **argv);
int doctor_main(const struct ctl_options *, int argc, char **argv);
int preflight_main(const struct ctl_options *, int argc, char **argv);

/* `who: text` on stderr; who is "wrapsockctl", but the launcher's preflight speaks for "wrapsock". */
extern const char *ctl_name;
void ctl_say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* The same, and how to call us. Returns CTL_USAGE. */
int ctl_usage(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* The policy's absolute path: named, or else where it is searched. NULL after a word on stderr. */
const char *ctl_policy_path(const struct ctl_options *);
/* Loaded, or NULL after a word on stderr: the place and what is wrong. */
struct policy *ctl_policy(const char *path);

/* libwrapsock.so from the folder (NULL: found from our own), or NULL and a sentence. */
const struct core_verbs *ctl_core(const char *folder, char *err, size_t size);
/* The folder in which our libraries are. */
const char *ctl_folder(void);
/* Is the preload object, and the library beside it, there and of our version? 0, or -1 and a sentence. */
int ctl_objects(const char *preload, char *err, size_t size);

/* Make the settings of a rule into those of a connection, files and all. A fault is one line on stderr, FILE:LINE:COLUMN first. */
bool ctl_check_rule(const struct core_verbs *, const struct policy *, int rule);
/* Does the rule name files? */
bool ctl_rule_has_files(const struct policy *, int rule);
/* Does the rule's `program` fit one of the programs that the command starts? */
bool ctl_rule_fits(const struct policy *, int rule, const struct target *);

#endif
