"""Exception groups, as a `TaskGroup` raises them: the worst error inside decides the outcome."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from aiokafka.structs import TopicPartition

import tracing
from tests.tracing.delivery.giving_up import NOW, dead_letter_topic, given_up
from tracing import DeadLetters, Provenance, Rejected, Retry, Unprocessable
from tracing.messaging.outcome import decisive
from tracing.testing import eventually

if TYPE_CHECKING:
    from tests.tracing.conftest import Clients, _InMemory
    from tracing.testing import Capture

LABELS = {"messaging.destination.name": "orders", "messaging.consumer.group.name": "shipping"}


@pytest.fixture(autouse=True)
def no_collection_meanwhile() -> Iterator[None]:
    """Collect garbage before each test and not in it.

    What a finalizer raises has the error under way as its context, and pytest cannot show the odd
    errors of this file.
    """
    gc.collect()
    gc.disable()
    yield
    gc.enable()


class DeclinedError(Exception):
    """An error of the application."""


DECLINED = f"{DeclinedError.__module__}.{DeclinedError.__qualname__}"


def group(*errors: BaseException) -> BaseException:
    return BaseExceptionGroup("unhandled errors in a TaskGroup", errors)


def nested(error: BaseException, depth: int = 3) -> BaseException:
    for _ in range(depth):
        error = group(error)
    return error


async def raise_in_a_task_group(*errors: Exception) -> None:
    async def fail(error: Exception) -> None:
        raise error

    async with asyncio.TaskGroup() as outer:
        async with asyncio.TaskGroup() as inner:
            for error in errors:
                inner.create_task(fail(error))
        outer.create_task(asyncio.sleep(0))


REJECTED, POISON, FAILED, CUT = (
    Rejected("no_stock"),
    Unprocessable("version 9"),
    ValueError("x"),
    asyncio.CancelledError(),
)
UNREADABLE = UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte")


@pytest.mark.parametrize(
    ("expected", "raised"),
    [
        (FAILED, FAILED),
        (FAILED, group(FAILED)),
        (FAILED, nested(FAILED)),
        (REJECTED, group(REJECTED, group(Rejected("no_money")))),
        (FAILED, group(REJECTED, nested(FAILED), REJECTED)),
        (FAILED, group(FAILED, KeyError("y"))),
        (POISON, group(FAILED, UNREADABLE, nested(POISON))),
        (UNREADABLE, group(REJECTED, FAILED, UNREADABLE)),
        (FAILED, group(CUT, FAILED)),
        (REJECTED, group(CUT, REJECTED)),
        (CUT, nested(CUT)),
    ],
)
def test_the_worst_error_of_a_group_decides(expected: object, raised: BaseException) -> None:
    def unreadable(error: Exception) -> bool:
        return error is UNREADABLE

    assert expected is decisive(raised, permanent=unreadable)


def test_an_error_that_ends_the_program_takes_precedence() -> None:
    stop = KeyboardInterrupt()

    assert stop is decisive(group(POISON, FAILED, group(stop), SystemExit(1)))


def test_groups_may_be_nested_deeper_than_the_recursion_limit() -> None:
    deep = nested(FAILED, 5000)

    # Not in the assertion: a report could not show it.
    found = decisive(deep) is FAILED
    assert found


def test_a_group_that_repeats_its_members_is_searched_once() -> None:
    shared = group(FAILED)
    for _ in range(200):
        shared = group(shared, shared)

    found = decisive(shared) is FAILED
    assert found


class NoClassError(Exception):
    @property
    def __class__(self) -> Any:
        raise ZeroDivisionError

    @__class__.setter
    def __class__(self, value: Any) -> None:
        raise ZeroDivisionError


class ClosedGroup(ExceptionGroup[Exception]):
    @property
    def exceptions(self) -> Any:
        raise ZeroDivisionError


class NamelessKind(type):
    @property
    def __module__(cls) -> Any:
        raise ZeroDivisionError

    @__module__.setter
    def __module__(cls, value: Any) -> None:
        pass


class NamelessError(Exception, metaclass=NamelessKind):
    pass


class EmptyError(Exception):
    def __len__(self) -> int:
        return 0


class UndecidedError(Exception):
    def __bool__(self) -> bool:
        raise ZeroDivisionError


class NoNotesError(Exception):
    def add_note(self, _note: str) -> None:
        raise ZeroDivisionError


ODD: list[tuple[str, Callable[[], BaseException]]] = [
    ("RuntimeError", NoClassError),
    ("RuntimeError", lambda: group(NoClassError())),
    ("RuntimeError", lambda: ClosedGroup("closed", [FAILED])),
    ("_OTHER", NamelessError),
    (f"{__name__}.EmptyError", EmptyError),
    (f"{__name__}.UndecidedError", UndecidedError),
    (f"{__name__}.NoNotesError", NoNotesError),
    ("ValueError", lambda: nested(group(CUT, ValueError()), 5000)),
    ("RuntimeError", lambda: nested(CUT, 5000)),
]


@pytest.mark.parametrize(("name", "make"), ODD)
async def test_an_error_that_cannot_be_inspected_is_an_ordinary_failure(
    memory: _InMemory, capture: Capture, name: str, make: Callable[[], BaseException]
) -> None:
    topic = await memory.topic_with_a_record()

    async def handler(_record: Any) -> None:
        raise make()

    letters: list[Any] = []
    # A report could not show some of these errors.
    with suppress(Exception):
        letters = await given_up(memory, topic, handler=handler)

    assert 1 == len(letters)
    provenance = Provenance.from_headers(letters[0].headers)
    assert provenance is not None
    assert (name, 3) == (provenance.exception, provenance.attempts)
    process = next(span for span in capture.spans() if span.name == "process orders")
    assert "dead_lettered" == (process.attributes or {})["pipeline.outcome"]


@pytest.mark.parametrize("transactional", [False, True])
@pytest.mark.parametrize(
    "make",
    [
        *(make for _, make in ODD),
        lambda: group(SystemExit(3)),
        lambda: group(KeyboardInterrupt(), ValueError()),
        GeneratorExit,
    ],
)
async def test_a_loop_without_dead_letters_ends_with_any_error_and_never_stalls(
    memory: _InMemory, make: Callable[[], BaseException], transactional: bool
) -> None:
    topic = await memory.topic_with_a_record()
    consumer = await memory.consumer(topic, group="shipping")
    producer = await memory.producer(transactional_id="t") if transactional else None
    calls: list[Any] = []

    async def handler(record: Any) -> None:
        calls.append(record)
        raise make()

    loop = asyncio.create_task(
        tracing.consume(consumer, handler, retry=NOW, transactional=producer)
    )
    done, _ = await asyncio.wait((loop,), timeout=20)
    loop.cancel()

    assert done
    failed = loop.exception() is not None
    assert failed
    assert len(calls) <= 3
    assert await consumer.committed(TopicPartition(topic, 0)) is None


async def test_a_partition_that_cannot_continue_ends_the_loop(
    memory: _InMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    topic = await memory.topic_with_a_record()
    consumer = await memory.consumer(topic, group="shipping")

    def broken(_record: Any) -> bool:
        raise ZeroDivisionError

    monkeypatch.setattr(consumer, "addressed_elsewhere", broken)

    async def handler(_record: Any) -> None:
        pass

    loop = asyncio.create_task(tracing.consume(consumer, handler))
    done, _ = await asyncio.wait((loop,), timeout=20)
    loop.cancel()

    assert done
    assert isinstance(loop.exception(), ZeroDivisionError)


class CodedRejection(Rejected):
    def __init__(self, code: int) -> None:
        self.code = code


@pytest.mark.parametrize("batch", [False, True])
async def test_a_rejection_without_its_reason_is_still_a_rejection(
    memory: _InMemory, capture: Capture, batch: bool
) -> None:
    topic = await memory.topic_with_a_record()
    consumer = await memory.consumer(topic)
    record = await consumer.getone()

    with pytest.raises(CodedRejection):
        async with consumer.process_batch([record]) if batch else consumer.process(record):
            raise CodedRejection(7)

    process = next(span for span in capture.spans() if span.name == "process orders")
    attributes = process.attributes or {}
    assert ("rejected", "rejected") == (
        attributes["pipeline.outcome"],
        attributes["pipeline.rejection.reason"],
    )


async def committed_after(
    memory: _InMemory, handler: Callable[[Any], Any], **options: Any
) -> int | None:
    """Consume one record until it is committed, or the loop has ended; returns the offset."""
    topic = await memory.topic_with_a_record()
    consumer = await memory.consumer(topic, group="shipping")
    stop = asyncio.Event()

    async def is_committed() -> bool:
        return await consumer.committed(TopicPartition(topic, 0)) is not None or loop.done()

    loop = asyncio.create_task(
        tracing.consume(consumer, handler, stop=stop, commit_interval_s=0.01, **options)
    )
    try:
        assert await eventually(is_committed, timeout_s=20)
    finally:
        stop.set()
        await loop
    offset: int | None = await consumer.committed(TopicPartition(topic, 0))
    return offset


async def test_a_rejection_in_a_task_group_counts_as_handled(
    memory: _InMemory, capture: Capture
) -> None:
    calls: list[Any] = []

    async def handler(record: Any) -> None:
        calls.append(record)
        await raise_in_a_task_group(Rejected("no_stock"))

    assert 1 == await committed_after(memory, handler, retry=NOW)

    process = next(span for span in capture.spans() if span.name == "process orders")
    attributes = process.attributes or {}
    assert 1 == len(calls)
    assert ("rejected", "no_stock") == (
        attributes["pipeline.outcome"],
        attributes["pipeline.rejection.reason"],
    )
    assert "error.type" not in attributes
    assert process.status.is_unset


async def test_an_unprocessable_record_in_a_task_group_is_not_retried(clients: Clients) -> None:
    topic = await clients.topic()
    await (await clients.producer()).send_and_wait(topic, b"v", partition=0)
    calls: list[Any] = []

    async def handler(record: Any) -> None:
        calls.append(record)
        await raise_in_a_task_group(Unprocessable("version 9"))

    (letter,) = await given_up(clients, topic, handler=handler)

    provenance = Provenance.from_headers(letter.headers)
    assert provenance is not None
    assert (1, 1) == (len(calls), provenance.attempts)
    assert ("tracing.Unprocessable", "version 9") == (
        provenance.exception,
        provenance.message,
    )


async def test_spans_metrics_and_headers_name_the_inner_error(
    memory: _InMemory, capture: Capture
) -> None:
    topic = await memory.topic_with_a_record()

    async def handler(_record: Any) -> None:
        await raise_in_a_task_group(DeclinedError("by the bank"))

    (letter,) = await given_up(memory, topic, handler=handler)

    provenance = Provenance.from_headers(letter.headers)
    assert provenance is not None
    assert (DECLINED, "by the bank", 3) == (
        provenance.exception,
        provenance.message,
        provenance.attempts,
    )
    failed = {**LABELS, "error.type": DECLINED}
    assert 1 == capture.metric("pipeline.dead_letters", failed)
    assert 2 == capture.metric("pipeline.retries", failed)
    spans = [span for span in capture.spans() if span.name in {"process orders", "retry orders"}]
    assert [DECLINED] * 3 == [(span.attributes or {})["error.type"] for span in spans]
    events = [found.log_record.attributes or {} for found in capture.log_records()]
    assert [(DECLINED, "by the bank")] * len(events) == [
        (event["exception.type"], event["exception.message"]) for event in events
    ]


async def test_a_predicate_sees_the_errors_inside_and_one_permanent_error_is_enough(
    memory: _InMemory,
) -> None:
    topic = await memory.topic_with_a_record()
    consumer = await memory.consumer(topic, group="shipping")
    asked: list[Exception] = []
    calls: list[Any] = []

    def retryable(error: Exception) -> bool:
        asked.append(error)
        return isinstance(error, ConnectionError)

    async def handler(record: Any) -> None:
        calls.append(record)
        await raise_in_a_task_group(*([ConnectionError("away")] * 2))

    retry = Retry(attempts=2, delay_s=0, retryable=retryable)

    with pytest.raises(ExceptionGroup):
        await tracing.consume(consumer, handler, retry=retry)
    assert (2, {ConnectionError}) == (len(calls), {type(error) for error in asked})

    async def worse(record: Any) -> None:
        calls.append(record)
        raise ExceptionGroup("mixed", [ConnectionError("away"), DeclinedError("by the bank")])

    with pytest.raises(ExceptionGroup):
        await tracing.consume(consumer, worse, retry=retry)
    assert 3 == len(calls)


async def test_a_failure_beside_a_rejection_is_a_failure(memory: _InMemory) -> None:
    topic = await memory.topic_with_a_record()

    async def handler(_record: Any) -> None:
        raise ExceptionGroup("mixed", [Rejected("no_stock"), ValueError("x")])

    (letter,) = await given_up(memory, topic, handler=handler)

    provenance = Provenance.from_headers(letter.headers)
    assert provenance is not None
    assert ("ValueError", 3) == (provenance.exception, provenance.attempts)


async def test_a_group_with_a_cancellation_fails_unless_the_handler_is_cancelled(
    memory: _InMemory,
) -> None:
    topic = await memory.topic_with_a_record()

    async def handler(_record: Any) -> None:
        raise BaseExceptionGroup("mixed", [asyncio.CancelledError(), DeclinedError("by the bank")])

    (letter,) = await given_up(memory, topic, handler=handler)

    provenance = Provenance.from_headers(letter.headers)
    assert provenance is not None
    assert DECLINED == provenance.exception


async def test_a_cancelled_handler_may_answer_with_a_group_and_its_record_comes_back(
    memory: _InMemory, capture: Capture
) -> None:
    topic = await memory.topic_with_a_record()
    consumer = await memory.consumer(topic, group="shipping")
    begun = asyncio.Event()

    async def handler(_record: Any) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError as cancelled:
            raise BaseExceptionGroup("on the way out", [cancelled, ValueError("x")]) from None

    stop = asyncio.Event()
    loop = asyncio.create_task(
        tracing.consume(consumer, handler, stop=stop, retry=NOW, drain_timeout_s=0.01)
    )
    await begun.wait()
    stop.set()
    await loop

    assert await consumer.committed(TopicPartition(topic, 0)) is None
    process = next(span for span in capture.spans() if span.name == "process orders")
    assert "pipeline.outcome" not in (process.attributes or {})


@pytest.mark.parametrize("transactional", [False, True])
@pytest.mark.parametrize(
    "answer",
    [None, Rejected("no_stock"), ValueError("x"), Unprocessable("x"), group(REJECTED, CUT)],
)
async def test_the_loop_returns_and_the_record_comes_back_whatever_a_cancelled_handler_raises(
    memory: _InMemory, answer: BaseException | None, transactional: bool
) -> None:
    topic = await memory.topic_with_a_record()
    letters = await dead_letter_topic(memory, topic, "shipping")
    consumer = await memory.consumer(topic, group="shipping")
    producer = await memory.producer(**({"transactional_id": "t"} if transactional else {}))
    begun = asyncio.Event()

    async def handler(_record: Any) -> None:
        begun.set()
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        if answer is not None:
            raise answer

    stop = asyncio.Event()
    loop = asyncio.create_task(
        tracing.consume(
            consumer,
            handler,
            stop=stop,
            retry=NOW,
            dead_letters=DeadLetters(producer, transactional=transactional),
            drain_timeout_s=0.05,
            transactional=producer if transactional else None,
        )
    )
    await begun.wait()
    stop.set()
    await loop

    assert await consumer.committed(TopicPartition(topic, 0)) is None
    assert not memory.broker.records(letters)


@pytest.mark.parametrize("batch", [False, True])
async def test_a_block_has_the_same_outcome_for_an_error_inside_a_group_as_alone(
    memory: _InMemory, capture: Capture, batch: bool
) -> None:
    topic = await memory.topic_with_a_record()
    consumer = await memory.consumer(topic, group="shipping")
    record = await consumer.getone()

    for error in (Rejected("no_stock"), DeclinedError("by the bank")):
        with pytest.raises(ExceptionGroup):
            async with consumer.process_batch([record]) if batch else consumer.process(record):
                await raise_in_a_task_group(error)

    rejected, failed = (
        span.attributes or {} for span in capture.spans() if span.name == "process orders"
    )
    assert "rejected" == rejected["pipeline.outcome"]
    assert ("error", DECLINED) == (failed["pipeline.outcome"], failed["error.type"])


async def test_leaving_a_loop_by_a_group_has_the_outcome_of_the_error_inside(
    memory: _InMemory, capture: Capture
) -> None:
    topic = await memory.topic_with_a_record()
    consumer = await memory.consumer(topic, group="shipping")

    with pytest.raises(ExceptionGroup):
        try:
            async for _ in consumer:
                await raise_in_a_task_group(Rejected("no_stock"))
        finally:
            await consumer.stop()

    process = next(span for span in capture.spans() if span.name == "process orders")
    assert "rejected" == (process.attributes or {})["pipeline.outcome"]
