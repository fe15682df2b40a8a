/*
 * names.c - which name the program resolved to get an address: for SNI, verification and rules.
 *
 * libc's functions answer as ever; we only look on.  The process keeps the last 4096 pairs of address and name (1.2 MiB of
 * address space, touched as it fills; the longest unused pair goes), and every thread which 64 of them it saw last.
 * Numeric hosts are no names.
 */
#include "names.h"

#include "decide.h"
#include "real.h"

#include "raw.h"

#include <sys/mman.h>

#include <arpa/inet.h>
#include <netinet/in.h>

#include <string.h>

#define PAIRS 4096
#define BUCKETS 1024
#define RECENT 64
#define NAME_MOST 253		/* RFC 1035: 255 octets on the wire are 253 characters */

struct address {
	uint8_t bytes[16];	/* an IPv4 address is kept v4-mapped, so that both spellings are one */
};

struct pair {
	struct address addr;
	uint64_t born;		/* unique: tells a thread that its pair has been replaced */
	uint16_t next;		/* in its bucket; numbers are index + 1, 0 ends */
	char name[NAME_MOST + 1];
};

struct map {
	uint64_t clock;
	unsigned count;
	uint64_t used[PAIRS];
	uint16_t buckets[BUCKETS];
	struct pair pairs[PAIRS];
};

struct recent {
	uint64_t born;
	uint16_t index;
};

static struct map *map;		/* guarded by lock, a leaf: nothing is called while it is held */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
/* A signal handler that connects while this thread is in here learns no name, instead of waiting for itself. */
static __thread volatile bool inside __attribute__((tls_model("initial-exec")));
static __thread bool forking __attribute__((tls_model("initial-exec")));
static __thread struct recent recents[RECENT] __attribute__((tls_model("initial-exec")));
static __thread unsigned nrecents __attribute__((tls_model("initial-exec")));
static __thread struct address number __attribute__((tls_model("initial-exec")));	/* resolved last by this thread, if it was a number */
static __thread bool number_recent __attribute__((tls_model("initial-exec")));

static bool
enter(void)
{
	if (inside)
		return false;
	inside = true;
	pthread_mutex_lock(&lock);
	return true;
}

static void
leave(void)
{
	pthread_mutex_unlock(&lock);
	inside = false;
}

static bool
address_of(struct address *out, const struct sockaddr *addr, socklen_t len)
{
	static const uint8_t mapped[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };

	if (len >= sizeof(struct sockaddr_in) && addr->sa_family == AF_INET) {
		memcpy(out->bytes, mapped, sizeof mapped);
		memcpy(out->bytes + sizeof mapped, (const char *)addr + offsetof(struct sockaddr_in, sin_addr), 4);
		return true;
	}
	if (len >= offsetof(struct sockaddr_in6, sin6_addr) + 16 && addr->sa_family == AF_INET6) {
		memcpy(out->bytes, (const char *)addr + offsetof(struct sockaddr_in6, sin6_addr), 16);
		return true;
	}
	return false;
}

static bool
same(const struct address *a, const struct address *b)
{
	return memcmp(a, b, sizeof *a) == 0;
}

static unsigned
bucket_of(const struct address *a)
{
	uint32_t h = 2166136261u;

	for (size_t i = 0; i < sizeof a->bytes; i++)
		h = (h ^ a->bytes[i]) * 16777619u;
	return (h ^ h >> 16) % BUCKETS;
}

static bool
is_number(const char *name)
{
	struct in_addr v4;

	return inet_aton(name, &v4) || strchr(name, ':');
}

/*
 * Lower case, without the root's dot.  What a certificate could not carry is not remembered: a name that only AI_IDN
 * understands counts as unknown, and so needs server_hostname.
 */
