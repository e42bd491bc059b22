# What rows look like, and the reader that makes objects of them.

@cython.final
cdef class Layout:
    """What the rows of a table or of a query look like; made once, and shared by everything that reads such rows.

    ``types`` has an OID of pg_type or a name for each column: int2, int4, int8, bool, float4, float8, numeric, text,
    varchar, bpchar, char, name, bytea, json, jsonb, uuid, date, time, timetz, timestamp, timestamptz, interval, inet,
    cidr, oid, and each with [] for an array. An enum is "text", an array of them "text[]"; a domain is its base type.
    A column of any other OID has the bytes that were sent for values. ``names`` are the columns' names, or None where
    nobody asks for a column by name. ``json`` is "str" or "bytes": what values of json and jsonb are.

    ``queue`` is the name of the queue that jobs of these rows have. ``payload`` names the columns of their payload; if
    it is None, those that stand between "id" and "priority" are meant, as in the tables of a queue.

    Immutable. Raises ValueError for a name of a type that is not among these, for names that repeat, do not fit the
    types or are none that PostgreSQL has, and for more columns than it can send; TypeError when ``types`` is one str or
    a name is no str.
    """

    cdef readonly tuple names       # or None
    cdef readonly tuple payload
    cdef readonly str queue         # or None
    cdef readonly str json
    cdef tuple _types               # a _Type for each column
    cdef dict _columns              # name -> column
    cdef pgbgw_shape shape
    cdef uint8_t *kinds
    cdef void *_memory              # where the arrays of the shape and the kinds lie
    cdef bint plain                 # no value refers to others
    # Columns of what every job has, or -1
    cdef int32_t id, priority, attempt, created_at, lease_end, token, who

    def __cinit__(self):
        self.id = self.priority = self.attempt = self.created_at = self.lease_end = self.token = self.who = -1

    def __init__(self, names, types, *, json="str", queue=None, payload=None):
        if self._memory != NULL:
            raise TypeError("a Layout is immutable")
        if isinstance(types, str):
            raise TypeError('types is one str instead of a sequence of names such as ["int8", "text"]')
        if json not in ("str", "bytes"):
            raise ValueError(f'json is "str" or "bytes", not {json!r}')
        found = tuple([_type_of(each) for each in types])
        if len(found) > PGBGW_MAX_COLUMNS:
            raise ValueError(f"{len(found)} column types, but PostgreSQL sends at most {PGBGW_MAX_COLUMNS} columns")
        if json == "bytes":
            found = tuple([(<_Type> each).with_json_as_bytes() for each in found])
        self._types = found
        self.json = json
        self.queue = None if queue is None else sys.intern(queue)
        self._name(names)
        self._shape()
        self._find_columns(payload)

    def __dealloc__(self):
        PyMem_Free(self._memory)

    def __reduce__(self):
        return _layout, (self.names, self.types, self.json, self.queue, self.payload)

    def __repr__(self):
        columns = ", ".join(self._label(column) for column in range(len(self._types)))
        return f"<Layout {columns}>" if self.queue is None else f"<Layout of {self.queue}: {columns}>"

    def __len__(self):
        return len(self._types)

    @property
    def types(self):
        """The OID of each column's type."""
        return tuple([(<_Type> each).oid for each in self._types])

    cdef int _name(self, names) except -1:
        self._columns = {}
        if names is None:
            self.names = None
            return 0
        # Interned ones are no more than text, so that nothing that a layout refers to refers to anything.
        self.names = tuple([sys.intern(name) for name in names])
        if len(self.names) != len(self._types):
            raise ValueError(f"{len(self.names)} names for {len(self._types)} columns")
        for column, name in enumerate(self.names):
            if name in self._columns:
                raise ValueError(f'two columns have the name "{name}"')
            # Arrow's names end at a NUL, and are UTF-8.
            if "\0" in name or not _is_utf8(name):
                raise ValueError(f"no column has the name {name!r}: it has a NUL or a lone surrogate in it")
            self._columns[name] = column
        return 0

    cdef int _shape(self) except -1:
        cdef Py_ssize_t columns = len(self._types)
        cdef Py_ssize_t column
        cdef _Type type
        # A run has at least one column, so there are no more runs than columns.
        self._memory = PyMem_Calloc(columns + 1, 3 * sizeof(int32_t) + sizeof(pgbgw_run) + 1)
        if self._memory == NULL:
            raise MemoryError()
        self.shape.run = <pgbgw_run *> self._memory
        self.shape.fixed = <int32_t *> (self.shape.run + columns)
        self.shape.place = self.shape.fixed + columns
        self.shape.expected = <uint32_t *> (self.shape.place + columns)
        self.kinds = <uint8_t *> (self.shape.expected + columns)
        self.shape.columns = <int32_t> columns
        self.plain = True
        for column in range(columns):
            type = self._types[column]
            self.shape.fixed[column] = type.fixed
            self.kinds[column] = type.kind
            self.plain = self.plain and type.kind <= PGBGW_TIMESTAMPTZ
        pgbgw_shape_runs(&self.shape)
        return 0

    cdef int _find_columns(self, payload) except -1:
        self.payload = ()
        self.id = self._find("id", PGBGW_INT8)
        self.priority = self._find("priority", PGBGW_INT2)
        self.payload = self._payload_of(payload)
        self.attempt = self._find("attempt", PGBGW_INT4)
        if self.attempt < 0:
            self.attempt = self._find("attempts", PGBGW_INT4)
        self.created_at = self._find("created_at", PGBGW_TIMESTAMPTZ)
        self.lease_end = self._find("lease_end", PGBGW_TIMESTAMPTZ)
        self.token = self._find("token", PGBGW_INT8)
        self.who = self._find("who", PGBGW_TEXT)
        return 0

    cdef int32_t _find(self, str name, int kind) except? -1:
        """The column of that name and kind which is no part of the payload, or -1."""
        column = self._columns.get(name, -1)
        if column < 0 or name in self.payload:
            return -1
        return column if self.kinds[<Py_ssize_t> column] == kind else -1

    cdef tuple _payload_of(self, payload):
        if payload is not None:
            wanted = tuple([sys.intern(name) for name in payload])
            for name in wanted:
                self._column(name)
            return wanted
        if self.id < 0 or self.priority <= self.id:
            return ()
        return self.names[self.id + 1:self.priority]

    cdef int32_t _column(self, name) except -1:
        column = self._columns.get(name)
        if column is None:
            raise KeyError(name)
        return column

    cdef str _label(self, Py_ssize_t column):
        """How messages call a column."""
        cdef _Type type = self._types[column]
        return type.name if self.names is None else f'"{self.names[column]}" {type.name}'

    cdef object _error(self, object row, Py_ssize_t column, str message, str hint=None):
        """A CopyError about a column, counted from 0, of a row, counted from 1, or None."""
        return CopyError(f"{self._label(column)}: {message}", row=row, column=column + 1, hint=hint)

    cdef object _walk_error(self, object row, pgbgw_verdict verdict, pgbgw_walked walked):
        """What pgbgw_walk has found wrong with a row."""
        if verdict == PGBGW_COUNT:
            return CopyError(f"{walked.length} fields instead of {self.shape.columns}", row=row)
        if verdict == PGBGW_NEGATIVE:
            return self._error(row, walked.column, f"negative length {walked.length}")
        if verdict == PGBGW_LARGE:
            return self._error(
                row, walked.column, f"length {walked.length} is above PostgreSQL's limit of {PGBGW_MAX_SIZE} bytes"
            )
        if verdict == PGBGW_ROW:
            return CopyError(f"the row is longer than PostgreSQL's limit of {PGBGW_MAX_SIZE} bytes", row=row)
        if verdict == PGBGW_PART:
            return CopyError("the row is cut off", row=row)
        return self._value_error(row, walked.column, walked.length)

    cdef object _value_error(self, object row, Py_ssize_t column, int32_t length):
        """A length that is not the one that the column's type has."""
        cdef _Type type = self._types[column]
        try:
            type.check_length(length)
        except _Fault as fault:
            return self._error(row, column, fault.message, fault.hint)

    cdef object _object(self, object row, Py_ssize_t column, pgbgw_field field, pgbgw_memory *memory):
        """The object of a field. Raises CopyError."""
        if field.length == -1:
            return None
        try:
            return _value(<_Type> self._types[column], field.data, field.length, memory)
        except _Fault as fault:
            raise self._error(row, column, fault.message, fault.hint) from fault.__cause__


