/*-------------------------------------------------------------------------
 *
 * columns.h
 *	  Rows turned into columns, without Python objects and so without the GIL.
 *
 * Values lie in the order of the machine, as numpy and Arrow want them.  What
 * varies in length stays where it was received: its column has views as Arrow
 * lays them out ("Variable-size Binary View Layout" in "Arrow Columnar
 * Format"): the length and the bytes themselves up to 12, else their first
 * four, a buffer and a place in it.
 *
 * A place has 31 bits, so there are as many buffers as it takes, one from each
 * GB of the rows and 2 GB long where there is so much: a value that begins in
 * the first of the two ends within the second.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PGBGW_COLUMNS_H
#define PGBGW_COLUMNS_H

#include "objects.h"

#define PGBGW_VIEW_SIZE 16
#define PGBGW_VIEW_INLINE 12
/* Smaller where somebody wants to see many buffers without so much memory. */
#ifndef PGBGW_WINDOW_BITS
#define PGBGW_WINDOW_BITS 30
#endif

typedef struct
{
	int			kind;			/* pgbgw_kind */
	int32_t		width;			/* of a value, in bytes */
	uint8_t    *values;
	uint8_t    *valid;			/* a bit a row, the lowest first */
	int64_t		nulls;
} pgbgw_column;

/*
 * pgbgw_column_width
 *		The width of the values of a kind.
 */
static inline int32_t
pgbgw_column_width(int kind)
{
	switch (kind)
	{
		case PGBGW_BOOL:
			return 1;
		case PGBGW_INT2:
			return 2;
		case PGBGW_INT4:
		case PGBGW_OID:
		case PGBGW_FLOAT4:
		case PGBGW_DATE:
			return 4;
		case PGBGW_INT8:
		case PGBGW_FLOAT8:
		case PGBGW_TIME:
		case PGBGW_TIMESTAMP:
		case PGBGW_TIMESTAMPTZ:
		case PGBGW_INTERVAL:
			return 8;
		default:
			return 16;			/* an UUID, or a view */
	}
}

/*
 * pgbgw_is_utf8
 *		Whether these bytes are UTF-8 as Unicode defines it (table 3-7 of its
 *		standard): no surrogates, nothing longer than it must be.
 */
static inline int
pgbgw_is_utf8(const uint8_t *data, int32_t length)
{
	const uint8_t *end = data + length;

	if (pgbgw_is_ascii(data, (size_t) length))
		return 1;
	while (data < end)
	{
		uint8_t		first = *data++;
		uint8_t		low = 0x80;
		uint8_t		high = 0xbf;
		int			more;

		if (first < 0x80)
			continue;
		if (first < 0xc2 || first > 0xf4)
			return 0;
		more = first < 0xe0 ? 1 : first < 0xf0 ? 2 : 3;
		if (first == 0xe0)
			low = 0xa0;
		else if (first == 0xed)
			high = 0x9f;
		else if (first == 0xf0)
			low = 0x90;
		else if (first == 0xf4)
			high = 0x8f;
		if (end - data < more || *data < low || *data > high)
			return 0;
		for (data++; --more > 0; data++)
			if ((*data & 0xc0) != 0x80)
				return 0;
	}
	return 1;
}

static inline void
pgbgw_put_view(uint8_t *place, const uint8_t *data, int32_t length, const uint8_t *base)
{
	int32_t		view[4] = {length, 0, 0, 0};

	if (length <= PGBGW_VIEW_INLINE)
		memcpy(view + 1, data, (size_t) length);
	else
	{
		size_t		offset = (size_t) (data - base);

		memcpy(view + 1, data, 4);
		view[2] = (int32_t) (offset >> PGBGW_WINDOW_BITS);
		view[3] = (int32_t) (offset & ((UINT32_C(1) << PGBGW_WINDOW_BITS) - 1));
	}
	memcpy(place, view, sizeof(view));
}

/*
 * pgbgw_view_field
 *		The field that a view stands for.
 */
static inline pgbgw_field
pgbgw_view_field(const uint8_t *place, const uint8_t *base)
{
	int32_t		view[4];
	pgbgw_field field;

	memcpy(view, place, sizeof(view));
	field.length = view[0];
	field.data = view[0] <= PGBGW_VIEW_INLINE ? place + 4
		: base + ((size_t) view[2] << PGBGW_WINDOW_BITS) + (size_t) view[3];
	return field;
}

/*
 * pgbgw_interval_microseconds
 *		An interval with months of 30 and years of 365 days; 0 where it is
 *		infinite or does not fit, or is what numpy takes for "not a time".
 */
