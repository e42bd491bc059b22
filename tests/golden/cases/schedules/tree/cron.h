/*-------------------------------------------------------------------------
 *
 * cron.h
 *	  A schedule: sets of seconds, minutes, hours, days, months and weekdays,
 *	  or an interval.
 *
 * cron_parse.h makes one from a text, calendar.h tells when it is due.  What
 * both have to know of days is here as well; the calendar is the Gregorian
 * one, at all times.  Needs nothing but <stdint.h>.
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

#define PGBGW_MINUTE_SECS	60
#define PGBGW_HOUR_SECS		3600
#define PGBGW_DAY_SECS		86400

/*
 * A schedule: in each set the bit n stands for the number n.  Or an interval,
 * which has no sets.
 */
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
	int64_t		period;			/* in seconds; 0 where there are fields */
	int64_t		anchor;			/* when it is first due, as seconds in UTC */
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

/* Division that rounds down, also below 0. */
static inline int64_t
pgbgw_floor_div(int64_t number, int64_t by)
{
	return number / by - (number % by < 0);
}

static inline int
pgbgw_is_leap(int64_t year)
{
	return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

static inline int
pgbgw_days_in(int64_t year, int month)
{
	static const int8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

	return days[month - 1] + (month == 2 && pgbgw_is_leap(year));
}

/*
 * Days from 1970-01-01 to the first of a month.
 */
static inline int64_t
pgbgw_month_begins(int64_t year, int month)
{
	static const int16_t before[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};
	int64_t		past = year - 1;
	int64_t		days = past * 365;

	days += pgbgw_floor_div(past, 4);
	days -= pgbgw_floor_div(past, 100);
	days += pgbgw_floor_div(past, 400);
	days += before[month - 1] + (month > 2 && pgbgw_is_leap(year));
	/* so many lie between 0001-01-01 and 1970-01-01 */
	return days - 719162;
}

#endif							/* PGBGW_CRON_H */
