/*
 * ticket_keys_fuzz.c - a file of ticket keys: what is taken has keys of known lengths under different names, one of which seals;
 * what is not is refused in one line that shows no byte of the file.
 */
#include "ticket_keys.h"

#include "target.h"

#include <string.h>

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ticket_keys keys;
	char *text = malloc(size + 1), err[200] = "";

	need(text != NULL, "no memory");
	if (size > 0)
		memcpy(text, data, size);
	text[size] = '\0';		/* as a file is read */
	if (ticket_keys_parse(text, size, &keys, err, sizeof err) < 0) {
		need(*err && !strchr(err, '\n') && strlen(err) < sizeof err - 1, "a refusal without a sentence");
		free(text);
		return 0;
	}
	need(keys.n >= 1 && keys.n <= TICKET_KEYS_MOST && size >= 64, "more keys than there can be");
	for (size_t i = 0; i < keys.n; i++) {
		need(keys.keys[i].len == 16 || keys.keys[i].len == 32, "a key of another length");
		need(ticket_keys_find(&keys, keys.keys[i].name) == &keys.keys[i], "two keys of one name");
	}
	need(ticket_keys_sealing(&keys) >= keys.keys && ticket_keys_sealing(&keys) < keys.keys + keys.n, "sealed with a key that does not open");
	free(text);
	return 0;
}