static inline int
pgbgw_interval_microseconds(const uint8_t *data, int64_t *microseconds)
{
	int64_t		days = (int32_t) pgbgw_get32(data + 8);
	int64_t		months = (int32_t) pgbgw_get32(data + 12);
	int64_t		part;

	*microseconds = (int64_t) pgbgw_get64(data);
	if (*microseconds == INT64_MAX || *microseconds == INT64_MIN)
		return 0;
	days += months / 12 * 365 + months % 12 * 30;
	return !__builtin_mul_overflow(days, PGBGW_DAY, &part)
		&& !__builtin_add_overflow(*microseconds, part, microseconds)
		&& *microseconds != INT64_MIN;
}

/*
 * pgbgw_put_value
 *		Put a value that is not NULL into its column; 0 if it is none that the
 *		type has.
 */
static inline int
pgbgw_put_value(const pgbgw_column *column, uint8_t *place, pgbgw_field field, const uint8_t *base)
{
	const uint8_t *data = field.data;
	int32_t		length = field.length;
	uint16_t	two;
	uint32_t	four;
	int32_t		day;
	int64_t		eight;

	switch (column->kind)
	{
		case PGBGW_BOOL:
			*place = *data;
			return *data <= 1;
		case PGBGW_INT2:
			two = pgbgw_get16(data);
			memcpy(place, &two, sizeof(two));
			return 1;
		case PGBGW_INT4:
		case PGBGW_OID:
		case PGBGW_FLOAT4:
			four = pgbgw_get32(data);
			memcpy(place, &four, sizeof(four));
			return 1;
		case PGBGW_DATE:
			if (!pgbgw_unix_date((int32_t) pgbgw_get32(data), &day))
				return 0;
			memcpy(place, &day, sizeof(day));
			return 1;
		case PGBGW_INT8:
		case PGBGW_FLOAT8:
			eight = (int64_t) pgbgw_get64(data);
			memcpy(place, &eight, sizeof(eight));
			return 1;
		case PGBGW_TIME:
			eight = (int64_t) pgbgw_get64(data);
			memcpy(place, &eight, sizeof(eight));
			return eight >= 0 && eight <= PGBGW_DAY;
		case PGBGW_TIMESTAMP:
		case PGBGW_TIMESTAMPTZ:
			if (!pgbgw_unix((int64_t) pgbgw_get64(data), &eight))
				return 0;
			memcpy(place, &eight, sizeof(eight));
			return 1;
		case PGBGW_INTERVAL:
			if (!pgbgw_interval_microseconds(data, &eight))
				return 0;
			memcpy(place, &eight, sizeof(eight));
			return 1;
		case PGBGW_UUID:
			memcpy(place, data, 16);
			return 1;
		case PGBGW_JSONB_TEXT:
		case PGBGW_JSONB_BYTES:
			if (length < 1 || *data++ != PGBGW_JSONB_VERSION)
				return 0;
			length--;
			break;
		default:
			break;
	}
	if ((column->kind == PGBGW_TEXT || column->kind == PGBGW_JSONB_TEXT) && !pgbgw_is_utf8(data, length))
		return 0;
	pgbgw_put_view(place, data, length, base);
	return 1;
}

/*
 * pgbgw_fill_columns
 *		Fill columns from as many rows, which have been walked; the number of
 *		the row that has a value that its type has not, with its column and
 *		field, or "count".
 *
 * "base" is where the buffers of views begin.  The values of NULL are zeros.
 */
static inline int64_t
pgbgw_fill_columns(pgbgw_column *columns, int32_t width, const uint8_t *base, const uint8_t *rows, int64_t count,
				   int32_t *wrong, pgbgw_field *field)
{
	int64_t		row;

	for (row = 0; row < count; row++)
	{
		int32_t		number;

		rows += 2;
		for (number = 0; number < width; number++)
		{
			pgbgw_column *column = columns + number;
			uint8_t    *place = column->values + (size_t) row * (size_t) column->width;

			*field = pgbgw_next_field(&rows);
			if (field->length == -1)
			{
				memset(place, 0, (size_t) column->width);
				column->nulls++;
				continue;
			}
			column->valid[row >> 3] |= (uint8_t) (1 << (row & 7));
			if (!pgbgw_put_value(column, place, *field, base))
			{
				*wrong = number;
				return row;
			}
		}
	}
	return count;
}

/*
 * pgbgw_find_midnight
 *		The number of the first row of a column of times that has 24:00:00, or
 *		"count".
 */
static inline int64_t
pgbgw_find_midnight(const pgbgw_column *column, int64_t count)
{
	int64_t		row;

	for (row = 0; row < count; row++)
	{
		int64_t		microseconds;

		memcpy(&microseconds, column->values + (size_t) row * sizeof(microseconds), sizeof(microseconds));
		if (microseconds == PGBGW_DAY)
			break;
	}
	return row;
}

#endif							/* PGBGW_COLUMNS_H */
