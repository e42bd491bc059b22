# Jobs as rows for the encoder: what a loop in Python would take longer for than the encoder does.

@cython.final
cdef class JobRows:
    """An iterator over the rows of some jobs: tuples of the named attributes of each, and of ``last`` at the end.

    ``converters`` has for each attribute what its value goes through unless it is None, or None. A job that is not of
    exactly the class ``kind`` is made a row by ``other``.

    ``count`` is how many rows it has given and were taken well: one that is not asked for the next row has not counted
    the last. ``progress`` is called with it after each ``every`` rows, and at the end. Raises whatever these raise.
    """

    cdef readonly int64_t count
    cdef object _jobs
    cdef object _kind
    cdef tuple _names
    cdef tuple _converters
    cdef object _last
    cdef object _other
    cdef object _progress
    cdef int64_t _every
    cdef bint _given            # whether there was a row that is not counted yet

    def __init__(self, jobs, kind, names, converters, last, other, progress=None, int64_t every=1000):
        self._jobs = iter(jobs)
        self._kind = kind
        self._names = tuple(names)
        self._converters = tuple(converters)
        self._last = last
        self._other = other
        self._progress = progress
        self._every = every
        if len(self._names) != len(self._converters):
            raise ValueError(f"{len(self._names)} names and {len(self._converters)} converters")
        if every < 1:
            raise ValueError(f"every is not a positive number: {every}")

    def __iter__(self):
        return self

    def __next__(self):
        if self._given:
            self._given = False
            self.count += 1
            if self._progress is not None and self.count % self._every == 0:
                self._progress(self.count)
        try:
            job = next(self._jobs)
        except StopIteration:
            if self._progress is not None:
                self._progress(self.count)
            raise
        row = self._row(job) if type(job) is self._kind else self._other(job)
        self._given = True
        return row

    cdef tuple _row(self, job):
        cdef Py_ssize_t count = len(self._names)
        cdef Py_ssize_t place
        cdef PyObject *made = PyTuple_New(count + 1)
        if made == NULL:
            _reraise()
        # An item that is not set yet is NULL, which a tuple bears when it is dropped.
        cdef tuple row = <tuple> made
        Py_DECREF(row)
        for place in range(count):
            value = getattr(job, self._names[place])
            convert = self._converters[place]
            if convert is not None and value is not None:
                value = convert(value)
            PyTuple_SET_ITEM(made, place, Py_NewRef(<PyObject *> value))
        PyTuple_SET_ITEM(made, count, Py_NewRef(<PyObject *> self._last))
        return row
