/* policy_match_test.c - which rule is a connection's, and which are a program's: addresses, names, programs, as tables. */
#include "policies.h"

#include <sys/un.h>

#include <arpa/inet.h>
#include <netinet/in.h>

/* Matches: who asks for what, and the answer. */

#define PL POLICY_PLAIN
#define WR POLICY_WRAP
#define RE POLICY_REFUSE
#define CK POLICY_CANNOT_KNOW
#define CL POLICY_CLIENT
#define SV POLICY_SERVER

struct match_case {
	const char *name, *match;	/* of a rule that wraps, or a whole text if it begins with [ */
	enum policy_role role;
	const char *host;		/* numeric */
	unsigned port;
	const char *resolved;
	enum policy_answer answer;
	int rule;
	bool by_name;
};

static const struct match_case match_cases[] = {
	{ "any", "*:*", CL, "192.0.2.1", 1, NULL, WR, 0, false },
	{ "any port 0", "*:*", CL, "192.0.2.1", 0, NULL, WR, 0, false },
	{ "port", "*:80", CL, "192.0.2.1", 80, NULL, WR, 0, false },
	{ "other port", "*:80", CL, "192.0.2.1", 81, NULL, PL, -1, false },
	{ "range, low end", "*:80-90", CL, "192.0.2.1", 80, NULL, WR, 0, false },
	{ "range, high end", "*:80-90", CL, "192.0.2.1", 90, NULL, WR, 0, false },
	{ "range, above", "*:80-90", CL, "192.0.2.1", 91, NULL, PL, -1, false },
	{ "other role", "*:*", SV, "192.0.2.1", 1, NULL, PL, -1, false },
	{ "address", "192.0.2.1:*", CL, "192.0.2.1", 1, NULL, WR, 0, false },
	{ "other address", "192.0.2.1:*", CL, "192.0.2.2", 1, NULL, PL, -1, false },
	{ "block, first", "10.8.0.0/13:*", CL, "10.8.0.0", 1, NULL, WR, 0, false },
	{ "block, last", "10.8.0.0/13:*", CL, "10.15.255.255", 1, NULL, WR, 0, false },
	{ "block, beyond", "10.8.0.0/13:*", CL, "10.16.0.0", 1, NULL, PL, -1, false },
	{ "block of everything", "0.0.0.0/0:*", CL, "1.2.3.4", 1, NULL, WR, 0, false },
	{ "v4 block and v6", "0.0.0.0/0:*", CL, "2001:db8::1", 1, NULL, PL, -1, false },
	{ "v6 block and v4", "[::/0]:*", CL, "1.2.3.4", 1, NULL, PL, -1, false },
	{ "v6 block and mapped v4", "[::/0]:*", CL, "::ffff:1.2.3.4", 1, NULL, PL, -1, false },
	{ "host bits in a block", "10.1.2.3/8:*", CL, "10.9.9.9", 1, NULL, WR, 0, false },
	{ "v6", "[::1]:*", CL, "::1", 1, NULL, WR, 0, false },
	{ "v6 block", "[fd00::/8]:*", CL, "fdff::1", 1, NULL, WR, 0, false },
	{ "v6 block, beyond", "[fd00::/8]:*", CL, "fe00::1", 1, NULL, PL, -1, false },
	{ "mapped address", "10.0.0.0/8:*", CL, "::ffff:10.1.1.1", 1, NULL, WR, 0, false },
	{ "mapped pattern", "[::ffff:10.0.0.0/104]:*", CL, "10.1.1.1", 1, NULL, WR, 0, false },
	{ "name", "cache.example:6379", CL, "192.0.2.1", 6379, "cache.example", WR, 0, true },
	{ "name in capitals, with dot", "Cache.Example:6379", CL, "192.0.2.1", 6379, "CACHE.EXAMPLE.", WR, 0, true },
	{ "pattern with dot", "cache.example.:6379", CL, "192.0.2.1", 6379, "cache.example", WR, 0, true },
	{ "other name", "cache.example:6379", CL, "192.0.2.1", 6379, "other.example", PL, -1, false },
	{ "no name", "cache.example:6379", CL, "192.0.2.1", 6379, NULL, CK, 0, false },
	{ "empty name", "cache.example:6379", CL, "192.0.2.1", 6379, "", CK, 0, false },
	{ "no name, other port", "cache.example:6379", CL, "192.0.2.1", 80, NULL, PL, -1, false },
	{ "numeric name", "cache.example:6379", CL, "192.0.2.1", 6379, "192.0.2.1", CK, 0, false },
	{ "numeric name, short form", "cache.example:6379", CL, "127.0.0.1", 6379, "127.1", CK, 0, false },
	{ "numeric v6 name", "cache.example:6379", CL, "fe80::1", 6379, "fe80::1%eth0", CK, 0, false },
	{ "glob", "*.cache.example:6379", CL, "192.0.2.1", 6379, "a.cache.example", WR, 0, true },
	{ "glob, two labels", "*.cache.example:6379", CL, "192.0.2.1", 6379, "a.b.cache.example", WR, 0, true },
	{ "glob, none", "*.cache.example:6379", CL, "192.0.2.1", 6379, "cache.example", PL, -1, false },
	{ "glob, suffix", "*.cache.example:6379", CL, "192.0.2.1", 6379, "a.cache.example.org", PL, -1, false },
	{ "glob, no name", "*.cache.example:6379", CL, "192.0.2.1", 6379, NULL, CK, 0, false },
	{ "glob, question marks", "db??.x:1", CL, "192.0.2.1", 1, "db07.x", WR, 0, true },
	{ "glob, twice", "*a*b:1", CL, "192.0.2.1", 1, "xaabab", WR, 0, true },
	{ "yes beats cannot know", "cache.example:1, 192.0.2.0/24:1", CL, "192.0.2.1", 1, NULL, WR, 0, false },
	{ "yes beats cannot know, swapped", "192.0.2.0/24:1, cache.example:1", CL, "192.0.2.1", 1, NULL, WR, 0, false },
	{ "cannot know beats no", "cache.example:1, 10.0.0.0/8:1", CL, "192.0.2.1", 1, NULL, CK, 0, false },
	{ "name and address", "192.0.2.0/24:1, cache.example:1", CL, "192.0.2.1", 1, "cache.example", WR, 0, true },
	{ "star needs no name", "*:1", CL, "192.0.2.1", 1, NULL, WR, 0, false },
	{ "localhost v4", "localhost:1", CL, "127.9.9.9", 1, NULL, WR, 0, false },
	{ "localhost v6", "localhost:1", CL, "::1", 1, NULL, WR, 0, false },
	{ "localhost mapped", "localhost:1", CL, "::ffff:127.0.0.1", 1, NULL, WR, 0, false },
	{ "localhost by name", "localhost:1", CL, "127.0.0.1", 1, "localhost", WR, 0, true },
	{ "localhost is in no doubt", "localhost:1", CL, "192.0.2.1", 1, NULL, PL, -1, false },
	{ "any address means here", "localhost:1", CL, "0.0.0.0", 1, NULL, WR, 0, false },
	{ "any v6 address means here", "[::1]:1", CL, "::", 1, NULL, WR, 0, false },
	{ "any address does not mean elsewhere", "10.0.0.0/8:1", CL, "0.0.0.0", 1, NULL, PL, -1, false },
	{ "server", "[server s]\nmatch=*:8443\ncertfile=c", SV, "192.0.2.1", 8443, NULL, WR, 0, false },
	{ "server, block", "[server s]\nmatch=10.0.0.0/8:*\ncertfile=c", SV, "10.0.0.1", 8443, NULL, WR, 0, false },
	{ "server, localhost", "[server s]\nmatch=localhost:*\ncertfile=c", SV, "127.0.0.1", 8443, NULL, WR, 0, false },
	{ "server, localhost and any", "[server s]\nmatch=localhost:*\ncertfile=c", SV, "0.0.0.0", 8443, NULL, PL, -1, false },
	{ "server, name is ignored", "[server s]\nmatch=10.0.0.0/8:*\ncertfile=c", SV, "192.0.2.1", 1, "x", PL, -1, false },
	{ "first wins", "[client p]\nmatch=*:1\naction=plain\n[client w]\nmatch=*:*", CL, "192.0.2.1", 1, NULL, PL, 0, false },
	{ "second", "[client p]\nmatch=*:1\naction=plain\n[client w]\nmatch=*:*", CL, "192.0.2.1", 2, NULL, WR, 1, false },
	{ "roles apart", "[client c]\nmatch=*:*\n[server s]\nmatch=*:*\naction=refuse", SV, "192.0.2.1", 2, NULL, RE, 1, false },
	{ "cannot know stops", "[client n]\nmatch=x.y:1\n[client w]\nmatch=*:*", CL, "192.0.2.1", 1, NULL, CK, 0, false },
	{ "cannot know of plain", "[client n]\nmatch=x.y:1\naction=plain", CL, "192.0.2.1", 1, NULL, CK, 0, false },
	{ "refuse", "[client r]\nmatch=*:1\naction=refuse", CL, "192.0.2.1", 1, NULL, RE, 0, false },
	{ "unmatched refuse", "[defaults]\nunmatched=refuse\n[client w]\nmatch=*:1", CL, "192.0.2.1", 2, NULL, RE, -1, false },
	{ "program, not said", "[client w]\nmatch=*:1\nprogram=x", CL, "192.0.2.1", 1, NULL, PL, -1, false },
};

