"""Schedules of cron and of pg_cron, taken over: what is read, what is refused and why, and what is written."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from pgbgw import sqltext
from pgbgw.check import Target, check_file
from pgbgw.cli.app import cli
from pgbgw.crontab import Entry, Refusal, Taken, Unreadable, read_crontab, script, statements, system_zone, taken
from pgbgw.diagnostics import Severity

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)


def read(text: str, **options: Any) -> tuple[list[Taken], list[Refusal]]:
    return taken(read_crontab(text.splitlines(), "crontab", "UTC", **options))


def one(text: str, **options: Any) -> Taken:
    """The only entry of a crontab, whose last line it is."""
    found, refused = read(text, **options)
    assert [each.message for each in refused] == []
    return found[-1]


def psql(command: str) -> Taken:
    return one(f"0 4 * * * {command}")


def refusal(text: str, **options: Any) -> Refusal:
    found, refused = read(text, **options)
    assert found == []
    assert refused[-1].hint
    return refused[-1]


def job(schedule: str, command: str = "SELECT 1", **options: Any) -> Entry:
    return Entry("job 1", "pg_cron", schedule, "GMT", (command,), **options)


# lines of crontab(5)


def test_a_line_becomes_a_schedule() -> None:
    found = one('30 2 * * mon-fri psql -d shop -U keeper -c "SELECT public.report()"')
    assert (found.where, found.name, found.expression, found.zone) == (
        "crontab:1", "report", "30 2 * * mon-fri", "UTC",
    )  # fmt: skip
    assert (found.command, found.database, found.owner) == ("SELECT public.report()", "shop", "keeper")
    assert (found.transaction, found.active, found.timeout, found.notes) == (True, True, None, ())


def test_comments_and_variables_are_no_entries() -> None:
    text = "# m h dom mon dow\n\n \t# x\nMAILTO=a@example.org\nPGDATABASE = 'shop'\n\"PGUSER\" = keeper\n"
    found = one(text + "@daily psql -c 'SELECT 1'")
    assert (found.where, found.database, found.owner, found.expression) == ("crontab:7", "shop", "keeper", "@daily")


def test_a_variable_holds_from_its_line_on() -> None:
    line = "0 1 * * * psql -c 'SELECT 1'\n"
    found, _ = read(f"{line}PGDATABASE=a\n{line}PGDATABASE=b\n{line}")
    assert [each.database for each in found] == [None, "a", "b"]


def test_the_zone_is_that_of_the_machine_unless_cronies_variable_is_there() -> None:
    line = "0 1 * * * psql -c 'SELECT 1'\n"
    found, _ = taken(
        read_crontab(f"TZ=Asia/Tokyo\n{line}CRON_TZ=America/New_York\n{line}{line}".splitlines(), "c", "UTC")
    )
    assert [each.zone for each in found] == ["UTC", "America/New_York", "America/New_York"]
    assert [len(each.notes) for each in found] == [0, 1, 0]


def test_percent_signs_end_the_command_and_lines_of_its_input() -> None:
    assert psql(r"psql -c 'SELECT 7 \% 2'").command == "SELECT 7 % 2"
    assert psql(r"psql%DELETE FROM a%WHERE b LIKE 'x\%';").command == "DELETE FROM a\nWHERE b LIKE 'x%'"
    assert psql("psql -c 'SELECT 1'%SELECT 2").command == "SELECT 1"


def test_the_user_column() -> None:
    assert one("0 1 * * *\tkeeper\tpsql -c 'SELECT 1'", user_column=True).owner == "keeper"
    assert one("@daily keeper psql -U other -c 'SELECT 1'", user_column=True).owner == "other"
    assert one("0 1 * * * root sudo -u postgres psql -c 'SELECT 1'", user_column=True).owner == "postgres"
    assert "behind a user" in refusal("0 1 * * * psql", user_column=True).message


def test_the_owner_of_lines_that_name_none() -> None:
    assert one("0 1 * * * psql -c 'SELECT 1'", owner="x").owner == "x"
    assert one("0 1 * * * psql -U y -c 'SELECT 1'", owner="x").owner == "y"


@pytest.mark.parametrize("line", ["0 1 * *", "0 1 * * *", "@daily", "nonsense"])
def test_what_is_no_line(line: str) -> None:
    assert refusal(line).where == "crontab:1"


def test_each_fault_has_its_line() -> None:
    found, refused = read("0 1 * * * a\n0 1 * * * psql -c 'SELECT 1'\n0 25 * * * psql -c 'SELECT 1'\n")
    assert [each.where for each in found] == ["crontab:2"]
    assert [(each.where, each.message) for each in refused] == [
        ("crontab:1", "not SQL: a"), ("crontab:3", "not a schedule: out of range: 25"),
    ]  # fmt: skip


# command lines


@pytest.mark.parametrize(
    "command",
    [
        "psql -c 'SELECT 1'",
        "/usr/bin/psql -XAtqc 'SELECT 1'",
        'psql --command="SELECT 1" --no-psqlrc -v ON_ERROR_STOP=1',
        "psql -c SELECT\\ 1;",
        "psql shop keeper -c 'SELECT 1' # nightly",
        "PGAPPNAME=nightly psql -c 'SELECT 1' >/dev/null 2>&1",
        "psql -1 -c 'SELECT 1'",
        "cd / && nice -n 10 ionice -c3 psql -c 'SELECT 1' >> /var/log/x.log 2>>/var/log/y.log",
        "env PGUSER=a flock -n /run/x.lock psql -c 'SELECT 1'",
        "sudo -n -u postgres -- psql -c 'SELECT 1'",
        "sudo --user=postgres psql -c 'SELECT 1' &> /dev/null",
        "su - postgres -c \"psql -c 'SELECT 1'\"",
        "runuser -u postgres -- psql -c 'SELECT 1'",
        "echo 'SELECT 1' | psql -d shop",
        'chronic psql -c "SELECT 1" -o /dev/null',
    ],
)
def test_the_sql_of_a_command(command: str) -> None:
    found = psql(command)
    assert (found.command, found.notes) == ("SELECT 1", ())


@pytest.mark.parametrize(
    ("command", "database", "owner"),
    [
        ("psql -c 'SELECT 1'", None, None),
        ("psql -d a -U b -c 'SELECT 1'", "a", "b"),
        ("psql a b -c 'SELECT 1'", "a", "b"),
        ("psql -d 'dbname=a user=b' -c 'SELECT 1'", "a", "b"),
        ("psql postgresql://b:secret@localhost/a -c 'SELECT 1'", "a", "b"),
        ("PGDATABASE=a PGUSER=b psql -c 'SELECT 1'", "a", "b"),
        ("PGDATABASE=x PGUSER=y psql -d a -U b -c 'SELECT 1'", "a", "b"),
        ("su b -c \"psql -d a -c 'SELECT 1'\"", "a", "b"),
        ("sudo -u b psql -d a -c 'SELECT 1'", "a", "b"),
        ("PGDATABASE=x PGUSER=y sudo -u b psql -d a -c 'SELECT 1'", "a", "b"),
        ("PGDATABASE=x PGUSER=y sudo -u b psql -c 'SELECT 1'", None, "b"),
        ("PGUSER=b sudo -E -u y psql -d a -c 'SELECT 1'", "a", "b"),
        ("PGUSER=y sudo -u z PGUSER=b psql -d a -c 'SELECT 1'", "a", "b"),
        ("PGUSER=y su - b -c \"psql -d a -c 'SELECT 1'\"", "a", "b"),
        ("PGUSER=b su y -c \"psql -d a -c 'SELECT 1'\"", "a", "b"),
        ("PGDATABASE=a PGUSER= psql -d '' -U b y -c 'SELECT 1'", "a", "b"),
    ],
)
def test_the_database_and_the_role_of_a_command(command: str, database: str | None, owner: str | None) -> None:
    found = psql(command)
    assert (found.database, found.owner) == (database, owner)


@pytest.mark.parametrize(("text", "seconds"), [("90", 90), ("5m", 300), ("1.5h", 5400), ("0", None)])
def test_timeouts(text: str, seconds: float | None) -> None:
    assert psql(f"timeout -k 5 {text} psql -c 'SELECT 1'").timeout == seconds


def test_variables_of_the_crontab_are_known_to_the_shell() -> None:
    assert one('DB=shop\n0 1 * * * psql -d "$DB" -c "SELECT \'${DB}\', \\$1"').command == "SELECT 'shop', $1"
    assert "only the shell knows" in refusal("0 1 * * * psql -d $DB -c 'SELECT 1'").message
    assert psql("psql -c 'DO $$BEGIN PERFORM 1; END$$'").command == "DO $$BEGIN PERFORM 1; END$$"


@pytest.mark.parametrize(
    ("variable", "command"),
    [
        ("OPTS=-d shop -U app", "psql $OPTS -c 'SELECT 1'"),
        ("OPTS=' -X  -q\t'", "psql ${OPTS}-d shop $OPTS -U app -c 'SELECT 1'"),
        ("OPTS=-X -d", "psql $OPTS'shop' -U app -c 'SELECT 1'"),
        ("OPTS=hop -U a", "psql -d s${OPTS}pp -c 'SELECT 1'"),
        ("PSQL=psql -X -q", "$PSQL -d shop -U app -c 'SELECT 1'"),
        ("NONE=''", "psql $NONE -d shop $NONE -U app -c 'SELECT 1'$NONE"),
        ("NONE='  '", "$NONE psql $NONE -d shop -U app -c 'SELECT 1'"),
        ("SQL=SELECT  1", 'psql -d shop -U app -c "$SQL"'),
        ("SQL=SELECT  1", "echo $SQL | psql -d shop -U app"),
        ("LOG=/var/log/a b.log", "psql shop app -c 'SELECT 1' >> $LOG"),
        ("NAME=a b", "PGUSER=app PGAPPNAME=$NAME psql shop -c 'SELECT 1'"),
        ("NAME=a b", "true=1 PGAPPNAME=x-$NAME psql shop app -c 'SELECT 1'"),
    ],
)
def test_a_value_is_split_into_words_unless_quoted(variable: str, command: str) -> None:
    found = one(f"{variable}\n0 1 * * * {command}")
    assert " ".join(found.command.split()) == "SELECT 1"
    assert (found.database, found.owner, found.notes) == ("shop", "app", ())


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("/usr/local/bin/backup --full", "not SQL: /usr/local/bin/backup"),
        ("pg_dump shop | gzip > /srv/x.gz", "not SQL: pg_dump"),
        ("psql -c 'SELECT 1' | mail dba", "not SQL alone: what psql prints goes to another program"),
        ("psql -c 'SELECT 1' && psql -c 'SELECT 2'", "not SQL alone: more than one command: &&"),
        ("psql -c 'SELECT 1'; rm /x", "not SQL alone: more than one command: ;"),
        ("flock -n /tmp/l psql -c 'SELECT 1' || true", "not SQL alone: more than one command: ||"),
        ("A=b sudo -u app /usr/bin/psql -c 'SELECT 1' && touch x", "not SQL alone: more than one command: &&"),
        ("nice psql -c 'SELECT 1' | mail dba", "not SQL alone: what psql prints goes to another program"),
        ("su app -c 'psql -c \"SELECT 1\"' || true", "not SQL alone: more than one command: ||"),
        ("su app -c /srv/backup || true", "not SQL: /srv/backup"),
        ("sudo -u app /srv/backup && psql -c 'SELECT 1'", "not SQL: /srv/backup"),
        ("(psql -c 'SELECT 1'; psql -c 'SELECT 2')", "not SQL alone: more than one command: ("),
        ("A=b; psql -c 'SELECT 1'", "not SQL alone: more than one command: ;"),
        ("&", "not SQL alone: more than one command: &"),
        ("su app -c psql < /srv/bill.sql", "psql reads a file"),
        ("sort < /srv/list", "not SQL: sort"),
        ("chronic psql < /srv/bill.sql", "psql reads a file"),
        ("docker exec db psql -c 'SELECT 1'", "not SQL: docker"),
        ("psql -f /srv/bill.sql", "psql reads the file /srv/bill.sql"),
        ("psql < /srv/bill.sql", "psql reads a file"),
        ("psql -d shop", "psql runs no SQL"),
        ("psql -l", "psql -l runs no SQL"),
        ("psql --nonsense", "options of psql can't be read: option --nonsense not recognized"),
        ("psql -c '\\copy a to b'", "not SQL: \\copy is a command of psql"),
        ("psql -c 'SELEC 1'", 'not SQL: syntax error at or near "SELEC"'),
        ("psql -c '-- nothing'", "there is no SQL in it"),
        ("psql -c 'SELECT 1", "a quote is not closed"),
        ("psql -c 'SELECT 7 % 2'", "a quote is not closed where cron cuts the command, at a percent sign"),
        (
            "su app -c \"psql -c 'SELECT 1' -v a=%\"",
            "a quote is not closed where cron cuts the command, at a percent sign",
        ),
        ("psql -c 'SELECT 1%", "a quote is not closed"),
        ('psql -c "SELECT `date`"', "the shell runs a command within it"),
        ('psql -c "SELECT $(date)"', "the shell runs a command within it"),
        ('psql -c "DO $$BEGIN END$$"', "the shell puts its process number in the place of $$"),
        ("su - postgres", "su runs a shell"),
        ("timeout soon psql -c 'SELECT 1'", "timeout can't be read: soon"),
        ("A=b", "there is no command in it"),
        ("psql -c 'COPY a TO STDOUT'", "COPY needs a client, and a schedule has none"),
        ("psql -c 'LISTEN a'", "LISTEN needs a client, and a schedule has none"),
    ],
)
def test_what_is_not_taken(command: str, message: str) -> None:
    assert refusal(f"0 4 * * * {command}").message == message


def test_what_gets_lost_is_told() -> None:
    assert psql("psql -c 'SELECT 1' > /srv/report").notes == ("what it prints went to /srv/report, and is dropped",)
    assert psql("psql -c 'SELECT 1' -o /srv/report").notes == ("what it prints went to /srv/report, and is dropped",)
    (host,) = psql("psql -h db2 -c 'SELECT 1'").notes
    assert host == 'it connected to host "db2", and now runs where it is imported'
    (settings,) = psql("PGOPTIONS='-c work_mem=1GB' psql -c 'SELECT 1'").notes
    assert settings.startswith("PGOPTIONS is left out, -c work_mem=1GB: ")
    assert psql("psql -c 'SELECT 1' -c 'SELECT 2'").notes == (
        "its commands were transactions of their own, and are one now",
    )
    assert psql("psql -c 'SELECT 1' -c 'SELECT 2'").command == "SELECT 1;\nSELECT 2"
    together = psql("psql -1 -c 'SELECT 1;' -c 'SELECT 2'")
    assert (together.command, together.notes) == ("SELECT 1;\nSELECT 2", ())


@pytest.mark.parametrize(
    ("command", "count"),
    [
        ("echo 'DELETE FROM a; DELETE FROM b' | psql shop", 1),
        ("psql shop%DELETE FROM a;%DELETE FROM b;", 1),
        ("psql shop%DELETE FROM a", 0),
        ("psql shop%BEGIN;%DELETE FROM a;%DELETE FROM b;%COMMIT;", 0),
        ("psql -c BEGIN -c 'DELETE FROM a' -c COMMIT", 0),
        ("psql -c 'DELETE FROM a; DELETE FROM b'", 0),
        ("psql -c 'DELETE FROM a; DELETE FROM b' -c 'DELETE FROM c'", 1),
        ("psql -c 'DELETE FROM a'%DELETE FROM b; DELETE FROM c", 0),
    ],
)
def test_statements_that_were_transactions_of_their_own_are_told(command: str, count: int) -> None:
    assert psql(command).notes == ("its commands were transactions of their own, and are one now",) * count


@pytest.mark.parametrize(
    ("command", "place"),
    [
        ("psql -h db2 -p 5434 shop", 'host "db2", port 5434'),
        ("psql --port=5434 shop", "port 5434"),
        ("PGPORT=5433 psql", "port 5433"),
        ("PGPORT=5433 psql -p 5434", "port 5434"),
        ("psql postgresql:///shop?port=5435", "port 5435"),
        ("psql -p 5434 'host=localhost port=5435 dbname=shop'", "port 5435"),
        ("psql 'hostaddr=10.0.0.2 dbname=shop'", 'host "10.0.0.2"'),
        ("psql -h /srv/second shop", 'host "/srv/second"'),
        ("psql --cluster 15/second shop", 'cluster "15/second"'),
        ("PGCLUSTER=15/second psql --cluster=15/third shop", 'cluster "15/third"'),
        ("psql 'service=other dbname=shop user=a'", 'service "other"'),
        ("PGSERVICE=other psql -U a shop", 'service "other"'),
        ("psql -h /run/postgresql shop", None),
        ("PGPORT= psql -p '' -h 127.0.0.1 shop", None),
        ("PGPORT=5433 PGSERVICE=other sudo -u a psql", None),
    ],
)
def test_another_server_is_told(command: str, place: str | None) -> None:
    told = (f"it connected to {place}, and now runs where it is imported",) if place else ()
    assert psql(f"{command} -c 'SELECT 1'").notes == told


@pytest.mark.parametrize(
    "command", ["psql service=other", "PGSERVICE=other psql", "PGSERVICE=other PGDATABASE=shop psql -U a",
                "psql postgresql://a@/?service=other"],
)  # fmt: skip
def test_a_service_may_name_any_database(command: str) -> None:
    refused = refusal(f"0 1 * * * {command} -c 'SELECT 1'")
    assert refused.message == 'psql goes by service "other", whose database is not known here'
    assert refused.hint is not None
    assert 'psql -d "service=other dbname=..."' in refused.hint


def test_a_service_may_name_any_role() -> None:
    found = psql("PGUSER=a psql 'service=other dbname=shop' -c 'SELECT 1'")
    assert (found.database, found.notes[1:]) == ("shop", ('a role that service "other" names is not known here',))


@pytest.mark.parametrize(
    ("command", "way_out"),
    [
        ("vacuumdb --analyze shop", 'psql -c "VACUUM (ANALYZE)"'),
        ("/usr/bin/reindexdb shop", 'psql -c "REINDEX DATABASE"'),
        ("pg_dump -f /srv/dump shop", "Keep it in the crontab"),
        ("[ 1 = 1 ] && psql -c 'SELECT 1'", "Write L for the last day"),
        ("app psql -c 'SELECT 1'", "--user-column"),
        ("app sudo -u postgres psql -c 'SELECT 1'", "--user-column"),
        ("docker exec db psql -c 'SELECT 1'", "Keep it in the crontab"),
        ("psql -c \"SELECT a LIKE 'x%'\"", "Write \\% for a percent sign"),
        ("sudo -u app psql -c 'SELECT 1' || echo failed", "leave out what tells of failures"),
        ("psql -c 'SELECT 1' || echo failed", "leave out what tells of failures"),
        ("backup.sh --all", "put what it does in the database into a function"),
    ],
)
def test_the_way_out_of_what_is_not_taken(command: str, way_out: str) -> None:
    hint = refusal(f"0 4 * * * {command}").hint
    assert hint is not None
    assert way_out in hint


# statements


@pytest.mark.parametrize(
    "command",
    [
        "VACUUM a", "CREATE INDEX CONCURRENTLY ON a (b)", "REINDEX TABLE CONCURRENTLY a", "CALL f()",
        "ALTER SYSTEM SET work_mem = 1", "DO $$BEGIN DELETE FROM a; COMMIT; END$$",
        "REINDEX (CONCURRENTLY) INDEX a", "DROP INDEX CONCURRENTLY a; -- done",
    ],
)  # fmt: skip
def test_outside_a_transaction(command: str) -> None:
    (found,), refused = taken([job("@daily", command)])
    assert (found.transaction, refused) == (False, [])


@pytest.mark.parametrize(
    "command", ["SELECT 1", "ANALYZE", "REINDEX TABLE a", "REFRESH MATERIALIZED VIEW CONCURRENTLY a",
                "DO $$BEGIN END$$", "DELETE FROM a; DELETE FROM b", "SELECT 'VACUUM'"],
)  # fmt: skip
def test_inside_a_transaction(command: str) -> None:
    (found,), _ = taken([job("@daily", command)])
    assert (found.transaction, found.command) == (True, command)


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("SET statement_timeout = 0; VACUUM a", "VACUUM must be alone, and there are 2 statements"),
        ("CALL f(); CALL g()", "CALL must be alone, and there are 2 statements"),
        ("DELETE FROM a; COMMIT; DELETE FROM b", "COMMIT begins or ends a transaction, and a schedule runs in one"),
        ("BEGIN ISOLATION LEVEL SERIALIZABLE; SELECT 1; COMMIT",
         "BEGIN begins or ends a transaction, and a schedule runs in one"),
        ("BEGIN; VACUUM a; COMMIT", "VACUUM must be alone, and there are 3 statements"),
    ],
)  # fmt: skip
def test_statements_that_do_not_go_together(command: str, message: str) -> None:
    _, (refused,) = taken([job("@daily", command)])
    assert (refused.where, refused.message) == ("job 1", message)
    assert refused.hint


def test_a_transaction_that_is_begun_and_ended_is_the_schedules_own() -> None:
    (found,), _ = taken([job("@daily", "BEGIN; DELETE FROM a; DELETE FROM b; COMMIT;")])
    assert found.command == "DELETE FROM a;\nDELETE FROM b"


def test_pieces_have_their_own_text() -> None:
    found = sqltext.pieces("SELECT 'ä;'; /* c */ VACUUM a;\n -- end\n")
    assert [(each.text, each.command, each.top_level) for each in found] == [
        ("SELECT 'ä;'", "SELECT", False), ("VACUUM a", "VACUUM", True),
    ]  # fmt: skip
    assert sqltext.pieces("-- nothing") == ()
    with pytest.raises(sqltext.SqlError):
        sqltext.pieces("SELEC 1")


# expressions of pg_cron


@pytest.mark.parametrize(
    ("theirs", "ours", "notes"),
    [
        ("30 2 * * *", "30 2 * * *", 0), ("  0  4\t* * sun ", "0 4 * * sun", 0), ("@hourly", "@hourly", 0),
        ("30 seconds", "*/30 * * * * *", 0), ("1 second", "* * * * * *", 0), ("7 Seconds", "@every 7 seconds", 0),
        ("0 0 $ * *", "0 0 L * *", 0),
        # what stands behind five fields would make the first one seconds
        ("*/5 * * * * *", "*/5 * * * *", 1), ("@daily at noon", "@daily", 1),
        # "tue#2" is the second Tuesday here
        ("0 9 * * 2#1", "0 9 * * 2", 1), ("0 9 * * 1#2,3#4", "0 9 * * 1,3", 1),
    ],
)  # fmt: skip
def test_expressions_of_pg_cron(theirs: str, ours: str, notes: int) -> None:
    (found,), _ = taken([job(theirs)])
    assert (found.expression, found.zone, len(found.notes)) == (ours, "UTC", notes)


@pytest.mark.parametrize("expression", ["@reboot", "0 seconds", "0 0 30 2 *", "never", ""])
def test_expressions_that_are_refused(expression: str) -> None:
    _, (refused,) = taken([job(expression)])
    assert refused.hint


def test_only_pg_cron_has_intervals() -> None:
    assert refusal("30 seconds * * * psql -c 'SELECT 1'").message.startswith("not a schedule: ")


@pytest.mark.parametrize(
    ("command", "name"),
    [
        ("REFRESH MATERIALIZED VIEW CONCURRENTLY sales", "refresh_sales"),
        ('REFRESH MATERIALIZED VIEW public."Sales"', "refresh_sales"),
        ("DELETE FROM ONLY shop.carts WHERE idle < now() - interval '1 day'", "delete_shop_carts_idle"),
        ("INSERT INTO days SELECT * FROM hours", "insert_days_hours"),
        ("UPDATE a SET b = 1 WHERE c", "update_a_b_c"),
        ("DROP TABLE IF EXISTS a", "drop_a"),
        ("CREATE INDEX CONCURRENTLY ON a (b)", "create_index_a_b"),
        ("SELECT * FROM report('x')", "report"),
        ("DO $$BEGIN PERFORM f(); END$$", "f"),
        ("SELECT 1", "select"),
        ("VALUES (1)", "values"),
        ("SELECT FROM public", "select"),
        ("(((VALUES ('a'))))", "values"),
        ("SELECT " + "a" * 60, "a" * 50),
    ],
)
def test_a_name_has_the_words_that_tell_something(command: str, name: str) -> None:
    (found,), _ = taken([job("@daily", command)])
    assert found.name == name


def test_names_are_unique_for_each_owner() -> None:
    line = "0 1 * * * psql {} -c 'SELECT f()'\n"
    found, _ = read(line.format("") + line.format("") + line.format("-U a") + line.format("-U a"))
    assert [each.name for each in found] == ["f", "f_2", "f", "f_2"]


# the zone of the machine


def test_the_zone_of_the_machine(tmp_path: Path) -> None:
    with pytest.raises(Unreadable):
        system_zone(tmp_path)
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/localtime").symlink_to("/usr/share/zoneinfo/Europe/Paris")
    assert system_zone(tmp_path) == "Europe/Paris"
    (tmp_path / "etc/timezone").write_text("Etc/UTC\n")
    assert system_zone(tmp_path) == "UTC"


# what is written


def test_statements() -> None:
    (found,), _ = taken([job("30 2 * * *", "SELECT 'it''s \\'", name="the 'first'", active=False, timeout=90.5)])
    assert statements(found, ("s", "My jobs"), missed=0) == (
        "SELECT s.\"My jobs_schedule\"('the ''first''', '30 2 * * *', E'SELECT ''it''''s \\\\''', missed => 0,"
        " timeout => '90.5 s')",
        "SELECT s.\"My jobs_pause\"('the ''first''')",
    )
    for text in statements(found, ("s", "t"), missed=1):
        sqltext.parse(text)


def test_a_script_becomes_each_owner() -> None:
    text = "0 1 * * * psql -c 'SELECT 1'\n0 1 * * * psql -U a -c 'SELECT 2'\n0 1 * * * psql -c 'VACUUM'"
    found, _ = read(text)
    lines = script(found, ("crontab", "jobs"), NOW, missed=1).splitlines()
    assert [line.partition("_schedule")[0] for line in lines if line and not line.startswith("--")] == [
        "BEGIN;", "SELECT crontab.jobs", "SET LOCAL ROLE a;", "SELECT crontab.jobs", "RESET ROLE;",
        "SELECT crontab.jobs", "COMMIT;",
    ]  # fmt: skip
    assert "-- crontab:1: every day at 01:00, UTC; next 2026-11-27T01:00:00+00:00" in lines


def test_nothing_leaves_its_comment() -> None:
    (found,), _ = taken([Entry("a\nDROP TABLE b", "pg_cron", "@daily", "UTC", ("SELECT 1",))])
    assert "\nDROP" not in script([found], ("jobs",), NOW, missed=1)


# the verb

CRONTAB = r"""
PGDATABASE=shop
30 2 * * mon-fri psql -c 'SELECT public.report()'
*/15 * * * * timeout 5m psql -c 'REFRESH MATERIALIZED VIEW public.sales'
0 4 * * sun psql -U keeper -c 'VACUUM public.sent'
"""


def verb(*arguments: str, given: str = CRONTAB) -> Result:
    return CliRunner().invoke(cli, ["import-crontab", *arguments], input=given)


def test_the_verb_writes_sql() -> None:
    ran = verb("--crontab", "-", "--time-zone", "Europe/Paris", "--table", "s.t")
    assert (ran.exit_code, ran.stdout.count("SELECT s.t_schedule(")) == (0, 3)
    assert "at 02:30 on Monday to Friday" in ran.stderr
    for statement in ran.stdout.split(";\n"):
        if statement.strip().strip(";") not in {"BEGIN", "COMMIT", ""} and "ROLE" not in statement:
            sqltext.parse(statement)


def test_the_verb_tells_what_it_leaves_out() -> None:
    ran = verb("--crontab", "-", "--time-zone", "UTC", given=CRONTAB + "0 3 * * * /bin/backup\n")
    assert (ran.exit_code, ran.stdout.count("jobs_schedule(")) == (1, 3)
    assert "error: standard input:6: not SQL: /bin/backup\n" in ran.stderr


def test_the_verb_writes_a_declaration(tmp_path: Path) -> None:
    ran = verb("--crontab", "-", "--time-zone", "Europe/Paris", "--python")
    assert ran.exit_code == 0
    (tmp_path / "crontab.py").write_text(ran.stdout)
    checked, found = check_file(tmp_path / "crontab.py", Target(max_worker_processes=64))
    assert [each.message for each in found if each.severity is Severity.ERROR] == []
    assert checked is not None
    assert [worker.name for worker in checked.extension.workers] == [
        "report", "refresh_sales", "vacuum_sent",
    ]  # fmt: skip


def test_a_worker_has_one_statement_and_no_parameters() -> None:
    given = "0 1 * * * psql -c 'SELECT 1; SELECT 2'\n0 1 * * * psql -c 'SELECT a[:n] FROM b'\n"
    ran = verb("--crontab", "-", "--time-zone", "UTC", "--python", given=given)
    assert ran.exit_code == 1
    assert "standard input:1: not for a worker: SQL text has more than one statement" in ran.stderr
    assert "standard input:2: not for a worker: :n would be a parameter" in ran.stderr


def test_several_databases_are_asked_about() -> None:
    given = "0 1 * * * psql -d a -c 'SELECT 1'\n0 1 * * * psql -d b -c 'SELECT 2'\n0 1 * * * psql -c 'SELECT 3'\n"
    ran = verb("--crontab", "-", "--time-zone", "UTC", given=given)
    assert ran.exit_code == 2
    assert 'several databases, "a", "b": choose one with --database' in ran.stderr
    ran = verb("--crontab", "-", "--time-zone", "UTC", "--database", "b", given=given)
    assert (ran.exit_code, ran.stdout.count("jobs_schedule(")) == (0, 2)
    assert '1 of database "a" is left for another call' in ran.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "say where schedules come from"),
        (("--from", "x", "--crontab", "-"), "say where schedules come from"),
        (("--from", "x", "--owner", "y"), "pg_cron has its own"),
        (("--crontab", "-", "--python", "--into", "x"), "--python writes a declaration"),
        (("--crontab", "-", "--time-zone", "UTC", "--table", "a.b.c"), "--table is not the name of a table"),
        (("--crontab", "-", "--time-zone", "UTC", "--table", "select"), "--table is not the name of a table"),
    ],
)
def test_what_the_verb_does_not_take(arguments: tuple[str, ...], message: str) -> None:
    ran = verb(*arguments)
    assert ran.exit_code == 2
    assert message in ran.stderr


def test_a_zone_that_does_not_exist() -> None:
    ran = verb("--crontab", "-", "--time-zone", "Europe/Pari")
    assert ran.exit_code == 2
    assert 'there is no time zone "Europe/Pari"' in ran.stderr
    assert "Europe/Paris" in ran.stderr
    ran = verb("--crontab", "-", "--time-zone", "UTC", given="CRON_TZ=Europe/Pari\n0 1 * * * psql -c 'SELECT 1'")
    assert ran.exit_code == 1
    assert 'standard input:2: there is no time zone "Europe/Pari"' in ran.stderr
