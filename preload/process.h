/*
 * process.h - this process, its children, and what it becomes.
 */
#ifndef WRAPSOCK_PROCESS_H
#define WRAPSOCK_PROCESS_H

#include <stdbool.h>
#include <stddef.h>

void process_start(void);	/* after log and policy: fork hooks, and what a new image will need to find us */
bool process_foreign(void);	/* a vfork or bare-clone child: the memory may be another process's */

/*
 * spawn.c: a new program image.  Safe in a vfork child: nothing is allocated from the heap, no lock is taken.
 */
void follow_start(void);

/*
 * May this launch go on? 0, or the errno value of the refusal (logged).  path NULL = not known here, "" = dirfd itself.
 * Connections that the new program is meant to have go to the relay.
 */
int follow_permits(int dirfd, const char *path);

/* Bytes that follow_fill needs to make the environment that keeps the new image wrapped; 0 = envp is good as it is. */
size_t follow_size(char *const *envp);
char *const *follow_fill(void *room, char *const *envp);

/* room for follow_fill: the stack's for usual environments, else mapped. */
#define FOLLOW_ON_STACK ((size_t)16 * 1024)
void *follow_map(size_t size);		/* NULL = out of memory */
void follow_unmap(void *room, size_t size);

#endif
