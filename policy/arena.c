/* arena.c - the memory of a policy: taken in blocks, given back all at once. */
#include <stdlib.h>
#include <string.h>

#include "rule.h"

enum { BLOCK_SIZE = 4000, ALIGNMENT = 16 };

struct policy_block {
	struct policy_block *next;
	size_t used, size;
	_Alignas(ALIGNMENT) char bytes[];
};

static struct policy_block *
block_new(struct policy *policy, size_t size)
{
	struct policy_block *block;

	if (size < BLOCK_SIZE)
		size = BLOCK_SIZE;
	if ((block = calloc(1, sizeof *block + size)) == NULL)
		return NULL;
	block->size = size;
	block->next = policy->blocks;
	policy->blocks = block;
	return block;
}

void *
policy_arena_take(struct policy *policy, size_t n, size_t size)
{
	struct policy_block *block = policy->blocks;
	size_t bytes;
	void *taken;

	if (__builtin_mul_overflow(n, size, &bytes) || bytes > SIZE_MAX / 2)
		return NULL;
	bytes = (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
	if (block == NULL || block->size - block->used < bytes)
		block = block_new(policy, bytes);
	if (block == NULL)
		return NULL;
	taken = block->bytes + block->used;
	block->used += bytes;
	return taken;
}

char *
policy_arena_text(struct policy *policy, const char *text, size_t len)
{
	char *copy = policy_arena_take(policy, len + 1, 1);

	if (copy != NULL && len > 0)
		memcpy(copy, text, len);
	return copy;
}

void
policy_free(struct policy *policy)
{
	struct policy_block *block, *next;

	if (policy == NULL)
		return;
	for (block = policy->blocks; block != NULL; block = next) {
		next = block->next;
		free(block);
	}
	free(policy);
}
