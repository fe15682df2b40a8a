/* ctx.c - contexts: settings checked when they are made, frozen when the first socket is. */
#include "ctx_impl.h"

#include "engine.h"
#include "text.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

/* ---- failures ---- */

static int
refuse(const void *obj, const struct engine_refusal *why, enum wrapsock_err wrong)
{
	static const struct {
		enum wrapsock_err code;
		int error;
	} kinds[] = {
		[ENGINE_FAULT_VALUE] = { WRAPSOCK_E_INVALID, EINVAL },	   [ENGINE_FAULT_FILE] = { WRAPSOCK_E_SYSCALL, 0 },
		[ENGINE_FAULT_CONTENT] = { WRAPSOCK_E_SSL, EPROTO },	   [ENGINE_FAULT_CIPHER] = { WRAPSOCK_E_NO_CIPHER, EINVAL },
		[ENGINE_FAULT_KEY] = { WRAPSOCK_E_KEY_MISMATCH, EINVAL }, [ENGINE_FAULT_NOMEM] = { WRAPSOCK_E_NOMEM, ENOMEM },
	};
	struct failure f = { .code = why->fault == ENGINE_FAULT_VALUE ? wrong : kinds[why->fault].code };

	snprintf(f.text, sizeof f.text, "%s", why->text);
	snprintf(f.reason, sizeof f.reason, "%s", why->reason);
	return error_put(obj, &f, why->error ? why->error : kinds[why->fault].error);
}

int
ctx_invalid(const struct wrapsock_ctx *c, const char *text)
{
	return error_set(c, WRAPSOCK_E_INVALID, EINVAL, "%s", text);
}

bool
ctx_open(struct wrapsock_ctx *c)
{
	error_clear(c);
	if (!c->frozen)
		return true;
	error_set(c, WRAPSOCK_E_STATE, EINVAL, "the context is in use: it cannot be changed after the first socket was made from it");
	return false;
}

/* Versions that are still to be permitted are not held against it. */
static int
try(struct wrapsock_ctx *c, enum wrapsock_err wrong)
{
	struct engine_refusal why;
	bool insecure = c->draft->insecure;
	int r;

	c->draft->insecure = c->legacy || c->draft->minimum_version < WRAPSOCK_TLSv1_2;
	r = engine_check(c->draft, &why);
	c->draft->insecure = insecure;
	return r < 0 ? refuse(c, &why, wrong) : 0;
}

int
ctx_try(struct wrapsock_ctx *c)
{
	return try(c, WRAPSOCK_E_INVALID);
}

int
ctx_change(struct wrapsock_ctx *c, char **at, const char *value, enum wrapsock_err wrong)
{
	char *old = *at;

	*at = text_copy(value);
	if (*at && try(c, wrong) == 0) {
		free(old);
		return 0;
	}
	if (!*at)
		error_nomem(c);
	free(*at);
	*at = old;
	return -1;
}

/* ---- made and freed ---- */

static const struct {
	int number;
	const char *name;
	int version;		/* both bounds, 0 = negotiated */
	int missing;		/* no library has it any more */
} protocols[] = {
	{ WRAPSOCK_PROTOCOL_SSLv2, "SSLv2", 0, 1 },
	{ WRAPSOCK_PROTOCOL_SSLv3, "SSLv3", 0, 1 },
	{ WRAPSOCK_PROTOCOL_TLS, "TLS", 0, 0 },
	{ WRAPSOCK_PROTOCOL_TLSv1, "TLSv1", WRAPSOCK_TLSv1, 0 },
	{ WRAPSOCK_PROTOCOL_TLSv1_1, "TLSv1.1", WRAPSOCK_TLSv1_1, 0 },
	{ WRAPSOCK_PROTOCOL_TLSv1_2, "TLSv1.2", WRAPSOCK_TLSv1_2, 0 },
	{ WRAPSOCK_PROTOCOL_TLS_CLIENT, "TLS_CLIENT", 0, 0 },
	{ WRAPSOCK_PROTOCOL_TLS_SERVER, "TLS_SERVER", 0, 0 },
};

