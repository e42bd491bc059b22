# cython: language_level=3
"""The compiled core: a decoder of COPY BINARY streams, and the back-off that emitted workers use.

The layout of the stream is "Binary Format" on the reference page of COPY; the layout of each value is what its type's
send function writes (``int8send``, ``timestamptz_send``, ``jsonb_send`` and so on). All numbers come in network byte
order and are put together from bytes, so that the machine's own order does not matter.
"""

import datetime

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.stdint cimport INT64_MAX, INT64_MIN, int16_t, int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy

cdef extern from "backoff.h" nogil:
    int64_t pgbgw_backoff(int32_t attempt, int64_t base, int64_t cap, uint32_t random)

__all__ = ["CopyDecoder", "CopyError", "backoff", "decode_copy"]

cdef enum Kind:
    INT2
    INT4
    INT8
    BOOL
    FLOAT8
    TEXT
    JSONB
    TIMESTAMPTZ

cdef enum State:
    SIGNATURE
    EXTENSION
    ROWS
    FINISHED

cdef dict _KINDS = {
    "int2": INT2,
    "int4": INT4,
    "int8": INT8,
    "bool": BOOL,
    "float8": FLOAT8,
    "text": TEXT,
    "jsonb": JSONB,
    "timestamptz": TIMESTAMPTZ,
}

cdef const char *_SIGNATURE = b"PGCOPY\n\xff\r\n\x00"

cdef enum:
    SIGNATURE_SIZE = 11
    HEADER_SIZE = 19            # the signature, the flags and the length of the extension
    CRITICAL_FLAGS = 0xffff0000
    MAX_COLUMNS = 1664          # MaxTupleAttributeNumber, access/htup_details.h
    MAX_SIZE = 0x3fffffff       # MaxAllocSize, utils/memutils.h: the server builds a row in one buffer
    JSONB_VERSION = 1           # jsonb_send, utils/adt/jsonb.c

cdef object _EPOCH = datetime.datetime(2000, 1, 1, tzinfo=datetime.timezone.utc)
# The first and the last microsecond that datetime holds, counted from the epoch above.
cdef int64_t _FIRST_MICROSECOND = -63_082_281_600_000_000
cdef int64_t _LAST_MICROSECOND = 252_455_615_999_999_999


class CopyError(ValueError):
    """A COPY BINARY stream is not what it should be, or holds a value that Python has no object for.

    ``row`` and ``column`` count from 1 and are None where the fault is in no row or in no one column; ``hint`` is a
    sentence that says what to do, or None.
    """

    def __init__(self, message, row=None, column=None, hint=None):
        where = [f"{name} {number}" for name, number in (("row", row), ("column", column)) if number is not None]
        super().__init__(f"{', '.join(where)}: {message}" if where else message)
        self.row = row
        self.column = column
        self.hint = hint


