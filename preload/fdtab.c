/* fdtab.c - the table, and the life of a socket of ours. */
#include "fdtab.h"

#include "book.h"
#include "decide.h"
#include "watch.h"
#include "names.h"
#include "real.h"
#include "sock.h"
#include "vfork.h"

#include "log.h"
#include "raw.h"

#include <sys/mman.h>

#include <limits.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#ifndef TABLE_MOST
#define TABLE_MOST (1u << 20)
#endif
#define CLOEXEC_BIT ((uintptr_t)1)
#define MEANT_BIT ((uintptr_t)2)

_Atomic uintptr_t *fdtab_slots;
unsigned fdtab_size;

/* Guards the list of live sockets and the free list; a leaf lock, never held while calling out. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct sock *live, *spare;
static int owner_pid;
static _Atomic unsigned top;	/* highest number ever bound: walks end there */

/*
 * Reserved for as many as fs.nr_open usually allows, whatever the limit says today: limits rise later, and looking would cost every
 * program's start.  Of a huge page it would touch a corner.
 */
void
fdtab_start(void)
{
	size_t size = TABLE_MOST * sizeof *fdtab_slots;
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	owner_pid = getpid();
	if (p == MAP_FAILED)
		return;			/* size stays 0: nothing can be bound, so everything that policy wraps is refused */
	madvise(p, size, MADV_NOHUGEPAGE);
	fdtab_slots = p;
	fdtab_size = TABLE_MOST;
}

static struct sock *
sock_of(uintptr_t slot)
{
	return (struct sock *)(slot & ~(CLOEXEC_BIT | MEANT_BIT));
}

struct sock *
fdtab_hold(int fd)
{
	for (;;) {
		struct sock *s;
		int refs;

		if ((unsigned)fd >= fdtab_size || !(s = sock_of(fdtab_slots[fd])))
			return NULL;
		refs = s->refs;
		while (refs > 0 && !atomic_compare_exchange_weak(&s->refs, &refs, refs + 1))
			;
		if (refs <= 0)
			continue;	/* being dropped: the slot has changed, or is about to */
		if (sock_of(fdtab_slots[fd]) == s)
			return s;
		fdtab_put(s);
	}
}

struct sock *
fdtab_hold_wrapped(int fd)
{
	struct sock *s = fdtab_hold(fd);

	if (s && s->phase != SOCK_WRAPPED && (s->phase != SOCK_PLANNED || !sock_late(s, fd))) {
		fdtab_put(s);
		return NULL;
	}
	return s;
}

static void
unlink_live(struct sock *s)
{
	*s->back = s->next;
	if (s->next)
		s->next->back = s->back;
}

void
fdtab_put(struct sock *s)
{
	struct conn *conn;

	if (!s || atomic_fetch_sub(&s->refs, 1) > 1)
		return;
	watch_forget(s);
	conn = s->conn;
	s->conn = NULL;
	pthread_mutex_lock(&lock);
	unlink_live(s);
	s->next = spare;
	spare = s;
	pthread_mutex_unlock(&lock);
	if (conn)
		core->conn_free(conn);
}

struct sock *
sock_new(int domain)
{
	struct sock *s;

	pthread_mutex_lock(&lock);
	s = spare;
	if (s)
		spare = s->next;
	else
		s = calloc(1, sizeof *s);
	if (s && !live)
		vfork_start();
	if (s) {
		s->phase = SOCK_PLANNED;
		s->conn = NULL;
		s->watches = NULL;
		s->unsteady = false;
		s->edges = true;
		s->domain = domain;
		s->pid = getpid();
		s->route = ROUTE_AUTO;
		s->nodelay = 0;
		s->turner = 0;
		s->told = s->client = s->cut = s->escaped = false;
		s->next = live;
		s->back = &live;
		if (live)
			live->back = &s->next;
		live = s;
		s->refs = 1;
	}
	pthread_mutex_unlock(&lock);
	return s;
}

/* A vfork child uses its parent's table: what happens to the child's numbers is nothing to the parent's connections. */
static bool
anothers(const struct sock *s)
{
	return s && sock_foreign(s) && !vfork_copied();
}

