"""Size of a text field is out of range."""

from pgbgw import Extension, SharedStats, Text

shop = Extension("shop", database="shopdb")


class Notes(SharedStats):
    note = Text(100_000)
