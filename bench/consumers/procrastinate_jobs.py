"""Fill a queue of procrastinate and drain it: ``procrastinate_jobs.py CONNINFO JOBS CONCURRENCY``.

A coroutine as task, and a worker with a concurrency, which is what its documentation recommends; ``wait=False`` lets
the worker end when it has caught up. See https://procrastinate.readthedocs.io.
"""

import asyncio
import json
import sys
import time

import procrastinate

done = 0


async def nothing(number: int) -> None:
    """The handler."""
    global done
    done += 1


async def main(conninfo: str, jobs: int, concurrency: int) -> None:
    """Enqueue, drain, and print how long the drain took."""
    connector = procrastinate.PsycopgConnector(conninfo=conninfo, min_size=2, max_size=min(concurrency + 2, 20))
    app = procrastinate.App(connector=connector)
    task = app.task(name="nothing")(nothing)
    async with app.open_async():
        made = await connector.execute_query_one_async("SELECT to_regclass('procrastinate_jobs') IS NOT NULL AS made")
        if not made["made"]:
            await app.schema_manager.apply_schema_async()
        await connector.execute_query_async("TRUNCATE procrastinate_jobs CASCADE")
        for start in range(0, jobs, 1000):
            rows = [{"number": number} for number in range(start, min(start + 1000, jobs))]
            await task.batch_defer_async(*rows)
        await connector.execute_query_async("ANALYZE procrastinate_jobs")
        started = time.perf_counter()
        await app.run_worker_async(wait=False, concurrency=concurrency, install_signal_handlers=False)
        seconds = time.perf_counter() - started
    print(json.dumps({"done": done, "seconds": seconds}))


asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
