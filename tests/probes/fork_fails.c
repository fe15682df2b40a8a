/* fork_fails PORT: a fork that the kernel refuses leaves the connection to this process, which says goodbye at the end. */
#include "probe.h"

#include <sys/prctl.h>
#include <sys/syscall.h>

#include <linux/filter.h>
#include <linux/seccomp.h>

#include <pty.h>
#include <stddef.h>

int
main(int argc, char **argv)
{
	struct sock_filter steps[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone, 1, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone3, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EAGAIN),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog filter = { sizeof steps / sizeof *steps, steps };
	int fd = dial(argv[1]), terminal;

	(void)argc;
	echo(fd, "before");
	must("prctl", prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	must("prctl", prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter));
	say("fork: %s", result(fork()));
	say("_Fork: %s", result(_Fork()));
	say("daemon: %s", result(daemon(1, 1)));
	say("forkpty: %s", result(forkpty(&terminal, NULL, NULL, NULL)));
	echo(fd, "after");
	say("close: %s", result(close(fd)));
	return 0;
}
