"""BGW5xx: queues and their payloads."""

from __future__ import annotations

from pgbgw.diagnostics.code import error, warning

__all__ = ["ROWS"]

ROWS = (
    error(
        "BGW501",
        "payload is not a Payload class with fields",
        """
        A queue's columns are the annotated fields of a class that derives from pgbgw.Payload, so that jobs made in
        Python are checked by their types. The class itself is given, not an instance, and it has at least one field.
        """,
        wrong="""
        orders = shop.queue("orders", dict)
        """,
        right="""
        class Order(Payload):
            number: int

        orders = shop.queue("orders", Order)
        """,
    ),
    error(
        "BGW502",
        "payload field is a column that queues have",
        """
        Beside its payload a queue has columns of its own, such as id, priority, attempt, created_at, run_at and error,
        and PostgreSQL gives every table system columns such as ctid and xmin. A payload field can't have one of these
        names.
        """,
        wrong="""
        class Order(Payload):
            id: int

        orders = shop.queue("orders", Order)
        """,
        right="""
        class Order(Payload):
            order_id: int

        orders = shop.queue("orders", Order)
        """,
    ),
    error(
        "BGW503",
        "number of retries is out of range",
        """
        A job that fails is tried again this many times, 0 to 32766, and is then moved to the queue's table of failed
        jobs. Attempts are counted in a smallint.
        """,
        wrong="""
        orders = shop.queue("orders", Mail, retries=-1)
        """,
        right="""
        orders = shop.queue("orders", Mail, retries=0)
        """,
    ),
    error(
        "BGW504",
        "back-off can't be used",
        """
        The first retry waits for backoff, and each further one twice as long as the one before, up to backoff_limit.
        Both are durations above zero and up to a year, and the first is not the longer one.
        """,
        wrong="""
        orders = shop.queue("orders", Mail, backoff=hours(2), backoff_limit=hours(1))
        """,
        right="""
        orders = shop.queue("orders", Mail, backoff=seconds(2), backoff_limit=hours(1))
        """,
    ),
    error(
        "BGW505",
        "payload field has no PostgreSQL type",
        """
        str, int, float, bool, bytes, Decimal, datetime, date, time, timedelta, UUID and Json have the type one
        expects. For any other, or for a precise one, name it: Annotated[int, "integer"]. X | None lets NULL in.
        """,
        wrong="""
        class Order(Payload):
            items: list

        orders = shop.queue("orders", Order)
        """,
        right="""
        class Order(Payload):
            items: Json

        orders = shop.queue("orders", Order)
        """,
    ),
    warning(
        "BGW506",
        "queue has no worker",
        """
        Jobs that are put into the queue stay there, unless a client takes them. Where that is what you want, nothing
        needs to be done.
        """,
        wrong="""
        class Order(Payload):
            number: int

        shop = Extension("shop", database="shopdb")
        orders = shop.queue("orders", Order)
        """,
        right="""
        class Order(Payload):
            number: int

        shop = Extension("shop", database="shopdb")
        orders = shop.queue("orders", Order)
        shop.queue_worker("order", orders, run=call("public.order", "number"))
        """,
    ),
    error(
        "BGW507",
        "producers, operators and the like are no names of roles",
        """
        CREATE EXTENSION grants EXECUTE on the functions of a queue, or for schedules, to these roles. Give one name, or
        several in a tuple; the roles have to exist by then.
        """,
        wrong="""
        class Order(Payload):
            number: int

        orders = shop.queue("orders", Order, producers=5)
        """,
        right="""
        class Order(Payload):
            number: int

        orders = shop.queue("orders", Order, producers=("web", "import"), operators="support")
        """,
    ),
    error(
        "BGW508",
        "number of crashes is out of range",
        """
        A job that crashes the server is given up after so many crashes, 2 to 32766. The first one blames nobody: a
        whole batch was in hand. After it jobs are run one by one, each noted before.
        """,
        wrong="""
        class Order(Payload):
            number: int

        orders = shop.queue("orders", Order, crashes=1)
        """,
        right="""
        class Order(Payload):
            number: int

        orders = shop.queue("orders", Order, crashes=2)
        """,
    ),
    error(
        "BGW509",
        "unique of a queue is not True or False",
        """
        With unique=True a job may be given a key when it is put in, by the function to enqueue: text, of which there is
        one job at a time. It is no name of a column.
        """,
        wrong="""
        class Order(Payload):
            number: int

        orders = shop.queue("orders", Order, unique="number")
        """,
        right="""
        class Order(Payload):
            number: int

        orders = shop.queue("orders", Order, unique=True)
        """,
    ),
    error(
        "BGW510",
        "lease of a queue can't be used",
        """
        A session that claims a job has it for so long, unless it renews the lease. A process that has died leaves its
        jobs to others after that time; a short one is renewed often, a long one keeps the jobs of the dead for long.
        """,
        wrong="""
        class Order(Payload):
            number: int

        orders = shop.queue("orders", Order, lease=60)
        """,
        right="""
        class Order(Payload):
            number: int

        orders = shop.queue("orders", Order, lease=seconds(60))
        """,
    ),
    error(
        "BGW511",
        "queue has consumers and no leases",
        """
        Consumers take jobs in sessions of their own, and hold them by leases: a job that is not acknowledged in time is
        given to another. Without lease= only workers in the server take jobs.
        """,
        wrong="""
        class Order(Payload):
            number: int

        orders = shop.queue("orders", Order, consumers="app")
        """,
        right="""
        class Order(Payload):
            number: int

        orders = shop.queue("orders", Order, lease=seconds(60), consumers="app")
        """,
    ),
    error(
        "BGW512",
        "history of a queue can't be used",
        """
        Jobs that are done are kept for that long, in a table with a partition a day: an hour at least, and up to ten
        years. A partition is dropped when all of it is older.
        """,
        wrong="""
        class Order(Payload):
            number: int

        orders = shop.queue("orders", Order, history=7)
        """,
        right="""
        class Order(Payload):
            number: int

        orders = shop.queue("orders", Order, history=days(7))
        """,
    ),
)
