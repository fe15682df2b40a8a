/* stamp.c - how files looked when they were last asked about. */
#include "stamp.h"

#include <sys/stat.h>

#include <errno.h>
#include <stddef.h>
#include <time.h>

#define SECOND INT64_C(1000000000)
#define TICK (SECOND / 50)		/* the clock of file systems is coarse: up to 10 ms */

static void
mix(struct stamp *s, uint64_t value)
{
	s->sum = (s->sum ^ value) * UINT64_C(1099511628211);
	s->sum ^= s->sum >> 29;
}

static int64_t
nanoseconds(const struct timespec *t)
{
	return t->tv_sec * SECOND + t->tv_nsec;
}

/* The time of change, not of modification: a file that was renamed over another one, or whose mode was mended, has a new one. */
void
stamp_add(struct stamp *s, const char *path)
{
	struct timespec now;
	struct stat st;
	int64_t age;

	if (stat(path, &st) < 0) {
		if (errno != ENOENT && errno != ENOTDIR)
			s->hidden = true;
		else if (!s->missing)
			s->missing = path;
		return;
	}
	mix(s, (uint64_t)st.st_dev);
	mix(s, (uint64_t)st.st_ino);
	mix(s, (uint64_t)st.st_size);
	mix(s, (uint64_t)nanoseconds(&st.st_mtim));
	mix(s, (uint64_t)nanoseconds(&st.st_ctim));
	s->sum += !s->sum;
	clock_gettime(CLOCK_REALTIME, &now);
	age = nanoseconds(&now) - nanoseconds(&st.st_ctim);
	if (age >= 0 && age < SECOND)	/* of a time to come nothing follows: the clock was set */
		s->busy = true;
	if (age >= 0 && age < TICK)
		s->fresh = true;
}
