"""BGW4xx: workers and their options."""

from __future__ import annotations

from pgbgw.diagnostics.code import error

__all__ = ["ROWS"]

ROWS = (
    error(
        "BGW401",
        "start of a worker does not exist",
        """
        PostgreSQL starts a worker at one of three moments (bgworker.h): postmaster, as soon as the server's own
        process is up, without any database; consistent, once a standby can be read; recovery_finished, once the
        server takes writes.
        """,
        wrong="""
        shop.interval_worker("beat", every=minutes(1), run=sql("SELECT 1"), start="always")
        """,
        right="""
        shop.interval_worker("beat", every=minutes(1), run=sql("SELECT 1"), start="consistent")
        """,
    ),
    error(
        "BGW402",
        "log level of a worker does not exist",
        """
        The level at which a worker tells of each round: debug5 to debug1, or log. Life cycle and failures are logged
        at LOG and WARNING whatever it says.
        """,
        wrong="""
        shop.interval_worker("beat", every=minutes(1), run=sql("SELECT 1"), log_level="info")
        """,
        right="""
        shop.interval_worker("beat", every=minutes(1), run=sql("SELECT 1"), log_level="log")
        """,
    ),
    error(
        "BGW403",
        "duration can't be used",
        """
        Durations are written seconds(10), milliseconds(500), minutes(5), so that a number never stands without its
        unit. A worker waits on its latch in milliseconds, up to 24 days; timeouts are armed in milliseconds; the
        restart interval (bgw_restart_time) counts whole seconds.
        """,
        wrong="""
        shop.interval_worker("beat", every=60, run=sql("SELECT 1"))
        """,
        right="""
        shop.interval_worker("beat", every=seconds(60), run=sql("SELECT 1"))
        """,
    ),
    error(
        "BGW404",
        "when and unless take a boolean setting",
        """
        when= and unless= name a boolean setting that the worker reads before each round, so that people can switch
        the work on and off by a reload. A value that is known now can't change; leave such a worker out instead.
        """,
        wrong="""
        shop.interval_worker("beat", every=minutes(1), run=sql("SELECT 1"), when=True)
        """,
        right="""
        beating = shop.bool_setting("beating", True)
        shop.interval_worker("beat", every=minutes(1), run=sql("SELECT 1"), when=beating)
        """,
    ),
    error(
        "BGW405",
        "main argument is not a 32-bit integer",
        """
        The main argument reaches the worker as bgw_main_arg, a Datum, from which an integer of 32 bits is read on
        every platform. It tells apart workers that run the same code.
        """,
        wrong="""
        shop.interval_worker("beat", every=minutes(1), run=sql("SELECT 1"), main_argument=2**40)
        """,
        right="""
        shop.interval_worker("beat", every=minutes(1), run=sql("SELECT 1"), main_argument=7)
        """,
    ),
    error(
        "BGW406",
        "worker has nothing to run",
        """
        run= is a statement, sql("..."), or a function that is called without one, call("schema.function", ...). Plain
        text is not taken for SQL, so that each piece of SQL is marked where it stands and parsed there.
        """,
        wrong="""
        shop.interval_worker("beat", every=minutes(1), run="SELECT 1")
        """,
        right="""
        shop.interval_worker("beat", every=minutes(1), run=sql("SELECT 1"))
        """,
    ),
    error(
        "BGW407",
        "value is not an action",
        """
        on_done=, on_failed= and on_round= take what a field of shared state offers: stats.sent.add(1),
        stats.status.report(), or a tuple of such. They are carried out in C, so a Python function can't stand there.
        """,
        wrong="""
        shop.queue_worker("deliver", mail, run=call("public.deliver", "address"), on_done=stats.sent)
        """,
        right="""
        shop.queue_worker("deliver", mail, run=call("public.deliver", "address"), on_done=stats.sent.add(1))
        """,
    ),
    error(
        "BGW408",
        "number of processes is out of range",
        """
        A queue worker has 1 to 1024 processes, or as many as an integer setting of context postmaster says. Each takes
        one of the server's max_worker_processes.
        """,
        wrong="""
        shop.queue_worker("deliver", mail, run=call("public.deliver", "address"), workers=0)
        """,
        right="""
        shop.queue_worker("deliver", mail, run=call("public.deliver", "address"), workers=2)
        """,
    ),
    error(
        "BGW409",
        "batch is out of range",
        """
        A batch is what one transaction takes at most, 1 to 100000 jobs, or an integer setting. Large batches commit
        less often and hold locks longer.
        """,
        wrong="""
        shop.queue_worker("deliver", mail, run=call("public.deliver", "address"), batch=1_000_000)
        """,
        right="""
        shop.queue_worker("deliver", mail, run=call("public.deliver", "address"), batch=1000)
        """,
    ),
    error(
        "BGW410",
        "queue worker has no queue",
        """
        The second argument of queue_worker() is the value that queue() returned, not its name or its payload class.
        """,
        wrong="""
        shop.queue_worker("deliver", "mail", run=call("public.deliver"))
        """,
        right="""
        shop.queue_worker("deliver", mail, run=call("public.deliver", "address"))
        """,
    ),
    error(
        "BGW411",
        "limit of a dynamic worker is out of range",
        """
        The limit says how many processes of a dynamic worker may run at once, 1 to 1024, or an integer setting of
        context postmaster. It sizes the table in shared memory through which a new process reports that it is ready.
        """,
        wrong="""
        shop.dynamic_worker("task", run=call("public.task"), limit=0)
        """,
        right="""
        shop.dynamic_worker("task", run=call("public.task"), limit=2)
        """,
    ),
    error(
        "BGW412",
        "source of a C worker can't be used",
        """
        The file is read when it is declared and becomes part of the emitted tree, under its own name. It is sought
        relative to the file with the declaration, is UTF-8, and has a name of letters, digits, dashes and underscores
        that ends in .c, as make needs it.
        """,
        wrong="""
        shop.c_worker("sampler", source="no_such_file.c")
        """,
        right="""
        shop.c_worker("sampler", source="sampler.c")
        """,
    ),
    error(
        "BGW413",
        "option has a value of the wrong type",
        """
        Each option takes one type, which a type checker knows too. Examples: database= and role= are text or a string
        setting, title= and activity= are text, alive= is a gauge or an integer of shared state, args= maps
        names to SQL types, notify= and transaction= are True or False.
        """,
        wrong="""
        shop.interval_worker("beat", every=minutes(1), run=sql("SELECT 1"), alive=stats.sent)
        """,
        right="""
        shop.interval_worker("beat", every=minutes(1), run=sql("SELECT 1"), alive=stats.alive)
        """,
    ),
    error(
        "BGW414",
        "option does not exist",
        """
        The worker was given a keyword that no worker of its kind has. The hint names the nearest one that exists.
        """,
        wrong="""
        shop.interval_worker("beat", every=minutes(1), run=sql("SELECT 1"), tittle="beat")
        """,
        right="""
        shop.interval_worker("beat", every=minutes(1), run=sql("SELECT 1"), title="beat")
        """,
    ),
    error(
        "BGW415",
        "sources of two C workers clash",
        """
        All sources are compiled side by side into one library. Two different files of one name would overwrite each
        other, and so would one that has the name of an emitted file, such as queue.c, lease.c or shared.c, and all that
        begin with worker_. Two files that define the same function can't be linked. Two workers may share one file.
        """,
        wrong="""
        shop.c_worker("sampler", source="sampler.c")
        shop.c_worker("counter", source="counter.c", function="sampler")
        """,
        right="""
        shop.c_worker("sampler", source="sampler.c")
        shop.c_worker("counter", source="counter.c")
        """,
    ),
    error(
        "BGW416",
        "schedule is no cron expression",
        """
        A schedule has five fields as in crontab(5): minute, hour, day of the month, month, day of the week; or six, the
        first of them the second; or it is a name such as @daily. Days that never come, such as the 30th of February,
        are refused as well. docs/schedules.md has all that a field may be.
        """,
        wrong="""
        shop.cron_worker("tidy", "0 25 * * *", run=sql("SELECT 1"))
        """,
        right="""
        shop.cron_worker("tidy", "0 23 * * *", run=sql("SELECT 1"))
        """,
    ),
    error(
        "BGW417",
        "time zone does not exist",
        """
        Schedules go by the clocks of a zone of the tz database, such as Europe/Paris; the names tell upper and lower
        case apart. The server has the same names in pg_timezone_names. Abbreviations such as CEST are none: they do not
        tell when clocks change.
        """,
        wrong="""
        shop.cron_worker("tidy", "0 2 * * *", time_zone="Paris", run=sql("SELECT 1"))
        """,
        right="""
        shop.cron_worker("tidy", "0 2 * * *", time_zone="Europe/Paris", run=sql("SELECT 1"))
        """,
    ),
    error(
        "BGW418",
        "rule of a schedule does not exist",
        """
        gap= is "after" or "skip", for fixed times that clocks leave out; repeated= is "first" or "both", for those that
        they show twice; missed= is "once", "skip" or catch_up(n), for times at which nothing could run.
        """,
        wrong="""
        shop.cron_worker("tidy", "0 2 * * *", missed="all", run=sql("SELECT 1"))
        """,
        right="""
        shop.cron_worker("tidy", "0 2 * * *", missed=catch_up(24), run=sql("SELECT 1"))
        """,
    ),
    error(
        "BGW419",
        "schedule is given twice, or not at all",
        """
        A cron worker has a cron expression, or in its place an interval: every=, and since= for when the first of its
        times was. What clocks leave out or show twice plays no part in intervals.
        """,
        wrong="""
        shop.cron_worker("beat", "*/7 * * * *", every=minutes(7), run=sql("SELECT 1"))
        """,
        right="""
        shop.cron_worker("beat", every=minutes(7), run=sql("SELECT 1"))
        """,
    ),
    error(
        "BGW420",
        "worker runs SQL without a database",
        """
        A background worker that runs SQL is connected to one database for its whole life. Name it once for the
        extension, or for one worker, as text or as a string setting of context postmaster. Dynamic workers need none:
        they run in the database of who launches them.
        """,
        wrong="""
        shop = Extension("shop")
        shop.interval_worker("beat", every=minutes(1), run=sql("SELECT 1"))
        """,
        right="""
        shop = Extension("shop", database="shopdb")
        shop.interval_worker("beat", every=minutes(1), run=sql("SELECT 1"))
        """,
    ),
    error(
        "BGW421",
        "worker starts before there is a database",
        """
        With start="postmaster" a worker runs before recovery, when no database can be connected to; PostgreSQL refuses
        a database connection for such a worker when it is registered (SanityCheckBackgroundWorker in bgworker.c). Only
        a C worker with sql=False can start then.
        """,
        wrong="""
        shop.interval_worker("beat", every=minutes(1), run=sql("SELECT 1"), start="postmaster")
        """,
        right="""
        shop.interval_worker("beat", every=minutes(1), run=sql("SELECT 1"))
        """,
    ),
    error(
        "BGW422",
        "worker writes while the server may be a standby",
        """
        With start="consistent" a worker also runs on a standby and during recovery, where nothing can be written.
        Taking a job from a queue is a write. Statements must be of a shape that only reads: SELECT, VALUES or TABLE
        without FOR UPDATE and its kin, INTO, or a data-modifying CTE. Functions may still write; then the server
        refuses at run time.
        """,
        wrong="""
        shop.interval_worker("tidy", every=hours(1), run=sql("DELETE FROM public.a"), start="consistent")
        """,
        right="""
        shop.interval_worker("tidy", every=hours(1), run=sql("DELETE FROM public.a"))
        """,
    ),
    error(
        "BGW423",
        "option makes no sense for a dynamic worker",
        """
        A dynamic worker is launched from SQL, in the database and as the role of who launches it, runs once, and ends.
        So it has no database= and role= of its own, no when= and unless=, no on_round=, no start="postmaster", and it
        is never started again: a second run would repeat the work of the first.
        """,
        wrong="""
        shop.dynamic_worker("task", run=call("public.task"), restart=seconds(10))
        """,
        right="""
        shop.dynamic_worker("task", run=call("public.task"))
        """,
    ),
    error(
        "BGW424",
        "value belongs to another extension",
        """
        Settings, queues and shared state live in the library of the extension that declares them. The C of one
        extension can't reach the variables of another, which may not even be loaded.
        """,
        wrong="""
        shop = Extension("shop", database="shopdb")
        stock = Extension("stock")
        pause = stock.int_setting("pause", 10, min=1, unit="s")
        shop.interval_worker("beat", every=pause, run=sql("SELECT 1"))
        """,
        right="""
        shop = Extension("shop", database="shopdb")
        pause = shop.int_setting("pause", 10, min=1, unit="s")
        shop.interval_worker("beat", every=pause, run=sql("SELECT 1"))
        """,
    ),
    error(
        "BGW425",
        "time of a schedule can't be used",
        """
        since=, not_before= and not_after= take a datetime with a time zone, or a text in ISO 8601 with an offset from
        UTC, or a Z; in whole seconds. A time without an offset would be another one on each machine. not_after= is not
        earlier than not_before=.
        """,
        wrong="""
        shop.cron_worker("beat", every=minutes(7), since="2026-01-01T00:00:00", run=sql("SELECT 1"))
        """,
        right="""
        shop.cron_worker("beat", every=minutes(7), since="2026-01-01T00:00:00+01:00", run=sql("SELECT 1"))
        """,
    ),
    error(
        "BGW426",
        "extension has operators and no schedules",
        """
        operators= of an extension are roles that look at its schedules and steer them. Without a worker that runs by
        the calendar there is nothing for them: a queue has operators= of its own.
        """,
        wrong="""
        shop = Extension("shop", database="shopdb", operators="support")
        shop.interval_worker("beat", every=minutes(1), run=sql("SELECT 1"))
        """,
        right="""
        shop = Extension("shop", database="shopdb", operators="support")
        shop.cron_worker("beat", "* * * * *", run=sql("SELECT 1"))
        """,
    ),
    error(
        "BGW427",
        "retries of a schedule can't be used",
        """
        A run that fails is tried again retries= times, 0 to 32766, unless the next time of its schedule comes first.
        The first retry waits for backoff, and each further one twice as long as the one before, up to backoff_limit.
        Both are durations above zero and up to a year, and the first is not the longer one.
        """,
        wrong="""
        shop.cron_worker("tidy", "0 2 * * *", run=sql("SELECT 1"), retries=3, backoff=hours(2))
        """,
        right="""
        shop.cron_worker("tidy", "0 2 * * *", run=sql("SELECT 1"), retries=3, backoff=minutes(2))
        """,
    ),
    error(
        "BGW428",
        "overlap of a schedule can't be used",
        """
        overlap= is "wait", "skip" or allow(n) with n from 1 to 100: so many runs may be under way beside each other,
        each in a process of its own. With "skip" the end of a run settles all that came due until then, and nothing is
        left that missed=catch_up(n) could make up for.
        """,
        wrong="""
        shop.cron_worker("poll", "* * * * *", run=sql("SELECT 1"), missed=catch_up(5), overlap="skip")
        """,
        right="""
        shop.cron_worker("poll", "* * * * *", run=sql("SELECT 1"), missed="once", overlap="skip")
        """,
    ),
    error(
        "BGW431",
        "option of a schedule table can't be used",
        """
        runs= is how many runs may be under way at a time, from 1 to 256: each has a process, which is launched when it
        is wanted. keep= is for how long it is kept what became of a run, from an hour to ten years.
        """,
        wrong="""
        shop.schedule_table("jobs", runs=0)
        """,
        right="""
        shop.schedule_table("jobs", runs=4)
        """,
    ),
)
