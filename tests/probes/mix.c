/*
 * Mixed traffic, every byte of which is accounted for. A request names a seed and two lengths; behind it come the bytes that follow from the seed, and
 * back come their hash as the server saw them, and bytes that follow from the next seed.
 *
 * mix server PORT...                      one event loop, until SIGTERM
 * mix client SECONDS HELD PAUSE PORT...   threads: exchanges of all sizes, half-closed, broken off, reset; HELD connections stay open and speak now
 *                                         and then; PAUSE microseconds between two of a thread's steps
 * mix forks SECONDS PAUSE PORT...         one thread: a connection each to a child, by fork and by exec
 * mix exchange FD SEED UP DOWN            one exchange on a descriptor that was inherited
 */
#include "probe.h"

#include <sys/epoll.h>
#include <sys/wait.h>

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <time.h>

enum { THREADS = 6, PIECE = 16384, PORTS = 8 };

struct request {
	uint32_t seed, up, down, mark;
};
#define MARK 0x6d697831u

static const char *ports[PORTS + 1];
static int nports;
static useconds_t pause_us;
static time_t until;		/* at first how long, from the beginning on when */
static atomic_long exchanges, failures;

/* ---- bytes ---- */

struct bytes {
	uint32_t seed;
	uint64_t hash;
};

static struct bytes
bytes_of(uint32_t seed)
{
	return (struct bytes){ seed, 14695981039346656037ul };
}

static void
take_hash(struct bytes *b, const unsigned char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		b->hash = (b->hash ^ p[i]) * 1099511628211ul;
}

static void
make(struct bytes *b, unsigned char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		p[i] = (unsigned char)((b->seed = b->seed * 1103515245u + 12345u) >> 16);
	take_hash(b, p, n);
}

/* ---- client ---- */

static void
fail(const char *what)
{
	say("failed: %s: %s", what, word(errno));
	failures++;
}

static bool
put(int fd, const void *data, size_t n)
{
	for (size_t done = 0; done < n;) {
		ssize_t r = write(fd, (const char *)data + done, n - done);

		if (r < 0)
			return false;
		done += (size_t)r;
	}
	return true;
}

static bool
get(int fd, void *data, size_t n)
{
	for (size_t done = 0; done < n;) {
		ssize_t r = read(fd, (char *)data + done, n - done);

		if (r == 0)
			errno = ENODATA;
		if (r <= 0)
			return false;
		done += (size_t)r;
	}
	return true;
}

static bool
ask(int fd, const struct request *q, uint64_t *hash)
{
	struct bytes b = bytes_of(q->seed);
	unsigned char piece[PIECE];

	if (!put(fd, q, sizeof *q))
		return false;
	for (size_t left = q->up, n; left; left -= n) {
		n = left < sizeof piece ? left : sizeof piece;
		make(&b, piece, n);
		if (!put(fd, piece, n))
			return false;
	}
	*hash = b.hash;
	return true;
}

static bool
hear(int fd, const struct request *q, uint64_t hash)
{
	struct bytes expected = bytes_of(q->seed + 1), got = bytes_of(0);
	unsigned char piece[PIECE], same[PIECE];
	uint64_t theirs;

	if (!get(fd, &theirs, sizeof theirs))
		return false;
	errno = EBADMSG;
	if (theirs != hash)
		return false;
	for (size_t left = q->down, n; left; left -= n) {
		n = left < sizeof piece ? left : sizeof piece;
		if (!get(fd, piece, n))
			return false;
		take_hash(&got, piece, n);
		make(&expected, same, n);
	}
	errno = EBADMSG;
	return got.hash == expected.hash;
}

static bool
exchange(int fd, uint32_t seed, uint32_t up, uint32_t down)
{
	struct request q = { seed, up, down, MARK };
	uint64_t hash;

	if (!ask(fd, &q, &hash) || !hear(fd, &q, hash))
		return false;
	exchanges++;
	return true;
}

static uint32_t
length(unsigned *dice)
{
	static const uint32_t most[] = { 1, 200, 200, 5000, 5000, 40000, 40000, 400000 };

	return (uint32_t)rand_r(dice) % most[rand_r(dice) % 8] + 1;
}

static int
call(unsigned *dice)
{
	struct sockaddr_in a = local(ports[rand_r(dice) % nports]);
	int fd = make_socket(SOCK_CLOEXEC);

	if (connect(fd, (struct sockaddr *)&a, sizeof a) == 0)
		return fd;
	fail("connect");
	close(fd);
	return -1;
}

static void
hang_up(int fd)
{
	char byte;

	if (shutdown(fd, SHUT_WR) < 0 || read(fd, &byte, 1) != 0)
		fail("end");
	close(fd);
}

