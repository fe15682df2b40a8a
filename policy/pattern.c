/* pattern.c - HOST:PORT of a match: read, and printed in canonical form. */
#include <arpa/inet.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rule.h"

static int
fail(struct policy_reader *r, const struct policy_item *item, const char *at, const char *what)
{
	return policy_error_set(r->err, r->line, item->column + (unsigned)(at - item->text), "\"%.*s\": %s",
	    policy_excerpt(item->text, item->len), item->text, what);
}

/* A decimal number of at most `digits` digits, the whole of what stands between at and end; -1 = it is none. */
static long
number(const char *at, const char *end, ptrdiff_t digits)
{
	long value = 0;

	if (at == end || end - at > digits)
		return -1;
	for (; at < end; at++) {
		if (*at < '0' || *at > '9')
			return -1;
		value = value * 10 + (*at - '0');
	}
	return value;
}

static int
read_ports(struct policy_reader *r, const struct policy_item *item, const char *at, struct policy_pattern *p)
{
	const char *end = item->text + item->len, *dash = strchr(at, '-');
	long low, high;

	if (strcmp(at, "*") == 0) {
		p->low = 0;
		p->high = UINT16_MAX;
		return 0;
	}
	low = high = number(at, dash != NULL ? dash : end, 5);
	if (dash != NULL)
		high = number(dash + 1, end, 5);
	if (low < 1 || high < 1 || low > UINT16_MAX || high > UINT16_MAX)
		return fail(r, item, at, "bad port, expected a number from 1 to 65535, a range such as 6379-6390, or *");
	if (low > high)
		return fail(r, item, at, "port range runs backwards, expected the lower port first");
	p->low = (uint16_t)low;
	p->high = (uint16_t)high;
	return 0;
}

static void
unmap(struct policy_pattern *p)
{
	static const unsigned char mapped[12] = { [10] = 0xff, [11] = 0xff };

	if (p->address.family != AF_INET6 || p->bits < 96 || memcmp(p->address.bytes, mapped, sizeof mapped) != 0)
		return;
	p->address.family = AF_INET;
	p->bits -= 96;
	memmove(p->address.bytes, p->address.bytes + 12, 4);
	memset(p->address.bytes + 4, 0, 12);
}

static void
mask(struct policy_pattern *p)
{
	unsigned i;

	for (i = 0; i < 16; i++) {
		if (p->bits <= i * 8)
			p->address.bytes[i] = 0;
		else if (p->bits < i * 8 + 8)
			p->address.bytes[i] &= (unsigned char)(0xff << (i * 8 + 8 - p->bits));
	}
}

/* ADDRESS or ADDRESS/LENGTH in host, which this function may cut; at is where it stood in the item. */
static int
read_block(
    struct policy_reader *r, const struct policy_item *item, char *host, const char *at, int family, struct policy_pattern *p)
{
	unsigned most = family == AF_INET ? 32 : 128;
	char *slash = strchr(host, '/');
	long bits = most;

	if (slash != NULL) {
		*slash = '\0';
		bits = number(slash + 1, slash + 1 + strlen(slash + 1), 3);
		if (bits < 0 || bits > (long)most)
			return fail(r, item, at + (slash + 1 - host), family == AF_INET ? "bad prefix length, expected 0 to 32" :
			    "bad prefix length, expected 0 to 128");
	}
	if (inet_pton(family, host, p->address.bytes) != 1)
		return fail(r, item, at, family == AF_INET ? "bad address, expected one such as 10.0.0.1 or 10.0.0.0/8" :
		    "bad address, expected one such as [::1] or [fd00::/8]");
	p->host = POLICY_HOST_BLOCK;
	p->address.family = family;
	p->bits = (unsigned)bits;
	unmap(p);
	mask(p);
	return 0;
}

static const char host_letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";

/* Lower case and no dot of the root at the end: what names are compared by. */
static size_t
normalise(char *host, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++)
		if (host[i] >= 'A' && host[i] <= 'Z')
			host[i] = (char)(host[i] - 'A' + 'a');
	if (len > 1 && host[len - 1] == '.')
		host[--len] = '\0';
	return len;
}

/*
 * A host name (also an address, for server_hostname) or, if allowed, a glob on names.  host is a copy of the first len bytes of
 * the item, and is normalised.
 */
