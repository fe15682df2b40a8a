/*
 * echo_wait PORT HOW STYLE SIZE CHUNK PIECE BUFFERS: a non-blocking echo, both directions at once.
 *
 * HOW: poll ppoll select pselect epoll epoll-pwait epoll-pwait2 epoll-et epoll-oneshot. STYLE: once (one call an event), eagain
 * (until EAGAIN), short (until a short count, as nginx).
 */
#include "probe.h"

#include <sys/epoll.h>
#include <sys/select.h>

static const char *how;
static int ep = -1;

static short
wait_select(int fd, short events)
{
	struct timeval tv = { PATIENCE / 1000, 0 };
	struct timespec ts = { PATIENCE / 1000, 0 };
	fd_set r, w;

	FD_ZERO(&r);
	FD_ZERO(&w);
	FD_SET(fd, &r);
	if (events & POLLOUT)
		FD_SET(fd, &w);
	must(how, *how == 's' ? select(fd + 1, &r, &w, NULL, &tv) : pselect(fd + 1, &r, &w, NULL, &ts, NULL));
	return (short)((FD_ISSET(fd, &r) ? POLLIN : 0) | (FD_ISSET(fd, &w) ? POLLOUT : 0));
}

static short
wait_epoll(int fd, short events)
{
	static uint32_t before;
	uint32_t mode = !strcmp(how, "epoll-et") ? EPOLLET : !strcmp(how, "epoll-oneshot") ? EPOLLONESHOT : 0;
	struct epoll_event e = { mode | (mode == EPOLLET ? EPOLLIN | EPOLLOUT | EPOLLRDHUP : (uint32_t)events), { .u64 = 0x1122334455667788 } };
	struct timespec ts = { PATIENCE / 1000, 0 };
	int n;

	if (ep < 0)
		ep = (int)must("epoll_create1", epoll_create1(EPOLL_CLOEXEC));
	if (mode == EPOLLONESHOT || e.events != before)
		must("epoll_ctl", epoll_ctl(ep, before ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &e));
	before = e.events;
	if (!strcmp(how, "epoll-pwait2"))
		n = epoll_pwait2(ep, &e, 1, &ts, NULL);
	else
		n = strcmp(how, "epoll-pwait") ? epoll_wait(ep, &e, 1, PATIENCE) : epoll_pwait(ep, &e, 1, PATIENCE, NULL);
	if (must(how, n) && e.data.u64 != 0x1122334455667788)
		say("another's event: %lx", (unsigned long)e.data.u64);
	return n ? (short)e.events : 0;
}

static short
wait_any(int fd, short events)
{
	struct pollfd p = { .fd = fd, .events = events };
	struct timespec ts = { PATIENCE / 1000, 0 };

	if (strstr(how, "select"))
		return wait_select(fd, events);
	if (*how == 'e')
		return wait_epoll(fd, events);
	must(how, how[1] == 'p' ? ppoll(&p, 1, &ts, NULL) : poll(&p, 1, PATIENCE));
	return p.revents;
}

int
main(int argc, char **argv)
{
	bool once = !strcmp(argv[3], "once"), brief = !strcmp(argv[3], "short");
	size_t size = strtoul(argv[4], NULL, 0), chunk = strtoul(argv[5], NULL, 0), piece = strtoul(argv[6], NULL, 0), sent = 0, got = 0;
	int fd = dial_with(argv[1], argc > 7 ? atoi(argv[7]) : 0);
	unsigned char *out = room(size), *in = room(size + piece);
	long n;

	how = argv[2];
	fill(out, size, 2);
	nonblocking(fd);
	while (got < size) {
		short ready = wait_any(fd, (short)(POLLIN | (sent < size ? POLLOUT : 0)));

		if (!ready) {
			say("stuck: %zu sent, %zu received", sent, got);
			return 1;
		}
		if (ready & POLLOUT && sent < size)
			do {
				size_t ask = size - sent < chunk ? size - sent : chunk;

				n = write(fd, out + sent, ask);
				if (n < 0 && errno == EAGAIN)
					break;
				sent += (size_t)must("write", n);
				if (brief && (size_t)n < ask)
					break;
			} while (!once && sent < size);
		if (ready & (POLLIN | POLLHUP))
			do {
				n = read(fd, in + got, piece);
				if (n < 0 && errno == EAGAIN)
					break;
				got += (size_t)must("read", n);
				if (n == 0) {
					say("end after %zu bytes", got);
					return 1;
				}
				if (brief && (size_t)n < piece)
					break;
			} while (!once && got < size);
	}
	say("%zu bytes, %016lx, %s", got, hash(in, size), memcmp(in, out, size) ? "changed" : "as sent");
	must("shutdown", shutdown(fd, SHUT_WR));
	for (n = -1, errno = EAGAIN; n < 0 && errno == EAGAIN;) {
		if (!wait_any(fd, POLLIN)) {
			say("stuck: no end");
			return 1;
		}
		n = read(fd, in, 1);
	}
	say("end: %s", result(n));
	return 0;
}
