/* error.c - the failures of the explicit API: each thread sees its own. */
#include "error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

/* What this thread met last: [0] without an object, [1] on the object with that id. */
static __thread struct {
	uint64_t id;
	struct failure failure;
} mine[2];

static _Atomic uint64_t ids;
static const struct failure no_object = { .code = WRAPSOCK_E_INVALID, .text = "neither a context nor a socket" };

void
object_init(struct object *o, int kind)
{
	o->kind = kind;
	o->id = atomic_fetch_add(&ids, 1) + 1;
	pthread_mutex_init(&o->lock, NULL);
}

void
object_end(struct object *o)
{
	o->kind = 0;
	pthread_mutex_destroy(&o->lock);
}

/* The thread's record for obj, emptied if it was another's. */
static struct failure *
record(const void *obj)
{
	const struct object *o = obj;

	if (!o)
		return &mine[0].failure;
	if (mine[1].id != o->id) {
		mine[1].id = o->id;
		mine[1].failure = (struct failure){ .code = WRAPSOCK_OK };
	}
	return &mine[1].failure;
}

void
error_clear(const void *obj)
{
	struct failure *f = record(obj);

	f->code = WRAPSOCK_OK;
	f->verify = 0;
	f->verify_text = NULL;
	f->text[0] = f->reason[0] = '\0';
}

int
error_put(const void *obj, const struct failure *f, int error)
{
	struct object *o = (struct object *)(uintptr_t)obj;

	*record(obj) = *f;
	if (o) {
		pthread_mutex_lock(&o->lock);
		o->last = *f;
		pthread_mutex_unlock(&o->lock);
	}
	errno = error;
	return -1;
}

int
error_set(const void *obj, enum wrapsock_err code, int error, const char *fmt, ...)
{
	struct failure f = { .code = code };
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(f.text, sizeof f.text, fmt, ap);
	va_end(ap);
	return error_put(obj, &f, error);
}

void
error_note(const void *obj, enum wrapsock_err code, const char *text)
{
	struct failure *f = record(obj);

	error_clear(obj);
	f->code = code;
	snprintf(f->text, sizeof f->text, "%s", text);
}

void
error_move(const void *to, const void *from)
{
	struct failure f = *record(from);

	error_put(to, &f, errno);
}

int
error_nomem(const void *obj)
{
	return error_set(obj, WRAPSOCK_E_NOMEM, ENOMEM, "out of memory");
}

/* What to answer for obj: the thread's own record, or, if its last call was on another object, what any thread left there. */
static const struct failure *
seen(const void *obj)
{
	struct object *o = (struct object *)(uintptr_t)obj;

	if (!o || mine[1].id == o->id)
		return record(obj);
	if (o->kind != OBJECT_CTX && o->kind != OBJECT_SOCK)
		return &no_object;
	record(obj);
	pthread_mutex_lock(&o->lock);
	mine[1].failure = o->last;
	pthread_mutex_unlock(&o->lock);
	return &mine[1].failure;
}

enum wrapsock_err
wrapsock_err(const void *obj)
{
	return seen(obj)->code;
}

const char *
wrapsock_errstr(const void *obj)
{
	return seen(obj)->text;
}

const char *
wrapsock_err_reason(const void *obj)
{
	return seen(obj)->reason;
}

long
wrapsock_err_verify(const void *obj, const char **text)
{
	const struct failure *f = seen(obj);

	if (text)
		*text = f->verify_text ? f->verify_text : "";
	return f->verify;
}
