/* errmap.c - causes and errno values, once. wrapsock.7 prints errmap_table. */
#include "errmap.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

const struct errmap_row errmap_table[] = {
	{ "the peer's certificate is not trusted, is for another name, or is missing", EKEYREJECTED },
	{ "the peer's certificate is expired or not yet valid", EKEYEXPIRED },
	{ "the peer's certificate is revoked", EKEYREVOKED },
	{ "the TLS protocol failed: no common version or cipher, an alert, bytes that are no TLS", EPROTO },
	{ "the handshake was not finished within handshake_timeout", ETIMEDOUT },
	{ "the stream was cut without close_notify", ECONNRESET },
	{ "policy refuses the connection, cannot know the name, or could not be read", EACCES },
	{ "libwrapsock.so cannot be loaded, or is of another version", ELIBACC },
	{ "two processes use the same direction, or a retried write changed its bytes", EIO },
	{ "a blocking connect of a single-threaded process to its own listener", EDEADLK },
	{ "a descriptor beyond the table", EMFILE },
	{ "not enough memory", ENOMEM },
	{ NULL, 0 },
};

int
errmap_engine(enum engine_result result, enum engine_verify_kind kind)
{
	switch (result) {
	case ENGINE_DONE:
	case ENGINE_WANT_READ:
	case ENGINE_CLOSED:
		return 0;
	case ENGINE_VERIFY:
		return kind == ENGINE_VERIFY_EXPIRED ? EKEYEXPIRED : kind == ENGINE_VERIFY_REVOKED ? EKEYREVOKED : EKEYREJECTED;
	case ENGINE_PROTOCOL:
		return EPROTO;
	case ENGINE_NOMEM:
		return ENOMEM;
	case ENGINE_DEAD:
		return ELIBACC;
	}
	return EPROTO;
}

const char *
errmap_name(int error)
{
	const char *name = strerrorname_np(error);

	return name ? name : "an unknown error";
}
