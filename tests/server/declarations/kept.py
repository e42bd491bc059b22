"""Queues of types that a database has made itself, and of those that programs get as text."""

from typing import Annotated

from pgbgw import Extension, Payload, seconds

kept = Extension("kept", database="postgres")


class Own(Payload):
    """Types by quoted names, in a schema that is not on search_path, and in that of the extension."""

    state: Annotated[str, '"Out of Sight"."Mood, 100%"']
    states: Annotated[list[str], '"Out of Sight"."Mood, 100%"[]'] | None
    size: Annotated[int, "aside.small"]
    near: Annotated[str, "mood"]
    more: Annotated[list[str] | None, "mood[]"]


class Written(Payload):
    """Types that come as text, each with an array of it."""

    moods: Annotated[list[str | None], "public.mood[]"]
    labels: Annotated[list[str], "public.label[]"]
    favourites: Annotated[list[str], "public.favourite[]"]
    pair: Annotated[str, "public.pair"]
    pairs: Annotated[list[str], "public.pair[]"]
    card: Annotated[str, "macaddr"]
    cards: Annotated[list[str], "macaddr[]"]
    span: Annotated[str, "int4range"]
    spans: Annotated[list[str], "int4range[]"]
    bits: Annotated[str, "bit varying(8)"]
    price: Annotated[str, "money"]
    prices: Annotated[list[str], "money[]"]
    place: Annotated[str, "point"]
    places: Annotated[list[str], "point[]"]
    numbers: Annotated[list[int | None], "public.positive[]"]
    number: Annotated[int, "public.smaller"]
    favourite: Annotated[str, "public.favourite"] | None
    raw: bytes
    raws: Annotated[list[bytes], "bytea[]"]


own = kept.queue("own", Own, lease=seconds(60))
written = kept.queue("written", Written, lease=seconds(60), consumers="nobody_much")
