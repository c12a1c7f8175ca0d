"""Arguments for headers, labels and ids: values without one obvious text are refused by name."""

from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from aiokafka import AIOKafkaProducer
from opentelemetry import trace

from tracing import (
    Boundary,
    CloudEvent,
    DeadLetters,
    Rejected,
    SagaContext,
    SagaFlow,
    SagaTracker,
    Telemetry,
    TracedConsumer,
    TracedProducer,
    cloudevent,
)
from tracing.testing import Capture, InMemoryConsumer, InMemoryProducer

if TYPE_CHECKING:
    from tests.tracing.conftest import Clients, _InMemory

NUMBER = UUID("12345678-1234-5678-1234-567812345678")


class Word(StrEnum):
    DECLINED = "declined"


class OldWord(str, Enum):  # noqa: UP042 - the other way to do it
    DECLINED = "declined"


class Level(IntEnum):
    HIGH = 3


class Plain(Enum):
    DECLINED = "declined"


class Text(str):
    __slots__ = ()

    def __str__(self) -> str:
        return "something else"


TEXTS: list[tuple[str, Any]] = [
    ("order-7", "order-7"),
    (str(NUMBER), NUMBER),
    ("7", 7),
    ("-7", -7),
    ("3", Level.HIGH),
    ("declined", Word.DECLINED),
    ("declined", OldWord.DECLINED),
    ("own", Text("own")),
]
NOT_TEXTS: list[Any] = [
    b"order-7",
    bytearray(b"7"),
    7.0,
    Decimal(7),
    True,
    Plain.DECLINED,
    datetime(2026, 1, 1, tzinfo=UTC),
    ("order", 7),
    object(),
]
NAMES = ["type", "source", "id", "subject", "content_type"]


def made(name: str, given: Any) -> list[Any]:
    arguments: dict[str, Any] = {"type": "X", "source": "/s", "id": "1", name: given}
    return list(cloudevent(**arguments))


@pytest.mark.parametrize("name", ["id", "subject"])
@pytest.mark.parametrize(("expected", "given"), TEXTS)
def test_an_ordinary_event_id_is_printed_unchanged(name: str, expected: str, given: Any) -> None:
    headers = made(name, given)

    event = CloudEvent.from_headers(headers)
    assert event is not None
    assert expected == getattr(event, name)
    assert {str} == {type(value.decode()) for _, value in headers if value is not None}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("given", NOT_TEXTS)
def test_a_value_without_one_obvious_text_is_refused_by_name(name: str, given: Any) -> None:
    with pytest.raises(TypeError, match=f"^{name} must be a str") as caught:
        made(name, given)

    assert type(given).__name__ in str(caught.value)


def test_the_refusal_says_how_to_fix_it() -> None:
    with pytest.raises(TypeError, match="give its value"):
        cloudevent(type=Plain.DECLINED)  # type: ignore[arg-type]  # on purpose
    with pytest.raises(TypeError, match="decode it"):
        cloudevent(type="X", subject=b"order-7")  # type: ignore[arg-type]  # on purpose


@pytest.mark.parametrize("given", ["2026-01-01T00:00:00Z", 0, 1.5, date(2026, 1, 1)])
def test_a_time_is_a_datetime(given: Any) -> None:
    with pytest.raises(TypeError, match=r"^time must be a datetime"):
        cloudevent(type="X", time=given)


def test_a_time_outside_the_range_of_utc_is_refused_by_name() -> None:
    early = datetime.min.replace(tzinfo=timezone(timedelta(hours=1)))

    with pytest.raises(ValueError, match=r"^time is before year 1"):
        cloudevent(type="X", time=early)


@pytest.mark.parametrize("name", NAMES)
def test_a_text_that_cannot_be_encoded_is_refused_by_name(name: str) -> None:
    with pytest.raises(ValueError, match=f"^{name} cannot be written"):
        made(name, "a\ud800")


