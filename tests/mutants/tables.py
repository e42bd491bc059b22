"""Mutants of schedules that are rows of a table."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

__all__ = ["TABLES"]

_ATTACKS = "tests/server/test_schedule_table_attacks.py"
_CLOCK = "tests/server/test_schedule_table_clock.py"
_TESTS = "tests/server/test_schedule_tables.py"

_SUITE = tuple(
    Mutant(name, rules, fault, template, old, new, caught_by, declaration="crontab")
    for name, rules, fault, template, old, new, caught_by in (
        (
            "table_run_for_ever", (33,), "A run of a table's that brings the server down is begun without end.",
            "give.c.in", "\telse if (attempts >= MOST_ATTEMPTS)\n", "\telse if (attempts < 0)\n",
            ("schedule_table.crash_again",),
        ),
        (
            "table_paused_begun_again", (), "What was cut off is begun again though its schedule is paused.",
            "give.c.in", "\telse if (paused)\n", "\telse if (false && paused)\n", ("schedule_table.paused",),
        ),
        (
            "table_statement_begun_again", (), "What a table has run outside a transaction is begun again.",
            "give.c.in", "\telse if (!transaction)\n", "\telse if (false)\n", ("schedule_table.terminate",),
        ),
        (
            "table_left_not_looked_for", (12,), "Nobody looks for a run whose process has ended.",
            "give.c.in", "found = runner->state == @{mac.runner_vacant} && runner->run != 0;", "found = false;",
            ("schedule_table.terminate",),
        ),
        (
            "table_begun_not_counted", (33,), "A run that is begun again is not written down as begun.",
            "runner.c.in", "\tif (command.waiting)\n\t{", "\tif (command.waiting && !command.transaction)\n\t{",
            ("schedule_table.crash_again",),
        ),
        (
            "table_failure_not_written", (28,), "A run that has failed is taken for one that was left.",
            "runner.c.in", "\t\tif (has_failed)\n\t\t\tnote_failure(worker);\n", "\t\thas_failed = false;\n",
            ("schedule_table.error",),
        ),
        (
            "table_reload_unseen", (14,), "A scheduler that has nothing to do sees no reload.",
            "scheduler.c.in", "\tif (PgReloadTime != config_seen)\n\t\treturn 0;\n", "", ("extension.dormant",),
        ),
    )
)  # fmt: skip

_TRIED = tuple(
    Mutant(name, (), fault, template, old, new, (), tests=tests)
    for name, fault, template, old, new, tests in (
        (
            "triggers_at_commit", "Triggers that put themselves off are fired by the commit, as another role.",
            "session.c.in", "\tAfterTriggerFireDeferred();\n", "",
            f"{_ATTACKS}::test_triggers_that_put_themselves_off_are_timed_and_leave_nothing",
        ),
        (
            "undone_run_given_out", "After an error the scheduler gives out what that has undone.",
            "give.c.in", "\tmemset(settled, 0, sizeof(settled));\n\tnpending = 0;\n",
            "\tmemset(settled, 0, sizeof(settled));\n",
            f"{_ATTACKS}::test_an_error_of_the_scheduler_gives_no_run_out_twice",
        ),
        (
            "rows_of_a_run_kept", "All rows of a SELECT are kept in memory.",
            "runner.c.in", "\toptions.dest = None_Receiver;\n", "",
            f"{_ATTACKS}::test_rows_that_nobody_reads_are_not_kept",
        ),
        (
            "one_stops_all", "A schedule whose time zone is not known stops all others.",
            "scheduler.c.in", "row->known = @{sym.times_known}(&row->times);", "row->known = true;",
            f"{_ATTACKS}::test_what_another_server_has_taken_ends_no_restore",
        ),
        (
            "too_late_for_want_of_room", "What has waited for a process is taken for missed.",
            "scheduler.c.in", "next, Min(full_since, now), now);", "next, now, now);",
            f"{_CLOCK}::test_what_waits_for_a_process_is_not_missed",
        ),
        (
            "made_up_zones", "Time zones are taken that somebody has made up.",
            "calendar.c.in", "is_place(name) ? pg_tzset(name) : NULL", "pg_tzset(name)",
            f"{_ATTACKS}::test_a_zone_is_one_of_the_database",
        ),
        (
            "command_not_read", "A command is not read when it is set.",
            "table.c.in", "\tif ((before == NULL && !is_restored()) ||\n", "\tif (false && (before == NULL) ||\n",
            f"{_TESTS}::test_a_command_is_read_when_it_is_set",
        ),
        (
            "set_again_misses", "A schedule that is set again as it is misses what is due.",
            "table.c.in", "\tif (before == NULL || other_times(before, row, tupdesc))\n", "\tif (true)\n",
            f"{_TESTS}::test_a_schedule_that_is_set_again_as_it_is_misses_nothing",
        ),
    )
)  # fmt: skip

_BEFORE_17 = (
    Mutant(
        "owners_role_unseen", (), "An owner who may log in from now on is given the old session.",
        "give.c.in", "\t\t\trunner->role != given->role ||", "\t\t\t", (),
        major=15, tests=f"{_ATTACKS}::test_an_owner_who_may_log_in_from_now_on_does",
    ),
    Mutant(
        "triggers_as_another", (8,), "Triggers that put themselves off are fired by the commit, as a superuser.",
        "session.c.in", "\tAfterTriggerFireDeferred();\n", "", (),
        major=15, tests=f"{_ATTACKS}::test_triggers_that_put_themselves_off_are_still_the_owners",
    ),
)  # fmt: skip

TABLES = (*_SUITE, *_TRIED, *_BEFORE_17)
"""Mutants of tables of schedules."""
