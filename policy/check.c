/* check.c - a rule as a whole: defaults filled in, and what its keys demand of each other. */
#include <stdio.h>
#include <string.h>

#include "rule.h"

enum level { BUILT_IN, INHERITED, OWN };	/* the higher one is nearer to the rule */

struct filled {
	const char *value;		/* NULL = not set */
	enum level level;
	unsigned line, column;
};

struct checker {
	struct policy *policy;
	struct policy_rule *rule;
	struct policy_error *err;
	struct filled at[POLICY_KEYS];
};

static const char *
role_word(const struct checker *c)
{
	return c->rule->role == POLICY_CLIENT ? "client" : "server";
}

static bool
is(const struct checker *c, enum policy_key_id id, const char *value)
{
	return c->at[id].value != NULL && strcmp(c->at[id].value, value) == 0;
}

/* At the value that is to blame, or at the rule's first line where none is written. */
static int
blame(struct checker *c, enum policy_key_id id, const char *what)
{
	const struct filled *f = &c->at[id];
	unsigned line = f->line != 0 ? f->line : c->rule->section.line;

	return policy_error_set(c->err, line, f->line != 0 ? f->column : 1, "[%s %s]: %s", role_word(c), c->rule->name, what);
}

static void
fill_built_in(struct checker *c)
{
	const struct policy_key *key;
	size_t id;

	for (id = POLICY_KEY_SSL_VERSION; id < POLICY_KEY_OPENSSL; id++) {
		key = &policy_keys[id];
		c->at[id].value = c->rule->role == POLICY_CLIENT ? key->client : key->server;
	}
}

static bool
reaches(const struct checker *c, enum policy_key_id id)
{
	unsigned not = c->rule->role == POLICY_CLIENT ? POLICY_KEY_OF_SERVERS : POLICY_KEY_OWN | POLICY_KEY_OF_CLIENTS;

	return (policy_keys[id].flags & not) == 0;
}

static void
fill_section(struct checker *c, const struct policy_section *section, enum level level)
{
	const struct policy_entry *e;

	for (e = section->first; e != NULL; e = e->next)
		if (level == OWN || reaches(c, e->id))
			c->at[e->id] = (struct filled){ e->value, level, e->line, e->column };
}

static void
forget(struct filled *f)
{
	*f = (struct filled){ NULL, BUILT_IN, 0, 0 };
}

/* What is trusted is one thing in two keys: naming either replaces what a farther level named, and never adds to it. */
static void
settle_trust(struct checker *c)
{
	struct filled *file = &c->at[POLICY_KEY_CA_CERTS], *path = &c->at[POLICY_KEY_CAPATH];

	if (path->value == NULL)
		return;
	if (file->level < path->level)
		forget(file);
	else if (path->level < file->level)
		forget(path);
}

/* Without verification there is no name to check, whatever the default is. */
static void
settle_name_check(struct checker *c)
{
	struct filled *check = &c->at[POLICY_KEY_CHECK_HOSTNAME];

	if (check->value != NULL && check->level != OWN && is(c, POLICY_KEY_CERT_REQS, "none"))
		check->value = "no";
}

static const enum policy_key_id judgements[] = {
	POLICY_KEY_CRLFILE, POLICY_KEY_CRL_CHECK, POLICY_KEY_PIN, POLICY_KEY_ALLOW,
};

/* What is judged of a certificate that nobody verifies does not come from [defaults]; a client's pin holds on its own. */
static void
settle_judgements(struct checker *c)
{
	struct filled *file = &c->at[POLICY_KEY_CRLFILE], *depth = &c->at[POLICY_KEY_CRL_CHECK];
	size_t i;

	for (i = 0; i < sizeof judgements / sizeof *judgements; i++)
		if (is(c, POLICY_KEY_CERT_REQS, "none") && judgements[i] != POLICY_KEY_PIN && c->at[judgements[i]].level != OWN)
			forget(&c->at[judgements[i]]);
	if (file->value != NULL && depth->value == NULL)
		*depth = (struct filled){ "chain", BUILT_IN, 0, 0 };
}

