# Jobs: rows that are read when they are asked.

cdef enum:
    # From this size on a view costs less than a copy.
    VIEW_SIZE = 8192


@cython.final
@cython.no_gc
cdef class _Chunk:
    """Rows as they were received, and their layout: what the jobs of a slab share.

    Neither refers to anything that could refer to a job, so there are no cycles for the collector to find.
    """

    cdef Layout layout
    cdef bytes data

    def __cinit__(self, Layout layout not None, bytes data not None):
        self.layout = _ready(layout)
        self.data = data


@cython.no_gc
cdef class Row:
    """What a row of a queue has: the attributes that every job has, and what was sent.

    A window into the chunk in which the row was received, decoded where it is looked at. An attribute that the table or
    the query does not have raises AttributeError, NULL is None. CopyError is raised for a value that its type does not
    allow, or that Python's type does not hold.
    """

    # As in pgbgw_job, slab.h
    cdef pgbgw_slab *slab
    cdef const uint8_t *row
    cdef int32_t size
    cdef int32_t is_lost

    def __cinit__(self):
        raise TypeError("a Job is made of a received row")

    @property
    def layout(self):
        """The layout of its row."""
        return _layout_of_job(self)

    @property
    def queue(self):
        """The name of its queue, as the layout has it, or None."""
        return _layout_of_job(self).queue

    @property
    def id(self):
        """Its number in the queue."""
        return _job_attribute(self, _layout_of_job(self).id, "id")

    @property
    def priority(self):
        """Its priority; smaller ones come first."""
        return _job_attribute(self, _layout_of_job(self).priority, "priority")

    @property
    def attempt(self):
        """Which attempt this is, or how many there were; the column "attempt" or "attempts"."""
        return _job_attribute(self, _layout_of_job(self).attempt, "attempt")

    @property
    def created_at(self):
        """When it was enqueued, as an aware datetime in UTC."""
        return _job_attribute(self, _layout_of_job(self).created_at, "created_at")

    @property
    def lease_end(self):
        """When its lease ends, as an aware datetime in UTC."""
        return _job_attribute(self, _layout_of_job(self).lease_end, "lease_end")

    @property
    def token(self):
        """The number of its lease."""
        return _job_attribute(self, _layout_of_job(self).token, "token")

    @property
    def who(self):
        """Who has claimed it."""
        return _job_attribute(self, _layout_of_job(self).who, "who")

    def raw(self, str name not None):
        """The bytes of a column as they were sent, or None for NULL: of jsonb the JSON text, without its version.

        From 8192 bytes on they are a memoryview into the chunk, below that a copy. Raises KeyError for a column that
        there is not.
        """
        cdef _Chunk chunk = <_Chunk> self.slab.chunk
        cdef int32_t column = chunk.layout._column(name)
        cdef pgbgw_field field = pgbgw_field_at(self.row, column)
        cdef int kind = chunk.layout.kinds[column]
        cdef Py_ssize_t start
        if field.length == -1:
            return None
        if kind == PGBGW_JSONB_TEXT or kind == PGBGW_JSONB_BYTES:
            if field.length < 1 or field.data[0] != PGBGW_JSONB_VERSION:
                # Says what is wrong.
                return chunk.layout._object(None, column, field, NULL)
            field.data += 1
            field.length -= 1
        if field.length < VIEW_SIZE:
            return field.data[:field.length]
        start = field.data - <const uint8_t *> PyBytes_AS_STRING(chunk.data)
        return memoryview(chunk.data)[start:start + field.length]

    def microseconds(self, str name not None):
        """A column of type timestamp or timestamptz in microseconds from 2000-01-01 (UTC), or None for NULL.

        Every value can be read this way: infinity is 2**63 - 1, minus infinity -2**63. Raises KeyError for a column
        that there is not, TypeError for one of another type.
        """
        layout = _layout_of_job(self)
        cdef int32_t column = layout._column(name)
        cdef pgbgw_field field = pgbgw_field_at(self.row, column)
        if layout.kinds[column] not in (PGBGW_TIMESTAMP, PGBGW_TIMESTAMPTZ):
            raise TypeError(f"{layout._label(column)} is no timestamp")
        return None if field.length == -1 else <int64_t> pgbgw_get64(field.data)


