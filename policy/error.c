/* error.c - the one place where a complaint gets its text. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "rule.h"

enum { EXCERPT_MAX = 60 };

static bool
is_control(const unsigned char *at)
{
	return at[0] < 0x20 || at[0] == 0x7f || (at[0] == 0xc2 && at[1] >= 0x80 && at[1] < 0xa0);
}

/* A terminal or a log must not be steered by what the text contains. */
static void
escape(char *to, size_t size, const char *from)
{
	const unsigned char *at = (const unsigned char *)from;
	size_t used = 0;

	for (; *at != '\0' && used + 5 <= size; at++) {
		if (is_control(at))
			used += (size_t)snprintf(to + used, size - used, "\\x%02x", *at);
		else
			to[used++] = (char)*at;
	}
	to[used] = '\0';
}

int
policy_error_set(struct policy_error *err, unsigned line, unsigned column, const char *format, ...)
{
	char text[sizeof err->text];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof text, format, ap);
	va_end(ap);
	err->line = line;
	err->column = column;
	escape(err->text, sizeof err->text, text);
	return -1;
}

int
policy_error_memory(struct policy_error *err)
{
	return policy_error_set(err, 0, 0, "out of memory");
}

int
policy_excerpt(const char *text, size_t len)
{
	if (len <= EXCERPT_MAX)
		return (int)len;
	for (len = EXCERPT_MAX; len > 0 && ((unsigned char)text[len] & 0xc0) == 0x80; len--)
		;
	return (int)len;
}
