/* pair.c - a Unix pair that stands for a TCP connection. */
#include "pair.h"

#include "helper.h"
#include "real.h"

#include "raw.h"

#include <sys/un.h>

#include <netinet/in.h>
#include <string.h>

#define MARK "wrapsock-relay/1 "

_Static_assert(1 + sizeof MARK - 1 + sizeof(struct pair_label) <= sizeof ((struct sockaddr_un *)NULL)->sun_path, "the name has room for it");

/* ---- names ---- */

static struct pair_place
place_of(const struct sockaddr_storage *ss)
{
	struct pair_place p = { .family = ss->ss_family };

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

socklen_t
pair_address(const struct pair_place *p, struct sockaddr_storage *ss)
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
write_label(const struct pair_label *l, struct sockaddr_un *a)
{
	*a = (struct sockaddr_un){ .sun_family = AF_UNIX };
	memcpy(a->sun_path + 1, MARK, sizeof MARK - 1);
	memcpy(a->sun_path + sizeof MARK, l, sizeof *l);
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + sizeof MARK + sizeof *l);
}

bool
pair_read_label(int fd, struct pair_label *l)
{
	struct sockaddr_un a;
	unsigned len = sizeof a;

	if (raw_getpeername(fd, &a, &len) < 0 || a.sun_family != AF_UNIX)
		return false;
	if (len != offsetof(struct sockaddr_un, sun_path) + sizeof MARK + sizeof *l || a.sun_path[0] ||
	    memcmp(a.sun_path + 1, MARK, sizeof MARK - 1) != 0)
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
void
pair_copy_settings(struct sock *s, int wire, int end)
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
 * The byte that stays unread pins its buffer, up to 64 KiB where sendfile made it, and a Unix socket is writable when a quarter of
 * its room is used: with the usual room it would never be again.  The kernel doubles what is asked for, and cuts it to wmem_max
 * before.
 */
static void
make_room(int end)
{
	int bytes = 1 << 20;

	real.setsockopt(end, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
}

int
pair_make(int wire, struct pair_label *label, int pair[2])
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
