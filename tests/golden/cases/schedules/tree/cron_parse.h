/*-------------------------------------------------------------------------
 *
 * cron_parse.h
 *	  A schedule in five fields, as crontab(5) has them, or in six.
 *
 * The fields are minute, hour, day of the month, month and day of the week;
 * a sixth one, of seconds, stands before them.  Each is a list of numbers,
 * names, ranges and steps, read as Debian's cron reads them.  In addition
 * the days of the month may be counted from its end (L, L-2), and a day of
 * the week may be one of the month (tue#2, friL).
 *
 * Or it is a name such as @daily, or an interval as @every 7 minutes.
 *
 * The same parser runs where a schedule is declared and in the server,
 * where it may be changed.  Needs nothing but cron_text.h.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PGBGW_CRON_PARSE_H
#define PGBGW_CRON_PARSE_H

#include "cron_text.h"

/*
 * pgbgw_cron_number
 *		Read a number or a name of the field.
 *
 * Returns 0 after a fault.
 */
static inline int
pgbgw_cron_number(pgbgw_cron_parser *parser, int field, int32_t *number)
{
	const pgbgw_cron_field *known = pgbgw_cron_field_of(field);
	const char *text = parser->text;
	int32_t		begin = parser->at;
	int32_t		end = begin;

	if (pgbgw_cron_is_digit(text[begin]))
	{
		end += pgbgw_cron_decimal(parser, number);
		if (*number < known->least || *number > known->most)
			return pgbgw_cron_refuse(parser, begin, end - begin,
									 "out of range", known->range);
		return 1;
	}

	/* an L may follow a name, so a name is three letters and no more */
	if (pgbgw_cron_is_letter(text[begin]))
	{
		for (int32_t i = 0; known->names[i] != '\0'; i += 3)
			if (pgbgw_cron_spells(text, begin, known->names + i, 3))
			{
				*number = known->least + i / 3;
				parser->at = begin + 3;
				return 1;
			}
		while (pgbgw_cron_is_letter(text[end]))
			end++;
		return pgbgw_cron_refuse(parser, begin, end - begin,
								 "no such name", known->range);
	}

	if (pgbgw_cron_item_length(text, begin) == 0)
		return pgbgw_cron_refuse(parser, begin, text[begin] == ',',
								 "a number is missing", known->range);
	return pgbgw_cron_refuse(parser, begin, 1, "not a number", known->range);
}

/*
 * pgbgw_cron_ending
 *		Read what may follow a single number: nothing, or for a day of the
 *		week which one of the month is meant.
 */
static inline int
pgbgw_cron_ending(pgbgw_cron_parser *parser, pgbgw_cron *cron, int field,
				  int32_t number, int *taken)
{
	const char *text = parser->text;
	int32_t		at = parser->at;

	*taken = 0;
	if (field != PGBGW_CRON_WEEKDAY)
		return 1;
	if (pgbgw_cron_lower(text[at]) == 'l')
	{
		cron->nth[number % 7] |= 1;
		parser->at = at + 1;
		*taken = 1;
	}
	else if (text[at] == '#')
	{
		if (text[at + 1] < '1' || text[at + 1] > '5' ||
			pgbgw_cron_is_digit(text[at + 2]))
			return pgbgw_cron_refuse(parser, at, pgbgw_cron_item_length(text, at),
									 "not a week of the month",
									 "Write tue#1 for the first Tuesday, up to tue#5.");
		cron->nth[number % 7] |= (uint8_t) (1 << (text[at + 1] - '0'));
		parser->at = at + 2;
		*taken = 1;
	}
	return 1;
}

/*
 * pgbgw_cron_last_day
 *		Read L, the last day of the month, or L-2, the second one before it.
 */
static inline int
pgbgw_cron_last_day(pgbgw_cron_parser *parser, pgbgw_cron *cron)
{
	const char *text = parser->text;
	int32_t		begin = parser->at;
	int32_t		before = 0;

	parser->at++;
	if (text[parser->at] == '-')
	{
		parser->at++;
		if (pgbgw_cron_decimal(parser, &before) == 0 || before > 30)
			return pgbgw_cron_refuse(parser, begin,
									 pgbgw_cron_item_length(text, begin),
									 "not a day before the last",
									 "L is the last day of the month, L-1 the one before it, up to L-30.");
	}
	cron->last_days |= UINT64_C(1) << before;
	return 1;
}

/*
 * pgbgw_cron_step
 *		Read "/n" after an asterisk or a range, if it is there.
 */
