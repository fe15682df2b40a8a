/*
 * asks.c - a program that the preload object may wrap asks the library about its connection, and wraps another one itself.
 *
 *	asks PORT PLAIN-PORT CA-FILE LIBRARY early|late
 *
 * PORT is wrapped by policy, PLAIN-PORT is not, and TLS is spoken behind both.  LIBRARY, opened before the first connection or behind it, may be the
 * file that the preload object has loaded, or another copy.
 */
#include "probe.h"

#include "core.h"
#include "wrapsock.h"

#include <dlfcn.h>

#define API(f)                                              \
	f(from_fd) f(err) f(errstr) f(version) f(cipher) f(fileno) f(context) f(getpeercert) f(cert_validated) f(cert_subject) f(cert_free) \
	f(get_verified_chain) f(free) f(send) f(recv) f(unwrap) f(close) f(ctx_new) f(ctx_load_verify_locations) f(wrap) f(ctx_free) f(pending)
#define MEMBER(name) __typeof__(wrapsock_##name) *name;
static struct {
	API(MEMBER)
} api;

static void
open_library(const char *path)
{
	void *lib = dlopen(path, RTLD_NOW | RTLD_LOCAL);

	if (!lib) {
		say("%s", dlerror());
		exit(1);
	}
#define FIND(name) *(void **)&api.name = dlsym(lib, "wrapsock_" #name);
	API(FIND)
}

static void
ask(int fd)
{
	struct wrapsock_sock *s = api.from_fd(fd);
	const struct wrapsock_name *names = NULL;
	struct wrapsock_der *chain = NULL;
	struct wrapsock_cert *cert;
	const char *cipher = NULL;
	int bits = 0, known, n;
	char buf[8];

	if (!s) {
		say("not ours: %d, %s", (int)api.err(NULL), word(errno));
		return;
	}
	known = api.cipher(s, &cipher, NULL, &bits);
	say("version %s, cipher %s, %d bits, known %d, pending %zu", api.version(s), cipher, bits, known, api.pending(s));
	cert = api.getpeercert(s);
	n = (int)api.cert_subject(cert, &names);
	say("validated %d, %s = %s", api.cert_validated(cert), n ? names[0].name : "", n ? names[0].value : "");
	api.cert_free(cert);
	n = api.get_verified_chain(s, &chain);
	say("chain of %d, the descriptor %s, context %s", n, api.fileno(s) == fd ? "it is" : "is another", api.context(s) ? "one" : "none");
	api.free(chain);
	say("send %d, recv %d", (int)api.send(s, "x", 1, 0), (int)api.recv(s, buf, 1, 0));
	n = api.unwrap(s);
	say("unwrap %d, code %d", n, (int)api.err(s));
	close(fd);		/* while it is held */
	say("closed, and still %s", api.version(s));
	api.close(s);
	say("then: %s", api.from_fd(fd) ? "wrapped" : "not wrapped");
}

static void
talk(int fd)
{
	char buf[8] = "";

	say("send %s", result(send(fd, "ping\n", 5, 0)));
	say("recv %s %.4s", result(recv(fd, buf, 5, MSG_WAITALL)), buf);
}

/* The preload object must not be met twice. */
static void
wrap(int fd, const char *ca)
{
	struct wrapsock_ctx *ctx = api.ctx_new(WRAPSOCK_PROTOCOL_TLS_CLIENT);
	struct wrapsock_sock *s;
	char buf[8] = "";
	int r = api.ctx_load_verify_locations(ctx, ca, NULL);

	if (r < 0)
		die("CA");
	s = api.wrap(ctx, fd, 0, "localhost");
	if (!s) {
		say("wrap: code %d, %s", (int)api.err(NULL), strstr(api.errstr(NULL), "action = plain") ? "and the cure" : api.errstr(NULL));
	} else {
		say("wrap: send %zd", api.send(s, "ping\n", 5, 0));
		say("wrap: recv %zd %.4s", api.recv(s, buf, 5, 0), buf);
		say("asked about itself: %s", api.from_fd(fd) ? "wrapped" : "not wrapped");
		api.close(s);
	}
	api.ctx_free(ctx);
}

/* A library of another version asks: it is told that versions differ, and nothing else. */
static void
ask_as_stranger(int fd)
{
	struct core_conn c = { .abi = CORE_ABI + 1, .size = sizeof(struct core_verbs) };
	socklen_t len = sizeof c;
	int r = getsockopt(fd, CORE_SOL, CORE_SO_CONN, &c, &len);

	if (r < 0)
		say("stranger: %s", word(errno));
	else
		say("stranger: %s, %s", c.abi == CORE_ABI ? "the version" : "no version", c.conn ? "the connection" : "no connection");
}

int
main(int argc, char **argv)
{
	bool early = argc > 5 && strcmp(argv[5], "early") == 0;
	int fd, plain;

	if (argc != 6)
		return 2;
	if (early)
		open_library(argv[4]);
	fd = dial(argv[1]);
	plain = dial(argv[2]);
	if (!early)
		open_library(argv[4]);
	ask(plain);
	wrap(plain, argv[3]);
	ask(STDIN_FILENO);
	talk(fd);
	ask_as_stranger(fd);
	wrap(fd, argv[3]);
	talk(fd);
	ask(fd);
	return 0;
}
