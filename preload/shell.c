/*
 * shell.c - system and popen: libc starts their shell itself, past posix_spawn's name, with the environment that it finds.
 *
 * So descriptors are seen to before, and where the environment would not keep the new programs wrapped, the shell that libc starts
 * sets what is missing and becomes the one that was asked for.
 */
#include "process.h"

#include "decide.h"
#include "real.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SHELL "/bin/sh"

static void
freep(char **p)
{
	free(*p);
}

/* As the shell reads it back, between apostrophes. */
static char *
quote(char *out, const char *text)
{
	*out++ = '\'';
	for (; *text; text++)
		out = *text == '\'' ? stpcpy(out, "'\\''") : (*out = *text, out + 1);
	*out++ = '\'';
	*out = '\0';
	return out;
}

static size_t
quoted(const char *text)
{
	size_t n = 3;

	for (; *text; text++)
		n += *text == '\'' ? 4 : 1;
	return n;
}

/* The command behind what envp has that the environment has not. NULL = out of memory. */
static char *
prefixed(const char *command, char *const *envp)
{
	static const char export[] = "export ", become[] = "; exec " SHELL " -c -- ", name[] = " sh";
	size_t size = sizeof export + sizeof become + sizeof name + quoted(command), known = 0;
	char *text, *at;

	while (environ && environ[known])
		known++;
	for (size_t i = 0; envp[i]; i++)
		if (i >= known || envp[i] != environ[i])
			size += quoted(envp[i]) + 1;
	text = malloc(size);
	if (!text)
		return NULL;
	at = stpcpy(text, export);
	for (size_t i = 0; envp[i]; i++)
		if (i >= known || envp[i] != environ[i]) {
			at = quote(at, envp[i]);
			*at++ = ' ';
		}
	at = stpcpy(at, become);
	strcpy(quote(at, command), name);
	return text;
}

/* 0, or an errno value. *text: what to have the shell do, NULL = the command as it is. */
static int
follow_shell(const char *command, char **text)
{
	int saved = errno, error = follow_permits(AT_FDCWD, SHELL);
	size_t size = error ? 0 : follow_size(environ);
	char *room;

	*text = NULL;
	if (!size)
		return error;
	room = malloc(size);
	if (room)
		*text = prefixed(command, follow_fill(room, environ));
	free(room);
	errno = saved;
	return *text ? 0 : ENOMEM;
}

EXPORT int
system(const char *command)
{
	__attribute__((cleanup(freep))) char *text = NULL;
	int error = command ? follow_shell(command, &text) : 0;

	if (error)
		return (int)answer(-error);
	return real.system(text ? text : command);
}

EXPORT FILE *
popen(const char *command, const char *mode)
{
	__attribute__((cleanup(freep))) char *text = NULL;
	int error = follow_shell(command, &text);

	if (error) {
		errno = error;
		return NULL;
	}
	return real.popen(text ? text : command, mode);
}
ALSO(popen, _IO_popen);
