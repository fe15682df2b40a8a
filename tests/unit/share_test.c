/*
 * share_test.c - who may read, who may write and who is the last, among real processes.
 *
 * A process is driven step by step over a pipe: it does what it is told by a letter, and answers with one.
 */
#include "share.h"

#include "check.h"

#include <sys/mman.h>
#include <sys/resource.h>

#include <signal.h>
#include <unistd.h>

#define TEXT(x) #x
#define LINE(n) "line " TEXT(n)
#define HOLDS(x) result("share", #x, x, LINE(__LINE__))

enum { MOST = 24 };

/* A tree of processes: 0 is this one. Orders come in on to[], answers go out on from[]. */
static struct {
	int to[2], from[2];
	pid_t pid;
} process[MOST];
static struct share s;

static char obey(char order, int who);

static void
serve(int me)
{
	char order[2], answer;

	while (read(process[me].to[0], order, 2) == 2) {
		answer = obey(order[0], order[1]);
		must(write(process[me].from[1], &answer, 1) == 1, "answer");
	}
	_exit(0);
}

static char
spawn(int who)
{
	pid_t pid;

	if (!share_prepare(&s))
		return 'm';
	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		alarm(60);
		share_child(&s);
		serve(who);
	}
	if (pid < 0)
		return '?';
	process[who].pid = pid;
	return 'y';
}