static socklen_t
address(struct sockaddr_storage *to, const char *host, unsigned port)
{
	struct sockaddr_in6 six = { .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port) };
	struct sockaddr_in four = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };

	if (inet_pton(AF_INET, host, &four.sin_addr) == 1) {
		memcpy(to, &four, sizeof four);
		return sizeof four;
	}
	inet_pton(AF_INET6, host, &six.sin6_addr);
	memcpy(to, &six, sizeof six);
	return sizeof six;
}

static void
match_one(const struct match_case *c)
{
	struct sockaddr_storage to;
	struct policy_query query = { c->role, (const struct sockaddr *)&to, address(&to, c->host, c->port), c->resolved, NULL };
	struct policy_verdict verdict;
	struct policy_error err;
	struct policy *policy;
	char text[300], why[400];
	int told;

	snprintf(text, sizeof text,
	    c->match[0] == '[' && strchr(c->match, '\n') != NULL ? "%s" : "[client a]\nmatch = %s\n", c->match);
	if (policy_parse(text, strlen(text), PATH, &policy, &err) != 0) {
		result("match", c->name, false, err.text);
		return;
	}
	verdict = policy_match(policy, &query);
	snprintf(why, sizeof why, "answer %d, rule %d, by name %d", (int)verdict.answer, verdict.rule, (int)verdict.by_name);
	result("match", c->name, verdict.answer == c->answer && verdict.rule == c->rule && verdict.by_name == c->by_name, why);
	told = policy_explain(policy, c->rule >= 0 ? c->rule : 0, &query, why, sizeof why);
	result("explain", c->name, told == (c->rule >= 0 ? (int)c->answer : -1) && why[0] != '\0', why);
	policy_free(policy);
}

