"""parse: the loop of a consumer that reads the JSON of each job; CPU time, with the rows of a claim in memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from psycopg.types.json import set_json_loads

from bench.apart import Setting, Step, standing, wanted
from bench.clients import (
    QUEUE,
    Goal,
    compared,
    connected,
    described,
    fill,
    judged,
    measured,
    note_samples,
    places,
)
from bench.ground import ground
from bench.outcome import Outcome
from bench.plan import Plan
from bench.registry import Benchmark

__all__ = ["BENCHMARK", "SUBJECTS"]

ROWS = 1000
JSON, ORJSON = "psycopg, json", "psycopg, orjson"
OURS, RAW, TYPED = "pgbgw, payload", "pgbgw, raw and orjson", "pgbgw, raw and msgspec"

# Of the same parser on both sides.
GOALS = (Goal(ORJSON, RAW, 2.8),)

_QUERY = f"""SELECT id, payload, priority, 1 AS attempt, created_at, created_at AS lease_end, id AS token, 'w' AS who
FROM {QUEUE}.parsed"""

_NOTE = (
    f"CPU ns a job; {ROWS} rows of a claim with about 100 bytes of jsonb, as libpq has them. The loop looks at id,"
    " attempt and payload of each. psycopg parses while it fetches, by the module json or by orjson; our jobs make the"
    " payload when it is looked at, an object of its class that the job keeps. The last two take the payload as bytes"
    " and parse in the loop: into objects by orjson, and into a msgspec.Struct of three fields; nothing is kept."
)


def seen(id_: int, attempt: int, payload: object) -> None:
    """What the loop does with a job."""


def _psycopg(loads: str) -> Callable[[Setting], Step]:
    def make(setting: Setting) -> Step:
        connection = connected(setting["conninfo"], raw=False)
        set_json_loads(wanted(loads).loads, connection)
        cursor = connection.cursor(binary=True)
        cursor.execute(setting["query"].encode())

        def step(asked: Setting) -> int:
            for _ in range(asked["times"]):
                cursor.scroll(0, "absolute")
                for id_, payload, _priority, attempt, *_ in cursor.fetchall():
                    seen(id_, attempt, payload)
            return int(asked["times"] * ROWS)

        return step

    return make


def _ours(read: str) -> Callable[[Setting], Step]:
    def make(setting: Setting) -> Step:
        declared: Any = wanted("bench.declarations.client")
        client = wanted("pgbgw.client.jobs")
        handle = wanted("pgbgw.client").handle_of(declared.parsed)
        connection = connected(setting["conninfo"])
        cursor = connection.cursor(binary=True)
        cursor.execute(setting["query"].encode())
        look = _LOOKS[read]()

        def step(asked: Setting) -> int:
            for _ in range(asked["times"]):
                look(client.jobs_of(handle, cursor.pgresult))
            return int(asked["times"] * ROWS)

        return step

    return make


def _by_payload() -> Callable[[Any], None]:
    def look(jobs: Any) -> None:
        for job in jobs:
            seen(job.id, job.attempt, job.payload.payload)

    return look


def _by_orjson() -> Callable[[Any], None]:
    return _by(wanted("orjson").loads)


def _by_msgspec() -> Callable[[Any], None]:
    msgspec = wanted("msgspec")
    three = msgspec.defstruct("Three", [("user", int), ("mail", str), ("act", str)], gc=False)
    return _by(msgspec.json.Decoder(three).decode)


def _by(loads: Callable[[Any], Any]) -> Callable[[Any], None]:
    def look(jobs: Any) -> None:
        for job in jobs:
            seen(job.id, job.attempt, loads(job.raw("payload")))

    return look


_LOOKS = {OURS: _by_payload, RAW: _by_orjson, TYPED: _by_msgspec}

SUBJECTS = {
    JSON: _psycopg("json"),
    ORJSON: _psycopg("orjson"),
    OURS: _ours(OURS),
    RAW: _ours(RAW),
    TYPED: _ours(TYPED),
}


def run(plan: Plan) -> Outcome:
    """Measure all subjects in turn; the server is there to make the rows."""
    outcome = Outcome("parse", notes=[_NOTE])
    times = plan.pick(5, 200)
    missing: dict[str, str] = {}
    with ground("client") as server:
        outcome.server = described(server)
        fill(server, "parsed", ROWS)
        setting = {**places(server), "query": _QUERY}
        with standing("parse", SUBJECTS, setting, missing) as ready:
            plan.tell("parse")
            found = measured(plan, ready, lambda subject: subject.take(times=times))
    outcome.tables.append(compared(f"parse: {ROWS} jobs", "row", found, OURS, missing, timed=False))
    outcome.ratios = judged("jobs of jsonb", found, GOALS)
    note_samples(outcome, "jsonb", found)
    return outcome


BENCHMARK = Benchmark("parse", "the CPU time of a consumer's loop that reads the JSON of its jobs", run)