static inline int
pgbgw_cron_step(pgbgw_cron_parser *parser, int field, int32_t *step)
{
	const pgbgw_cron_field *known = pgbgw_cron_field_of(field);
	int32_t		begin = parser->at + 1;
	int32_t		digits;

	*step = 1;
	if (parser->text[parser->at] != '/')
		return 1;
	parser->at = begin;
	digits = pgbgw_cron_decimal(parser, step);
	if (*step == 0)
		return pgbgw_cron_refuse(parser, begin, digits,
								 "a step is a number from 1 on",
								 "Write */5 for every fifth.");
	if (*step > known->most - known->least + 1)
		return pgbgw_cron_refuse(parser, begin, digits,
								 "a step that is longer than the field",
								 "A field begins anew with each minute, hour, day, month or year; what goes across that is an interval.");
	return 1;
}

/*
 * pgbgw_cron_item
 *		Read one part of a list into the set of its field.
 */
static inline int
pgbgw_cron_item(pgbgw_cron_parser *parser, pgbgw_cron *cron, int field,
				uint64_t *set)
{
	const pgbgw_cron_field *known = pgbgw_cron_field_of(field);
	const char *text = parser->text;
	int32_t		begin = parser->at;
	int32_t		first = known->least;
	int32_t		last = known->most;
	int32_t		step;

	if (text[begin] == '*')
	{
		parser->at++;
		/* the week has one Sunday */
		if (field == PGBGW_CRON_WEEKDAY)
			last = 6;
	}
	else if (field == PGBGW_CRON_DAY && pgbgw_cron_lower(text[begin]) == 'l')
		return pgbgw_cron_last_day(parser, cron);
	else if (field == PGBGW_CRON_WEEKDAY && pgbgw_cron_lower(text[begin]) == 'l')
		return pgbgw_cron_refuse(parser, begin, 1, "the last of which day?",
								 "Write friL for the last Friday of the month.");
	else if (text[begin] == '?')
		return pgbgw_cron_refuse(parser, begin, 1, "not a number",
								 "Write * where any will do.");
	else
	{
		int			taken;

		if (!pgbgw_cron_number(parser, field, &first))
			return 0;
		if (!pgbgw_cron_ending(parser, cron, field, first, &taken))
			return 0;
		if (taken)
			return 1;
		last = first;
		if (text[parser->at] == '-')
		{
			parser->at++;
			if (!pgbgw_cron_number(parser, field, &last))
				return 0;
			/* at the end of a range Sunday comes after Saturday */
			if (field == PGBGW_CRON_WEEKDAY && last == 0 && first > 0)
				last = 7;
			if (last < first)
				return pgbgw_cron_refuse(parser, begin, parser->at - begin,
										 "a range that ends before it begins",
										 "Write it as two, such as 22-23,0-6 for hours.");
		}
		else if (text[parser->at] == '/')
			return pgbgw_cron_refuse(parser, begin,
									 pgbgw_cron_item_length(text, begin),
									 "a step without a range",
									 "Write */5 for every fifth, or 10-59/5 to begin with the tenth.");
	}

	if (!pgbgw_cron_step(parser, field, &step))
		return 0;
	for (int32_t number = first; number <= last; number += step)
		*set |= UINT64_C(1) << (field == PGBGW_CRON_WEEKDAY ? number % 7 : number);
	return 1;
}

/*
 * pgbgw_cron_list
 *		Read a field.
 */
static inline int
pgbgw_cron_list(pgbgw_cron_parser *parser, pgbgw_cron *cron, int field,
				uint64_t *set)
{
	const char *text = parser->text;

	for (;;)
	{
		char		next;

		if (!pgbgw_cron_item(parser, cron, field, set))
			return 0;
		next = text[parser->at];
		if (next == '\0' || pgbgw_cron_is_space(next))
			return 1;
		if (next != ',')
		{
			const pgbgw_cron_field *known = pgbgw_cron_field_of(field);
			int			in_word = pgbgw_cron_is_letter(text[parser->at - 1]);

			if (known->names[0] != '\0' && in_word && pgbgw_cron_is_letter(next))
				return pgbgw_cron_refuse(parser, parser->at, 1,
										 "a name is three letters", known->range);
			return pgbgw_cron_refuse(parser, parser->at, 1,
									 "unexpected here", known->range);
		}
		parser->at++;
	}
}

/*
 * pgbgw_cron_nickname
 *		What @daily and its like stand for; NULL, with a fault, if unknown.
 */
