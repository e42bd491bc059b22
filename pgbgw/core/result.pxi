# Results of libpq: read by pointer where the libpq that psycopg uses can be reached, else through psycopg.

import os

cdef pgbgw_libpq _libpq
cdef object _libpq_results = None       # the class of the results that it can read
cdef bint _libpq_sought = False

cdef enum:
    BINARY = 1                          # the format of a result's column, as PQfformat tells it

# TUPLES_OK, SINGLE_TUPLE, TUPLES_CHUNK: ExecStatusType, libpq-fe.h
cdef tuple _WITH_ROWS = (2, 9, 12)


cdef int _seek_libpq() except -1:
    global _libpq_results, _libpq_sought
    if _libpq_sought:
        return 0
    pq = sys.modules.get("psycopg.pq")
    if pq is None:
        return 0        # nobody can have a result yet
    _libpq_sought = True
    module = sys.modules.get(pq.PGresult.__module__)
    path = getattr(module, "__file__", None)
    if pq.__impl__ not in ("c", "binary") or path is None:
        return 0
    # The version tells a libpq that some other module has put in front of psycopg's.
    if pgbgw_libpq_find(&_libpq, os.fsencode(path)) and _libpq.version() == pq.version():
        _libpq_results = pq.PGresult
    return 0


def transport():
    """How results are read: "libpq" by pointer, or "psycopg" through its own methods, which takes longer.

    The latter where psycopg is not imported yet, runs without its compiled part, or has a libpq that can't be reached
    from here (core/libpq.h). Both give the same rows.
    """
    _seek_libpq()
    return "psycopg" if _libpq_results is None else "libpq"


@cython.final
cdef class _Result:
    """The rows of a psycopg.pq.PGresult."""

    cdef Layout layout
    cdef object result
    cdef const void *pointer    # to what libpq has, or NULL
    cdef Py_ssize_t rows
    cdef pgbgw_field *fields    # of up to 64 rows
    cdef list held              # the values that fields point into, where psycopg has made them

    def __cinit__(self, result, Layout layout not None):
        self.layout = layout
        self.result = result
        self.held = []
        _check_result(result, layout)
        _seek_libpq()
        if _libpq_results is not None and type(result) is _libpq_results:
            self.pointer = <const void *> <size_t> result.pgresult_ptr
        self.rows = result.ntuples
        self.fields = <pgbgw_field *> PyMem_Calloc(
            PGBGW_SLAB_JOBS * (layout.shape.columns + 1), sizeof(pgbgw_field)
        )
        if self.fields == NULL:
            raise MemoryError()

    def __dealloc__(self):
        PyMem_Free(self.fields)

    cdef int read(self, Py_ssize_t row, pgbgw_field *fields) except -1:
        """Set the fields of a row, whose lengths are checked."""
        cdef int32_t column
        cdef int32_t fixed
        for column in range(self.layout.shape.columns):
            if self.pointer == NULL:
                self.ask(row, column, fields + column)
            else:
                fields[column].length = _libpq.length(self.pointer, <int> row, column)
                if fields[column].length == 0 and _libpq.is_null(self.pointer, <int> row, column):
                    fields[column].length = -1
                fields[column].data = <const uint8_t *> _libpq.value(self.pointer, <int> row, column)
            fixed = self.layout.shape.fixed[column]
            if fixed != 0 and fields[column].length != fixed and fields[column].length != -1:
                raise self.layout._value_error(row + 1, column, fields[column].length)
        return 0

    cdef int ask(self, Py_ssize_t row, Py_ssize_t column, pgbgw_field *field) except -1:
        cdef bytes value = self.result.get_value(row, column)
        field.length = -1
        if value is not None:
            if len(value) > PGBGW_MAX_SIZE:
                raise self.layout._error(row + 1, column, f"{len(value)} bytes")
            self.held.append(value)
            field.data = <const uint8_t *> PyBytes_AS_STRING(value)
            field.length = <int32_t> len(value)
        return 0

    cdef bytes pack(self, Py_ssize_t first, Py_ssize_t count):
        """Up to 64 rows as a COPY would send them."""
        cdef Py_ssize_t columns = self.layout.shape.columns
        cdef Py_ssize_t row
        cdef int64_t size
        cdef int64_t total = 0
        cdef uint8_t *place
        for row in range(count):
            self.read(first + row, self.fields + row * columns)
            size = pgbgw_row_size(self.fields + row * columns, <int32_t> columns)
            if size > PGBGW_MAX_SIZE:
                raise self.layout._walk_error(first + row + 1, PGBGW_ROW, pgbgw_walked())
            total += size
        made = PyBytes_FromStringAndSize(NULL, <Py_ssize_t> total)
        place = <uint8_t *> PyBytes_AS_STRING(made)
        for row in range(count):
            place = pgbgw_put_row(place, self.fields + row * columns, <int32_t> columns)
        self.held.clear()
        return made


