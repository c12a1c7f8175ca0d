"""A transport that is not like Kafka: queues, one acknowledgement per message, no offsets.

It is made of the Protocols of `tracing.messaging` alone, as a client of another broker would be.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tracing.messaging.body_size import processing_type
from tracing.messaging.reading import ConsumerClosedError
from tracing.messaging.subscription import SubscribedLane, Subscription
from tracing.messaging.transport import ClientInfo

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from tracing import Telemetry
    from tracing.headers.codec import Header
    from tracing.messaging.process import Processing
    from tracing.messaging.reading import ConsumerPort, LaneObserver, RunningLoop
    from tracing.messaging.transport import Sender


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message, delivered for the `delivery`-th time."""

    topic: str
    value: bytes | None
    key: bytes | None = None
    headers: tuple[Header, ...] = ()
    timestamp: int = -1
    delivery: int = 1


@dataclass(frozen=True, slots=True)
class Queue:
    """What keeps order here: a queue, or the part of it with one key."""

    topic: str
    key: bytes | None


class QueueTransport:
    """Describes messages of a queue, which have neither partition nor offset."""

    system = "inmemory_queue"
    lane_plural = "queues"

    def attributes(self, message: Delivery) -> dict[str, Any]:
        """Return how often the message was delivered."""
        return {"messaging.queue.delivery": message.delivery}

    def placement(self, placed: Any) -> dict[str, Any]:
        """Return nothing: a queue has no places."""
        del placed
        return {}

    def position(self, message: Delivery) -> dict[str, int]:
        """Return how often the message was delivered."""
        return {"delivery": message.delivery}

    def offset(self, message: Delivery) -> None:
        """Return nothing: a queue has no offsets."""
        del message

    def place(self, message: Delivery) -> str:
        """Return the queue and the delivery."""
        return f"{message.topic} delivery {message.delivery}"

    def body_size(self, message: Delivery) -> int:
        """Return the size of the body."""
        return len(message.value or b"")

    def lane(self, message: Delivery) -> Queue:
        """Return the queue of a message with its key."""
        return Queue(message.topic, message.key)

    def lane_names(self, lanes: Collection[Queue]) -> str:
        """Return the names of queues."""
        return " ".join(sorted(lane.topic for lane in lanes))


QUEUE = QueueTransport()


class QueueBroker:
    """Queues of messages; what is not acknowledged stays, and what is refused comes again."""

    def __init__(self) -> None:
        self.queues: dict[str, deque[Delivery]] = {}
        self.unsettled: list[Delivery] = []
        self.acknowledged: list[bytes | None] = []
        self.refused: list[bytes | None] = []

    def put(self, topic: str, value: bytes | None, **facts: Any) -> None:
        """Add a message."""
        self.queues.setdefault(topic, deque()).append(Delivery(topic, value, **facts))

    def take(self, topic: str) -> list[Delivery]:
        """Deliver what waits."""
        queue = self.queues.setdefault(topic, deque())
        taken = list(queue)
        queue.clear()
        self.unsettled += taken
        return taken

    async def ack(self, message: Delivery) -> None:
        """Forget a message."""
        await asyncio.sleep(0)
        self.unsettled.remove(message)
        self.acknowledged.append(message.value)

    async def nack(self, message: Delivery) -> None:
        """Take a message back, for the next delivery."""
        await asyncio.sleep(0)
        self.unsettled.remove(message)
        self.refused.append(message.value)
        again = Delivery(
            message.topic, message.value, message.key, message.headers, message.timestamp,
            message.delivery + 1,
        )  # fmt: skip
        self.queues[message.topic].append(again)


class QueueProducer:
    """Sends to queues."""

    def __init__(self, broker: QueueBroker, telemetry: Telemetry) -> None:
        self.broker = broker
        self.telemetry = telemetry
        self.info = ClientInfo(transport=QUEUE)

    def _pipeline_sender(self) -> Sender:
        return self

    async def send_raw(
        self, topic: str, value: bytes | None, key: bytes | None, headers: list[Header]
    ) -> None:
        """Send bytes."""
        self.broker.put(topic, value, key=key, headers=tuple(headers))

    def is_destination(self, name: str) -> bool:
        """Accept any name."""
        return bool(name)

    def owned(self) -> Any:
        """Refuse: there are no transactions."""
        raise RuntimeError("queues have no transactions")


