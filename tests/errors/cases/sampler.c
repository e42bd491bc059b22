/* A round of the worker "sampler". */
#include "postgres.h"

void
sampler(Datum main_arg)
{
}
