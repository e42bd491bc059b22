"""Random schedules of sessions that claim jobs and answer for them, against a model of what each may be told.

Some leases are so short that they end on the way, some transactions stay open over what others do, some are undone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from pgbgw.build.pgconfig import Pg
from pgbgw.faults.waiting import eventually
from tests.server.running import Server, module_of, serving

FOLDER = Path(__file__).parent / "declarations"
SESSIONS = 3
ATTEMPTS = 3

sessions = st.integers(0, SESSIONS - 1)
# which jobs are meant is drawn without Hypothesis, whose draws must not depend on what a server has done
seeds = st.integers(0, 2**32 - 1)


@pytest.fixture(scope="module")
def server(pg: Pg) -> Iterator[Server]:
    with serving(pg, module_of(FOLDER / "leases.py"), (FOLDER / "leases.sql").read_text()) as running:
        yield running


@dataclass
class Known:
    """What is known of a job: "free", "waiting" for its next attempt, "held", or what became of it."""

    state: str = "free"
    attempts: int = 0
    token: int = 0
    mortal: bool = False
    # the session in whose open transaction something was done to it
    locked: int | None = None

    def failed(self) -> None:
        self.state = "failed" if self.attempts == ATTEMPTS else "waiting"
        self.mortal = False


class Leases(RuleBasedStateMachine):
    """Sessions and their model."""

    server: Server

    @initialize()
    def begin(self) -> None:
        self.server.rows("SELECT lend.mail_resume()")
        for table in ("mail", "mail_later", "mail_failed", "mail_running", "mail_done", "mail_keys"):
            self.server.rows(f"DELETE FROM lend.{table}")
        self.connections = [self.server.connect() for _ in range(SESSIONS)]
        self.undo: list[list[Callable[[], None]] | None] = [None] * SESSIONS
        self.jobs: dict[int, Known] = {}
        self.seen: list[tuple[int, int]] = []
        self.paused = False
        self.enqueue(0, 6, 5)

    # how a session does something

    def run(self, session: int, statement: str, *parameters: object) -> list[Any]:
        return self.connections[session].execute(statement.encode(), parameters).fetchall()

    def touch(self, session: int, job: int) -> Known:
        """The job, which is the session's alone until its transaction ends, and then as it was if that is undone."""
        known = self.jobs[job]
        undo = self.undo[session]
        if undo is not None:
            before = replace(known)
            undo.append(lambda: self.jobs.__setitem__(job, before))
            known.locked = session
        return known

    def mine(self, session: int) -> list[int]:
        """Jobs that the session need not wait for."""
        return [job for job, known in self.jobs.items() if known.locked in (None, session)]

    @rule(session=sessions)
    def open(self, session: int) -> None:
        if self.undo[session] is None:
            self.connections[session].execute("BEGIN")
            self.undo[session] = []

    @rule(session=sessions, commit=st.booleans())
    def close(self, session: int, commit: bool) -> None:
        undo = self.undo[session]
        if undo is None:
            return
        self.connections[session].execute(b"COMMIT" if commit else b"ROLLBACK")
        self.undo[session] = None
        for each in [] if commit else reversed(undo):
            each()
        for known in self.jobs.values():
            if known.locked == session:
                known.locked = None

    @rule(session=sessions, count=st.integers(1, 6), priority=st.integers(0, 9))
    def more(self, session: int, count: int, priority: int) -> None:
        self.enqueue(session, count, priority)

    def enqueue(self, session: int, count: int, priority: int) -> None:
        rows = self.run(
            session, "INSERT INTO lend.mail (note, priority) SELECT 'n', %s FROM generate_series(1, %s) RETURNING id",
            priority, count,
        )  # fmt: skip
        for (job,) in rows:
            # undone, it was never there
            self.jobs[job] = Known("gone")
            self.touch(session, job).state = "free"

    @rule(session=sessions, most=st.sampled_from([1, 2, 5, 100]), short=st.booleans())
    def claim(self, session: int, most: int, short: bool) -> None:
        lease = "20 milliseconds" if short else "1 hour"
        rows = self.run(session, "SELECT id, token, attempt FROM lend.mail_claim(%s, %s::interval)", most, lease)
        assert len(rows) <= most
        assert not (rows and self.paused)
        for job, token, attempt in rows:
            known = self.jobs[job]
            assert known.locked in (None, session), f"job {job} is in another's open transaction"
            assert known.state in ("free", "waiting") or (known.state == "held" and known.mortal), f"{job}: {known}"
            assert attempt == known.attempts + 1
            assert token > known.token
            assert attempt <= ATTEMPTS
            known = self.touch(session, job)
            known.state, known.attempts, known.token, known.mortal = "held", attempt, token, short
            self.seen.append((job, token))

    def answer(self, session: int, seed: int, statement: str, accepted: Callable[[Known], None], *rest: object) -> None:
        """Answer for some leases of the past and the present, whoever had them."""
        free, lately = set(self.mine(session)), self.seen[-10:]
        named = {job: token for job, token in Random(seed).sample(lately, min(len(lately), 4)) if job in free}
        places = "".join(f", {each}" for each in rest)
        ((refused,),) = self.run(
            session, f"SELECT lend.mail_{statement}(%s::bigint[], %s::bigint[]{places})",
            list(named), list(named.values()),
        )  # fmt: skip
        for job, token in named.items():
            known = self.jobs[job]
            current = known.state == "held" and known.token == token
            if job not in refused:
                assert current, f"job {job} with token {token} is {known}"
                accepted(self.touch(session, job))
            elif current:
                assert known.mortal, f"job {job} is refused with its own token"
                # by the keeper, in a transaction of its own
                known.failed()

    @rule(session=sessions, seed=seeds)
    def acknowledge(self, session: int, seed: int) -> None:
        def done(known: Known) -> None:
            known.state = "done"

        self.answer(session, seed, "acknowledge", done)

    @rule(session=sessions, seed=seeds, again=st.booleans())
    def fail(self, session: int, seed: int, again: bool) -> None:
        def failed(known: Known) -> None:
            known.failed()
            if not again:
                known.state = "failed"

        self.answer(session, seed, "fail", failed, "NULL", "NULL", "NULL", str(again))

    @rule(session=sessions, seed=seeds)
    def release(self, session: int, seed: int) -> None:
        def released(known: Known) -> None:
            known.state, known.mortal = "free", False
            known.attempts -= 1

        self.answer(session, seed, "release", released)

    @rule(session=sessions, seed=seeds, short=st.booleans())
    def extend(self, session: int, seed: int, short: bool) -> None:
        def extended(known: Known) -> None:
            known.mortal = short

        self.answer(session, seed, "extend", extended, "'20 milliseconds'" if short else "'1 hour'")

    @rule(session=sessions, seed=seeds)
    def cancel(self, session: int, seed: int) -> None:
        free = self.mine(session)
        if not free:
            return
        job = Random(seed).choice(free)
        ((cancelled,),) = self.run(session, "SELECT lend.mail_cancel(%s)", job)
        known = self.jobs[job]
        if cancelled:
            assert known.state in ("free", "waiting", "held"), f"job {job} is {known}"
            self.touch(session, job).state = "gone"
        elif known.state == "held" and known.mortal:
            # the keeper is about it, or has given it up
            pass
        else:
            assert known.state in ("done", "failed", "gone"), f"job {job} is {known}"

    @rule(session=sessions)
    def retry(self, session: int) -> None:
        wanted = [job for job in self.mine(session) if self.jobs[job].state == "failed"]
        if wanted:
            ((count,),) = self.run(session, "SELECT lend.mail_retry(%s)", wanted)
            assert count == len(wanted)
            for job in wanted:
                known = self.touch(session, job)
                known.state, known.attempts = "waiting", 0

    @rule(pause=st.integers(0, 4).map(lambda number: number == 0))
    def pause(self, pause: bool) -> None:
        self.server.rows(f"SELECT lend.mail_{'pause' if pause else 'resume'}()")
        self.paused = pause

    @rule()
    def let_leases_end(self) -> None:
        """Short ones that nobody has touched in a transaction that is open."""
        mortal = [job for job, known in self.jobs.items()
                  if known.state == "held" and known.mortal and known.locked is None]  # fmt: skip
        if mortal:
            self.ended(mortal)
            for job in mortal:
                self.jobs[job].failed()

    def ended(self, jobs: Sequence[int]) -> None:
        left = "SELECT EXISTS (SELECT FROM lend.mail_running WHERE id = ANY (%s))"
        eventually(lambda: not self.server.value(left, [list(jobs)]), 20, "the end of short leases")

    def teardown(self) -> None:
        if not hasattr(self, "jobs"):
            return
        for session in range(SESSIONS):
            self.close(session, True)
        self.pause(False)
        self.let_leases_end()
        held = {job: known.token for job, known in self.jobs.items() if known.state == "held"}
        self.acknowledge_all(0, held)
        # all that is left can be had, however the schedule has touched it
        wanted = {job for job, known in self.jobs.items() if known.state in ("free", "waiting")}
        while wanted:
            claimed = eventually(
                lambda: self.run(0, "SELECT id, token FROM lend.mail_claim(1000)"), 20, f"jobs {wanted}"
            )
            assert {job for job, _ in claimed} <= wanted
            self.acknowledge_all(0, dict(claimed))
            wanted -= {job for job, _ in claimed}
        for connection in self.connections:
            connection.close()
        self.account()

    def acknowledge_all(self, session: int, held: dict[int, int]) -> None:
        statement = "SELECT lend.mail_acknowledge(%s::bigint[], %s::bigint[])"
        assert self.run(session, statement, list(held), list(held.values())) == [([],)]
        for job in held:
            self.jobs[job].state = "done"

    def account(self) -> None:
        """Each job is in the one table where it belongs, once."""
        expected = Counter((job, known.state) for job, known in self.jobs.items() if known.state != "gone")
        assert Counter(self.server.rows("SELECT id, status FROM lend.mail_jobs")) == expected


@pytest.mark.timeout(3000)
def test_sessions_are_told_the_truth(server: Server) -> None:
    thorough = settings().max_examples > settings.get_profile("default").max_examples
    machine = type("Leases", (Leases,), {"server": server})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=300 if thorough else 30,
            stateful_step_count=50,
            deadline=None,
            # a schedule that fails once may pass next time: there is nothing to shrink by
            phases=[Phase.explicit, Phase.reuse, Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )
    assert server.value("SELECT direct_claims > 0 AND portable_claims = 0 FROM lend.workers() WHERE worker = 'keeper'")
