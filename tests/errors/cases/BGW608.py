"""Field object is used twice."""

from pgbgw import Counter, Extension, SharedStats

shop = Extension("shop", database="shopdb")


class Notes(SharedStats):
    first = second = Counter()
