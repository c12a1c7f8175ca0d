"""Checks that records of one key are handled in order: in one lane, and none after a newer one."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from tracing.core import semconv
from tracing.core.bounded import MAX_KEPT, BoundedDict
from tracing.headers.cloudevents import ID, SOURCE, TIME, time_ms
from tracing.messaging.order_memory import MAX_EVENTS, OrderMemory
from tracing.metrics import catalog

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from tracing.core.semconv import AttributeValue
    from tracing.messaging.transport import ClientInfo, Message
    from tracing.telemetry import Telemetry

_MAX_SOURCES: Final = 16
_MAX_SOURCE: Final = 255
# Every usual form of a time, also with nanoseconds and an offset from UTC.
_TIME_LENGTH: Final = 35

_ERROR_HEADERS: Final = (
    "__pipeline.errors.", "__streams.errors.", "__dlq.errors.", "__connect.errors.", "kafka_dlt-",
)  # fmt: skip
"""How headers of dead letters begin: ours, and those of KIP-1034, KIP-1191, Connect and Spring."""


class OrderCheck:
    """Checks the order of the records that one consumer handles, and counts faults by topic.

    A record is out of order in one of two ways:

    - `partition_changed`: its key was last handled in another lane of its topic, and nothing keeps
      the two lanes in order. Partitions were added, or two producers partition differently.
    - `older`: its event is older than the last handled one of its key and source (`ce_time`), by
      more than `Telemetry(order_tolerance_s=...)`, which is for the clocks of a source's replicas.
      Its producer, or a relay, sent the two in the wrong order.

    These are in order, and do not change what is remembered: replays, dead letters, records that
    are delivered again (their lane is past their offset), and events that are sent again
    (`ce_source` and `ce_id`). Records without a key are not checked, nor are those with a key that
    is not bytes, text, a whole number or a UUID.

    A consumer knows what it handles itself, not what other members of its group do, and forgets
    lanes that a rebalance gives to them. Memory is bounded, so there are errors:

    - A fault is missed if more than `MAX_KEYS` other keys were handled in between.
    - An event that is sent again, after newer ones of its key, counts as `older` if more than
      `MAX_EVENTS` events were handled in between.
    - Keys are remembered as 64-bit hashes (SipHash, with a secret of the process), never in clear.
      One new key in 10^14 is mistaken for another one.
    - Times are compared as text first. An older event may be missed if its source changes its
      offset from UTC.

    Args:
        telemetry: What the service's clients share.
        info: The consumer.

    Task safety: any number of tasks of one event loop.
    """

    def __init__(self, telemetry: Telemetry, info: ClientInfo) -> None:
        self._telemetry = telemetry
        self._info = info
        self._memory = OrderMemory()
        self._held: dict[int, LaneOrder] = {}
        self._holds = count()
        self._revoked: set[Any] = set()
        self._topics = BoundedDict(self._topic)

    def lane(self, topic: str, lane: Any) -> LaneOrder | None:
        """Return the check of a lane's records; `None` if its topic is not checked."""
        shared = self._topics[topic]
        if shared is None:
            return None
        order = LaneOrder(shared, lane)
        self._hold(order)
        return order

    async def revoked(self, lanes: Collection[Any]) -> None:
        """Note that lanes may go to other members of the group."""
        self._revoked.update(lanes)

    def arriving(self, lanes: Collection[Any]) -> None:
        """Forget revoked lanes, except those that come back at once: no other member had them."""
        gone, self._revoked = self._revoked.difference(lanes), set()
        for order in tuple(self._held.values()):
            if order.lane in gone:
                del self._held[order.hold]
                self._hold(order)

    async def assigned(self, lanes: Collection[Any]) -> None:
        """Do nothing: `arriving` has done it."""

    def _hold(self, order: LaneOrder) -> None:
        """Let a lane begin without memory; what was remembered under an old number is void."""
        if len(self._held) >= MAX_KEPT:
            del self._held[next(iter(self._held))]
        hold = next(self._holds)
        self._held[hold] = order
        order.begin(hold)

    def _topic(self, topic: str) -> TopicOrder | None:
        if not self._telemetry.checks_order(topic):
            return None
        return TopicOrder(self._telemetry, self._info, topic, self._memory, self._held)


class TopicOrder:
    """What the checks of a topic's lanes share. Made by `OrderCheck`."""

    __slots__ = ("count", "held", "memory", "sources", "telemetry", "transport")

    def __init__(
        self,
        telemetry: Telemetry,
        info: ClientInfo,
        topic: str,
        memory: OrderMemory,
        held: Mapping[int, LaneOrder],
    ) -> None:
        labels = {semconv.DESTINATION: topic}
        if info.group is not None:
            labels[semconv.GROUP] = info.group
        self.telemetry = telemetry
        self.transport = info.transport
        self.memory = memory
        self.held = held
        self.count = telemetry.metrics.count(catalog.OUT_OF_ORDER, labels)
        self.sources = _Sources(topic)

    def last(self, key: int, source: int) -> tuple[LaneOrder, bytes] | None:
        """Return where a key was last handled, and when that event of its source happened."""
        seen = self.memory.seen(key ^ source)
        lane = None if seen is None else self.held.get(seen[0])
        if seen is not None and lane is not None:
            return lane, seen[1]
        # Sources share the lanes of a key: another one may know where it was.
        if len(self.sources) > 1:
            for other in self.sources.values():
                seen = self.memory.seen(key ^ other)
                lane = None if seen is None else self.held.get(seen[0])
                if lane is not None:
                    return lane, b""
        return None

    def forget(self, key: int) -> None:
        """Forget where a key was, whatever its source."""
        for source in self.sources.values():
            self.memory.forget(key ^ source)


