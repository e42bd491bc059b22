/*-------------------------------------------------------------------------
 *
 * calendar.h
 *	  When a schedule is due, by the clocks of a time zone.
 *
 * Times are seconds since 1970-01-01 00:00 UTC, without leap seconds.  Local
 * times are counted in the same way from 1970-01-01 00:00 of the zone's own
 * clocks.  The calendar is the Gregorian one, at all times.
 *
 * A schedule whose field of hours begins with an asterisk is due each time
 * that the clocks show a time that it names.  Any other is due once for each
 * such time, when the clocks come to it or have passed over it: a time that
 * clocks leave out is due at the moment at which they go forward, and of a
 * time that they show twice the first counts.  An interval goes by no clocks.
 *
 * Needs nothing but cron.h.  What is known of time zones comes from the
 * caller.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PGBGW_CALENDAR_H
#define PGBGW_CALENDAR_H

#include "cron.h"

/* After the last year of a timestamp, 294276, nothing is due. */
#define PGBGW_LAST_TIME		INT64_C(9224318016000)

/* The combinations of date and day of the week repeat after so many years. */
#define PGBGW_CYCLE		400

/* Clocks are set back by less than that, since they are less than a day off. */
#define PGBGW_LARGEST_STEP	(2 * PGBGW_DAY_SECS)

/* Answers */
#define PGBGW_DUE		1
#define PGBGW_NEVER		0

/* What differs from the rule above. */
#define PGBGW_SKIP_GAP	1		/* what clocks leave out is left out */
#define PGBGW_REPEAT	2		/* what they show twice is due twice */

/*
 * By how many seconds are the clocks ahead of UTC at a time, and until when
 * (not included) are they so?  They are ahead or behind by less than a day.
 * The end is later than the time; it may be told too short, and is INT64_MAX
 * where there is none.  Returns 0, or a number below 0 that ends the search
 * and is its result.
 */
typedef int (*pgbgw_offset_at) (void *zone, int64_t at, int64_t *offset,
								int64_t *until);

typedef struct pgbgw_zone
{
	pgbgw_offset_at offset_at;
	void	   *zone;
} pgbgw_zone;

/*
 * The date of a day that is counted from 1970-01-01.
 */
static inline void
pgbgw_calendar_date(int64_t day, int64_t *year, int *month, int *day_of_month)
{
	/* 146097 days are 400 years: at most one year off, and never too late */
	*year = 1970 + pgbgw_floor_div(day * 400, 146097) - 1;
	while (pgbgw_month_begins(*year + 1, 1) <= day)
		(*year)++;
	*month = 12;
	while (pgbgw_month_begins(*year, *month) > day)
		(*month)--;
	*day_of_month = (int) (day - pgbgw_month_begins(*year, *month)) + 1;
}

/*
 * pgbgw_cron_days
 *		The days of a month that a schedule means: bit n is the nth.
 */
static inline uint64_t
pgbgw_cron_days(const pgbgw_cron *cron, int64_t year, int month)
{
	int			length = pgbgw_days_in(year, month);
	int64_t		first = pgbgw_month_begins(year, month);
	int			weekday;
	uint64_t	by_day = 0;
	uint64_t	by_weekday = 0;

	if ((cron->months >> month & 1) == 0)
		return 0;
	/* 1970-01-01 was a Thursday */
	weekday = (int) (first + 4 - pgbgw_floor_div(first + 4, 7) * 7);
	for (int day = 1; day <= length; day++)
	{
		uint64_t	bit = UINT64_C(1) << day;
		int			nth = (day - 1) / 7 + 1;

		if ((cron->days >> day & 1) || (cron->last_days >> (length - day) & 1))
			by_day |= bit;
		if ((cron->weekdays >> weekday & 1) || (cron->nth[weekday] >> nth & 1) ||
			((cron->nth[weekday] & 1) && day + 7 > length))
			by_weekday |= bit;
		weekday = (weekday + 1) % 7;
	}

	/*
	 * As in cron: either of the two will do, unless one begins with an
	 * asterisk and so leaves the choice to the other.
	 */
	if (cron->flags & (PGBGW_CRON_ANY_DAY | PGBGW_CRON_ANY_WEEKDAY))
		return by_day & by_weekday;
	return by_day | by_weekday;
}

/*
 * Does a schedule mean any day at all?  The 30th of February does not come.
 */
