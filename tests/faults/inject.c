/*
 * inject.c - run a program, and all that it starts, with one of its system calls failing.
 *
 * inject [OPTION...] count COMMAND...              "KIND N" for each kind: how often it is called, in the whole tree inject
 * [OPTION...] KIND:AT:ERROR COMMAND...      the AT'th call of that kind fails with ERROR, or, with SHORT, moves one byte only
 *
 * -e NAME=VALUE is put into the command's environment, -t SECONDS is what it may take (20).  What the loader does for a program is
 * not counted: calls count from the first constructor on.  Our last line on standard error is "inject: exit N", "inject: signal N"
 * or "inject: hang", and whether the call was met; a hang is what outlasts SECONDS.
 */
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>

#include <linux/elf.h>
#include <linux/filter.h>
#include <linux/ptrace.h>
#include <linux/seccomp.h>

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct kind {
	const char *name;
	long number;
} kinds[] = {
#define KIND(name) { #name, SYS_##name }
	KIND(socket), KIND(connect), KIND(bind), KIND(listen), KIND(accept), KIND(accept4), KIND(socketpair), KIND(getsockopt), KIND(setsockopt),
	KIND(getsockname), KIND(getpeername), KIND(shutdown), KIND(recvfrom), KIND(sendto), KIND(recvmsg), KIND(sendmsg), KIND(read), KIND(write),
	KIND(readv), KIND(writev), KIND(pread64), KIND(openat), KIND(newfstatat), KIND(fstat), KIND(faccessat), KIND(close), KIND(close_range), KIND(dup),
	KIND(dup3), KIND(fcntl), KIND(ioctl), KIND(lseek), KIND(getdents64), KIND(mmap), KIND(mprotect), KIND(munmap), KIND(madvise), KIND(pipe2),
	KIND(eventfd2), KIND(memfd_create), KIND(epoll_create1), KIND(epoll_ctl), KIND(epoll_pwait), KIND(ppoll), KIND(pselect6), KIND(clone), KIND(clone3),
	KIND(execve), KIND(wait4), KIND(kill), KIND(getrandom), KIND(rt_sigaction), KIND(rt_sigprocmask), KIND(sigaltstack), KIND(prlimit64), KIND(prctl),
	KIND(setsid), KIND(nanosleep), KIND(getcwd), KIND(readlinkat), KIND(unlinkat),
#ifdef __x86_64__
	KIND(poll), KIND(select), KIND(epoll_wait), KIND(dup2), KIND(open), KIND(access), KIND(readlink), KIND(fork), KIND(vfork), KIND(pipe),
	KIND(stat), KIND(lstat),
#endif
#undef KIND
};
enum { KINDS = sizeof kinds / sizeof *kinds, SHORT = -1, PROCESSES = 64 };

static unsigned seen[KINDS];
static int fault = -1, error;
static unsigned fault_at;
static bool met, begun;

/* A process or thread: from its exec until its loader is done nothing counts. */
static struct process {
	pid_t pid;
	bool loading, failing;		/* failing: the result is to be replaced when it returns */
} processes[PROCESSES];

static void
die(const char *what)
{
	fprintf(stderr, "inject: %s: %s\n", what, strerror(errno));
	exit(2);
}

static struct process *
process(pid_t pid)
{
	struct process *free_one = NULL;

	for (int i = 0; i < PROCESSES; i++) {
		if (processes[i].pid == pid)
			return &processes[i];
		if (!free_one && !processes[i].pid)
			free_one = &processes[i];
	}
	if (!free_one)
		die("too many processes");
	*free_one = (struct process){ .pid = pid };
	return free_one;
}

static int
error_number(const char *name)
{
	if (strcmp(name, "SHORT") == 0)
		return SHORT;
	for (int e = 1; e < 140; e++)
		if (strerrorname_np(e) && strcmp(strerrorname_np(e), name) == 0)
			return e;
	fprintf(stderr, "inject: no error %s\n", name);
	exit(2);
}

