"""Lanes: a key's records one by one, whatever fails while the outbox is being read."""

from __future__ import annotations

import asyncio

import pytest

from tracing.delivery.retry import Retry
from tracing.sql.ordered_sends import MAX_QUEUED, Lanes
from tracing.sql.send_failures import SendFailures
from tracing.sql.stored_record import StoredRecord
from tracing.testing import eventually


def record(sequence: int, key: bytes | None = b"k") -> StoredRecord:
    return StoredRecord(sequence, "orders", key, b"v", None, b"[]")


class Sent:
    """Takes records; fails at some, and keeps all waiting while it is held."""

    def __init__(self, *failing: int) -> None:
        self.sequences: list[int] = []
        self.failing = failing
        self.free = asyncio.Event()
        self.free.set()

    async def __call__(self, sent: StoredRecord) -> None:
        self.sequences.append(sent.sequence)
        await self.free.wait()
        if sent.sequence in self.failing:
            raise ConnectionError


def lanes_of(sent: Sent) -> tuple[Lanes, SendFailures, list[str]]:
    changes: list[str] = []
    failures = SendFailures(Retry(delay_s=0), str)
    return Lanes(sent, failures, lambda: changes.append("changed"), many=2), failures, changes


async def test_records_that_were_read_while_one_before_them_failed_are_left_for_the_next_read() -> (
    None
):
    sent = Sent(1)
    lanes, failures, _ = lanes_of(sent)
    lanes.take([record(1), record(2)])
    lanes.reading()
    assert await eventually(lambda: len(failures) == 1)

    # What a read returns that left 1 and 2 out, because they were on their way.
    assert 1 == lanes.take([record(3), record(4, b"other")])
    assert await eventually(lambda: not lanes.busy())
    assert [1, 4] == sent.sequences
    assert {4} == lanes.known


async def test_a_key_takes_so_many_records_and_leaves_the_rest() -> None:
    sent = Sent()
    sent.free.clear()
    lanes, _, _ = lanes_of(sent)
    many = [record(number) for number in range(MAX_QUEUED + 10)]
    others = [record(1000, b"other"), record(1001, None), record(1002, None)]

    assert MAX_QUEUED + 3 == lanes.take([*many, *others])
    assert {("orders", b"k")} == lanes.full()
    sent.free.set()
    assert await eventually(lambda: not lanes.busy())
    assert [number for number in sent.sequences if number < 1000] == list(range(MAX_QUEUED))


async def test_records_without_a_key_do_not_wait_for_each_other() -> None:
    sent = Sent()
    sent.free.clear()
    lanes, _, _ = lanes_of(sent)
    lanes.take([record(1, None), record(2, None), record(3), record(4)])
    await asyncio.sleep(0)
    assert [1, 2, 3] == sent.sequences
    await lanes.cut_off()
    assert frozenset() == lanes.known


@pytest.mark.parametrize(("records", "changes"), [(1, 1), (2, 2), (3, 2)])
async def test_there_is_something_to_do_when_enough_is_acknowledged_or_nothing_is_left(
    records: int, changes: int
) -> None:
    lanes, _, changed = lanes_of(Sent())
    lanes.take([record(number) for number in range(records)])
    assert await eventually(lambda: not lanes.busy())
    assert changes == len(changed)


async def test_what_is_deleted_is_forgotten_and_nothing_else() -> None:
    sent = Sent(3)
    lanes, _, _ = lanes_of(sent)
    lanes.take([record(1), record(2), record(3)])
    assert await eventually(lambda: not lanes.busy())
    assert {1, 2} == lanes.known == lanes.acknowledged
    lanes.forget(frozenset({1}))
    assert {2} == lanes.known == lanes.acknowledged
