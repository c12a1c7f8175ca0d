"""Which gaps in what a consumer delivers count as skipped, and which are none."""

from __future__ import annotations

import gc
import warnings
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from aiokafka.structs import TopicPartition

from tracing.kafka.skipped import END, SkippedOffsets
from tracing.kafka.transport import KAFKA
from tracing.messaging.catch_up import NOTHING_COMMITTED, Committed
from tracing.messaging.transport import ClientInfo
from tracing.testing import Capture, eventually

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from tracing import Telemetry

TP = TopicPartition("orders", 0)


class Client:
    """A consumer whose broker deletes records, and whose position is reset at will."""

    def __init__(self, policy: str = "earliest") -> None:
        self._auto_offset_reset = policy
        self.start, self.end = 0, 100
        self.asked = 0
        self.state = SimpleNamespace(_position_fut=object())
        self._subscription = SimpleNamespace(
            subscription=SimpleNamespace(
                assignment=SimpleNamespace(state_value={TP: self.state}.__getitem__)
            )
        )

    def assignment(self) -> frozenset[TopicPartition]:
        return frozenset({TP})

    def reset(self) -> None:
        self.state._position_fut = object()

    async def beginning_offsets(self, partitions: Collection[Any]) -> dict[Any, int]:
        self.asked += 1
        return dict.fromkeys(partitions, self.start)

    async def end_offsets(self, partitions: Collection[Any]) -> dict[Any, int]:
        return dict.fromkeys(partitions, self.end)


class Run:
    def __init__(self, telemetry: Telemetry, capture: Capture, policy: str = "earliest") -> None:
        self.client = Client(policy)
        self.capture = capture
        info = ClientInfo(transport=KAFKA, group="payment")
        self.skipped = SkippedOffsets(telemetry, info, self.client)

    def poll(self, *offsets: int) -> None:
        self.skipped.delivered({TP: [SimpleNamespace(offset=offset) for offset in offsets]})

    async def learn(self, committed: Committed) -> None:
        async def read(_: Collection[Any]) -> Mapping[Any, Committed]:
            return {TP: committed}

        await self.skipped.learning(read)([TP])

    def counts(self) -> tuple[Any, ...]:
        labels = {
            "messaging.destination.name": "orders", "messaging.consumer.group.name": "payment"
        }  # fmt: skip
        return tuple(
            self.capture.metric("pipeline.consumer.skipped", {**labels, "reason": reason})
            for reason in ("deleted", "reset", "seek")
        )

    async def has_counted(self, *counts: int) -> None:
        await eventually(lambda: self.counts() == counts and not self.skipped._checks)


@pytest.fixture(params=["earliest"])
def run(request: pytest.FixtureRequest, telemetry: Telemetry, capture: Capture) -> Run:
    run = Run(telemetry, capture, request.param)
    run.skipped.arriving([TP])
    return run


latest = pytest.mark.parametrize("run", ["latest"], indirect=True)


async def test_series_exist_before_anything_is_skipped(run: Run) -> None:
    assert (0, 0, 0) == run.counts()


@latest
async def test_a_gap_without_a_reset_is_none(run: Run) -> None:
    run.poll(0, 1, 2)
    run.client.start = 6
    run.poll(6, 8)

    await run.has_counted(0, 0, 0)
    assert 0 == run.client.asked


async def test_a_reset_to_the_start_skips_what_was_deleted(run: Run) -> None:
    run.poll(0, 1, 2)
    run.client.reset()
    run.client.start = 6
    run.poll(7)

    await run.has_counted(3, 0, 0)


@latest
async def test_a_reset_to_the_end_skips_the_rest_too(run: Run) -> None:
    run.poll(0, 1, 2)
    run.client.reset()
    run.client.start = 6
    run.poll(9)

    await run.has_counted(3, 3, 0)


