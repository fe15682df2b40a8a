/*
 * share.h - one connection in several processes after fork: who may read, who may write, who closes last.
 *
 * Costs nothing until the process forks: share_prepare puts the claims of a connection into memory that parent and child share.
 */
#ifndef WRAPSOCK_SHARE_H
#define WRAPSOCK_SHARE_H

#include <stdbool.h>
#include <stdint.h>

struct share_claim;
struct share_owners;
struct page;

struct share {
	struct share_claim *claim[2];		/* per direction; NULL = never shared */
	struct share_owners *owners;		/* NULL = this process alone */
	struct page *page[3];			/* where these three live */
	int pid;				/* the process that this memory belongs to */
};

void share_init(struct share *);
void share_free(struct share *);
bool share_prepare(struct share *);		/* before fork; false = no memory: the child must not use the connection */
void share_child(struct share *);		/* in the child */
void share_childless(struct share *);		/* in the parent, if the fork failed */
bool share_take(struct share *, int direction);	/* may this process use it? the first to ask owns it */
bool share_mine(const struct share *, int direction);	/* ours, or unshared; does not take it */
bool share_owned(const struct share *, int direction);	/* ours for certain, or unshared */
void share_give(struct share *);		/* no process uses it ever again */
bool share_last(const struct share *);		/* nobody else alive holds the connection */
bool share_leave(struct share *);		/* true = nobody else alive holds the connection */
void share_return(struct share *);		/* after share_leave: this process is an owner again */
bool share_here(const struct share *);		/* false in a vfork or bare-clone child, which must not touch the connection */

#endif
