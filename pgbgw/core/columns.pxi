# Columns for numpy and Arrow.

import bisect

cdef enum:
    LARGEST_BUFFER = 0x7fffffff

# Formats of "The Arrow C data interface"; what is not here goes as text.
cdef dict _ARROW = {
    PGBGW_BOOL: "b",
    PGBGW_INT2: "s",
    PGBGW_INT4: "i",
    PGBGW_INT8: "l",
    PGBGW_OID: "I",
    PGBGW_FLOAT4: "f",
    PGBGW_FLOAT8: "g",
    PGBGW_DATE: "tdD",
    PGBGW_TIME: "ttu",
    PGBGW_TIMESTAMP: "tsu:",
    PGBGW_TIMESTAMPTZ: "tsu:UTC",
    PGBGW_INTERVAL: "tDu",
    PGBGW_UUID: "w:16",
    PGBGW_TEXT: "vu",
    PGBGW_JSONB_TEXT: "vu",
    PGBGW_BYTES: "vz",
    PGBGW_JSONB_BYTES: "vz",
    PGBGW_ARRAY: "+l",
}
cdef dict _NUMPY = {
    PGBGW_BOOL: "?",
    PGBGW_INT2: "i2",
    PGBGW_INT4: "i4",
    PGBGW_INT8: "i8",
    PGBGW_OID: "u4",
    PGBGW_FLOAT4: "f4",
    PGBGW_FLOAT8: "f8",
    PGBGW_DATE: "i4",
    PGBGW_TIME: "m8[us]",
    PGBGW_TIMESTAMP: "M8[us]",
    PGBGW_TIMESTAMPTZ: "M8[us]",
    PGBGW_INTERVAL: "m8[us]",
}
# How the bytes behind a view are read: the version of jsonb is left out already.
cdef dict _BEHIND_VIEW = {PGBGW_JSONB_TEXT: PGBGW_TEXT, PGBGW_JSONB_BYTES: PGBGW_BYTES}


