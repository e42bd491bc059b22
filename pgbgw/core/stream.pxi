# COPY BINARY streams: their header, their rows and their trailer, in chunks that end anywhere.

cdef enum State:
    SIGNATURE
    EXTENSION
    ROWS
    FINISHED

cdef const char *_SIGNATURE = b"PGCOPY\n\xff\r\n\x00"

cdef enum:
    SIGNATURE_SIZE = 11
    HEADER_SIZE = 19            # the signature, the flags and the length of the extension
    CRITICAL_FLAGS = 0xffff0000


cdef bytes _bytes_of(data):
    """The bytes of a buffer. Others than bytes are copied: what they hold may change while objects are made."""
    return data if type(data) is bytes else bytes(memoryview(data))


cdef class _Stream:
    """One COPY BINARY stream.

    What is incomplete at the end of a chunk is kept, and completed with as many bytes of the next one as it lacks, so
    that all other rows are read where they lie.
    """

    cdef _Reader _reader
    cdef bytearray _pending     # an incomplete header or row
    cdef int64_t _wanted        # how many bytes of it there must be at least before it is looked at again
    cdef State _state
    cdef uint32_t _extension    # bytes of the header's extension still to come
    cdef bint _unusable

    cdef int _begin(self, Layout layout) except -1:
        if self._reader is not None:
            raise TypeError("a decoder is for one stream")
        self._reader = _Reader(layout)
        self._pending = bytearray()
        self._state = SIGNATURE
        return 0

    @property
    def finished(self):
        """Whether the trailer, which ends the stream, has been read."""
        return self._state == FINISHED

    def feed(self, data not None):
        """Take the next bytes of the stream; give the rows that they complete, in order.

        Raises CopyError when the stream is damaged, does not fit the types, or goes on after its trailer. The rows
        that this chunk completed before the fault are lost.
        """
        self._check_usable()
        cdef bytes chunk = _bytes_of(data)
        cdef list rows = []
        # Stays set when anything below raises: the place in the stream is lost then.
        self._unusable = True
        self._take(chunk, rows)
        self._unusable = False
        return rows

    def close(self):
        """Say that no more bytes will come. Raises CopyError when the trailer has not been read."""
        self._check_usable()
        if self._state != FINISHED:
            raise CopyError(
                f"the stream ends without its trailer, after {self._reader.row - 1} rows and {len(self._pending)} more "
                "bytes",
                hint="The COPY failed or was cut off: look for the server's error.",
            )

    cdef int _check_usable(self) except -1:
        if self._reader is None:
            raise TypeError("the decoder was not initialised")
        if self._unusable:
            raise CopyError(
                "the decoder has failed before and has lost its place in the stream",
                hint="Start again with a new decoder and a new COPY.",
            )
        return 0

    cdef int _take(self, bytes chunk, list rows) except -1:
        cdef Py_ssize_t size = len(chunk)
        cdef Py_ssize_t place = 0
        cdef int64_t missing
        while self._pending:
            missing = self._wanted - len(self._pending)
            if missing > size - place:
                self._pending += chunk[place:]
                # A wrong signature is told at its first wrong byte.
                if self._state == SIGNATURE:
                    self._decode(bytes(self._pending), 0, rows)
                return 0
            self._pending += chunk[place:place + missing]
            place += <Py_ssize_t> missing
            del self._pending[:self._decode(bytes(self._pending), 0, rows)]
        place = self._decode(chunk, place, rows)
        self._pending += chunk[place:]
        return 0

    cdef Py_ssize_t _decode(self, bytes data, Py_ssize_t place, list rows) except -1:
        """Append the rows that are whole; give the place behind them, and set how much the rest must have."""
        cdef Py_ssize_t size = len(data)
        if self._state == SIGNATURE:
            place += self._read_header(<const uint8_t *> PyBytes_AS_STRING(data) + place, size - place)
        if self._state == EXTENSION:
            place += self._skip_extension(size - place)
        if self._state == ROWS:
            place = self._read_rows(data, place, rows)
        if self._state == FINISHED and place < size:
            raise CopyError(f"{size - place} bytes follow the trailer of the stream")
        return place

    cdef Py_ssize_t _read_header(self, const uint8_t *data, Py_ssize_t size) except -1:
        """Read signature, flags and length of the extension; give their size, or 0 while they are incomplete."""
        cdef uint32_t flags
        self._wanted = HEADER_SIZE
        if memcmp(data, _SIGNATURE, min(size, SIGNATURE_SIZE)) != 0:
            raise CopyError(
                "the stream does not begin with the signature of COPY BINARY",
                hint="Use COPY ... TO STDOUT (FORMAT binary).",
            )
        if size < HEADER_SIZE:
            return 0
        flags = pgbgw_get32(data + SIGNATURE_SIZE)
        if flags & CRITICAL_FLAGS:
            raise CopyError(
                f"the header sets flags that change the format: 0x{flags:08x}",
                hint="Flag 16 means OIDs in every row, which PostgreSQL wrote up to version 11.",
            )
        self._extension = pgbgw_get32(data + SIGNATURE_SIZE + 4)
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

    @cython.final
    cdef inline Py_ssize_t _next(self, const uint8_t *row, Py_ssize_t size) except -1:
        """The size of the row at hand once it is whole, or 0 when there is none or not all of it."""
        cdef pgbgw_walked walked
        cdef pgbgw_verdict verdict
        if size >= 2 and row[0] == 0xff and row[1] == 0xff:
            self._state = FINISHED
            return 0
        verdict = pgbgw_walk(&self._reader.layout.shape, row, size, &walked)
        if verdict == PGBGW_WHOLE:
            return <Py_ssize_t> walked.size
        if verdict != PGBGW_PART:
            raise self._reader.layout._walk_error(self._reader.row, verdict, walked)
        self._wanted = walked.size
        return 0

    cdef Py_ssize_t _read_rows(self, bytes data, Py_ssize_t place, list rows) except -1:
        """Append the rows from place on that are whole; give the place behind them, and behind the trailer."""
        raise NotImplementedError


