/*
 * calls_fuzz.c - sequences of the calls that libwrapsock-preload.so stands before, with a peer that follows the same script.
 *
 * Two bytes a step: what, and how much.  The object is linked in front of libc and the connection is one of TCP over loopback.
 * What the program writes is a function of its place in the stream, in both directions, so that a retry writes the same and any
 * loss, doubling or mixing shows.  On the wire there is nothing but TLS records, whatever has been called.
 */
#include "raw.h"

#include "certificate.h"

#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include <openssl/ssl.h>

#define NUMBERS 6
#define MOST 40000
#define COUNTED (256 * 1024)		/* up to here FIONREAD opens what it counts; behind, ciphertext is counted, and never too low */

static SSL_CTX *server_ctx, *client_ctx;
static int listener;			/* the peer's, made by number: no wrapper knows it */
static struct sockaddr_in place;

static struct {
	int fd[NUMBERS], end;		/* the program's numbers of its connection, and the peer's end */
	bool file[NUMBERS];		/* that number has become a file behind everybody's back */
	SSL *tls;
	BIO *in, *out;
	uint8_t head[5];		/* of the record that is coming in */
	size_t have, body;
	uint64_t wrote, peer_read, peer_wrote, program_read;
	bool spoilt;			/* bytes that are no TLS were sent to the program, or the peer has gone */
} now;

static uint8_t
letter(uint64_t at, bool from_peer)
{
	return (uint8_t)((at * 2654435761u >> 13) + (from_peer ? 0x55 : 0) + at);
}

/* ---- set up ---- */

static void
make_files(const char *folder, char *policy, size_t size)
{
	char pem[100];
	FILE *f;

	snprintf(pem, sizeof pem, "%s/pem", folder);
	make_certificate(pem);
	snprintf(policy, size, "%s/policy", folder);
	f = fopen(policy, "w");
	need(f && fprintf(f, "[client all]\nmatch = *:*\ninsecure = yes\ncert_reqs = none\ncheck_hostname = no\nroute = inline\n"
			  "[server all]\nmatch = *:*\ncertfile = %s\nkeyfile = %s\nroute = inline\n", pem, pem) > 0 && fclose(f) == 0, policy);
}

/* The policy is read before main: we begin once more with it in the environment. */
int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	char folder[] = "/tmp/calls_fuzz.XXXXXX", policy[200], pem[220];
	socklen_t len = sizeof place;

	(void)argc;
	signal(SIGPIPE, SIG_IGN);
	if (!getenv("WRAPSOCK_POLICY")) {
		need(mkdtemp(folder) != NULL, "a folder");
		make_files(folder, policy, sizeof policy);
		setenv("WRAPSOCK_POLICY", policy, 1);
		setenv("WRAPSOCK_LOG_FILE", "/dev/null", 1);
		execv("/proc/self/exe", *argv);
	}
	snprintf(pem, sizeof pem, "%.*s/pem", (int)(strrchr(getenv("WRAPSOCK_POLICY"), '/') - getenv("WRAPSOCK_POLICY")), getenv("WRAPSOCK_POLICY"));
	server_ctx = SSL_CTX_new(TLS_server_method());
	client_ctx = SSL_CTX_new(TLS_client_method());
	need(SSL_CTX_use_certificate_file(server_ctx, pem, SSL_FILETYPE_PEM) > 0 && SSL_CTX_use_PrivateKey_file(server_ctx, pem, SSL_FILETYPE_PEM) > 0, pem);
	listener = (int)raw_syscall(SYS_socket, AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0, 0, 0, 0);
	place = (struct sockaddr_in){ .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	need(raw_syscall(SYS_bind, listener, (long)&place, sizeof place, 0, 0, 0) == 0 && raw_syscall(SYS_listen, listener, 8, 0, 0, 0, 0) == 0 &&
	     raw_syscall(SYS_getsockname, listener, (long)&place, (long)&len, 0, 0, 0) == 0, "a listener");
	return 0;
}

/* ---- the peer ---- */

/* All that is on the wire must be records, at every byte. */
static void
judge(const uint8_t *p, size_t n)
{
	while (n) {
		size_t part = now.body < n ? now.body : n;

		now.body -= part;
		p += part;
		n -= part;
		if (!n)
			return;
		now.head[now.have++] = *p++;
		n--;
		need(now.have != 1 || (now.head[0] >= 20 && now.head[0] <= 23), "clear text on the wire");
		need(now.have != 2 || now.head[1] == 3, "no TLS on the wire");
		if (now.have == 5) {
			now.body = (size_t)now.head[3] << 8 | now.head[4];
			need(now.body && now.body <= 16384 + 2048, "a record's length");
			now.have = 0;
		}
	}
}

