/*
 * hostile_peer.h - a peer from hell for the connection core: an engine of ours for the handshake; from then on it writes its records by
 * hand.  Whatever it does: a call comes back, a failure is for ever and is told in one line, nothing that was not sent is read, and
 * memory stays bounded.
 */
#ifndef TESTS_HOSTILE_PEER_H
#define TESTS_HOSTILE_PEER_H

#include "config.h"
#include "conn.h"
#include "engine.h"

#include "identity.h"

#include <sys/socket.h>

#include <netinet/in.h>

#include <fcntl.h>
#include <malloc.h>

#include <openssl/kdf.h>
#include <openssl/params.h>

#define BYTES(s) s, sizeof(s) - 1

enum { HANDSHAKE = 22, ALERT = 21, DATA = 23, CCS = 20, BUFFER = 1 << 18, MEMORY_MOST = 512 * 1024, RECORD_BIG = 16385 };

static unsigned warnings;
static char last_warning[2048];
static const char *patience = "30000";	/* handshake_timeout of the configs to be made */

static void UNUSED
keep_warning(enum conn_log level, const char *line)
{
	if (level > CONN_LOG_WARN)
		return;
	warnings++;
	snprintf(last_warning, sizeof last_warning, "%s", line);
}

static long UNUSED
memory(void)
{
	return (long)mallinfo2().uordblks;
}

/* ---- a certificate for both sides, settings ---- */

static UNUSED struct config *
make_config(enum config_role role, const char *version)
{
	struct config *c = config_new(role);
	char err[512] = "", warn[512];
	int r = config_set(c, "minimum_version", version, err, sizeof err) | config_set(c, "maximum_version", version, err, sizeof err)
		| config_set(c, "ciphersuites", "TLS_AES_128_GCM_SHA256", err, sizeof err)
		| config_set(c, "ciphers", "ECDHE-ECDSA-AES128-GCM-SHA256", err, sizeof err);

	if (role == CONFIG_SERVER)
		r |= config_set(c, "certfile", at("self.pem"), err, sizeof err) | config_set(c, "options", "OP_NO_TICKET", err, sizeof err);
	else
		r |= config_set(c, "ca_certs", at("self.pem"), err, sizeof err) | config_set(c, "insecure", "yes", err, sizeof err)
			| config_set(c, "check_hostname", "no", err, sizeof err);
	r |= config_set(c, "handshake_timeout", patience, err, sizeof err);
	config_set_place(c, "rule hell (test.conf:1)");
	must(r == 0 && config_seal(c, err, sizeof err, warn, sizeof warn) == 0, err);
	return c;
}

static const struct variant {
	const char *name, *version;
	enum config_role role;		/* ours */
} variants[] = {
	{ "client, TLS 1.3", "TLSv1.3", CONFIG_CLIENT },
	{ "server, TLS 1.3", "TLSv1.3", CONFIG_SERVER },
	{ "client, TLS 1.2", "TLSv1.2", CONFIG_CLIENT },
	{ "server, TLS 1.2", "TLSv1.2", CONFIG_SERVER },
};
enum { VARIANTS = sizeof variants / sizeof *variants };
static struct config *configs[VARIANTS][2];	/* ours, the peer's */

/* ---- we and the peer ---- */

struct pair {
	const struct variant *v;
	struct conn *c;
	int fd, far;
	struct engine *peer;
	struct engine_wire wire;
	uint8_t in[BUFFER];
	size_t said;			/* by the peer, so far */
	struct engine_records keys;
};

static struct pair pair;

static UNUSED struct pair *
open_pair(int variant)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(1), .sin_addr = { htonl(INADDR_LOOPBACK) } };
	struct pair *p = &pair;
	int fds[2];

	memset(p, 0, sizeof *p);
	must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0, "socketpair");
	p->v = &variants[variant];
	p->fd = fds[0];
	p->far = fds[1];
	p->c = conn_new(configs[variant][0], (struct sockaddr *)&to, sizeof to, true, NULL);
	p->wire.in = p->in;
	p->peer = engine_new(configs[variant][1], NULL, &p->wire);
	must(p->c && p->peer, "memory");
	warnings = 0;
	*last_warning = '\0';
	return p;
}

