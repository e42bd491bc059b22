"""The mutants: at least one for each rule that a check guards, in the order of the rules."""

from __future__ import annotations

from tests.mutants.mutant import Mutant
from tests.mutants.schedules import SCHEDULES
from tests.mutants.tables import TABLES

__all__ = ["MUTANTS"]

_REGISTRATION = (
    Mutant(
        "function_of_another_name", (2,), "The postmaster is told of a function that the library does not have.",
        "module.c.in", '"%s", function);', '"%s_", function);', (),
    ),
    Mutant(
        "setting_outside_preload", (3,), "A setting of context postmaster is defined in any session.",
        "module.c.in",
        "//% if preload_settings\n\tif (process_shared_preload_libraries_in_progress)\n",
        "//% if preload_settings\n\tif (true)\n",
        ("copy.not_preloaded",),
    ),
    Mutant(
        "switch_not_read", (4,), "The setting that switches a worker off is not looked at in the loop.",
        "worker_queue.c.in", "@{sym.ready}(@{condition(w)},", "@{sym.ready}(true,", ("signal.switch",),
    ),
    Mutant(
        "extension_not_looked_for", (6,), "A worker begins rounds without its extension.",
        "session.c.in", "if (!OidIsValid(extension))\n\t\treturn @{mac.missing};",
        "if (!OidIsValid(extension))\n\t\treturn @{mac.no_obstacle};", ("extension.*",),
    ),
    Mutant(
        "connection_not_awaited", (6,), "A worker that could not connect tries again and again.",
        "life_cycle.c.in", "if (failed_before)\n\t\t\t@{sym.await_connection}(my_slot, database, role);",
        "(void) failed_before;", ("slots.*", "database.*"),
    ),
    Mutant(
        "search_path_not_pinned", (8,), "The search_path of database or role reaches the worker.",
        "session.c.in", '\t\t{"search_path", "pg_catalog, pg_temp"},\n', "", ("hostile.*",),
    ),
    Mutant(
        "shutdown_by_anybody", (8,), "PUBLIC may call request_shutdown().",
        "extension.sql.in", "REVOKE ALL ON FUNCTION @{raw(m.request_shutdown.name)}() FROM PUBLIC;\n", "",
        ("security.*",),
    ),
    Mutant(
        "launch_by_anybody", (8,), "PUBLIC may launch a worker.",
        "extension.sql.in",
        "REVOKE ALL ON FUNCTION @{raw(worker.launch.name)}(@{type_list(worker.arguments)}) FROM PUBLIC;\n", "",
        ("security.*",),
    ),
)  # fmt: skip

_LIFE_CYCLE = (
    Mutant(
        "flag_instead_of_die", (10,), "SIGTERM sets a flag and does not end a running query.",
        "life_cycle.c.in", "pqsignal(SIGTERM, die);", "pqsignal(SIGTERM, SignalHandlerForShutdownRequest);",
        ("shutdown.*", "signal.*"), times=2,
    ),
    Mutant(
        "no_interrupt_check", (11,), "The loop does not check for interrupts.",
        "life_cycle.c.in", "\tCHECK_FOR_INTERRUPTS();\n\tif (ConfigReloadPending)", "\tif (ConfigReloadPending)",
        ("database.*", "signal.*"),
    ),
    Mutant(
        "exit_status_0", (12,), "A worker that waited for its database ends with status 0, which unregisters it.",
        "database.c.in", "\tLWLockRelease(&@{sym.shared}->lock);\n\tproc_exit(1);",
        "\tLWLockRelease(&@{sym.shared}->lock);\n\tproc_exit(0);", ("database.*", "slots.*"),
    ),
    Mutant(
        "deaf_while_asleep", (13,), "A sleeping worker does not listen to its latch.",
        "life_cycle.c.in", "WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,\n\t\t\t(long) (timeout - last),",
        "WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,\n\t\t\t(long) (timeout - last),", ("enqueue.insert", "signal.*"),
    ),
    Mutant(
        "no_handler_at_the_top", (15,), "An error at the top of the loop ends the process.",
        "worker_queue.c.in", "\tPG_exception_stack = &local_sigjmp_buf;\n", "", ("signal.*",),
    ),
    Mutant(
        "reload_ignored", (14,), "A reload is noticed, and its settings are not read.",
        "life_cycle.c.in", "\t\tProcessConfigFile(PGC_SIGHUP);\n", "", ("signal.*", "item.*"),
    ),
)  # fmt: skip

