"""BGW2xx: what workers run."""

from __future__ import annotations

from pgbgw.diagnostics.code import error, warning

__all__ = ["ROWS"]

ROWS = (
    error(
        "BGW201",
        "SQL does not parse",
        """
        Every statement is parsed when it is declared, by the grammar of PostgreSQL itself, so that a misspelt keyword
        is found here and not by a worker at night. Whether tables, columns and functions exist is not known yet: that
        is checked by the server when the worker runs.
        """,
        wrong="""
        shop.queue_worker("deliver", mail, run=sql("INSERT INTO public.outbox (address) VLAUES (:address)"))
        """,
        right="""
        shop.queue_worker("deliver", mail, run=sql("INSERT INTO public.outbox (address) VALUES (:address)"))
        """,
    ),
    error(
        "BGW202",
        "SQL is not exactly one statement",
        """
        A worker plans its statement once and runs it many times, and a plan is of one statement. Text without a
        statement, or with several parted by semicolons, is refused. Several steps belong in a function, or in one
        statement with data-modifying CTEs.
        """,
        wrong="""
        shop.interval_worker("tidy", every=hours(1), run=sql("DELETE FROM public.a; DELETE FROM public.b"))
        """,
        right="""
        shop.interval_worker("tidy_a", every=hours(1), run=sql("DELETE FROM public.a"))
        shop.interval_worker("tidy_b", every=hours(1), run=sql("DELETE FROM public.b"))
        """,
    ),
    error(
        "BGW203",
        "SQL controls transactions",
        """
        The worker begins, commits and rolls back by itself, so that jobs, their effects and the counters agree. BEGIN,
        COMMIT, ROLLBACK, SAVEPOINT and their kin would break that, and SPI refuses them. A procedure may commit where
        it is run with transaction=False.
        """,
        wrong="""
        shop.interval_worker("tidy", every=hours(1), run=sql("COMMIT"))
        """,
        right="""
        shop.interval_worker("tidy", every=hours(1), run=sql("CALL public.tidy()"), transaction=False)
        """,
    ),
    error(
        "BGW204",
        "statement can't run in a transaction block",
        """
        VACUUM, CREATE INDEX CONCURRENTLY, CREATE DATABASE, ALTER SYSTEM and some others start and end transactions of
        their own; PostgreSQL refuses them inside a transaction (PreventInTransactionBlock). Interval workers and
        dynamic workers can run one statement at top level with transaction=False. A queue worker can't: its jobs
        are taken and done in one transaction.
        """,
        wrong="""
        shop.interval_worker("tidy", every=hours(1), run=sql("VACUUM public.outbox"))
        """,
        right="""
        shop.interval_worker("tidy", every=hours(1), run=sql("VACUUM public.outbox"), transaction=False)
        """,
    ),
    error(
        "BGW205",
        "parameter has no name",
        """
        Parameters are written by name, :address, and numbered by pgbgw. A number such as $1 says nothing about where
        its value comes from, and would mix with those.
        """,
        wrong="""
        shop.queue_worker("deliver", mail, run=sql("SELECT public.deliver($1)"))
        """,
        right="""
        shop.queue_worker("deliver", mail, run=sql("SELECT public.deliver(:address)"))
        """,
    ),
    error(
        "BGW206",
        "statement makes no sense in a worker",
        """
        Some statements need a client at the other end, such as COPY FROM STDIN, or leave state in the session that
        the next job would meet, such as LISTEN or a cursor WITH HOLD. A worker has no client, and its session serves
        many jobs.
        """,
        wrong="""
        shop.interval_worker("hear", every=hours(1), run=sql("LISTEN news"))
        """,
        right="""
        shop.interval_worker("tell", every=hours(1), run=sql("NOTIFY news"))
        """,
    ),
    error(
        "BGW207",
        "parameter has no source",
        """
        A parameter takes its value from, in this order: a column of the queue (the payload's, and id, attempt,
        created_at) for queue workers, an argument for dynamic workers, and then, for all, a setting of the extension
        by its name without prefix, or main_argument. Enum settings can't be parameters: C knows them as numbers. The
        same sources hold for the names that call() is given.
        """,
        wrong="""
        shop.queue_worker("deliver", mail, run=sql("SELECT public.deliver(:adress)"))
        """,
        right="""
        shop.queue_worker("deliver", mail, run=sql("SELECT public.deliver(:address)"))
        """,
    ),
    error(
        "BGW208",
        "statement takes no parameters",
        """
        Only SELECT, INSERT, UPDATE, DELETE, MERGE, VALUES, CALL and the statements around them take parameters. In
        others, such as VACUUM, SET or CREATE TABLE, PostgreSQL has no place for a value that comes later. A function
        that uses EXECUTE with format() can build such a statement.
        """,
        wrong="""
        shop.dynamic_worker("grow", args={"zone": "text"}, run=sql("SET LOCAL timezone = :zone"))
        """,
        right="""
        shop.dynamic_worker("grow", args={"zone": "text"}, run=sql("SELECT set_config('timezone', :zone, true)"))
        """,
    ),
    error(
        "BGW209",
        "call() outside a transaction",
        """
        call() runs a function by its address, without a statement around it. A function always runs inside a
        transaction; only a statement can stand outside, such as VACUUM, or CALL of a procedure that commits.
        """,
        wrong="""
        shop.interval_worker("tidy", every=hours(1), run=call("public.tidy"), transaction=False)
        """,
        right="""
        shop.interval_worker("tidy", every=hours(1), run=sql("CALL public.tidy()"), transaction=False)
        """,
    ),
    error(
        "BGW210",
        "name of the function to call can't be read",
        """
        call() takes the name of a function as SQL writes it: best with its schema, folded to lower case unless it
        stands in double quotes, without parentheses and arguments. The arguments follow, by name.
        """,
        wrong="""
        shop.queue_worker("deliver", mail, run=call("public.deliver(address)"))
        """,
        right="""
        shop.queue_worker("deliver", mail, run=call("public.deliver", "address"))
        """,
    ),
    error(
        "BGW211",
        "SQL type can't be read",
        """
        The type of an argument, or of a payload field that names its type with Annotated, is written as in SQL and
        parsed at declaration. A type that pgbgw does not know is taken as a type of your own, best written with its
        schema; whether it exists is checked by CREATE EXTENSION.
        """,
        wrong="""
        shop.dynamic_worker("task", args={"amount": "numeric(10,"}, run=call("public.task", "amount"))
        """,
        right="""
        shop.dynamic_worker("task", args={"amount": "numeric(10,2)"}, run=call("public.task", "amount"))
        """,
    ),
    warning(
        "BGW212",
        "argument is not used",
        """
        Who launches the dynamic worker has to give a value for the argument, and nothing reads it. Use it in run=, or
        leave it out.
        """,
        wrong="""
        shop.dynamic_worker("task", args={"a": "integer", "b": "integer"}, run=call("public.task", "a"))
        """,
        right="""
        shop.dynamic_worker("task", args={"a": "integer"}, run=call("public.task", "a"))
        """,
    ),
    error(
        "BGW213",
        "batch=True outside a queue worker",
        """
        A queue worker hands the jobs of a batch to a function as arrays. Other workers call their function once a
        round, with single values.
        """,
        wrong="""
        shop.interval_worker("tidy", every=minutes(1), run=call("public.tidy", batch=True))
        """,
        right="""
        shop.interval_worker("tidy", every=minutes(1), run=call("public.tidy"))
        """,
    ),
)