cdef int _check_result(result, Layout layout) except -1:
    cdef _Type type
    cdef Py_ssize_t column
    if int(result.status) not in _WITH_ROWS:
        raise CopyError(f"the result has no rows: its status is {result.status!r}")
    if result.nfields != layout.shape.columns:
        raise CopyError(f"{result.nfields} columns instead of {layout.shape.columns}")
    for column in range(layout.shape.columns):
        type = layout._types[column]
        if result.fformat(column) != BINARY:
            # Text is what the column has in this format, whatever its type.
            if type.kind != PGBGW_TEXT and type.kind != PGBGW_BYTES:
                raise layout._error(None, column, "the result has it in text format", "Ask for binary results.")
        elif not _fits(type, result.ftype(column)):
            raise layout._error(
                None, column, f"the result has {_type_of(result.ftype(column)).name}",
                "Cast the column to the type that is decoded here.",
            )
    return 0


cdef bint _fits(_Type wanted, oid) except -1:
    """Whether the values of a type can be read as those of another one."""
    found = _BY_OID.get(oid)
    if found is None:
        # Of enums, domains and what extensions bring, only whoever made the layout knows more.
        return wanted.oid == oid or wanted.kind in (PGBGW_TEXT, PGBGW_BYTES, PGBGW_ARRAY)
    return wanted.oid == oid or (wanted.kind == (<_Type> found).kind == PGBGW_TEXT)


def result_layout(result, *, known=None, json="str", queue=None, payload=None, names=True):
    """The Layout of a psycopg.pq.PGresult: its names and types; of a column in text format "text".

    ``known`` maps OIDs that only this database knows to names or OIDs, such as that of an enum to "text" and that of
    its array to "text[]"; the other arguments are those of Layout. Without ``names`` it has none, and they may repeat.

    Raises ValueError as Layout does.
    """
    types = [
        (known or {}).get(result.ftype(column), result.ftype(column)) if result.fformat(column) == BINARY else "text"
        for column in range(result.nfields)
    ]
    found = [result.fname(column).decode() for column in range(result.nfields)] if names else None
    return Layout(found, types, json=json, queue=queue, payload=payload)


def result_tuples(result, layout=None):
    """The rows of a psycopg.pq.PGresult as tuples; values as CopyDecoder gives them.

    Without a layout it is that of the result. Raises CopyError when the result has no rows, when its columns are not
    those of the layout, and for a value as CopyDecoder does.
    """
    cdef list rows = []
    cdef Py_ssize_t row
    cdef _Result source = _Result(result, result_layout(result, names=False) if layout is None else layout)
    cdef _Reader reader = _Reader(source.layout)
    for row in range(source.rows):
        source.read(row, source.fields)
        reader.row = row + 1
        pgbgw_append(rows, reader.read_fields(source.fields))
        source.held.clear()
    return rows


def result_jobs(result, Layout layout not None):
    """The rows of a psycopg.pq.PGresult, which must be in binary, as jobs.

    The rows are copied in pieces of 64, so that the result can be cleared, and memory goes as jobs do. Raises
    CopyError when the result has no rows, and when its columns are not those of the layout.
    """
    cdef list jobs = []
    cdef _Result source = _Result(result, layout)
    cdef Py_ssize_t first, count
    for first in range(0, source.rows, PGBGW_SLAB_JOBS):
        count = min(PGBGW_SLAB_JOBS, source.rows - first)
        _append_jobs(jobs, layout, source.pack(first, count), count)
    return jobs


cdef int _append_jobs(list jobs, Layout layout, bytes rows, Py_ssize_t count) except -1:
    """Append the jobs of as many rows, which lie side by side."""
    cdef const uint8_t *place = <const uint8_t *> PyBytes_AS_STRING(rows)
    cdef Py_ssize_t rest = len(rows)
    cdef pgbgw_walked walked
    chunk = _Chunk(layout, rows)
    cdef pgbgw_maker maker = _maker(chunk)
    try:
        while rest > 0:
            # Sets the size; there is nothing to be found, as the lengths were checked when the rows were packed.
            pgbgw_walk(&layout.shape, place, rest, &walked)
            _append_job(jobs, &maker, place, <Py_ssize_t> walked.size, count)
            place += walked.size
            rest -= <Py_ssize_t> walked.size
    finally:
        pgbgw_maker_done(&maker)
    return 0
