/*
 * worker SOCKET: a nursery. For every name on standard input it forks an actor of that name, in a process group of its own, which
 * connects to the driver's SOCKET and executes what it is sent.  Many sequences so share one start of the process under the
 * preload.
 */
#include "worker.h"

#include "raw.h"

#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Of TCP, RFC 793's, by the numbers that tcp_info gives them. */
enum { ESTABLISHED = 1, FIN_WAIT1 = 4, FIN_WAIT2 = 5, CLOSED = 7, LISTENING = 10 };

int slot[SLOTS];
_Thread_local int control = -1;
_Thread_local volatile int sigpipes;
static const char *meeting;	/* the driver's socket */

const char *
word(const struct op *o, int n)
{
	return n < o->argc ? o->argv[n] : "";
}

long
number(const struct op *o, int n)
{
	return strtol(word(o, n), NULL, 10);
}

int
slot_index(const char *name)
{
	int n = name[0] == 's' && name[1] ? atoi(name + 1) : -1;

	return n >= 0 && n < SLOTS ? n : -1;
}

int *
slot_of(const struct op *o, int n)
{
	static _Thread_local int nowhere;
	int i = slot_index(word(o, n));

	nowhere = -1;
	return i < 0 ? &nowhere : &slot[i];
}

int
fd_of(const struct op *o, int n)
{
	int fd = *slot_of(o, n);

	if (fd < 0)
		say((struct op *)(uintptr_t)o, "noslot");
	return fd;
}

void
say(struct op *o, const char *fmt, ...)
{
	va_list ap;

	if (o->len && o->len < sizeof o->answer - 1)
		o->answer[o->len++] = ' ';
	va_start(ap, fmt);
	o->len += (size_t)vsnprintf(o->answer + o->len, sizeof o->answer - o->len, fmt, ap);
	va_end(ap);
	if (o->len >= sizeof o->answer)
		o->len = sizeof o->answer - 1;
}

void
say_result(struct op *o, long result)
{
	if (result < 0)
		say(o, "%s", strerrorname_np(errno));
	else
		say(o, "%ld", result);
}

bool
flag(const struct op *o, int from, const char *name)
{
	for (int i = from; i < o->argc; i++)
		if (!strcmp(o->argv[i], name))
			return true;
	return false;
}

int64_t
now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

void
pattern(void *buf, size_t n, unsigned stream, uint64_t offset)
{
	uint8_t *p = buf;

	for (size_t i = 0; i < n; i++) {
		uint64_t at = offset + i;

		p[i] = (uint8_t)((at * 7 + (at >> 8) * 13 + (at >> 16)) ^ stream * 0x5b);
	}
}

uint64_t
digest(uint64_t seed, const void *buf, size_t n)
{
	const uint8_t *p = buf;
	uint64_t h = seed ? seed : 14695981039346656037ul;

	while (n--)
		h = (h ^ *p++) * 1099511628211ul;
	return h;
}

static const struct tcp_info *
tcp_info(int fd, struct tcp_info *i)
{
	socklen_t len = sizeof *i;

	memset(i, 0, sizeof *i);
	return fd >= 0 && getsockopt(fd, IPPROTO_TCP, TCP_INFO, i, &len) == 0 ? i : NULL;
}

/* Has the relay the wire, and this process the end of a pair? Then the kernel knows of no TCP here. */
static bool
relayed(int fd)
{
	int domain = 0;
	unsigned len = sizeof domain;

	return fd >= 0 && raw_getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0 && domain == AF_UNIX;
}

static bool
pair_has(int fd, const char *want)
{
	struct pollfd p = { .fd = fd, .events = POLLRDHUP };
	int n = 0;

	if (*want != 'e' && *want != 'r')
		return raw_ioctl(fd, FIONREAD, &n) < 0 || n >= atoi(want + strcspn(want, "/") + 1);
	if (raw_syscall(SYS_ppoll, (long)&p, 1, (long)&(struct timespec){ 0 }, 0, 0, 0) != 1)
		return false;
	return *want == 'e' || p.revents & (POLLERR | POLLHUP);
}

