/* line.c - one line of text: which bytes may stand in it, where comments begin, what quotes mean. */
#include <string.h>

#include "rule.h"

/* Bytes of the UTF-8 sequence at `at`, 0 if it is none (overlong forms, surrogates and beyond U+10FFFF included). */
static size_t
utf8_length(const unsigned char *at, size_t left)
{
	static const struct { unsigned char mask, lead; uint32_t least; } forms[] = {
		{ 0x80, 0x00, 0 }, { 0xe0, 0xc0, 0x80 }, { 0xf0, 0xe0, 0x800 }, { 0xf8, 0xf0, 0x10000 },
	};
	uint32_t code;
	size_t n, i;

	for (n = 0; n < 4 && (at[0] & forms[n].mask) != forms[n].lead; n++)
		;
	if (n == 4 || n + 1 > left)
		return 0;
	code = at[0] & (unsigned char)~forms[n].mask;
	for (i = 1; i <= n; i++) {
		if ((at[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | (at[i] & 0x3f);
	}
	if (code < forms[n].least || code > 0x10ffff || (code >= 0xd800 && code < 0xe000))
		return 0;
	return n + 1;
}

/* In characters, as editors count; broken UTF-8 counts what it can. */
unsigned
policy_line_column(const struct policy_reader *r, const char *at)
{
	unsigned column = 1;
	const char *c;

	for (c = r->start; c < at; c++)
		column += ((unsigned char)*c & 0xc0) != 0x80;
	return column;
}

static int
fail_at(const struct policy_reader *r, const char *at, const char *what)
{
	return policy_error_set(r->err, r->line, policy_line_column(r, at), "%s", what);
}

static int
fail_byte(const struct policy_reader *r, const char *at, const char *what, char byte)
{
	return policy_error_set(r->err, r->line, policy_line_column(r, at), "%s \\x%02x, expected UTF-8 text", what,
	    (unsigned)(unsigned char)byte);
}

int
policy_line_check(const struct policy_reader *r)
{
	const char *at;
	size_t n;

	if (r->end - r->start > POLICY_LINE_MAX)
		return policy_error_set(r->err, r->line, policy_line_column(r, r->start + POLICY_LINE_MAX),
		    "line too long, expected at most %d bytes", POLICY_LINE_MAX);
	for (at = r->start; at < r->end; at += n) {
		n = 1;
		if (*at >= 0x20 && *at < 0x7f)
			continue;
		n = utf8_length((const unsigned char *)at, (size_t)(r->end - at));
		if (n == 0)
			return fail_byte(r, at, "invalid byte", *at);
		if (n == 1 && *at != '\t')
			return fail_byte(r, at, "control character", *at);
		if (n == 2 && (unsigned char)at[0] == 0xc2 && (unsigned char)at[1] < 0xa0)
			return fail_byte(r, at, "control character", at[1]);
	}
	return 0;
}

bool
policy_line_blank(char c)
{
	return c == ' ' || c == '\t';
}

static bool
comment_at(const struct policy_reader *r, const char *at)
{
	return (*at == '#' || *at == ';') && (at == r->start || policy_line_blank(at[-1]));
}

bool
policy_line_ends(const struct policy_reader *r, const char *at)
{
	return at == r->end || comment_at(r, at);
}

static const char *
skip_blanks(const struct policy_reader *r, const char *at)
{
	while (at < r->end && policy_line_blank(*at))
		at++;
	return at;
}

/* at stands behind the opening quote. Returns the closing one, NULL on error. */
static const char *
find_close(const struct policy_reader *r, const char *at)
{
	const char *open = at - 1;

	for (; at < r->end && *at != '"'; at++) {
		if (*at == '\\' && (++at == r->end || (*at != '"' && *at != '\\'))) {
			fail_at(r, at - 1, "unknown escape, expected \\\" or \\\\ between quotes");
			return NULL;
		}
	}
	if (at < r->end)
		return at;
	fail_at(r, open, "quote is not closed, expected another \" on this line");
	return NULL;
}

/* at stands behind the opening quote. Returns what follows the closing one, NULL on error. */
static const char *
read_quoted(const struct policy_reader *r, const char *at, struct policy_item *item)
{
	const char *close = find_close(r, at);

	if (close == NULL)
		return NULL;
	item->column = policy_line_column(r, at);
	if ((item->text = policy_arena_take(r->policy, (size_t)(close - at) + 1, 1)) == NULL) {
		policy_error_memory(r->err);
		return NULL;
	}
	for (; at < close; at++) {
		at += *at == '\\';
		item->text[item->len++] = *at;
	}
	return close + 1;
}

static const char *
read_bare(const struct policy_reader *r, const char *at, bool list, struct policy_item *item)
{
	const char *start = at, *end = at;

	for (; !policy_line_ends(r, at) && !(list && *at == ','); at++) {
		if (*at == '"') {
			fail_at(r, at, "quote inside a value, expected the whole value between quotes");
			return NULL;
		}
		if (!policy_line_blank(*at))
			end = at + 1;
	}
	item->column = policy_line_column(r, start);
	item->len = (size_t)(end - start);
	if ((item->text = policy_arena_text(r->policy, start, item->len)) == NULL) {
		policy_error_memory(r->err);
		return NULL;
	}
	return at;
}

static const char *
read_item(const struct policy_reader *r, const char *at, bool list, struct policy_item *item)
{
	at = skip_blanks(r, at);
	if (at < r->end && *at == '"' && (at = read_quoted(r, at + 1, item)) != NULL)
		at = skip_blanks(r, at);
	else if (at != NULL)
		at = read_bare(r, at, list, item);
	return at;
}

/* Quotes protect comment signs and outer blanks, not commas: "a, b" is a list of two, as people expect who quote all of it. */
static size_t
split(struct policy_item *items)
{
	struct policy_item whole = items[0];
	char *at = whole.text, *comma;
	size_t n = 0, len;

	if (memchr(at, ',', whole.len) == NULL)
		return 1;
	for (;; at = comma + 1) {
		comma = memchr(at, ',', (size_t)(whole.text + whole.len - at));
		items[n].column = whole.column + (unsigned)(at - whole.text);
		len = (size_t)((comma != NULL ? comma : whole.text + whole.len) - at);
		for (; len > 0 && policy_line_blank(*at); at++, len--)
			items[n].column++;
		while (len > 0 && policy_line_blank(at[len - 1]))
			len--;
		items[n].text = at;
		items[n++].len = len;
		at[len] = '\0';
		if (comma == NULL)
			return n;
	}
}

static int
check_empty(const struct policy_reader *r, const struct policy_item *items, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (items[i].len == 0)
			return policy_error_set(r->err, r->line, items[i].column, "nothing here, expected a value");
	return 0;
}

int
policy_line_items(const struct policy_reader *r, const char *at, bool list, struct policy_item **items, size_t *n)
{
	size_t most = list ? 1 : 0;
	const char *c;

	for (c = at; c < r->end; c++)
		most += list && *c == ',';
	if ((*items = policy_arena_take(r->policy, most + 1, sizeof **items)) == NULL)
		return policy_error_memory(r->err);
	for (*n = 0;; at++) {
		struct policy_item *item = *items + *n;

		if ((at = read_item(r, at, list, item)) == NULL)
			return -1;
		*n += list ? split(item) : 1;
		if (policy_line_ends(r, at))
			return check_empty(r, *items, *n);
		if (!list || *at != ',')
			return fail_at(r, at, list ? "expected a comma or the end of the line behind a quoted value" :
			    "expected the end of the line behind a quoted value");
	}
}
