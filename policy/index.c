/*
 * index.c - the rules of one program by what they can match: a lookup instead of a walk.
 *
 * The index only proposes patterns.  Each is kept under what an address, port and name must have for it to answer anything but no, those
 * who ask look under all that they have, and role and policy_pattern_answer judge what is found: there is one definition of a match, and
 * a hash that collides costs time, nothing else.  Of the rules found the first in file order decides, as if all had been walked.
 */
#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "match.h"

/* What a pattern demands beside the port. */
enum kind {
	ANYBODY,
	BLOCK,			/* an address in it: one lookup for each length of prefix that occurs */
	LOOPBACK,		/* localhost, by its address */
	NAME,			/* exactly this one */
	TAIL,			/* a glob: a name that ends so, from a dot on; or any name */
	NAMELESS,		/* that no name is known: then no pattern for names can say no */
	KINDS
};

enum ports { ALL, ONE, RANGE, PORTS };

struct entry {
	const struct policy_pattern *pattern;
	uint32_t rule;
	uint32_t next;		/* in its bucket, later in the file; numbers are index + 1, 0 ends */
};

struct side {
	bool holds[KINDS][PORTS];
	uint64_t lengths[3];	/* of the prefixes that occur, bits 0 to 128 */
	uint64_t lengths4;
};

struct policy_index {
	const struct policy *policy;
	struct side sides[2];	/* by role */
	uint32_t *buckets, mask, used;
	struct entry entries[];
};

static uint64_t
mix(uint64_t hash, uint64_t word)
{
	hash = (hash ^ word) * 0x9e3779b97f4a7c15u;
	return hash ^ hash >> 29;
}

/* From the end, so that a name's tails cost nothing more than the name. */
static uint64_t
hash_name(const char *name, size_t len)
{
	uint64_t hash = 0;

	while (len > 0)
		hash = policy_hash(hash, name[--len]);
	return hash;
}

/* As much of an address as a prefix of so many bits leaves. */
static uint64_t
hash_prefix(const struct policy_address *a, unsigned bits)
{
	uint64_t words[2];

	memcpy(words, a->bytes, sizeof words);
	words[0] = bits == 0 ? 0 : bits < 64 ? be64toh(words[0]) >> (64 - bits) : be64toh(words[0]);
	words[1] = bits <= 64 ? 0 : be64toh(words[1]) >> (128 - bits);
	return mix(mix((uint64_t)a->family << 8 | bits, words[0]), words[1]);
}

static uint32_t *
bucket(const struct policy_index *index, enum policy_role role, enum kind kind, uint64_t value, enum ports ports, unsigned port)
{
	return &index->buckets[mix(value, (uint64_t)port << 8 | kind << 3 | ports << 1 | role) & index->mask];
}

/* ---- built ---- */

static void
add(struct policy_index *index, const struct policy_pattern *p, uint32_t rule, enum kind kind, uint64_t value)
{
	enum policy_role role = index->policy->rules[rule].role;
	enum ports ports = p->low == 0 ? ALL : p->low == p->high ? ONE : RANGE;
	uint32_t *head = bucket(index, role, kind, value, ports, ports == ONE ? p->low : 0);

	index->entries[index->used] = (struct entry){ p, rule, *head };
	*head = ++index->used;
	index->sides[role].holds[kind][ports] = true;
}

static void
add_block(struct policy_index *index, const struct policy_pattern *p, uint32_t rule)
{
	struct side *side = &index->sides[index->policy->rules[rule].role];

	if (p->address.family == AF_INET)
		side->lengths4 |= (uint64_t)1 << p->bits;
	else
		side->lengths[p->bits / 64] |= (uint64_t)1 << p->bits % 64;
	add(index, p, rule, BLOCK, hash_prefix(&p->address, p->bits));
}

/* A glob demands of a name what stands behind its last * or ?; of that, whole labels can be looked up. */
static void
add_name(struct policy_index *index, const struct policy_pattern *p, uint32_t rule)
{
	size_t len = strlen(p->name), literal = len;
	const char *dot;

	while (literal > 0 && p->name[literal - 1] != '*' && p->name[literal - 1] != '?')
		literal--;
	dot = literal > 0 ? strchr(p->name + literal, '.') : NULL;
	if (literal == 0)
		add(index, p, rule, NAME, hash_name(p->name, len));
	else if (dot != NULL)
		add(index, p, rule, TAIL, hash_name(dot, strlen(dot)));
	else
		add(index, p, rule, TAIL, 0);
}

