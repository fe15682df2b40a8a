/* errmap_test.c - causes to errno values: every result of the engine, and a table that agrees with the function. */
#include "errmap.h"

#include "check.h"


static const struct {
	const char *name;
	enum engine_result result;
	enum engine_verify_kind kind;
	int error;
} results[] = {
	{ "done", ENGINE_DONE, ENGINE_VERIFY_REJECTED, 0 },
	{ "want read", ENGINE_WANT_READ, ENGINE_VERIFY_REJECTED, 0 },
	{ "closed", ENGINE_CLOSED, ENGINE_VERIFY_REVOKED, 0 },
	{ "rejected", ENGINE_VERIFY, ENGINE_VERIFY_REJECTED, EKEYREJECTED },
	{ "expired", ENGINE_VERIFY, ENGINE_VERIFY_EXPIRED, EKEYEXPIRED },
	{ "revoked", ENGINE_VERIFY, ENGINE_VERIFY_REVOKED, EKEYREVOKED },
	{ "protocol", ENGINE_PROTOCOL, ENGINE_VERIFY_EXPIRED, EPROTO },
	{ "no memory", ENGINE_NOMEM, ENGINE_VERIFY_REJECTED, ENOMEM },
	{ "dead", ENGINE_DEAD, ENGINE_VERIFY_REJECTED, ELIBACC },
	{ "no such result", (enum engine_result)99, ENGINE_VERIFY_REJECTED, EPROTO },
};

static const struct {
	int error;
	const char *name;
} names[] = {
	{ EPROTO, "EPROTO" }, { EKEYREJECTED, "EKEYREJECTED" }, { ETIMEDOUT, "ETIMEDOUT" }, { EAGAIN, "EAGAIN" },
	{ -1, "an unknown error" }, { 99999, "an unknown error" },
};

static bool
in_table(int error)
{
	for (const struct errmap_row *row = errmap_table; row->cause; row++)
		if (row->error == error)
			return true;
	return false;
}

/* Each errno once, with a sentence, and none that says "try again". */
static bool
row_is_sound(const struct errmap_row *row)
{
	for (const struct errmap_row *other = errmap_table; other < row; other++)
		if (other->error == row->error)
			return false;
	return row->error > 0 && row->error != EAGAIN && row->error != EINTR && strlen(row->cause) > 5;
}

int
main(void)
{
	for (size_t i = 0; i < COUNT(results); i++) {
		errno = EDOM;
		result("errmap_engine", results[i].name, errmap_engine(results[i].result, results[i].kind) == results[i].error && errno == EDOM, "");
		if (results[i].error)
			result("in the table", results[i].name, in_table(results[i].error), "");
	}
	for (size_t i = 0; i < COUNT(names); i++)
		result("errmap_name", names[i].name, strcmp(errmap_name(names[i].error), names[i].name) == 0, errmap_name(names[i].error));
	for (const struct errmap_row *row = errmap_table; row->cause; row++)
		result("row", row->cause, row_is_sound(row), "");
	return summary();
}
