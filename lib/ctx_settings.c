/* ctx_settings.c - what a context's sockets may speak, and how they verify. */
#include "ctx.h"
#include "ctx_impl.h"

#include "engine.h"
#include "text.h"

#include <errno.h>
#include <stdio.h>

int
wrapsock_ctx_set_ciphers(struct wrapsock_ctx *c, const char *ciphers)
{
	if (!ctx_open(c))
		return -1;
	if (!ciphers || !*ciphers)
		return error_set(c, WRAPSOCK_E_NO_CIPHER, EINVAL, "ciphers must be given");
	if (strchr(ciphers, '@') && !c->legacy && strstr(ciphers, "@SECLEVEL"))
		return ctx_invalid(c, "a security level among the ciphers wants wrapsock_ctx_insecure_allow_legacy");
	return ctx_change(c, &c->draft->ciphers, ciphers, WRAPSOCK_E_NO_CIPHER);
}

int
wrapsock_ctx_set_ciphersuites(struct wrapsock_ctx *c, const char *suites)
{
	if (!ctx_open(c))
		return -1;
	if (!suites || !*suites)
		return error_set(c, WRAPSOCK_E_NO_CIPHER, EINVAL, "ciphersuites must be given");
	return ctx_change(c, &c->draft->ciphersuites, suites, WRAPSOCK_E_NO_CIPHER);
}

int
wrapsock_ctx_set_groups(struct wrapsock_ctx *c, const char *groups)
{
	if (!ctx_open(c))
		return -1;
	if (!groups || !*groups)
		return ctx_invalid(c, "groups must be given");
	return ctx_change(c, &c->draft->groups, groups, WRAPSOCK_E_INVALID);
}

static const struct {
	uint64_t bit;
	const char *name;	/* the engine's; "" = nothing is left of it in any library */
} bits[] = {
	{ WRAPSOCK_OP_ALL & ~WRAPSOCK_OP_ENABLE_MIDDLEBOX_COMPAT, "OP_ALL" },
	{ WRAPSOCK_OP_ENABLE_MIDDLEBOX_COMPAT, "OP_ENABLE_MIDDLEBOX_COMPAT" },
	{ WRAPSOCK_OP_NO_SSLv2, "OP_NO_SSLv2" },
	{ WRAPSOCK_OP_NO_SSLv3, "OP_NO_SSLv3" },
	{ WRAPSOCK_OP_NO_TLSv1, "OP_NO_TLSv1" },
	{ WRAPSOCK_OP_NO_TLSv1_1, "OP_NO_TLSv1_1" },
	{ WRAPSOCK_OP_NO_TLSv1_2, "OP_NO_TLSv1_2" },
	{ WRAPSOCK_OP_NO_TLSv1_3, "OP_NO_TLSv1_3" },
	{ WRAPSOCK_OP_NO_TICKET, "OP_NO_TICKET" },
	{ WRAPSOCK_OP_LEGACY_SERVER_CONNECT, "OP_LEGACY_SERVER_CONNECT" },
};

int
wrapsock_ctx_set_options(struct wrapsock_ctx *c, uint64_t options)
{
	char names[256] = ",";
	uint64_t unknown = options;

	if (!ctx_open(c))
		return -1;
	for (size_t i = 0; i < sizeof bits / sizeof *bits; i++) {
		size_t at = strlen(names);

		unknown &= ~bits[i].bit;
		if (options & bits[i].bit)
			snprintf(names + at, sizeof names - at, "%s,", bits[i].name);
	}
	if (unknown)
		return error_set(c, WRAPSOCK_E_INVALID, EINVAL, "%#llx are no options of ours, expected WRAPSOCK_OP_ values",
				 (unsigned long long)unknown);
	if (options & WRAPSOCK_OP_LEGACY_SERVER_CONNECT && !c->legacy)
		return ctx_invalid(c, "WRAPSOCK_OP_LEGACY_SERVER_CONNECT wants wrapsock_ctx_insecure_allow_legacy");
	if (ctx_change(c, &c->draft->options, names, WRAPSOCK_E_INVALID) < 0)
		return -1;
	c->options = options;
	return 0;
}

