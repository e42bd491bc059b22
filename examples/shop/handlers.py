"""What the program does that sends mails; run it with ``pgbgw consume shop:mails handlers:send``."""

from shop import Mail

from pgbgw.client import GiveUp

sent: list[Mail] = []


def send(mail: Mail) -> None:
    """Send a mail; here it is only kept."""
    if "@" not in mail.address:
        raise GiveUp(f"not an address: {mail.address}")
    sent.append(mail)
