/* policy_test.c - policy/ as tables: texts and their errors, settings, matches, canonical text, files. */
#include <sys/stat.h>
#include <sys/un.h>
#include <netinet/in.h>
#include <arpa/inet.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../policy/policy.h"
#include "check.h"

#define PATH "/etc/wrapsock/policy.conf"
#define C "[client a]\nmatch = *:1\n"
#define S "[server s]\nmatch = *:1\ncertfile = c\n"
#define ASKS S "cert_reqs = required\nca_certs = x\n"
#define PIN "sha256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="

/* Errors: where, and a part of what is said. line 0 with no text = must parse. */

struct error_case {
	const char *name, *text;
	unsigned line, column;
	const char *says;
};

static const struct error_case error_cases[] = {
	{ "client alone", C, 0, 0, NULL },
	{ "server alone", S, 0, 0, NULL },
	{ "same name in both roles", "[client x]\nmatch=*:1\n[server x]\nmatch=*:1\ncertfile=c", 0, 0, NULL },
	{ "CRLF and a byte order mark", "\xef\xbb\xbf[client a]\r\nmatch = *:1\r\n", 0, 0, NULL },
	{ "comments", "# one\n ; two\n[client a] # three\nmatch = *:1 ; four\n", 0, 0, NULL },
	{ "defaults last", C "[defaults]\nunmatched = refuse\n", 0, 0, NULL },
	{ "empty", "", 0, 0, "no section" },
	{ "only comments", "# nothing\n\n", 0, 0, "no section" },
	{ "unknown section", "[clinet a]\n", 1, 2, "unknown section \"clinet\", expected [defaults], [client NAME]" },
	{ "section without name", "[client]\n", 1, 8, "no name" },
	{ "section not closed", "[client a\n", 1, 10, "then ]" },
	{ "section with text behind", "[client a] x\n", 1, 12, "end of the line" },
	{ "name too long", "[client aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa]\n", 1, 9, "at most 64" },
	{ "named defaults", "[defaults x]\n", 1, 11, "has no name" },
	{ "second defaults", "[defaults]\n[defaults]\n", 2, 1, "line 1" },
	{ "second rule of a name", C C, 3, 9, "line 1" },
	{ "key outside", "match = *:1\n", 1, 1, "outside of a section" },
	{ "no equals sign", "[client a]\nmatch: *:1\n", 2, 6, "KEY = VALUE" },
	{ "nothing before equals", "[client a]\n = 1\n", 2, 2, "KEY = VALUE" },
	{ "no value", "[client a]\nmatch =\n", 2, 8, "expected a value" },
	{ "only a comment as value", "[client a]\nmatch = # x\n", 2, 9, "expected a value" },
	{ "empty quotes", C "ciphers = \"\"\n", 3, 12, "expected a value" },
	{ "unknown key", C "certfle = x\n", 3, 1, "unknown key \"certfle\", did you mean \"certfile\"?" },
	{ "wrong case", C "  Ciphers = x\n", 3, 3, "did you mean \"ciphers\"?" },
	{ "neighbours exchanged", C "ioptns = x\n", 3, 1, "did you mean \"options\"?" },
	{ "nothing near", C "zzzzzzzzzzzz = x\n", 3, 1, "wrapsock-policy(5)" },
	{ "stunnel's verifyChain", C "verifyChain = yes\n", 3, 1, "did you mean \"cert_reqs\"?" },
	{ "stunnel's CAfile", C "CAfile = x\n", 3, 1, "did you mean \"ca_certs\"?" },
	{ "stunnel's CApath", C "CApath = x\n", 3, 1, "did you mean \"capath\"?" },
	{ "stunnel's cert", C "cert = x\n", 3, 1, "did you mean \"certfile\"?" },
	{ "stunnel's key", C "key = x\n", 3, 1, "did you mean \"keyfile\"?" },
	{ "stunnel's checkHost", C "checkHost = x\n", 3, 1, "did you mean \"check_hostname\"?" },
	{ "stunnel's sslVersionMin", C "sslVersionMin = x\n", 3, 1, "did you mean \"minimum_version\"?" },
	{ "stunnel's accept", C "accept = x\n", 3, 1, "did you mean \"match\"?" },
	{ "HAProxy's verify", C "verify = x\n", 3, 1, "did you mean \"cert_reqs\"?" },
	{ "HAProxy's ssl-min-ver", C "ssl-min-ver = x\n", 3, 1, "did you mean \"minimum_version\"?" },
	{ "nginx's ssl_verify_client", C "ssl_verify_client = x\n", 3, 1, "did you mean \"cert_reqs\"?" },
	{ "nginx's ssl_ecdh_curve", C "ssl_ecdh_curve = x\n", 3, 1, "did you mean \"groups\"?" },
	{ "nginx's proxy_ssl_name", C "proxy_ssl_name = x\n", 3, 1, "did you mean \"server_hostname\"?" },
	{ "hitch's client-verify", C "client-verify = x\n", 3, 1, "did you mean \"cert_reqs\"?" },
	{ "hitch's alpn-protos", C "alpn-protos = x\n", 3, 1, "did you mean \"alpn_protocols\"?" },
	{ "truncation", C "truncation = x\n", 3, 1, "did you mean \"suppress_ragged_eofs\"?" },
	{ "command without its prefix", C "CipherString = x\n", 3, 1, "did you mean \"ciphers\"?" },
	{ "prefix of commands misspelt", C "OpenSSL.NumTickets = 1\n", 3, 1, "did you mean \"openssl.Command\"?" },
	{ "duplicate", C "match = *:2\n", 3, 1, "second \"match\" in this section, the first one is in line 2" },
	{ "match in defaults", "[defaults]\nmatch = *:1\n", 2, 1, "in [defaults], expected" },
	{ "program in defaults", "[defaults]\nprogram = x\n", 2, 1, "in [defaults], expected" },
	{ "action in defaults", "[defaults]\naction = plain\n", 2, 1, "in [defaults], expected" },
	{ "unmatched in a rule", C "unmatched = plain\n", 3, 1, "expected it in [defaults]" },
	{ "check_hostname in a server rule", S "check_hostname = no\n", 4, 1, "expected it in a [client NAME]" },
	{ "quote not closed", C "ciphers = \"abc\n", 3, 11, "not closed" },
	{ "quote inside", C "ciphers = a\"b\n", 3, 12, "quote inside" },
	{ "unknown escape", C "ciphers = \"a\\n\"\n", 3, 13, "escape" },
	{ "text behind a quote", C "ciphers = \"a\" b\n", 3, 15, "end of the line" },
	{ "text behind a quote in a list", "[client a]\nmatch = \"*:1\" *:2\n", 2, 15, "comma" },
	{ "comma at the end", "[client a]\nmatch = *:1,\n", 2, 13, "expected a value" },
	{ "two commas", "[client a]\nmatch = *:1,,*:2\n", 2, 13, "expected a value" },
	{ "invalid UTF-8", "[client a]\nmatch = \xff:1\n", 2, 9, "\\xff, expected UTF-8" },
	{ "overlong UTF-8", "[client a]\n# \xc0\x80\n", 2, 3, "\\xc0" },
	{ "cut UTF-8", "[client a]\n# \xe2\x82", 2, 3, "\\xe2" },
	{ "surrogate", "[client a]\n# \xed\xa0\x80\n", 2, 3, "\\xed" },
	{ "control character", "[client a]\n# \x1b[31m\n", 2, 3, "control character \\x1b" },
	{ "C1 control character", "[client a]\n# \xc2\x9b\n", 2, 3, "control character" },
	{ "column counts characters", C "ciphers = \"\xc3\xa4\" b\n", 3, 15, "end of the line" },
	{ "carriage return inside", "[client a]\rmatch = *:1\n", 1, 11, "control character" },
	{ "bad boolean", C "strict_keys = true\n", 3, 15, "strict_keys = true is not known, expected yes or no" },
	{ "bad word", C "cert_reqs = always\n", 3, 13, "expected none, optional or required" },
	{ "bad action", "[client a]\nmatch = *:1\naction = drop\n", 3, 10, "expected wrap, plain or refuse" },
	{ "bad unmatched", "[defaults]\nunmatched = wrap\n", 2, 13, "expected plain or refuse" },
	{ "bad core_dumps", C "core_dumps = maybe\n", 3, 14, "expected yes or no" },
	{ "bad follow_exec", C "follow_exec = maybe\n", 3, 15, "expected yes, no or refuse" },
	{ "kernel", C "route = kernel\n", 3, 9, "not built yet" },
	{ "bad route", C "route = fast\n", 3, 9, "expected auto, inline or relay" },
	{ "SSLv3", C "ssl_version = PROTOCOL_SSLv3\n", 3, 15, "not supported" },
	{ "SSLv2", C "ssl_version = PROTOCOL_SSLv2\n", 3, 15, "not supported" },
	{ "SSLv3 as a bound", C "minimum_version = SSLv3\n", 3, 19, "not supported" },
	{ "bad version", C "minimum_version = 1.2\n", 3, 19, "expected TLSv1, TLSv1.1, TLSv1.2 or TLSv1.3" },
	{ "bad option", C "options = OP_ALL, OP_MAGIC\n", 3, 19, "OP_MAGIC" },
	{ "option that weakens", C "options = OP_LEGACY_SERVER_CONNECT\n", 3, 11, "is not known, expected OP_ALL" },
	{ "no unit", C "handshake_timeout = 30\n", 3, 21, "500ms, 2s or 1m" },
	{ "bad unit", C "handshake_timeout = 1h\n", 3, 21, "500ms, 2s or 1m" },
	{ "negative duration", C "handshake_timeout = -1s\n", 3, 21, "500ms, 2s or 1m" },
	{ "huge duration", C "handshake_timeout = 99999999999999999999s\n", 3, 21, "at most 1440m" },
	{ "longer than a day", C "handshake_timeout = 1441m\n", 3, 21, "at most 1440m" },
	{ "blank in a protocol", C "alpn_protocols = h2, x y\n", 3, 22, "separated by commas" },
	{ "bad server_hostname", C "server_hostname = *.x\n", 3, 19, "expected a name or an address" },
	{ "server_hostname with port", C "server_hostname = x:1\n", 3, 20, "expected a name or an address" },
	{ "no match", "[client a]\n\n[client b]\nmatch = *:1\n", 1, 1, "has no match" },
	{ "no port", "[client a]\nmatch = cache\n", 2, 9, "expected HOST:PORT" },
	{ "no port behind v6", "[client a]\nmatch = [::1]\n", 2, 9, "expected HOST:PORT" },
	{ "no host", "[client a]\nmatch = :1\n", 2, 9, "expected HOST:PORT" },
	{ "port 0", "[client a]\nmatch = *:0\n", 2, 11, "1 to 65535" },
	{ "port too large", "[client a]\nmatch = *:1, *:65536\n", 2, 16, "1 to 65535" },
	{ "port is a word", "[client a]\nmatch = *:http\n", 2, 11, "1 to 65535" },
	{ "range backwards", "[client a]\nmatch = *:9-1\n", 2, 11, "backwards" },
	{ "range without end", "[client a]\nmatch = *:1-\n", 2, 11, "1 to 65535" },
	{ "v6 without brackets", "[client a]\nmatch = ::1:80\n", 2, 9, "brackets" },
	{ "v6 not closed", "[client a]\nmatch = [::1:80\n", 2, 9, "not closed" },
	{ "v4 in brackets", "[client a]\nmatch = [1.2.3.4]:80\n", 2, 10, "[::1]" },
	{ "v6 zone", "[client a]\nmatch = [fe80::1%eth0]:80\n", 2, 10, "bad address" },
	{ "bad v4", "[client a]\nmatch = 1.2.3.400:80\n", 2, 9, "bad address" },
	{ "short v4", "[client a]\nmatch = 10.0.0:80\n", 2, 9, "bad address" },
	{ "v4 length", "[client a]\nmatch = 10.0.0.0/33:80\n", 2, 18, "0 to 32" },
	{ "v4 length missing", "[client a]\nmatch = 10.0.0.0/:80\n", 2, 18, "0 to 32" },
	{ "v6 length", "[client a]\nmatch = [fd00::/129]:80\n", 2, 17, "0 to 128" },
	{ "glob on addresses", "[client a]\nmatch = 10.0.*:80\n", 2, 9, "10.0.0.0/8" },
	{ "leading dot", "[client a]\nmatch = .example:80\n", 2, 9, "*.domain" },
	{ "empty label", "[client a]\nmatch = a..b:80\n", 2, 9, "empty label" },
	{ "bad letter in a host", "[client a]\nmatch = a!b:80\n", 2, 10, "bad host" },
	{ "name not ASCII", "[client a]\nmatch = b\xc3\xbc" "cher.example:80\n", 2, 10, "xn--" },
	{ "URL as match", "[client a]\nmatch = https://x:80\n", 2, 9, "brackets" },
	{ "name in a server rule", "[server s]\nmatch = web.example:1\ncertfile = c\n", 2, 9, "server rules match addresses" },
	{ "glob in a server rule", "[server s]\nmatch = *.example:1\ncertfile = c\n", 2, 9, "server rules match addresses" },
	{ "localhost in a server rule", "[server s]\nmatch = localhost:1, 10.0.0.0/8:1, *:2\ncertfile = c\n", 0, 0, NULL },
	{ "program's set not closed", C "program = a[b\n", 3, 11, "not closed" },
	{ "command with a key: Certificate", C "openssl.Certificate = x\n", 3, 1, "\"certfile\"" },
	{ "command with a key: PrivateKey", C "openssl.PrivateKey = x\n", 3, 1, "\"keyfile\"" },
	{ "command with a key: CipherString", C "openssl.CipherString = x\n", 3, 1, "\"ciphers\"" },
	{ "command with a key: Ciphersuites", C "openssl.Ciphersuites = x\n", 3, 1, "\"ciphersuites\"" },
	{ "command with a key: Groups", C "openssl.Groups = x\n", 3, 1, "\"groups\"" },
	{ "command with a key: Curves", C "openssl.Curves = x\n", 3, 1, "\"groups\"" },
	{ "command with a key: MinProtocol", C "openssl.MinProtocol = x\n", 3, 1, "\"minimum_version\"" },
	{ "command with a key: MaxProtocol", C "openssl.MaxProtocol = x\n", 3, 1, "\"maximum_version\"" },
	{ "command with a key: Protocol", C "openssl.Protocol = x\n", 3, 1, "\"minimum_version\"" },
	{ "command with a key: VerifyCAFile", C "openssl.VerifyCAFile = x\n", 3, 1, "\"ca_certs\"" },
	{ "command with a key: VerifyCAPath", C "openssl.VerifyCAPath = x\n", 3, 1, "\"capath\"" },
	{ "command with a key: VerifyMode", C "openssl.VerifyMode = x\n", 3, 1, "\"cert_reqs\"" },
	{ "command with a key: Options", C "openssl.Options = x\n", 3, 1, "\"options\"" },
	{ "command in another case", C "openssl.verifymode = x\n", 3, 1, "\"cert_reqs\"" },
	{ "no command", C "openssl. = x\n", 3, 9, "SSL_CONF_cmd" },
	{ "second command in another case", C "openssl.NumTickets = 1\nopenssl.numtickets = 2\n", 4, 1, "second" },
	{ "client none", C "cert_reqs = none\n", 3, 13, "[client a]: cert_reqs = none on a client needs insecure = yes" },
	{ "client none, insecure", C "cert_reqs = none\ninsecure = yes\n", 0, 0, NULL },
	{ "client none from defaults", "[defaults]\ncert_reqs = none\n" C, 2, 13, "needs insecure = yes" },
	{ "no name check", C "check_hostname = no\n", 3, 18, "needs insecure = yes" },
	{ "no name check, insecure", C "check_hostname = no\ninsecure = yes\n", 0, 0, NULL },
	{ "name check of nothing", C "check_hostname = yes\ncert_reqs = none\ninsecure = yes\n", 3, 18, "cert_reqs = required" },
	{ "old version", C "minimum_version = TLSv1.1\n", 3, 19, "below TLSv1.2 need insecure = yes" },
	{ "old version on a server", S "minimum_version = TLSv1\n", 4, 19, "below TLSv1.2 need insecure = yes" },
	{ "old version, insecure", C "minimum_version = TLSv1\ninsecure = yes\n", 0, 0, NULL },
	{ "old protocol", C "ssl_version = PROTOCOL_TLSv1\n", 3, 15, "below TLSv1.2 need insecure = yes" },
	{ "bounds crossed", C "minimum_version = TLSv1.3\nmaximum_version = TLSv1.2\n", 4, 19, "above maximum_version" },
	{ "maximum below the default", C "maximum_version = TLSv1.1\ninsecure = yes\n", 3, 19, "above maximum_version" },
	{ "bound beside a protocol", C "ssl_version = PROTOCOL_TLSv1_2\nmaximum_version = TLSv1.3\n", 4, 19, "one version" },
	{ "no version left", C "options = OP_NO_TLSv1_2, OP_NO_TLSv1_3\n", 3, 11, "forbid every version" },
	{ "one version left", C "options = OP_NO_TLSv1, OP_NO_TLSv1_1, OP_NO_TLSv1_2\n", 0, 0, NULL },
	{ "server without certificate", "[server s]\nmatch = *:1\n", 1, 1, "expected certfile" },
	{ "server with a certificate by default", "[defaults]\ncertfile = c\n[server s]\nmatch = *:1\n", 0, 0, NULL },
	{ "server that does not wrap", "[server s]\nmatch = *:1\naction = plain\n", 0, 0, NULL },
	{ "client that does not wrap", C "action = refuse\n[defaults]\ncert_reqs = none\n", 0, 0, NULL },
	{ "server asks without authority", S "cert_reqs = required\n", 4, 13, "expected ca_certs or capath in this rule" },
	{ "server asks, authority by default", "[defaults]\nca_certs = x\n" S "cert_reqs = optional\n", 6, 13, "in this rule" },
	{ "server asks with authority", S "cert_reqs = required\nca_certs = x\n", 0, 0, NULL },
	{ "server asks with folder", S "cert_reqs = optional\ncapath = x\n", 0, 0, NULL },
	{ "key without certificate", C "keyfile = k\n", 3, 11, "keyfile without certfile" },
	{ "CRLs", C "crlfile = l\n", 0, 0, NULL },
	{ "CRLs of a folder", C "capath = d\ncrl_check = leaf\n", 0, 0, NULL },
	{ "CRL check without CRLs", C "crl_check = leaf\n", 3, 13, "expected crlfile, or capath" },
	{ "bad CRL check", C "crlfile = l\ncrl_check = all\n", 4, 13, "expected leaf or chain" },
	{ "CRLs and nothing verified", C "cert_reqs = none\ninsecure = yes\ncrlfile = l\n", 5, 11, "expected cert_reqs = required" },
	{ "CRLs of a server that asks nobody", S "crlfile = l\n", 4, 11, "expected cert_reqs = required" },
	{ "CRLs of a server that may ask", S "ca_certs = x\ncert_reqs = optional\ncrlfile = l\n", 0, 0, NULL },
	{ "CRLs by default, nothing verified", "[defaults]\ncrlfile = l\n" C "cert_reqs = none\ninsecure = yes\n" S, 0, 0, NULL },
	{ "stunnel's CRLfile", C "CRLfile = x\n", 3, 1, "did you mean \"crlfile\"?" },
	{ "nginx's ssl_crl", C "ssl_crl = x\n", 3, 1, "did you mean \"crlfile\"?" },
	{ "ticket keys", S "ticket_keys = k\n", 0, 0, NULL },
	{ "ticket keys by default", "[defaults]\nticket_keys = k\n" C S, 0, 0, NULL },
	{ "ticket keys of a client", C "ticket_keys = k\n", 3, 1, "ticket_keys in a client rule, expected it in a [server NAME]" },
	{ "sessions", C "session_cache = file\n", 0, 0, NULL },
	{ "sessions by default", "[defaults]\nsession_cache = none\n" C S, 0, 0, NULL },
	{ "sessions of a server", S "session_cache = memory\n", 4, 1, "session_cache in a server rule, expected it in a [client NAME]" },
	{ "sessions somewhere", C "session_cache = disk\n", 3, 17, "session_cache = disk is not known, expected none, memory or file" },
	{ "HAProxy's tls-ticket-keys", S "tls-ticket-keys = x\n", 4, 1, "did you mean \"ticket_keys\"?" },
	{ "nginx's ssl_session_ticket_key", S "ssl_session_ticket_key = x\n", 4, 1, "did you mean \"ticket_keys\"?" },
	{ "curl's pinnedpubkey", C "pinnedpubkey = x\n", 3, 1, "did you mean \"pin\"?" },
	{ "ghostunnel's allow-cn", C "allow-cn = x\n", 3, 1, "did you mean \"allow\"?" },
	{ "pin", C "pin = " PIN "\n", 0, 0, NULL },
	{ "pins", C "pin = " PIN ", " PIN "\n", 0, 0, NULL },
	{ "pin and nothing verified", C "cert_reqs = none\ninsecure = yes\npin = " PIN "\n", 0, 0, NULL },
	{ "pin of a server that asks nobody", S "pin = " PIN "\n", 4, 7, "expected cert_reqs = required" },
	{ "pin of a server that may ask", S "ca_certs = x\ncert_reqs = optional\npin = " PIN "\n", 6, 7, "expected cert_reqs = required" },
	{ "pin as curl has it", C "pin = sha256//AAAA=\n", 3, 7, "expected sha256: and the base64" },
	{ "pin too short", C "pin = sha256:AAAA=\n", 3, 18, "43 digits and a =" },
	{ "pin too long", C "pin = sha256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n", 3, 57, "43 digits and a =" },
	{ "pin without its end", C "pin = sha256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n", 3, 57, "43 digits and a =" },
	{ "pin with a bad digit", C "pin = sha256:AAAAA_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n", 3, 19, "43 digits" },
	{ "pin with bits too many", C "pin = sha256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB=\n", 3, 56, "another last digit" },
	{ "second pin wrong", C "pin = " PIN ", x\n", 3, 60, "expected sha256:" },
	{ "allow, all kinds", ASKS "allow = uri=spiffe://a/b, dns=a.b, cn=a b, email=a@b.c\n", 0, 0, NULL },
	{ "allow of a client", C "allow = dns=a.b\n", 0, 0, NULL },
	{ "allow of an unknown kind", ASKS "allow = ou=a\n", 6, 9, "expected uri=, dns=, cn= or email=" },
	{ "allow without a kind", ASKS "allow = cn=a, b\n", 6, 15, "expected uri=, dns=, cn= or email=" },
	{ "allow of nobody", ASKS "allow = cn=\n", 6, 12, "expected a name behind the =" },
	{ "allow of a server that asks nobody", S "allow = cn=a\n", 4, 9, "expected cert_reqs = required" },
	{ "allow of a server that may ask", S "ca_certs = x\ncert_reqs = optional\nallow = cn=a\n", 6, 9, "cert_reqs = required" },
	{ "allow and nothing verified", C "cert_reqs = none\ninsecure = yes\nallow = cn=a\n", 5, 9, "cert_reqs = required" },
	{ "uri without scheme", ASKS "allow = uri=web\n", 6, 13, "expected uri=SCHEME:" },
	{ "uri with a blank", ASKS "allow = uri=a:b c\n", 6, 16, "without blanks" },
	{ "uri, a star in the middle", ASKS "allow = uri=spiffe://a/*/b\n", 6, 24, "behind the last /" },
	{ "uri, all of a scheme", ASKS "allow = uri=spiffe://*\n", 6, 22, "behind the last /" },
	{ "uri, all of a domain", ASKS "allow = uri=spiffe://a/*\n", 0, 0, NULL },
	{ "dns, a label", ASKS "allow = dns=*.a.b\n", 0, 0, NULL },
	{ "dns, part of a label", ASKS "allow = dns=a*.b\n", 6, 14, "expected a name or an address" },
	{ "dns, all", ASKS "allow = dns=*\n", 6, 13, "expected a name" },
	{ "dns, an address", ASKS "allow = dns=10.0.0.1\n", 6, 13, "expected a name behind dns=" },
	{ "dns, not ASCII", ASKS "allow = dns=\xc3\xa4.b\n", 6, 13, "xn--" },
	{ "cn with a comma", ASKS "allow = cn=a\\2C b\n", 0, 0, NULL },
	{ "cn with a bad escape", ASKS "allow = cn=a\\, b\n", 6, 13, "\\2C is a comma" },
	{ "cn with NUL", ASKS "allow = cn=a\\00\n", 6, 13, "bad escape" },
	{ "email without a domain", ASKS "allow = email=a@\n", 6, 15, "NAME@DOMAIN" },
	{ "email without a name", ASKS "allow = email=a\n", 6, 15, "NAME@DOMAIN" },
	{ "email, all of a domain", ASKS "allow = email=*@b.c\n", 0, 0, NULL },
	{ "email, part of a name", ASKS "allow = email=a*@b.c\n", 6, 16, "all of the name" },
};