uint64_t
wrapsock_ctx_options(const struct wrapsock_ctx *c)
{
	return c->options;
}

/* ---- verification ---- */

int
wrapsock_ctx_set_verify_mode(struct wrapsock_ctx *c, int cert_reqs)
{
	if (!ctx_open(c))
		return -1;
	if (cert_reqs < WRAPSOCK_CERT_NONE || cert_reqs > WRAPSOCK_CERT_REQUIRED)
		return error_set(c, WRAPSOCK_E_INVALID, EINVAL, "%d is no verify mode, expected WRAPSOCK_CERT_NONE, _OPTIONAL or _REQUIRED",
				 cert_reqs);
	if (cert_reqs == WRAPSOCK_CERT_NONE && c->protocol == WRAPSOCK_PROTOCOL_TLS_CLIENT && !c->no_verify)
		return ctx_invalid(c, "a client's WRAPSOCK_CERT_NONE wants wrapsock_ctx_insecure_no_verify");
	c->verify_mode = cert_reqs;
	return 0;
}

int
wrapsock_ctx_verify_mode(const struct wrapsock_ctx *c)
{
	return c->verify_mode;
}

int
wrapsock_ctx_set_check_hostname(struct wrapsock_ctx *c, int on)
{
	if (!ctx_open(c))
		return -1;
	if (!on && c->protocol != WRAPSOCK_PROTOCOL_TLS_SERVER && !c->no_hostname && !c->no_verify)
		return ctx_invalid(c, "to check no name wants wrapsock_ctx_insecure_no_hostname");
	if (on && c->protocol == WRAPSOCK_PROTOCOL_TLS_SERVER)
		return ctx_invalid(c, "a server has no name to check");
	if (on && c->verify_mode == WRAPSOCK_CERT_NONE)
		c->verify_mode = WRAPSOCK_CERT_REQUIRED;	/* as in Python: a name says nothing without a chain */
	c->draft->check_hostname = on != 0;
	return 0;
}

int
wrapsock_ctx_check_hostname(const struct wrapsock_ctx *c)
{
	return c->draft->check_hostname;
}

int
wrapsock_ctx_set_hostname_checks_common_name(struct wrapsock_ctx *c, int on)
{
	if (!ctx_open(c))
		return -1;
	c->draft->common_name = on != 0;
	return 0;
}

int
wrapsock_ctx_set_verify_flags(struct wrapsock_ctx *c, unsigned long flags)
{
	const unsigned long known = WRAPSOCK_VERIFY_CRL_CHECK_CHAIN | WRAPSOCK_VERIFY_X509_STRICT | WRAPSOCK_VERIFY_ALLOW_PROXY_CERTS
		| WRAPSOCK_VERIFY_X509_TRUSTED_FIRST | WRAPSOCK_VERIFY_X509_PARTIAL_CHAIN;

	if (!ctx_open(c))
		return -1;
	if (flags & ~known)
		return error_set(c, WRAPSOCK_E_INVALID, EINVAL, "%#lx are no flags of verification, expected WRAPSOCK_VERIFY_ values",
				 flags & ~known);
	c->draft->verify_flags = flags | WRAPSOCK_VERIFY_X509_TRUSTED_FIRST;
	return 0;
}

unsigned long
wrapsock_ctx_verify_flags(const struct wrapsock_ctx *c)
{
	return c->draft->verify_flags;
}

/* ---- versions ---- */

int
wrapsock_ctx_set_version_range(struct wrapsock_ctx *c, int min, int max)
{
	struct config *d = c->draft;
	int before[2] = { d->minimum_version, d->maximum_version };

	if (!ctx_open(c))
		return -1;
	if ((min && (min < WRAPSOCK_TLSv1 || min > WRAPSOCK_TLSv1_3)) || (max && (max < WRAPSOCK_TLSv1 || max > WRAPSOCK_TLSv1_3)))
		return ctx_invalid(c, "no TLS version, expected WRAPSOCK_TLSv1 to WRAPSOCK_TLSv1_3, or 0");
	if (((min && min < WRAPSOCK_TLSv1_2) || (max && max < WRAPSOCK_TLSv1_2)) && !c->legacy)
		return ctx_invalid(c, "versions below TLS 1.2 want wrapsock_ctx_insecure_allow_legacy");
	if (!min)
		min = c->legacy ? WRAPSOCK_TLSv1 : WRAPSOCK_TLSv1_2;
	if (max && max < min)
		return ctx_invalid(c, "the highest version is below the lowest");
	d->minimum_version = min;
	d->maximum_version = max;
	if (ctx_try(c) == 0) {
		c->ranged = true;
		return 0;
	}
	d->minimum_version = before[0];
	d->maximum_version = before[1];
	return -1;
}

