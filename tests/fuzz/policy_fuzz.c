/*
 * policy_fuzz.c - any bytes as a policy: parsing neither crashes nor hangs; what parses prints as text that parses and
 * prints the same; the index matches as the rules do; and matching, explaining and printing into too little room stay inside their bounds.
 */
#include "policy.h"

#include "target.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <string.h>

#define PATH "/etc/wrapsock/policy.conf"

static char *
printed(const struct policy *policy, size_t *len)
{
	char *text;

	*len = policy_print(policy, NULL, 0);
	if ((text = malloc(*len + 1)) == NULL || policy_print(policy, text, *len + 1) != *len || strlen(text) != *len)
		abort();
	return text;
}

static void
print_short(const struct policy *policy, const char *whole, size_t len)
{
	char *part = malloc(len / 2 + 1);

	if (part == NULL || policy_print(policy, part, len / 2 + 1) != len || memcmp(part, whole, len / 2) != 0 ||
	    part[len / 2] != '\0')
		abort();
	free(part);
}

static void
ask(const struct policy *policy, const struct policy_index *index, const struct policy_query *query)
{
	struct policy_verdict verdict = policy_match(policy, query), found = policy_index_match(index, query);
	char text[64];
	int rule, answer;

	if (found.answer != verdict.answer || found.rule != verdict.rule || found.by_name != verdict.by_name)
		abort();
	for (rule = 0; rule < policy_rules(policy); rule++) {
		answer = policy_explain(policy, rule, query, text, sizeof text);
		if (verdict.rule >= 0 &&
		    (rule < verdict.rule ? answer != -1 : rule == verdict.rule && answer != (int)verdict.answer))
			abort();
	}
	if (verdict.answer != POLICY_PLAIN && !policy_concerns(policy, query->role, query->program))
		abort();
}

static void
ask_all(const struct policy *policy)
{
	static const char *const names[] = { NULL, "a.cache.example", "LOCALHOST.", "10.0.0.1", "" };
	static const char *const hosts[] = { "::1", "::ffff:10.1.2.3", "fd00::1", "::", "::ffff:127.0.0.1" };
	static const struct policy_program program = { "/usr/bin/redis-cli", "redis-cli", NULL };
	static const uint16_t ports[] = { 1, 443, 6379, 65535 };
	struct sockaddr_in6 six = { .sin6_family = AF_INET6 };
	struct policy_query query = { .addr = (const struct sockaddr *)&six, .addrlen = sizeof six };
	struct policy_index *indexes[2];
	size_t i;

	if (policy_index_new(policy, NULL, &indexes[0]) != 0 || policy_index_new(policy, &program, &indexes[1]) != 0)
		abort();
	for (i = 0; i < 200; i++) {
		query.role = i & 1 ? POLICY_SERVER : POLICY_CLIENT;
		query.program = i & 2 ? &program : NULL;
		query.name = names[i % 5];
		inet_pton(AF_INET6, hosts[i / 5 % 5], &six.sin6_addr);
		six.sin6_port = htons(ports[i / 25 % 4]);
		ask(policy, indexes[i >> 1 & 1], &query);
	}
	policy_index_free(indexes[0]);
	policy_index_free(indexes[1]);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct policy *first, *second;
	char *one, *two;
	struct policy_error err;
	size_t len, len2;

	if (policy_parse((const char *)data, size, PATH, &first, &err) != 0) {
		if (first != NULL || err.text[0] == '\0' || strlen(err.text) >= sizeof err.text)
			abort();
		return 0;
	}
	one = printed(first, &len);
	if (policy_parse(one, len, PATH, &second, &err) != 0)
		abort();
	two = printed(second, &len2);
	if (len != len2 || memcmp(one, two, len) != 0)
		abort();
	print_short(first, one, len);
	ask_all(first);
	free(one);
	free(two);
	policy_free(first);
	policy_free(second);
	return 0;
}