static inline int
pgbgw_cron_comes(const pgbgw_cron *cron)
{
	if (cron->period > 0)
		return 1;
	for (int year = 2000; year < 2000 + PGBGW_CYCLE; year++)
		for (int month = 1; month <= 12; month++)
			if (pgbgw_cron_days(cron, year, month) != 0)
				return 1;
	return 0;
}

/* The lowest number in a set from "from" on, or -1. */
static inline int
pgbgw_lowest(uint64_t set, int from)
{
	for (int number = from; number < 64; number++)
		if (set >> number & 1)
			return number;
	return -1;
}

/*
 * The first second of a day, from "from" on, that a schedule means, or -1.
 */
static inline int
pgbgw_cron_second(const pgbgw_cron *cron, int from)
{
	int			hour = from / PGBGW_HOUR_SECS;
	int			minute = from / PGBGW_MINUTE_SECS % 60;
	int			second = pgbgw_lowest(cron->seconds, from % 60);

	/* where the rest of the minute has none, the first one of the next */
	if (second < 0)
	{
		second = pgbgw_lowest(cron->seconds, 0);
		minute++;
	}
	if (pgbgw_lowest(cron->minutes, minute) != minute)
		second = pgbgw_lowest(cron->seconds, 0);
	minute = pgbgw_lowest(cron->minutes, minute);
	if (minute < 0)
		hour++;
	if (minute < 0 || pgbgw_lowest(cron->hours, hour) != hour)
	{
		minute = pgbgw_lowest(cron->minutes, 0);
		second = pgbgw_lowest(cron->seconds, 0);
	}
	hour = pgbgw_lowest(cron->hours, hour);
	if (hour < 0)
		return -1;
	return hour * PGBGW_HOUR_SECS + minute * PGBGW_MINUTE_SECS + second;
}

/*
 * pgbgw_cron_local
 *		The first local time, from "from" on, that a schedule means.
 */
static inline int
pgbgw_cron_local(const pgbgw_cron *cron, int64_t from, int64_t *local)
{
	int64_t		today = pgbgw_floor_div(from, PGBGW_DAY_SECS);
	int			second = pgbgw_cron_second(cron, (int) (from - today * PGBGW_DAY_SECS));
	int64_t		year;
	int64_t		last;
	int			month;
	int			day;

	/* if today has no such time left, the first one of a later day */
	if (second < 0)
		today++;
	pgbgw_calendar_date(today, &year, &month, &day);
	last = year + PGBGW_CYCLE;
	while (year <= last)
	{
		int			found = pgbgw_lowest(pgbgw_cron_days(cron, year, month), day);

		if (found > 0)
		{
			int64_t		date = pgbgw_month_begins(year, month) + found - 1;

			if (second < 0 || date > today)
				second = pgbgw_cron_second(cron, 0);
			*local = date * PGBGW_DAY_SECS + second;
			return PGBGW_DUE;
		}
		day = 1;
		if (++month > 12)
		{
			month = 1;
			year++;
		}
	}
	return PGBGW_NEVER;
}

/*
 * pgbgw_due_by_clock
 *		The first time after "after" at which the clocks show what a schedule
 *		means.
 */
static inline int
pgbgw_due_by_clock(const pgbgw_cron *cron, const pgbgw_zone *zone,
				   int64_t after, int64_t *due)
{
	int64_t		at = after + 1;

	while (at <= PGBGW_LAST_TIME)
	{
		int64_t		offset;
		int64_t		until;
		int64_t		local;
		int			result = zone->offset_at(zone->zone, at, &offset, &until);

		if (result < 0)
			return result;
		if (!pgbgw_cron_local(cron, at + offset, &local))
			return PGBGW_NEVER;
		if (local - offset < until)
		{
			*due = local - offset;
			return *due <= PGBGW_LAST_TIME;
		}
		at = until;
	}
	return PGBGW_NEVER;
}

/*
 * The latest local time that the clocks have shown until "at".
 */
static inline int
pgbgw_latest_shown(const pgbgw_zone *zone, int64_t at, int64_t *latest)
{
	int64_t		from = at - PGBGW_LARGEST_STEP;

	*latest = INT64_MIN;
	while (from <= at)
	{
		int64_t		offset;
		int64_t		until;
		int			result = zone->offset_at(zone->zone, from, &offset, &until);
		int64_t		last;

		if (result < 0)
			return result;
		last = (until <= at ? until - 1 : at) + offset;
		if (last > *latest)
			*latest = last;
		from = until;
	}
	return 0;
}

/*
 * The first time after "after" at which the clocks show "local" or more, and
 * what they show then.
 */
