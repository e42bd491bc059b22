"""Declared workers that run by the calendar: which times they come to."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from pgbgw import Extension, days, hours, milliseconds, minutes, seconds, sql
from pgbgw.declare.durations import Duration
from pgbgw.declare.schedules import CronWorker, Moment
from pgbgw.diagnostics import collecting


def declared(every: Duration | None = None, since: Moment | None = None, schedule: str | None = None) -> CronWorker:
    shop = Extension("shop", database="shopdb")
    return shop.cron_worker("beat", schedule, every=every, since=since, run=sql("SELECT 1"))


@pytest.mark.parametrize(
    ("every", "since", "expression"),
    [
        (minutes(7), None, "@every 7 minutes"),
        (seconds(1), None, "@every 1 second"),
        (seconds(90), None, "@every 90 seconds"),
        (minutes(60), None, "@every 1 hour"),
        (hours(36), "2026-01-01T00:00:00Z", "@every 36 hours since 2026-01-01T00:00:00Z"),
        (days(2), "2026-01-01T00:30+05:45", "@every 2 days since 2025-12-31T18:45:00Z"),
        (days(36_525), datetime(1900, 1, 1, tzinfo=UTC), "@every 36525 days since 1900-01-01T00:00:00Z"),
        (hours(1), datetime(9997, 12, 31, 23, tzinfo=timezone(timedelta(hours=-23))),
         "@every 1 hour since 9998-01-01T22:00:00Z"),
        (hours(1), datetime(3, 1, 1, tzinfo=timezone(timedelta(hours=23))), "@every 1 hour since 0002-12-31T01:00:00Z"),
    ],
)  # fmt: skip
def test_an_interval_is_an_expression(every: Duration, since: Moment | None, expression: str) -> None:
    worker = declared(every, since)
    assert worker.expression == expression
    # which can be read again
    assert worker.times.cron.period == every.us // 1_000_000


@pytest.mark.parametrize(
    ("every", "since", "code"),
    [
        (milliseconds(1500), None, "BGW403"),
        (seconds(0), None, "BGW403"),
        (days(36_525.5), None, "BGW403"),
        (minutes(7), "2026-01-01", "BGW425"),
        (minutes(7), "2026-01-01T00:00:00.5Z", "BGW425"),
        (minutes(7), datetime(9998, 1, 1, tzinfo=UTC), "BGW425"),
        (minutes(7), datetime(2, 12, 31, tzinfo=UTC), "BGW425"),
        (None, None, "BGW419"),
    ],
)
def test_what_is_no_interval(every: Duration | None, since: Moment | None, code: str) -> None:
    with collecting() as found:
        worker = declared(every, since)
    assert [each.code for each in found] == [code]
    # what is left of it can be gone on with
    assert worker.times.next(datetime(2026, 1, 1, tzinfo=UTC)) is not None
