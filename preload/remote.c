/*
 * remote.c - libc's own clients that connect inside libc and give the program the connection: rcmd and rexec. What policy would
 * wrap is refused.
 */
#include "decide.h"
#include "real.h"

#include "log.h"

#include <netinet/in.h>

/* Is every address that libc may connect to plain? */
static bool
plain(const char *call, const char *host, unsigned port, sa_family_t family)
{
	struct addrinfo hints = { .ai_family = family, .ai_socktype = SOCK_STREAM }, *list;
	bool all = true;
	int rule;

	if (!decide_clients() || !host || getaddrinfo(host, NULL, &hints, &list) != 0)
		return true;			/* a name that is none fails in libc, too */
	for (struct addrinfo *a = list; a && all; a = a->ai_next) {
		if (a->ai_family != AF_INET && a->ai_family != AF_INET6)
			continue;
		((struct sockaddr_in *)(void *)a->ai_addr)->sin_port = (in_port_t)port;	/* where IPv6's is, too */
		all = decide_ask(CONFIG_CLIENT, a->ai_addr, a->ai_addrlen, &rule) == 0;
	}
	freeaddrinfo(list);
	if (!all)
		log_line(LOG_LEVEL_WARN, "%s to %s is refused with EACCES: it connects inside libc, and policy does not leave that plain", call,
			 host);
	return all;
}

EXPORT int
rcmd(char **host, unsigned short port, const char *local, const char *remote, const char *command, int *second)
{
	if (!plain("rcmd", *host, port, AF_INET))
		return (int)answer(-EACCES);
	return real.rcmd(host, port, local, remote, command, second);
}

EXPORT int
rcmd_af(char **host, unsigned short port, const char *local, const char *remote, const char *command, int *second, sa_family_t family)
{
	if (!plain("rcmd", *host, port, family))
		return (int)answer(-EACCES);
	return real.rcmd_af(host, port, local, remote, command, second, family);
}

EXPORT int
rexec(char **host, int port, const char *user, const char *password, const char *command, int *second)
{
	if (!plain("rexec", *host, (unsigned)port, AF_INET))
		return (int)answer(-EACCES);
	return real.rexec(host, port, user, password, command, second);
}

EXPORT int
rexec_af(char **host, int port, const char *user, const char *password, const char *command, int *second, sa_family_t family)
{
	if (!plain("rexec", *host, (unsigned)port, family))
		return (int)answer(-EACCES);
	return real.rexec_af(host, port, user, password, command, second, family);
}
