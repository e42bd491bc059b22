/*-------------------------------------------------------------------------
 *
 * cron_text.h
 *	  What the text of a schedule is read with, and intervals in it.
 *
 * "@every 7 minutes" is due each seven minutes from a start, which is the
 * beginning of 2000 in UTC, so that it is the same on each server, unless
 * another one is told: "@every 7 minutes since 2026-01-01T00:00:00Z".
 *
 * cron_parse.h reads fields.  Needs nothing but cron.h.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PGBGW_CRON_TEXT_H
#define PGBGW_CRON_TEXT_H

#include "cron.h"

/* 2000-01-01 00:00 UTC, from where intervals count that tell no start. */
#define PGBGW_EVERY_ANCHOR	INT64_C(946684800)

/* The longest interval: a hundred years of 365.25 days. */
#define PGBGW_LONGEST_EVERY INT64_C(3155760000)

/* What is wrong with a text, and where: both counted in bytes. */
typedef struct pgbgw_cron_fault
{
	int32_t		at;
	int32_t		length;			/* 0 where something is missing */
	const char *message;
	const char *hint;
} pgbgw_cron_fault;

/* Where the parser stands. */
typedef struct pgbgw_cron_parser
{
	const char *text;
	int32_t		at;
	pgbgw_cron_fault *fault;
} pgbgw_cron_parser;

/*
 * Say what is wrong with "length" bytes from "at" on.  The first fault counts.
 */
static inline int
pgbgw_cron_refuse(pgbgw_cron_parser *parser, int32_t at, int32_t length,
				  const char *message, const char *hint)
{
	parser->fault->at = at;
	parser->fault->length = length;
	parser->fault->message = message;
	parser->fault->hint = hint;
	return 0;
}

static inline int
pgbgw_cron_is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static inline int
pgbgw_cron_is_space(char c)
{
	return c == ' ' || c == '\t';
}

/* Locale plays no part in names of months and days. */
static inline char
pgbgw_cron_lower(char c)
{
	return (c >= 'A' && c <= 'Z') ? (char) (c + ('a' - 'A')) : c;
}

static inline int
pgbgw_cron_is_letter(char c)
{
	c = pgbgw_cron_lower(c);
	return c >= 'a' && c <= 'z';
}

/* How long is what stands at "at", to the next comma or space? */
static inline int32_t
pgbgw_cron_item_length(const char *text, int32_t at)
{
	int32_t		end = at;

	while (text[end] != '\0' && text[end] != ',' &&
		   !pgbgw_cron_is_space(text[end]))
		end++;
	return end - at;
}

/* Do so many characters at "at" spell "word", in any case? */
static inline int
pgbgw_cron_spells(const char *text, int32_t at, const char *word,
				  int32_t length)
{
	for (int32_t i = 0; i < length; i++)
		if (pgbgw_cron_lower(text[at + i]) != word[i])
			return 0;
	return 1;
}

/*
 * Read digits, if there are any; returns how many.  A number above 1000 is
 * cut, since nothing so large is right.
 */
static inline int32_t
pgbgw_cron_decimal(pgbgw_cron_parser *parser, int32_t *number)
{
	int32_t		begin = parser->at;

	*number = 0;
	for (; pgbgw_cron_is_digit(parser->text[parser->at]); parser->at++)
		if (*number <= 1000)
			*number = *number * 10 + (parser->text[parser->at] - '0');
	return parser->at - begin;
}

/* Go on to what stands behind spaces. */
static inline void
pgbgw_cron_skip_spaces(pgbgw_cron_parser *parser)
{
	while (pgbgw_cron_is_space(parser->text[parser->at]))
		parser->at++;
}

/* How long is what stands at "at", to the next space? */
static inline int32_t
pgbgw_cron_word_length(const char *text, int32_t at)
{
	int32_t		end = at;

	while (text[end] != '\0' && !pgbgw_cron_is_space(text[end]))
		end++;
	return end - at;
}

