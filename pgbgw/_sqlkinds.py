"""Kinds of statement and of keyword, told from parse trees and words; private to ``sqltext``, which does the parsing.

The rules mirror the server's: ``CommandIsReadOnly()`` and ``UtilityReturnsTuples()`` of tcop/utility.c,
``transformStmt()`` of parser/analyze.c, ``_SPI_execute_plan()`` of executor/spi.c, and the callers of
``PreventInTransactionBlock()``. Nodes are told by the names of their classes, which are those of nodes/parsenodes.h.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

__all__ = [
    "OPERATOR_WORDS", "VALUE_WORDS", "Piece", "accepts_parameters", "command", "misplaced", "piece", "prevented",
    "read_only", "refusal", "returns_rows",
]  # fmt: skip

_QUERIES = {"SelectStmt", "InsertStmt", "UpdateStmt", "DeleteStmt", "MergeStmt"}
_WRITES = _QUERIES - {"SelectStmt"}

# Reserved words that are a value, or end one.
VALUE_WORDS = frozenset(
    """end null true false default user current_catalog current_date current_role current_time current_timestamp
    current_user localtime localtimestamp session_user system_user""".split()  # noqa: SIM905
)

# Words that aren't reserved and yet demand a value after them: AT TIME ZONE :zone, JSON_OBJECT(key VALUE :value).
OPERATOR_WORDS = frozenset("between escape ilike is like similar value zone".split())  # noqa: SIM905

_MODIFYING_WORDS = frozenset(
    """OR REPLACE UNIQUE TEMP TEMPORARY GLOBAL LOCAL UNLOGGED TRUSTED PROCEDURAL CONSTRAINT RECURSIVE""".split()  # noqa: SIM905
)
_OBJECTS = (
    "MATERIALIZED VIEW", "FOREIGN TABLE", "FOREIGN DATA WRAPPER", "EVENT TRIGGER", "ACCESS METHOD", "USER MAPPING",
    "TEXT SEARCH CONFIGURATION", "TEXT SEARCH DICTIONARY", "TEXT SEARCH PARSER", "TEXT SEARCH TEMPLATE",
    "OPERATOR CLASS", "OPERATOR FAMILY", "DEFAULT PRIVILEGES", "LARGE OBJECT",
)  # fmt: skip
_PAIRS = (
    "REFRESH MATERIALIZED VIEW", "IMPORT FOREIGN SCHEMA", "SECURITY LABEL", "REASSIGN OWNED", "PREPARE TRANSACTION",
    "COMMIT PREPARED", "ROLLBACK PREPARED", "RELEASE SAVEPOINT", "START TRANSACTION", "SET TRANSACTION",
    "SET CONSTRAINTS", "EXPLAIN ANALYZE",
)  # fmt: skip


def _kind(node: Any) -> str:
    return type(node).__name__


def _walk(node: Any) -> Iterator[Any]:
    """Every node of a tree. No recursion: a chain of operators makes trees thousands of levels deep."""
    pending = [node]
    while pending:
        item = pending.pop()
        if isinstance(item, tuple):
            pending += item
        elif hasattr(type(item), "ancestors"):  # a slot of all nodes, and of nothing else in a tree
            yield item
            pending += (getattr(item, attribute) for attribute in item)


def read_only(statement: Any) -> bool:
    """A SELECT, VALUES or TABLE that locks and writes nothing by its shape."""
    return _kind(statement) == "SelectStmt" and not any(
        _kind(node) in _WRITES or (_kind(node) == "SelectStmt" and (node.lockingClause or node.intoClause))
        for node in _walk(statement)
    )


def returns_rows(statement: Any) -> bool:
    """Whether a result set always comes; of CALL and EXECUTE only the catalog knows."""
    kind = _kind(statement)
    if kind == "SelectStmt":
        while statement.larg is not None:  # the INTO of a UNION stands in its first arm
            statement = statement.larg
        return statement.intoClause is None
    if kind in _WRITES:
        return statement.returningClause is not None
    return kind in {"ExplainStmt", "VariableShowStmt"} or (kind == "FetchStmt" and not statement.ismove)


def accepts_parameters(statement: Any) -> bool:
    """Whether parse analysis looks for ``$n`` in it; a materialized view may not be defined by bound parameters."""
    match _kind(statement):
        case "ExplainStmt":
            return accepts_parameters(statement.query)
        case "CreateTableAsStmt":
            return statement.objtype.name == "OBJECT_TABLE" and _kind(statement.query) in _QUERIES
        case kind:
            return kind in _QUERIES | {"CallStmt", "DeclareCursorStmt"}


def misplaced(statement: Any) -> int | None:
    """The index of a ``$n`` that pglast takes and the server doesn't, of those in statements that accept parameters.

    libpg_query's grammar also reads what pg_stat_statements makes of constants: ``DATE $1``, ``EXTRACT($1 FROM x)``.
    """
    for node in _walk(statement):
        parameter: Any = None
        if _kind(node) == "TypeCast" and node.typeName.location < getattr(node.arg, "location", 0):
            parameter = node.arg
        elif _kind(node) == "FuncCall" and node.funcformat.name == "COERCE_SQL_SYNTAX" and node.args:
            parameter = node.args[0] if node.funcname[-1].sval == "extract" else None
        if _kind(parameter) == "ParamRef":
            return int(parameter.location)
    return None


def _option(options: Sequence[Any] | None, name: str, default: bool) -> bool:
    """The boolean option of that name, read as ``defGetBoolean()`` reads it."""
    for option in options or ():
        if option.defname == name:
            if _kind(option.arg) == "TypeName":  # how the grammar reads a bare word such as off
                return option.arg.names[-1].sval.lower() in {"true", "on"}
            value = getattr(option.arg, "sval", getattr(option.arg, "ival", "on"))
            return str(value).lower() in {"true", "on", "1"}
    return default


def prevented(statement: Any) -> str | None:
    """The words for a statement that can't run in a transaction block, None for the others."""
    match _kind(statement):
        case "VacuumStmt" if statement.is_vacuumcmd:
            return "VACUUM"
        case "CreatedbStmt" | "DropdbStmt" | "CreateTableSpaceStmt" | "DropTableSpaceStmt" | "AlterSystemStmt" as kind:
            return _ALWAYS_PREVENTED[kind]
        case "AlterDatabaseStmt" if any(option.defname == "tablespace" for option in statement.options or ()):
            return "ALTER DATABASE SET TABLESPACE"
        case "IndexStmt" if statement.concurrent:
            return "CREATE INDEX CONCURRENTLY"
        case "DropStmt" if statement.concurrent:
            return "DROP INDEX CONCURRENTLY"
        case "ReindexStmt":
            return _reindex(statement)
        case "ClusterStmt" if statement.relation is None:
            return "CLUSTER"
        case "DiscardStmt" if statement.target.name == "DISCARD_ALL":
            return "DISCARD ALL"
        case "TransactionStmt" if statement.kind.name in _PREPARED:
            return _PREPARED[statement.kind.name]
        case "AlterTableStmt" if any(_detaches_concurrently(command) for command in statement.cmds):
            return "ALTER TABLE ... DETACH PARTITION CONCURRENTLY"
        case "CreateSubscriptionStmt" | "AlterSubscriptionStmt" | "DropSubscriptionStmt":
            return _subscription(statement)
    return None


