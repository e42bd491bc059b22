#include "postgres.h"

#include "executor/spi.h"

extern void probe_sample(Datum main_arg);
extern void probe_count(Datum main_arg);

/*
 * A round without SQL.
 */
void
probe_sample(Datum main_arg)
{
	elog(DEBUG1, "sample %d", DatumGetInt32(main_arg));
}

/*
 * A round inside a transaction, connected to SPI.
 */
void
probe_count(Datum main_arg)
{
	if (SPI_execute("SELECT pg_catalog.count(*) FROM pg_catalog.pg_class", true, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not count");
}
