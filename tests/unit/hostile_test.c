/*
 * hostile_test.c - peers from hell: the connection core against bytes that no honest peer sends, in both roles and versions.
 *
 * The peer is an engine of ours for the handshake; from then on it writes its records by hand.  Whatever it does: a call comes back, a
 * failure is for ever and is told in one line, nothing that was not sent is read, and memory stays bounded.
 */
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

enum { HANDSHAKE = 22, ALERT = 21, DATA = 23, CCS = 20, BUFFER = 1 << 18, MEMORY_MOST = 512 * 1024, RECORD_BIG = 16385 };

static unsigned warnings;
static char last_warning[2048];
static long flood_most;			/* bytes that the worst flood took */
static const char *patience = "30000";	/* handshake_timeout of the configs to be made */

static void
keep_warning(enum conn_log level, const char *line)
{
	if (level > CONN_LOG_WARN)
		return;
	warnings++;
	snprintf(last_warning, sizeof last_warning, "%s", line);
}

static long
memory(void)
{
	return (long)mallinfo2().uordblks;
}

/* ---- a certificate for both sides, settings ---- */

static struct config *
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

static struct pair *
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

static void
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

static void
put(struct pair *p, const void *bytes, size_t n)
{
	ssize_t sent = send(p->far, bytes, n, MSG_NOSIGNAL);

	must(sent == (ssize_t)n || (sent < 0 && errno == EPIPE), "the peer's send");
}

static void
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
static int
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

static int
shake(struct pair *p, size_t most, size_t chop)
{
	int r = -EAGAIN;

	for (int i = 0; i < 12 && r == -EAGAIN && p->said < most; i++)
		r = turn(p, most, chop);
	return r;
}

static struct pair *
open_shaken(int variant)
{
	struct pair *p = open_pair(variant);

	must(shake(p, SIZE_MAX, 0) == 0, "a handshake");
	must(engine_export_records(p->peer, &p->keys) == 0, "the peer's keys");
	return p;
}

static ssize_t
receive(struct pair *p, void *buf, size_t len)
{
	struct iovec v = { buf, len };

	return conn_recv(p->c, p->fd, &v, 1, MSG_DONTWAIT);
}

/* As a program in an event loop reads: until there is no more. The failure, 0 = end of stream, -EAGAIN; *total: bytes of data. */
static ssize_t
receive_all(struct pair *p, size_t *total)
{
	static char buf[65536];
	ssize_t n;

	while ((n = receive(p, buf, sizeof buf)) > 0)
		*total += (size_t)n;
	return n;
}

/* ---- records by hand: AES-128-GCM ---- */

static size_t
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

static void
say(struct pair *p, int type, const void *body, size_t len)
{
	static uint8_t record[20100];

	put(p, record, seal(p, type, body, len, record));
}

/* The peer's next keys, as RFC 8446 7.2 has them. */
static void
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

static void
check_dead(const char *group, struct pair *p, ssize_t r, int error)
{
	char detail[2200], byte[16];

	snprintf(detail, sizeof detail, "%zd, %u warnings: %s", r, warnings, last_warning);
	result(group, p->v->name, r == -error && (conn_error(p->c) == error || error == ECONNRESET) && receive(p, byte, sizeof byte) == -error, detail);
	result(group, p->v->name, error == ECONNRESET ? warnings <= 1 : warnings == 1 && strstr(last_warning, "rule hell"), detail);
}

/* ---- handshakes ---- */

static void
test_slow_peers(int v)
{
	long before = memory();
	size_t total = 0;
	static char text[20000];
	struct pair *p = open_pair(v);
	int r = shake(p, SIZE_MAX, 1);

	result("one byte at a time", p->v->name, r == 0 && engine_export_records(p->peer, &p->keys) == 0, last_warning);
	for (size_t len = 1; len < 16384; len *= 5) {
		static uint8_t record[20100];
		size_t n = seal(p, DATA, text, len, record);

		total = 0;
		for (size_t i = 0; i < n; i++) {
			put(p, record + i, 1);
			if (i + 1 < n && receive_all(p, &total) != -EAGAIN)
				break;
		}
		result("data, one byte at a time", p->v->name, receive_all(p, &total) == -EAGAIN && total == len, last_warning);
	}
	result("memory of it", p->v->name, memory() - before < MEMORY_MOST, "grows");
	close_pair(p);
}