static inline int
pgbgw_reaches(const pgbgw_zone *zone, int64_t after, int64_t local,
			  int64_t *at, int64_t *shown)
{
	*at = after + 1;
	for (;;)
	{
		int64_t		offset;
		int64_t		until;
		int			result = zone->offset_at(zone->zone, *at, &offset, &until);

		if (result < 0)
			return result;
		/* no sum with "until", which may be the highest number */
		if (until > local - offset)
		{
			if (*at + offset < local)
				*at = local - offset;
			*shown = *at + offset;
			return 0;
		}
		*at = until;
	}
}

/*
 * pgbgw_due_once
 *		The first time after "after" at which the clocks come to, or pass over,
 *		a local time that a schedule means and that they have not shown before.
 */
static inline int
pgbgw_due_once(const pgbgw_cron *cron, const pgbgw_zone *zone, int skip_gap,
			   int64_t after, int64_t *due)
{
	int64_t		latest;
	int			result = pgbgw_latest_shown(zone, after, &latest);

	if (result < 0)
		return result;
	for (;;)
	{
		int64_t		local;
		int64_t		shown;

		if (!pgbgw_cron_local(cron, latest + 1, &local))
			return PGBGW_NEVER;
		if (local > PGBGW_LAST_TIME)
			return PGBGW_NEVER;
		result = pgbgw_reaches(zone, after, local, due, &shown);
		if (result < 0)
			return result;
		if (*due > PGBGW_LAST_TIME)
			return PGBGW_NEVER;
		if (!skip_gap || shown == local)
			return PGBGW_DUE;
		/* look again from what is shown behind the gap, that one included */
		latest = shown - 1;
		after = *due - 1;
	}
}

/*
 * pgbgw_interval_due
 *		The first time after "after" that is a whole number of periods away
 *		from "anchor", in any one unit.
 *
 * "period" is above 0.  Returns PGBGW_NEVER if that time is out of range.
 */
static inline int
pgbgw_interval_due(int64_t anchor, int64_t period, int64_t after, int64_t *due)
{
	uint64_t	step = (uint64_t) period;
	uint64_t	ahead;

	/* unsigned, since the distance of the two may need 64 bits */
	if (after >= anchor)
		ahead = step - ((uint64_t) after - (uint64_t) anchor) % step;
	else
	{
		ahead = ((uint64_t) anchor - (uint64_t) after) % step;
		if (ahead == 0)
			ahead = step;
	}
	if (after > INT64_MAX - (int64_t) ahead)
		return PGBGW_NEVER;
	*due = after + (int64_t) ahead;
	return PGBGW_DUE;
}

/*
 * The same for a schedule that is an interval: nothing is due before its
 * anchor.
 */
static inline int
pgbgw_since_anchor(const pgbgw_cron *cron, int64_t after, int64_t *due)
{
	if (after < cron->anchor)
		*due = cron->anchor;
	else if (!pgbgw_interval_due(cron->anchor, cron->period, after, due))
		return PGBGW_NEVER;
	return *due <= PGBGW_LAST_TIME;
}

/*
 * pgbgw_cron_due
 *		The first time after "after" at which a schedule is due.
 *
 * "rules" are PGBGW_SKIP_GAP and PGBGW_REPEAT or 0.  Returns PGBGW_DUE, or
 * PGBGW_NEVER, or what the zone's function has returned below 0.
 */
static inline int
pgbgw_cron_due(const pgbgw_cron *cron, const pgbgw_zone *zone, int rules,
			   int64_t after, int64_t *due)
{
	int64_t		by_clock;
	int			once;
	int			result;

	if (after < -PGBGW_LAST_TIME || after >= PGBGW_LAST_TIME)
		return PGBGW_NEVER;
	if (cron->period > 0)
		return pgbgw_since_anchor(cron, after, due);
	if (cron->flags & PGBGW_CRON_ANY_HOUR)
		return pgbgw_due_by_clock(cron, zone, after, due);

	once = pgbgw_due_once(cron, zone, rules & PGBGW_SKIP_GAP, after, due);
	if (once < 0 || (rules & PGBGW_REPEAT) == 0)
		return once;

	/* all that the clocks show, and what they leave out besides */
	result = pgbgw_due_by_clock(cron, zone, after, &by_clock);
	if (result == PGBGW_DUE && (once == PGBGW_NEVER || by_clock < *due))
		*due = by_clock;
	return result < 0 ? result : (once | result);
}

#endif							/* PGBGW_CALENDAR_H */
