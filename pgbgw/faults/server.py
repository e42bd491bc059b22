"""A running cluster, and short ways to ask it things."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence
from typing import Any

import psycopg

from pgbgw.faults.waiting import eventually
from pgbgw.server.cluster import Cluster
from pgbgw.sqltext import quote_literal

__all__ = ["Server"]

# Whoever holds a lock for ever must not hold up the suite as well.
_OPTIONS = "-c lock_timeout=20s"


class Server:
    """A cluster and the database that is asked unless another one is named."""

    def __init__(self, cluster: Cluster, database: str = "postgres") -> None:
        self.cluster = cluster
        self.database = database
        self._options = _OPTIONS

    def connect(self, dbname: str | None = None, **options: Any) -> psycopg.Connection[tuple[Any, ...]]:
        """A session in autocommit."""
        options = {"options": self._options, **options}
        return psycopg.connect(self.cluster.conninfo(dbname or self.database), autocommit=True, **options)

    @contextlib.contextmanager
    def sessions(self, **settings: str) -> Iterator[None]:
        """Settings of each session that connects while the block lasts, whatever system, database and role have."""
        words = (f"{name}={value}".replace("\\", "\\\\").replace(" ", "\\ ") for name, value in settings.items())
        before, self._options = self._options, " ".join([_OPTIONS, *(f"-c {word}" for word in words)])
        try:
            yield
        finally:
            self._options = before

    def rows(self, sql: str, parameters: Sequence[Any] = (), dbname: str | None = None) -> list[tuple[Any, ...]]:
        """What a statement returns, in a session of its own."""
        with self.connect(dbname) as connection:
            cursor = connection.execute(sql.encode(), parameters or None)
            # a row without columns is a row: SELECT FROM ... WHERE ... asks whether there is one
            asked = cursor.pgresult is not None and cursor.pgresult.status == psycopg.pq.ExecStatus.TUPLES_OK
            return cursor.fetchall() if asked else []

    def value(self, sql: str, parameters: Sequence[Any] = (), dbname: str | None = None) -> Any:
        """The first column of the first row."""
        return self.rows(sql, parameters, dbname)[0][0]

    def pid(self, backend_type: str) -> int | None:
        """The pid of a worker that is connected, by what pg_stat_activity calls it."""
        found = self.rows("SELECT pid FROM pg_stat_activity WHERE backend_type = %s", [backend_type])
        return found[0][0] if found else None

    def log(self, pattern: str, since: int = 0) -> list[str]:
        """Lines of the server log that match."""
        return [line for line in self.cluster.log_lines(since).lines if re.search(pattern, line)]

    def told(self, pattern: str, since: int, within: float = 10.0) -> list[str]:
        """Wait until the server log has lines that match; those lines."""
        return eventually(lambda: self.log(pattern, since), within, f"a line of the server log with {pattern!r}")

    def mark(self) -> int:
        """Where the log ends now."""
        return self.cluster.log_lines().offset

    def set(self, **settings: str) -> None:
        """ALTER SYSTEM and reload; a double underscore stands for the dot."""
        with self.connect() as connection:
            for name, value in settings.items():
                connection.execute(f"ALTER SYSTEM SET {name.replace('__', '.')} = {quote_literal(value)}".encode())
            connection.execute("SELECT pg_reload_conf()")

    def reset(self) -> None:
        """Undo every set()."""
        with self.connect() as connection:
            connection.execute("ALTER SYSTEM RESET ALL")
            connection.execute("SELECT pg_reload_conf()")

    def crash_recovered(self, since: int) -> bool:
        """Whether the server has come back from a crash after a point of its log."""
        if not self.log("all server processes terminated; reinitializing", since):
            return False
        try:
            return self.value("SELECT NOT pg_is_in_recovery()") is True
        except psycopg.OperationalError:
            return False

    def wait_for_crash_recovery(self, since: int) -> None:
        """Wait until the server is back."""
        eventually(lambda: self.crash_recovered(since), within=30, what="crash recovery")