@dataclass
class Acknowledgements:
    """Settles one message at a time."""

    broker: QueueBroker
    done: dict[Queue, list[Delivery]] = field(default_factory=dict)

    def lane(self, lane: Queue) -> LaneAcknowledgements:
        """Return the settlement of one lane."""
        return LaneAcknowledgements(self.done.setdefault(lane, []))

    def lanes(self) -> Collection[Queue]:
        """Return the lanes that it has."""
        return self.done.keys()

    def spent(self) -> Collection[Queue]:
        """Return the lanes where all is acknowledged."""
        return [lane for lane, handled in self.done.items() if not handled]

    def pending(self, lanes: Collection[Queue]) -> bool:
        """Return whether anything is to be acknowledged."""
        return any(self.done.get(lane) for lane in lanes)

    async def settle(self, lanes: Collection[Queue]) -> None:
        """Acknowledge what was handled."""
        for lane in lanes:
            handled = self.done.get(lane, [])
            while handled:
                await self.broker.ack(handled[0])
                handled.pop(0)

    async def pass_over(self, idle: Callable[[Queue], bool], *, without: Collection[Queue]) -> None:
        """Do nothing: a queue holds messages alone."""

    def comes_back(self, error: Exception) -> bool:
        """Return whether it is worth a warning alone."""
        return isinstance(error, ConnectionError)

    async def give_back(self, unhandled: Mapping[Queue, Sequence[Delivery]]) -> None:
        """Refuse what was not handled, so that it is delivered again."""
        for messages in unhandled.values():
            for message in messages:
                await self.broker.nack(message)

    def forget(self, lanes: Iterable[Queue] | None) -> None:
        """Forget lanes."""
        for lane in tuple(self.done) if lanes is None else lanes:
            self.done.pop(lane, None)


@dataclass
class LaneAcknowledgements:
    """The handled messages of one lane."""

    done: list[Delivery]

    def arrived(self) -> None:
        """Do nothing."""

    def handled(self, message: Delivery) -> None:
        """Keep the message for its acknowledgement."""
        self.done.append(message)


class QueueConsumer:
    """Reads queues. It is its own private side, and its own reading."""

    def __init__(
        self, broker: QueueBroker, telemetry: Telemetry, *topics: str, group: str = "shipping"
    ) -> None:
        self.telemetry = telemetry
        self.info = ClientInfo(transport=QUEUE, group=group, auto_commit=False)
        self.client = self
        self.settlement = Acknowledgements(broker)
        self.closed = False
        self.subscribed = True
        self._broker = broker
        self._topics = topics
        self._paused: set[Queue] = set()
        self._loop: RunningLoop | None = None

    def _pipeline_port(self) -> ConsumerPort[Delivery]:
        return self

    def process(self, message: Delivery) -> Processing:
        """Handle one message in its process span."""
        subscription = Subscription(self.telemetry, self.info, message.topic)
        handling = processing_type(self.telemetry)
        return handling(self.telemetry, SubscribedLane(subscription, {}), message, None)

    def addressed_elsewhere(self, message: Delivery) -> bool:
        """Return no: queues have no replays."""
        del message
        return False

    def check_started(self) -> None:
        """Do nothing: there is nothing to start."""

    def lanes(self) -> Collection[Any]:
        """Return its queues."""
        return tuple(Queue(topic, None) for topic in self._topics)

    def reading(self) -> QueueConsumer:
        """Return itself."""
        return self

    def observe(self, observer: LaneObserver) -> None:
        """Do nothing: queues do not move."""

    def ignore(self, observer: LaneObserver) -> None:
        """Do nothing, as above."""

    def called_by_listener(self) -> bool:
        """Return no: there are no listeners."""
        return False

    async def close(self) -> None:
        """Close."""
        self.closed = True

    def group_offsets(self, producer: Sender) -> Any:
        """Refuse: there are no transactions."""
        raise ValueError("queues have no transactions")

    def transactional_reading(self) -> Any:
        """Refuse, as above."""
        raise ValueError("queues have no transactions")

    def attach(self, loop: RunningLoop) -> None:
        """Let `stop` reach the loop."""
        self._loop = loop

    def detach(self) -> None:
        """End that."""
        self._loop = None

    async def begin(self) -> None:
        """Do nothing."""

    def lanes_changed(self) -> None:
        """Do nothing."""

    async def poll(self, timeout_ms: int) -> dict[Queue, list[Delivery]]:
        """Return what waits, by queue and key."""
        if self.closed:
            raise ConsumerClosedError
        messages: dict[Queue, list[Delivery]] = {}
        for topic in self._topics:
            for message in self._broker.take(topic):
                messages.setdefault(QUEUE.lane(message), []).append(message)
        await asyncio.sleep(0 if messages else min(timeout_ms, 5) / 1000)
        return messages

    def pause(self, lane: Queue) -> None:
        """Note it."""
        self._paused.add(lane)

    def resume(self, lane: Queue) -> None:
        """Note it."""
        self._paused.discard(lane)

    def paused(self) -> Collection[Queue]:
        """Return the lanes that are paused."""
        return tuple(self._paused)

    def forget(self, lanes: Iterable[Queue]) -> None:
        """Do nothing: a queue has no position."""

    async def stop(self) -> None:
        """End the loop in good order, then close."""
        if self._loop is None:
            await self.close()
        else:
            await self._loop.close()
