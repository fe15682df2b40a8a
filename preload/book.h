/*
 * book.h - the policy in force, and the configs that its rules become.
 */
#ifndef WRAPSOCK_BOOK_H
#define WRAPSOCK_BOOK_H

#include "core.h"
#include "policy.h"

struct book;

struct book *book_now(void);			/* looks at the file at most once a second; NULL = no policy was found; it stands until */
void book_done(struct book *);			/* ... this, for what book_now gave, NULL too */

static inline void
book_donep(struct book **b)
{
	book_done(*b);
}
#define BOOK_HELD __attribute__((cleanup(book_donep))) struct book *	/* to the end of the block */

const struct policy *book_policy(const struct book *);	/* NULL = there is none that can be used */
struct policy_verdict book_match(const struct book *, const struct policy_query *);	/* for this program; of a book with a policy */

/*
 * The rule's config, counted; made at its first use, and again when a file it names has changed.  NULL: the rule is void, *error =
 * EACCES, or the library cannot be had, ELIBACC; why says so.
 */
struct config *book_config(struct book *, int rule, int *error, char *why, size_t size);

void book_fork_prepare(void);
void book_fork_parent(void);
void book_fork_child(void);

#endif
