"""The built-in types: OIDs, spellings and modifiers; private to ``sqltext``.

OIDs and spellings are those of ``pg_type.dat`` and ``format_type()``, fixed in every major that
we support (15 to 19).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

__all__ = ["BUILTIN", "PSEUDO", "SERIAL", "BuiltinType", "spell"]


class BuiltinType(NamedTuple):
    """A type of ``pg_catalog``: its OID, the OID of its array (0 when it has none), and its spelling in SQL."""

    oid: int
    array_oid: int
    sql: str


# One type per entry: internal name, OID, OID of the array, and the SQL spelling where it differs, with "_" for a blank.
_BUILTIN = """
bool 16 1000 boolean; bytea 17 1001; char 18 1002 "char"; name 19 1003; int8 20 1016 bigint; int2 21 1005 smallint
int2vector 22 1006; int4 23 1007 integer; regproc 24 1008; text 25 1009; oid 26 1028; tid 27 1010; xid 28 1011
cid 29 1012; oidvector 30 1013; json 114 199; xml 142 143; pg_node_tree 194 0; point 600 1017; lseg 601 1018
path 602 1019; box 603 1020; polygon 604 1027; line 628 629; cidr 650 651; float4 700 1021 real
float8 701 1022 double_precision; circle 718 719; macaddr8 774 775; money 790 791; macaddr 829 1040; inet 869 1041
aclitem 1033 1034; bpchar 1042 1014 character; varchar 1043 1015 character_varying; date 1082 1182
time 1083 1183 time_without_time_zone; timestamp 1114 1115 timestamp_without_time_zone
timestamptz 1184 1185 timestamp_with_time_zone; interval 1186 1187; timetz 1266 1270 time_with_time_zone
bit 1560 1561; varbit 1562 1563 bit_varying; numeric 1700 1231; refcursor 1790 2201; regprocedure 2202 2207
regoper 2203 2208; regoperator 2204 2209; regclass 2205 2210; regtype 2206 2211; uuid 2950 2951
txid_snapshot 2970 2949; pg_lsn 3220 3221; pg_ndistinct 3361 0; pg_dependencies 3402 0; tsvector 3614 3643
tsquery 3615 3645; gtsvector 3642 3644; regconfig 3734 3735; regdictionary 3769 3770; jsonb 3802 3807
int4range 3904 3905; numrange 3906 3907; tsrange 3908 3909; tstzrange 3910 3911; daterange 3912 3913
int8range 3926 3927; jsonpath 4072 4073; regnamespace 4089 4090; regrole 4096 4097; regcollation 4191 4192
int4multirange 4451 6150; nummultirange 4532 6151; tsmultirange 4533 6152; tstzmultirange 4534 6153
datemultirange 4535 6155; int8multirange 4536 6157; pg_brin_bloom_summary 4600 0; pg_brin_minmax_multi_summary 4601 0
pg_mcv_list 5017 0; pg_snapshot 5038 5039; xid8 5069 271
"""


def _builtin() -> dict[str, BuiltinType]:
    found = {}
    for entry in _BUILTIN.replace("\n", ";").split(";"):
        if fields := entry.split():
            name, oid, array_oid = fields[:3]
            sql = fields[3].replace("_", " ") if len(fields) > 3 else name
            found[name] = BuiltinType(int(oid), int(array_oid), sql)
    return found


BUILTIN = _builtin()

PSEUDO = frozenset(
    """any anyarray anycompatible anycompatiblearray anycompatiblemultirange anycompatiblenonarray anycompatiblerange
    anyelement anyenum anymultirange anynonarray anyrange cstring event_trigger fdw_handler index_am_handler internal
    language_handler pg_ddl_command record table_am_handler trigger tsm_handler unknown void""".split()  # noqa: SIM905
)

# CREATE TABLE understands these; they are no types anywhere else.
SERIAL = {
    "serial": "integer", "serial4": "integer", "bigserial": "bigint", "serial8": "bigint",
    "smallserial": "smallint", "serial2": "smallint",
}  # fmt: skip

# The most modifiers a type takes in parentheses; the others take none. An interval's are its fields and its precision.
_MODIFIERS = {
    "bpchar": 1, "varchar": 1, "bit": 1, "varbit": 1, "numeric": 2, "interval": 2,
    "time": 1, "timetz": 1, "timestamp": 1, "timestamptz": 1,
}  # fmt: skip

# INTERVAL_MASK of datetime.h: a field is 1 << its code (MONTH 1, YEAR 2, DAY 3, HOUR 10, MINUTE 11, SECOND 12).
_INTERVAL = {
    0x7FFF: "", 0x4: " year", 0x2: " month", 0x8: " day", 0x400: " hour", 0x800: " minute", 0x1000: " second",
    0x6: " year to month", 0x408: " day to hour", 0xC08: " day to minute", 0x1C08: " day to second",
    0xC00: " hour to minute", 0x1C00: " hour to second", 0x1800: " minute to second",
}  # fmt: skip


def spell(name: str, modifiers: Sequence[int]) -> str | None:
    """A built-in type as ``format_type()`` writes it, without brackets; None when it can't have these modifiers."""
    if len(modifiers) > _MODIFIERS.get(name, 0):
        return None
    if not modifiers:
        # Bare "character" and "bit" mean a length of one in SQL, so the types without a length need other words.
        return {"bpchar": "bpchar", "bit": '"bit"'}.get(name, BUILTIN[name].sql)
    if name == "interval":
        fields, *precision = modifiers
        return "interval" + _INTERVAL.get(fields, "") + "".join(f"({digits})" for digits in precision)
    if name == "numeric":
        return f"numeric({modifiers[0]},{modifiers[1] if len(modifiers) > 1 else 0})"
    head, blank, tail = BUILTIN[name].sql.partition(" with")
    return f"{head}({modifiers[0]}){blank}{tail}"
