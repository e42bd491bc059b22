/*-------------------------------------------------------------------------
 *
 * encode.h
 *	  Rows of the common types into COPY BINARY, straight from Python objects.
 *
 * As in objects.h what is out of the ordinary is left to the careful way,
 * which knows every type and says what is wrong.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PGBGW_ENCODE_H
#define PGBGW_ENCODE_H

#include "objects.h"

/* Bytes that grow. */
typedef struct
{
	uint8_t    *data;
	size_t		size;
	size_t		room;
} pgbgw_buffer;

/*
 * pgbgw_reserve
 *		Make room for "size" more bytes; where they begin, or NULL with an
 *		error set.
 */
static inline uint8_t *
pgbgw_reserve(pgbgw_buffer *buffer, size_t size)
{
	if (buffer->room - buffer->size < size)
	{
		size_t		room = buffer->room < 4096 ? 4096 : buffer->room;
		uint8_t    *data;

		/* A field is below 1 GB and a row below 64 bits, so this does not overflow. */
		while (room - buffer->size < size)
			room *= 2;
		data = PyMem_Realloc(buffer->data, room);
		if (data == NULL)
		{
			PyErr_NoMemory();
			return NULL;
		}
		buffer->data = data;
		buffer->room = room;
	}
	return buffer->data + buffer->size;
}

/* What became of a value. */
typedef enum
{
	PGBGW_FAILED = -1,			/* an error is set */
	PGBGW_CAREFUL,				/* nothing was written: go the careful way */
	PGBGW_WRITTEN
} pgbgw_outcome;

/*
 * pgbgw_put_field
 *		Write a length and as many bytes, the first of which is "version" unless
 *		that is 0.
 */
static inline pgbgw_outcome
pgbgw_put_field(pgbgw_buffer *buffer, const void *data, size_t size, uint8_t version)
{
	uint8_t    *place;
	size_t		extra = version != 0;

	if (size > PGBGW_MAX_SIZE - 1)
		return PGBGW_CAREFUL;
	place = pgbgw_reserve(buffer, 4 + extra + size);
	if (place == NULL)
		return PGBGW_FAILED;
	pgbgw_put32(place, (uint32_t) (size + extra));
	place += 4;
	if (extra)
		*place++ = version;
	if (size > 0)
		memcpy(place, data, size);
	buffer->size += 4 + extra + size;
	return PGBGW_WRITTEN;
}

/*
 * pgbgw_int_value
 *		The value of an exact int.  Small ones are read without a call.
 */
static inline long long
pgbgw_int_value(PyObject *value, int *overflow)
{
#if PY_VERSION_HEX >= 0x030c0000
	if (PyUnstable_Long_IsCompact((PyLongObject *) value))
	{
		*overflow = 0;
		return PyUnstable_Long_CompactValue((PyLongObject *) value);
	}
#else
	Py_ssize_t	digits = Py_SIZE(value);

	if (digits >= -1 && digits <= 1)
	{
		*overflow = 0;
		return digits * (long long) ((PyLongObject *) value)->ob_digit[0];
	}
#endif
	return PyLong_AsLongLongAndOverflow(value, overflow);
}

static inline pgbgw_outcome
pgbgw_put_int(pgbgw_buffer *buffer, PyObject *value, int size)
{
	long long	number;
	int			overflow;
	uint8_t    *place;

	if (!PyLong_CheckExact(value))
		return PGBGW_CAREFUL;
	number = pgbgw_int_value(value, &overflow);
	if (overflow != 0
		|| (size == 2 && number != (int16_t) number)
		|| (size == 4 && number != (int32_t) number))
		return PGBGW_CAREFUL;
	place = pgbgw_reserve(buffer, 12);
	if (place == NULL)
		return PGBGW_FAILED;
	pgbgw_put32(place, (uint32_t) size);
	if (size == 8)
		pgbgw_put64(place + 4, (uint64_t) number);
	else if (size == 4)
		pgbgw_put32(place + 4, (uint32_t) number);
	else
		pgbgw_put16(place + 4, (uint16_t) number);
	buffer->size += 4 + (size_t) size;
	return PGBGW_WRITTEN;
}

/*
 * pgbgw_put_str
 *		Write the UTF-8 of a str.  PostgreSQL has no NUL in text.
 */
static inline pgbgw_outcome
pgbgw_put_str(pgbgw_buffer *buffer, PyObject *value, uint8_t version)
{
	const char *text;
	Py_ssize_t	size;

	if (PyUnicode_IS_COMPACT_ASCII(value))
	{
		text = (const char *) PyUnicode_1BYTE_DATA(value);
		size = PyUnicode_GET_LENGTH(value);
	}
	else
	{
		text = PyUnicode_AsUTF8AndSize(value, &size);
		if (text == NULL)
		{
			/* Surrogates: the careful way says where. */
			if (!PyErr_ExceptionMatches(PyExc_UnicodeEncodeError))
				return PGBGW_FAILED;
			PyErr_Clear();
			return PGBGW_CAREFUL;
		}
	}
	if (memchr(text, 0, (size_t) size) != NULL)
		return PGBGW_CAREFUL;
	return pgbgw_put_field(buffer, text, (size_t) size, version);
}

