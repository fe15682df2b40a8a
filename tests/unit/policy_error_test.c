/* policy_error_test.c - what is wrong with a policy is told with its place: texts that are refused, and those next to them that are not. */
#include "policies.h"

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

int
main(void)
{
	test_errors();
	test_sizes();
	return summary();
}
