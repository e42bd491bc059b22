"""Tests of the shop, on a server that pgbgw makes for them."""

from datetime import timedelta

import handlers
from shop import Mail, Order, mails, orders

from pgbgw.testing import TestDatabase


def bookings(database: TestDatabase) -> list[tuple[str, int]]:
    return database.connection.execute("SELECT customer, amount FROM bookings ORDER BY id").fetchall()


def test_an_order_is_booked_and_the_customer_is_told(pgbgw_database: TestDatabase) -> None:
    pgbgw_database.connection.execute("TRUNCATE bookings")
    orders.enqueue(pgbgw_database.connection, Order(customer="a@example.org", amount=7))
    pgbgw_database.run_due()
    assert bookings(pgbgw_database) == [("a@example.org", 7)]
    handlers.sent.clear()
    consumed = pgbgw_database.consume(mails, handlers.send)
    assert (consumed.done, handlers.sent) == (1, [Mail(address="a@example.org", body="Thank you for 7.")])


def test_an_order_of_nothing_is_tried_three_times(pgbgw_database: TestDatabase) -> None:
    orders.enqueue(pgbgw_database.connection, Order(customer="a@example.org", amount=0))
    for _ in range(3):
        pgbgw_database.run_due()
        pgbgw_database.advance(timedelta(hours=1))
    rows = pgbgw_database.connection.execute("SELECT attempts, sqlstate FROM shop.orders_failed").fetchall()
    assert rows == [(3, "23514")]


def test_a_mail_without_an_address_is_given_up(pgbgw_database: TestDatabase) -> None:
    mails.enqueue(pgbgw_database.connection, Mail(address="nobody", body=""))
    assert pgbgw_database.consume(mails, handlers.send).failed == 1
    rows = pgbgw_database.connection.execute("SELECT error FROM shop.mails_failed").fetchall()
    assert rows == [("not an address: nobody",)]


def test_queues_are_empty_when_a_test_begins(pgbgw_database: TestDatabase) -> None:
    found = pgbgw_database.connection.execute("SELECT count(*) FROM shop.mails_jobs").fetchone()
    assert found == (0,)
