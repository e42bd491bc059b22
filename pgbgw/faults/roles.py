"""Roles with few rights, and what is refused to them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import psycopg

from pgbgw.faults.probe import SCHEMA
from pgbgw.faults.stage import Stage, require

__all__ = ["refused", "role"]


@contextlib.contextmanager
def role(stage: Stage, *grants: str) -> Iterator[str]:
    """A role that may log in, use the extension's schema, and what is granted; gone after the block."""
    name = f"{SCHEMA}_role"
    try:
        stage.rows(f"CREATE ROLE {name} LOGIN; GRANT USAGE ON SCHEMA {stage.module.schema_sql} TO {name}")
        for grant in grants:
            stage.rows(f"GRANT {grant} TO {name}")
        yield name
    finally:
        stage.rows(f"DROP OWNED BY {name}; DROP ROLE {name}")


def refused(stage: Stage, name: str, statements: Sequence[str], what: str = "") -> int:
    """Require that each statement is refused to a role for want of a right; how many they were.

    ``what`` must stand in the message, so that one right that is missing does not hide another that is not.
    """
    with stage.connect(user=name) as connection:
        for statement in statements:
            try:
                connection.execute(statement.encode())
            except psycopg.errors.InsufficientPrivilege as error:
                require(what in str(error), f"{statement} was refused, but for another reason: {error}")
                continue
            except psycopg.Error as error:
                require(False, f"{statement} was not refused: it fails with {error}")
            require(False, f"a role without the right to it was let through: {statement}")
    return len(statements)
