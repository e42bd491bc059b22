/*-------------------------------------------------------------------------
 *
 * cron.h
 *	  A schedule: sets of seconds, minutes, hours, days, months and weekdays.
 *
 * cron_parse.h makes one from a text, calendar.h tells when it is due.  Needs
 * nothing but <stdint.h>.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PGBGW_CRON_H
#define PGBGW_CRON_H

#include <stdint.h>

/* What a field began with decides how days and hours are understood. */
#define PGBGW_CRON_ANY_HOUR		1
#define PGBGW_CRON_ANY_DAY		2
#define PGBGW_CRON_ANY_WEEKDAY	4
/* There is a field of seconds. */
#define PGBGW_CRON_SECONDS		8

/* Which field, in the order of the text. */
#define PGBGW_CRON_SECOND		0
#define PGBGW_CRON_MINUTE		1
#define PGBGW_CRON_HOUR			2
#define PGBGW_CRON_DAY			3
#define PGBGW_CRON_MONTH		4
#define PGBGW_CRON_WEEKDAY		5

/* A schedule: in each set the bit n stands for the number n. */
typedef struct pgbgw_cron
{
	uint64_t	seconds;
	uint64_t	minutes;
	uint64_t	hours;
	uint64_t	days;			/* of the month, from 1 */
	uint64_t	last_days;		/* bit n: n days before the last of the month */
	uint64_t	months;			/* from 1 */
	uint64_t	weekdays;		/* every Sunday is bit 0, every Saturday 6 */
	uint8_t		nth[7];			/* bit n, from 1: the nth of that weekday; 0:
								 * its last in the month */
	uint8_t		flags;
} pgbgw_cron;

/* What is known of a field. */
typedef struct pgbgw_cron_field
{
	int32_t		least;
	int32_t		most;
	const char *names;			/* three letters each, from "least" on */
	const char *range;
} pgbgw_cron_field;

static inline const pgbgw_cron_field *
pgbgw_cron_field_of(int field)
{
	static const pgbgw_cron_field fields[] = {
		{0, 59, "", "A second is from 0 to 59."},
		{0, 59, "", "A minute is from 0 to 59."},
		{0, 23, "", "An hour is from 0 to 23."},
		{1, 31, "", "A day of the month is from 1 to 31; L is the last one."},
		{1, 12, "janfebmaraprmayjunjulaugsepoctnovdec",
		"A month is from 1 to 12, or jan to dec."},
		{0, 7, "sunmontuewedthufrisat",
		"A day of the week is from 0 to 7, or sun to sat; 0 and 7 are Sunday."}
	};

	return &fields[field];
}

#endif							/* PGBGW_CRON_H */