@cython.final
@cython.auto_pickle(False)
cdef class CopyDecoder:
    """Decodes one COPY BINARY stream, fed in chunks that may end anywhere, to tuples.

    ``types`` names the type of each column in order: int2, int4, int8, bool, float8, text, jsonb, timestamptz. The
    stream's text must be UTF-8 (``client_encoding``). NULL becomes None in every type, jsonb stays the JSON text as a
    str, and timestamptz becomes an aware datetime in UTC.

    No more is held than the bytes of one incomplete row; a length is believed only once its bytes have arrived. A
    decoder is not shared between threads, and is of no further use once it has raised CopyError.

    Raises ValueError for a type that is not among these and for more columns than PostgreSQL can send, TypeError
    when ``types`` is one str.
    """

    cdef bytearray _pending     # what has arrived and is not decoded
    cdef bytes _kinds           # a Kind for each column
    cdef tuple _types
    cdef State _state
    cdef uint32_t _extension    # bytes of the header's extension still to come
    cdef int64_t _row           # the row at hand, from 1
    cdef bint _unusable

    def __init__(self, types):
        if isinstance(types, str):
            raise TypeError('types is one str instead of a sequence of names such as ["int8", "text"]')
        self._types = tuple(types)
        if len(self._types) > MAX_COLUMNS:
            raise ValueError(f"{len(self._types)} column types, but PostgreSQL sends at most {MAX_COLUMNS} columns")
        for name in self._types:
            if name not in _KINDS:
                raise ValueError(f"no decoder for column type {name!r}: use one of {', '.join(_KINDS)}")
        self._kinds = bytes([_KINDS[name] for name in self._types])
        self._pending = bytearray()
        self._state = SIGNATURE
        self._extension = 0
        self._row = 1
        self._unusable = False

    @property
    def finished(self):
        """Whether the trailer, which ends the stream, has been read."""
        return self._state == FINISHED

    def feed(self, data not None):
        """Take the next bytes of the stream; give the rows that they complete, in order.

        Raises CopyError when the stream is damaged, does not fit the types, goes on after its trailer, or holds a
        timestamp that datetime does not: an infinite one, or a year before 1 or after 9999. The rows that this chunk
        completed before the fault are lost.
        """
        cdef list rows = []
        cdef Py_buffer view
        cdef Py_ssize_t used
        self._check_usable()
        self._pending += data
        # Stays set when anything below raises: the place in the stream is lost then.
        self._unusable = True
        # The exported buffer pins the bytes: making objects may run a finalizer, and with it any code.
        PyObject_GetBuffer(self._pending, &view, PyBUF_SIMPLE)
        try:
            used = self._decode(<const uint8_t *> view.buf, view.len, rows)
        finally:
            PyBuffer_Release(&view)
        del self._pending[:used]
        self._unusable = False
        return rows

    def close(self):
        """Say that no more bytes will come. Raises CopyError when the trailer has not been read."""
        self._check_usable()
        if self._state != FINISHED:
            raise CopyError(
                f"the stream ends without its trailer, after {self._row - 1} rows and {len(self._pending)} more bytes",
                hint="The COPY failed or was cut off: look for the server's error.",
            )

    cdef int _check_usable(self) except -1:
        if self._unusable:
            raise CopyError(
                "the decoder has failed before and has lost its place in the stream",
                hint="Start again with a new decoder and a new COPY.",
            )
        return 0

    cdef Py_ssize_t _decode(self, const uint8_t *data, Py_ssize_t size, list rows) except -1:
        """Append the rows that are complete in data; give the number of bytes that are done with."""
        cdef Py_ssize_t position = 0
        cdef Py_ssize_t end
        if self._state == SIGNATURE:
            position = self._read_header(data, size)
        if self._state == EXTENSION:
            position += self._skip_extension(size - position)
        while self._state == ROWS and size - position >= 2:
            if <int16_t> _number(data + position, 2) == -1:
                self._state = FINISHED
                position += 2
                break
            end = self._find_end(data, size, position)
            if end == 0:
                break
            rows.append(self._read_row(data, position + 2))
            self._row += 1
            position = end
        if self._state == FINISHED and position < size:
            raise CopyError(f"{size - position} bytes follow the trailer of the stream")
        return position

    cdef Py_ssize_t _read_header(self, const uint8_t *data, Py_ssize_t size) except -1:
        """Read signature, flags and length of the extension; give their size, or 0 while they are incomplete."""
        cdef uint32_t flags
        if memcmp(data, _SIGNATURE, min(size, SIGNATURE_SIZE)) != 0:
            raise CopyError(
                "the stream does not begin with the signature of COPY BINARY",
                hint="Use COPY ... TO STDOUT (FORMAT binary).",
            )
        if size < HEADER_SIZE:
            return 0
        flags = <uint32_t> _number(data + SIGNATURE_SIZE, 4)
        if flags & CRITICAL_FLAGS:
            raise CopyError(
                f"the header sets flags that change the format: 0x{flags:08x}",
                hint="Flag 16 means OIDs in every row, which PostgreSQL wrote up to version 11.",
            )
        self._extension = <uint32_t> _number(data + SIGNATURE_SIZE + 4, 4)
        if self._extension > 0x7fffffff:
            raise CopyError(f"the header's extension has a negative length: {<int32_t> self._extension}")
        self._state = EXTENSION
        return HEADER_SIZE

    cdef Py_ssize_t _skip_extension(self, Py_ssize_t available) noexcept:
        """Leave out what has arrived of the extension, whatever length it claims; give that number of bytes."""
        cdef Py_ssize_t skipped = min(<Py_ssize_t> self._extension, available)
        self._extension -= <uint32_t> skipped
        if self._extension == 0:
            self._state = ROWS
        return skipped

    cdef Py_ssize_t _find_end(self, const uint8_t *data, Py_ssize_t size, Py_ssize_t start) except -1:
        """Check the field count and every length of the row at start; give its end, or 0 while it is incomplete."""
        cdef int16_t count = <int16_t> _number(data + start, 2)
        cdef int64_t position = start + 2       # 64 bits: start and a length may pass a 32-bit Py_ssize_t
        cdef int32_t length
        cdef Py_ssize_t column
        if count != len(self._kinds):
            raise CopyError(f"{count} fields instead of {len(self._kinds)}", row=self._row)
        for column in range(count):
            if size - position < 4:
                return 0
            length = <int32_t> _number(data + position, 4)
            position += 4
            if length != -1:
                self._check_length(column, length)
                position += length
            if position - start > MAX_SIZE:
                raise CopyError(f"the row is longer than PostgreSQL's limit of {MAX_SIZE} bytes", row=self._row)
        return 0 if position > size else <Py_ssize_t> position

    cdef int _check_length(self, Py_ssize_t column, int32_t length) except -1:
        cdef int32_t expected = _fixed_length(self._kinds[column])
        if length < 0:
            raise self._error(column, f"negative length {length}")
        if length > MAX_SIZE:
            raise self._error(column, f"length {length} is above PostgreSQL's limit of {MAX_SIZE} bytes")
        if expected != 0 and length != expected:
            raise self._error(
                column, f"length {length} instead of {expected}", "Cast the column to the type that is decoded here."
            )
        return 0

    cdef tuple _read_row(self, const uint8_t *data, Py_ssize_t position):
        """The values of a row whose lengths have been checked; position is behind the field count."""
        cdef list values = []
        cdef Py_ssize_t column
        cdef int32_t length
        for column in range(len(self._kinds)):
            length = <int32_t> _number(data + position, 4)
            position += 4
            if length == -1:
                values.append(None)
            else:
                values.append(self._read_value(column, data + position, length))
                position += length
        return tuple(values)

    cdef object _read_value(self, Py_ssize_t column, const uint8_t *data, int32_t length):
        cdef int kind = self._kinds[column]
        if kind == INT2:
            return <int16_t> _number(data, 2)
        if kind == INT4:
            return <int32_t> _number(data, 4)
        if kind == INT8:
            return <int64_t> _number(data, 8)
        if kind == BOOL:
            return self._read_bool(column, data[0])
        if kind == FLOAT8:
            return _float(_number(data, 8))
        if kind == TEXT:
            return self._read_text(column, data, length)
        if kind == JSONB:
            return self._read_jsonb(column, data, length)
        return self._read_timestamptz(column, <int64_t> _number(data, 8))

    cdef object _read_bool(self, Py_ssize_t column, uint8_t byte):
        if byte > 1:
            raise self._error(column, f"byte {byte} instead of 0 or 1")
        return byte == 1

    cdef str _read_text(self, Py_ssize_t column, const uint8_t *data, int32_t length):
        try:
            return PyUnicode_DecodeUTF8(<const char *> data, length, NULL)
        except UnicodeDecodeError as error:
            raise self._error(column, f"not UTF-8: {error}", "Set client_encoding to UTF8.") from error

    cdef str _read_jsonb(self, Py_ssize_t column, const uint8_t *data, int32_t length):
        if length < 1:
            raise self._error(column, "no version byte")
        if data[0] != JSONB_VERSION:
            raise self._error(column, f"version {data[0]} of the binary format instead of {JSONB_VERSION}")
        return self._read_text(column, data + 1, length - 1)

    cdef object _read_timestamptz(self, Py_ssize_t column, int64_t microseconds):
        if not _FIRST_MICROSECOND <= microseconds <= _LAST_MICROSECOND:
            infinite = microseconds in (INT64_MIN, INT64_MAX)
            raise self._error(
                column,
                "an infinite timestamp" if infinite else "a year before 1 or after 9999",
                "datetime cannot hold it: select the column as text, or filter the row out.",
            )
        return _EPOCH + datetime.timedelta(microseconds=microseconds)

    cdef object _error(self, Py_ssize_t column, str message, str hint=None):
        """A CopyError about a column, counted from 0, of the row at hand."""
        return CopyError(f"{self._types[column]}: {message}", row=self._row, column=column + 1, hint=hint)


