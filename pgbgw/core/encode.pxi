# The careful way from an object to bytes, and the encoder of COPY BINARY.

import operator
import struct

cdef object _INET_CLASSES = (
    ipaddress.IPv4Address, ipaddress.IPv6Address, ipaddress.IPv4Interface, ipaddress.IPv6Interface
)
cdef object _CIDR_CLASSES = (ipaddress.IPv4Network, ipaddress.IPv6Network)


cdef bytes _encoded(_Type type, value):
    """The bytes of a value that is not None. Raises _Fault."""
    cdef int kind = type.kind
    if kind in (PGBGW_INT2, PGBGW_INT4, PGBGW_INT8, PGBGW_OID):
        return _write_int(type, value)
    if type.oid == JSON_OID:
        return _write_json(value)
    if kind == PGBGW_TEXT:
        return _write_text(value if isinstance(value, str) else _refuse("str", value))
    if kind == PGBGW_JSONB_TEXT or kind == PGBGW_JSONB_BYTES:
        return b"\x01" + _write_json(value)
    if kind == PGBGW_BYTES:
        return _write_bytes(value)
    if kind == PGBGW_BOOL:
        # Numbers are no booleans, nor the other way round: a column too many shows.
        if value is not True and value is not False:
            _refuse("bool", value)
        return b"\x01" if value else b"\x00"
    if kind == PGBGW_FLOAT4 or kind == PGBGW_FLOAT8:
        return _write_float(type, value)
    if kind == PGBGW_TIMESTAMP or kind == PGBGW_TIMESTAMPTZ:
        return _write_datetime(type, value)
    if kind == PGBGW_DATE:
        return _write_date(type, value)
    if kind == PGBGW_TIME or kind == PGBGW_TIMETZ:
        return _write_time(type, value)
    if kind == PGBGW_INTERVAL:
        return _write_interval(_needed(datetime.timedelta, value))
    if kind == PGBGW_NUMERIC:
        return _write_numeric(type, value)
    if kind == PGBGW_UUID:
        return _needed(uuid.UUID, value).bytes
    if kind == PGBGW_INET or kind == PGBGW_CIDR:
        return _write_address(type, value)
    return _write_array(type, value)


cdef object _refuse(str wanted, value, str hint=None):
    # Not by the attribute __class__, which runs code of the value and may say what it likes.
    raise _Fault(f"{type(value).__name__} instead of {wanted}", hint)


cdef object _needed(wanted, value):
    return value if _is_a(value, wanted) else _refuse(wanted.__name__, value)


cdef bint _is_a(value, classes) except -1:
    """Whether it is of these classes, and does not only say so, as what stands in for objects in tests does."""
    return issubclass(type(value), classes)


cdef bytes _write_int(_Type type, value):
    if isinstance(value, bool):
        _refuse("int", value)
    try:
        number = operator.index(value)
    except TypeError:
        _refuse("int", value)
    try:
        return number.to_bytes(type.fixed, "big", signed=type.kind != PGBGW_OID)
    except OverflowError:
        # Not the number itself: it may have any number of digits.
        bits = 8 * type.fixed
        range_ = f"0 to 2**{bits} - 1" if type.kind == PGBGW_OID else f"-2**{bits - 1} to 2**{bits - 1} - 1"
        raise _Fault(f"a number outside {range_}") from None


cdef bytes _write_text(value):
    # Of a subclass the characters alone, whatever its methods do: those of an enum's member are no str by themselves.
    cdef str text = PyUnicode_FromObject(value)
    if "\0" in text:
        raise _Fault(f"a NUL at position {text.index(chr(0))}", "PostgreSQL has no text with NUL: use bytea.")
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise _Fault(f"a lone surrogate at position {error.start}", "It is no character: use bytea.") from error


