/*
 * cert_time.c - "Mon D HH:MM:SS YYYY GMT" as OpenSSL prints it, with the freedoms that Python's parser gives: letters of either case, any
 * white space, a day or an hour of one digit, and seconds up to 61, which count on.
 */
#include "cert_time.h"

#include "error.h"

#include <errno.h>
#include <stddef.h>

static bool
space(const char **p)
{
	const char *from = *p;

	while (**p == ' ' || (**p >= '\t' && **p <= '\r'))
		++*p;
	return *p > from;
}

/* One or two digits, or just `exactly` of them; up to max. */
static bool
number(const char **p, int exactly, int max, int *value)
{
	int digits = 0;

	*value = 0;
	while (digits < (exactly ? exactly : 2) && **p >= '0' && **p <= '9') {
		*value = *value * 10 + (*(*p)++ - '0');
		digits++;
	}
	return digits > 0 && (!exactly || digits == exactly) && *value <= max;
}

static bool
colon(const char **p)
{
	return *(*p)++ == ':';
}

/* 1 to 12; 0 = no month. Letters are compared as ASCII: strncasecmp would ask the locale. */
static int
month(const char **p)
{
	static const char names[12][4] = { "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec" };

	for (int i = 0; i < 12; i++) {
		size_t n = 0;

		while (n < 3 && ((*p)[n] == names[i][n] || (*p)[n] == names[i][n] - 'a' + 'A'))
			n++;
		if (n == 3) {
			*p += 3;
			return i + 1;
		}
	}
	return 0;
}

static int
days_in(int m, int year)
{
	static const int days[12] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);

	return days[m - 1] + (m == 2 && leap);
}

/* Days from 1 January 1970 in the Gregorian calendar: years begin in March here, so that the leap day is a year's last. */
static int64_t
day_number(int year, int m, int day)
{
	int64_t y = m > 2 ? year : year - 1;
	int64_t in_year = (153 * (m > 2 ? m - 3 : m + 9) + 2) / 5 + day - 1;

	return y * 365 + y / 4 - y / 100 + y / 400 + in_year - 719468;
}

bool
cert_time_parse(const char *text, int64_t *seconds)
{
	static const char gmt[] = "gmt";
	const char *p = text;
	int m = month(&p), day, hour, minute, second, year;

	if (m == 0 || !space(&p) || !number(&p, 0, 31, &day) || !space(&p) || !number(&p, 0, 23, &hour) || !colon(&p)
	    || !number(&p, 0, 59, &minute) || !colon(&p) || !number(&p, 0, 61, &second) || !space(&p) || !number(&p, 4, 9999, &year)
	    || !space(&p))
		return false;
	for (int i = 0; i < 3; i++, p++)
		if (*p != gmt[i] && *p != gmt[i] - 'a' + 'A')
			return false;
	if (*p != '\0' || year == 0 || day == 0 || day > days_in(m, year))
		return false;
	*seconds = ((day_number(year, m, day) * 24 + hour) * 60 + minute) * 60 + second;
	return true;
}

int
wrapsock_cert_time_to_seconds(const char *timestring, int64_t *seconds)
{
	error_clear(NULL);
	if (!timestring)
		return error_set(NULL, WRAPSOCK_E_INVALID, EINVAL, "there is no time to convert");
	if (!cert_time_parse(timestring, seconds))
		return error_set(NULL, WRAPSOCK_E_INVALID, EINVAL, "not a certificate's time, expected the form \"Jan  5 09:34:43 2018 GMT\"");
	return 0;
}
