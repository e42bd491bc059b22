"""A queue whose jobs are run by a statement: columns, settings of every kind and the main argument as parameters."""

import datetime
import decimal
import uuid
from typing import Annotated

from pgbgw import Counter, Extension, Json, Payload, SharedStats, Text, seconds, sql

billing = Extension("billing", database="billingdb")

rate = billing.real_setting("rate", 0.19, min=0.0, max=1.0, comment="Share of the tax.")
days = billing.int_setting("days", 14, min=1, max=90, comment="Days until a bill is due.")
test = billing.bool_setting("test", False, comment="Marks bills as tests.")
sender = billing.string_setting("sender", None, comment="Name on the bills.")
limit = billing.int_setting("limit_seconds", 30, min=1, max=3600, unit="s", comment="Time for one batch.")


class Bill(Payload):
    customer: uuid.UUID
    amount: decimal.Decimal
    items: Annotated[int, "integer"]
    note: str | None
    seal: bytes | None
    due: datetime.date | None
    details: Json


class BillStats(SharedStats):
    written = Counter("Bills written.")
    refused = Counter("Bills given up or tried again.")
    last = Text(64, "What came of the last batch.")


stats = billing.shared_stats("bill", BillStats)
bills = billing.queue("bill", Bill, retries=0)
billing.queue_worker(
    "write",
    bills,
    batch=25,
    timeout=limit,
    on_done=stats.written.add(),
    on_failed=stats.refused.add(2),
    on_round=stats.last.report(),
    main_argument=-7,
    run=sql(
        """
        INSERT INTO public.written (id, customer, amount, items, note, seal, due, details, test, sender, region)
        VALUES (:id, :customer, :amount * (1 + :rate), :items, :note, :seal,
                COALESCE(:due, CURRENT_DATE + :days), :details, :test, :sender, :main_argument)
        """
    ),
)
