/* descriptor.c - numbers, flags and options. */
#include "worker.h"

#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <netinet/in.h>
#include <netinet/tcp.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static void
doubled(struct op *o, int fd)
{
	int *place = slot_of(o, 2);

	if (fd >= 0)
		*place = fd;
	say_result(o, fd);
}

/* dup sN sNEW */
static void
do_dup(struct op *o)
{
	int fd = fd_of(o, 1);

	if (fd >= 0)
		doubled(o, dup(fd));
}

/* dupfd sN sNEW LEAST [cloexec] */
static void
do_dupfd(struct op *o)
{
	int fd = fd_of(o, 1);

	if (fd >= 0)
		doubled(o, fcntl(fd, flag(o, 4, "cloexec") ? F_DUPFD_CLOEXEC : F_DUPFD, (int)number(o, 3)));
}

/* dup2 sN sOTHER|NUMBER sNEW [three] [cloexec]: onto the number that the other slot has, which thereby is closed */
static void
do_dup2(struct op *o)
{
	int fd = fd_of(o, 1), i = slot_index(word(o, 2)), onto = i < 0 ? (int)number(o, 2) : slot[i], r;

	if (fd < 0)
		return;
	if (i >= 0 && onto < 0) {
		say(o, "noslot");
		return;
	}
	for (int j = 0; i < 0 && j < SLOTS; j++)
		if (slot[j] == onto)
			i = j;
	r = flag(o, 4, "three") ? dup3(fd, onto, flag(o, 4, "cloexec") ? O_CLOEXEC : 0) : dup2(fd, onto);
	if (r >= 0 && i >= 0)
		slot[i] = -1;
	if (r >= 0)
		*slot_of(o, 3) = r;
	say_result(o, r);
}

/* close sN [range] */
static void
do_close(struct op *o)
{
	int fd = fd_of(o, 1);

	if (fd < 0)
		return;
	*slot_of(o, 1) = -1;
	say_result(o, flag(o, 2, "range") ? close_range((unsigned)fd, (unsigned)fd, 0) : close(fd));
	fill_standard();
}

/* nonblock sN 0|1 [ioctl] */
static void
do_nonblock(struct op *o)
{
	int fd = fd_of(o, 1), on = (int)number(o, 2), flags;

	if (fd < 0)
		return;
	if (flag(o, 3, "ioctl")) {
		say_result(o, ioctl(fd, FIONBIO, &on));
		return;
	}
	flags = fcntl(fd, F_GETFL);
	say_result(o, fcntl(fd, F_SETFL, on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK));
}

/* cloexec sN 0|1 [ioctl] */
static void
do_cloexec(struct op *o)
{
	int fd = fd_of(o, 1);

	if (fd < 0)
		return;
	if (flag(o, 3, "ioctl"))
		say_result(o, ioctl(fd, number(o, 2) ? FIOCLEX : FIONCLEX));
	else
		say_result(o, fcntl(fd, F_SETFD, number(o, 2) ? FD_CLOEXEC : 0));
}

/* flags sN: both kinds */
static void
do_flags(struct op *o)
{
	int fd = fd_of(o, 1);

	if (fd < 0)
		return;
	say(o, "%o", fcntl(fd, F_GETFL));
	say(o, "%o", fcntl(fd, F_GETFD));
}

/* timeout sN rcv|snd MILLISECONDS */
static void
do_timeout(struct op *o)
{
	int fd = fd_of(o, 1), name = !strcmp(word(o, 2), "snd") ? SO_SNDTIMEO : SO_RCVTIMEO;
	struct timeval tv = { number(o, 3) / 1000, number(o, 3) % 1000 * 1000 };
	socklen_t len = sizeof tv;

	if (fd < 0)
		return;
	say_result(o, setsockopt(fd, SOL_SOCKET, name, &tv, sizeof tv));
	say_result(o, getsockopt(fd, SOL_SOCKET, name, &tv, &len));
}

static const struct {
	const char *name;
	int level, option;
} options[] = {
	{ "lowat", SOL_SOCKET, SO_RCVLOWAT },	   { "error", SOL_SOCKET, SO_ERROR },	     { "type", SOL_SOCKET, SO_TYPE },
	{ "nodelay", IPPROTO_TCP, TCP_NODELAY },   { "keepalive", SOL_SOCKET, SO_KEEPALIVE },  { "domain", SOL_SOCKET, SO_DOMAIN },
	{ "accepting", SOL_SOCKET, SO_ACCEPTCONN }, { "reuse", SOL_SOCKET, SO_REUSEADDR },
};

/* option sN NAME [VALUE]: set where there is a value, then asked */
static void
do_option(struct op *o)
{
	int fd = fd_of(o, 1), value = (int)number(o, 3);
	socklen_t len = sizeof value;

	for (size_t i = 0; fd >= 0 && i < sizeof options / sizeof *options; i++) {
		if (strcmp(options[i].name, word(o, 2)))
			continue;
		if (o->argc > 3)
			say_result(o, setsockopt(fd, options[i].level, options[i].option, &value, sizeof value));
		value = -1;
		say_result(o, getsockopt(fd, options[i].level, options[i].option, &value, &len));
		if (options[i].option == SO_ERROR && value)
			say(o, "%s", strerrorname_np(value));
		else
			say(o, "%d", value);
	}
}

/* linger sN: a close that resets */
static void
do_linger(struct op *o)
{
	struct linger l = { 1, 0 };
	int fd = fd_of(o, 1);

	if (fd >= 0)
		say_result(o, setsockopt(fd, SOL_SOCKET, SO_LINGER, &l, sizeof l));
}

/* names sN: have both ends a name, of which family? */
static void
do_names(struct op *o)
{
	struct sockaddr_storage a = { 0 };
	socklen_t len = sizeof a;
	int fd = fd_of(o, 1);

	if (fd < 0)
		return;
	say_result(o, getsockname(fd, (struct sockaddr *)&a, &len));
	say(o, "%u %d", len, a.ss_family);
	len = sizeof a;
	a.ss_family = 0;
	say_result(o, getpeername(fd, (struct sockaddr *)&a, &len));
	say(o, "%d", a.ss_family);
}

const struct verb descriptor_verbs[] = {
	{ "dup", do_dup },	   { "dupfd", do_dupfd },     { "dup2", do_dup2 },	 { "close", do_close },	  { "nonblock", do_nonblock },
	{ "cloexec", do_cloexec }, { "flags", do_flags },     { "timeout", do_timeout }, { "option", do_option }, { "linger", do_linger },
	{ "names", do_names },	   { NULL, NULL },
};
