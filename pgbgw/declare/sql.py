"""What a worker runs: one SQL statement, or one function called directly."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

from pgbgw.declare.places import shown
from pgbgw.diagnostics import Diagnostic, report
from pgbgw.literals import locate
from pgbgw.origin import Origin
from pgbgw.sqltext import ParsedSql, SqlError, SqlType, parse, parse_function_name, parse_type

__all__ = ["Call", "Run", "Sql", "call", "parsed_type", "sql"]


@dataclass(frozen=True, slots=True)
class Sql:
    """One statement with ``:name`` parameters; ``error`` is set where it does not parse, for its worker to report."""

    text: str
    origin: Origin
    parsed: ParsedSql | None
    error: SqlError | None = field(default=None, repr=False)

    def __str__(self) -> str:
        return f"sql({self.text!r})"

    def at(self, offset: int, length: int = 1) -> Origin:
        """Where ``length`` characters from ``offset`` of the statement stand in the source file."""
        return locate(self.origin, 0, offset, length)


@dataclass(frozen=True, slots=True)
class Call:
    """A function called by its address in the server, with columns or arguments by name, in order."""

    function: tuple[str, ...]
    arguments: tuple[str, ...]
    origin: Origin
    batch: bool = False

    def __str__(self) -> str:
        given = [*map(repr, (".".join(self.function), *self.arguments)), *(["batch=True"] if self.batch else [])]
        return f"call({', '.join(given)})"


Run: TypeAlias = Sql | Call


def sql(text: str) -> Sql:
    """One SQL statement, parsed now; ``:name`` stands for a column of the queue, an argument, or a setting.

    What is wrong with it is reported by the worker that runs it (BGW201 to BGW208), at the very character.
    """
    origin = Origin.of_caller()
    try:
        return Sql(text, origin, parse(_text(text, "SQL")))
    except SqlError as error:
        return Sql(str(text), origin, None, error)


def call(function: str, *arguments: str, batch: bool = False) -> Call:
    """A function, best written with its schema, called without a statement around it.

    It is looked up by name and the exact types of its arguments, EXECUTE permission is checked at the start of each
    batch, and its result is ignored. With ``batch=True`` a queue worker calls it once for all jobs of a batch, and each
    column of the queue is an array with one element a job. Reports BGW210 for a name that is none.
    """
    origin = Origin.of_caller()
    try:
        name = parse_function_name(_text(function, "function name"))
    except SqlError as error:
        report(Diagnostic("BGW210", f"name of the function to call can't be read: {error}",
                          locate(origin, 0, error.offset),
                          hint=error.hint or 'Write it as "schema.function".'))  # fmt: skip
        name = ("invalid",)
    return Call(name, tuple(str(argument) for argument in arguments), origin, bool(batch))


def parsed_type(owner: str, text: object, origin: Origin, meant: str | None = None) -> SqlType:
    """The SQL type of ``owner``, an argument or a payload field; reports BGW211 and falls back to text.

    ``meant`` is the type to suggest where ``text`` is none.
    """
    try:
        return parse_type(_text(text, "type"))
    except SqlError as error:
        report(Diagnostic("BGW211", f"type of {owner} can't be read: {error}", origin,
                          detail=f"It is written {shown(text)}.",
                          hint=f'Write "{meant}".' if meant else error.hint or
                          'Write it as in SQL, such as "integer" or "numeric(10,2)".'))  # fmt: skip
        return parse_type("text")


def _text(value: object, what: str) -> str:
    if isinstance(value, str):
        return value
    raise SqlError(f"{what} is not a string: {shown(value)}", hint="Give a string.")
