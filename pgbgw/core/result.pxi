# Results of libpq: read by pointer where the libpq that psycopg uses can be reached, else through psycopg.

import os

cdef pgbgw_libpq _libpq
cdef object _libpq_results = None       # the class of the results that it can read
cdef object _libpq_connections = None   # and that of the connections that made them
cdef bytes _libpq_path = None
cdef bint _libpq_sought = False

cdef enum:
    BINARY = 1                          # the format of a result's column, as PQfformat tells it

# TUPLES_OK, SINGLE_TUPLE, TUPLES_CHUNK: ExecStatusType, libpq-fe.h
cdef tuple _WITH_ROWS = (2, 9, 12)


cdef int _seek_libpq() except -1:
    global _libpq_results, _libpq_connections, _libpq_path, _libpq_sought
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
        _libpq_results, _libpq_connections, _libpq_path = pq.PGresult, pq.PGconn, os.fsencode(path)
    return 0


def transport():
    """How results are read: "libpq" by pointer, or "psycopg" through its own methods, which takes longer.

    The latter where psycopg is not imported yet, runs without its compiled part, or has a libpq that can't be reached
    from here (core/libpq.h). Both give the same rows.
    """
    _seek_libpq()
    return "psycopg" if _libpq_results is None else "libpq"


def is_plain(pgconn):
    """Whether the socket of a psycopg.pq.PGconn is known to have PostgreSQL's protocol as it is, without encryption."""
    _seek_libpq()
    if _libpq_connections is None or type(pgconn) is not _libpq_connections or pgconn.pgconn_ptr is None:
        return False
    return pgbgw_libpq_plain(_libpq_path, <const void *> <size_t> pgconn.pgconn_ptr)


@cython.final
cdef class _Result:
    """The rows of a psycopg.pq.PGresult."""

    cdef Layout layout
    cdef object result
    cdef const void *pointer    # to what libpq has, or NULL
    cdef const pgbgw_field *const *values   # the fields of each row, or NULL where they are asked for
    cdef pgbgw_field *asked     # room for those of a row
    cdef list held              # the values that psycopg has made of them
    cdef Py_ssize_t rows

    def __cinit__(self, result, Layout layout not None):
        self.layout = _ready(layout)
        self.result = result
        _seek_libpq()
        if _libpq_results is not None and type(result) is _libpq_results:
            # None once it has been cleared
            self.pointer = <const void *> <size_t> (result.pgresult_ptr or 0)
        if self.pointer == NULL:
            self.check(int(result.status), result.nfields)
            self.rows = result.ntuples
        else:
            self.check(_libpq.status(self.pointer), _libpq.columns(self.pointer))
            self.rows = _libpq.rows(self.pointer)
            self.values = pgbgw_result_values(&_libpq, self.pointer)
        if self.values == NULL:
            self.held = []
            self.asked = <pgbgw_field *> PyMem_Calloc(layout.shape.columns + 1, sizeof(pgbgw_field))
            if self.asked == NULL:
                raise MemoryError()

    def __dealloc__(self):
        PyMem_Free(self.asked)

    cdef int check(self, int status, int columns) except -1:
        """Whether the result has rows of this layout."""
        cdef int column, format
        cdef uint32_t oid
        cdef _Type type
        if status not in _WITH_ROWS:
            raise CopyError(f"the result has no rows: its status is {self.result.status!r}")
        if columns != self.layout.shape.columns:
            raise CopyError(f"{columns} columns instead of {self.layout.shape.columns}")
        for column in range(columns):
            type = self.layout._types[column]
            if self.pointer == NULL:
                format, oid = self.result.fformat(column), self.result.ftype(column)
            else:
                format, oid = _libpq.format(self.pointer, column), _libpq.type(self.pointer, column)
            if format != BINARY:
                # Text is what the column has in this format, whatever its type.
                if type.kind != PGBGW_TEXT and type.kind != PGBGW_BYTES:
                    raise self.layout._error(
                        None, column, "the result has it in text format", "Ask for binary results."
                    )
            elif oid != type.oid and not _fits(type, oid):
                raise self.layout._error(
                    None, column, f"the result has {_type_of(oid).name if oid else 'no type'}",
                    "Cast the column to the type that is decoded here.",
                )
        return 0

    cdef const pgbgw_field *row(self, Py_ssize_t row) except NULL:
        """The fields of a row, which stay until the next one is wanted; their lengths are not checked."""
        cdef int32_t column
        if self.values != NULL:
            return self.values[row]
        self.held.clear()
        for column in range(self.layout.shape.columns):
            if self.pointer == NULL:
                self.ask(row, column)
                continue
            self.asked[column].length = _libpq.length(self.pointer, <int> row, column)
            if self.asked[column].length == 0 and _libpq.is_null(self.pointer, <int> row, column):
                self.asked[column].length = -1
            self.asked[column].data = <const uint8_t *> _libpq.value(self.pointer, <int> row, column)
        return self.asked

    cdef int ask(self, Py_ssize_t row, int32_t column) except -1:
        cdef bytes value = self.result.get_value(row, column)
        self.asked[column].length = -1
        if value is not None:
            if len(value) > PGBGW_MAX_SIZE:
                raise self.layout._error(row + 1, column, f"{len(value)} bytes")
            self.held.append(value)
            self.asked[column].data = <const uint8_t *> PyBytes_AS_STRING(value)
            self.asked[column].length = <int32_t> len(value)
        return 0

    cdef int64_t size(self, Py_ssize_t row) except -1:
        """What a row takes as a COPY would send it. Raises CopyError for a length that its type has not."""
        cdef int32_t wrong = 0
        cdef const pgbgw_field *fields = self.row(row)
        cdef int64_t size = pgbgw_row_size(&self.layout.shape, fields, &wrong)
        if size < 0:
            raise self.layout._value_error(row + 1, wrong, fields[wrong].length)
        if size > PGBGW_MAX_SIZE:
            raise self.layout._walk_error(row + 1, PGBGW_ROW, pgbgw_walked())
        return size

    cdef bytes pack(self, Py_ssize_t *first, int64_t most, int32_t *sizes):
        """Rows from ``first`` on as a COPY would send them, one at least and not above ``most`` bytes if there are
        more; ``first`` moves behind them, and their sizes are told where somebody wants them.
        """
        cdef Py_ssize_t row = first[0]
        cdef Py_ssize_t begin = row
        cdef int64_t total = 0
        cdef int64_t size
        asked = []
        while row < self.rows and total < most:
            size = self.size(row)
            if total > 0 and total + size > most:
                break
            if self.values == NULL:
                # Asked for once, since that takes long.
                asked.append(self.pack_row(self.asked, size))
            if sizes != NULL:
                sizes[row] = <int32_t> size
            total += size
            row += 1
        first[0] = row
        return b"".join(asked) if self.values == NULL else self.pack_rows(begin, row, total)

    cdef bytes pack_row(self, const pgbgw_field *fields, int64_t size):
        made = PyBytes_FromStringAndSize(NULL, <Py_ssize_t> size)
        pgbgw_put_row(<uint8_t *> PyBytes_AS_STRING(made), fields, self.layout.shape.columns)
        return made

    cdef bytes pack_rows(self, Py_ssize_t row, Py_ssize_t end, int64_t size):
        made = PyBytes_FromStringAndSize(NULL, <Py_ssize_t> size)
        cdef uint8_t *place = <uint8_t *> PyBytes_AS_STRING(made)
        while row < end:
            place = pgbgw_put_row(place, self.values[row], self.layout.shape.columns)
            row += 1
        return made