/* The peer's flights, cut at bytes near the edges of records and at samples between. */
static void
test_cut_handshakes(int v)
{
	struct pair *p = open_pair(v);
	size_t whole;
	int r;

	must(shake(p, SIZE_MAX, 0) == 0, "a handshake");
	whole = p->said;
	close_pair(p);
	for (size_t at = 1; at < whole; at += at < 16 || whole - at < 8 ? 1 : 37) {
		p = open_pair(v);
		r = shake(p, at, 0);
		shutdown(p->far, SHUT_WR);
		for (int i = 0; i < 3 && (r == -EAGAIN || r == 0); i++) {
			char byte;

			r = (int)(r == -EAGAIN ? conn_handshake(p->c, p->fd, false) : receive(p, &byte, 1));
		}
		check_dead("cut handshake", p, r, ECONNRESET);
		close_pair(p);
	}
}

static const struct bytes_case {
	const char *name;
	const char *bytes;
	size_t len;
	int error;		/* before the handshake, ... */
	int later;		/* ... and in clear into an open connection */
} bytes_cases[] = {
#define BYTES(s) s, sizeof(s) - 1
	{ "HTTP", BYTES("GET / HTTP/1.0\r\n\r\n"), EPROTO, EPROTO },
	{ "an HTTP answer", BYTES("HTTP/1.0 400 Bad Request\r\n\r\n"), EPROTO, EPROTO },
	{ "zeros", BYTES("\0\0\0\0\0\0\0\0\0\0\0\0"), EPROTO, EPROTO },
	{ "ones", BYTES("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"), EPROTO, EPROTO },
	{ "application data", BYTES("\x17\x03\x03\0\x05hello"), EPROTO, EPROTO },
	{ "empty application data", BYTES("\x17\x03\x03\0\0\x17\x03\x03\0\0"), EPROTO, EPROTO },
	{ "an empty handshake record", BYTES("\x16\x03\x03\0\0\x16\x03\x03\0\0"), EPROTO, EPROTO },
	{ "an empty alert", BYTES("\x15\x03\x03\0\0"), EPROTO, EPROTO },
	{ "half an alert", BYTES("\x15\x03\x03\0\x01\x02"), EPROTO, EPROTO },
	{ "a fatal alert", BYTES("\x15\x03\x03\0\x02\x02\x28"), EPROTO, EPROTO },
	{ "an unknown fatal alert", BYTES("\x15\x03\x03\0\x02\x02\xc8"), EPROTO, EPROTO },
	{ "an alert of no level", BYTES("\x15\x03\x03\0\x02\x07\x28"), EPROTO, EPROTO },
	{ "close_notify", BYTES("\x15\x03\x03\0\x02\x01\0"), EPROTO, EPROTO },
	{ "an unknown type", BYTES("\x30\x03\x03\0\x02\x01\0"), EPROTO, EPROTO },
	{ "a record of 16 KiB and more", BYTES("\x16\x03\x03\x48\x01\x01\0\x40\0"), EPROTO, EPROTO },
	{ "a record of 64 KiB", BYTES("\x17\x03\x03\xff\xff\x01\0\x40\0"), EPROTO, EPROTO },
	{ "an unknown version", BYTES("\x16\x09\x09\0\x05\x01\0\0\x01\0"), EPROTO, EPROTO },
	{ "a message of 16 MiB", BYTES("\x16\x03\x03\0\x05\x02\xff\xff\xff\0"), EPROTO, EPROTO },
	{ "a message that does not come yet", BYTES("\x16\x03\x03\0\x04\x14\0\0\0"), EPROTO, EPROTO },
	{ "two ChangeCipherSpecs", BYTES("\x14\x03\x03\0\x01\x01\x14\x03\x03\0\x01\x01"), EPROTO, EPROTO },
};

