"""Shared state has no fields."""

from pgbgw import Extension, SharedStats

shop = Extension("shop", database="shopdb")


class Notes(SharedStats):
    pass


notes = shop.shared_stats("notes", Notes)
