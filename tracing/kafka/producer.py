"""A drop-in for `aiokafka.AIOKafkaProducer` that sends trace context along and times every send."""

from __future__ import annotations

from asyncio import Future
from contextlib import suppress
from functools import partial
from sys import modules
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.context import get_current

from tracing.core.bounded import BoundedDict
from tracing.core.log import warn_once
from tracing.core.otel_context import SUPPRESSED
from tracing.headers.codec import latest, listed
from tracing.headers.dead_letter import unmarked
from tracing.kafka.batch import TracedBatch, begin_batch
from tracing.kafka.client import client_info
from tracing.kafka.cluster_id import cluster_of
from tracing.kafka.coexistence import (
    OFFICIAL,
    ZeroCode,
    beneath,
    call_beneath,
    without_official,
)
from tracing.kafka.forwarding import argument, like, parameters, preset, takes, with_argument
from tracing.kafka.producer_methods import ProducerMethods
from tracing.kafka.send_begin import batch_in, begin_send_or_none, flat_begin, record_in
from tracing.kafka.sender import KafkaSender
from tracing.messaging.destination import Destination
from tracing.messaging.send import SENT, SERIALIZING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable, Iterable

    from aiokafka import AIOKafkaProducer
    from aiokafka.structs import RecordMetadata

    from tracing.headers.codec import Header
    from tracing.kafka.protocols import KafkaProducer
    from tracing.kafka.send_begin import Begun
    from tracing.messaging.send import Sending
    from tracing.telemetry import Telemetry


# The parameters of aiokafka's send, and where headers stand among them.
_PARAMETERS: Final = ("topic", "value", "key", "partition", "timestamp_ms", "headers")
_HEADERS: Final = 5, "headers"