/* With nothing more to come: what is refused must be refused by what has arrived, or at the latest when the peer ends. */
static void
test_bytes(int v)
{
	for (size_t i = 0; i < sizeof bytes_cases / sizeof *bytes_cases; i++) {
		const struct bytes_case *k = &bytes_cases[i];
		char group[80], byte;
		struct pair *p = open_pair(v);
		ssize_t r;

		snprintf(group, sizeof group, "%s for a handshake", k->name);
		conn_handshake(p->c, p->fd, false);
		put(p, k->bytes, k->len);
		r = conn_handshake(p->c, p->fd, false);
		shutdown(p->far, SHUT_WR);
		if (r == -EAGAIN)
			r = conn_handshake(p->c, p->fd, false);
		check_dead(group, p, r, r == -ECONNRESET ? ECONNRESET : k->error);
		close_pair(p);

		snprintf(group, sizeof group, "%s into an open connection", k->name);
		p = open_shaken(v);
		put(p, k->bytes, k->len);
		r = receive(p, &byte, 1);
		shutdown(p->far, SHUT_WR);
		if (r == -EAGAIN)
			r = receive(p, &byte, 1);
		check_dead(group, p, r, r == -ECONNRESET ? ECONNRESET : k->later);
		close_pair(p);
	}
}

/*
 * What the peer, or somebody on the way, may put between the records of a handshake, where an answer in clear would be taken for
 * the peer's.
 */
static const struct bytes_case injected[] = {
	{ "a fatal alert", BYTES("\x15\x03\x03\0\x02\x02\x28"), EPROTO, 0 },
	{ "a fatal alert of no kind", BYTES("\x15\x03\x03\0\x02\x02\xfe"), EPROTO, 0 },
	{ "a warning", BYTES("\x15\x03\x03\0\x02\x01\x5a"), EPROTO, 0 },
	{ "close_notify", BYTES("\x15\x03\x03\0\x02\x01\0"), EPROTO, 0 },
	{ "data in clear", BYTES("\x17\x03\x03\0\x05hello"), EPROTO, 0 },
	{ "a command", BYTES("RSET\r\nMAIL FROM:<a@b>\r\n"), EPROTO, 0 },
	{ "an answer", BYTES("220 2.0.0 ready\r\n250 OK\r\n"), EPROTO, 0 },
};

/*
 * At every place of the peer's handshake that is `step` bytes behind another, and behind its end. Nothing of it is data; there is
 * no success.
 */
static void
test_injected(int v, const struct bytes_case *k, size_t step)
{
	struct pair *p = open_pair(v);
	size_t whole, places = 0;
	char group[80], byte;

	must(shake(p, SIZE_MAX, 0) == 0, "a handshake");
	whole = p->said;
	close_pair(p);
	snprintf(group, sizeof group, "%s between", k->name);
	for (size_t at = 0; at <= whole; at += at + step < whole || at == whole ? step : whole - at) {
		ssize_t r;

		p = open_pair(v);
		conn_handshake(p->c, p->fd, false);
		r = at ? shake(p, at, 0) : -EAGAIN;
		put(p, k->bytes, k->len);
		shutdown(p->far, SHUT_WR);
		for (int i = 0; i < 4 && (r == -EAGAIN || r == 0); i++)
			r = conn_state(p->c) < CONN_OPEN ? conn_handshake(p->c, p->fd, false) : receive(p, &byte, 1);
		if (r >= 0)
			result(group, p->v->name, false, r ? "it is read" : "it ends well");
		else
			check_dead(group, p, r, r == -ECONNRESET || r == -EKEYREJECTED ? (int)-r : k->error);	/* a certificate with that inside */
		close_pair(p);
		places++;
	}
	result(group, variants[v].name, places > whole / step, "not everywhere");
}

static int64_t
pause_until(int64_t then)
{
	while (now_ms() < then)
		poll(NULL, 0, (int)(then - now_ms()));
	return then;
}

