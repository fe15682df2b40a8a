/*
 * session_fuzz.c - a file of sessions that somebody else has written: whatever is in it, a client shakes hands with its server,
 * resumed or not.
 *
 * The first byte chooses what is changed: the file as a whole, or the session in a slot that is otherwise in order, as a hostile
 * writer would leave it.
 */
#include "config.h"
#include "engine.h"
#include "session_file.h"

#include "certificate.h"

#include <fcntl.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <openssl/ssl.h>

enum { ROOM = 1 << 16 };

static char folder[] = "/tmp/session_fuzz.XXXXXX", file[80];
static struct config *server, *client;
static uint8_t key[SESSION_FILE_KEY];	/* of our server in the file */
static uint8_t good[SESSION_FILE_LONGEST];	/* and a session of its */
static size_t good_len;

static struct config *
sealed(enum config_role role, const char *const (*settings)[2], size_t n)
{
	struct config *c = config_new(role);
	char err[300], warn[300];

	need(c && config_set_place(c, "rule fuzz") == 0, "a config");
	for (size_t i = 0; i < n; i++)
		need(config_set(c, settings[i][0], settings[i][1], err, sizeof err) == 0, err);
	need(config_seal(c, err, sizeof err, warn, sizeof warn) == 0, err);
	return c;
}

struct end {
	struct engine *e;
	struct engine_wire wire;
	uint8_t in[ROOM];
	size_t in_len;
};

static void
carry(struct end *from, struct end *to)
{
	memmove(to->in, to->in + to->wire.in_off, to->wire.in_len - to->wire.in_off);
	to->wire.in_len -= to->wire.in_off;
	to->wire.in_off = 0;
	need(to->wire.in_len + from->wire.out_len <= ROOM, "room");
	if (from->wire.out_len)
		memcpy(to->in + to->wire.in_len, from->wire.out, from->wire.out_len);
	to->wire.in_len += from->wire.out_len;
	from->wire.out_len = 0;
}

static void
begin(struct end *end, const struct config *c)
{
	memset(end, 0, sizeof *end);
	end->wire.in = end->in;
	end->e = engine_new(c, NULL, &end->wire);
	need(end->e != NULL, "an engine");
}

/* Is it open? Then a byte goes each way, and tickets with the answer. */
static bool
talk(void)
{
	static struct end c, s;
	enum engine_result rc = ENGINE_WANT_READ, rs = ENGINE_WANT_READ;
	uint8_t byte = 'x';
	char warning[400];
	bool open;
	size_t n;

	begin(&c, client);
	begin(&s, server);
	engine_resume(c.e, "fuzz.test", ":1");
	for (int i = 0; i < 6 && (rc == ENGINE_WANT_READ || rs == ENGINE_WANT_READ); i++) {
		rc = engine_handshake(c.e);
		carry(&c, &s);
		rs = engine_handshake(s.e);
		carry(&s, &c);
	}
	open = rc == ENGINE_DONE && rs == ENGINE_DONE;
	if (open) {
		need(engine_send(c.e, &byte, 1) == ENGINE_DONE, "a word");
		carry(&c, &s);
		need(engine_recv(s.e, &byte, 1, &n) == ENGINE_DONE && engine_send(s.e, &byte, 1) == ENGINE_DONE, "an answer");
		carry(&s, &c);
		need(engine_recv(c.e, &byte, 1, &n) == ENGINE_DONE && byte == 'x', "the answer");
	}
	engine_warning(c.e, warning, sizeof warning);
	engine_free(c.e);
	engine_free(s.e);
	free(c.wire.out);
	free(s.wire.out);
	return open;
}

/* What our own first connection has left there: its key stands behind the mark. */
static void
learn(void)
{
	struct session_file_entry e;
	char err[300];
	uint8_t byte[8 + SESSION_FILE_KEY];
	int fd = open(file, O_RDONLY | O_CLOEXEC), group = 0;

	need(fd >= 0, file);
	while (pread(fd, byte, sizeof byte, (off_t)group * SESSION_FILE_GROUP * SESSION_FILE_SLOT) == sizeof byte && !byte[0])
		group++;
	need(byte[0] && close(fd) == 0, "a session");
	memcpy(key, byte + 8, sizeof key);
	need(session_file_take(folder, key, &e, err, sizeof err) == 1, err);
	memcpy(good, e.bytes, good_len = e.len);
	session_file_entry_free(&e);
}

static void
clean_up(void)
{
	char path[100];

	unlink(file);
	snprintf(path, sizeof path, "%s/wrapsock", folder);
	rmdir(path);
	rmdir(folder);
}

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	char path[100];
	const char *const of_server[][2] = { { "certfile", path } };
	const char *const of_client[][2] = {
		{ "insecure", "yes" }, { "cert_reqs", "none" }, { "check_hostname", "no" }, { "session_cache", "file" }
	};

	(void)argc;
	(void)argv;
	umask(077);
	need(mkdtemp(folder) && setenv("XDG_RUNTIME_DIR", folder, 1) == 0, folder);
	snprintf(path, sizeof path, "%s/certificate", folder);
	snprintf(file, sizeof file, "%s/wrapsock/sessions", folder);
	make_certificate(path);
	server = sealed(CONFIG_SERVER, of_server, 1);
	client = sealed(CONFIG_CLIENT, of_client, 4);
	need(unlink(path) == 0 && atexit(clean_up) == 0, path);
	need(talk(), "the first connection");
	learn();
	return 0;
}

static void
write_file(const uint8_t *data, size_t size)
{
	int fd = open(file, O_WRONLY | O_TRUNC | O_CLOEXEC);
	off_t at = (off_t)(key[0] % SESSION_FILE_GROUPS) * SESSION_FILE_GROUP * SESSION_FILE_SLOT;

	need(fd >= 0 && pwrite(fd, data, size, at) == (ssize_t)size && close(fd) == 0, file);
}

static void
write_session(const uint8_t *bytes, size_t len)
{
	struct session_file_entry e = { (void *)(uintptr_t)bytes, len, time(NULL) + 1000 };
	char err[300];

	need(truncate(file, 0) == 0 && session_file_put(folder, key, &e, err, sizeof err) >= 0, err);
}

/* Triples of place (two bytes) and value, in a session that is good otherwise. */
static void
write_changed(const uint8_t *data, size_t size)
{
	static uint8_t changed[SESSION_FILE_LONGEST];

	memcpy(changed, good, good_len);
	for (size_t i = 0; i + 3 <= size; i += 3)
		changed[(data[i] << 8 | data[i + 1]) % good_len] = data[i + 2];
	write_session(changed, good_len);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 2 || size > 2 * SESSION_FILE_SLOT)
		return 0;
	switch (data[0] % 3) {
	case 0:
		write_file(data + 1, size - 1);
		need(talk(), "no connection, with a file of anything");
		break;
	case 1:
		write_session(data + 1, size - 1);
		talk();
		break;
	default:
		write_changed(data + 1, size - 1);
		talk();
	}
	return 0;
}
