/* pool.c - a few large buffers that calls borrow and give back; safe in any thread and after fork. */
#include "conn_impl.h"

#include <stdlib.h>

#define POOL_SLOTS 16

static void *slots[POOL_SLOTS];

void *
pool_get(void)
{
	for (int i = 0; i < POOL_SLOTS; i++) {
		void *p = __atomic_load_n(&slots[i], __ATOMIC_RELAXED);

		if (p && __atomic_compare_exchange_n(&slots[i], &p, NULL, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
			return p;
	}
	return malloc(POOL_SIZE);
}

void
pool_put(void *buf)
{
	if (!buf)
		return;
	for (int i = 0; i < POOL_SLOTS; i++) {
		void *none = NULL;

		if (__atomic_compare_exchange_n(&slots[i], &none, buf, false, __ATOMIC_RELEASE, __ATOMIC_RELAXED))
			return;
	}
	free(buf);
}
