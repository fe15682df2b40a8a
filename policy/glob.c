/* glob.c - patterns with * ? [a-z] as fnmatch(3) reads them without flags. libc's own may allocate, this one may not. */
#include <string.h>

#include "rule.h"

/* p stands behind [ . Returns what follows the ] and whether c is in the set; NULL = never closed. */
static const char *
set_has(const char *p, char c, bool *in)
{
	bool negated = *p == '!' || *p == '^';
	bool found = false;
	const char *first;

	first = p += negated;
	for (; *p != '\0' && (*p != ']' || p == first); p++) {
		unsigned char low = (unsigned char)*p, high = low;

		if (p[1] == '-' && p[2] != ']' && p[2] != '\0') {
			high = (unsigned char)p[2];
			p += 2;
		}
		found |= low <= (unsigned char)c && (unsigned char)c <= high;
	}
	*in = found != negated;
	return *p == ']' ? p + 1 : NULL;
}

bool
policy_glob_valid(const char *pattern)
{
	bool in;

	while ((pattern = strchr(pattern, '[')) != NULL)
		if ((pattern = set_has(pattern + 1, 'x', &in)) == NULL)
			return false;
	return true;
}

/* One character of the pattern against one of the text: what follows it in the pattern, NULL = no. */
static const char *
step(const char *p, char c)
{
	bool in;

	if (*p == '[') {
		p = set_has(p + 1, c, &in);
		return in ? p : NULL;
	}
	return *p == '?' || *p == c ? p + 1 : NULL;
}

/* Going back to the last star alone is enough: an earlier one that took more would only leave less for the rest. */
bool
policy_glob(const char *pattern, const char *text, size_t len)
{
	const char *end = text + len, *star = NULL, *resume = NULL, *next;

	while (text < end) {
		if (*pattern == '*') {
			star = ++pattern;
			resume = text;
		} else if (*pattern != '\0' && (next = step(pattern, *text)) != NULL) {
			pattern = next;
			text++;
		} else if (star != NULL) {
			pattern = star;
			text = ++resume;
		} else {
			return false;
		}
	}
	while (*pattern == '*')
		pattern++;
	return *pattern == '\0';
}
