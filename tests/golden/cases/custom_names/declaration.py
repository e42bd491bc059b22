"""Every name that can be chosen, all of them in need of quotes."""

from pgbgw import Boolean, Counter, Extension, Payload, SharedStats, call, sql

odd = Extension("odd", version="1.0-beta.2", schema='The "Schema"', database="it's", comment="Odd */ names -- 'all'.")


class State(SharedStats):
    double = Counter("A C keyword; its column is named \"select\" -- isn't it?")
    errno = Boolean("A macro of C; neither @extowner@ nor MODULE_PATHNAME is one.")


class Job(Payload):
    short: str
    over: int | None


state = odd.shared_stats(
    "lock", State, function="Get It", view="100% \"view\"", columns={"double": "Dou ble", "errno": "it's $1"}
)
jobs = odd.queue("jobs", Job, table="Jobs; DROP TABLE x --", view="The @extschema@ jobs?")
odd.shutdown(flag=state.errno, request="Stop!", resume="Go on, \\please")
odd.queue_worker(
    "work", jobs, run=call('"Sch"."Fun c"', "short", "over"), title='Wörker "one" \\ %s', activity="*/ ??/ %n\ntwo lines",
    on_done=state.double.add(),
)  # fmt: skip
odd.dynamic_worker(
    "int", args={"register": "text"}, function="Läunch", run=sql("SELECT 'a\\b', \"X y\", '%s' FROM public.t /* ??/ */"
                                                          " WHERE :register = '*/'"),
    title="-- launches",
)  # fmt: skip