static void
half_close(int fd, unsigned *dice)
{
	struct request q = { (uint32_t)rand_r(dice), length(dice), length(dice), MARK };
	uint64_t hash;
	char byte;

	if (!ask(fd, &q, &hash) || shutdown(fd, SHUT_WR) < 0 || !hear(fd, &q, hash) || read(fd, &byte, 1) != 0)
		fail("half-closed exchange");
	else
		exchanges++;
	close(fd);
}

/* In the middle of what comes, with a reset or without. */
static void
break_off(int fd, unsigned *dice)
{
	struct request q = { (uint32_t)rand_r(dice), length(dice), 200000, MARK };
	struct linger hard = { 1, 0 };
	char some[1000];
	uint64_t hash;

	if (!ask(fd, &q, &hash) || !get(fd, some, sizeof some))
		fail("exchange to be broken off");
	if (rand_r(dice) % 2)
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
	close(fd);
}

static void
visit(unsigned *dice)
{
	int fd = call(dice);

	if (fd < 0)
		return;
	switch (rand_r(dice) % 4) {
	case 0:
		half_close(fd, dice);
		return;
	case 1:
		break_off(fd, dice);
		return;
	default:
		if (!exchange(fd, (uint32_t)rand_r(dice), length(dice), length(dice)))
			fail("exchange");
		hang_up(fd);
	}
}

static bool
time_left(void)
{
	if (pause_us)
		usleep(pause_us);
	return time(NULL) < until;
}

static void *
visits(void *arg)
{
	unsigned dice = (unsigned)(uintptr_t)arg;

	while (time_left())
		visit(&dice);
	return NULL;
}

struct held {
	int *fds, n;
};

static void *
holds(void *arg)
{
	const struct held *h = arg;
	unsigned dice = 77;

	while (time_left()) {
		int *fd = &h->fds[rand_r(&dice) % h->n];

		if (*fd < 0) {
			*fd = call(&dice);
		} else if (rand_r(&dice) % 8 == 0) {
			hang_up(*fd);
			*fd = -1;
		} else if (!exchange(*fd, (uint32_t)rand_r(&dice), length(&dice) % 4000, length(&dice) % 4000)) {
			fail("exchange on a connection that was held");
			close(*fd);
			*fd = -1;
		}
	}
	for (int i = 0; i < h->n; i++)
		if (h->fds[i] >= 0)
			hang_up(h->fds[i]);
	return NULL;
}

static void
client(int held)
{
	struct held h = { room((size_t)held * sizeof(int)), held };
	pthread_t threads[THREADS + 1];
	unsigned dice = 3;

	for (int i = 0; i < held; i++)
		h.fds[i] = call(&dice);
	say("there");
	until += time(NULL);
	for (int i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, visits, (void *)(uintptr_t)(i + 1));
	if (held)
		pthread_create(&threads[THREADS], NULL, holds, &h);
	for (int i = 0; i < THREADS + (held > 0); i++)
		pthread_join(threads[i], NULL);
	free(h.fds);
}

static void
by_exec(int fd, unsigned *dice)
{
	char seed[16], up[16], down[16];

	snprintf(seed, sizeof seed, "%u", (unsigned)rand_r(dice));
	snprintf(up, sizeof up, "%u", length(dice));
	snprintf(down, sizeof down, "%u", length(dice));
	if (dup2(fd, 0) == 0)
		execl("/proc/self/exe", "mix", "exchange", "0", seed, up, down, (char *)NULL);
	_exit(2);
}

static void
forks(void)
{
	unsigned dice = 5;

	until += time(NULL);
	while (time_left()) {
		int fd = call(&dice), status;
		bool exec = rand_r(&dice) % 2;
		pid_t pid;

		if (fd < 0)
			continue;
		pid = (pid_t)must("fork", fork());
		if (pid == 0) {
			if (exec)
				by_exec(fd, &dice);
			_exit(exchange(fd, (uint32_t)rand_r(&dice), length(&dice), length(&dice)) ? 0 : 1);
		}
		rand_r(&dice);
		close(fd);
		if (waitpid(pid, &status, 0) != pid || status != 0)
			fail(exec ? "exchange behind exec" : "exchange behind fork");
		else
			exchanges++;
	}
}

/* ---- server ---- */

struct guest {
	int fd;
	struct request q;
	size_t have, left, at, n;	/* of the request; bytes to take; in out: sent, filled */
	uint64_t down;			/* bytes of the answer that are still to be made */
	struct bytes in, back;
	bool answering, ended;
	unsigned char out[PIECE];
};

