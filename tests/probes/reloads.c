/*
 * reloads PORT DIRECTORY COUNT: before each of COUNT connections policy.conf and roots.pem in DIRECTORY are replaced; every third
 * time by something broken.  Prints what the second half of them has left behind.  Its clock runs fast: files are looked at once a
 * second.
 */
#include "probe.h"

#include <sys/stat.h>
#include <sys/syscall.h>

#include <dirent.h>
#include <time.h>

static time_t ahead;

__attribute__((visibility("default"))) int
clock_gettime(clockid_t id, struct timespec *t)
{
	int r = (int)syscall(SYS_clock_gettime, id, t);

	if (r == 0)
		t->tv_sec += ahead;
	return r;
}

static char *
load(const char *directory, const char *name, size_t *n)
{
	char path[4096], *text = room(65536);
	FILE *f;

	snprintf(path, sizeof path, "%s/%s", directory, name);
	f = fopen(path, "r");
	if (!f)
		die(path);
	*n = fread(text, 1, 65536, f);
	fclose(f);
	return text;
}

static void
put(const char *directory, const char *name, const char *text, size_t n, const char *more)
{
	char path[4096], fresh[4100];
	FILE *f;

	snprintf(path, sizeof path, "%s/%s", directory, name);
	snprintf(fresh, sizeof fresh, "%s.new", path);
	umask(077);
	f = fopen(fresh, "w");
	if (!f || fwrite(text, 1, n, f) != n || fputs(more, f) < 0 || fclose(f) != 0)
		die(fresh);
	must("rename", rename(fresh, path));
}

static long
resident(void)
{
	char line[256];
	long kb = -1;
	FILE *f = fopen("/proc/self/status", "r");

	while (f && fgets(line, sizeof line, f))
		if (sscanf(line, "VmRSS: %ld", &kb) == 1)
			break;
	if (f)
		fclose(f);
	return kb;
}

static int
descriptors(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = 0;

	while (d && readdir(d))
		n++;
	if (d)
		closedir(d);
	return n;
}

int
main(int argc, char **argv)
{
	int count = argc > 3 ? atoi(argv[3]) : 100, had = 0, fd;
	size_t policy_len, roots_len;
	char *policy = load(argv[2], "policy.conf", &policy_len), *roots = load(argv[2], "roots.pem", &roots_len), back[6] = "";
	long before = 0;

	for (int i = 0; i < count; i++) {
		put(argv[2], "policy.conf", policy, policy_len, i % 3 == 1 ? "nonsense = 1\n" : i % 2 ? "# one\n" : "# another\n");
		put(argv[2], "roots.pem", roots, i % 3 == 2 ? roots_len / 2 : roots_len, i % 2 ? "\n" : "");
		ahead += 5;
		fd = dial(argv[1]);
		write_all(fd, "hello", 5);
		read_all(fd, back, 5, 5);
		finish(fd);
		if (i == count / 2) {
			before = resident();
			had = descriptors();
		}
	}
	say("%d connections, %ld kB more, %d descriptors more", count, resident() - before, descriptors() - had);
	free(policy);
	free(roots);
	return 0;
}
