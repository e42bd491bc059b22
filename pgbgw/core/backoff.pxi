# How long to wait after a failure.

cdef extern from "backoff.h" nogil:
    int64_t pgbgw_backoff(int32_t attempt, int64_t base, int64_t cap, uint32_t random)


def backoff(int32_t attempt, int64_t base_us, int64_t cap_us, uint32_t random):
    """Microseconds to wait after ``attempt`` failures, by the very code that emitted workers run.

    ``base_us`` doubles with each attempt after the first up to ``cap_us``; ``random``, uniform from 0 to 2**32 - 1,
    then takes up to a quarter off. The result is from 1 to ``cap_us``, or 0 when base or cap is not above 0. Source:
    c_templates/static/backoff.h. Raises OverflowError for an argument that its C type does not hold.
    """
    return pgbgw_backoff(attempt, base_us, cap_us, random)