static void
test_matches(void)
{
	size_t i;

	for (i = 0; i < COUNT(match_cases); i++)
		match_one(&match_cases[i]);
}

static void
test_addresses(void)
{
	static const char text[] = "[defaults]\nunmatched = refuse\n[client a]\nmatch = [fd00::/8]:1\n";
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	struct sockaddr_storage six = { .ss_family = AF_UNSPEC };
	struct policy_query query = { .role = POLICY_CLIENT };
	struct policy_error err;
	struct policy *policy;

	if (policy_parse(text, strlen(text), PATH, &policy, &err) != 0) {
		result("addresses", "parse", false, err.text);
		return;
	}
	result("addresses", "none", policy_match(policy, &query).answer == POLICY_REFUSE, "not refused");
	query.addr = (const struct sockaddr *)&un;
	query.addrlen = sizeof un;
	result("addresses", "AF_UNIX", policy_match(policy, &query).answer == POLICY_PLAIN, "not plain");
	query.addr = (const struct sockaddr *)&six;
	query.addrlen = sizeof six;
	result("addresses", "AF_UNSPEC", policy_match(policy, &query).answer == POLICY_PLAIN, "not plain");
	address(&six, "fd00::1", 1);
	query.addrlen = 24;
	result("addresses", "without scope", policy_match(policy, &query).answer == POLICY_WRAP, "not wrapped");
	query.addrlen = 23;
	result("addresses", "short", policy_match(policy, &query).answer == POLICY_REFUSE, "not refused");
	query.addrlen = 1;
	result("addresses", "one byte", policy_match(policy, &query).answer == POLICY_REFUSE, "not refused");
	policy_free(policy);
}

