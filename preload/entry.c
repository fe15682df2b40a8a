/* entry.c - a rule's config follows the files that it names. */
#include "entry.h"

#include "decide.h"
#include "real.h"
#include "rights.h"
#include "stamp.h"

#include "log.h"
#include "stack.h"

#include <sys/prctl.h>

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Loads the library and parses files: more than a small thread's stack may hold. */
struct renewal {
	struct entry *entry;
	const struct policy *policy;
	int rule;
	const char *path;
	struct stamp files;
};

static struct stamp
files_of(const struct policy *p, int rule)
{
	static const char *const keys[] = { "certfile", "keyfile", "ca_certs", "capath", "crlfile", "password_file", "ticket_keys" };
	struct stamp s = { 0 };

	for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
		const char *file = policy_rule_setting(p, rule, keys[i]);

		if (file && *file == '/')
			stamp_add(&s, file);
	}
	return s;
}

/* True if text is news: the same is not told twice. NULL = all is well. */
static bool
news(char **told, const char *text)
{
	char *before = *told;
	bool same = text && before ? strcmp(text, before) == 0 : !text && !before;

	if (same)
		return false;
	*told = text ? strdup(text) : NULL;
	free(before);
	return true;
}

static const char *
place_of(const struct renewal *r, char *buf, size_t size)
{
	snprintf(buf, size, "rule %s (%s:%u)", policy_rule_name(r->policy, r->rule), r->path, policy_rule_line(r->policy, r->rule));
	return buf;
}

static struct config *
make_config(const struct renewal *r, const char *place, char *err, size_t size)
{
	const struct core_verbs *verbs = engine_verbs();
	const struct policy_setting *set;
	char warn[300] = "";
	struct config *c;
	size_t n;

	if (!verbs)
		return NULL;
	c = verbs->config_new(policy_rule_role(r->policy, r->rule) == POLICY_CLIENT ? CONFIG_CLIENT : CONFIG_SERVER);
	if (!c || verbs->config_set_place(c, place) < 0)
		goto err;
	set = policy_rule_settings(r->policy, r->rule, &n);
	for (size_t i = 0; i < n; i++)
		if (verbs->config_set(c, set[i].key, set[i].value, err, size) < 0)
			goto err;
	if (verbs->config_seal(c, err, size, warn, sizeof warn) < 0)
		goto err;
	if (news(&r->entry->remark, *warn ? warn : NULL) && *warn)
		log_line(LOG_LEVEL_WARN, "%s: %s", place, warn);
	return c;
err:
	verbs->config_free(c);
	return NULL;
}

/* Each time, for programs may permit it again. */
static void
hide(const struct policy *p, int rule)
{
	const char *word = policy_rule_setting(p, rule, "core_dumps");

	if (word && strcmp(word, "no") == 0 && real.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		log_line(LOG_LEVEL_WARN, "core_dumps = no cannot be kept: %m");
}

static void
use(struct entry *e, struct config *c, const char *place)
{
	struct config *old = e->config;
	bool mended = e->fault || e->broken;

	news(&e->fault, NULL);
	news(&e->broken, NULL);
	e->config = c;
	if (mended)
		log_line(LOG_LEVEL_WARN, "%s: its files can be used again, and are from now on", place);
	else if (old)
		log_line(LOG_LEVEL_INFO, "%s: its files have changed, and are used from now on", place);
	if (old)
		core->config_free(old);
}

static void
renew(void *arg)
{
	const struct renewal *r = arg;
	struct entry *e = r->entry;
	char err[600] = "out of memory", place[PATH_MAX + 128];
	struct config *c = make_config(r, place_of(r, place, sizeof place), err, sizeof err);

	if (!c && !engine_verbs())
		return;
	if (e->config && files_of(r->policy, r->rule).sum != r->files.sum) {	/* changed under our hands: the next look takes them */
		if (c)
			core->config_free(c);
		return;
	}
	e->files = r->files.fresh ? 0 : r->files.sum;
	if (c)
		use(e, c, place);
	else if (e->config && news(&e->fault, err))
		log_line(LOG_LEVEL_WARN, "%s: the changed files are not used, those before stay in force: %s", place, err);
	else if (!e->config && news(&e->broken, err))
		log_line(LOG_LEVEL_ERROR, "%s refuses its sockets (EACCES): %s", place, err);
}

/* Gone twice in a row: somebody who replaces a file may remove it first. In a cage all paths may be gone, or other ones. */
static void
miss(const struct renewal *r)
{
	struct entry *e = r->entry;
	char text[PATH_MAX + 32], place[PATH_MAX + 128];

	if (!e->config || rights_in_cage() || ++e->gone < 2)
		return;
	snprintf(text, sizeof text, "%s is gone", r->files.missing);
	e->files = 0;
	if (news(&e->fault, text))
		log_line(LOG_LEVEL_WARN, "%s: %s; what was read from it stays in force", place_of(r, place, sizeof place), text);
}

/* Once a second, and only what has been left alone for a second. */
static bool
outdated(struct renewal *r, time_t now)
{
	struct entry *e = r->entry;
	bool first = !e->config && !e->broken;

	if (!first && e->looked == now)
		return false;
	e->looked = now;
	r->files = files_of(r->policy, r->rule);
	if (first)
		return true;
	if (r->files.hidden)
		return false;
	if (r->files.missing) {
		miss(r);
		return false;
	}
	e->gone = 0;
	return !r->files.busy && r->files.sum != e->files && r->files.sum;
}

struct config *
entry_config(struct entry *e, const struct policy *p, int rule, const char *path, time_t now)
{
	struct renewal r = { .entry = e, .policy = p, .rule = rule, .path = path };

	hide(p, rule);
	if (outdated(&r, now))
		stack_run(renew, &r);
	return e->config;
}

void
entry_inherit(struct entry *e, const struct entry *from, bool same_place)
{
	if (!from->config && !from->broken)
		return;
	*e = (struct entry){ .config = from->config ? core->config_ref(from->config) : NULL, .files = same_place ? from->files : 0,
		.looked = from->looked };
	e->broken = from->broken ? strdup(from->broken) : NULL;
	e->fault = from->fault ? strdup(from->fault) : NULL;
	e->remark = from->remark ? strdup(from->remark) : NULL;
}

void
entry_free(struct entry *e)
{
	if (e->config)
		core->config_free(e->config);
	free(e->broken);
	free(e->fault);
	free(e->remark);
	*e = (struct entry){ 0 };
}
