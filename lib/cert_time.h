/*
 * cert_time.h - the time texts of certificates.
 */
#ifndef WRAPSOCK_CERT_TIME_H
#define WRAPSOCK_CERT_TIME_H

#include <stdbool.h>
#include <stdint.h>

/* "May  9 00:00:00 2007 GMT" -> seconds since 1970, whatever the process's time zone and locale. false = no such text, or no such day. */
bool cert_time_parse(const char *text, int64_t *seconds);

#endif