cdef bytes _write_json(value):
    if isinstance(value, str):
        return _write_text(value)
    if isinstance(value, (dict, list, tuple, int, float)):
        _refuse("JSON text", value, "Encode it first, as json.dumps() does.")
    data = _write_bytes(value)
    if b"\0" in data:
        raise _Fault(f"a NUL at position {data.index(0)}")
    try:
        data.decode()
    except UnicodeDecodeError as error:
        raise _Fault(f"not UTF-8: {error}", "Encode the text as UTF-8.") from error
    return data


cdef bytes _write_bytes(value):
    if not isinstance(value, (bytes, bytearray, memoryview)):
        _refuse("bytes", value)
    # Of a subclass the bytes as they are, whatever its __bytes__ gives.
    return value if type(value) is bytes else bytes(memoryview(value))


cdef bytes _write_float(_Type type, value):
    if isinstance(value, (bool, str, bytes, bytearray)):
        _refuse("float", value)
    try:
        number = float(value)
        return struct.pack(">d" if type.kind == PGBGW_FLOAT8 else ">f", number)
    except TypeError:
        _refuse("float", value)
    except OverflowError as error:
        raise _Fault(f"a number beyond {type.name}") from error


cdef int64_t _microseconds(delta) except? -1:
    return (delta.days * 86400 + delta.seconds) * 1000000 + delta.microseconds


cdef bytes _write_datetime(_Type type, value):
    _needed(datetime.datetime, value)
    offset = value.utcoffset()
    if type.kind == PGBGW_TIMESTAMPTZ and offset is None:
        raise _Fault("a datetime without a zone", "Give it one, such as datetime.UTC.")
    if type.kind == PGBGW_TIMESTAMP and offset is not None:
        raise _Fault("a datetime with a zone", "Use timestamptz, or take the zone off.")
    # Not by astimezone(): UTC may be in the year 0 or 10000, which the server has and Python has not.
    naive = value.replace(tzinfo=None) - datetime.datetime(2000, 1, 1)
    return struct.pack(">q", _microseconds(naive) - (_microseconds(offset) if offset is not None else 0))


cdef bytes _write_date(_Type type, value):
    if _is_a(value, datetime.datetime):
        _refuse("date", value, "Take its date().")
    _needed(datetime.date, value)
    return struct.pack(">i", pgbgw_day_of(value.year, value.month, value.day))


cdef bytes _write_time(_Type type, value):
    _needed(datetime.time, value)
    offset = value.utcoffset()
    seconds = value.hour * 3600 + value.minute * 60 + value.second
    sent = struct.pack(">q", seconds * 1000000 + value.microsecond)
    if type.kind == PGBGW_TIME:
        if value.tzinfo is not None:
            raise _Fault("a time with a zone", "Use timetz, or take the zone off.")
        return sent
    if offset is None:
        raise _Fault("a time without a fixed offset", "Give it one, such as datetime.UTC.")
    if offset.microseconds:
        raise _Fault("an offset with a part of a second")
    seconds = _microseconds(offset) // 1000000
    if abs(seconds) >= ZONE_LIMIT:
        raise _Fault("an offset of 16 hours or more", "Those of timetz are below 16 hours.")
    return sent + struct.pack(">i", -seconds)


cdef enum:
    ZONE_LIMIT = 16 * 3600      # TZDISP_LIMIT, datatype/timestamp.h


cdef bytes _write_interval(value):
    return struct.pack(">qii", value.seconds * 1000000 + value.microseconds, value.days, 0)


