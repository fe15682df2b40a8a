/* decide.c - policy asked, rules turned into configs of the core, connections made or refused. */
#include "decide.h"

#include "fdlife.h"
#include "real.h"

#include "log.h"
#include "policy.h"

#include <sys/auxv.h>
#include <sys/stat.h>

#include <arpa/inet.h>
#include <netinet/in.h>

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* One version of the policy; replaced as a whole when the file changes, never freed: another thread may be matching. */
struct book {
	struct policy *policy;		/* NULL: could not be had, everything is refused */
	struct config **configs;	/* per rule, made at its first use */
	char **broken;			/* per rule: why it refuses */
	struct stat stat;
};

static struct book *book;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;	/* guards book's configs, broken, and the reload */
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
		if (!realpath(named, path))
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
	b->configs = calloc((size_t)policy_rules(b->policy) + 1, sizeof *b->configs);
	b->broken = calloc((size_t)policy_rules(b->policy) + 1, sizeof *b->broken);
	if (!b->configs || !b->broken) {
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
	ssize_t n = readlink("/proc/self/exe", resolved, sizeof resolved - 1);

	program.invoked = (const char *)getauxval(AT_EXECFN);
	program.argv0 = program_invocation_name;
	program.resolved = n > 0 ? resolved : NULL;
	find_policy();
	if (*path) {
		book = read_book();
	} else {
		log_line(LOG_LEVEL_ERROR, "no policy: WRAPSOCK_POLICY is not set and neither $XDG_CONFIG_HOME/wrapsock/policy.conf nor "
					  "/etc/wrapsock/policy.conf exists; TCP sockets are refused");
	}
	concern(book);
}

/* At most once a second: has the file changed? A broken new version keeps the old one. */
static void
refresh(void)
{
	struct timespec now;
	struct stat st;
	struct book *b;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	if (!*path || looked == now.tv_sec)
		return;
	looked = now.tv_sec;
	if (stat(path, &st) < 0 || (book && st.st_ino == book->stat.st_ino && st.st_mtim.tv_sec == book->stat.st_mtim.tv_sec &&
				    st.st_mtim.tv_nsec == book->stat.st_mtim.tv_nsec && st.st_size == book->stat.st_size))
		return;
	b = read_book();
	if (!b)
		return;
	if (!b->policy && book && book->policy) {
		log_line(LOG_LEVEL_WARN, "%s: the changed policy is not used, the one before stays in force", path);
		book->stat = b->stat;
		free(b);
		return;
	}
	book = b;
	concern(b);
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

/* The rule's config, counted; NULL and *error if the rule is void or the library cannot be had. */
static struct config *
rule_config(struct book *b, int rule, int *error)
{
	struct config *c;

	pthread_mutex_lock(&lock);
	if (!b->configs[rule] && !b->broken[rule] && engine_verbs()) {
		char err[600] = "out of memory";

		b->configs[rule] = make_config(b, rule, err, sizeof err);
		if (!b->configs[rule]) {
			b->broken[rule] = strdup(err);
			log_line(LOG_LEVEL_ERROR, "rule %s (%s:%u) refuses its sockets (EACCES): %s", policy_rule_name(b->policy, rule), path,
				 policy_rule_line(b->policy, rule), err);
		}
	}
	c = b->configs[rule];
	*error = c || b->broken[rule] ? EACCES : ELIBACC;
	if (c)
		core->config_ref(c);
	pthread_mutex_unlock(&lock);
	return c;
}

static void
print_addr(const struct sockaddr *addr, char *buf, size_t size)
{
	char host[INET6_ADDRSTRLEN] = "?";

	if (addr->sa_family == AF_INET) {
		const struct sockaddr_in *in = (const void *)addr;

		inet_ntop(AF_INET, &in->sin_addr, host, sizeof host);
		snprintf(buf, size, "%s:%u", host, ntohs(in->sin_port));
	} else {
		const struct sockaddr_in6 *in6 = (const void *)addr;

		inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof host);
		snprintf(buf, size, "[%s]:%u", host, ntohs(in6->sin6_port));
	}
}

static int
refuse(const char *who, const char *why)
{
	log_line(LOG_LEVEL_WARN, "%s: refused with EACCES: %s", who, why);
	return -EACCES;
}

struct question {
	char who[80];
	char name[256];
	int named;		/* names_find's answer */
};

