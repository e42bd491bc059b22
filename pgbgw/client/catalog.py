"""What the catalogs of a database say about a queue: to find one by name, and to compare one with its declaration."""

from __future__ import annotations

from typing import Any

import psycopg

from pgbgw.client.errors import Mismatch, QueueMissing
from pgbgw.client.handle import JSON_TYPES, Casts, Column, Handle, cast_for
from pgbgw.client.jobs import check_types
from pgbgw.client.operations import Operation
from pgbgw.sqltext import SqlError, parse_type

__all__ = ["casts", "columns_fit", "compare", "find", "find_all", "verify"]

# Whether a type, t, is an array, as format_type_extended() sees it (utils/adt/format_type.c).
_IS_ARRAY = "t.typsubscript = 'pg_catalog.array_subscript_handler'::regproc AND t.typstorage <> 'p'"

# The type of a column, a, with its schema unless that is pg_catalog: format_type() leaves out those on search_path. Of
# types that a user has made it has the modifiers behind the name.
_SPELLED = f"""(
    SELECT CASE WHEN n.nspname = 'pg_catalog'
        THEN regexp_replace(format_type(a.atttypid, a.atttypmod), '^pg_catalog[.]', '')
        ELSE format('%I.%I', n.nspname, e.typname)
            || substr(format_type(e.oid, a.atttypmod), length(format_type(e.oid, NULL)) + 1)
            || CASE WHEN e.oid = t.oid THEN '' ELSE '[]' END END
    FROM pg_type AS t
    JOIN pg_type AS e ON e.oid = CASE WHEN {_IS_ARRAY} THEN t.typelem ELSE t.oid END
    JOIN pg_namespace AS n ON n.oid = e.typnamespace
    WHERE t.oid = a.atttypid)"""

# The tables of queues: such as belong to an extension and have those for jobs that wait and that were given up beside.
_QUEUES = """
SELECT e.extname, e.extversion, n.nspname, c.relname, v.relname,
    to_regclass(format('%I.%I', n.nspname, c.relname || '_keys')) IS NOT NULL,
    to_regclass(format('%I.%I', n.nspname, c.relname || '_running')) IS NOT NULL,
    to_regclass(format('%I.%I', n.nspname, c.relname || '_done')) IS NOT NULL,
    ARRAY(SELECT a.attname::text FROM pg_attribute AS a
        WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum),
    ARRAY(SELECT SPELLED FROM pg_attribute AS a
        WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum),
    ARRAY(SELECT a.attnotnull FROM pg_attribute AS a
        WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum)
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_depend AS d ON d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
JOIN pg_extension AS e ON d.refclassid = 'pg_extension'::regclass AND e.oid = d.refobjid
CROSS JOIN LATERAL (SELECT v.relname FROM pg_depend AS x
    JOIN pg_rewrite AS r ON x.classid = 'pg_rewrite'::regclass AND x.objid = r.oid
    JOIN pg_class AS v ON v.oid = r.ev_class AND v.relkind = 'v'
    JOIN pg_depend AS o ON o.classid = 'pg_class'::regclass AND o.objid = v.oid AND o.deptype = 'e'
        AND o.refobjid = e.oid
    WHERE x.refclassid = 'pg_class'::regclass AND x.refobjid = c.oid LIMIT 1) AS v
WHERE c.relkind = 'r'
    AND to_regclass(format('%I.%I', n.nspname, c.relname || '_later')) IS NOT NULL
    AND to_regclass(format('%I.%I', n.nspname, c.relname || '_failed')) IS NOT NULL
ORDER BY n.nspname, c.relname
""".replace("SPELLED", _SPELLED)

# Of each column of a table the type in which its values are sent, which of a domain is that below it, and of an array
# the type in which its elements are, or 0.
_COLUMNS = f"""
WITH RECURSIVE seen (attnum, name, spelled, type, within) AS (
    SELECT a.attnum, a.attname::text, {_SPELLED.replace("%", "%%")}, a.atttypid, NULL::oid
    FROM pg_attribute AS a
    JOIN pg_class AS c ON c.oid = a.attrelid
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE n.nspname = %s AND c.relname = %s AND a.attnum > 0 AND NOT a.attisdropped
    UNION ALL
    SELECT s.attnum, s.name, s.spelled, CASE t.typtype WHEN 'd' THEN t.typbasetype ELSE t.typelem END,
        CASE t.typtype WHEN 'd' THEN s.within ELSE t.oid END
    FROM seen AS s JOIN pg_type AS t ON t.oid = s.type
    WHERE t.typtype = 'd' OR (s.within IS NULL AND {_IS_ARRAY})
)
SELECT s.name, coalesce(s.within, s.type)::int8, CASE WHEN s.within IS NULL THEN 0 ELSE s.type END::int8, s.spelled
FROM seen AS s JOIN pg_type AS t ON t.oid = s.type
WHERE NOT (t.typtype = 'd' OR (s.within IS NULL AND {_IS_ARRAY}))
ORDER BY s.attnum
"""

_OWN = frozenset({"id", "unique_key", "priority", "attempt", "created_at"})


def find_all(connection: psycopg.Connection[Any]) -> list[Handle[Any]]:
    """All queues of a database that this role may look up, by schema and name."""
    return [_handle(row) for row in connection.execute(_QUEUES).fetchall()]


