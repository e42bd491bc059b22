"""What a program does with a queue has types of its own."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import sqlalchemy
from psycopg_pool import AsyncConnectionPool, ConnectionPool
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
from sqlalchemy.orm import Session, scoped_session

import pgbgw
from pgbgw import Extension, Payload, seconds, sql
from pgbgw._core import Columns
from pgbgw.client import Consumed, GiveUp, Job, ScheduleRun, ScheduleStatus

shop = Extension("shop", database="shopdb")


class Mail(Payload):
    address: str
    size: int | None


mail = shop.queue("mail", Mail, lease=seconds(60))
report = shop.cron_worker("report", "@daily", run=sql("SELECT 1"))


def produce(connection: psycopg.Connection[tuple[object, ...]], pool: ConnectionPool) -> int | None:
    many: int = mail.enqueue_many(connection, [Mail(address="a", size=None), {"address": "b"}], progress=print)
    mail.enqueue(pool, Mail(address="a", size=many), priority=0, run_at=datetime.now(UTC) + timedelta(hours=1))
    return mail.enqueue(connection, Mail(address="a", size=1), unique_key="k")


async def consume(connection: psycopg.AsyncConnection[tuple[object, ...]], pool: AsyncConnectionPool) -> list[int]:
    jobs: list[Job[Mail]] = await mail.claim(connection, 10)
    address: str = jobs[0].payload.address
    number: int | None = await mail.enqueue(pool, {"address": address})
    await mail.verify(connection)
    return await mail.acknowledge(connection, jobs) if number else await mail.extend(pool, jobs)


def with_a_session(
    session: Session, scoped: scoped_session[Session], connection: sqlalchemy.Connection
) -> list[Job[Mail]]:
    number: int | None = mail.enqueue(session, Mail(address="a", size=None))
    mail.enqueue(scoped, {"address": str(number)})
    return mail.claim(connection)


async def with_an_asynchronous_session(session: AsyncSession, connection: AsyncConnection) -> list[Job[Mail]]:
    number: int | None = await mail.enqueue(session, Mail(address="a", size=None))
    many: int = await mail.enqueue_many(connection, [{"address": str(number)}])
    return await mail.claim(connection, many)


def deliver(letter: Mail, job: Job[Mail]) -> None:
    if job.attempt > 2:
        raise GiveUp(letter.address)


def run(jobs: Sequence[Job[Mail]], connection: psycopg.Connection[tuple[object, ...]]) -> Consumed:
    mail.fail(connection, jobs, "no", retry=False)
    with pgbgw.connect("dbname=shopdb") as database:
        database.queue("mail").enqueue({"address": "a"})
    return mail.consume("dbname=shopdb", deliver, concurrency=2)


def read(connection: psycopg.Connection[tuple[object, ...]]) -> list[Job[Mail]]:
    few: list[Job[Mail]] = [job.detach() for jobs in mail.stream(connection) for job in jobs if job.attempt > 1]
    queue = pgbgw.connect().queue("mail")
    jobs: list[list[Job[Any]]] = list(queue.stream("failed", size=10, exclusive=True))
    rows: list[list[tuple[Any, ...]]] = list(queue.stream(form="tuples", exclusive=True))
    columns: list[Columns] = list(queue.stream(form="columns"))
    return few if jobs or rows or columns else []


def steer(connection: psycopg.Connection[tuple[object, ...]], session: Session) -> list[ScheduleRun]:
    report.run_now(connection)
    paused: bool = report.pause(session) and report.resume(session)
    report.change(connection, "@hourly", time_zone="Europe/Paris" if paused else None)
    status: ScheduleStatus = report.status(connection)
    named: list[ScheduleRun] = pgbgw.connect().schedule(status.name).runs(3)
    return named + report.runs(connection, limit=1)


async def steer_asynchronously(pool: AsyncConnectionPool, session: AsyncSession) -> datetime | None:
    await report.run_now(pool)
    paused: bool = await report.pause(pool) or await report.resume(session)
    await report.change(pool, "@hourly" if paused else None)
    runs: list[ScheduleRun] = await report.runs(session)
    status: ScheduleStatus = await report.status(pool)
    return status.next_run if runs else None
