"""Another extension, whose values a case uses."""

from pgbgw import Counter, Extension, Gauge, Payload, SharedStats

other = Extension("other", database="otherdb")


class Mail(Payload):
    address: str


class Stats(SharedStats):
    sent = Counter()
    alive = Gauge()


stats = other.shared_stats("mail", Stats)
mail = other.queue("mail", Mail)
