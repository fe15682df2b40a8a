/*
 * real.h - libc's own functions, one typed slot each, from calls.def.
 *
 * A slot starts at a stub that resolves all of them and forwards, so that a call made before our constructor is real too.
 */
#ifndef WRAPSOCK_REAL_H
#define WRAPSOCK_REAL_H

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/poll.h>
#include <sys/prctl.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <aio.h>
#include <execinfo.h>
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

/* Other names of the same functions, and functions of headers that are not what they declare; old objects are linked to them. */
ssize_t __read(int fd, void *buf, size_t len);
ssize_t __write(int fd, const void *buf, size_t len);
ssize_t __send(int fd, const void *buf, size_t len, int flags);
int __connect(int fd, const struct sockaddr *addr, socklen_t len);
int __poll(struct pollfd *fds, nfds_t n, int timeout);
int __select(int n, fd_set *in, fd_set *out, fd_set *except, struct timeval *timeout);
int __close(int fd);
int __dup2(int fd, int newfd);
int __fcntl(int fd, int cmd, ...);
pid_t __fork(void);
pid_t __vfork(void);
int __clone(int (*start)(void *), void *stack, int flags, void *arg, ...);
FILE *_IO_fdopen(int fd, const char *mode);
FILE *_IO_popen(const char *command, const char *mode);
int _IO_fclose(FILE *f);
FILE *_IO_file_attach(FILE *f, int fd);
void __backtrace_symbols_fd(void *const *addresses, int n, int fd);
/* Newer than the headers that we may be built with. */
int pidfd_getfd(int pidfd, int fd, unsigned flags);
int pidfd_spawn(int *pidfd, const char *path, const posix_spawn_file_actions_t *, const posix_spawnattr_t *, char *const argv[], char *const envp[]);
int pidfd_spawnp(int *pidfd, const char *file, const posix_spawn_file_actions_t *, const posix_spawnattr_t *, char *const argv[], char *const envp[]);

struct real {
#define CALL(name, family) __typeof__(&name) name;
#include "calls.def"
#undef CALL
};

extern struct real real __attribute__((visibility("hidden")));

void real_resolve(void);	/* all slots; idempotent, re-entrant, keeps errno */

#define EXPORT __attribute__((visibility("default")))

/* The same function under another of libc's names, which some objects are linked to. */
#if __has_attribute(copy)
#define ALSO(name, also) EXPORT __typeof__(name) also __attribute__((alias(#name), copy(name)))
#else
#define ALSO(name, also) EXPORT __typeof__(name) also __attribute__((alias(#name)))
#endif

#endif
