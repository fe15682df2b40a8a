/*
 * share.c - claims and owners in shared anonymous pages.
 *
 * A direction that nobody has used since the fork belongs to whoever uses it first: until then the copies are equal.  A fork of the process
 * that has claimed it begins a fresh claim for parent and child; the older relatives keep seeing the old one as taken.
 */
#include "share.h"

#include "raw.h"

#include <sys/mman.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define OWNERS 14			/* more processes than that: nobody is known to be the last */
#define PAGE_CELLS 256

struct share_claim {
	uint64_t owner;		/* 0 = free */
};

struct share_owners {
	uint64_t who[OWNERS];	/* process ids with their start time, see identity() */
	bool crowded;
	int coming;		/* children between fork and share_child: owners that cannot say so yet */
};

union cell {
	struct share_claim claim;
	struct share_owners owners;
};

/* Cells of one mapping; the count is this process's own, so that each process unmaps on its own account. */
struct page {
	union cell *cells;
	size_t used, live;
};

static struct page *page;		/* touched by the forking thread and by share_free, under `pages` */
static pthread_mutex_t pages = PTHREAD_MUTEX_INITIALIZER;
static uint64_t self;			/* identity of this process, 0 = not asked */

enum { UNKNOWN = 1 };		/* also as a start time */

/* pid in the high half, start time in clock ticks below: a recycled pid is another process. 0 = it is gone; UNKNOWN as after EMFILE. */
static uint64_t
identity(int pid)
{
	char path[32], buf[512], *p;
	long n, fd;
	unsigned long long start = 0;

	snprintf(path, sizeof path, "/proc/%d/stat", pid);
	fd = raw_syscall(SYS_openat, AT_FDCWD, (long)path, O_RDONLY | O_CLOEXEC, 0, 0, 0);
	if (fd < 0)
		return fd == -ENOENT ? 0 : UNKNOWN;
	n = raw_syscall(SYS_read, fd, (long)buf, sizeof buf - 1, 0, 0, 0);
	raw_syscall(SYS_close, fd, 0, 0, 0, 0, 0);
	if (n <= 0)
		return 0;
	buf[n] = '\0';
	p = strrchr(buf, ')');		/* the name may contain anything */
	if (!p || p[1] != ' ' || p[2] == 'Z' || p[2] == 'X')
		return 0;
	p++;			/* before the third field */
	for (int field = 3; field < 22 && p; field++)
		p = strchr(p + 1, ' ');
	if (!p || sscanf(p, "%llu", &start) != 1)
		return 0;
	return (uint64_t)pid << 32 | (uint32_t)start;
}

static uint64_t
me(void)
{
	if (!self) {
		self = identity(getpid());
		if (self <= UNKNOWN)	/* the pid alone, as without /proc */
			self = (uint64_t)getpid() << 32 | UNKNOWN;
	}
	return self;
}

static bool
lives(uint64_t who)
{
	int pid = (int)(who >> 32);
	uint64_t now = (uint32_t)who == UNKNOWN ? UNKNOWN : identity(pid);

	return now == UNKNOWN ? raw_syscall(SYS_kill, pid, 0, 0, 0, 0, 0) != -ESRCH : now == who;
}

/*
 * Thousands of connections have the same relatives, and are asked about in one go: an answer is good for the clock's tick, and
 * death for ever.
 */