static const char *
pinned_version(const struct checker *c)
{
	static const char *const pins[][2] = {
		{ "PROTOCOL_TLSv1", "TLSv1" }, { "PROTOCOL_TLSv1_1", "TLSv1.1" }, { "PROTOCOL_TLSv1_2", "TLSv1.2" },
	};
	size_t i;

	for (i = 0; i < 3; i++)
		if (is(c, POLICY_KEY_SSL_VERSION, pins[i][0]))
			return pins[i][1];
	return NULL;
}

/* Python: PROTOCOL_TLSv1_2 means this version and no other. The nearer of pin and bounds counts; side by side they must agree. */
static int
settle_versions(struct checker *c)
{
	static const enum policy_key_id bounds[] = { POLICY_KEY_MINIMUM_VERSION, POLICY_KEY_MAXIMUM_VERSION };
	struct filled *pin = &c->at[POLICY_KEY_SSL_VERSION];
	const char *version = pinned_version(c);
	size_t i;

	if (version == NULL)
		return 0;
	for (i = 0; i < 2; i++) {
		if (c->at[bounds[i]].level > pin->level) {
			pin->value = "PROTOCOL_TLS";
			return 0;
		}
		if (c->at[bounds[i]].level == pin->level && !is(c, bounds[i], version))
			return blame(
			    c, bounds[i], "ssl_version names one version already, expected the same one or no bound beside it");
	}
	for (i = 0; i < 2; i++)
		c->at[bounds[i]] = (struct filled){ version, pin->level, pin->line, pin->column };
	return 0;
}

static int
check_versions(struct checker *c)
{
	unsigned low = policy_value_version(c->at[POLICY_KEY_MINIMUM_VERSION].value);
	unsigned high = policy_value_version(c->at[POLICY_KEY_MAXIMUM_VERSION].value);
	char text[160];

	if (high != 0 && low > high) {
		snprintf(text, sizeof text, "minimum_version (%s) is above maximum_version (%s), expected it below or equal",
		    c->at[POLICY_KEY_MINIMUM_VERSION].value, c->at[POLICY_KEY_MAXIMUM_VERSION].value);
		return blame(c, POLICY_KEY_MAXIMUM_VERSION, text);
	}
	if (low < policy_value_version("TLSv1.2") && !is(c, POLICY_KEY_INSECURE, "yes"))
		return blame(
		    c, POLICY_KEY_MINIMUM_VERSION, "versions below TLSv1.2 need insecure = yes, expected that or a newer version");
	return 0;
}

/* Is this word among those of the list? */
static bool
lists(const char *list, const char *word)
{
	size_t len = strlen(word);
	const char *at = list;

	for (; at != NULL && (at = strstr(at, word)) != NULL; at += len)
		if (at[len] == '\0' || at[len] == ',')
			return true;
	return false;
}

static int
check_options(struct checker *c)
{
	static const char *const barred[] = { "OP_NO_TLSv1", "OP_NO_TLSv1_1", "OP_NO_TLSv1_2", "OP_NO_TLSv1_3" };
	unsigned low = policy_value_version(c->at[POLICY_KEY_MINIMUM_VERSION].value);
	unsigned high = policy_value_version(c->at[POLICY_KEY_MAXIMUM_VERSION].value), version;

	for (version = low; version <= (high != 0 ? high : 4); version++)
		if (!lists(c->at[POLICY_KEY_OPTIONS].value, barred[version - 1]))
			return 0;
	return blame(c, POLICY_KEY_OPTIONS, "options forbid every version between the bounds, expected one to be left");
}

static int
check_client(struct checker *c)
{
	bool blind = is(c, POLICY_KEY_CERT_REQS, "none");

	if (c->rule->role != POLICY_CLIENT)
		return 0;
	if (blind && c->at[POLICY_KEY_CHECK_HOSTNAME].level == OWN && is(c, POLICY_KEY_CHECK_HOSTNAME, "yes"))
		return blame(
		    c, POLICY_KEY_CHECK_HOSTNAME, "check_hostname = yes with cert_reqs = none, expected cert_reqs = required");
	if (is(c, POLICY_KEY_INSECURE, "yes"))
		return 0;
	if (blind)
		return blame(
		    c, POLICY_KEY_CERT_REQS, "cert_reqs = none on a client needs insecure = yes, expected that or required");
	if (is(c, POLICY_KEY_CHECK_HOSTNAME, "no"))
		return blame(c, POLICY_KEY_CHECK_HOSTNAME, "check_hostname = no needs insecure = yes, expected that or yes");
	return 0;
}