static void
test_errors(void)
{
	const struct error_case *c;
	struct policy_error err;
	struct policy *policy;
	char why[500];
	bool ok;

	for (c = error_cases; c < error_cases + COUNT(error_cases); c++) {
		ok = policy_parse(c->text, strlen(c->text), PATH, &policy, &err) == 0;
		snprintf(why, sizeof why, "%u:%u: %s", err.line, err.column, err.text);
		if (c->says == NULL)
			result("errors", c->name, ok && policy != NULL, why);
		else
			result("errors", c->name, !ok && policy == NULL && err.line == c->line && err.column == c->column &&
			    strstr(err.text, c->says) != NULL, ok ? "was accepted" : why);
		policy_free(policy);
	}
}

/* Texts that are made, not written: NUL, long lines, long lists. */

static void
expect(const char *name, const char *text, size_t len, unsigned line, unsigned column, const char *says)
{
	struct policy *policy = NULL;
	struct policy_error err;
	char why[500];
	bool ok = policy_parse(text, len, PATH, &policy, &err) == 0;

	snprintf(why, sizeof why, "%u:%u: %s", err.line, err.column, err.text);
	result("sizes", name, says == NULL ? ok :
	    !ok && err.line == line && err.column == column && strstr(err.text, says) != NULL, why);
	policy_free(policy);
}

