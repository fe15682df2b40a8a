/* pipes PORT: writing where nobody reads any more: EPIPE, and SIGPIPE or not. */
#include "probe.h"

#include <sys/wait.h>

#include <signal.h>

static volatile sig_atomic_t signals;

static void
count(int sig)
{
	(void)sig;
	signals++;
}

static const char *
end_of_child(const char *port)
{
	int status, fd;

	if (must("fork", fork()) == 0) {
		signal(SIGPIPE, SIG_DFL);
		fd = dial(port);
		shutdown(fd, SHUT_WR);
		_exit(write(fd, "x", 1) < 0 ? 2 : 3);
	}
	must("wait", wait(&status));
	return WIFSIGNALED(status) && WTERMSIG(status) == SIGPIPE ? "killed by SIGPIPE" : "alive";
}

int
main(int argc, char **argv)
{
	int fd = dial(argv[1]);

	(void)argc;
	signal(SIGPIPE, count);
	must("shutdown", shutdown(fd, SHUT_WR));
	say("send: %s, signals %d", result(send(fd, "x", 1, MSG_NOSIGNAL)), (int)signals);
	say("write: %s, signals %d", result(write(fd, "x", 1)), (int)signals);
	close(fd);
	say("default: %s", end_of_child(argv[1]));

	fd = dial(argv[1]);
	write_all(fd, "bye\n", 4);		/* the peer closes behind it */
	while (read(fd, (char[64]){ 0 }, 64) > 0)
		;
	for (int i = 0; i < 1000 && send(fd, "0123456789", 10, MSG_NOSIGNAL) > 0; i++)
		poll(NULL, 0, 1);
	say("to a closed peer: %s", errno == EPIPE || errno == ECONNRESET ? "refused" : word(errno)); /* by FIN then reset, or reset alone */
	return 0;
}