static void
add_pattern(struct policy_index *index, const struct policy_pattern *p, uint32_t rule)
{
	switch (p->host) {
	case POLICY_HOST_ANY:
		add(index, p, rule, ANYBODY, 0);
		break;
	case POLICY_HOST_BLOCK:
		add_block(index, p, rule);
		break;
	case POLICY_HOST_LOCAL:
		add_name(index, p, rule);
		add(index, p, rule, LOOPBACK, 0);
		break;
	case POLICY_HOST_NAME:
		add_name(index, p, rule);
		add(index, p, rule, NAMELESS, 0);
		break;
	}
}

/* The last rule first: each entry goes before those of its bucket, which are then in file order. */
static void
fill(struct policy_index *index, const struct policy_program *program)
{
	const struct policy_rule *r;
	int rule;
	size_t i;

	for (rule = index->policy->nrules - 1; rule >= 0; rule--) {
		r = &index->policy->rules[rule];
		for (i = 0; i < r->npatterns && policy_rule_fits(index->policy, rule, program); i++)
			add_pattern(index, &r->patterns[i], (uint32_t)rule);
	}
}

int
policy_index_new(const struct policy *policy, const struct policy_program *program, struct policy_index **out)
{
	size_t most = 0, buckets = 8;
	int rule;

	for (rule = 0; rule < policy->nrules; rule++)
		most += 2 * policy->rules[rule].npatterns;
	while (buckets < most)
		buckets *= 2;
	*out = calloc(1, sizeof **out + most * sizeof (*out)->entries[0] + buckets * sizeof *(*out)->buckets);
	if (*out == NULL)
		return -1;
	(*out)->policy = policy;
	(*out)->buckets = (uint32_t *)(void *)((*out)->entries + most);
	(*out)->mask = (uint32_t)buckets - 1;
	fill(*out, program);
	return 0;
}

void
policy_index_free(struct policy_index *index)
{
	free(index);
}

/* ---- asked ---- */

struct search {
	const struct policy_index *index;
	const struct side *side;
	const struct policy_asked *asked;
	uint32_t best;			/* rule: only an earlier one is of interest */
};

static void
look_in(struct search *s, uint32_t at)
{
	const struct policy_rule *rules = s->index->policy->rules;
	const struct entry *e;

	for (; at != 0; at = e->next) {
		e = &s->index->entries[at - 1];
		if (e->rule >= s->best)
			return;
		if (rules[e->rule].role == s->asked->role && policy_pattern_answer(e->pattern, s->asked).answer != POLICY_NO)
			s->best = e->rule;
	}
}

static void
look(struct search *s, enum kind kind, uint64_t value)
{
	enum policy_role role = s->asked->role;
	enum ports ports;

	for (ports = ALL; ports < PORTS; ports++)
		if (s->side->holds[kind][ports])
			look_in(s, *bucket(s->index, role, kind, value, ports, ports == ONE ? s->asked->port : 0));
}

static void
look_by_address(struct search *s, const struct policy_address *a)
{
	const uint64_t *lengths = a->family == AF_INET ? &s->side->lengths4 : s->side->lengths;
	size_t words = a->family == AF_INET ? 1 : 3, i;
	uint64_t left;

	for (i = 0; i < words; i++)
		for (left = lengths[i]; left != 0; left &= left - 1)
			look(s, BLOCK, hash_prefix(a, (unsigned)(i * 64) + (unsigned)__builtin_ctzll(left)));
}

static void
look_by_name(struct search *s)
{
	uint64_t hash = 0;
	size_t i;

	look(s, TAIL, 0);
	for (i = s->asked->namelen; i > 0; i--) {
		hash = policy_hash(hash, s->asked->name[i - 1]);
		if (s->asked->name[i - 1] == '.')
			look(s, TAIL, hash);
	}
	look(s, NAME, hash);
}

struct policy_verdict
policy_index_match(const struct policy_index *index, const struct policy_query *query)
{
	struct policy_verdict verdict;
	struct policy_asked asked;
	struct search s = { index, &index->sides[query->role], &asked, (uint32_t)index->policy->nrules };

	if (policy_judged(query, &asked, &verdict))
		return verdict;
	look(&s, ANYBODY, 0);
	look_by_address(&s, &asked.address);
	if (asked.here)
		look_by_address(&s, asked.address.family == AF_INET ? &policy_loopback4 : &policy_loopback6);
	if (asked.here || policy_is_loopback(&asked.address))
		look(&s, LOOPBACK, 0);
	if (asked.namelen > 0)
		look_by_name(&s);
	else
		look(&s, NAMELESS, 0);
	return policy_rule_verdict(index->policy, (int)s.best, &asked);
}