_ITEMS = (
    Mutant(
        "timeout_not_armed", (17,), "The timeout of a job is never armed.",
        "batch.c.in",
        "\tif (handler->timeout > 0)\n\t\tenable_timeout_after(STATEMENT_TIMEOUT, handler->timeout);\n\told_context",
        "\told_context", ("resource.*",), declaration="kinds",
    ),
    Mutant(
        "read_only_by_default", (18,), "default_transaction_read_only of database or role reaches the worker.",
        "session.c.in", '\t\t{"default_transaction_read_only", "off"},\n', "", ("hostile.*",),
    ),
    Mutant(
        "isolation_by_default", (18,), "default_transaction_isolation of database or role reaches the worker.",
        "session.c.in", '\t\t{"default_transaction_isolation", "read committed"},\n', "", ("hostile.*",),
    ),
    Mutant(
        "lock_timeout_by_default", (18,), "lock_timeout of database or role reaches the worker.",
        "session.c.in", '\t\t{"lock_timeout", "0"},\n', "", ("hostile.*",),
    ),
    Mutant(
        "transaction_timeout", (18,), "transaction_timeout of database or role ends the worker.",
        "session.c.in", '\t\t{"transaction_timeout", "0"},\n', "", ("hostile.*",),
    ),
    Mutant(
        "jobs_counted_by_spi", (19,), "The loop over a batch ends where SPI_processed says.",
        "batch.c.in",
        "\t\tfor (int i = 0; i < batch->njobs; i += step)", "\t\tfor (int i = 0; i < (int) SPI_processed; i += step)",
        ("item.nested",),
        declaration="kinds",
    ),
    Mutant(
        "values_not_copied", (19,), "The values of a job point into the page that they were read from.",
        "claim.c.in", "datumCopy(value, false, attribute->attlen)", "value", ("item.null",),
    ),
    Mutant(
        "null_not_tested", (21,), "A NULL is dereferenced when the values of a job are copied.",
        "claim.c.in", "if (job->nulls[column] || attribute->attbyval)", "if (attribute->attbyval)", ("item.null",),
    ),
    Mutant(
        "null_told_as_value", (21,), "A handler is told that a NULL argument is a value.",
        "run.in", "isnull = @{null_of(parameter)};", "isnull = false;", ("item.null",),
    ),
    Mutant(
        "batch_lost_with_its_item", (22,), "After an error the other jobs of a batch are not run again.",
        "batch.c.in", "\tif (!run_together(batch, handler))\n",
        "\tif (!run_together(batch, handler) && batch->nfailed == 0)\n",
        ("item.error",),
    ),
    Mutant(
        "constraints_at_commit", (22,), "Deferred constraints are left to the commit of the whole batch.",
        "session.c.in", "\tAfterTriggerSetState(statement);\n", "\t(void) statement;\n", ("item.deferred",),
    ),
    Mutant(
        "constraints_stay_immediate", (22,), "After a failure constraints are no longer deferred for the next job.",
        "batch.c.in", "if (restore != NULL && SPI_execute(restore, false, 0) != SPI_OK_UTILITY)",
        "if (restore != NULL && false)", ("item.deferred",),
    ),
    Mutant(
        "one_attempt_too_few", (22,), "A job is given up one attempt before the declaration says.",
        "settle.c.in", "attempt <= queue->retries", "attempt < queue->retries", ("item.error",),
    ),
    Mutant(
        "one_batch_a_wake_up", (23,), "A worker goes to sleep after one batch, however many jobs are left.",
        "worker_queue.c.in", "\t\twhile (@{sym.ready}(@{condition(w)},",
        "\t\tif (@{sym.ready}(@{condition(w)},", ("enqueue.*", "endurance.*"),
    ),
    Mutant(
        "statistics_not_reported", (24,), "Statistics are not reported after a commit.",
        "session.c.in", "\tdebug_query_string = NULL;\n\tpgstat_report_stat(true);",
        "\tdebug_query_string = NULL;", ("endurance.*",),
    ),
)  # fmt: skip

_ERRORS = (
    Mutant(
        "snapshot_popped_after_an_error", (27,), "The error path pops a snapshot that may not have been pushed.",
        "life_cycle.c.in", "\tdebug_query_string = NULL;\n\tAbortCurrentTransaction();",
        "\tdebug_query_string = NULL;\n\tPopActiveSnapshot();\n\tAbortCurrentTransaction();", ("signal.*",),
    ),
    Mutant(
        "transaction_not_aborted", (28,), "The error path does not abort the transaction.",
        "life_cycle.c.in", "\tAbortCurrentTransaction();\n", "", ("extension.*", "endurance.*", "session.*"),
        declaration="kinds",
    ),
    Mutant(
        "memory_reset_before_abort", (28,), "The error path frees memory before it aborts the transaction.",
        "life_cycle.c.in", "\tdebug_query_string = NULL;\n\tAbortCurrentTransaction();",
        "\tdebug_query_string = NULL;\n\tMemoryContextReset(@{sym.loop_context});\n\terror = NULL;\n"
        "\tFlushErrorState();\n\tMemoryContextDeleteChildren(TopTransactionContext);\n\tAbortCurrentTransaction();",
        ("extension.*", "endurance.*", "session.*"), declaration="kinds",
    ),
    Mutant(
        "no_back_off", (30,), "After an error a worker tries again at once.",
        "life_cycle.c.in", "\tretry_at = TimestampTzPlusMilliseconds(failed_at, delay);\n",
        "\t(void) delay;\n", ("endurance.*", "extension.*"),
    ),
    Mutant(
        "failures_told_one_by_one", (30,), "The reports of failed jobs are not limited.",
        "log.c.in", "return may_write(&reports, MOST_REPORTS, failures);", "return true;", ("resource.*",),
    ),
    Mutant(
        "messages_not_limited", (30,), "The messages of handlers are not limited.",
        "log.c.in", "edata->output_to_server = false;", "(void) edata;", ("resource.*",),
    ),
)  # fmt: skip

