/*
 * policy.h - policy text in, verdict out.
 *
 * The parser takes bytes and returns a value or an error with its place; it neither prints nor exits.  A parsed policy is
 * immutable: every function that takes a const pointer may be called from any thread and from a forked child, takes no
 * lock and allocates nothing.
 */
#ifndef WRAPSOCK_POLICY_H
#define WRAPSOCK_POLICY_H

#include <sys/socket.h>

#include <stdbool.h>
#include <stddef.h>

struct policy;

enum policy_role { POLICY_CLIENT, POLICY_SERVER };	/* who opened the connection: we connect(), or we accept() */

enum policy_answer {
	POLICY_PLAIN,		/* leave the socket alone */
	POLICY_WRAP,		/* TLS, with the settings of the rule */
	POLICY_REFUSE,		/* a rule, or unmatched = refuse, forbids it */
	POLICY_CANNOT_KNOW	/* the rule names a host and the name is not known: refuse, the cure is an address in match */
};

/* Where and why a text was refused. line and column count from 1; 0 means the file as a whole. */
struct policy_error {
	unsigned line, column;
	char text[320];		/* what is wrong and what was expected; control characters of the input are escaped */
};

/*
 * One setting of a rule, in the form that the connection core takes (lib/config.h): yes|no, milliseconds and bytes as decimal numbers,
 * files as absolute paths, lists joined by ", " with one blank, words in lower case.  openssl.* keys keep their full name.
 */
struct policy_setting {
	const char *key, *value;
	unsigned line, column;	/* of the value; of the [defaults] line if it came from there; 0 for built-in defaults */
};

/* Who is asking. Any member may be NULL. */
struct policy_program {
	const char *invoked;	/* path as started (AT_EXECFN; for a script the script) */
	const char *argv0;	/* argv[0] */
	const char *resolved;	/* the executable, links followed (/proc/self/exe) */
};

struct policy_query {
	enum policy_role role;
	const struct sockaddr *addr;	/* client: the peer's address; server: the local address; v4-mapped v6 is unmapped here */
	socklen_t addrlen;
	const char *name;		/* client: the name that the program resolved to get addr; NULL = not known */
	const struct policy_program *program;	/* NULL: rules with `program` never match */
};

struct policy_verdict {
	enum policy_answer answer;
	int rule;			/* index of the deciding rule, -1 = unmatched */
	bool by_name;			/* a name pattern decided: that name is what is to be verified */
};

/*
 * Parse len bytes. path names the file in messages and gives relative paths their folder.  Returns 0 and *out (the
 * caller's, policy_free), or -1 and *err; then *out is NULL.
 */
int policy_parse(const char *text, size_t len, const char *path, struct policy **out, struct policy_error *err);

/*
 * Read and parse a file: a regular file, owned by root or the effective user, not writable by group or others, at most
 * 4 MiB.  Opens with O_CLOEXEC through open(2); the descriptor is closed on return.
 */
int policy_load(const char *path, struct policy **out, struct policy_error *err);

void policy_free(struct policy *);	/* NULL is allowed */

/* First rule in file order that does not say no decides. Allocation-free, lock-free, async-signal-safe. */
struct policy_verdict policy_match(const struct policy *, const struct policy_query *);

/*
 * policy_match for one program, in a time that grows with what the rules have in common, not with their number.  0 and *out (the caller's,
 * policy_index_free; NULL is allowed there), or -1: no memory.  The index looks into the policy, which must outlive it, and is as
 * immutable; the program is needed only here, and a query's own is not looked at.
 */
struct policy_index;
int policy_index_new(const struct policy *, const struct policy_program *, struct policy_index **out);
void policy_index_free(struct policy_index *);
struct policy_verdict policy_index_match(const struct policy_index *, const struct policy_query *);	/* as policy_match */

/* Why rule number `rule` does or does not match: a sentence into buf (for `explain`). Returns policy_answer or -1 for "no". */
int policy_explain(const struct policy *, int rule, const struct policy_query *, char *buf, size_t size);

/* Could any rule of this role ever wrap or refuse a socket of this program?  unmatched = refuse counts as yes. */
bool policy_concerns(const struct policy *, enum policy_role, const struct policy_program *);

/* The rules, in file order. */
int policy_rules(const struct policy *);			/* how many */
const char *policy_rule_name(const struct policy *, int rule);	/* NAME of [client NAME] */
enum policy_role policy_rule_role(const struct policy *, int rule);
unsigned policy_rule_line(const struct policy *, int rule);	/* of its [section] line */
enum policy_answer policy_rule_action(const struct policy *, int rule);	/* PLAIN, WRAP or REFUSE */
bool policy_rule_fits(const struct policy *, int rule, const struct policy_program *);	/* its `program`, or true without */
bool policy_unmatched_refuses(const struct policy *);
const char *policy_path(const struct policy *);

/* All settings of a rule with every default filled in, `match`, `program` and `action` excepted. n receives the count. */
const struct policy_setting *policy_rule_settings(const struct policy *, int rule, size_t *n);
const char *policy_rule_setting(const struct policy *, int rule, const char *key);	/* NULL = not set */

/*
 * Canonical text, defaults filled in: parsing it gives an equal policy, and printing that gives the same bytes.  Behaves like
 * snprintf: returns the length needed, writes at most size bytes with the final NUL.
 */
size_t policy_print(const struct policy *, char *buf, size_t size);

#endif
