/* calls_streams - libc's streams over a connection: made of it, put under it, and the standard ones (calls.h). */
#include "calls.h"

#include <err.h>
#include <fmtmsg.h>
#include <grp.h>
#include <malloc.h>
#include <mntent.h>
#include <netdb.h>
#include <pwd.h>
#include <signal.h>
#include <stdio_ext.h>
#include <wchar.h>

#pragma GCC diagnostic ignored "-Wredundant-decls"
void error(int status, int number, const char *format, ...) __attribute__((format(printf, 3, 4)));	/* lib/ has an error.h, too */
FILE *_IO_fdopen(int fd, const char *mode);
FILE *_IO_file_attach(FILE *f, int fd);
int _IO_fclose(FILE *f);
int _IO_putc(int c, FILE *f);
int _IO_getc(FILE *f);
int __overflow(FILE *f, int c);
int __uflow(FILE *f);
int __dprintf_chk(int fd, int flag, const char *format, ...);
int __vdprintf_chk(int fd, int flag, const char *format, va_list ap);
int __fprintf_chk(FILE *f, int flag, const char *format, ...);
int __vfprintf_chk(FILE *f, int flag, const char *format, va_list ap);
char *__fgets_chk(char *text, size_t size, int n, FILE *f);
size_t __fread_chk(void *p, size_t room, size_t size, size_t n, FILE *f);
ssize_t __getdelim(char **text, size_t *size, int end, FILE *f);

static char buf[200];
static wchar_t wide[100];

/* ---- a stream made of it ---- */

static FILE *
stream_of(int fd)
{
	FILE *f = fdopen(fd, "r+");

	if (!f)
		note(" fdopen: %s", word(errno));
	return f;
}

static bool
written_to(int fd, FILE *f, long r)
{
	if (!f)
		return true;
	note(" %s", result(r));
	if (fflush(f) != 0)
		note(" fflush: %s", word(errno));
	return back(fd, 5);
}

/* The text is five bytes. */
#define WRITES(name, call)					\
	static bool name(int fd)				\
	{							\
		FILE *f = stream_of(fd);			\
								\
		return written_to(fd, f, f ? (long)(call) : 0);	\
	}
#define READS(name, call)					\
	static bool name(int fd)				\
	{							\
		FILE *f = stream_of(fd);			\
								\
		serve(fd, "12 ab\n");				\
		if (f)						\
			answered((long)(call));			\
		note(" <%s%ls>", buf, wide);			\
		return false;					\
	}

/* A function of a list that is passed on. */
static long __attribute__((format(printf, 3, 4)))
listed(long (*call)(FILE *, int, const char *, va_list), FILE *f, const char *format, ...)
{
	va_list ap;
	long r;

	va_start(ap, format);
	r = call(f, fileno(f), format, ap);
	va_end(ap);
	return r;
}

#pragma GCC diagnostic ignored "-Wformat-nonliteral"
static long v_fprintf(FILE *f, int fd, const char *t, va_list ap) { return fd < 0 ? 0 : vfprintf(f, t, ap); }
static long v_fprintf_chk(FILE *f, int fd, const char *t, va_list ap) { return fd < 0 ? 0 : __vfprintf_chk(f, 1, t, ap); }
static long v_dprintf(FILE *f, int fd, const char *t, va_list ap) { return f ? vdprintf(fd, t, ap) : 0; }
static long v_dprintf_chk(FILE *f, int fd, const char *t, va_list ap) { return f ? __vdprintf_chk(fd, 1, t, ap) : 0; }
static long v_fscanf(FILE *f, int fd, const char *t, va_list ap) { return fd < 0 ? 0 : vfscanf(f, t, ap); }

