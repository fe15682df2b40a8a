/* policy_test.c - policies that are in order: settings, places, canonical text, examples, files. */
#include "policies.h"

#include <sys/stat.h>

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

/* Settings: a key of the only rule, in machine form. NULL = not set. */

struct setting_case {
	const char *name, *text, *key, *value;
};

static const struct setting_case setting_cases[] = {
	{ "client verifies", C, "cert_reqs", "required" },
	{ "client trusts the system", C, "ca_certs", "system" },
	{ "client checks names", C, "check_hostname", "yes" },
	{ "client shakes hands at once", C, "do_handshake_on_connect", "yes" },
	{ "server does not verify", S, "cert_reqs", "none" },
	{ "server trusts nobody", S, "ca_certs", NULL },
	{ "server checks no names", S, "check_hostname", NULL },
	{ "server shakes hands later", S, "do_handshake_on_connect", "no" },
	{ "floor", C, "minimum_version", "TLSv1.2" },
	{ "no ceiling", C, "maximum_version", NULL },
	{ "ragged ends", C, "suppress_ragged_eofs", "no" },
	{ "timeout", C, "handshake_timeout", "30000" },
	{ "timeout in ms", C "handshake_timeout = 500ms", "handshake_timeout", "500" },
	{ "timeout in s", C "handshake_timeout = 2s", "handshake_timeout", "2000" },
	{ "timeout in m", C "handshake_timeout = 1m", "handshake_timeout", "60000" },
	{ "follow_exec", C, "follow_exec", "yes" },
	{ "core_dumps", C, "core_dumps", "yes" },
	{ "route", C, "route", "auto" },
	{ "insecure", C, "insecure", "no" },
	{ "strict_keys", C, "strict_keys", "no" },
	{ "ssl_version", C, "ssl_version", "PROTOCOL_TLS" },
	{ "PROTOCOL_SSLv23", C "ssl_version = PROTOCOL_SSLv23", "ssl_version", "PROTOCOL_TLS" },
	{ "one protocol, low", C "ssl_version = PROTOCOL_TLSv1_2", "minimum_version", "TLSv1.2" },
	{ "one protocol, high", C "ssl_version = PROTOCOL_TLSv1_2", "maximum_version", "TLSv1.2" },
	{ "bound beats inherited protocol", "[defaults]\nssl_version = PROTOCOL_TLSv1_2\n" C "minimum_version = TLSv1.3",
	    "ssl_version", "PROTOCOL_TLS" },
	{ "protocol beats inherited bound", "[defaults]\nminimum_version = TLSv1.3\n" C "ssl_version = PROTOCOL_TLSv1_2",
	    "minimum_version", "TLSv1.2" },
	{ "Python's name", C "cert_reqs = CERT_OPTIONAL", "cert_reqs", "optional" },
	{ "word in capitals", C "strict_keys = YES", "strict_keys", "yes" },
	{ "relative path", C "certfile = x/y.pem", "certfile", "/etc/wrapsock/x/y.pem" },
	{ "absolute path", C "certfile = /y.pem", "certfile", "/y.pem" },
	{ "path in quotes", C "certfile = \"a # \\\"b\\\" \\\\\"", "certfile", "/etc/wrapsock/a # \"b\" \\" },
	{ "semicolon without a blank", C "certfile = a;b", "certfile", "/etc/wrapsock/a;b" },
	{ "store URI", C "certfile = pkcs11:object=a;type=cert", "certfile", "pkcs11:object=a;type=cert" },
	{ "file URI", C "certfile = file:/x", "certfile", "file:/x" },
	{ "authorities are no URI", C "ca_certs = a:b", "ca_certs", "/etc/wrapsock/a:b" },
	{ "file called system", C "ca_certs = ./system", "ca_certs", "/etc/wrapsock/./system" },
	{ "folder replaces the system's store", C "capath = d", "ca_certs", NULL },
	{ "folder replaces an inherited file", "[defaults]\nca_certs = f\n" C "capath = d", "ca_certs", NULL },
	{ "folder beside a file", C "capath = d\nca_certs = f", "ca_certs", "/etc/wrapsock/f" },
	{ "defaults", "[defaults]\nciphers = x\n" C, "ciphers", "x" },
	{ "rule overrides defaults", "[defaults]\nciphers = x\n" C "ciphers = y", "ciphers", "y" },
	{ "nothing to check", C "cert_reqs = none\ninsecure = yes", "check_hostname", "no" },
	{ "list", C "alpn_protocols = h2 ,\thttp/1.1", "alpn_protocols", "h2, http/1.1" },
	{ "list in quotes", C "alpn_protocols = \"h2,http/1.1\"", "alpn_protocols", "h2, http/1.1" },
	{ "list of quotes", C "alpn_protocols = \"h2\", \"http/1.1\"", "alpn_protocols", "h2, http/1.1" },
	{ "groups with commas", C "groups = X25519, P-256", "groups", "X25519:P-256" },
	{ "options", C "options = op_all, OP_NO_TLSv1_2", "options", "OP_ALL, OP_NO_TLSv1_2" },
	{ "ticket option", C "options = OP_NO_TICKET", "options", "OP_NO_TICKET" },
	{ "server_hostname", C "server_hostname = Cache.Example.", "server_hostname", "cache.example" },
	{ "server_hostname as address", C "server_hostname = ::1", "server_hostname", "::1" },
	{ "command", C "openssl.NumTickets = 2", "openssl.NumTickets", "2" },
	{ "inherited command", "[defaults]\nopenssl.NumTickets = 2\n" C, "openssl.NumTickets", "2" },
	{ "overridden command", "[defaults]\nopenssl.NumTickets = 2\n" C "openssl.NumTickets = 3", "openssl.NumTickets", "3" },
	{ "CRLs of the whole chain", C "crlfile = l", "crl_check", "chain" },
	{ "CRLs of the leaf", C "crlfile = l\ncrl_check = VERIFY_CRL_CHECK_LEAF", "crl_check", "leaf" },
	{ "no CRLs", C, "crl_check", NULL },
	{ "CRLs in a file", C "crlfile = l", "crlfile", "/etc/wrapsock/l" },
	{ "a server takes no CRLs from defaults", "[defaults]\ncrlfile = l\n" S "cert_reqs = required\nca_certs = x", "crlfile", NULL },
	{ "no CRLs where nothing is verified", "[defaults]\ncrlfile = l\n" C "cert_reqs = none\ninsecure = yes", "crl_check", NULL },
	{ "sessions", C, "session_cache", "memory" },
	{ "sessions in a file", "[defaults]\nsession_cache = file\n" C, "session_cache", "file" },
	{ "a server's sessions", S, "session_cache", NULL },
	{ "ticket keys", S "ticket_keys = k", "ticket_keys", "/etc/wrapsock/k" },
	{ "ticket keys by default", "[defaults]\nticket_keys = /k\n" S, "ticket_keys", "/k" },
	{ "a client takes no ticket keys from defaults", "[defaults]\nticket_keys = k\n" C, "ticket_keys", NULL },
	{ "pins", C "pin = " PIN "," PIN, "pin", PIN ", " PIN },
	{ "identities", C "allow = cn=A B,dns=*.A.B.,email=X@Y.Z ,uri=x://Y", "allow", "cn=A B, dns=*.a.b, email=X@y.z, uri=x://Y" },
	{ "identity with a comma", C "allow = cn=a\\2C b", "allow", "cn=a\\2C b" },
	{ "plain keeps its own", C "action = plain\nciphers = x", "ciphers", "x" },
	{ "plain takes no defaults", C "action = plain\n[defaults]\nciphers = x\n", "ciphers", NULL },
};

