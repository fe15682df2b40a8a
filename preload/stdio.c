/*
 * stdio.c - where libc's streams meet our descriptors.
 *
 * A stream reads and writes inside libc, where no wrapper is met: its bytes would reach the wire in clear.  So a connection that gets
 * a stream goes to the relay first, and one that has a stream before it is connected, within connect.
 */
#include "stdio.h"

#include "cancel.h"
#include "decide.h"
#include "relayed.h"
#include "real.h"

#include "log.h"
#include "raw.h"

#include <stdio_ext.h>
#include <stdlib.h>

/* glibc declares it only under _FORTIFY_SOURCE. */
int __vasprintf_chk(char **out, int flag, const char *format, va_list ap);

/* libc may have closed the number behind our back and given it to a file. */
static bool
still_socket(int fd)
{
	int type;
	unsigned len = sizeof type;

	if (raw_getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0)
		return true;
	fdtab_forget(fd);
	return false;
}

/* May a stream be put over it? false = EACCES */
static bool
for_stream(int fd)
{
	HOLD s = fdtab_hold(fd);

	if (!s || s->phase == SOCK_RELAYED || !still_socket(fd))
		return true;
	if (s->phase == SOCK_PLANNED) {
		s->escaped = true;
		return true;
	}
	return (!sock_foreign(s) && relayed_take(s, fd) == 0) || answer(-EACCES) == 0;
}

EXPORT FILE *
fdopen(int fd, const char *mode)
{
	return !fdtab_ours(fd) || for_stream(fd) ? real.fdopen(fd, mode) : NULL;
}
ALSO(fdopen, _IO_fdopen);

EXPORT FILE *
_IO_file_attach(FILE *f, int fd)
{
	return !fdtab_ours(fd) || for_stream(fd) ? real._IO_file_attach(f, fd) : NULL;
}

/* Exported by glibc since ever, in no header any more. */
FILE *_IO_iter_begin(void);
FILE *_IO_iter_end(void);
FILE *_IO_iter_next(FILE *);
FILE *_IO_iter_file(FILE *);
void _IO_list_lock(void);
void _IO_list_unlock(void);

bool
stdio_over(int fd)
{
	bool found = false;
	UNCANCELLED;

	_IO_list_lock();
	for (FILE *f = _IO_iter_begin(); f != _IO_iter_end() && !found; f = _IO_iter_next(f))
		found = fileno_unlocked(_IO_iter_file(f)) == fd;
	_IO_list_unlock();
	return found;
}

static bool
wrapped(int fd)
{
	HOLD s = fdtab_hold_wrapped(fd);

	return s != NULL;
}

static void
freep(char **p)
{
	free(*p);
}

/* All of it or -1, as the stream that libc puts over the descriptor would; write is our own. */
static int
print(int fd, int flag, const char *format, va_list ap)
{
	__attribute__((cleanup(freep))) char *text = NULL;
	int len = __vasprintf_chk(&text, flag, format, ap);

	if (len < 0) {
		text = NULL;
		return -1;
	}
	for (ssize_t n, done = 0; done < len; done += n) {
		n = write(fd, text + done, (size_t)(len - done));
		if (n < 0)
			return -1;
	}
	return len;
}

EXPORT int
vdprintf(int fd, const char *format, va_list ap)
{
	if (!fdtab_ours(fd) || !wrapped(fd))
		return real.vdprintf(fd, format, ap);
	return print(fd, 0, format, ap);
}

EXPORT int
__vdprintf_chk(int fd, int flag, const char *format, va_list ap)
{
	if (!fdtab_ours(fd) || !wrapped(fd))
		return real.__vdprintf_chk(fd, flag, format, ap);
	return print(fd, flag, format, ap);
}

EXPORT int
dprintf(int fd, const char *format, ...)
{
	va_list ap;
	int r;

	va_start(ap, format);
	r = vdprintf(fd, format, ap);
	va_end(ap);
	return r;
}

EXPORT int
__dprintf_chk(int fd, int flag, const char *format, ...)
{
	va_list ap;
	int r;

	va_start(ap, format);
	r = __vdprintf_chk(fd, flag, format, ap);
	va_end(ap);
	return r;
}

static int
close_stream(FILE *f, int fd)
{
	UNCANCELLED;

	if (wrapped(fd) && still_socket(fd) && __fpending(f)) {
		__fpurge(f);	/* a stream made before we were: what it holds must not be flushed in clear */
		log_line(LOG_LEVEL_WARN, "what a stream over wrapped descriptor %d held is dropped: only after a connect that waits can it be sent",
			 fd);
	}
	fdtab_close(fd);
	return real.fclose(f);
}

EXPORT int
fclose(FILE *f)
{
	int saved = errno, fd = fileno(f);

	errno = saved;		/* a stream without descriptor is libc's business */
	if (!fdtab_ours(fd))
		return real.fclose(f);
	return close_stream(f, fd);
}
ALSO(fclose, _IO_fclose);

/* What a crash handler calls; libc's own writes inside libc. */
EXPORT void
backtrace_symbols_fd(void *const *addresses, int n, int fd)
{
	__attribute__((cleanup(freep))) char *text = NULL;
	char **lines;

	if (!fdtab_ours(fd) || !wrapped(fd)) {
		real.backtrace_symbols_fd(addresses, n, fd);
		return;
	}
	lines = backtrace_symbols(addresses, n);
	text = (char *)lines;			/* one block holds them all */
	for (int i = 0; lines && i < n; i++)
		dprintf(fd, "%s\n", lines[i]);
}
ALSO(backtrace_symbols_fd, __backtrace_symbols_fd);
