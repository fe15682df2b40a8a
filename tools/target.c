/* target.c - finding and judging what a command will execute. */
#include <sys/stat.h>
#include <sys/xattr.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "elf.h"
#include "policy.h"
#include "target.h"

#define SCRIPT_LINE 255		/* the kernel reads so much of a #! line */
#define SCRIPT_DEPTH 5		/* ... and follows so many */

static int refuse(struct target *t, int status, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* The verdict; what is judged is named where it is not the command itself. */
static int
refuse(struct target *t, int status, const char *fmt, ...)
{
	int used = 0;
	va_list ap;

	t->status = status;
	if (t->nsteps > 1)
		used = snprintf(t->why, sizeof t->why, "it is run by %s: ", t->steps[t->nsteps - 1].path);
	if (used < 0 || (size_t)used >= sizeof t->why)
		return -1;
	va_start(ap, fmt);
	vsnprintf(t->why + used, sizeof t->why - (size_t)used, fmt, ap);
	va_end(ap);
	return -1;
}

static int
add_step(struct target *t, const char *path, const char *argv0, bool starts)
{
	struct target_step *s = &t->steps[t->nsteps];

	if (t->nsteps == TARGET_STEPS)
		return refuse(t, 126, "too many interpreters of interpreters");
	s->path = strdup(path);
	s->argv0 = strdup(argv0);
	s->resolved = realpath(path, NULL);
	s->starts = starts;
	if (!s->path || !s->argv0)
		abort();
	t->nsteps++;
	return 0;
}

/* ---- along PATH ---- */

/* 0 = executable; else the errno of the exec. */
static int
executable(const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return errno;
	if (!S_ISREG(st.st_mode))
		return S_ISDIR(st.st_mode) ? EISDIR : EACCES;
	return faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) < 0 ? errno : 0;
}

/* The file that execvp(name) would start into path. 0, or the errno that it would end with. */
static int
look_up(const char *name, char path[static PATH_MAX])
{
	const char *list = getenv("PATH"), *end;
	int err, worst = ENOENT;

	if (strchr(name, '/')) {
		if ((size_t)snprintf(path, PATH_MAX, "%s", name) >= PATH_MAX)
			return ENAMETOOLONG;
		return executable(path);
	}
	if (*name == '\0')
		return ENOENT;
	for (list = list ? list : "/bin:/usr/bin";; list = end + 1) {
		end = strchrnul(list, ':');
		if (snprintf(path, PATH_MAX, "%.*s%s%s", (int)(end - list), list, end > list ? "/" : "", name) < PATH_MAX) {
			err = executable(path);
			if (err == 0)
				return 0;
			/* A file that is there, not a folder on the way that may not be entered: shells say "not found" then. */
			if (err != EISDIR && access(path, F_OK) == 0)
				worst = err;
		}
		if (*end == '\0')
			return worst;
	}
}

/* ---- scripts ---- */

/*
 * The words of an `env -S` string, in place: blanks part them, quotes hold them together, a backslash takes the next character.
 * Returns the number of words, or -1 where env itself would complain.
 */
static int
split(char *text, char **words, int most)
{
	char *in = text, *out = text;
	int n = 0;

	for (;;) {
		char quote = 0;

		in += strspn(in, " \t");
		if (*in == '\0' || *in == '#')
			return n;
		if (n == most)
			return -1;
		for (words[n++] = out; *in && (quote || !strchr(" \t", *in)); in++) {
			if (quote ? *in == quote : *in == '"' || *in == '\'') {
				quote = quote ? 0 : *in;
			} else if (*in == '\\' && quote != '\'') {
				if (*++in == '\0')
					return -1;
				if (*in == '_')
					*in = ' ';
				*out++ = *in;
			} else {
				*out++ = *in;
			}
		}
		if (quote)
			return -1;
		if (*in)
			in++;
		*out++ = '\0';
	}
}

/* Does this option of env take the next word, too? */
static bool
takes_word(const char *option)
{
	return strcmp(option, "-u") == 0 || strcmp(option, "-C") == 0 || strcmp(option, "--unset") == 0 || strcmp(option, "--chdir") == 0;
}

