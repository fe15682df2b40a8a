/* decide.c - policy asked, connections made or refused. */
#include "decide.h"

#include "book.h"
#include "cancel.h"
#include "fdlife.h"
#include "helper.h"
#include "real.h"

#include "log.h"
#include "policy.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
refuse(const struct sockaddr *who, int error, const char *why)
{
	char text[80];

	print_addr(who, text, sizeof text);
	log_line(LOG_LEVEL_WARN, "%s: refused with %s: %s", text, error == EACCES ? "EACCES" : error == ENOMEM ? "ENOMEM" : "ELIBACC", why);
	return -error;
}

struct question {
	const struct sockaddr *who;
	char name[256];
	int named;		/* names_find's answer */
};

/* 0 plain, 1 wrap, -errno. */
static int
ask(const struct book *b, enum config_role role, const struct sockaddr *addr, socklen_t len, struct question *q, struct policy_verdict *v)
{
	struct policy_query query = { .role = role == CONFIG_CLIENT ? POLICY_CLIENT : POLICY_SERVER,
				      .addr = addr, .addrlen = len };
	const struct policy *p = book_policy(b);
	char why[600];

	q->who = addr;
	if (!p)
		return refuse(q->who, EACCES, "there is no usable policy");
	q->named = role == CONFIG_CLIENT ? names_find(addr, len, q->name, sizeof q->name) : 0;
	query.name = q->named == 1 ? q->name : NULL;
	*v = book_match(b, &query);
	switch (v->answer) {
	case POLICY_PLAIN:
		return 0;
	case POLICY_WRAP:
		return 1;
	case POLICY_CANNOT_KNOW:
		snprintf(why, sizeof why, "rule %s (%.256s:%u) names a host, and %s; an address in its match settles it",
			 policy_rule_name(p, v->rule), policy_path(p), policy_rule_line(p, v->rule),
			 q->named < 0 ? "the program has resolved several names to this address" : "which name this address has is not known");
		return refuse(q->who, EACCES, why);
	case POLICY_REFUSE:
		break;
	}
	if (v->rule < 0)
		return refuse(q->who, EACCES, "no rule matches and unmatched = refuse");
	snprintf(why, sizeof why, "rule %s (%.256s:%u) says action = refuse", policy_rule_name(p, v->rule), policy_path(p),
		 policy_rule_line(p, v->rule));
	return refuse(q->who, EACCES, why);
}

int
decide_ask(enum config_role role, const struct sockaddr *addr, socklen_t len, int *rule)
{
	struct policy_verdict v = { .rule = -1 };
	BOOK_HELD b = book_now();
	struct question q;
	int r;

	r = ask(b, role, addr, len, &q, &v);
	*rule = v.rule;
	return r;
}

static pthread_once_t first = PTHREAD_ONCE_INIT;

/* Registered behind the TLS library's own handler, so that it runs before that one. */
static void
at_exit(void)
{
	if (atexit(fdlife_finish) != 0 || at_quick_exit(fdlife_finish) != 0)
		log_line(LOG_LEVEL_WARN, "connections that are open at exit will end without close_notify");
}

static enum route
route_of(const struct policy *p, int rule)
{
	const char *word = policy_rule_setting(p, rule, "route");

	if (word && strcmp(word, "inline") == 0)
		return ROUTE_INLINE;
	return word && strcmp(word, "relay") == 0 ? ROUTE_RELAY : ROUTE_AUTO;
}

int
decide(enum config_role role, const struct sockaddr *addr, socklen_t len, const struct sockaddr *peer, bool connected, struct conn **conn,
       enum route *route)
{
	struct policy_verdict v = { .rule = -1 };
	struct config *config;
	struct question q;
	BOOK_HELD b = book_now();
	char why[600];
	int r, error;
	UNCANCELLED;

	r = ask(b, role, addr, len, &q, &v);
	if (r <= 0)
		return r;
	config = book_config(b, v.rule, &error, why, sizeof why);
	if (!config)
		return refuse(q.who, error, why);
	if (q.named < 0 && role == CONFIG_CLIENT && config->check_hostname && !config->server_hostname) {
		core->config_free(config);
		return refuse(q.who, EACCES, "several names resolve to this address; server_hostname in the rule settles which one is verified");
	}
	*conn = core->conn_new(config, peer, len, connected, q.named == 1 ? q.name : NULL);
	core->config_free(config);
	if (*conn) {
		*route = route_of(book_policy(b), v.rule);
		if (*route != ROUTE_INLINE)
			helper_choose();
		pthread_once(&first, at_exit);
		return 1;
	}
	return refuse(q.who, ENOMEM, "the connection could not be made");
}