/* A byte a millisecond keeps no handshake alive for longer than it may take. */
static void
test_trickle(int v)
{
	struct config *usual = configs[v][0];
	int64_t began, now;
	struct pair *p;
	int r = -EAGAIN;

	patience = "150";
	configs[v][0] = make_config(variants[v].role, variants[v].version);
	patience = "30000";
	p = open_pair(v);
	began = now = now_ms();
	engine_handshake(p->peer);
	conn_handshake(p->c, p->fd, false);
	if (!p->wire.out_len) {			/* the peer is a server, and has an answer */
		listen_to_us(p);
		engine_handshake(p->peer);
	}
	for (size_t i = 0; r == -EAGAIN && now < began + 5000; i++) {		/* to the last but one: it could go on so */
		if (i + 1 < p->wire.out_len)
			put(p, p->wire.out + i, 1);
		r = conn_handshake(p->c, p->fd, false);
		now = pause_until(now + 1);
	}
	check_dead("a byte a millisecond", p, r, ETIMEDOUT);
	now = now_ms();
	result("a byte a millisecond", p->v->name, now - began >= 150 && now - began < 2000, "it is not handshake_timeout that ends it");
	close_pair(p);
	config_free(configs[v][0]);
	configs[v][0] = usual;
}

/* A peer that hears our end and never says its own, nor closes: we need not wait for it. */
static void
test_never_closing(int v)
{
	struct pair *p = open_shaken(v);
	int64_t began = now_ms();
	char byte;

	conn_set_blocking(p->c, true);
	result("a peer that never closes", p->v->name, conn_shutdown(p->c, p->fd, SHUT_WR) == 0 && receive(p, &byte, 1) == -EAGAIN, last_warning);
	close_pair(p);
	result("a peer that never closes", p->v->name, now_ms() - began < 1000, "we waited for it");
}

/* ---- an open connection ---- */

static const struct flood {
	const char *name;
	int type;
	const char *body;
	size_t len;
	bool update;		/* of the peer's keys, behind each: TLS 1.3 */
	bool reading;		/* the peer reads what we answer */
	const char *version;	/* the only one; NULL = both */
	int role;		/* the only one, -1 = both */
} floods[] = {
	{ "empty records", DATA, BYTES(""), false, true, NULL, -1 },
	{ "KeyUpdates", HANDSHAKE, BYTES("\x18\0\0\x01\0"), true, true, "TLSv1.3", -1 },
	{ "KeyUpdates that ask", HANDSHAKE, BYTES("\x18\0\0\x01\x01"), true, true, "TLSv1.3", -1 },
	{ "KeyUpdates that ask, answers unread", HANDSHAKE, BYTES("\x18\0\0\x01\x01"), true, false, "TLSv1.3", -1 },
	{ "tickets", HANDSHAKE, BYTES("\x04\0\0\x12\0\0\0\x10\0\0\0\x01\x01\x01\0\x04""abcd\0\0"), false, true, "TLSv1.3", CONFIG_CLIENT },
	{ "HelloRequests", HANDSHAKE, BYTES("\0\0\0\0"), false, true, "TLSv1.2", CONFIG_CLIENT },
	{ "HelloRequests, answers unread", HANDSHAKE, BYTES("\0\0\0\0"), false, false, "TLSv1.2", CONFIG_CLIENT },
	{ "ClientHellos", HANDSHAKE, BYTES("\x01\0\0\x04\x03\x03\0\0"), false, true, "TLSv1.2", CONFIG_SERVER },
	{ "ClientHellos, answers unread", HANDSHAKE, BYTES("\x01\0\0\x04\x03\x03\0\0"), false, false, "TLSv1.2", CONFIG_SERVER },
	{ "warnings", ALERT, BYTES("\x01\x5a"), false, true, NULL, -1 },
};

static void
test_flood(int v, const struct flood *f)
{
	struct pair *p;
	long before, most = 0;
	size_t total = 0;
	ssize_t r = -EAGAIN;
	int i;

	if ((f->version && strcmp(f->version, variants[v].version) != 0) || (f->role >= 0 && (int)variants[v].role != f->role))
		return;
	p = open_shaken(v);
	before = memory();
	for (i = 0; i < 5000 && r == -EAGAIN; i++) {
		say(p, f->type, f->body, f->len);
		if (f->update)
			next_keys(p);
		if (i % 50 == 49)
			r = receive_all(p, &total);
		if (f->reading)
			listen_to_us(p), p->wire.in_len = 0;
		most = memory() > before + most ? memory() - before : most;
	}
	check_dead(f->name, p, r, EPROTO);
	result(f->name, p->v->name, i < 500 && total == 0 && most < MEMORY_MOST, "it went on for too long, or memory grew");
	flood_most = most > flood_most ? most : flood_most;
	close_pair(p);
}

