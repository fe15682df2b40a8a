/*
 * cancel.h - what must not end half-way.
 *
 * Waits are where a thread can be cancelled (deferred), as in libc.  The rest of a wrapper closes descriptors, takes locks and lets the TLS
 * library read files, which are cancellation points, too.
 */
#ifndef WRAPSOCK_CANCEL_H
#define WRAPSOCK_CANCEL_H

#include <pthread.h>

static inline int
cancel_hold(void)
{
	int state;

	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
	return state;
}

static inline void
cancel_again(int *state)
{
	pthread_setcancelstate(*state, NULL);
}

/* From here to the end of the block. */
#define UNCANCELLED __attribute__((cleanup(cancel_again), unused)) int uncancelled = cancel_hold()

#endif
