"""Fill a queue of awa and drain it: ``awa_jobs.py CONNINFO JOBS WORKERS``.

Jobs come by ``enqueue_many_copy``, and a coroutine is the handler, as in its documentation. The end is that of the last
job in the handler. See https://github.com/hardbyte/awa.
"""

import asyncio
import json
import sys
import time
from dataclasses import dataclass
from urllib.parse import quote

import awa

done = 0


@dataclass
class Nothing:
    """The arguments of a job."""

    number: int


async def main(conninfo: str, jobs: int, workers: int) -> None:
    """Enqueue, drain, and print how long the drain took."""
    words = dict(word.split("=", 1) for word in conninfo.split())
    place = f"host={quote(words['host'], safe='')}&port={words['port']}"
    client = awa.AsyncClient(f"postgresql://{words['user']}@localhost/{words['dbname']}?{place}", max_connections=20)
    finished = asyncio.Event()

    async def nothing(job: object) -> None:
        global done
        done += 1
        if done == jobs:
            finished.set()

    await client.migrate()
    await client.install_queue_storage(reset=True)
    client.task(Nothing, queue="default")(nothing)
    for start in range(0, jobs, 1000):
        rows = [Nothing(number) for number in range(start, min(start + 1000, jobs))]
        await client.enqueue_many_copy(rows, queue="default")
    started = time.perf_counter()
    await client.start([("default", workers)])
    await asyncio.wait_for(finished.wait(), 100)
    seconds = time.perf_counter() - started
    await client.shutdown()
    print(json.dumps({"done": done, "seconds": seconds}))


asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
