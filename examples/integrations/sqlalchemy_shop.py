"""SQLAlchemy: the order and its mail are one transaction, whoever commits it."""

from shop import Mail, mail
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column


class Base(DeclarativeBase):
    pass


class Order(Base):
    __tablename__ = "orders"

    id: Mapped[int] = mapped_column(primary_key=True)
    customer: Mapped[str]
    amount: Mapped[int]


def place_order(session: Session, customer: str, amount: int) -> Order:
    order = Order(customer=customer, amount=amount)
    session.add(order)
    session.flush()
    mail.enqueue(session, Mail(address=customer, body=f"Thank you for {amount}."), unique_key=f"order {order.id}")
    return order
