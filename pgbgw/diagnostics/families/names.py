"""BGW1xx: names and texts."""

from __future__ import annotations

from pgbgw.diagnostics.code import error

__all__ = ["ROWS"]

ROWS = (
    error(
        "BGW101",
        "name is not a plain identifier",
        """
        Names of extensions, settings, workers, queues, shared state, fields and arguments become C identifiers, file
        names and parts of setting names. All of these take lower-case ASCII letters, digits and underscores, and no
        digit at the start. PostgreSQL refuses a setting whose name is not made of identifiers
        (valid_custom_variable_name in guc.c).

        Names that only SQL sees (table=, view=, function=, schema=) may be any text; they are quoted where they need
        to be.
        """,
        wrong="""
        shop.bool_setting("send-mail", True)
        """,
        right="""
        send_mail = shop.bool_setting("send_mail", True)
        """,
    ),
    error(
        "BGW102",
        "name is too long",
        """
        PostgreSQL keeps names in NAMEDATALEN bytes, 64 in every build that distributions ship, one of which is the
        ending NUL. Longer names are cut without an error, so that two of them may become one. Bytes are counted, in
        UTF-8, not characters.
        """,
        wrong="""
        shop.queue("mails_that_wait_for_the_nightly_run_of_the_delivery_service_in_paris", Mail)
        """,
        right="""
        shop.queue("nightly_mails", Mail)
        """,
    ),
    error(
        "BGW103",
        "name can't be the name of an SQL object",
        """
        PostgreSQL has no empty names, keeps names as C strings, which end at NUL, and stores text as UTF-8, which has
        no lone surrogates.
        """,
        wrong="""
        shop.queue("jobs", Mail, table="")
        """,
        right="""
        shop.queue("jobs", Mail, table="Jobs to do")
        """,
    ),
    error(
        "BGW104",
        "text can't be held by C",
        """
        Comments, titles, activities and string defaults are emitted as C strings. A C string ends at the first NUL,
        and a lone surrogate can't be written as UTF-8; every other character is escaped and arrives as written.
        """,
        wrong=r"""
        loud = shop.bool_setting("loud", True, comment="Be loud.\0")
        """,
        right="""
        loud = shop.bool_setting("loud", True, comment="Be loud.")
        """,
    ),
    error(
        "BGW105",
        "version can't be part of a file name",
        """
        The version stands in the name of the script, shop--1.0.sql. PostgreSQL refuses a version that is empty, holds
        "--" or a slash, or has a dash at either end (check_valid_version_name in extension.c).
        """,
        wrong="""
        shop = Extension("shop", version="1.0--beta")
        """,
        right="""
        shop = Extension("shop", version="1.0-beta")
        """,
    ),
    error(
        "BGW106",
        "name is reserved by PostgreSQL",
        """
        PostgreSQL keeps the prefix "pg_" for schemas of its own and refuses CREATE SCHEMA with it; an extension's
        objects stand in the schema of its name unless schema= says otherwise. Objects in pg_catalog or
        information_schema would not be dumped.
        """,
        wrong="""
        shop = Extension("pg_shop")
        """,
        right="""
        shop = Extension("shop")
        """,
    ),
    error(
        "BGW107",
        "name is declared twice",
        """
        Settings, shared states, queues and workers each have a name of their own within the extension, since C
        symbols, files and setting names are made of it. Two kinds may share a name: a queue and a worker may both be
        called "mail". The second declaration is reported; the detail says where the first one stands.
        """,
        wrong="""
        shop.interval_worker("tidy", every=hours(1), run=sql("DELETE FROM public.a"))
        shop.interval_worker("tidy", every=hours(1), run=sql("DELETE FROM public.b"))
        """,
        right="""
        shop.interval_worker("tidy_a", every=hours(1), run=sql("DELETE FROM public.a"))
        shop.interval_worker("tidy_b", every=hours(1), run=sql("DELETE FROM public.b"))
        """,
    ),
    error(
        "BGW108",
        "two objects of one name in the extension's schema",
        """
        A declaration makes SQL objects: a queue has three tables, their indexes, a sequence, a view and a trigger
        function; a shared state has a function and a view; a dynamic worker and the shutdown have functions. Tables,
        indexes, sequences and views of a schema share one set of names in pg_class, and functions without overloading
        another, so a name that comes twice would make CREATE EXTENSION fail.

        Names that come from a declared name can be chosen: table= and view= of a queue, function= and view= of a
        shared state, function= of a dynamic worker, request= and resume= of shutdown().
        """,
        wrong="""
        later = shop.queue("mail_later", Mail)  # the queue "mail" has a table of that name
        """,
        right="""
        later = shop.queue("mail_later", Mail, table="evening_mail")
        """,
    ),
    error(
        "BGW109",
        "name made from a declared name is too long",
        """
        Names such as mail_later_run_at_idx are made from the table's name, and must fit in PostgreSQL's 63
        bytes too. A longer one would be cut without an error, and could then meet another one.
        """,
        wrong="""
        shop.queue("mails_that_wait_for_the_nightly_run_of_delivery", Mail)
        """,
        right="""
        shop.queue("mails_that_wait_for_the_nightly_run_of_delivery", Mail, table="nightly")
        """,
    ),
    error(
        "BGW110",
        "name is a reserved word of SQL",
        """
        A reserved word is a name only between double quotes. SET select.batch = 5 is a syntax error, and so is a
        function call with a named argument "user", or an INSERT into a column "order": everybody who uses the
        extension would have to quote. Words that are reserved for types and functions ("left", "like") count too,
        since a column reference or a setting can't be one of them.
        """,
        wrong="""
        class Order(Payload):
            order: int

        orders = shop.queue("orders", Order)
        """,
        right="""
        class Order(Payload):
            order_id: int

        orders = shop.queue("orders", Order)
        """,
    ),
    error(
        "BGW111",
        "title is too long",
        """
        A worker's title is what pg_stat_activity shows as backend_type and what log lines name. PostgreSQL keeps it in
        BGW_MAXLEN bytes, 96 with the ending NUL, and cuts a longer one. Where a queue worker has several processes,
        their number is appended after a space and must fit as well.
        """,
        wrong="""
        shop.interval_worker("beat", every=seconds(9), run=sql("SELECT 1"), title="the worker that beats " * 5)
        """,
        right="""
        shop.interval_worker("beat", every=seconds(9), run=sql("SELECT 1"), title="the worker that beats")
        """,
    ),
    error(
        "BGW112",
        "name of a C function is a word of C",
        """
        A C worker calls a function of your own by its name. A keyword of C can't name a function.
        """,
        wrong="""
        shop.c_worker("sampler", source="sampler.c", function="register")
        """,
        right="""
        shop.c_worker("sampler", source="sampler.c", function="sampler")
        """,
    ),
)
