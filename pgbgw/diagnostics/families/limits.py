"""BGW7xx: what the server has room for."""

from __future__ import annotations

from pgbgw.diagnostics.code import error, warning

__all__ = ["ROWS"]

ROWS = (
    error(
        "BGW701",
        "more workers than the server has slots",
        """
        Every process of a background worker takes one of max_worker_processes, 8 by default. Those beyond are not
        registered: the server says "too many background workers" in its log and starts without them. Processes whose
        number is a setting count with its default.

        Tell check of a server with more, --max-worker-processes, or declare fewer.
        """,
        wrong="""
        shop.queue_worker("deliver", mail, run=call("public.deliver", "address"), workers=9)
        """,
        right="""
        shop.queue_worker("deliver", mail, run=call("public.deliver", "address"), workers=2)
        """,
    ),
    warning(
        "BGW702",
        "workers leave no slot for others",
        """
        The launcher of logical replication is registered before any extension and takes a slot of
        max_worker_processes, unless max_logical_replication_workers is 0. Parallel queries take theirs from the same
        number, and so do other extensions. Raise max_worker_processes on the server.
        """,
        wrong="""
        shop.queue_worker("deliver", mail, run=call("public.deliver", "address"), workers=7)
        """,
        right="""
        shop.queue_worker("deliver", mail, run=call("public.deliver", "address"), workers=2)
        """,
    ),
    warning(
        "BGW703",
        "dynamic workers may find no slot",
        """
        Dynamic workers take their slots of max_worker_processes when they are launched. Where all workers and all
        limits together need more than there are, a launch can fail with "too many background workers" although
        its limit is not reached.
        """,
        wrong="""
        shop.dynamic_worker("task", run=call("public.task"), limit=20)
        """,
        right="""
        shop.dynamic_worker("task", run=call("public.task"), limit=2)
        """,
    ),
    error(
        "BGW704",
        "arguments do not fit into bgw_extra",
        """
        The arguments of a dynamic worker travel in bgw_extra, 128 bytes that the server copies to the new process, 16
        of which hold slot, generation, database and role. Numbers, booleans, dates, timestamps and OIDs take their
        size at its alignment; a uuid takes 37 bytes; text, jsonb, numeric and all others travel as text and share the
        room that is left, at least eight bytes each; each argument takes one byte more for NULL. Longer values are
        refused when the worker is launched: pass a key, and let the worker read the row.
        """,
        wrong="""
        names = [f"part{n}" for n in range(7)]
        shop.dynamic_worker("task", args=dict.fromkeys(names, "uuid"), run=call("public.task", *names))
        """,
        right="""
        shop.dynamic_worker("task", args={"task_id": "bigint"}, run=call("public.task", "task_id"))
        """,
    ),
    error(
        "BGW705",
        "function has too many arguments",
        """
        A function of PostgreSQL has at most FUNC_MAX_ARGS arguments, 100 in every build that distributions ship.
        """,
        wrong="""
        shop.queue_worker("deliver", mail, run=call("public.deliver", *["address"] * 101))
        """,
        right="""
        shop.queue_worker("deliver", mail, run=call("public.deliver", "address"))
        """,
    ),
)
