/*
 * load.c - the client of the scenarios that redis-benchmark and wrk do not have.
 * usage: load [-a CA -s SUITES -g GROUPS] [-r] [-n COUNT] [-q REQUEST] [-e ENDING] MODE PORT SECONDS
 *
 *   dial      one connection, no data
 *   pingpong  messages of 64 bytes, one at a time, each of COUNT threads on a connection of its own
 *   send, receive   rounds of 64 MiB in 64 KiB buffers
 *   connect   COUNT threads: a new connection, REQUEST, the answer up to the peer's end (without REQUEST: of serve.c);
 *             with -r sessions are resumed
 *   idle      COUNT connections that each had one answer; "started", a line of ours, "held", another line, the end
 *   crowd     COUNT connections that each had one answer, "held"; then, for each line of ours, SECONDS of REQUESTs, one connection after the
 *             other, ten under way, and their number; an empty input ends it
 *
 * With -a TLS and verification of the address, else plain. The answer must end with ENDING. Last comes one line of figures; times in
 * microseconds.
 */
#include <pthread.h>
#include <signal.h>

#include "end.h"

enum { MESSAGE = 64, SHORT = 16, ROUND = 64 << 20, THREADS = 64, WINDOW = 10 };

static struct {
	struct sockaddr_in to;
	const char *request, *ending;
	bool resume;
	double until;
} with;

/* What one thread did. */
struct work {
	unsigned long long operations, bytes, resumed;
	float *times; /* of each operation */
	size_t times_room;
	void *session;
	char buf[BUFFER];
};

static void
note(struct work *work, float took)
{
	if (work->operations == work->times_room) {
		work->times_room = work->times_room ? work->times_room * 2 : 4096;
		work->times = realloc(work->times, work->times_room * sizeof(*work->times));
		if (!work->times)
			die("memory");
	}
	work->times[work->operations++] = took;
}

static void
done(struct work *work, double began, unsigned long long bytes)
{
	note(work, (float)((now() - began) * 1e6));
	work->bytes += bytes;
}

static struct end
dial(void *session)
{
	struct end end = {.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};

	if (end.fd < 0 || connect(end.fd, (struct sockaddr *)&with.to, sizeof(with.to)) != 0)
		die("connect");
	end_no_delay(end.fd);
	if (!end_connected(&end, session))
		die("TLS handshake");
	return end;
}

/* Until the ending has come, or until the peer's end. */
static size_t
answer(struct work *work, const struct end *end, bool to_the_end)
{
	size_t got = 0, ending = strlen(with.ending);
	bool complete = false;
	ssize_t n = 1;

	while (n > 0 && (to_the_end || !complete)) {
		if (got == sizeof(work->buf))
			die("an answer that is too long");
		n = end_read(end, work->buf + got, sizeof(work->buf) - got);
		if (n > 0)
			got += (size_t)n;
		complete = got >= ending && memcmp(work->buf + got - ending, with.ending, ending) == 0;
	}
	if (!complete)
		die("the answer is not complete");
	return got;
}

/* One request and its answer. */
static size_t
ask(struct work *work, const struct end *end, bool to_the_end)
{
	if (!end_write_all(end, with.request, strlen(with.request)))
		die("request");
	return answer(work, end, to_the_end);
}

/* The same of serve.c. */
static size_t
answered(struct work *work, const struct end *end)
{
	struct command command = {.down = SHORT};

	if (!end_write_all(end, &command, sizeof(command)) || !end_take(end, work->buf, SHORT))
		die("answer");
	return SHORT;
}

static void *
connects(void *arg)
{
	struct work *work = arg;

	do { /* once at least: the machine may be busy */
		double began = now();
		struct end end = dial(work->session);
		size_t got = with.request ? ask(work, &end, true) : answered(work, &end);

		work->resumed += end_resumed(&end);
		if (with.resume)
			work->session = end_session(&end, work->session);
		end_close(&end);
		done(work, began, got);
	} while (now() < with.until);
	return NULL;
}

static void
all_do(void *what(void *), struct work *works, size_t threads)
{
	pthread_t thread[THREADS];

	for (size_t i = 0; i < threads; i++)
		if (pthread_create(&thread[i], NULL, what, &works[i]) != 0)
			die("thread");
	for (size_t i = 0; i < threads; i++)
		pthread_join(thread[i], NULL);
}

static void
stream(struct work *work, unsigned long long up, unsigned long long down)
{
	struct command command = {.up = up, .down = down};
	struct end end = dial(NULL);

	do {
		double began = now();

		if (!end_write_all(&end, &command, sizeof(command)) || !end_give(&end, work->buf, up) || !end_take(&end, work->buf, down))
			die("stream");
		done(work, began, up + down);
	} while (now() < with.until);
	end_close(&end);
}

