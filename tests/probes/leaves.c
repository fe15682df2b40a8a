/*
 * leaves PORT HOW: ways in which a descriptor leaves the hands of the library, and what the program sees of it afterwards: zero one
 * stream streams early exec exec-asks meant spawn system popen vfork vfork-dup vfork-flag vfork-ioctl pass pass-asks last names
 * options children epoll reset; `leaves - child FD` is the program that some of them start, `leaves - asks FD` one that asks more.
 */
#include "probe.h"

#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <spawn.h>

static char *self;

static void
names(int fd, const char *port)
{
	struct sockaddr_in peer, mine;
	socklen_t plen = sizeof peer, mlen = sizeof mine;
	int domain = -1, type = -1, protocol = -1, error = -1;
	socklen_t len = sizeof domain;

	must("getpeername", getpeername(fd, (struct sockaddr *)&peer, &plen));
	must("getsockname", getsockname(fd, (struct sockaddr *)&mine, &mlen));
	getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len);
	getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len);
	getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &len);
	getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len);
	say("peer: %d, %s, %s, %u bytes; mine: %d, %s", peer.sin_family == AF_INET, inet_ntoa(peer.sin_addr),
	    !port || ntohs(peer.sin_port) == atoi(port) ? "its port" : "another port", plen, mine.sin_family == AF_INET,
	    mine.sin_port ? "a port" : "no port");
	say("domain %d, type %d, protocol %d, error %d", domain, type, protocol, error);
}

static void
child(int fd)
{
	names(fd, NULL);
	echo(fd, "from the child");
	must("shutdown", shutdown(fd, SHUT_WR));
}

static int
number_of(int fd, int level, int name)
{
	int value = -1;
	socklen_t len = sizeof value;

	return getsockopt(fd, level, name, &value, &len) < 0 ? -errno : value;
}

/* What the process that made the connection has set, asked in the one that has got it. */
static void
asked_elsewhere(int fd)
{
	int one = 1, waiting = -1, unsent = -1;
	struct tcp_info info;
	socklen_t ilen = sizeof info;
	struct linger l = { 0, 0 };
	socklen_t llen = sizeof l;

	names(fd, NULL);
	say("nodelay %d, keepalive %d, keepidle %d", number_of(fd, IPPROTO_TCP, TCP_NODELAY), number_of(fd, SOL_SOCKET, SO_KEEPALIVE),
	    number_of(fd, IPPROTO_TCP, TCP_KEEPIDLE));
	must("SO_LINGER", getsockopt(fd, SOL_SOCKET, SO_LINGER, &l, &llen));
	must("TCP_INFO", getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &ilen));
	say("linger %d %d, state %d", l.l_onoff, l.l_linger, info.tcpi_state);
	must("send", send(fd, "12345", 5, 0));
	wait_poll(fd, POLLIN);
	for (int i = 0; i < 400 && (ioctl(fd, FIONREAD, &waiting) < 0 || waiting < 5 || ioctl(fd, SIOCOUTQ, &unsent) < 0 || unsent); i++)
		poll(NULL, 0, 5);
	say("waiting %d, unsent %d", waiting, unsent);
	say("keepcnt: %s", result(setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &(int){ 4 }, sizeof one)));
	say("keepcnt %d", number_of(fd, IPPROTO_TCP, TCP_KEEPCNT));
	say("shutdown: %s", result(shutdown(fd, SHUT_WR)));
	say("write: %s", result(send(fd, "x", 1, MSG_NOSIGNAL)));
	read_all(fd, (char[5]){ 0 }, 5, 5);
	say("end: %s", result(read(fd, &one, 1)));
	say("nodelay at the end: %s", result(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one)));
}

static void
set_all(int fd)
{
	int one = 1, seconds = 33;

	must("TCP_NODELAY", setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one));
	must("SO_KEEPALIVE", setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof one));
	must("TCP_KEEPIDLE", setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &seconds, sizeof seconds));
	must("SO_LINGER", setsockopt(fd, SOL_SOCKET, SO_LINGER, &(struct linger){ 1, 7 }, sizeof(struct linger)));
}

static pid_t
start(char *const argv[])
{
	pid_t pid = fork();

	if (pid == 0) {
		execv(self, argv);
		_exit(127);
	}
	return pid;
}

