"""Callables of the wrong kind are refused at once where possible, and never lose a record."""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from unittest.mock import AsyncMock, Mock, create_autospec

import pytest
import wrapt
from aiokafka.structs import TopicPartition

import tracing
from tests.tracing.delivery.giving_up import NOW, dead_letter_topic
from tracing import DeadLetters, Retry, SagaFlow, SagaObserver, SagaTracker, Telemetry
from tracing.testing import eventually

if TYPE_CHECKING:
    from tests.tracing.conftest import Clients, _InMemory

Handler = Callable[[Any], Any]

SEEN: list[Any] = []


@pytest.fixture(autouse=True)
def nothing_seen() -> None:
    SEEN.clear()


def plain(record: Any) -> None:
    SEEN.append(record)


def plain_with_constants(record: Any) -> str:
    SEEN.append(record)
    if record is None:
        return "none"
    return "some"


async def coroutine(record: Any) -> None:
    SEEN.append(record)


def generator(record: Any) -> Iterator[Any]:
    SEEN.append(record)
    yield record


async def async_generator(record: Any) -> AsyncIterator[Any]:
    SEEN.append(record)
    yield record


def undecorating(function: Handler) -> Handler:
    @functools.wraps(function)
    def forgetful(record: Any) -> None:
        function(record)

    return forgetful


def passing_on(function: Handler) -> Handler:
    @functools.wraps(function)
    def timed(record: Any) -> Any:
        return function(record)

    return timed


class Service:
    async def __call__(self, record: Any) -> None:
        SEEN.append(record)

    def plain(self, record: Any) -> None:
        SEEN.append(record)

    async def coroutine(self, record: Any) -> None:
        SEEN.append(record)


class PlainService:
    def __call__(self, record: Any) -> None:
        SEEN.append(record)


@wrapt.decorator
def in_a_thread(wrapped: Any, _instance: Any, args: Any, kwargs: Any) -> Any:
    return asyncio.to_thread(wrapped, *args, **kwargs)


@wrapt.decorator
def with_a_database(wrapped: Any, _instance: Any, args: Any, kwargs: Any) -> Any:
    return wrapped(*args, "database", **kwargs)


class ThreadedService:
    @in_a_thread
    def plain(self, record: Any) -> None:
        SEEN.append(record)

    @in_a_thread
    def __call__(self, record: Any) -> None:
        SEEN.append(record)


class StaticService:
    @staticmethod
    async def __call__(record: Any) -> None:
        SEEN.append(record)


class CalledByItsKind(type):
    async def __call__(cls, record: Any) -> None:
        SEEN.append(record)


class OfThatKind(metaclass=CalledByItsKind):
    pass


class MadeAsCoroutine:
    def __new__(cls, record: Any) -> Any:
        return coroutine(record)


class Work:
    def __init__(self, record: Any) -> None:
        self.record = record

    def __await__(self) -> Any:
        return coroutine(self.record).__await__()


NEVER_ASYNC: dict[str, Any] = {
    "function": plain,
    "function that returns constants": plain_with_constants,
    "lambda without a result": lambda _record: None,
    "bound method": Service().plain,
    "object": PlainService(),
    "partial": functools.partial(plain),
    "partial of partial of a bound method": functools.partial(functools.partial(Service().plain)),
    "decorator that drops the coroutine": undecorating(coroutine),
    "generator function": generator,
    "async generator function": async_generator,
    "class": Service,
    "none": None,
    "something that cannot be called": SimpleNamespace(),
}

ONLY_A_CALL_SHOWS: dict[str, Any] = {
    "lambda": lambda record: SEEN.append(record),  # noqa: PLW0108 - a lambda is the case
    "built-in": SEEN.append,
    "mock": Mock(side_effect=SEEN.append),
    "function that returns what another one gives": passing_on(plain),
    "context manager": passing_on(asynccontextmanager(async_generator)),
    "generator": passing_on(generator),
    "async generator": passing_on(async_generator),
}

