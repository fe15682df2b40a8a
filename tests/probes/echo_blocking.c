/* echo_blocking PORT SIZE CHUNK PIECE BUFFERS: SIZE bytes out in writes of CHUNK, each read back in pieces of PIECE before the next. */
#include "probe.h"

int
main(int argc, char **argv)
{
	size_t size = strtoul(argv[2], NULL, 0), chunk = strtoul(argv[3], NULL, 0), piece = strtoul(argv[4], NULL, 0);
	int fd = dial_with(argv[1], argc > 5 ? atoi(argv[5]) : 0);
	unsigned char *out = room(size), *in = room(size);

	fill(out, size, 1);
	for (size_t done = 0, n; done < size; done += n) {
		n = size - done < chunk ? size - done : chunk;
		write_all(fd, out + done, n);
		read_all(fd, in + done, n, piece);
	}
	say("%zu bytes, %016lx, %s", size, hash(in, size), memcmp(in, out, size) ? "changed" : "as sent");
	finish(fd);
	return 0;
}