static void
test_sizes(void)
{
	static char text[200000];
	size_t head, n;
	int i;

	memcpy(text, C "ciphers = a\0b\n", sizeof C "ciphers = a\0b\n");
	expect("NUL", text, sizeof C "ciphers = a\0b\n" - 1, 3, 12, "\\x00");
	expect("nothing at NULL", NULL, 0, 0, 0, "no section");
	head = (size_t)sprintf(text, C);
	memset(text + head, '#', 5000);
	expect("line of 4096 bytes", text, head + 4096, 0, 0, NULL);
	expect("line of 4097 bytes", text, head + 4097, 3, 4097, "at most 4096 bytes");
	n = (size_t)sprintf(text, "[client a]\nmatch = *:1");
	while (n < 11 + 4092)
		n += (size_t)sprintf(text + n, ",*:1");
	expect("list that grows in print", text, n, 2, 9, "canonical form");
	n = (size_t)sprintf(text, C "certfile = ");
	memset(text + n, 'x', 4080);
	expect("path that grows too long", text, n + 4080, 3, 12, "too long");
	for (n = 0, i = 0; i < 1025; i++)
		n += (size_t)sprintf(text + n, "[client c%d]\nmatch = *:1\n", i);
	expect("1025 rules", text, n, 2049, 1, "at most 1024");
	n = (size_t)sprintf(text, "[client a]\nmatch = ");
	memset(text + n, '[', 4000);
	expect("deep brackets", text, n + 4000, 2, 9, "expected HOST:PORT");
}

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

