/* certificate.h - for the examples: a certificate as Python's pprint shows getpeercert's dictionary, and how to give up. */
#ifndef CERTIFICATE_H
#define CERTIFICATE_H

#include <stdio.h>
#include <stdlib.h>
#include <wrapsock.h>

/* What obj (a context, a socket, or NULL) met last, and out. */
static inline void
die(const char *what, const void *obj)
{
	fprintf(stderr, "%s: %s\n", what, wrapsock_errstr(obj));
	exit(1);
}

/* A peer may have put anything into its certificate: quotes and control characters are not for a terminal. */
static inline void
print_quoted(const char *s)
{
	putchar('\'');
	for (; *s; s++) {
		if (*s == '\'' || (unsigned char)*s < ' ' || *s == 0x7f)
			printf("\\x%02x", (unsigned char)*s);
		else
			putchar(*s);
	}
	putchar('\'');
}

static inline void
print_names(const char *key, const struct wrapsock_name *names, size_t n)
{
	if (n == 0)
		return;
	printf(" '%s': (", key);
	for (size_t i = 0; i < n; i++) {
		printf("%s(", i ? ", " : "");
		print_quoted(names[i].name);
		printf(", ");
		print_quoted(names[i].value);
		putchar(')');
	}
	printf(")\n");
}

static inline void
print_certificate(const struct wrapsock_cert *cert)
{
	const struct wrapsock_name *names;
	size_t n;

	if (!cert) {
		printf("None\n");
		return;
	}
	printf("{\n");
	if (wrapsock_cert_validated(cert))
		printf(" 'notAfter': '%s'\n", wrapsock_cert_not_after(cert));
	n = wrapsock_cert_subject(cert, &names);
	print_names("subject", names, n);
	n = wrapsock_cert_alt_names(cert, &names);
	print_names("subjectAltName", names, n);
	printf("}\n");
}

#endif
