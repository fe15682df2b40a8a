/*
 * main.c - wrapsock-relay: keeps TLS connections for descriptors that have left the hands of the library.
 *
 * Started by the library, never by hand; it inherits one descriptor, the listener, and ends when it holds no connection and nobody asks.
 */
#include "caller.h"
#include "link.h"
#include "records.h"
#include "relay.h"

#include "log.h"

#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* The leak sanitizer reads the process from outside. */
#ifdef __SANITIZE_ADDRESS__
enum { DUMPABLE = 1 };
#else
enum { DUMPABLE = 0 };
#endif
enum { EVENTS = 256, IDLE = 1000 };	/* milliseconds without a connection before it ends */

static int64_t
now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* Keys live here: no core dump, no tracer of the same user, nothing gained by exec. */
static void
harden(void)
{
	struct rlimit none = { 0, 0 }, files;

	prctl(PR_SET_DUMPABLE, DUMPABLE, 0, 0, 0);
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	setrlimit(RLIMIT_CORE, &none);
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
}

/*
 * What a terminal or a supervisor sends is meant for the program, whose end is seen by its descriptors: as the kernel's buffers would, the
 * relay stays until they are empty.
 */
static void
settle_signals(void)
{
	static const int ignored[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGPIPE, SIGALRM, SIGUSR1, SIGUSR2, SIGTSTP, SIGTTIN, SIGTTOU };
	sigset_t none;

	for (size_t i = 0; i < sizeof ignored / sizeof *ignored; i++)
		signal(ignored[i], SIG_IGN);
	signal(SIGCHLD, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Log lines go to WRAPSOCK_LOG_FILE or to syslog: descriptor 2 is nobody's. */
static void
settle_files(void)
{
	int null;

	close(STDERR_FILENO);
	log_start();
	null = open("/dev/null", O_RDWR);
	if (null < 0)
		null = dup(RELAY_LISTENER);	/* no wire may become one of these numbers, which libraries write to */
	while (null >= 0 && null < STDERR_FILENO)
		null = dup(null);
	if (chdir("/") < 0)
		log_line(LOG_LEVEL_WARN, "cannot leave the folder it was started in: %s", strerror(errno));
}

static int
sooner(int a, int b)
{
	return a < 0 ? b : b < 0 || a < b ? a : b;
}

static void
meet(int epoll, const struct epoll_event *events, int n)
{
	for (int i = 0; i < n; i++) {
		uint64_t data = events[i].data.u64;

		if (data == 0)
			caller_accept(epoll, RELAY_LISTENER);
		else if (caller_is(data))
			caller_event(data);
		else
			link_event(link_of(data), link_side_of(data), events[i].events);
	}
}

static bool
idle(void)
{
	return link_count() == 0 && caller_count() == 0;
}

static void
work(int epoll)
{
	struct epoll_event events[EVENTS];
	int64_t idle_since = now_ms();

	for (;;) {
		struct link *l;
		int64_t now = now_ms();
		int wait = sooner(link_tick(now), caller_tick(now)), n;

		if (!idle())
			idle_since = now;
		else if (now - idle_since < IDLE)
			wait = sooner(wait, (int)(idle_since + IDLE - now));
		else
			wait = 0;
		n = epoll_wait(epoll, events, EVENTS, link_waiting() ? 0 : wait);
		if (n < 0 && errno != EINTR)
			return;
		meet(epoll, events, n);
		for (int turns = 0; turns < EVENTS && (l = link_next()); turns++)
			link_run(l);
		if (idle() && now_ms() - idle_since >= IDLE) {
			caller_accept(epoll, RELAY_LISTENER);	/* who came in the last moment */
			if (idle())
				return;
		}
	}
}

int
main(int argc, char **argv)
{
	struct epoll_event e = { .events = EPOLLIN };
	int type = 0, epoll;
	socklen_t len = sizeof type;

	(void)argv;
	if (argc < 2 || getsockopt(RELAY_LISTENER, SOL_SOCKET, SO_ACCEPTCONN, &type, &len) < 0 || !type) {
		fputs("wrapsock-relay is started by libwrapsock-preload.so and of no use by hand; see wrapsock(7).\n", stderr);
		return 2;
	}
	harden();
	settle_signals();
	settle_files();
	records_alone();
	fcntl(RELAY_LISTENER, F_SETFD, FD_CLOEXEC);
	epoll = epoll_create1(EPOLL_CLOEXEC);
	if (epoll < 0 || fcntl(RELAY_LISTENER, F_SETFL, O_NONBLOCK) < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, RELAY_LISTENER, &e) < 0) {
		log_line(LOG_LEVEL_ERROR, "the relay cannot work: %s", strerror(errno));
		return 1;
	}
	work(epoll);
	return 0;
}
