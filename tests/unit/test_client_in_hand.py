"""What a consumer has in hand, without a server."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from pgbgw.client.ending import Ending
from pgbgw.client.inhand import InHand


def job(number: int, priority: int = 5) -> Any:
    return SimpleNamespace(id=number, token=1, priority=priority, lost=False)


def taken(in_hand: InHand[Any]) -> list[int]:
    found = []
    while (each := in_hand.take(wait=False)) is not None:
        found.append(each.id)
    return found


def test_jobs_of_a_higher_priority_are_begun_before_those_that_wait() -> None:
    in_hand: InHand[Any] = InHand("mail", Ending(0), 1, 60.0)
    in_hand.add([job(1), job(2, 9)], 0.0)
    in_hand.add([job(3, 0), job(4), job(5, 9)], 0.0)
    assert taken(in_hand) == [3, 1, 4, 2, 5]


def test_handlers_that_are_free_are_known_from_what_was_claimed_and_has_ended() -> None:
    in_hand: InHand[Any] = InHand("mail", Ending(0), 3, 60.0)
    jobs = [job(number) for number in range(6)]
    in_hand.add(jobs, 0.0)
    assert (in_hand.free, in_hand.begun) == (3, 0)
    for _ in range(3):
        in_hand.take()
    assert (in_hand.free, in_hand.begun, in_hand.waiting) == (0, 3, 3)
    in_hand.end(jobs[0], None)
    assert in_hand.free == 1
    assert [each.id for each, _ in in_hand.ended()] == [0]
    assert in_hand.free == 1
    jobs[5].lost = True
    in_hand.give_back(1)
    assert (in_hand.free, in_hand.begun, in_hand.waiting) == (1, 3, 1)
    assert [each.id for each, _ in in_hand.ended()] == [4]
    jobs[3].lost = True
    assert taken(in_hand) == []
    assert in_hand.free == 1