static inline const char *
pgbgw_cron_nickname(pgbgw_cron_parser *parser, int32_t length)
{
	static const struct
	{
		int32_t		length;
		const char *name;
		const char *stands_for;
	}			known[] = {
		{7, "@yearly", "0 0 1 1 *"},
		{9, "@annually", "0 0 1 1 *"},
		{8, "@monthly", "0 0 1 * *"},
		{7, "@weekly", "0 0 * * 0"},
		{6, "@daily", "0 0 * * *"},
		{9, "@midnight", "0 0 * * *"},
		{7, "@hourly", "0 * * * *"}
	};

	for (int i = 0; i < (int) (sizeof(known) / sizeof(known[0])); i++)
		if (length == known[i].length &&
			pgbgw_cron_spells(parser->text, parser->at, known[i].name, length))
			return known[i].stands_for;
	if (length == 7 && pgbgw_cron_spells(parser->text, parser->at, "@reboot", 7))
		pgbgw_cron_refuse(parser, parser->at, length,
						  "a start of the machine is no time", "A schedule has times only.");
	else
		pgbgw_cron_refuse(parser, parser->at, length, "no such name",
						  "There are @hourly, @daily, @midnight, @weekly, @monthly, @yearly, @annually, and @every 7 minutes.");
	return 0;
}

/*
 * pgbgw_cron_count
 *		The number of fields; where each begins goes into "begins", of six.
 *
 * What is too much goes into the fault.
 */
static inline int
pgbgw_cron_count(pgbgw_cron_parser *parser, int32_t *begins)
{
	const char *text = parser->text;
	int32_t		at = parser->at;
	int			count = 0;

	for (;;)
	{
		while (pgbgw_cron_is_space(text[at]))
			at++;
		if (text[at] == '\0')
			break;
		if (count == 6)
		{
			pgbgw_cron_refuse(parser, at, pgbgw_cron_item_length(text, at),
							  "more than six fields",
							  "They are second, minute, hour, day of the month, month, day of the week.");
			return 0;
		}
		begins[count++] = at;
		while (text[at] != '\0' && !pgbgw_cron_is_space(text[at]))
			at++;
	}
	if (count < 5)
	{
		pgbgw_cron_refuse(parser, at, 0, "less than five fields",
						  "They are minute, hour, day of the month, month, day of the week.");
		return 0;
	}
	return count;
}

/*
 * pgbgw_cron_parse
 *		Read a schedule from a text that ends with a zero byte.
 *
 * Returns 1, or 0 and what is wrong in "fault".  Whether there is a day at
 * all that it means, pgbgw_cron_comes() in calendar.h says.
 */
static inline int
pgbgw_cron_parse(const char *text, pgbgw_cron *cron, pgbgw_cron_fault *fault)
{
	pgbgw_cron_parser parser = {text, 0, fault};
	pgbgw_cron	empty = {0};
	int32_t		begins[6];
	int			count;
	uint64_t   *sets[] = {
		&cron->seconds, &cron->minutes, &cron->hours,
		&cron->days, &cron->months, &cron->weekdays
	};

	*cron = empty;
	pgbgw_cron_skip_spaces(&parser);
	if (text[parser.at] == '@')
	{
		int32_t		length = pgbgw_cron_item_length(text, parser.at);
		int32_t		end = parser.at + length;

		if (length == 6 && pgbgw_cron_spells(text, parser.at, "@every", length))
		{
			parser.at = end;
			return pgbgw_cron_every(&parser, cron);
		}
		while (pgbgw_cron_is_space(text[end]))
			end++;
		if (text[end] != '\0')
			return pgbgw_cron_refuse(&parser, end, pgbgw_cron_item_length(text, end),
									 "unexpected here", "A name such as @daily stands alone.");
		parser.text = pgbgw_cron_nickname(&parser, length);
		if (parser.text == 0)
			return 0;
		parser.at = 0;
	}

	count = pgbgw_cron_count(&parser, begins);
	if (count == 0)
		return 0;
	if (count == 6)
		cron->flags |= PGBGW_CRON_SECONDS;
	else
		cron->seconds = 1;

	for (int i = 0; i < count; i++)
	{
		int			field = i + 6 - count;

		parser.at = begins[i];
		if (!pgbgw_cron_list(&parser, cron, field, sets[field]))
			return 0;
	}

	if (parser.text[begins[count - 4]] == '*')
		cron->flags |= PGBGW_CRON_ANY_HOUR;
	if (parser.text[begins[count - 3]] == '*')
		cron->flags |= PGBGW_CRON_ANY_DAY;
	if (parser.text[begins[count - 1]] == '*')
		cron->flags |= PGBGW_CRON_ANY_WEEKDAY;
	return 1;
}

#endif							/* PGBGW_CRON_PARSE_H */