static void
test_settings(void)
{
	const struct setting_case *c;
	struct policy_error err;
	struct policy *policy;
	const char *value;

	for (c = setting_cases; c < setting_cases + COUNT(setting_cases); c++) {
		if (policy_parse(c->text, strlen(c->text), PATH, &policy, &err) != 0) {
			result("settings", c->name, false, err.text);
			continue;
		}
		value = policy_rule_setting(policy, 0, c->key);
		result("settings", c->name,
		    (value == NULL) == (c->value == NULL) && (value == NULL || strcmp(value, c->value) == 0),
		    value != NULL ? value : "not set");
		policy_free(policy);
	}
}

static void
test_places(void)
{
	static const char text[] = "[defaults]\nciphers = x\n[client a]\nmatch = *:1\n  groups =  y\n";
	const struct policy_setting *s;
	struct policy_error err;
	struct policy *policy;
	size_t n, i;

	if (policy_parse(text, strlen(text), PATH, &policy, &err) != 0) {
		result("places", "parse", false, err.text);
		return;
	}
	s = policy_rule_settings(policy, 0, &n);
	for (i = 0; i < n; i++) {
		unsigned line = strcmp(s[i].key, "ciphers") == 0 ? 2 : strcmp(s[i].key, "groups") == 0 ? 5 : 0;
		unsigned column = line == 2 ? 11 : line == 5 ? 13 : 0;

		result("places", s[i].key, s[i].line == line && s[i].column == column, "wrong line or column");
	}
	result("places", "rule", policy_rules(policy) == 1 && policy_rule_line(policy, 0) == 3 &&
	    strcmp(policy_rule_name(policy, 0), "a") == 0 && policy_rule_role(policy, 0) == POLICY_CLIENT &&
	    policy_rule_action(policy, 0) == POLICY_WRAP && strcmp(policy_path(policy), PATH) == 0 &&
	    !policy_unmatched_refuses(policy), "wrong rule");
	policy_free(policy);
}