cdef bint _fits(_Type wanted, uint32_t oid) except -1:
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

    Raises ValueError as Layout does, and CopyError, which is one, for what a server should not say: no type at all, or
    a name that is not UTF-8.
    """
    types = [_type_told(result, column, known or {}) for column in range(result.nfields)]
    found = [_name_told(result, column) for column in range(result.nfields)] if names else None
    return Layout(found, types, json=json, queue=queue, payload=payload)


cdef object _type_told(result, int column, known):
    if result.fformat(column) != BINARY:
        return "text"
    oid = result.ftype(column)
    if not oid:
        raise CopyError("the result tells no type of it", column=column + 1)
    return known.get(oid, oid)


cdef str _name_told(result, int column):
    try:
        return result.fname(column).decode()
    except UnicodeDecodeError as error:
        raise CopyError(
            f"its name is not UTF-8: {error}", column=column + 1, hint="Set client_encoding to UTF8."
        ) from error


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
        reader.row = row + 1
        pgbgw_append(rows, reader.read_fields(source.row(row)))
    return rows


cdef enum:
    # So much stays in memory as long as one of its jobs lives. The C library keeps a block of this size for the next
    # batch; smaller ones go back to the kernel and cost more than all the rest.
    CHUNK_SIZE = 1 << 20


def result_jobs(result, Layout layout not None, type kind=None):
    """The rows of a psycopg.pq.PGresult, which must be in binary, as jobs of class Job, or of one
    that is derived from Held.

    The rows are copied in chunks of up to 1 MB, so that the result can be cleared, and memory goes as jobs do. Raises
    CopyError when the result has no rows, and when its columns are not those of the layout.
    """
    cdef list jobs = []
    cdef _Result source = _Result(result, layout)
    cdef Py_ssize_t first = 0
    cdef Py_ssize_t begin
    cdef int32_t *sizes = <int32_t *> PyMem_Malloc((source.rows + 1) * sizeof(int32_t))
    if sizes == NULL:
        raise MemoryError()
    try:
        while first < source.rows:
            begin = first
            rows = source.pack(&first, CHUNK_SIZE, sizes)
            _append_jobs(jobs, layout, kind, rows, sizes + begin, first - begin)
    finally:
        PyMem_Free(sizes)
    return jobs


cdef int _append_jobs(
    list jobs, Layout layout, type kind, bytes rows, const int32_t *sizes, Py_ssize_t count
) except -1:
    """Append the jobs of as many rows, which lie side by side."""
    cdef const uint8_t *place = <const uint8_t *> PyBytes_AS_STRING(rows)
    cdef Py_ssize_t row
    chunk = _Chunk(layout, rows)
    cdef pgbgw_maker maker = _maker(chunk, kind)
    try:
        for row in range(count):
            _append_job(jobs, &maker, place, sizes[row], count - row)
            place += sizes[row]
    finally:
        pgbgw_maker_done(&maker)
    return 0
