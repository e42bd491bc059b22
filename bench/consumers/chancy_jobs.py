"""Fill a queue of Chancy and drain it: ``chancy_jobs.py CONNINFO JOBS CONCURRENCY``.

A coroutine as job on the executor for asyncio, which its documentation recommends for many small jobs, with eager
polling, so that the next jobs are fetched as soon as one is done. The end is that of the last job in the handler. See
https://tkte.ch/chancy/.
"""

import asyncio
import json
import logging
import sys
import time
from typing import Any

from chancy import Chancy, Queue, Worker, job

wanted = int(sys.argv[2])
done = 0
finished = asyncio.Event()


async def nothing(number: int) -> None:
    """The handler."""
    global done
    done += 1
    if done == wanted:
        finished.set()


# The worker finds the function by its name in the module, which it keeps.
task: Any = job()(nothing)


async def main(conninfo: str, jobs: int, concurrency: int) -> None:
    """Enqueue, drain, and print how long the drain took."""
    async with Chancy(conninfo, log=logging.getLogger("quiet")) as chancy:
        await chancy.migrate()
        async with chancy.pool.connection() as connection:
            await connection.execute("TRUNCATE chancy_jobs")
        rows = [task.job.with_kwargs(number=number) for number in range(jobs)]
        async for _ in chancy.push_many(rows):
            pass
        queue = Queue("default", concurrency=concurrency, executor=Chancy.Executor.Async,
                      polling_interval=1, eager_polling=True)  # fmt: skip
        await chancy.declare(queue, upsert=True)
        started = time.perf_counter()
        async with Worker(chancy, register_signal_handlers=False):
            await asyncio.wait_for(finished.wait(), 100)
            seconds = time.perf_counter() - started
    print(json.dumps({"done": done, "seconds": seconds}))


asyncio.run(main(sys.argv[1], wanted, int(sys.argv[3])))
