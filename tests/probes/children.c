/*
 * children PORT _Fork|daemon|daemon-null|double|forkpty|threaded|shells: what makes a process, with a connection that goes on in
 * one of the two.
 */
#include "probe.h"

#include <sys/wait.h>

#include <pthread.h>
#include <pty.h>

/* All of the tree write here; the last to go ends our own wait. */
static void
gather(void (*run)(const char *port, const char *how), const char *port, const char *how)
{
	char buf[4096];
	ssize_t n;
	int ends[2];
	pid_t pid;

	must("pipe", pipe(ends));
	pid = (pid_t)must("fork", fork());
	if (pid == 0) {
		must("dup2", dup2(ends[1], 1));
		close(ends[0]);
		close(ends[1]);
		run(port, how);
		exit(0);
	}
	close(ends[1]);
	while ((n = read(ends[0], buf, sizeof buf)) > 0)
		write_all(1, buf, (size_t)n);
	must("waitpid", waitpid(pid, NULL, 0));
}

static void
to_background(const char *port, const char *how)
{
	int fd = dial(port), out = dup(1);

	echo(fd, "before");
	if (!strcmp(how, "daemon-null")) {
		must("dup2", dup2(fd, 0));	/* daemon puts /dev/null there */
		must("daemon", daemon(1, 0));
		dprintf(out, "0 is a socket: %s\n", result(getpeername(0, (struct sockaddr *)&(struct sockaddr_in){ 0 }, &(socklen_t){ sizeof(struct sockaddr_in) })));
		must("dup2", dup2(out, 1));
	} else if (!strcmp(how, "daemon")) {
		must("daemon", daemon(1, 1));
	} else {
		if (must("fork", fork()))
			_exit(0);
		must("setsid", setsid());
		if (must("fork", fork()))
			exit(0);
	}
	echo(fd, "in the background");
	finish(fd);
}

static void
bare_fork(const char *port, const char *how)
{
	int fd = dial(port);
	pid_t pid;

	(void)how;
	echo(fd, "before");
	pid = (pid_t)must("_Fork", _Fork());
	if (pid == 0) {
		echo(fd, "in the child");
		finish(fd);
		_exit(0);
	}
	must("close", close(fd));
	must("waitpid", waitpid(pid, NULL, 0));
}

static void
in_terminal(const char *port, const char *how)
{
	char line[256];
	int fd = dial(port), terminal;
	pid_t pid;
	FILE *f;

	(void)how;
	echo(fd, "before");
	pid = (pid_t)must("forkpty", forkpty(&terminal, NULL, NULL, NULL));
	if (pid == 0) {
		echo(fd, "in a terminal");
		exit(isatty(0) ? 0 : 1);
	}
	f = fdopen(terminal, "r");
	if (f && fgets(line, sizeof line, f))
		say("from the terminal: %s", strtok(line, "\r\n"));
	must("waitpid", waitpid(pid, NULL, 0));
	must("close", close(fd));
}

struct busy {
	int fd;
	_Atomic bool enough;
	_Atomic int rounds;
	bool changed;
};

static void *
keep_busy(void *arg)
{
	struct busy *b = arg;
	unsigned char out[3000], in[sizeof out];

	while (!b->enough) {
		fill(out, sizeof out, (unsigned)b->rounds);
		write_all(b->fd, out, sizeof out);
		read_all(b->fd, in, sizeof in, sizeof in);
		b->changed |= memcmp(in, out, sizeof in) != 0;
		b->rounds++;
	}
	return NULL;
}

/* Children are made while other threads use their connections; each has one of its own to use. */
static void
threaded(const char *port, const char *how)
{
	struct busy busy[3] = { { 0 } };
	pthread_t thread[3];

	(void)how;
	for (int i = 0; i < 3; i++) {
		busy[i].fd = dial(port);
		pthread_create(&thread[i], NULL, keep_busy, &busy[i]);
	}
	for (int i = 0; i < 12; i++) {
		int fd = dial(port);
		pid_t pid;

		if (i % 3 == 0)
			echo(fd, "before");
		pid = (pid_t)must("fork", fork());
		if (pid == 0) {
			for (int k = 0; k < 3; k++)
				close(busy[k].fd);
			echo(fd, "in the child");
			close(fd);
			i % 2 ? exit(0) : _exit(0);
		}
		close(fd);
		must("waitpid", waitpid(pid, NULL, 0));
	}
	for (int i = 0; i < 3; i++) {
		int before = busy[i].rounds;

		while (busy[i].rounds < before + 3)
			usleep(1000);
		busy[i].enough = true;
		pthread_join(thread[i], NULL);
		say("thread: %s", busy[i].changed ? "other bytes" : "all as sent");
		finish(busy[i].fd);
	}
}

/* A connection that the shells are not meant to have is none the worse. */
static void
beside_shells(const char *port, const char *how)
{
	int fd = dial(port);
	char line[64] = "";
	FILE *f;

	(void)how;
	must("F_SETFD", fcntl(fd, F_SETFD, FD_CLOEXEC));
	echo(fd, "before");
	say("system: %s", result(system("exit 3")));
	echo(fd, "after system");
	f = popen("read a; echo got $a", "w");
	echo(fd, "during popen");
	fputs("a line\n", f);
	say("pclose: %s", result(pclose(f)));
	f = popen("echo from the shell", "r");
	say("popen: %s", f && fgets(line, sizeof line, f) ? strtok(line, "\n") : "nothing");
	echo(fd, "during popen");
	say("pclose: %s", result(pclose(f)));
	finish(fd);
}

int
main(int argc, char **argv)
{
	const char *how = argc > 2 ? argv[2] : "";

	if (!strcmp(how, "_Fork"))
		bare_fork(argv[1], how);
	else if (!strcmp(how, "forkpty"))
		in_terminal(argv[1], how);
	else if (!strcmp(how, "threaded"))
		threaded(argv[1], how);
	else if (!strcmp(how, "shells"))
		beside_shells(argv[1], how);
	else
		gather(to_background, argv[1], how);
	return 0;
}