/*
 * What env starts, given the one argument that a #! line passes: a name, or -S and a whole command line. NULL where env starts nothing,
 * or starts the script that is being run.
 */
static const char *
env_starts(char *argument)
{
	static const char *const splits[] = { "--split-string=", "-vS", "-iS", "-S" };
	char *words[64];
	int n;

	for (size_t i = 0; i < sizeof splits / sizeof *splits; i++) {
		size_t len = strlen(splits[i]);

		if (strncmp(argument, splits[i], len) != 0)
			continue;
		n = split(argument + len, words, 64);
		for (int at = 0; at < n; at++) {
			if (strcmp(words[at], "--") == 0)
				return at + 1 < n ? words[at + 1] : NULL;
			if (words[at][0] == '-')
				at += takes_word(words[at]);
			else if (!strchr(words[at], '='))
				return words[at];
		}
		return NULL;
	}
	return argument[0] == '-' ? NULL : argument;
}

static bool
is_env(const char *path)
{
	const char *slash = strrchr(path, '/');

	return strcmp(slash ? slash + 1 : path, "env") == 0;
}

/* The interpreter of the last step and the argument of its #! line (or NULL), cut out of line. */
static char *
parse_script(char *line, char **argument)
{
	char *name = line + 2 + strspn(line + 2, " \t"), *end;

	line[strcspn(line, "\n")] = '\0';
	end = line + strlen(line);
	while (end > name && strchr(" \t", end[-1]))
		*--end = '\0';
	*argument = NULL;
	end = name + strcspn(name, " \t");
	if (*end) {
		*end++ = '\0';
		*argument = end + strspn(end, " \t");
	}
	return *name ? name : NULL;
}

static int
follow_env(struct target *t, char *argument)
{
	const char *name = env_starts(argument);
	char path[PATH_MAX];
	int err;

	if (!name)
		return refuse(t, 126, "its #! line starts no program: %s", argument);
	err = look_up(name, path);
	if (err == ENOENT || err == ENOTDIR)
		return refuse(t, 127, "%s: not found", name);
	if (err)
		return refuse(t, 126, "%s: %s", name, strerror(err));
	return add_step(t, path, name, true);
}

static int
follow_script(struct target *t, const struct elf_file *f)
{
	char line[SCRIPT_LINE + 1], *name, *argument;
	size_t len = f->size < SCRIPT_LINE ? f->size : SCRIPT_LINE;
	int err;

	memcpy(line, f->bytes, len);
	line[len] = '\0';
	name = parse_script(line, &argument);
	if (!name)
		return refuse(t, 126, "its #! line names no interpreter");
	err = executable(name);
	if (err)
		return refuse(t, 126, "its interpreter %s: %s", name, err == ENOENT ? "not found" : strerror(err));
	return add_step(t, name, name, false);
}

/* ---- programs ---- */

static const char *
base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static const char *
our_loader(void)
{
	static char name[PATH_MAX];
	struct elf_file self;
	const char *loader;

	if (*name == '\0' && elf_open("/proc/self/exe", &self) == 0) {
		loader = elf_interpreter(&self);
		if (loader && strlen(loader) < sizeof name)
			strcpy(name, loader);
		elf_close(&self);
	}
	return name;
}

/* A program that ld.so would start without us, or that does not need libc for its sockets. */
static int
judge_program(struct target *t, const struct elf_file *f, const char *path)
{
	struct stat st;
	const char *loader;

	if (!elf_is_ours(f))
		return refuse(t, 126, "ELF class: no program of the machine and word size that this wrapsock is for");
	if (elf_is_go(f))
		return refuse(t, 126, "Go: programs written in Go call the kernel without the C library");
	loader = elf_interpreter(f);
	if (!loader)
		return refuse(t, 126, "static: a statically linked program loads no library");
	if (strcmp(base_name(loader), base_name(our_loader())) != 0)
		return refuse(t, 126, "it uses another C library (%s)", loader);
	if (stat(path, &st) < 0)
		return refuse(t, 126, "%s", strerror(errno));
	if (st.st_mode & S_ISUID)
		return refuse(t, 126, "setuid: the loader ignores LD_PRELOAD in such programs");
	if ((st.st_mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP))
		return refuse(t, 126, "setgid: the loader ignores LD_PRELOAD in such programs");
	if (getxattr(path, "security.capability", NULL, 0) > 0)
		return refuse(t, 126, "capabilities: the loader ignores LD_PRELOAD in programs that have file capabilities");
	return 0;
}

