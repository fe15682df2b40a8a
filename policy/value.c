/* value.c - values by type: what is accepted, and its one canonical form. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rule.h"

enum { PATH_LIMIT = 4095, DURATION_MAX = 24 * 60 * 60 * 1000 };

static const char *
kept(struct policy_reader *r, const char *text)
{
	if (text == NULL)
		policy_error_memory(r->err);
	return text;
}

/* "a, b or c": the words that a message offers. */
static void
offer(const struct policy_word *words, char *buf, size_t size)
{
	const struct policy_word *w, *last = NULL, *before = NULL;
	size_t used = 0;

	buf[0] = '\0';
	for (w = words; w->written != NULL; w++) {
		if (w->means == NULL || strcmp(w->written, w->means) != 0)
			continue;
		if (before != NULL && used < size)
			used += (size_t)snprintf(buf + used, size - used, "%s, ", before->written);
		before = last;
		last = w;
	}
	if (before != NULL && used < size)
		used += (size_t)snprintf(buf + used, size - used, "%s or ", before->written);
	if (last != NULL && used < size)
		snprintf(buf + used, size - used, "%s", last->written);
}

static const char *
word(struct policy_reader *r, const struct policy_key *key, const struct policy_item *item)
{
	const struct policy_word *w;
	char offered[256];

	for (w = key->words; w->written != NULL && !policy_same(w->written, item->text, item->len); w++)
		;
	if (w->written != NULL && w->means != NULL)
		return w->means;
	offer(key->words, offered, sizeof offered);
	policy_error_set(r->err, r->line, item->column, "%s = %.*s%s%s, expected %s", key->name,
	    policy_excerpt(item->text, item->len), item->text, w->why != NULL ? " is " : " is not known",
	    w->why != NULL ? w->why : "", offered);
	return NULL;
}

static const char *
read_word(struct policy_reader *r, const struct policy_key *key, const struct policy_item *items, size_t n)
{
	(void)n;
	return word(r, key, items);
}

/* Joins what `form` makes of every element. */
static const char *
join(struct policy_reader *r, const struct policy_key *key, const struct policy_item *items, size_t n, const char *with,
    const char *(*form)(struct policy_reader *, const struct policy_key *, const struct policy_item *))
{
	size_t size = 1, i;
	const char **parts = policy_arena_take(r->policy, n, sizeof *parts);
	char *joined, *at;

	if (parts == NULL)
		return kept(r, NULL);
	for (i = 0; i < n; i++) {
		if ((parts[i] = form(r, key, &items[i])) == NULL)
			return NULL;
		size += strlen(parts[i]) + strlen(with);
	}
	if ((joined = at = policy_arena_take(r->policy, size, 1)) == NULL)
		return kept(r, NULL);
	for (i = 0; i < n; i++)
		at = stpcpy(stpcpy(at, i > 0 ? with : ""), parts[i]);
	return joined;
}

static const char *
read_words(struct policy_reader *r, const struct policy_key *key, const struct policy_item *items, size_t n)
{
	return join(r, key, items, n, ", ", word);
}

static const char *
read_string(struct policy_reader *r, const struct policy_key *key, const struct policy_item *items, size_t n)
{
	(void)r, (void)key, (void)n;
	return items->text;
}

static int
check_token(struct policy_reader *r, const struct policy_key *key, const struct policy_item *item, const char *barred)
{
	const char *c;

	for (c = item->text; *c != '\0' && *c > ' ' && *c < 0x7f && strchr(barred, *c) == NULL; c++)
		;
	if (*c == '\0')
		return 0;
	return policy_error_set(r->err, r->line, item->column, "%s: \"%.*s\" is not a name, expected names separated by commas",
	    key->name, policy_excerpt(item->text, item->len), item->text);
}

/* OpenSSL's own lists have colons between their elements: X25519:P-256. */
static const char *
colons(struct policy_reader *r, const struct policy_key *key, const struct policy_item *item)
{
	return check_token(r, key, item, "\"\\#;") == 0 ? item->text : NULL;
}

static const char *
read_colons(struct policy_reader *r, const struct policy_key *key, const struct policy_item *items, size_t n)
{
	return join(r, key, items, n, ":", colons);
}

static const char *
protocol(struct policy_reader *r, const struct policy_key *key, const struct policy_item *item)
{
	if (check_token(r, key, item, "\"\\#;") != 0)
		return NULL;
	if (item->len > 255) {		/* RFC 7301: opaque ProtocolName<1..2^8-1> */
		policy_error_set(
		    r->err, r->line, item->column, "%s: name of %zu bytes, expected at most 255", key->name, item->len);
		return NULL;
	}
	return item->text;
}

static const char *
read_list(struct policy_reader *r, const struct policy_key *key, const struct policy_item *items, size_t n)
{
	return join(r, key, items, n, ", ", protocol);
}

static const char *
read_file(struct policy_reader *r, const struct policy_key *key, const struct policy_item *items, size_t n)
{
	size_t folder = strlen(r->policy->folder);
	char *path;

	(void)n;
	if (items->text[0] == '/')
		folder = 0;
	if (folder + items->len > PATH_LIMIT) {
		policy_error_set(
		    r->err, r->line, items->column, "%s: path too long, expected at most %d bytes", key->name, PATH_LIMIT);
		return NULL;
	}
	if (folder == 0)
		return items->text;
	if ((path = policy_arena_take(r->policy, folder + items->len + 1, 1)) == NULL)
		return kept(r, NULL);
	memcpy(path, r->policy->folder, folder);
	memcpy(path + folder, items->text, items->len);
	return path;
}

