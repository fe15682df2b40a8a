/*
 * rights.h - what must be loaded before the process gives up the right to load it.
 */
#ifndef WRAPSOCK_RIGHTS_H
#define WRAPSOCK_RIGHTS_H

#include <stdbool.h>

void rights_before_user(void);		/* another user or group: keys are read now */
void rights_before_cage(void);		/* another root or namespace, or a system call filter: everything is loaded now */
void rights_caged(void);		/* ... and it happened: paths may mean something else */
bool rights_in_cage(void);

#endif
