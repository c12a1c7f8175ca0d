"""Records of one key are sent one by one, even when a send fails during a read of the outbox."""

from __future__ import annotations

import asyncio

import pytest

from tracing.delivery.retry import Retry
from tracing.sql.ordered_sends import MAX_QUEUED, OrderedSends
from tracing.sql.outbox_rows import StoredRecord
from tracing.sql.send_failures import SendFailures
from tracing.testing import eventually


def record(sequence: int, key: bytes | None = b"k") -> StoredRecord:
    return StoredRecord(sequence, "orders", key, b"v", None, b"[]", 1)


class Sent:
    """Records what is sent; fails for some records, and blocks while `free` is cleared."""

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


def ordered_sends(sent: Sent) -> tuple[OrderedSends, SendFailures, list[str]]:
    changes: list[str] = []
    failures = SendFailures(Retry(delay_s=0), str)
    return (
        OrderedSends(sent, failures, lambda: changes.append("changed"), many=2),
        failures,
        changes,
    )


async def test_records_read_while_an_earlier_one_failed_are_left_for_the_next_read() -> None:
    sent = Sent(1)
    sends, failures, _ = ordered_sends(sent)
    sends.take([record(1), record(2)])
    sends.begin_read()
    assert await eventually(lambda: len(failures) == 1)

    # The result of a read that left out 1 and 2, because they were being sent.
    assert 1 == sends.take([record(3), record(4, b"other")])
    assert await eventually(lambda: not sends.busy())
    assert [1, 4] == sent.sequences
    assert {4} == sends.held


async def test_a_key_queues_a_bounded_number_of_records_and_leaves_the_rest() -> None:
    sent = Sent()
    sent.free.clear()
    sends, _, _ = ordered_sends(sent)
    many = [record(number) for number in range(MAX_QUEUED + 10)]
    others = [record(1000, b"other"), record(1001, None), record(1002, None)]

    assert MAX_QUEUED + 3 == sends.take([*many, *others])
    assert {("orders", b"k")} == sends.full()
    sent.free.set()
    assert await eventually(lambda: not sends.busy())
    assert [number for number in sent.sequences if number < 1000] == list(range(MAX_QUEUED))


async def test_records_without_a_key_do_not_wait_for_each_other() -> None:
    sent = Sent()
    sent.free.clear()
    sends, _, _ = ordered_sends(sent)
    sends.take([record(1, None), record(2, None), record(3), record(4)])
    await asyncio.sleep(0)
    assert [1, 2, 3] == sent.sequences
    await sends.cut_off()
    assert frozenset() == sends.held


@pytest.mark.parametrize(("records", "changes"), [(1, 1), (2, 2), (3, 2)])
async def test_a_change_is_reported_when_enough_is_acknowledged_or_nothing_is_left(
    records: int, changes: int
) -> None:
    sends, _, changed = ordered_sends(Sent())
    sends.take([record(number) for number in range(records)])
    assert await eventually(lambda: not sends.busy())
    assert changes == len(changed)


async def test_only_deleted_records_are_forgotten() -> None:
    sent = Sent(3)
    sends, _, _ = ordered_sends(sent)
    sends.take([record(1), record(2), record(3)])
    assert await eventually(lambda: not sends.busy())
    assert {1, 2} == sends.held == sends.acknowledged
    sends.forget(frozenset({1}))
    assert {2} == sends.held == sends.acknowledged
