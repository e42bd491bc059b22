# What a COPY sends, read from the socket itself: libpq would allocate and copy each row by itself.

cdef enum:
    # The type of a message, and its length without that ("Message Formats" in the chapter on the protocol).
    MESSAGE_HEADER = 5
    # What comes later than this is waited for again, after a look at signals; ms.
    RECEIVED_LOOK = 1000


@cython.final
cdef class CopyReceiver:
    """Receives the rows of one ``COPY ... TO STDOUT (FORMAT binary)`` from a socket, whose encryption is none.

    From the query on nobody else may read from the socket, up to the ReadyForQuery that ends what the server has to
    say: ``finished`` is set then, or when the connection is lost, which ``lost`` tells. Whatever comes and is no row is
    kept as it came, and so is what was received behind that ReadyForQuery, be it part of a message: ``others()`` gives
    it, for whoever speaks the protocol otherwise.

    ``jobs``, ``tuples`` and ``columns`` wait for rows, and give up to so many; fewer are the last ones, and none come
    after them. Each row is one message, the first one has the header of COPY BINARY before it ("COPY Operations" in the
    chapter on the protocol).

    They raise CopyError for rows that do not fit the layout, and whatever a signal's handler raises. ``drain`` is to be
    called then: it drops the rest. A receiver is not shared between threads: RuntimeError is raised where one is at
    work already.
    """

    cdef int _socket
    cdef _Reader _reader
    cdef bytes _chunk           # what was received, and room for more
    cdef Py_ssize_t _begin      # of the message at hand in it
    cdef Py_ssize_t _end        # of what was received
    cdef list _spare            # chunks whose jobs may be gone by now
    cdef bytearray _others
    cdef bint _headed           # whether the header of COPY BINARY was read
    cdef bint _trailed          # whether the trailer was
    cdef bint _busy
    cdef readonly bint finished
    cdef readonly bint lost

    def __init__(self, int socket, Layout layout not None):
        if self._reader is not None:
            raise TypeError("a receiver is for one stream")
        self._socket = socket
        self._chunk = PyBytes_FromStringAndSize(NULL, PGBGW_RECEIVED_SIZE)
        self._spare = []
        self._others = bytearray()
        self._reader = _Reader(layout)

    def others(self):
        """The messages that were no rows, as they came; each is given once."""
        given, self._others = bytes(self._others), bytearray()
        return given

    def jobs(self, Py_ssize_t most, type kind=None):
        """Up to ``most`` rows as jobs, of class Job or of one that is derived from Held."""
        self._enter()
        try:
            return self._jobs(most, kind)
        finally:
            self._busy = False

    cdef list _jobs(self, Py_ssize_t most, type kind):
        cdef list jobs = []
        cdef Py_ssize_t size
        cdef const uint8_t *row
        cdef Py_ssize_t wanted
        cdef bint more = True
        cdef pgbgw_maker maker
        while more and len(jobs) < most:
            chunk = _Chunk(self._reader.layout, self._chunk)
            maker = _maker(chunk, kind)
            try:
                while len(jobs) < most:
                    row = self._row(&size)
                    if row == NULL:
                        break
                    wanted = (self._end - self._begin) // (size + MESSAGE_HEADER) + 1
                    _append_job(jobs, &maker, row, size, min(wanted, most - len(jobs)))
                    self._reader.row += 1
            finally:
                pgbgw_maker_done(&maker)
            # Jobs that were made keep the chunk; nothing else may, or it could not be used again.
            chunk = None
            more = len(jobs) == most or self._more()
        return jobs

    def tuples(self, Py_ssize_t most):
        """Up to ``most`` rows as tuples; values as CopyDecoder gives them."""
        self._enter()
        try:
            return self._tuples(most)
        finally:
            self._busy = False

    cdef list _tuples(self, Py_ssize_t most):
        cdef list rows = []
        cdef Py_ssize_t size
        cdef const uint8_t *row
        cdef Py_ssize_t count = 0
        cdef bint more = True
        while more and count < most:
            while count < most:
                row = self._row(&size)
                if row == NULL:
                    break
                pgbgw_append(rows, self._reader.read(row))
                self._reader.row += 1
                count += 1
            more = count == most or self._more()
        return rows

    def columns(self, Py_ssize_t most):
        """Up to ``most`` rows as Columns, which have a length of 0 once there are no more."""
        self._enter()
        try:
            return self._columns(most)
        finally:
            self._busy = False

    cdef Columns _columns(self, Py_ssize_t most):
        cdef pgbgw_buffer buffer
        cdef Py_ssize_t size
        cdef const uint8_t *row
        cdef uint8_t *place
        cdef Py_ssize_t count = 0
        cdef bint more = True
        memset(&buffer, 0, sizeof(buffer))
        try:
            while more and count < most:
                while count < most:
                    row = self._row(&size)
                    if row == NULL:
                        break
                    place = pgbgw_reserve(&buffer, <size_t> size)
                    if place == NULL:
                        _reraise()
                    memcpy(place, row, <size_t> size)
                    buffer.size += <size_t> size
                    self._reader.row += 1
                    count += 1
                more = count == most or self._more()
            data = PyBytes_FromStringAndSize(<char *> buffer.data, <Py_ssize_t> buffer.size)
        finally:
            PyMem_Free(buffer.data)
        cdef Columns made = Columns.__new__(Columns)
        made._fill(self._reader.layout, data, 0, count, self._reader.row - count)
        return made

    def drain(self):
        """Read what still comes, and drop the rows in it."""
        cdef Py_ssize_t size
        self._enter()
        try:
            while not self.finished:
                while self._message(&size) != NULL:
                    pass
                self._more()
        finally:
            self._busy = False

    cdef int _enter(self) except -1:
        if self._reader is None:
            raise TypeError("the receiver was not initialised")
        # A signal's handler may come back here, and another thread while this one waits: the chunk that is received
        # into would be gone.
        if self._busy:
            raise RuntimeError("the receiver is at work already")
        self._busy = True
        return 0

    cdef inline const uint8_t *_row(self, Py_ssize_t *size) except? NULL:
        """The next row, which has been walked; NULL if it is not there yet, or there is none."""
        cdef pgbgw_walked walked
        cdef pgbgw_verdict verdict
        cdef const uint8_t *row
        while True:
            row = self._message(size)
            if row == NULL:
                return NULL
            if self._trailed or not self._headed or (size[0] == 2 and row[0] == 0xff and row[1] == 0xff):
                row = self._unusual(row, size)
                if row == NULL:
                    continue
            verdict = pgbgw_walk(&self._reader.layout.shape, row, size[0], &walked)
            if verdict != PGBGW_WHOLE:
                raise self._reader.layout._walk_error(self._reader.row, verdict, walked)
            if walked.size != size[0]:
                raise CopyError(f"{size[0] - walked.size} bytes follow the row", row=self._reader.row)
            return row

    cdef const uint8_t *_unusual(self, const uint8_t *row, Py_ssize_t *size) except? NULL:
        """The row of the first message, or NULL where this message has none."""
        if self._trailed:
            raise CopyError(f"{size[0]} bytes follow the trailer of the stream")
        if not self._headed:
            # The server writes neither flags nor an extension (CopyToBinaryStart, commands/copyto.c).
            if size[0] < HEADER_SIZE or memcmp(row, _SIGNATURE, SIGNATURE_SIZE) != 0:
                raise CopyError("the stream does not begin with the signature of COPY BINARY")
            if pgbgw_get64(row + SIGNATURE_SIZE) != 0:
                raise CopyError("the header has flags or an extension, which no server writes")
            self._headed = True
            row += HEADER_SIZE
            size[0] -= HEADER_SIZE
            if size[0] == 0:
                return NULL
        if size[0] == 2 and row[0] == 0xff and row[1] == 0xff:
            self._trailed = True
            return NULL
        return row

    cdef inline const uint8_t *_message(self, Py_ssize_t *size) except? NULL:
        """What the next CopyData has, once it is whole; other messages are kept."""
        cdef const uint8_t *start
        cdef uint32_t length
        while self._end - self._begin >= MESSAGE_HEADER:
            start = <const uint8_t *> PyBytes_AS_STRING(self._chunk) + self._begin
            length = pgbgw_get32(start + 1)
            if length < 4 or length > PGBGW_MAX_SIZE:
                self._lose()
                raise CopyError(f"a message of the server's has a length of {length} bytes", hint="Connect again.")
            if <uint32_t> (self._end - self._begin - 1) < length:
                return NULL
            if start[0] == 100:     # d: CopyData
                self._begin += 1 + <Py_ssize_t> length
                size[0] = <Py_ssize_t> length - 4
                return start + MESSAGE_HEADER
            if start[0] == 90:      # Z: ReadyForQuery
                # A server may end the session at any time, and says why: so more may stand behind.
                self._others += start[:self._end - self._begin]
                self._begin = self._end
                self.finished = True
                return NULL
            self._others += start[:1 + <Py_ssize_t> length]
            self._begin += 1 + <Py_ssize_t> length
        return NULL

    cdef int _lose(self) except -1:
        self.finished = self.lost = True
        self._begin = self._end
        return 0

    cdef bint _more(self) except -1:
        """Receive some more; whether there was anything."""
        cdef ptrdiff_t got
        cdef int socket = self._socket
        cdef uint8_t *place
        cdef size_t room
        if self.finished:
            return False
        self._make_room()
        place = <uint8_t *> PyBytes_AS_STRING(self._chunk) + self._end
        room = <size_t> (len(self._chunk) - self._end)
        while True:
            with nogil:
                got = pgbgw_receive(socket, place, room, RECEIVED_LOOK)
            if got > 0:
                self._end += got
                # What never ends would never come to the look below.
                PyErr_CheckSignals()
                return True
            if got == PGBGW_CLOSED:
                self._lose()
                return False
            PyErr_CheckSignals()

    cdef int _make_room(self) except -1:
        """Have room behind what was received, and for the whole of the message that is at hand."""
        cdef Py_ssize_t held = self._end - self._begin
        cdef Py_ssize_t wanted = PGBGW_RECEIVED_LEAST
        cdef Py_ssize_t believed = len(self._chunk)
        cdef const uint8_t *start = <const uint8_t *> PyBytes_AS_STRING(self._chunk) + self._begin
        if held >= MESSAGE_HEADER:
            # Its length was looked at, and is below 1 GB; what is more than a chunk is believed once that is full.
            if held + wanted > believed:
                believed *= 2
            wanted = max(wanted, min(1 + <Py_ssize_t> pgbgw_get32(start + 1), believed) - held)
        if len(self._chunk) - self._end >= wanted:
            return 0
        cdef bytes before = self._chunk
        self._chunk = None
        if pgbgw_is_alone(<PyObject *> before) and len(before) - held >= wanted:
            self._chunk = before
        else:
            try:
                self._chunk = self._unused(held + wanted)
            except BaseException:
                self._chunk = before
                raise
        memmove(<void *> PyBytes_AS_STRING(self._chunk), start, <size_t> held)
        self._begin = 0
        self._end = held
        if self._chunk is not before and len(before) == PGBGW_RECEIVED_SIZE:
            self._spare.append(before)
        return 0

    cdef bytes _unused(self, Py_ssize_t size):
        """A chunk of at least so many bytes to which no job refers any more, or a new one."""
        cdef Py_ssize_t place = pgbgw_find_alone(<PyObject *> self._spare, size)
        if place >= 0:
            return self._spare.pop(place)
        if len(self._spare) > 3:
            # Somebody keeps the jobs.
            del self._spare[0]
        return PyBytes_FromStringAndSize(NULL, max(size, PGBGW_RECEIVED_SIZE))
