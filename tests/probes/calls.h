/*
 * calls.h - a list of calls, each tried on a connection of its own to a server that echoes, in a process of its own.
 *
 * PROBE PORT [NAME...]: one line each, "NAME: what came of it", with "works on" where the connection still did. PROBE list: their names.
 */
#ifndef CALLS_H
#define CALLS_H

#include "probe.h"

#include <sys/wait.h>

struct call {
	const char *name;
	bool (*attempt)(int fd);	/* false: the connection is used up, and is not tried behind it */
};

/* All of the file, in order; ends in { NULL, NULL }. */
static const struct call calls[];
static const char *call_port, *call_name;
static char line[4000];

static inline void __attribute__((format(printf, 1, 2)))
note(const char *fmt, ...)
{
	size_t n = strlen(line);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line + n, sizeof line - n, fmt, ap);
	va_end(ap);
}

/* What came back of what was sent, by plain reads. */
static inline bool
back(int fd, size_t n)
{
	char buf[512] = "";
	size_t done = 0;

	while (done < n && done < sizeof buf - 1) {
		ssize_t r = poll(&(struct pollfd){ .fd = fd, .events = POLLIN }, 1, PATIENCE) > 0 ? read(fd, buf + done, n - done) : -1;

		if (r <= 0)
			break;
		done += (size_t)r;
	}
	note(" <%s>", buf);
	return true;
}

/* A call that sends n bytes has answered r. */
static inline bool
sent(int fd, long r, size_t n)
{
	note(" %s", result(r));
	return back(fd, n);
}

/* Something to receive has come. */
static inline void
serve(int fd, const char *text)
{
	write_all(fd, text, strlen(text));
	wait_poll(fd, POLLIN);
}

static inline bool
got(long r, const char *buf)
{
	note(" %s <%.*s>", result(r), r > 0 ? (int)r : 0, buf);
	return true;
}

static inline bool
answered(long r)
{
	note(" %s", result(r));
	return true;
}

static inline void
show(const char *text)
{
	char all[sizeof line + 100];
	int n = snprintf(all, sizeof all, "%s:%s\n", call_name, text);

	for (int i = 0; i < n - 1; i++)
		if (all[i] == '\n')
			all[i] = '|';
	if (write(3, all, (size_t)n) < 0)
		_exit(2);
}

static inline void
attempt(const struct call *c)
{
	char echoed[16] = "";
	int fd;

	call_name = c->name;
	alarm(20);
	fd = dial(call_port);
	errno = 0;
	if (c->attempt(fd)) {
		if (write(fd, "after", 5) == 5 && poll(&(struct pollfd){ .fd = fd, .events = POLLIN }, 1, PATIENCE) > 0 &&
		    read(fd, echoed, sizeof echoed) == 5 && strcmp(echoed, "after") == 0)
			note(" works on");
		else
			note(" then %s <%s>", word(errno), echoed);
	}
	show(line);
	exit(0);
}

static inline void
in_a_process(const struct call *c)
{
	pid_t pid;
	int status;

	call_name = c->name;
	pid = (pid_t)must("fork", fork());
	if (pid == 0)
		attempt(c);
	must("waitpid", waitpid(pid, &status, 0));
	if (status) {
		snprintf(line, sizeof line, " %s %d", WIFSIGNALED(status) ? "killed by" : "status", WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
		show(line);
		line[0] = '\0';
	}
}

static inline bool
asked_for(const char *name, int argc, char **argv)
{
	for (int i = 2; i < argc; i++)
		if (strcmp(name, argv[i]) == 0)
			return true;
	return argc <= 2;
}

int
main(int argc, char **argv)
{
	call_port = argv[1];
	if (strcmp(argv[1], "list") == 0) {
		for (const struct call *c = calls; c->name; c++)
			say("%s", c->name);
		return 0;
	}
	must("dup2", dup2(1, 3));		/* calls may be after 0 to 2 */
	close(dial(call_port));			/* what is loaded once is loaded before the forks */
	for (const struct call *c = calls; c->name; c++)
		if (asked_for(c->name, argc, argv))
			in_a_process(c);
	return 0;
}

#endif