/* 0 plain, 1 wrap, -errno. */
static int
ask(struct book *b, enum config_role role, const struct sockaddr *addr, socklen_t len, struct question *q, struct policy_verdict *v)
{
	struct policy_query query = { .role = role == CONFIG_CLIENT ? POLICY_CLIENT : POLICY_SERVER,
				      .addr = addr, .addrlen = len, .program = &program };
	char why[PATH_MAX + 400];

	print_addr(addr, q->who, sizeof q->who);
	if (!b || !b->policy)
		return refuse(q->who, "there is no usable policy");
	q->named = role == CONFIG_CLIENT ? names_find(addr, len, q->name, sizeof q->name) : 0;
	query.name = q->named == 1 ? q->name : NULL;
	*v = policy_match(b->policy, &query);
	switch (v->answer) {
	case POLICY_PLAIN:
		return 0;
	case POLICY_WRAP:
		return 1;
	case POLICY_CANNOT_KNOW:
		snprintf(why, sizeof why, "rule %s (%s:%u) names a host, and %s; an address in its match settles it",
			 policy_rule_name(b->policy, v->rule), path, policy_rule_line(b->policy, v->rule),
			 q->named < 0 ? "the program has resolved several names to this address" : "which name this address has is not known");
		return refuse(q->who, why);
	case POLICY_REFUSE:
		break;
	}
	if (v->rule < 0)
		return refuse(q->who, "no rule matches and unmatched = refuse");
	snprintf(why, sizeof why, "rule %s (%s:%u) says action = refuse", policy_rule_name(b->policy, v->rule), path,
		 policy_rule_line(b->policy, v->rule));
	return refuse(q->who, why);
}

int
decide_ask(enum config_role role, const struct sockaddr *addr, socklen_t len, int *rule)
{
	struct policy_verdict v = { .rule = -1 };
	struct question q;
	int r;

	refresh();
	r = ask(book, role, addr, len, &q, &v);
	*rule = v.rule;
	return r;
}

static pthread_once_t first = PTHREAD_ONCE_INIT;

/* Registered behind the TLS library's own handler, so that it runs before that one. */
static void
at_exit(void)
{
	if (atexit(fdlife_finish) != 0)
		log_line(LOG_LEVEL_WARN, "connections that are open at exit will end without close_notify");
}

int
decide(enum config_role role, const struct sockaddr *addr, socklen_t len, const struct sockaddr *peer, bool connected, struct conn **conn,
       int *rule)
{
	struct policy_verdict v = { .rule = -1 };
	struct config *config;
	struct question q;
	struct book *b;
	int r, error;

	refresh();
	b = book;
	r = ask(b, role, addr, len, &q, &v);
	*rule = v.rule;
	if (r <= 0)
		return r;
	config = rule_config(b, v.rule, &error);
	if (!config) {
		if (error == EACCES)
			return refuse(q.who, b->broken[v.rule]);
		log_line(LOG_LEVEL_WARN, "%s: refused with ELIBACC: libwrapsock.so cannot be used", q.who);
		return -error;
	}
	if (q.named < 0 && role == CONFIG_CLIENT && config->check_hostname && !config->server_hostname) {
		core->config_free(config);
		return refuse(q.who, "several names resolve to this address; server_hostname in the rule settles which one is verified");
	}
	*conn = core->conn_new(config, peer, len, connected, q.named == 1 ? q.name : NULL);
	core->config_free(config);
	if (*conn) {
		pthread_once(&first, at_exit);
		return 1;
	}
	log_line(LOG_LEVEL_WARN, "%s: refused with ENOMEM: the connection could not be made", q.who);
	return -ENOMEM;
}

static void
load_rules(bool (*which)(const struct policy *, int rule))
{
	struct book *b = book;

	for (int i = 0; b && b->policy && i < policy_rules(b->policy); i++) {
		int error;

		if (policy_rule_action(b->policy, i) == POLICY_WRAP && policy_rule_fits(b->policy, i, &program) && which(b->policy, i)) {
			struct config *c = rule_config(b, i, &error);

			if (c)
				core->config_free(c);
		}
	}
}

static bool
every(const struct policy *p, int rule)
{
	return policy_rule_role(p, rule) == POLICY_CLIENT || listened;
}

static bool
with_key(const struct policy *p, int rule)
{
	if (policy_rule_role(p, rule) == POLICY_SERVER)
		return listened;
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
