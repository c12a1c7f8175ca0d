"""Code that gets a wrapper instead of the client works as with the client."""

from __future__ import annotations

import asyncio
import copy
import functools
import gc
import pickle
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Self, cast
from unittest.mock import AsyncMock, patch

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.producer.message_accumulator import BatchBuilder

from tests.tracing.conftest import _InMemory
from tracing import Telemetry, TracedConsumer, TracedProducer
from tracing.kafka.batch import TracedBatch
from tracing.kafka.sender import send_raw
from tracing.testing import Capture, eventually


class Publisher(AIOKafkaProducer):
    """A subclass as applications have them: fewer parameters, names and state of its own."""

    region = "north"

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # aiokafka's
        self.calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = []
        self.entered = 0

    async def send(  # type: ignore[override]  # as applications do
        self, topic: str, value: Any = None, **kw: Any
    ) -> asyncio.Future[Any]:
        self.calls.append(((topic, value), kw))
        done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done

    async def send_and_wait(  # type: ignore[override]  # as applications do
        self, topic: str, message: Any, *, urgent: bool = False
    ) -> Any:
        self.calls.append(((topic, message), {"urgent": urgent}))

    async def flush(self, grace_s: float = 1) -> float:
        return grace_s

    def __str__(self) -> str:
        return "the publisher"

    async def __aenter__(self) -> Self:
        self.entered += 1
        return self

    async def __aexit__(self, *error: object) -> bool:
        self.entered -= 1
        return error[0] is KeyError


