#include "postgres.h"

#include "executor/spi.h"
#include "miscadmin.h"

extern void sample(Datum main_arg);
extern void sample_sql(Datum main_arg);

void
sample(Datum main_arg)
{
	ereport(LOG, (errmsg("sampled by %d", MyProcPid)));
}

void
sample_sql(Datum main_arg)
{
	if (SPI_execute("INSERT INTO public.sampled VALUES (1)", false, 0) != SPI_OK_INSERT)
		elog(ERROR, "could not insert");
}
