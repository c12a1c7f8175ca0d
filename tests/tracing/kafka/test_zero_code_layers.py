"""Zero-code beside subclasses and other libraries: everything works and is counted once."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from opentelemetry.instrumentation.aiokafka import AIOKafkaInstrumentor

from tests.tracing.kafka.conftest import ZeroCodeRun, consumer_options
from tests.tracing.kafka.patchers import PATCHERS, Patcher, Proxies
from tracing import Telemetry, TracedConsumer, TracedProducer
from tracing.kafka.method_replacement import Replacement
from tracing.testing import Capture

pytestmark = pytest.mark.integration


# aiokafka is typed in parts only.
BareProducer: Any = AIOKafkaProducer
BareConsumer: Any = AIOKafkaConsumer


class Producer(BareProducer):  # type: ignore[misc]  # Any, as said
    """Overrides as applications do: each method in the end calls the one it overrides."""

    async def start(self) -> None:
        await super().start()

    async def send(self, topic: str, *args: Any, **options: Any) -> Any:
        return await super().send(topic, *args, **options)

    async def send_and_wait(self, topic: str, *args: Any, **options: Any) -> Any:
        return await super().send_and_wait(topic, *args, **options)

    def create_batch(self) -> Any:
        return super().create_batch()

    async def send_batch(self, batch: Any, topic: str, *, partition: int) -> Any:
        return await super().send_batch(batch, topic, partition=partition)


class DeeperProducer(Producer):
    async def send(self, topic: str, *args: Any, **options: Any) -> Any:
        return await super().send(topic, *args, **options)

    async def send_batch(self, *args: Any, **options: Any) -> Any:
        return await asyncio.wait_for(super().send_batch(*args, **options), 30)


class OwnSendAndWait(BareProducer):  # type: ignore[misc]  # as above
    async def send_and_wait(self, *args: Any, **options: Any) -> Any:
        return await (await self.send(*args, **options))


class Consumer(BareConsumer):  # type: ignore[misc]  # as above
    async def getone(self, *partitions: Any) -> Any:
        return await super().getone(*partitions)

    async def getmany(self, *partitions: Any, **options: Any) -> Any:
        return await super().getmany(*partitions, **options)

    async def commit(self, offsets: Any = None) -> None:
        await super().commit(offsets)

    async def stop(self) -> None:
        await super().stop()

    def __aiter__(self) -> Any:
        return super().__aiter__()

    async def __anext__(self) -> Any:
        return await super().__anext__()


class DeeperConsumer(Consumer):
    async def getone(self, *partitions: Any) -> Any:
        return await asyncio.wait_for(super().getone(*partitions), 30)

    async def getmany(self, *partitions: Any, **options: Any) -> Any:
        return await super().getmany(*partitions, **options)

    async def commit(self, offsets: Any = None) -> None:
        await super().commit(offsets)

    async def __anext__(self) -> Any:
        return await self.getone()


PRODUCERS: list[Any] = [AIOKafkaProducer, Producer, DeeperProducer, OwnSendAndWait]
CONSUMERS: list[Any] = [AIOKafkaConsumer, Consumer, DeeperConsumer, DeeperConsumer]


async def use(producer: Any, consumer: Any, topic: str) -> None:
    """Send and receive four records by all methods, and commit once."""
    async with producer:
        await (await producer.send(topic, b"1", key=b"k"))
        await producer.send_and_wait(topic, b"2", headers=[("own", b"header")])
        batch = producer.create_batch()
        for value in (b"3", b"4"):
            batch.append(timestamp=None, key=None, value=value)
        await (await producer.send_batch(batch, topic, partition=0))
    values = []
    async with consumer:
        values.append((await consumer.getone()).value)
        async for record in consumer:
            values.append(record.value)
            break
        while len(values) < 4:
            for records in (await consumer.getmany(timeout_ms=5000)).values():
                values += [record.value for record in records]
        await consumer.commit()
    assert [b"1", b"2", b"3", b"4"] == values


def sent(capture: Capture) -> int:
    """How many messages were sent."""
    total: Any = capture.metric("messaging.client.sent.messages")
    return total or 0


def counts(capture: Capture) -> tuple[object, object, object]:
    """How often was sent, received and committed."""
    commits: Any = capture.metric(
        "messaging.client.operation.duration", {"messaging.operation.name": "commit"}
    )
    return (
        capture.metric("messaging.client.sent.messages"),
        capture.metric("messaging.client.consumed.messages"),
        None if commits is None else commits.count,
    )


@pytest.mark.parametrize(("producer", "consumer"), [*zip(PRODUCERS, CONSUMERS, strict=True)])
async def test_a_subclass_works_and_is_counted_once(
    zero_code: ZeroCodeRun, embedded_servers: str, topic: str, producer: Any, consumer: Any
) -> None:
    zero_code.on()

    await use(
        producer(bootstrap_servers=embedded_servers),
        consumer(topic, **consumer_options(embedded_servers)),
        topic,
    )

    assert (4, 4, 1) == counts(zero_code.capture)


@pytest.mark.parametrize("order", ["before", "after", "both"])
@pytest.mark.parametrize("make", PATCHERS.values(), ids=PATCHERS)
async def test_another_library_that_replaces_methods_is_called_in_any_order(
    zero_code: ZeroCodeRun,
    embedded_servers: str,
    topic: str,
    order: str,
    make: Callable[[], Patcher],
) -> None:
    beneath, on_top = make(), make()

    if order != "after":
        beneath.patch()
    zero_code.on()
    if order != "before":
        on_top.patch()
    await use(
        Producer(bootstrap_servers=embedded_servers),
        Consumer(topic, **consumer_options(embedded_servers)),
        topic,
    )

    assert (4, 4, 1) == counts(zero_code.capture)
    for patcher, patched in ((beneath, order != "after"), (on_top, order != "before")):
        assert patched * 2 == patcher.calls["send"]
        assert patched * 1 == patcher.calls["commit"]
        assert patched * 1 == patcher.calls["stop"]


@pytest.mark.parametrize("make", PATCHERS.values(), ids=PATCHERS)
@pytest.mark.parametrize(
    "steps",
    [
        "zero+ other+ zero- USE other- use",
        "zero+ other+ other- TRACED zero- use",
        "other+ zero+ zero- USE other- use",
        "zero+ other+ zero- zero+ TRACED zero- USE other- use",
        "zero+ other+ zero- other- zero+ TRACED zero- use",
    ],
)
async def test_undoing_one_replacement_keeps_the_other(
    zero_code: ZeroCodeRun,
    embedded_servers: str,
    topic: str,
    make: Callable[[], Patcher],
    steps: str,
) -> None:
    original = vars(AIOKafkaProducer)["send"]
    patcher = make()

    async def sends() -> tuple[int, int]:
        called, counted = patcher.calls["send"], sent(zero_code.capture)
        async with Producer(bootstrap_servers=embedded_servers) as producer:
            await producer.send_and_wait(topic, b"v")
        return patcher.calls["send"] - called, sent(zero_code.capture) - counted

    for step in steps.split():
        match step:
            case "zero+":
                zero_code.on()
            case "zero-":
                zero_code.off()
            case "other+":
                patcher.patch()
            case "other-":
                patcher.unpatch()
            case "USE":
                assert (1, 0) == await sends(), "only the other library's"
            case "TRACED":
                assert 1 == (await sends())[1]
            case "use":
                assert (0, 0) == await sends(), "counted without a layer"
    assert original is vars(AIOKafkaProducer)["send"] or "zero+ other+ zero-" in steps


@pytest.mark.parametrize("blindly", [False, True])
async def test_a_library_that_restores_the_original_method_does_not_end_ours(
    zero_code: ZeroCodeRun, embedded_servers: str, topic: str, blindly: bool
) -> None:
    patcher = Proxies(blindly=blindly)
    patcher.patch()
    zero_code.on()

    patcher.unpatch()

    async with AIOKafkaProducer(bootstrap_servers=embedded_servers) as producer:
        await producer.send_and_wait(topic, b"v")
    assert 1 == zero_code.capture.metric("messaging.client.sent.messages")


@pytest.mark.parametrize("producer", PRODUCERS)
async def test_a_wrapped_subclass_is_counted_once_with_zero_code(
    zero_code: ZeroCodeRun,
    telemetry: Telemetry,
    embedded_servers: str,
    topic: str,
    producer: Any,
) -> None:
    zero_code.on()

    await use(
        TracedProducer(producer(bootstrap_servers=embedded_servers), telemetry),
        TracedConsumer(DeeperConsumer(topic, **consumer_options(embedded_servers)), telemetry),
        topic,
    )

    assert (4, 4, 1) == counts(zero_code.capture)


class HoldingProducer:
    """Has a producer, and is none."""

    def __init__(self, producer: Any) -> None:
        self._producer = producer

    async def send(self, *args: Any, **options: Any) -> Any:
        return await self._producer.send(*args, **options)

    async def send_and_wait(self, *args: Any, **options: Any) -> Any:
        return await self._producer.send_and_wait(*args, **options)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._producer, name)


class HoldingConsumer:
    """Has a consumer, and is none."""

    def __init__(self, consumer: Any) -> None:
        self._consumer = consumer

    async def getone(self, *partitions: Any) -> Any:
        return await self._consumer.getone(*partitions)

    async def getmany(self, *partitions: Any, **options: Any) -> Any:
        return await self._consumer.getmany(*partitions, **options)

    async def commit(self, *offsets: Any) -> Any:
        return await self._consumer.commit(*offsets)

    def __aiter__(self) -> Any:
        return self

    async def __anext__(self) -> Any:
        return await self.getone()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._consumer, name)


async def test_a_wrapped_object_that_contains_a_client_is_counted_once_with_zero_code(
    zero_code: ZeroCodeRun, telemetry: Telemetry, embedded_servers: str, topic: str
) -> None:
    zero_code.on()
    producer: Any = HoldingProducer(AIOKafkaProducer(bootstrap_servers=embedded_servers))
    consumer: Any = HoldingConsumer(AIOKafkaConsumer(topic, **consumer_options(embedded_servers)))

    await use(TracedProducer(producer, telemetry), TracedConsumer(consumer, telemetry), topic)

    assert (4, 4, 1) == counts(zero_code.capture)


async def test_a_client_that_also_sends_through_another_counts_for_both(
    zero_code: ZeroCodeRun, telemetry: Telemetry, embedded_servers: str, topic: str
) -> None:
    class Mirrored(BareProducer):  # type: ignore[misc]  # as above
        async def send(self, topic: str, *args: Any, **options: Any) -> Any:
            await (await self.mirror.send(f"{topic}-mirror", *args, **options))
            return await super().send(topic, *args, **options)

    zero_code.on()
    async with (
        AIOKafkaProducer(bootstrap_servers=embedded_servers) as mirror,
        Mirrored(bootstrap_servers=embedded_servers) as producer,
    ):
        producer.mirror = mirror
        await TracedProducer(producer, telemetry).send_and_wait(topic, b"v")

    assert (2, None, None) == counts(zero_code.capture)


async def test_a_copy_of_a_client_is_a_client_of_its_own(
    zero_code: ZeroCodeRun, embedded_servers: str, topic: str
) -> None:
    zero_code.on()
    async with AIOKafkaProducer(bootstrap_servers=embedded_servers) as producer:
        await producer.send_and_wait(topic, b"1")
        copied: Any = copy.copy(producer)
        copied._key_serializer = str.encode
        await copied.send_and_wait(topic, b"2", key="text")
        copied._closed = True  # so that it is not reported as left open

    assert 2 == sent(zero_code.capture)


@pytest.mark.parametrize("when", ["before", "after", "in-use"])
async def test_the_official_instrumentation_is_switched_off_whenever_it_starts(
    zero_code: ZeroCodeRun, embedded_servers: str, topic: str, when: str
) -> None:
    official: Any = AIOKafkaInstrumentor()
    options = {"tracer_provider": zero_code.capture.tracer_provider}

    if when == "before":
        official.instrument(**options)
    zero_code.on()
    if when == "after":
        official.instrument(**options)
    async with AIOKafkaProducer(bootstrap_servers=embedded_servers) as producer:
        if when == "in-use":
            official.instrument(**options)
            await producer.send_and_wait(topic, b"1")  # from its next call on
            zero_code.capture.clear()
        await producer.send_and_wait(topic, b"2")

    assert f"send {topic} PRODUCER" == zero_code.capture.tree()
    assert not official.is_instrumented_by_opentelemetry


async def test_existing_clients_are_traced_and_keep_working_after_uninstrumenting(
    zero_code: ZeroCodeRun, embedded_servers: str, topic: str
) -> None:
    async with (
        AIOKafkaProducer(bootstrap_servers=embedded_servers) as producer,
        AIOKafkaConsumer(topic, **consumer_options(embedded_servers)) as consumer,
    ):
        zero_code.on()
        await producer.send_and_wait(topic, b"1")
        batch = producer.create_batch()
        batch.append(timestamp=None, key=None, value=b"2")
        values = []
        async for record in consumer:
            values.append(record.value)
            if record.value == b"1":
                zero_code.off()
                # A batch that was made while it was on.
                await (await producer.send_batch(batch, topic, partition=0))
                await producer.send_and_wait(topic, b"3")
            if record.value == b"3":
                break
        await consumer.commit()

    assert [b"1", b"2", b"3"] == values
    assert (1, 1, None) == counts(zero_code.capture)


async def test_instrumenting_again_gives_existing_clients_the_new_telemetry(
    zero_code: ZeroCodeRun, embedded_servers: str, topic: str
) -> None:
    async with AIOKafkaProducer(bootstrap_servers=embedded_servers) as producer:
        zero_code.on()
        await producer.send_and_wait(topic, b"1")
        zero_code.off()
        with Capture("other") as other:
            zero_code.capture, first = other, zero_code.capture
            zero_code.on()
            await producer.send_and_wait(topic, b"2")
            zero_code.off()

            assert 1 == first.metric("messaging.client.sent.messages")
            assert 1 == other.metric("messaging.client.sent.messages")


async def test_an_unknown_argument_is_passed_on(
    zero_code: ZeroCodeRun, embedded_servers: str, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    send: Any = AIOKafkaProducer.send
    tenants = []

    async def with_tenant(client: Any, *args: Any, tenant: str = "", **kwargs: Any) -> Any:
        tenants.append(tenant)
        return await send(client, *args, **kwargs)

    monkeypatch.setattr(AIOKafkaProducer, "send", with_tenant)
    zero_code.on()
    async with AIOKafkaProducer(bootstrap_servers=embedded_servers) as producer:
        await (await producer.send(topic, b"v", tenant="acme"))
        with pytest.raises(TypeError):
            await producer.send(topic, b"v", unknown=1)
        with pytest.raises(TypeError):
            await producer.send()
    zero_code.off()

    assert ["acme", "", ""] == tenants


def test_an_inherited_method_is_inherited_again_afterwards() -> None:
    class Replaced(BareProducer):  # type: ignore[misc]  # as above
        pass

    replacement = Replacement(Replaced, "send", lambda found: lambda *_: found.original)
    assert "send" in vars(Replaced)
    replacement.remove()

    assert "send" not in vars(Replaced)
    assert Replaced.send is AIOKafkaProducer.send