def find(connection: psycopg.Connection[Any], name: str) -> Handle[Any]:
    """The queue of a name, which may have its schema before it.

    Raises:
        QueueMissing: there is none, or several in different schemas.
    """
    queues = find_all(connection)
    found = [each for each in queues if name in (each.table, f"{each.schema}.{each.table}")]
    if len(found) == 1:
        return found[0]
    known = ", ".join(f"{each.schema}.{each.table}" for each in found or queues)
    if found:
        raise QueueMissing(f'several queues have the name "{name}"', hint=f"Give the schema as well: {known}.")
    raise QueueMissing(
        f'there is no queue "{name}" in database "{connection.info.dbname}"',
        detail=f"Its queues are {known}." if known else "It has no queues.",
        hint="Run CREATE EXTENSION there, or connect to the database that has it.",
    )


def _handle(row: tuple[Any, ...]) -> Handle[Any]:
    extension, version, schema, table, view, keys, running, done, names, types, required = row
    columns = zip(names, types, required, strict=True)
    return Handle(
        extension=extension,
        version=version,
        schema=schema,
        name=table,
        table=table,
        view=view,
        columns=tuple(Column(name, type_, not needed) for name, type_, needed in columns if name not in _OWN),
        payload=None,
        unique=keys,
        lease_seconds=60.0 if running else None,
        history=done,
        channel=f"{extension}_{table}",
        json_columns=tuple(n for n, t in zip(names, types, strict=True) if t in JSON_TYPES and n not in _OWN),
    )


def verify(handle: Handle[Any]) -> Operation[None]:
    """Compare a declared queue with what is installed; one look at the catalogs.

    The operation raises QueueMissing where the queue is not there, and Mismatch where something differs.
    """

    def read(rows: Any) -> None:
        found = [each for each in map(_handle, rows) if (each.schema, each.table) == (handle.schema, handle.table)]
        if not found:
            raise QueueMissing(
                f"{handle} is not in this database: there is no table {handle.named()} of an extension",
                hint=f"Run CREATE EXTENSION {handle.extension} there.",
            )
        compare(handle, found[0])

    return Operation(handle, f"{handle}", _QUEUES.replace("%", "%%"), [], read)


def columns_fit(handle: Handle[Any], *, all_declared: bool = False) -> Operation[Casts]:
    """See that what is encoded by the declared types is read as such, and all columns are there; with ``all_declared``,
    that none is there besides, whose values nobody would get. How they are selected. A table that is missing the server
    tells.

    The operation raises Mismatch where something differs.
    """

    def read(rows: Any) -> Casts:
        installed = {name: (oid, spelled) for name, oid, _, spelled in rows}
        declared = [column.name for column in handle.columns]
        different = [f"column {name} is declared and not installed" for name in declared if name not in installed]
        if all_declared:
            others = [name for name in installed if name not in _OWN and name not in declared]
            different += [f"column {name} is installed and not declared" for name in others]
        if installed:
            check_types(handle, installed, different)
        return _casts(rows)

    return Operation(handle, f"{handle}", _COLUMNS, [handle.schema, handle.table], read)


def casts(handle: Handle[Any], table: str) -> Operation[Casts]:
    """How the columns of a table of a queue are to be selected; empty where there is no such table."""
    return Operation(handle, f"{handle}", _COLUMNS, [handle.schema, table], _casts)


def _casts(rows: Any) -> Casts:
    return tuple([(name, cast_for(oid, element)) for name, oid, element, _ in rows])


def _null(column: Column) -> str:
    return "may be NULL" if column.nullable else "is NOT NULL"


def compare(declared: Handle[Any], installed: Handle[Any]) -> None:
    """See that a program may go by its declaration.

    Raises:
        Mismatch: with everything that differs.
    """
    wanted = {column.name: column for column in declared.columns}
    found = {column.name: column for column in installed.columns}
    differences = [f"column {name} is declared and not installed" for name in wanted if name not in found]
    differences += [f"column {name} is installed and not declared" for name in found if name not in wanted]
    differences += [
        f"column {name} is declared as {wanted[name].type} and installed as {found[name].type}"
        for name in wanted
        if name in found and not _same(wanted[name].type, found[name].type)
    ]
    differences += [
        f"column {name} {_null(wanted[name])} as it is declared, and {_null(found[name])} as it is installed"
        for name in wanted
        if name in found and wanted[name].nullable != found[name].nullable
    ]
    differences += [
        f"{what} {'declared and not installed' if have else 'installed and not declared'}"
        for what, have, has in (
            ("leases are", declared.lease_seconds is not None, installed.lease_seconds is not None),
            ("keys are", declared.unique, installed.unique),
            ("a history is", declared.history, installed.history),
        )
        if have != has
    ]
    if declared.extension != installed.extension:
        differences.append(f"it is of extension {installed.extension}, and declared in {declared.extension}")
    if differences:
        raise Mismatch(
            f"{declared} is not installed as it is declared",
            detail=f"{'; '.join(differences)}.",
            hint=f"The extension has version {installed.version} there, and {declared.version} in the declaration:"
            " install what is declared, or run the program that belongs to what is installed.",
        )


def _same(declared: str, installed: str) -> bool:
    """Whether two types are the same, by servers of any major, whose keywords and quotes differ."""
    if declared == installed:
        return True
    try:
        return parse_type(declared).sql == parse_type(installed).sql
    except SqlError:
        # what a modifier looks like is up to its type
        return False
