/* objects.c - our own libraries: where they are, whether they are of our version, and the verbs of libwrapsock.so. */
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core.h"
#include "ctl.h"
#include "elf.h"

#define LIBRARY "libwrapsock.so"
#define PRELOAD "libwrapsock-preload.so"

/* In a checkout they are beside us in build/, installed we are in bin/ and they are in lib/. */
const char *
ctl_folder(void)
{
	static char folder[PATH_MAX];
	char library[PATH_MAX + sizeof LIBRARY];
	ssize_t n = readlink("/proc/self/exe", folder, sizeof folder - sizeof "/../lib");
	char *slash;

	folder[n > 0 ? n : 0] = '\0';
	slash = strrchr(folder, '/');
	if (!slash)
		return ".";
	*slash = '\0';
	snprintf(library, sizeof library, "%s/" LIBRARY, folder);
	if (access(library, F_OK) < 0)
		strcpy(slash, "/../lib");
	return folder;
}

const struct core_verbs *
ctl_core(const char *folder, char *err, size_t size)
{
	char path[PATH_MAX];
	const struct core_verbs *core;
	void *library;

	snprintf(path, sizeof path, "%s/" LIBRARY, folder ? folder : ctl_folder());
	library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (!library) {
		snprintf(err, size, "%s", dlerror());
		return NULL;
	}
	core = dlsym(library, CORE_SYMBOL);
	if (!core || core->abi != CORE_ABI || core->size != sizeof *core) {
		snprintf(err, size, "%s is of another version than this wrapsock (" WRAPSOCK_VERSION ")", path);
		return NULL;
	}
	return core;
}

/* Without loading it: OpenSSL would come along, and most commands never need it here. */
static int
library_is_ours(const char *path, char *err, size_t size)
{
	struct elf_file f;
	unsigned says[2];	/* abi and size, the first two members of struct core_verbs */
	const void *at = NULL;

	if (elf_open(path, &f) < 0) {
		snprintf(err, size, "%s: %s", path, strerror(errno));
		return -1;
	}
	if (elf_is_ours(&f))
		at = elf_data(&f, CORE_SYMBOL, sizeof says);
	if (at)
		memcpy(says, at, sizeof says);
	elf_close(&f);
	if (at && says[0] == CORE_ABI && says[1] == sizeof(struct core_verbs))
		return 0;
	snprintf(err, size, "%s is of another version than this wrapsock (" WRAPSOCK_VERSION ")", path);
	return -1;
}

int
ctl_objects(const char *preload, char *err, size_t size)
{
	struct elf_file f;
	const char *soname = NULL, *slash = strrchr(preload, '/');
	char library[PATH_MAX];
	bool ours;

	if (elf_open(preload, &f) < 0) {
		snprintf(err, size, "%s: %s", preload, strerror(errno));
		return -1;
	}
	if (elf_is_ours(&f))
		soname = elf_soname(&f);
	ours = soname && strcmp(soname, PRELOAD "." WRAPSOCK_VERSION) == 0;
	elf_close(&f);
	if (!ours) {
		snprintf(err, size, "%s is of another version than this wrapsock (" WRAPSOCK_VERSION ")", preload);
		return -1;
	}
	snprintf(library, sizeof library, "%.*s" LIBRARY, slash ? (int)(slash + 1 - preload) : 0, preload);
	return library_is_ours(library, err, size);
}