@cython.final
@cython.no_gc
cdef class Columns:
    """Rows as columns, for numpy and for everything that takes Arrow (``pyarrow.table``, ``polars.DataFrame``).

    Text and bytes stay where they were received: as long as the columns, or an array of them, live, so does that.
    Timestamps are microseconds and dates days from 1970; infinity is the highest value of the type, minus infinity the
    lowest but one of a timestamp, since numpy takes the lowest for "not a time", and the lowest of a date. An interval
    is a duration with months of 30 days and years of 365.

    Made by copy_columns() and result_columns(); immutable.
    """

    cdef Layout _layout
    cdef bytes _data            # the rows, in which views point
    cdef tuple _buffers         # bytes of values and bits of validity, for each column
    cdef pgbgw_column *_columns
    cdef Py_ssize_t _count

    def __cinit__(self):
        self._count = -1

    def __dealloc__(self):
        PyMem_Free(self._columns)

    cdef int _fill(self, Layout layout, bytes data, Py_ssize_t start, Py_ssize_t count, int64_t number=1) except -1:
        """Take ``count`` rows, which have been walked, from ``start``; the first has that number in its stream."""
        cdef int32_t columns = layout.shape.columns
        cdef int32_t column
        cdef pgbgw_field field
        cdef int64_t row
        cdef const uint8_t *base = <const uint8_t *> PyBytes_AS_STRING(data)
        cdef bytes values, valid
        self._columns = <pgbgw_column *> PyMem_Calloc(columns + 1, sizeof(pgbgw_column))
        if self._columns == NULL:
            raise MemoryError()
        self._layout = layout
        self._data = data
        buffers = []
        for column in range(columns):
            self._columns[column].kind = layout.kinds[column]
            self._columns[column].width = pgbgw_column_width(layout.kinds[column])
            values = PyBytes_FromStringAndSize(NULL, count * self._columns[column].width)
            valid = bytes((count + 7) // 8)
            self._columns[column].values = <uint8_t *> PyBytes_AS_STRING(values)
            # Of one byte there may be only one object: a buffer of one's own.
            if len(valid) <= 1:
                valid = bytes(9)
            self._columns[column].valid = <uint8_t *> PyBytes_AS_STRING(valid)
            buffers.append((values, valid))
        self._buffers = tuple(buffers)
        with nogil:
            row = pgbgw_fill_columns(self._columns, columns, base, base + start, count, &column, &field)
        if row < count:
            layout._object(number + row, column, field, NULL)
            raise layout._error(
                number + row, column, "a value that a column does not hold", "Select the column as text."
            )
        self._count = count
        return 0

    def __len__(self):
        return self._checked()._count

    @property
    def layout(self):
        """The layout of the rows."""
        return self._checked()._layout

    @property
    def names(self):
        """The names of the columns; "column 1" and so on where the layout has none."""
        layout = self._checked()._layout
        if layout.names is not None:
            return layout.names
        return tuple([f"column {number + 1}" for number in range(len(layout))])

    cdef Columns _checked(self):
        if self._count < 0:
            raise TypeError("Columns are made of received rows")
        return self

    cdef int32_t _column(self, name) except -1:
        try:
            return self.names.index(name)
        except ValueError:
            raise KeyError(name) from None

    def nulls(self, str name not None):
        """How many values of a column are NULL. Raises KeyError for a column that there is not."""
        return self._columns[self._column(name)].nulls

    def numpy(self, str name not None):
        """A column as a numpy array, which can't be written to.

        Numbers, booleans and times are not copied; where there is NULL the array is a masked one. Other types come as
        objects, as CopyDecoder gives them, with None for NULL. Raises KeyError for a column that there is not,
        ImportError where numpy is not installed, CopyError for an object that Python's type does not hold.
        """
        import numpy

        cdef int32_t column = self._column(name)
        cdef int kind = self._columns[column].kind
        values, valid = self._buffers[column]
        if kind not in _NUMPY:
            return self._objects(column, numpy)
        found = numpy.frombuffer(values, _NUMPY[kind], self._count)
        if kind == PGBGW_DATE:
            # datetime64 has 64 bits whatever its unit is.
            found = found.astype("M8[D]")
            found.flags.writeable = False
        if self._columns[column].nulls == 0:
            return found
        bits = numpy.unpackbits(numpy.frombuffer(valid, "u1"), count=self._count, bitorder="little")
        return numpy.ma.array(found, mask=bits == 0)

    cdef object _objects(self, int32_t column, numpy):
        found = numpy.empty(self._count, dtype=object)
        for row, value in enumerate(self._values(column)):
            found[row] = value
        found.flags.writeable = False
        return found

    cdef list _values(self, int32_t column):
        """The objects of a column of UUIDs or of views."""
        cdef pgbgw_column *found = &self._columns[column]
        cdef const uint8_t *base = <const uint8_t *> PyBytes_AS_STRING(self._data)
        cdef pgbgw_field field
        cdef Py_ssize_t row
        cdef _Type type = self._layout._types[column]
        if found.kind in _BEHIND_VIEW:
            type = _Type(type.name, type.oid, _BEHIND_VIEW[found.kind])
        values = []
        for row in range(self._count):
            if not found.valid[row >> 3] >> (row & 7) & 1:
                values.append(None)
                continue
            if found.kind == PGBGW_UUID:
                field = pgbgw_field(PGBGW_VIEW_SIZE, found.values + row * PGBGW_VIEW_SIZE)
            else:
                field = pgbgw_view_field(found.values + row * PGBGW_VIEW_SIZE, base)
            try:
                values.append(_value(type, field.data, field.length, NULL))
            except _Fault as fault:
                raise self._layout._error(row + 1, column, fault.message, fault.hint) from fault.__cause__
        return values

    def __arrow_c_schema__(self):
        """The schema as a PyCapsule: "The Arrow PyCapsule Interface"."""
        cdef ArrowSchema *schema = <ArrowSchema *> PyMem_RawCalloc(1, sizeof(ArrowSchema))
        if schema == NULL:
            raise MemoryError()
        capsule = PyCapsule_New(schema, "arrow_schema", pgbgw_schema_capsule)
        self._put_schema(schema)
        return capsule

    def __arrow_c_array__(self, requested_schema=None):
        """Schema and array of structs as PyCapsules; the schema is never another one than that of the columns.

        numeric, timetz, inet and cidr go as text, arrays as lists. Raises CopyError for a value that does not go: an
        array of more than one dimension, the time 24:00:00, and of what goes as text what CopyDecoder refuses.
        """
        schema = self.__arrow_c_schema__()
        cdef ArrowArray *array = <ArrowArray *> PyMem_RawCalloc(1, sizeof(ArrowArray))
        if array == NULL:
            raise MemoryError()
        capsule = PyCapsule_New(array, "arrow_array", pgbgw_array_capsule)
        self._put_array(array)
        return schema, capsule

    def __arrow_c_stream__(self, requested_schema=None):
        """A stream of one batch as a PyCapsule; as __arrow_c_array__, but a value that does not go is told by the
        stream, whose reader raises an error of its own.
        """
        self.__arrow_c_schema__()
        cdef ArrowArrayStream *stream = <ArrowArrayStream *> PyMem_RawCalloc(1, sizeof(ArrowArrayStream))
        if stream == NULL:
            raise MemoryError()
        capsule = PyCapsule_New(stream, "arrow_array_stream", pgbgw_stream_capsule)
        # Holds the columns, and is emptied by its only batch.
        batches = _Batches()
        batches.columns = batches.rest = self
        stream.private_data = <void *> Py_NewRef(<PyObject *> batches)
        stream.get_schema = _stream_schema
        stream.get_next = _stream_next
        stream.get_last_error = _stream_error
        stream.release = pgbgw_release_stream
        return capsule

    cdef int _put_schema(self, ArrowSchema *schema) except -1:
        cdef int32_t column
        names = self.names
        if not pgbgw_make_schema(schema, "+s", "", len(names)):
            raise MemoryError()
        for column in range(len(names)):
            self._put_field(schema.children[column], self._layout._types[column], names[column].encode())
        return 0

    cdef int _put_field(self, ArrowSchema *schema, _Type type, bytes name) except -1:
        format = _ARROW.get(type.kind, "u").encode()
        if not pgbgw_make_schema(schema, format, name, 1 if type.kind == PGBGW_ARRAY else 0):
            raise MemoryError()
        if type.kind == PGBGW_ARRAY:
            self._put_field(schema.children[0], type.element, b"item")
        return 0

    cdef int _put_array(self, ArrowArray *array) except -1:
        cdef int32_t column
        cdef int32_t columns = self._layout.shape.columns
        if not pgbgw_make_array(array, <PyObject *> self, self._count, 0, 1, columns):
            raise MemoryError()
        for column in range(columns):
            self._put_column(array.children[column], column)
        return 0

    cdef int _put_column(self, ArrowArray *array, int32_t column) except -1:
        cdef pgbgw_column *found = &self._columns[column]
        format = _ARROW.get(found.kind, "u")
        if format == "u":
            return self._put_text(array, column)
        if format[0] == "v":
            return self._put_views(array, column)
        if format == "+l":
            return self._put_lists(array, column)
        if found.kind == PGBGW_TIME:
            self._check_times(column)
        owner = self._buffers[column][0]
        if found.kind == PGBGW_BOOL:
            owner = _bits(owner)
        self._make(array, column, (self, owner), 2)
        array.buffers[1] = PyBytes_AS_STRING(owner)
        return 0

    cdef int _check_times(self, int32_t column) except -1:
        """Arrow's times of a day end before 24:00:00, which numpy's durations do not mind."""
        cdef pgbgw_column *found = &self._columns[column]
        row = pgbgw_find_midnight(found, self._count)
        if row < self._count:
            raise self._layout._error(row + 1, column, "the time 24:00:00", "Select the column as text.")
        return 0

    cdef int _make(
        self, ArrowArray *array, int32_t column, owner, int64_t buffers, int64_t children=0
    ) except -1:
        cdef pgbgw_column *found = &self._columns[column]
        if not pgbgw_make_array(array, <PyObject *> owner, self._count, found.nulls, buffers, children):
            raise MemoryError()
        array.buffers[0] = found.valid if found.nulls else NULL
        return 0

    cdef int _put_views(self, ArrowArray *array, int32_t column) except -1:
        cdef Py_ssize_t size = len(self._data)
        # A buffer of views begins at each multiple of this, columns.h.
        cdef Py_ssize_t step = <Py_ssize_t> 1 << PGBGW_WINDOW_BITS
        cdef Py_ssize_t windows = (size + step - 1) // step
        cdef Py_ssize_t window
        sizes = struct.pack(f"={windows}q", *(min(size - window * step, LARGEST_BUFFER) for window in range(windows)))
        self._make(array, column, (self, sizes), 3 + windows)
        array.buffers[1] = self._columns[column].values
        for window in range(windows):
            array.buffers[2 + window] = PyBytes_AS_STRING(self._data) + window * step
        array.buffers[2 + windows] = PyBytes_AS_STRING(sizes)
        return 0

    cdef int _put_lists(self, ArrowArray *array, int32_t column) except -1:
        cdef bytearray rows = bytearray()
        cdef _Type type = self._layout._types[column]
        cdef Columns elements = Columns.__new__(Columns)
        places = self._places(column, rows)
        cdef bytes offsets = struct.pack(f"={len(places)}i", *places)
        self._make(array, column, (self, offsets), 2, 1)
        array.buffers[1] = PyBytes_AS_STRING(offsets)
        try:
            elements._fill(Layout(None, [type.element.oid], json=self._layout.json), bytes(rows), 0, places[-1])
            elements._put_column(array.children[0], 0)
        except CopyError as error:
            raise self._element_error(column, places, error) from error
        return 0

    cdef object _element_error(self, int32_t column, list places, error):
        """A CopyError about an element, in whose place it has a row, as one about the row of its array."""
        message = str(error).partition(": ")[2]
        if error.row is None:
            return self._layout._error(None, column, message, error.hint)
        row = bisect.bisect_left(places, error.row)
        return self._layout._error(row, column, f"element {error.row - places[row - 1]}, {message}", error.hint)

    cdef list _places(self, int32_t column, bytearray rows):
        """Append the elements of all arrays of a column as rows; where those of each begin, and where all end."""
        cdef pgbgw_column *found = &self._columns[column]
        cdef const uint8_t *base = <const uint8_t *> PyBytes_AS_STRING(self._data)
        cdef pgbgw_field field
        cdef Py_ssize_t row
        cdef Py_ssize_t count = 0
        places = [0]
        for row in range(self._count):
            if found.valid[row >> 3] >> (row & 7) & 1:
                field = pgbgw_view_field(found.values + row * PGBGW_VIEW_SIZE, base)
                try:
                    count += _append_elements(self._layout._types[column], field.data, field.length, rows)
                except _Fault as fault:
                    raise self._layout._error(row + 1, column, fault.message, fault.hint) from fault.__cause__
                if count > LARGEST_BUFFER:
                    raise self._layout._error(row + 1, column, "more than 2**31 - 1 elements up to here")
            places.append(count)
        return places

    cdef int _put_text(self, ArrowArray *array, int32_t column) except -1:
        shown = [b"" if value is None else _shown(value).encode() for value in self._values(column)]
        places = [0]
        for text in shown:
            places.append(places[-1] + len(text))
        if places[-1] > LARGEST_BUFFER:
            raise CopyError(f"{self._layout._label(column)}: more than 2 GiB of text", column=column + 1)
        cdef bytes offsets = struct.pack(f"={len(places)}i", *places)
        cdef bytes data = b"".join(shown)
        self._make(array, column, (self, offsets, data), 3)
        array.buffers[1] = PyBytes_AS_STRING(offsets)
        array.buffers[2] = PyBytes_AS_STRING(data)
        return 0


cdef str _shown(value):
    """Text of a value that Arrow has no type for; a number without an exponent, as the server shows it."""
    return format(value, "f") if isinstance(value, decimal.Decimal) else str(value)


cdef bytes _bits(bytes values):
    """A bit for each byte, the lowest first."""
    cdef Py_ssize_t place
    packed = bytearray((len(values) + 7) // 8)
    for place in range(len(values)):
        if values[place]:
            packed[place >> 3] |= 1 << (place & 7)
    return bytes(packed)


@cython.final
@cython.no_gc
cdef class _Batches:
    cdef Columns columns
    cdef Columns rest
    cdef bytes error


cdef int _stream_schema(ArrowArrayStream *stream, ArrowSchema *schema) noexcept with gil:
    batches = <_Batches> stream.private_data
    schema.release = NULL
    try:
        batches.columns._put_schema(schema)
    except BaseException as error:
        if schema.release != NULL:
            schema.release(schema)
        batches.error = str(error).encode()
        return EIO
    return 0


cdef int _stream_next(ArrowArrayStream *stream, ArrowArray *array) noexcept with gil:
    batches = <_Batches> stream.private_data
    array.release = NULL
    if batches.rest is None:
        return 0        # an array that is released is the end of the stream
    try:
        batches.rest._put_array(array)
        batches.rest = None
    except BaseException as error:
        if array.release != NULL:
            array.release(array)
        batches.error = str(error).encode()
        return EIO
    return 0


cdef const char *_stream_error(ArrowArrayStream *stream) noexcept with gil:
    batches = <_Batches> stream.private_data
    return NULL if batches.error is None else PyBytes_AS_STRING(batches.error)


@cython.final
cdef class _Counter(_Stream):
    """Walks the rows of a stream, and notes where they are."""

    cdef Py_ssize_t start

    def __init__(self, Layout layout):
        self._begin(layout)

    cdef Py_ssize_t _read_rows(self, bytes data, Py_ssize_t place, list rows) except -1:
        cdef const uint8_t *first = <const uint8_t *> PyBytes_AS_STRING(data)
        cdef Py_ssize_t size = len(data)
        cdef const pgbgw_shape *shape = &self._reader.layout.shape
        cdef int64_t count = 0
        cdef pgbgw_walked walked
        self.start = place
        with nogil:
            while size - place >= 2 and not (first[place] == 0xff and first[place + 1] == 0xff):
                if pgbgw_walk(shape, first + place, size - place, &walked) != PGBGW_WHOLE:
                    break
                place += <Py_ssize_t> walked.size
                count += 1
        self._reader.row += count
        # The trailer, the end of what there is, or what is wrong.
        self._next(first + place, size - place)
        return place + 2 if self._state == FINISHED else place


def copy_columns(data, types):
    """The columns of a whole COPY BINARY stream, from signature to trailer; ``types`` is as of CopyDecoder.

    The stream is read without the GIL, and what varies in length is not copied if it is bytes. Raises CopyError as
    CopyDecoder.feed() and CopyDecoder.close() do, but times may be infinite and in any year up to 294246, which is as
    far as microseconds from 1970 go; and an interval has to be within 292471 years.
    """
    cdef bytes chunk = _bytes_of(data)
    cdef _Counter counter = _Counter(_layout_of(types, "str"))
    counter.feed(chunk)
    counter.close()
    cdef Columns made = Columns.__new__(Columns)
    made._fill(counter._reader.layout, chunk, counter.start, <Py_ssize_t> counter._reader.row - 1)
    return made


def result_columns(result, layout=None):
    """The columns of a psycopg.pq.PGresult, which is copied; as copy_columns(), and CopyError as result_tuples()."""
    cdef _Result source = _Result(result, result_layout(result, names=False) if layout is None else layout)
    cdef Py_ssize_t first = 0
    cdef Columns made = Columns.__new__(Columns)
    made._fill(source.layout, source.pack(&first, INT64_MAX, NULL), 0, source.rows)
    return made


def _count_rows(data, types):
    """The number of rows of a whole COPY BINARY stream, of which nothing is made: the limit for benchmarks."""
    cdef _Counter counter = _Counter(_layout_of(types, "str"))
    counter.feed(data)
    counter.close()
    return counter._reader.row - 1
