/*
 * reused PORT FILE: a connection's number is closed where nobody sees it, and given out again for a file, in which nobody but us
 * may write.
 */
#include "probe.h"

#include <dlfcn.h>

int
main(int argc, char **argv)
{
	void *libc = dlopen("libc.so.6", RTLD_NOW | RTLD_NOLOAD);
	int (*unseen)(int) = libc ? (int (*)(int))dlsym(libc, "close") : NULL;
	int fd = dial(argv[1]), file;
	struct sockaddr_in peer;
	socklen_t len = sizeof peer;

	if (!unseen || argc < 3)
		die("dlsym");
	echo(fd, "hello");
	must("close", unseen(fd));
	file = (int)must("open", open(argv[2], O_RDWR | O_CREAT | O_TRUNC, 0600));
	say("the same number: %s", file == fd ? "yes" : "no");
	must("write", write(file, "words of ours\n", 14));
	say("getpeername: %s", result(getpeername(file, (struct sockaddr *)&peer, &len)));
	say("close: %s", result(close(file)));
	return 0;
}
