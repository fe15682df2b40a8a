/* keys.c - the keys of the format, and what other tools call them. */
#include <string.h>
#include <strings.h>

#include "rule.h"

static const struct policy_word booleans[] = { { "yes", "yes", NULL }, { "no", "no", NULL }, { NULL, NULL, NULL } };

static const struct policy_word actions[] = {
	{ "wrap", "wrap", NULL }, { "plain", "plain", NULL }, { "refuse", "refuse", NULL }, { NULL, NULL, NULL },
};

static const struct policy_word unmatched[] = { { "plain", "plain", NULL }, { "refuse", "refuse", NULL }, { NULL, NULL, NULL } };

static const struct policy_word requirements[] = {
	{ "none", "none", NULL }, { "optional", "optional", NULL }, { "required", "required", NULL },
	{ "CERT_NONE", "none", NULL }, { "CERT_OPTIONAL", "optional", NULL }, { "CERT_REQUIRED", "required", NULL },
	{ NULL, NULL, NULL },
};

static const struct policy_word depths[] = {
	{ "leaf", "leaf", NULL }, { "chain", "chain", NULL },
	{ "VERIFY_CRL_CHECK_LEAF", "leaf", NULL }, { "VERIFY_CRL_CHECK_CHAIN", "chain", NULL },
	{ NULL, NULL, NULL },
};

/* Python: PROTOCOL_SSLv23 is the old name of PROTOCOL_TLS, "whatever both sides can do". */
static const struct policy_word protocols[] = {
	{ "PROTOCOL_TLS", "PROTOCOL_TLS", NULL }, { "PROTOCOL_SSLv23", "PROTOCOL_TLS", NULL },
	{ "PROTOCOL_TLSv1", "PROTOCOL_TLSv1", NULL }, { "PROTOCOL_TLSv1_1", "PROTOCOL_TLSv1_1", NULL },
	{ "PROTOCOL_TLSv1_2", "PROTOCOL_TLSv1_2", NULL },
	{ "PROTOCOL_SSLv2", NULL, "not supported" }, { "PROTOCOL_SSLv3", NULL, "not supported" },
	{ NULL, NULL, NULL },
};

static const struct policy_word versions[] = {
	{ "TLSv1", "TLSv1", NULL }, { "TLSv1.0", "TLSv1", NULL }, { "TLSv1.1", "TLSv1.1", NULL }, { "TLSv1.2", "TLSv1.2", NULL },
	{ "TLSv1.3", "TLSv1.3", NULL }, { "SSLv2", NULL, "not supported" }, { "SSLv3", NULL, "not supported" },
	{ NULL, NULL, NULL },
};

static const struct policy_word options[] = {
	{ "OP_ALL", "OP_ALL", NULL }, { "OP_NO_SSLv2", "OP_NO_SSLv2", NULL }, { "OP_NO_SSLv3", "OP_NO_SSLv3", NULL },
	{ "OP_NO_TLSv1", "OP_NO_TLSv1", NULL }, { "OP_NO_TLSv1_1", "OP_NO_TLSv1_1", NULL },
	{ "OP_NO_TLSv1_2", "OP_NO_TLSv1_2", NULL }, { "OP_NO_TLSv1_3", "OP_NO_TLSv1_3", NULL },
	{ "OP_NO_TICKET", "OP_NO_TICKET", NULL }, { "OP_NO_COMPRESSION", "OP_NO_COMPRESSION", NULL },
	{ "OP_NO_RENEGOTIATION", "OP_NO_RENEGOTIATION", NULL },
	{ "OP_CIPHER_SERVER_PREFERENCE", "OP_CIPHER_SERVER_PREFERENCE", NULL },
	{ "OP_SINGLE_DH_USE", "OP_SINGLE_DH_USE", NULL }, { "OP_SINGLE_ECDH_USE", "OP_SINGLE_ECDH_USE", NULL },
	{ "OP_ENABLE_MIDDLEBOX_COMPAT", "OP_ENABLE_MIDDLEBOX_COMPAT", NULL },
	{ NULL, NULL, NULL },
};

