/*
 * rights.c - calls by which a process gives up rights: files and libraries that we need later are loaded before.
 */
#include "rights.h"

#include "decide.h"
#include "fdlife.h"
#include "process.h"
#include "real.h"

#include <sys/prctl.h>

static __thread bool loading __attribute__((tls_model("initial-exec")));	/* what we load may call these functions too */
static _Atomic bool caged;

/* A vfork child gives up its own rights only, and its memory is another process's. */
static void
load(void (*what)(void))
{
	int saved = errno;

	if (loading || process_foreign() || !(decide_clients() || decide_servers()))
		return;
	loading = true;
	what();
	loading = false;
	errno = saved;
}

void
rights_before_user(void)
{
	load(decide_load_keys);
}

void
rights_before_cage(void)
{
	load(decide_load_all);
}

void
rights_caged(void)
{
	if (!process_foreign())
		caged = true;
}

bool
rights_in_cage(void)
{
	return caged;
}

EXPORT int
chroot(const char *path)
{
	int r;

	rights_before_cage();
	r = real.chroot(path);
	if (r == 0)
		rights_caged();
	return r;
}

EXPORT int
unshare(int flags)
{
	int r;

	if (flags & CLONE_FILES && !fdlife_may_part("unshare", false))
		return (int)answer(-EACCES);
	rights_before_cage();
	r = real.unshare(flags);
	if (r == 0)
		rights_caged();
	return r;
}

EXPORT int
prctl(int option, ...)
{
	unsigned long a[4];
	va_list ap;

	va_start(ap, option);
	for (int i = 0; i < 4; i++)
		a[i] = va_arg(ap, unsigned long);
	va_end(ap);
	if (option == PR_SET_SECCOMP)
		rights_before_cage();
	return real.prctl(option, a[0], a[1], a[2], a[3]);
}

EXPORT int
setuid(uid_t uid)
{
	rights_before_user();
	return real.setuid(uid);
}

EXPORT int
setgid(gid_t gid)
{
	rights_before_user();
	return real.setgid(gid);
}

EXPORT int
setreuid(uid_t ruid, uid_t euid)
{
	rights_before_user();
	return real.setreuid(ruid, euid);
}

EXPORT int
setregid(gid_t rgid, gid_t egid)
{
	rights_before_user();
	return real.setregid(rgid, egid);
}

EXPORT int
setresuid(uid_t ruid, uid_t euid, uid_t suid)
{
	rights_before_user();
	return real.setresuid(ruid, euid, suid);
}

EXPORT int
setresgid(gid_t rgid, gid_t egid, gid_t sgid)
{
	rights_before_user();
	return real.setresgid(rgid, egid, sgid);
}

EXPORT int
seteuid(uid_t uid)
{
	rights_before_user();
	return real.seteuid(uid);
}

EXPORT int
setegid(gid_t gid)
{
	rights_before_user();
	return real.setegid(gid);
}
