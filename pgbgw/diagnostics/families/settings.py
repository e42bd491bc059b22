"""BGW3xx: settings, and what they are used for."""

from __future__ import annotations

from pgbgw.diagnostics.code import error, warning

__all__ = ["ROWS"]

ROWS = (
    error(
        "BGW301",
        "context of a setting does not exist",
        """
        The context says when a setting may change, in the words of pg_settings.context: internal (never), postmaster
        (at server start), sighup (on reload), superuser-backend and backend (when a session starts), superuser and
        user (at any time in a session).
        """,
        wrong="""
        batch = shop.int_setting("batch", 100, context="reload")
        """,
        right="""
        batch = shop.int_setting("batch", 100, context="sighup")
        """,
    ),
    error(
        "BGW302",
        "flag of a setting does not exist",
        """
        Flags are those of guc.h without GUC_ and in lower case. GUC_LIST_QUOTE is left out since the server refuses it
        for extensions (init_custom_variable in guc.c); flags for units come from unit=.
        """,
        wrong="""
        roads = shop.string_setting("roads", "", flags=["list_quote"])
        """,
        right="""
        roads = shop.string_setting("roads", "", flags=["list_input"])
        """,
    ),
    error(
        "BGW303",
        "default of a setting has the wrong type",
        """
        Each kind of setting holds one type, as PostgreSQL's own do: a boolean, an integer of 32 bits, a finite double,
        a string, or one of the options of an enum. True is not taken for the integer 1.
        """,
        wrong="""
        batch = shop.int_setting("batch", "100")
        """,
        right="""
        batch = shop.int_setting("batch", 100)
        """,
    ),
    error(
        "BGW304",
        "unit of a setting does not exist",
        """
        The unit is what a number without one in postgresql.conf is counted in. PostgreSQL knows B, kB, MB and 8kB (a
        block) for sizes, and ms, s and min for times; people may then write 10s or 2min in any of them.
        """,
        wrong="""
        pause = shop.int_setting("pause", 10, unit="seconds")
        """,
        right="""
        pause = shop.int_setting("pause", 10, unit="s")
        """,
    ),
    error(
        "BGW305",
        "options of an enum setting are wrong",
        """
        An enum setting takes one word of a list. The list can't be empty, and since PostgreSQL compares the words
        without regard to case, no word may stand there twice.
        """,
        wrong="""
        mode = shop.enum_setting("mode", "fast", options=["fast", "FAST"])
        """,
        right="""
        mode = shop.enum_setting("mode", "fast", options=["fast", "slow"])
        """,
    ),
    error(
        "BGW306",
        "default of a setting is outside its limits",
        """
        min may not be above max, and the default lies between them, both included. The server checks the default when
        the library is loaded; with a wrong one the whole server would not start.
        """,
        wrong="""
        batch = shop.int_setting("batch", 0, min=1, max=1000)
        """,
        right="""
        batch = shop.int_setting("batch", 100, min=1, max=1000)
        """,
    ),
    error(
        "BGW307",
        "setting is read once at server start, and could change later",
        """
        Workers are registered and shared memory is sized while the server starts. A setting that chooses a worker's
        database or role, the number of its processes, or how many dynamic workers may run, is read then and never
        again. With context="postmaster" PostgreSQL tells people that a change needs a restart; with any other it
        would accept a change that does nothing.
        """,
        wrong="""
        dbname = shop.string_setting("dbname", "shopdb")
        shop.interval_worker("beat", every=minutes(1), run=sql("SELECT 1"), database=dbname)
        """,
        right="""
        dbname = shop.string_setting("dbname", "shopdb", context="postmaster")
        shop.interval_worker("beat", every=minutes(1), run=sql("SELECT 1"), database=dbname)
        """,
    ),
    error(
        "BGW308",
        "setting never reaches the worker",
        """
        A worker is a process of its own. A setting of context user, superuser, backend or superuser-backend can be
        set in one session, and a worker is none of those sessions: people would type SET, see the new value, and
        nothing would happen. One of context internal can't be set at all. What a worker reads in its loop has context
        sighup: it is changed in postgresql.conf or by ALTER SYSTEM, and a reload brings it to every process.
        """,
        wrong="""
        pause = shop.int_setting("pause", 10, min=1, unit="s", context="user")
        shop.interval_worker("beat", every=pause, run=sql("SELECT 1"))
        """,
        right="""
        pause = shop.int_setting("pause", 10, min=1, unit="s")
        shop.interval_worker("beat", every=pause, run=sql("SELECT 1"))
        """,
    ),
    warning(
        "BGW309",
        "setting could change on reload, and needs a restart",
        """
        The worker reads this setting in its loop, so a reload would be enough to change it. With context
        "postmaster" people must restart the server for it. Keep it if that is what you want.
        """,
        wrong="""
        pause = shop.int_setting("pause", 10, min=1, unit="s", context="postmaster")
        shop.interval_worker("beat", every=pause, run=sql("SELECT 1"))
        """,
        right="""
        pause = shop.int_setting("pause", 10, min=1, unit="s")
        shop.interval_worker("beat", every=pause, run=sql("SELECT 1"))
        """,
    ),
    error(
        "BGW310",
        "setting used as a duration has no unit of time",
        """
        A setting that says how long (every=, timeout=) has unit="ms", "s" or "min", so that nobody has to guess what
        10 means, and people may write 10s in postgresql.conf. A setting that counts (batch=, workers=, limit=) has no
        unit.
        """,
        wrong="""
        pause = shop.int_setting("pause", 10, min=1)
        shop.interval_worker("beat", every=pause, run=sql("SELECT 1"))
        """,
        right="""
        pause = shop.int_setting("pause", 10, min=1, unit="s")
        shop.interval_worker("beat", every=pause, run=sql("SELECT 1"))
        """,
    ),
    error(
        "BGW311",
        "limits of a setting let in values that make no sense",
        """
        The limits of a setting are the only check on what people write in postgresql.conf. An interval of 0 would make
        the worker spin. A batch has 1 to 100000 jobs; a worker has 1
        to 1024 processes, and so has the limit of a dynamic worker. A timeout may be 0, which means none.
        """,
        wrong="""
        size = shop.int_setting("size", 100)
        shop.queue_worker("deliver", mail, run=call("public.deliver", "address"), batch=size)
        """,
        right="""
        size = shop.int_setting("size", 100, min=1, max=5000)
        shop.queue_worker("deliver", mail, run=call("public.deliver", "address"), batch=size)
        """,
    ),
    warning(
        "BGW312",
        "setting is not used",
        """
        No worker of the declaration reads this setting. It will stand in pg_settings and change nothing, unless SQL of
        your own reads it with current_setting().
        """,
        wrong="""
        paused = shop.bool_setting("paused", False)
        shop.interval_worker("beat", every=minutes(1), run=sql("SELECT 1"))
        """,
        right="""
        paused = shop.bool_setting("paused", False)
        shop.interval_worker("beat", every=minutes(1), run=sql("SELECT 1"), unless=paused)
        """,
    ),
    error(
        "BGW313",
        "setting that names a database is empty by default",
        """
        A worker that runs SQL connects to one database. With an empty name BackgroundWorkerInitializeConnection
        connects to none, and the first statement would fail.
        """,
        wrong="""
        dbname = shop.string_setting("dbname", "", context="postmaster")
        shop.interval_worker("beat", every=minutes(1), run=sql("SELECT 1"), database=dbname)
        """,
        right="""
        dbname = shop.string_setting("dbname", "postgres", context="postmaster")
        shop.interval_worker("beat", every=minutes(1), run=sql("SELECT 1"), database=dbname)
        """,
    ),
    warning(
        "BGW314",
        "flag of a setting is not known to every major",
        """
        GUC_NO_RESET came with PostgreSQL 16. The emitted C leaves it out where the server does not have it, so on 15
        the setting can be reset.
        """,
        wrong="""
        loud = shop.bool_setting("loud", True, flags=["no_reset"])
        """,
        right="""
        loud = shop.bool_setting("loud", True)
        """,
    ),
)