ASYNC: dict[str, Any] = {
    "function": coroutine,
    "bound method": Service().coroutine,
    "object": Service(),
    "partial": functools.partial(coroutine),
    "async mock": AsyncMock(side_effect=coroutine),
    "autospec": create_autospec(coroutine, side_effect=coroutine),
    "mock of a coroutine function": Mock(side_effect=coroutine),
    "lambda": lambda record: coroutine(record),  # noqa: PLW0108 - a lambda is the case
    "decorator that passes it on": passing_on(coroutine),
    "task": lambda record: asyncio.ensure_future(coroutine(record)),
    "mock that pretends to be a plain function": Mock(spec=plain, side_effect=coroutine),
    "proxy of a plain function": in_a_thread(plain),
    "proxy of a plain method": ThreadedService().plain,
    "object whose call is a proxy": ThreadedService(),
    "object with a static call": StaticService(),
    "class that its kind calls": OfThatKind,
    "class that makes coroutines": MadeAsCoroutine,
    "class whose instances can be awaited": Work,
}


async def forgetful(record: Any) -> Any:
    return coroutine(record)


def twice_forgetful(record: Any) -> Any:
    return forgetful(record)


@pytest.mark.parametrize("kind", NEVER_ASYNC)
async def test_a_handler_that_cannot_be_async_is_refused_before_the_first_record(
    memory: _InMemory, kind: str
) -> None:
    topic = await memory.topic_with_a_record()
    consumer = await memory.consumer(topic, group="shipping")

    with pytest.raises(TypeError, match="handler of consume"):
        await tracing.consume(consumer, NEVER_ASYNC[kind])

    assert [] == SEEN
    assert await consumer.committed(TopicPartition(topic, 0)) is None


async def test_the_refusal_says_how_to_fix_it(memory: _InMemory) -> None:
    consumer = await memory.consumer(await memory.topic(), group="shipping")

    with pytest.raises(TypeError, match=r"plain is not: write it as `async def`.*to_thread"):
        await tracing.consume(consumer, plain)  # type: ignore[arg-type]  # on purpose


async def test_the_refusal_does_not_print_the_arguments_bound_to_the_handler(
    memory: _InMemory,
) -> None:
    consumer = await memory.consumer(await memory.topic(), group="shipping")

    with pytest.raises(TypeError) as caught:
        await tracing.consume(consumer, functools.partial(plain, password="hunter2"))  # type: ignore[call-arg,arg-type]  # noqa: S106 - on purpose

    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("kind", ONLY_A_CALL_SHOWS)
async def test_a_handler_that_returns_nothing_to_await_ends_the_loop_and_loses_nothing(
    memory: _InMemory, kind: str
) -> None:
    topic = await memory.topic_with_a_record()
    dead_letter_name = await dead_letter_topic(memory, topic, "shipping")
    consumer = await memory.consumer(topic, group="shipping")
    dead_letters = DeadLetters(await memory.producer())

    with pytest.raises(TypeError, match="async def"):
        await tracing.consume(
            consumer, ONLY_A_CALL_SHOWS[kind], retry=NOW, dead_letters=dead_letters
        )

    assert len(SEEN) <= 1
    assert not memory.broker.records(dead_letter_name)
    assert await consumer.committed(TopicPartition(topic, 0)) is None


async def test_on_any_broker_the_record_comes_back_to_a_fixed_handler(
    clients: Clients,
) -> None:
    topic = await clients.topic()
    await (await clients.producer()).send_and_wait(topic, b"v", partition=0)
    consumer = await clients.consumer(topic, group="shipping")

    with pytest.raises(TypeError, match=r"has run for this record.*delivered again") as caught:
        await tracing.consume(consumer, ONLY_A_CALL_SHOWS["lambda"], retry=NOW)
    assert [f"while handling {topic}[0] offset 0"] == caught.value.__notes__
    stop = asyncio.Event()
    loop = asyncio.create_task(tracing.consume(consumer, coroutine, stop=stop))
    try:
        assert await eventually(lambda: len(SEEN) == 2 or loop.done(), timeout_s=20)
    finally:
        stop.set()
        await loop

    assert [b"v", b"v"] == [record.value for record in SEEN]
    assert 1 == await consumer.committed(TopicPartition(topic, 0))


