"""How schedules are shown, and times with them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from pgbgw.cli import times
from pgbgw.cli.schedules import _wait, print_schedules, record
from pgbgw.client import ClientError, ScheduleStatus
from pgbgw.client.schedule_tables import RowHandle, RowRun, TableHandle
from pgbgw.client.schedules import shown_there

PARIS = ZoneInfo("Europe/Paris")
NOW = datetime(2026, 11, 26, 19, 0, tzinfo=UTC)
STATUS = ScheduleStatus(
    name="report", expression="30 2 * * *", time_zone="Europe/Paris", changed=False, paused=False,
    next_run=datetime(2026, 11, 27, 2, 30, tzinfo=PARIS), last_due=datetime(2026, 11, 26, 2, 30, tzinfo=PARIS),
    started_at=datetime(2026, 11, 26, 2, 30, tzinfo=PARIS), ended_at=datetime(2026, 11, 26, 2, 30, 7, tzinfo=PARIS),
    outcome="done", error=None, sqlstate=None, running=0,
)  # fmt: skip


@pytest.mark.parametrize(
    ("seconds", "since", "span", "took"),
    [
        (-5, "0 s", "0 s", "< 1 ms"),
        (0.0004, "0 s", "0 s", "< 1 ms"),
        (0.035, "0 s", "0 s", "35 ms"),
        (0.9997, "0 s", "0 s", "1.0 s"),
        (1.26, "1 s", "1 s", "1.3 s"),
        (59.96, "59 s", "59 s", "1 min"),
        (119, "1 min", "119 s", "1 min 59 s"),
        (5400, "1 h", "90 min", "1 h 30 min"),
        (7200, "2 h", "2 h", "2 h"),
        (47 * 3600, "1 d", "47 h", "1 d 23 h"),
        (48 * 3600, "2 d", "2 d", "2 d"),
    ],
)
def test_spans(seconds: float, since: str, span: str, took: str) -> None:
    delta = timedelta(seconds=seconds)
    assert (times.since(delta), times.span(delta), times.took(delta)) == (since, span, took)


@pytest.mark.parametrize(
    ("time", "shown"),
    [
        (datetime(2026, 11, 27, 2, 30, tzinfo=PARIS), "27 Nov 02:30 CET"),
        (datetime(2026, 7, 1, 2, 30, 5, tzinfo=PARIS), "01 Jul 02:30:05 CEST"),
        (datetime(2027, 1, 1, tzinfo=UTC), "01 Jan 2027 00:00 UTC"),
        # it is the year of the zone that counts
        (datetime(2027, 1, 1, tzinfo=ZoneInfo("Asia/Tokyo")), "01 Jan 2027 00:00 JST"),
    ],
)
def test_times(time: datetime, shown: str) -> None:
    assert times.at(time, NOW) == shown


def row(state: ScheduleStatus, capsys: pytest.CaptureFixture[str]) -> str:
    """What stands in the table, with the blanks between two columns as one."""
    print_schedules([(state.name, None, state)], NOW)
    return " ".join(capsys.readouterr().out.splitlines()[1].split())


@pytest.mark.parametrize(
    ("changes", "shown"),
    [
        ({}, "report 27 Nov 02:30 CET in 6 h done 7.0 s"),
        ({"paused": True, "next_run": None}, "report paused done 7.0 s"),
        ({"next_run": None}, "report never done 7.0 s"),
        ({"changed": True}, "report changed 27 Nov 02:30 CET in 6 h done 7.0 s"),
        ({"next_run": NOW - timedelta(hours=3)}, "report 26 Nov 16:00 UTC 3 h late done 7.0 s"),
        ({"next_run": NOW - timedelta(seconds=1)}, "report 26 Nov 18:59:59 UTC now done 7.0 s"),
        # it comes after the run that is under way
        (
            {"next_run": NOW - timedelta(hours=3), "outcome": "running", "ended_at": None},
            "report 26 Nov 16:00 UTC now running 17 h so far",
        ),
        (
            {"outcome": "failed", "error": "first\n" + "word " * 20},
            "report 27 Nov 02:30 CET in 6 h failed 7.0 s first " + "word " * 19 + "word",
        ),
        # more than one at a time
        ({"outcome": "running", "ended_at": None, "running": 1}, "report 27 Nov 02:30 CET in 6 h running 17 h so far"),
        (
            {"outcome": "running", "ended_at": None, "running": 3},
            "report 27 Nov 02:30 CET in 6 h 3 running 17 h so far",
        ),
        ({"running": 2}, "report 27 Nov 02:30 CET in 6 h done, 2 running 7.0 s"),
        ({"outcome": "lost", "running": 1}, "report 27 Nov 02:30 CET in 6 h lost, 1 running 7.0 s"),
        # it waits for one of them to end
        ({"running": 2, "next_run": NOW - timedelta(hours=3)}, "report 26 Nov 16:00 UTC now done, 2 running 7.0 s"),
        ({"outcome": None, "last_due": None, "started_at": None, "ended_at": None}, "report 27 Nov 02:30 CET in 6 h"),
    ],
)
def test_a_row_of_the_table(changes: dict[str, object], shown: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert row(replace(STATUS, **changes), capsys) == shown  # type: ignore[arg-type]


def test_a_record() -> None:
    assert record(STATUS) == {
        "name": "report", "expression": "30 2 * * *", "time_zone": "Europe/Paris", "changed": False, "paused": False,
        "next_run": "2026-11-27T02:30:00+01:00", "last_due": "2026-11-26T02:30:00+01:00",
        "started_at": "2026-11-26T02:30:00+01:00", "ended_at": "2026-11-26T02:30:07+01:00", "outcome": "done",
        "error": None, "sqlstate": None, "running": 0, "duration": 7.0,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("zone", "local", "shown"),
    [
        ("Europe/Paris", datetime(2026, 11, 27, 2, 30), "2026-11-27T02:30:00+01:00"),
        # the server's zone data say something else
        ("Europe/Paris", datetime(2026, 11, 27, 3, 30), "2026-11-27T03:30:00+02:00"),
        # a zone that is not known here
        ("Europe/Nowhere", datetime(2026, 11, 27, 7, 15), "2026-11-27T07:15:00+05:45"),
    ],
)
def test_the_servers_clocks_count(zone: str, local: datetime, shown: str) -> None:
    found = shown_there(datetime(2026, 11, 27, 1, 30, tzinfo=UTC), local, zone)
    assert found is not None
    assert found.isoformat() == shown


class Waited:
    """A schedule of a table whose run is as far as is given."""

    handle = RowHandle(TableHandle("crontab", "cron", "jobs"), 7, "two words", "alice")
    table, owner = "jobs", "alice"
    state: ScheduleStatus = STATUS

    def __init__(self, run: RowRun | None) -> None:
        self.run = run

    def status(self) -> ScheduleStatus:
        return self.state

    def runs(self, limit: int) -> list[RowRun]:
        return [self.run] if self.run else []

    def begun_after(self, id: int) -> RowRun | None:
        return self.run

    def run_now(self) -> int:
        return 0

    def set_paused(self, paused: bool) -> bool:
        return paused

    def change(self, expression: str | None, time_zone: str | None) -> None:
        raise NotImplementedError

    def remove(self) -> None:
        raise NotImplementedError


RUN = RowRun(id=1, due=NOW, attempts=1, started_at=NOW, ended_at=None, outcome="running", error=None, sqlstate=None)


@pytest.mark.parametrize(
    ("found", "far", "goes_on"),
    [
        (None, "begun", "It is asked for, and will be run."),
        (replace(RUN, started_at=None, outcome="waiting"), "begun", "It is asked for, and will be run."),
        (RUN, "ended", "It goes on."),
    ],
)
def test_what_a_wait_that_was_too_short_tells(found: RowRun | None, far: str, goes_on: str) -> None:
    with pytest.raises(ClientError, match=f'schedule "two words" of alice has not {far} within 0 s') as caught:
        _wait(Waited(found), 0, 0.0)
    assert caught.value.detail == goes_on
    assert (caught.value.hint or "").endswith(" schedules runs 'crontab.jobs.two words' --owner alice")


def test_a_run_that_never_began_has_ended_and_took_no_time() -> None:
    failed = replace(RUN, started_at=None, ended_at=NOW, outcome="failed")
    assert _wait(Waited(failed), 0, 0.0) is failed
    assert failed.duration is None


def test_owners_are_shown_where_there_are_several(capsys: pytest.CaptureFixture[str]) -> None:
    def heading(*owners: str | None) -> list[str]:
        print_schedules([(f"s{n}", owner, STATUS) for n, owner in enumerate(owners)], NOW)
        return capsys.readouterr().out.splitlines()[0].split()[:2]

    assert heading("alice", "alice", None) == ["schedule", "next"]
    assert heading("alice", "bob") == ["schedule", "owner"]