@cython.final
@cython.no_gc
cdef class Job(Row):
    """One job: a window into the chunk in which its row was received, decoded where it is looked at.

    Its attributes are those of the columns that every job has; one that the table or the query does not have raises
    AttributeError, NULL is None. ``job["address"]`` is a column of the payload, or any other by its name.

    The chunk stays in memory as long as one of its jobs lives; ``detach()`` gives a job that holds its own row alone.
    Jobs are made by JobDecoder, copy_jobs() and result_jobs(). They are immutable, and equal to themselves only; a
    pickled one comes back detached.

    What is read raises CopyError for a value that its type does not allow, or that Python's type does not hold.
    """

    def payload(self):
        """The payload as a new dict, in the order of its columns."""
        return _payload_of(self)

    def detach(self):
        """The same job with a copy of its row, which lets the chunk go."""
        return _job(_layout_of_job(self), self.row[:self.size])

    def keys(self):
        """The names of the payload's columns."""
        return _layout_of_job(self).payload

    def get(self, str name not None, default=None):
        """A column by its name, or the default where there is no such column."""
        layout = _layout_of_job(self)
        column = layout._columns.get(name)
        return default if column is None else _job_object(self, column)

    def __getitem__(self, str name not None):
        return _job_object(self, _layout_of_job(self)._column(name))

    def __contains__(self, name):
        return name in _layout_of_job(self)._columns

    def __iter__(self):
        return iter(_layout_of_job(self).payload)

    def __reduce__(self):
        return _job, (_layout_of_job(self), self.row[:self.size])

    def __repr__(self):
        layout = _layout_of_job(self)
        queue = "" if layout.queue is None else f" of {layout.queue}"
        attempt = "" if layout.attempt < 0 else f", attempt {self.attempt}"
        return f"<Job {'?' if layout.id < 0 else self.id}{queue}{attempt}>"


cdef class Held(Row):
    """A job that a program has: one that may be marked as lost, and keeps an object, such as what its payload came to.

    A class is derived from it by whoever wants to give it more methods, with ``__slots__ = ()``: result_jobs() makes
    its objects, which have no room for more.
    """

    cdef object _kept

    @property
    def lost(self):
        """Whether it is marked; it is not at first."""
        return self.is_lost != 0

    @lost.setter
    def lost(self, bint value):
        self.is_lost = value

    @property
    def kept(self):
        """What is kept, None at first."""
        return self._kept

    @kept.setter
    def kept(self, value):
        pgbgw_held_keep(<PyObject *> self, <PyObject *> value)

    def fields(self):
        """The payload as a new dict, in the order of its columns."""
        return _payload_of(self)

    def row_bytes(self):
        """The row, as it was received."""
        return self.row[:self.size]

    def detach(self):
        """The same job with a copy of its row, which lets the chunk go; marked as this one is, with what it keeps."""
        cdef Held made = _job(_layout_of_job(self), self.row[:self.size], type(self))
        made.is_lost = self.is_lost
        # What keeps nothing need not be known to the collector.
        if self._kept is not None:
            pgbgw_held_keep(<PyObject *> made, <PyObject *> self._kept)
        return made


(<PyTypeObject *> Row).tp_dealloc = pgbgw_job_dealloc
(<PyTypeObject *> Job).tp_dealloc = pgbgw_job_dealloc
(<PyTypeObject *> Held).tp_dealloc = pgbgw_held_dealloc
# The slabs are laid out by structs of their own.
assert (<PyTypeObject *> Job).tp_basicsize == sizeof(pgbgw_job)
assert (<PyTypeObject *> Held).tp_basicsize == sizeof(pgbgw_held)


cdef inline Layout _layout_of_job(Row job):
    return (<_Chunk> job.slab.chunk).layout


cdef object _job_attribute(Row job, int32_t column, str name):
    if column < 0:
        raise AttributeError(f'the rows of this job have no column "{name}"')
    return _job_object(job, column)


cdef object _job_object(Row job, int32_t column):
    return _layout_of_job(job)._object(None, column, pgbgw_field_at(job.row, column), NULL)


cdef dict _payload_of(Row job):
    layout = _layout_of_job(job)
    return {name: _job_object(job, layout._column(name)) for name in layout.payload}


def _job(Layout layout not None, bytes row not None, type kind=None):
    """A job of a row by itself, as a pickle has it."""
    cdef pgbgw_walked walked
    cdef const uint8_t *start = <const uint8_t *> PyBytes_AS_STRING(row)
    cdef pgbgw_verdict verdict = pgbgw_walk(&_ready(layout).shape, start, len(row), &walked)
    cdef list jobs = []
    if verdict != PGBGW_WHOLE:
        raise layout._walk_error(None, verdict, walked)
    if walked.size != len(row):
        raise CopyError(f"{len(row) - walked.size} bytes follow the row")
    chunk = _Chunk(layout, row)
    cdef pgbgw_maker maker = _maker(chunk, kind)
    try:
        _append_job(jobs, &maker, start, <Py_ssize_t> walked.size, 1)
    finally:
        pgbgw_maker_done(&maker)
    return jobs[0]


