"""asyncpg, which pgbgw's client does not speak: putting jobs in is plain SQL, and COPY for many."""

from collections.abc import Iterable

import asyncpg

ENQUEUE = "SELECT shop.mail_enqueue(address => $1, body => $2, unique_key => $3)"


async def place_order(connection: asyncpg.Connection, customer: str, amount: int) -> int:
    async with connection.transaction():
        insert = "INSERT INTO orders (customer, amount) VALUES ($1, $2) RETURNING id"
        number = await connection.fetchval(insert, customer, amount)
        await connection.fetchval(ENQUEUE, customer, f"Thank you for {amount}.", f"order {number}")
    return number


async def announce(connection: asyncpg.Connection, customers: Iterable[str], news: str) -> None:
    rows = ((customer, news) for customer in customers)
    await connection.copy_records_to_table("mail", schema_name="shop", columns=["address", "body"], records=rows)
