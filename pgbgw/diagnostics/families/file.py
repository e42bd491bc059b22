"""BGW0xx: the file that declares."""

from __future__ import annotations

from pgbgw.diagnostics.code import error

__all__ = ["ROWS"]

ROWS = (
    error(
        "BGW001",
        "declaration can't be read",
        """
        The path that was given can't be opened: it does not exist, is a folder, or may not be read by this user.
        """,
        wrong="# pgbgw check shpo.py",
        right="# pgbgw check shop.py",
    ),
    error(
        "BGW002",
        "declaration is not Python",
        """
        A declaration is an ordinary Python file. Python could not parse this one, so nothing in it was run; the
        position is the one that Python gives. A NUL character, and a byte outside the encoding of the file, count too,
        in a comment as well: Python refuses them where it runs a file.
        """,
        wrong="""
        batch = shop.int_setting("batch", 100
        """,
        right="""
        shop.interval_worker("beat", every=seconds(60), run=sql("SELECT 1"))
        """,
    ),
    error(
        "BGW003",
        "declaration raised an exception",
        """
        The file was run to collect what it declares, and an exception ended it. Most often a keyword or a name is
        misspelt; where Python or pgbgw knows a near one, the hint names it. A type checker finds such faults while you
        write: the whole surface is typed.

        What stands below the line was not run, so that further faults may show up once this one is gone.
        """,
        wrong="""
        shop.interval_worker("beat", every=second(60), run=sql("SELECT 1"))
        """,
        right="""
        shop.interval_worker("beat", every=seconds(60), run=sql("SELECT 1"))
        """,
    ),
    error(
        "BGW004",
        "declaration has no extension",
        """
        Settings, shared state, queues and workers belong to an extension, and the file must hold one in a variable at
        its top level; one inside a function or a list is not found.
        """,
        wrong="""
        def declare():
            shop = Extension("shop")
        """,
        right="""
        shop = Extension("shop")
        """,
    ),
    error(
        "BGW005",
        "declaration has several extensions",
        """
        One file makes one extension, with one library, one control file and one script, as PostgreSQL's CREATE
        EXTENSION expects. A value imported from another module counts as well.
        """,
        wrong="""
        shop = Extension("shop")
        stock = Extension("stock")
        """,
        right="""
        shop = Extension("shop")
        """,
    ),
)
