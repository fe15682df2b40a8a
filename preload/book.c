/* book.c - the policy in force and the configs of its rules; both follow the files on disk. */
#include "book.h"
#include "cancel.h"
#include "decide.h"
#include "entry.h"
#include "rights.h"
#include "stamp.h"

#include "real.h"

#include "log.h"
#include "policy.h"

#include <sys/auxv.h>

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Replaced as a whole when the file changes, and freed when nobody can be matching with it any more. */
struct book {
	struct policy *policy;		/* NULL: could not be had, everything is refused */
	struct policy_index *index;	/* of its rules for this program */
	struct entry *entries;		/* one a rule */
	uint64_t file;			/* stamp of the policy's file, 0 = look again */
	struct book *older;		/* of those that wait to be freed */
};

static struct book *_Atomic book;
static struct book *retired;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;	/* guards the entries, the reload and the retired */
static __thread bool inside __attribute__((tls_model("initial-exec")));	/* this thread holds it */
static _Atomic unsigned readers;	/* of any book */
static __thread unsigned reading __attribute__((tls_model("initial-exec")));	/* ... of this thread */
static char path[PATH_MAX], resolved[PATH_MAX];
static struct policy_program program;
static bool clients = true, servers = true, listened;
static _Atomic time_t looked;
static char fault[400];			/* what was told of a file that cannot be used, while the policy before it is in force */
static unsigned gone;			/* looks in a row that did not find it */

static void
find_policy(void)
{
	const char *named = secure_getenv("WRAPSOCK_POLICY"), *home = secure_getenv("XDG_CONFIG_HOME");
	char candidate[PATH_MAX];

	if (named && *named) {
		if (*named == '/' || !realpath(named, path))
			snprintf(path, sizeof path, "%s", named);
		return;
	}
	if (home && *home == '/' && (size_t)snprintf(candidate, sizeof candidate, "%s/wrapsock/policy.conf", home) < sizeof candidate &&
	    access(candidate, F_OK) == 0) {
		strcpy(path, candidate);
		return;
	}
	if (access("/etc/wrapsock/policy.conf", F_OK) == 0)
		strcpy(path, "/etc/wrapsock/policy.conf");
}

/* The executable is asked for where a rule wants to know: /proc is a third of what we cost a program that is over at once. */
static void
find_executable(const struct policy *p)
{
	ssize_t n;
	int i = 0;

	while (i < policy_rules(p) && policy_rule_fits(p, i, NULL))
		i++;
	if (program.resolved || i == policy_rules(p))
		return;
	n = readlink("/proc/self/exe", resolved, sizeof resolved - 1);
	if (n > 0)
		program.resolved = resolved;
}

static void
book_free(struct book *b)
{
	int rules = b && b->policy && b->entries ? policy_rules(b->policy) : 0;

	for (int i = 0; i < rules; i++)
		entry_free(&b->entries[i]);
	if (!b)
		return;
	free(b->entries);
	policy_index_free(b->index);
	policy_free(b->policy);
	free(b);
}

/* A book whose policy is NULL if the file cannot be used: why says so. NULL = out of memory. */
static struct book *
read_book(char *why, size_t size)
{
	struct book *b = calloc(1, sizeof *b);
	struct stamp file = { 0 };
	struct policy_error err;

	if (!b)
		return NULL;
	stamp_add(&file, path);
	b->file = file.fresh ? 0 : file.sum;
	if (policy_load(path, &b->policy, &err) < 0) {
		b->policy = NULL;
		if (err.line)
			snprintf(why, size, ":%u:%u: %s", err.line, err.column, err.text);
		else
			snprintf(why, size, ": %s", err.text);
		return b;
	}
	find_executable(b->policy);
	b->entries = calloc((size_t)policy_rules(b->policy) + 1, sizeof *b->entries);
	if (b->entries && policy_index_new(b->policy, &program, &b->index) == 0)
		return b;
	book_free(b);
	return NULL;
}

static void
concern(const struct book *b)
{
	clients = !b || !b->policy || policy_concerns(b->policy, POLICY_CLIENT, &program);
	servers = !b || !b->policy || policy_concerns(b->policy, POLICY_SERVER, &program);
}

