/* ready.c - poll, select and epoll. */
#include "worker.h"

#include <sys/epoll.h>
#include <sys/select.h>

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const struct {
	const char *name;
	unsigned bit;
} bits[] = {
	{ "in", POLLIN },	 { "out", POLLOUT },   { "pri", POLLPRI },     { "err", POLLERR },	   { "hup", POLLHUP },
	{ "nval", POLLNVAL },	 { "rdhup", POLLRDHUP }, { "et", EPOLLET },     { "oneshot", EPOLLONESHOT }, { "exclusive", EPOLLEXCLUSIVE },
};

/* "in+out" */
static unsigned
parse(const char *text)
{
	unsigned all = 0;

	for (size_t i = 0; i < sizeof bits / sizeof *bits; i++) {
		size_t n = strlen(bits[i].name);

		for (const char *p = text; p; p = strchr(p, '+'), p = p ? p + 1 : NULL)
			if (!strncmp(p, bits[i].name, n) && (!p[n] || p[n] == '+'))
				all |= bits[i].bit;
	}
	return all;
}

static const char *
text(unsigned events, char *buf, size_t n)
{
	size_t at = 0;

	buf[0] = '\0';
	for (size_t i = 0; i < sizeof bits / sizeof *bits && at < n; i++)
		if (events & bits[i].bit)
			at += (size_t)snprintf(buf + at, n - at, "%s%s", at ? "+" : "", bits[i].name);
	return buf;
}

static struct timespec
timespec_of(long ms)
{
	return (struct timespec){ ms / 1000, ms % 1000 * 1000000 };
}

static void
say_short(struct op *o, int r, int64_t began, long ms)
{
	if (r == 0 && now_ms() - began < ms - 5)
		say(o, "early");
}

/* poll|ppoll MILLISECONDS sN:EVENTS... */
static void
do_poll(struct op *o)
{
	struct pollfd p[WORDS];
	int n = 0, r;
	long ms = number(o, 1);
	struct timespec ts = timespec_of(ms);
	int64_t began = now_ms();

	for (int i = 2; i < o->argc; i++) {
		char *colon = strchr(o->argv[i], ':');
		int s = slot_index(o->argv[i]);

		p[n++] = (struct pollfd){ .fd = s < 0 ? -1 : slot[s], .events = (short)parse(colon ? colon + 1 : "") };
	}
	errno = EXDEV;
	r = o->argv[0][1] == 'p' ? ppoll(p, (nfds_t)n, ms < 0 ? NULL : &ts, NULL) : poll(p, (nfds_t)n, (int)ms);
	say_result(o, r);
	if (r >= 0 && errno != EXDEV)
		say(o, "errno changed");
	for (int i = 0; r > 0 && i < n; i++) {
		char buf[80];

		say(o, "%.*s=%s", (int)strcspn(o->argv[2 + i], ":"), o->argv[2 + i], text((unsigned short)p[i].revents, buf, sizeof buf));
	}
	say_short(o, r, began, ms);
}

/* select|pselect MILLISECONDS sN:EVENTS... */
static void
do_select(struct op *o)
{
	fd_set sets[3];
	static const unsigned meaning[] = { POLLIN, POLLOUT, POLLPRI };
	long ms = number(o, 1);
	struct timespec ts = timespec_of(ms);
	struct timeval tv = { ms / 1000, ms % 1000 * 1000 };
	int most = 0, r;
	int64_t began = now_ms();

	for (int k = 0; k < 3; k++)
		FD_ZERO(&sets[k]);
	for (int i = 2; i < o->argc; i++) {
		char *colon = strchr(o->argv[i], ':');
		int s = slot_index(o->argv[i]), fd = s < 0 ? -1 : slot[s];

		for (int k = 0; fd >= 0 && k < 3; k++)
			if (parse(colon ? colon + 1 : "") & meaning[k])
				FD_SET(fd, &sets[k]);
		most = fd > most ? fd : most;
	}
	if (o->argv[0][0] == 'p')
		r = pselect(most + 1, &sets[0], &sets[1], &sets[2], ms < 0 ? NULL : &ts, NULL);
	else
		r = select(most + 1, &sets[0], &sets[1], &sets[2], ms < 0 ? NULL : &tv);
	say_result(o, r);
	for (int i = 2; r > 0 && i < o->argc; i++) {
		int s = slot_index(o->argv[i]), fd = s < 0 ? -1 : slot[s];

		for (int k = 0; fd >= 0 && k < 3; k++)
			if (FD_ISSET(fd, &sets[k]))
				say(o, "s%d=%c", s, "rwe"[k]);
	}
	say_short(o, r, began, ms);
}

/* epoll sN [cloexec] */
static void
do_epoll(struct op *o)
{
	int fd = epoll_create1(flag(o, 2, "cloexec") ? EPOLL_CLOEXEC : 0);

	*slot_of(o, 1) = fd;
	say_result(o, fd);
}

/* watch sSET sN EVENTS add|mod|del: the data of its events is the slot */
static void
do_watch(struct op *o)
{
	int set = fd_of(o, 1), fd = set < 0 ? -1 : fd_of(o, 2);
	const char *how = word(o, 4);
	struct epoll_event e = { .events = parse(word(o, 3)), .data.u64 = (uint64_t)slot_index(word(o, 2)) };

	if (fd >= 0)
		say_result(o, epoll_ctl(set, *how == 'a' ? EPOLL_CTL_ADD : *how == 'm' ? EPOLL_CTL_MOD : EPOLL_CTL_DEL, fd, &e));
}

static int
by_slot(const void *a, const void *b)
{
	const struct epoll_event *x = a, *y = b;

	return x->data.u64 < y->data.u64 ? -1 : x->data.u64 > y->data.u64;
}

/* wait sSET MILLISECONDS [pwait|pwait2] */
static void
do_wait(struct op *o)
{
	struct epoll_event e[SLOTS];
	int set = fd_of(o, 1), r;
	long ms = number(o, 2);
	struct timespec ts = timespec_of(ms);
	int64_t began = now_ms();

	if (set < 0)
		return;
	if (flag(o, 3, "pwait2"))
		r = epoll_pwait2(set, e, SLOTS, ms < 0 ? NULL : &ts, NULL);
	else if (flag(o, 3, "pwait"))
		r = epoll_pwait(set, e, SLOTS, (int)ms, NULL);
	else
		r = epoll_wait(set, e, SLOTS, (int)ms);
	say_result(o, r);
	if (r > 0)
		qsort(e, (size_t)r, sizeof *e, by_slot);
	for (int i = 0; i < r; i++) {
		char buf[80];

		say(o, "s%lu=%s", (unsigned long)e[i].data.u64, text(e[i].events, buf, sizeof buf));
	}
	say_short(o, r, began, ms);
}

const struct verb ready_verbs[] = {
	{ "poll", do_poll },   { "ppoll", do_poll },   { "select", do_select }, { "pselect", do_select },
	{ "epoll", do_epoll }, { "watch", do_watch },  { "wait", do_wait },	{ NULL, NULL },
};
