/*
 * link.h - one connection in the relay: TLS records on the wire, plain bytes on our end of the program's pair.
 *
 * Nothing here waits.  Both descriptors are watched edge-triggered by the caller's epoll set; events go to link_event, work is done
 * in link_run.
 */
#ifndef WRAPSOCK_LINK_H
#define WRAPSOCK_LINK_H

#include "relay.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct link;

enum link_side { LINK_WIRE, LINK_END };

/*
 * Takes the two descriptors, and copies the parcel, `size` bytes with what follows it.  NULL = it cannot be continued, and the
 * descriptors are still the caller's.
 */
struct link *link_new(int epoll, uint64_t id, int wire, int end, const struct relay_parcel *, size_t size);
struct link *link_find(uint64_t id);

/* What epoll holds for a side: link_of and link_side_of take it apart. */
struct link *link_of(uint64_t data);
enum link_side link_side_of(uint64_t data);

void link_event(struct link *, enum link_side, uint32_t events);
struct link *link_next(void);		/* the one whose turn it is, NULL = none */
bool link_waiting(void);		/* is there one? */
void link_run(struct link *);		/* some of its work; the link may be gone afterwards, or have a turn again */

/* Every so often: ends what has lingered. Milliseconds until it wants to be called again, -1 = not before an event. */
int link_tick(int64_t now);
size_t link_count(void);
bool link_drained(void);		/* nothing of programs that write no more is still on its way */

int link_option(struct link *, struct relay_option *);	/* 0 or an errno value */

#endif
