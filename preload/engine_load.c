/*
 * engine_load.c - libwrapsock.so, loaded at the first wrapped socket from our own folder and nowhere else.
 *
 * DEEPBIND because programs that export an OpenSSL of their own would capture ours; the sanitizers refuse it, so their builds go without.
 */
#include "decide.h"
#include "real.h"

#include "log.h"

#include <dlfcn.h>
#include <libgen.h>
#include <limits.h>
#include <pthread.h>
#include <string.h>

#ifdef WRAPSOCK_NO_DEEPBIND
#define LOAD_FLAGS (RTLD_NOW | RTLD_LOCAL)
#else
#define LOAD_FLAGS (RTLD_NOW | RTLD_LOCAL | RTLD_DEEPBIND)
#endif

const struct core_verbs *core;

static pthread_once_t once = PTHREAD_ONCE_INIT;

static int
host_poll(struct pollfd *fds, nfds_t n, int timeout)
{
	return real.poll(fds, n, timeout);
}

static void
host_log(enum conn_log level, const char *line)
{
	static const enum log_level levels[] = { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

	log_line(levels[level], "%s", line);
}

static const struct conn_host host = { .poll = host_poll, .log = host_log, .holds = fdtab_holds };

static void
load(void)
{
	char path[PATH_MAX];
	const struct core_verbs *verbs;
	Dl_info self;
	void *lib;
	char *slash;

	if (!dladdr((const void *)engine_verbs, &self) || strlen(self.dli_fname) >= sizeof path - 32) {
		log_line(LOG_LEVEL_ERROR, "libwrapsock.so: our own folder cannot be found; wrapped sockets fail with ELIBACC");
		return;
	}
	strcpy(path, self.dli_fname);
	slash = strrchr(path, '/');
	strcpy(slash ? slash + 1 : path, "libwrapsock.so");
	lib = dlopen(path, LOAD_FLAGS);
	if (!lib) {
		log_line(LOG_LEVEL_ERROR, "%s; wrapped sockets fail with ELIBACC", dlerror());
		return;
	}
	verbs = dlsym(lib, CORE_SYMBOL);
	if (!verbs || verbs->abi != CORE_ABI || verbs->size != sizeof *verbs) {
		log_line(LOG_LEVEL_ERROR, "%s is of another version than libwrapsock-preload.so; wrapped sockets fail with ELIBACC", path);
		return;
	}
	verbs->host(&host);
	core = verbs;
}

const struct core_verbs *
engine_verbs(void)
{
	int saved = errno;

	pthread_once(&once, load);
	errno = saved;
	return core && core->alive() ? core : NULL;
}
