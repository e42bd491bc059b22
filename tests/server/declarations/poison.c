#include "postgres.h"

#include "fmgr.h"

extern void idle(Datum main_arg);
extern PGDLLEXPORT Datum dereference(PG_FUNCTION_ARGS);

void
idle(Datum main_arg)
{
}

PG_FUNCTION_INFO_V1(dereference);

/*
 * What a fault in somebody's C does: it follows a null pointer.
 */
Datum
dereference(PG_FUNCTION_ARGS)
{
	volatile int *nowhere = NULL;

	PG_RETURN_INT32(*nowhere);
}
