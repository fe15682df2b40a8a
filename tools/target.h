/*
 * target.h - what a command turns out to be: found along PATH, followed through `#!` lines and env, and judged.
 */
#ifndef WRAPSOCK_TARGET_H
#define WRAPSOCK_TARGET_H

#include <stdbool.h>
#include <stddef.h>

struct policy_program;

#define TARGET_STEPS 8

/* One file that is going to be executed. */
struct target_step {
	char *path;		/* as execve gets it */
	char *argv0;		/* argv[0] of the program that this step starts */
	char *resolved;		/* the path with links followed; NULL = cannot be */
	bool starts;		/* an exec of its own; else it is the interpreter of the step before */
};

struct target {
	char *command;
	struct target_step steps[TARGET_STEPS];	/* the command itself, its interpreter, what env starts, ...; the last one is an ELF file */
	int nsteps;
	bool headerless;	/* a script without #! line: it is for /bin/sh to start */
	int status;		/* 0 = can be protected, 126, 127: as the launcher's exit status */
	char why[512];		/* status != 0: one sentence without the command's name */
};

/* Looks along $PATH as execvp does. Never NULL in t->command. */
void target_find(struct target *t, const char *command);
void target_free(struct target *t);

/*
 * The processes' images that running the command makes, as policy's `program` sees them: call with *at = 0 until false. A script and
 * its interpreter are one image, env and what it starts are two.
 */
bool target_program(const struct target *t, int *at, struct policy_program *program);

#endif