static void
peer_moves(void)
{
	static uint8_t buf[65536];
	long n;
	int got;

	while ((n = raw_recv(now.end, buf, sizeof buf, MSG_DONTWAIT)) > 0) {
		judge(buf, (size_t)n);
		BIO_write(now.in, buf, (int)n);
	}
	if (!SSL_is_init_finished(now.tls))
		SSL_do_handshake(now.tls);
	while ((got = SSL_read(now.tls, buf, sizeof buf)) > 0)
		for (int i = 0; i < got; i++)
			need(buf[i] == letter(now.peer_read++, false), "the peer reads what the program did not write");
	while ((n = BIO_read(now.out, buf, sizeof buf)) > 0)
		if (raw_send(now.end, buf, (size_t)n, MSG_NOSIGNAL) != n)
			now.spoilt = true;
}

static void
peer_writes(size_t n)
{
	static uint8_t buf[MOST];

	if (!SSL_is_init_finished(now.tls) || now.spoilt)
		return;
	for (size_t i = 0; i < n; i++)
		buf[i] = letter(now.peer_wrote + i, true);
	if (SSL_write(now.tls, buf, (int)n) == (int)n)
		now.peer_wrote += n;
	peer_moves();
}

static void
peer_errs(uint8_t how)
{
	uint8_t junk[64];

	memset(junk, how, sizeof junk);
	now.spoilt = true;
	if (how & 1)
		raw_send(now.end, junk, how % 64, MSG_NOSIGNAL | MSG_DONTWAIT);
	else if (how & 2)
		raw_shutdown(now.end, SHUT_RDWR);
	else
		SSL_shutdown(now.tls);
	peer_moves();
}

/* ---- the program ---- */

static void
took(const uint8_t *p, long n, bool peeked)
{
	for (long i = 0; i < n; i++)
		need(p[i] == letter(now.program_read + (uint64_t)i, true), "the program reads what the peer did not write");
	if (n > 0 && !peeked)
		now.program_read += (uint64_t)n;
	need(now.program_read <= now.peer_wrote, "more than was written");
}

static void
program_reads(int i, uint8_t how, size_t n)
{
	static uint8_t buf[MOST];
	static const int flags[] = { 0, MSG_PEEK, MSG_DONTWAIT, MSG_WAITALL, MSG_PEEK, MSG_OOB };
	struct iovec v[2] = { { buf, n / 3 }, { buf + n / 3, n - n / 3 } };
	struct msghdr m = { .msg_iov = v, .msg_iovlen = 2 };
	int flag = flags[how % 6], fd = now.fd[i];
	long r = how & 64 ? recvmsg(fd, &m, flag) : how & 32 ? readv(fd, v, 2) : how & 16 ? read(fd, buf, n) : recv(fd, buf, n, flag);

	need(r <= (long)n, "more than asked for");
	if (!now.file[i])
		took(buf, r, flag == MSG_PEEK && (how & 64 || !(how & 48)));
}

static void
program_writes(int i, uint8_t how, size_t n)
{
	static uint8_t buf[MOST];
	struct iovec v[2] = { { buf, n / 3 }, { buf + n / 3, n - n / 3 } };
	struct mmsghdr m = { .msg_hdr = { .msg_iov = v, .msg_iovlen = 2 } };
	int fd = now.fd[i];
	long r;

	for (size_t k = 0; k < n; k++)
		buf[k] = letter(now.wrote + k, false);
	switch (how % 5) {
	case 0:
		r = write(fd, buf, n);
		break;
	case 1:
		r = writev(fd, v, 2);
		break;
	case 2:
		r = sendmsg(fd, &m.msg_hdr, MSG_NOSIGNAL);
		break;
	case 3:
		r = sendmmsg(fd, &m, 1, MSG_NOSIGNAL);
		r = r == 1 ? (long)m.msg_len : r;
		break;
	default:
		r = send(fd, buf, n, how & 64 ? MSG_OOB | MSG_NOSIGNAL : MSG_NOSIGNAL);
	}
	need(r <= (long)n, "more than was to be sent");
	if (r > 0 && !now.file[i])
		now.wrote += (uint64_t)r;
}

static void
becomes_a_file(int i)
{
	int file = open("/dev/null", O_RDWR);

	raw_syscall(SYS_dup3, file, now.fd[i], 0, 0, 0, 0);
	close(file);
	now.file[i] = true;
}

static void
program_doubles(int i, uint8_t how)
{
	int to = (int)(how >> 4) % NUMBERS, fd = now.fd[i], r;

	if (to == i)
		return;
	if (now.fd[to] >= 0 && how & 1) {
		r = dup2(fd, now.fd[to]);
	} else {
		if (now.fd[to] >= 0)
			close(now.fd[to]);
		r = how & 2 ? fcntl(fd, F_DUPFD_CLOEXEC, 20) : dup(fd);
	}
	if (r < 0)
		return;
	now.fd[to] = r;
	now.file[to] = now.file[i];
}