/* RFC 3986: scheme = ALPHA *( ALPHA / DIGIT / "+" / "-" / "." ) */
static bool
is_uri(const char *text)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
	size_t n = strspn(text, letters);

	if (n == 0)
		return false;
	while (text[n] != '\0' && strchr("0123456789+-.", text[n]) != NULL)
		n += 1 + strspn(text + n + 1, letters);
	return text[n] == ':';
}

static const char *
read_store(struct policy_reader *r, const struct policy_key *key, const struct policy_item *items, size_t n)
{
	return is_uri(items->text) ? items->text : read_file(r, key, items, n);
}

static const char *
read_trust(struct policy_reader *r, const struct policy_key *key, const struct policy_item *items, size_t n)
{
	return strcmp(items->text, "system") == 0 ? items->text : read_file(r, key, items, n);
}

static const char *
read_host(struct policy_reader *r, const struct policy_key *key, const struct policy_item *items, size_t n)
{
	char *host = policy_arena_text(r->policy, items->text, items->len);

	(void)key, (void)n;
	if (host == NULL)
		return kept(r, NULL);
	return policy_host_check(r, items, host, items->len, false) == 0 ? host : NULL;
}

static const char *
read_duration(struct policy_reader *r, const struct policy_key *key, const struct policy_item *items, size_t n)
{
	static const struct { const char *name; unsigned long ms; } units[] = { { "ms", 1 }, { "s", 1000 }, { "m", 60000 } };
	size_t digits = strspn(items->text, "0123456789"), i;
	unsigned long amount;
	char ms[24];

	(void)n;
	for (i = 0; i < 3 && strcmp(items->text + digits, units[i].name) != 0; i++)
		;
	if (digits == 0 || i == 3) {
		policy_error_set(r->err, r->line, items->column,
		    "%s = %.*s is no duration, expected a number with its unit: 500ms, 2s or 1m", key->name,
		    policy_excerpt(items->text, items->len), items->text);
		return NULL;
	}
	amount = digits > 9 ? DURATION_MAX + 1 : strtoul(items->text, NULL, 10);
	if (amount > DURATION_MAX / units[i].ms) {
		policy_error_set(
		    r->err, r->line, items->column, "%s: too long, expected at most %dm", key->name, DURATION_MAX / 60000);
		return NULL;
	}
	snprintf(ms, sizeof ms, "%lu", amount * units[i].ms);
	return kept(r, policy_arena_text(r->policy, ms, strlen(ms)));
}

static const char *
read_patterns(struct policy_reader *r, const struct policy_key *key, const struct policy_item *items, size_t n)
{
	struct policy_rule *rule = r->rule;
	size_t i;

	(void)key;
	if ((rule->patterns = policy_arena_take(r->policy, n, sizeof *rule->patterns)) == NULL)
		return kept(r, NULL);
	for (i = 0; i < n; i++)
		if (policy_pattern_read(r, &items[i], &rule->patterns[i]) != 0)
			return NULL;
	rule->npatterns = n;
	return "";
}

static const char *
read_programs(struct policy_reader *r, const struct policy_key *key, const struct policy_item *items, size_t n)
{
	struct policy_rule *rule = r->rule;
	size_t i;

	if ((rule->programs = policy_arena_take(r->policy, n, sizeof *rule->programs)) == NULL)
		return kept(r, NULL);
	for (i = 0; i < n; i++) {
		if (!policy_glob_valid(items[i].text)) {
			policy_error_set(
			    r->err, r->line, items[i].column, "%s: [ is not closed, expected a ] behind it", key->name);
			return NULL;
		}
		rule->programs[i] = items[i].text;
	}
	rule->nprograms = n;
	return "";
}

static const char *
read_pins(struct policy_reader *r, const struct policy_key *key, const struct policy_item *items, size_t n)
{
	return join(r, key, items, n, ", ", policy_pin_read);
}

static const char *
read_identities(struct policy_reader *r, const struct policy_key *key, const struct policy_item *items, size_t n)
{
	return join(r, key, items, n, ", ", policy_identity_read);
}

static const struct {
	const char *(*read)(struct policy_reader *, const struct policy_key *, const struct policy_item *, size_t);
	bool list;
} types[] = {
	[POLICY_VALUE_WORD] = { read_word, false },
	[POLICY_VALUE_WORDS] = { read_words, true },
	[POLICY_VALUE_STRING] = { read_string, false },
	[POLICY_VALUE_COLONS] = { read_colons, true },
	[POLICY_VALUE_LIST] = { read_list, true },
	[POLICY_VALUE_FILE] = { read_file, false },
	[POLICY_VALUE_STORE] = { read_store, false },
	[POLICY_VALUE_TRUST] = { read_trust, false },
	[POLICY_VALUE_HOST] = { read_host, false },
	[POLICY_VALUE_DURATION] = { read_duration, false },
	[POLICY_VALUE_PATTERNS] = { read_patterns, true },
	[POLICY_VALUE_PROGRAMS] = { read_programs, true },
	[POLICY_VALUE_PINS] = { read_pins, true },
	[POLICY_VALUE_IDENTITIES] = { read_identities, true },
};

const char *
policy_value_read(struct policy_reader *r, const struct policy_key *key, const struct policy_item *items, size_t n)
{
	return types[key->value].read(r, key, items, n);
}

bool
policy_value_lists(const struct policy_key *key)
{
	return types[key->value].list;
}

unsigned
policy_value_version(const char *version)
{
	static const char *const known[] = { "TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3" };
	unsigned i;

	for (i = 0; i < 4; i++)
		if (version != NULL && strcmp(known[i], version) == 0)
			return i + 1;
	return 0;
}