@pytest.mark.parametrize("name", ["id", "source"])
def test_an_identity_must_not_be_empty(name: str) -> None:
    with pytest.raises(ValueError, match=f"^{name} must not be empty"):
        made(name, "")


@pytest.mark.parametrize(
    ("headers", "fault"),
    [
        ([("a", 5)], "header 'a' must be bytes or None, not int"),
        ([("b", b"1"), ("a", "text")], "header 'a' must be bytes or None, not str"),
        ([("a", NUMBER)], "header 'a' must be bytes or None, not UUID"),
        ([("b", b"1"), (5, b"x")], "header number 1 must have a str as its name, not int"),
        ([("a", b"x", 1)], "header number 0 must be a pair of a str and bytes or None, not 3"),
        ({"name": b"x"}, "header number 0 must be a pair of a str and bytes or None, not str"),
    ],
)
async def test_a_header_that_the_client_refuses_is_named(
    clients: Clients, headers: Any, fault: str
) -> None:
    topic = await clients.topic()
    producer = await clients.producer()
    refused: list[BaseException] = []

    for send in (producer.send, producer.send_and_wait):
        with pytest.raises((TypeError, ValueError)) as caught:
            await send(topic, b"v", headers=headers)
        refused.append(caught.value)
    with pytest.raises((TypeError, ValueError)) as caught:
        producer.create_batch().append(timestamp=None, key=None, value=b"v", headers=headers)
    refused.append(caught.value)

    for error in refused:
        (note,) = error.__notes__
        assert note.startswith(fault)


async def test_the_client_refuses_as_it_does_unwrapped_and_values_are_not_in_the_note(
    memory: _InMemory,
) -> None:
    bare = AIOKafkaProducer(bootstrap_servers="127.0.0.1:1")
    wrapped = TracedProducer(bare, memory.telemetry)
    errors = []
    headers: Any = [("a", "card 4111")]

    for batch in (bare.create_batch(), wrapped.create_batch()):
        with pytest.raises(TypeError) as caught:
            batch.append(timestamp=None, key=None, value=b"v", headers=headers)
        errors.append(caught.value)
    await bare.stop()

    assert str(errors[0]) == str(errors[1])
    assert "4111" not in "".join(errors[1].__notes__)


@pytest.mark.parametrize(("expected", "given"), TEXTS)
def test_the_id_of_a_saga_is_kept_as_text(telemetry: Telemetry, expected: str, given: Any) -> None:
    context = SagaTracker("place-order", telemetry).begin(given)

    assert expected == context.saga_id
    assert context == SagaContext.parse(str(context))


@pytest.mark.parametrize("given", [*NOT_TEXTS, None])
def test_an_id_that_a_saga_cannot_keep_is_refused_at_its_beginning(
    telemetry: Telemetry, given: Any
) -> None:
    with pytest.raises(TypeError, match="saga_id must be a str, a UUID or an int"):
        SagaTracker("place-order", telemetry).begin(given)


def test_a_start_that_could_not_be_read_back_is_refused(telemetry: Telemetry) -> None:
    with pytest.raises(TypeError, match="started_ns must be an int"):
        SagaTracker("place-order", telemetry).begin("1", 1.5)  # type: ignore[arg-type]  # on purpose


def test_words_of_an_enumeration_are_known_by_their_values(
    telemetry: Telemetry, capture: Capture
) -> None:
    tracker = SagaTracker("place-order", telemetry)
    context = tracker.begin("1")
    step: Any = Plain.DECLINED
    reason: Any = Plain.DECLINED

    tracker.step(context, step, started_ns=context.started_ns)
    with trace.use_span(
        telemetry.spans.start(
            "s", trace.set_span_in_context(trace.INVALID_SPAN), trace.SpanKind.INTERNAL, {}
        ),
        end_on_exit=True,
    ):
        tracker.compensating(context, reason)
    tracker.ended(context, "compensated", reason=reason)

    spans = {span.name: span for span in capture.spans()}
    assert "saga.step place-order/declined" in spans
    (event,) = spans["s"].events
    assert "declined" == (event.attributes or {})["pipeline.saga.reason"]
    saga = spans["saga place-order"].attributes or {}
    assert "declined" == saga["pipeline.saga.reason"]