static void
program_asks(int i, uint8_t how)
{
	struct pollfd p = { .fd = now.fd[i], .events = (short)(how & (POLLIN | POLLOUT)) };
	struct epoll_event e = { .events = EPOLLIN | EPOLLOUT | (how & 1 ? (uint32_t)EPOLLET : 0u) };
	uint64_t waiting = now.peer_wrote - now.program_read;
	int value = how, set, before = -1;
	socklen_t len = sizeof value;

	switch (how % 8) {
	case 0:
		poll(&p, 1, 0);
		break;
	case 1:
		set = epoll_create1(EPOLL_CLOEXEC);
		epoll_ctl(set, EPOLL_CTL_ADD, now.fd[i], &e);
		epoll_wait(set, &e, 1, 0);
		close(set);
		break;
	case 2:
		if (ioctl(now.fd[i], FIONREAD, &before) == 0 && !now.file[i])
			need(before >= 0 && ((uint64_t)before <= waiting || waiting >= COUNTED), "FIONREAD");
		break;
	case 3:
		getsockopt(now.fd[i], SOL_SOCKET, SO_ERROR, &value, &len);
		break;
	case 4:
		setsockopt(now.fd[i], SOL_SOCKET, SO_RCVLOWAT, &value, sizeof value);
		break;
	case 5:
		fcntl(now.fd[i], F_SETFD, how & 16);
		break;
	case 6:
		need(now.file[i] || !fdopen(now.fd[i], "r+"), "a stream over an inline connection");
		break;
	default:
		shutdown(now.fd[i], how & 16 ? SHUT_WR : SHUT_RD);
	}
}

static void
program_closes(int i, uint8_t how)
{
	if (how & 1)
		close_range((unsigned)now.fd[i], (unsigned)now.fd[i], 0);
	else
		close(now.fd[i]);
	now.fd[i] = -1;
	now.file[i] = false;
}

/* ---- a script ---- */

static void
begin(bool client)
{
	memset(&now, 0, sizeof now);
	for (int i = 0; i < NUMBERS; i++)
		now.fd[i] = -1;
	if (client) {
		now.fd[0] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		connect(now.fd[0], (struct sockaddr *)&place, sizeof place);
		now.end = (int)raw_syscall(SYS_accept4, listener, 0, 0, 0, 0, 0);
	} else {
		now.end = (int)raw_syscall(SYS_socket, AF_INET, SOCK_STREAM, 0, 0, 0, 0);
		need(raw_syscall(SYS_connect, now.end, (long)&place, sizeof place, 0, 0, 0) == 0, "the peer's connect");
		now.fd[0] = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
	}
	need(now.fd[0] >= 0 && now.end >= 0, "a connection");
	now.tls = SSL_new(client ? server_ctx : client_ctx);
	now.in = BIO_new(BIO_s_mem());
	now.out = BIO_new(BIO_s_mem());
	SSL_set_bio(now.tls, now.in, now.out);
	if (client)
		SSL_set_accept_state(now.tls);
	else
		SSL_set_connect_state(now.tls);
}

/* Both go on for some rounds, usually until the handshake is over. */
static void
go_on(int i, int rounds)
{
	for (int k = 0; k < rounds; k++) {
		poll(&(struct pollfd){ .fd = now.fd[i], .events = POLLIN | POLLOUT }, 1, 0);
		peer_moves();
	}
}

static void
step(uint8_t what, uint8_t how)
{
	int i = what >> 4 & 7;
	size_t n = how < 128 ? how : (size_t)(how - 127) * (MOST / 130);

	switch (what & 15) {
	case 0: case 1:
		peer_moves();
		return;
	case 2: case 3:
		peer_writes(n);
		return;
	case 4:
		if (how > 200)
			peer_errs(how);
		return;
	default:
		break;
	}
	i %= NUMBERS;
	if (now.fd[i] < 0)
		i = 0;
	if (now.fd[i] < 0)
		return;
	switch (what & 15) {
	case 5: case 6:
		program_reads(i, how, n);
		break;
	case 7: case 8:
		program_writes(i, how, n);
		break;
	case 9: case 10:
		program_asks(i, how);
		break;
	case 11: case 12:
		program_doubles(i, how);
		break;
	case 13:
		if (how > 128)
			program_closes(i, how);
		break;
	case 14:
		if (how > 240)
			becomes_a_file(i);
		break;
	default:
		go_on(i, 3);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 3 || size > 400)
		return 0;
	begin(data[0] & 1);
	if (data[0] & 2)
		go_on(0, 6);
	for (size_t at = 1; at + 1 < size; at += 2)
		step(data[at], data[at + 1]);
	for (int i = 0; i < NUMBERS; i++)
		if (now.fd[i] >= 0)
			close(now.fd[i]);
	peer_moves();
	SSL_free(now.tls);
	raw_syscall(SYS_close, now.end, 0, 0, 0, 0, 0);
	return 0;
}