_ALWAYS_PREVENTED = {
    "CreatedbStmt": "CREATE DATABASE",
    "DropdbStmt": "DROP DATABASE",
    "CreateTableSpaceStmt": "CREATE TABLESPACE",
    "DropTableSpaceStmt": "DROP TABLESPACE",
    "AlterSystemStmt": "ALTER SYSTEM",
}
_PREPARED = {"TRANS_STMT_COMMIT_PREPARED": "COMMIT PREPARED", "TRANS_STMT_ROLLBACK_PREPARED": "ROLLBACK PREPARED"}


def _reindex(statement: Any) -> str | None:
    if _option(statement.params, "concurrently", False):
        return "REINDEX CONCURRENTLY"
    what = statement.kind.name.removeprefix("REINDEX_OBJECT_")
    return f"REINDEX {what}" if what in {"SCHEMA", "SYSTEM", "DATABASE"} else None


def _detaches_concurrently(command: Any) -> bool:
    return command.subtype.name == "AT_DetachPartition" and bool(command.def_.concurrent)


def _subscription(statement: Any) -> str | None:
    """Statements on the publisher's replication slots, which no ROLLBACK undoes."""
    match _kind(statement):
        case "DropSubscriptionStmt":
            return "DROP SUBSCRIPTION"
        case "CreateSubscriptionStmt":
            connects = _option(statement.options, "connect", True)
            return "CREATE SUBSCRIPTION" if _option(statement.options, "create_slot", connects) else None
    match statement.kind.name.removeprefix("ALTER_SUBSCRIPTION_"):
        case "REFRESH":
            return "ALTER SUBSCRIPTION ... REFRESH"
        case "SET_PUBLICATION" | "ADD_PUBLICATION" | "DROP_PUBLICATION":
            return "ALTER SUBSCRIPTION with refresh" if _option(statement.options, "refresh", True) else None
        case "OPTIONS":
            failover = any(option.defname == "failover" for option in statement.options)
            return "ALTER SUBSCRIPTION" if failover or not _option(statement.options, "two_phase", True) else None
    return None


