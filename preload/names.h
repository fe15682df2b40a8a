/*
 * names.h - fork and the map of resolved names.
 */
#ifndef WRAPSOCK_NAMES_H
#define WRAPSOCK_NAMES_H

void names_fork_prepare(void);
void names_fork_parent(void);
void names_fork_child(void);	/* good without prepare too: the map may then lack what another thread was noting */

#endif