WRITES(try_fprintf, fprintf(f, "%s %d", "ab", 12))
WRITES(try_fprintf_chk, __fprintf_chk(f, 1, "%s %d", "ab", 12))
WRITES(try_vfprintf, listed(v_fprintf, f, "%s %d", "ab", 12))
WRITES(try_vfprintf_chk, listed(v_fprintf_chk, f, "%s %d", "ab", 12))
WRITES(try_fputs, fputs("ab 12", f))
WRITES(try_fputs_unlocked, fputs_unlocked("ab 12", f))
WRITES(try_fputc, fputc('a', f) + fputc('b', f) + fputs(" 12", f))
WRITES(try_putc, putc('a', f) + putc_unlocked('b', f) + fputc_unlocked(' ', f) + fputs("12", f))
WRITES(try_io_putc, _IO_putc('a', f) + fputs("b 12", f))
WRITES(try_overflow, __overflow(f, 'a') + fputs("b 12", f))
WRITES(try_putw, putw(0x31206261, f) + putc('2', f))
WRITES(try_fwrite, fwrite("ab 12", 1, 5, f))
WRITES(try_fwrite_unlocked, fwrite_unlocked("ab 12", 1, 5, f))
WRITES(try_fputwc, fputwc(L'a', f) + putwc(L'b', f) + fputws(L" 12", f))
WRITES(try_fputws, fputws(L"ab 12", f))
WRITES(try_fwprintf, fwprintf(f, L"%s %d", "ab", 12))
WRITES(try_unbuffered, setvbuf(f, NULL, _IONBF, 0) + fputs("ab 12", f))
WRITES(try_line, (setlinebuf(f), fputs("ab 1\n", f)))
WRITES(try_dprintf, dprintf(fileno(f), "%s %d", "ab", 12))

READS(try_fscanf, fscanf(f, "%199s", buf))
READS(try_vfscanf, listed(v_fscanf, f, "%199s", buf))
READS(try_fgets, fgets(buf, sizeof buf, f) != NULL)
READS(try_fgets_chk, __fgets_chk(buf, sizeof buf, 100, f) != NULL)
READS(try_fgets_unlocked, fgets_unlocked(buf, sizeof buf, f) != NULL)
READS(try_fgetc, fgetc(f) + getc(f) + getc_unlocked(f) + fgetc_unlocked(f))
READS(try_io_getc, _IO_getc(f))
READS(try_uflow, __uflow(f))
READS(try_getw, getw(f))
READS(try_fread, fread(buf, 1, 6, f))
READS(try_fread_chk, __fread_chk(buf, sizeof buf, 1, 6, f))
READS(try_fread_unlocked, fread_unlocked(buf, 1, 6, f))
READS(try_getline, getline(&(char *){ NULL }, &(size_t){ 0 }, f))
READS(try_getdelim, __getdelim(&(char *){ NULL }, &(size_t){ 0 }, '\n', f))
READS(try_fgetwc, fgetwc(f) + getwc(f))
READS(try_fgetws, fgetws(wide, 100, f) != NULL)
READS(try_fwscanf, fwscanf(f, L"%99ls", wide))
READS(try_ungetc, ungetc(fgetc(f), f))
READS(try_fseek, fseek(f, 0, SEEK_SET) + ftell(f))
READS(try_fgetgrent, fgetgrent(f) != NULL)
READS(try_fgetpwent, fgetpwent(f) != NULL)
READS(try_getmntent, getmntent(f) != NULL)

static bool
try_putpwent(int fd)
{
	struct passwd p = { .pw_name = (char[]){ "a" }, .pw_passwd = (char[]){ "x" }, .pw_gecos = (char[]){ "" }, .pw_dir = (char[]){ "/" }, .pw_shell = (char[]){ "" } };
	FILE *f = stream_of(fd);

	return f && written_to(fd, f, putpwent(&p, f)) && back(fd, 7);
}

static bool
try_malloc_info(int fd)
{
	FILE *f = stream_of(fd);

	if (f && malloc_info(0, f) == 0 && fflush(f) == 0)
		back(fd, 8);
	return false;
}

/* ---- other ways to a stream ---- */

static bool
try_io_fdopen(int fd)
{
	FILE *f = _IO_fdopen(fd, "r+");

	return f ? written_to(fd, f, fputs("ab 12", f)) : answered(-1);
}

static bool
try_attach(int fd)
{
	FILE *f = fopen("/dev/null", "r+");

	close(fileno(f));
	f->_fileno = -1;
	f = _IO_file_attach(f, fd);
	return f ? written_to(fd, f, fputs("ab 12", f)) : answered(-1);
}

/* A stream has been made of the number that the connection gets. */
static bool
try_under(int fd)
{
	FILE *f = fopen("/dev/null", "r+");

	must("dup2", dup2(fd, fileno(f)));
	return written_to(fileno(f), f, fputs("ab 12", f));
}