/* Canonical text. */

static char *
printed(const struct policy *policy)
{
	size_t len = policy_print(policy, NULL, 0);
	char *text = malloc(len + 1);

	if (text == NULL || policy_print(policy, text, len + 1) != len)
		abort();
	return text;
}

static bool
same_settings(const struct policy *a, const struct policy *b)
{
	const struct policy_setting *s, *t;
	size_t n, m, i;
	int rule;

	if (policy_rules(a) != policy_rules(b) || policy_unmatched_refuses(a) != policy_unmatched_refuses(b))
		return false;
	for (rule = 0; rule < policy_rules(a); rule++) {
		s = policy_rule_settings(a, rule, &n);
		t = policy_rule_settings(b, rule, &m);
		if (n != m || policy_rule_action(a, rule) != policy_rule_action(b, rule))
			return false;
		for (i = 0; i < n; i++)
			if (strcmp(s[i].key, t[i].key) != 0 || strcmp(s[i].value, t[i].value) != 0)
				return false;
	}
	return true;
}

static void
check_identity(const char *name, struct policy *policy)
{
	struct policy *again = NULL;
	char *one = printed(policy), *two = NULL;
	struct policy_error err;

	if (policy_parse(one, strlen(one), PATH, &again, &err) == 0)
		two = printed(again);
	result("print", name, two != NULL && strcmp(one, two) == 0 && same_settings(policy, again), again != NULL ? one : err.text);
	policy_free(again);
	free(one);
	free(two);
}

static void
test_print(void)
{
	static const char text[] = "[server r]\nmatch = *:1 , [::ffff:10.0.0.0/104]:2-3, [FD00::1]:*\naction = refuse\n"
	    "program = \"a b\" ,/x*, \" #\"\n";
	static const char canonical[] = "[defaults]\nunmatched = plain\n\n[server r]\nmatch = *:1, 10.0.0.0/8:2-3, [fd00::1]:*\n"
	    "program = a b, /x*, \" #\"\naction = refuse\n";
	struct policy_error err;
	struct policy *policy;
	char *one, cut[20];
	size_t i;

	if (policy_parse(text, strlen(text), PATH, &policy, &err) == 0) {
		one = printed(policy);
		result("print", "canonical", strcmp(one, canonical) == 0, one);
		result("print", "cut",
		    policy_print(policy, cut, sizeof cut) == strlen(one) && strncmp(cut, one, 19) == 0 && cut[19] == '\0', cut);
		free(one);
	} else {
		result("print", "canonical", false, err.text);
	}
	policy_free(policy);
	for (i = 0; i < COUNT(setting_cases); i++) {
		if (policy_parse(setting_cases[i].text, strlen(setting_cases[i].text), PATH, &policy, &err) == 0)
			check_identity(setting_cases[i].name, policy);
		policy_free(policy);
	}
}

/* Run from the top of the tree, or from anywhere if the compiler was given this file's absolute path. */
static const char *
examples_folder(void)
{
	static char folder[4200] = "policy/examples";
	const char *file = __FILE__, *slash = strrchr(file, '/');

	if (access(folder, R_OK) != 0 && slash != NULL)
		snprintf(folder, sizeof folder, "%.*s/../../policy/examples", (int)(slash - file), file);
	return folder;
}

