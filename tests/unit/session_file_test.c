/*
 * session_file_test.c - the file of sessions: what goes in comes out once; whose it may be; what is damaged, and who is in it at
 * the same time.
 */
#include "session_file.h"

#include "identity.h"

#include <sys/resource.h>

#include <fcntl.h>

static char own[64], file[64], err[300];

static const char *
said(void)
{
	return err;
}

/* Two keys of one letter are the same; of one group are those whose letters differ by 32. */
static const uint8_t *
key_of(char letter)
{
	static uint8_t key[SESSION_FILE_KEY];

	memset(key, letter, sizeof key);
	return key;
}

static int
put(char key, const char *what, long seconds)
{
	struct session_file_entry e = { (void *)(uintptr_t)what, strlen(what), time(NULL) + seconds };

	err[0] = '\0';
	return session_file_put(dir, key_of(key), &e, err, sizeof err);
}

/* What session_file_take answers; 99: what it gives is not this. */
static int
take(char key, const char *what)
{
	struct session_file_entry e;
	int ret;

	err[0] = '\0';
	ret = session_file_take(dir, key_of(key), &e, err, sizeof err);
	if (ret > 0 && (e.len != strlen(what) || memcmp(e.bytes, what, e.len) != 0 || e.until <= time(NULL)))
		ret = 99;
	CHECK((ret > 0) == (e.bytes != NULL));
	session_file_entry_free(&e);
	return ret;
}

static void
remove_all(void)
{
	unlink(file);
	rmdir(own);
	unlink(own);
}

static void
write_at(off_t place, const void *bytes, size_t len)
{
	int fd = open(file, O_WRONLY);

	must(fd >= 0 && pwrite(fd, bytes, len, place) == (ssize_t)len && close(fd) == 0, file);
}

static void
change_at(off_t place)
{
	int fd = open(file, O_RDONLY);
	char byte = 0;

	must(fd >= 0 && pread(fd, &byte, 1, place) == 1 && close(fd) == 0, file);
	byte ^= 0x5a;
	write_at(place, &byte, 1);
}

/* Where the file has these bytes; -1 = nowhere. */
static off_t
find(const char *what)
{
	int fd = open(file, O_RDONLY);
	off_t found = -1;
	struct stat st;
	char *all, *there;

	must(fd >= 0 && fstat(fd, &st) == 0, file);
	all = malloc((size_t)st.st_size + 1);
	must(all && read(fd, all, (size_t)st.st_size) == st.st_size && close(fd) == 0, file);
	there = memmem(all, (size_t)st.st_size, what, strlen(what));
	if (there)
		found = there - all;
	free(all);
	return found;
}

static void
out_once(void)
{
	CHECK(take('a', "") == 0);
	CHECK(access(own, F_OK) < 0);		/* who only looks makes nothing */
	CHECK(put('a', "one", 100) == 1);
	CHECK(take('b', "") == 0);
	CHECK(take('a', "one") == 1);
	CHECK(take('a', "") == 0);
	CHECK(find("one") < 0);
}

static void
newest_first(void)
{
	CHECK(put('a', "one", 100) == 1 && put('A', "of another", 100) == 1 && put('a', "two", 100) == 1);
	CHECK(take('A', "of another") == 1 && take('A', "") == 0);
	CHECK(take('a', "two") == 1 && take('a', "one") == 1 && take('a', "") == 0);
}

static void
bounded(void)
{
	struct stat st;
	char what[20];

	for (int i = 0; i < 1000; i++) {
		snprintf(what, sizeof what, "session %d", i);
		CHECK(put((char)i, what, 100) == 1);
	}
	CHECK(stat(file, &st) == 0 && st.st_size <= 2 << 20 && (st.st_mode & 0777) == 0600);
	CHECK(stat(own, &st) == 0 && (st.st_mode & 0777) == 0700);
	for (int i = 0; i < SESSION_FILE_GROUP; i++) {
		snprintf(what, sizeof what, "session %d", 999 - 32 * i);
		CHECK(find(what) >= 0);		/* the last ones */
	}
	CHECK(find("session 1\n") < 0 && find("session 500") < 0);
}

