"""Values of every type that the compiled core knows, and psycopg's own loaders and dumpers to hold it against."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from ipaddress import IPv4Interface, IPv4Network, IPv6Interface, IPv6Network, ip_address
from typing import Any
from uuid import UUID

import psycopg
from hypothesis import strategies as st
from psycopg import pq
from psycopg.adapt import Transformer
from psycopg.types.datetime import DatetimeNoTzBinaryDumper, TimeTzBinaryDumper

OIDS = {
    "int2": 21,
    "int4": 23,
    "int8": 20,
    "bool": 16,
    "float4": 700,
    "float8": 701,
    "numeric": 1700,
    "text": 25,
    "varchar": 1043,
    "bpchar": 1042,
    "name": 19,
    "bytea": 17,
    "json": 114,
    "jsonb": 3802,
    "uuid": 2950,
    "date": 1082,
    "time": 1083,
    "timetz": 1266,
    "timestamp": 1114,
    "timestamptz": 1184,
    "interval": 1186,
    "inet": 869,
    "cidr": 650,
    "oid": 26,
}

_TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"))
_WORDS = st.text(st.characters(codec="ascii", min_codepoint=97, max_codepoint=122), min_size=1, max_size=20)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-999, 999) | _WORDS,
    lambda children: st.lists(children, max_size=3) | st.dictionaries(_WORDS, children, max_size=3),
    max_leaves=5,
).map(str)
_ZONES = st.integers(-15 * 3600, 15 * 3600).map(lambda seconds: timezone(timedelta(seconds=seconds)))
_PACKED = st.binary(min_size=4, max_size=4) | st.binary(min_size=16, max_size=16)
_NETWORKS = _PACKED.flatmap(
    lambda packed: st.integers(0, 8 * len(packed)).map(
        lambda prefix: (IPv4Network if len(packed) == 4 else IPv6Network)((packed, prefix), strict=False)
    )
)
_INTERFACES = _PACKED.flatmap(
    lambda packed: st.integers(0, 8 * len(packed) - 1).map(
        lambda prefix: (IPv4Interface if len(packed) == 4 else IPv6Interface)((packed, prefix))
    )
)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "int2": st.integers(-(2**15), 2**15 - 1),
    "int4": st.integers(-(2**31), 2**31 - 1),
    "int8": st.integers(-(2**63), 2**63 - 1),
    "bool": st.booleans(),
    "float4": st.floats(width=32),
    "float8": st.floats(),
    "numeric": st.decimals(allow_nan=False)
    .filter(lambda value: not value.is_finite() or abs(value.adjusted()) < 900)
    .map(lambda value: abs(value) if value == 0 else value)
    | st.just(Decimal("NaN")),
    "text": _TEXT,
    "varchar": _TEXT,
    "bpchar": _TEXT,
    "name": _WORDS,
    "bytea": st.binary(),
    "json": _JSON,
    "jsonb": _JSON,
    "uuid": st.uuids(),
    "date": st.dates(),
    "time": st.times().map(lambda value: value.replace(fold=0)),
    "timetz": st.times(timezones=_ZONES).map(lambda value: value.replace(fold=0)),
    "timestamp": st.datetimes().map(lambda value: value.replace(fold=0)),
    "timestamptz": st.datetimes(timezones=st.just(UTC)).map(lambda value: value.replace(fold=0)),
    "interval": st.timedeltas(),
    "inet": _PACKED.map(ip_address) | _INTERFACES,
    "cidr": _NETWORKS,
    "oid": st.integers(0, 2**32 - 1),
}

# One telling value of each type, for tests that are no properties.
SAMPLES: dict[str, Any] = {
    "int2": -2,
    "int4": 70000,
    "int8": -(2**40),
    "bool": True,
    "float4": 0.5,
    "float8": -2.5,
    "numeric": Decimal("-123456.7890"),
    "text": "grüße",
    "varchar": "v",
    "bpchar": "b",
    "name": "n",
    "bytea": b"\0\xff",
    "json": '{"a": 1}',
    "jsonb": '{"b": [2]}',
    "uuid": UUID("12345678-1234-5678-1234-567812345678"),
    "date": date(1999, 12, 31),
    "time": time(1, 2, 3, 4),
    "timetz": time(1, 2, 3, 4, timezone(timedelta(hours=2))),
    "timestamp": datetime(1970, 1, 1, 0, 0, 0, 1),
    "timestamptz": datetime(2024, 2, 29, 23, 59, 59, 999999, UTC),
    "interval": timedelta(-1, 2, 3),
    "inet": IPv4Interface("10.0.0.1/8"),
    "cidr": IPv6Network("fe80::/10"),
    "oid": 4294967295,
}

_ADAPTERS = psycopg.adapters
# By OID one gets the dumpers that choose between these two for themselves.
_DUMPERS = {"timetz": TimeTzBinaryDumper, "timestamp": DatetimeNoTzBinaryDumper}


def dumped(kind: str, value: Any) -> bytes:
    """What psycopg sends for a value of a type, in binary."""
    if kind == "json":
        return str(value).encode()
    if kind == "jsonb":
        return b"\x01" + str(value).encode()
    if kind in ("varchar", "bpchar", "name"):
        return str(value).encode()
    if kind == "oid":
        return int(value).to_bytes(4, "big")
    found = _DUMPERS.get(kind) or _ADAPTERS.get_dumper_by_oid(OIDS[kind], pq.Format.BINARY)
    data = found(type(value)).dump(value)
    assert data is not None
    return bytes(data)


def loaded(oid: int, data: bytes) -> Any:
    """What psycopg makes of the binary form of a value."""
    transformer = Transformer()
    return transformer.get_loader(oid, pq.Format.BINARY).load(data)