static void
parse(const char *what)
{
	char kind[32], name[32];

	if (strcmp(what, "count") == 0)
		return;
	if (sscanf(what, "%31[^:]:%u:%31s", kind, &fault_at, name) != 3) {
		fprintf(stderr, "inject: not KIND:AT:ERROR: %s\n", what);
		exit(2);
	}
	error = error_number(name);
	for (fault = 0; fault < KINDS && strcmp(kinds[fault].name, kind) != 0; fault++)
		;
	if (fault == KINDS) {
		fprintf(stderr, "inject: no kind %s\n", kind);
		exit(2);
	}
}

/* ---- the child ---- */

static void
filter(void)
{
	struct sock_filter f[2 * KINDS + 4] = { BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)) };
	struct sock_fprog prog = { .filter = f };
	int n = 1;

	for (int i = 0; i <= KINDS; i++) {
		f[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)(i < KINDS ? kinds[i].number : SYS_rseq), 0, 1);
		f[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRACE);
	}
	f[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	prog.len = (unsigned short)n;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog) < 0)
		die("seccomp");
}

enum { ENVIRONS = 16 };
static char *environ_more[ENVIRONS];
static int environs;

static void
become(char **argv)
{
	for (int i = 0; i < environs; i++)
		putenv(environ_more[i]);
	if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
		die("ptrace");
	raise(SIGSTOP);
	filter();
	execvp(*argv, argv);
	die(*argv);
}

/* ---- registers ---- */

#ifdef __x86_64__
static void
set_result(pid_t pid, long result, bool skip)
{
	struct user_regs_struct r;

	if (ptrace(PTRACE_GETREGS, pid, NULL, &r) < 0)
		return;
	r.rax = (unsigned long long)result;
	if (skip)
		r.orig_rax = (unsigned long long)-1;
	ptrace(PTRACE_SETREGS, pid, NULL, &r);
}

static void
set_length(pid_t pid, unsigned long length)
{
	struct user_regs_struct r;

	if (ptrace(PTRACE_GETREGS, pid, NULL, &r) < 0)
		return;
	if (r.rdx > length)
		r.rdx = length;
	ptrace(PTRACE_SETREGS, pid, NULL, &r);
}
#else
static void
set_result(pid_t pid, long result, bool skip)
{
	struct user_regs_struct r;
	struct iovec v = { &r, sizeof r };
	int none = -1;

	if (ptrace(PTRACE_GETREGSET, pid, NT_PRSTATUS, &v) < 0)
		return;
	r.regs[0] = (unsigned long long)result;
	ptrace(PTRACE_SETREGSET, pid, NT_PRSTATUS, &v);
	if (skip)
		ptrace(PTRACE_SETREGSET, pid, NT_ARM_SYSTEM_CALL, &(struct iovec){ &none, sizeof none });
}

static void
set_length(pid_t pid, unsigned long length)
{
	struct user_regs_struct r;
	struct iovec v = { &r, sizeof r };

	if (ptrace(PTRACE_GETREGSET, pid, NT_PRSTATUS, &v) < 0)
		return;
	if (r.regs[2] > length)
		r.regs[2] = length;
	ptrace(PTRACE_SETREGSET, pid, NT_PRSTATUS, &v);
}
#endif

/* ---- the parent ---- */

/* What the loader does last, behind its rseq: no constructor has run yet. */
static bool
still_loading(struct process *p, long number)
{
	if (number == SYS_rseq)
		p->loading = false;
	if (p->loading || number == SYS_rseq)
		return true;
	if (!begun && (number == SYS_mprotect || number == SYS_prlimit64 || number == SYS_munmap))
		return true;
	begun = true;
	return false;
}

/* Of a Unix socket a peek ends early where the queue ends, nowhere else. */
static bool
never_short(pid_t pid, const struct ptrace_syscall_info *info)
{
	int process, fd, domain = 0;
	socklen_t len = sizeof domain;

	if (info->seccomp.nr != SYS_recvfrom || !(info->seccomp.args[3] & MSG_PEEK))
		return false;
	process = (int)syscall(SYS_pidfd_open, pid, 0);
	fd = (int)syscall(SYS_pidfd_getfd, process, (int)info->seccomp.args[0], 0);
	getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len);
	close(fd);
	close(process);
	return domain == AF_UNIX;
}

