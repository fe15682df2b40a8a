/*
 * config_test.c - settings by name: defaults, values, refusals, the checks of the whole.
 *
 * A context is made only where the settings pass those checks; what it makes of files is engine_test's subject.
 */
#include "config.h"

#include "check.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define PIN "sha256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="

/* ---- one key ---- */

static bool
same(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

#define STRING_KEY(member) static bool has_##member(const struct config *c, const char *s) { return same(c->member, s); }
STRING_KEY(ca_certs)
STRING_KEY(capath)
STRING_KEY(crlfile)
STRING_KEY(pin)
STRING_KEY(allow)
STRING_KEY(certfile)
STRING_KEY(keyfile)
STRING_KEY(password_file)
STRING_KEY(server_hostname)
STRING_KEY(ticket_keys)
STRING_KEY(ciphers)
STRING_KEY(ciphersuites)
STRING_KEY(groups)
STRING_KEY(alpn_protocols)
STRING_KEY(options)
#define NUMBER_KEY(member) static bool has_##member(const struct config *c, const char *s) \
	{ char n[32]; snprintf(n, sizeof(n), "%ld", (long)c->member); return same(n, s); }
NUMBER_KEY(cert_reqs)
NUMBER_KEY(crl_check)
NUMBER_KEY(check_hostname)
NUMBER_KEY(insecure)
NUMBER_KEY(do_handshake_on_connect)
NUMBER_KEY(suppress_ragged_eofs)
NUMBER_KEY(strict_keys)
NUMBER_KEY(session_cache)
NUMBER_KEY(minimum_version)
NUMBER_KEY(maximum_version)
NUMBER_KEY(handshake_timeout_ms)

static const struct set_case {
	const char *key, *value;
	bool (*has)(const struct config *, const char *);	/* NULL: nothing to look at */
	const char *expect;					/* of the member; where error is set, the default that stays */
	const char *error;
} sets[] = {
	{"ca_certs", "/a", has_ca_certs, "/a", NULL},
	{"ca_certs", "", has_ca_certs, NULL, NULL},
	{"ca_certs", "system", has_ca_certs, "system", NULL},
	{"capath", "/a", has_capath, "/a", NULL},
	{"crlfile", "/a", has_crlfile, "/a", NULL},
	{"crl_check", "leaf", has_crl_check, "1", NULL},
	{"crl_check", "Chain", has_crl_check, "2", NULL},
	{"crl_check", "all", has_crl_check, "0", "none, leaf or chain"},
	{"pin", "sha256:a", has_pin, "sha256:a", NULL},
	{"allow", "cn=a", has_allow, "cn=a", NULL},
	{"certfile", "/a", has_certfile, "/a", NULL},
	{"keyfile", "/a", has_keyfile, "/a", NULL},
	{"password_file", "/a", has_password_file, "/a", NULL},
	{"server_hostname", "a.test", has_server_hostname, "a.test", NULL},
	{"ciphers", "ALL", has_ciphers, "ALL", NULL},
	{"ciphersuites", "A, B", has_ciphersuites, "A, B", NULL},
	{"groups", "P-256", has_groups, "P-256", NULL},
	{"alpn_protocols", "h2, http/1.1", has_alpn_protocols, "h2, http/1.1", NULL},
	{"options", "OP_ALL", has_options, "OP_ALL", NULL},
	{"cert_reqs", "none", has_cert_reqs, "0", NULL},
	{"cert_reqs", "optional", has_cert_reqs, "1", NULL},
	{"cert_reqs", "REQUIRED", has_cert_reqs, "2", NULL},
	{"cert_reqs", "sometimes", has_cert_reqs, "2", "none, optional or required"},
	{"check_hostname", "no", has_check_hostname, "0", NULL},
	{"check_hostname", "false", has_check_hostname, "1", "yes or no"},
	{"insecure", "yes", has_insecure, "1", NULL},
	{"insecure", "1", has_insecure, "0", "yes or no"},
	{"insecure", "", has_insecure, "0", "yes or no"},
	{"do_handshake_on_connect", "no", has_do_handshake_on_connect, "0", NULL},
	{"suppress_ragged_eofs", "yes", has_suppress_ragged_eofs, "1", NULL},
	{"strict_keys", "yes", has_strict_keys, "1", NULL},
	{"ticket_keys", "/a", has_ticket_keys, "/a", NULL},
	{"session_cache", "none", has_session_cache, "0", NULL},
	{"session_cache", "file", has_session_cache, "2", NULL},
	{"session_cache", "disk", has_session_cache, "1", "none, memory or file"},
	{"minimum_version", "TLSv1.3", has_minimum_version, "772", NULL},
	{"minimum_version", "tlsv1.3", has_minimum_version, "772", NULL},
	{"minimum_version", "TLSv1", has_minimum_version, "769", NULL},
	{"minimum_version", "SSLv3", has_minimum_version, "771", "TLSv1.2"},
	{"minimum_version", "TLSv1.2 ", has_minimum_version, "771", "TLSv1.2"},
	{"maximum_version", "TLSv1_1", has_maximum_version, "770", NULL},
	{"maximum_version", "1.2", has_maximum_version, "0", "TLSv1.2"},
	{"ssl_version", "TLSv1.2", has_minimum_version, "771", NULL},
	{"ssl_version", "TLSv1.2", has_maximum_version, "771", NULL},
	{"ssl_version", "tls", has_maximum_version, "0", NULL},
	{"ssl_version", "SSLv23", has_minimum_version, "771", NULL},
	{"ssl_version", "PROTOCOL_TLS", has_maximum_version, "0", NULL},
	{"ssl_version", "PROTOCOL_TLSv1_2", has_maximum_version, "771", NULL},
	{"ssl_version", "SSLv2", has_maximum_version, "0", "expected PROTOCOL_TLS"},
	{"handshake_timeout", "0", has_handshake_timeout_ms, "0", NULL},
	{"handshake_timeout", "1500", has_handshake_timeout_ms, "1500", NULL},
	{"handshake_timeout", "-1", has_handshake_timeout_ms, "30000", "milliseconds"},
	{"handshake_timeout", "+1", has_handshake_timeout_ms, "30000", "milliseconds"},
	{"handshake_timeout", " 1", has_handshake_timeout_ms, "30000", "milliseconds"},
	{"handshake_timeout", "2s", has_handshake_timeout_ms, "30000", "milliseconds"},
	{"handshake_timeout", "99999999999999999999", has_handshake_timeout_ms, "30000", "milliseconds"},
	{"handshake_timeout", "", has_handshake_timeout_ms, "30000", "milliseconds"},
	{"route", "auto", NULL, NULL, NULL},
	{"follow_exec", "no", NULL, NULL, NULL},
	{"core_dumps", "no", NULL, NULL, NULL},
	{"nonsense", "1", NULL, NULL, "nonsense: no such key"},
	{"CERT_REQS", "none", has_cert_reqs, "2", "no such key"},
	{"openssl.NumTickets", "3", NULL, NULL, NULL},
	{"openssl.", "3", NULL, NULL, "expected the name"},
	{"openssl.CipherString", "ALL", NULL, NULL, "expected ciphers"},
	{"openssl.cipherstring", "ALL", NULL, NULL, "expected ciphers"},
	{"openssl.MinProtocol", "TLSv1", NULL, NULL, "expected minimum_version"},
	{"openssl.VerifyMode", "Once", NULL, NULL, "expected cert_reqs"},
};

static void
run_set(const struct set_case *k)
{
	struct config *c = config_new(CONFIG_CLIENT);
	char err[256] = "", name[160];
	int r;

	errno = EDOM;
	r = config_set(c, k->key, k->value, err, sizeof(err));
	snprintf(name, sizeof(name), "%s = %s", k->key, k->value);
	result("set", name,
	       r == (k->error ? -1 : 0) && errno == EDOM && (!k->error || strstr(err, k->error))
	       && (!k->has || k->has(c, k->expect)),
	       err);
	config_free(c);
}

/* ---- the whole ---- */

static const struct whole_case {
	const char *name;
	enum config_role role;
	const char *settings[4][2];
	const char *error;	/* NULL = it seals */
} wholes[] = {
	{"client, defaults", CONFIG_CLIENT, {{NULL, NULL}}, NULL},
	{"server, defaults", CONFIG_SERVER, {{NULL, NULL}}, "a server needs a certificate"},
	{"unverified client", CONFIG_CLIENT, {{"cert_reqs", "none"}}, "insecure = yes"},
	{"unverified client, insecure", CONFIG_CLIENT, {{"cert_reqs", "none"}, {"insecure", "yes"}}, NULL},
	{"unchecked name", CONFIG_CLIENT, {{"check_hostname", "no"}}, "insecure = yes"},
	{"unchecked name, insecure", CONFIG_CLIENT, {{"check_hostname", "no"}, {"insecure", "yes"}}, NULL},
	{"old version", CONFIG_CLIENT, {{"minimum_version", "TLSv1.1"}}, "insecure = yes"},
	{"old version, insecure", CONFIG_CLIENT, {{"minimum_version", "TLSv1.1"}, {"insecure", "yes"}}, NULL},
	{"old version at the top", CONFIG_CLIENT, {{"maximum_version", "TLSv1.1"}}, "insecure = yes"},
	{"ssl_version TLSv1", CONFIG_CLIENT, {{"ssl_version", "TLSv1"}}, "insecure = yes"},
	{"no range", CONFIG_CLIENT, {{"minimum_version", "TLSv1.3"}, {"maximum_version", "TLSv1.2"}}, "below minimum_version"},
	{"no trust", CONFIG_CLIENT, {{"ca_certs", ""}}, "needs ca_certs"},
	{"server that asks without trust", CONFIG_SERVER, {{"cert_reqs", "optional"}, {"certfile", "/nowhere"}}, "needs ca_certs"},
	{"key alone", CONFIG_CLIENT, {{"keyfile", "/nowhere"}}, "needs certfile"},
	{"missing file", CONFIG_SERVER, {{"certfile", "/nowhere"}}, "certfile /nowhere: No such file or directory"},
	{"CRLs of nobody", CONFIG_CLIENT, {{"crl_check", "leaf"}}, "needs crlfile"},
	{"CRLs missing", CONFIG_CLIENT, {{"crlfile", "/nowhere"}}, "crlfile /nowhere: No such file or directory"},
	{"CRLs a folder", CONFIG_CLIENT, {{"crlfile", "/etc"}}, "is a directory"},
	{"no CRLs in the file", CONFIG_CLIENT, {{"crlfile", "/dev/null"}}, "holds no CRL"},
	{"CRLs, nothing verified", CONFIG_CLIENT, {{"cert_reqs", "none"}, {"insecure", "yes"}, {"crlfile", "/dev/null"}}, "crlfile: needs cert_reqs"},
	{"pin", CONFIG_CLIENT, {{"pin", PIN}}, NULL},
	{"pins", CONFIG_CLIENT, {{"pin", PIN ", " PIN}}, NULL},
	{"pin alone", CONFIG_CLIENT, {{"cert_reqs", "none"}, {"insecure", "yes"}, {"pin", PIN}}, NULL},
	{"pin, certificate optional", CONFIG_CLIENT, {{"cert_reqs", "optional"}, {"pin", PIN}}, "pin: needs cert_reqs = required"},
	{"pin of another kind", CONFIG_CLIENT, {{"pin", "sha1:AAAA"}}, "pin: \"sha1:AAAA\" is no pin"},
	{"pin with bits too many", CONFIG_CLIENT, {{"pin", "sha256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB="}}, "is no pin"},
	{"pin with bad digits", CONFIG_CLIENT, {{"pin", "sha256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA!="}}, "is no pin"},
	{"second pin wrong", CONFIG_CLIENT, {{"pin", PIN ", x"}}, "\"x\" is no pin"},
	{"empty list of pins", CONFIG_CLIENT, {{"pin", ", "}}, "an empty list"},
	{"allow", CONFIG_CLIENT, {{"allow", "uri=a:b/*, dns=*.a, cn=\\2C, email=*@a"}}, NULL},
	{"allow, certificate optional", CONFIG_CLIENT, {{"cert_reqs", "optional"}, {"allow", "cn=a"}}, "allow: needs cert_reqs = required"},
	{"allow nothing", CONFIG_CLIENT, {{"allow", "cn="}}, "is no identity"},
	{"allow another kind", CONFIG_CLIENT, {{"allow", "ou=a"}}, "is no identity"},
	{"allow, bad escape", CONFIG_CLIENT, {{"allow", "cn=a\\0"}}, "is no identity"},
	{"allow, NUL", CONFIG_CLIENT, {{"allow", "cn=a\\00"}}, "is no identity"},
	{"allow, star inside", CONFIG_CLIENT, {{"allow", "dns=a*.b"}}, "is no identity"},
	{"allow, all names", CONFIG_CLIENT, {{"allow", "dns=*."}}, "is no identity"},
	{"allow, all of a scheme", CONFIG_CLIENT, {{"allow", "uri=spiffe://*"}}, "is no identity"},
	{"allow, no address", CONFIG_CLIENT, {{"allow", "email=a"}}, "is no identity"},
	{"command", CONFIG_CLIENT, {{"openssl.SignatureAlgorithms", "ECDSA+SHA256"}}, NULL},
	{"unknown command", CONFIG_CLIENT, {{"openssl.Nonsense", "1"}}, "openssl.Nonsense"},
};

static void
run_whole(const struct whole_case *k)
{
	struct config *c = config_new(k->role);
	char err[256] = "", warn[256] = "x", late[256];
	int r;

	for (size_t i = 0; i < COUNT(k->settings) && k->settings[i][0]; i++)
		if (config_set(c, k->settings[i][0], k->settings[i][1], err, sizeof(err)) < 0)
			result("whole", k->name, false, err);
	r = config_seal(c, err, sizeof(err), warn, sizeof(warn));
	result("whole", k->name, r == (k->error ? -1 : 0) && (k->error ? strstr(err, k->error) != NULL : !err[0]) && !warn[0], err);
	if (r == 0)
		result("sealed", k->name, c->engine && config_set(c, "ciphers", "ALL", late, sizeof(late)) == -1, "");
	config_free(c);
}

/* ---- life ---- */

static const struct default_case {
	const char *name;
	enum config_role role;
	bool (*has)(const struct config *, const char *);
	const char *expect;
} defaults[] = {
	{"client cert_reqs", CONFIG_CLIENT, has_cert_reqs, "2"},
	{"client check_hostname", CONFIG_CLIENT, has_check_hostname, "1"},
	{"client do_handshake_on_connect", CONFIG_CLIENT, has_do_handshake_on_connect, "1"},
	{"client ca_certs", CONFIG_CLIENT, has_ca_certs, "system"},
	{"client suppress_ragged_eofs", CONFIG_CLIENT, has_suppress_ragged_eofs, "0"},
	{"server cert_reqs", CONFIG_SERVER, has_cert_reqs, "0"},
	{"server check_hostname", CONFIG_SERVER, has_check_hostname, "0"},
	{"server do_handshake_on_connect", CONFIG_SERVER, has_do_handshake_on_connect, "0"},
	{"server ca_certs", CONFIG_SERVER, has_ca_certs, NULL},
	{"minimum_version", CONFIG_SERVER, has_minimum_version, "771"},
	{"maximum_version", CONFIG_SERVER, has_maximum_version, "0"},
	{"handshake_timeout", CONFIG_SERVER, has_handshake_timeout_ms, "30000"},
	{"insecure", CONFIG_SERVER, has_insecure, "0"},
};

static void
test_life(void)
{
	struct config *c = config_new(CONFIG_CLIENT);
	char err[64], tiny[8];

	result("life", "place", config_set_place(c, "rule a (f:1)") == 0 && config_set_place(c, "rule b (f:2)") == 0
	       && same(c->place, "rule b (f:2)"), "");
	result("life", "twice the same key", config_set(c, "ciphers", "A", err, sizeof(err)) == 0
	       && config_set(c, "ciphers", "B", err, sizeof(err)) == 0 && same(c->ciphers, "B"), err);
	result("life", "commands in order", config_set(c, "openssl.A", "1", err, sizeof(err)) == 0
	       && config_set(c, "openssl.B", "2", err, sizeof(err)) == 0 && c->ncommands == 2 && same(c->commands[1].name, "B")
	       && same(c->commands[1].value, "2"), err);
	result("life", "short buffer", config_set(c, "nonsense", "1", tiny, sizeof(tiny)) == -1
	       && strlen(tiny) == sizeof(tiny) - 1, tiny);
	result("life", "no buffer", config_set(c, "nonsense", "1", NULL, 0) == -1, "");
	result("life", "reference", config_ref(c) == c, "");
	config_free(c);
	result("life", "still there", same(c->ciphers, "B"), "");
	config_free(c);
	config_free(NULL);
}

int
main(void)
{
	for (size_t i = 0; i < COUNT(defaults); i++) {
		struct config *c = config_new(defaults[i].role);

		result("default", defaults[i].name, c && defaults[i].has(c, defaults[i].expect), "");
		config_free(c);
	}
	for (size_t i = 0; i < COUNT(sets); i++)
		run_set(&sets[i]);
	for (size_t i = 0; i < COUNT(wholes); i++)
		run_whole(&wholes[i]);
	test_life();
	return summary();
}
