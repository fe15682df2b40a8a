/* book.c - the policy in force and the configs of its rules; both follow the files on disk. */
#include "book.h"
#include "cancel.h"
#include "decide.h"

#include "real.h"

#include "log.h"
#include "policy.h"
#include "stack.h"

#include <sys/auxv.h>
#include <sys/stat.h>

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct rule_state {
	struct config *config;		/* made at the rule's first use */
	char *broken;			/* why it refuses; NULL if it does not */
	uint64_t files;			/* fingerprint of the files it names, as they were when it was made */
	time_t looked;
};

/* Replaced as a whole when the file changes, never freed: another thread may be matching. */
struct book {
	struct policy *policy;		/* NULL: could not be had, everything is refused */
	struct policy_index *index;	/* of its rules for this program */
	struct rule_state *rules;
	struct stat stat;
};

static struct book *_Atomic book;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;	/* guards the rules' states and the reload */
static char path[PATH_MAX], resolved[PATH_MAX];
static struct policy_program program;
static bool clients = true, servers = true, listened;
static _Atomic time_t looked;

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

static struct book *
read_book(void)
{
	struct book *b = calloc(1, sizeof *b);
	struct policy_error err;

	if (!b)
		return NULL;
	if (stat(path, &b->stat) < 0)
		memset(&b->stat, 0, sizeof b->stat);
	if (policy_load(path, &b->policy, &err) < 0) {
		if (err.line)
			log_line(LOG_LEVEL_ERROR, "%s:%u:%u: %s", path, err.line, err.column, err.text);
		else
			log_line(LOG_LEVEL_ERROR, "%s: %s", path, err.text);
		b->policy = NULL;
		return b;
	}
	find_executable(b->policy);
	b->rules = calloc((size_t)policy_rules(b->policy) + 1, sizeof *b->rules);
	if (!b->rules || policy_index_new(b->policy, &program, &b->index) < 0) {
		log_line(LOG_LEVEL_ERROR, "%s: out of memory", path);
		free(b->rules);
		policy_free(b->policy);
		b->policy = NULL;
	}
	return b;
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
	program.invoked = (const char *)getauxval(AT_EXECFN);
	program.argv0 = program_invocation_name;
	find_policy();
	if (*path) {
		book = read_book();
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

static bool
same_file(const struct stat *a, const struct stat *b)
{
	return a->st_ino == b->st_ino && a->st_dev == b->st_dev && a->st_size == b->st_size && a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
	       a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

/* With the lock held. A broken new version keeps the old one; a file that is gone (chroot) keeps it too. */
static void
reread(void)
{
	struct book *old = book, *b;
	struct stat st;

	if (stat(path, &st) < 0 || (old && same_file(&st, &old->stat)))
		return;
	b = read_book();
	if (!b)
		return;
	if (!b->policy && old && old->policy) {
		log_line(LOG_LEVEL_WARN, "%s: the changed policy is not used, the one before stays in force", path);
		old->stat = b->stat;
		free(b);
		return;
	}
	book = b;
	concern(b);
}

struct book *
book_now(void)
{
	if (*path && looked != now() && pthread_mutex_trylock(&lock) == 0) {
		UNCANCELLED;

		looked = now();
		reread();
		pthread_mutex_unlock(&lock);
	}
	return book;
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

const char *
decide_follow_exec(void)
{
	const struct policy *p = book ? book->policy : NULL;

	for (int i = 0; p && i < policy_rules(p); i++) {
		const char *word = policy_rule_setting(p, i, "follow_exec");

		if (policy_rule_fits(p, i, &program) && word)
			return word;
	}
	return "yes";
}

static struct config *
make_config(struct book *b, int rule, char *err, size_t size)
{
	const struct core_verbs *verbs = engine_verbs();
	const struct policy_setting *set;
	char place[PATH_MAX + 128], warn[300] = "";
	struct config *c;
	size_t n;

	if (!verbs)
		return NULL;
	c = verbs->config_new(policy_rule_role(b->policy, rule) == POLICY_CLIENT ? CONFIG_CLIENT : CONFIG_SERVER);
	snprintf(place, sizeof place, "rule %s (%s:%u)", policy_rule_name(b->policy, rule), path, policy_rule_line(b->policy, rule));
	if (!c || verbs->config_set_place(c, place) < 0)
		goto err;
	set = policy_rule_settings(b->policy, rule, &n);
	for (size_t i = 0; i < n; i++)
		if (verbs->config_set(c, set[i].key, set[i].value, err, size) < 0)
			goto err;
	if (verbs->config_seal(c, err, size, warn, sizeof warn) < 0)
		goto err;
	if (*warn)
		log_line(LOG_LEVEL_WARN, "%s: %s", place, warn);
	return c;
err:
	verbs->config_free(c);
	return NULL;
}

/* The files that a rule names, as they are now; one that is not there counts for nothing, so that a chroot changes nothing. */
static uint64_t
fingerprint(const struct policy *p, int rule)
{
	static const char *const keys[] = { "certfile", "keyfile", "ca_certs", "capath", "crlfile", "password_file", "ticket_keys" };
	uint64_t sum = 0;

	for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
		const char *file = policy_rule_setting(p, rule, keys[i]);
		struct stat st;

		if (!file || *file != '/')
			continue;
		if (stat(file, &st) < 0)
			return 0;
		sum = sum * 1099511628211u + (uint64_t)st.st_ino;
		sum = sum * 1099511628211u + (uint64_t)st.st_mtim.tv_sec;
		sum = sum * 1099511628211u + (uint64_t)st.st_mtim.tv_nsec + (uint64_t)st.st_size;
	}
	return sum ? sum : 1;
}

/* With the lock held: is it time to make the rule's config, or to make it again? */
static bool
outdated(struct book *b, int rule, uint64_t *files)
{
	struct rule_state *r = &b->rules[rule];

	if (!r->config && !r->broken) {
		*files = fingerprint(b->policy, rule);
		return true;
	}
	if (r->looked == now())
		return false;
	r->looked = now();
	*files = fingerprint(b->policy, rule);
	return *files && *files != r->files;
}

struct renewal {
	struct book *book;
	int rule;
	uint64_t files;
};

/* Loads the library and parses files: more than a small thread's stack may hold. */
static void
renew(void *arg)
{
	const struct renewal *renewal = arg;
	struct book *b = renewal->book;
	int rule = renewal->rule;
	struct rule_state *r = &b->rules[rule];
	char err[600] = "out of memory";
	struct config *c = make_config(b, rule, err, sizeof err);

	r->looked = now();
	if (!c && !engine_verbs())
		return;
	r->files = renewal->files;
	if (!c && r->config) {
		log_line(LOG_LEVEL_WARN, "rule %s (%s:%u): the changed files are not used, those before stay in force: %s",
			 policy_rule_name(b->policy, rule), path, policy_rule_line(b->policy, rule), err);
		return;
	}
	if (!c)
		log_line(LOG_LEVEL_ERROR, "rule %s (%s:%u) refuses its sockets (EACCES): %s", policy_rule_name(b->policy, rule), path,
			 policy_rule_line(b->policy, rule), err);
	free(r->broken);
	r->broken = c ? NULL : strdup(err);
	if (r->config)
		core->config_free(r->config);
	r->config = c;
}

struct config *
book_config(struct book *b, int rule, int *error, char *why, size_t size)
{
	struct renewal renewal = { b, rule, 0 };
	struct config *c;
	UNCANCELLED;

	pthread_mutex_lock(&lock);
	if (outdated(b, rule, &renewal.files))
		stack_run(renew, &renewal);
	c = b->rules[rule].config;
	*error = b->rules[rule].broken ? EACCES : ELIBACC;
	if (c)
		core->config_ref(c);
	else
		snprintf(why, size, "%s", b->rules[rule].broken ? b->rules[rule].broken : "libwrapsock.so cannot be used");
	pthread_mutex_unlock(&lock);
	return c;
}

static void
load_rules(bool (*which)(const struct policy *, int rule))
{
	struct book *b = book;

	for (int i = 0; b && b->policy && i < policy_rules(b->policy); i++) {
		int error;

		if (policy_rule_action(b->policy, i) == POLICY_WRAP && policy_rule_fits(b->policy, i, &program) && which(b->policy, i)) {
			char why[8];
			struct config *c = book_config(b, i, &error, why, sizeof why);

			if (c)
				core->config_free(c);
		}
	}
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

/* Another thread of the parent may have held it; what it guards is replaced in single steps. */
void
book_fork_child(void)
{
	pthread_mutex_init(&lock, NULL);
}
