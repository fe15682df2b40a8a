/* parse.c - policy text, a line at a time: sections and assignments. What they mean together is check.c's. */
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "rule.h"

static int
fail_at(const struct policy_reader *r, const char *at, const char *what)
{
	return policy_error_set(r->err, r->line, policy_line_column(r, at), "%s", what);
}

static const char *
skip(const struct policy_reader *r, const char *at)
{
	while (at < r->end && policy_line_blank(*at))
		at++;
	return at;
}

static bool
is_word(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '.';
}

static const char *
skip_word(const struct policy_reader *r, const char *at)
{
	while (at < r->end && is_word(*at))
		at++;
	return at;
}

static int
open_defaults(struct policy_reader *r, const char *at)
{
	struct policy_section *defaults = &r->policy->defaults;

	if (defaults->line != 0)
		return policy_error_set(r->err, r->line, policy_line_column(r, at),
		    "second [defaults], the first one is in line %u, expected it once", defaults->line);
	defaults->line = r->line;
	r->section = defaults;
	r->rule = NULL;
	return 0;
}

static int *
namesakes(struct policy_reader *r, enum policy_role role, const char *name, size_t len)
{
	uint64_t hash = (uint64_t)role;
	size_t i;

	for (i = 0; i < len; i++)
		hash = policy_hash(hash, name[i]);
	return &r->named[(hash ^ hash >> 32) % (sizeof r->named / sizeof r->named[0])];
}

static int
check_unique(struct policy_reader *r, enum policy_role role, const char *name, size_t len)
{
	const struct policy_rule *rule;
	int i;

	for (i = *namesakes(r, role, name, len); i != 0; i = rule->namesake) {
		rule = &r->policy->rules[i - 1];
		if (rule->role == role && strlen(rule->name) == len && memcmp(rule->name, name, len) == 0)
			return policy_error_set(r->err, r->line, policy_line_column(r, name),
			    "second [%s %s], the first one is in line %u, expected another name",
			    role == POLICY_CLIENT ? "client" : "server", rule->name, rule->section.line);
	}
	return 0;
}

/* How many can come at most, so that the array is made once. */
static size_t
count_sections(const char *at, const char *end)
{
	size_t n = 0;

	for (; at < end && n < POLICY_RULES_MAX; at++)
		n += *at == '[';
	return n;
}

static int
open_rule(struct policy_reader *r, enum policy_role role, const char *name, const char *end)
{
	struct policy_rule *rule;
	size_t len = (size_t)(end - name);
	int *named;

	if (len == 0 || len > POLICY_NAME_MAX)
		return fail_at(r, name, len == 0 ?
		    "no name, expected [client NAME] or [server NAME], NAME of letters, digits and any of . _ -" :
		    "name too long, expected at most 64 characters");
	if (check_unique(r, role, name, len) != 0)
		return -1;
	if (r->policy->nrules == POLICY_RULES_MAX)
		return policy_error_set(r->err, r->line, 1, "too many rules, expected at most %d", POLICY_RULES_MAX);
	rule = &r->policy->rules[r->policy->nrules];
	if ((rule->name = policy_arena_text(r->policy, name, len)) == NULL)
		return policy_error_memory(r->err);
	rule->role = role;
	rule->action = POLICY_WRAP;
	rule->section.line = r->line;
	named = namesakes(r, role, name, len);
	rule->namesake = *named;
	*named = ++r->policy->nrules;
	r->section = &rule->section;
	r->rule = rule;
	return 0;
}

/* at stands on the [ . */
static int
read_section(struct policy_reader *r, const char *at)
{
	const char *word = skip(r, at + 1), *word_end = skip_word(r, word);
	const char *name = skip(r, word_end), *name_end = skip_word(r, name);
	const char *close = skip(r, name_end), *rest;
	size_t len = (size_t)(word_end - word);
	bool client = len == 6 && memcmp(word, "client", len) == 0;
	bool defaults = len == 8 && memcmp(word, "defaults", len) == 0;

	if (!client && !defaults && !(len == 6 && memcmp(word, "server", len) == 0))
		return policy_error_set(r->err, r->line, policy_line_column(r, word),
		    "unknown section \"%.*s\", expected [defaults], [client NAME] or [server NAME]", policy_excerpt(word, len),
		    word);
	if (close == r->end || *close != ']')
		return fail_at(r, close, "expected a name of letters, digits and any of . _ - and then ]");
	rest = skip(r, close + 1);
	if (!policy_line_ends(r, rest))
		return fail_at(r, rest, "expected the end of the line behind ]");
	if (defaults && name != name_end)
		return fail_at(r, name, "[defaults] has no name, expected ]");
	return defaults ? open_defaults(r, at) : open_rule(r, client ? POLICY_CLIENT : POLICY_SERVER, name, name_end);
}

