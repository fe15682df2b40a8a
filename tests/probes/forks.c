/* forks PORT split|child-exits|child-closes|parent-closes|both|turns|watched: one connection and two processes. */
#include "probe.h"

#include <sys/wait.h>

static void
join(void)
{
	int status = -1;

	must("wait", wait(&status));
	say("child: %s", WIFEXITED(status) && WEXITSTATUS(status) == 0 ? "well" : "unwell");
}

static int
split(int fd)
{
	unsigned char out[50000], in[sizeof out];

	fill(out, sizeof out, 8);
	if (must("fork", fork()) == 0) {
		read_all(fd, in, sizeof in, 3000);
		say("child read: %s", memcmp(in, out, sizeof in) ? "changed" : "as sent");
		exit(0);
	}
	for (size_t i = 0; i < sizeof out; i += 1000)
		write_all(fd, out + i, 1000);
	join();
	return 0;
}

/* The child uses it, then the parent: only the relay can do that; without it EIO and never bytes that the peer cannot read. */
static int
both(int fd)
{
	if (must("fork", fork()) == 0) {
		echo(fd, "from the child");
		_exit(0);
	}
	join();
	say("parent write: %s", result(send(fd, "from the parent", 15, MSG_NOSIGNAL)));
	say("parent read: %s", result(recv(fd, (char[32]){ 0 }, 32, MSG_DONTWAIT)));
	return 0;
}

/* Who only waits takes nothing away from who reads. */
static int
watched(int fd)
{
	char buf[16] = "";
	int turn[2];
	bool child;

	must("socketpair", socketpair(AF_UNIX, SOCK_STREAM, 0, turn));
	child = must("fork", fork()) == 0;
	for (int i = 0; i < 3; i++) {
		if (child) {
			read_all(turn[1], buf, 1, 1);
			say("child: %#x", wait_poll(fd, POLLIN));
			read_all(fd, buf, 5, 5);
			say("child: %s", buf);
			write_all(turn[1], "x", 1);
		} else {
			write_all(fd, "words", 5);
			say("parent: %#x", wait_poll(fd, POLLIN));
			write_all(turn[0], "x", 1);
			read_all(turn[0], buf, 1, 1);
		}
	}
	if (child)
		exit(0);
	join();
	say("shutdown: %s", result(shutdown(fd, SHUT_WR)));
	return 0;
}

/* Both write and read, one at a time. */
static int
turns(int fd)
{
	for (int i = 0; i < 3; i++) {
		if (must("fork", fork()) == 0) {
			echo(fd, "from the child");
			exit(0);
		}
		join();
		echo(fd, "from the parent");
	}
	finish(fd);
	return 0;
}

int
main(int argc, char **argv)
{
	const char *mode = argv[2];
	int fd = dial(argv[1]);

	(void)argc;
	echo(fd, "before");
	if (!strcmp(mode, "split"))
		return split(fd);
	if (!strcmp(mode, "both"))
		return both(fd);
	if (!strcmp(mode, "watched"))
		return watched(fd);
	if (!strcmp(mode, "turns"))
		return turns(fd);
	if (!strcmp(mode, "parent-closes")) {
		if (must("fork", fork())) {
			close(fd);
			join();
			return 0;
		}
		while (getppid() == 1)
			;
		echo(fd, "in the child");
		finish(fd);
		exit(0);
	}
	for (int i = 0; i < 3; i++) {
		if (must("fork", fork()) == 0) {
			if (!strcmp(mode, "child-closes"))
				close(fd);
			exit(0);
		}
		join();
		echo(fd, "after the child");
	}
	finish(fd);
	return 0;
}
