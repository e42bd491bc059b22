/* Another file with a function of that name. */
#include "postgres.h"

void
sampler(Datum main_arg)
{
}
