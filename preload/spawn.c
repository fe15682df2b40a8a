/*
 * spawn.c - what a new program image needs: an environment in which it is wrapped as we are, and no wire in its hands.
 *
 * On the kernel's side every wrapped descriptor is close-on-exec, so nothing can leak; here the program is told, and
 * refused where closing would silently change what the new image talks to.
 */
#include "actions.h"
#include "process.h"

#include "decide.h"
#include "helper.h"
#include "real.h"
#include "relayed.h"
#include "rights.h"

#include "log.h"
#include "raw.h"

#include <sys/mman.h>
#include <sys/stat.h>

#include <dlfcn.h>
#include <elf.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum variable { PRELOAD, POLICY, LOG, LOG_FILE, RELAY, VARIABLES };

static const char *const variable_names[VARIABLES] = { "LD_PRELOAD", "WRAPSOCK_POLICY", "WRAPSOCK_LOG", "WRAPSOCK_LOG_FILE", "WRAPSOCK_RELAY" };

/* Set once at start, then only read. "" = not known, or not set. */
static char object[PATH_MAX], log_level[16], log_file[PATH_MAX];

static void
keep(char *out, size_t size, const char *value)
{
	if (value && strlen(value) < size)
		strcpy(out, value);
}

void
follow_start(void)
{
	Dl_info info;

	keep(log_level, sizeof log_level, secure_getenv("WRAPSOCK_LOG"));
	keep(log_file, sizeof log_file, secure_getenv("WRAPSOCK_LOG_FILE"));
	if (!dladdr(variable_names, &info) || strlen(info.dli_fname) >= sizeof object)
		return;
	if (*info.dli_fname == '/')
		strcpy(object, info.dli_fname);
	else if (!realpath(info.dli_fname, object))
		*object = '\0';
	if (strpbrk(object, ": "))
		*object = '\0';		/* ld.so could not be told such a path */
}

/* The environment. */

struct follow {
	size_t count;
	size_t at[VARIABLES];		/* where it stands in envp; == count: nowhere */
	const char *value[VARIABLES];	/* what is to be put there, NULL = leave */
	const char *preloads;		/* what LD_PRELOAD says already */
};

/* Does the list name us?  The last component decides: the path may be spelt in several ways, $LIB included. */
static bool
names_us(const char *list)
{
	const char *us = strrchr(object, '/') + 1;
	size_t len = strlen(us);

	for (const char *p = list; (p = strstr(p, us)); p += len)
		if ((p == list || strchr("/: ", p[-1])) && strchr(": ", p[len]))	/* "" ends in NUL, which strchr finds too */
			return true;
	return false;
}

static const char *
value_of(const char *entry, const char *name)
{
	size_t len = strlen(name);

	return strncmp(entry, name, len) == 0 && entry[len] == '=' ? entry + len + 1 : NULL;
}

static void
look(struct follow *f, char *const *envp)
{
	const char *has[VARIABLES] = { NULL };

	*f = (struct follow){ .count = 0 };
	while (envp && envp[f->count])
		f->count++;
	for (int v = 0; v < VARIABLES; v++)
		f->at[v] = f->count;
	for (size_t i = 0; i < f->count; i++) {
		if (envp[i][0] != 'L' && envp[i][0] != 'W')
			continue;
		for (int v = 0; v < VARIABLES; v++) {
			const char *value = value_of(envp[i], variable_names[v]);

			if (value) {
				has[v] = value;
				f->at[v] = i;
			}
		}
	}
	if (!has[PRELOAD] || !names_us(has[PRELOAD]))
		f->value[PRELOAD] = object;
	f->preloads = has[PRELOAD] && *has[PRELOAD] ? has[PRELOAD] : NULL;
	if (!has[POLICY] || *has[POLICY] != '/')	/* a relative one may mean another file by now */
		f->value[POLICY] = decide_policy_path();
	if (!has[LOG] && *log_level)
		f->value[LOG] = log_level;
	if (!has[LOG_FILE] && *log_file)
		f->value[LOG_FILE] = log_file;
	if (helper_word() && (!has[RELAY] || strcmp(has[RELAY], helper_word()) != 0))
		f->value[RELAY] = helper_word();
}

static bool
following(void)
{
	return *object && decide_follow_exec() == FOLLOW_YES;
}

