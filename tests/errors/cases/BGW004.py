"""Declaration has no extension."""

from pgbgw import Extension


def declare():
    shop = Extension("shop")