class Reader(AIOKafkaConsumer):
    """A consumer as such."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # aiokafka's
        self.calls: list[Any] = []

    async def getmany(self, *partitions: Any, hurry: bool = False, **kw: Any) -> Any:
        self.calls.append((partitions, hurry, kw))
        return {}

    async def commit(self) -> None:  # type: ignore[override]  # as applications do
        self.calls.append("commit")

    def subscribe(self, topics: Any) -> None:  # type: ignore[override]  # as applications do
        self.calls.append(topics)

    async def position(self, partition: Any, *, exact: bool = False) -> Any:
        return partition, exact


@pytest.fixture
async def publisher() -> AsyncIterator[Publisher]:
    made = Publisher()
    yield made
    await made.stop()  # type: ignore[no-untyped-call]  # aiokafka's


@pytest.fixture
async def reader() -> AsyncIterator[Reader]:
    made = Reader()
    yield made
    made._closed = True


@pytest.fixture
def producer(publisher: Any, telemetry: Telemetry) -> Any:
    return TracedProducer(publisher, telemetry)


@pytest.fixture
def consumer(reader: Any, telemetry: Telemetry) -> Any:
    return TracedConsumer(reader, telemetry)


async def test_a_send_reaches_a_subclass_as_the_caller_made_it(
    producer: Any, publisher: Any, capture: Capture
) -> None:
    await producer.send("orders", b"v", key=b"k")
    await producer.send("orders", value=b"v", headers=[("own", b"1")])
    await producer.send(topic="orders", value=b"v", trace=False)

    (_, first), (_, second), (_, third) = publisher.calls
    assert {"key", "headers"} == set(first)
    assert ("own", b"1") == second["headers"][0]
    assert "traceparent" in dict(second["headers"])
    assert {"trace", "headers"} == set(third)
    await eventually(lambda: len(capture.spans()) == 3)


async def test_defaults_of_a_subclass_stay_in_effect(
    telemetry: Telemetry,
) -> None:
    sent: list[Any] = []
    own = [("app", b"1")]

    class Preset(Publisher):
        async def send(  # type: ignore[override]  # as applications do
            self,
            topic: str,
            value: Any = None,
            key: Any = b"key",
            partition: Any = None,
            timestamp_ms: Any = 5,
            headers: Any = own,
        ) -> Any:
            sent.append((key, timestamp_ms, headers))
            return await super().send(topic, value)

        ping = functools.partialmethod(send, "orders", headers=[("ping", b"1")])

    inner: Any = Preset()
    producer: Any = TracedProducer(inner, telemetry)
    await producer.send("orders", b"v")
    await producer.send("orders", b"v", headers=[("mine", b"1")], timestamp_ms=6)
    producer.send = producer.ping
    await producer.send(b"v")
    await inner.stop()

    assert [(b"key", 5), (b"key", 6), (b"key", 5)] == [each[:2] for each in sent]
    assert ["app", "mine", "ping"] == [headers[0][0] for _, _, headers in sent]
    assert "traceparent" in dict(sent[0][2])
    assert [("app", b"1")] == own


async def test_a_decorated_send_gets_the_arguments_that_the_caller_gave(
    telemetry: Telemetry,
) -> None:
    @functools.wraps(AIOKafkaProducer.send)
    async def decorated(*args: Any, **kw: Any) -> Any:
        return await Publisher.send(*args, **kw)

    inner: Any = type("Decorated", (Publisher,), {"send": decorated})()
    await TracedProducer(inner, telemetry).send("orders", b"v", partition=1)
    await inner.stop()

    assert [{"partition", "headers"}] == [set(kw) for _, kw in inner.calls]


async def test_a_send_without_headers_in_its_parameters_is_sent_and_reported_without_them(
    producer: Any,
    publisher: Any,
    capture: Capture,
) -> None:
    await producer.send_and_wait("orders", message=b"v", urgent=True)

    assert [(("orders", b"v"), {"urgent": True})] == publisher.calls
    assert ["send orders"] == [span.name for span in capture.spans()]


@pytest.mark.parametrize("arguments", [(), (b"v", b"k"), (b"v", b"k", 0, 1, None, "seventh")])
async def test_a_double_gets_positional_arguments_by_position(
    telemetry: Telemetry, arguments: tuple[Any, ...]
) -> None:
    double = AsyncMock()
    double.send.return_value = asyncio.get_running_loop().create_future()
    wrapper = TracedProducer(double, telemetry)

    await wrapper.send("orders", *arguments)

    (given, named) = double.send.call_args
    assert ("orders", *arguments)[:5] == given[:5]
    headers = given[5] if len(given) > 5 else named["headers"]
    assert "traceparent" in dict(headers)


async def test_a_dead_letter_reaches_a_subclass_as_keyword_arguments(publisher: Any) -> None:
    await send_raw(publisher, "orders.dlq", b"v", b"k", [("why", b"broken")])
    await send_raw(publisher, "orders.dlq", b"v", None, [], partition=3)

    (first, named), (_, chosen) = publisher.calls
    assert ("orders.dlq", b"v") == first
    assert {"key": b"k", "headers": [("why", b"broken")]} == named
    assert {"key": None, "headers": [], "partition": 3} == chosen


async def test_wrong_arguments_raise_the_clients_own_error(
    telemetry: Telemetry, capture: Capture
) -> None:
    async with AIOKafkaProducerUnconnected() as bare:
        wrapper: Any = TracedProducer(bare, telemetry)

        with pytest.raises(TypeError, match="missing 1 required positional argument: 'topic'"):
            await wrapper.send_and_wait()

    assert 0 == len(capture.spans())


async def test_consumer_methods_reach_a_subclass_as_the_caller_made_them(
    consumer: Any, reader: Any
) -> None:
    await consumer.getmany("tp", timeout_ms=5, hurry=True)
    await consumer.commit()
    consumer.subscribe(["orders"])
    exact = await consumer.position("tp", exact=True)

    assert [(("tp",), True, {"timeout_ms": 5}), "commit", ["orders"]] == reader.calls
    assert ("tp", True) == exact


async def test_a_block_is_entered_and_left_by_the_classes_own_methods(
    producer: Any, publisher: Any
) -> None:
    inside = []

    async def block() -> None:
        async with producer as opened:
            inside.append((opened is producer, publisher.entered))
            raise KeyError

    await block()
    inside.append((False, publisher.entered))

    assert [(True, 1), (False, 0)] == inside


def test_isinstance_sees_the_clients_class_and_the_wrappers(producer: Any, consumer: Any) -> None:
    kinds = (AIOKafkaProducer, Publisher, TracedProducer, AIOKafkaConsumer, TracedConsumer)

    assert [True, True, True, False, False] == [isinstance(producer, kind) for kind in kinds]
    assert [False, False, False, True, True] == [isinstance(consumer, kind) for kind in kinds]
    assert "Publisher" == producer.__class__.__name__
    assert "TracedProducer" == type(producer).__name__


def test_singledispatch_takes_the_clients_implementation(producer: Any) -> None:
    @functools.singledispatch
    def describe(client: object) -> str:
        return "something"

    @describe.register(AIOKafkaProducer)
    def _(client: object) -> str:
        return "a producer"

    assert "a producer" == describe(producer)


async def test_a_batch_is_a_batch_builder(
    telemetry: Telemetry, memory: _InMemory, caplog: pytest.LogCaptureFixture, unwarned: None
) -> None:
    producer = await memory.producer()

    batch = producer.create_batch()

    assert "" == caplog.text
    assert batch.wrapped.__class__ is batch.__class__
    assert isinstance(TracedBatch(BatchBuilder(1, 0), telemetry), BatchBuilder)


async def test_attributes_are_the_clients_in_both_directions(producer: Any, publisher: Any) -> None:
    producer.region = "south"
    producer._closed = True

    assert "south" == publisher.region == producer.region
    assert publisher._closed is True
    assert producer._sender is publisher._sender
    del producer.region
    assert "north" == producer.region


async def test_a_replaced_method_is_called_by_the_wrapper_and_by_the_client_itself(
    consumer: Any, reader: Any
) -> None:
    record = object()

    with patch.object(consumer, "getone", AsyncMock(return_value=record)):
        assert record is await reader.__anext__()
        with patch.object(consumer, "seek") as seek:
            reader.seek("tp", 1)
        seek.assert_called_once_with("tp", 1)

    assert "getone" not in vars(reader)
    assert "getone" not in vars(consumer)


async def test_a_monkeypatch_is_undone_on_the_client(producer: Any, publisher: Any) -> None:
    with pytest.MonkeyPatch.context() as patching:

        async def short(topic: str, value: Any) -> asyncio.Future[Any]:
            return asyncio.get_running_loop().create_future()

        patching.setattr(producer, "send", short)
        await producer.send("orders", b"v")
        assert [] == publisher.calls

    await producer.send("orders", b"v")
    assert 1 == len(publisher.calls)


def test_a_wrapper_equals_its_client_and_finds_its_entry(
    producer: Any, publisher: Any, telemetry: Telemetry
) -> None:
    other = TracedProducer(publisher, telemetry)

    assert producer == other
    assert producer == publisher
    assert publisher == producer
    assert producer != object()
    assert "here" == {publisher: "here"}[producer]


def test_str_is_the_clients_own_and_repr_shows_both(producer: Any, consumer: Any) -> None:
    assert "the publisher" == str(producer)
    assert repr(producer).startswith("<TracedProducer of <")
    assert str(consumer) == repr(consumer)
    assert "Reader object at" in repr(consumer)


async def test_an_attribute_that_the_wrapper_adds_is_set_on_the_wrapper(
    telemetry: Telemetry,
) -> None:
    double = AsyncMock()
    wrapper: Any = TracedConsumer(double, telemetry)

    with patch.object(wrapper, "process", AsyncMock(return_value="replaced")):
        assert "replaced" == await wrapper.process()

    assert "process" not in vars(wrapper)


async def test_private_state_of_the_wrapper_is_not_set_on_the_client(
    memory: _InMemory,
) -> None:
    topic = await memory.topic_with_a_record()
    producer, consumer = await memory.producer(), await memory.consumer(topic, group="g")
    before = [{*vars(client.wrapped)} for client in (producer, consumer)]

    await (await producer.send(topic, b"v", partition=0))
    await producer.send_and_wait(topic, b"v", partition=0)
    await producer.send_batch(producer.create_batch(), topic, partition=1)
    async for _ in consumer:
        break
    record = await consumer.getone()
    async with consumer.process(record), consumer.process_batch([record]):
        await consumer.commit()
    await consumer.getmany()
    await consumer.stop()

    assert before == [{*vars(client.wrapped)} for client in (producer, consumer)]


def test_dir_lists_the_clients_names_and_the_wrappers(producer: Any) -> None:
    assert {"send", "region", "calls", "telemetry", "_sender"} <= set(dir(producer))


async def test_a_copy_works_on_the_same_client(producer: Any) -> None:
    twin = copy.copy(producer)

    assert twin is not producer
    assert twin == producer
    assert isinstance(twin, TracedProducer)
    assert twin is cast("Any", twin).send.__self__


@pytest.mark.parametrize("duplicate", [copy.deepcopy, pickle.dumps])
def test_operations_that_fail_on_a_client_are_refused_with_the_reason(
    producer: Any, duplicate: Callable[[Any], Any]
) -> None:
    with pytest.raises(TypeError, match="a client belongs to its process and its event loop"):
        duplicate(producer)


async def test_an_unreferenced_wrapper_is_freed(telemetry: Telemetry) -> None:
    async with AIOKafkaProducerUnconnected() as bare:
        reference = weakref.ref(TracedProducer(bare, telemetry))
        gc.collect()

        assert reference() is None


def test_a_dataclass_holds_a_wrapper(producer: Any) -> None:
    @dataclass(frozen=True, slots=True)
    class Settings:
        producer: AIOKafkaProducer
        name: str

    renamed = replace(Settings(producer, "a"), name="b")

    assert producer is renamed.producer
    assert Settings(producer, "b") == renamed


def test_an_object_whose_constructor_did_not_run_has_the_wrappers_class() -> None:
    raw = object.__new__(TracedProducer)

    assert TracedProducer is raw.__class__
    assert "None" in repr(raw)
    with pytest.raises(AttributeError):
        _ = raw.telemetry


def test_names_that_a_subclass_shares_with_the_wrapper_cause_a_warning(
    telemetry: Telemetry, caplog: pytest.LogCaptureFixture, unwarned: None
) -> None:
    class Processor:
        async def getone(self) -> None: ...

        def process(self) -> str:
            return "its own"

    wrapper: Any = TracedConsumer(Processor(), telemetry)  # type: ignore[arg-type]  # a double

    assert "its own" == wrapper.wrapped.process()
    assert ["process"] == [
        word for word in ("process", "process_batch", "telemetry") if f" {word}." in caplog.text
    ]


async def test_wrapping_again_under_the_clients_annotation_counts_once(
    producer: Any, telemetry: Telemetry, capture: Capture
) -> None:
    def prepare(client: AIOKafkaProducer) -> TracedProducer:
        return TracedProducer(client, telemetry)

    await prepare(producer).send("orders", b"v")

    await eventually(lambda: len(capture.spans()) > 0)
    assert 1 == len(capture.spans())


@pytest.fixture
def unwarned() -> Iterator[None]:
    with patch("tracing.core.log._warned", set()):
        yield


class AIOKafkaProducerUnconnected(AIOKafkaProducer):
    """aiokafka's own methods, without a broker."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # aiokafka's

    async def start(self) -> None:
        """Stay unconnected."""
