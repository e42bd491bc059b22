# The careful way to an object: every type, and what is wrong with a value that is none.

import datetime
import decimal
import ipaddress
import uuid

cdef object _UTC = datetime.timezone.utc
cdef object _set_slot = object.__setattr__
cdef object _NO_SAFETY = uuid.SafeUUID.unknown

cdef enum:
    MAX_DIMENSIONS = 6          # MAXDIM, utils/array.h
    INTERVAL_DAYS_A_MONTH = 30  # as psycopg counts where PostgreSQL has no number of days
    AF_INET = 2                 # PGSQL_AF_INET and PGSQL_AF_INET6, utils/inet.h
    AF_INET6 = 3

cdef str _CANNOT_HOLD = "datetime cannot hold it: select the column as text, or filter the row out."


cdef object _value(_Type type, const uint8_t *data, int32_t length, pgbgw_memory *memory):
    """The object of a field that is not NULL. Raises _Fault."""
    type.check_length(length)
    cdef PyObject *made = pgbgw_make_common(type.kind, data, length, memory)
    if made != NULL:
        return _steal(made)
    if PyErr_Occurred() != NULL:
        _reraise()
    return _careful(type, data, length)


cdef inline object _steal(PyObject *made):
    """The object of a new reference."""
    cdef object found = <object> made
    Py_DECREF(found)
    return found


cdef int _reraise() except -1:
    """Go on with the error that C code has set."""
    return -1


cdef object _careful(_Type type, const uint8_t *data, int32_t length):
    cdef int kind = type.kind
    if kind == PGBGW_TEXT:
        return _read_text(data, length)
    if kind == PGBGW_JSONB_TEXT or kind == PGBGW_JSONB_BYTES:
        if length < 1:
            raise _Fault("no version byte")
        if data[0] != PGBGW_JSONB_VERSION:
            raise _Fault(f"version {data[0]} of the binary format instead of {PGBGW_JSONB_VERSION}")
        return _read_text(data + 1, length - 1) if kind == PGBGW_JSONB_TEXT else data[1:length]
    if kind == PGBGW_BOOL:
        raise _Fault(f"byte {data[0]} instead of 0 or 1")
    if kind == PGBGW_TIMESTAMP or kind == PGBGW_TIMESTAMPTZ:
        raise _no_timestamp(<int64_t> pgbgw_get64(data))
    if kind == PGBGW_UUID:
        return _read_uuid(data)
    if kind == PGBGW_NUMERIC:
        return _read_numeric(data, length)
    if kind == PGBGW_DATE:
        return _read_date(<int32_t> pgbgw_get32(data))
    if kind == PGBGW_TIME:
        return _read_time(<int64_t> pgbgw_get64(data), None)
    if kind == PGBGW_TIMETZ:
        return _read_time(<int64_t> pgbgw_get64(data), _read_zone(<int32_t> pgbgw_get32(data + 8)))
    if kind == PGBGW_INTERVAL:
        return _read_interval(data)
    if kind == PGBGW_INET or kind == PGBGW_CIDR:
        return _read_address(kind, data, length)
    return _read_array(type, data, length)


cdef str _read_text(const uint8_t *data, int32_t length):
    try:
        return PyUnicode_DecodeUTF8(<const char *> data, length, NULL)
    except UnicodeDecodeError as error:
        raise _Fault(f"not UTF-8: {error}", "Set client_encoding to UTF8.") from error


cdef object _no_timestamp(int64_t microseconds):
    infinite = microseconds == INT64_MIN or microseconds == INT64_MAX
    return _Fault("an infinite timestamp" if infinite else "a year before 1 or after 9999", _CANNOT_HOLD)


cdef object _read_date(int32_t day):
    cdef pgbgw_date date
    if not PGBGW_FIRST_DAY <= day <= PGBGW_LAST_DAY:
        infinite = day == INT32_MIN or day == INT32_MAX
        raise _Fault("an infinite date" if infinite else "a year before 1 or after 9999", _CANNOT_HOLD)
    pgbgw_date_of(day, &date)
    return datetime.date(date.year, date.month, date.day_of_month)