/*
 * pgbgw_cron_digits
 *		Read a number of exactly "count" digits that is from "least" to "most",
 *		or return 0.
 */
static inline int
pgbgw_cron_digits(pgbgw_cron_parser *parser, int count, int32_t least,
				  int32_t most, int32_t *number)
{
	*number = 0;
	for (int i = 0; i < count; i++)
	{
		char		c = parser->text[parser->at];

		if (!pgbgw_cron_is_digit(c))
			return 0;
		*number = *number * 10 + (c - '0');
		parser->at++;
	}
	return *number >= least && *number <= most;
}

/* Read one character, in any case, or return 0. */
static inline int
pgbgw_cron_takes(pgbgw_cron_parser *parser, char c)
{
	if (pgbgw_cron_lower(parser->text[parser->at]) != c)
		return 0;
	parser->at++;
	return 1;
}

/*
 * pgbgw_cron_offset
 *		Read by how many seconds clocks are ahead of UTC: Z, or +02:00.
 */
static inline int
pgbgw_cron_offset(pgbgw_cron_parser *parser, int64_t *offset)
{
	int			behind = parser->text[parser->at] == '-';
	int32_t		hours;
	int32_t		minutes;

	*offset = 0;
	if (pgbgw_cron_takes(parser, 'z'))
		return 1;
	if (!behind && parser->text[parser->at] != '+')
		return 0;
	parser->at++;
	if (!pgbgw_cron_digits(parser, 2, 0, 23, &hours) ||
		!pgbgw_cron_takes(parser, ':') ||
		!pgbgw_cron_digits(parser, 2, 0, 59, &minutes))
		return 0;
	*offset = hours * PGBGW_HOUR_SECS + minutes * PGBGW_MINUTE_SECS;
	if (behind)
		*offset = -*offset;
	return 1;
}

/*
 * pgbgw_cron_moment
 *		Read a time in ISO 8601, with its offset, as seconds since 1970 in UTC,
 *		or return 0.
 */
static inline int
pgbgw_cron_moment(pgbgw_cron_parser *parser, int64_t *moment)
{
	int32_t		year;
	int32_t		month;
	int32_t		day;
	int32_t		hour;
	int32_t		minute;
	int32_t		second = 0;
	int64_t		offset;

	/* in UTC as well the year has four digits, which is what people see */
	if (!pgbgw_cron_digits(parser, 4, 2, 9998, &year) ||
		!pgbgw_cron_takes(parser, '-') ||
		!pgbgw_cron_digits(parser, 2, 1, 12, &month) ||
		!pgbgw_cron_takes(parser, '-') ||
		!pgbgw_cron_digits(parser, 2, 1, pgbgw_days_in(year, month), &day) ||
		!pgbgw_cron_takes(parser, 't') ||
		!pgbgw_cron_digits(parser, 2, 0, 23, &hour) ||
		!pgbgw_cron_takes(parser, ':') ||
		!pgbgw_cron_digits(parser, 2, 0, 59, &minute))
		return 0;
	if (pgbgw_cron_takes(parser, ':') &&
		!pgbgw_cron_digits(parser, 2, 0, 59, &second))
		return 0;
	if (!pgbgw_cron_offset(parser, &offset))
		return 0;
	*moment = (pgbgw_month_begins(year, month) + day - 1) * PGBGW_DAY_SECS +
		hour * PGBGW_HOUR_SECS + minute * PGBGW_MINUTE_SECS + second - offset;
	return 1;
}

/*
 * pgbgw_cron_unit
 *		The seconds of a unit of time, in the singular or the plural, or 0.
 */
static inline int64_t
pgbgw_cron_unit(const char *text, int32_t at, int32_t length)
{
	static const struct
	{
		int32_t		length;
		const char *name;
		int64_t		seconds;
	}			units[] = {
		{6, "second", 1},
		{6, "minute", PGBGW_MINUTE_SECS},
		{4, "hour", PGBGW_HOUR_SECS},
		{3, "day", PGBGW_DAY_SECS}
	};

	for (int i = 0; i < (int) (sizeof(units) / sizeof(units[0])); i++)
	{
		int32_t		singular = units[i].length;

		if ((length == singular ||
			 (length == singular + 1 && pgbgw_cron_lower(text[at + singular]) == 's')) &&
			pgbgw_cron_spells(text, at, units[i].name, singular))
			return units[i].seconds;
	}
	return 0;
}