size_t
follow_size(char *const *envp)
{
	struct follow f;
	size_t size = 0;

	if (!following())
		return 0;
	look(&f, envp);
	for (int v = 0; v < VARIABLES; v++)
		if (f.value[v])
			size += strlen(variable_names[v]) + 1 + strlen(f.value[v]) + 1;
	if (!size)
		return 0;
	return size + (f.preloads ? strlen(f.preloads) + 1 : 0) + (f.count + VARIABLES + 1) * sizeof *envp;
}

char *const *
follow_fill(void *room, char *const *envp)
{
	char **out = room, *text;
	struct follow f;
	size_t end;

	look(&f, envp);
	for (size_t i = 0; i < f.count; i++)
		out[i] = envp[i];
	end = f.count;
	text = (char *)(out + f.count + VARIABLES + 1);
	for (int v = 0; v < VARIABLES; v++) {
		if (!f.value[v])
			continue;
		out[f.at[v] < f.count ? f.at[v] : end++] = text;
		text = stpcpy(stpcpy(text, variable_names[v]), "=");
		if (v == PRELOAD && f.preloads)
			text = stpcpy(stpcpy(text, f.preloads), ":");
		text = stpcpy(text, f.value[v]) + 1;
	}
	out[end] = NULL;
	return out;
}