_SHARED = (
    Mutant(
        "not_preloaded_not_tested", (31,), "A function uses shared memory that is not there.",
        "shared.c.in", "\tif (@{sym.shared} == NULL)\n\t\tereport(ERROR,", "\tif (false)\n\t\tereport(ERROR,",
        ("copy.not_preloaded",),
    ),
    Mutant(
        "slot_kept_after_exit", (33,), "A process that ends leaves its pid and latch in its slot.",
        "life_cycle.c.in", "\t\tmy_slot->pid = 0;\n\t\tmy_slot->latch = NULL;\n", "", ("signal.*", "database.*"),
    ),
    Mutant(
        "alive_only_counts_up", (33,), "The gauge of living processes is not counted down.",
        "life_cycle.c.in", "(*(int64 *) ((char *) @{sym.shared} + me->alive))--;", ";", ("signal.*", "crash.*"),
        declaration="kinds",
    ),
    Mutant(
        "stopped_is_failure", (35,), "A launch whose process has ended already is told as failed.",
        "launch.c.in", "\t\tif (ready != 0)\n\t\t\treturn ready;\n\t\tif (status == BGWH_STOPPED)",
        "\t\tif (ready != 0 && status != BGWH_STOPPED)\n\t\t\treturn ready;\n\t\tif (status == BGWH_STOPPED)",
        ("slots.*",),
    ),
    Mutant(
        "slot_of_a_refused_launch", (38,), "A launch that was refused keeps its slot.",
        "launch.c.in", "\tif (!released->attached)\n\t\treleased->running = false;\n", "", ("slots.*",),
    ),
)  # fmt: skip

_DATABASES = (
    Mutant(
        "no_way_made", (39,), "Workers do not leave a database that a statement wants for itself.",
        "statement.c.in", "\tProcessUtility_hook = process_utility;\n", "", ("database.*",),
    ),
    Mutant(
        "hold_not_respected", (39,), "A worker connects while a statement wants the database for itself.",
        "database.c.in", "\t\tif (holds == 0)\n\t\t\treturn;\n", "\t\t(void) holds;\n\t\treturn;\n",
        ("database.delayed",), declaration="kinds",
    ),
    Mutant(
        "extension_not_locked", (41,), "A round touches the tables before it has locked the extension.",
        "session.c.in", "\tLockDatabaseObject(ExtensionRelationId, extension, 0, AccessShareLock);\n", "",
        ("extension.*",),
    ),
    Mutant(
        "version_not_compared", (40,), "A worker works on SQL objects of another version.",
        "session.c.in", "if (strcmp(*version, @{string(m.version)}) != 0)", "if (false)", ("extension.*",),
    ),
    Mutant(
        "restored_copy_works", (40,), "A restored copy starts working by itself.",
        "session.c.in", "return restored || rows > 1;", "return false;", ("copy.restored",),
    ),
)  # fmt: skip

_QUEUE = (
    Mutant(
        "no_wake_up", (44,), "A commit wakes nobody.",
        "shared.c.in", "\t\t\tslot->woken = true;\n\t\t\tSetLatch(latch);\n", "\t\t\tslot->woken = false;\n",
        ("enqueue.*",),
    ),
    Mutant(
        "woken_before_commit", (44,), "Workers are woken before the rows can be seen.",
        "module.c.in", "\t\tcase XACT_EVENT_COMMIT:\n", "\t\tcase XACT_EVENT_PRE_COMMIT:\n", ("enqueue.*",),
    ),
    Mutant(
        "trigger_switched_off", (44,), "Replication's setting switches the wake-up off.",
        "extension.sql.in",
        "ALTER TABLE @{raw(queue.table)} ENABLE ALWAYS TRIGGER @{raw(queue.trigger)};\n", "",
        ("enqueue.*", "hostile.*"),
    ),
    Mutant(
        "request_not_kept", (), "A request to shut down is forgotten in a crash.",
        "shared.c.in", "\tkeep_request();\n\tset_shutdown_requested(true);", "\tset_shutdown_requested(true);",
        ("shutdown.*",),
    ),
    Mutant(
        "request_not_heard", (), "A request to shut down is not looked at.",
        "life_cycle.c.in", "if (shutdown_requested || !wanted || queue_paused)", "if (!wanted || queue_paused)",
        ("shutdown.*",),
    ),
)  # fmt: skip