static struct wrapsock_ctx *
ctx_make(int protocol, int version)
{
	struct wrapsock_ctx *c = calloc(1, sizeof *c);

	if (c)
		c->draft = config_new(protocol == WRAPSOCK_PROTOCOL_TLS_SERVER ? CONFIG_SERVER : CONFIG_CLIENT);
	if (!c || !c->draft || !(c->draft->trust = engine_trust_new())) {
		if (c)
			config_free(c->draft);
		free(c);
		error_nomem(NULL);
		return NULL;
	}
	object_init(&c->object, OBJECT_CTX);
	atomic_init(&c->refs, 1);
	c->protocol = protocol;
	c->verify_mode = protocol == WRAPSOCK_PROTOCOL_TLS_CLIENT ? WRAPSOCK_CERT_REQUIRED :
			 protocol == WRAPSOCK_PROTOCOL_TLS_SERVER ? WRAPSOCK_CERT_NONE : -1;
	c->options = WRAPSOCK_OP_ALL;
	c->draft->options_exact = true;
	c->draft->security_level = CTX_LEVEL;
	c->draft->handshake_timeout_ms = 0;	/* sockets have timeouts of their own */
	free(c->draft->ca_certs);
	c->draft->ca_certs = NULL;
	if (version)
		c->draft->minimum_version = c->draft->maximum_version = version;
	c->draft->options = text_copy("OP_ALL,OP_ENABLE_MIDDLEBOX_COMPAT");
	if (c->draft->options)
		return c;
	wrapsock_ctx_free(c);
	error_nomem(NULL);
	return NULL;
}

struct wrapsock_ctx *
wrapsock_ctx_new(int protocol)
{
	error_clear(NULL);
	for (size_t i = 0; i < COUNT(protocols); i++) {
		if (protocols[i].number != protocol)
			continue;
		if (!protocols[i].missing)
			return ctx_make(protocol, protocols[i].version);
		error_set(NULL, WRAPSOCK_E_UNSUPPORTED, EOPNOTSUPP, "%s is not supported: %s has no such protocol", protocols[i].name,
			  engine_library_version());
		return NULL;
	}
	error_set(NULL, WRAPSOCK_E_INVALID, EINVAL, "%d is no protocol, expected a WRAPSOCK_PROTOCOL_ value", protocol);
	return NULL;
}

struct wrapsock_ctx *
wrapsock_ctx_default_client(void)
{
	struct wrapsock_ctx *c = wrapsock_ctx_new(WRAPSOCK_PROTOCOL_TLS_CLIENT);

	if (!c)
		return NULL;
	if (wrapsock_ctx_load_default_certs(c) == 0
	    && wrapsock_ctx_set_verify_flags(c, wrapsock_ctx_verify_flags(c) | WRAPSOCK_VERIFY_X509_PARTIAL_CHAIN | WRAPSOCK_VERIFY_X509_STRICT) == 0)
		return c;
	error_move(NULL, c);
	wrapsock_ctx_free(c);
	return NULL;
}

struct wrapsock_ctx *
wrapsock_ctx_default_server(const char *certfile, const char *keyfile)
{
	struct wrapsock_ctx *c = wrapsock_ctx_new(WRAPSOCK_PROTOCOL_TLS_SERVER);

	if (!c)
		return NULL;
	if (wrapsock_ctx_load_cert_chain(c, certfile, keyfile) == 0)
		return c;
	error_move(NULL, c);
	wrapsock_ctx_free(c);
	return NULL;
}

struct wrapsock_ctx *
ctx_ref(struct wrapsock_ctx *c)
{
	atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
	return c;
}

void
wrapsock_ctx_free(struct wrapsock_ctx *c)
{
	int saved = errno;

	if (!c || atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) > 1)
		return;
	config_free(c->draft);
	config_free(c->sealed[CONFIG_CLIENT]);
	config_free(c->sealed[CONFIG_SERVER]);
	object_end(&c->object);
	free(c);
	errno = saved;
}

int
wrapsock_init(void)
{
	error_clear(NULL);
	if (engine_start())
		return 0;
	return error_set(NULL, WRAPSOCK_E_UNSUPPORTED, EOPNOTSUPP, "OpenSSL could not be started, or the process has shut it down");
}

/* ---- who we are ---- */

int
wrapsock_ctx_set_password(struct wrapsock_ctx *c, int (*cb)(char *buf, int size, void *arg), void *arg)
{
	if (!ctx_open(c))
		return -1;
	c->draft->password = cb;
	c->draft->password_arg = arg;
	return 0;
}

