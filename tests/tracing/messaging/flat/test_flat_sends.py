"""Sends on the flat path give the headers, spans and metrics that the general code gives."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, cast

import pytest
from opentelemetry import baggage, trace
from opentelemetry.context import Context, attach, detach, get_current, set_value
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.sdk.trace.sampling import (
    ALWAYS_OFF,
    ALWAYS_ON,
    Decision,
    ParentBased,
    Sampler,
    SamplingResult,
    TraceIdRatioBased,
)
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    TraceFlags,
    TraceState,
    set_span_in_context,
)

from tests.tracing.messaging.flat.both_ways import BAGGAGE, Records, headers, record
from tracing import Boundary, Telemetry, TracedConsumer, TracedProducer, cloudevent
from tracing.core.otel_context import BAGGAGE_KEY, FLOW_KEY, SPAN_KEY, SUPPRESSED
from tracing.headers.dead_letter import REPLAY_GROUP, REPLAY_ID
from tracing.headers.w3c import RemoteSpan
from tracing.messaging.flat.engine import Engine, Reason, engine_of
from tracing.messaging.flat.send import FlatSending
from tracing.testing import Capture, InMemoryBroker, InMemoryProducer, eventually
from tracing.testing.metric_values import points_of

Case = Callable[[TracedProducer], Awaitable[object]]
"""What is sent."""

SAMPLED = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
UNSAMPLED = SAMPLED[:-2] + b"02"
MOMENT = datetime.now(UTC)


class World:
    """A producer of an in-memory broker, and all that it leaves behind."""

    def __init__(self, sampler: Sampler | None = None, **options: Any) -> None:
        self.capture = Capture("orders", sampler=sampler)
        self.telemetry = Telemetry(
            "orders",
            tracer_provider=self.capture.tracer_provider,
            meter_provider=self.capture.meter_provider,
            logger_provider=self.capture.logger_provider,
            source="/orders",
            **options,
        )
        self.broker = InMemoryBroker()
        self.broker.create_topic("orders", partitions=1)
        self.producer = TracedProducer(InMemoryProducer(self.broker), self.telemetry)

    @property
    def engine(self) -> Engine:
        engine = engine_of(self.telemetry)
        assert engine is not None
        return engine

    async def left_by(self, case: Case) -> list[str]:
        """Return what a case leaves behind, one line for each header, attribute and value."""
        async with self.producer:
            await case(self.producer)
            await asyncio.sleep(0)
        lines = [
            _known(f"header {name} {value!r}")
            for record in self.broker.records("orders")
            for name, value in record.headers
        ]
        names = {
            context.span_id: span.name
            for span in self.capture.spans()
            if (context := span.get_span_context()) is not None
        }
        for span in self.capture.spans():
            if span.name.startswith("send"):
                lines += _lines(span, names)
        for logged in self.capture.log_records():
            lines.append(f"log {logged.log_record.event_name} {logged.log_record.span_id != 0}")
        for point in points_of(self.capture._metric_reader.get_metrics_data()):
            if point.name.startswith(("messaging.", "pipeline.")):
                labels = sorted(f"{label}={content!r}" for label, content in point.attributes)
                lines.append(f"{point.name} {labels} {getattr(point.value, 'count', point.value)}")
        self.capture.shutdown()
        return lines


def _lines(span: ReadableSpan, names: dict[int, str]) -> Iterator[str]:
    context = span.get_span_context()
    assert context is not None
    parent = span.parent
    yield f"span {span.name} {span.kind} {span.status.status_code} {len(span.links)}"
    yield f"flags {context.trace_flags} {context.is_remote} {context.trace_state!r}"
    if parent is not None:
        known = names.get(parent.span_id, parent.span_id)
        yield f"parent {known} {parent.is_remote} {parent.trace_flags}"
    for name, value in (span.attributes or {}).items():
        yield _known(f"attribute {name} {value!r}")


def _known(line: str) -> str:
    """Replace what is different each time: ids and the current time."""
    line = re.sub(r"00-(?!4bf92f)[0-9a-f]{32}", "00-new", line)
    line = re.sub(r"-(?!00f067)[0-9a-f]{16}-", "-new-", line)
    line = re.sub(r"(id\S*) b?'[0-9a-f]{32}'", r"\1 new", line)
    line = re.sub(r"20\d\d-\d\d-\d\dT[\d:]*\.\d{3}Z", "now", line)
    return re.sub(r"\b(pipeline.origin\D+)1[789]\d{11}", r"\1now", line)


@contextmanager
def current(context: Context) -> Iterator[None]:
    token = attach(context)
    try:
        yield
    finally:
        detach(token)


def sends(headers: list[Any] | None = None, value: bytes | None = b"v", **more: Any) -> Case:
    async def case(producer: TracedProducer) -> None:
        await producer.send_and_wait("orders", value, b"k", headers=headers, **more)
        future = await producer.send("orders", value, b"k", headers=headers, **more)
        await future

    return case


def below(context: Callable[[], Context], headers: list[Any] | None = None) -> Case:
    async def case(producer: TracedProducer) -> None:
        with current(context()):
            await sends(headers)(producer)

    return case


def remote(traceparent: bytes, flow: dict[str, str] | None = None) -> Context:
    entries: dict[str, object] = {SPAN_KEY: RemoteSpan(traceparent, None)}
    if flow is not None:
        entries |= {BAGGAGE_KEY: flow, FLOW_KEY: flow}
    return Context(entries)


def span_of_the_application(flags: int, *, is_remote: bool = False) -> Context:
    ids = SpanContext(
        0x4BF92F3577B34DA6A3CE929D0E0E4736, 0x00F067AA0BA902B7, is_remote, TraceFlags(flags)
    )
    return set_span_in_context(NonRecordingSpan(ids), Context())


async def _refused(producer: TracedProducer) -> None:
    with pytest.raises(TypeError):
        await producer.send_and_wait("orders", b"v", headers=[("mine", "no bytes")])  # type: ignore[list-item]  # wrong on purpose
    with pytest.raises(TypeError):
        await producer.send("orders", b"v", headers=[("mine", "no bytes")])  # type: ignore[list-item]  # as above


async def _in_a_transaction_of_the_sdk(producer: TracedProducer) -> None:
    provider = trace.NoOpTracerProvider()
    with provider.get_tracer("application").start_as_current_span("GET /"):
        await sends()(producer)


FLOW = {"pipeline.name": "orders", "pipeline.origin": f"{int(MOMENT.timestamp() * 1000)}"}
MANY = {f"name-{number}": f"a value, é {number}" for number in range(8)}

CASES: dict[str, Case] = {
    "nothing": sends(),
    "empty headers": sends([]),
    "headers of the application": sends([("mine", b"1"), ("yours", None), ("mine", b"2")]),
    "pairs that are lists": sends([["mine", b"1"]]),
    "type and subject": sends(cloudevent(type="OrderPlaced", subject="order-7")),
    "a whole event": sends(
        cloudevent(type="OrderPlaced", id="e-1", source="/elsewhere", subject="é", time=MOMENT)
    ),
    "an event from long ago": sends([("ce_time", b"2001-01-01T00:00:00Z")]),
    "an event from the future": sends([("ce_time", b"2099-01-01T00:00:00Z")]),
    "an id that is no text": sends([("ce_id", b"\xff"), ("ce_subject", b"\xff" * 2000)]),
    "ids of other types": sends([("ce_id", None), ("ce_subject", None)]),
    "a partition": sends(partition=0),
    "a timestamp": sends(timestamp_ms=1_700_000_000_000),
    "a tombstone": sends(value=None),
    "a refused record": _refused,
    "below a record that is sampled": below(lambda: remote(SAMPLED)),
    "below a record that is not": below(lambda: remote(UNSAMPLED)),
    "in the own flow": below(lambda: remote(SAMPLED, FLOW)),
    "in the own flow, not sampled": below(lambda: remote(UNSAMPLED, FLOW)),
    "in a foreign flow": below(
        lambda: remote(SAMPLED, {**FLOW, "pipeline.name": "payments"}), [("mine", b"1")]
    ),
    "in a flow without origin": below(lambda: remote(SAMPLED, {"pipeline.name": "payments"})),
    "with other baggage": below(lambda: remote(SAMPLED, {**FLOW, **MANY})),
    "with baggage of the application": below(
        lambda: baggage.set_baggage("mine", "1", remote(SAMPLED, FLOW))
    ),
    "with the baggage of a caller": below(
        lambda: baggage.set_baggage("pipeline.name", "invented", Context())
    ),
    "below a span of the application": below(lambda: span_of_the_application(1)),
    "below a remote one": below(lambda: span_of_the_application(3, is_remote=True)),
    "below one that is not sampled": below(lambda: span_of_the_application(2)),
    "below a remote one that is not": below(lambda: span_of_the_application(0, is_remote=True)),
    "below an invalid span": below(
        lambda: set_span_in_context(trace.INVALID_SPAN, Context({"name": "value"}))
    ),
    "below a span of no provider": _in_a_transaction_of_the_sdk,
}
SAMPLERS = {
    "on": ALWAYS_ON,
    "off": ALWAYS_OFF,
    "as the parent": ParentBased(ALWAYS_ON),
    "as the parent, roots off": ParentBased(ALWAYS_OFF),
}


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("case", CASES)
async def test_a_flat_send_leaves_what_a_general_one_leaves(
    case: str, sampler: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    flat = World(SAMPLERS[sampler])
    by_the_flat_path = await flat.left_by(CASES[case])
    monkeypatch.setenv("PIPELINE_TRACING_FLAT", "off")
    general = World(SAMPLERS[sampler])
    by_the_general_code = await general.left_by(CASES[case])

    assert by_the_general_code == by_the_flat_path
    assert 2 == flat.engine.taken["send"] + sum(flat.engine.fallbacks.values())
    assert engine_of(general.telemetry) is None


@pytest.mark.parametrize("case", sorted(CASES.keys() - {"a refused record"}))
async def test_ordinary_sends_take_the_flat_path(case: str) -> None:
    world = World(ParentBased(ALWAYS_ON))
    await world.left_by(CASES[case])

    assert 2 == world.engine.taken["send"]
    assert not any(world.engine.fallbacks.values())


async def test_it_takes_messages_without_events(monkeypatch: pytest.MonkeyPatch) -> None:
    case = CASES["headers of the application"]
    flat = World(cloudevents=False)
    by_the_flat_path = await flat.left_by(case)
    monkeypatch.setenv("PIPELINE_TRACING_FLAT", "off")

    assert await World(cloudevents=False).left_by(case) == by_the_flat_path
    assert 2 == flat.engine.taken["send"]


class _AtTheStart(SpanProcessor):
    """Adds to a span when it starts, as one that copies baggage to attributes does."""

    def __init__(self, *, reads: bool) -> None:
        self.reads = reads
        self.seen: list[object] = []

    def on_start(self, span: Any, parent_context: Context | None = None) -> None:
        if self.reads:
            self.seen.append(dict(span.attributes))
        span.set_attribute("pipeline.origin.seen", sorted(parent_context or ()))
        span.set_attribute("messaging.message.id", "mine")


@pytest.mark.parametrize("reads", [True, False])
async def test_a_processor_sees_and_adds_the_same(
    reads: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    left, seen = [], []
    for flat in ("on", "off"):
        monkeypatch.setenv("PIPELINE_TRACING_FLAT", flat)
        world, processor = World(), _AtTheStart(reads=reads)
        world.capture.tracer_provider.add_span_processor(processor)
        left.append(await world.left_by(CASES["a partition"]))
        seen.append(processor.seen)

    assert left[0] == left[1]
    assert seen[0] == seen[1]


async def test_a_processor_that_breaks_costs_the_span_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(*_: object, **__: object) -> Any:
        raise RuntimeError("broken")

    left = []
    for method in ("on_start", "on_end"):
        for flat in ("on", "off"):
            monkeypatch.setenv("PIPELINE_TRACING_FLAT", flat)
            world, processor = World(), SpanProcessor()
            monkeypatch.setattr(processor, method, broken)
            world.capture.tracer_provider.add_span_processor(processor)
            left.append(await world.left_by(sends([("mine", b"1")])))

    assert left[0] == left[1]
    assert left[2] == left[3]


async def test_a_ratio_of_new_traces_is_sampled_as_its_sampler_decides() -> None:
    ratio = TraceIdRatioBased(0.5)
    world = World(ParentBased(ratio))
    async with world.producer as producer:
        for _ in range(64):
            await producer.send_and_wait("orders", b"v")

    written = [dict(record.headers)["traceparent"] for record in world.broker.records("orders")]
    sampled = {
        value: ratio.should_sample(None, int(value[3:35], 16), "send").decision
        is Decision.RECORD_AND_SAMPLE
        for value in map(bytes.decode, written)
    }
    assert {True, False} == set(sampled.values())
    assert {value: "03" if kept else "02" for value, kept in sampled.items()} == {
        value: value[53:] for value in sampled
    }
    kept = {f"{span.get_span_context().trace_id:032x}" for span in world.capture.spans()}  # type: ignore[union-attr]  # it has one
    assert {value[3:35] for value, kept in sampled.items() if kept} == kept
    assert 64 == world.engine.taken["send"]


class _AsksEverything(Sampler):
    def should_sample(self, *_: Any, **__: Any) -> SamplingResult:
        return SamplingResult(Decision.RECORD_AND_SAMPLE)

    def get_description(self) -> str:
        return "asks everything"


async def test_a_new_trace_that_another_sampler_decides_on_goes_through_the_general_code() -> None:
    world = World(ParentBased(_AsksEverything()))
    await world.left_by(sends())
    assert (0, 2) == (world.engine.taken["send"], world.engine.fallbacks["parent"])

    below_a_record = World(ParentBased(_AsksEverything()))
    await below_a_record.left_by(CASES["below a record that is sampled"])
    assert 2 == below_a_record.engine.taken["send"]


def _forwarded(more: list[Any], changed: dict[str, bytes] | None) -> Case:
    """Handle a record, and send its headers on, with changed ones, if at all, and with more."""

    async def case(producer: TracedProducer) -> None:
        received: Any = record(headers())
        consumer = TracedConsumer(cast("Any", Records([received])), producer.telemetry)
        async with consumer.process(received):
            own = [
                (name, (changed or {}).get(name, value))
                for name, value in received.headers
                if changed is not None
            ]
            await producer.send_and_wait("orders", b"v", headers=[*own, *more])

    return case


FORWARDED = {
    "none of them": (_forwarded([("mine", b"1")], None), 0),
    "as they are": (_forwarded([], {}), 0),
    "with more": (_forwarded([("mine", b"1")], {}), 0),
    "with another context": (_forwarded([], {"traceparent": SAMPLED}), 1),
    "with other baggage": (_forwarded([], {"baggage": b"pipeline.name=payments"}), 1),
    "with a state": (_forwarded([("tracestate", b"vendor=value")], {}), 1),
}


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("name", FORWARDED)
async def test_a_handler_hands_the_headers_of_its_record_on(
    name: str, sampler: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    case, unusual = FORWARDED[name]
    flat = World(SAMPLERS[sampler])
    by_the_flat_path = await flat.left_by(case)
    monkeypatch.setenv("PIPELINE_TRACING_FLAT", "off")

    assert await World(SAMPLERS[sampler]).left_by(case) == by_the_flat_path
    if sampler == "as the parent":
        assert 1 == flat.engine.taken["process"]
        assert 1 - unusual == flat.engine.taken["send"]
        assert unusual == flat.engine.fallbacks["context_headers"]


def _stored(parent: bytes, *more: tuple[str, Any]) -> Case:
    """Return sends of a record that an outbox has stored, as a relay sends it."""
    carried = headers(("mine", b"1"), ("ce_time", MOMENT.isoformat().encode()), parent=parent)
    return below(Context, [*carried, *more])


STORED = {
    "sampled": (_stored(SAMPLED), 0),
    "not sampled": (_stored(UNSAMPLED), 0),
    "twice": (_stored(UNSAMPLED, ("traceparent", SAMPLED)), 0),
    "no parent": (_stored(b""), 2),
    "upper case": (_stored(SAMPLED.upper()), 2),
    "other baggage": (_stored(SAMPLED, ("baggage", b"a=b,pipeline.name=payments")), 2),
    "no flow": (below(Context, [("traceparent", SAMPLED)]), 2),
    "no trace": (below(Context, [("baggage", BAGGAGE)]), 2),
    "an implausible origin": (
        _stored(SAMPLED, ("baggage", b"pipeline.name=orders,pipeline.origin=1")), 2
    ),
    "a state": (_stored(SAMPLED, ("tracestate", b"vendor=value")), 2),
    "in a context": (below(lambda: Context({"mine": 1}), headers(parent=SAMPLED)), 2),
}  # fmt: skip


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("name", STORED)
async def test_a_stored_record_continues_its_own_trace(
    name: str, sampler: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    case, unusual = STORED[name]
    flat = World(SAMPLERS[sampler])
    by_the_flat_path = await flat.left_by(case)
    monkeypatch.setenv("PIPELINE_TRACING_FLAT", "off")

    assert await World(SAMPLERS[sampler]).left_by(case) == by_the_flat_path
    if sampler == "as the parent":
        assert 2 - unusual == flat.engine.taken["send"]
        assert unusual == flat.engine.fallbacks["context_headers"]


STATE = TraceState([("vendor", "value")])
UNUSUAL: dict[Reason, list[Case]] = {
    "context_headers": [
        sends([("traceparent", SAMPLED)]),
        sends([("mine", b"1"), ("baggage", b"a=b")]),
    ],
    "replayed": [sends([(REPLAY_GROUP, b"g"), (REPLAY_ID, b"orders/0/1")])],
    "headers": [sends([(f"name-{number}", b"") for number in range(33)])],
    "record": [sends([("ce_type", b"\xff")]), sends([("ce_type", b"")])],
    "parent": [
        below(lambda: Context({SPAN_KEY: RemoteSpan(SAMPLED, b"vendor=value")})),
        below(
            lambda: set_span_in_context(
                NonRecordingSpan(SpanContext(1, 2, False, TraceFlags(1), STATE)),
                Context(),
            )
        ),
    ],
    "suppressed": [below(lambda: set_value(SUPPRESSED, True, Context()))],
}


@pytest.mark.parametrize(
    ("reason", "case"), [(reason, case) for reason, cases in UNUSUAL.items() for case in cases]
)
async def test_an_unusual_send_goes_through_the_general_code_and_nowhere_else(
    reason: Reason, case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    flat = World()
    by_both = await flat.left_by(case)
    monkeypatch.setenv("PIPELINE_TRACING_FLAT", "off")

    # The same counts: nothing was counted before the general code took over.
    assert await World().left_by(case) == by_both
    assert {reason: 2} == {name: n for name, n in flat.engine.fallbacks.items() if n}
    assert 0 == flat.engine.taken["send"]


async def test_a_topic_with_a_boundary_goes_through_the_general_code() -> None:
    world = World(boundaries={"orders": Boundary(trace_context=False)})
    await world.left_by(sends())

    assert 2 == world.engine.fallbacks["topic"]
    assert 0 == world.engine.taken["send"]


async def test_a_schema_goes_through_the_general_code_from_then_on() -> None:
    world = World()
    await world.producer.start()
    await world.producer.send_and_wait("orders", b"v")
    world.telemetry.describe_schema = lambda *_: {"pipeline.schema.id": 7}
    lines = await world.left_by(lambda producer: producer.send_and_wait("orders", b"v"))

    assert "attribute pipeline.schema.id 7" in lines
    assert (1, 1) == (world.engine.taken["send"], world.engine.fallbacks["schema"])


async def test_a_fault_on_the_flat_path_is_counted_and_the_record_goes_out_as_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World()

    def broken(*_: object) -> Any:
        raise RuntimeError("broken")

    monkeypatch.setattr(world.telemetry.propagation, "flow_sent", broken)
    lines = await world.left_by(sends([("mine", b"1")]))

    assert ["header mine b'1'"] * 2 == [line for line in lines if line.startswith("header")]
    assert "pipeline.telemetry.dropped [\"reason='send'\"] 2" in lines
    assert not any(world.engine.fallbacks.values())


async def test_the_attributes_of_a_span_are_those_of_its_start() -> None:
    world = World()
    async with world.producer as producer:
        await producer.send_and_wait("orders", b"v")
        destination = producer._destinations["orders"].types[b"orders"]
        destination.attributes = {**destination.attributes, "kafka.cluster.id": "c-1"}
        await producer.send_and_wait("orders", b"v")

    first, second = world.capture.spans()
    assert "kafka.cluster.id" not in (first.attributes or {})
    assert "c-1" == (second.attributes or {})["kafka.cluster.id"]


async def test_a_queued_span_keeps_neither_headers_nor_record() -> None:
    world = World()
    async with world.producer as producer:
        begun = producer._begin("orders", b"v", None, None, [("mine", b"1")])
        assert isinstance(begun, FlatSending)
        assert ("mine", b"1") in begun.headers
        begun.acknowledged(None)

    assert [] == begun.headers
    assert await eventually(world.capture.spans)


async def test_a_send_leaves_the_context_as_it_was() -> None:
    world = World()
    before = get_current()
    async with world.producer as producer:
        await producer.send_and_wait("orders", b"v")

    assert before is get_current()
