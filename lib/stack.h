/*
 * stack.h - room for a handshake where the caller has little: small threads, coroutines, signal stacks.
 */
#ifndef WRAPSOCK_STACK_H
#define WRAPSOCK_STACK_H

/*
 * Call f(arg) on this stack if at least 32 KiB of it remain, else on a stack of ours.  f must return, not be cancelled.  Without memory for
 * a stack it runs on the caller's.
 */
void stack_run(void (*f)(void *), void *arg);

#endif
