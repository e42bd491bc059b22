"""Version can't be part of a file name."""

from pgbgw import Extension

shop = Extension("shop", version="1.0--beta")