void
decide_start(void)
{
	char why[400] = ": out of memory";

	program.invoked = (const char *)getauxval(AT_EXECFN);
	program.argv0 = program_invocation_name;
	find_policy();
	if (*path) {
		book = read_book(why, sizeof why);
		if (!book || !book->policy)
			log_line(LOG_LEVEL_ERROR, "%s%s", path, why);
	} else {
		log_line(LOG_LEVEL_ERROR, "no policy: WRAPSOCK_POLICY is not set and neither $XDG_CONFIG_HOME/wrapsock/policy.conf nor "
					  "/etc/wrapsock/policy.conf exists; TCP sockets are refused");
	}
	concern(book);
}

static time_t
now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
	return ts.tv_sec;
}

/* ---- a policy that changes ---- */

static bool
same_rule(const struct policy *a, int i, const struct policy *b, int j)
{
	const struct policy_setting *x, *y;
	size_t n, m;

	if (policy_rule_role(a, i) != policy_rule_role(b, j) || strcmp(policy_rule_name(a, i), policy_rule_name(b, j)) != 0)
		return false;
	x = policy_rule_settings(a, i, &n);
	y = policy_rule_settings(b, j, &m);
	if (n != m)
		return false;
	for (size_t k = 0; k < n; k++)
		if (strcmp(x[k].key, y[k].key) != 0 || strcmp(x[k].value, y[k].value) != 0)
			return false;
	return true;
}

/* A rule that stays as it was goes on with what it has, also where its files cannot be read any more. */
static void
inherit(struct book *b, const struct book *old)
{
	for (int i = 0; i < policy_rules(b->policy); i++)
		for (int j = 0; j < policy_rules(old->policy); j++)
			if (same_rule(b->policy, i, old->policy, j))
				entry_inherit(&b->entries[i], &old->entries[j],
					      policy_rule_line(b->policy, i) == policy_rule_line(old->policy, j));
}

/* With the lock held. */
static void
replace(struct book *b)
{
	struct book *old = book;
	bool had = old && old->policy;

	if (had)
		inherit(b, old);
	book = b;
	concern(b);
	if (old) {
		old->older = retired;
		retired = old;
	}
	if (!had || *fault)
		log_line(LOG_LEVEL_WARN, "%s: the policy can be used again, and is from now on", path);
	else
		log_line(LOG_LEVEL_INFO, "%s: the policy has changed, and is used from now on", path);
	*fault = '\0';
}

/* Who comes to read from now on finds the new book: when nobody reads, nobody reads an old one. */
static void
free_retired(void)
{
	while (retired && readers == 0) {
		struct book *b = retired;

		retired = b->older;
		book_free(b);
	}
}

static void
complain(const struct book *old, const char *why)
{
	if (strcmp(why, fault) == 0)
		return;
	snprintf(fault, sizeof fault, "%s", why);
	if (old && old->policy)
		log_line(LOG_LEVEL_WARN, "%s%s; the policy that was read before stays in force", path, why);
	else
		log_line(LOG_LEVEL_ERROR, "%s%s", path, why);
}

/* Gone twice in a row: somebody who replaces a file may remove it first. In a cage it may be gone, or another one. */
static void
miss(struct book *old)
{
	if (!old || rights_in_cage() || ++gone < 2)
		return;
	old->file = 0;
	complain(old, ": is gone");
}

/*
 * With the lock held. A broken new version keeps the old one, and so does a file that is gone; half a version may be one that is
 * being written.
 */
static void
reread(void)
{
	char why[sizeof fault] = "";
	struct stamp file = { 0 };
	struct book *old = book, *b;

	free_retired();
	stamp_add(&file, path);
	if (file.missing)
		miss(old);
	if (file.missing || file.hidden)
		return;
	gone = 0;
	if (file.busy || (old && file.sum == old->file))
		return;
	b = read_book(why, sizeof why);
	if (!b)
		return;
	if (b->policy) {
		replace(b);
		return;
	}
	if (old)
		old->file = b->file;
	complain(old, why);
	book_free(b);
}

