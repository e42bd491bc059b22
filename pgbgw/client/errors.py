"""What can go wrong between a program and its queues and schedules: errors in four parts, as diagnostics are."""

from __future__ import annotations

import psycopg

__all__ = ["ClientError", "GiveUp", "Mismatch", "NotAConnection", "QueueMissing", "ScheduleMissing", "explained"]


class ClientError(Exception):
    """A queue or a schedule can't be used as it was asked for.

    ``message`` starts in lower case and has no full stop; ``detail`` says why and ``hint`` what to do, in sentences.
    ``sqlstate`` is that of the server's error where there was one (appendix "PostgreSQL Error Codes").
    """

    def __init__(
        self, message: str, *, detail: str | None = None, hint: str | None = None, sqlstate: str | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.detail = detail
        self.hint = hint
        self.sqlstate = sqlstate

    def __str__(self) -> str:
        parts = [self.message]
        if self.detail:
            parts.append(f"detail: {self.detail}")
        if self.hint:
            parts.append(f"hint: {self.hint}")
        return "\n".join(parts)


class QueueMissing(ClientError):
    """The queue, or what is wanted of it, is not in this database."""


class ScheduleMissing(ClientError):
    """The schedule, or what is wanted of it, is not in this database."""


class Mismatch(ClientError):
    """The declaration in the program and the extension in the database differ."""


class NotAConnection(ClientError, TypeError):
    """What was given has no connection of psycopg 3; the hint says what to give instead."""


class GiveUp(Exception):
    """Raised by a handler: the job is not tried again, however many attempts it has left."""


_MISSING = (
    psycopg.errors.UndefinedTable,
    psycopg.errors.UndefinedFunction,
    psycopg.errors.InvalidSchemaName,
    psycopg.errors.UndefinedColumn,
)


def explained(
    error: psycopg.Error, extension: str, what: str, missing: type[QueueMissing | ScheduleMissing] = QueueMissing
) -> Exception:
    """A better error where the server's says that something of ours is missing or not allowed; else the same one."""
    primary = error.diag.message_primary or str(error)
    if isinstance(error, _MISSING):
        told = f"{what} is not in this database as it is declared: {primary}"
        install = f"CREATE EXTENSION {extension} there, or ALTER EXTENSION {extension} UPDATE"
        if missing is not QueueMissing:
            return missing(told, hint=f"Run {install}.", sqlstate=error.sqlstate)
        if isinstance(error, psycopg.errors.InvalidSchemaName):
            return missing(told, hint=f"Run {install}; verify() tells what differs.", sqlstate=error.sqlstate)
        # A schema that is there has most likely come with the extension.
        hint = f"The declaration and what is installed differ, and verify() tells in what; or run {install}."
        if isinstance(error, psycopg.errors.UndefinedColumn):
            return Mismatch(f"{what} is not installed as it is declared: {primary}", hint=hint, sqlstate=error.sqlstate)
        return missing(told, hint=hint, sqlstate=error.sqlstate)
    if isinstance(error, psycopg.errors.InsufficientPrivilege):
        return ClientError(
            f"{what} is not for this role: {primary}",
            hint="The declaration names roles in producers=, consumers= and operators=; GRANT EXECUTE does the same.",
            sqlstate=error.sqlstate,
        )
    return error