static bool
wire_has(int fd, const char *want)
{
	struct tcp_info info;

	if (!tcp_info(fd, &info) || info.tcpi_state == CLOSED || *want == 'r')
		return true;
	if (*want == 'e')
		return info.tcpi_state != ESTABLISHED && info.tcpi_state != FIN_WAIT1 && info.tcpi_state != FIN_WAIT2;
	return info.tcpi_bytes_received >= strtoull(want, NULL, 10);
}

/*
 * "@s3:1200/1100,s4:end,s5:reset" before the words: what the other end has sent must have arrived before this operation looks, so
 * many bytes on the wire or so many unread at the end of a pair: on loopback a matter of microseconds, which would otherwise be the
 * only thing that differs from run to run.
 */
static void
arrive(char *list)
{
	int64_t until = now_ms() + 300;

	for (char *rest, *each = strtok_r(list, ",", &rest); each; each = strtok_r(NULL, ",", &rest)) {
		const char *want = strchr(each, ':');
		int i = slot_index(each);

		while (want && i >= 0 && !(relayed(slot[i]) ? pair_has(slot[i], want + 1) : wire_has(slot[i], want + 1)) && now_ms() < until)
			sched_yield();
	}
}

/*
 * Has the relay sent all that it was given? Its wire's bytes not yet acknowledged are part of what it says is unsent; how the count
 * of those acknowledged relates to that of those sent is known from a moment when there were none.
 */
static bool
relay_idle(int i)
{
	static _Thread_local int64_t base[SLOTS];
	static _Thread_local uint64_t known[SLOTS];
	uint64_t cookie = 0;
	unsigned len = sizeof cookie;
	struct tcp_info info;
	int unsent;
	int64_t total;

	if (ioctl(slot[i], SIOCOUTQ, &unsent) < 0 || !tcp_info(slot[i], &info))
		return true;
	raw_getsockopt(slot[i], SOL_SOCKET, SO_COOKIE, &cookie, &len);
	total = (int64_t)(info.tcpi_bytes_sent - info.tcpi_bytes_retrans + info.tcpi_notsent_bytes);
	if (unsent == 0) {
		base[i] = (int64_t)info.tcpi_bytes_acked - total;
		known[i] = cookie;
		return true;
	}
	return known[i] == cookie && unsent == total + base[i] - (int64_t)info.tcpi_bytes_acked;
}

/* How much each connection of this process has sent, for the other end to wait for; not part of what is compared. */
static void
say_sent(struct op *o)
{
	int64_t until = now_ms() + 300;

	say(o, "|");
	for (int i = 0; i < SLOTS; i++) {
		struct tcp_info info;

		while (relayed(slot[i]) && !relay_idle(i) && now_ms() < until)
			sched_yield();
		if (slot[i] >= 0 && tcp_info(slot[i], &info) && info.tcpi_state != LISTENING)
			say(o, "s%d:%llu", i, (unsigned long long)(info.tcpi_bytes_sent - info.tcpi_bytes_retrans + info.tcpi_notsent_bytes));
	}
}

static const struct verb *
find(const char *name)
{
	static const struct verb *const all[] = { stream_verbs, descriptor_verbs, ready_verbs, native_verbs, process_verbs };

	for (size_t t = 0; t < sizeof all / sizeof *all; t++)
		for (const struct verb *v = all[t]; v->name; v++)
			if (!strcmp(v->name, name))
				return v;
	return NULL;
}

