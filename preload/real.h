/*
 * real.h - libc's own functions, one typed slot each, from calls.def.
 *
 * A slot starts at a stub that resolves all of them and forwards, so that a call made before our constructor is real too.
 */
#ifndef WRAPSOCK_REAL_H
#define WRAPSOCK_REAL_H

#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/poll.h>
#include <sys/prctl.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <aio.h>
#include <fcntl.h>
#include <netdb.h>
#include <pty.h>
#include <sched.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* glibc declares these only under _FORTIFY_SOURCE, which this room does without. */
ssize_t __read_chk(int fd, void *buf, size_t len, size_t size);
ssize_t __recv_chk(int fd, void *buf, size_t len, size_t size, int flags);
ssize_t __recvfrom_chk(int fd, void *buf, size_t len, size_t size, int flags, struct sockaddr *addr, socklen_t *addrlen);
int __poll_chk(struct pollfd *fds, nfds_t n, int timeout, size_t size);
int __ppoll_chk(struct pollfd *fds, nfds_t n, const struct timespec *timeout, const sigset_t *mask, size_t size);
int __dprintf_chk(int fd, int flag, const char *format, ...);
int __vdprintf_chk(int fd, int flag, const char *format, va_list ap);

struct real {
#define CALL(name, family) __typeof__(&name) name;
#include "calls.def"
#undef CALL
};

extern struct real real __attribute__((visibility("hidden")));

void real_resolve(void);	/* all slots; idempotent, re-entrant, keeps errno */

#define EXPORT __attribute__((visibility("default")))

#endif