bool
fdtab_bind(int fd, struct sock *s, bool cloexec)
{
	struct sock *before;

	if ((unsigned)fd >= fdtab_size || anothers(sock_of(fdtab_slots[fd])))
		return false;
	s->refs++;
	for (unsigned t = top; (unsigned)fd > t && !atomic_compare_exchange_weak(&top, &t, (unsigned)fd);)
		;
	before = sock_of(atomic_exchange(&fdtab_slots[fd], (uintptr_t)s | (cloexec ? CLOEXEC_BIT : 0)));
	fdtab_put(before);
	return true;
}

void
fdtab_forget(int fd)
{
	if ((unsigned)fd < fdtab_size && fdtab_slots[fd] && !anothers(sock_of(fdtab_slots[fd])))
		fdtab_put(sock_of(atomic_exchange(&fdtab_slots[fd], 0)));
}

/* More references than ours mean another number, or a call under way in another thread, which the core wakes. */
static bool
other_number(int fd, const struct sock *s)
{
	for (unsigned i = 0; i <= top; i++)
		if ((int)i != fd && sock_of(fdtab_slots[i]) == s)
			return true;
	return false;
}

void
fdtab_close(int fd)
{
	HOLD s = fdtab_hold(fd);

	if (!s)
		return;
	if (sock_foreign(s))
		return;			/* a vfork child closes its own copy; the table is the parent's */
	watch_closed(s, fd);
	/* libc may have closed the number behind our back and given it out again: nothing of ours goes to another file */
	if (s->phase == SOCK_WRAPPED && sock_cookie(fd) == s->cookie && !(s->refs > 2 && other_number(fd, s)))
		core->conn_close(s->conn, fd, core->conn_last(s->conn));
	fdtab_forget(fd);
}

bool
fdtab_cloexec(int fd)
{
	return (unsigned)fd < fdtab_size && fdtab_slots[fd] & CLOEXEC_BIT;
}

void
fdtab_set_cloexec(int fd, bool on)
{
	if ((unsigned)fd >= fdtab_size || !fdtab_slots[fd])
		return;
	if (on)
		atomic_fetch_or(&fdtab_slots[fd], CLOEXEC_BIT);
	else
		atomic_fetch_and(&fdtab_slots[fd], ~CLOEXEC_BIT);
}

bool
fdtab_meant(int fd)
{
	return (unsigned)fd < fdtab_size && fdtab_slots[fd] & MEANT_BIT;
}

void
fdtab_set_meant(int fd)
{
	if ((unsigned)fd < fdtab_size && fdtab_slots[fd])
		atomic_fetch_or(&fdtab_slots[fd], MEANT_BIT);
}

bool
fdtab_holds(int fd, const struct conn *conn)
{
	struct sock *s = (unsigned)fd < fdtab_size ? sock_of(fdtab_slots[fd]) : NULL;

	return s && s->conn == conn;
}

void
fdtab_each(void (*call)(int fd, struct sock *, void *arg), void *arg)
{
	unsigned end = live ? top + 1 : 0;

	for (unsigned i = 0; i < end; i++)
		if (fdtab_slots[i])
			call((int)i, sock_of(fdtab_slots[i]), arg);
}

void
fdtab_fork_prepare(void)
{
	pthread_mutex_lock(&lock);
	for (struct sock *s = live; s; s = s->next)
		if (s->conn)
			core->conn_fork_prepare(s->conn);
}

void
fdtab_fork_parent(void)
{
	pthread_mutex_unlock(&lock);
}

void
fdtab_fork_failed(void)
{
	pthread_mutex_lock(&lock);
	for (struct sock *s = live; s; s = s->next)
		if (s->conn)
			core->conn_fork_failed(s->conn);
	pthread_mutex_unlock(&lock);
}

void
fdtab_fork_child(void)
{
	pthread_mutex_init(&lock, NULL);
	owner_pid = getpid();
	vfork_fork_child();
	for (struct sock *s = live; s; s = s->next) {
		s->pid = owner_pid;
		s->turner = 0;		/* a thread that is not here */
		if (s->conn)
			core->conn_fork_child(s->conn);
	}
	book_fork_child();
	names_fork_child();
	watch_fork_child();
}

bool
sock_foreign(const struct sock *s)
{
	return !vfork_certain() && s->pid != getpid();
}