/* Programs. */

struct program_case {
	const char *name, *program, *invoked, *argv0, *resolved;
	bool fits;
};

static const struct program_case program_cases[] = {
	{ "base of the path", "redis-cli", "/usr/bin/redis-cli", NULL, NULL, true },
	{ "base of argv[0]", "redis-server", "/usr/bin/redis-check-rdb", "/x/redis-server", "/usr/bin/redis-check-rdb", true },
	{ "base of the executable", "redis-check-rdb", "/usr/bin/redis-server", "redis-server", "/usr/bin/redis-check-rdb", true },
	{ "glob on bases", "python3*", "/usr/bin/python3.11", NULL, NULL, true },
	{ "path invoked", "/usr/bin/python3*", "/usr/bin/python3", NULL, "/usr/bin/python3.11", true },
	{ "path resolved", "/opt/*/bin/x", "x", "x", "/opt/v1/bin/x", true },
	{ "path against argv[0]", "/a/x", "/b/x", "/a/x", "/b/x", false },
	{ "base against a path", "usr", "/usr/bin/x", "x", NULL, false },
	{ "whole word", "redis", "/usr/bin/redis-cli", "redis-cli", NULL, false },
	{ "set", "node[0-9]", "/usr/bin/node2", NULL, NULL, true },
	{ "negated set", "node[!0-9]", "/usr/bin/node2", NULL, NULL, false },
	{ "case counts", "Redis-cli", "/usr/bin/redis-cli", NULL, NULL, false },
	{ "one of several", "a, b, \"c d\"", "/c d", NULL, NULL, true },
	{ "nothing known", "a", NULL, NULL, NULL, false },
};

static void
test_programs(void)
{
	const struct program_case *c;
	struct policy_error err;
	struct policy *policy;
	char text[200];

	for (c = program_cases; c < program_cases + COUNT(program_cases); c++) {
		struct policy_program program = { c->invoked, c->argv0, c->resolved };

		snprintf(text, sizeof text, C "program = %s\n", c->program);
		if (policy_parse(text, strlen(text), PATH, &policy, &err) != 0) {
			result("programs", c->name, false, err.text);
			continue;
		}
		result("programs", c->name, policy_rule_fits(policy, 0, &program) == c->fits, c->fits ? "does not fit" : "fits");
		result("concerns", c->name, policy_concerns(policy, POLICY_CLIENT, &program) == c->fits &&
		    !policy_concerns(policy, POLICY_SERVER, &program) && !policy_concerns(policy, POLICY_CLIENT, NULL), "wrong");
		policy_free(policy);
	}
}

struct concern_case {
	const char *name, *text;
	bool client, server;
};

static const struct concern_case concern_cases[] = {
	{ "client", C, true, false },
	{ "server", S, false, true },
	{ "plain", C "action = plain\n", false, false },
	{ "plain with a name can refuse", "[client a]\nmatch = x.y:1\naction = plain\n", true, false },
	{ "plain with localhost cannot", "[client a]\nmatch = localhost:1\naction = plain\n", false, false },
	{ "refuse", C "action = refuse\n", true, false },
	{ "unmatched refuse", "[defaults]\nunmatched = refuse\n", true, true },
	{ "nothing", "[defaults]\n", false, false },
};

static void
test_concerns(void)
{
	const struct concern_case *c;
	struct policy_error err;
	struct policy *policy;

	for (c = concern_cases; c < concern_cases + COUNT(concern_cases); c++) {
		if (policy_parse(c->text, strlen(c->text), PATH, &policy, &err) != 0) {
			result("concerns", c->name, false, err.text);
			continue;
		}
		result("concerns", c->name, policy_concerns(policy, POLICY_CLIENT, NULL) == c->client &&
		    policy_concerns(policy, POLICY_SERVER, NULL) == c->server, "wrong");
		policy_free(policy);
	}
}

int
main(void)
{
	test_matches();
	test_addresses();
	test_programs();
	test_concerns();
	return summary();
}