/* Matches: who asks for what, and the answer. */

#define PL POLICY_PLAIN
#define WR POLICY_WRAP
#define RE POLICY_REFUSE
#define CK POLICY_CANNOT_KNOW
#define CL POLICY_CLIENT
#define SV POLICY_SERVER

struct match_case {
	const char *name, *match;	/* of a rule that wraps, or a whole text if it begins with [ */
	enum policy_role role;
	const char *host;		/* numeric */
	unsigned port;
	const char *resolved;
	enum policy_answer answer;
	int rule;
	bool by_name;
};

static const struct match_case match_cases[] = {
	{ "any", "*:*", CL, "192.0.2.1", 1, NULL, WR, 0, false },
	{ "any port 0", "*:*", CL, "192.0.2.1", 0, NULL, WR, 0, false },
	{ "port", "*:80", CL, "192.0.2.1", 80, NULL, WR, 0, false },
	{ "other port", "*:80", CL, "192.0.2.1", 81, NULL, PL, -1, false },
	{ "range, low end", "*:80-90", CL, "192.0.2.1", 80, NULL, WR, 0, false },
	{ "range, high end", "*:80-90", CL, "192.0.2.1", 90, NULL, WR, 0, false },
	{ "range, above", "*:80-90", CL, "192.0.2.1", 91, NULL, PL, -1, false },
	{ "other role", "*:*", SV, "192.0.2.1", 1, NULL, PL, -1, false },
	{ "address", "192.0.2.1:*", CL, "192.0.2.1", 1, NULL, WR, 0, false },
	{ "other address", "192.0.2.1:*", CL, "192.0.2.2", 1, NULL, PL, -1, false },
	{ "block, first", "10.8.0.0/13:*", CL, "10.8.0.0", 1, NULL, WR, 0, false },
	{ "block, last", "10.8.0.0/13:*", CL, "10.15.255.255", 1, NULL, WR, 0, false },
	{ "block, beyond", "10.8.0.0/13:*", CL, "10.16.0.0", 1, NULL, PL, -1, false },
	{ "block of everything", "0.0.0.0/0:*", CL, "1.2.3.4", 1, NULL, WR, 0, false },
	{ "v4 block and v6", "0.0.0.0/0:*", CL, "2001:db8::1", 1, NULL, PL, -1, false },
	{ "v6 block and v4", "[::/0]:*", CL, "1.2.3.4", 1, NULL, PL, -1, false },
	{ "v6 block and mapped v4", "[::/0]:*", CL, "::ffff:1.2.3.4", 1, NULL, PL, -1, false },
	{ "host bits in a block", "10.1.2.3/8:*", CL, "10.9.9.9", 1, NULL, WR, 0, false },
	{ "v6", "[::1]:*", CL, "::1", 1, NULL, WR, 0, false },
	{ "v6 block", "[fd00::/8]:*", CL, "fdff::1", 1, NULL, WR, 0, false },
	{ "v6 block, beyond", "[fd00::/8]:*", CL, "fe00::1", 1, NULL, PL, -1, false },
	{ "mapped address", "10.0.0.0/8:*", CL, "::ffff:10.1.1.1", 1, NULL, WR, 0, false },
	{ "mapped pattern", "[::ffff:10.0.0.0/104]:*", CL, "10.1.1.1", 1, NULL, WR, 0, false },
	{ "name", "cache.example:6379", CL, "192.0.2.1", 6379, "cache.example", WR, 0, true },
	{ "name in capitals, with dot", "Cache.Example:6379", CL, "192.0.2.1", 6379, "CACHE.EXAMPLE.", WR, 0, true },
	{ "pattern with dot", "cache.example.:6379", CL, "192.0.2.1", 6379, "cache.example", WR, 0, true },
	{ "other name", "cache.example:6379", CL, "192.0.2.1", 6379, "other.example", PL, -1, false },
	{ "no name", "cache.example:6379", CL, "192.0.2.1", 6379, NULL, CK, 0, false },
	{ "empty name", "cache.example:6379", CL, "192.0.2.1", 6379, "", CK, 0, false },
	{ "no name, other port", "cache.example:6379", CL, "192.0.2.1", 80, NULL, PL, -1, false },
	{ "numeric name", "cache.example:6379", CL, "192.0.2.1", 6379, "192.0.2.1", CK, 0, false },
	{ "numeric name, short form", "cache.example:6379", CL, "127.0.0.1", 6379, "127.1", CK, 0, false },
	{ "numeric v6 name", "cache.example:6379", CL, "fe80::1", 6379, "fe80::1%eth0", CK, 0, false },
	{ "glob", "*.cache.example:6379", CL, "192.0.2.1", 6379, "a.cache.example", WR, 0, true },
	{ "glob, two labels", "*.cache.example:6379", CL, "192.0.2.1", 6379, "a.b.cache.example", WR, 0, true },
	{ "glob, none", "*.cache.example:6379", CL, "192.0.2.1", 6379, "cache.example", PL, -1, false },
	{ "glob, suffix", "*.cache.example:6379", CL, "192.0.2.1", 6379, "a.cache.example.org", PL, -1, false },
	{ "glob, no name", "*.cache.example:6379", CL, "192.0.2.1", 6379, NULL, CK, 0, false },
	{ "glob, question marks", "db??.x:1", CL, "192.0.2.1", 1, "db07.x", WR, 0, true },
	{ "glob, twice", "*a*b:1", CL, "192.0.2.1", 1, "xaabab", WR, 0, true },
	{ "yes beats cannot know", "cache.example:1, 192.0.2.0/24:1", CL, "192.0.2.1", 1, NULL, WR, 0, false },
	{ "yes beats cannot know, swapped", "192.0.2.0/24:1, cache.example:1", CL, "192.0.2.1", 1, NULL, WR, 0, false },
	{ "cannot know beats no", "cache.example:1, 10.0.0.0/8:1", CL, "192.0.2.1", 1, NULL, CK, 0, false },
	{ "name and address", "192.0.2.0/24:1, cache.example:1", CL, "192.0.2.1", 1, "cache.example", WR, 0, true },
	{ "star needs no name", "*:1", CL, "192.0.2.1", 1, NULL, WR, 0, false },
	{ "localhost v4", "localhost:1", CL, "127.9.9.9", 1, NULL, WR, 0, false },
	{ "localhost v6", "localhost:1", CL, "::1", 1, NULL, WR, 0, false },
	{ "localhost mapped", "localhost:1", CL, "::ffff:127.0.0.1", 1, NULL, WR, 0, false },
	{ "localhost by name", "localhost:1", CL, "127.0.0.1", 1, "localhost", WR, 0, true },
	{ "localhost is in no doubt", "localhost:1", CL, "192.0.2.1", 1, NULL, PL, -1, false },
	{ "any address means here", "localhost:1", CL, "0.0.0.0", 1, NULL, WR, 0, false },
	{ "any v6 address means here", "[::1]:1", CL, "::", 1, NULL, WR, 0, false },
	{ "any address does not mean elsewhere", "10.0.0.0/8:1", CL, "0.0.0.0", 1, NULL, PL, -1, false },
	{ "server", "[server s]\nmatch=*:8443\ncertfile=c", SV, "192.0.2.1", 8443, NULL, WR, 0, false },
	{ "server, block", "[server s]\nmatch=10.0.0.0/8:*\ncertfile=c", SV, "10.0.0.1", 8443, NULL, WR, 0, false },
	{ "server, localhost", "[server s]\nmatch=localhost:*\ncertfile=c", SV, "127.0.0.1", 8443, NULL, WR, 0, false },
	{ "server, localhost and any", "[server s]\nmatch=localhost:*\ncertfile=c", SV, "0.0.0.0", 8443, NULL, PL, -1, false },
	{ "server, name is ignored", "[server s]\nmatch=10.0.0.0/8:*\ncertfile=c", SV, "192.0.2.1", 1, "x", PL, -1, false },
	{ "first wins", "[client p]\nmatch=*:1\naction=plain\n[client w]\nmatch=*:*", CL, "192.0.2.1", 1, NULL, PL, 0, false },
	{ "second", "[client p]\nmatch=*:1\naction=plain\n[client w]\nmatch=*:*", CL, "192.0.2.1", 2, NULL, WR, 1, false },
	{ "roles apart", "[client c]\nmatch=*:*\n[server s]\nmatch=*:*\naction=refuse", SV, "192.0.2.1", 2, NULL, RE, 1, false },
	{ "cannot know stops", "[client n]\nmatch=x.y:1\n[client w]\nmatch=*:*", CL, "192.0.2.1", 1, NULL, CK, 0, false },
	{ "cannot know of plain", "[client n]\nmatch=x.y:1\naction=plain", CL, "192.0.2.1", 1, NULL, CK, 0, false },
	{ "refuse", "[client r]\nmatch=*:1\naction=refuse", CL, "192.0.2.1", 1, NULL, RE, 0, false },
	{ "unmatched refuse", "[defaults]\nunmatched=refuse\n[client w]\nmatch=*:1", CL, "192.0.2.1", 2, NULL, RE, -1, false },
	{ "program, not said", "[client w]\nmatch=*:1\nprogram=x", CL, "192.0.2.1", 1, NULL, PL, -1, false },
};

