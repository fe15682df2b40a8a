/*
 * about.c - what the library is and can do: versions, features, places, random numbers.
 */
#include "engine.h"
#include "error.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void
wrapsock_free(void *p)
{
	free(p);
}

/* ---- versions and features ---- */

const char *
wrapsock_openssl_version(void)
{
	return engine_library_version();
}

unsigned long
wrapsock_openssl_version_number(void)
{
	return engine_library_number();
}

void
wrapsock_openssl_version_info(int v[5])
{
	unsigned long n = engine_library_number();

	v[0] = (int)(n >> 28 & 0xf);
	v[1] = (int)(n >> 20 & 0xff);
	v[2] = (int)(n >> 12 & 0xff);
	v[3] = (int)(n >> 4 & 0xff);
	v[4] = (int)(n & 0xf);
}

enum { ALWAYS = 1, NEVER = 0 };		/* else a version, for the engine to try */

static const struct {
	const char *name;
	int answer;
} features[] = {
	{ "TLS", ALWAYS }, { "SSLv2", NEVER }, { "SSLv3", 0x0300 }, { "TLSv1", 0x0301 }, { "TLSv1.1", 0x0302 }, { "TLSv1.2", 0x0303 },
	{ "TLSv1.3", 0x0304 },
	{ "SNI", ALWAYS }, { "ALPN", ALWAYS }, { "NPN", NEVER }, { "ECDH", ALWAYS }, { "PSK", NEVER }, { "EGD", NEVER },
	{ "NEVER_CHECK_COMMON_NAME", ALWAYS },
};

int
wrapsock_has(const char *feature)
{
	error_clear(NULL);
	for (size_t i = 0; feature && i < sizeof(features) / sizeof(features[0]); i++) {
		if (strcmp(feature, features[i].name) != 0)
			continue;
		return features[i].answer > ALWAYS ? engine_speaks(features[i].answer) : features[i].answer;
	}
	return error_set(NULL, WRAPSOCK_E_INVALID, EINVAL, "no feature has that name");
}

/* ---- places ---- */

/* What counts of a built-in path and the variable that outranks it, which a set-user-ID process ignores; NULL if it is not there. */
static const char *
present(const char *variable, const char *path)
{
	const char *set = secure_getenv(variable);
	int before = errno;

	if (set)
		path = set;
	if (access(path, F_OK) == 0)
		return path;
	errno = before;
	return NULL;
}

void
wrapsock_get_default_verify_paths(struct wrapsock_verify_paths *paths)
{
	struct engine_paths e;

	engine_default_paths(&e);
	paths->cafile = present(e.cafile_env, e.cafile);
	paths->capath = present(e.capath_env, e.capath);
	paths->openssl_cafile_env = e.cafile_env;
	paths->openssl_cafile = e.cafile;
	paths->openssl_capath_env = e.capath_env;
	paths->openssl_capath = e.capath;
}

/* ---- random numbers ---- */

int
wrapsock_rand_status(void)
{
	return engine_rand_status();
}

static int
generator_failed(void)
{
	if (!engine_alive())
		return error_set(NULL, WRAPSOCK_E_STATE, ELIBACC, "the process has shut OpenSSL down");
	return error_set(NULL, WRAPSOCK_E_SSL, EIO, "the random number generator failed");
}

int
wrapsock_rand_add(const void *bytes, size_t len, double entropy)
{
	error_clear(NULL);
	if (!bytes && len > 0)
		return error_set(NULL, WRAPSOCK_E_INVALID, EINVAL, "there are no bytes to mix in");
	if (!(entropy >= 0.0))	/* NaN, too */
		return error_set(NULL, WRAPSOCK_E_INVALID, EINVAL, "entropy is a number of bytes, 0.0 or more");
	if (len == 0 || engine_rand_add(bytes, len))
		return 0;
	return generator_failed();
}

int
wrapsock_rand_egd(const char *path)
{
	error_clear(NULL);
	if (!path)
		return error_set(NULL, WRAPSOCK_E_INVALID, EINVAL, "there is no path of an EGD socket");
	return error_set(NULL, WRAPSOCK_E_UNSUPPORTED, EOPNOTSUPP, "RAND_egd: %s is built without EGD, and seeds itself", engine_library_version());
}

int
wrapsock_rand_bytes(void *buf, size_t len)
{
	error_clear(NULL);
	if (!buf && len > 0)
		return error_set(NULL, WRAPSOCK_E_INVALID, EINVAL, "there is no buffer to fill");
	if (len == 0 || engine_rand_bytes(buf, len))
		return 0;
	return generator_failed();
}
