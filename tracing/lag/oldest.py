"""Read the oldest uncommitted records, with one request for all partitions of a broker."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import dataclass, replace
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from aiokafka import errors
from aiokafka.protocol.fetch import FetchRequest

from tracing.kafka.cluster import has_moved
from tracing.kafka.raw_fetch import answered
from tracing.lag.batches import first_record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from aiokafka.structs import TopicPartition

    from tracing.kafka.cluster import Cluster
    from tracing.kafka.topic_ids import Log
    from tracing.lag.batches import First

_COMMITTED: Final = 1
_UNCOMMITTED: Final = 0
# How long a broker may wait for records. It does not wait where it has some.
_WAIT_MS: Final = 100
# Most batches are smaller, and a broker sends the first one of a request at any size.
_PART_BYTES: Final = 16 * 1024
_LARGER: Final = 8
_ANSWER_BYTES: Final = 8 * 1024 * 1024
# Compaction can remove a remembered record.
_TRUSTED_S: Final = 60.0


class Place(NamedTuple):
    """Where to look for a record: a partition and the first offset."""

    tp: TopicPartition
    offset: int


@dataclass(slots=True)
class _Search:
    """The search for the first record of a place, which may take several requests."""

    place: Place
    offset: int
    isolation: int = _COMMITTED
    part_bytes: int = _PART_BYTES


class OldestReader:
    """Reads first records. For one task.

    It sees what a consumer of committed records sees, and the records of open transactions: these
    wait for that consumer, too.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    async def read(self, places: Iterable[Place], *, until: float) -> dict[Place, First | None]:
        """Find the first record of each place.

        Args:
            places: Where to look; one partition may have several places.
            until: When to give up, by `time.monotonic()`.

        Returns:
            The record of each place; `None` if there is none up to the end of the log. Places that
            could not be read are left out.
        """
        records: dict[Place, First | None] = {}
        left = [_Search(place, place.offset) for place in places]
        while left and monotonic() < until:
            # A request can hold each partition only once.
            now: dict[tuple[int, TopicPartition], _Search] = {}
            later: list[_Search] = []
            for search in left:
                key = (search.isolation, search.place.tp)
                if now.setdefault(key, search) is not search:
                    later.append(search)
            again = await self._round(now.values(), records)
            left = [*again, *later]
        return records

    async def _round(
        self, searches: Iterable[_Search], records: dict[Place, First | None]
    ) -> list[_Search]:
        by_place = {(search.isolation, search.place.tp): search for search in searches}
        again: list[_Search] = []
        requests = []
        for isolation in (_COMMITTED, _UNCOMMITTED):
            partitions = [tp for level, tp in by_place if level == isolation]
            leaders, _ = self._cluster.by_leader(partitions)
            requests += [
                self._ask(node, [by_place[isolation, tp] for tp in asked], records, again)
                for node, asked in leaders.items()
            ]
        await asyncio.gather(*requests)
        return again

    async def _ask(
        self,
        node: int,
        searches: list[_Search],
        records: dict[Place, First | None],
        again: list[_Search],
    ) -> None:
        topics: dict[str, list[tuple[int, int, int]]] = defaultdict(list)
        for search in searches:
            topic, number = search.place.tp
            topics[topic].append((number, search.offset, search.part_bytes))
        isolation = searches[0].isolation
        request = FetchRequest(_WAIT_MS, 1, _ANSWER_BYTES, isolation, list(topics.items()))
        try:
            answer = await self._cluster.send(node, request)
        except errors.KafkaError as error:
            self._cluster.remarks.unanswered.add(
                f"records of broker {node}: {type(error).__name__}"
            )
            return
        answers = answered(answer)
        for search in searches:
            part = answers.get(search.place.tp)
            first = search is searches[0]
            try:
                if part is not None and self._answered(search, part, records, first=first):
                    again.append(search)
            except Exception as error:
                tp = search.place.tp
                self._cluster.remarks.unanswered.add(
                    f"records of {tp.topic}[{tp.partition}]: {type(error).__name__}"
                )

    def _answered(
        self,
        search: _Search,
        part: dict[str, Any],
        records: dict[Place, First | None],
        *,
        first: bool,
    ) -> bool:
        """Process the answer for one search; return whether to ask again."""
        tp = search.place.tp
        code = part["error_code"]
        if code:
            if not has_moved(code) and errors.for_code(code) is not errors.OffsetOutOfRangeError:
                self._cluster.remarks.refused(code, f"topic {tp.topic}", "Read")
            return False
        data = part["message_set"] or b""
        aborted = part.get("aborted_transactions") if search.isolation == _COMMITTED else None
        before = search.offset
        record, search.offset = first_record(data, before, aborted)
        if record is not None:
            records[search.place] = replace(record, settled=search.isolation == _COMMITTED)
            return False
        end = part["highwater_offset"]
        if search.offset >= end:
            records[search.place] = None
            return False
        if search.offset > before:
            return True
        if search.isolation == _COMMITTED and search.offset >= part.get("last_stable_offset", end):
            search.isolation = _UNCOMMITTED
            return True
        search.part_bytes = min(search.part_bytes * _LARGER, _ANSWER_BYTES)
        # A broker always sends a batch of the first partition; the others may find no room.
        return not first


class _Read(NamedTuple):
    first: First | None
    end: int
    read_at: float


class RememberingReader:
    """Reads first records and remembers them for a minute, for sweeps without commits.

    For one task.

    Args:
        reader: Reads what is not remembered.
        log: Returns what identifies a partition's log now.
    """

    def __init__(self, reader: OldestReader, log: Callable[[TopicPartition], Log]) -> None:
        self._reader = reader
        self._log = log
        self._read: dict[tuple[Log, int], _Read] = {}

    async def read(self, places: Mapping[Place, int], *, until: float) -> dict[Place, First | None]:
        """Find the first record of each place.

        Args:
            places: Where to look, with the end of each log.
            until: When to give up, by `time.monotonic()`.

        Returns:
            As for `OldestReader.read`.
        """
        now = monotonic()
        remembered = {
            place: read
            for place, end in places.items()
            if (read := self._read.get(self._key(place))) is not None
            and now - read.read_at < _TRUSTED_S
            # If there was no record, one may have been written since.
            and (read.first is not None or read.end == end)
        }
        fresh = await self._reader.read(places.keys() - remembered.keys(), until=until)
        self._read = {self._key(place): read for place, read in remembered.items()} | {
            self._key(place): _Read(first, places[place], now)
            for place, first in fresh.items()
            if first is None or first.settled
        }
        return fresh | {place: read.first for place, read in remembered.items()}

    def _key(self, place: Place) -> tuple[Log, int]:
        return self._log(place.tp), place.offset