static void
test_examples(void)
{
	DIR *folder = opendir(examples_folder());
	char path[5000], text[16384];
	struct policy_error err;
	struct policy *policy;
	struct dirent *entry;
	size_t len;
	FILE *file;
	int seen = 0;

	while (folder != NULL && (entry = readdir(folder)) != NULL) {
		if (strstr(entry->d_name, ".conf") == NULL)
			continue;
		snprintf(path, sizeof path, "%s/%s", examples_folder(), entry->d_name);
		if ((file = fopen(path, "r")) == NULL)
			continue;
		len = fread(text, 1, sizeof text - 1, file);
		text[len] = '\0';
		fclose(file);
		seen++;
		if (policy_parse(text, len, PATH, &policy, &err) != 0) {
			result("examples", entry->d_name, false, err.text);
			continue;
		}
		result("examples", entry->d_name, strstr(text, "unmatched") != NULL, "does not write unmatched out");
		check_identity(entry->d_name, policy);
		policy_free(policy);
	}
	if (folder != NULL)
		closedir(folder);
	result("examples", "all found", seen >= 5, "fewer than five");
}

/* Files. */

struct file_case {
	const char *name;
	mode_t mode;
	long owner;		/* -1 = ourselves */
	const char *says;	/* NULL = loads */
};

static const struct file_case file_cases[] = {
	{ "0600", 0600, -1, NULL },
	{ "0644", 0644, -1, NULL },
	{ "writable by the group", 0664, -1, "writable by its group (mode 0664)" },
	{ "writable by others", 0602, -1, "writable by others" },
	{ "another owner", 0600, 12345, "owned by user 12345, expected root" },
};

static void
load(const char *name, const char *path, const char *says)
{
	struct policy *policy = NULL;
	struct policy_error err;
	bool ok = policy_load(path, &policy, &err) == 0;

	result("files", name, says == NULL ? ok && policy != NULL :
	    !ok && policy == NULL && err.line == 0 && strstr(err.text, says) != NULL, ok ? "was accepted" : err.text);
	policy_free(policy);
}

static void
write_file(const char *path, const char *text)
{
	FILE *file = fopen(path, "w");

	if (file == NULL || fputs(text, file) < 0 || fclose(file) != 0)
		abort();
}

static void
test_file_modes(const char *path)
{
	const struct file_case *c;

	for (c = file_cases; c < file_cases + COUNT(file_cases); c++) {
		write_file(path, C);
		if (c->owner >= 0 && chown(path, (uid_t)c->owner, (gid_t)-1) != 0) {
			printf("SKIP: files: %s: only root can give a file away\n", c->name);
			unlink(path);
			continue;
		}
		chmod(path, c->mode);
		load(c->name, path, c->says);
		unlink(path);
	}
}

static void
test_relative(const char *folder)
{
	char here[4096], there[4200];
	struct policy_error err;
	struct policy *policy = NULL;
	const char *value = NULL;

	if (getcwd(here, sizeof here) == NULL || chdir(folder) != 0)
		abort();
	snprintf(there, sizeof there, "%s/c", folder);
	write_file("relative.conf", S);
	if (policy_load("relative.conf", &policy, &err) == 0)
		value = policy_rule_setting(policy, 0, "certfile");
	result("files", "relative path", value != NULL && strcmp(value, there) == 0, value != NULL ? value : err.text);
	policy_free(policy);
	unlink("relative.conf");
	if (chdir(here) != 0)
		abort();
}

static void
test_files(void)
{
	char folder[] = "/tmp/policy_test.XXXXXX", path[64];

	if (mkdtemp(folder) == NULL)
		abort();
	snprintf(path, sizeof path, "%s/policy.conf", folder);
	load("absent", path, "No such file");
	load("folder", folder, "not a regular file");
	test_file_modes(path);
	if (mkfifo(path, 0600) != 0)
		abort();
	load("FIFO", path, "not a regular file");
	unlink(path);
	write_file(path, C);
	if (truncate(path, 4 * 1024 * 1024 + 1) != 0)
		abort();
	load("too large", path, "larger than 4 MiB");
	write_file(path, "");
	load("empty", path, "no section");
	unlink(path);
	test_relative(folder);
	rmdir(folder);
}

int
main(void)
{
	test_settings();
	test_places();
	test_print();
	test_examples();
	test_files();
	return summary();
}