/* The same with a byte of data between is an honest peer's: it may go on for ever, in bounded memory. */
static void
test_updates_with_data(int v, bool asking, bool reading)
{
	size_t total = 0, said = 0;
	long before;
	struct pair *p;
	ssize_t r = -EAGAIN;
	char detail[400];

	if (strcmp(variants[v].version, "TLSv1.3") != 0)
		return;
	p = open_shaken(v);
	setsockopt(p->fd, SOL_SOCKET, SO_SNDBUF, &(int){ 4608 }, sizeof(int));
	before = memory();
	for (int i = 0; i < 5000 && r == -EAGAIN; i++) {
		say(p, HANDSHAKE, asking ? "\x18\0\0\x01\x01" : "\x18\0\0\x01\0", 5);
		next_keys(p);
		say(p, DATA, "x", 1);
		said++;
		r = receive_all(p, &total);
		if (reading)
			listen_to_us(p), p->wire.in_len = 0;
	}
	snprintf(detail, sizeof detail, "%zd, %zu of %zu, %ld bytes more: %.200s", r, total, said, memory() - before, last_warning);
	/* A client answers each; a server once, before its next data: it may go on. */
	if (asking && !reading && p->v->role == CONFIG_CLIENT)
		result("updates that ask, with data, nobody reads", p->v->name, r == -EPROTO && memory() - before < 65536, detail);
	else
		result("updates with data", p->v->name, r == -EAGAIN && total == said && memory() - before < 65536, detail);
	close_pair(p);
}

static const struct record_case {
	const char *name;
	int type;
	const char *body;
	size_t len;
	const char *version;
	ssize_t result;		/* 1 = it is passed over */
	int role;		/* the only one; 0 = both, else 1 + */
} record_cases[] = {
	{ "a HelloRequest", HANDSHAKE, BYTES("\0\0\0\0"), "TLSv1.2", 1, 1 + CONFIG_CLIENT },
	{ "a ClientHello for renegotiation", HANDSHAKE, BYTES("\x01\0\0\x04\x03\x03\0\0"), "TLSv1.2", 1, 1 + CONFIG_SERVER },
	{ "an empty record", DATA, BYTES(""), NULL, 1, 0 },
	{ "a warning of no consequence", ALERT, BYTES("\x01\x5a"), NULL, 1, 0 },
	{ "close_notify", ALERT, BYTES("\x01\0"), NULL, 0, 0 },
	{ "a fatal alert", ALERT, BYTES("\x02\x28"), NULL, -EPROTO, 0 },
	{ "an alert of three bytes", ALERT, BYTES("\x02\x28\0"), NULL, -EPROTO, 0 },
	{ "half an alert", ALERT, BYTES("\x02"), NULL, -EPROTO, 0 },
	{ "an empty alert", ALERT, BYTES(""), "TLSv1.3", -EPROTO, 0 },
	{ "an empty handshake record", HANDSHAKE, BYTES(""), "TLSv1.3", -EPROTO, 0 },
	{ "an unknown record", 99, BYTES("x"), NULL, -EPROTO, 0 },
	{ "a record without a type", 0, BYTES(""), "TLSv1.3", -EPROTO, 0 },
	{ "ChangeCipherSpec", CCS, BYTES("\x01"), NULL, -EPROTO, 0 },
	{ "a ClientHello", HANDSHAKE, BYTES("\x01\0\0\x04\x03\x03\0\0"), "TLSv1.3", -EPROTO, 0 },
	{ "a Finished", HANDSHAKE, BYTES("\x14\0\0\x04\0\0\0\0"), NULL, -EPROTO, 0 },
	{ "a certificate request", HANDSHAKE, BYTES("\x0d\0\0\x03\0\0\0"), "TLSv1.3", -EPROTO, 0 },
	{ "a KeyUpdate of an unknown kind", HANDSHAKE, BYTES("\x18\0\0\x01\x02"), "TLSv1.3", -EPROTO, 0 },
	{ "a KeyUpdate that is too long", HANDSHAKE, BYTES("\x18\0\0\x02\0\0"), "TLSv1.3", -EPROTO, 0 },
	{ "data behind a KeyUpdate in its record", HANDSHAKE, BYTES("\x18\0\0\x01\0\x18\0\0\x01\0"), "TLSv1.3", -EPROTO, 0 },
};