cdef bytes _write_numeric(_Type type, value):
    if isinstance(value, bool) or not _is_a(value, (int, decimal.Decimal)):
        _refuse("Decimal", value)
    # From an int as it is, whatever the context's precision is.
    value = decimal.Decimal(value)
    negative, digits, exponent = value.as_tuple()
    if value.is_nan():
        return struct.pack(">hhHH", 0, 0, 0xc000, 0)
    if value.is_infinite():
        return struct.pack(">hhHH", 0, 0, 0xf000 if negative else 0xd000, 0)
    scale = max(0, -exponent)
    # Limits of the type: 131072 digits before the point, 16383 behind it ("Numeric Types").
    if scale > NUMERIC_MAX_SCALE or (value and len(digits) + exponent > NUMERIC_MAX_DIGITS):
        raise _Fault("a number with more digits than numeric holds")
    if not value:
        return struct.pack(">hhHH", 0, 0, 0, scale)
    # Groups of four digits to both sides of the point, those of zeros at the end left out; the first digit is none.
    weight, first = divmod(len(digits) + exponent - 1, 4)
    padded = bytes(3 - first) + bytes(digits).rstrip(b"\0")
    return _numeric_of(padded + bytes(-len(padded) % 4), weight, NUMERIC_NEGATIVE if negative else 0, scale)


cdef bytes _numeric_of(bytes digits, int32_t weight, int32_t sign, int32_t scale):
    """A numeric of some groups of four digits, each a byte (numeric_recv, utils/adt/numeric.c)."""
    cdef const uint8_t *digit = <const uint8_t *> PyBytes_AS_STRING(digits)
    # Up to 36864, and read without a sign.
    cdef Py_ssize_t groups = len(digits) // 4
    cdef bytes made = PyBytes_FromStringAndSize(NULL, 8 + 2 * groups)
    cdef uint8_t *place = <uint8_t *> PyBytes_AS_STRING(made)
    for number in (groups, weight, sign, scale):
        pgbgw_put16(place, <uint16_t> <int32_t> number)
        place += 2
    for _ in range(groups):
        pgbgw_put16(place, <uint16_t> (digit[0] * 1000 + digit[1] * 100 + digit[2] * 10 + digit[3]))
        digit += 4
        place += 2
    return made


cdef enum:
    NUMERIC_MAX_DIGITS = 131072


cdef bytes _write_address(_Type type, value):
    cidr = type.kind == PGBGW_CIDR
    if not _is_a(value, _CIDR_CLASSES if cidr else _INET_CLASSES):
        _refuse("a network of ipaddress" if cidr else "an address or interface of ipaddress", value)
    address = value.network_address if cidr else value
    if getattr(address, "scope_id", None) is not None:
        raise _Fault("an address with a scope", "PostgreSQL keeps no scope: take it off, or use text.")
    packed = address.packed
    prefix = value.prefixlen if cidr else getattr(value, "network", None)
    if not cidr:
        prefix = value.max_prefixlen if prefix is None else prefix.prefixlen
    family = AF_INET if value.version == 4 else AF_INET6
    return bytes((family, prefix, cidr, len(packed))) + packed


cdef bytes _write_array(_Type type, value):
    """Lists or tuples within each other, all of one depth and size; the lower bounds are 1."""
    if not isinstance(value, (list, tuple)):
        _refuse("list", value)
    # Lists of one's own: the code of an element may change them while it is asked for its bytes.
    value = _fixed(value, 0)
    sizes = []
    inner = value
    while isinstance(inner, tuple):
        sizes.append(len(inner))
        if not inner:
            break
        inner = inner[0]
    if 0 in sizes:
        if len(sizes) > 1:
            raise _Fault("a list of empty lists", "An empty array has no dimensions: use [].")
        sizes = []
    sent = bytearray()
    nulls = _write_elements(type.element, value, sizes, 0, sent) if sizes else 0
    head = struct.pack(">iiI", len(sizes), nulls, type.element.oid)
    return head + b"".join([struct.pack(">ii", size, 1) for size in sizes]) + sent


cdef object _fixed(value, Py_ssize_t depth):
    """Lists and tuples as tuples, at every depth."""
    if not isinstance(value, (list, tuple)):
        return value
    # One that has itself in it has no end.
    if depth == MAX_DIMENSIONS:
        raise _Fault(f"more than {MAX_DIMENSIONS} dimensions")
    return tuple([_fixed(item, depth + 1) for item in tuple(value)])


