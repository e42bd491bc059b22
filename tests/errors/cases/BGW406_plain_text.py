"""A statement that is not marked as one; the setting that it reads is not called unused."""

from pgbgw import Extension, minutes

shop = Extension("shop", database="shopdb")
shop.string_setting("label", "a")
shop.interval_worker("note", every=minutes(1), run="INSERT INTO public.notes VALUES (:label)")