class TracedProducer(ProducerMethods):
    """Wraps an aiokafka producer; every method, property and argument order stays the same.

    `isinstance(wrapper, AIOKafkaProducer)` holds, and type checkers accept it as one;
    `type(wrapper)` is `TracedProducer`. Attributes that are set on the wrapper are set on the
    producer, and methods that a subclass overrides are called. It equals the producer, and cannot
    be pickled or deep-copied. It adds the public names `telemetry` and `wrapped`, and no others.

    Each record gets the context headers of its own `send {topic}` span, which ends when the broker
    acknowledges the record and carries partition and offset, or the error. Headers are sent as a
    new list; the caller's is never changed. What fails in here is counted and logged, and the
    record is sent all the same, unchanged.

    A send inside a transaction ends with its acknowledgement as well, and counts as sent: the
    broker has the record, and keeps it whether the transaction commits or aborts. Consumers with
    `isolation_level="read_committed"` never see those of an aborted one (KIP-98).

    Args:
        producer: The producer to wrap, started or not.
        telemetry: What the service's clients share.
        client_id: Overrides the client id of the producer itself.

    Raises:
        TypeError: `producer` cannot send.

    Task safety: as aiokafka's, any number of tasks of one event loop.
    """

    _held = "_producer"
    _added = frozenset({"telemetry", "wrapped"})

    def __init__(
        self,
        producer: AIOKafkaProducer | KafkaProducer,
        telemetry: Telemetry,
        *,
        client_id: str | None = None,
    ) -> None:
        if isinstance(producer, TracedProducer):
            warn_once("a TracedProducer was wrapped again; the inner wrapper is left out")
            producer = producer.wrapped
        if not callable(getattr(producer, "send", None)):
            raise TypeError(f"TracedProducer wraps an aiokafka producer, not {producer!r}")
        self._producer: KafkaProducer = producer
        self._telemetry = telemetry
        self._info = client_info(
            producer, group=None, client_id=client_id, broker=cluster_of(producer)
        )
        self._destinations = BoundedDict(partial(Destination, telemetry, self._info))
        self._look_at_send()
        if self._info.codec:
            self.__dict__["_begin"] = self._begin_serialized
        elif (begin := flat_begin(telemetry, self._destinations)) is not None:
            self.__dict__["_begin"] = begin
        self._complete()

    @property
    def wrapped(self) -> KafkaProducer:
        """The producer inside."""
        return self._producer

    @property
    def telemetry(self) -> Telemetry:
        """What the service's clients share."""
        return self._telemetry

    def _pipeline_sender(self) -> KafkaSender:
        """Return what only the library needs of the producer: see `sender_of`."""
        return KafkaSender(self, self._info)

    async def send(
        self,
        topic: str,
        value: Any = None,
        key: Any = None,
        partition: int | None = None,
        timestamp_ms: int | None = None,
        headers: Iterable[Header] | None = None,
    ) -> asyncio.Future[RecordMetadata]:
        """Send a record, as `AIOKafkaProducer.send`; the future ends the span.

        Cancelling the future leaves open whether the record arrives: the span then ends without
        status, partition and offset, and the record is not counted as sent.
        """
        # An attribute of a class with `__getattr__` costs more than all these.
        own = self.__dict__
        producer = own["_producer"]
        send: Callable[..., Awaitable[asyncio.Future[RecordMetadata]]] = producer.send
        if ZeroCode.active or OFFICIAL in modules:  # as `present`, without a call
            send = beneath(send, producer)
        own_headers = [] if headers is None else list(headers)
        sending = (own.get("_begin") or self._begin)(topic, value, key, partition, own_headers)
        if sending is None:
            own_headers = unmarked(own_headers, latest(own_headers))
            return await send(topic, value, key, partition, timestamp_ms, own_headers)
        try:
            future = await send(topic, value, key, partition, timestamp_ms, sending.headers)
        except BaseException as error:
            sending.failed(error)
            raise
        # The client has them. Kept until the acknowledgement, the garbage collector looks at them.
        sending.headers = SENT
        if (variables := sending.ends_in) is not None and type(future) is Future:
            # A copy of the sender's variables, for each record, would cost more than to end it.
            future.add_done_callback(sending, context=variables)
        else:
            self._end_with(future, sending)
        return future

    @like(ProducerMethods.send)
    async def _send_as_given(self, *args: Any, **kwargs: Any) -> Any:
        """Stand in for `send` where the producer's own has other parameters than aiokafka's."""
        send = beneath(self._producer.send, self._producer)
        sending, args = self._arranged(args, kwargs, self._send_headers)
        try:
            future = await send(*args, **kwargs)
        except BaseException as error:
            if sending is not None:
                sending.failed(error)
            raise
        if sending is not None:
            self._end_with(future, sending)
        return future

    async def send_and_wait(
        self,
        topic: str,
        value: Any = None,
        key: Any = None,
        partition: int | None = None,
        timestamp_ms: int | None = None,
        headers: Iterable[Header] | None = None,
    ) -> RecordMetadata:
        """Send a record and wait for its acknowledgement, as `AIOKafkaProducer.send_and_wait`."""
        if ZeroCode.active or OFFICIAL in modules:  # as in `send`
            return await self._wait_as_given(topic, value, key, partition, timestamp_ms, headers)
        own = self.__dict__
        own_headers = [] if headers is None else list(headers)
        sending = (own.get("_begin") or self._begin)(topic, value, key, partition, own_headers)
        if sending is None:
            own_headers = unmarked(own_headers, latest(own_headers))
        else:
            own_headers = sending.headers
        try:
            metadata: RecordMetadata = await own["_producer"].send_and_wait(
                topic, value, key, partition, timestamp_ms, own_headers
            )
        except BaseException as error:
            if sending is not None:
                sending.failed(error)
            raise
        if sending is not None:
            sending.acknowledged(metadata)
        return metadata

    @like(ProducerMethods.send_and_wait)
    async def _wait_as_given(self, *args: Any, **kwargs: Any) -> Any:
        """Stand in for `send_and_wait` where the producer's own has other parameters."""
        producer = self._producer
        send = producer.send
        sending, args = self._arranged(args, kwargs, self._wait_headers)
        try:
            if without_official(send) is send:
                metadata = await beneath(producer.send_and_wait, producer)(*args, **kwargs)
            else:
                # aiokafka's own would call the send that the official instrumentation put in.
                future = await beneath(send, producer)(*args, **kwargs)
                metadata = await future
        except BaseException as error:
            if sending is not None:
                sending.failed(error)
            raise
        if sending is not None:
            sending.acknowledged(metadata)
        return metadata

    def create_batch(self) -> TracedBatch:
        """Make an empty batch, as `AIOKafkaProducer.create_batch`; its messages get contexts."""
        batch = call_beneath(self._producer.create_batch, self._producer)
        return TracedBatch(batch, self._telemetry)

    @like(ProducerMethods.send_batch)
    async def send_batch(self, *args: Any, **kwargs: Any) -> Any:
        """Send a batch, as `AIOKafkaProducer.send_batch`: one span, linked to its messages."""
        send_batch = beneath(self._producer.send_batch, self._producer)
        sending = self._begin_batch(args, kwargs)
        if args and isinstance(args[0], TracedBatch):
            args = (args[0].wrapped, *args[1:])
        elif isinstance(batch := kwargs.get("batch"), TracedBatch):
            kwargs["batch"] = batch.wrapped
        if sending is None:
            return await send_batch(*args, **kwargs)
        try:
            future = await send_batch(*args, **kwargs)
        except BaseException as error:
            sending.failed(error)
            raise
        self._end_with(future, sending)
        return future

    def _end_with(self, future: Any, sending: Begun) -> None:
        """End a send as its future ends. Never raises: the record is on its way."""
        try:
            end_with = getattr(future, "add_done_callback", None)
            if end_with is None:
                # The method has waited, and returned what only the application knows.
                sending.acknowledged(None)
            else:
                end_with(sending.done)
        except Exception as fault:
            self._telemetry.diagnostics.failed("send", fault)

    def _arranged(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], taken: tuple[bool, Any]
    ) -> tuple[Begun | None, tuple[Any, ...]]:
        """Start the span of a send, and put its headers among the caller's arguments.

        Args:
            args: The caller's arguments by position.
            kwargs: The caller's arguments by name.
            taken: Whether the producer's method takes headers, and which where none are given.
        """
        takes_headers, headers = taken
        if len(args) > _HEADERS[0] or "headers" in kwargs:
            headers = argument(args, kwargs, _HEADERS)
        own_headers = listed(headers)
        sending = None
        # What the arguments cannot be bound to, the producer says itself, or knows better.
        with suppress(TypeError):
            record = record_in(*args, **kwargs)
            sending = self._begin(*record, own_headers)
        if sending is not None:
            own_headers = sending.headers
        elif own_headers:
            own_headers = unmarked(own_headers, latest(own_headers))
        if headers is not None or (sending is not None and takes_headers):
            args = with_argument(args, kwargs, _HEADERS, own_headers)
        return sending, args

    def _replaced(self, name: str) -> None:
        if name in {"send", "send_and_wait"}:
            self._look_at_send()

    def _look_at_send(self) -> None:
        # A subclass of the producer, or a double, may take other arguments than aiokafka's.
        send = self._producer.send
        # A call goes to what the official instrumentation has replaced.
        if parameters(without_official(send)) == _PARAMETERS:
            self.__dict__.pop("send", None)
        else:
            self.__dict__["send"] = self._send_as_given
        self._send_headers = takes(send, "headers"), preset(send, "headers")
        wait = getattr(self._producer, "send_and_wait", None) or send
        if parameters(wait) == _PARAMETERS:
            self.__dict__.pop("send_and_wait", None)
        else:
            self.__dict__["send_and_wait"] = self._wait_as_given
        self._wait_headers = takes(wait, "headers"), preset(wait, "headers")
        if not self._send_headers[0]:
            warn_once(
                f"{type(self._producer).__name__}.send() takes no headers, so its records carry no "
                "trace context; let it take `headers` and pass them on to aiokafka"
            )

    def _begin(
        self, topic: str, value: object, key: object, partition: object, headers: list[Header]
    ) -> Begun | None:
        return begin_send_or_none(
            self._telemetry, self._destinations, topic, value, key, partition, headers
        )

    def _begin_serialized(
        self, topic: str, value: object, key: object, partition: object, headers: list[Header]
    ) -> Begun | None:
        """Stand in for `_begin` where the producer has serializers, which run after it."""
        sending = TracedProducer._begin(self, topic, value, key, partition, headers)
        SERIALIZING.set(None if sending is None else sending.span)
        return sending

    def _begin_batch(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Sending | None:
        try:
            if get_current().get(SUPPRESSED):
                return None
            batch, topic, partition = batch_in(*args, **kwargs)
            return begin_batch(self._telemetry, self._destinations[topic], batch, partition)
        except Exception as fault:
            self._telemetry.diagnostics.failed("send", fault)
            return None