static inline pgbgw_outcome
pgbgw_put_datetime(pgbgw_buffer *buffer, PyObject *value, PyObject *zone)
{
	int64_t		microseconds;
	uint8_t    *place;

	if (!PyDateTime_CheckExact(value) || PyDateTime_DATE_GET_TZINFO(value) != zone)
		return PGBGW_CAREFUL;
	microseconds = pgbgw_day_of(PyDateTime_GET_YEAR(value), PyDateTime_GET_MONTH(value), PyDateTime_GET_DAY(value))
		* PGBGW_DAY
		+ (PyDateTime_DATE_GET_HOUR(value) * 3600 + PyDateTime_DATE_GET_MINUTE(value) * 60
		   + PyDateTime_DATE_GET_SECOND(value)) * INT64_C(1000000)
		+ PyDateTime_DATE_GET_MICROSECOND(value);
	place = pgbgw_reserve(buffer, 12);
	if (place == NULL)
		return PGBGW_FAILED;
	pgbgw_put32(place, 8);
	pgbgw_put64(place + 4, (uint64_t) microseconds);
	buffer->size += 12;
	return PGBGW_WRITTEN;
}

/*
 * pgbgw_put_common
 *		Write a value that is not None for a column of this kind.
 */
static inline pgbgw_outcome
pgbgw_put_common(pgbgw_buffer *buffer, int kind, PyObject *value)
{
	uint8_t		bytes[8];
	double		number;
	uint64_t	bits;

	switch (kind)
	{
		case PGBGW_INT2:
			return pgbgw_put_int(buffer, value, 2);
		case PGBGW_INT4:
			return pgbgw_put_int(buffer, value, 4);
		case PGBGW_INT8:
			return pgbgw_put_int(buffer, value, 8);
		case PGBGW_TEXT:
			return PyUnicode_CheckExact(value) ? pgbgw_put_str(buffer, value, 0) : PGBGW_CAREFUL;
		case PGBGW_JSONB_TEXT:
		case PGBGW_JSONB_BYTES:
			if (PyUnicode_CheckExact(value))
				return pgbgw_put_str(buffer, value, PGBGW_JSONB_VERSION);
			if (!PyBytes_CheckExact(value)
				|| memchr(PyBytes_AS_STRING(value), 0, (size_t) PyBytes_GET_SIZE(value)) != NULL
				|| !pgbgw_is_ascii((const uint8_t *) PyBytes_AS_STRING(value), (size_t) PyBytes_GET_SIZE(value)))
				return PGBGW_CAREFUL;
			return pgbgw_put_field(buffer, PyBytes_AS_STRING(value), (size_t) PyBytes_GET_SIZE(value),
								   PGBGW_JSONB_VERSION);
		case PGBGW_BYTES:
			if (!PyBytes_CheckExact(value))
				return PGBGW_CAREFUL;
			return pgbgw_put_field(buffer, PyBytes_AS_STRING(value), (size_t) PyBytes_GET_SIZE(value), 0);
		case PGBGW_BOOL:
			if (!PyBool_Check(value))
				return PGBGW_CAREFUL;
			bytes[0] = value == Py_True;
			return pgbgw_put_field(buffer, bytes, 1, 0);
		case PGBGW_FLOAT8:
			if (!PyFloat_CheckExact(value))
				return PGBGW_CAREFUL;
			number = PyFloat_AS_DOUBLE(value);
			memcpy(&bits, &number, sizeof(bits));
			pgbgw_put64(bytes, bits);
			return pgbgw_put_field(buffer, bytes, 8, 0);
		case PGBGW_TIMESTAMP:
			return pgbgw_put_datetime(buffer, value, Py_None);
		case PGBGW_TIMESTAMPTZ:
			return pgbgw_put_datetime(buffer, value, PyDateTimeAPI->TimeZone_UTC);
		default:
			return PGBGW_CAREFUL;
	}
}

/*
 * pgbgw_put_values
 *		Write the values of a tuple from *column on, up to one that is not written
 *		because it is not common or an error is set; PGBGW_WRITTEN if there was
 *		none.  "before" is where the row begins, which may not become too large.
 */
static inline pgbgw_outcome
pgbgw_put_values(pgbgw_buffer *buffer, const pgbgw_shape *shape, const uint8_t *kinds, PyObject *values,
				 size_t before, int32_t *column)
{
	for (; *column < shape->columns; ++*column)
	{
		PyObject   *value = PyTuple_GET_ITEM(values, *column);
		pgbgw_outcome outcome;

		if (value == Py_None)
		{
			uint8_t    *place = pgbgw_reserve(buffer, 4);

			if (place == NULL)
				return PGBGW_FAILED;
			pgbgw_put32(place, UINT32_MAX);
			buffer->size += 4;
			continue;
		}
		outcome = pgbgw_put_common(buffer, kinds[*column], value);
		if (outcome != PGBGW_WRITTEN)
			return outcome;
		if (buffer->size - before > PGBGW_MAX_SIZE)
			return PGBGW_CAREFUL;
	}
	return PGBGW_WRITTEN;
}

#endif							/* PGBGW_ENCODE_H */
