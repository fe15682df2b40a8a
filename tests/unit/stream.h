/*
 * stream.h - the bytes that everybody sends: what belongs at an offset can be told from the offset.
 */
#ifndef TESTS_STREAM_H
#define TESTS_STREAM_H

#include "check.h"

static uint8_t stream[8 << 20];

static void UNUSED
stream_fill(void)
{
	for (size_t i = 0; i < sizeof stream; i++)
		stream[i] = (uint8_t)(i * 131 + (i >> 8) * 7 + (i >> 16));
}

static bool UNUSED
is_stream(const void *p, size_t offset, size_t len)
{
	return memcmp(p, stream + offset, len) == 0;
}

#endif