@latest
async def test_a_start_that_has_moved_on_since_counts_no_delivered_records(run: Run) -> None:
    run.poll(0, 1, 2)
    run.client.reset()
    run.client.start = 50
    run.poll(9)

    await run.has_counted(6, 0, 0)


@latest
async def test_a_reset_to_an_offset_that_was_in_range_is_not_the_brokers(run: Run) -> None:
    run.poll(0, 1, 2)
    run.client.reset()
    run.poll(9)

    await run.has_counted(0, 0, 0)
    assert 1 == run.client.asked


async def test_an_old_reset_does_not_make_a_later_gap_a_loss(run: Run) -> None:
    run.poll(0, 1, 2)
    run.client.reset()
    run.poll(0, 1, 2)
    run.client.start = 6
    run.poll(6)

    await run.has_counted(0, 0, 0)


@pytest.mark.parametrize(("policy", "counts"), [("earliest", (4, 0, 0)), ("latest", (4, 94, 0))])
async def test_a_group_that_left_a_partition_where_the_log_no_longer_is(
    telemetry: Telemetry, capture: Capture, policy: str, counts: tuple[int, ...]
) -> None:
    run = Run(telemetry, capture, policy)
    run.skipped.arriving([TP])
    run.client.start = 6
    await run.learn(Committed(2))

    await run.has_counted(*counts)


@pytest.mark.parametrize("committed", [Committed(6), Committed(9), NOTHING_COMMITTED])
async def test_a_group_that_can_go_on_skips_nothing(run: Run, committed: Committed) -> None:
    run.client.start = 6
    await run.learn(committed)

    await run.has_counted(0, 0, 0)


async def test_an_assignment_is_checked_once(run: Run) -> None:
    run.client.start = 6
    await run.learn(Committed(2))
    await run.learn(Committed(2))

    await run.has_counted(4, 0, 0)


async def test_an_application_that_keeps_its_own_offsets_has_skipped_nothing(run: Run) -> None:
    run.client.start = 6
    run.skipped.sought(TP, 40)
    await run.learn(Committed(2))
    run.poll(40)

    await run.has_counted(0, 0, 0)


@pytest.mark.parametrize(
    ("sought", "arrived", "skipped"),
    [(5, 5, 2), (5, 7, 2), (END, 9, 6), (END, 3, 0), (0, 0, 0), (3, 4, 0)],
)
async def test_what_the_application_seeks_past_counts_apart(
    run: Run, sought: int, arrived: int, skipped: int
) -> None:
    run.poll(0, 1, 2)
    run.skipped.sought(TP, sought)
    run.poll(arrived)
    # A marker: it is no part of the seek.
    run.poll(arrived + 2)

    await run.has_counted(0, 0, skipped)


async def test_a_partition_that_another_member_read_meanwhile_has_no_gap(run: Run) -> None:
    run.poll(0, 1, 2)
    await run.skipped.revoked([TP])
    run.client.reset()
    run.client.start = 6
    run.poll(9)

    await run.has_counted(0, 0, 0)


async def test_a_broker_that_does_not_answer_is_no_loss(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(_: Collection[Any]) -> dict[Any, int]:
        raise ConnectionError

    monkeypatch.setattr(run.client, "beginning_offsets", fail)
    await run.learn(Committed(2))

    await run.has_counted(0, 0, 0)


async def test_the_log_says_what_was_skipped_once_a_minute(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    for first in (0, 10, 20):
        run.client.start = first
        run.client.reset()
        run.poll(first)
        await eventually(lambda: not run.skipped._checks)

    (logged,) = caplog.messages
    assert logged.startswith("group payment skipped 9 offsets of orders[0], from 1 on: they were")


async def test_a_check_that_ends_before_it_begins_leaves_no_coroutine_behind(run: Run) -> None:
    run.poll(0, 1, 2)
    run.client.reset()
    run.client.start = 6
    run.poll(7)
    run.skipped.closing()

    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        await eventually(lambda: not run.skipped._checks)
        gc.collect()

    assert [] == warned
    assert 0 == run.client.asked
