/* relayed.c - a wrapped socket becomes the end of a pair, and is recognised as one. */
#include "relayed.h"

#include "cancel.h"
#include "epoll.h"
#include "helper.h"
#include "sock.h"

#include "log.h"
#include "raw.h"

#include <sys/un.h>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdatomic.h>
#include <string.h>

#define MARK "wrapsock-relay/1 "

/* The abstract name of the helper's end, behind the mark. */
struct place {
	uint16_t family, port;		/* as in the address: port in network order */
	uint32_t scope;
	uint8_t addr[16];
};
struct label {
	uint64_t id, nonce;
	uint32_t user, unused;
	struct place local, peer;
};
_Static_assert(1 + sizeof MARK - 1 + sizeof(struct label) <= sizeof ((struct sockaddr_un *)NULL)->sun_path, "the name has room for it");

static _Atomic bool used;		/* this process has given the relay something */

/* ---- names ---- */

static struct place
place_of(const struct sockaddr_storage *ss)
{
	struct place p = { .family = ss->ss_family };

	if (ss->ss_family == AF_INET) {
		const struct sockaddr_in *in = (const void *)ss;

		p.port = in->sin_port;
		memcpy(p.addr, &in->sin_addr, sizeof in->sin_addr);
	} else {
		const struct sockaddr_in6 *in6 = (const void *)ss;

		p.port = in6->sin6_port;
		p.scope = in6->sin6_scope_id;
		memcpy(p.addr, &in6->sin6_addr, sizeof p.addr);
	}
	return p;
}

static socklen_t
address_of(const struct place *p, struct sockaddr_storage *ss)
{
	struct sockaddr_in *in = (void *)ss;
	struct sockaddr_in6 *in6 = (void *)ss;

	memset(ss, 0, sizeof *ss);
	ss->ss_family = p->family;
	if (p->family == AF_INET) {
		in->sin_port = p->port;
		memcpy(&in->sin_addr, p->addr, sizeof in->sin_addr);
		return sizeof *in;
	}
	in6->sin6_port = p->port;
	in6->sin6_scope_id = p->scope;
	memcpy(&in6->sin6_addr, p->addr, sizeof p->addr);
	return sizeof *in6;
}

static socklen_t
write_label(const struct label *l, struct sockaddr_un *a)
{
	*a = (struct sockaddr_un){ .sun_family = AF_UNIX };
	memcpy(a->sun_path + 1, MARK, sizeof MARK - 1);
	memcpy(a->sun_path + sizeof MARK, l, sizeof *l);
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + sizeof MARK + sizeof *l);
}

static bool
read_label(int fd, struct label *l)
{
	struct sockaddr_un a;
	unsigned len = sizeof a;

	if (raw_getpeername(fd, &a, &len) < 0 || a.sun_family != AF_UNIX)
		return false;
	if (len != offsetof(struct sockaddr_un, sun_path) + sizeof MARK + sizeof *l || a.sun_path[0] || memcmp(a.sun_path + 1, MARK, sizeof MARK - 1) != 0)
		return false;
	memcpy(l, a.sun_path + sizeof MARK, sizeof *l);
	return l->peer.family == AF_INET || l->peer.family == AF_INET6;
}

/* ---- the pair ---- */

static void
copy_option(int from, int to, int name)
{
	struct timeval tv;
	socklen_t len = sizeof tv;

	if (real.getsockopt(from, SOL_SOCKET, name, &tv, &len) == 0)
		real.setsockopt(to, SOL_SOCKET, name, &tv, len);
}

/* What the program has set on the wire's file goes along. */
static void
copy_settings(struct sock *s, int wire, int end)
{
	int flags = real.fcntl(wire, F_GETFL), lowat = core->conn_lowat(s->conn);
	struct f_owner_ex owner;

	copy_option(wire, end, SO_RCVTIMEO);
	copy_option(wire, end, SO_SNDTIMEO);
	if (lowat > 1)
		real.setsockopt(end, SOL_SOCKET, SO_RCVLOWAT, &lowat, sizeof lowat);
	if (flags & O_ASYNC && real.fcntl(wire, F_GETOWN_EX, &owner) == 0)
		real.fcntl(end, F_SETOWN_EX, &owner);
	if (flags >= 0)
		real.fcntl(end, F_SETFL, flags & (O_NONBLOCK | O_ASYNC));
}

/* Above the standard numbers, which the program expects to be free or its own. */
static int
raised(int fd)
{
	int higher;

	if (fd < 0 || fd > 2)
		return fd;
	higher = real.fcntl(fd, F_DUPFD_CLOEXEC, 3);
	real.close(fd);
	return higher;
}

/*
 * The byte that stays unread pins its buffer, up to 64 KiB where sendfile made it, and a Unix socket is writable when a quarter of its room is used:
 * with the usual room it would never be again.  The kernel doubles what is asked for, and cuts it to wmem_max before.
 */