@pytest.mark.parametrize("handler", [forgetful, twice_forgetful, functools.partial(forgetful)])
async def test_a_coroutine_that_a_handler_forgot_to_await_ends_the_loop_and_loses_nothing(
    memory: _InMemory, handler: Any
) -> None:
    topic = await memory.topic_with_a_record()
    dead_letter_name = await dead_letter_topic(memory, topic, "shipping")
    consumer = await memory.consumer(topic, group="shipping")
    dead_letters = DeadLetters(await memory.producer())

    with pytest.raises(TypeError, match=r"forgetful returned the coroutine.*await coroutine\("):
        async with asyncio.timeout(20):
            await tracing.consume(consumer, handler, retry=NOW, dead_letters=dead_letters)

    assert [] == SEEN
    assert not memory.broker.records(dead_letter_name)
    assert await consumer.committed(TopicPartition(topic, 0)) is None


async def test_a_handler_may_return_a_task(memory: _InMemory) -> None:
    topic = await memory.topic_with_a_record()
    consumer = await memory.consumer(topic, group="shipping")
    stop = asyncio.Event()

    async def handler(record: Any) -> Any:
        return asyncio.ensure_future(coroutine(record))

    loop = asyncio.create_task(tracing.consume(consumer, handler, stop=stop))
    try:
        assert await eventually(lambda: SEEN or loop.done(), timeout_s=20)
    finally:
        stop.set()
        await loop

    assert 1 == await consumer.committed(TopicPartition(topic, 0))


@pytest.mark.parametrize("kind", ASYNC)
async def test_any_callable_that_returns_an_awaitable_is_a_handler(
    memory: _InMemory, kind: str
) -> None:
    topic = await memory.topic_with_a_record()
    consumer = await memory.consumer(topic, group="shipping")
    stop = asyncio.Event()

    loop = asyncio.create_task(tracing.consume(consumer, ASYNC[kind], stop=stop))
    try:
        assert await eventually(lambda: SEEN or loop.done(), timeout_s=20)
    finally:
        stop.set()
        await loop

    assert [b"v"] == [record.value for record in SEEN]


@pytest.mark.parametrize("stop", [threading.Event(), SimpleNamespace(is_set=plain), True])
async def test_a_blocking_event_is_refused_as_stop_event(memory: _InMemory, stop: Any) -> None:
    consumer = await memory.consumer(await memory.topic(), group="shipping")

    with pytest.raises(TypeError, match=r"stop must be an asyncio\.Event, not"):
        await tracing.consume(consumer, coroutine, stop=stop)


@pytest.mark.parametrize(
    "stop", [AsyncMock(spec=asyncio.Event), create_autospec(asyncio.Event, instance=True)]
)
async def test_a_double_of_an_event_is_accepted(memory: _InMemory, stop: Any) -> None:
    consumer = await memory.consumer(await memory.topic(), group="shipping")
    stop.is_set.return_value = True

    await tracing.consume(consumer, coroutine, stop=stop)


async def async_predicate(_error: Any) -> bool:
    return False


@pytest.mark.parametrize("option", ["retryable", "jitter"])
@pytest.mark.parametrize(
    "given",
    [async_predicate, AsyncMock(), functools.partial(async_predicate), generator, (OSError,)],
)
def test_an_option_of_retry_that_is_not_a_plain_function_is_refused(
    option: str, given: Any
) -> None:
    with pytest.raises(TypeError, match=rf"Retry\.{option} must be a"):
        Retry(**{option: given})


def test_an_exception_class_is_refused_as_predicate() -> None:
    with pytest.raises(TypeError, match="isinstance"):
        Retry(retryable=OSError)  # type: ignore[arg-type]  # on purpose


def test_a_predicate_that_returns_an_awaitable_counts_the_error_as_permanent() -> None:
    retry = Retry(retryable=lambda error: async_predicate(error))  # type: ignore[arg-type,return-value]  # noqa: PLW0108 - on purpose

    assert not retry.may_succeed_after(OSError())


@pytest.mark.parametrize("delay", [None, "1", float("nan"), float("inf"), -1])
def test_an_invalid_delay_becomes_the_longest_delay(delay: Any) -> None:
    assert 2 == Retry(delay_s=2, jitter=lambda _longest: delay).delay_after(1)


