"""Random schedules of producers against both ways to claim: whatever they do, the same jobs are done, each once.

The portable way is the oracle: it looks at the whole table each time, and so has nothing to forget.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from pgbgw.build.pgconfig import Pg
from pgbgw.faults.waiting import eventually
from tests.server.running import Server, module_of, serving

FOLDER = Path(__file__).parent / "declarations"
QUEUES = ("direct", "portable")
SESSIONS = 3

SETUP = """
CREATE TABLE public.noted (queue text, job bigint, note text);
CREATE FUNCTION public.note(id bigint, note text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF note.note LIKE '%fail' THEN
        RAISE EXCEPTION 'told to fail';
    END IF;
    INSERT INTO public.noted (queue, job, note)
        VALUES ((SELECT backend_type FROM pg_catalog.pg_stat_activity WHERE pid = pg_catalog.pg_backend_pid()),
            note.id, note.note);
END
$$;
CREATE FUNCTION public.nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN OLD; END';
"""

priorities = st.integers(0, 9)
sessions = st.integers(0, SESSIONS - 1)


@pytest.fixture(scope="module")
def server(pg: Pg) -> Iterator[Server]:
    with serving(pg, module_of(FOLDER / "ways.py"), SETUP, settings={"max_prepared_transactions": "20"}) as running:
        running.rows(
            "CREATE TRIGGER held BEFORE DELETE ON ways.portable FOR EACH ROW EXECUTE FUNCTION public.nothing()"
        )
        yield running


class Schedule(RuleBasedStateMachine):
    """Sessions that do to one queue what they do to the other, and may leave their transactions open."""

    server: Server

    @initialize()
    def begin(self) -> None:
        self.server.rows("TRUNCATE noted")
        self.sessions = [self.server.connect() for _ in range(SESSIONS)]
        self.number = 0
        self.hidden = 0
        self.transactions = 0
        self.prepared: list[str] = []

    def both(self, session: int, statement: str, *parameters: object) -> None:
        """A statement on each queue, in the session's transaction if it has one open."""
        for queue in QUEUES:
            self.sessions[session].execute(statement.format(q=f"ways.{queue}").encode(), parameters)

    def names(self, count: int, suffix: str = "") -> list[str]:
        self.number += count
        return [f"{n}{suffix}" for n in range(self.number - count, self.number)]

    @rule(session=sessions)
    def open(self, session: int) -> None:
        if self.sessions[session].info.transaction_status == psycopg.pq.TransactionStatus.IDLE:
            self.sessions[session].execute("BEGIN")

    @rule(session=sessions, ending=st.sampled_from(["COMMIT", "COMMIT", "ROLLBACK"]))
    def close(self, session: int, ending: str) -> None:
        if self.sessions[session].info.transaction_status != psycopg.pq.TransactionStatus.IDLE:
            self.sessions[session].execute(ending.encode())

    @rule(session=sessions, count=st.integers(1, 20), priority=priorities, fails=st.booleans())
    def enqueue(self, session: int, count: int, priority: int, fails: bool) -> None:
        names = self.names(count, "fail" if fails and count < 3 else "")
        self.both(session, "INSERT INTO {q} (note, priority) SELECT unnest(%s::text[]), %s", names, priority)

    @rule(session=sessions, priority=priorities, milliseconds=st.sampled_from([-1000, 0, 30]))
    def enqueue_at(self, session: int, priority: int, milliseconds: int) -> None:
        (name,) = self.names(1)
        self.both(
            session, "SELECT {q}_enqueue_at(clock_timestamp() + %s * interval '1 ms', %s, %s::smallint)",
            milliseconds, name, priority,
        )  # fmt: skip

    @rule(session=sessions, priority=priorities)
    def choose_an_id(self, session: int, priority: int) -> None:
        (name,) = self.names(1)
        self.hidden += 1
        self.both(
            session, "INSERT INTO {q} (id, note, priority) OVERRIDING SYSTEM VALUE VALUES (%s, %s, %s)",
            -self.hidden, name, priority,
        )  # fmt: skip

    @rule(session=sessions, count=st.integers(1, 5))
    def undo_to_a_savepoint(self, session: int, count: int) -> None:
        connection = self.sessions[session]
        if connection.info.transaction_status != psycopg.pq.TransactionStatus.IDLE:
            connection.execute("SAVEPOINT s")
            self.both(session, "INSERT INTO {q} (note) SELECT unnest(%s::text[])", self.names(count))
            connection.execute("ROLLBACK TO s")

    @precondition(lambda self: len(self.prepared) < 5)
    @rule(session=sessions)
    def prepare(self, session: int) -> None:
        if self.sessions[session].info.transaction_status != psycopg.pq.TransactionStatus.IDLE:
            self.transactions += 1
            self.prepared.append(f"ways_{self.transactions}")
            self.sessions[session].execute(f"PREPARE TRANSACTION '{self.prepared[-1]}'".encode())

    @precondition(lambda self: self.prepared)
    @rule(ending=st.sampled_from(["COMMIT", "ROLLBACK"]))
    def end_prepared(self, ending: str) -> None:
        self.server.rows(f"{ending} PREPARED '{self.prepared.pop(0)}'")

    @rule(seconds=st.sampled_from([0, 0.002, 0.02]))
    def let_them_work(self, seconds: float) -> None:
        """A moment in the middle, so that marks pass what is not committed yet."""
        self.server.rows("SELECT pg_sleep(%s)", [seconds])

    def teardown(self) -> None:
        for connection in self.sessions:
            connection.execute("ROLLBACK") if self._open(connection) else None
            connection.close()
        for name in self.prepared:
            self.server.rows(f"COMMIT PREPARED '{name}'")
        left = " UNION ALL ".join(
            f"SELECT FROM ways.{queue}{part}" for queue in QUEUES for part in ("", "_later")
        )  # fmt: skip
        eventually(lambda: not self.server.value(f"SELECT EXISTS ({left})"), 20, "queues without jobs")
        found: list[Any] = []
        for queue in QUEUES:
            done = self.server.rows("SELECT note FROM noted WHERE queue = %s ORDER BY note", [f"ways take_{queue}"])
            failed = self.server.rows(f"DELETE FROM ways.{queue}_failed RETURNING note")
            assert len(done) == len(set(done))
            found.append((done, sorted(failed)))
        assert found[0] == found[1]

    @staticmethod
    def _open(connection: psycopg.Connection[Any]) -> bool:
        return connection.info.transaction_status != psycopg.pq.TransactionStatus.IDLE


@pytest.mark.timeout(3000)
def test_both_ways_come_to_the_same(server: Server) -> None:
    thorough = settings().max_examples > settings.get_profile("default").max_examples
    machine = type("Schedule", (Schedule,), {"server": server})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=300 if thorough else 20,
            stateful_step_count=30,
            deadline=None,
            # a schedule that fails once may pass next time: there is nothing to shrink by
            phases=[Phase.explicit, Phase.reuse, Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )
    shown = server.rows("SELECT worker, claims, direct_claims, portable_claims FROM ways.workers() WHERE process = 1")
    ways = {worker: (claims, direct, portable) for worker, claims, direct, portable in shown}
    assert ways["take_direct"][0] == "direct"
    assert ways["take_direct"][2] == 0
    assert "trigger" in ways["take_portable"][0]