static int
load_credentials(struct wrapsock_ctx *c, const char *certfile, const char *keyfile, const struct engine_bytes *cert, const struct engine_bytes *key)
{
	struct config *d = c->draft;
	char *names[2] = { d->certfile, d->keyfile };
	struct engine_refusal why = { .fault = ENGINE_FAULT_NOMEM, .text = "out of memory" };
	void *loaded = NULL;

	d->certfile = text_copy(certfile);
	d->keyfile = keyfile ? text_copy(keyfile) : NULL;
	if (d->certfile && (d->keyfile || !keyfile)) {
		void *before = d->credentials;

		d->credentials = NULL;
		d->insecure = c->legacy;
		loaded = engine_credentials_new(d, cert, key, &why);
		d->credentials = before;
	}
	if (!loaded) {
		free(d->certfile);
		free(d->keyfile);
		d->certfile = names[0];
		d->keyfile = names[1];
		return refuse(c, &why, WRAPSOCK_E_INVALID);
	}
	free(names[0]);
	free(names[1]);
	engine_credentials_free(d->credentials);
	d->credentials = loaded;
	return 0;
}

int
wrapsock_ctx_load_cert_chain(struct wrapsock_ctx *c, const char *certfile, const char *keyfile)
{
	if (!ctx_open(c))
		return -1;
	if (!certfile || !*certfile)
		return ctx_invalid(c, "certfile must be given");
	return load_credentials(c, certfile, keyfile && *keyfile ? keyfile : NULL, NULL, NULL);
}

int
wrapsock_ctx_load_cert_chain_mem(struct wrapsock_ctx *c, const void *cert, size_t certlen, const void *key, size_t keylen)
{
	struct engine_bytes pem = { cert, certlen }, secret = { key, keylen };

	if (!ctx_open(c))
		return -1;
	if (!cert || certlen == 0)
		return ctx_invalid(c, "a certificate must be given");
	return load_credentials(c, "in memory", key ? "in memory" : NULL, &pem, key ? &secret : NULL);
}

/* ---- whom we trust ---- */

static int
add_trust(struct wrapsock_ctx *c, const struct engine_authorities *a)
{
	struct engine_refusal why;

	return engine_trust_add(c->draft->trust, a, &why) < 0 ? refuse(c, &why, WRAPSOCK_E_INVALID) : 0;
}

int
wrapsock_ctx_load_verify_locations(struct wrapsock_ctx *c, const char *cafile, const char *capath)
{
	char *folder = NULL;

	if (!ctx_open(c))
		return -1;
	if (!cafile && !capath)
		return ctx_invalid(c, "cafile or capath must be given");
	if (capath && !(folder = text_copy(capath)))
		return error_nomem(c);
	if (add_trust(c, &(struct engine_authorities){ .cafile = cafile, .capath = capath }) < 0) {
		free(folder);
		return -1;
	}
	if (!folder)
		return 0;
	free(c->draft->capath);
	c->draft->capath = folder;	/* its names are sent to clients */
	return 0;
}

int
wrapsock_ctx_load_verify_mem(struct wrapsock_ctx *c, const void *pem, size_t len)
{
	if (!ctx_open(c))
		return -1;
	if (!pem || len == 0)
		return ctx_invalid(c, "certificates must be given");
	return add_trust(c, &(struct engine_authorities){ .memory = { pem, len } });
}

int
wrapsock_ctx_load_default_certs(struct wrapsock_ctx *c)
{
	return ctx_open(c) ? add_trust(c, &(struct engine_authorities){ .cafile = NULL }) : -1;
}

int
wrapsock_ctx_set_default_verify_paths(struct wrapsock_ctx *c)
{
	return wrapsock_ctx_load_default_certs(c);
}

size_t
wrapsock_ctx_ca_count(const struct wrapsock_ctx *c)
{
	return engine_trust_count(c->draft->trust);
}

/* ---- frozen ---- */

static int
check_role(const struct wrapsock_ctx *c, const void *obj, enum config_role role)
{
	if (role == CONFIG_SERVER ? c->protocol == WRAPSOCK_PROTOCOL_TLS_CLIENT : c->protocol == WRAPSOCK_PROTOCOL_TLS_SERVER)
		return error_set(obj, WRAPSOCK_E_INVALID, EINVAL, "a context for %s cannot make a %s", role == CONFIG_SERVER ? "clients" : "servers",
				 role == CONFIG_SERVER ? "server" : "client");
	if (c->draft->minimum_version < WRAPSOCK_TLSv1_2 && !c->legacy)
		return error_set(obj, WRAPSOCK_E_UNSUPPORTED, EOPNOTSUPP,
				 "TLS 1.0 and 1.1 do not work with the security level of %s; wrapsock_ctx_insecure_allow_legacy lowers it",
				 engine_library_version());
	if (role == CONFIG_SERVER && !c->draft->certfile && !(c->legacy && c->draft->ciphers))
		return error_set(obj, WRAPSOCK_E_INVALID, EINVAL, "a server needs a certificate: wrapsock_ctx_load_cert_chain");
	return 0;
}

