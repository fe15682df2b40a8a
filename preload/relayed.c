/* relayed.c - a wrapped socket becomes the end of a pair, and is recognised as one. */
#include "relayed.h"

#include "cancel.h"
#include "watch.h"
#include "helper.h"
#include "pair.h"
#include "sock.h"

#include "log.h"
#include "raw.h"

#include <sys/prctl.h>

#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

static _Atomic bool used;		/* this process has given the relay something */

/* ---- taken ---- */

static int
refuse(int fd, int error, const char *why)
{
	log_line(LOG_LEVEL_WARN, "wrapped descriptor %d stays in this process, EACCES: %s", fd, why);
	return error;
}

/* The connection is dead here, so the wire must be, unless the relay has it. */
static int
cut(int fd, int error, const char *why)
{
	raw_shutdown(fd, SHUT_RDWR);
	log_line(LOG_LEVEL_WARN, "wrapped descriptor %d is cut: %s: %s", fd, why, strerror(-error));
	return -EIO;
}

static int
cannot_leave(int fd, int error)
{
	switch (error) {
	case -EBUSY:
		return refuse(fd, -EACCES, "another thread is in a call for it");
	case -EIO:
		return refuse(fd, -EACCES, "another process uses it");
	case -EOPNOTSUPP:
		return refuse(fd, -EACCES, "its cipher suite can be continued by OpenSSL only");
	default:
		return error;		/* the handshake failed, which has been logged */
	}
}

/* *end: the program's end of the pair, ready to take the place of the wire. waited: who waits for it is told. */
static int
give_away(struct sock *s, int fd, bool waited, int *end)
{
	struct conn_parcel parcel;
	struct pair_label label = { 0 };
	int control, pair[2], r;

	if (s->route == ROUTE_INLINE)
		return refuse(fd, -EACCES, "its rule says route = inline");
	r = core->conn_handshake(s->conn, fd, true);
	if (r < 0)
		return r;
	control = helper_reach();
	if (control < 0)
		return refuse(fd, -EACCES, "there is no relay to take it");
	if (pair_make(fd, &label, pair) < 0) {
		real.close(control);
		return refuse(fd, -EACCES, "no pair of sockets can be made for it");
	}
	r = core->conn_leave(s->conn, fd, waited, &parcel);
	if (r < 0) {
		real.close(pair[0]);
		real.close(pair[1]);
		real.close(control);
		return cannot_leave(fd, r);
	}
	pair_copy_settings(s, fd, pair[0]);
	if (s->nodelay)
		parcel.bytes->flags |= RELAY_NODELAY;
	if (parcel.shut_read)
		raw_shutdown(pair[0], SHUT_RD);
	if (parcel.shut_write)
		raw_shutdown(pair[0], SHUT_WR);
	r = helper_give(control, label.id, parcel.bytes, parcel.size, fd, pair[1]);
	core->conn_parcel_free(&parcel);
	real.close(pair[1]);
	if (r < 0) {
		real.close(pair[0]);
		return cut(fd, r, "the relay did not take it");
	}
	used = true;
	*end = pair[0];
	return 0;
}

/*
 * The end takes the number of the wire. Where it cannot, as above a limit that was lowered, that number must not stay a wire to
 * write to.
 */
static int
put_end(int end, int fd, bool cloexec)
{
	int error;

	if (real.dup3(end, fd, cloexec ? O_CLOEXEC : 0) >= 0)
		return 0;
	error = -errno;
	return cut(fd, error, "its number cannot be given to the relay's end");
}

struct swap {
	struct sock *sock;
	int end, error;
};

static void
swap_one(int fd, struct sock *s, void *arg)
{
	struct swap *swap = arg;

	if (s == swap->sock && sock_still(fd, s) && put_end(swap->end, fd, fdtab_cloexec(fd)) < 0)	/* libc may have closed a number */
		swap->error = -EIO;
}

static int
turn(struct sock *s, int fd)
{
	struct swap swap = { s, -1, 0 };
	int r = give_away(s, fd, true, &swap.end);

	if (r < 0)
		return r;
	watch_leave(s);
	fdtab_each(swap_one, &swap);
	s->phase = SOCK_RELAYED;
	watch_come(s);
	real.close(swap.end);
	return swap.error;
}

int
relayed_take(struct sock *s, int fd)
{
	int saved = errno, r;
	UNCANCELLED;

	if (s->phase != SOCK_WRAPPED)
		return 0;
	if (!sock_turn_begin(s))
		return refuse(fd, -EACCES, "this thread is handing it over, and a signal handler again");
	r = s->phase == SOCK_WRAPPED ? turn(s, fd) : 0;
	sock_turn_end(s);
	errno = saved;
	return r;
}

