/*
 * index_test.c - policy_index_match against its definition, policy_match: policies and targets made at random out of few words, so that
 * they meet, and large ones.  A disagreement prints the policy and the question.
 */
#include "policy.h"

#include "check.h"

#include <arpa/inet.h>
#include <netinet/in.h>

enum { POLICIES = 3000, QUESTIONS = 60, TEXT_MOST = 400000 };

static uint64_t state = 88172645463325252u;

/* Marsaglia's xorshift: the same run every time. */
static unsigned
below(unsigned n)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (unsigned)(state >> 11) % n;
}

#define ONE_OF(words) (words)[below(sizeof(words) / sizeof *(words))]

static const char *const hosts[] = {
	"*", "10.1.2.3", "10.1.2.4", "10.1.2.0/24", "10.1.0.0/16", "10.0.0.0/8", "0.0.0.0/0", "10.1.2.2/31", "127.0.0.1", "127.0.0.0/7", "0.0.0.0",
	"[::1]", "[::]", "[::/0]", "[fd00::1]", "[fd00::/8]", "[fd00::/64]", "[fd00::/65]", "[::ffff:10.1.2.3]", "[::ffff:10.1.0.0/112]", "[fd00::/127]",
	"localhost", "*.localhost", "local*", "a.example", "A.Example.", "b.a.example", "*.example", "*.a.example", "?.example", "*", "*a*", "example",
	"*.*", "b?.example", "x*.a.example", "*e", "a.*", "xn--a.example", "*ample",
};
static const char *const server_hosts[] = { "*", "10.1.2.3", "10.1.2.0/24", "[::1]", "[fd00::/64]", "localhost", "0.0.0.0/0", "[::]", "0.0.0.0" };
static const char *const ports[] = { "*", "1", "443", "6379", "65535", "1-442", "443-444", "6000-7000", "1-65535", "444" };
static const char *const programs[] = { "redis-cli", "/usr/bin/redis*", "nginx", "redis-*, python3", "node[0-9]" };
static const char *const actions[] = { "plain", "refuse" };
static const char *const addresses[] = {
	"10.1.2.3", "10.1.2.4", "10.1.2.5", "10.1.9.9", "10.9.9.9", "192.0.2.1", "127.0.0.1", "127.9.9.9", "126.0.0.1", "0.0.0.0", "255.255.255.255",
	"::1", "::", "::2", "fd00::1", "fd00::2", "fd00::8000:0:0:1", "fd00:0:0:1::1", "fe80::1", "::ffff:10.1.2.3", "::ffff:127.0.0.1", "::ffff:0.0.0.0",
};
static const char *const names[] = {
	NULL, NULL, "", ".", "localhost", "LocalHost.", "db.localhost", "a.example", "A.EXAMPLE", "a.example.", "b.a.example", "x9.a.example", "b1.example",
	"example", "www.test", "10.1.2.3", "::1", "1", "example.", "c.b.a.example", "..a.example", "local", "xn--a.example", "sample",
};
static const uint16_t asked_ports[] = { 0, 1, 2, 442, 443, 444, 445, 6379, 6999, 65535 };

/* With many, most rules are for somebody else, as they are in a large policy. */
static size_t
make_match(char *at, size_t room, bool server, unsigned many)
{
	size_t used = (size_t)snprintf(at, room, "match = ");
	unsigned n = 1 + below(3);

	for (unsigned i = 0; i < n; i++) {
		used += (size_t)snprintf(at + used, room - used, "%s", i ? ", " : "");
		if (many > 20 && below(20))
			used += (size_t)snprintf(at + used, room - used, below(2) || server ? "10.%u.%u.0/%u:%u" : "h%u.zone%u.example:%u",
						 below(200), below(200), 20 + below(13), 1 + below(60000));
		else
			used += (size_t)snprintf(at + used, room - used, "%s:%s", server ? ONE_OF(server_hosts) : ONE_OF(hosts), ONE_OF(ports));
	}
	return used + (size_t)snprintf(at + used, room - used, "\n");
}

static void
make_policy(char *text, size_t room, unsigned rules)
{
	size_t used = (size_t)snprintf(text, room, "[defaults]\nunmatched = %s\n", below(2) ? "plain" : "refuse");

	for (unsigned i = 0; i < rules; i++) {
		bool server = !below(4);

		used += (size_t)snprintf(text + used, room - used, "[%s r%u]\n", server ? "server" : "client", i);
		used += make_match(text + used, room - used, server, rules);
		if (!below(3))
			used += (size_t)snprintf(text + used, room - used, "program = %s\n", ONE_OF(programs));
		if (server || !below(3))
			used += (size_t)snprintf(text + used, room - used, "action = %s\n", ONE_OF(actions));
	}
	if (used >= room)
		abort();
}