static void
test_records(int v)
{
	static char big[RECORD_BIG];
	size_t total = 0;
	struct pair *p;

	for (size_t i = 0; i < sizeof record_cases / sizeof *record_cases; i++) {
		const struct record_case *k = &record_cases[i];
		char byte, detail[2200];
		ssize_t r;

		if ((k->version && strcmp(k->version, variants[v].version) != 0) || (k->role && k->role != 1 + (int)variants[v].role))
			continue;
		p = open_shaken(v);
		say(p, DATA, "a", 1);
		say(p, k->type, k->body, k->len);
		say(p, DATA, "b", 1);
		result(k->name, p->v->name, receive(p, &byte, 1) == 1 && byte == 'a', "data before it is lost");
		r = receive(p, &byte, 1);
		snprintf(detail, sizeof detail, "%zd: %s", r, last_warning);
		result(k->name, p->v->name, r == k->result && (r == 1 ? byte == 'b' : receive(p, &byte, 1) == r), detail);
		close_pair(p);
	}
	p = open_shaken(v);
	say(p, DATA, big, sizeof big);
	check_dead("a record of 16385 bytes of data", p, receive_all(p, &total), EPROTO);
	close_pair(p);
}

/* A data record cut at every byte: nothing of it is given out, and the end is no clean one. */
static void
test_cut_records(int v)
{
	uint8_t record[200];

	for (size_t at = 0; at < 5 + 24 + 10; at++) {
		struct pair *p = open_shaken(v);
		size_t n = seal(p, DATA, "0123456789", 10, record), total = 0;
		ssize_t r;

		if (at < n) {
			put(p, record, at);
			shutdown(p->far, SHUT_WR);
			r = receive_all(p, &total);
			check_dead("cut record", p, r == -EAGAIN ? receive_all(p, &total) : r, ECONNRESET);
			result("cut record", p->v->name, total == 0, "data of half a record");
		}
		close_pair(p);
	}
}

/* Any bit of a record that is turned. */
static void
test_damaged_records(int v)
{
	uint8_t record[200];

	for (size_t at = 5; at < 5 + 27; at++) {
		struct pair *p = open_shaken(v);
		size_t n = seal(p, DATA, "0123456789", 10, record), total = 0;

		record[at] ^= (uint8_t)(1 << at % 8);
		put(p, record, n);
		check_dead("damaged record", p, receive_all(p, &total), EPROTO);
		result("damaged record", p->v->name, total == 0, "data of a damaged record");
		close_pair(p);
	}
}

int
main(void)
{
	static const struct conn_host host = { .poll = poll, .log = keep_warning };

	conn_host(&host);
	make_self(NULL);
	for (int v = 0; v < VARIANTS; v++) {
		configs[v][0] = make_config(variants[v].role, variants[v].version);
		configs[v][1] = make_config(variants[v].role == CONFIG_CLIENT ? CONFIG_SERVER : CONFIG_CLIENT, variants[v].version);
	}
	for (int v = 0; v < VARIANTS; v++) {
		test_slow_peers(v);
		test_trickle(v);
		test_never_closing(v);
		for (size_t i = 0; i < COUNT(injected); i++)
			test_injected(v, &injected[i], 29);
		test_cut_handshakes(v);
		test_bytes(v);
		for (size_t i = 0; i < sizeof floods / sizeof *floods; i++)
			test_flood(v, &floods[i]);
		test_updates_with_data(v, false, false);
		test_updates_with_data(v, true, true);
		test_updates_with_data(v, true, false);
		test_records(v);
		test_cut_records(v);
		test_damaged_records(v);
	}
	for (int v = 0; v < VARIANTS; v++) {
		config_free(configs[v][0]);
		config_free(configs[v][1]);
	}
	remove_dir();
	printf("the worst flood took %ld bytes\n", flood_most);
	return summary();
}
