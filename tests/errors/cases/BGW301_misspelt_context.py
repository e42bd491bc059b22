"""A context with a letter left out."""

from pgbgw import Extension, minutes, sql

shop = Extension("shop", database="shopdb")
shop.string_setting("label", "a", context="postmastr")
shop.interval_worker("note", every=minutes(1), run=sql("INSERT public.notes VALUES (:label)"))