@pytest.mark.parametrize(
    ("expected", "reason"),
    [
        ("no_stock", "no_stock"),
        ("declined", Plain.DECLINED),
        ("declined", Word.DECLINED),
        ("7", 7),
        ("ValueError", ValueError("card 4111")),
        ("NoneType", None),
    ],
)
async def test_a_reason_of_any_type_is_a_word_on_the_span(
    memory: _InMemory, capture: Capture, expected: str, reason: Any
) -> None:
    topic = await memory.topic_with_a_record()
    consumer = await memory.consumer(topic)
    record = await consumer.getone()

    for block in (consumer.process(record), consumer.process_batch([record])):
        with pytest.raises(Rejected):
            async with block:
                raise Rejected(reason)

    reasons = [
        (span.attributes or {})["pipeline.rejection.reason"]
        for span in capture.spans()
        if span.name == "process orders"
    ]
    assert [expected] * 2 == reasons


async def test_names_are_texts(memory: _InMemory) -> None:
    producer = await memory.producer()
    number: Any = 5
    made: list[tuple[str, Any]] = [
        ("pipeline", lambda: Telemetry(number)),
        ("source", lambda: Telemetry("orders", source=number)),
        ("saga", lambda: SagaTracker(number, memory.telemetry)),
        ("topic", lambda: DeadLetters(producer, topic=number)),
        (
            "group",
            lambda: TracedConsumer(
                InMemoryConsumer(broker=memory.broker), memory.telemetry, group=number
            ),
        ),
        (
            "client_id",
            lambda: TracedProducer(
                InMemoryProducer(memory.broker), memory.telemetry, client_id=number
            ),
        ),
    ]

    for name, make in made:
        with pytest.raises(TypeError, match=f"^{name} must be a str, not int"):
            make()


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("name", 5),
        ("start", Plain.DECLINED),
        ("correlation", b"ce_subject"),
        ("an event type in steps", {Plain.DECLINED: "step"}),
        ("an event type in ends", {5: "completed"}),
        ("the name of a step", {"A": 5}),
    ],
)
def test_a_flow_that_would_never_see_an_event_is_refused_by_name(name: str, wrong: Any) -> None:
    option = {"an event type in ends": "ends"}.get(name, "steps" if " " in name else name)
    options: dict[str, Any] = {
        "name": "f", "start": "A", "ends": {"B": "completed"}, "deadline_s": 1, option: wrong,
    }  # fmt: skip

    with pytest.raises(TypeError, match=f"^{name} must be a str"):
        SagaFlow(**options)


def test_a_member_of_an_enumeration_that_is_text_is_its_value() -> None:
    assert "declined" == Telemetry(OldWord.DECLINED).pipeline
    assert str is type(Telemetry(OldWord.DECLINED).pipeline)


async def test_a_timeout_around_the_next_record_keeps_its_span_current(
    clients: Clients, capture: Capture
) -> None:
    topic = await clients.topic()
    producer = await clients.producer()
    await producer.send_and_wait(topic, b"v", partition=0)
    consumer = await clients.consumer(topic)
    records = aiter(consumer)

    async with asyncio.timeout(60):
        record = await anext(records)
    await producer.send_and_wait(await clients.topic("payments"), record.value)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await anext(records)

    process = next(span for span in capture.spans() if span.name == f"process {topic}")
    sent = next(span for span in capture.spans() if span.name.startswith("send payments"))
    assert sent.parent is not None
    assert process.context is not None
    assert process.context.span_id == sent.parent.span_id


@pytest.mark.parametrize("baggage", ["pipeline.*", ("pipeline.*", 5), [None]])
def test_a_boundary_takes_patterns_and_refuses_a_plain_string(
    baggage: Any,
) -> None:
    with pytest.raises(TypeError, match="baggage must be a tuple of patterns"):
        Boundary(baggage=baggage)
