/*-------------------------------------------------------------------------
 *
 * wire.h
 *	  The layout of a row as PostgreSQL sends it in binary, and its calendar.
 *
 * A row is an int16 number of fields, and for each field an int32 length and
 * that many bytes; length -1 is NULL.  COPY BINARY ("Binary Format" on the
 * reference page of COPY), the CopyData messages that carry it, and DataRow
 * ("Message Formats" in the chapter on the protocol) share this layout.
 *
 * Numbers are put together from bytes, so the order of the machine does not
 * matter.  Nothing here believes a length before its bytes are there.
 *
 * Needs nothing but the C library.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PGBGW_WIRE_H
#define PGBGW_WIRE_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* MaxAllocSize, utils/memutils.h: the server builds a row in one buffer. */
#define PGBGW_MAX_SIZE INT32_C(0x3fffffff)
/* MaxTupleAttributeNumber, access/htup_details.h */
#define PGBGW_MAX_COLUMNS 1664
/* jsonb_send, utils/adt/jsonb.c */
#define PGBGW_JSONB_VERSION 1

static inline uint16_t
pgbgw_get16(const uint8_t *p)
{
	return (uint16_t) (p[0] << 8 | p[1]);
}

static inline uint32_t
pgbgw_get32(const uint8_t *p)
{
	return (uint32_t) p[0] << 24 | (uint32_t) p[1] << 16 | (uint32_t) p[2] << 8 | (uint32_t) p[3];
}

static inline uint64_t
pgbgw_get64(const uint8_t *p)
{
	return (uint64_t) p[0] << 56 | (uint64_t) p[1] << 48 | (uint64_t) p[2] << 40 | (uint64_t) p[3] << 32
		| (uint64_t) p[4] << 24 | (uint64_t) p[5] << 16 | (uint64_t) p[6] << 8 | (uint64_t) p[7];
}

static inline void
pgbgw_put16(uint8_t *p, uint16_t value)
{
	p[0] = (uint8_t) (value >> 8);
	p[1] = (uint8_t) value;
}

static inline void
pgbgw_put32(uint8_t *p, uint32_t value)
{
	pgbgw_put16(p, (uint16_t) (value >> 16));
	pgbgw_put16(p + 2, (uint16_t) value);
}

static inline void
pgbgw_put64(uint8_t *p, uint64_t value)
{
	pgbgw_put32(p, (uint32_t) (value >> 32));
	pgbgw_put32(p + 4, (uint32_t) value);
}

static inline double
pgbgw_get_double(const uint8_t *p)
{
	uint64_t	bits = pgbgw_get64(p);
	double		number;

	memcpy(&number, &bits, sizeof(number));
	return number;
}

static inline float
pgbgw_get_float(const uint8_t *p)
{
	uint32_t	bits = pgbgw_get32(p);
	float		number;

	memcpy(&number, &bits, sizeof(number));
	return number;
}

/*
 * One field of a row: how many bytes it has, and where they are; length -1 is
 * NULL.  Laid out as libpq keeps the values of a result (libpq.h).
 */
typedef struct
{
	int32_t		length;
	const uint8_t *data;
} pgbgw_field;

/*
 * Columns of fixed length that stand together, and the column of varying
 * length that follows them.  Where the row has no NULL among them, each of
 * their lengths stands at a known place, so that all are compared at once
 * instead of one after the other.
 */
typedef struct
{
	int32_t		first;			/* the first of the fixed columns */
	int32_t		count;			/* how many there are */
	int32_t		size;			/* what they take together with their lengths */
	int32_t		varying;		/* whether a varying column follows */
} pgbgw_run;

/* What rows of a table look like.  The arrays have room for every column. */
typedef struct
{
	int32_t		columns;
	int32_t		runs;
	int32_t	   *fixed;			/* the length that a column always has, or 0 */
	int32_t	   *place;			/* where in its run the length of a fixed column stands */
	uint32_t   *expected;		/* that length as its four bytes stand there */
	pgbgw_run  *run;
} pgbgw_shape;

/*
 * pgbgw_shape_runs
 *		Find the runs of a shape whose "columns" and "fixed" are set.
 */
static inline void
pgbgw_shape_runs(pgbgw_shape *shape)
{
	pgbgw_run  *run = NULL;
	int32_t		column;

	shape->runs = 0;
	for (column = 0; column < shape->columns; column++)
	{
		uint8_t		bytes[4];

		if (run == NULL)
		{
			run = &shape->run[shape->runs++];
			run->first = column;
			run->count = run->size = run->varying = 0;
		}
		if (shape->fixed[column] == 0)
		{
			run->varying = 1;
			run = NULL;
			continue;
		}
		shape->place[column] = run->size;
		pgbgw_put32(bytes, (uint32_t) shape->fixed[column]);
		memcpy(&shape->expected[column], bytes, sizeof(bytes));
		run->count++;
		run->size += 4 + shape->fixed[column];
	}
}

