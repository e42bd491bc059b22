"""Options of a table of schedules that can't be used."""

from pgbgw import Extension, seconds

shop = Extension("shop", database="shopdb")

shop.schedule_table("jobs", runs=0, keep=seconds(5))
shop.schedule_table("more", runs="many", schedulers=5)