/*
 * pgbgw_cron_period
 *		Read a number and a unit of time.
 *
 * Returns 0 after a fault, as do the others below.
 */
static inline int
pgbgw_cron_period(pgbgw_cron_parser *parser, pgbgw_cron *cron)
{
	const char *text = parser->text;
	int32_t		begin = parser->at;
	int32_t		length = pgbgw_cron_word_length(text, begin);
	int64_t		number = 0;

	for (; pgbgw_cron_is_digit(text[parser->at]); parser->at++)
		if (number <= PGBGW_LONGEST_EVERY)
			number = number * 10 + (text[parser->at] - '0');
	if (length == 0 || parser->at - begin != length)
		return pgbgw_cron_refuse(parser, begin, length,
								 length ? "not a number" : "a number is missing",
								 "Write @every 7 minutes, with spaces between.");

	pgbgw_cron_skip_spaces(parser);
	length = pgbgw_cron_word_length(text, parser->at);
	cron->period = pgbgw_cron_unit(text, parser->at, length);
	if (cron->period == 0)
		return pgbgw_cron_refuse(parser, parser->at, length,
								 length ? "no such unit" : "a unit is missing",
								 "Units are seconds, minutes, hours, and days of 24 hours.");
	parser->at += length;
	if (number == 0 || number > PGBGW_LONGEST_EVERY / cron->period)
		return pgbgw_cron_refuse(parser, begin, parser->at - begin, "out of range",
								 "An interval is from 1 second to 36525 days.");
	cron->period *= number;
	return 1;
}

/*
 * pgbgw_cron_start
 *		Read "since" and a time.
 */
static inline int
pgbgw_cron_start(pgbgw_cron_parser *parser, pgbgw_cron *cron)
{
	int32_t		begin = parser->at;
	int32_t		length = pgbgw_cron_word_length(parser->text, begin);

	if (length != 5 || !pgbgw_cron_spells(parser->text, begin, "since", length))
		return pgbgw_cron_refuse(parser, begin, length, "unexpected here",
								 "A start may follow, as in @every 7 minutes since 2026-01-01T00:00:00Z.");
	parser->at += length;
	pgbgw_cron_skip_spaces(parser);
	begin = parser->at;
	length = pgbgw_cron_word_length(parser->text, begin);
	if (length == 0 || !pgbgw_cron_moment(parser, &cron->anchor) ||
		parser->at - begin != length)
		return pgbgw_cron_refuse(parser, begin, length,
								 length ? "not a time" : "a time is missing",
								 "Write it in ISO 8601 with an offset, such as 2026-01-01T00:00:00Z or 2026-01-01T02:00+02:00.");
	return 1;
}

/*
 * pgbgw_cron_every
 *		Read what stands behind @every: how long, and perhaps from when on.
 */
static inline int
pgbgw_cron_every(pgbgw_cron_parser *parser, pgbgw_cron *cron)
{
	pgbgw_cron_skip_spaces(parser);
	if (!pgbgw_cron_period(parser, cron))
		return 0;
	cron->anchor = PGBGW_EVERY_ANCHOR;
	pgbgw_cron_skip_spaces(parser);
	if (parser->text[parser->at] == '\0')
		return 1;
	if (!pgbgw_cron_start(parser, cron))
		return 0;
	pgbgw_cron_skip_spaces(parser);
	if (parser->text[parser->at] == '\0')
		return 1;
	return pgbgw_cron_refuse(parser, parser->at,
							 pgbgw_cron_word_length(parser->text, parser->at),
							 "unexpected here", "Nothing follows the start.");
}

#endif							/* PGBGW_CRON_TEXT_H */
