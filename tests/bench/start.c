/*
 * start.c - how long a program takes from its start to its end: the minimum and the median over COUNT starts, in milliseconds.
 * usage: start COUNT [NAME=VALUE...] COMMAND [ARGUMENT...]
 */
#include <sys/wait.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static double
now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e3 + (double)ts.tv_nsec / 1e6;
}

static int
faster(const void *a, const void *b)
{
	return (*(const double *)a > *(const double *)b) - (*(const double *)a < *(const double *)b);
}

int
main(int argc, char **argv)
{
	size_t count = argc > 2 ? strtoul(argv[1], NULL, 10) : 0, vars = 0, given = 0;
	double *times = calloc(count ? count : 1, sizeof(*times));
	char **env;

	while (environ[given])
		given++;
	env = calloc(given + (size_t)argc + 1, sizeof(*env));
	if (!times || !env || !count)
		return 2;
	while (vars + 2 < (size_t)argc && strchr(argv[2 + vars], '=')) {
		env[vars] = argv[2 + vars];
		vars++;
	}
	memcpy(env + vars, environ, given * sizeof(*env));
	if (vars + 2 == (size_t)argc)
		return 2;
	for (size_t i = 0; i < count; i++) {
		double began = now();
		int status;
		pid_t pid;

		if (posix_spawn(&pid, argv[2 + vars], NULL, NULL, argv + 2 + vars, env) != 0 || waitpid(pid, &status, 0) != pid || status != 0)
			return 1;
		times[i] = now() - began;
	}
	qsort(times, count, sizeof(*times), faster);
	printf("%.4f %.4f\n", times[0], times[count / 2]);
	return 0;
}