int
policy_host_check(struct policy_reader *r, const struct policy_item *item, char *host, size_t len, bool glob)
{
	struct in6_addr address;
	const char *bad;
	size_t i;

	if (!glob && (inet_pton(AF_INET, host, &address) == 1 || inet_pton(AF_INET6, host, &address) == 1))
		return 0;
	for (i = 0; i < len; i++)
		if (strchr(host_letters, host[i]) == NULL && !(glob && (host[i] == '*' || host[i] == '?')))
			break;
	bad = item->text + i;
	if (i < len && (unsigned char)host[i] >= 0x80)
		return fail(r, item, bad, "not ASCII, expected an internationalised name in its xn-- form");
	if (i < len)
		return fail(r, item, bad, glob ? "bad host, expected a name, a glob such as *.example, an address, or *" :
		    "bad host, expected a name or an address");
	len = normalise(host, len);
	if (host[0] == '.')
		return fail(r, item, item->text, "begins with a dot, expected *.domain for every name below it");
	if (len == 0 || strstr(host, "..") != NULL || host[len - 1] == '.')
		return fail(r, item, item->text, "empty label, expected a name such as cache.example");
	if (len > POLICY_HOST_MAX)
		return fail(r, item, item->text, "name too long, expected at most 253 characters");
	if (strspn(host, "0123456789.") == len)
		return fail(r, item, item->text, "bad address, expected four numbers such as 10.0.0.1");
	return 0;
}

static int
read_name(struct policy_reader *r, const struct policy_item *item, char *host, size_t len, struct policy_pattern *p)
{
	if (policy_host_check(r, item, host, len, true) != 0)
		return -1;
	if (strpbrk(host, "0123456789") != NULL && host[strspn(host, "0123456789.*?")] == '\0')
		return fail(r, item, item->text, "globs match names, expected a block such as 10.0.0.0/8");
	p->host = strcmp(host, "localhost") == 0 ? POLICY_HOST_LOCAL : POLICY_HOST_NAME;
	p->name = host;
	if (p->host == POLICY_HOST_NAME && r->rule->role == POLICY_SERVER)
		return fail(r, item, item->text, "server rules match addresses, expected a local address, a block, localhost or *");
	return 0;
}

static int
read_bracketed(struct policy_reader *r, const struct policy_item *item, char *host, size_t len, struct policy_pattern *p)
{
	if (host[len - 1] != ']')
		return fail(r, item, item->text, "[ is not closed, expected [ADDRESS]:PORT or [ADDRESS/LENGTH]:PORT");
	host[len - 1] = '\0';
	return read_block(r, item, host + 1, item->text + 1, AF_INET6, p);
}

static int
read_host(struct policy_reader *r, const struct policy_item *item, char *host, size_t len, struct policy_pattern *p)
{
	if (strcmp(host, "*") == 0) {
		p->host = POLICY_HOST_ANY;
		return 0;
	}
	if (host[0] == '[')
		return read_bracketed(r, item, host, len, p);
	if (strchr(host, ':') != NULL)
		return fail(r, item, item->text, "expected an IPv6 address in brackets: [ADDRESS]:PORT");
	if (strchr(host, '/') != NULL || (host[strspn(host, "0123456789.")] == '\0' && host[0] != '.'))
		return read_block(r, item, host, item->text, AF_INET, p);
	return read_name(r, item, host, len, p);
}

int
policy_pattern_read(struct policy_reader *r, const struct policy_item *item, struct policy_pattern *p)
{
	const char *colon = strrchr(item->text, ':');
	char *host;
	size_t len;

	if (colon == NULL || strchr(colon, ']') != NULL)
		return fail(r, item, item->text, "no port, expected HOST:PORT; * stands for any");
	len = (size_t)(colon - item->text);
	if (len == 0)
		return fail(r, item, item->text, "no host, expected HOST:PORT; * stands for any");
	if ((host = policy_arena_text(r->policy, item->text, len)) == NULL)
		return policy_error_memory(r->err);
	if (read_host(r, item, host, len, p) != 0)
		return -1;
	return read_ports(r, item, colon + 1, p);
}

static void
print_block(const struct policy_pattern *p, char *buf, size_t size)
{
	bool v6 = p->address.family == AF_INET6;
	char address[INET6_ADDRSTRLEN], bits[16] = "";

	inet_ntop(p->address.family, p->address.bytes, address, sizeof address);
	if (p->bits < (v6 ? 128 : 32))
		snprintf(bits, sizeof bits, "/%u", p->bits);
	snprintf(buf, size, "%s%s%s%s", v6 ? "[" : "", address, bits, v6 ? "]" : "");
}

int
policy_pattern_print(const struct policy_pattern *p, char *buf, size_t size)
{
	char block[INET6_ADDRSTRLEN + 24] = "*";
	const char *host = p->host == POLICY_HOST_LOCAL || p->host == POLICY_HOST_NAME ? p->name : block;

	if (p->host == POLICY_HOST_BLOCK)
		print_block(p, block, sizeof block);
	if (p->low == 0)
		return snprintf(buf, size, "%s:*", host);
	if (p->low == p->high)
		return snprintf(buf, size, "%s:%u", host, (unsigned)p->low);
	return snprintf(buf, size, "%s:%u-%u", host, (unsigned)p->low, (unsigned)p->high);
}
