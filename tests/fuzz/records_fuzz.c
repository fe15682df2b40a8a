/*
 * records_fuzz.c - a peer's records into the record engine: bytes as they are, and content sealed with the right keys, which a peer
 * can choose, too.
 *
 * The first byte chooses version, suite and which of both; the content is cut into records by length bytes.  Whatever comes, no
 * more plaintext leaves than ciphertext came, a failure is for ever, and after anything but a failure data still goes out and is
 * opened by the twin.
 */
#include "records_impl.h"

#include "target.h"

#include <string.h>

#include <openssl/ssl.h>

static struct engine_records
state_for(uint8_t how)
{
	struct engine_records s = {.version = how & 1 ? TLS1_3_VERSION : TLS1_2_VERSION, .aead = (enum engine_aead)((how >> 1 & 3) % 3),
				   .tag_len = 16};

	for (int d = 0; d < 2; d++) {
		memset(s.dir[d].secret, how, 32);
		memset(s.dir[d].key, 1, 32);
		s.dir[d].secret_len = 32;
		s.dir[d].key_len = s.aead == ENGINE_CHACHA20 ? 32 : 16;
		s.dir[d].iv_len = how & 1 || s.aead == ENGINE_CHACHA20 ? 12 : 4;
	}
	return s;
}

static void
answers(struct records *we, struct records *they)
{
	uint8_t out[RECORDS_OVERHEAD + 16], plain[RECORDS_CIPHER];
	size_t n = records_seal(we, (const uint8_t *)"answer", 6, out), at = 0, used, got = 0;

	need(n > 0 || we->reason, "an answer could not be sealed");
	while (at < n) {
		enum records_result r = records_open(they, out + at, n - at, &used, plain, &got);

		need(r == RECORDS_DATA || r == RECORDS_NOTHING, "the twin does not understand the answer");
		at += used;
	}
	need(n == 0 || (got == 6 && memcmp(plain, "answer", 6) == 0), "another answer");
}

static bool
take(struct records *we, const uint8_t *in, size_t len, size_t *used)
{
	uint8_t plain[RECORDS_CIPHER];
	size_t n;
	enum records_result r = records_open(we, in, len, used, plain, &n);

	need(*used <= len && n <= *used, "more than came");
	need(r != RECORDS_FAILED || records_open(we, in, len, used, plain, &n) == RECORDS_FAILED, "a failure that passes");
	return r == RECORDS_DATA || r == RECORDS_NOTHING;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct engine_records state;
	struct records *we, *they;
	uint8_t record[512 + RECORDS_OVERHEAD];
	size_t used;

	if (size < 2 || size > 40000)
		return 0;
	state = state_for(data[0]);
	we = records_new(&state);
	they = records_new(&state);
	need(we && they, "records_new");
	if (data[0] & 8) {
		for (size_t at = 1; at < size && take(we, data + at, size - at, &used); at += used)
			;
	} else {
		for (size_t at = 1; at + 2 <= size;) {
			size_t len = data[at + 1] < size - at - 2 ? data[at + 1] : size - at - 2;
			size_t n = records_seal_type(they, data[at] & 128 ? data[at] : 20 + data[at] % 4, data + at + 2, len, record);

			need(n > 0, "seal");
			if (!take(we, record, n, &used))
				break;
			/* the twin's keys follow those it asked for */
			if (they->version == TLS1_3_VERSION && we->dir[OPENING].sequence == 0)
				need(records_next_keys(they, SEALING), "keys");
			answers(we, they);
			at += 2 + len;
		}
	}
	records_free(we);
	records_free(they);
	return 0;
}
