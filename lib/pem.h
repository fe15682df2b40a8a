/*
 * pem.h - certificates as text: base64 between a header and a footer. Pure; allocates with malloc.
 */
#ifndef WRAPSOCK_PEM_H
#define WRAPSOCK_PEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pem_block {			/* of somebody's text: the base64 between header and footer */
	const char *base64;
	size_t len;
};

/* The text that is one certificate, with nothing before its header and but white space behind its footer. */
bool pem_whole(const char *text, struct pem_block *);
/* The first certificate in a text of anything. */
bool pem_first(const char *text, struct pem_block *);

/* *len bytes, NULL = out of memory or *len 0: the block holds what is no base64, or nothing. */
uint8_t *pem_decode(const struct pem_block *, size_t *len);
/* Lines of 64 characters, each with its newline. NULL = out of memory. */
char *pem_encode(const uint8_t *der, size_t len);

#endif
