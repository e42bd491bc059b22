"""Queues without workers."""

from __future__ import annotations

from collections.abc import Iterator

from pgbgw.check.target import Rule, Target
from pgbgw.declare.extension import Extension
from pgbgw.declare.places import argument
from pgbgw.declare.workers import QueueWorker
from pgbgw.diagnostics import Diagnostic

__all__ = ["RULES"]


def without_workers(extension: Extension, target: Target) -> Iterator[Diagnostic]:
    """BGW506: nobody takes the jobs."""
    served = [worker.queue for worker in extension.workers if isinstance(worker, QueueWorker)]
    for queue in extension.queues:
        if queue not in served and queue.lease is None:
            yield Diagnostic(
                "BGW506",
                f'queue "{queue.name}" has no worker',
                argument(queue.origin, 0, "name"),
                detail="Its jobs stay in the table until somebody takes them.",
                hint="Declare a queue_worker() for it, or lease= where sessions take its jobs.",
            )


RULES: tuple[Rule, ...] = (without_workers,)