/* Nothing but this: also where no heap may be touched. */
static struct book *
hold(void)
{
	reading++;
	readers++;
	return book;
}

struct book *
book_now(void)
{
	if (*path && looked != now() && !inside && pthread_mutex_trylock(&lock) == 0) {
		UNCANCELLED;

		inside = true;
		looked = now();
		reread();
		inside = false;
		pthread_mutex_unlock(&lock);
	}
	return hold();
}

void
book_done(struct book *b)
{
	(void)b;
	readers--;
	reading--;
}

const struct policy *
book_policy(const struct book *b)
{
	return b ? b->policy : NULL;
}

struct policy_verdict
book_match(const struct book *b, const struct policy_query *query)
{
	return policy_index_match(b->index, query);
}

bool
decide_clients(void)
{
	return clients;
}

bool
decide_servers(void)
{
	return servers;
}

const char *
decide_policy_path(void)
{
	return *path ? path : NULL;
}

enum follow_exec
decide_follow_exec(void)
{
	enum follow_exec answer = FOLLOW_YES;
	struct book *b = hold();
	const struct policy *p = book_policy(b);

	for (int i = 0; p && i < policy_rules(p); i++) {
		const char *word = policy_rule_setting(p, i, "follow_exec");

		if (!policy_rule_fits(p, i, &program) || !word)
			continue;
		answer = strcmp(word, "no") == 0 ? FOLLOW_NO : strcmp(word, "refuse") == 0 ? FOLLOW_REFUSE : FOLLOW_YES;
		break;
	}
	book_done(b);
	return answer;
}

struct config *
book_config(struct book *b, int rule, int *error, char *why, size_t size)
{
	struct entry *e = &b->entries[rule];
	struct config *c;
	UNCANCELLED;

	pthread_mutex_lock(&lock);
	inside = true;
	c = entry_config(e, b->policy, rule, path, now());
	*error = e->broken ? EACCES : ELIBACC;
	if (c)
		core->config_ref(c);
	else
		snprintf(why, size, "%s", e->broken ? e->broken : "libwrapsock.so cannot be used");
	inside = false;
	pthread_mutex_unlock(&lock);
	return c;
}

static void
load_rules(bool (*which)(const struct policy *, int rule))
{
	struct book *b = hold();

	for (int i = 0; b && b->policy && i < policy_rules(b->policy); i++) {
		int error;

		if (policy_rule_action(b->policy, i) == POLICY_WRAP && policy_rule_fits(b->policy, i, &program) && which(b->policy, i)) {
			char why[8];
			struct config *c = book_config(b, i, &error, why, sizeof why);

			if (c)
				core->config_free(c);
		}
	}
	book_done(b);
}

/* Some servers give up their rights before they bind. */
static bool
every(const struct policy *p, int rule)
{
	(void)p;
	(void)rule;
	return true;
}

static bool
with_key(const struct policy *p, int rule)
{
	return policy_rule_setting(p, rule, "certfile") != NULL;
}

/* The family's any-address with the port would hide which rule applies: load all server rules of the program that fit. */
static bool
server_rule(const struct policy *p, int rule)
{
	return policy_rule_role(p, rule) == POLICY_SERVER;
}

void
decide_load_server(const struct sockaddr *local, socklen_t len)
{
	(void)local;
	(void)len;
	if (!servers || listened)
		return;
	listened = true;
	load_rules(server_rule);
}

void
decide_load_all(void)
{
	if (clients || servers)
		load_rules(every);
}

void
decide_load_keys(void)
{
	if (clients || servers)
		load_rules(with_key);
}

/* A child must not begin with a half-made config, nor with a lock of OpenSSL's that nobody in it can give back. */
void
book_fork_prepare(void)
{
	if (!inside)
		pthread_mutex_lock(&lock);
}

void
book_fork_parent(void)
{
	if (!inside)
		pthread_mutex_unlock(&lock);
}

void
book_fork_child(void)
{
	pthread_mutex_init(&lock, NULL);
	readers = reading;
}
