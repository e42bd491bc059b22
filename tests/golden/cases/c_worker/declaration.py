"""Workers with C bodies: two functions in one source, with SQL and without, the latter from the server's start."""

from pgbgw import Counter, Extension, SharedStats, seconds

probe = Extension("probe", database="postgres", comment="Looks at the server.")


class Seen(SharedStats):
    samples = Counter("Samples taken.", hot=True)


seen = probe.shared_stats("seen", Seen)

probe.c_worker("sampler", source="sampler.c", function="probe_sample", every=seconds(1), on_done=seen.samples.add())
probe.c_worker("counter", source="sampler.c", function="probe_count", every=seconds(5), sql=True, timeout=seconds(2))
probe.c_worker("early", source="sampler.c", function="probe_sample", every=seconds(60), start="postmaster")
