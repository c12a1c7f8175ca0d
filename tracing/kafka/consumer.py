"""A drop-in for `aiokafka.AIOKafkaConsumer` that continues the trace of every record it handles."""

from __future__ import annotations

import sys
from functools import partial
from time import perf_counter, time_ns
from typing import TYPE_CHECKING, Any, Final, Self

from tracing.core import semconv
from tracing.core.bounded import BoundedDict
from tracing.core.log import warn_once
from tracing.kafka.client import client_info
from tracing.kafka.cluster_id import cluster_of
from tracing.kafka.coexistence import beneath, call_beneath, present
from tracing.kafka.committed import end_of, is_assigned, read_committed, takes_metadata
from tracing.kafka.consumer_methods import ConsumerMethods
from tracing.kafka.forwarding import argument, like, stop_in_full, takes, with_argument
from tracing.kafka.iteration import Iterations, TracedRecords
from tracing.kafka.next_record import next_beneath, topic_of
from tracing.kafka.offset_methods import OffsetMethods
from tracing.kafka.port import KafkaConsumerPort
from tracing.kafka.rebalance import RebalanceRelay
from tracing.kafka.skipped import SkippedOffsets
from tracing.messaging.body_size import processing_type
from tracing.messaging.catch_ups import CatchUps
from tracing.messaging.flat.engine import engine_of
from tracing.messaging.flat.processing import FlatProcessing
from tracing.messaging.order import OrderCheck
from tracing.messaging.process_batch import Batches
from tracing.messaging.receive import Polling
from tracing.messaging.replay_skips import ReplaySkips
from tracing.messaging.settle import Committing
from tracing.messaging.subscription import SubscribedLane, Subscription

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable
    from types import TracebackType

    from aiokafka import AIOKafkaConsumer
    from aiokafka.structs import ConsumerRecord, TopicPartition
    from opentelemetry.trace import SpanContext

    from tracing.kafka.protocols import KafkaConsumer
    from tracing.messaging.flat.process import FlatProcesses
    from tracing.messaging.process import Processing
    from tracing.messaging.process_batch import BatchProcessing
    from tracing.messaging.transport import ClientInfo
    from tracing.telemetry import Telemetry

# Position and name of the listener among the arguments of `subscribe`.
_LISTENER: Final = 2, "listener"


