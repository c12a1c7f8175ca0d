"""Polls past records that cannot be read, on a double that loses what aiokafka loses."""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple

import pytest
from aiokafka.errors import (
    CorruptRecordException,
    NoOffsetForPartitionError,
    TopicAuthorizationFailedError,
)
from aiokafka.structs import TopicPartition
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tracing.kafka import readable_polls
from tracing.kafka.raw_fetch import RawFetch, RawPart
from tracing.kafka.raw_records import RawRecord
from tracing.kafka.readable_polls import ReadablePolls
from tracing.messaging.unreadable import BrokenRecord

# Batches of partitions; a record is readable or not.
LOGS = st.lists(
    st.lists(st.lists(st.booleans(), min_size=1, max_size=4), max_size=4), min_size=1, max_size=3
)


class Record(NamedTuple):
    partition: int
    offset: int


class Client:
    """A consumer that gives a poll up over a record that it cannot read, as aiokafka does."""

    def __init__(self, logs: list[list[list[bool]]], *, late: bool = False) -> None:
        self.logs = {
            TopicPartition("orders", number): batches for number, batches in enumerate(logs)
        }
        self.positions = dict.fromkeys(self.logs, 0)
        self.known = asyncio.Event()
        if not late:
            self.known.set()
        self.refused: set[TopicPartition] = set()

    def assignment(self) -> set[TopicPartition]:
        return set(self.logs)

    async def position(self, tp: TopicPartition) -> int:
        await self.known.wait()
        return self.positions[tp]

    def seek(self, tp: TopicPartition, offset: int) -> None:
        self.positions[tp] = offset

    def extents(self, tp: TopicPartition) -> list[tuple[int, list[bool]]]:
        """The batches, each with the offset of its first record."""
        first, found = 0, []
        for batch in self.logs[tp]:
            found.append((first, batch))
            first += len(batch)
        return found

    async def getmany(
        self, *tps: TopicPartition, timeout_ms: int = 0, max_records: int | None = None
    ) -> dict[TopicPartition, list[Record]]:
        await asyncio.sleep(timeout_ms / 1_000_000)
        self.known.set()
        drained: dict[TopicPartition, list[Record]] = {}
        left = max_records if max_records is not None else 1000
        for tp in tps or tuple(self.logs):
            if left <= 0:
                break
            if tp in self.refused:
                raise TopicAuthorizationFailedError(tp.topic)
            # Where it raises, what was drained is gone, and its positions have moved.
            if taken := self.taken(tp, left):
                drained[tp] = taken
                self.positions[tp] = taken[-1].offset + 1
                left -= len(taken)
        return drained

    def taken(self, tp: TopicPartition, limit: int) -> list[Record]:
        """What a partition gives; a batch is parsed from its beginning, whatever is asked for."""
        taken: list[Record] = []
        for first, batch in self.extents(tp):
            if first + len(batch) <= self.positions[tp]:
                continue
            for index, readable in enumerate(batch):
                if len(taken) >= limit:
                    return taken
                if not readable:
                    raise UnicodeDecodeError("utf-8", b"\xff", 0, 1, "name")
                if first + index >= self.positions[tp]:
                    taken.append(Record(tp.partition, first + index))
        return taken

    @property
    def ended(self) -> bool:
        return all(
            self.positions[tp] >= sum(map(len, batches)) for tp, batches in self.logs.items()
        )


class Raw(RawFetch):
    """Reads the double's batches."""

    @property
    def able(self) -> bool:
        return True

    async def read(self, tp: TopicPartition, offset: int) -> RawPart | None:
        for _ in range(4):
            await asyncio.sleep(0)
        client: Any = self._consumer
        for first, batch in client.extents(tp):
            end = first + len(batch)
            if end > offset:
                return RawPart(
                    tuple(
                        RawRecord(
                            offset=at,
                            next_offset=at + 1,
                            timestamp_ms=0,
                            problem=None if batch[at - first] else "bad",
                        )
                        for at in range(max(first, offset), end)
                    ),
                    end,
                )
        return None

    def record(self, tp: TopicPartition, raw: RawRecord) -> Any:
        return Record(tp.partition, raw.offset)


@pytest.fixture(autouse=True, scope="module")
def raw() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tracing.kafka.readable_polls.RawFetch", Raw)
        yield


def summary(records: list[Any]) -> list[tuple[int, int, bool]]:
    return [(each.partition, each.offset, not isinstance(each, BrokenRecord)) for each in records]


def expected(client: Client) -> set[tuple[int, int, bool]]:
    return {
        (tp.partition, first + index, readable)
        for tp in client.logs
        for first, batch in client.extents(tp)
        for index, readable in enumerate(batch)
    }


@settings(deadline=None)
@given(
    logs=LOGS,
    starts=st.lists(st.integers(0, 6), min_size=3, max_size=3),
    cancelled=st.lists(st.integers(0, 25), max_size=12),
    late=st.booleans(),
)
@example(logs=[[[False]], [[True]]], starts=[0, 0, 0], cancelled=[5, 8], late=True)
@example(logs=[[[False, True], [True]]], starts=[1, 0, 0], cancelled=[], late=False)
def test_each_record_comes_once_and_in_order_around_unreadable_ones(
    logs: list[list[list[bool]]], starts: list[int], cancelled: list[int], *, late: bool
) -> None:
    async def run() -> tuple[Client, list[Any]]:
        client = Client(logs, late=late)
        client.positions = dict(zip(client.logs, starts, strict=False))
        polls = ReadablePolls(client)
        found: list[Any] = []
        steps = list(cancelled)
        for _ in range(1000):
            task = asyncio.create_task(polls.poll(1))
            if steps:
                # Leave it after a few turns, wherever it is then.
                for _ in range(steps.pop()):
                    await asyncio.sleep(0)
                if not task.done():
                    task.cancel()
                    await asyncio.wait((task,))
                    if task.cancelled():
                        continue
            for batch in (await task).values():
                found += batch
            if client.ended and not polls.searching:
                break
        return client, found

    client, found = asyncio.run(run())

    seen = summary(found)
    assert {each for each in expected(client) if each[1] >= starts[each[0]]} == set(seen)
    assert len(seen) == len(set(seen))
    for number in range(len(logs)):
        offsets = [offset for partition, offset, _ in seen if partition == number]
        assert sorted(offsets) == offsets


