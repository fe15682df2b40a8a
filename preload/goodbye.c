/*
 * goodbye.c - connections that close with an exec: the peer is told, as it would be by a close.
 *
 * Whether the exec will succeed can only be guessed, and there is no later moment.  So it is asked whether there is a program to
 * run; an exec that fails none the less has ended those connections for writing.
 */
#include "goodbye.h"

#include "real.h"
#include "sock.h"

#include "log.h"
#include "raw.h"

#include <sys/stat.h>

#include <limits.h>
#include <string.h>

static bool
program_at(int dirfd, const char *path, int flags)
{
	struct stat st;

	return raw_syscall(SYS_newfstatat, dirfd, (long)path, (long)&st, flags, 0, 0) == 0 && S_ISREG(st.st_mode) &&
	       (*path ? raw_syscall(SYS_faccessat, dirfd, (long)path, X_OK, 0, 0, 0) == 0 : (st.st_mode & 0111) != 0);
}

static bool
program_in_path(const char *name)
{
	const char *at = getenv("PATH");
	char file[PATH_MAX];

	for (at = at ? at : "/bin:/usr/bin"; at; at = strchr(at, ':') ? strchr(at, ':') + 1 : NULL) {
		size_t len = strcspn(at, ":");

		if (len + 1 + strlen(name) + 1 > sizeof file)
			continue;
		memcpy(file, at, len);
		strcpy(file + len, len ? "/" : "");
		strcat(file, name);
		if (program_at(AT_FDCWD, file, 0))
			return true;
	}
	return false;
}

struct goodbye {
	enum { COUNT, SAY, SHUT } what;
	int ends;		/* numbers of connections that end here */
};

static void
say_one(int fd, struct sock *unheld, void *arg)
{
	HOLD s = unheld->phase == SOCK_WRAPPED && !sock_foreign(unheld) ? fdtab_hold_wrapped(fd) : NULL;
	struct goodbye *g = arg;

	if (!s || core->conn_state(s->conn) != CONN_OPEN || sock_cookie(fd) != s->cookie || !core->conn_sole(s->conn))
		return;
	g->ends++;
	if (g->what == SAY)
		core->conn_finish(s->conn, fd);
	else if (g->what == SHUT)
		core->conn_shutdown(s->conn, fd, SHUT_WR);	/* nothing may follow our farewell */
}

static int
each(int what)
{
	struct goodbye g = { what, 0 };

	fdtab_each(say_one, &g);
	return g.ends;
}

int
goodbye_at_exec(int dirfd, const char *path, int flags, bool search)
{
	int saved = errno, ends = each(COUNT);

	flags &= AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW;
	if (ends)
		ends = (search && !strchr(path, '/') ? program_in_path(path) : program_at(dirfd, path, flags)) ? each(SAY) : 0;
	errno = saved;
	return ends;
}

void
goodbye_in_vain(void)
{
	int saved = errno;

	log_line(LOG_LEVEL_WARN, "exec failed (%s): %d wrapped descriptors that it was to close are shut for writing", strerror(saved), each(SHUT));
	errno = saved;
}
