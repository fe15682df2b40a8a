/*
 * actions.c - what posix_spawn's file actions will do with our descriptors.
 *
 * The child's dup2 happens inside libc and clears close-on-exec: the wire itself would be the new program's, so the relay takes it
 * before.  Actions may be recorded long before a socket is connected, so they are read when they are used.  Their layout is glibc's
 * own (posix/spawn_int.h), the same since 2.29; a sample made by libc's functions has to read as it was made, or else nothing is
 * spawned with actions beside a wrapped descriptor.
 */
#include "actions.h"

#include "fdtab.h"
#include "real.h"
#include "relayed.h"

#include "log.h"

#include <stdatomic.h>

struct action {
	enum { CLOSE, DUP2, OPEN, CHDIR, FCHDIR, CLOSEFROM } tag;
	union {
		struct {
			int fd, newfd;
		} dup2;
		int fd;
		struct {
			int fd;
			char *path;
			int oflag;
			mode_t mode;
		} open;
	} of;
};

static const struct action *
list_of(const posix_spawn_file_actions_t *actions)
{
	return (const void *)actions->__actions;
}

static bool
reads_well(const posix_spawn_file_actions_t *sample)
{
	const struct action *a = list_of(sample);

	return sample->__used == 4 && a[0].tag == CLOSE && a[0].of.fd == 101 && a[1].tag == DUP2 && a[1].of.dup2.fd == 102 &&
	       a[1].of.dup2.newfd == 103 && a[2].tag == OPEN && a[2].of.open.fd == 104 && a[3].tag == CLOSEFROM && a[3].of.fd == 105;
}

static bool
sample_reads_well(void)
{
	posix_spawn_file_actions_t sample;
	bool well = posix_spawn_file_actions_init(&sample) == 0;

	if (!well)
		return false;
	well = posix_spawn_file_actions_addclose(&sample, 101) == 0 && posix_spawn_file_actions_adddup2(&sample, 102, 103) == 0 &&
	       posix_spawn_file_actions_addopen(&sample, 104, "/", O_RDONLY, 0) == 0 &&
	       posix_spawn_file_actions_addclosefrom_np(&sample, 105) == 0 && reads_well(&sample);
	posix_spawn_file_actions_destroy(&sample);
	return well;
}

static bool
readable(void)
{
	static _Atomic int known;	/* 1 = yes, -1 = no */

	if (!known)
		known = sample_reads_well() ? 1 : -1;
	return known > 0;
}

/* Is this number another file, or none, before action n? */
static bool
replaced(const struct action *a, int n, int fd)
{
	for (int i = 0; i < n; i++) {
		if ((a[i].tag == CLOSE && a[i].of.fd == fd) || (a[i].tag == DUP2 && a[i].of.dup2.newfd == fd) ||
		    (a[i].tag == OPEN && a[i].of.open.fd == fd) || (a[i].tag == CLOSEFROM && a[i].of.fd <= fd))
			return true;
	}
	return false;
}

static bool
hand_over(int fd)
{
	HOLD s = fdtab_hold_wrapped(fd);

	return !s || (!sock_foreign(s) && relayed_take(s, fd) == 0);
}

static void
count_wrapped(int fd, struct sock *s, void *n)
{
	(void)fd;
	*(int *)n += s->phase == SOCK_WRAPPED;
}

bool
actions_permit(const posix_spawn_file_actions_t *actions)
{
	const struct action *a;
	int n = 0;

	fdtab_each(count_wrapped, &n);
	if (!actions || !actions->__used || !n)
		return true;
	if (!readable()) {
		log_line(LOG_LEVEL_WARN, "file actions of this libc cannot be read: posix_spawn beside a wrapped descriptor is refused with EACCES");
		return false;
	}
	a = list_of(actions);
	for (int i = 0; i < actions->__used; i++) {
		if (a[i].tag == DUP2 && !replaced(a, i, a[i].of.dup2.fd) && !hand_over(a[i].of.dup2.fd))
			return false;
	}
	return true;
}
