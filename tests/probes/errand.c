/*
 * errand client|server PORT blocking|nonblocking WORD: one connection and a conversation of a few kilobytes, every byte of it checked.
 * errand leave PORT blocking WORD: the client connects, then becomes another program (errand stays) that has the connection as 0 and 1.
 * "ok" and 0; or the step that failed and its errno, and 1.  Descriptors that are left over are told of.
 */
#include "probe.h"

#include <sys/epoll.h>

#include <dirent.h>
#include <signal.h>

enum { SIZE = 30000 };

static bool nb;
static int poller = -1, told = 1;

static int __attribute__((noreturn))
end(const char *what, int error)
{
	dprintf(told, "%s: %s\n", what, word(error));
	exit(1);
}

/* The number of descriptors, -1 = not known: /proc cannot be read just now. */
static int
descriptors(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = 0;

	if (!d)
		return -1;
	errno = 0;
	while (readdir(d))
		n++;
	if (errno)
		n = -1;
	closedir(d);
	return n;
}

static void
fill_with(char *p, size_t n, const char *mark)
{
	for (size_t at = 0, len = strlen(mark); at < n; at++)
		p[at] = at % 64 < len ? mark[at % 64] : (char)('a' + at / 64 % 26);
}

/* Until it is ready, with epoll where it does not block; what fails in passing is tried again. */
static void
await(const char *what, int fd, uint32_t events)
{
	struct epoll_event e = { .events = events };

	if (!nb)
		return;
	if (poller < 0 && (poller = epoll_create1(EPOLL_CLOEXEC)) < 0)
		end("epoll_create1", errno);
	if (epoll_ctl(poller, EPOLL_CTL_MOD, fd, &e) < 0 && (errno != ENOENT || epoll_ctl(poller, EPOLL_CTL_ADD, fd, &e) < 0))
		end("epoll_ctl", errno);
	for (;;) {
		int n = epoll_wait(poller, &e, 1, PATIENCE);

		if (n == 0)
			end(what, ETIME);
		if (n > 0)
			return;
		if (errno != EINTR)
			end("epoll_wait", errno);
	}
}

static void
give(int fd, const char *p, size_t n)
{
	for (size_t done = 0; done < n;) {
		ssize_t r = write(fd, p + done, n - done);

		if (r >= 0)
			done += (size_t)r;
		else if (errno == EAGAIN && nb)
			await("write", fd, EPOLLOUT);
		else if (errno != EINTR)
			end("write", errno);
	}
}

static size_t
get(int fd, char *p, size_t n)
{
	size_t done = 0;

	while (done < n) {
		ssize_t r = read(fd, p + done, n - done);

		if (r > 0)
			done += (size_t)r;
		else if (r == 0)
			break;
		else if (errno == EAGAIN && nb)
			await("read", fd, EPOLLIN);
		else if (errno != EINTR)
			end("read", errno);
	}
	return done;
}

/* What is said comes back. Then we end, and the peer does. */
static void
converse(int in, int out, const char *mark)
{
	static char said[SIZE], heard[SIZE + 1];

	fill_with(said, SIZE, mark);
	give(out, said, 100);
	if (get(in, heard, 100) != 100)
		end("read: the end", ENODATA);
	give(out, said + 100, SIZE - 100);
	if (get(in, heard + 100, SIZE - 100) != SIZE - 100)
		end("read: the end", ENODATA);
	if (memcmp(said, heard, SIZE) != 0)
		end("other bytes came back", EBADMSG);
	if (shutdown(out, SHUT_WR) < 0)
		end("shutdown", errno);
	if (get(in, heard, 1) != 0)
		end("more bytes came back", EBADMSG);
}

/* The peer asks, is answered, says that the answer was right, and ends. */
static void
answer(int fd, const char *mark)
{
	static char said[SIZE], ask[4];

	fill_with(said, SIZE, mark);
	if (get(fd, ask, 4) != 4)
		end("read: the end", ENODATA);
	if (memcmp(ask, "ask\n", 4) != 0)
		end("a question of other bytes", EBADMSG);
	give(fd, said, SIZE);
	if (get(fd, ask, 4) != 4 || memcmp(ask, "yes\n", 4) != 0)
		end("read: the end", ENODATA);
	if (get(fd, ask, 1) != 0)
		end("more bytes", EBADMSG);
}

static int
tcp(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | (nb ? SOCK_NONBLOCK : 0), 0);

	if (fd < 0)
		end("socket", errno);
	return fd;
}

static int
call(const char *port)
{
	struct sockaddr_in a = local(port);
	int fd = tcp(), error = 0;
	socklen_t len = sizeof error;

	if (connect(fd, (struct sockaddr *)&a, sizeof a) == 0)
		return fd;
	if (errno != EINPROGRESS || !nb)
		end("connect", errno);
	await("connect", fd, EPOLLOUT);
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
		end("getsockopt", errno);
	if (error)
		end("connect", error);
	return fd;
}

static int
welcome(const char *port)
{
	struct sockaddr_in a = local(port);
	int l = tcp(), fd;

	if (setsockopt(l, SOL_SOCKET, SO_REUSEADDR, &(int){ 1 }, sizeof(int)) < 0)
		end("setsockopt", errno);
	if (bind(l, (struct sockaddr *)&a, sizeof a) < 0)
		end("bind", errno);
	if (listen(l, 5) < 0)
		end("listen", errno);
	for (;;) {
		await("accept", l, EPOLLIN);
		fd = accept4(l, NULL, NULL, nb ? SOCK_NONBLOCK : 0);
		if (fd >= 0)
			break;
		if (errno != EINTR && errno != EAGAIN)
			end("accept", errno);
	}
	close(l);
	return fd;
}

static void
leave(const char *self, int fd, const char *mark)
{
	told = 2;
	if (dup2(fd, 0) < 0 || dup2(fd, 1) < 0)
		end("dup2", errno);
	close(fd);
	execl(self, self, "stays", "0", "blocking", mark, (char *)NULL);
	end("exec", errno);
}

int
main(int argc, char **argv)
{
	int fd = 0, before = descriptors(), after;

	if (argc != 5)
		return 2;
	signal(SIGPIPE, SIG_IGN);
	nb = strcmp(argv[3], "nonblocking") == 0;
	if (strcmp(argv[1], "stays") == 0) {
		told = 2;
		converse(0, 1, argv[4]);
		dprintf(told, "ok\n");
		return 0;
	}
	fd = strcmp(argv[1], "server") == 0 ? welcome(argv[2]) : call(argv[2]);
	if (strcmp(argv[1], "leave") == 0)
		leave(argv[0], fd, argv[4]);
	if (strcmp(argv[1], "server") == 0)
		answer(fd, argv[4]);
	else
		converse(fd, fd, argv[4]);
	if (close(fd) < 0)
		end("close", errno);
	if (poller >= 0)
		close(poller);
	after = descriptors();
	if (before >= 0 && after > before)
		say("leaks: %d descriptors", after - before);
	say("ok");
	return 0;
}