static void UNUSED
close_pair(struct pair *p)
{
	conn_close(p->c, p->fd, true);
	conn_free(p->c);
	engine_free(p->peer);
	free(p->wire.out);
	close(p->fd);
	if (p->far >= 0)
		close(p->far);
}

static void UNUSED
put(struct pair *p, const void *bytes, size_t n)
{
	ssize_t sent = send(p->far, bytes, n, MSG_NOSIGNAL);

	must(sent == (ssize_t)n || (sent < 0 && errno == EPIPE), "the peer's send");
}

static void UNUSED
listen_to_us(struct pair *p)
{
	ssize_t n;

	memmove(p->in, p->in + p->wire.in_off, p->wire.in_len - p->wire.in_off);
	p->wire.in_len -= p->wire.in_off;
	p->wire.in_off = 0;
	while ((n = recv(p->far, p->in + p->wire.in_len, BUFFER - p->wire.in_len, 0)) > 0)
		p->wire.in_len += (size_t)n;
}

/* One turn of the handshake, of the peer's bytes at most `most` in all; `chop` at a time. 0 = both are done, -EAGAIN, or our failure. */
static int UNUSED
turn(struct pair *p, size_t most, size_t chop)
{
	enum engine_result theirs = engine_handshake(p->peer);
	size_t n = p->wire.out_len, at = 0, piece;
	int r = 0;

	if (p->said + n > most)
		n = most - p->said;
	p->said += n;
	do {
		piece = chop && chop < n - at ? chop : n - at;
		put(p, p->wire.out + at, piece);
		at += piece;
		r = conn_handshake(p->c, p->fd, false);
	} while (at < n && (r == -EAGAIN || r == 0));
	p->wire.out_len = 0;
	listen_to_us(p);
	return r ? r : theirs == ENGINE_DONE ? 0 : -EAGAIN;
}

static int UNUSED
shake(struct pair *p, size_t most, size_t chop)
{
	int r = -EAGAIN;

	for (int i = 0; i < 12 && r == -EAGAIN && p->said < most; i++)
		r = turn(p, most, chop);
	return r;
}

static UNUSED struct pair *
open_shaken(int variant)
{
	struct pair *p = open_pair(variant);

	must(shake(p, SIZE_MAX, 0) == 0, "a handshake");
	must(engine_export_records(p->peer, &p->keys) == 0, "the peer's keys");
	return p;
}

static ssize_t UNUSED
receive(struct pair *p, void *buf, size_t len)
{
	struct iovec v = { buf, len };

	return conn_recv(p->c, p->fd, &v, 1, MSG_DONTWAIT);
}

/* As a program in an event loop reads: until there is no more. The failure, 0 = end of stream, -EAGAIN; *total: bytes of data. */
static ssize_t UNUSED
receive_all(struct pair *p, size_t *total)
{
	static char buf[65536];
	ssize_t n;

	while ((n = receive(p, buf, sizeof buf)) > 0)
		*total += (size_t)n;
	return n;
}

/* ---- records by hand: AES-128-GCM ---- */

