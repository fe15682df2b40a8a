/*
 * caller.h - who connects to the relay's own address: one request, one answer, then the connection is closed.
 */
#ifndef WRAPSOCK_CALLER_H
#define WRAPSOCK_CALLER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct caller;

void caller_accept(int epoll, int listener);	/* all that wait; strangers are turned away */
bool caller_is(uint64_t data);			/* is this what epoll holds for a caller? */
void caller_event(uint64_t data);
int caller_tick(int64_t now);			/* answers those who wait for a drain, drops those who do not go on; as link_tick */
size_t caller_count(void);

#endif