cdef object _read_time(int64_t microseconds, zone):
    if microseconds == PGBGW_DAY:
        raise _Fault("the time 24:00:00", _CANNOT_HOLD)
    if not 0 <= microseconds < PGBGW_DAY:
        raise _Fault(f"{microseconds} microseconds are not within a day")
    seconds, fraction = divmod(microseconds, 1000000)
    return datetime.time(seconds // 3600, seconds // 60 % 60, seconds % 60, fraction, zone)


cdef object _read_zone(int32_t west):
    """The zone of a timetz, which counts seconds west of Greenwich (timetz_send, utils/adt/date.c)."""
    if not -86400 < west < 86400:
        raise _Fault(f"a zone of {west} seconds is not within a day")
    return _UTC if west == 0 else datetime.timezone(datetime.timedelta(seconds=-<int64_t> west))


cdef object _read_interval(const uint8_t *data):
    cdef int64_t microseconds = <int64_t> pgbgw_get64(data)
    cdef int64_t days = <int32_t> pgbgw_get32(data + 8)
    cdef int64_t months = <int32_t> pgbgw_get32(data + 12)
    # As the server writes infinity since version 17 (datatype/timestamp.h).
    if days == months == INT32_MAX and microseconds == INT64_MAX or (
        days == months == INT32_MIN and microseconds == INT64_MIN
    ):
        raise _Fault("an infinite interval", "timedelta cannot hold it: select the column as text.")
    years = abs(months) // 12
    whole = 365 * years + INTERVAL_DAYS_A_MONTH * (abs(months) - 12 * years)
    try:
        return datetime.timedelta(days + (whole if months > 0 else -whole), 0, microseconds)
    except OverflowError as error:
        raise _Fault("an interval beyond timedelta", "Select the column as text.") from error


cdef object _read_uuid(const uint8_t *data):
    # The constructor takes its arguments apart for most of its time; an UUID is these two slots.
    made = uuid.UUID.__new__(uuid.UUID)
    _set_slot(made, "int", int.from_bytes(data[:16], "big"))
    _set_slot(made, "is_safe", _NO_SAFETY)
    return made


cdef object _read_numeric(const uint8_t *data, int32_t length):
    """A Decimal with the digits after the point that the server would show (numeric_send, utils/adt/numeric.c)."""
    cdef int32_t count, weight, sign, scale, digit, index
    if length < 8:
        raise _Fault(f"length {length} instead of 8 or more")
    count = pgbgw_get16(data)
    weight = <int16_t> pgbgw_get16(data + 2)
    sign = pgbgw_get16(data + 4)
    scale = pgbgw_get16(data + 6)
    if length != 8 + 2 * count:
        raise _Fault(f"{count} digits in {length} bytes")
    if sign in _NUMERIC_NAMES:
        return decimal.Decimal(_NUMERIC_NAMES[sign])
    if sign != 0 and sign != NUMERIC_NEGATIVE:
        raise _Fault(f"sign 0x{sign:04x}")
    if scale > NUMERIC_MAX_SCALE:
        raise _Fault(f"a scale of {scale} digits")
    groups = []
    for index in range(count):
        digit = pgbgw_get16(data + 8 + 2 * index)
        if digit > 9999:
            raise _Fault(f"digit {digit} to the base of 10000")
        groups.append(f"{digit:04d}")
    # A group more or less where the first one stands: the text below begins with the group of weight 0.
    text = "".join(groups)
    whole = 4 * (weight + 1)
    if whole < 0:
        text = "0" * -whole + text
        whole = 0
    text = text[:whole + scale].ljust(whole + scale, "0")
    # From a str, which is taken exactly whatever the context's precision is.
    return decimal.Decimal(f"{'-' if sign else ''}{text or '0'}E-{scale}")


cdef enum:
    NUMERIC_NEGATIVE = 0x4000
    NUMERIC_MAX_SCALE = 0x3fff

cdef dict _NUMERIC_NAMES = {0xc000: "NaN", 0xd000: "Infinity", 0xf000: "-Infinity"}


cdef object _read_address(int kind, const uint8_t *data, int32_t length):
    """Objects of ipaddress as psycopg makes them (network_send, utils/adt/network.c)."""
    if length < 4:
        raise _Fault(f"length {length} instead of 4 or more")
    family, prefix, size = data[0], data[1], data[3]
    if family not in (AF_INET, AF_INET6):
        raise _Fault(f"address family {family}")
    wanted = 4 if family == AF_INET else 16
    if size != wanted or length != 4 + wanted or prefix > 8 * wanted:
        raise _Fault(f"an address of {size} bytes with prefix {prefix} in {length} bytes")
    packed = data[4:length]
    if kind == PGBGW_INET and prefix == 8 * wanted:
        return ipaddress.ip_address(packed)
    try:
        return (ipaddress.ip_network if kind == PGBGW_CIDR else ipaddress.ip_interface)((packed, prefix))
    except ValueError as error:
        raise _Fault(str(error)) from error


cdef list _read_array(_Type type, const uint8_t *data, int32_t length):
    """Lists within lists; lower bounds are left out, as psycopg does (array_send, utils/adt/arrayfuncs.c)."""
    cdef const uint8_t *place
    cdef const uint8_t *end = data + length
    sizes = _read_sizes(type, data, length, &place)
    made = _read_elements(type.element, sizes, 0, &place, end) if sizes else []
    _check_end(place, end)
    return made


cdef list _read_sizes(_Type type, const uint8_t *data, int32_t length, const uint8_t **first):
    """How many elements an array has in each dimension; ``first`` is where they begin. Raises _Fault."""
    cdef int32_t dimensions, index
    cdef int64_t count = 1
    if length < 12:
        raise _Fault(f"length {length} instead of 12 or more")
    dimensions = <int32_t> pgbgw_get32(data)
    if not 0 <= dimensions <= MAX_DIMENSIONS:
        raise _Fault(f"{dimensions} dimensions")
    if pgbgw_get32(data + 4) > 1:
        raise _Fault(f"flags 0x{pgbgw_get32(data + 4):08x}")
    # The OID of an enum or a domain is known in its database only: then the column's own type says what elements are.
    found = _BY_OID.get(pgbgw_get32(data + 8))
    if found is not None and (<_Type> found).oid != type.element.oid:
        raise _Fault(f"elements of type {found.name}", "Cast the column to the type that is decoded here.")
    if length < 12 + 8 * dimensions:
        raise _Fault(f"{dimensions} dimensions in {length} bytes")
    first[0] = data + 12 + 8 * dimensions
    sizes = []
    for index in range(dimensions):
        size = <int32_t> pgbgw_get32(data + 12 + 8 * index)
        # Each element takes four bytes at least, so a count that lies takes no memory.
        if size < 1 or count * size > (length - 12 - 8 * dimensions) // 4:
            raise _Fault(f"a dimension of {size} elements in {length} bytes")
        count *= size
        sizes.append(size)
    return sizes


cdef list _read_elements(_Type element, list sizes, Py_ssize_t dimension, const uint8_t **place, const uint8_t *end):
    cdef pgbgw_field field
    cdef Py_ssize_t index
    cdef Py_ssize_t size = sizes[dimension]
    made = []
    for index in range(size):
        if dimension + 1 < len(sizes):
            made.append(_read_elements(element, sizes, dimension + 1, place, end))
            continue
        _next_element(&field, place, end)
        made.append(None if field.length == -1 else _value(element, field.data, field.length, NULL))
    return made


cdef int _next_element(pgbgw_field *field, const uint8_t **place, const uint8_t *end) except -1:
    """The element at ``place``, which moves behind it. Raises _Fault."""
    if end - place[0] < 4:
        raise _Fault("the array ends before its last element")
    field.length = <int32_t> pgbgw_get32(place[0])
    field.data = place[0] + 4
    if field.length < -1 or field.length > end - field.data:
        raise _Fault(f"an element of length {field.length}")
    place[0] = field.data + max(field.length, 0)
    return 0


cdef int _check_end(const uint8_t *place, const uint8_t *end) except -1:
    if place != end:
        raise _Fault(f"{end - place} bytes follow the last element")
    return 0


cdef Py_ssize_t _append_elements(_Type type, const uint8_t *data, int32_t length, bytearray rows) except -1:
    """Append the elements of an array of one dimension, each as a row of one column; their number. Raises _Fault."""
    cdef pgbgw_field field
    cdef Py_ssize_t index, count
    cdef const uint8_t *place
    cdef const uint8_t *end = data + length
    sizes = _read_sizes(type, data, length, &place)
    if len(sizes) > 1:
        raise _Fault(
            f"an array of {len(sizes)} dimensions", "A list has one: select the column as jsonb, or unnest it."
        )
    count = sizes[0] if sizes else 0
    for index in range(count):
        begin = place
        _next_element(&field, &place, end)
        if field.length != -1:
            type.element.check_length(field.length)
        rows += b"\0\1"
        rows += begin[:place - begin]
    _check_end(place, end)
    return count
