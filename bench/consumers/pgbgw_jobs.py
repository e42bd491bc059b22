"""Fill our queue and consume it: ``pgbgw_jobs.py CONNINFO JOBS KIND``, where KIND is "plain" or "coroutine".

One process with one handler at a time, as the documentation has it.
"""

import json
import sys
import time

import psycopg

from bench.declarations.leases import Job, queue


def nothing(payload: object) -> None:
    """The handler."""


async def nothing_later(payload: object) -> None:
    """The same as a coroutine function."""


def main(conninfo: str, jobs: int, kind: str) -> None:
    """Enqueue, consume, and print how long that took."""
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute(
            f"TRUNCATE {', '.join(f'bench_leases.job{end}' for end in ('', '_running', '_later'))}".encode()
        )
        queue.enqueue_many(connection, (Job(payload={"n": n}) for n in range(jobs)))
        connection.execute("ANALYZE bench_leases.job")
    started = time.perf_counter()
    consumed = queue.consume(conninfo, nothing if kind == "plain" else nothing_later, until_empty=True)
    print(json.dumps({"done": consumed.done, "seconds": time.perf_counter() - started}))


main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