static bool
try_under_planned(int fd)
{
	struct sockaddr_in a = local(call_port);
	FILE *f = fopen("/dev/null", "r+");
	int other = make_socket(0);

	must("dup2", dup2(other, fileno(f)));
	answered(connect(other, (void *)&a, sizeof a));
	written_to(fileno(f), f, fputs("ab 12", f));
	return fd >= 0;
}

static bool
try_early(int fd)
{
	struct sockaddr_in a = local(call_port);
	int other = make_socket(0);
	FILE *f = fdopen(other, "r+");

	answered(connect(other, (void *)&a, sizeof a));
	written_to(other, f, fputs("ab 12", f));
	return fd >= 0;
}

/* A name in /proc or /dev opens no socket. */
static bool
try_by_path(int fd)
{
	char path[40];

	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	answered(open(path, O_RDWR));
	note(" %s", fopen(path, "r+") ? "opened" : word(errno));
	snprintf(path, sizeof path, "/dev/fd/%d", fd);
	return answered(open(path, O_RDWR));
}

static bool
try_freopen(int fd)
{
	FILE *f = stream_of(fd);

	if (!f)
		return true;
	fputs("ab 12", f);
	note(" %s", freopen("/dev/null", "r+", f) ? "reopened" : word(errno));
	return answered(fputs("secret words", f) + fclose(f)) && false;
}

static bool
closed(int fd, int (*call)(FILE *))
{
	FILE *f = stream_of(fd);

	if (!f)
		return true;
	fputs("ab 12", f);
	answered(call(f));
	return answered(write(fd, "secret words", 12)) && false;
}

static bool try_fclose(int fd) { return closed(fd, fclose); }
static bool try_io_fclose(int fd) { return closed(fd, _IO_fclose); }

static bool
try_fcloseall(int fd)
{
	FILE *f = stream_of(fd);

	if (f)
		fputs("ab 12", f);
	answered(fcloseall());
	return back(fd, 5) && false;
}

/* ---- dprintf, which needs no stream ---- */

static bool try_dprintf_alone(int fd) { return sent(fd, dprintf(fd, "%s %d", "ab", 12), 5); }
static bool try_dprintf_chk(int fd) { return sent(fd, __dprintf_chk(fd, 1, "%s %d", "ab", 12), 5); }

static long __attribute__((format(printf, 3, 4)))
by_number(long (*call)(FILE *, int, const char *, va_list), int fd, const char *format, ...)
{
	va_list ap;
	long r;

	va_start(ap, format);
	r = call(stdout, fd, format, ap);
	va_end(ap);
	return r;
}

static bool try_vdprintf(int fd) { return sent(fd, by_number(v_dprintf, fd, "%s %d", "ab", 12), 5); }
static bool try_vdprintf_chk(int fd) { return sent(fd, by_number(v_dprintf_chk, fd, "%s %d", "ab", 12), 5); }

/* ---- the standard streams ---- */

static bool
standard(int fd, int number)
{
	if (dup2(fd, number) == number)
		return true;
	note(" dup2: %s", word(errno));
	return false;
}

#define ON_STDOUT(name, call)					\
	static bool name(int fd)				\
	{							\
		return !standard(fd, 1) || written_to(fd, stdout, (long)(call));	\
	}
#define ON_STDERR(name, call)					\
	static bool name(int fd)				\
	{							\
		if (!standard(fd, 2))				\
			return true;				\
		errno = EPERM;					\
		call;						\
		fflush(stderr);					\
		note(" ok");					\
		return back(fd, 4) && false;			\
	}
#define ON_STDIN(name, call)					\
	static bool name(int fd)				\
	{							\
		if (!standard(fd, 0))				\
			return true;				\
		serve(fd, "12 ab\n");				\
		answered((long)(call));				\
		note(" <%s%ls>", buf, wide);			\
		return false;					\
	}

static long v_printf(FILE *f, int fd, const char *t, va_list ap) { return f && fd >= 0 ? vprintf(t, ap) : 0; }