static socklen_t
address(struct sockaddr_storage *to, const char *host, unsigned port)
{
	struct sockaddr_in6 six = { .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port) };
	struct sockaddr_in four = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };

	if (inet_pton(AF_INET, host, &four.sin_addr) == 1) {
		memcpy(to, &four, sizeof four);
		return sizeof four;
	}
	inet_pton(AF_INET6, host, &six.sin6_addr);
	memcpy(to, &six, sizeof six);
	return sizeof six;
}

static void
match_one(const struct match_case *c)
{
	struct sockaddr_storage to;
	struct policy_query query = { c->role, (const struct sockaddr *)&to, address(&to, c->host, c->port), c->resolved, NULL };
	struct policy_verdict verdict;
	struct policy_error err;
	struct policy *policy;
	char text[300], why[400];
	int told;

	snprintf(text, sizeof text,
	    c->match[0] == '[' && strchr(c->match, '\n') != NULL ? "%s" : "[client a]\nmatch = %s\n", c->match);
	if (policy_parse(text, strlen(text), PATH, &policy, &err) != 0) {
		result("match", c->name, false, err.text);
		return;
	}
	verdict = policy_match(policy, &query);
	snprintf(why, sizeof why, "answer %d, rule %d, by name %d", (int)verdict.answer, verdict.rule, (int)verdict.by_name);
	result("match", c->name, verdict.answer == c->answer && verdict.rule == c->rule && verdict.by_name == c->by_name, why);
	told = policy_explain(policy, c->rule >= 0 ? c->rule : 0, &query, why, sizeof why);
	result("explain", c->name, told == (c->rule >= 0 ? (int)c->answer : -1) && why[0] != '\0', why);
	policy_free(policy);
}