static const struct policy_word caches[] = {
	{ "none", "none", NULL }, { "memory", "memory", NULL }, { "file", "file", NULL }, { NULL, NULL, NULL },
};

static const struct policy_word routes[] = {
	{ "auto", "auto", NULL }, { "inline", "inline", NULL }, { "relay", "relay", NULL },
	{ "kernel", NULL, "not built yet" }, { NULL, NULL, NULL },
};

static const struct policy_word follows[] = {
	{ "yes", "yes", NULL }, { "no", "no", NULL }, { "refuse", "refuse", NULL }, { NULL, NULL, NULL },
};

#define K(id, name, value, flags, words, client, server) \
	[POLICY_KEY_##id] = { name, POLICY_VALUE_##value, flags, words, client, server }
#define RULES POLICY_KEY_IN_RULES
#define DEFAULTS POLICY_KEY_IN_DEFAULTS
#define CLIENTS POLICY_KEY_OF_CLIENTS
#define OWN POLICY_KEY_OWN
#define SERVERS POLICY_KEY_OF_SERVERS

const struct policy_key policy_keys[POLICY_KEYS] = {
	K(MATCH, "match", PATTERNS, RULES, NULL, NULL, NULL),
	K(PROGRAM, "program", PROGRAMS, RULES, NULL, NULL, NULL),
	K(ACTION, "action", WORD, RULES, actions, NULL, NULL),
	K(UNMATCHED, "unmatched", WORD, DEFAULTS, unmatched, NULL, NULL),
	K(SSL_VERSION, "ssl_version", WORD, 0, protocols, "PROTOCOL_TLS", "PROTOCOL_TLS"),
	K(CERT_REQS, "cert_reqs", WORD, 0, requirements, "required", "none"),
	K(CA_CERTS, "ca_certs", TRUST, OWN, NULL, "system", NULL),
	K(CAPATH, "capath", FILE, OWN, NULL, NULL, NULL),
	K(CRLFILE, "crlfile", FILE, OWN, NULL, NULL, NULL),
	K(CRL_CHECK, "crl_check", WORD, OWN, depths, NULL, NULL),
	K(PIN, "pin", PINS, OWN, NULL, NULL, NULL),
	K(ALLOW, "allow", IDENTITIES, OWN, NULL, NULL, NULL),
	K(CERTFILE, "certfile", STORE, 0, NULL, NULL, NULL),
	K(KEYFILE, "keyfile", STORE, 0, NULL, NULL, NULL),
	K(CIPHERS, "ciphers", STRING, 0, NULL, NULL, NULL),
	K(OPTIONS, "options", WORDS, 0, options, "OP_ALL", "OP_ALL"),
	K(DO_HANDSHAKE_ON_CONNECT, "do_handshake_on_connect", WORD, 0, booleans, "yes", "no"),
	K(SUPPRESS_RAGGED_EOFS, "suppress_ragged_eofs", WORD, 0, booleans, "no", "no"),
	K(SERVER_HOSTNAME, "server_hostname", HOST, CLIENTS, NULL, NULL, NULL),
	K(CHECK_HOSTNAME, "check_hostname", WORD, CLIENTS, booleans, "yes", NULL),
	K(MINIMUM_VERSION, "minimum_version", WORD, 0, versions, "TLSv1.2", "TLSv1.2"),
	K(MAXIMUM_VERSION, "maximum_version", WORD, 0, versions, NULL, NULL),
	K(CIPHERSUITES, "ciphersuites", COLONS, 0, NULL, NULL, NULL),
	K(GROUPS, "groups", COLONS, 0, NULL, NULL, NULL),
	K(ALPN_PROTOCOLS, "alpn_protocols", LIST, 0, NULL, NULL, NULL),
	K(HANDSHAKE_TIMEOUT, "handshake_timeout", DURATION, 0, NULL, "30000", "30000"),
	K(PASSWORD_FILE, "password_file", FILE, 0, NULL, NULL, NULL),
	K(STRICT_KEYS, "strict_keys", WORD, 0, booleans, "no", "no"),
	K(TICKET_KEYS, "ticket_keys", FILE, SERVERS, NULL, NULL, NULL),
	K(SESSION_CACHE, "session_cache", WORD, CLIENTS, caches, "memory", NULL),
	K(CORE_DUMPS, "core_dumps", WORD, 0, booleans, "yes", "yes"),
	K(ROUTE, "route", WORD, 0, routes, "auto", "auto"),
	K(FOLLOW_EXEC, "follow_exec", WORD, 0, follows, "yes", "yes"),
	K(INSECURE, "insecure", WORD, 0, booleans, "no", "no"),
	K(OPENSSL, "openssl.", STRING, 0, NULL, NULL, NULL),
};

#undef K
#undef RULES
#undef DEFAULTS
#undef CLIENTS
#undef OWN
#undef SERVERS

struct spelling {
	const char *theirs, *ours;
};

static const struct spelling spellings[] = {
	/* stunnel */
	{ "accept", "match" }, { "connect", "match" }, { "bind", "match" }, { "listen", "match" },
	{ "verify", "cert_reqs" }, { "verifyChain", "cert_reqs" }, { "verifyPeer", "cert_reqs" }, { "requireCert", "cert_reqs" },
	{ "checkHost", "check_hostname" }, { "checkIP", "check_hostname" }, { "cert", "certfile" }, { "key", "keyfile" },
	{ "sslVersion", "ssl_version" }, { "sslVersionMin", "minimum_version" }, { "sslVersionMax", "maximum_version" },
	{ "CAfile", "ca_certs" }, { "CApath", "capath" }, { "CAstore", "ca_certs" },
	{ "CRLfile", "crlfile" }, { "CRLpath", "capath" },
	{ "curve", "groups" }, { "curves", "groups" },
	{ "sni", "server_hostname" }, { "TIMEOUTconnect", "handshake_timeout" },
	/* HAProxy */
	{ "ca-file", "ca_certs" }, { "crl-file", "crlfile" }, { "crt", "certfile" }, { "verifyhost", "check_hostname" },
	{ "snihost", "server_hostname" }, { "tls-ticket-keys", "ticket_keys" }, { "alpn", "alpn_protocols" },
	{ "ssl-min-ver", "minimum_version" }, { "ssl-max-ver", "maximum_version" },
	/* nginx */
	{ "ssl_certificate", "certfile" }, { "ssl_certificate_key", "keyfile" }, { "ssl_verify_client", "cert_reqs" },
	{ "ssl_client_certificate", "ca_certs" }, { "ssl_trusted_certificate", "ca_certs" }, { "ssl_protocols", "minimum_version" },
	{ "ssl_ciphers", "ciphers" }, { "ssl_ecdh_curve", "groups" }, { "ssl_alpn", "alpn_protocols" },
	{ "ssl_password_file", "password_file" }, { "ssl_session_ticket_key", "ticket_keys" },
	{ "proxy_ssl_name", "server_hostname" }, { "proxy_ssl_verify", "cert_reqs" },
	/* hitch, socat and others */
	{ "ssl_crl", "crlfile" }, { "proxy_ssl_crl", "crlfile" }, { "SSLCARevocationFile", "crlfile" }, { "SSLCARevocationCheck", "crl_check" },
	{ "SSLSessionTicketKeyFile", "ticket_keys" }, { "ticketKeySecret", "ticket_keys" },
	{ "pinnedpubkey", "pin" }, { "pin-sha256", "pin" }, { "allow-cn", "allow" }, { "allow-dns", "allow" }, { "allow-uri", "allow" },
	{ "client-verify", "cert_reqs" }, { "pem-file", "certfile" }, { "alpn-protos", "alpn_protocols" },
	{ "commonname", "server_hostname" }, { "servername", "server_hostname" }, { "truncation", "suppress_ragged_eofs" },
	{ NULL, NULL },
};

/* SSL_CONF_cmd(3): what has a key of its own must not be set behind the checks of that key. */
static const struct spelling commands[] = {
	{ "Certificate", "certfile" }, { "PrivateKey", "keyfile" }, { "CipherString", "ciphers" },
	{ "Ciphersuites", "ciphersuites" }, { "Groups", "groups" }, { "Curves", "groups" }, { "ECDHParameters", "groups" },
	{ "MinProtocol", "minimum_version" }, { "MaxProtocol", "maximum_version" }, { "Protocol", "minimum_version" },
	{ "VerifyCAFile", "ca_certs" }, { "VerifyCAPath", "capath" }, { "VerifyCAStore", "ca_certs" },
	{ "VerifyMode", "cert_reqs" }, { "Options", "options" }, { NULL, NULL },
};

static char
fold(char c)
{
	if (c >= 'A' && c <= 'Z')
		return (char)(c - 'A' + 'a');
	return c == '-' ? '_' : c;
}

bool
policy_same(const char *a, const char *b, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++)
		if (a[i] == '\0' || fold(a[i]) != fold(b[i]))
			return false;
	return a[len] == '\0';
}

