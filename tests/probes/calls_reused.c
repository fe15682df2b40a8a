/* calls_reused - numbers that change their meaning behind the library's back, or lie beyond its table (calls.h). */
#include "calls.h"

#include "raw.h"

#include <sys/resource.h>

int pidfd_getfd(int pidfd, int fd, unsigned flags);

static char buf[200];

/* The number is closed by no name of libc's; the next file that is opened gets it. */
static void
close_behind(int fd)
{
	raw_syscall(SYS_close, fd, 0, 0, 0, 0, 0);
}

static int
file_at(int fd, const char *text)
{
	char name[] = "/tmp/calls.XXXXXX";
	int file;

	close_behind(fd);
	file = (int)must("mkstemp", mkstemp(name));
	unlink(name);
	raw_syscall(SYS_write, file, (long)text, (long)strlen(text), 0, 0, 0);
	lseek(file, 0, SEEK_SET);
	note(" %s", file == fd ? "a file" : "another number");
	return file;
}

static bool
try_write(int fd)
{
	answered(write(file_at(fd, ""), "file text", 9));
	got(pread(fd, buf, sizeof buf, 0), buf);
	return false;
}

static bool
try_read(int fd)
{
	serve(fd, "secret words");
	got(read(file_at(fd, "file text"), buf, sizeof buf), buf);
	return false;
}

static bool
try_stream(int fd)
{
	FILE *f = fdopen(file_at(fd, "file text"), "r+");

	note(" %s", f && fgets(buf, sizeof buf, f) ? buf : "?");
	return answered(f ? fclose(f) : -1) && false;
}

static bool
try_replaced(int fd)
{
	int file = open("/dev/null", O_RDWR);

	raw_syscall(SYS_dup3, file, fd, 0, 0, 0, 0);
	answered(write(fd, "file text", 9));
	return answered(read(fd, buf, sizeof buf)) && false;
}

/* What the file gets must not be the connection's; nor may the connection's other number be plain from then on. */
static bool
try_twin(int fd)
{
	int other = dup(fd);

	answered(write(file_at(fd, ""), "file text", 9));
	got(pread(fd, buf, sizeof buf, 0), buf);
	for (int i = 0; i < 2; i++)
		note(" %s", send(other, "secret words", 12, MSG_NOSIGNAL) < 0 ? "refused" : "sent");
	return false;
}

/* Another socket has the number: no word of ours goes there. */
static int
socket_at(int fd)
{
	int pair[2];

	close_behind(fd);
	if (raw_syscall(SYS_socketpair, AF_UNIX, SOCK_STREAM, 0, (long)pair, 0, 0) < 0)
		die("socketpair");
	note(" %s", pair[0] == fd ? "a socket" : "another number");
	return pair[1];
}

static bool
try_shutdown(int fd)
{
	int end = socket_at(fd);

	answered(shutdown(fd, SHUT_WR));
	return answered(recv(end, buf, sizeof buf, MSG_DONTWAIT)) && false;
}

static bool
try_close(int fd)
{
	int end = socket_at(fd);

	answered(close(fd));
	return answered(recv(end, buf, sizeof buf, MSG_DONTWAIT)) && false;
}

static bool
try_exit(int fd)
{
	pid_t pid = (pid_t)must("fork", fork());
	int end;

	if (pid == 0) {
		close(fd);
		fd = dial(call_port);
		end = socket_at(fd);
		if (fork() == 0)
			_exit(0);
		wait(NULL);
		answered(recv(end, buf, sizeof buf, MSG_DONTWAIT));
		show(line);
		_exit(0);
	}
	must("waitpid", waitpid(pid, NULL, 0));
	exit(0);
}

/* Connected by no name of libc's: its first word begins the handshake. */
static bool
try_late(int fd)
{
	struct sockaddr_in a = local(call_port);
	int other = make_socket(0);

	note(" %ld", raw_syscall(SYS_connect, other, (long)&a, sizeof a, 0, 0, 0));
	sent(other, write(other, "hello", 5), 5);
	close(other);
	return fd >= 0;
}

static bool
try_limit(int fd)
{
	struct rlimit less = { (rlim_t)fd, (rlim_t)fd };

	must("setrlimit", setrlimit(RLIMIT_NOFILE, &less));
	answered(dup(fd));
	answered(fcntl(fd, F_DUPFD_CLOEXEC, 0));
	answered(dup2(fd, 77));
	return answered(socket(AF_INET, SOCK_STREAM, 0));
}

/* ---- beyond the table, which the test has made that small ---- */

enum { BEYOND = 64 };

/* All numbers below are taken. */
static int
filled(void)
{
	int n = open("/dev/null", O_RDONLY);

	while (n < BEYOND)
		n = (int)raw_syscall(SYS_dup, n, 0, 0, 0, 0, 0);
	return n;
}

static bool
closed(int number)
{
	note(" %s", fcntl(number, F_GETFD) < 0 ? "closed" : "open");
	return true;
}

static bool try_beyond_dup2(int fd) { return answered(dup2(fd, BEYOND + 6)) && closed(BEYOND + 6); }
static bool try_beyond_dup3(int fd) { return answered(dup3(fd, BEYOND + 6, O_CLOEXEC)) && closed(BEYOND + 6); }
static bool try_beyond_dupfd(int fd) { return answered(fcntl(fd, F_DUPFD, BEYOND + 6)) && closed(BEYOND + 6); }
static bool try_beyond_dup(int fd) { return filled() >= BEYOND && answered(dup(fd)); }

static bool
try_beyond_planned(int fd)
{
	int other = make_socket(0);

	return answered(dup2(other, BEYOND + 6)) && closed(BEYOND + 6) && fd >= 0;
}

static bool
try_beyond_connect(int fd)
{
	struct sockaddr_in a = local(call_port);
	int full = filled(), other = make_socket(0);

	note(" %s", other > full ? "beyond" : "?");
	return answered(connect(other, (void *)&a, sizeof a)) && closed(other) && fd >= 0;
}

static bool
try_beyond_pidfd(int fd)
{
	int full = filled();

	return answered(pidfd_getfd((int)syscall(SYS_pidfd_open, getpid(), 0), fd, 0)) && full >= BEYOND;
}

static const struct call calls[] = {
	{ "write", try_write }, { "read", try_read }, { "stream", try_stream }, { "replaced", try_replaced }, { "twin", try_twin },
	{ "shutdown", try_shutdown }, { "close", try_close }, { "exit", try_exit }, { "late", try_late }, { "limit", try_limit },
	{ "beyond.dup2", try_beyond_dup2 }, { "beyond.dup3", try_beyond_dup3 }, { "beyond.F_DUPFD", try_beyond_dupfd },
	{ "beyond.dup", try_beyond_dup }, { "beyond.planned", try_beyond_planned }, { "beyond.connect", try_beyond_connect },
	{ "beyond.pidfd_getfd", try_beyond_pidfd },
	{ NULL, NULL }
};
