/*
 * target.h - what the fuzz targets share.
 */
#ifndef TESTS_TARGET_H
#define TESTS_TARGET_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What must hold whatever the input is; the fuzzer keeps the one with which it does not. */
static inline void
need(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "%s: %s (errno %d)\n", program_invocation_short_name, what, errno);
	abort();
}

#endif
