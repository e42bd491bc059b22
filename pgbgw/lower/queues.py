"""Queues: their tables, functions and statements."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pgbgw.declare.derived import (
    lease_functions,
    paused_queues,
    queue_channel,
    queue_default,
    queue_done,
    queue_done_index,
    queue_ends_index,
    queue_functions,
    queue_indexes,
    queue_keys,
    queue_later_trigger,
    queue_partition,
    queue_running,
    queue_sequence,
    queue_suspects,
    queue_tables,
    queue_tokens,
    queue_trigger,
    queue_update_trigger,
)
from pgbgw.declare.extension import Extension
from pgbgw.declare.queues import Queue
from pgbgw.declare.workers import QueueWorker
from pgbgw.ir.model import FunctionIR, HistoryIR, LeaseIR, PayloadColumnIR, QueueIR, SqlLines
from pgbgw.lower import queries
from pgbgw.lower.names import STATEMENTS, Names
from pgbgw.sqltext import quote_ident

__all__ = ["QueueLowering"]


class QueueLowering:
    """Lowers the queues of an extension; ``qualified`` puts the schema before a quoted name.

    Where nothing ``claims``, nothing is ever done, and no history is kept.
    """

    def __init__(self, extension: Extension, names: Names, qualified: Callable[[str], str], *, claims: bool) -> None:
        self._extension = extension
        self._names = names
        self._qualified = qualified
        self._claims = claims

    def queue(self, queue: Queue[Any], number: int) -> QueueIR:
        """A queue, which is number ``number``: its tables, functions and statements."""
        tables = queue_tables(queue)
        table, later, failed = (self._qualified(name) for name in tables)
        functions = queue_functions(queue)
        sequence = self._qualified(queue_sequence(queue))
        paused = self._qualified(paused_queues(self._extension))
        lease = self._lease(queue) if queue.lease is not None else None
        # of what nobody claims nothing is ever done
        history = self._history(queue) if queue.history is not None and self._claims else None
        declared = tuple(PayloadColumnIR(quote_ident(c.name), c.type.sql, c.nullable) for c in queue.columns)
        columns = (*declared, *((PayloadColumnIR("unique_key", "text", True),) if queue.unique else ()))
        keys = self._qualified(queue_keys(queue)) if queue.unique else None
        given = [column.name for column in declared]
        payload = [column.name for column in columns]
        return QueueIR(
            name=queue.name,
            number=number,
            variable=self._names.queue(queue.name),
            table=table,
            relation=tables.now,
            sequence_relation=queue_sequence(queue),
            later=later,
            failed=failed,
            suspects=self._qualified(queue_suspects(queue)),
            keys=keys,
            sequence=sequence,
            later_index=quote_ident(queue_indexes(queue).later_due),
            view=self._qualified(queue.view),
            trigger=quote_ident(queue_trigger(queue)),
            update_trigger=quote_ident(queue_update_trigger(queue)),
            later_trigger=quote_ident(queue_later_trigger(queue)),
            payload=declared,
            columns=columns,
            retries=queue.retries,
            crashes=queue.crashes,
            backoff_us=queue.backoff.us,
            backoff_limit_us=queue.backoff_limit.us,
            wake=self._function(queue_trigger(queue), self._names.wake(queue.name)),
            wake_later=self._function(queue_later_trigger(queue), self._names.wake_later(queue.name)),
            enqueue=self._qualified(functions.enqueue),
            enqueue_at=self._qualified(functions.enqueue_at),
            enqueue_many=self._qualified(functions.enqueue_many),
            retry_failed=self._qualified(functions.retry),
            cancel=self._qualified(functions.cancel),
            purge=self._qualified(functions.purge),
            pause=self._qualified(functions.pause),
            resume=self._qualified(functions.resume),
            counts=self._qualified(functions.counts),
            enqueue_sql=queries.enqueue(table, keys, given),
            enqueue_at_sql=queries.enqueue_at(later, keys, sequence, given),
            enqueue_many_sql=queries.enqueue_many(table, keys, [(c.name, c.sql_type) for c in declared]),
            retry_sql=queries.retry_failed(later, failed, sequence, payload),
            cancel_sql=queries.cancel(table, later, lease.running if lease else None, keys),
            purge_sql=queries.purge(failed, keys),
            pause_sql=queries.pause(paused, queue.name),
            resume_sql=queries.resume(paused, queue.name),
            counts_sql=queries.counts(
                [
                    ("ready", table),
                    ("later", later),
                    *([("running", lease.running)] if lease else ()),
                    ("failed", failed),
                ]
            ),
            producers=tuple(map(quote_ident, queue.producers)),
            operators=tuple(map(quote_ident, queue.operators)),
            consumers=tuple(map(quote_ident, queue.consumers)),
            lease=lease,
            history=history,
            statements=self._statements(queue, lease, history, payload),
            origin=queue.origin,
        )

    def _lease(self, queue: Queue[Any]) -> LeaseIR:
        assert queue.lease is not None
        functions = {
            verb: self._function(name, self._names.lease(queue.name, verb))
            for verb, name in lease_functions(queue)._asdict().items()
        }
        return LeaseIR(
            running=self._qualified(queue_running(queue)),
            relation=queue_running(queue),
            sequence=self._qualified(queue_tokens(queue)),
            tokens=queue_tokens(queue),
            ends_index=quote_ident(queue_ends_index(queue)),
            us=queue.lease.us,
            channel=queue_channel(queue),
            channel_sql=quote_ident(queue_channel(queue)),
            **functions,
        )

    def _history(self, queue: Queue[Any]) -> HistoryIR:
        return HistoryIR(
            done=self._qualified(queue_done(queue)),
            default=self._qualified(queue_default(queue)),
            index=quote_ident(queue_done_index(queue)),
        )

    def _statements(
        self, queue: Queue[Any], lease: LeaseIR | None, history: HistoryIR | None, payload: list[str]
    ) -> tuple[tuple[str, SqlLines], ...]:
        """What C runs: all that claims need, and what the workers of queues need, or leases."""
        table, later, failed = (self._qualified(name) for name in queue_tables(queue))
        sequence, suspects = self._qualified(queue_sequence(queue)), self._qualified(queue_suspects(queue))
        keys = self._qualified(queue_keys(queue)) if queue.unique else None
        found = {
            "claim": queries.claim(table, payload),
            "claim_due": queries.claim_due(later, payload),
            "next_due": queries.next_due(later),
            "put_back": queries.put_back(table, sequence, payload),
            "retry": queries.retry(later, sequence, payload),
            "give_up": queries.give_up(failed, sequence, payload),
            "is_paused": queries.is_paused(self._qualified(paused_queues(self._extension)), queue.name),
        }
        if keys is not None:
            found["release_keys"] = queries.release_keys(keys)
        if any(isinstance(worker, QueueWorker) for worker in self._extension.workers):
            found["pick_suspect"] = queries.pick_suspect(table, later)
            found["claim_suspect"] = queries.claim_suspect(table, later, payload)
            found["note_suspect"] = queries.note_suspect(suspects)
            found["void_suspects"] = queries.void_suspects(suspects)
            found["clear_suspect"] = queries.clear_suspect(suspects)
            found["clear_suspects"] = queries.clear_suspects(suspects)
        if lease is not None:
            found["lease"] = queries.lease(lease.running, payload)
            found["find_leases"] = queries.find_leases(lease.running)
            found["acknowledge"] = (
                queries.acknowledge_and_keep(lease.running, history.done, keys, payload)
                if history is not None
                else queries.acknowledge(lease.running, keys)
            )
            found["extend"] = queries.extend(lease.running)
            found["take_back"] = queries.take_back(lease.running, payload)
            found["end_leases"] = queries.end_leases(lease.running, payload)
            found["next_end"] = queries.next_end(lease.running)
        if history is not None:
            assert queue.history is not None
            found["keep_done"] = queries.keep_done(history.done, payload)
            found["list_partitions"] = queries.list_partitions(
                self._extension.schema, queue_partition(queue), history.done, history.default, queue.history.us
            )
            found["forget_done"] = queries.forget_done(history.default, queue.history.us)
        return tuple((name, found[name]) for name in STATEMENTS if name in found)

    def _function(self, name: str, symbol: str) -> FunctionIR:
        return FunctionIR(self._qualified(name), symbol)