static void
reap(pid_t pid)
{
	int status;

	must("waitpid", waitpid(pid, &status, 0));
	say("child: %s %d", WIFEXITED(status) ? "exit" : "signal", WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
}

static void
by_exec(int fd, bool meant, bool asks)
{
	char number[16], *argv[] = { self, (char[]){ "-" }, asks ? (char[]){ "asks" } : (char[]){ "child" }, number, NULL };
	int as = meant ? fd : (int)must("dup", dup(fd));

	if (meant)
		must("F_SETFD", fcntl(fd, F_SETFD, 0));
	snprintf(number, sizeof number, "%d", as);
	echo(fd, "before");
	if (asks)
		set_all(fd);
	reap(start(argv));
}

/* The shell inherits what is not close-on-exec, and what it starts does so in turn. */
static void
by_shell(int fd, bool pipe)
{
	char command[1024], line[256];
	FILE *f;

	snprintf(command, sizeof command, "'%s' - child %d", self, (int)must("dup", dup(fd)));
	echo(fd, "before");
	if (!pipe) {
		say("system: %s", result(system(command)));
		return;
	}
	f = popen(command, "r");
	if (!f)
		die("popen");
	while (fgets(line, sizeof line, f))
		printf("through the pipe: %s", line);
	say("pclose: %s", result(pclose(f)));
}

static void
by_spawn(int fd)
{
	char number[] = "77", *argv[] = { self, (char[]){ "-" }, (char[]){ "child" }, number, NULL };
	posix_spawn_file_actions_t actions;
	pid_t pid;
	int r;

	posix_spawn_file_actions_init(&actions);
	say("adddup2: %s", word(posix_spawn_file_actions_adddup2(&actions, fd, 77)));
	r = posix_spawn(&pid, self, &actions, NULL, argv, environ);
	if (r == 0)
		reap(pid);
	say("posix_spawn: %s", word(r));
}

/* The number that the new program is to find it under. */
static int
double_in_vfork(int fd, const char *how)
{
	if (!strcmp(how, "vfork-dup"))
		return dup2(dup(fd), 0);
	if (!strcmp(how, "vfork-flag"))
		return fcntl(fcntl(fd, F_DUPFD_CLOEXEC, 60), F_SETFD, 0) < 0 ? -1 : 60;
	if (!strcmp(how, "vfork-ioctl"))
		return ioctl(dup3(fd, 70, O_CLOEXEC), FIONCLEX) < 0 ? -1 : 70;
	return dup2(fd, 0);
}

static void
by_vfork(int fd, const char *how)
{
	char number[] = "00", *argv[] = { self, (char[]){ "-" }, (char[]){ "child" }, number, NULL };
	pid_t pid;

	echo(fd, "before");
	pid = vfork();
	if (pid == 0) {
		int as = double_in_vfork(fd, how);

		if (as < 0)
			_exit(126);
		number[0] = (char)('0' + as / 10);
		execv(self, argv);
		_exit(127);
	}
	close(fd);
	reap(pid);
}

union control {
	char bytes[CMSG_SPACE(sizeof(int))];
	struct cmsghdr align;
};

static void
pass(int over, int fd)
{
	union control control = { { 0 } };
	struct iovec iov = { (char[]){ "x" }, 1 };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes };
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof fd);
	memcpy(CMSG_DATA(c), &fd, sizeof fd);
	must("SCM_RIGHTS out", sendmsg(over, &m, 0));
}

static int
passed(int over)
{
	union control control = { { 0 } };
	struct iovec iov = { (char[]){ "x" }, 1 };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes };
	int fd;

	must("SCM_RIGHTS in", recvmsg(over, &m, 0));
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof fd);
	return fd;
}

