/*
 * worker.h - what the operations of a property test's worker share.
 *
 * A worker executes operations that its driver sends as text, one at a time, and answers each with what the program would have seen: the
 * result or the name of errno, and a digest of the data.  Descriptors have symbolic names (slots), so that one script means the same over
 * TCP and over TLS.
 */
#ifndef PROPERTY_WORKER_H
#define PROPERTY_WORKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define SLOTS	   32
#define WORDS	   16
#define CONTROL_FD 500	/* the worker's own descriptors live here and above: the program's numbers are compared */

/* One operation on its way: the words of the request, the text of the answer. */
struct op {
	int argc;
	char *argv[WORDS];
	char answer[512];
	size_t len;
};

extern int slot[SLOTS];			/* descriptor or -1; shared by the threads of a process */
extern _Thread_local int control;	/* the channel to the driver */
extern _Thread_local volatile int sigpipes;

/* The nth word; "" where there is none. */
const char *word(const struct op *, int n);
long number(const struct op *, int n);
int slot_index(const char *name);	/* "s7" is 7; -1 = no slot's name */
int *slot_of(const struct op *, int n);	/* the nth word names it; always a place */
int fd_of(const struct op *, int n);	/* its descriptor; -1 and an answer where the slot is empty */
void say(struct op *, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void say_result(struct op *, long result);	/* number or errno's name */
bool flag(const struct op *, int from, const char *name);	/* is this one of the words from there on? */
int64_t now_ms(void);
void fill_standard(void);	/* 0 to 2 are open, as programs expect: a number that was closed is /dev/null */

/* Stream data: byte i of stream n, so that every writer knows what comes next, and a digest to compare what was read. */
void pattern(void *buf, size_t n, unsigned stream, uint64_t offset);
uint64_t digest(uint64_t seed, const void *buf, size_t n);

struct verb {
	const char *name;
	void (*run)(struct op *);
};
extern const struct verb stream_verbs[], descriptor_verbs[], ready_verbs[], native_verbs[], process_verbs[];

/* A new process or thread serves the driver under this name. */
void actor_serve(const char *name) __attribute__((noreturn));
void actor_resume(int fd) __attribute__((noreturn));
bool actor_connect(const char *name);
void actor_loop(void);

#endif