void *
follow_map(size_t size)
{
	long p = raw_syscall(SYS_mmap, 0, (long)size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p < 0 && p >= -4095 ? NULL : (void *)p;
}

void
follow_unmap(void *room, size_t size)
{
	raw_syscall(SYS_munmap, (long)room, (long)size, 0, 0, 0, 0);
}

/* The descriptors. */

/*
 * The table may be a vfork parent's while the descriptors are the child's own: one that the kernel would pass on is
 * something else by now, for ours never are.
 */
static bool
would_stay(int fd, const struct sock *s)
{
	long flags;

	if (s->phase != SOCK_WRAPPED || fdtab_cloexec(fd))
		return false;
	flags = raw_syscall(SYS_fcntl, fd, F_GETFD, 0, 0, 0, 0);
	return flags >= 0 && flags & FD_CLOEXEC && (!sock_foreign(s) || relayed_still_wire(s, fd));
}

static void
hand_over_meant(int fd, struct sock *s, void *arg)
{
	(void)arg;
	if (!fdtab_meant(fd) || !would_stay(fd, s))
		return;
	if (sock_foreign(s))
		relayed_take_foreign(s, fd, false);
	else
		relayed_take(s, fd);
}

static void
tell_closed(int fd, struct sock *s, void *arg)
{
	(void)arg;
	if (would_stay(fd, s))
		log_line(LOG_LEVEL_WARN, "wrapped descriptor %d is closed in the new program%s", fd,
			 fdtab_meant(fd) ? "" : ": it was not doubled or made inheritable for it, and its route is not relay");
}

/* The target. */

/* Why the image at fd will not load us, or NULL. */
static const char *
elf_reason(int fd)
{
	union {
		Elf64_Ehdr head;
		Elf64_Phdr table[16];
	} u;
	long n = raw_syscall(SYS_pread64, fd, (long)&u, sizeof u.head, 0, 0, 0);
	size_t count;

	if (n != (long)sizeof u.head || memcmp(u.head.e_ident, ELFMAG, SELFMAG) != 0)
		return NULL;		/* a script: its interpreter is not ours to find here */
	if (u.head.e_ident[EI_CLASS] != ELFCLASS64)
		return "of another ELF class";
	if (u.head.e_phentsize != sizeof *u.table)
		return NULL;
	count = u.head.e_phnum < 16 ? u.head.e_phnum : 16;
	n = raw_syscall(SYS_pread64, fd, (long)&u, (long)(count * sizeof *u.table), (long)u.head.e_phoff, 0, 0);
	for (size_t i = 0; n == (long)(count * sizeof *u.table) && i < count; i++)
		if (u.table[i].p_type == PT_INTERP)
			return NULL;
	return n == (long)(count * sizeof *u.table) ? "static" : NULL;
}

static const char *
unwrappable(int dirfd, const char *path)
{
	const char *reason = NULL;
	struct stat st;
	long fd;

	if (raw_syscall(SYS_newfstatat, dirfd, (long)path, (long)&st, *path ? 0 : AT_EMPTY_PATH, 0, 0) < 0 || !S_ISREG(st.st_mode))
		return NULL;
	if (st.st_mode & S_ISUID && st.st_uid != geteuid())
		return "setuid";
	if ((st.st_mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP) && st.st_gid != getegid())
		return "setgid";
	if (!*path)
		return elf_reason(dirfd);
	fd = raw_syscall(SYS_openat, dirfd, (long)path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0, 0, 0);
	if (fd < 0)
		return NULL;
	reason = elf_reason((int)fd);
	raw_syscall(SYS_close, fd, 0, 0, 0, 0, 0);
	return reason;
}

/* One line a process: a shell starts many programs, and looking costs system calls. */
static void
warn_target(int dirfd, const char *path)
{
	static atomic_flag told = ATOMIC_FLAG_INIT;
	static _Atomic bool enough;
	const char *reason;

	if (enough || !path)
		return;
	reason = unwrappable(dirfd, path);
	if (!reason || atomic_flag_test_and_set(&told))
		return;
	enough = true;
	log_line(LOG_LEVEL_WARN, "%s is %s: it runs without wrapsock", *path ? path : "the new program", reason);
}

static void
warn_cage(void)
{
	if (rights_in_cage() && raw_syscall(SYS_faccessat, AT_FDCWD, (long)object, R_OK, 0, 0, 0) < 0)
		log_line(LOG_LEVEL_WARN, "%s is not here any more: the new program runs without wrapsock", object);
}

int
follow_permits(int dirfd, const char *path)
{
	int saved = errno, error = 0;

	fdtab_each(hand_over_meant, NULL);
	fdtab_each(tell_closed, NULL);
	if (decide_follow_exec() == FOLLOW_REFUSE) {
		log_line(LOG_LEVEL_WARN, "%s is refused: follow_exec = refuse", path && *path ? path : "a new program");
		error = EACCES;
	}
	if (!error && following()) {
		warn_cage();
		warn_target(dirfd, path);
	}
	errno = saved;
	return error;
}

/* posix_spawn: errors are returned, errno is left alone. */

struct spawn {
	__typeof__(&posix_spawn) call;
	const char *path;
	const posix_spawn_file_actions_t *actions;
	const posix_spawnattr_t *attr;
	char *const *argv;
};

static int
spawn(const struct spawn *p, pid_t *pid, char *const envp[], bool search)
{
	const char *known = search && !strchr(p->path, '/') ? NULL : p->path;
	int error = actions_permit(p->actions) ? follow_permits(AT_FDCWD, known) : EACCES;
	size_t size = error ? 0 : follow_size(envp);
	void *room;

	if (error)
		return error;
	if (!size)
		return p->call(pid, p->path, p->actions, p->attr, p->argv, envp);
	room = size <= FOLLOW_ON_STACK ? __builtin_alloca(size) : follow_map(size);
	if (!room)
		return ENOMEM;
	error = p->call(pid, p->path, p->actions, p->attr, p->argv, follow_fill(room, envp));
	if (size > FOLLOW_ON_STACK)
		follow_unmap(room, size);
	return error;
}

EXPORT int
posix_spawn(pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions, const posix_spawnattr_t *attr,
	    char *const argv[], char *const envp[])
{
	struct spawn p = { real.posix_spawn, path, actions, attr, argv };

	return spawn(&p, pid, envp, false);
}

EXPORT int
posix_spawnp(pid_t *pid, const char *file, const posix_spawn_file_actions_t *actions, const posix_spawnattr_t *attr,
	     char *const argv[], char *const envp[])
{
	struct spawn p = { real.posix_spawnp, file, actions, attr, argv };

	return spawn(&p, pid, envp, true);
}

/* A libc that has none: what posix_spawn says of what is not there. */
static int
told(int error)
{
	return error < 0 ? ENOSYS : error;
}

EXPORT int
pidfd_spawn(int *pidfd, const char *path, const posix_spawn_file_actions_t *actions, const posix_spawnattr_t *attr, char *const argv[],
	    char *const envp[])
{
	struct spawn p = { real.pidfd_spawn, path, actions, attr, argv };

	return told(spawn(&p, pidfd, envp, false));
}

EXPORT int
pidfd_spawnp(int *pidfd, const char *file, const posix_spawn_file_actions_t *actions, const posix_spawnattr_t *attr, char *const argv[],
	     char *const envp[])
{
	struct spawn p = { real.pidfd_spawnp, file, actions, attr, argv };

	return told(spawn(&p, pidfd, envp, true));
}