/* A call is about to be made: how to let it go on. */
static int
meet(struct process *p)
{
	struct ptrace_syscall_info info = { 0 };
	int k = 0;

	if (ptrace(PTRACE_GET_SYSCALL_INFO, p->pid, sizeof info, &info) < 0 || info.op != PTRACE_SYSCALL_INFO_SECCOMP)
		return PTRACE_CONT;
	if (still_loading(p, (long)info.seccomp.nr))
		return PTRACE_CONT;
	while (k < KINDS && kinds[k].number != (long)info.seccomp.nr)
		k++;
	if (k == KINDS || ++seen[k] != fault_at || k != fault)
		return PTRACE_CONT;
	met = true;
	if (error == SHORT && never_short(p->pid, &info)) {
		met = false;
	} else if (error == SHORT) {
		set_length(p->pid, 1);
	} else if (info.seccomp.nr == SYS_close) {	/* as Linux: the number is free whatever it answers */
		p->failing = true;
		return PTRACE_SYSCALL;
	} else {
		set_result(p->pid, -error, true);
	}
	return PTRACE_CONT;
}

static int
stopped(pid_t pid, int status)
{
	struct process *p = process(pid);
	int event = status >> 16, signal = WSTOPSIG(status), how = PTRACE_CONT, deliver = 0;

	if (event == PTRACE_EVENT_SECCOMP) {
		how = meet(p);
	} else if (event == PTRACE_EVENT_EXEC) {
		p->loading = true;
	} else if (signal == (SIGTRAP | 0x80)) {
		if (p->failing)
			set_result(pid, -error, false);
		p->failing = false;
	} else if (!event && signal != SIGSTOP && signal != SIGTRAP) {
		deliver = signal;
	}
	ptrace(how, pid, NULL, (void *)(long)deliver);
	return 0;
}

static volatile sig_atomic_t late;

static void
alarmed(int sig)
{
	(void)sig;
	late = 1;
	for (int i = 0; i < PROCESSES; i++)
		if (processes[i].pid)
			kill(processes[i].pid, SIGKILL);
}

static int
follow(pid_t child)
{
	int status, result = 0;
	pid_t pid;

	for (;;) {
		pid = waitpid(-1, &status, __WALL);
		if (pid < 0 && errno == EINTR)
			continue;
		if (pid < 0)
			return result;
		if (WIFSTOPPED(status)) {
			stopped(pid, status);
			continue;
		}
		process(pid)->pid = 0;
		if (pid == child)
			result = status;
	}
}

static void
report(int result)
{
	if (fault < 0)
		for (int i = 0; i < KINDS; i++)
			if (seen[i])
				fprintf(stderr, "%s %u\n", kinds[i].name, seen[i]);
	fprintf(stderr, "inject: %s", late ? "hang" : WIFSIGNALED(result) ? "signal" : "exit");
	if (!late)
		fprintf(stderr, " %d", WIFSIGNALED(result) ? WTERMSIG(result) : WEXITSTATUS(result));
	fprintf(stderr, "%s\n", met ? ", met" : "");
}

int
main(int argc, char **argv)
{
	struct sigaction act = { .sa_handler = alarmed };
	unsigned limit = 20;
	pid_t child;
	int status, option;

	while ((option = getopt(argc, argv, "+t:e:")) != -1)
		if (option == 't')
			limit = (unsigned)atoi(optarg);
		else if (option == 'e' && environs < ENVIRONS)
			environ_more[environs++] = optarg;
		else
			return 2;
	if (argc - optind < 2) {
		fprintf(stderr, "usage: inject [-t SECONDS] [-e NAME=VALUE]... count|KIND:AT:ERROR COMMAND...\n");
		return 2;
	}
	parse(argv[optind]);
	child = fork();
	if (child == 0)
		become(argv + optind + 1);
	if (child < 0 || waitpid(child, &status, 0) != child)
		die("fork");
	process(child)->loading = true;
	if (ptrace(PTRACE_SETOPTIONS, child, NULL, (void *)(PTRACE_O_TRACESECCOMP | PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEEXEC | PTRACE_O_TRACEFORK
	    | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE | PTRACE_O_EXITKILL)) < 0)
		die("ptrace");
	sigaction(SIGALRM, &act, NULL);
	alarm(limit);
	ptrace(PTRACE_CONT, child, NULL, NULL);
	report(follow(child));
	return 0;
}
