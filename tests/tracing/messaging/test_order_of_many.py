"""The check of the order over many records: no fault in correct traffic, within bounded memory."""

from __future__ import annotations

import gc
import itertools
import random
import time
from dataclasses import dataclass
from functools import cache
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any, Final
from zlib import crc32

import pytest

from tracing import Telemetry
from tracing.core.bounded import MAX_KEPT
from tracing.headers.cloudevents import ID, SOURCE, TIME
from tracing.kafka.transport import KAFKA
from tracing.messaging.order import LaneOrder, OrderCheck
from tracing.messaging.order_memory import MAX_EVENTS, MAX_KEYS
from tracing.messaging.transport import ClientInfo

if TYPE_CHECKING:
    from tracing.testing import Capture

RECORDS: Final = 1_000_000
TOPICS: Final = {"orders": 8, "payments": 4}
SOURCES: Final = (b"/orders", b"/import", b"/partner")
# Replicas of a source: their clocks differ, by less than the tolerance.
SKEW_MS: Final = (0, 300, -400)
OUT_OF_ORDER: Final = "pipeline.out_of_order"
Place = tuple[str, int]
DEAD_LETTER: Final = {"__pipeline.errors.topic": b"orders"}


@dataclass(slots=True)
class Record:
    """What the check reads of a record."""

    key: bytes | None
    offset: int
    headers: dict[str, Any]
    topic: str = ""
    timestamp: int = 0
    value: bytes | None = None


class Traffic:
    """Correct traffic of two topics, as one member of a group handles it.

    Some records are delivered again, some events are sent again, some records are dead letters or
    have no key, and partitions move to other members and come back.
    """

    def __init__(self, check: OrderCheck) -> None:
        self.check = check
        self.chance = random.Random(1)
        self.now_ms = 0
        self.handled = 0
        self.away: set[Place] = set()
        self.lanes: dict[Place, LaneOrder] = {}
        self.logs: dict[Place, list[Record]] = {}
        for topic, partitions in TOPICS.items():
            for place in ((topic, partition) for partition in range(partitions)):
                lane = check.lane(topic, place)
                assert lane is not None
                self.lanes[place], self.logs[place] = lane, []

    async def run(self, records: int) -> None:
        """Handle at least so many records."""
        moves = 0
        while self.handled < records:
            for _ in range(1000):
                self.send()
            self.repeat(self.chance.choice(list(self.logs)))
            if self.handled // 50_000 > moves:
                moves += 1
                await self.rebalance()

    def send(self) -> None:
        """Send the next event, and handle it if its partition is here."""
        self.now_ms += 1
        bits = self.chance.getrandbits(64)
        topic = "orders" if bits & 3 else "payments"
        # Few keys have many events, and many have few.
        number = (bits >> 8 & 0xFFFF) * (bits >> 24 & 0xFFFF) >> 16
        key = b"user-%d" % number if bits >> 40 & 127 else None
        headers = {
            ID: b"%d" % self.now_ms,
            SOURCE: SOURCES[(bits >> 48) % 3],
            TIME: written(self.now_ms + SKEW_MS[(bits >> 56) % 3]),
        }
        self.append((topic, crc32(key or b"") % TOPICS[topic]), key, headers)

    def repeat(self, place: Place) -> None:
        """Do what makes records come again."""
        log = self.logs[place]
        if place in self.away or not log:
            return
        # A relay that crashed sends its last events again, as new records.
        for record in log[-self.chance.randrange(1, 200) :]:
            self.append(place, record.key, record.headers)
        # A record failed, and the consumer went back.
        for record in log[-self.chance.randrange(1, 200) :]:
            self.handle(place, record)
        # A dead letter of a much older record is read, as from a dead-letter topic.
        old = log[0]
        self.append(place, old.key, {**old.headers, ID: b"-%d" % self.now_ms, **DEAD_LETTER})
        del log[:-400]

    def append(self, place: Place, key: bytes | None, headers: dict[str, Any]) -> None:
        log = self.logs[place]
        record = Record(key, log[-1].offset + 1 if log else 0, headers)
        log.append(record)
        if place not in self.away:
            self.handle(place, record)

    def handle(self, place: Place, record: Record) -> None:
        self.handled += 1
        fault = self.lanes[place].fault(record, record.headers)
        assert fault is None, (place, record, fault)

    async def rebalance(self) -> None:
        """Give all partitions up; some go to other members, most of those of before come back."""
        await self.check.revoked(self.lanes.keys() - self.away)
        self.away = set(self.chance.sample(sorted(self.lanes), k=4))
        self.check.arriving(self.lanes.keys() - self.away)


def written(time_ms: int) -> bytes:
    """Write a time as CloudEvents do."""
    second, millisecond = divmod(time_ms + 1000, 1000)
    return b"%b.%03dZ" % (_second(second), millisecond)


@cache
def _second(second: int) -> bytes:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(1_790_000_000 + second)).encode()


@pytest.fixture
def check(capture: Capture) -> OrderCheck:
    telemetry = Telemetry(
        "orders",
        tracer_provider=capture.tracer_provider,
        meter_provider=capture.meter_provider,
        order_check=True,
    )
    return OrderCheck(telemetry, ClientInfo(transport=KAFKA, group="g"))


