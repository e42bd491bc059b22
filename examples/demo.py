"""Gives the worker of my_worker.py 100 000 jobs and watches them being done.

Run it where ``pgbgw run examples/my_worker.py --detach`` was run; ``make run`` does both.
"""

import os
import shutil
import sys
import time
from pathlib import Path

import psycopg
from psycopg.types.json import Jsonb
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from pgbgw.client import copy_rows
from pgbgw.server import open_project

JOBS = 100_000
TRANSACTIONS = 10
TASK = 42

LOOK_SECONDS = 0.1
LINE_SECONDS = 1.0
# Nothing was done for so long: something is wrong.
PATIENCE_SECONDS = 60.0


def main() -> None:
    cluster = open_project(Path.cwd())
    if cluster is None or cluster.status().state != "running":
        sys.exit("no cluster runs here: pgbgw run examples/my_worker.py --detach")
    with psycopg.connect(cluster.conninfo(), autocommit=True) as connection:
        before = processed(connection)
        started = time.monotonic()
        enqueue(connection)
        print(f"enqueued {JOBS:,} jobs in {TRANSACTIONS} transactions, {time.monotonic() - started:.1f} s")
        follow(connection, before)
        seconds = time.monotonic() - started
        print(f"done in {seconds:.1f} s from the first enqueue: {JOBS / seconds:,.0f} jobs a second")
        show_status(connection)
        launch(connection)
    command = "pgbgw" if shutil.which("pgbgw") else os.path.relpath(Path(sys.executable).with_name("pgbgw"))
    print(f"the server goes on; look around with: {command} connect, {command} status; end it with: {command} stop")


def enqueue(connection: psycopg.Connection) -> None:
    """Put the jobs into the queue; the worker wakes at each commit."""
    each = JOBS // TRANSACTIONS
    for transaction in range(TRANSACTIONS):
        numbers = range(transaction * each, (transaction + 1) * each)
        # A connection that autocommits: one COPY is one transaction.
        with connection.cursor() as cursor, cursor.copy("COPY my_queue (payload) FROM STDIN") as copy:
            for number in numbers:
                copy.write_row([Jsonb({"number": number})])


def processed(connection: psycopg.Connection) -> int:
    """How many rows the handler has written, read through COPY BINARY."""
    return sum(row[0] for rows in copy_rows(connection, "SELECT count(*) FROM processed", ["int8"]) for row in rows)


def follow(connection: psycopg.Connection, before: int) -> None:
    """Show progress until all jobs are done: a bar on a terminal, a line now and then elsewhere."""
    console = Console()
    columns = (TextColumn("processed"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=JOBS)
        done, changed, told = 0, time.monotonic(), time.monotonic()
        while done < JOBS:
            now, last, done = time.monotonic(), done, processed(connection) - before
            progress.update(task, completed=done)
            if not console.is_terminal and (done >= JOBS or now - told >= LINE_SECONDS):
                print(f"processed {done:,} of {JOBS:,}", flush=True)
                told = now
            changed = now if done != last else changed
            if now - changed > PATIENCE_SECONDS:
                sys.exit(f"no job was done for {PATIENCE_SECONDS:g} s; see pgbgw status")
            time.sleep(LOOK_SECONDS)


def show_status(connection: psycopg.Connection) -> None:
    cursor = connection.execute("SELECT * FROM my_worker_status")
    names = [column.name for column in cursor.description or ()]
    print("SELECT * FROM my_worker_status;")
    for name, value in zip(names, cursor.fetchone() or (), strict=True):
        print(f"  {name:15} | {value}")


def launch(connection: psycopg.Connection) -> None:
    """Launch the one-shot worker and wait for the row that its task writes."""
    row = connection.execute("SELECT launch_dynamic_worker(%s)", [TASK]).fetchone()
    assert row is not None
    print(f"SELECT launch_dynamic_worker({TASK});\n  started process {row[0]}", flush=True)
    query = f"SELECT task_id, run_by FROM tasks_run WHERE run_by = {row[0]}"
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (found := [each for rows in copy_rows(connection, query, ["int4", "int4"]) for each in rows]):
        if time.monotonic() > deadline:
            sys.exit("its task left no row; the server log tells why")
        time.sleep(LOOK_SECONDS)
    for task_id, run_by in found:
        print(f"  it wrote: task {task_id}, run by process {run_by}")


if __name__ == "__main__":
    main()