static void
test_matches(void)
{
	size_t i;

	for (i = 0; i < COUNT(match_cases); i++)
		match_one(&match_cases[i]);
}

static void
test_addresses(void)
{
	static const char text[] = "[defaults]\nunmatched = refuse\n[client a]\nmatch = [fd00::/8]:1\n";
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	struct sockaddr_storage six = { .ss_family = AF_UNSPEC };
	struct policy_query query = { .role = POLICY_CLIENT };
	struct policy_error err;
	struct policy *policy;

	if (policy_parse(text, strlen(text), PATH, &policy, &err) != 0) {
		result("addresses", "parse", false, err.text);
		return;
	}
	result("addresses", "none", policy_match(policy, &query).answer == POLICY_REFUSE, "not refused");
	query.addr = (const struct sockaddr *)&un;
	query.addrlen = sizeof un;
	result("addresses", "AF_UNIX", policy_match(policy, &query).answer == POLICY_PLAIN, "not plain");
	query.addr = (const struct sockaddr *)&six;
	query.addrlen = sizeof six;
	result("addresses", "AF_UNSPEC", policy_match(policy, &query).answer == POLICY_PLAIN, "not plain");
	address(&six, "fd00::1", 1);
	query.addrlen = 24;
	result("addresses", "without scope", policy_match(policy, &query).answer == POLICY_WRAP, "not wrapped");
	query.addrlen = 23;
	result("addresses", "short", policy_match(policy, &query).answer == POLICY_REFUSE, "not refused");
	query.addrlen = 1;
	result("addresses", "one byte", policy_match(policy, &query).answer == POLICY_REFUSE, "not refused");
	policy_free(policy);
}