static void
execute(struct op *o, char *line)
{
	const struct verb *v;

	*o = (struct op){ 0 };
	for (char *rest, *w = strtok_r(line, " ", &rest); w && o->argc < WORDS; w = strtok_r(NULL, " ", &rest))
		o->argv[o->argc++] = w;
	if (o->argc && o->argv[0][0] == '@') {
		char *list = o->argv[0] + 1;

		memmove(o->argv, o->argv + 1, (size_t)--o->argc * sizeof *o->argv);
		arrive(list);
	}
	v = find(word(o, 0));
	sigpipes = 0;
	errno = EXDEV;		/* success leaves errno alone: whoever changes it is told */
	if (v)
		v->run(o);
	else
		say(o, "what is %s?", word(o, 0));
	if (sigpipes)
		say(o, "SIGPIPE");
}

void
actor_loop(void)
{
	char line[512];
	struct op o;
	ssize_t n;

	while ((n = recv(control, line, sizeof line - 1, 0)) > 0) {
		line[n] = '\0';
		if (line[0] == '&') {	/* the driver does not wait for this one: tell it that it has begun */
			send(control, "begun", 5, MSG_NOSIGNAL);
			line[0] = ' ';
		}
		execute(&o, line);
		say_sent(&o);
		if (send(control, o.answer, o.len, MSG_NOSIGNAL) < 0)
			return;
	}
}

static void
count_pipe(int sig)
{
	(void)sig;
	sigpipes++;
}

static void
nothing(int sig)
{
	(void)sig;
}

bool
actor_connect(const char *name)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);
	char hello[64];

	snprintf(a.sun_path, sizeof a.sun_path, "%s", meeting);
	control = fcntl(fd, F_DUPFD, CONTROL_FD);
	close(fd);
	if (control < 0 || connect(control, (struct sockaddr *)&a, sizeof a) < 0)
		return false;
	snprintf(hello, sizeof hello, "%s %d %d", name, (int)getpid(), (int)gettid());
	return send(control, hello, strlen(hello), MSG_NOSIGNAL) > 0;
}

static void
handle_signals(void)
{
	struct sigaction pipes = { .sa_handler = count_pipe, .sa_flags = SA_RESTART }, wakes = { .sa_handler = nothing, .sa_flags = SA_RESTART };

	sigaction(SIGPIPE, &pipes, NULL);
	sigaction(SIGUSR1, &wakes, NULL);
	signal(SIGCHLD, SIG_DFL);
}

void
actor_serve(const char *name)
{
	handle_signals();
	if (actor_connect(name))
		actor_loop();
	_exit(0);
}

void
fill_standard(void)
{
	for (int fd = 0; fd <= 2; fd++)
		if (fcntl(fd, F_GETFD) < 0)
			open("/dev/null", O_RDWR);
}

/* After an exec: the channel is open, the driver waits for the answer to "exec". */
void
actor_resume(int fd)
{
	struct op o = { 0 };

	control = fd;
	handle_signals();
	fill_standard();
	say(&o, "executed");
	for (int i = 0; i < SLOTS; i++) {
		if (slot[i] >= 0 && fcntl(slot[i], F_GETFD) < 0)
			slot[i] = -1;
		if (slot[i] >= 0)
			say(&o, "s%d", i);
	}
	say_sent(&o);
	send(control, o.answer, o.len, MSG_NOSIGNAL);
	actor_loop();
	_exit(0);
}

int
main(int argc, char **argv)
{
	static char line[64];

	for (int i = 0; i < SLOTS; i++)
		slot[i] = -1;
	meeting = getenv("PROPERTY_SOCKET");
	if (!meeting)
		return 2;
	if (argc == 2 + SLOTS) {	/* resumed: channel, slots */
		for (int i = 0; i < SLOTS; i++)
			slot[i] = atoi(argv[2 + i]);
		actor_resume(atoi(argv[1]));
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	signal(SIGCHLD, SIG_IGN);
	while (fgets(line, sizeof line, stdin)) {
		line[strcspn(line, "\n")] = '\0';
		if (fork() == 0) {
			setpgid(0, 0);
			close(0);
			open("/dev/null", O_RDONLY);
			actor_serve(line);
		}
	}
	return 0;
}