static int
fail_unknown(const struct policy_reader *r, const char *name, size_t len)
{
	const char *nearest = policy_key_nearest(name, len);

	return policy_error_set(r->err, r->line, policy_line_column(r, name), "unknown key \"%.*s\", %s%s%s",
	    policy_excerpt(name, len), name, nearest != NULL ? "did you mean \"" : "expected one of wrapsock-policy(5)",
	    nearest != NULL ? nearest : "", nearest != NULL ? "\"?" : "");
}

static int
check_command(const struct policy_reader *r, const char *name, const char *copy)
{
	size_t prefix = strlen(policy_keys[POLICY_KEY_OPENSSL].name);
	const char *command = copy + prefix;
	const char *key = policy_key_of_command(command), *c;

	for (c = command; is_word(*c) && *c != '.' && *c != '-'; c++)
		;
	if (*command == '\0' || *c != '\0')
		return fail_at(r, name + (c - copy), "expected openssl.Command, a command of SSL_CONF_cmd(3)");
	if (key != NULL)
		return policy_error_set(r->err, r->line, policy_line_column(r, name),
		    "openssl.%.*s has a key of its own, expected \"%s\"", policy_excerpt(command, strlen(command)), command, key);
	return 0;
}

static int
check_place(const struct policy_reader *r, const struct policy_key *key, const char *at)
{
	unsigned column = policy_line_column(r, at);

	if (r->rule == NULL && (key->flags & POLICY_KEY_IN_RULES) != 0)
		return policy_error_set(
		    r->err, r->line, column, "%s in [defaults], expected it in a [client NAME] or [server NAME]", key->name);
	if (r->rule != NULL && (key->flags & POLICY_KEY_IN_DEFAULTS) != 0)
		return policy_error_set(r->err, r->line, column, "%s in a rule, expected it in [defaults]", key->name);
	if (r->rule != NULL && r->rule->role == POLICY_SERVER && (key->flags & POLICY_KEY_OF_CLIENTS) != 0)
		return policy_error_set(r->err, r->line, column, "%s in a server rule, expected it in a [client NAME]", key->name);
	if (r->rule != NULL && r->rule->role == POLICY_CLIENT && (key->flags & POLICY_KEY_OF_SERVERS) != 0)
		return policy_error_set(r->err, r->line, column, "%s in a client rule, expected it in a [server NAME]", key->name);
	return 0;
}

static int
check_duplicate(const struct policy_reader *r, const char *name, const char *at)
{
	const struct policy_entry *e;

	for (e = r->section->first; e != NULL; e = e->next)
		if (policy_same(e->name, name, strlen(name)))
			return policy_error_set(r->err, r->line, policy_line_column(r, at),
			    "second \"%.*s\" in this section, the first one is in line %u, expected it once",
			    policy_excerpt(name, strlen(name)), name, e->line);
	return 0;
}

/* What the parser itself takes from a value; the rest waits for check.c. */
static void
take(struct policy_reader *r, const struct policy_entry *e)
{
	if (e->id == POLICY_KEY_UNMATCHED)
		r->policy->refuse = strcmp(e->value, "refuse") == 0;
	if (e->id == POLICY_KEY_ACTION && strcmp(e->value, "plain") == 0)
		r->rule->action = POLICY_PLAIN;
	if (e->id == POLICY_KEY_ACTION && strcmp(e->value, "refuse") == 0)
		r->rule->action = POLICY_REFUSE;
}

static int
read_value(struct policy_reader *r, const struct policy_key *key, const char *at, struct policy_entry *e)
{
	struct policy_item *items;
	size_t n;

	if (policy_line_items(r, at, policy_value_lists(key), &items, &n) != 0)
		return -1;
	e->id = (enum policy_key_id)(key - policy_keys);
	e->line = r->line;
	e->column = items->column;
	e->value = policy_value_read(r, key, items, n);
	return e->value != NULL ? 0 : -1;
}

