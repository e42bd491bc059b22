"""Jobs made up for a queue whatever the types of its payload are.

The handler is a probe, so values need to make no sense; they only have to be of their type, and to differ from job to
job where the type has room for that.
"""

from __future__ import annotations

import psycopg

from pgbgw.faults.server import Server
from pgbgw.ir.model import PayloadColumnIR, QueueIR
from pgbgw.server.errors import ServerError
from pgbgw.sqltext import quote_literal

__all__ = ["payload"]

# By pg_type.typname; "g" is the number of the job.
_BY_NAME = {
    "int2": "(g % 30000)",
    "int4": "g",
    "int8": "g",
    "float4": "g",
    "float8": "g + 0.5",
    "numeric": "g + 0.25",
    "bool": "g % 2 = 0",
    "text": "'täxt ''quoted'' \\ ' || g",
    "bytea": "decode(lpad(to_hex(g), 16, '0'), 'hex')",
    "json": "json_build_object('n', g, 'text', 'it''s')",
    "jsonb": "jsonb_build_object('n', g, 'text', 'it''s')",
    "uuid": "lpad(to_hex(g), 32, '0')",
    "date": "date '2026-01-01' + (g % 1000)::int",
    "timestamp": "timestamp '2026-01-01' + g * interval '1 s'",
    "timestamptz": "timestamptz '2026-01-01 00:00Z' + g * interval '1 s'",
    "time": "time '00:00' + g * interval '1 s'",
    "timetz": "timetz '00:00Z'",
    "interval": "g * interval '1 s'",
    "inet": "inet '10.0.0.0' + g",
    "cidr": "'10.0.0.0/8'",
    "macaddr": "'08:00:2b:01:02:03'",
    "xml": "'<n>' || g || '</n>'",
    "bit": "'1'",
    "varbit": "'101'",
    "money": "g",
    "oid": "g",
    "regclass": "'pg_catalog.pg_class'",
    "point": "point(g, g)",
}

_DESCRIBE = """
    WITH RECURSIVE base AS (
        SELECT t.* FROM pg_catalog.pg_type AS t WHERE t.oid = %s::regtype
        UNION ALL
        SELECT t.* FROM pg_catalog.pg_type AS t JOIN base AS b ON t.oid = b.typbasetype WHERE b.typtype = 'd'
    )
    SELECT typname, typtype, typcategory,
        (SELECT e.enumlabel FROM pg_catalog.pg_enum AS e WHERE e.enumtypid = base.oid ORDER BY e.enumsortorder LIMIT 1),
        (SELECT count(*) FROM pg_catalog.pg_attribute AS a
            WHERE a.attrelid = base.typrelid AND a.attnum > 0 AND NOT a.attisdropped)
    FROM base WHERE typtype <> 'd'
"""


def payload(server: Server, queue: QueueIR) -> tuple[str, ...]:
    """An SQL expression for each payload column, in which "g" is a number that no other job has.

    Raises:
        ServerError: a column's type lets no made-up value in; the hint says how to give one.
    """
    expressions = tuple(_expression(server, column) for column in queue.columns)
    for column, expression in zip(queue.columns, expressions, strict=True):
        try:
            server.rows(f"SELECT {expression} FROM generate_series(1, 3) AS g")
        except psycopg.Error as error:
            raise ServerError(
                f'no job can be made up for queue "{queue.name}": column {column.name} of type {column.sql_type}',
                detail=f"{error.diag.message_primary or error}.",
                hint=f"Give values, in which g may stand for a number: --payload '{queue.name}=...'",
            ) from error
    return expressions


def _expression(server: Server, column: PayloadColumnIR) -> str:
    row = server.rows(_DESCRIBE, [column.sql_type])[0]
    name, kind, category, label, attributes = row
    if name in _BY_NAME:
        value = f"({_BY_NAME[name]})"
    elif category == "A":
        value = "'{}'"
    elif kind == "e":
        value = quote_literal(str(label))
    elif kind in ("r", "m"):
        value = "'empty'" if kind == "r" else "'{}'"
    elif kind == "c":
        value = quote_literal("(" + "," * (int(attributes) - 1) + ")")
    elif category == "S":
        value = "'x'"
    else:
        value = "NULL"
    return f"CAST({value} AS {column.sql_type})"