bool
relayed_still_wire(const struct sock *s, int fd)
{
	return s->phase == SOCK_WRAPPED && sock_still(fd, s);
}

int
relayed_take_foreign(struct sock *s, int fd, bool cloexec)
{
	int saved = errno, end, r = give_away(s, fd, false, &end);

	if (r == 0) {
		r = put_end(end, fd, cloexec);
		real.close(end);
	}
	errno = saved;
	return r;
}

void
relayed_when_open(struct sock *s, int fd)
{
	int r;

	if (s->phase != SOCK_WRAPPED || s->cut || sock_foreign(s) || core->conn_state(s->conn) != CONN_OPEN)
		return;
	r = relayed_take(s, fd);
	if (r == 0 || core->conn_state(s->conn) != CONN_OPEN)
		return;
	s->cut = true;		/* its rule says route = relay; why not has been logged */
	raw_shutdown(fd, SHUT_RDWR);
}

static void
take_open(int fd, struct sock *s, void *arg)
{
	(void)arg;
	if (s->route == ROUTE_RELAY)
		relayed_when_open(s, fd);
}

void
relayed_before_fork(void)
{
	fdtab_each(take_open, NULL);
}

/* ---- recognised ---- */

/* The name could be anybody's: only of a pair that our own user made, or root, is it believed. */
static bool
made_by_us(int fd)
{
	struct ucred cred;
	unsigned len = sizeof cred;

	return raw_getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) == 0 && (cred.uid == geteuid() || cred.uid == 0);
}

bool
relayed_recognise(int fd)
{
	struct pair_label label;
	struct sock *s;

	if (!pair_read_label(fd, &label) || !made_by_us(fd))
		return false;
	s = sock_new(label.local.family);
	if (s) {
		s->phase = SOCK_RELAYED;
		s->told = true;
		fdtab_bind(fd, s, false);
	}
	fdtab_put(s);
	return true;
}

bool
relayed(int fd)
{
	HOLD s = fdtab_ours(fd) ? fdtab_hold(fd) : NULL;

	return s && s->phase == SOCK_RELAYED;
}

bool
relayed_over(int fd)
{
	struct pollfd p = { .fd = fd };
	struct relay_option o = { .kind = RELAY_UNSENT, .length = sizeof(int) };
	struct pair_label label;

	if (raw_syscall(SYS_ppoll, (long)&p, 1, (long)&(struct timespec){ 0 }, 0, 0, 0) != 1 || !(p.revents & POLLHUP))
		return false;
	/* Or only the program has ended it. */
	return !pair_read_label(fd, &label) || helper_option(label.nonce, label.user, label.id, &o) == -ENOTCONN;
}

/* ---- answers ---- */

int
relayed_name(int fd, bool peer, struct sockaddr *addr, socklen_t *len)
{
	struct sockaddr_storage ss;
	struct pair_label label;
	socklen_t real_len;

	if (!addr || !len)
		return (int)answer(-EFAULT);
	if (!pair_read_label(fd, &label) || (peer && relayed_over(fd)))
		return (int)answer(-ENOTCONN);
	real_len = pair_address(peer ? &label.peer : &label.local, &ss);
	memcpy(addr, &ss, *len < real_len ? *len : real_len);
	*len = real_len;
	return 0;
}

static int
put_int(void *value, socklen_t *len, int number)
{
	if (!value || !len)
		return (int)answer(-EFAULT);
	if (*len > sizeof number)
		*len = sizeof number;
	memcpy(value, &number, *len);
	return 0;
}

/* Options that mean the wire; all others mean the pair as well as any. */
static bool
of_the_wire(int level, int name)
{
	if (level == IPPROTO_TCP || level == IPPROTO_IP || level == IPPROTO_IPV6)
		return true;
	return level == SOL_SOCKET && (name == SO_KEEPALIVE || name == SO_LINGER || name == SO_PRIORITY || name == SO_MARK ||
				       name == SO_BINDTODEVICE || name == SO_DONTROUTE || name == SO_OOBINLINE || name == SO_REUSEADDR ||
				       name == SO_SNDBUF || name == SO_RCVBUF);
}