/* Programs. */

struct program_case {
	const char *name, *program, *invoked, *argv0, *resolved;
	bool fits;
};

static const struct program_case program_cases[] = {
	{ "base of the path", "redis-cli", "/usr/bin/redis-cli", NULL, NULL, true },
	{ "base of argv[0]", "redis-server", "/usr/bin/redis-check-rdb", "/x/redis-server", "/usr/bin/redis-check-rdb", true },
	{ "base of the executable", "redis-check-rdb", "/usr/bin/redis-server", "redis-server", "/usr/bin/redis-check-rdb", true },
	{ "glob on bases", "python3*", "/usr/bin/python3.11", NULL, NULL, true },
	{ "path invoked", "/usr/bin/python3*", "/usr/bin/python3", NULL, "/usr/bin/python3.11", true },
	{ "path resolved", "/opt/*/bin/x", "x", "x", "/opt/v1/bin/x", true },
	{ "path against argv[0]", "/a/x", "/b/x", "/a/x", "/b/x", false },
	{ "base against a path", "usr", "/usr/bin/x", "x", NULL, false },
	{ "whole word", "redis", "/usr/bin/redis-cli", "redis-cli", NULL, false },
	{ "set", "node[0-9]", "/usr/bin/node2", NULL, NULL, true },
	{ "negated set", "node[!0-9]", "/usr/bin/node2", NULL, NULL, false },
	{ "case counts", "Redis-cli", "/usr/bin/redis-cli", NULL, NULL, false },
	{ "one of several", "a, b, \"c d\"", "/c d", NULL, NULL, true },
	{ "nothing known", "a", NULL, NULL, NULL, false },
};