ON_STDOUT(try_printf, printf("%s %d", "ab", 12))
ON_STDOUT(try_vprintf, listed(v_printf, stdout, "%s %d", "ab", 12))
ON_STDOUT(try_puts, puts("ab 1"))
ON_STDOUT(try_putchar, putchar('a') + putchar_unlocked('b') + printf(" 12"))
ON_STDOUT(try_wprintf, wprintf(L"%s %d", "ab", 12))
ON_STDOUT(try_putwchar, putwchar(L'a') + wprintf(L"b 12"))
ON_STDERR(try_perror, perror("ab"))
ON_STDERR(try_psignal, psignal(SIGHUP, "ab"))
ON_STDERR(try_warn, warn("ab"))
ON_STDERR(try_error, error(0, EPERM, "ab"))
ON_STDERR(try_herror, herror("ab"))
ON_STDERR(try_fmtmsg, fmtmsg(MM_PRINT, "ab:12", MM_ERROR, "text", "do", "tag:1"))
ON_STDERR(try_malloc_stats, malloc_stats())
ON_STDIN(try_scanf, scanf("%199s", buf))
ON_STDIN(try_getchar, getchar() + getchar_unlocked())
ON_STDIN(try_getwchar, getwchar())
ON_STDIN(try_wscanf, wscanf(L"%99ls", wide))

static const struct call calls[] = {
	{ "fprintf", try_fprintf }, { "__fprintf_chk", try_fprintf_chk }, { "vfprintf", try_vfprintf }, { "__vfprintf_chk", try_vfprintf_chk },
	{ "fputs", try_fputs }, { "fputs_unlocked", try_fputs_unlocked }, { "fputc", try_fputc }, { "putc", try_putc }, { "_IO_putc", try_io_putc },
	{ "__overflow", try_overflow }, { "putw", try_putw }, { "fwrite", try_fwrite }, { "fwrite_unlocked", try_fwrite_unlocked },
	{ "fputwc", try_fputwc }, { "fputws", try_fputws }, { "fwprintf", try_fwprintf }, { "setvbuf", try_unbuffered }, { "setlinebuf", try_line },
	{ "fileno", try_dprintf },
	{ "fscanf", try_fscanf }, { "vfscanf", try_vfscanf }, { "fgets", try_fgets }, { "__fgets_chk", try_fgets_chk },
	{ "fgets_unlocked", try_fgets_unlocked }, { "fgetc", try_fgetc }, { "_IO_getc", try_io_getc }, { "__uflow", try_uflow }, { "getw", try_getw },
	{ "fread", try_fread }, { "__fread_chk", try_fread_chk }, { "fread_unlocked", try_fread_unlocked }, { "getline", try_getline },
	{ "__getdelim", try_getdelim }, { "fgetwc", try_fgetwc }, { "fgetws", try_fgetws }, { "fwscanf", try_fwscanf }, { "ungetc", try_ungetc },
	{ "fseek", try_fseek }, { "fgetgrent", try_fgetgrent }, { "fgetpwent", try_fgetpwent }, { "getmntent", try_getmntent },
	{ "putpwent", try_putpwent }, { "malloc_info", try_malloc_info },
	{ "_IO_fdopen", try_io_fdopen }, { "_IO_file_attach", try_attach }, { "dup2.under", try_under }, { "dup2.planned", try_under_planned },
	{ "fdopen.early", try_early }, { "open.path", try_by_path }, { "freopen", try_freopen }, { "fclose", try_fclose }, { "_IO_fclose", try_io_fclose },
	{ "fcloseall", try_fcloseall },
	{ "dprintf", try_dprintf_alone }, { "__dprintf_chk", try_dprintf_chk }, { "vdprintf", try_vdprintf }, { "__vdprintf_chk", try_vdprintf_chk },
	{ "printf", try_printf }, { "vprintf", try_vprintf }, { "puts", try_puts }, { "putchar", try_putchar }, { "wprintf", try_wprintf },
	{ "putwchar", try_putwchar },
	{ "perror", try_perror }, { "psignal", try_psignal }, { "warn", try_warn }, { "error", try_error }, { "herror", try_herror },
	{ "fmtmsg", try_fmtmsg }, { "malloc_stats", try_malloc_stats },
	{ "scanf", try_scanf }, { "getchar", try_getchar }, { "getwchar", try_getwchar }, { "wscanf", try_wscanf },
	{ NULL, NULL }
};