static void
aged(void)
{
	CHECK(put('a', "over", 0) == 1 && take('a', "") == 0 && find("over") < 0);
	CHECK(put('a', "over, too", -5) == 1 && take('a', "") == 0 && *err == '\0');
}

static void
too_long(void)
{
	char *what = calloc(1, SESSION_FILE_LONGEST + 2);

	must(what != NULL, "memory");
	memset(what, 'x', SESSION_FILE_LONGEST);
	CHECK(put('a', what, 100) == 1 && take('a', what) == 1);
	what[SESSION_FILE_LONGEST] = 'x';
	CHECK(put('a', what, 100) == 0 && take('a', "") == 0);
	CHECK(put('a', "", 100) == 0);
	free(what);
}

/* Every byte of what was written, changed: the session does not come out, and where the change can be seen something is said. */
static void
damaged(void)
{
	for (off_t i = 0; i < 80; i++) {
		remove_all();
		must(put('a', "a session", 100) == 1, "put");
		change_at(find("a session") - 72 + i);
		CHECK(take('a', "") <= 0);
		CHECK(take('a', "") == 0);	/* said once */
		CHECK(i >= 8 && i < 40 ? true : find("a session") < 0);
	}
	CHECK(put('a', "one", 100) == 1);
	CHECK(take('a', "one") == 1);
}

static void
cut_short(void)
{
	off_t end;

	must(put('a', "a session", 100) == 1, "put");
	end = find("a session") + (off_t)strlen("a session");
	for (off_t len = end - 1; len > end - 90; len--) {
		remove_all();
		must(put('a', "a session", 100) == 1 && truncate(file, len) == 0, "truncate");
		CHECK(take('a', "") <= 0);
		CHECK(put('a', "another", 100) == 1 && take('a', "another") == 1);
	}
}

static void
from_the_future(void)
{
	int64_t made = (time(NULL) + 100) * INT64_C(1000000000);

	must(put('a', "a session", 100) == 1, "put");
	write_at(find("a session") - 32, &made, sizeof made);
	CHECK(take('a', "") == 0);
}

/* Somebody has the place: nobody waits, and nothing is spoilt. */
static void
busy(void)
{
	struct flock l = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	int fd;

	must(put('a', "a session", 100) == 1, "put");
	fd = open(file, O_RDWR | O_CLOEXEC);
	must(fd >= 0 && fcntl(fd, F_OFD_SETLK, &l) == 0, "lock");
	CHECK(take('a', "") == 0 && *err == '\0' && put('a', "another", 100) == 0 && *err == '\0');
	close(fd);
	CHECK(take('a', "a session") == 1);
}

static void
links(void)
{
	char elsewhere[80];

	snprintf(elsewhere, sizeof elsewhere, "%s/elsewhere", dir);
	must(put('a', "a session", 100) == 1 && rename(file, elsewhere) == 0 && symlink(elsewhere, file) == 0, "a link");
	CHECK(take('a', "") == -1 && strstr(err, "/wrapsock/sessions: is a symbolic link"));
	CHECK(put('a', "another", 100) == -1 && strstr(err, "symbolic link"));
	must(unlink(file) == 0 && link(elsewhere, file) == 0, "another name");
	CHECK(take('a', "") == -1 && strstr(err, "has another name"));
	must(unlink(file) == 0 && rename(elsewhere, file) == 0, "back");
	CHECK(take('a', "a session") == 1);
	must(rename(own, elsewhere) == 0 && symlink(elsewhere, own) == 0, "a folder's link");
	CHECK(take('a', "") == -1 && put('a', "another", 100) == -1 && strstr(err, "/wrapsock: "));
	must(unlink(own) == 0 && rename(elsewhere, own) == 0, "back");
}

