"""BGW6xx: state in shared memory."""

from __future__ import annotations

from pgbgw.diagnostics.code import error, warning

__all__ = ["ROWS"]

ROWS = (
    error(
        "BGW601",
        "size of a text field is out of range",
        """
        A text field is a buffer of fixed size in shared memory, which is allocated once, when the server starts. The
        size counts bytes with the ending NUL, 2 to 8192; longer text is cut at the last whole character.
        """,
        wrong="""
        class Notes(SharedStats):
            note = Text(100_000)
        """,
        right="""
        class Notes(SharedStats):
            note = Text(1000)
        """,
    ),
    error(
        "BGW602",
        "shared state has no fields",
        """
        Shared state is a class that derives from pgbgw.SharedStats and has at least one field: Counter, Gauge, Integer,
        Float, Boolean, Timestamp or Text.
        """,
        wrong="""
        class Notes(SharedStats):
            pass

        notes = shop.shared_stats("notes", Notes)
        """,
        right="""
        class Notes(SharedStats):
            note = Text(1000)

        notes = shop.shared_stats("notes", Notes)
        """,
    ),
    error(
        "BGW603",
        "shared state has no such field",
        """
        columns= chooses what the function and the view show, by the names of the fields; a mapping from field to column
        renames them.
        """,
        wrong="""
        more = shop.shared_stats("more", MailStats, columns=["send"])
        """,
        right="""
        more = shop.shared_stats("more", MailStats, columns=["sent"])
        """,
    ),
    error(
        "BGW604",
        "column of shared state stands there twice",
        """
        The function that shows the state returns a row, and PostgreSQL refuses two OUT parameters of one name, as it
        refuses two columns of one name in a view.
        """,
        wrong="""
        more = shop.shared_stats("more", MailStats, columns=["sent", "sent"])
        """,
        right="""
        more = shop.shared_stats("more", MailStats, columns=["sent", "status"])
        """,
    ),
    error(
        "BGW605",
        "counter would go down",
        """
        A counter only grows, so that those who read it can take differences; after a restart of the server it begins
        at zero again. What goes up and down is a Gauge.
        """,
        wrong="""
        shop.queue_worker("deliver", mail, run=call("public.deliver", "address"), on_done=stats.sent.add(-1))
        """,
        right="""
        shop.queue_worker("deliver", mail, run=call("public.deliver", "address"), on_done=stats.sent.add(1))
        """,
    ),
    error(
        "BGW606",
        "value of an action does not fit its field",
        """
        Counters, gauges and integers hold 64 bits with a sign, floats a finite double, booleans True or False, and
        texts a string without NUL.
        """,
        wrong="""
        shop.queue_worker("deliver", mail, run=call("public.deliver", "address"), on_done=stats.sent.add(0.5))
        """,
        right="""
        shop.queue_worker("deliver", mail, run=call("public.deliver", "address"), on_done=stats.sent.add(1))
        """,
    ),
    warning(
        "BGW607",
        "text is longer than its field",
        """
        The text is cut at the last whole character that fits, counted in bytes of UTF-8 and with one byte for the
        ending NUL. Make the field larger, or the text shorter.
        """,
        wrong="""
        shop.queue_worker("deliver", mail, run=call("public.deliver", "body"), on_round=stats.status.set("done " * 20))
        """,
        right="""
        shop.queue_worker("deliver", mail, run=call("public.deliver", "body"), on_round=stats.status.set("done"))
        """,
    ),
    error(
        "BGW608",
        "field object is used twice",
        """
        A field object is one place in one class: it learns its name from the class. The same object under two names,
        or in two classes, would have two names. Derive one class from another to share fields.
        """,
        wrong="""
        class Notes(SharedStats):
            first = second = Counter()
        """,
        right="""
        class Notes(SharedStats):
            first = Counter()
            second = Counter()
        """,
    ),
)