cdef int _write_elements(_Type element, value, list sizes, Py_ssize_t depth, bytearray sent) except -1:
    """Append the elements; give 1 if one of them is NULL, else 0."""
    cdef int nulls = 0
    if depth == len(sizes):
        return _write_element(element, value, sent)
    if not isinstance(value, tuple):
        raise _Fault("lists of different depths")
    if len(value) != sizes[depth]:
        raise _Fault(f"lists of {sizes[depth]} and of {len(value)} items at one depth")
    for item in value:
        nulls |= _write_elements(element, item, sizes, depth + 1, sent)
    return nulls


cdef int _write_element(_Type element, value, bytearray sent) except -1:
    if isinstance(value, tuple):
        raise _Fault("lists of different depths")
    if value is None:
        sent += b"\xff\xff\xff\xff"
        return 1
    data = _encoded(element, value)
    if len(data) + len(sent) >= PGBGW_MAX_SIZE:
        raise _Fault(f"an array above PostgreSQL's limit of {PGBGW_MAX_SIZE} bytes")
    sent += struct.pack(">i", len(data))
    sent += data
    return 0


@cython.final
cdef class CopyEncoder:
    """Encodes rows for ``COPY ... FROM STDIN (FORMAT binary)``.

    ``types`` names the type of each column in order, or is a Layout, where the types are listed. A row is a tuple or a
    list with a value for each column; None is NULL. Values are of the types that CopyDecoder gives; JSON may be str or
    bytes, an interval is a timedelta and is sent in days and microseconds. An aware datetime of any zone goes into
    timestamptz, and only such a one; only one without a zone goes into timestamp. An array of an enum is "text[]", one
    of a domain that of its base type: the server reads the elements as those of the column (array_recv,
    utils/adt/arrayfuncs.c).

    Nothing of a row with a fault is emitted: CopyError names row and column, both counted from 1, rows over all calls.
    Faults are a value of another type, an integer or a number that does not fit, NUL in text, a lone surrogate, JSON
    that is not UTF-8, an address with a scope, a value whose own methods raise, and a field of 1 GB or more
    (MaxAllocSize, utils/memutils.h). An encoder is not shared between threads.

    Raises ValueError and TypeError as Layout does.
    """

    cdef Layout _layout
    cdef pgbgw_buffer _buffer
    cdef int64_t _row           # the row at hand, from 1
    cdef bint _begun
    cdef bint _busy

    def __init__(self, types):
        if self._layout is not None:
            raise TypeError("an encoder is for one stream")
        cdef Layout layout = _layout_of(types, "str")
        if layout.json != "str":
            # there json has the kind of bytea, of which anything goes
            layout = Layout(layout.names, layout.types)
        self._layout = layout
        self._row = 1

    def __dealloc__(self):
        PyMem_Free(self._buffer.data)

    def feed(self, rows):
        """The bytes of some rows, the first time with the header of the stream before them.

        After CopyError, or an error of the iteration, nothing of this call is emitted, and the next one goes on as if
        it had not been.
        """
        cdef int64_t first = self._row
        self._begin()
        try:
            for row in rows:
                self._add(row)
            return self._end()
        except BaseException:
            self._row = first
            raise
        finally:
            self._busy = False

    def blocks(self, rows, Py_ssize_t size=131072):
        """The same in blocks of at least ``size`` bytes, but for the last, while the rows are iterated over.

        What stands before a row with a fault is emitted first, and CopyError is raised then.
        """
        fault = None
        iterator = iter(rows)
        while True:
            self._begin()
            try:
                done = self._fill(iterator, size)
                block = self._end()
            except Exception as error:
                # Whole rows only are in the buffer.
                fault, done = error, True
                block = self._end()
            finally:
                self._busy = False
            if block:
                yield block
            if fault is not None:
                raise fault
            if done:
                return

    def close(self):
        """The end of the stream: its trailer, and its header where no row came before."""
        self._begin()
        self._busy = False
        return self._end() + b"\xff\xff"

    cdef int _begin(self) except -1:
        cdef uint8_t *place
        if self._layout is None:
            raise TypeError("the encoder was not initialised")
        # Iterating over rows runs anybody's code, which may come back here.
        if self._busy:
            raise RuntimeError("the encoder is at work already")
        self._buffer.size = 0
        if not self._begun:
            place = pgbgw_reserve(&self._buffer, HEADER_SIZE)
            if place == NULL:
                _reraise()
            memcpy(place, _SIGNATURE, SIGNATURE_SIZE)
            memset(place + SIGNATURE_SIZE, 0, HEADER_SIZE - SIGNATURE_SIZE)
            self._buffer.size = HEADER_SIZE
        self._busy = True
        return 0

    cdef bytes _end(self):
        self._begun = True
        return PyBytes_FromStringAndSize(<char *> self._buffer.data, <Py_ssize_t> self._buffer.size)

    cdef bint _fill(self, iterator, Py_ssize_t size) except -1:
        """Add rows until there are so many bytes; whether there are no more rows."""
        for row in iterator:
            self._add(row)
            if <Py_ssize_t> self._buffer.size >= size:
                return False
        return True

    cdef int _add(self, row) except -1:
        """Add a row, or nothing."""
        cdef size_t before = self._buffer.size
        cdef Py_ssize_t columns = self._layout.shape.columns
        cdef int32_t column = 0
        cdef uint8_t *place
        # A tuple of one's own: a list may change while the values of a row are asked for theirs.
        cdef tuple values = row if type(row) is tuple else _row_of(row, self._row)
        if len(values) != columns:
            raise CopyError(f"{len(values)} values instead of {columns}", row=self._row)
        place = pgbgw_reserve(&self._buffer, 2)
        if place == NULL:
            _reraise()
        pgbgw_put16(place, <uint16_t> columns)
        self._buffer.size += 2
        while pgbgw_put_values(
            &self._buffer, &self._layout.shape, self._layout.kinds, <PyObject *> values, before, &column
        ) != PGBGW_WRITTEN:
            self._put_carefully(before, column, values[column])
            column += 1
        self._row += 1
        return 0

    cdef int _put_carefully(self, size_t before, Py_ssize_t column, value) except -1:
        """Add a value that is none of the common ones; on an error the row is gone."""
        cdef bytes data
        try:
            if PyErr_Occurred() != NULL:
                _reraise()
            self._check_size(before)
            data = self._encoded(column, value)
            if pgbgw_put_field(&self._buffer, PyBytes_AS_STRING(data), len(data), 0) != PGBGW_WRITTEN:
                _reraise()
            self._check_size(before)
        except BaseException:
            self._buffer.size = before
            raise
        return 0

    cdef int _check_size(self, size_t before) except -1:
        if self._buffer.size - before > PGBGW_MAX_SIZE:
            raise CopyError(f"the row is longer than PostgreSQL's limit of {PGBGW_MAX_SIZE} bytes", row=self._row)
        return 0

    cdef bytes _encoded(self, Py_ssize_t column, value):
        try:
            data = _encoded(<_Type> self._layout._types[column], value)
            if len(data) >= PGBGW_MAX_SIZE:
                raise _Fault(f"{len(data)} bytes are above PostgreSQL's limit of {PGBGW_MAX_SIZE}")
        except _Fault as fault:
            raise self._layout._error(self._row, column, fault.message, fault.hint) from fault.__cause__
        except MemoryError:
            raise
        except Exception as error:
            # Of the value's own code, such as its __index__.
            raise self._layout._error(self._row, column, f"the value has raised {type(error).__name__}") from error
        return data


cdef tuple _row_of(row, int64_t number):
    if isinstance(row, (tuple, list)):
        return tuple(row)
    raise CopyError(f"a row is a tuple or a list, not {type(row).__name__}", row=number)


def encode_copy(rows, types):
    """A whole COPY BINARY stream of some rows; see CopyEncoder for types, values and errors."""
    encoder = CopyEncoder(types)
    return encoder.feed(rows) + encoder.close()
