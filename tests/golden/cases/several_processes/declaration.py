"""Several processes a worker, fixed and by settings, two queues, and two workers on one of them."""

from pgbgw import Counter, Extension, Gauge, Payload, SharedStats, call, seconds

crowd = Extension("crowd", database="postgres")

hands = crowd.int_setting("hands", 2, min=1, max=3, context="postmaster", comment="Processes that pack.")
batch = crowd.int_setting("batch", 50, min=1, max=500, comment="Jobs in one transaction.")


class Parcel(Payload):
    weight: int | None


class Crowd(SharedStats):
    alive = Gauge("Processes alive.")
    packed = Counter("Parcels packed.")


stats = crowd.shared_stats("crowd", Crowd)
parcels = crowd.queue("parcels", Parcel)
returns = crowd.queue("returns", Parcel, retries=1, table="sent_back", view="all_returns")

crowd.queue_worker("pack", parcels, workers=hands, batch=batch, run=call("public.pack", "id"), alive=stats.alive,
                   on_done=stats.packed.add())  # fmt: skip
crowd.queue_worker("pack_more", parcels, workers=2, run=call("public.pack", "id"), every=seconds(5), alive=stats.alive)
crowd.queue_worker("unpack", returns, run=call("public.unpack", "weight"))
crowd.dynamic_worker("hire", run=call("public.hire"), limit=2, alive=stats.alive)
