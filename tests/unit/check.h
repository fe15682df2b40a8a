/*
 * check.h - what the unit tests share: assertions that tell their line and go on, and cases, each of which passes or fails once.
 */
#ifndef TESTS_CHECK_H
#define TESTS_CHECK_H

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <sys/wait.h>

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))
#define UNUSED __attribute__((unused))

static unsigned passed, failed;
static char current[160];		/* the case that runs */
static _Atomic bool current_failed;
static const char *(*more)(void);	/* what else a test's failures should tell; NULL = nothing */

/* From any thread. */
static void UNUSED
complain(int line, const char *what, const char *detail)
{
	printf("FAIL %s: line %d: %s%s%s%s\n", current, line, what, detail ? ": " : "", detail ? detail : "", more ? more() : "");
	current_failed = true;
}

static void UNUSED
complain_of(int line, const char *what, long got)
{
	char detail[40];

	snprintf(detail, sizeof detail, "is %ld", got);
	complain(line, what, detail);
}

#define CHECKD(x, detail) ((x) ? (void)0 : complain(__LINE__, #x, detail))
#define CHECK(x) CHECKD(x, NULL)
#define CHECK_IS(x, want)                                      \
	do {                                                   \
		long got_ = (long)(x);                         \
		if (got_ != (long)(want))                      \
			complain_of(__LINE__, #x " == " #want, got_); \
	} while (0)

static void begin_case(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static void UNUSED
begin_case(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(current, sizeof current, fmt, ap);
	va_end(ap);
	current_failed = false;
}

static void UNUSED
end_case(void)
{
	if (current_failed)
		failed++;
	else
		passed++;
}

/* A case that is one question, such as a row of a table. */
static void UNUSED
result(const char *group, const char *name, bool ok, const char *detail)
{
	if (ok) {
		passed++;
		return;
	}
	failed++;
	printf("FAIL %s: %s%s%s\n", group, name, *detail ? ": " : "", detail);
}

/* Without it there is nothing to test. */
static void UNUSED
must(bool ok, const char *what)
{
	int error = errno;

	if (ok)
		return;
	fflush(stdout);
	fprintf(stderr, "%s: cannot go on: %s (%s)\n", current, what, strerror(error));
	_Exit(2);
}

/* Once the child has ended: its exit status, or 1000 and the signal that it died of. */
static int UNUSED
child_status(pid_t pid)
{
	int status = 0;

	must(waitpid(pid, &status, 0) == pid, "waitpid");
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

/* The last line, and what main returns. */
static int UNUSED
summary(void)
{
	printf("%u passed, %u failed\n", passed, failed);
	return failed != 0;
}

static int64_t UNUSED
now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * INT64_C(1000) + t.tv_nsec / 1000000;
}

#endif
