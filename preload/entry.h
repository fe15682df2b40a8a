/*
 * entry.h - what has become of one rule of the policy: its config, made at first use, and again when a file that it names has changed.
 * Private to the book, whose lock guards it.
 */
#ifndef WRAPSOCK_ENTRY_H
#define WRAPSOCK_ENTRY_H

#include "core.h"
#include "policy.h"

#include <time.h>

struct entry {
	struct config *config;		/* NULL: none could be made yet */
	char *broken;			/* why the rule refuses; NULL if it does not */
	char *fault;			/* config serves although its files have gone wrong since: what was told of that */
	char *remark;			/* what was told of files that can be used all the same */
	uint64_t files;			/* their stamp when config or broken was made, 0 = look again */
	unsigned gone;			/* looks in a row that found one missing */
	time_t looked;
};

/* The rule's config, not counted, NULL = none: then it is broken, or the library cannot be had. path: the policy's, for the log. */
struct config *entry_config(struct entry *, const struct policy *, int rule, const char *path, time_t now);

/* A new policy has the same rule: it begins with what the old one had. same_place: at the same line, too. */
void entry_inherit(struct entry *, const struct entry *from, bool same_place);
void entry_free(struct entry *);

#endif
