/*
 * calls_libc - what libc does with sockets of its own, and functions that take or make a connection inside it (calls.h). PLAIN: a
 * port without TLS.
 */
#include "calls.h"

#include <dlfcn.h>
#include <netdb.h>
#include <pty.h>
#include <resolv.h>
#include <signal.h>
#include <syslog.h>
#include <utmp.h>

static char loopback[] = "127.0.0.1";

/* By TCP, to a server that sends the question back: its connection is libc's own. */
static bool
try_res_query(int fd)
{
	unsigned char reply[512];
	int r;

	must("res_init", res_init());
	_res.options |= RES_USEVC;
	_res.nscount = 1;
	_res.nsaddr_list[0] = local(getenv("PLAIN"));
	r = res_query("example.test", 1, 1, reply, sizeof reply);
	note(" %s", r < 0 ? hstrerror(h_errno) : "answered");
	return fd >= 0;
}

static bool
try_getaddrinfo_a(int fd)
{
	struct gaicb request = { .ar_name = loopback, .ar_service = "80" }, *list[] = { &request };

	note(" %d", getaddrinfo_a(GAI_WAIT, list, 1, NULL));
	return answered(gai_error(&request)) && fd >= 0;
}

/* Standard error is the connection. */
static bool
try_syslog(int fd)
{
	if (dup2(fd, 2) != 2)
		return answered(-1);
	openlog("ab", LOG_PERROR, LOG_USER);
	syslog(LOG_INFO, "12");
	return back(fd, 7);
}

/* ---- connections that libc makes and gives to the program ---- */

static bool
try_rcmd(int fd)
{
	char *host = loopback;

	return answered(rcmd(&host, htons((uint16_t)atoi(call_port)), "a", "b", "secret words", NULL)) && fd >= 0;
}

static bool
try_rcmd_af(int fd)
{
	char *host = loopback;

	return answered(rcmd_af(&host, htons((uint16_t)atoi(call_port)), "a", "b", "secret words", NULL, AF_INET)) && fd >= 0;
}

static bool
try_rexec(int fd)
{
	char *host = loopback;

	return answered(rexec(&host, htons((uint16_t)atoi(call_port)), "a", "secret words", "c", NULL)) && fd >= 0;
}

static bool
try_rexec_af(int fd)
{
	char *host = loopback;

	return answered(rexec_af(&host, htons((uint16_t)atoi(call_port)), "a", "secret words", "c", NULL, AF_INET)) && fd >= 0;
}

/* ... and those that it leaves to the program to connect. */
static bool
reserved(int fd, int other)
{
	struct sockaddr_in a = local(call_port);

	note(" %s", other < 0 ? word(errno) : "made");
	if (other < 0)
		return fd >= 0;
	answered(connect(other, (void *)&a, sizeof a));
	sent(other, write(other, "hello", 5), 5);
	return fd >= 0;
}

static bool
try_rresvport(int fd)
{
	int from = IPPORT_RESERVED - 1;

	return reserved(fd, rresvport(&from));
}

static bool
try_bindresvport(int fd)
{
	int other = make_socket(0);

	return reserved(fd, bindresvport(other, NULL) < 0 ? -1 : other);
}

/* The library that took SunRPC over from libc calls connect and write by their names. */
static bool
try_tirpc(int fd)
{
	void *(*create)(struct sockaddr_in *, unsigned long, unsigned long, int *, unsigned, unsigned);
	void *lib = dlopen("libtirpc.so.3", RTLD_NOW), *client;
	struct sockaddr_in a = local(call_port);
	int other = -1 /* RPC_ANYSOCK */;

	if (!lib) {
		note(" no libtirpc");
		return fd >= 0;
	}
	create = (__typeof__(create))dlsym(lib, "clnttcp_create");
	client = create(&a, 100000, 2, &other, 0, 0);
	note(" %s", client ? "made" : "?");
	if (client)
		sent(other, write(other, "hello", 5), 5);
	return fd >= 0;
}

/* ---- terminals, and the process ---- */

static bool
try_login_tty(int fd)
{
	return answered(login_tty(fd));
}

static bool
try_openpty(int fd)
{
	int a, b;

	answered(openpty(&a, &b, NULL, NULL, NULL));
	return answered(write(b, "x", 1)) && fd >= 0;
}

/* The daemon has it; its 0 to 2 are /dev/null. */
static bool
try_daemon(int fd)
{
	int done[2];
	char text[8] = "";

	must("pipe", pipe(done));
	if (must("fork", fork()) == 0) {
		if (daemon(1, 0) == 0)
			write_all(fd, "hello", 5);
		write_all(done[1], "done", 4);
		_exit(0);
	}
	note(" %s", read(done[0], text, sizeof text) == 4 ? text : "?");
	return back(fd, 5) && false;
}

static const struct call calls[] = {
	{ "res_query", try_res_query }, { "getaddrinfo_a", try_getaddrinfo_a }, { "syslog", try_syslog },
	{ "rcmd", try_rcmd }, { "rcmd_af", try_rcmd_af }, { "rexec", try_rexec }, { "rexec_af", try_rexec_af },
	{ "rresvport", try_rresvport }, { "bindresvport", try_bindresvport }, { "libtirpc", try_tirpc },
	{ "login_tty", try_login_tty }, { "openpty", try_openpty }, { "daemon", try_daemon },
	{ NULL, NULL }
};