static void
by_pass(int fd, const char *port)
{
	int pair[2], got;

	must("socketpair", socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	pass(pair[0], fd);
	close(fd);
	got = passed(pair[1]);
	names(got, port);
	echo(got, "passed");
	finish(got);
}

/* To a process that was there before the connection. */
static void
passed_and_asked(const char *port)
{
	int pair[2], fd;
	pid_t pid;

	must("socketpair", socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	pid = (pid_t)must("fork", fork());
	if (pid == 0) {
		close(pair[0]);
		asked_elsewhere(passed(pair[1]));
		exit(0);
	}
	fd = dial(port);
	echo(fd, "before");
	set_all(fd);
	pass(pair[0], fd);
	close(fd);
	reap(pid);
}

static void
by_stream(int fd)
{
	FILE *f = fdopen(fd, "r+");
	char line[64] = "";

	if (!f)
		die("fdopen");
	setvbuf(f, NULL, _IOLBF, 1024);
	for (int i = 0; i < 3; i++) {
		fprintf(f, "line %d\n", i);
		fflush(f);
		say("%s", fgets(line, sizeof line, f) ? strtok(line, "\n") : "nothing");
	}
	shutdown(fd, SHUT_WR);
	say("end: %s", fgets(line, sizeof line, f) ? line : feof(f) ? "end of file" : "error");
	fclose(f);
}

/* One to read from and one to write to, as most do it. */
static void
by_streams(int fd)
{
	FILE *in = fdopen(fd, "r"), *out = fdopen(dup(fd), "w");
	char *line = NULL, bytes[8] = "";
	size_t size = 0;

	if (!in || !out)
		die("fdopen");
	say("the same number: %d", fileno(in) == fd);
	setvbuf(out, NULL, _IOFBF, 100);
	fprintf(out, "%s %d\n", "a line", 1);
	fputs("another ", out);
	putc('l', out);
	fwrite("ine\n", 1, 4, out);
	must("fflush", fflush(out));
	say("dprintf: %d", dprintf(fileno(out), "%s\n", "by number"));
	for (int i = 0; i < 3; i++)
		say("getline: %s", getline(&line, &size, in) > 0 ? strtok(line, "\n") : "nothing");
	free(line);
	setvbuf(out, NULL, _IONBF, 0);
	fputs("unbuffered", out);
	say("getc: %c, fread: %zu", getc(in), fread(bytes, 1, 8, in));
	say("fclose: %d", fclose(out));
	say("shutdown: %s", result(shutdown(fd, SHUT_WR)));
	say("the rest: %c, then %s", getc(in), getc(in) == EOF && feof(in) && !ferror(in) ? "the end" : "no end");
	say("fclose: %d, then %s", fclose(in), result(fcntl(fd, F_GETFD)));
}

/* The stream is there before the connection. */
static void
early_stream(const char *port)
{
	struct sockaddr_in a = local(port);
	int fd = make_socket(0);
	FILE *f = fdopen(fd, "r+");
	char line[64] = "";

	say("fdopen: %d, connect: %s", f != NULL, result(connect(fd, (struct sockaddr *)&a, sizeof a)));
	if (!f)
		return;
	fprintf(f, "a line\n");
	fflush(f);
	say("%s", fgets(line, sizeof line, f) ? strtok(line, "\n") : "nothing");
	fclose(f);
}

static void
standard(int fd, int as)
{
	char line[64] = "";
	int out = as == 1 ? dup(1) : -1;

	must("dup2", dup2(fd, as));
	must("close", close(fd));
	if (as == 0) {
		must("write", write(0, "to myself\n", 10));
		say("stdin: %s", fgets(line, sizeof line, stdin) ? strtok(line, "\n") : "nothing");
		return;
	}
	printf("by printf\n");
	fflush(stdout);
	must("read", read(1, line, sizeof line - 1));
	must("dup2", dup2(out, 1));
	say("back: %s", strtok(line, "\n"));
}

/* The program has ended before a byte of it can have been taken. */
static void
last_write(int fd)
{
	static char buf[150000];

	must("dup2", dup2(fd, 0));
	memset(buf, 'l', sizeof buf);
	must("write", write(0, buf, sizeof buf));
	_exit(0);
}

static int children;

static void
count_child(int sig)
{
	(void)sig;
	children++;
}

static void
no_children(int fd)
{
	signal(SIGCHLD, count_child);
	must("dup2", dup2(fd, 0));
	echo(0, "behind the back");
	say("wait: %s", result(wait(NULL)));
	say("SIGCHLD: %d", children);
}

static void
options(int fd, const char *how)
{
	int one = 1, value = 0, unsent = -1, waiting = -1;
	socklen_t len = sizeof value;
	struct tcp_info info;
	socklen_t ilen = sizeof info;
	struct linger l = { 0, 0 };
	socklen_t llen = sizeof l;

	(void)how;
	must("dup2", dup2(fd, 0));
	say("nodelay: %s", result(setsockopt(0, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one)));
	getsockopt(0, IPPROTO_TCP, TCP_NODELAY, &value, &len);
	say("nodelay is %d", value);
	say("keepalive: %s", result(setsockopt(0, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof one)));
	value = 33;
	say("keepidle: %s", result(setsockopt(0, IPPROTO_TCP, TCP_KEEPIDLE, &value, sizeof value)));
	value = 0;
	getsockopt(0, IPPROTO_TCP, TCP_KEEPIDLE, &value, &len);
	say("keepidle is %d", value);
	getsockopt(0, SOL_SOCKET, SO_KEEPALIVE, &value, &len);
	say("keepalive is %d", value);
	must("TCP_INFO", getsockopt(0, IPPROTO_TCP, TCP_INFO, &info, &ilen));
	say("TCP_INFO: state %d", info.tcpi_state);
	say("linger: %s", result(getsockopt(0, SOL_SOCKET, SO_LINGER, &l, &llen)));
	must("send", send(0, "12345", 5, 0));
	wait_poll(0, POLLIN);
	for (int i = 0; i < 400 && (ioctl(0, FIONREAD, &waiting) < 0 || waiting < 5); i++)
		poll(NULL, 0, 5);
	for (int i = 0; i < 400 && (ioctl(0, SIOCOUTQ, &unsent) < 0 || unsent); i++)
		poll(NULL, 0, 5);
	say("waiting %d, unsent %d", waiting, unsent);
	say("MSG_OOB: %s", send(0, "x", 1, MSG_OOB) == 1 ? "sent" : "refused");
	say("connect again: %s", result(connect(0, (struct sockaddr *)&(struct sockaddr_in){ .sin_family = AF_INET }, sizeof(struct sockaddr_in))));
}

static void
in_epoll(int fd)
{
	int ep = epoll_create1(0);
	struct epoll_event e = { .events = EPOLLIN, .data.u64 = 4711 }, out;

	must("epoll_ctl", epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e));
	must("dup2", dup2(fd, 0));
	must("write", write(fd, "hello", 5));
	say("epoll_wait: %s", result(epoll_wait(ep, &out, 1, PATIENCE)));
	say("data %llu", (unsigned long long)out.data.u64);
	must("epoll_ctl", epoll_ctl(ep, EPOLL_CTL_DEL, fd, NULL));
}

/* The peer breaks off behind its first answer. */
static void
broken(int fd)
{
	char buf[64];
	ssize_t n;

	must("dup2", dup2(fd, 0));
	must("write", write(0, "once", 4));
	n = must("read", read(0, buf, sizeof buf));
	say("first: %.*s", (int)n, buf);
	n = read(0, buf, sizeof buf);
	say("then: %s", n < 0 ? word(errno) : n ? "data" : "end");
}

static void
leave(int fd, const char *how, const char *port)
{
	static const char *const hows[] = { "zero", "one", "stream", "exec", "meant", "spawn", "vfork", "pass", "last", "names", "options", "children",
					    "epoll", "reset", "vfork-dup", "vfork-flag", "vfork-ioctl", "system",
					    "popen", "exec-asks", "streams" };
	size_t i = 0;

	while (i < sizeof hows / sizeof *hows && strcmp(hows[i], how) != 0)
		i++;
	switch (i) {
	case 0: standard(fd, 0); break;
	case 1: standard(fd, 1); break;
	case 2: by_stream(fd); break;
	case 3: by_exec(fd, false, false); break;
	case 4: by_exec(fd, true, false); break;
	case 5: by_spawn(fd); break;
	case 6: case 14: case 15: case 16: by_vfork(fd, how); break;
	case 7: by_pass(fd, port); break;
	case 8: last_write(fd); break;
	case 9: must("dup2", dup2(fd, 0)); names(fd, port); names(0, port); break;
	case 10: options(fd, how); break;
	case 11: no_children(fd); break;
	case 12: in_epoll(fd); break;
	case 13: broken(fd); break;
	case 17: by_shell(fd, false); break;
	case 18: by_shell(fd, true); break;
	case 19: by_exec(fd, false, true); break;
	case 20: by_streams(fd); break;
	default: say("what is %s?", how);
	}
}

int
main(int argc, char **argv)
{
	self = argv[0];
	if (argc > 3) {
		(strcmp(argv[2], "asks") ? child : asked_elsewhere)(atoi(argv[3]));
		return 0;
	}
	if (strcmp(argv[2], "early") == 0)
		early_stream(argv[1]);
	else if (strcmp(argv[2], "pass-asks") == 0)
		passed_and_asked(argv[1]);
	else
		leave(dial(argv[1]), argv[2], argv[1]);
	return 0;
}
