/*
 * actions.h - file actions of posix_spawn.
 */
#ifndef WRAPSOCK_ACTIONS_H
#define WRAPSOCK_ACTIONS_H

#include <spawn.h>
#include <stdbool.h>

/* May they be carried out? false, and one line in the log, if one of them would hand a wrapped descriptor to the new program. */
bool actions_permit(const posix_spawn_file_actions_t *);	/* NULL is allowed */

#endif
