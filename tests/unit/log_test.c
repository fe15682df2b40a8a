/* log_test.c - which lines are printed, which are counted, and what is said of those. */
#include "log.h"

#include "check.h"

#include <unistd.h>

static char path[] = "/tmp/log_test.XXXXXX";

/* What has been logged since the last call. */
static const char *
logged(void)
{
	static char text[65536];
	FILE *f = fopen(path, "r");
	size_t n = f ? fread(text, 1, sizeof text - 1, f) : 0;

	text[n] = '\0';
	if (f)
		fclose(f);
	if (truncate(path, 0) < 0)
		exit(2);
	return text;
}

static unsigned
count(const char *text, const char *what)
{
	unsigned n = 0;

	for (; (text = strstr(text, what)) != NULL; text += strlen(what))
		n++;
	return n;
}

static void
second(void)
{
	struct timespec t = { 1, 20000000 };

	while (nanosleep(&t, &t) < 0)
		;
}

static const struct {
	const char *name, *one, *other;
	bool similar;
} pairs[] = {
	{ "the same", "a: b", "a: b", true },
	{ "another word", "a: b", "a: c", false },
	{ "ports", "127.0.0.1:1: x; y", "127.0.0.1:65535: x; y", true },
	{ "IPv6 addresses", "[fe80::a]:1: x", "[::1]:2: x", true },
	{ "details", "p: refused; certificate of CN=a", "p: refused; certificate of CN=b", true },
	{ "causes", "q: refused; certificate of CN=a", "q: failed; certificate of CN=a", false },
	{ "no details", "p: refused", "p: refused; x", true },
};

static void
test_pairs(void)
{
	for (size_t i = 0; i < COUNT(pairs); i++) {
		const char *text;

		for (int n = 0; n < 5; n++)
			log_line(LOG_LEVEL_WARN, "%s", pairs[i].one);
		log_line(LOG_LEVEL_WARN, "%s", pairs[i].other);
		text = logged();
		result("log", pairs[i].name, count(text, "\n") == (pairs[i].similar ? 5 : 6), text);
		log_rest();
		text = logged();
		result("log", pairs[i].name, count(text, "warn: ") == pairs[i].similar && count(text, "]: 1 similar suppressed: ") == pairs[i].similar, text);
	}
}

/* Two kinds in turn, and a peer that names itself differently each time. */
static void
test_flood(void)
{
	const char *text;

	for (int i = 0; i < 1000; i++) {
		log_line(LOG_LEVEL_WARN, "10.0.0.1:%d: refused; CN=peer %c", i, 'a' + i % 26);
		log_line(LOG_LEVEL_WARN, "10.0.0.1:%d: broke off", i);
	}
	text = logged();
	result("log", "a flood of two kinds", count(text, "\n") == 10, text);
	second();
	log_line(LOG_LEVEL_DEBUG, "not told itself");
	text = logged();
	result("log", "both are told of", count(text, "995 similar suppressed: 10.0.0.1:0: refused\n") == 1
	      && count(text, "995 similar suppressed: 10.0.0.1:0: broke off\n") == 1 && count(text, "\n") == 2, text);
	log_line(LOG_LEVEL_WARN, "10.0.0.1:1: refused");
	result("log", "the next second begins anew", count(logged(), "refused") == 1, "");
}

static void
test_kinds(void)
{
	const char *text;

	for (int i = 0; i < 7; i++)
		log_line(LOG_LEVEL_WARN, "flood");
	logged();
	for (int i = 0; i < 26 * 26; i++)
		log_line(LOG_LEVEL_WARN, "kind %c%c", 'a' + i / 26, 'a' + i % 26);
	text = logged();
	result("log", "kinds that come once", count(text, "kind ") == 26 * 26 && count(text, "\n") == 26 * 26, "");
	log_rest();
	text = logged();
	result("log", "nothing to tell of them, and the flood is not forgotten", count(text, "2 similar suppressed: flood\n") == 1
	      && count(text, "\n") == 1, text);
}

static void
test_fork(void)
{
	const char *text;
	pid_t child;

	for (int i = 0; i < 8; i++)
		log_line(LOG_LEVEL_WARN, "before the fork");
	logged();
	child = fork();
	if (child == 0) {
		log_rest();
		log_line(LOG_LEVEL_WARN, "the child");
		log_rest();
		_exit(0);
	}
	waitpid(child, NULL, 0);
	text = logged();
	result("log", "a child tells its own", count(text, "the child\n") == 1 && count(text, "\n") == 1, text);
	log_rest();
	text = logged();
	result("log", "the parent tells its own", count(text, "3 similar suppressed: before the fork\n") == 1, text);
}

static void
test_lines(void)
{
	const char *text;

	errno = EDOM;
	log_line(LOG_LEVEL_WARN, "a\nwrapsock: error: \x1b[2J\xc2\x9b");
	result("log", "errno", errno == EDOM, "");
	text = logged();
	result("log", "one line", count(text, "\n") == 1 && strstr(text, "a\\x0awrapsock: error: \\x1b[2J\\xc2\\x9b\n"), text);
	log_line(LOG_LEVEL_INFO, "not wanted");
	result("log", "level", !*logged(), "");
}

/* Who asks for a line for each connection gets it. */
static void
test_info(void)
{
	setenv("WRAPSOCK_LOG", "info", 1);
	log_start();
	for (int i = 0; i < 20; i++)
		log_line(LOG_LEVEL_INFO, "10.0.0.1:%d: TLSv1.3", i);
	result("log", "a line each", count(logged(), "TLSv1.3\n") == 20, "");
}

int
main(void)
{
	int fd = mkstemp(path);

	if (fd < 0)
		return 2;
	close(fd);
	setenv("WRAPSOCK_LOG_FILE", path, 1);
	log_start();
	test_pairs();
	test_flood();
	test_kinds();
	test_fork();
	test_lines();
	test_info();
	unlink(path);
	return summary();
}