/* false: nothing more for now; *gone: the guest is. */
static bool
listen_to(struct guest *g, bool *gone)
{
	unsigned char piece[PIECE];
	void *to = g->have < sizeof g->q ? (void *)((char *)&g->q + g->have) : piece;
	size_t most = g->have < sizeof g->q ? sizeof g->q - g->have : g->left < sizeof piece ? g->left : sizeof piece;
	ssize_t r = read(g->fd, to, most);

	if (r < 0)
		*gone = errno != EAGAIN;
	if (r == 0)
		g->ended = true;
	if (r <= 0)
		return false;
	if (g->have < sizeof g->q) {
		g->have += (size_t)r;
		if (g->have == sizeof g->q) {
			if (g->q.mark != MARK) {
				say("failed: a request that is none");
				*gone = true;
			}
			g->left = g->q.up;
			g->in = bytes_of(0);
		}
	} else {
		take_hash(&g->in, piece, (size_t)r);
		g->left -= (size_t)r;
	}
	if (g->have == sizeof g->q && !g->left) {
		g->answering = true;
		g->down = g->q.down;
		g->back = bytes_of(g->q.seed + 1);
		memcpy(g->out, &g->in.hash, sizeof g->in.hash);
		g->n = sizeof g->in.hash;
		g->at = 0;
	}
	return true;
}

static bool
answer(struct guest *g, bool *gone)
{
	ssize_t r;

	if (g->at == g->n && !g->down) {
		g->answering = false;
		g->have = 0;
		return true;
	}
	if (g->at == g->n) {
		g->n = g->down < sizeof g->out ? (size_t)g->down : sizeof g->out;
		g->at = 0;
		g->down -= g->n;
		make(&g->back, g->out, g->n);
	}
	r = write(g->fd, g->out + g->at, g->n - g->at);
	if (r < 0)
		*gone = errno != EAGAIN;
	if (r < 0)
		return false;
	g->at += (size_t)r;
	return true;
}

static void
attend(struct guest *g, int epoll)
{
	bool gone = false;
	struct epoll_event e = { .data.ptr = g };

	while (!gone && !g->ended && (g->answering ? answer(g, &gone) : listen_to(g, &gone)))
		;
	if (gone || g->ended) {
		close(g->fd);
		free(g);
		return;
	}
	e.events = g->answering ? EPOLLOUT : EPOLLIN;
	must("epoll_ctl", epoll_ctl(epoll, EPOLL_CTL_MOD, g->fd, &e));
}

static int
open_listener(const char *port)
{
	struct sockaddr_in a = local(port);
	int fd = make_socket(SOCK_NONBLOCK | SOCK_CLOEXEC), one = 1;

	must("setsockopt", setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one));
	must("bind", bind(fd, (struct sockaddr *)&a, sizeof a));
	must("listen", listen(fd, 512));
	return fd;
}

static void
server(void)
{
	int epoll = (int)must("epoll_create1", epoll_create1(EPOLL_CLOEXEC)), listeners[PORTS];
	struct epoll_event e;

	for (int i = 0; i < nports; i++) {
		listeners[i] = open_listener(ports[i]);
		e = (struct epoll_event){ EPOLLIN, { .ptr = &listeners[i] } };
		must("epoll_ctl", epoll_ctl(epoll, EPOLL_CTL_ADD, listeners[i], &e));
	}
	while (must("epoll_wait", epoll_wait(epoll, &e, 1, -1)) >= 0) {
		int *listener = e.data.ptr, fd;

		if (listener < listeners || listener >= listeners + PORTS) {
			attend(e.data.ptr, epoll);
			continue;
		}
		while ((fd = accept4(*listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
			struct guest *g = room(sizeof *g);

			g->fd = fd;
			e = (struct epoll_event){ EPOLLIN, { .ptr = g } };
			must("epoll_ctl", epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e));
		}
	}
}

int
main(int argc, char **argv)
{
	int first = !strcmp(argv[1], "client") ? 5 : !strcmp(argv[1], "forks") ? 4 : 2;

	signal(SIGPIPE, SIG_IGN);
	if (!strcmp(argv[1], "exchange"))
		return exchange(atoi(argv[2]), (uint32_t)strtoul(argv[3], NULL, 10), (uint32_t)atoi(argv[4]), (uint32_t)atoi(argv[5])) ? 0 : 1;
	for (int i = first; i < argc && nports < PORTS; i++)
		ports[nports++] = argv[i];
	if (first == 2) {
		server();
		return 1;
	}
	until = atoi(argv[2]);
	pause_us = (useconds_t)atoi(argv[first - 1]);
	if (first == 5)
		client(atoi(argv[3]));
	else
		forks();
	say("%ld exchanges, %ld failures", (long)exchanges, (long)failures);
	return failures > 0;
}