/* The wire is gone: TCP's answers are those of a socket that is connected to nobody, and a socket's own are the pair's. */
static int
ask_nobody(const struct pair_label *l, struct relay_option *o)
{
	int fd = real.socket(l->local.family, SOCK_STREAM | SOCK_CLOEXEC, 0), r;

	if (fd < 0)
		return -errno;
	if (o->kind == RELAY_SET)
		r = real.setsockopt(fd, o->level, o->name, o->value, o->length);
	else
		r = real.getsockopt(fd, o->level, o->name, o->value, &o->length);
	r = r < 0 ? -errno : 0;
	real.close(fd);
	return r;
}

static int
ask_relay(int fd, struct relay_option *o)
{
	struct pair_label label;
	int r;

	if (!pair_read_label(fd, &label))
		return -ENOTCONN;
	r = helper_option(label.nonce, label.user, label.id, o);
	return r == -ENOTCONN && o->level != SOL_SOCKET && o->kind != RELAY_UNSENT ? ask_nobody(&label, o) : r;
}

bool
relayed_getsockopt(struct sock *s, int fd, int level, int name, void *value, socklen_t *len, int *r)
{
	struct relay_option o = { .kind = RELAY_GET, .level = level, .name = name };
	int error;

	if (level == SOL_SOCKET && (name == SO_DOMAIN || name == SO_PROTOCOL)) {
		*r = put_int(value, len, name == SO_DOMAIN ? s->domain : IPPROTO_TCP);
		return true;
	}
	if (!of_the_wire(level, name))
		return false;
	if (!value || !len) {
		*r = (int)answer(-EFAULT);
		return true;
	}
	o.length = *len < sizeof o.value ? *len : sizeof o.value;
	error = ask_relay(fd, &o);
	if (error == -ENOTCONN && level == SOL_SOCKET)
		return false;
	*r = (int)answer(error);
	if (*r == 0) {
		*len = o.length < *len ? o.length : *len;
		memcpy(value, o.value, *len);
	}
	return true;
}

bool
relayed_setsockopt(int fd, int level, int name, const void *value, socklen_t len, int *r)
{
	struct relay_option o = { .kind = RELAY_SET, .level = level, .name = name, .length = len };
	int error;

	if (!of_the_wire(level, name))
		return false;
	if (!value || len > sizeof o.value) {
		*r = (int)answer(value ? -EINVAL : -EFAULT);
	} else if (level == IPPROTO_TCP && (name == TCP_ULP || name == TCP_REPAIR || name == TCP_FASTOPEN_CONNECT)) {
		*r = (int)answer(-EOPNOTSUPP);
	} else {
		memcpy(o.value, value, len);
		error = ask_relay(fd, &o);
		if (error == -ENOTCONN && level == SOL_SOCKET)
			return false;
		*r = (int)answer(error == -ENOTCONN ? 0 : error);	/* over, with nobody left whom it could concern: TCP would take it still */
	}
	return true;
}

int
relayed_unsent(int fd, int *bytes)
{
	struct relay_option o = { .kind = RELAY_UNSENT, .length = sizeof *bytes };
	int r = ask_relay(fd, &o);

	if (r == 0)
		memcpy(bytes, o.value, sizeof *bytes);
	else if (r == -ENOTCONN)
		r = *bytes = 0;		/* the wire is gone */
	return (int)answer(r);
}

static void
finish_one(int fd, struct sock *s, void *arg)
{
	(void)arg;
	if (s->phase == SOCK_RELAYED)
		raw_shutdown(fd, SHUT_WR);
}

/* Other processes may have this connection and write on: then it is enough that there was a moment without an unsent byte. */
static void
deliver_one(int fd, struct sock *s, void *arg)
{
	struct timespec tick = { 0, 5 * 1000000 };
	int least = INT_MAX, n, idle = 0;

	(void)arg;
	while (s->phase == SOCK_RELAYED && relayed_unsent(fd, &n) == 0 && n > 0 && idle < RELAY_LINGER * 1000) {
		idle = n < least ? 0 : idle + 5;
		least = n < least ? n : least;
		raw_syscall(SYS_nanosleep, (long)&tick, 0, 0, 0, 0, 0);
	}
}

static bool
subreaper(void)
{
	int is = 0;

	return raw_syscall(SYS_prctl, PR_GET_CHILD_SUBREAPER, (long)&is, 0, 0, 0, 0) == 0 && is;
}

/* With init ends everything in its namespace, the relay too; whoever started a subreaper may end all that it leaves behind. */
void
relayed_finish(void)
{
	if (!used || (getpid() != 1 && !subreaper()))
		return;
	fdtab_each(getpid() == 1 ? finish_one : deliver_one, NULL);
	helper_drain();
}
