/*
 * text.h - copies of strings, without strdup.
 *
 * Under RTLD_DEEPBIND our malloc and free are libc's, while libc's strdup calls the malloc of the program, which may be another: what
 * libc allocates for us could not be freed.  So nothing here may use strdup, asprintf, getline and their like.
 */
#ifndef WRAPSOCK_TEXT_H
#define WRAPSOCK_TEXT_H

#include <stdlib.h>
#include <string.h>

/* A copy for free(), NULL = out of memory. */
static inline char *
text_copy(const char *s)
{
	size_t size = strlen(s) + 1;
	char *copy = malloc(size);

	return copy ? memcpy(copy, s, size) : NULL;
}

#endif
