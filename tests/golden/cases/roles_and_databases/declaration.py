"""Roles and databases: fixed, by settings, several of each, with names that need quoting."""

from pgbgw import Extension, Payload, call, seconds, sql

office = Extension("office", database="main", role="clerk")

other = office.string_setting("other", "archive", context="postmaster", comment="The other database.")
who = office.string_setting("who", "postgres", context="postmaster", comment="The role there.")


class Letter(Payload):
    body: str


letters = office.queue("letters", Letter)
office.queue_worker("answer", letters, run=call("public.answer", "body"))
office.interval_worker("file", every=seconds(60), run=sql("SELECT public.file()"), database=other, role=who)
office.interval_worker("clean", every=seconds(60), run=sql("SELECT public.clean()"), database='The "Attic"', role="O'Hara")
