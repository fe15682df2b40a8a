/* stdio.h - what the dup family asks of libc's streams. */
#ifndef WRAPSOCK_STDIO_H
#define WRAPSOCK_STDIO_H

#include <stdbool.h>

bool stdio_over(int fd);	/* is a stream over this number? Takes libc's lock of the list of streams */

#endif