class TracedConsumer(OffsetMethods):
    """Wraps an aiokafka consumer; every method, property and argument order stays the same.

    What is the same as of an `AIOKafkaConsumer`, and what is not:

    - `isinstance(wrapper, AIOKafkaConsumer)` holds, and type checkers accept it as one; so does
      `isinstance(wrapper, Mine)` for a subclass of yours. `type(wrapper)` is `TracedConsumer`.
    - Attributes that are set on the wrapper are set on the consumer, and methods that a subclass
      adds or overrides are called.
    - It equals the consumer and has its hash. It cannot be pickled or deep-copied.
    - It adds the public names `process`, `process_batch`, `addressed_elsewhere`, `telemetry` and
      `wrapped`, and no others.

    Four ways to handle records inside their `process {topic}` span:

    - `async for record in consumer`: the span is current in the loop's body and ends when the
      next record is asked for, or the loop is left.
    - `async with consumer.process(record)`: explicit, for records of `getone` and `getmany`,
      with the outcome of the block on the span.
    - `async with consumer.process_batch(records)`: several at once, in one span.
    - `tracing.consume(consumer, handler)`: the whole loop.

    A record that aiokafka itself cannot read, such as one with a header name that is not UTF-8,
    is an error of `getone`, `getmany` and `async for` each time, with its partition, and with all
    behind it in its batch; and `getmany` drops what it had taken of other partitions, so go back
    with `seek` to what was handled. `consume(on_unreadable=...)` gets past it by itself, and
    `python -m tracing dlq skip --batch` by hand.

    The span is current in the task that asks for a record. Before Python 3.12 `asyncio.wait_for`
    runs its argument in another task, and `asyncio.create_task` does so always: after
    `records = aiter(consumer)`, `await asyncio.wait_for(anext(records), 5)` gives a record whose
    span is not current. A limit of time around it keeps it so::

        async with asyncio.timeout(5):
            record = await anext(records)

    What fails in here is counted and logged; records and errors of the consumer pass through.

    Args:
        consumer: The consumer to wrap, started or not.
        telemetry: What the service's clients share.
        group: Overrides the consumer group of the consumer itself.
        client_id: Overrides the client id of the consumer itself.

    Raises:
        TypeError: `consumer` cannot consume, or `group` or `client_id` is no text.

    Task safety: as aiokafka's: one event loop. Several tasks may each process their own records.
    """

    _held = "_consumer"
    _added = frozenset({"addressed_elsewhere", "process", "process_batch", "telemetry", "wrapped"})

    def __init__(
        self,
        consumer: AIOKafkaConsumer | KafkaConsumer,
        telemetry: Telemetry,
        *,
        group: str | None = None,
        client_id: str | None = None,
    ) -> None:
        if isinstance(consumer, TracedConsumer):
            warn_once("a TracedConsumer was wrapped again; the inner wrapper is left out")
            consumer = consumer.wrapped
        if not callable(getattr(consumer, "getone", None)):
            raise TypeError(f"TracedConsumer wraps an aiokafka consumer, not {consumer!r}")
        self._consumer: KafkaConsumer = consumer
        # What the application's calls reach: the consumer, except beside a loop that reads it.
        self._target: KafkaConsumer = consumer
        self._telemetry = telemetry
        self._info = client_info(
            consumer, group=group, client_id=client_id, broker=cluster_of(consumer)
        )
        self._processing = processing_type(telemetry)
        self._polling = Polling(telemetry, self._info)
        self._skips = ReplaySkips(telemetry, self._info.group)
        order = OrderCheck(telemetry, self._info)
        self._skipped = SkippedOffsets(telemetry, self._info, consumer)
        self._catch_ups = CatchUps(
            telemetry,
            self._info,
            read_committed=self._skipped.learning(partial(read_committed, consumer)),
            end_of=partial(end_of, consumer),
            reads=partial(is_assigned, consumer),
            takes_metadata=takes_metadata(consumer),
        )
        self._lanes = _lanes(telemetry, self._info, self._skips, order, self._catch_ups)
        self._catch_ups.lanes = self._lanes
        self._batches = Batches(telemetry, self._info, self._lanes, self._polling)
        self._committing = Committing(telemetry, self._info)
        self._rebalances = RebalanceRelay(self._polling.forget)
        self._rebalances.add(order)
        self._rebalances.add(self._skipped)
        self._rebalances.add(self._catch_ups)
        self._flat = _flat_processes(telemetry, self._lanes, self._polling)
        self._iterations = Iterations(self._polling.delivered, self._flat)
        self._complete()

    @property
    def wrapped(self) -> KafkaConsumer:
        """The consumer inside."""
        return self._consumer

    @property
    def telemetry(self) -> Telemetry:
        """What the service's clients share."""
        return self._telemetry

    def process(self, record: ConsumerRecord[Any, Any]) -> Processing:
        """Handle one record in an `async with` block: its process span is current inside.

        An exception that leaves the block makes the outcome `error`; `tracing.Rejected`, or
        `reject(...)` on the returned object, makes it `rejected`; a cancelled block has none.

        Args:
            record: The record.
        """
        if self._flat is not None:
            return FlatProcessing(self._flat, record)
        lane = self._lanes[record.topic, record.partition]
        polled = self._poll_of(record) if self._polling.remembered else None
        return self._processing(self._telemetry, lane, record, polled)

    def process_batch(self, records: Iterable[ConsumerRecord[Any, Any]]) -> BatchProcessing:
        """Handle several records at once in an `async with` block, for example to sum them up.

        One process span is current inside, linked to the messages; what is sent belongs to the
        flow whose origin is the oldest. Leave replays of other groups out, see
        `addressed_elsewhere`.

        Args:
            records: The records, of any topics and partitions; without any, nothing is reported.
        """
        return self._batches.of(records)

    def addressed_elsewhere(self, record: ConsumerRecord[Any, Any]) -> bool:
        """Return whether a record is a replayed dead letter of another group, to be skipped.

        `consume` and `async for` ask by themselves. Ask once per record: the answer `True` is
        counted in `pipeline.replay.skipped`, and logged once a minute at most. Marks that do not
        fit the record do not count: it was not replayed, and is for all groups.
        """
        return self._skips.skips(record)

    @like(ConsumerMethods.getone)
    async def getone(self, *args: Any, **kwargs: Any) -> Any:
        """Get one record, as `AIOKafkaConsumer.getone`; handle it inside `process(record)`."""
        self._iterations.finish()
        record = await beneath(self._target.getone, self._consumer)(*args, **kwargs)
        self._received(record)
        return record

    @like(ConsumerMethods.getmany)
    async def getmany(self, *args: Any, **kwargs: Any) -> Any:
        """Get records, as `AIOKafkaConsumer.getmany`; handle each inside `process(record)`.

        A call that brings records is a `poll {topic}` span, linked to their creation contexts.
        """
        return await self._polled(self._target.getmany, *args, **kwargs)

    def _pipeline_port(self) -> KafkaConsumerPort:
        """Return what only the library needs of the consumer: see `consumer_port`."""
        return KafkaConsumerPort(
            self,
            self._info,
            self._rebalances,
            getmany=partial(self._polled, self._consumer.getmany),
            divert=self._divert,
            catch_ups=self._catch_ups,
            flat=self._flat if self._handles_as_usual() else None,
        )

    def _handles_as_usual(self) -> bool:
        """Return whether no subclass has its own way to handle records, which a loop has to use."""
        own = TracedConsumer.process, TracedConsumer.addressed_elsewhere
        return own == tuple(
            getattr(method, "__func__", None) for method in (self.process, self.addressed_elsewhere)
        )

    def _divert(self, target: KafkaConsumer | None) -> None:
        self._target = self._consumer if target is None else target

    async def _polled(
        self, getmany: Callable[..., Awaitable[Any]], *args: Any, **kwargs: Any
    ) -> dict[TopicPartition, list[ConsumerRecord[Any, Any]]]:
        self._iterations.finish()
        started, started_ns = perf_counter(), time_ns()
        records: dict[TopicPartition, list[ConsumerRecord[Any, Any]]] = await beneath(
            getmany, self._consumer
        )(*args, **kwargs)
        if records:
            self._skipped.delivered(records)
            self._polling.polled(records, started, started_ns)
        return records

    def __aiter__(self) -> TracedRecords:
        # The consumer's own check, and error, for one that is closed.
        iterator = call_beneath(self._target.__aiter__, self._consumer)
        return TracedRecords(self, self._iterations, iterator, self._consumer)

    async def __anext__(self) -> ConsumerRecord[Any, Any]:
        """Get the next record without a loop around it: no process span, as for `getone`."""
        self._iterations.finish()
        record: ConsumerRecord[Any, Any]
        if present():
            record, received = await next_beneath(self._target, self._consumer)
        else:
            record = received = await self._target.__anext__()
        self._received(received)
        return record

    def _reached(self) -> Any:
        return self._target

    def _received(self, record: Any) -> None:
        topic = topic_of(record)
        if topic is not None:
            self._polling.received(topic, record)

    def _poll_of(self, record: ConsumerRecord[Any, Any]) -> SpanContext | None:
        # TopicPartition is a named tuple, so a plain pair finds it.
        return self._polling.poll_of(record, (record.topic, record.partition))

    @like(ConsumerMethods.subscribe)
    def subscribe(self, *args: Any, **kwargs: Any) -> Any:
        """Subscribe, as `AIOKafkaConsumer.subscribe`."""
        listener = argument(args, kwargs, _LISTENER)
        if listener is not None or takes(self._consumer.subscribe, "listener"):
            args = with_argument(args, kwargs, _LISTENER, self._rebalances.listener(listener))
        return self._target.subscribe(*args, **kwargs)

    async def start(self) -> None:
        """Connect and join the group, as `AIOKafkaConsumer.start`."""
        self._rebalances.attach(self._consumer)
        await self._consumer.start()
        self._started()

    async def stop(self) -> None:
        """Leave the group and close, as `AIOKafkaConsumer.stop`."""
        self._iterations.left(sys.exc_info()[1])
        self._catch_ups.closing()
        self._skipped.closing()
        await stop_in_full(beneath(self._target.stop, self._consumer), self._consumer)
        self._catch_ups.closed()

    async def __aenter__(self) -> Self:
        self._rebalances.attach(self._consumer)
        opened = await super().__aenter__()
        self._started()
        return opened

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
    ) -> bool | None:
        self._iterations.left(exc)
        return await super().__aexit__(exc_type, exc, tb)


def _lanes(
    telemetry: Telemetry,
    info: ClientInfo,
    skips: ReplaySkips,
    order: OrderCheck,
    catch_ups: CatchUps,
) -> BoundedDict[tuple[str, int], SubscribedLane]:
    def subscribe(topic: str) -> Subscription:
        skips.expect(topic)
        return Subscription(telemetry, info, topic)

    subscriptions = BoundedDict(subscribe)

    def lane(place: tuple[str, int]) -> SubscribedLane:
        topic, partition = place
        made = SubscribedLane(
            subscriptions[topic], {semconv.PARTITION: str(partition)}, order.lane(topic, place)
        )
        made.catching_up(catch_ups.of(place))
        return made

    return BoundedDict(lane)


def _flat_processes(
    telemetry: Telemetry,
    lanes: BoundedDict[tuple[str, int], SubscribedLane],
    polling: Polling,
) -> FlatProcesses | None:
    engine = engine_of(telemetry)
    if engine is None:
        return None
    from tracing.messaging.flat.process import FlatProcesses  # noqa: PLC0415 - needs the SDK

    return FlatProcesses(engine, telemetry, lanes, polling)
