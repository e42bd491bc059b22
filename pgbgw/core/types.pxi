# The types of columns: their OIDs, how their bytes are read, and what their fixed length is.

class CopyError(ValueError):
    """Rows in PostgreSQL's binary format are not what they should be, or hold a value that Python has no object for;
    or Python's values do not fit the columns that they are encoded for.

    ``row`` and ``column`` count from 1 and are None where the fault is in no row or in no one column; ``hint`` is a
    sentence that says what to do, or None.
    """

    def __init__(self, message, row=None, column=None, hint=None):
        where = [f"{name} {number}" for name, number in (("row", row), ("column", column)) if number is not None]
        super().__init__(f"{', '.join(where)}: {message}" if where else message)
        self.row = row
        self.column = column
        self.hint = hint


class _Fault(Exception):
    """What is wrong with a value; who knows its place makes a CopyError of it."""

    def __init__(self, message, hint=None):
        super().__init__(message)
        self.message = message
        self.hint = hint


@cython.final
cdef class _Type:
    """A type of columns: its name and OID in pg_type, how it is read, its length or 0, and of arrays the element."""

    cdef readonly str name
    cdef readonly uint32_t oid
    cdef int kind
    cdef int32_t fixed
    cdef _Type element

    def __init__(self, str name, uint32_t oid, int kind, int32_t fixed=0, _Type element=None):
        self.name = name
        self.oid = oid
        self.kind = kind
        self.fixed = fixed
        self.element = element

    cdef int check_length(self, int32_t length) except -1:
        if self.fixed != 0 and length != self.fixed:
            raise _Fault(
                f"length {length} instead of {self.fixed}", "Cast the column to the type that is decoded here."
            )
        return 0

    cdef _Type with_json_as_bytes(self):
        """This type, or where its values hold JSON one whose values are bytes."""
        if self.element is not None:
            element = self.element.with_json_as_bytes()
            return self if element is self.element else _Type(self.name, self.oid, self.kind, 0, element)
        if self.kind == PGBGW_JSONB_TEXT:
            return _Type(self.name, self.oid, PGBGW_JSONB_BYTES)
        return _Type(self.name, self.oid, PGBGW_BYTES) if self.oid == JSON_OID else self


cdef enum:
    INT8_OID = 20
    JSON_OID = 114
    BYTEA_OID = 17

# By name in the order of messages: OID, OID of the array, kind, fixed length. Source: catalog/pg_type.dat; a length is
# fixed where the type's send function always writes as many bytes.
cdef dict _TABLE = {
    "int2": (21, 1005, PGBGW_INT2, 2),
    "int4": (23, 1007, PGBGW_INT4, 4),
    "int8": (INT8_OID, 1016, PGBGW_INT8, 8),
    "bool": (16, 1000, PGBGW_BOOL, 1),
    "float4": (700, 1021, PGBGW_FLOAT4, 4),
    "float8": (701, 1022, PGBGW_FLOAT8, 8),
    "numeric": (1700, 1231, PGBGW_NUMERIC, 0),
    "text": (25, 1009, PGBGW_TEXT, 0),
    "varchar": (1043, 1015, PGBGW_TEXT, 0),
    "bpchar": (1042, 1014, PGBGW_TEXT, 0),
    "char": (18, 1002, PGBGW_TEXT, 0),
    "name": (19, 1003, PGBGW_TEXT, 0),
    "bytea": (BYTEA_OID, 1001, PGBGW_BYTES, 0),
    "json": (JSON_OID, 199, PGBGW_TEXT, 0),
    "jsonb": (3802, 3807, PGBGW_JSONB_TEXT, 0),
    "uuid": (2950, 2951, PGBGW_UUID, 16),
    "date": (1082, 1182, PGBGW_DATE, 4),
    "time": (1083, 1183, PGBGW_TIME, 8),
    "timetz": (1266, 1270, PGBGW_TIMETZ, 12),
    "timestamp": (1114, 1115, PGBGW_TIMESTAMP, 8),
    "timestamptz": (1184, 1185, PGBGW_TIMESTAMPTZ, 8),
    "interval": (1186, 1187, PGBGW_INTERVAL, 16),
    "inet": (869, 1041, PGBGW_INET, 0),
    "cidr": (650, 651, PGBGW_CIDR, 0),
    "oid": (26, 1028, PGBGW_OID, 4),
    "unknown": (705, 0, PGBGW_TEXT, 0),
}
cdef dict _BY_NAME = {}
cdef dict _BY_OID = {}


cdef int _fill_types() except -1:
    for name, (oid, array, kind, fixed) in _TABLE.items():
        found = _BY_NAME[name] = _BY_OID[oid] = _Type(name, oid, kind, fixed)
        if array:
            _BY_NAME[f"{name}[]"] = _BY_OID[array] = _Type(f"{name}[]", array, PGBGW_ARRAY, 0, found)
    return 0


_fill_types()


cdef _Type _type_of(wanted):
    """The type of a name, or of an OID; one that is not known has the bytes that were sent for values."""
    if isinstance(wanted, str):
        found = _BY_NAME.get(wanted)
        if found is None:
            raise ValueError(
                f"no decoder for column type {wanted!r}: use one of {', '.join(_TABLE)}, with [] for an array of them, "
                "or an OID"
            )
        return found
    if not isinstance(wanted, int):
        raise TypeError(f"a column type is a name or an OID, not {type(wanted).__name__}")
    if not 0 < wanted <= 0xffffffff:
        raise ValueError(f"{wanted} is no OID of a type")
    found = _BY_OID.get(wanted)
    return _Type(f"type {wanted}", wanted, PGBGW_BYTES) if found is None else found