static int
read_assignment(struct policy_reader *r, const char *name)
{
	const char *end = skip_word(r, name), *equals = skip(r, end);
	const struct policy_key *key = policy_key_find(name, (size_t)(end - name));
	struct policy_entry *e;

	if (end == name || equals == r->end || *equals != '=')
		return fail_at(r, equals, "expected KEY = VALUE or a [section]");
	if (r->section == NULL)
		return fail_at(r, name, "key outside of a section, expected [defaults], [client NAME] or [server NAME] first");
	if (key == NULL)
		return fail_unknown(r, name, (size_t)(end - name));
	if ((e = policy_arena_take(r->policy, 1, sizeof *e)) == NULL ||
	    (e->name = policy_arena_text(r->policy, name, (size_t)(end - name))) == NULL)
		return policy_error_memory(r->err);
	if (key == &policy_keys[POLICY_KEY_OPENSSL] && check_command(r, name, e->name) != 0)
		return -1;
	if (check_place(r, key, name) != 0 || check_duplicate(r, e->name, name) != 0 || read_value(r, key, equals + 1, e) != 0)
		return -1;
	if (r->section->last != NULL)
		r->section->last->next = e;
	else
		r->section->first = e;
	r->section->last = e;
	take(r, e);
	return 0;
}

static int
read_line(struct policy_reader *r)
{
	const char *at = skip(r, r->start);

	if (policy_line_check(r) != 0)
		return -1;
	if (policy_line_ends(r, at))
		return 0;
	return *at == '[' ? read_section(r, at) : read_assignment(r, at);
}

static int
read_text(struct policy_reader *r, const char *text, const char *end)
{
	static const char mark[] = "\xef\xbb\xbf";	/* some editors begin UTF-8 with it */
	const char *newline;

	if (end - text >= 3 && memcmp(text, mark, 3) == 0)
		text += 3;
	for (; text < end; text = newline + 1) {
		if ((newline = memchr(text, '\n', (size_t)(end - text))) == NULL)
			newline = end;
		r->line++;
		r->start = text;
		r->end = newline > text && newline < end && newline[-1] == '\r' ? newline - 1 : newline;
		if (read_line(r) != 0)
			return -1;
		if (newline == end)
			break;
	}
	return 0;
}

static int
set_folder(struct policy *policy, const char *path, struct policy_error *err)
{
	const char *slash = strrchr(path, '/');
	size_t len = slash != NULL ? (size_t)(slash + 1 - path) : 0, here = 0;
	char cwd[PATH_MAX] = "", *folder;

	if (path[0] != '/') {
		if (getcwd(cwd, sizeof cwd) == NULL || cwd[0] != '/')
			return policy_error_set(
			    err, 0, 0, "the current directory has no path, expected the policy's absolute path");
		here = strlen(cwd);
	}
	if ((folder = policy_arena_take(policy, here + 1 + len + 1, 1)) == NULL)
		return policy_error_memory(err);
	memcpy(folder, cwd, here);
	if (here > 0 && folder[here - 1] != '/')
		folder[here++] = '/';
	memcpy(folder + here, path, len);
	policy->folder = folder;
	return 0;
}

static int
build(struct policy *policy, const char *text, size_t len, const char *path, struct policy_error *err)
{
	struct policy_reader r = { .policy = policy, .err = err };
	size_t most = len > 0 ? count_sections(text, text + len) : 0;
	int i;

	if ((policy->path = policy_arena_text(policy, path, strlen(path))) == NULL ||
	    (policy->rules = policy_arena_take(policy, most + 1, sizeof *policy->rules)) == NULL)
		return policy_error_memory(err);
	if (set_folder(policy, path, err) != 0 || (len > 0 && read_text(&r, text, text + len) != 0))
		return -1;
	if (r.section == NULL)		/* a file cut down to nothing must not read as "everything in clear" */
		return policy_error_set(err, 0, 0, "no section in it, expected [defaults], [client NAME] or [server NAME]");
	for (i = 0; i < policy->nrules; i++)
		if (policy_check_rule(policy, &policy->rules[i], err) != 0)
			return -1;
	return 0;
}

int
policy_parse(const char *text, size_t len, const char *path, struct policy **out, struct policy_error *err)
{
	struct policy *policy = calloc(1, sizeof *policy);

	*out = NULL;
	memset(err, 0, sizeof *err);
	if (policy == NULL)
		return policy_error_memory(err);
	if (build(policy, text, len, path, err) != 0) {
		policy_free(policy);
		return -1;
	}
	*out = policy;
	return 0;
}