class LaneOrder:
    """Checks the order of one lane's records. Made by `OrderCheck.lane`.

    Attributes:
        lane: The lane.
        hold: Stands for the lane in the memory, until the lane is lost.
    """

    __slots__ = ("_highest", "_memory", "_offset", "_sources", "_topic", "hold", "lane")

    def __init__(self, topic: TopicOrder, lane: Any) -> None:
        self._topic = topic
        self._memory = topic.memory
        self._sources = topic.sources
        self._offset = topic.transport.offset
        self.lane = lane
        self.hold = self._highest = -1

    def begin(self, hold: int) -> None:
        """Begin without memory, under a new number."""
        self.hold, self._highest = hold, -1

    def fault(
        self, record: Message, present: Mapping[str, Any]
    ) -> dict[str, AttributeValue] | None:
        """Check a record as its handling begins, and remember it. Never raises.

        Args:
            record: The record, which is no replay.
            present: `latest(record.headers)`.

        Returns:
            What is wrong, as the attributes of a span event; it is counted. Else `None`.
        """
        # Flat, because this is done for every record.
        try:
            key = record.key
            if key is None or (type(key) is not bytes and (key := _plain(key)) is None):
                return None
            offset = self._offset(record)
            if offset is not None:
                if offset <= self._highest:
                    return None
                self._highest = offset
            source = self._sources[present.get(SOURCE)]
            time = (present.get(TIME) or b"")[:_TIME_LENGTH]
            key = hash(key)
            memory = self._memory
            seen = memory.keys.get(key ^ source)
            if seen is None or seen[0] != self.hold or seen[1] > time:
                return self._examine(key, source, time, present)
            memory.keys[key ^ source] = (self.hold, time)
            events = memory.events
            events.add(hash(present.get(ID)) ^ source)
            if len(events) >= MAX_EVENTS:
                memory.age_events()
        except Exception as fault:
            self._topic.telemetry.diagnostics.failed("order", fault)
        return None

    def _examine(
        self, key: int, source: int, time: bytes, present: Mapping[str, Any]
    ) -> dict[str, AttributeValue] | None:
        """Check a record whose key is new, or that looks out of order."""
        topic, memory = self._topic, self._memory
        event = hash(present.get(ID)) ^ source
        fault: dict[str, AttributeValue] | None = None
        last = topic.last(key, source)
        # By value: a lane that was dropped and made again has an older check in the memory.
        if last is not None and last[0].lane != self.lane:
            before = topic.transport.lane_names((last[0].lane,))
            fault = {
                semconv.ORDER_FAULT: semconv.PARTITION_CHANGED,
                semconv.ORDER_BEFORE: before,
            }
        elif last is not None:
            behind_ms = _behind_ms(last[1], time)
            if behind_ms > topic.telemetry.order_tolerance_ms:
                fault = {
                    semconv.ORDER_FAULT: semconv.OLDER,
                    semconv.ORDER_BEHIND: behind_ms / 1000,
                }
            elif behind_ms >= 0:
                time = last[1]
        if fault is not None:
            if _is_dead_letter(present) or (ID in present and memory.handled(event)):
                return None
            topic.count.value += 1
            topic.forget(key)
        memory.remember(key ^ source, (self.hold, time))
        memory.remember_event(event)
        return fault


class _Sources(dict[object, int]):
    """Numbers for the sources of a topic's events, so that each has its own memory of a key."""

    __slots__ = ("_topic",)

    def __init__(self, topic: str) -> None:
        super().__init__()
        self._topic = topic

    def __missing__(self, source: object) -> int:
        number = hash((self._topic, source))
        # Records can invent sources. One that is not kept has the same number the next time.
        if len(self) >= _MAX_SOURCES:
            self.clear()
        if source is None or (isinstance(source, bytes) and len(source) <= _MAX_SOURCE):
            self[source] = number
        return number


def _plain(key: object) -> str | bytes | None:
    """Return a key that is not bytes as a value with a secret hash; `None` if it has none."""
    if isinstance(key, str | bytes):
        return key
    if isinstance(key, int):
        return str(key)
    return key.bytes if isinstance(key, UUID) else None


def _behind_ms(last: bytes, time: bytes) -> int:
    """Return how much older a time is than the last one, in ms; below 0 if it replaces that one.

    A time that cannot be read does not replace one that can.
    """
    last_ms, this_ms = time_ms(last), time_ms(time)
    if last_ms is None:
        return -1
    return 0 if this_ms is None else last_ms - this_ms


def _is_dead_letter(present: Mapping[str, Any]) -> bool:
    return any(name.startswith(_ERROR_HEADERS) for name in present)
