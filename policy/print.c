/* print.c - canonical text: what policy_parse reads back as the same policy. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rule.h"

struct out {
	char *buf;
	size_t size, used;
};

static void
put(struct out *out, const char *text, size_t len)
{
	size_t room = out->used < out->size ? out->size - out->used - 1 : 0;

	if (room > 0)
		memcpy(out->buf + out->used, text, len < room ? len : room);
	out->used += len;
}

static void
puts_to(struct out *out, const char *text)
{
	put(out, text, strlen(text));
}

static size_t
finish(struct out *out)
{
	if (out->size > 0)
		out->buf[out->used < out->size ? out->used : out->size - 1] = '\0';
	return out->used;
}

static bool
needs_quotes(const char *text, bool in_list)
{
	const char *c;

	if (policy_line_blank(text[0]) || policy_line_blank(text[strlen(text) - 1]) || strchr(text, '"') != NULL)
		return true;
	for (c = text; *c != '\0'; c++)
		if ((*c == '#' || *c == ';') && (c == text || policy_line_blank(c[-1])))
			return true;
	return in_list && strchr(text, ',') != NULL;
}

static void
put_value(struct out *out, const char *text, bool in_list)
{
	const char *c;

	if (!needs_quotes(text, in_list)) {
		puts_to(out, text);
		return;
	}
	puts_to(out, "\"");
	for (c = text; *c != '\0'; c++) {
		if (*c == '"' || *c == '\\')
			puts_to(out, "\\");
		put(out, c, 1);
	}
	puts_to(out, "\"");
}

static void
put_duration(struct out *out, const char *value)
{
	unsigned long ms = strtoul(value, NULL, 10);
	char text[32];

	if (ms >= 60000 && ms % 60000 == 0)
		snprintf(text, sizeof text, "%lum", ms / 60000);
	else if (ms % 1000 == 0)
		snprintf(text, sizeof text, "%lus", ms / 1000);
	else
		snprintf(text, sizeof text, "%lums", ms);
	puts_to(out, text);
}

size_t
policy_print_setting(const struct policy_setting *setting, char *buf, size_t size)
{
	const struct policy_key *key = policy_key_find(setting->key, strlen(setting->key));
	struct out out = { buf, size, 0 };

	puts_to(&out, setting->key);
	puts_to(&out, " = ");
	if (key->value == POLICY_VALUE_DURATION)
		put_duration(&out, setting->value);
	else
		put_value(&out, setting->value, false);
	puts_to(&out, "\n");
	return finish(&out);
}

size_t
policy_print_match(const struct policy_rule *rule, char *buf, size_t size)
{
	struct out out = { buf, size, 0 };
	char text[POLICY_HOST_MAX + 80];
	size_t i;

	puts_to(&out, "match = ");
	for (i = 0; i < rule->npatterns; i++) {
		policy_pattern_print(&rule->patterns[i], text, sizeof text);
		puts_to(&out, i > 0 ? ", " : "");
		puts_to(&out, text);
	}
	puts_to(&out, "\n");
	return finish(&out);
}

size_t
policy_print_program(const struct policy_rule *rule, char *buf, size_t size)
{
	struct out out = { buf, size, 0 };
	size_t i;

	if (rule->nprograms > 0)
		puts_to(&out, "program = ");
	for (i = 0; i < rule->nprograms; i++) {
		puts_to(&out, i > 0 ? ", " : "");
		put_value(&out, rule->programs[i], true);
	}
	if (rule->nprograms > 0)
		puts_to(&out, "\n");
	return finish(&out);
}

/* The parts print as snprintf does: hand each the room that is left. */
#define PART(out, function, what) \
	((out)->used += function(what, (out)->used < (out)->size ? (out)->buf + (out)->used : NULL, \
	    (out)->used < (out)->size ? (out)->size - (out)->used : 0))

static void
put_rule(struct out *out, const struct policy_rule *rule)
{
	static const char *const actions[] = {
		[POLICY_PLAIN] = "plain", [POLICY_WRAP] = "wrap", [POLICY_REFUSE] = "refuse",
	};
	size_t i;

	puts_to(out, rule->role == POLICY_CLIENT ? "\n[client " : "\n[server ");
	puts_to(out, rule->name);
	puts_to(out, "]\n");
	PART(out, policy_print_match, rule);
	PART(out, policy_print_program, rule);
	puts_to(out, "action = ");
	puts_to(out, actions[rule->action]);
	puts_to(out, "\n");
	for (i = 0; i < rule->nsettings; i++)
		PART(out, policy_print_setting, &rule->settings[i]);
}

size_t
policy_print(const struct policy *policy, char *buf, size_t size)
{
	struct out out = { buf, size, 0 };
	int i;

	puts_to(&out, "[defaults]\nunmatched = ");
	puts_to(&out, policy->refuse ? "refuse\n" : "plain\n");
	for (i = 0; i < policy->nrules; i++)
		put_rule(&out, &policy->rules[i]);
	return finish(&out);
}