@dataclass(frozen=True, slots=True)
class Piece:
    """A statement of a text that has several: its own text, and the words for it in messages.

    ``controls``: it begins or ends a transaction, or a part of one. ``top_level``: it can't run in a transaction block,
    or may be one that commits, as CALL, and DO with such a word in it. ``needs_client``: somebody has to send or to
    receive what no result holds.
    """

    text: str
    command: str
    controls: bool
    top_level: bool
    needs_client: bool


def piece(statement: Any, text: str, words: Sequence[str]) -> Piece:
    """What there is to know of a statement; ``words`` are its first ones in upper case."""
    kind = _kind(statement)
    return Piece(
        text,
        command(statement, words),
        controls=kind == "TransactionStmt" and statement.kind.name not in _PREPARED,
        top_level=kind == "CallStmt"
        or (kind == "DoStmt" and _may_commit(statement))
        or prevented(statement) is not None,
        needs_client=kind in {"ListenStmt", "UnlistenStmt"} or (kind == "CopyStmt" and statement.filename is None),
    )


def _may_commit(block: Any) -> bool:
    body = " ".join(getattr(option.arg, "sval", "") for option in block.args)
    return re.search(r"\b(COMMIT|ROLLBACK)\b", body, re.IGNORECASE) is not None


Refusal = tuple[Literal["transaction_control", "unsupported"], str, str]


def refusal(statement: Any, words: str) -> Refusal | None:
    """Kind, message and hint for a statement that no worker may run; ``words`` is its ``command()``."""
    match _kind(statement):
        case "TransactionStmt" if statement.kind.name not in _PREPARED:
            hint = "Each run is one transaction; a procedure called with transaction=False can commit in between."
            return "transaction_control", f"{words} is not allowed in the SQL of a worker", hint
        case "VariableSetStmt" if (statement.name or "").startswith("TRANSACTION"):
            hint = "Set default_transaction_isolation and the like on the role or the database."
            return "transaction_control", "SET TRANSACTION is not allowed in the SQL of a worker", hint
        case "ListenStmt" | "UnlistenStmt":
            hint = "Hand work to a worker through a queue, whose enqueue wakes it."
            return "unsupported", f"{words} is not allowed in the SQL of a worker", hint
        case "CopyStmt" if statement.filename is None:
            words = "COPY FROM STDIN" if statement.is_from else "COPY TO STDOUT"
            hint = "Name a file on the server, or a PROGRAM."
            return "unsupported", f"{words} needs a client, and a worker has none", hint
        case "DeclareCursorStmt" if statement.options & 0x0020:  # CURSOR_OPT_HOLD
            hint = "Leave out WITH HOLD, or loop over the query in a function."
            return "unsupported", "DECLARE CURSOR WITH HOLD is not allowed in the SQL of a worker", hint
    return None


def command(statement: Any, words: Sequence[str]) -> str:
    """The words for a statement in messages; ``words`` are its first words in upper case."""
    kind = _kind(statement)
    if kind in _WRITES:
        return kind.removesuffix("Stmt").upper()
    if kind == "SelectStmt":
        return "VALUES" if statement.valuesLists else "SELECT"
    return prevented(statement) or _utility(words)


def _utility(words: Sequence[str]) -> str:
    line = " ".join(words) + " "
    if words[0] not in {"CREATE", "ALTER", "DROP"}:
        return next((pair for pair in _PAIRS if line.startswith(pair + " ")), words[0])
    rest = list(words[1:])
    while rest and rest[0] in _MODIFYING_WORDS:
        del rest[0]
    line = " ".join(rest) + " "
    return f"{words[0]} {next((name for name in _OBJECTS if line.startswith(name + ' ')), rest[0])}"
