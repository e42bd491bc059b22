/*-------------------------------------------------------------------------
 *
 * objects.h
 *	  Python objects of the common types, made straight from a field's bytes.
 *
 * A function here gives a new reference, or NULL.  NULL without an error set
 * means that the value is none of the common ones: the caller goes the careful
 * way, which knows every type and says what is wrong.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PGBGW_OBJECTS_H
#define PGBGW_OBJECTS_H

#include <Python.h>
#include <datetime.h>

#include "wire.h"

/* How the bytes of a field are read. */
typedef enum
{
	PGBGW_BYTES,
	PGBGW_TEXT,
	PGBGW_JSONB_TEXT,
	PGBGW_JSONB_BYTES,
	PGBGW_BOOL,
	PGBGW_INT2,
	PGBGW_INT4,
	PGBGW_INT8,
	PGBGW_OID,
	PGBGW_FLOAT4,
	PGBGW_FLOAT8,
	PGBGW_TIMESTAMP,
	PGBGW_TIMESTAMPTZ,
	/* from here on by the careful way only */
	PGBGW_DATE,
	PGBGW_TIME,
	PGBGW_TIMETZ,
	PGBGW_INTERVAL,
	PGBGW_NUMERIC,
	PGBGW_UUID,
	PGBGW_INET,
	PGBGW_CIDR,
	PGBGW_ARRAY
} pgbgw_kind;

/* What is kept of a column from row to row. */
typedef struct
{
	pgbgw_date	date;			/* of the last timestamp */
	PyObject   *text;			/* the last short text, ASCII, or NULL */
} pgbgw_memory;

#define PGBGW_SHORT_TEXT 64

static inline void
pgbgw_memory_clear(pgbgw_memory *memory)
{
	memory->date.day = INT64_MIN;
	Py_CLEAR(memory->text);
}

static inline int
pgbgw_is_ascii(const uint8_t *data, size_t size)
{
	uint64_t	all = 0;
	uint64_t	word;

	for (; size >= sizeof(word); data += sizeof(word), size -= sizeof(word))
	{
		memcpy(&word, data, sizeof(word));
		all |= word;
	}
	for (; size > 0; size--)
		all |= *data++;
	return (all & UINT64_C(0x8080808080808080)) == 0;
}

/*
 * pgbgw_make_text
 *		A str of UTF-8.
 *
 * Names, words and messages repeat from row to row, so a short one is compared
 * with the one before.
 */
static inline PyObject *
pgbgw_make_text(const uint8_t *data, int32_t length, pgbgw_memory *memory)
{
	PyObject   *text;

	if (memory != NULL && memory->text != NULL && PyUnicode_GET_LENGTH(memory->text) == length
		&& memcmp(PyUnicode_1BYTE_DATA(memory->text), data, (size_t) length) == 0)
		return Py_NewRef(memory->text);
	if (!pgbgw_is_ascii(data, (size_t) length))
	{
		text = PyUnicode_DecodeUTF8((const char *) data, length, NULL);
		if (text == NULL && PyErr_ExceptionMatches(PyExc_UnicodeDecodeError))
			PyErr_Clear();
		return text;
	}
	text = PyUnicode_New(length, 127);
	if (text == NULL)
		return NULL;
	memcpy(PyUnicode_1BYTE_DATA(text), data, (size_t) length);
	if (memory != NULL && length <= PGBGW_SHORT_TEXT)
		Py_XSETREF(memory->text, Py_NewRef(text));
	return text;
}

/*
 * pgbgw_make_datetime
 *		A datetime from microseconds since 2000-01-01; "zone" is UTC, or NULL
 *		for one without a zone.
 *
 * The fields are filled in without the checks of the constructor, which the
 * comparison with the first and the last microsecond makes redundant, and the
 * date is that of the row before more often than not.  The layout of the
 * struct is public (datetime.h).
 */
static inline PyObject *
pgbgw_make_datetime(int64_t microseconds, PyObject *zone, pgbgw_date *date)
{
	PyTypeObject *type = PyDateTimeAPI->DateTimeType;
	PyDateTime_DateTime *made;
	int64_t		day = microseconds / PGBGW_DAY;
	int64_t		rest = microseconds % PGBGW_DAY;
	uint32_t	second;
	uint32_t	fraction;

	if (microseconds < PGBGW_FIRST_MICROSECOND || microseconds > PGBGW_LAST_MICROSECOND)
		return NULL;
	if (rest < 0)
	{
		rest += PGBGW_DAY;
		day--;
	}
	if (day != date->day)
		pgbgw_date_of(day, date);
	second = (uint32_t) (rest / 1000000);
	fraction = (uint32_t) (rest % 1000000);

	made = (PyDateTime_DateTime *) type->tp_alloc(type, zone != NULL);
	if (made == NULL)
		return NULL;
	made->hashcode = -1;
	made->hastzinfo = zone != NULL;
	made->fold = 0;
	if (zone != NULL)
		made->tzinfo = Py_NewRef(zone);
	made->data[0] = (unsigned char) (date->year >> 8);
	made->data[1] = (unsigned char) date->year;
	made->data[2] = (unsigned char) date->month;
	made->data[3] = (unsigned char) date->day_of_month;
	made->data[4] = (unsigned char) (second / 3600);
	made->data[5] = (unsigned char) (second / 60 % 60);
	made->data[6] = (unsigned char) (second % 60);
	made->data[7] = (unsigned char) (fraction >> 16);
	made->data[8] = (unsigned char) (fraction >> 8);
	made->data[9] = (unsigned char) fraction;
	return (PyObject *) made;
}