static void
make_address(struct sockaddr_storage *to, socklen_t *len)
{
	const char *host = ONE_OF(addresses);
	struct sockaddr_in6 six = { .sin6_family = AF_INET6, .sin6_port = htons(ONE_OF(asked_ports)) };
	struct sockaddr_in four = { .sin_family = AF_INET, .sin_port = six.sin6_port };

	memset(to, 0xa5, sizeof *to);
	if (inet_pton(AF_INET, host, &four.sin_addr) == 1) {
		memcpy(to, &four, *len = sizeof four);
	} else {
		inet_pton(AF_INET6, host, &six.sin6_addr);
		memcpy(to, &six, *len = sizeof six);
	}
	if (!below(50))
		to->ss_family = below(2) ? AF_UNIX : AF_UNSPEC;
	if (!below(50))
		*len = below((unsigned)*len);
}

static const struct policy_program somebody = { "/usr/bin/redis-cli", "redis-cli", NULL }, another = { "/opt/x", "x", "/opt/x1" };
static const struct policy_program *const everybody[] = { &somebody, &another, NULL };

static struct {
	unsigned answers[4], by_name, unmatched, beyond_first;
} seen;

static bool
agree(const struct policy *policy, const struct policy_index *index, const struct policy_program *program, const char *text)
{
	struct sockaddr_storage to;
	struct policy_query query = { .role = below(4) ? POLICY_CLIENT : POLICY_SERVER, .addr = (const struct sockaddr *)&to,
				      .name = ONE_OF(names), .program = program };
	struct policy_verdict walked, found;

	make_address(&to, &query.addrlen);
	walked = policy_match(policy, &query);
	query.program = NULL;
	found = policy_index_match(index, &query);
	seen.answers[walked.answer]++;
	seen.by_name += walked.by_name;
	seen.unmatched += walked.rule < 0;
	seen.beyond_first += walked.rule > 0;
	if (found.answer == walked.answer && found.rule == walked.rule && found.by_name == walked.by_name)
		return true;
	printf("FAILED index: answer %d of rule %d by name %d, the definition gives %d, %d, %d: %s %s, family %d, port %u, name %s\n%.3000s\n",
	       (int)found.answer, found.rule, (int)found.by_name, (int)walked.answer, walked.rule, (int)walked.by_name,
	       query.role == POLICY_CLIENT ? "client" : "server", program ? program->argv0 : "nobody", to.ss_family,
	       ntohs(((const struct sockaddr_in *)(const void *)&to)->sin_port), query.name ? query.name : "not known", text);
	return false;
}

static void
compare(unsigned rules)
{
	static char text[TEXT_MOST];
	const struct policy_program *program = ONE_OF(everybody);
	struct policy_index *index;
	struct policy *policy;
	struct policy_error err;
	bool ok = true;

	make_policy(text, sizeof text, rules);
	if (policy_parse(text, strlen(text), "/p", &policy, &err) != 0) {
		printf("FAILED index: %u:%u: %s\n%s\n", err.line, err.column, err.text, text);
		failed++;
		return;
	}
	if (policy_index_new(policy, program, &index) != 0)
		abort();
	for (unsigned i = 0; ok && i < QUESTIONS; i++)
		ok = agree(policy, index, program, text);
	policy_index_free(index);
	policy_free(policy);
	passed += ok;
	failed += !ok;
}

/* What never happened was not compared. */
static void
happened(const char *what, unsigned times)
{
	char detail[40];

	snprintf(detail, sizeof detail, "in %u questions only", times);
	result("index", what, times >= 500, detail);
}

int
main(void)
{
	for (int i = 0; i < POLICIES && !failed; i++)
		compare(below(12));
	for (int i = 0; i < 60 && !failed; i++)
		compare(100 + below(900));
	happened("plain", seen.answers[POLICY_PLAIN]);
	happened("wrap", seen.answers[POLICY_WRAP]);
	happened("refuse", seen.answers[POLICY_REFUSE]);
	happened("cannot know", seen.answers[POLICY_CANNOT_KNOW]);
	happened("by name", seen.by_name);
	happened("unmatched", seen.unmatched);
	happened("a later rule", seen.beyond_first);
	return summary();
}