static size_t UNUSED
seal(struct pair *p, int type, const void *body, size_t len, uint8_t *out)
{
	bool new = p->keys.version == 0x0304;
	size_t inner = len + new, size = inner + 16 + (new ? 0 : 8);
	uint8_t nonce[12], aad[13], *at = out + 5, number[8];
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	static uint8_t plain[20000];
	int n;

	memcpy(out, (uint8_t[]){ (uint8_t)(new ? DATA : type), 3, 3, (uint8_t)(size >> 8), (uint8_t)size }, 5);
	for (int i = 0; i < 8; i++)
		number[i] = (uint8_t)(p->keys.dir[1].sequence >> (56 - 8 * i));
	p->keys.dir[1].sequence++;
	memcpy(nonce, p->keys.dir[1].iv, new ? 12 : 4);
	for (int i = 0; i < 8; i++)
		nonce[4 + i] = new ? nonce[4 + i] ^ number[i] : number[i];
	if (!new) {
		memcpy(at, number, 8);
		at += 8;
	}
	memcpy(aad, number, 8);
	memcpy(aad + 8, (uint8_t[]){ (uint8_t)type, 3, 3, (uint8_t)(len >> 8), (uint8_t)len }, 5);
	memcpy(plain, body, len);
	plain[len] = (uint8_t)type;
	must(ctx && EVP_EncryptInit_ex(ctx, EVP_aes_128_gcm(), NULL, p->keys.dir[1].key, nonce), "AES");
	EVP_EncryptUpdate(ctx, NULL, &n, new ? out : aad, new ? 5 : 13);
	EVP_EncryptUpdate(ctx, at, &n, plain, (int)inner);
	EVP_EncryptFinal_ex(ctx, at + n, &n);
	EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_GET_TAG, 16, at + inner);
	EVP_CIPHER_CTX_free(ctx);
	return 5 + size;
}

static void UNUSED
say(struct pair *p, int type, const void *body, size_t len)
{
	static uint8_t record[20100];

	put(p, record, seal(p, type, body, len, record));
}

/* The peer's next keys, as RFC 8446 7.2 has them. */
static void UNUSED
next_keys(struct pair *p)
{
	EVP_KDF *kdf = EVP_KDF_fetch(NULL, "TLS13-KDF", NULL);
	EVP_KDF_CTX *ctx = EVP_KDF_CTX_new(kdf);
	static const struct { const char *label; size_t len; } labels[] = { { "traffic upd", 32 }, { "key", 16 }, { "iv", 12 } };
	uint8_t out[32];

	for (size_t i = 0; i < 3; i++) {
		OSSL_PARAM params[] = {
			OSSL_PARAM_construct_int("mode", &(int){ EVP_KDF_HKDF_MODE_EXPAND_ONLY }),
			OSSL_PARAM_construct_utf8_string("digest", (char[]){ "SHA256" }, 0),
			OSSL_PARAM_construct_octet_string("key", p->keys.dir[1].secret, 32),
			OSSL_PARAM_construct_octet_string("prefix", (char[]){ "tls13 " }, 6),
			OSSL_PARAM_construct_octet_string("label", (void *)(uintptr_t)labels[i].label, strlen(labels[i].label)),
			OSSL_PARAM_construct_end(),
		};

		must(EVP_KDF_derive(ctx, out, labels[i].len, params) > 0, "TLS13-KDF");
		memcpy(i == 0 ? p->keys.dir[1].secret : i == 1 ? p->keys.dir[1].key : p->keys.dir[1].iv, out, labels[i].len);
	}
	p->keys.dir[1].sequence = 0;
	EVP_KDF_CTX_free(ctx);
	EVP_KDF_free(kdf);
}

/* ---- what must hold of a connection that has failed ---- */

static void UNUSED
check_dead(const char *group, struct pair *p, ssize_t r, int error)
{
	char detail[2200], byte[16];

	snprintf(detail, sizeof detail, "%zd, %u warnings: %s", r, warnings, last_warning);
	result(group, p->v->name, r == -error && (conn_error(p->c) == error || error == ECONNRESET) && receive(p, byte, sizeof byte) == -error, detail);
	result(group, p->v->name, error == ECONNRESET ? warnings <= 1 : warnings == 1 && strstr(last_warning, "rule hell"), detail);
}

/* ---- all ---- */

static void
hostile_begin(void)
{
	static const struct conn_host host = { .poll = poll, .log = keep_warning };

	conn_host(&host);
	make_self(NULL);
	for (int v = 0; v < VARIANTS; v++) {
		configs[v][0] = make_config(variants[v].role, variants[v].version);
		configs[v][1] = make_config(variants[v].role == CONFIG_CLIENT ? CONFIG_SERVER : CONFIG_CLIENT, variants[v].version);
	}
}

static int
hostile_end(void)
{
	for (int v = 0; v < VARIANTS; v++) {
		config_free(configs[v][0]);
		config_free(configs[v][1]);
	}
	remove_dir();
	return summary();
}

#endif