/* r, w: may I? R, W: is it mine? m: grow; f: fork that process; l: I leave, am I the last? s: am I the only one? h: is it my memory? */
static char
obey(char order, int who)
{
	switch (order) {
	case 'r': return share_take(&s, 0) ? 'y' : 'n';
	case 'w': return share_take(&s, 1) ? 'y' : 'n';
	case 'R': return share_mine(&s, 0) ? 'y' : 'n';
	case 'W': return share_mine(&s, 1) ? 'y' : 'n';
	case 'l': return share_leave(&s) ? 'y' : 'n';
	case 's': return share_last(&s) ? 'y' : 'n';
	case 'h': return share_here(&s) ? 'y' : 'n';
	case 'f': return spawn(who);
	case 'm': return mmap(NULL, 1 << 20, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED ? 'n' : 'y';
	case 'x': _exit(0);
	default: return '?';
	}
}

static char
tell(int whom, char order, int who)
{
	char text[2] = { order, (char)who }, answer = '-';

	if (whom == 0)
		return obey(order, who);
	must(write(process[whom].to[1], text, 2) == 2, "order");
	if (order != 'x')
		must(read(process[whom].from[0], &answer, 1) == 1, "an answer");
	return answer;
}

static bool
waited(int child)
{
	return waitpid(process[child].pid, NULL, 0) == process[child].pid;
}

static void
kill_child(int child)
{
	kill(process[child].pid, SIGKILL);
	must(waited(child), "waitpid");
}

static void
begin(void)
{
	for (int i = 0; i < MOST; i++)
		must(pipe(process[i].to) == 0 && pipe(process[i].from) == 0, "pipe");
	share_init(&s);
}

static void
end(void)
{
	share_free(&s);
	for (int i = 0; i < MOST; i++)
		for (int end = 0; end < 2; end++) {
			close(process[i].to[end]);
			close(process[i].from[end]);
		}
}

/* ---- cases: orders and the answers expected ---- */

struct step {
	int whom;
	char order;
	int who;
	char want;
};

static const struct scene {
	const char *name;
	struct step steps[24];
} scenes[] = {
	{ "alone", { { 0, 'r', 0, 'y' }, { 0, 'w', 0, 'y' }, { 0, 'h', 0, 'y' }, { 0, 'l', 0, 'y' } } },
	{ "who comes first", { { 0, 'f', 1, 'y' }, { 0, 'R', 0, 'y' }, { 1, 'R', 0, 'y' }, { 1, 'r', 0, 'y' }, { 0, 'r', 0, 'n' }, { 0, 'R', 0, 'n' },
	    { 1, 'r', 0, 'y' }, { 0, 'w', 0, 'y' }, { 1, 'w', 0, 'n' }, { 1, 'W', 0, 'n' }, { 0, 'w', 0, 'y' }, { 1, 'h', 0, 'y' } } },
	{ "used before the fork", { { 0, 'r', 0, 'y' }, { 0, 'w', 0, 'y' }, { 0, 'f', 1, 'y' }, { 1, 'r', 0, 'y' }, { 1, 'w', 0, 'y' }, { 0, 'w', 0, 'n' } } },
	{ "the owner forks again", { { 0, 'f', 1, 'y' }, { 0, 'w', 0, 'y' }, { 0, 'f', 2, 'y' }, { 2, 'w', 0, 'y' }, { 1, 'w', 0, 'n' }, { 0, 'w', 0, 'n' } } },
	{ "who owns nothing forks", { { 0, 'f', 1, 'y' }, { 1, 'w', 0, 'y' }, { 0, 'f', 2, 'y' }, { 2, 'w', 0, 'n' }, { 0, 'w', 0, 'n' }, { 1, 'w', 0, 'y' } } },
	{ "nobody's in three", { { 0, 'f', 1, 'y' }, { 0, 'f', 2, 'y' }, { 2, 'r', 0, 'y' }, { 1, 'r', 0, 'n' }, { 0, 'r', 0, 'n' }, { 1, 'w', 0, 'y' } } },
	{ "grandchild", { { 0, 'f', 1, 'y' }, { 1, 'r', 0, 'y' }, { 1, 'f', 2, 'y' }, { 2, 'r', 0, 'y' }, { 0, 'r', 0, 'n' }, { 1, 'r', 0, 'n' } } },
	{ "the last says so", { { 0, 'f', 1, 'y' }, { 0, 'l', 0, 'n' }, { 1, 'l', 0, 'y' } } },
	{ "the child goes first", { { 0, 'f', 1, 'y' }, { 1, 'l', 0, 'n' }, { 0, 'l', 0, 'y' } } },
	{ "who grows is still the same", { { 0, 'f', 1, 'y' }, { 0, 'm', 0, 'y' }, { 1, 'l', 0, 'n' }, { 0, 'l', 0, 'y' } } },
	{ "the only one asks, and stays", { { 0, 's', 0, 'y' }, { 0, 'f', 1, 'y' }, { 0, 's', 0, 'n' }, { 1, 's', 0, 'n' }, { 0, 's', 0, 'n' }, { 1, 'l', 0, 'n' },
	    { 0, 's', 0, 'y' }, { 0, 's', 0, 'y' }, { 0, 'l', 0, 'y' } } },
	{ "three leave", { { 0, 'f', 1, 'y' }, { 1, 'f', 2, 'y' }, { 1, 'l', 0, 'n' }, { 0, 'l', 0, 'n' }, { 2, 'l', 0, 'y' } } },
};

static void
play(const struct scene *k)
{
	bool child[MOST] = { false };

	begin();
	for (const struct step *at = k->steps; at->order; at++) {
		char got = tell(at->whom, at->order, at->who);

		if (at->order == 'f')
			child[at->who] = true;
		if (got != at->want)
			printf("%s, step %d: %c, expected %c\n", k->name, (int)(at - k->steps), got, at->want);
		result("share", k->name, got == at->want, "");
	}
	for (int i = MOST - 1; i > 0; i--)
		if (child[i])
			tell(i, 'x', 0);
	end();
	while (waitpid(-1, NULL, 0) > 0 || errno == EINTR)
		;
	for (int i = 0; i < MOST; i++)
		process[i].pid = 0;
}

/* Killed processes do not count, as owners; what they had claimed is lost. */
static void
killed(void)
{
	begin();
	tell(0, 'f', 1);
	HOLDS(tell(1, 'w', 0) == 'y');
	HOLDS(!share_leave(&s));
	end();
	kill_child(1);
	begin();
	tell(0, 'f', 1);
	HOLDS(tell(1, 'w', 0) == 'y');
	kill_child(1);
	HOLDS(!share_take(&s, 1));
	HOLDS(share_take(&s, 0));
	HOLDS(share_leave(&s));
	end();
}

/* Who cannot open a file cannot see who lives, but must not take the others for dead. */
static void
no_descriptors(void)
{
	struct rlimit before, none;

	begin();
	tell(0, 'f', 1);
	must(tell(1, 'h', 0) == 'y', "child");
	must(getrlimit(RLIMIT_NOFILE, &before) == 0, "getrlimit");
	none = (struct rlimit){ 0, before.rlim_max };
	must(setrlimit(RLIMIT_NOFILE, &none) == 0, "setrlimit");
	usleep(20000);		/* an answer of before is not good for that long */
	HOLDS(!share_last(&s));
	must(setrlimit(RLIMIT_NOFILE, &before) == 0, "setrlimit");
	kill_child(1);
	for (int i = 0; i < 1000 && !share_last(&s); i++)
		usleep(1000);
	HOLDS(share_last(&s));
	end();
}

/* The parent closes before the child has run at all: it is not the last. */
static void
eager_parent(void)
{
	for (int round = 0; round < 50; round++) {
		int left[2];		/* closed by the parent when it has left */
		char byte;
		bool last;
		pid_t pid;

		must(pipe(left) == 0, "pipe");
		share_init(&s);
		must(share_prepare(&s), "share_prepare");
		pid = fork();
		if (pid == 0) {
			share_child(&s);
			close(left[1]);
			_exit(read(left[0], &byte, 1) == 0 && share_leave(&s) ? 0 : 1);
		}
		last = share_leave(&s);
		close(left[0]);
		close(left[1]);
		result("share", "the parent is the last", !last, "");
		waitpid(pid, NULL, 0);
		share_free(&s);
	}
}

/* Parent and child leave at the same moment: one of them at least is the last. */
static void
both_leave(void)
{
	for (int round = 0; round < 100; round++) {
		_Atomic int *ready = mmap(NULL, sizeof *ready, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
		bool last;
		pid_t pid;

		must(ready != MAP_FAILED, "mmap");
		share_init(&s);
		must(share_prepare(&s), "share_prepare");
		pid = fork();
		if (pid == 0)
			share_child(&s);
		for (++*ready; *ready < 2;)
			;
		last = share_leave(&s);
		if (pid == 0)
			_exit(last);
		result("share", "one is the last", child_status(pid) || last, "");
		share_free(&s);
		munmap(ready, sizeof *ready);
	}
}

/* More processes than there is room for: nobody says it is the last. */
static void
crowd(void)
{
	int most = MOST - 1;

	begin();
	for (int i = 1; i <= most; i++)
		must(tell(0, 'f', i) == 'y' && tell(i, 'h', 0) == 'y', "fork");
	for (int i = 1; i <= most; i++)
		HOLDS(tell(i, 'l', 0) == 'n');
	HOLDS(tell(0, 'l', 0) == 'n');
	for (int i = 1; i <= most; i++)
		kill_child(i);
	end();
	for (int i = 0; i < MOST; i++)
		process[i].pid = 0;
}

/* Thousands of connections come and go across forks; each has claims of its own. */
static void
many(void)
{
	enum { N = 1000 };
	static struct share all[N];
	bool fine = true;

	for (int round = 0; round < 5; round++) {
		int status = 0;
		pid_t pid;

		for (int i = 0; i < N; i++) {
			share_init(&all[i]);
			fine = fine && share_prepare(&all[i]);
		}
		pid = fork();
		if (pid == 0) {
			bool ok = true;

			for (int i = 0; i < N; i++)
				share_child(&all[i]);
			for (int i = 0; i < N; i += 2)
				ok = ok && share_take(&all[i], 1);
			_exit(ok ? 0 : 1);
		}
		waitpid(pid, &status, 0);
		fine = fine && status == 0;
		for (int i = 0; i < N; i++) {
			fine = fine && share_take(&all[i], 1) == (i % 2 == 1) && share_take(&all[i], 0) && share_leave(&all[i]);
			share_free(&all[i]);
		}
	}
	HOLDS(fine);
}

int
main(void)
{
	for (size_t i = 0; i < COUNT(scenes); i++)
		play(&scenes[i]);
	killed();
	no_descriptors();
	eager_parent();
	both_leave();
	crowd();
	many();
	return summary();
}