typedef enum
{
	PGBGW_WHOLE,				/* the row is complete */
	PGBGW_PART,					/* it is not: more bytes are wanted */
	PGBGW_COUNT,				/* it has another number of fields */
	PGBGW_NEGATIVE,				/* a length below -1 */
	PGBGW_LARGE,				/* a length above PGBGW_MAX_SIZE */
	PGBGW_LENGTH,				/* not the length that the column's type has */
	PGBGW_ROW					/* the row is above PGBGW_MAX_SIZE */
} pgbgw_verdict;

/* What was found about a row. */
typedef struct
{
	int64_t		size;			/* of the row; of PGBGW_PART, what is wanted at least */
	int32_t		column;			/* the column at fault, from 0 */
	int32_t		length;			/* the length or the count at fault */
} pgbgw_walked;

/*
 * pgbgw_walk_slowly
 *		Check count and lengths of the row at "row", one after the other.
 */
static inline pgbgw_verdict
pgbgw_walk_slowly(const pgbgw_shape *shape, const uint8_t *row, int64_t size, pgbgw_walked *walked)
{
	int64_t		position = 2;
	int32_t		column;

	walked->size = 2;
	if (size < 2)
		return PGBGW_PART;
	walked->length = (int16_t) pgbgw_get16(row);
	if (walked->length != shape->columns)
		return PGBGW_COUNT;
	for (column = 0; column < shape->columns; column++)
	{
		int32_t		length;

		walked->column = column;
		walked->size = position + 4;
		if (size - position < 4)
			return PGBGW_PART;
		length = walked->length = (int32_t) pgbgw_get32(row + position);
		position += 4;
		if (length != -1)
		{
			if (length < 0)
				return PGBGW_NEGATIVE;
			if (length > PGBGW_MAX_SIZE)
				return PGBGW_LARGE;
			if (shape->fixed[column] != 0 && length != shape->fixed[column])
				return PGBGW_LENGTH;
			position += length;
		}
		if (position > PGBGW_MAX_SIZE)
			return PGBGW_ROW;
		walked->size = position;
		if (position > size)
			return PGBGW_PART;
	}
	return PGBGW_WHOLE;
}

/*
 * pgbgw_walk
 *		Check count and lengths of the row at "row", of which "size" bytes are
 *		there.
 *
 * The common case goes by runs; whatever is out of the ordinary, be it only a
 * NULL in a fixed column, is left to pgbgw_walk_slowly.
 */
static inline pgbgw_verdict
pgbgw_walk(const pgbgw_shape *shape, const uint8_t *row, int64_t size, pgbgw_walked *walked)
{
	const uint8_t *end = row + size;
	const uint8_t *p = row + 2;
	const pgbgw_run *run = shape->run;
	const pgbgw_run *last = run + shape->runs;

	if (size < 2 || pgbgw_get16(row) != (uint16_t) shape->columns)
		return pgbgw_walk_slowly(shape, row, size, walked);
	for (; run < last; run++)
	{
		const int32_t *place = shape->place + run->first;
		const uint32_t *expected = shape->expected + run->first;
		uint32_t	differs = 0;
		int32_t		i;

		if (end - p < run->size + 4 * run->varying)
			return pgbgw_walk_slowly(shape, row, size, walked);
		for (i = 0; i < run->count; i++)
		{
			uint32_t	found;

			memcpy(&found, p + place[i], sizeof(found));
			differs |= found ^ expected[i];
		}
		if (differs != 0)
			return pgbgw_walk_slowly(shape, row, size, walked);
		p += run->size;
		if (run->varying)
		{
			uint32_t	length = pgbgw_get32(p);

			p += 4;
			if (length == UINT32_MAX)
				continue;
			if (length > (size_t) (end - p))
				return pgbgw_walk_slowly(shape, row, size, walked);
			p += length;
		}
	}
	if (p - row > PGBGW_MAX_SIZE)
		return pgbgw_walk_slowly(shape, row, size, walked);
	walked->size = p - row;
	return PGBGW_WHOLE;
}

/*
 * pgbgw_next_field
 *		The field whose length stands at *place, which moves behind it.  The
 *		row has been walked.
 */
static inline pgbgw_field
pgbgw_next_field(const uint8_t **place)
{
	pgbgw_field field;

	field.length = (int32_t) pgbgw_get32(*place);
	field.data = *place + 4;
	*place = field.data + (field.length > 0 ? field.length : 0);
	return field;
}

/*
 * pgbgw_field_at
 *		Field "column", from 0, of a row that has been walked.
 */
static inline pgbgw_field
pgbgw_field_at(const uint8_t *row, int32_t column)
{
	const uint8_t *place = row + 2;
	pgbgw_field field;

	do
		field = pgbgw_next_field(&place);
	while (column-- > 0);
	return field;
}

/*
 * pgbgw_row_size
 *		What a row of these fields takes; or -1 if one of them has not the length
 *		that its column always has, which is told then.
 */