@pytest.mark.timeout(300)
async def test_a_million_records_of_correct_traffic_have_no_fault(
    check: OrderCheck, capture: Capture
) -> None:
    traffic = Traffic(check)

    await traffic.run(RECORDS)

    assert RECORDS <= traffic.handled
    assert 0 == capture.metric(OUT_OF_ORDER)
    assert 0 == capture.metric("pipeline.telemetry.dropped", {"reason": "order"})


async def test_every_fault_among_many_records_is_counted(
    check: OrderCheck, capture: Capture
) -> None:
    lanes = [check.lane("orders", ("orders", partition)) for partition in range(4)]
    faults = 0
    for number in range(100_000):
        user, round_ = number % 1000, number // 1000
        # Each user has a late event every 10 rounds, and another partition from round 50 on.
        late = round_ > 0 and (user + round_) % 10 == 0
        moved = round_ >= 50
        faults += late or round_ == 50
        headers = {
            ID: b"%d" % number,
            SOURCE: SOURCES[0],
            TIME: written(1000 * round_ - 5000 * late + 10_000),
        }
        lane = lanes[(user + moved) % 4]
        assert lane is not None
        lane.fault(Record(b"user-%d" % user, number, headers), headers)

    assert faults == capture.metric(OUT_OF_ORDER)


def test_keys_and_events_that_were_handled_too_long_ago_are_forgotten(
    check: OrderCheck, capture: Capture
) -> None:
    lane = check.lane("orders", ("orders", 0))
    assert lane is not None

    def handled(key: bytes, event: int, time_ms: int) -> None:
        headers = {ID: b"%d" % event, SOURCE: SOURCES[0], TIME: written(time_ms)}
        lane.fault(Record(key, next(offsets), headers), headers)

    offsets = itertools.count()
    for event in range(2):
        handled(b"same", event, 10_000 * event)
    for other in range(MAX_KEYS - 3):
        handled(b"user-%d" % other, 2 + other, 20_000)
    # It is remembered for so long, and it was sent again.
    handled(b"same", 0, 0)
    assert 0 == capture.metric(OUT_OF_ORDER)
    handled(b"same", -1, 0)
    assert 1 == capture.metric(OUT_OF_ORDER)
    for other in range(2 * MAX_KEYS):
        handled(b"guest-%d" % other, MAX_KEYS + other, 20_000)
    # It is forgotten: a fault is missed.
    handled(b"same", -2, -10_000)
    assert 1 == capture.metric(OUT_OF_ORDER)
    handled(b"same", -3, 10_000)
    # And this is an event that was sent again, which is not known any more.
    handled(b"same", 0, 0)
    assert 2 == capture.metric(OUT_OF_ORDER)


def test_memory_is_bounded_and_holds_no_key(check: OrderCheck) -> None:
    lane = check.lane("orders", ("orders", 0))
    assert lane is not None

    for number in range(3 * MAX_KEYS + MAX_KEYS // 2):
        headers = {
            ID: b"%01000d" % number,
            SOURCE: b"/%01000d" % number,
            TIME: written(number) + b" " * 1000,
        }
        lane.fault(Record(b"user-%d" % number, number, headers), headers)

    kept = [each for each in kept_by(check) if isinstance(each, bytes)]
    assert MAX_KEYS < len(kept) < 2 * MAX_KEYS + 100
    assert 100 > max(map(len, kept))
    assert not [text for text in kept if text.startswith(b"user")]


def test_events_and_sources_of_one_key_are_bounded_too(check: OrderCheck) -> None:
    lane = check.lane("orders", ("orders", 0))
    assert lane is not None

    for number in range(3 * MAX_EVENTS):
        headers = {ID: b"%d" % number, SOURCE: b"/%d" % (number % 100), TIME: written(number)}
        lane.fault(Record(b"user", number, headers), headers)

    assert MAX_EVENTS <= sum(isinstance(each, int) for each in kept_by(check)) < 2.1 * MAX_EVENTS
    texts = [each for each in kept_by(check) if isinstance(each, bytes)]
    assert 20 > sum(text.startswith(b"/") for text in texts)


def test_the_lanes_that_are_remembered_are_bounded(check: OrderCheck) -> None:
    for partition in range(MAX_KEPT + 100):
        check.lane("orders", ("orders", partition))

    assert MAX_KEPT == sum(isinstance(each, LaneOrder) for each in kept_by(check))


def test_a_lane_that_was_dropped_and_made_again_is_the_same_lane(
    check: OrderCheck, capture: Capture
) -> None:
    for number, seconds in enumerate((10, 20, 10)):
        # As the consumer does with more lanes than it keeps.
        lane = check.lane("orders", ("orders", 0))
        assert lane is not None
        headers = {ID: b"%d" % number, SOURCE: SOURCES[0], TIME: written(1000 * seconds)}
        lane.fault(Record(b"user-1", number, headers), headers)
        # What is older is noticed in the lane that was made again, too.
        assert (number == 2) == capture.metric(OUT_OF_ORDER)


def kept_by(root: object) -> list[object]:
    """Return everything that a check keeps alive, without what it shares with others."""
    kept, waiting, seen = [], [root], set()
    shared = type, ModuleType, FunctionType, Telemetry
    while waiting:
        each = waiting.pop()
        if id(each) not in seen and not isinstance(each, shared):
            seen.add(id(each))
            kept.append(each)
            waiting += gc.get_referents(each)
    return kept