cdef bint _is_utf8(str text) except -1:
    """Whether text has no lone surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _layout(names, types, json, queue, payload):
    """A Layout out of a pickle."""
    return Layout(names, types, json=json, queue=queue, payload=payload if names is not None else None)


cdef Layout _layout_of(types, str json):
    """A Layout as it is, or one without names for some types."""
    return _ready(types) if isinstance(types, Layout) else Layout(None, types, json=json)


cdef Layout _ready(Layout layout):
    """A layout whose columns will not change any more."""
    if layout._memory == NULL:
        raise TypeError("the layout was not initialised")
    return layout


@cython.final
cdef class _Reader:
    """Makes tuples of rows, and remembers of each column what repeats from row to row."""

    cdef Layout layout
    cdef pgbgw_memory *memory
    cdef int64_t row            # the row at hand, from 1

    def __cinit__(self, Layout layout not None):
        cdef Py_ssize_t column
        _ready(layout)
        self.memory = <pgbgw_memory *> PyMem_Calloc(layout.shape.columns + 1, sizeof(pgbgw_memory))
        if self.memory == NULL:
            raise MemoryError()
        self.layout = layout
        self.row = 1
        for column in range(layout.shape.columns):
            pgbgw_memory_clear(self.memory + column)

    def __dealloc__(self):
        cdef Py_ssize_t column
        if self.memory != NULL:
            for column in range(self.layout.shape.columns):
                pgbgw_memory_clear(self.memory + column)
            PyMem_Free(self.memory)

    cdef PyObject *read(self, const uint8_t *row) except NULL:
        """A new tuple of the values of a row that has been walked."""
        cdef const uint8_t *place = row + 2
        cdef int32_t column = 0
        cdef pgbgw_field field
        cdef PyObject *made = PyTuple_New(self.layout.shape.columns)
        if made == NULL:
            _reraise()
        while not pgbgw_put_items(made, &self.layout.shape, self.layout.kinds, self.memory, &place, &field, &column):
            self.put(made, column, field)
            column += 1
        return self.done(made)

    cdef PyObject *read_fields(self, const pgbgw_field *fields) except NULL:
        """A new tuple of the values of some fields."""
        cdef int32_t column = 0
        cdef PyObject *made = PyTuple_New(self.layout.shape.columns)
        if made == NULL:
            _reraise()
        while not pgbgw_put_fields(made, &self.layout.shape, self.layout.kinds, self.memory, fields, &column):
            self.put(made, column, fields[column])
            column += 1
        return self.done(made)

    cdef int put(self, PyObject *row, int32_t column, pgbgw_field field) except -1:
        """Set an item of a new tuple the careful way; on an error the tuple is gone."""
        try:
            if PyErr_Occurred() != NULL:
                _reraise()
            value = self.layout._object(self.row, column, field, NULL)
        except BaseException:
            Py_DECREF_pointer(row)
            raise
        PyTuple_SET_ITEM(row, column, Py_NewRef(<PyObject *> value))
        return 0

    cdef inline PyObject *done(self, PyObject *made) noexcept:
        if self.layout.plain:
            # Nothing in it refers to anything, so the collector need not look at it again and again.
            PyObject_GC_UnTrack(made)
        return made
