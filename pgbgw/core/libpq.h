/*-------------------------------------------------------------------------
 *
 * libpq.h
 *	  The libpq that psycopg uses, for reading results by pointer.
 *
 * Several libpqs may live in one process, and a result is to be read by the
 * one that made it.  psycopg's compiled module is linked to its own, under
 * whatever name the wheel gave it: a symbol is looked up in that module and in
 * what it depends on, as the dynamic linker did when it loaded the module
 * (dlsym(3), "Handle").
 *
 * The functions are those of "Retrieving Query Result Information" in the
 * chapter on libpq.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PGBGW_LIBPQ_H
#define PGBGW_LIBPQ_H

#include <dlfcn.h>
#include <string.h>

#include "wire.h"

typedef struct
{
	int			(*version) (void);
	int			(*status) (const void *result);
	int			(*rows) (const void *result);
	int			(*columns) (const void *result);
	unsigned int (*type) (const void *result, int column);
	int			(*format) (const void *result, int column);
	int			(*length) (const void *result, int row, int column);
	int			(*is_null) (const void *result, int row, int column);
	char	   *(*value) (const void *result, int row, int column);
} pgbgw_libpq;

static inline int
pgbgw_libpq_symbol(void *module, const char *name, void *function, size_t size)
{
	void	   *found = dlsym(module, name);

	if (found == NULL)
		return 0;
	/* ISO C has no cast from a pointer to data to one to a function. */
	memcpy(function, &found, size);
	return 1;
}

#define PGBGW_SYMBOL(name, member) pgbgw_libpq_symbol(module, name, &libpq->member, sizeof(libpq->member))

/*
 * pgbgw_libpq_find
 *		Look the functions up from the module at "path", which must be loaded
 *		already; 1 if all are there.
 */
static inline int
pgbgw_libpq_find(pgbgw_libpq *libpq, const char *path)
{
	void	   *module = dlopen(path, RTLD_LAZY | RTLD_LOCAL | RTLD_NOLOAD);
	int			found;

	if (module == NULL)
		return 0;
	found = PGBGW_SYMBOL("PQlibVersion", version)
		&& PGBGW_SYMBOL("PQresultStatus", status)
		&& PGBGW_SYMBOL("PQntuples", rows)
		&& PGBGW_SYMBOL("PQnfields", columns)
		&& PGBGW_SYMBOL("PQftype", type)
		&& PGBGW_SYMBOL("PQfformat", format)
		&& PGBGW_SYMBOL("PQgetlength", length)
		&& PGBGW_SYMBOL("PQgetisnull", is_null)
		&& PGBGW_SYMBOL("PQgetvalue", value);
	/* The module stays: Python never unloads one. */
	dlclose(module);
	return found;
}

/*
 * pgbgw_libpq_plain
 *		Whether a connection is known to use neither TLS nor GSSAPI encryption, so
 *		that its socket has the protocol as it is.
 */
static inline int
pgbgw_libpq_plain(const char *path, const void *connection)
{
	void	   *module = dlopen(path, RTLD_LAZY | RTLD_LOCAL | RTLD_NOLOAD);
	int			(*tls) (const void *connection);
	int			(*gssapi) (const void *connection);
	int			found;

	if (module == NULL)
		return 0;
	found = pgbgw_libpq_symbol(module, "PQsslInUse", &tls, sizeof(tls))
		&& pgbgw_libpq_symbol(module, "PQgssEncInUse", &gssapi, sizeof(gssapi))
		&& !tls(connection)
		&& !gssapi(connection);
	dlclose(module);
	return found;
}

/*
 * How a result begins (struct pg_result, libpq-int.h).  It is private, but has
 * begun so since version 7, and psycopg's own compiled part relies on it too.
 */
typedef struct
{
	int			rows;
	int			columns;
	void	   *described;
	const pgbgw_field **values; /* PGresAttValue: a length, -1 for NULL, and a pointer */
} pgbgw_result;

/*
 * pgbgw_result_values
 *		The fields of each row of a result that has rows and columns; or NULL if
 *		this libpq keeps them in another way, so that it is to be asked.
 *
 * The numbers and the corners are held against what libpq says.
 */
static inline const pgbgw_field *const *
pgbgw_result_values(const pgbgw_libpq *libpq, const void *result)
{
	const pgbgw_result *known = result;
	int			row = libpq->rows(result) - 1;
	int			column = libpq->columns(result) - 1;

	if (sizeof(int) != sizeof(int32_t) || row < 0 || column < 0)
		return NULL;
	if (known->rows != row + 1 || known->columns != column + 1)
		return NULL;
	if (known->values[0][0].data != (const uint8_t *) libpq->value(result, 0, 0)
		|| known->values[row][column].data != (const uint8_t *) libpq->value(result, row, column)
		|| (known->values[row][column].length == -1) != libpq->is_null(result, row, column)
		|| (known->values[row][column].length != -1
			&& known->values[row][column].length != libpq->length(result, row, column)))
		return NULL;
	return (const pgbgw_field *const *) known->values;
}

#endif							/* PGBGW_LIBPQ_H */
