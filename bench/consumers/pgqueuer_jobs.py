"""Fill a queue of PgQueuer and drain it: ``pgqueuer_jobs.py CONNINFO JOBS BATCH``.

The driver for asyncpg, which its documentation begins with, and a batch size; the mode ``drain`` lets the worker end
when the queue is empty. See https://github.com/janbjorge/pgqueuer.
"""

import asyncio
import json
import sys
import time

import asyncpg
from pgqueuer import PgQueuer
from pgqueuer.db import AsyncpgDriver
from pgqueuer.queries import Queries
from pgqueuer.types import QueueExecutionMode

done = 0


async def nothing(job: object) -> None:
    """The handler."""
    global done
    done += 1


async def main(conninfo: str, jobs: int, batch: int) -> None:
    """Enqueue, drain, and print how long the drain took."""
    words = dict(word.split("=", 1) for word in conninfo.split())
    connection = await asyncpg.connect(
        host=words["host"], port=int(words["port"]), user=words["user"], database=words["dbname"]
    )
    queries = Queries(AsyncpgDriver(connection))
    if not await connection.fetchval("SELECT to_regclass('pgqueuer') IS NOT NULL"):
        await queries.install()
    await connection.execute("TRUNCATE pgqueuer, pgqueuer_log")
    for start in range(0, jobs, 1000):
        count = min(1000, jobs - start)
        await queries.enqueue(["nothing"] * count, [b"1"] * count, [0] * count)
    await connection.execute("ANALYZE pgqueuer")
    worker = PgQueuer(AsyncpgDriver(connection))
    worker.entrypoint("nothing")(nothing)
    started = time.perf_counter()
    await worker.run(batch_size=batch, mode=QueueExecutionMode.drain)
    print(json.dumps({"done": done, "seconds": time.perf_counter() - started}))


asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
