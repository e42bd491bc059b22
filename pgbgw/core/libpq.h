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

typedef struct
{
	int			(*version) (void);
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
		&& PGBGW_SYMBOL("PQgetlength", length)
		&& PGBGW_SYMBOL("PQgetisnull", is_null)
		&& PGBGW_SYMBOL("PQgetvalue", value);
	/* The module stays: Python never unloads one. */
	dlclose(module);
	return found;
}

#endif							/* PGBGW_LIBPQ_H */