static void *
pingpongs(void *work)
{
	stream(work, 0, MESSAGE);
	return NULL;
}

/* false: theirs will not come. */
static bool
line(const char *ours)
{
	char theirs[16];

	puts(ours);
	fflush(stdout);
	return fgets(theirs, sizeof(theirs), stdin) != NULL;
}

static struct end *
hold(struct work *work, size_t count)
{
	struct end *ends = calloc(count, sizeof(*ends));

	if (!ends)
		die("memory");
	for (size_t i = 0; i < count; i++) {
		double began = now();

		ends[i] = dial(NULL);
		done(work, began, ask(work, &ends[i], false));
	}
	return ends;
}

static void
let_go(struct end *ends, size_t count)
{
	for (size_t i = 0; i < count; i++)
		end_close(&ends[i]);
	free(ends);
}

static void
idle(struct work *work, size_t count)
{
	struct end *ends, first = dial(NULL);

	/* What the first connection alone costs is no cost of the others. */
	ask(work, &first, false);
	end_close(&first);
	if (!line("started"))
		exit(0);
	ends = hold(work, count);
	if (!line("held"))
		exit(0);
	let_go(ends, count);
}

static void
crowd(struct work *work, size_t count, double seconds)
{
	struct end *ends = hold(work, count);
	char said[32] = "held";
	size_t next = 0;

	while (line(said)) {
		double until = now() + seconds;
		size_t asked = 0, got = 0;
		bool more;

		while ((more = now() < until) || got < asked) {
			if (more && !end_write_all(&ends[(next + asked++) % count], with.request, strlen(with.request)))
				die("request");
			if (!more || asked - got == WINDOW || asked - got == count)
				answer(work, &ends[(next + got++) % count], false);
		}
		next = (next + asked) % count;
		snprintf(said, sizeof(said), "%zu", asked);
	}
	let_go(ends, count);
}

static int
faster(const void *a, const void *b)
{
	return (*(const float *)a > *(const float *)b) - (*(const float *)a < *(const float *)b);
}

/* The works of all threads as one. */
static void
report(struct work *works, size_t count)
{
	struct work *all = &works[0];

	for (size_t i = 1; i < count; i++) {
		for (size_t t = 0; t < works[i].operations; t++)
			note(all, works[i].times[t]);
		all->bytes += works[i].bytes;
		all->resumed += works[i].resumed;
	}
	if (!all->operations)
		die("no operation completed");
	qsort(all->times, all->operations, sizeof(*all->times), faster);
	printf("operations %llu bytes %llu resumed %llu p50 %.2f p99 %.2f\n", all->operations, all->bytes, all->resumed,
	       (double)all->times[all->operations / 2], (double)all->times[all->operations * 99 / 100]);
}

int
main(int argc, char **argv)
{
	static struct work works[THREADS];
	const char *ca = NULL, *suites = NULL, *mode;
	char *groups = NULL;
	size_t count = 1, threads = 1;
	int option;

	while ((option = getopt(argc, argv, "a:s:g:rn:q:e:")) != -1)
		switch (option) {
		case 'a': ca = optarg; break;
		case 's': suites = optarg; break;
		case 'g': groups = optarg; break;
		case 'r': with.resume = true; break;
		case 'n': count = strtoul(optarg, NULL, 10); break;
		case 'q': with.request = optarg; break;
		case 'e': with.ending = optarg; break;
		default: return 2;
		}
	if (argc - optind != 3 || count < 1 || !ca != !suites || !ca != !groups || !with.request != !with.ending)
		return 2;
	signal(SIGPIPE, SIG_IGN);
	mode = argv[optind];
	with.to = local_address(argv[optind + 1]);
	with.until = now() + strtod(argv[optind + 2], NULL);
	if (ca)
		end_dials_tls(ca, suites, groups, with.resume);
	if (strcmp(mode, "dial") == 0) {
		double began = now();
		struct end end = dial(NULL);

		done(&works[0], began, 0);
		end_close(&end);
	} else if (strcmp(mode, "pingpong") == 0) {
		threads = count < THREADS ? count : THREADS;
		all_do(pingpongs, works, threads);
	} else if (strcmp(mode, "send") == 0) {
		stream(&works[0], ROUND, MESSAGE);
	} else if (strcmp(mode, "receive") == 0) {
		stream(&works[0], 0, ROUND);
	} else if (strcmp(mode, "idle") == 0 && with.request) {
		idle(&works[0], count);
	} else if (strcmp(mode, "crowd") == 0 && with.request) {
		crowd(&works[0], count, strtod(argv[optind + 2], NULL));
	} else if (strcmp(mode, "connect") == 0) {
		threads = count < THREADS ? count : THREADS;
		all_do(connects, works, threads);
	} else {
		return 2;
	}
	report(works, threads);
	return 0;
}