cdef pgbgw_maker _maker(_Chunk chunk, type kind) except *:
    """A maker of a chunk's jobs of class Job, or of one that is derived from Held; it must not outlive the caller's
    hold on the chunk.
    """
    cdef pgbgw_maker maker
    maker.type = <PyTypeObject *> Job
    maker.head = 0
    maker.stride = sizeof(pgbgw_job)
    if kind is not None:
        if not issubclass(kind, Held) or (<PyTypeObject *> kind).tp_basicsize != sizeof(pgbgw_held):
            raise TypeError(f"{kind.__name__} is not derived from Held, with __slots__ = ()")
        # That of a class statement would free each job by itself.
        (<PyTypeObject *> kind).tp_dealloc = pgbgw_held_dealloc
        maker.type = <PyTypeObject *> kind
        maker.head = PGBGW_GC_HEAD
        maker.stride = PGBGW_GC_HEAD + sizeof(pgbgw_held)
    maker.chunk = <PyObject *> chunk
    maker.slab = NULL
    maker.used = maker.slots = 0
    return maker


cdef inline int _append_job(
    list jobs, pgbgw_maker *maker, const uint8_t *row, Py_ssize_t size, Py_ssize_t wanted
) except -1:
    cdef PyObject *job = pgbgw_make_job(maker, row, <int32_t> size, wanted)
    if job == NULL:
        _reraise()
    return pgbgw_append(jobs, job)


def of_each_layout(jobs):
    """One job of each layout, in their order: the first of all that follow each other and have the same.

    Raises TypeError for what is no job.
    """
    cdef list found = []
    cdef Layout latest = None
    cdef Layout layout
    for job in jobs:
        if not isinstance(job, Row):
            raise TypeError(f"not a job: {type(job).__name__}")
        layout = _layout_of_job(<Row> job)
        if layout is not latest:
            latest = layout
            found.append(job)
    return found


def lease_keys(jobs):
    """The ids and the tokens of some jobs: two arrays of int8 in binary, as array_send() in utils/adt/arrayfuncs.c
    writes them.

    Raises TypeError for what is no job, AttributeError for rows without these columns, and ValueError where they are
    NULL.
    """
    cdef list rows = list(jobs)
    return _int8_array(rows, "id"), _int8_array(rows, "token")


cdef bytes _int8_array(list rows, str name):
    cdef Py_ssize_t count = len(rows)
    cdef bytes made = PyBytes_FromStringAndSize(NULL, 12 + (8 + 12 * count if count else 0))
    cdef uint8_t *place = <uint8_t *> PyBytes_AS_STRING(made)
    cdef pgbgw_field field
    cdef Layout layout
    cdef int32_t column
    # the dimensions, whether there is a NULL, the type of the elements; then the length and the lower bound
    pgbgw_put32(place, count != 0)
    pgbgw_put32(place + 4, 0)
    pgbgw_put32(place + 8, INT8_OID)
    place += 12
    if count == 0:
        return made
    if count > PGBGW_MAX_SIZE // 12:
        raise ValueError(f"{count} jobs are more than fit into an array")
    pgbgw_put32(place, <uint32_t> count)
    pgbgw_put32(place + 4, 1)
    place += 8
    for job in rows:
        if not isinstance(job, Row):
            raise TypeError(f"not a job: {type(job).__name__}")
        layout = _layout_of_job(<Row> job)
        column = layout.id if name == "id" else layout.token
        if column < 0:
            raise AttributeError(f'the rows of this job have no column "{name}"')
        field = pgbgw_field_at((<Row> job).row, column)
        # Of no other type has a layout these columns.
        if field.length != 8:
            raise ValueError(f'the column "{name}" of a job is NULL')
        pgbgw_put32(place, 8)
        memcpy(place + 4, field.data, 8)
        place += 12
    return made


def _live_slabs():
    """How many slabs there are, for tests."""
    return pgbgw_live_slabs


@cython.final
cdef class JobDecoder(_Stream):
    """Decodes one COPY BINARY stream, fed in chunks that may end anywhere, to jobs.

    As CopyDecoder, but only counts and lengths are checked at once, and values when they are looked at. A chunk of
    bytes is not copied: it stays in memory as long as one of its jobs lives.
    """

    def __init__(self, Layout layout not None):
        self._begin(layout)

    cdef Py_ssize_t _read_rows(self, bytes data, Py_ssize_t place, list rows) except -1:
        cdef const uint8_t *start = <const uint8_t *> PyBytes_AS_STRING(data)
        cdef Py_ssize_t size = len(data)
        cdef Py_ssize_t length
        chunk = _Chunk(self._reader.layout, data)
        cdef pgbgw_maker maker = _maker(chunk, None)
        try:
            while True:
                length = self._next(start + place, size - place)
                if length == 0:
                    return place + 2 if self._state == FINISHED else place
                # As if all that are still to come were as long as this one.
                _append_job(rows, &maker, start + place, length, (size - place) // length)
                self._reader.row += 1
                place += length
        finally:
            pgbgw_maker_done(&maker)


def copy_jobs(data, Layout layout not None):
    """The jobs of a whole COPY BINARY stream, from signature to trailer; see JobDecoder.

    Raises CopyError as JobDecoder.feed() and JobDecoder.close() do.
    """
    decoder = JobDecoder(layout)
    jobs = decoder.feed(data)
    decoder.close()
    return jobs