static bool
canonical(char out[static NAME_MOST + 1], const char *name)
{
	size_t n = 0;

	if (is_number(name))
		return false;
	for (; name[n]; n++) {
		unsigned char c = (unsigned char)name[n];

		if (n > NAME_MOST || c <= ' ' || c >= 0x7f || c == ':')
			return false;
		if (n < NAME_MOST)
			out[n] = (char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
		else if (c != '.')
			return false;
	}
	if (n && name[n - 1] == '.')
		n--;
	out[n] = '\0';
	return n > 0;
}

static struct pair *
find_pair(const struct address *a, const char *name)
{
	for (unsigned i = map->buckets[bucket_of(a)]; i; i = map->pairs[i - 1].next)
		if (same(&map->pairs[i - 1].addr, a) && strcmp(map->pairs[i - 1].name, name) == 0)
			return &map->pairs[i - 1];
	return NULL;
}

static struct pair *
oldest_pair(void)
{
	unsigned oldest = 0;
	uint16_t *link;

	if (map->count < PAIRS)
		return &map->pairs[map->count++];
	for (unsigned i = 1; i < PAIRS; i++)
		if (map->used[i] < map->used[oldest])
			oldest = i;
	link = &map->buckets[bucket_of(&map->pairs[oldest].addr)];
	while (*link != oldest + 1)
		link = &map->pairs[*link - 1].next;
	*link = map->pairs[oldest].next;
	return &map->pairs[oldest];
}

static struct pair *
new_pair(const struct address *a, const char *name)
{
	struct pair *p = oldest_pair();
	uint16_t *head = &map->buckets[bucket_of(a)];

	p->addr = *a;
	p->born = map->clock;
	strcpy(p->name, name);
	p->next = *head;
	*head = (uint16_t)(p - map->pairs + 1);
	return p;
}

static bool
have_map(void)
{
	long p;

	if (map)
		return true;
	p = raw_syscall(SYS_mmap, 0, sizeof *map, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p < 0 && p >= -4095)
		return false;
	map = (struct map *)p;
	return true;
}

void
names_note(const char *name, const struct sockaddr *addr, socklen_t len)
{
	char lower[NAME_MOST + 1];
	struct address a;
	struct pair *p;

	if (!address_of(&a, addr, len) || !canonical(lower, name) || !enter())
		return;
	number_recent = number_recent && !same(&a, &number);
	if (have_map()) {
		map->clock++;
		p = find_pair(&a, lower);
		if (!p)
			p = new_pair(&a, lower);
		map->used[p - map->pairs] = map->clock;
		if (!nrecents || recents[(nrecents - 1) % RECENT].born != p->born)	/* one result per socket type is usual */
			recents[nrecents++ % RECENT] = (struct recent){ p->born, (uint16_t)(p - map->pairs) };
	}
	leave();
}

/* A number that is resolved names nothing: this thread's next connect to it goes to the address, whatever else has that address. */
static void
note_number(const struct sockaddr *addr, socklen_t len)
{
	number_recent = address_of(&number, addr, len);
}

static const struct pair *
this_threads(const struct address *a)
{
	for (unsigned i = 0; i < RECENT && i < nrecents; i++) {
		const struct recent *r = &recents[(nrecents - 1 - i) % RECENT];
		const struct pair *p = &map->pairs[r->index];

		if (p->born == r->born && same(&p->addr, a))
			return p;
	}
	return NULL;
}

static const struct pair *
only_pair(const struct address *a, bool *several)
{
	const struct pair *found = NULL;

	for (unsigned i = map->buckets[bucket_of(a)]; i; i = map->pairs[i - 1].next) {
		if (!same(&map->pairs[i - 1].addr, a))
			continue;
		*several = found != NULL;
		if (*several)
			return NULL;
		found = &map->pairs[i - 1];
	}
	return found;
}

int
names_find(const struct sockaddr *addr, socklen_t len, char *buf, size_t size)
{
	const struct pair *p = NULL;
	bool several = false;
	struct address a;

	if (!address_of(&a, addr, len) || (number_recent && same(&a, &number)) || !enter())
		return 0;
	if (map) {
		p = this_threads(&a);
		if (!p)
			p = only_pair(&a, &several);
	}
	if (p && strlen(p->name) < size) {
		map->used[p - map->pairs] = ++map->clock;
		strcpy(buf, p->name);
	} else {
		p = NULL;
	}
	leave();
	return p ? 1 : several ? -1 : 0;
}

void
names_fork_prepare(void)
{
	forking = enter();
}

void
names_fork_parent(void)
{
	if (forking)
		leave();
	forking = false;
}

void
names_fork_child(void)
{
	pthread_mutex_init(&lock, NULL);
	inside = forking = false;
}

/* The results of libc's functions. */

static void
note_list(const char *node, const struct addrinfo *list)
{
	bool numeric = is_number(node);

	for (; list; list = list->ai_next)
		if (list->ai_addr && numeric)
			note_number(list->ai_addr, list->ai_addrlen);
		else if (list->ai_addr)
			names_note(node, list->ai_addr, list->ai_addrlen);
}

static void
note_host(const char *name, const struct hostent *host)
{
	struct sockaddr_in v4 = { .sin_family = AF_INET };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6 };

	for (char **a = host->h_addr_list; *a; a++) {
		if (host->h_addrtype == AF_INET) {
			memcpy(&v4.sin_addr, *a, sizeof v4.sin_addr);
			names_note(name, (const struct sockaddr *)&v4, sizeof v4);
		} else if (host->h_addrtype == AF_INET6) {
			memcpy(&v6.sin6_addr, *a, sizeof v6.sin6_addr);
			names_note(name, (const struct sockaddr *)&v6, sizeof v6);
		}
	}
}

