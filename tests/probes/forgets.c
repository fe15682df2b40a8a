/*
 * forgets client|keep PORT | server PORT COUNT: a word is read and goes back in a connection, COUNT times for a server, in every
 * way that passes through buffers of the library; then the connection is closed and our own buffers are wiped.  "done", and the
 * process stays, to be looked at.  keep has another connection then, which is not closed.
 */
#include "probe.h"

#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/uio.h>

#define WORD 48

/* Its pages are the kernel's. */
static int
file_of(const char *word)
{
	int fd = (int)must("memfd_create", memfd_create("word", 0));

	must("write", write(fd, word, WORD));
	return fd;
}

static void
repeat(int fd)
{
	char word[WORD];
	struct iovec halves[] = { { word, 5 }, { word + 5, WORD - 7 } };
	off_t tail = WORD - 2;
	int file;

	read_all(fd, word, 3, 3);				/* what is left of a record waits in the library ... */
	must("peek", recv(fd, word + 3, sizeof word - 3, MSG_PEEK));	/* ... also for those who only look */
	read_all(fd, word + 3, sizeof word - 3, 7);
	must("writev", writev(fd, halves, 2));
	file = file_of(word);
	must("sendfile", sendfile(fd, file, &tail, 2));
	tail = 0;
	must("sendfile", sendfile(fd, file, &tail, WORD));
	close(file);
	explicit_bzero(word, sizeof word);
}

static void
serve(const char *port, int count)
{
	struct sockaddr_in a = local(port);
	int listener = make_socket(0), one = 1;

	must("setsockopt", setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one));
	must("bind", bind(listener, (struct sockaddr *)&a, sizeof a));
	must("listen", listen(listener, 16));
	while (count--) {
		int fd;
		char byte;

		prctl(PR_SET_DUMPABLE, 1);	/* as nginx's workers do */
		fd = (int)must("accept", accept(listener, NULL, NULL));
		repeat(fd);
		must("end", read(fd, &byte, 1));
		close(fd);
		if (count)
			say("one");
	}
	close(listener);
}

int
main(int argc, char **argv)
{
	if (argc > 3) {
		serve(argv[2], atoi(argv[3]));
	} else {
		int fd = dial(argv[2]);

		repeat(fd);
		finish(fd);
		if (!strcmp(argv[1], "keep"))
			repeat(dial(argv[2]));
	}
	say("dumpable: %s", result(prctl(PR_GET_DUMPABLE)));
	say("done");
	pause();
	return 0;
}
