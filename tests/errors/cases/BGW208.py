"""Statement takes no parameters."""

from pgbgw import Extension, sql

shop = Extension("shop", database="shopdb")
shop.dynamic_worker("grow", args={"zone": "text"}, run=sql("SET LOCAL timezone = :zone"))