static bool
lives_now(uint64_t who)
{
	static _Atomic uint64_t known, dead;
	static _Atomic int64_t when;
	struct timespec ts;
	int64_t now;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
	now = (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
	if (who == dead)
		return false;
	if (known == who && when == now)
		return true;
	if (!lives(who)) {
		if ((uint32_t)who != UNKNOWN)
			dead = who;
		return false;
	}
	when = 0;
	known = who;
	when = now;
	return true;
}

static void
page_drop(struct page *p)
{
	if (!p || --p->live || p == page)
		return;
	munmap(p->cells, PAGE_CELLS * sizeof(union cell));
	free(p);
}

static bool
page_new(void)
{
	struct page *p = calloc(1, sizeof *p), *before = page;

	if (!p)
		return false;
	p->cells = mmap(NULL, PAGE_CELLS * sizeof(union cell), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (p->cells == MAP_FAILED) {
		free(p);
		return false;
	}
	page = p;
	if (before) {
		before->live++;
		page_drop(before);	/* unmapped now if nothing lives in it */
	}
	return true;
}

static void *
cell_new(struct page **home)
{
	if ((!page || page->used == PAGE_CELLS) && !page_new())
		return NULL;
	page->live++;
	page_drop(*home);
	*home = page;
	return &page->cells[page->used++];
}

void
share_init(struct share *s)
{
	memset(s, 0, sizeof *s);
	s->pid = getpid();
}

void
share_free(struct share *s)
{
	pthread_mutex_lock(&pages);
	for (int i = 0; i < 3; i++)
		page_drop(s->page[i]);
	pthread_mutex_unlock(&pages);
	memset(s, 0, sizeof *s);
}

bool
share_prepare(struct share *s)
{
	bool ok = true;

	pthread_mutex_lock(&pages);
	if (!s->owners) {
		s->owners = cell_new(&s->page[2]);
		if (s->owners)
			s->owners->who[0] = me();
		else
			ok = false;
	}
	if (ok)
		__atomic_add_fetch(&s->owners->coming, 1, __ATOMIC_SEQ_CST);
	for (int d = 0; d < 2 && ok; d++) {
		struct share_claim *c = s->claim[d];

		if (c && c->owner != me())	/* free: shared with the child too; another's: lost to both */
			continue;
		c = cell_new(&s->page[d]);
		if (c)
			s->claim[d] = c;
		else
			ok = false;
	}
	pthread_mutex_unlock(&pages);
	return ok;
}

static void
enlist(struct share_owners *o)
{
	for (int i = 0; i < OWNERS; i++)
		if (o->who[i] == me())
			return;
	for (int i = 0; i < OWNERS; i++) {
		uint64_t there = o->who[i];

		while (!there || !lives_now(there))
			if (__atomic_compare_exchange_n(&o->who[i], &there, me(), false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
				return;
	}
	o->crowded = true;
}

void
share_child(struct share *s)
{
	s->pid = getpid();
	self = 0;
	if (page && page->live) {	/* the rest of it is the parent's to fill */
		page = NULL;
		pthread_mutex_init(&pages, NULL);
	}
	if (!s->owners)
		return;
	enlist(s->owners);
	__atomic_sub_fetch(&s->owners->coming, 1, __ATOMIC_SEQ_CST);
}

void
share_childless(struct share *s)
{
	if (s->owners)
		__atomic_sub_fetch(&s->owners->coming, 1, __ATOMIC_SEQ_CST);
}

bool
share_take(struct share *s, int direction)
{
	struct share_claim *c = s->claim[direction];
	uint64_t none = 0;

	if (!c || c->owner == me())
		return true;
	return __atomic_compare_exchange_n(&c->owner, &none, me(), false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

bool
share_mine(const struct share *s, int direction)
{
	const struct share_claim *c = s->claim[direction];

	return !c || !c->owner || c->owner == me();
}

bool
share_owned(const struct share *s, int direction)
{
	const struct share_claim *c = s->claim[direction];

	return !c || c->owner == me();
}

void
share_give(struct share *s)
{
	for (int d = 0; d < 2; d++)
		if (s->claim[d])
			__atomic_store_n(&s->claim[d]->owner, UINT64_MAX, __ATOMIC_SEQ_CST);
}

bool
share_last(const struct share *s)
{
	if (!s->owners)
		return true;
	if (__atomic_load_n(&s->owners->coming, __ATOMIC_SEQ_CST) || s->owners->crowded)
		return false;
	for (int i = 0; i < OWNERS; i++) {
		uint64_t there = __atomic_load_n(&s->owners->who[i], __ATOMIC_SEQ_CST);

		if (there && there != me() && lives_now(there))
			return false;
	}
	return true;
}

/* Out of the list first: of two that leave at once, one at least finds itself alone. If both do, the claims decide who speaks. */
bool
share_leave(struct share *s)
{
	for (int i = 0; i < OWNERS && s->owners; i++)
		if (s->owners->who[i] == me())
			__atomic_store_n(&s->owners->who[i], 0, __ATOMIC_SEQ_CST);
	return share_last(s);
}

void
share_return(struct share *s)
{
	if (s->owners)
		enlist(s->owners);
}

bool
share_here(const struct share *s)
{
	return s->pid == getpid();
}
