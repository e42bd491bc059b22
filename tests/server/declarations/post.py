"""A queue of every type, and one of mails, for programs."""

from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Annotated
from uuid import UUID

from pgbgw import Extension, Json, Payload, days, milliseconds, seconds

post = Extension("post", database="postgres")


class Mail(Payload):
    address: str
    body: Json | None


class Anything(Payload):
    number: Annotated[int, "integer"]
    big: int
    ratio: float
    exact: Decimal
    yes: bool
    text: str
    raw: bytes
    at: datetime
    day: date
    clock: time
    span: timedelta
    key: UUID
    data: Json
    more: Annotated[list[int], "bigint[]"] | None


class Odd(Payload):
    mood: Annotated[str, "public.mood"]
    number: Annotated[int, "public.positive"] | None
    parts: Annotated[list[Json], "jsonb[]"]
    short: Annotated[str, "character varying(5)"]
    host: Annotated[str, "inet"] | None


mail = post.queue("mail", Mail, lease=seconds(60), retries=1, backoff=milliseconds(50), unique=True, history=days(1),
                  producers="clerk", consumers="carrier")  # fmt: skip
anything = post.queue("anything", Anything, lease=seconds(60))
inside = post.queue("inside", Mail)
odd = post.queue("odd", Odd, lease=seconds(60))
brief = post.queue("brief", Mail, lease=milliseconds(900))
