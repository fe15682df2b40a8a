/* sock_peer.c - who the other side is, and what was agreed upon with it. */
#include "sock.h"

#include "cert.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { CHAIN_MAX = 128 };

static bool
open_conn(const struct wrapsock_sock *s)
{
	if (s->state != SOCK_TLS && s->state != SOCK_BORROWED)
		return false;
	return s->core->conn_state(s->conn) > CONN_HANDSHAKING && s->core->conn_info(s->conn).version;
}

static int
need_open(struct wrapsock_sock *s, const char *what)
{
	if (open_conn(s))
		return 0;
	if (s->state != SOCK_BORROWED && sock_usable(s, what) < 0)
		return -1;
	return error_set(s, WRAPSOCK_E_STATE, ENOTCONN, "%s: the handshake is not done", what);
}

/* The peer's certificate i of a chain: 1, in memory of the core that has it; 0 = none; -1. */
static int
der_of(struct wrapsock_sock *s, enum engine_chain which, size_t i, uint8_t **der, size_t *len)
{
	int r = s->core->conn_peer_der(s->conn, which, i, der, len);

	return r < 0 ? error_nomem(s) : r;
}

struct wrapsock_cert *
wrapsock_getpeercert(struct wrapsock_sock *s)
{
	struct wrapsock_cert *cert;
	char err[256];
	uint8_t *der;
	size_t len;
	int error;

	SOCK_CALL(s);
	if (need_open(s, "getpeercert") < 0 || der_of(s, ENGINE_CHAIN_LEAF, 0, &der, &len) <= 0)
		return NULL;
	cert = cert_of_der(der, len, s->core->conn_info(s->conn).validated, &error, err, sizeof err);
	s->core->release(der);
	if (!cert)
		error_set(s, error == ENOMEM ? WRAPSOCK_E_NOMEM : WRAPSOCK_E_SSL, error, "getpeercert: %s", err);
	return cert;
}

int
wrapsock_getpeercert_der(struct wrapsock_sock *s, unsigned char **der, size_t *len)
{
	uint8_t *theirs;
	int r;

	SOCK_CALL(s);
	*der = NULL;
	*len = 0;
	if (need_open(s, "getpeercert") < 0)
		return -1;
	r = der_of(s, ENGINE_CHAIN_LEAF, 0, &theirs, len);
	if (r <= 0)
		return r;
	*der = malloc(*len);
	if (*der)
		memcpy(*der, theirs, *len);
	s->core->release(theirs);
	return *der ? 1 : error_nomem(s);
}

/* One block: the list, and behind it the bytes. */
static int
pack(struct wrapsock_sock *s, uint8_t **ders, const size_t *lens, int n, struct wrapsock_der **list)
{
	size_t size = (size_t)n * sizeof **list;
	unsigned char *at;

	for (int i = 0; i < n; i++)
		size += lens[i];
	*list = malloc(size);
	if (!*list)
		return error_nomem(s);
	at = (unsigned char *)(*list + n);
	for (int i = 0; i < n; i++) {
		memcpy(at, ders[i], lens[i]);
		(*list)[i] = (struct wrapsock_der){ at, lens[i] };
		at += lens[i];
	}
	return n;
}

static int
chain(struct wrapsock_sock *s, enum engine_chain which, struct wrapsock_der **list)
{
	uint8_t *ders[CHAIN_MAX];
	size_t lens[CHAIN_MAX];
	int n = 0, r = 0;

	while (n < CHAIN_MAX && (r = der_of(s, which, (size_t)n, &ders[n], &lens[n])) > 0)
		n++;
	if (r >= 0 && n)
		r = pack(s, ders, lens, n, list);
	for (int i = 0; i < n; i++)
		s->core->release(ders[i]);
	return r;
}

int
wrapsock_get_verified_chain(struct wrapsock_sock *s, struct wrapsock_der **list)
{
	SOCK_CALL(s);
	*list = NULL;
	return need_open(s, "get_verified_chain") < 0 ? -1 : chain(s, ENGINE_CHAIN_VERIFIED, list);
}

int
wrapsock_get_unverified_chain(struct wrapsock_sock *s, struct wrapsock_der **list)
{
	SOCK_CALL(s);
	*list = NULL;
	return need_open(s, "get_unverified_chain") < 0 ? -1 : chain(s, ENGINE_CHAIN_SENT, list);
}

int
wrapsock_cipher(const struct wrapsock_sock *s, const char **name, const char **protocol, int *secret_bits)
{
	struct engine_info info = { 0 };

	if (open_conn(s))
		info = s->core->conn_info(s->conn);
	if (name)
		*name = info.cipher;
	if (protocol)
		*protocol = info.suite_version;
	if (secret_bits)
		*secret_bits = info.secret_bits;
	return info.cipher != NULL;
}

const char *
wrapsock_version(const struct wrapsock_sock *s)
{
	return open_conn(s) ? s->core->conn_info(s->conn).version : NULL;
}

const char *
wrapsock_selected_alpn_protocol(const struct wrapsock_sock *s)
{
	return open_conn(s) ? s->core->conn_info(s->conn).alpn : NULL;
}

int
wrapsock_session_reused(const struct wrapsock_sock *s)
{
	return open_conn(s) && s->core->conn_info(s->conn).resumed;
}