EXPORT int
getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **res)
{
	int r = real.getaddrinfo(node, service, hints, res);

	if (r == 0 && node && decide_clients())
		note_list(node, *res);
	return r;
}

/* libc asks in a thread of its own; the program learns of the result here, or by waiting for it. */
static void
note_request(const struct gaicb *request)
{
	if (request && request->ar_name && request->ar_result && decide_clients())
		note_list(request->ar_name, request->ar_result);
}

EXPORT int
gai_error(struct gaicb *request)
{
	int r = real.gai_error(request);

	if (r == 0)
		note_request(request);
	return r;
}

EXPORT int
gai_suspend(const struct gaicb *const list[], int n, const struct timespec *timeout)
{
	int r = real.gai_suspend(list, n, timeout);

	for (int i = 0; i < n; i++)
		if (list[i] && real.gai_error((struct gaicb *)(uintptr_t)list[i]) == 0)
			note_request(list[i]);
	return r;
}

EXPORT int
getaddrinfo_a(int mode, struct gaicb *list[], int n, struct sigevent *event)
{
	int r = real.getaddrinfo_a(mode, list, n, event);

	for (int i = 0; mode == GAI_WAIT && i < n; i++)
		if (list[i] && real.gai_error(list[i]) == 0)
			note_request(list[i]);
	return r;
}

EXPORT struct hostent *
gethostbyname(const char *name)
{
	struct hostent *host = real.gethostbyname(name);

	if (host && decide_clients())
		note_host(name, host);
	return host;
}

EXPORT struct hostent *
gethostbyname2(const char *name, int af)
{
	struct hostent *host = real.gethostbyname2(name, af);

	if (host && decide_clients())
		note_host(name, host);
	return host;
}

EXPORT int
gethostbyname_r(const char *name, struct hostent *ret, char *buf, size_t buflen, struct hostent **result, int *h_errnop)
{
	int r = real.gethostbyname_r(name, ret, buf, buflen, result, h_errnop);

	if (r == 0 && *result && decide_clients())
		note_host(name, *result);
	return r;
}

EXPORT int
gethostbyname2_r(const char *name, int af, struct hostent *ret, char *buf, size_t buflen, struct hostent **result, int *h_errnop)
{
	int r = real.gethostbyname2_r(name, af, ret, buf, buflen, result, h_errnop);

	if (r == 0 && *result && decide_clients())
		note_host(name, *result);
	return r;
}