static void
make_room(int end)
{
	int bytes = 1 << 20;

	real.setsockopt(end, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
}

static int
make_pair(int wire, struct label *label, int pair[2])
{
	struct sockaddr_storage local, peer;
	socklen_t llen = sizeof local, plen = sizeof peer, len;
	struct sockaddr_un name;
	int r;

	if (real.getsockname(wire, (struct sockaddr *)&local, &llen) < 0 || real.getpeername(wire, (struct sockaddr *)&peer, &plen) < 0)
		return -errno;
	if (raw_syscall(SYS_getrandom, (long)&label->id, sizeof label->id, 0, 0, 0, 0) != sizeof label->id)
		return -EIO;
	label->nonce = helper_nonce();
	label->user = geteuid();
	label->local = place_of(&local);
	label->peer = place_of(&peer);
	r = (int)raw_syscall(SYS_socketpair, AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, (long)pair, 0, 0);
	if (r < 0)
		return r;
	make_room(pair[0]);
	pair[0] = raised(pair[0]);
	pair[1] = raised(pair[1]);
	len = write_label(label, &name);
	r = pair[0] < 0 || pair[1] < 0 ? -EMFILE : (int)raw_syscall(SYS_bind, pair[1], (long)&name, len, 0, 0, 0);
	if (r == 0 && raw_send(pair[0], "", 1, MSG_DONTWAIT | MSG_NOSIGNAL) != 1)	/* the byte that stays unread */
		r = -EIO;
	if (r == 0)
		return 0;
	for (int i = 0; i < 2; i++)
		if (pair[i] >= 0)
			real.close(pair[i]);
	return r;
}

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
		return refuse(fd, -EACCES, "another thread is waiting in a call for it");
	case -EIO:
		return refuse(fd, -EACCES, "another process uses it");
	case -EOPNOTSUPP:
		return refuse(fd, -EACCES, "its cipher suite can be continued by OpenSSL only");
	default:
		return error;		/* the handshake failed, which has been logged */
	}
}

/* *end: the program's end of the pair, ready to take the place of the wire. */
static int
give_away(struct sock *s, int fd, int *end)
{
	struct conn_parcel parcel;
	struct label label = { 0 };
	int control, pair[2], r;

	if (s->route == ROUTE_INLINE)
		return refuse(fd, -EACCES, "its rule says route = inline");
	r = core->conn_handshake(s->conn, fd, true);
	if (r < 0)
		return r;
	control = helper_reach();
	if (control < 0)
		return refuse(fd, -EACCES, "there is no relay to take it");
	if (make_pair(fd, &label, pair) < 0) {
		real.close(control);
		return refuse(fd, -EACCES, "no pair of sockets can be made for it");
	}
	r = core->conn_leave(s->conn, fd, &parcel);
	if (r < 0) {
		real.close(pair[0]);
		real.close(pair[1]);
		real.close(control);
		return cannot_leave(fd, r);
	}
	copy_settings(s, fd, pair[0]);
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

/* The end takes the number of the wire. Where it cannot, as above a limit that was lowered, that number must not stay a wire to write to. */
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

int
relayed_take(struct sock *s, int fd)
{
	struct swap swap = { s, -1, 0 };
	int saved = errno, r;
	UNCANCELLED;

	if (s->phase != SOCK_WRAPPED)
		return 0;
	if (atomic_exchange(&s->leaving, true))
		return refuse(fd, -EACCES, "another thread is handing it over");
	r = give_away(s, fd, &swap.end);
	if (r == 0) {
		epoll_leave(s);
		fdtab_each(swap_one, &swap);
		s->phase = SOCK_RELAYED;
		epoll_come(s);
		real.close(swap.end);
		r = swap.error;
	}
	s->leaving = false;
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
	int saved = errno, end, r = give_away(s, fd, &end);

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
	struct label label;
	struct sock *s;

	if (!read_label(fd, &label) || !made_by_us(fd))
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
	struct label label;

	if (raw_syscall(SYS_ppoll, (long)&p, 1, (long)&(struct timespec){ 0 }, 0, 0, 0) != 1 || !(p.revents & POLLHUP))
		return false;
	return !read_label(fd, &label) || helper_option(label.nonce, label.user, label.id, &o) == -ENOTCONN;	/* else only the program has ended it */
}

/* ---- answers ---- */

int
relayed_name(int fd, bool peer, struct sockaddr *addr, socklen_t *len)
{
	struct sockaddr_storage ss;
	struct label label;
	socklen_t real_len;

	if (!addr || !len)
		return (int)answer(-EFAULT);
	if (!read_label(fd, &label) || (peer && relayed_over(fd)))
		return (int)answer(-ENOTCONN);
	real_len = address_of(peer ? &label.peer : &label.local, &ss);
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
	return level == SOL_SOCKET && (name == SO_KEEPALIVE || name == SO_LINGER || name == SO_PRIORITY || name == SO_MARK || name == SO_BINDTODEVICE ||
				       name == SO_DONTROUTE || name == SO_OOBINLINE || name == SO_REUSEADDR || name == SO_SNDBUF || name == SO_RCVBUF);
}

/* The wire is gone: TCP's answers are those of a socket that is connected to nobody, and a socket's own are the pair's. */
static int
ask_nobody(const struct label *l, struct relay_option *o)
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
	struct label label;
	int r;

	if (!read_label(fd, &label))
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

/* With init ends everything in its namespace, the relay too. */
void
relayed_finish(void)
{
	if (!used || getpid() != 1)
		return;
	fdtab_each(finish_one, NULL);
	helper_drain();
}