static void
not_private(void)
{
	must(put('a', "a session", 100) == 1 && chmod(file, 0640) == 0, "chmod");
	CHECK(take('a', "") == -1 && strstr(err, "sessions: others may use it (mode 640), expected 600"));
	must(chmod(file, 0600) == 0 && chmod(own, 0710) == 0, "chmod");
	CHECK(put('a', "another", 100) == -1 && strstr(err, "wrapsock: others may use it (mode 710), expected 700"));
	must(chmod(own, 0700) == 0 && chmod(dir, 0777) == 0, "chmod");
	CHECK(take('a', "") == -1 && strstr(err, "others may use it (mode 777)"));
	must(chmod(dir, 0700) == 0, "chmod");
	CHECK(take('a', "a session") == 1);
}

static void
other_kinds(void)
{
	must(mkdir(own, 0700) == 0 && mkfifo(file, 0600) == 0, "mkfifo");
	CHECK(take('a', "") == -1 && strstr(err, "is no regular file"));
	CHECK(put('a', "a session", 100) == -1 && strstr(err, "is no regular file"));
	must(unlink(file) == 0 && rmdir(own) == 0 && mkfifo(own, 0600) == 0, "mkfifo");
	CHECK(put('a', "a session", 100) == -1 && strstr(err, "/wrapsock: Not a directory"));
}

/* As root only: another user's are not used. */
static void
others_own(void)
{
	must(put('a', "a session", 100) == 1 && chown(file, 54321, (gid_t)-1) == 0, "chown");
	CHECK(take('a', "") == -1 && strstr(err, "sessions: belongs to user 54321, expected 0"));
	must(chown(file, 0, (gid_t)-1) == 0 && chown(own, 54321, (gid_t)-1) == 0, "chown");
	CHECK(take('a', "") == -1 && strstr(err, "/wrapsock: belongs to user 54321"));
	must(chown(own, 0, (gid_t)-1) == 0 && chown(dir, 54321, (gid_t)-1) == 0, "chown");
	CHECK(put('a', "", 100) == 0 && put('a', "another", 100) == -1 && strstr(err, "belongs to user 54321"));
	must(chown(dir, 0, (gid_t)-1) == 0, "chown");
}

/* A limit on files would end the program with SIGXFSZ. */
static void
limited(void)
{
	const struct rlimit little = { 10, RLIM_INFINITY }, much = { RLIM_INFINITY, RLIM_INFINITY };

	must(put('a', "a session", 100) == 1 && setrlimit(RLIMIT_FSIZE, &little) == 0, "setrlimit");
	CHECK(put('a', "another", 100) == -1 && strstr(err, "File too large"));
	CHECK(take('a', "") == -1);	/* it could not be taken out */
	must(setrlimit(RLIMIT_FSIZE, &much) == 0, "setrlimit");
	CHECK(take('a', "a session") == 1);
}

/* Four processes put and take what each of them says only once: nothing comes out twice, torn, or of another. */
static void
crowd(void)
{
	enum { PROCESSES = 4, ROUNDS = 300 };
	int out[2], status;
	FILE *taken;
	char line[80], seen[PROCESSES][ROUNDS] = { { 0 } };

	must(pipe(out) == 0, "pipe");
	for (int p = 0; p < PROCESSES; p++) {
		pid_t pid = fork();

		must(pid >= 0, "fork");
		for (int i = 0; pid == 0 && i < ROUNDS; i++) {
			struct session_file_entry e;

			snprintf(line, sizeof line, "of %d number %d\n", p, i);
			if (put('a', line, 100) < 0)
				_exit(1);
			if (session_file_take(dir, key_of('a'), &e, err, sizeof err) < 0)
				_exit(2);
			if (e.bytes && write(out[1], e.bytes, e.len) != (ssize_t)e.len)
				_exit(3);
			session_file_entry_free(&e);
		}
		if (pid == 0)
			_exit(0);
	}
	close(out[1]);
	taken = fdopen(out[0], "r");
	while (fgets(line, sizeof line, taken)) {
		int p = -1, i = -1;

		CHECK(sscanf(line, "of %d number %d\n", &p, &i) == 2 && p >= 0 && p < PROCESSES && i >= 0 && i < ROUNDS && !seen[p][i]++);
	}
	fclose(taken);
	for (int p = 0; p < PROCESSES; p++)
		CHECK(wait(&status) > 0 && status == 0);
}

