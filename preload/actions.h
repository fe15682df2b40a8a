/*
 * actions.h - file actions of posix_spawn.
 */
#ifndef WRAPSOCK_ACTIONS_H
#define WRAPSOCK_ACTIONS_H

#include <spawn.h>
#include <stdbool.h>

/* Wrapped descriptors that they would hand to the new program go to the relay. May they be carried out? Else one line in the log. */
bool actions_permit(const posix_spawn_file_actions_t *);	/* NULL is allowed */

#endif
