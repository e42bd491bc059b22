"""FastAPI: a pool of psycopg's that lives as long as the application, and a transaction for each request."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request
from psycopg_pool import AsyncConnectionPool
from pydantic import BaseModel
from shop import Mail, mail


class Order(BaseModel):
    customer: str
    amount: int


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with AsyncConnectionPool(os.environ["SHOP_DSN"], open=False) as pool:
        app.state.pool = pool
        yield


app = FastAPI(lifespan=lifespan)


@app.post("/orders", status_code=201)
async def place_order(order: Order, request: Request) -> dict[str, int]:
    insert = "INSERT INTO orders (customer, amount) VALUES (%s, %s) RETURNING id"
    async with request.app.state.pool.connection() as connection:
        cursor = await connection.execute(insert, [order.customer, order.amount])
        (number,) = await cursor.fetchone()
        letter = Mail(address=order.customer, body=f"Thank you for {order.amount}.")
        await mail.enqueue(connection, letter, unique_key=f"order {number}")
    return {"order": number}


@app.get("/mails/failed")
async def failed_mails(request: Request) -> list[str]:
    pieces = mail.stream(request.app.state.pool, "failed")
    return [job.payload.address async for jobs in pieces for job in jobs]
