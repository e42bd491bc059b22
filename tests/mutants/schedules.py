"""Mutants of what runs by the calendar; where no check of the suite could notice one, tests do."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

__all__ = ["SCHEDULES"]

_BESIDE = "tests/server/test_schedule_beside.py"
_CLOCK = "tests/server/test_schedule_clock.py"
_FAULTS = "tests/server/test_schedule_faults.py"
_TESTS = "tests/server/test_schedules.py"

_RUNS = tuple(
    Mutant(name, rules, fault, template, old, new, caught_by, declaration="rota")
    for name, rules, fault, template, old, new, caught_by in (
        (
            "left_run_not_looked_for", (12,), "Nobody looks for a run that a process has left.",
            "schedule.c.in", "\tif (!looked || under_way)\n", "\tif (under_way)\n", ("schedule.terminate",),
        ),
        (
            "left_run_lost", (12,), "A run that was undone with its process is not begun again.",
            "worker_cron.c.in", "take_run}(&schedule, process, true)",
            "take_run}(&schedule, process, false)", ("schedule.terminate",),
        ),
        (
            "statement_begun_again", (), "What was run outside a transaction is begun again, however far it came.",
            "worker_cron.c.in", "take_run}(&schedule, process, false)",
            "take_run}(&schedule, process, true)", ("schedule.terminate",),
        ),
        (
            "crashing_run_for_ever", (33,), "A run that brings the server down is begun again without end.",
            "runs.c.in", " && begun[i] < MOST_BEGUN)", ")", ("schedule.crash_again",),
        ),
        (
            "paused_run_begun_again", (), "A run that was cut off is begun again though its schedule is paused.",
            "schedule.c.in", "false, &row) && row.paused)\n\t\t\tagain = false;", "false, &row) && false)\n"
            "\t\t\tagain = false;", ("schedule.paused",),
        ),
        (
            "failure_not_written", (28,), "A run that has failed is taken for one that was left.",
            "worker_cron.c.in", "\tif (has_failed && !note_failure())\n\t\treturn false;\n",
            "\tif (has_failed && false && !note_failure())\n\t\treturn false;\n", ("schedule.error",),
        ),
        (
            "asked_for_ever", (), "That a run was asked for is not forgotten when it begins.",
            "schedule.c.in", "\tif (row.run_now)\n\t\t@{sym.forget_asked}(schedule);\n", "", ("schedule.*",),
        ),
        (
            "asking_wakes_nobody", (44,), "A worker is not told that a run was asked for.",
            "calendar.c.in", "\t@{sym.note_schedules_changed}();\n", "", ("schedule.error",),
        ),
    )
)  # fmt: skip

_TIMES = tuple(
    Mutant(name, (), fault, template, old, new, (), tests=tests)
    for name, fault, template, old, new, tests in (
        (
            "run_not_planned", "A run begins before the next one is planned.",
            "schedule.c.in", "\tplan(schedule, &row, row.run_now ? row.settled_until : due);\n", "",
            f"{_CLOCK}::test_a_clock_that_is_set_forward_makes_what_lies_between_missed",
        ),
        (
            "asked_run_settles", "A run that is asked for takes the place of those that are due.",
            "schedule.c.in", "row.run_now ? row.settled_until : due", "due",
            f"{_CLOCK}::test_a_run_that_is_asked_for_takes_the_place_of_none_that_is_due",
        ),
        (
            "caught_up_by_one", "Of the times that were missed one is made up for, whatever is declared.",
            "calendar.c.in", "Max(missed, 1)", "1",
            f"{_CLOCK}::test_a_server_that_is_down_over_ten_times",
        ),
        (
            "first_ones_caught_up", "The first of the times that were missed are made up for, and not the last.",
            "calendar.c.in", "result = last[found > wanted ? found % wanted : 0];", "result = first;",
            f"{_CLOCK}::test_a_server_that_is_down_over_ten_times",
        ),
        (
            "skipped_all_the_same", "What was missed is made up for, though it is to be skipped.",
            "calendar.c.in", "if (missed == 0 && result", "if (missed < 0 && result",
            f"{_CLOCK}::test_a_clock_that_is_set_forward_makes_what_lies_between_missed",
        ),
        (
            "late_is_missed", "A run that is late by some seconds is skipped.",
            "calendar.c.in", "#define LATEST\t\t\t60000", "#define LATEST\t\t\t1000",
            f"{_CLOCK}::test_a_server_that_is_down_over_ten_times",
        ),
        (
            "others_left_behind", "Of several runs that are made up for the second comes a minute later.",
            "schedule.c.in", "\t/* there may be more to make up for */\n\tlook_at = 0;\n", "",
            f"{_CLOCK}::test_a_server_that_is_down_over_ten_times",
        ),
        (
            "clock_set_back_not_seen", "A worker does not look again once the clock was set back.",
            "schedule.c.in", "\tif (look_at > TimestampTzPlusMilliseconds(now, LOOK_WAIT))\n\t\treturn 0;\n", "",
            f"{_CLOCK}::test_a_clock_that_was_far_ahead_is_told_and_can_be_mended",
        ),
        (
            "looks_once_an_hour", "A worker looks at its schedule once an hour.",
            "schedule.c.in", "#define LOOK_WAIT\t\t60000", "#define LOOK_WAIT\t\t3600000",
            f"{_CLOCK}::test_a_clock_that_was_set_is_noticed_within_a_minute",
        ),
        (
            "failed_run_backs_off", "After a failed run the next one waits for a back-off.",
            "worker_cron.c.in", "\t\t\t@{sym.let_go_on}();\n", "",
            f"{_CLOCK}::test_a_failed_run_keeps_nobody_from_the_next_one",
        ),
        (
            "rules_forgotten", 'gap="skip" and repeated="both" are not looked at.',
            "calendar.c.in", "&zone, times->rules, ", "&zone, 0, ",
            f"{_CLOCK}::test_a_night_on_which_clocks_change",
        ),
        (
            "offset_after_the_change", "The offset of a zone is the one behind its next change.",
            "calendar.c.in", "\t*offset = before;\n", "\t*offset = after;\n",
            f"{_CLOCK}::test_a_night_on_which_clocks_change",
        ),
        (
            "another_zone", "Every schedule goes by the clocks of UTC.",
            "calendar.c.in", "pg_tzset(name)", 'pg_tzset(name != NULL ? "UTC" : name)',
            f"{_CLOCK}::test_a_night_on_which_clocks_change",
        ),
        (
            "pause_not_seen", "A schedule that is paused runs.",
            "schedule.c.in", "\tif (row->paused)\n\t\treturn false;\n", "",
            f"{_TESTS}::test_a_paused_schedule_stands_still_and_makes_up_for_nothing",
        ),
        (
            "planned_without_lock", "What somebody changes while a worker looks is overwritten.",
            "schedule.c.in", "\t\t\tif (!lock)\n\t\t\t\treturn look(schedule, true, row, due);\n"
            "\t\t\trow->next_run = begin;\n", "\t\t\trow->next_run = begin;\n",
            f"{_FAULTS}::test_what_is_changed_while_a_worker_looks_is_not_undone",
        ),
        (
            "run_without_lock", "A run begins though somebody has paused its schedule meanwhile.",
            "schedule.c.in", "\tif (!look(schedule, true, &row, &due))\n\t\treturn false;\n", "",
            f"{_FAULTS}::test_what_is_paused_while_a_worker_is_about_to_run_does_not_run",
        ),
        (
            "new_declaration_not_followed", "A schedule stays as an earlier version declared it.",
            "schedule.c.in", "\tif (row->redeclared)\n", "\tif (row->redeclared && false)\n",
            f"{_TESTS}::test_another_declaration_is_followed_unless_it_was_changed",
        ),
        (
            "runs_of_others_taken", "A process takes the runs that others have under way for those of its place.",
            "worker_cron.c.in", "@{sym.process_number}(@{first_slot(w)})", "1",
            f"{_BESIDE}::test_a_process_that_ends_in_its_run_leaves_those_of_others_alone",
        ),
        (
            "runs_kept_for_ever", "No run is ever forgotten.",
            "runs.c.in", "\texecute_for(&sql_forget_runs, SPI_OK_DELETE, schedule);\n",
            "\t(void) sql_forget_runs;\n",
            f"{_FAULTS}::test_the_last_thousand_runs_are_kept_of_those_that_fail_as_well",
        ),
        (
            "day_that_never_comes", "A schedule that is never due is taken.",
            "calendar.c.in", "\tif (!pgbgw_cron_comes(cron))\n", "\tif (false)\n",
            f"{_TESTS}::test_what_is_no_schedule_is_refused",
        ),
    )
)  # fmt: skip

SCHEDULES: tuple[Mutant, ...] = (*_RUNS, *_TIMES)