int
wrapsock_ctx_minimum_version(const struct wrapsock_ctx *c)
{
	return c->draft->minimum_version;
}

int
wrapsock_ctx_maximum_version(const struct wrapsock_ctx *c)
{
	return c->draft->maximum_version ? c->draft->maximum_version : WRAPSOCK_TLSv1_3;
}

int
wrapsock_ctx_protocol(const struct wrapsock_ctx *c)
{
	return c->protocol;
}

int
wrapsock_ctx_security_level(const struct wrapsock_ctx *c)
{
	return c->draft->security_level;
}

int
wrapsock_ctx_set_security_level(struct wrapsock_ctx *c, int level)
{
	int before = c->draft->security_level;

	if (!ctx_open(c))
		return -1;
	if (level < 0 || level > 5)
		return error_set(c, WRAPSOCK_E_INVALID, EINVAL, "%d is no security level, expected 0 to 5", level);
	if (level < CTX_LEVEL && !c->legacy)
		return error_set(c, WRAPSOCK_E_INVALID, EINVAL, "a security level below %d wants wrapsock_ctx_insecure_allow_legacy", CTX_LEVEL);
	c->draft->security_level = level;
	if (ctx_try(c) == 0)
		return 0;
	c->draft->security_level = before;
	return -1;
}

/* ---- the rest ---- */

int
wrapsock_ctx_set_alpn_protocols(struct wrapsock_ctx *c, const char *const *names, size_t n)
{
	size_t size = 2;
	char *list;
	int r;

	if (!ctx_open(c))
		return -1;
	for (size_t i = 0; i < n; i++) {
		size_t len = names[i] ? strlen(names[i]) : 0;

		if (len < 1 || len > 255 || strpbrk(names[i], ", "))
			return ctx_invalid(c, "a protocol's name has 1 to 255 bytes, none of them a comma or a blank");
		size += len + 1;
	}
	if (size > UINT16_MAX)
		return ctx_invalid(c, "too many protocols for one message");
	list = calloc(1, size);
	if (!list)
		return error_nomem(c);
	for (size_t i = 0; i < n; i++) {
		strcat(list, names[i]);
		strcat(list, ",");
	}
	r = ctx_change(c, &c->draft->alpn_protocols, list, WRAPSOCK_E_INVALID);
	free(list);
	return r;
}

int
wrapsock_ctx_set_num_tickets(struct wrapsock_ctx *c, unsigned n)
{
	if (!ctx_open(c))
		return -1;
	if (n > 100)
		return ctx_invalid(c, "more than 100 tickets serve nobody");
	c->draft->tickets = (int)n;
	return 0;
}

/* ---- what weakens ---- */

int
wrapsock_ctx_insecure_no_verify(struct wrapsock_ctx *c)
{
	if (!ctx_open(c))
		return -1;
	c->no_verify = true;
	c->verify_mode = WRAPSOCK_CERT_NONE;
	c->draft->check_hostname = false;
	return 0;
}

int
wrapsock_ctx_insecure_no_hostname(struct wrapsock_ctx *c)
{
	if (!ctx_open(c))
		return -1;
	c->no_hostname = true;
	c->draft->check_hostname = false;
	return 0;
}

int
wrapsock_ctx_insecure_allow_legacy(struct wrapsock_ctx *c)
{
	if (!ctx_open(c))
		return -1;
	c->legacy = true;
	c->draft->insecure = true;
	c->draft->security_level = 0;
	if (!c->ranged && !c->draft->maximum_version)
		c->draft->minimum_version = WRAPSOCK_TLSv1;
	return 0;
}