_SESSION = tuple(
    Mutant(f"{name}_left", (), f"{what} that a handler leaves in its session stay there.", "session.c.in", old, "",
           ("session.*",))
    for name, what, old in (
        ("settings", "Settings", "\tResetAllOptions();\n"),
        ("role", "Roles", '\tSetPGVariable("session_authorization", NIL, false);\n'),
        ("prepared", "Prepared statements", "\tDropAllPreparedStatements();\n"),
        ("cursors", "Cursors", "\tPortalHashTableDeleteAll();\n"),
        ("locks", "Advisory locks", "\tLockReleaseSession(USER_LOCKMETHOD);\n"),
        ("temporary", "Temporary tables", "\tResetTempTableNamespace();\n"),
    )
)  # fmt: skip

_CLAIMS = (
    Mutant(
        "marks_not_lowered", (44,), "A commit wakes the workers, and does not tell them where its jobs begin.",
        "lane.c.in", "@{sym.lower_lane}(lane, -1, after);", "@{sym.lower_lane}(lane, -1, PG_INT64_MAX);", ("claim.*",),
    ),
    Mutant(
        "told_after_the_fact", (44,), "What is noted as the last id before jobs are put there is read after that.",
        "extension.sql.in", "BEFORE INSERT ON @{raw(queue.table)}", "AFTER INSERT ON @{raw(queue.table)}",
        ("enqueue.*", "claim.*"),
    ),
    Mutant(
        "locked_jobs_forgotten", (44,), "Jobs that were locked when a worker came by are not looked at again.",
        "behind.c.in", "\tlane->locked_until = Min(lane->locked_until, again);\n", "", ("claim.*",),
    ),
    Mutant(
        "changes_not_told", (44,), "A job that was changed behind the mark is not told of.",
        "extension.sql.in",
        "CREATE TRIGGER @{raw(queue.update_trigger)} AFTER UPDATE ON @{raw(queue.table)}\n    FOR EACH ROW",
        "CREATE TRIGGER @{raw(queue.update_trigger)} AFTER TRUNCATE ON @{raw(queue.table)}\n    FOR EACH STATEMENT",
        ("claim.*",),
    ),
    Mutant(
        "claims_not_released", (22,), "The mark stays behind jobs whose batch was undone.",
        "lane.c.in", "\t\tif (claims[i].some && !kept)\n", "\t\tif (false)\n", ("claim.*",),
    ),
)  # fmt: skip

_LEASES = (
    Mutant(
        "attempt_not_counted", (), "A session that claims a job has the attempt counted only when it fails.",
        "lease.c.in", "Int32GetDatum(@{sym.next_attempt}(DatumGetInt32(job->values[ncolumns - 2])))",
        "job->values[ncolumns - 2]", ("lease.*",), declaration="kinds",
    ),
    Mutant(
        "ends_not_told", (), "Nobody is told when a lease ends that is given while none is held.",
        "module.c.in", "\t\t\tif (leased)\n\t\t\t\ttell_leases();\n", "\t\t\t(void) tell_leases;\n", ("lease.*",),
        declaration="kinds",
    ),
    Mutant(
        "session_claims_not_released", (44,), "The mark stays behind jobs whose claim by a session was undone.",
        "module.c.in", "@{sym.end_claims}(event == XACT_EVENT_COMMIT);", "@{sym.end_claims}(true);", ("lease.*",),
        declaration="kinds",
    ),
    Mutant(
        "listeners_not_told", (), "Whoever listens is told of no job.",
        "keep.c.in", "\t\t\tAsync_Notify(queues[i]->channel, NULL);\n", "\t\t\tcontinue;\n", ("lease.*",),
        declaration="kinds",
    ),
    Mutant(
        "pause_not_looked_at", (), "A worker does not look whether its queue is paused.",
        "queue.c.in", "\tnow = SPI_processed > 0;\n", "\tnow = false;\n", ("shutdown.pause_queue",),
    ),
)  # fmt: skip

MUTANTS: tuple[Mutant, ...] = (
    *_REGISTRATION, *_LIFE_CYCLE, *_ITEMS, *_ERRORS, *_SHARED, *_DATABASES, *_QUEUE, *_CLAIMS, *_LEASES,
    *_SESSION, *SCHEDULES, *TABLES,
)  # fmt: skip