static void
where_it_is(void)
{
	char *where, expected[40] = "/run";

	if (geteuid() != 0)
		snprintf(expected, sizeof expected, "/run/user/%u", geteuid());
	setenv("XDG_RUNTIME_DIR", "/somewhere", 1);
	where = session_file_folder(err, sizeof err);
	CHECK(where && strcmp(where, "/somewhere") == 0);
	free(where);
	setenv("XDG_RUNTIME_DIR", "some/where", 1);	/* the specification: relative paths are to be ignored */
	where = session_file_folder(err, sizeof err);
	CHECK(where ? strcmp(where, expected) == 0 : strstr(err, "XDG_RUNTIME_DIR is not set, and /run/user/") != NULL);
	free(where);
	unsetenv("XDG_RUNTIME_DIR");
}

/* This program once more, with another user's rights on top of ours. */
static void
raised_rights(void)
{
	const char *preload = getenv("LD_PRELOAD");
	char copy[96], command[400];

	if (preload && strstr(preload, "vgpreload")) {
		printf("SKIP: %s: valgrind starts no program that raises its rights\n", current);
		return;
	}
	snprintf(copy, sizeof copy, "%s", at("raised"));
	snprintf(command, sizeof command, "cp /proc/%d/exe %s && chown 54321 %s && chmod 4755 %s", getpid(), copy, copy, copy);
	must(system(command) == 0 && chmod(dir, 0711) == 0 && setenv("XDG_RUNTIME_DIR", dir, 1) == 0, command);
	snprintf(command, sizeof command, "%s raised", copy);
	CHECK_IS(system(command), 0);
	must(unsetenv("XDG_RUNTIME_DIR") == 0 && chmod(dir, 0700) == 0 && unlink(copy) == 0, copy);
}

/* Ends without a leak check: that wants to trace this program, which a program with raised rights does not allow. */
static void
run_raised(void)
{
	char *where = session_file_folder(err, sizeof err);

	if (!where && strcmp(err, "not for a program with raised rights") == 0)
		_exit(0);
	printf("%s: %s\n", where ? where : "nowhere", err);
	fflush(stdout);
	_exit(1);
}

static const struct row {
	const char *name;
	void (*run)(void);
	bool root;
} rows[] = {
	{ "out once", out_once, false }, { "the newest first", newest_first, false }, { "bounded", bounded, false }, { "aged", aged, false },
	{ "too long", too_long, false }, { "damaged", damaged, false }, { "cut short", cut_short, false },
	{ "from the future", from_the_future, false }, { "busy", busy, false }, { "links", links, false }, { "not private", not_private, false },
	{ "other kinds of files", other_kinds, false }, { "another user's", others_own, true }, { "a limit on files", limited, false },
	{ "a crowd", crowd, false }, { "where", where_it_is, false },
	{ "raised rights", raised_rights, true },
};

int
main(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "raised") == 0)
		run_raised();
	make_dir();
	more = said;
	snprintf(own, sizeof own, "%s", at("wrapsock"));
	snprintf(file, sizeof file, "%s", at("wrapsock/sessions"));
	for (size_t i = 0; i < COUNT(rows); i++) {
		if (rows[i].root && geteuid() != 0) {
			printf("SKIP: %s: needs root\n", rows[i].name);
			continue;
		}
		begin_case("%s", rows[i].name);
		rows[i].run();
		end_case();
		remove_all();
	}
	remove_dir();
	return summary();
}