static int
check_server(struct checker *c)
{
	if (c->rule->role != POLICY_SERVER)
		return 0;
	if (c->at[POLICY_KEY_CERTFILE].value == NULL)
		return blame(c, POLICY_KEY_CERTFILE, "no certificate, expected certfile = FILE in every server rule that wraps");
	if (!is(c, POLICY_KEY_CERT_REQS, "none") && c->at[POLICY_KEY_CA_CERTS].value == NULL &&
	    c->at[POLICY_KEY_CAPATH].value == NULL)
		return blame(c, POLICY_KEY_CERT_REQS,
		    "a server that asks for certificates must say whose, expected ca_certs or capath in this rule");
	return 0;
}

static int
check_judgements(struct checker *c)
{
	bool required = is(c, POLICY_KEY_CERT_REQS, "required"), none = is(c, POLICY_KEY_CERT_REQS, "none");
	bool alone = none && c->rule->role == POLICY_CLIENT;
	size_t i;

	for (i = 0; i < 2; i++)
		if (none && c->at[judgements[i]].value != NULL)
			return blame(c, judgements[i], "CRLs are for certificates that are verified, expected cert_reqs = required");
	if (c->at[POLICY_KEY_CRL_CHECK].value != NULL && c->at[POLICY_KEY_CRLFILE].value == NULL &&
	    c->at[POLICY_KEY_CAPATH].value == NULL)
		return blame(c, POLICY_KEY_CRL_CHECK, "crl_check without CRLs, expected crlfile, or capath with CRLs in it");
	if (c->at[POLICY_KEY_PIN].value != NULL && !required && !alone)
		return blame(c, POLICY_KEY_PIN, "pin is for a certificate that must be there, expected cert_reqs = required");
	if (c->at[POLICY_KEY_ALLOW].value != NULL && !required)
		return blame(c, POLICY_KEY_ALLOW, "allow is for a certificate that must be there, expected cert_reqs = required");
	return 0;
}

static int
check_key(struct checker *c)
{
	if (c->at[POLICY_KEY_KEYFILE].value != NULL && c->at[POLICY_KEY_CERTFILE].value == NULL)
		return blame(c, POLICY_KEY_KEYFILE, "keyfile without certfile, expected the certificate that belongs to the key");
	return 0;
}

static int (*const checks[])(struct checker *) = {
	settle_versions, check_versions, check_options, check_client, check_server, check_judgements, check_key,
};

static void
add(struct policy_rule *rule, const char *key, const struct filled *f)
{
	rule->settings[rule->nsettings++] = (struct policy_setting){ key, f->value, f->line, f->column };
}

static const struct policy_entry *
find_command(const struct policy_section *section, const char *name)
{
	const struct policy_entry *e;

	for (e = section->first; e != NULL; e = e->next)
		if (e->id == POLICY_KEY_OPENSSL && policy_same(e->name, name, strlen(name)))
			return e;
	return NULL;
}

/* OpenSSL runs commands in the order given: those of [defaults] first, each with the rule's value where it has one. */
static void
add_commands(struct policy_rule *rule, const struct policy_section *defaults)
{
	const struct policy_entry *e, *own;

	for (e = defaults->first; e != NULL; e = e->next) {
		if (e->id != POLICY_KEY_OPENSSL)
			continue;
		own = find_command(&rule->section, e->name);
		if (own == NULL)
			own = e;
		add(rule, own->name, &(struct filled){ own->value, OWN, own->line, own->column });
	}
	for (e = rule->section.first; e != NULL; e = e->next)
		if (e->id == POLICY_KEY_OPENSSL && find_command(defaults, e->name) == NULL)
			add(rule, e->name, &(struct filled){ e->value, OWN, e->line, e->column });
}

static size_t
count(const struct policy_section *section)
{
	const struct policy_entry *e;
	size_t n = 0;

	for (e = section->first; e != NULL; e = e->next)
		n++;
	return n;
}