async def takes_nothing() -> None:
    SEEN.append(None)


async def takes_two(record: Any, database: Any) -> None:
    SEEN.append((record, database))


async def takes_keywords(*, record: Any) -> None:
    SEEN.append(record)


class NeedsTwo:
    async def __call__(self, record: Any, database: Any) -> None:
        SEEN.append((record, database))


@pytest.mark.parametrize(
    "handler",
    [
        takes_nothing,
        takes_two,
        takes_keywords,
        NeedsTwo(),
        functools.partial(coroutine, None),
        functools.partial(takes_two, database=None, record=None),
    ],
)
async def test_a_handler_that_does_not_take_a_record_is_refused_before_the_first_record(
    memory: _InMemory, handler: Any
) -> None:
    topic = await memory.topic_with_a_record()
    dead_letter_name = await dead_letter_topic(memory, topic, "shipping")
    consumer = await memory.consumer(topic, group="shipping")
    dead_letters = DeadLetters(await memory.producer())

    with pytest.raises(TypeError, match="called with 1 argument"):
        await tracing.consume(consumer, handler, dead_letters=dead_letters)

    assert [] == SEEN
    assert not memory.broker.records(dead_letter_name)


def injecting(function: Callable[..., Any]) -> Handler:
    @functools.wraps(function)
    async def with_database(record: Any) -> None:
        await function(record, "database")

    return with_database


@pytest.mark.parametrize(
    "handler",
    [
        injecting(takes_two),
        with_a_database(takes_two),
        functools.partial(takes_two, database=None),
        AsyncMock(spec=coroutine, side_effect=coroutine),
        lambda *arguments, **_options: coroutine(*arguments),
        lambda record, _retries=3: coroutine(record),
    ],
)
async def test_a_handler_may_take_more_than_a_record(memory: _InMemory, handler: Any) -> None:
    topic = await memory.topic_with_a_record()
    consumer = await memory.consumer(topic, group="shipping")
    stop = asyncio.Event()

    loop = asyncio.create_task(tracing.consume(consumer, handler, stop=stop))
    try:
        assert await eventually(lambda: SEEN or loop.done(), timeout_s=20)
    finally:
        stop.set()
        await loop

    assert 1 == len(SEEN)


@pytest.mark.parametrize("option", ["retryable", "jitter"])
def test_an_option_of_retry_takes_one_argument(option: str) -> None:
    wrong: dict[str, Any] = {option: lambda: 0}

    with pytest.raises(TypeError, match=rf"Retry\.{option} is called with 1 argument"):
        Retry(**wrong)


async def async_redact(message: str) -> str:
    return message


def test_a_redaction_that_has_to_be_awaited_is_refused_or_hides_the_message() -> None:
    with pytest.raises(TypeError, match="redact must be a plain function"):
        Telemetry("orders", redact=async_redact)  # type: ignore[arg-type]  # on purpose
    late = Telemetry("orders", redact=lambda text: async_redact(text))  # type: ignore[arg-type,return-value]  # noqa: PLW0108 - on purpose
    nothing = Telemetry("orders", redact=lambda _text: None)  # type: ignore[arg-type,return-value]  # on purpose

    assert "(message unavailable)" == late.message_of(ValueError("card 4111"))
    assert "(message unavailable)" == nothing.message_of(ValueError("card 4111"))


async def test_stores_and_senders_with_plain_methods_are_refused(telemetry: Telemetry) -> None:
    plain_store: Any = SimpleNamespace(health=plain, note=plain)
    no_store: Any = SimpleNamespace(note=coroutine)
    flow = SagaFlow(name="f", start="A", ends={"B": "completed"}, deadline_s=1)

    with pytest.raises(TypeError, match=r"health\(\) of a health source must be async"):
        SagaTracker("place-order", telemetry, health=plain_store)
    with pytest.raises(TypeError, match=r"note\(\) of a saga log must be async"):
        SagaObserver([flow], plain_store, telemetry)
    with pytest.raises(TypeError, match=r"health\(\) of a health source must be an async"):
        SagaObserver([flow], no_store, telemetry)