static bool
is_text(const struct elf_file *f)
{
	return !memchr(f->bytes, '\0', f->size < 128 ? f->size : 128);
}

/* Judge the last step, and add the next one if it is a script. 1 = there is a next one. */
static int
judge_step(struct target *t)
{
	const char *path = t->steps[t->nsteps - 1].path;
	struct elf_file f;
	int ret, before = t->nsteps;

	if (elf_open(path, &f) < 0)
		return refuse(t, 126, "it cannot be read, so it cannot be checked: %s", strerror(errno));
	if (elf_is(&f)) {
		ret = judge_program(t, &f, path);
	} else if (f.size >= 2 && f.bytes[0] == '#' && f.bytes[1] == '!') {
		ret = follow_script(t, &f);
	} else if (t->nsteps == 1 && f.size > 0 && is_text(&f)) {
		t->headerless = true;
		ret = add_step(t, "/bin/sh", "/bin/sh", true);
	} else {
		ret = refuse(t, 126, "%s", strerror(ENOEXEC));
	}
	elf_close(&f);
	return ret < 0 ? -1 : t->nsteps > before;
}

/* The argument that a script's #! line gives its interpreter; the caller's. */
static char *
script_argument(const char *path)
{
	char line[SCRIPT_LINE + 1], *argument = NULL;
	struct elf_file f;
	size_t len;

	if (elf_open(path, &f) < 0)
		return NULL;
	len = f.size < SCRIPT_LINE ? f.size : SCRIPT_LINE;
	memcpy(line, f.bytes, len);
	line[len] = '\0';
	if (strncmp(line, "#!", 2) == 0)
		parse_script(line, &argument);
	elf_close(&f);
	return argument ? strdup(argument) : NULL;
}

void
target_find(struct target *t, const char *command)
{
	char path[PATH_MAX], *argument;
	int err, more, depth = 0;

	*t = (struct target){ .command = strdup(command) };
	if (!t->command)
		abort();
	err = look_up(command, path);
	if (err == ENOENT || err == ENOTDIR) {
		refuse(t, 127, "not found");
		return;
	}
	if (err) {
		refuse(t, 126, "%s", strerror(err));
		return;
	}
	if (add_step(t, path, command, true) < 0)
		return;
	for (;;) {
		more = judge_step(t);
		if (more < 0)
			return;
		if (more) {
			if (++depth > SCRIPT_DEPTH) {
				refuse(t, 126, "%s", strerror(ELOOP));
				return;
			}
			continue;
		}
		/* The last step is a program. If a #! line starts it and it is env, what env starts comes next. */
		if (t->nsteps < 2 || t->headerless || !is_env(t->steps[t->nsteps - 1].path))
			return;
		argument = script_argument(t->steps[t->nsteps - 2].path);
		if (!argument)
			return;
		err = follow_env(t, argument);
		free(argument);
		if (err < 0)
			return;
	}
}

void
target_free(struct target *t)
{
	for (int i = 0; i < t->nsteps; i++) {
		free(t->steps[i].path);
		free(t->steps[i].argv0);
		free(t->steps[i].resolved);
	}
	free(t->command);
	*t = (struct target){ .command = NULL };
}

bool
target_program(const struct target *t, int *at, struct policy_program *program)
{
	int last;

	if (*at >= t->nsteps)
		return false;
	for (last = *at; last + 1 < t->nsteps && !t->steps[last + 1].starts; last++)
		;
	program->invoked = t->steps[*at].path;
	program->argv0 = t->steps[last].argv0;
	program->resolved = t->steps[last].resolved;
	*at = last + 1;
	return true;
}