async def test_records_read_before_another_error_are_returned_first() -> None:
    client = Client([[[True, False, True]], [[True]]])
    polls = ReadablePolls(client)
    first = TopicPartition("orders", 0)
    assert {} == await polls.poll(1)
    client.refused.add(TopicPartition("orders", 1))

    assert [(0, 0, True)] == summary((await polls.poll(1))[first])
    with pytest.raises(TopicAuthorizationFailedError):
        await polls.poll(1)


async def test_an_error_that_is_not_about_a_record_passes_through() -> None:
    client = Client([[[True]]])
    client.refused.add(TopicPartition("orders", 0))

    with pytest.raises(TopicAuthorizationFailedError):
        await ReadablePolls(client).poll(1)


async def test_a_seek_is_not_undone() -> None:
    client = Client([[[True, True, True, True]], [[False]]])
    polls = ReadablePolls(client)
    tp = TopicPartition("orders", 0)
    await polls.poll(1, max_records=2)
    client.seek(tp, 0)
    polls.forget([tp])

    seen: list[Any] = []
    while not client.ended or polls.searching:
        seen += (await polls.poll(1)).get(tp, [])

    assert [0, 1, 2, 3] == [each.offset for each in seen]


async def test_records_of_a_partition_revoked_meanwhile_are_not_returned() -> None:
    client = Client([[[True, True]], [[False]]])
    polls = ReadablePolls(client)
    moved, other = TopicPartition("orders", 0), TopicPartition("orders", 1)
    assert {} == await polls.poll(1)
    known = client.getmany

    async def revoked(*tps: TopicPartition, **options: Any) -> dict[TopicPartition, list[Record]]:
        if tps == (other,):
            polls.forget([moved])
            client.seek(moved, 0)
        return await known(*tps, **options)

    polls._getmany = revoked
    assert moved not in await polls.poll(1)
    polls._getmany = known

    seen: list[Any] = []
    while not client.ended or polls.searching:
        seen += (await polls.poll(1)).get(moved, [])
    assert [0, 1] == [each.offset for each in seen]


async def test_an_error_of_a_partition_without_a_position_is_raised_beside_others() -> None:
    class Nowhere(Client):
        """Nothing is committed of partition 1, and `auto_offset_reset` is "none"."""

        async def position(self, tp: TopicPartition) -> int:
            if tp.partition == 1:
                await asyncio.Event().wait()
            return await super().position(tp)

        async def getmany(
            self, *tps: TopicPartition, **options: Any
        ) -> dict[TopicPartition, list[Record]]:
            nowhere = TopicPartition("orders", 1)
            if nowhere in (tps or self.logs):
                raise NoOffsetForPartitionError(nowhere)
            return await super().getmany(*tps, **options)

    polls = ReadablePolls(Nowhere([[[True]], [[True]]]))

    with pytest.raises(NoOffsetForPartitionError):
        for _ in range(3):
            await polls.poll(0)


async def test_a_record_is_returned_if_the_bytes_are_readable_but_the_client_fails() -> None:
    class Strict(Client):
        def taken(self, tp: TopicPartition, limit: int) -> list[Record]:
            if self.positions[tp] < 2:
                raise CorruptRecordException("by mistake")
            return super().taken(tp, limit)

    client = Strict([[[True, True], [True]]])
    polls = ReadablePolls(client)

    given_: list[tuple[int, int, bool]] = []
    while len(given_) < 3:
        for records in (await polls.poll(0)).values():
            given_ += summary(records)

    assert [(0, 0, True), (0, 1, True), (0, 2, True)] == given_


async def test_a_seek_while_the_bytes_are_read_is_kept() -> None:
    client = Client([[[True], [False, True], [True], [True]]])
    polls = ReadablePolls(client)

    class Seeking(Raw):
        async def read(self, tp: TopicPartition, offset: int) -> RawPart | None:
            client.seek(tp, 4)
            polls.forget([tp])
            return await super().read(tp, offset)

    polls._raw = Seeking(client)
    given_: list[tuple[int, int, bool]] = []
    while not client.ended:
        for records in (await polls.poll(0)).values():
            given_ += summary(records)

    assert [(0, 0, True), (0, 4, True)] == given_


@pytest.mark.parametrize("assigned", [True, False])
async def test_an_error_of_every_poll_that_is_not_about_a_record_is_raised(
    monkeypatch: pytest.MonkeyPatch, *, assigned: bool
) -> None:
    # Like a consumer that is not started: it fails at once, and has no position.
    client = Client([[[True]]] if assigned else [])

    async def fails(*_tps: Any, **_options: Any) -> dict[TopicPartition, list[Record]]:
        await asyncio.sleep(0)
        raise AttributeError

    async def unknown(_tp: TopicPartition) -> int:
        raise AttributeError

    monkeypatch.setattr(client, "getmany", fails)
    monkeypatch.setattr(client, "position", unknown)
    monkeypatch.setattr(readable_polls, "_SEARCH_S", 0.05)
    polls = ReadablePolls(client)
    polls._raw = Raw(client)

    async def polled() -> None:
        while True:
            await polls.poll(200)

    with pytest.raises(AttributeError):
        await asyncio.wait_for(polled(), 30)
