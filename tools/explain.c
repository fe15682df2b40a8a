/* explain.c - the verb explain: which rule would decide about an address, with what settings, and why the others do not. */
#include <sys/socket.h>

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl.h"
#include "policy.h"
#include "target.h"

static const char *const answers[] = {
	[POLICY_PLAIN] = "plain",
	[POLICY_WRAP] = "wrapped",
	[POLICY_REFUSE] = "refused",
	[POLICY_CANNOT_KNOW] = "refused, because it cannot be known whether the rule is meant: name the address in its match",
};

/* HOST:PORT or [v6]:PORT, cut apart in place. */
static bool
split(char *place, char **host, char **port)
{
	char *colon = strrchr(place, ':');
	size_t len;

	if (!colon || colon == place || colon[1] == '\0' || strspn(colon + 1, "0123456789") != strlen(colon + 1) || strlen(colon + 1) > 5 ||
	    atoi(colon + 1) > 65535)
		return false;
	*colon = '\0';
	*host = place;
	*port = colon + 1;
	len = strlen(place);
	if (place[0] == '[' && place[len - 1] == ']') {
		place[len - 1] = '\0';
		++*host;
	}
	return **host != '\0';
}

static bool
is_numeric(const char *host)
{
	unsigned char bytes[16];

	return inet_pton(AF_INET, host, bytes) == 1 || inet_pton(AF_INET6, host, bytes) == 1;
}

static void
print_settings(const struct policy *policy, int rule)
{
	size_t n;
	const struct policy_setting *s = policy_rule_settings(policy, rule, &n);

	puts("settings:");
	for (size_t i = 0; i < n; i++) {
		printf("  %s = %s", s[i].key, s[i].value);
		if (s[i].line)
			printf("\t# line %u\n", s[i].line);
		else
			puts("\t# default");
	}
}

/* The rules up to the one that decides. */
static void
print_reasons(const struct policy *policy, const struct policy_query *query, int deciding)
{
	char why[512];
	int last = deciding < 0 ? policy_rules(policy) - 1 : deciding;

	for (int i = 0; i <= last; i++) {
		policy_explain(policy, i, query, why, sizeof why);
		printf("  %s:%u [%s %s] %s\n", policy_path(policy), policy_rule_line(policy, i),
		    policy_rule_role(policy, i) == POLICY_CLIENT ? "client" : "server", policy_rule_name(policy, i), why);
	}
}

static void
explain_address(const struct policy *policy, const struct policy_query *query, const char *host, const char *port)
{
	char address[NI_MAXHOST];
	struct policy_verdict v = policy_match(policy, query);

	if (getnameinfo(query->addr, query->addrlen, address, sizeof address, NULL, 0, NI_NUMERICHOST) != 0)
		strcpy(address, "?");
	printf("%s %s:%s", query->role == POLICY_CLIENT ? "client" : "server", host, port);
	if (strcmp(host, address) != 0)
		printf(" (%s)", address);
	if (v.rule < 0) {
		printf(": %s, no rule matches and unmatched = %s\n", answers[v.answer], policy_unmatched_refuses(policy) ? "refuse" : "plain");
	} else {
		printf(": %s, rule %s (%s:%u)%s\n", answers[v.answer], policy_rule_name(policy, v.rule), policy_path(policy),
		    policy_rule_line(policy, v.rule), v.by_name ? ", and the name that matched is the one to be verified" : "");
	}
	print_reasons(policy, query, v.rule);
	if (v.answer == POLICY_WRAP)
		print_settings(policy, v.rule);
}

static int
explain_host(const struct policy *policy, struct policy_query *query, const char *host, const char *port)
{
	struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM }, *found, *a;
	struct sockaddr_in none = { .sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port)) };
	int err = getaddrinfo(host, port, &hints, &found);

	if (query->role == POLICY_CLIENT && !is_numeric(host))
		query->name = host;
	if (err) {
		if (!query->name) {
			ctl_say("%s: %s", host, gai_strerror(err));
			return CTL_ERRORS;
		}
		printf("# %s has no address here (%s): address patterns are tried with 0.0.0.0\n", host, gai_strerror(err));
		query->addr = (const struct sockaddr *)&none;
		query->addrlen = sizeof none;
		explain_address(policy, query, host, port);
		return CTL_FINE;
	}
	for (a = found; a; a = a->ai_next) {
		query->addr = a->ai_addr;
		query->addrlen = a->ai_addrlen;
		explain_address(policy, query, host, port);
	}
	freeaddrinfo(found);
	return CTL_FINE;
}

int
explain_main(const struct ctl_options *options, int argc, char **argv)
{
	struct policy_query query = { .role = POLICY_CLIENT };
	struct policy_program program;
	struct policy *policy;
	struct target t = { .command = NULL };
	const char *path;
	char *host, *port;
	int status, at = 0;

	if (argc != 2)
		return ctl_usage("explain takes client or server, and HOST:PORT");
	if (strcmp(argv[0], "server") == 0)
		query.role = POLICY_SERVER;
	else if (strcmp(argv[0], "client") != 0)
		return ctl_usage("%s: expected client or server", argv[0]);
	if (!split(argv[1], &host, &port))
		return ctl_usage("%s: expected HOST:PORT, where PORT is a number", argv[1]);
	path = ctl_policy_path(options);
	policy = path ? ctl_policy(path) : NULL;
	if (!policy)
		return CTL_ERRORS;
	if (options->program) {
		target_find(&t, options->program);
		program = (struct policy_program){ options->program, options->program, NULL };
		target_program(&t, &at, &program);
		query.program = &program;
	}
	status = explain_host(policy, &query, host, port);
	target_free(&t);
	policy_free(policy);
	return status;
}