static const char *
translate(const struct spelling *table, const char *name, size_t len)
{
	for (; table->theirs != NULL; table++)
		if (policy_same(table->theirs, name, len))
			return table->ours;
	return NULL;
}

const char *
policy_key_of_command(const char *command)
{
	return translate(commands, command, strlen(command));
}

const struct policy_key *
policy_key_find(const char *name, size_t len)
{
	const struct policy_key *key;

	for (key = policy_keys; key < policy_keys + POLICY_KEY_OPENSSL; key++)
		if (key->name[0] == name[0] && strlen(key->name) == len && memcmp(key->name, name, len) == 0)
			return key;
	if (len >= strlen(key->name) && memcmp(key->name, name, strlen(key->name)) == 0)
		return key;
	return NULL;
}

enum { NAME_MAX_COMPARED = 40 };

static unsigned
least(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

/* Insertions, deletions, substitutions, and neighbours exchanged; both at most NAME_MAX_COMPARED long. */
static unsigned
distance(const char *a, size_t na, const char *b, size_t nb)
{
	unsigned rows[3][NAME_MAX_COMPARED + 1];
	unsigned *before = rows[0], *last = rows[1], *now = rows[2], *spare;
	size_t i, j;

	for (j = 0; j <= nb; j++)
		last[j] = before[j] = (unsigned)j;
	for (i = 1; i <= na; i++) {
		now[0] = (unsigned)i;
		for (j = 1; j <= nb; j++) {
			unsigned differs = fold(a[i - 1]) != fold(b[j - 1]);

			now[j] = least(last[j - 1] + differs, least(last[j], now[j - 1]) + 1);
			if (i > 1 && j > 1 && fold(a[i - 1]) == fold(b[j - 2]) && fold(a[i - 2]) == fold(b[j - 1]))
				now[j] = least(now[j], before[j - 2] + 1);
		}
		spare = before;
		before = last;
		last = now;
		now = spare;
	}
	return last[nb];
}

const char *
policy_key_nearest(const char *name, size_t len)
{
	const char *nearest = translate(spellings, name, len), *dot;
	const struct policy_key *key;
	unsigned best, d;

	if (nearest != NULL)
		return nearest;
	if ((nearest = translate(commands, name, len)) != NULL)
		return nearest;
	dot = memchr(name, '.', len);
	if (dot != NULL && distance(name, least((unsigned)(dot - name), NAME_MAX_COMPARED), "openssl", 7) <= 2)
		return "openssl.Command";
	if (len > NAME_MAX_COMPARED)
		return NULL;
	best = (unsigned)len / 2 + 1;
	for (key = policy_keys; key < policy_keys + POLICY_KEY_OPENSSL; key++) {
		d = distance(name, len, key->name, strlen(key->name));
		if (d < best) {
			best = d;
			nearest = key->name;
		}
	}
	return nearest;
}