static int
check_name(const struct wrapsock_ctx *c, const void *obj, int mode, const char *name)
{
	if (mode == WRAPSOCK_CERT_NONE && !c->no_verify)
		return error_set(obj, WRAPSOCK_E_INVALID, EINVAL, "a client with WRAPSOCK_CERT_NONE wants wrapsock_ctx_insecure_no_verify");
	if (!name && mode != WRAPSOCK_CERT_NONE && c->draft->check_hostname)
		return error_set(obj, WRAPSOCK_E_INVALID, EINVAL,
				 "a client needs server_hostname to verify the certificate against, or wrapsock_ctx_insecure_no_hostname");
	if (name && !engine_name_usable(name))
		return error_set(obj, WRAPSOCK_E_INVALID, EINVAL, "server_hostname is neither a host's name nor an address");
	return 0;
}

/* A client into whose context nothing was loaded trusts whom the system trusts. */
static int
check_trust(struct wrapsock_ctx *c, const void *obj, enum config_role role, int mode)
{
	struct engine_refusal why;

	if (mode == WRAPSOCK_CERT_NONE || !engine_trust_empty(c->draft->trust))
		return 0;
	if (role == CONFIG_CLIENT && engine_trust_add(c->draft->trust, &(struct engine_authorities){ .cafile = NULL }, &why) < 0)
		return refuse(obj, &why, WRAPSOCK_E_INVALID);
	if (!engine_trust_empty(c->draft->trust))
		return 0;
	return error_set(obj, WRAPSOCK_E_INVALID, EINVAL, "WRAPSOCK_CERT_%s needs CA certificates, and %s: wrapsock_ctx_load_verify_locations",
			 mode == WRAPSOCK_CERT_REQUIRED ? "REQUIRED" : "OPTIONAL",
			 role == CONFIG_CLIENT ? "none are loaded and the system has none" : "none are loaded");
}

static struct config *
seal(struct wrapsock_ctx *c, const void *obj, enum config_role role, int mode)
{
	struct config *config = config_copy(c->draft, role);
	char err[512], warn[256];

	if (!config) {
		error_nomem(obj);
		return NULL;
	}
	config->cert_reqs = (enum config_cert_reqs)mode;
	config->check_hostname = role == CONFIG_CLIENT && mode != WRAPSOCK_CERT_NONE && c->draft->check_hostname;
	config->unverified = true;	/* check_name has seen to it */
	if (config_seal(config, err, sizeof err, warn, sizeof warn) == 0)
		return config;
	error_set(obj, WRAPSOCK_E_INVALID, EINVAL, "%s", err);
	config_free(config);
	return NULL;
}

static pthread_mutex_t sealing = PTHREAD_MUTEX_INITIALIZER;	/* guards sealed of all contexts */

static void
before_fork(void)
{
	pthread_mutex_lock(&sealing);
}

static void
in_parent(void)
{
	pthread_mutex_unlock(&sealing);
}

static void
in_child(void)
{
	pthread_mutex_init(&sealing, NULL);
}

static void
watch_forks(void)
{
	pthread_atfork(before_fork, in_parent, in_child);
}

struct config *
ctx_config(struct wrapsock_ctx *c, const void *obj, enum config_role role, const char *server_hostname)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	int mode = c->verify_mode >= 0 ? c->verify_mode : role == CONFIG_CLIENT ? WRAPSOCK_CERT_REQUIRED : WRAPSOCK_CERT_NONE;
	struct config *config = NULL;

	if (check_role(c, obj, role) < 0 || (role == CONFIG_CLIENT && check_name(c, obj, mode, server_hostname) < 0))
		return NULL;
	pthread_once(&once, watch_forks);
	pthread_mutex_lock(&sealing);
	if (!c->sealed[role] && check_trust(c, obj, role, mode) == 0)
		c->sealed[role] = seal(c, obj, role, mode);
	if (c->sealed[role]) {
		config = config_ref(c->sealed[role]);
		c->frozen = true;
	}
	pthread_mutex_unlock(&sealing);
	return config;
}