/*
 * pgbgw_make_common
 *		The object for a field that is not NULL and whose fixed length, if its
 *		type has one, was checked.  "memory" may be NULL.
 */
static inline PyObject *
pgbgw_make_common(int kind, const uint8_t *data, int32_t length, pgbgw_memory *memory)
{
	pgbgw_date	date;

	switch (kind)
	{
		case PGBGW_BYTES:
			return PyBytes_FromStringAndSize((const char *) data, length);
		case PGBGW_TEXT:
			return pgbgw_make_text(data, length, memory);
		case PGBGW_JSONB_TEXT:
			if (length < 1 || data[0] != PGBGW_JSONB_VERSION)
				return NULL;
			return pgbgw_make_text(data + 1, length - 1, memory);
		case PGBGW_JSONB_BYTES:
			if (length < 1 || data[0] != PGBGW_JSONB_VERSION)
				return NULL;
			return PyBytes_FromStringAndSize((const char *) data + 1, length - 1);
		case PGBGW_BOOL:
			return data[0] > 1 ? NULL : Py_NewRef(data[0] ? Py_True : Py_False);
		case PGBGW_INT2:
			return PyLong_FromLong((int16_t) pgbgw_get16(data));
		case PGBGW_INT4:
			return PyLong_FromLong((int32_t) pgbgw_get32(data));
		case PGBGW_INT8:
			return PyLong_FromLongLong((int64_t) pgbgw_get64(data));
		case PGBGW_OID:
			return PyLong_FromUnsignedLong(pgbgw_get32(data));
		case PGBGW_FLOAT4:
			return PyFloat_FromDouble((double) pgbgw_get_float(data));
		case PGBGW_FLOAT8:
			return PyFloat_FromDouble(pgbgw_get_double(data));
		case PGBGW_TIMESTAMP:
		case PGBGW_TIMESTAMPTZ:
			date.day = INT64_MIN;
			return pgbgw_make_datetime((int64_t) pgbgw_get64(data),
									   kind == PGBGW_TIMESTAMPTZ ? PyDateTimeAPI->TimeZone_UTC : NULL,
									   memory != NULL ? &memory->date : &date);
		default:
			return NULL;
	}
}

/*
 * pgbgw_put_item
 *		Set an item of a new tuple; 0 if its value is not one of the common ones,
 *		with or without an error set.
 */
static inline int
pgbgw_put_item(PyObject *row, int32_t column, pgbgw_field field, const uint8_t *kinds, pgbgw_memory *memory)
{
	PyObject   *item;

	if (field.length == -1)
		item = Py_NewRef(Py_None);
	else
		item = pgbgw_make_common(kinds[column], field.data, field.length, memory + column);
	PyTuple_SET_ITEM(row, column, item);
	return item != NULL;
}

/*
 * pgbgw_put_items
 *		Set the items of a new tuple from *column on, whose fields begin at
 *		*place, up to one that is not common; 1 if there was none.
 */
static inline int
pgbgw_put_items(PyObject *row, const pgbgw_shape *shape, const uint8_t *kinds, pgbgw_memory *memory,
				const uint8_t **place, pgbgw_field *field, int32_t *column)
{
	for (; *column < shape->columns; ++*column)
	{
		*field = pgbgw_next_field(place);
		if (!pgbgw_put_item(row, *column, *field, kinds, memory))
			return 0;
	}
	return 1;
}

/*
 * pgbgw_put_fields
 *		The same of fields whose lengths were not checked.
 */
static inline int
pgbgw_put_fields(PyObject *row, const pgbgw_shape *shape, const uint8_t *kinds, pgbgw_memory *memory,
				 const pgbgw_field *fields, int32_t *column)
{
	for (; *column < shape->columns; ++*column)
	{
		int32_t		fixed = shape->fixed[*column];
		int32_t		length = fields[*column].length;

		if (fixed != 0 && length != fixed && length != -1)
			return 0;
		if (!pgbgw_put_item(row, *column, fields[*column], kinds, memory))
			return 0;
	}
	return 1;
}

/*
 * pgbgw_append
 *		Append to a list, and give the reference away whatever happens.
 *
 * PyList_Append would count it up only to count it down again.
 */
static inline int
pgbgw_append(PyObject *list, PyObject *item)
{
	int			failed;
#ifndef Py_GIL_DISABLED
	PyListObject *found = (PyListObject *) list;
	Py_ssize_t	size = Py_SIZE(found);

	if (size < found->allocated)
	{
		PyList_SET_ITEM(list, size, item);
		Py_SET_SIZE(found, size + 1);
		return 0;
	}
#endif
	failed = PyList_Append(list, item);
	Py_DECREF(item);
	return failed;
}

#endif							/* PGBGW_OBJECTS_H */