def decode_copy(data, types):
    """Decode a whole COPY BINARY stream, from signature to trailer; see CopyDecoder for types and values.

    Raises CopyError as CopyDecoder.feed() and CopyDecoder.close() do.
    """
    decoder = CopyDecoder(types)
    rows = decoder.feed(data)
    decoder.close()
    return rows


def backoff(int32_t attempt, int64_t base_us, int64_t cap_us, uint32_t random):
    """Microseconds to wait after ``attempt`` failures, by the very code that emitted workers run.

    ``base_us`` doubles with each attempt after the first up to ``cap_us``; ``random``, uniform from 0 to 2**32 - 1,
    then takes up to a quarter off. The result is from 1 to ``cap_us``, or 0 when base or cap is not above 0. Source:
    c_templates/static/backoff.h. Raises OverflowError for an argument that its C type does not hold.
    """
    return pgbgw_backoff(attempt, base_us, cap_us, random)


cdef inline uint64_t _number(const uint8_t *data, Py_ssize_t size) noexcept nogil:
    """An unsigned number of size bytes, the highest first."""
    cdef uint64_t number = 0
    cdef Py_ssize_t index
    for index in range(size):
        number = number << 8 | data[index]
    return number


cdef inline double _float(uint64_t bits) noexcept nogil:
    cdef double number
    memcpy(&number, &bits, sizeof(number))
    return number


cdef int32_t _fixed_length(int kind) noexcept nogil:
    """The length that a type always has, or 0."""
    if kind == BOOL:
        return 1
    if kind == INT2:
        return 2
    if kind == INT4:
        return 4
    if kind == INT8 or kind == FLOAT8 or kind == TIMESTAMPTZ:
        return 8
    return 0