@cython.final
cdef class CopyDecoder(_Stream):
    """Decodes one COPY BINARY stream, fed in chunks that may end anywhere, to tuples.

    ``types`` names the type of each column in order, or is a Layout, where the types are listed; ``json`` is as there.
    The stream's text must be UTF-8 (``client_encoding``). NULL becomes None in every type; json and jsonb stay JSON
    text; timestamptz becomes an aware datetime in UTC, interval a timedelta with months of 30 days and years of 365,
    as in psycopg.

    ``feed`` raises CopyError also for a value that Python's type does not hold, such as an infinite timestamp, or a
    year before 1 or after 9999.

    No more is held than the bytes of one incomplete row; a length is believed only once its bytes have arrived. A
    decoder is not shared between threads, and is of no further use once it has raised CopyError.

    Raises ValueError and TypeError as Layout does.
    """

    def __init__(self, types, *, json="str"):
        self._begin(_layout_of(types, json))

    cdef Py_ssize_t _read_rows(self, bytes data, Py_ssize_t place, list rows) except -1:
        cdef const uint8_t *start = <const uint8_t *> PyBytes_AS_STRING(data)
        cdef Py_ssize_t size = len(data)
        cdef Py_ssize_t length
        cdef PyObject *made
        while True:
            length = self._next(start + place, size - place)
            if length == 0:
                return place + 2 if self._state == FINISHED else place
            made = self._reader.read(start + place)
            pgbgw_append(rows, made)
            self._reader.row += 1
            place += length


def decode_copy(data, types, *, json="str"):
    """Decode a whole COPY BINARY stream, from signature to trailer; see CopyDecoder for types and values.

    Raises CopyError as CopyDecoder.feed() and CopyDecoder.close() do.
    """
    decoder = CopyDecoder(types, json=json)
    rows = decoder.feed(data)
    decoder.close()
    return rows
