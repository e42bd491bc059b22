"""Name is reserved by PostgreSQL."""

from pgbgw import Extension

shop = Extension("pg_shop")