static int
settle(struct checker *c, bool wraps)
{
	static const struct policy_section nothing;
	const struct policy_section *defaults = wraps ? &c->policy->defaults : &nothing;
	size_t most = count(defaults) + count(&c->rule->section), id;

	for (id = POLICY_KEY_SSL_VERSION; id < POLICY_KEY_OPENSSL; id++)
		most += c->at[id].value != NULL;
	if ((c->rule->settings = policy_arena_take(c->policy, most, sizeof *c->rule->settings)) == NULL)
		return policy_error_memory(c->err);
	for (id = POLICY_KEY_SSL_VERSION; id < POLICY_KEY_OPENSSL; id++)
		if (c->at[id].value != NULL)
			add(c->rule, policy_keys[id].name, &c->at[id]);
	add_commands(c->rule, defaults);
	return 0;
}

static const struct policy_entry *
find(const struct policy_section *section, enum policy_key_id id)
{
	const struct policy_entry *e = section->first;

	while (e != NULL && e->id != id)
		e = e->next;
	return e;
}

/* More than quotes and escapes make of a text. */
static size_t
quoted_most(const char *text)
{
	return 2 * strlen(text) + sizeof "\"\", ";
}

static bool
long_programs(const struct policy_rule *rule)
{
	size_t most = sizeof "program = ", i;

	for (i = 0; i < rule->nprograms; i++)
		most += quoted_most(rule->programs[i]);
	return most > POLICY_LINE_MAX && policy_print_program(rule, NULL, 0) > POLICY_LINE_MAX + 1;
}

static bool
long_match(const struct policy_rule *rule)
{
	return rule->npatterns > POLICY_LINE_MAX / (POLICY_HOST_MAX + 80) && policy_print_match(rule, NULL, 0) > POLICY_LINE_MAX + 1;
}

static bool
long_setting(const struct policy_setting *s)
{
	return strlen(s->key) + sizeof " = " + quoted_most(s->value) > POLICY_LINE_MAX &&
	    policy_print_setting(s, NULL, 0) > POLICY_LINE_MAX + 1;
}

/*
 * Paths become absolute and lists get blanks: what policy_print writes has to fit the lines that policy_parse reads. Only what might not is
 * printed to see; large policies are read at the start of every program.
 */
static int
check_lines(struct checker *c)
{
	const struct policy_entry *match = find(&c->rule->section, POLICY_KEY_MATCH);
	const struct policy_entry *program = find(&c->rule->section, POLICY_KEY_PROGRAM);
	static const char text[] = "value too long, expected at most 4096 bytes in canonical form";
	const struct policy_setting *s;

	if (long_match(c->rule))
		return policy_error_set(c->err, match->line, match->column, "%s", text);
	if (program != NULL && long_programs(c->rule))
		return policy_error_set(c->err, program->line, program->column, "%s", text);
	for (s = c->rule->settings; s < c->rule->settings + c->rule->nsettings; s++)
		if (s->line != 0 && long_setting(s))
			return policy_error_set(c->err, s->line, s->column, "%s", text);
	return 0;
}

/* A rule that does not wrap keeps only what is written in it, so that canonical text has nothing in it that does nothing. */
int
policy_check_rule(struct policy *policy, struct policy_rule *rule, struct policy_error *err)
{
	struct checker c = { .policy = policy, .rule = rule, .err = err };
	bool wraps = rule->action == POLICY_WRAP;
	size_t i;

	if (rule->npatterns == 0)
		return policy_error_set(err, rule->section.line, 1, "[%s %s] has no match, expected match = HOST:PORT",
		    role_word(&c), rule->name);
	if (wraps) {
		fill_built_in(&c);
		fill_section(&c, &policy->defaults, INHERITED);
	}
	fill_section(&c, &rule->section, OWN);
	if (wraps) {
		settle_trust(&c);
		settle_name_check(&c);
		settle_judgements(&c);
		for (i = 0; i < sizeof checks / sizeof checks[0]; i++)
			if (checks[i](&c) != 0)
				return -1;
	}
	return settle(&c, wraps) != 0 ? -1 : check_lines(&c);
}
