/*
 * relay_process_test.c - what the relay process is beside its streams: what it is asked, whom it answers, what it needs, how it ends.
 */
#include "relay_rig.h"

#include <netinet/tcp.h>

#include <dirent.h>

static int
option(const struct rig *r, struct relay_option *o)
{
	struct relay_head head = { .magic = RELAY_MAGIC, .kind = RELAY_OPTION, .length = sizeof *o, .id = r->id };
	struct relay_option asked = *o;

	return relay_ask(&head, &asked, NULL, o->value, sizeof o->value);
}

static void
options(void)
{
	struct rig r = rig_open(0x0304, &plain_hand_over);
	struct relay_option o = { .kind = RELAY_SET, .level = IPPROTO_TCP, .name = TCP_KEEPIDLE, .length = sizeof(int) };
	int value = 77;

	memcpy(o.value, &value, sizeof value);
	CHECK(option(&r, &o) == 0);
	o.kind = RELAY_GET;
	memset(o.value, 0, sizeof o.value);
	CHECK(option(&r, &o) == 0 && memcmp(o.value, &value, sizeof value) == 0);
	o.kind = RELAY_UNSENT;
	CHECK(send_all(r.end, (const uint8_t *)"x", 1));
	expect_heard(&r, (const uint8_t *)"x", 1);
	memset(o.value, 1, sizeof value);
	CHECK(option(&r, &o) == 0 && memcmp(o.value, "\0\0\0\0", 4) == 0);
	o.length = sizeof o.value + 1;
	CHECK(option(&r, &o) == EINVAL);
	r.id += 1000;
	CHECK(option(&r, &o) == ENOTCONN);
	rig_close(&r);
}

static void
drain(void)
{
	struct relay_head head = { .magic = RELAY_MAGIC, .kind = RELAY_DRAIN };
	struct rig r = rig_open(0x0304, &plain_hand_over);
	int64_t began = now_ms();

	CHECK(relay_ask(&head, "", NULL, NULL, 0) == 0);	/* its program is there: not waited for */
	CHECK(send_all(r.end, (const uint8_t *)"x", 1));
	close(r.end);
	r.end = -1;
	CHECK(relay_ask(&head, "", NULL, NULL, 0) == 0 && now_ms() - began < 2000);
	expect_heard(&r, (const uint8_t *)"x", 1);
	rig_close(&r);
}

static void
strangers(void)
{
	struct relay_head wrong = { .magic = RELAY_MAGIC + 1, .kind = RELAY_DRAIN };
	struct relay_head empty = { .magic = RELAY_MAGIC, .kind = RELAY_TAKE };
	pid_t other;

	CHECK(relay_ask(&wrong, "", NULL, NULL, 0) == -1);
	CHECK(relay_ask(&empty, "", NULL, NULL, 0) == EINVAL);
	if (getuid() != 0)
		return;
	other = fork();
	if (other == 0) {
		struct relay_head head = { .magic = RELAY_MAGIC, .kind = RELAY_DRAIN };

		_exit(setuid(65534) == 0 && relay_ask(&head, "", NULL, NULL, 0) == -1 ? 0 : 1);
	}
	/* ... but it runs as root here, and so must be told apart by user */
	CHECK_IS(child_status(other), 0);
}

static long
resident(pid_t pid)
{
	char path[64], line[200];
	long kib = 0;
	FILE *f;

	snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
	f = fopen(path, "r");
	while (f && fgets(line, sizeof line, f))
		if (sscanf(line, "VmRSS: %ld", &kib) == 1)
			break;
	if (f)
		fclose(f);
	return kib;
}

static int
descriptors(pid_t pid)
{
	char path[64];
	DIR *d;
	int n = 0;

	snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
	d = opendir(path);
	while (d && readdir(d))
		n++;
	if (d)
		closedir(d);
	return n;
}

/* Many at once, each stopped in both directions: what the relay may need for them is bounded. */
static void
many(void)
{
	enum { MANY = 200 };
	static struct rig rigs[MANY];
	uint8_t *bytes = noise(MEGABYTE), out[RECORDS_PLAIN + RECORDS_OVERHEAD];
	long before = resident(relay);
	int before_fds = descriptors(relay), small = 8192;

	for (int i = 0; i < MANY; i++) {
		rigs[i] = rig_open(0x0304, &plain_hand_over);
		setsockopt(rigs[i].peer, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
	}
	for (int i = 0; i < MANY; i++) {
		struct pollfd p = { .fd = rigs[i].end, .events = POLLOUT };

		while (poll(&p, 1, 2) > 0 && send(rigs[i].end, bytes, MEGABYTE, MSG_NOSIGNAL) > 0)
			;
		p.fd = rigs[i].peer;
		for (int k = 0; k < 40 && poll(&p, 1, 2) > 0; k++)
			if (send(rigs[i].peer, out, records_seal(rigs[i].keys, bytes, RECORDS_PLAIN, out), MSG_NOSIGNAL) <= 0)
				break;
	}
	CHECK(!before || descriptors(relay) <= before_fds + 2 * MANY + 2);
	printf("memory of a stopped connection: %ld KiB\n", (resident(relay) - before) / MANY);
#if !defined __SANITIZE_ADDRESS__ && !defined __SANITIZE_THREAD__	/* they keep more of all memory */
	CHECK((resident(relay) - before) / MANY <= 40);
#endif
	for (int i = 0; i < MANY; i++)
		rig_close(&rigs[i]);
	free(bytes);
}

static void
hardened(void)
{
	char path[64], line[300] = "";
	bool no_new_privs = false;
	FILE *f;

	snprintf(path, sizeof path, "/proc/%d/status", (int)relay);
	f = fopen(path, "r");
	while (f && fgets(line, sizeof line, f))
		no_new_privs |= strcmp(line, "NoNewPrivs:\t1\n") == 0;
	CHECK(f && no_new_privs);
	if (f)
		fclose(f);
	snprintf(path, sizeof path, "/proc/%d/limits", (int)relay);
	f = fopen(path, "r");
	while (f && fgets(line, sizeof line, f))
		if (strncmp(line, "Max core", 8) == 0)
			break;
	CHECK(f && strstr(line, " 0  "));
	if (f)
		fclose(f);
	kill(relay, SIGTERM);		/* meant for the program */
	kill(relay, SIGHUP);
	chat(0x0304);
}

static const struct relay_case cases[] = {
	{ "options", options },
	{ "drain", drain },
	{ "strangers", strangers },
	{ "many", many },
	{ "hardened", hardened },
};

int
main(int argc, char **argv)
{
	return relay_cases(cases, COUNT(cases), argc, argv);
}