static inline int64_t
pgbgw_row_size(const pgbgw_shape *shape, const pgbgw_field *fields, int32_t *wrong)
{
	int64_t		size = 2;
	int32_t		column;

	for (column = 0; column < shape->columns; column++)
	{
		int32_t		length = fields[column].length;
		int32_t		fixed = shape->fixed[column];

		size += 4;
		if (length < 0)
			continue;
		if (fixed != 0 && length != fixed)
		{
			*wrong = column;
			return -1;
		}
		size += length;
	}
	return size;
}

/*
 * pgbgw_put_row
 *		Write a row of these fields, for which there is room; give the place
 *		behind it.
 */
static inline uint8_t *
pgbgw_put_row(uint8_t *place, const pgbgw_field *fields, int32_t columns)
{
	int32_t		column;

	pgbgw_put16(place, (uint16_t) columns);
	place += 2;
	for (column = 0; column < columns; column++)
	{
		int32_t		length = fields[column].length;

		pgbgw_put32(place, (uint32_t) length);
		place += 4;
		/* Most are as long as a number, which is copied without a call. */
		if (length == 8)
			memcpy(place, fields[column].data, 8);
		else if (length == 4)
			memcpy(place, fields[column].data, 4);
		else if (length == 2)
			memcpy(place, fields[column].data, 2);
		else if (length > 0)
			memcpy(place, fields[column].data, (size_t) length);
		place += length > 0 ? length : 0;
	}
	return place;
}

/*
 * The calendar: days from 2000-01-01 to the proleptic Gregorian calendar and
 * back, in years that begin in March so that the leap day comes last.  Good
 * for every day that a 64-bit timestamp or a 32-bit date names.
 */

#define PGBGW_DAY INT64_C(86400000000)	/* microseconds */
#define PGBGW_ERA 146097			/* days in 400 years */
#define PGBGW_MARCH_1_OF_0 730425	/* days from then to 2000-01-01 */
/* What datetime holds: 0001-01-01 00:00 to 9999-12-31 23:59:59.999999 */
#define PGBGW_FIRST_MICROSECOND INT64_C(-63082281600000000)
#define PGBGW_LAST_MICROSECOND INT64_C(252455615999999999)
#define PGBGW_FIRST_DAY (-730119)
#define PGBGW_LAST_DAY 2921939
/* From 1970-01-01 to 2000-01-01 */
#define PGBGW_UNIX_MICROSECONDS INT64_C(946684800000000)
#define PGBGW_UNIX_DAYS 10957

typedef struct
{
	int64_t		day;			/* from 2000-01-01 */
	int32_t		year;
	int32_t		month;
	int32_t		day_of_month;
} pgbgw_date;

static inline void
pgbgw_date_of(int64_t day, pgbgw_date *date)
{
	int64_t		shifted = day + PGBGW_MARCH_1_OF_0;
	int64_t		era = (shifted >= 0 ? shifted : shifted - (PGBGW_ERA - 1)) / PGBGW_ERA;
	int32_t		day_of_era = (int32_t) (shifted - era * PGBGW_ERA);
	int32_t		year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
	int32_t		day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
	int32_t		month = (5 * day_of_year + 2) / 153;	/* 0 is March */

	date->day = day;
	date->day_of_month = day_of_year - (153 * month + 2) / 5 + 1;
	date->month = month < 10 ? month + 3 : month - 9;
	date->year = (int32_t) (year_of_era + era * 400 + (date->month <= 2));
}

static inline int64_t
pgbgw_day_of(int32_t year, int32_t month, int32_t day_of_month)
{
	int32_t		shifted = year - (month <= 2);
	int32_t		era = (shifted >= 0 ? shifted : shifted - 399) / 400;
	int32_t		year_of_era = shifted - era * 400;
	int32_t		day_of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day_of_month - 1;

	return (int64_t) era * PGBGW_ERA + year_of_era * 365 + year_of_era / 4 - year_of_era / 100
		+ day_of_year - PGBGW_MARCH_1_OF_0;
}

/*
 * pgbgw_unix
 *		A timestamp of the server's in microseconds from 1970; 0 if these do not
 *		fit, as from the year 294247 on.
 *
 * Infinity stays apart from every time, and the lowest value is left free:
 * numpy takes it for "not a time".
 */
static inline int
pgbgw_unix(int64_t microseconds, int64_t *shifted)
{
	*shifted = microseconds;
	if (microseconds == INT64_MAX)
		return 1;
	if (microseconds == INT64_MIN)
	{
		*shifted = INT64_MIN + 1;
		return 1;
	}
	if (microseconds >= INT64_MAX - PGBGW_UNIX_MICROSECONDS)
		return 0;
	*shifted += PGBGW_UNIX_MICROSECONDS;
	return 1;
}

/*
 * pgbgw_unix_date
 *		The same of a date in days.
 */
static inline int
pgbgw_unix_date(int32_t day, int32_t *shifted)
{
	*shifted = day;
	if (day == INT32_MAX || day == INT32_MIN)
		return 1;
	if (day >= INT32_MAX - PGBGW_UNIX_DAYS)
		return 0;
	*shifted += PGBGW_UNIX_DAYS;
	return 1;
}

#endif							/* PGBGW_WIRE_H */
