/* fork.c - a second process with our memory, by every name that libc has for making one. vfork.c has those that share it. */
#include "process.h"

#include "book.h"
#include "fdtab.h"
#include "names.h"
#include "real.h"
#include "relayed.h"

#include <errno.h>
#include <pty.h>

static int own_pid;		/* 0 before start */

/* This thread's last fork: the hooks have run before it, and none since in a child. */
static __thread bool prepared __attribute__((tls_model("initial-exec")));

/* glibc calls the hooks wherever it forks itself, in daemon and forkpty too; _Fork is the one that skips them. */

static void
fork_prepare(void)
{
	relayed_before_fork();
	fdtab_fork_prepare();
	names_fork_prepare();
	prepared = true;
}

static void
fork_parent(void)
{
	names_fork_parent();
	fdtab_fork_parent();
	book_fork_parent();
}

static void
fork_child(void)
{
	own_pid = getpid();
	prepared = false;
	fdtab_fork_child();	/* names too */
}

bool
process_foreign(void)
{
	return own_pid && own_pid != getpid();
}

void
process_start(void)
{
	own_pid = getpid();
	follow_start();
	pthread_atfork(fork_prepare, fork_parent, fork_child);
}

/* The hooks in the parent do not learn whether there is a child. */
static void
settle(bool failed)
{
	int saved = errno;

	if (failed && prepared && !process_foreign())
		fdtab_fork_failed();
	prepared = false;
	errno = saved;
}

static pid_t
bare_fork(void)
{
	int saved;
	pid_t pid;

	fork_prepare();
	pid = real._Fork();
	saved = errno;
	if (pid == 0)
		fork_child();
	else
		fork_parent();
	errno = saved;
	settle(pid < 0);
	return pid;
}

EXPORT pid_t
fork(void)
{
	pid_t pid;

	prepared = false;
	pid = real.fork();
	settle(pid < 0);
	return pid;
}
ALSO(fork, __fork);

EXPORT pid_t
_Fork(void)
{
	if (!own_pid || process_foreign())
		return real._Fork();
	return bare_fork();
}

/* libc has put other files onto 0 to 2, unseen. */
static void
forget_standard(void)
{
	int saved = errno;

	for (int fd = 0; fd <= 2; fd++)
		fdtab_forget(fd);
	errno = saved;
}

/* Returns in the child, and in the parent where there is none. */
EXPORT int
daemon(int stay, int keep)
{
	int r;

	prepared = false;
	r = real.daemon(stay, keep);
	settle(r < 0);
	if (r == 0 && !keep)
		forget_standard();
	return r;
}

EXPORT int
forkpty(int *master, char *name, const struct termios *modes, const struct winsize *size)
{
	pid_t pid;

	prepared = false;
	pid = real.forkpty(master, name, modes, size);
	settle(pid < 0);
	if (pid == 0)
		forget_standard();
	return pid;
}