static void
test_programs(void)
{
	const struct program_case *c;
	struct policy_error err;
	struct policy *policy;
	char text[200];

	for (c = program_cases; c < program_cases + COUNT(program_cases); c++) {
		struct policy_program program = { c->invoked, c->argv0, c->resolved };

		snprintf(text, sizeof text, C "program = %s\n", c->program);
		if (policy_parse(text, strlen(text), PATH, &policy, &err) != 0) {
			result("programs", c->name, false, err.text);
			continue;
		}
		result("programs", c->name, policy_rule_fits(policy, 0, &program) == c->fits, c->fits ? "does not fit" : "fits");
		result("concerns", c->name, policy_concerns(policy, POLICY_CLIENT, &program) == c->fits &&
		    !policy_concerns(policy, POLICY_SERVER, &program) && !policy_concerns(policy, POLICY_CLIENT, NULL), "wrong");
		policy_free(policy);
	}
}

struct concern_case {
	const char *name, *text;
	bool client, server;
};

static const struct concern_case concern_cases[] = {
	{ "client", C, true, false },
	{ "server", S, false, true },
	{ "plain", C "action = plain\n", false, false },
	{ "plain with a name can refuse", "[client a]\nmatch = x.y:1\naction = plain\n", true, false },
	{ "plain with localhost cannot", "[client a]\nmatch = localhost:1\naction = plain\n", false, false },
	{ "refuse", C "action = refuse\n", true, false },
	{ "unmatched refuse", "[defaults]\nunmatched = refuse\n", true, true },
	{ "nothing", "[defaults]\n", false, false },
};

static void
test_concerns(void)
{
	const struct concern_case *c;
	struct policy_error err;
	struct policy *policy;

	for (c = concern_cases; c < concern_cases + COUNT(concern_cases); c++) {
		if (policy_parse(c->text, strlen(c->text), PATH, &policy, &err) != 0) {
			result("concerns", c->name, false, err.text);
			continue;
		}
		result("concerns", c->name, policy_concerns(policy, POLICY_CLIENT, NULL) == c->client &&
		    policy_concerns(policy, POLICY_SERVER, NULL) == c->server, "wrong");
		policy_free(policy);
	}
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
			printf("skipped files: %s: only root can give a file away\n", c->name);
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
	test_errors();
	test_sizes();
	test_settings();
	test_places();
	test_matches();
	test_addresses();
	test_programs();
	test_concerns();
	test_print();
	test_examples();
	test_files();
	return summary();
}
